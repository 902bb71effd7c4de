//! The works (工事・業務委託).

use chrono::NaiveDate;
use hosho_schema::{
    messages::{ProductLineV1, WorksV1},
    snapshots,
};

use super::{
    dates::{self, Years, needs_contract},
    form::{Field, FormReader, Section, TextLimit},
};
use crate::{obligee::Dates, text, violation::Breach};

pub(super) struct WorksSection {
    pub(super) works: snapshots::Works,
    pub(super) dates: Dates,
    /// Whether every given date was valid: no substitute may replace an invalid one.
    pub(super) dates_valid: bool,
    /// The fiscal years of 工期; `None` if 工期 is invalid.
    pub(super) years: Option<Years>,
}

pub(super) fn read(
    form: &mut FormReader<'_>,
    wire: &WorksV1,
    products: &[ProductLineV1],
    received: NaiveDate,
) -> WorksSection {
    let field = |name, ja| Field::new(Section::Works, name, ja);
    let name = form.required(field("name", "工事名"), &wire.name, TextLimit::NAME);
    let number = form.optional(field("number", "工事番号"), wire.number.as_deref(), TextLimit::NUMBER);
    let contract_price = form.amount(field("contract_price", "請負金額"), &wire.contract_price);
    let from = required_date(form, Field::new(Section::Term, "from", "工期の始期"), &wire.term.from);
    let to = required_date(form, Field::new(Section::Term, "to", "工期の終期"), &wire.term.to);
    let mut years = None;
    if let (Some(from), Some(to)) = (from, to) {
        if let Some(breach) = dates::check_term(from, to) {
            form.report("$.works.term", &breach);
        } else {
            let of_term = dates::years(from, to);
            let outside = wire.fiscal_year.and_then(|year| dates::check_fiscal_year(of_term, year));
            years = outside.is_none().then_some(of_term);
            if let Some(breach) = outside {
                form.report("$.works.fiscal_year", &breach);
            }
        }
    }
    let (dates, dates_valid) = read_dates(form, wire, products, received);
    if dates_valid {
        check_dates(form, &dates, products);
    }
    let works = snapshots::Works {
        name,
        number,
        kind: wire.kind,
        contract_price: contract_price.unwrap_or_default(),
        from: from.unwrap_or_default(),
        to: to.unwrap_or_default(),
        contract_date: dates.contract,
        low_price: wire.low_price,
        fiscal_year: wire.fiscal_year,
    };
    WorksSection { works, dates, dates_valid, years }
}

/// Reports a missing contract date, and contract dates in the wrong order.
fn check_dates(form: &mut FormReader<'_>, dates: &Dates, products: &[ProductLineV1]) {
    let advance = products.iter().find(|line| needs_contract(line.product)).map(|line| line.product);
    let found = match (dates.contract, advance) {
        (None, Some(product)) => Some(Breach::ContractDateRequired { product }),
        (Some(contract), Some(product)) => dates::check_contract_date(product, contract, dates.received),
        _ => None,
    };
    if let Some(breach) = found {
        form.report("$.works.contract_date", &breach);
    }
    if let (Some(original), Some(contract)) = (dates.original_contract, dates.contract)
        && let Some(breach) = dates::check_original_contract(original, contract)
    {
        form.report("$.works.original_contract_date", &breach);
    }
}

fn required_date(form: &mut FormReader<'_>, field: Field, value: &str) -> Option<NaiveDate> {
    form.require(field, value);
    form.date(field, Some(value))
}

/// Returns the dates, and whether every given date was valid.
fn read_dates(
    form: &mut FormReader<'_>,
    wire: &WorksV1,
    products: &[ProductLineV1],
    received: NaiveDate,
) -> (Dates, bool) {
    let mut all_valid = true;
    let mut read = |name: &'static str, ja: &'static str, value: &Option<String>| {
        let date = form.date(Field::new(Section::Works, name, ja), value.as_deref());
        let given = value.as_deref().is_some_and(|value| !text::trim(value).is_empty());
        all_valid &= date.is_some() || !given;
        date
    };
    let contract = read("contract_date", "請負契約日", &wire.contract_date);
    let dates = Dates {
        contract,
        original_contract: read("original_contract_date", "当初契約日", &wire.original_contract_date),
        announced: read("announced_on", "公告日", &wire.announced_on),
        designated: read("designated_on", "指名日", &wire.designated_on),
        notified: read("notified_on", "通知日", &wire.notified_on),
        awarded: read("awarded_on", "落札決定日", &wire.awarded_on),
        signed_not_before: (contract.is_none() && !products.iter().any(|line| needs_contract(line.product)))
            .then_some(received),
        received,
    };
    (dates, all_valid)
}

//! 工事・業務委託.

use chrono::NaiveDate;
use hosho_schema::{
    messages::{ProductLineV1, ProductV1, WorksV1},
    snapshots,
};

use super::{
    super::{obligee::Dates, wareki},
    Code, Field, Form, Limit,
};

/// Reads the works, and the dates an obligee may look at (`None` where one of them was reported and cannot be judged).
pub(super) fn read(
    form: &mut Form<'_>,
    wire: &WorksV1,
    products: &[ProductLineV1],
    received_on: NaiveDate,
) -> (snapshots::Works, Option<Dates>) {
    let name = form.required(&Field::new("$.works.name", "工事名"), &wire.name, Limit::NAME);
    let number = form.optional(&Field::new("$.works.number", "工事番号"), wire.number.as_deref(), Limit::NUMBER);
    let contract_price = form.amount(&Field::new("$.works.contract_price", "請負金額"), &wire.contract_price);
    let from = required_date(form, "$.works.term.from", "工期の始期", &wire.term.from);
    let to = required_date(form, "$.works.term.to", "工期の終期", &wire.term.to);
    if let (Some(from), Some(to)) = (from, to) {
        term(form, from, to, wire.fiscal_year);
    }
    let (dates, all_read) = dates(form, wire, products, received_on);
    if dates.contract.is_none() && all_read {
        contract_date_required(form, products);
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
    (works, all_read.then_some(dates))
}

fn required_date(form: &mut Form<'_>, path: &str, ja: &str, value: &str) -> Option<NaiveDate> {
    let field = Field::new(path, ja);
    form.present(&field, value);
    form.date(&field, Some(value))
}

fn term(form: &mut Form<'_>, from: NaiveDate, to: NaiveDate, fiscal_year: Option<i32>) {
    if from > to {
        let (from_ja, to_ja) = (wareki::format(from), wareki::format(to));
        form.report(
            Code::TermReversed,
            "$.works.term",
            format!("工期の終期（{to_ja}）が始期（{from_ja}）より前です。始期と終期をご確認ください。"),
            format!("ends on {to}, before it begins on {from}"),
        );
        return;
    }
    let (first, last) = (wareki::fiscal_year(from), wareki::fiscal_year(to));
    if let Some(year) = fiscal_year.filter(|year| !(first..=last).contains(year)) {
        form.report(
            Code::FiscalYearOutsideTerm,
            "$.works.fiscal_year",
            format!("対象年度（{year}年度）が工期の年度（{first}年度から{last}年度まで）に含まれません。対象年度をご確認ください。"),
            format!("fiscal year {year} is not one of the term, {first} to {last}"),
        );
    }
}

/// The dates, and whether each that was given could be read.
fn dates(form: &mut Form<'_>, wire: &WorksV1, products: &[ProductLineV1], received_on: NaiveDate) -> (Dates, bool) {
    let mut all_read = true;
    let mut read = |name: &str, ja: &str, value: &Option<String>| {
        let date = form.date(&Field::new(format!("$.works.{name}"), ja), value.as_deref());
        let given = value.as_deref().is_some_and(|value| !super::text::trim(value).is_empty());
        all_read &= date.is_some() || !given;
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
        signed_not_before: (contract.is_none() && !products.iter().any(needs_contract)).then_some(received_on),
    };
    (dates, all_read)
}

/// An advance is paid on a signed contract; a 契約保証 may come before it (rule 10).
fn needs_contract(line: &ProductLineV1) -> bool {
    line.product != ProductV1::Performance
}

fn contract_date_required(form: &mut Form<'_>, products: &[ProductLineV1]) {
    if let Some(line) = products.iter().find(|line| needs_contract(line)) {
        let product = crate::domain::wording::product(line.product);
        form.report(
            Code::ContractDateRequired,
            "$.works.contract_date",
            format!("{product}のお申し込みには請負契約日が必要です。契約締結前にお申し込みいただけるのは契約保証だけです。"),
            "is required for an advance payment guarantee; only a performance guarantee may precede the contract".to_owned(),
        );
    }
}

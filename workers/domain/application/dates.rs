//! 工期, fiscal years, 保証期限 and required dates (rules 10, 11 and 13).

use chrono::NaiveDate;
use hosho_schema::{messages::ProductV1, snapshots};

use crate::{bilingual::Bilingual, violation::Breach, wareki};

/// 工期 ends on or after its first day.
pub(super) fn check_term(from: NaiveDate, to: NaiveDate) -> Option<Breach> {
    (from > to).then_some(Breach::TermReversed { from, to })
}

pub(super) type Years = (i32, i32);

pub(super) fn years(from: NaiveDate, to: NaiveDate) -> Years {
    (wareki::fiscal_year(from), wareki::fiscal_year(to))
}

fn label((first, last): Years) -> Bilingual {
    if first == last {
        Bilingual::new(format!("{first}年度"), first.to_string())
    } else {
        Bilingual::new(format!("{first}年度から{last}年度まで"), format!("{first} to {last}"))
    }
}

/// The fiscal year of a multi-year contract lies in its term.
pub(super) fn check_fiscal_year(years: Years, year: i32) -> Option<Breach> {
    (!(years.0..=years.1).contains(&year))
        .then(|| Breach::FiscalYearOutsideTerm { year, years: label(years) })
}

/// Without the year, 保証期限 would be that of the whole contract.
/// Without the base, each year could get its share of the whole price.
pub(super) fn check_year_and_base(
    years: Years,
    product: ProductV1,
    year: Option<i32>,
    base: bool,
) -> Option<Breach> {
    match (needs_contract(product) && years.0 < years.1, year, base) {
        (true, None, true) => Some(Breach::FiscalYearRequired { years: label(years) }),
        (true, Some(year), false) => Some(Breach::BaseRequired { product, year }),
        _ => None,
    }
}

/// 当初契約日 is not after 請負契約日.
pub(super) fn check_original_contract(original: NaiveDate, contract: NaiveDate) -> Option<Breach> {
    (original > contract).then_some(Breach::OriginalContractAfterContract { original, contract })
}

/// An advance is applied for on a signed contract (rule 10).
pub(super) fn check_contract_date(
    product: ProductV1,
    contract: NaiveDate,
    received: NaiveDate,
) -> Option<Breach> {
    (needs_contract(product) && contract > received).then_some(Breach::ContractDateInFuture {
        product,
        contract,
        received,
    })
}

/// A 契約保証 may be issued before the contract is signed (rule 10).
pub(super) fn needs_contract(product: ProductV1) -> bool {
    product != ProductV1::Performance
}

/// 保証期限 (rule 11): the end of 工期, or of the fiscal year of an advance if earlier.
/// A 契約保証 is for the whole contract, measured by its whole price (our decision; the rule does not say).
pub fn expires_on(product: ProductV1, works: &snapshots::Works) -> NaiveDate {
    let year = works.fiscal_year.filter(|_| needs_contract(product));
    year.and_then(wareki::fiscal_year_end).map_or(works.to, |end| end.min(works.to))
}

/// The one of a multi-year contract, else the first one of 工期.
pub fn counted_year(works: &snapshots::Works) -> i32 {
    works.fiscal_year.unwrap_or_else(|| wareki::fiscal_year(works.from))
}

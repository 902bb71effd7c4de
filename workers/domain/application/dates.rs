//! Dates and terms: 工期, fiscal years, 保証期限, and which date must be there (rules 10, 11 and 13).

use chrono::NaiveDate;
use hosho_schema::{messages::ProductV1, snapshots};

use super::super::{
    violation::{Breach, told::Both},
    wareki,
};

/// 工期 ends on or after the day it begins.
pub(super) fn term(from: NaiveDate, to: NaiveDate) -> Option<Breach> {
    (from > to).then_some(Breach::TermReversed { from, to })
}

/// The first and the last fiscal year of a term.
pub(super) type Years = (i32, i32);

/// The fiscal years that a term lies in.
pub(super) fn years(from: NaiveDate, to: NaiveDate) -> Years {
    (wareki::fiscal_year(from), wareki::fiscal_year(to))
}

fn told((first, last): Years) -> Both {
    if first == last {
        Both { ja: format!("{first}年度"), en: first.to_string() }
    } else {
        Both { ja: format!("{first}年度から{last}年度まで"), en: format!("{first} to {last}") }
    }
}

/// The year of a multi-year contract is one of its term.
pub(super) fn fiscal_year(years: Years, year: i32) -> Option<Breach> {
    (!(years.0..=years.1).contains(&year)).then(|| Breach::FiscalYearOutsideTerm { year, years: told(years) })
}

/// A year and its base come together where an advance is for a contract of several years: without the year 保証期限 would be that of the
/// whole contract, without the base each year could be paid its part of the whole price.
pub(super) fn year_and_base(
    years: Years,
    product: ProductV1,
    year: Option<i32>,
    base: bool,
) -> Option<Breach> {
    match (needs_contract(product) && years.0 < years.1, year, base) {
        (true, None, true) => Some(Breach::FiscalYearRequired { years: told(years) }),
        (true, Some(year), false) => Some(Breach::BaseRequired { product, year }),
        _ => None,
    }
}

/// 当初契約日 is not after 請負契約日.
pub(super) fn original_contract(original: NaiveDate, contract: NaiveDate) -> Option<Breach> {
    (original > contract).then_some(Breach::OriginalContractAfterContract { original, contract })
}

/// An advance is applied for when the contract is signed (rule 10).
pub(super) fn signed(product: ProductV1, contract: NaiveDate, received: NaiveDate) -> Option<Breach> {
    (needs_contract(product) && contract > received).then_some(Breach::ContractDateInFuture {
        product,
        contract,
        received,
    })
}

/// An advance is paid on a signed contract; a 契約保証 may come before it (rule 10).
pub(super) fn needs_contract(product: ProductV1) -> bool {
    product != ProductV1::Performance
}

/// 保証期限 (rule 11): the end of 工期, or for an advance the end of the fiscal year of a multi-year contract it is for, if that is
/// earlier. A 契約保証 is for the whole contract, measured by its whole price (a decision of ours; the rule is silent).
pub fn expires_on(product: ProductV1, works: &snapshots::Works) -> NaiveDate {
    let year = works.fiscal_year.filter(|_| needs_contract(product));
    year.and_then(wareki::fiscal_year_end).map_or(works.to, |end| end.min(works.to))
}

/// The fiscal year that works count for: the one of a multi-year contract, else the one 工期 begins in.
pub fn counted_year(works: &snapshots::Works) -> i32 {
    works.fiscal_year.unwrap_or_else(|| wareki::fiscal_year(works.from))
}

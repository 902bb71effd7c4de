//! Names of products, media, kinds of works and revisions, as people read them.

use chrono::NaiveDate;
use hosho_schema::messages::{BaseV1, CancellationCauseV1, MediumV1, ProductV1, WorksKindV1};

use crate::wareki;

pub const fn product(product: ProductV1) -> &'static str {
    match product {
        ProductV1::AdvancePayment => "前払金保証",
        ProductV1::InterimAdvancePayment => "中間前払金保証",
        ProductV1::Performance => "契約保証",
    }
}

/// 証書の形式, short.
pub const fn medium(medium: MediumV1) -> &'static str {
    match medium {
        MediumV1::Electronic => "電子",
        MediumV1::Paper => "紙",
    }
}

/// 証書の形式, as the form writes it.
pub const fn medium_of_form(medium: MediumV1) -> &'static str {
    match medium {
        MediumV1::Electronic => "電子保証",
        MediumV1::Paper => "証書（紙）",
    }
}

pub const fn kind(kind: WorksKindV1) -> &'static str {
    match kind {
        WorksKindV1::Construction => "工事",
        WorksKindV1::Design => "設計・調査",
        WorksKindV1::Surveying => "測量",
        WorksKindV1::Machinery => "機械製造",
    }
}

pub const fn base(base: BaseV1) -> &'static str {
    match base {
        BaseV1::ContractPrice => "請負金額",
        BaseV1::ThisYearBase => "今年度対象額",
    }
}

pub const fn product_en(product: ProductV1) -> &'static str {
    match product {
        ProductV1::AdvancePayment => "advance payment guarantee",
        ProductV1::InterimAdvancePayment => "interim advance payment guarantee",
        ProductV1::Performance => "performance guarantee",
    }
}

pub const fn medium_en(medium: MediumV1) -> &'static str {
    match medium {
        MediumV1::Electronic => "electronic",
        MediumV1::Paper => "paper",
    }
}

pub const fn kind_en(kind: WorksKindV1) -> &'static str {
    match kind {
        WorksKindV1::Construction => "construction",
        WorksKindV1::Design => "design",
        WorksKindV1::Surveying => "surveying",
        WorksKindV1::Machinery => "machinery",
    }
}

pub const fn base_en(base: BaseV1) -> &'static str {
    match base {
        BaseV1::ContractPrice => "contract price",
        BaseV1::ThisYearBase => "base of this year",
    }
}

pub const fn cancellation_cause(cause: CancellationCauseV1) -> &'static str {
    match cause {
        CancellationCauseV1::Consent => "発注者の承諾による解約",
        CancellationCauseV1::ObligeeCause => "発注者の責めに帰すべき事由による請負契約の終了",
    }
}

/// A year in which an era begins has the new name as a whole: 2019 is 令和元年度.
pub fn fiscal_year(year: i32) -> String {
    let written = NaiveDate::from_ymd_opt(year, 12, 31).map(wareki::format);
    written
        .as_deref()
        .and_then(|date| date.split_once('年'))
        .map_or_else(|| format!("{year}年度"), |(year, _)| format!("{year}年度"))
}

/// `変更－n`, the line under the title; `None` for 新規.
pub fn amendment(revision: i64) -> Option<String> {
    (revision >= 1).then(|| format!("変更－{revision}"))
}

/// Returns `新規` or `変更－n`, the 対象 of a history.
pub fn revision(revision: i64) -> String {
    amendment(revision).unwrap_or_else(|| "新規".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fiscal_years_after_the_era_in_december() {
        let named = [2026, 2019, 2018, 1989, 1988].map(fiscal_year);
        assert_eq!(named, ["令和8年度", "令和元年度", "平成30年度", "平成元年度", "昭和63年度"]);
        assert_eq!(
            [fiscal_year(1900), fiscal_year(i32::MAX)],
            ["1900年度".to_owned(), format!("{}年度", i32::MAX)]
        );
    }

    #[test]
    fn numbers_revisions_from_the_first_amendment() {
        assert_eq!(revision(0), "新規");
        assert_eq!(revision(2), "変更－2");
        assert_eq!(amendment(0), None);
    }
}

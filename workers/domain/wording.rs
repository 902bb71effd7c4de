//! How the business says it: the names of products, media and revisions, the same in documents, mails and tables.

use hosho_schema::messages::{MediumV1, ProductV1};

/// 商品（保証区分）.
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

/// `変更－n`, as it stands under the title of an amended certificate; nothing for 新規.
pub fn amendment(revision: i64) -> Option<String> {
    (revision >= 1).then(|| format!("変更－{revision}"))
}

/// 対象 of a history: `新規` or `変更－n`.
pub fn revision(revision: i64) -> String {
    amendment(revision).unwrap_or_else(|| "新規".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_numbered_from_the_first_amendment() {
        assert_eq!(revision(0), "新規");
        assert_eq!(revision(2), "変更－2");
        assert_eq!(amendment(0), None);
    }
}

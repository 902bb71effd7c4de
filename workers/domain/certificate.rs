//! The content of a certificate (保証証書), built from an accepted application.
//!
//! A certificate repeats its whole content and references nothing. Years later it must read as on the day of
//! issue, even if the obligee's mailbox or the surety's president has changed.

use chrono::NaiveDate;
use hosho_schema::snapshots::{self, Certificate};

use crate::{application::expires_on, number::GuaranteeNumber, obligee::Obligee};

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the application has no product line {line}: it has {lines}, counted from 0")]
pub struct NoSuchLine {
    pub line: usize,
    pub lines: usize,
}

/// The parts of a certificate that the application does not contain.
#[derive(Debug, Clone, Copy)]
pub struct Issuance<'a> {
    pub number: &'a GuaranteeNumber,
    /// 0 is 新規, n is 変更－n.
    pub revision: i64,
    /// 発行日 in Tokyo.
    pub issued_on: NaiveDate,
    /// The entry for `issued_on`.
    pub surety: &'a snapshots::Surety,
    pub branch: &'a snapshots::Branch,
    pub obligee: &'a Obligee,
}

/// Builds one revision for one product line of an application, counted from 0.
pub fn build(
    application: &snapshots::Application,
    line: usize,
    issuance: &Issuance<'_>,
) -> Result<Certificate, NoSuchLine> {
    let lines = application.products.len();
    let product_line = application.products.get(line).ok_or(NoSuchLine { line, lines })?;
    Ok(Certificate {
        number: issuance.number.to_string(),
        revision: issuance.revision,
        issued_on: issuance.issued_on,
        product: product_line.product,
        medium: product_line.medium,
        amount: product_line.amount,
        expires_on: expires_on(product_line.product, &application.works),
        bank: product_line.bank.clone(),
        this_year_base: product_line.this_year_base,
        works: application.works.clone(),
        principal: application.principal.clone(),
        obligee: issuance.obligee.snapshot(product_line.product, &application.works),
        surety: issuance.surety.clone(),
        branch: issuance.branch.clone(),
        corrects: None,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use hosho_schema::money::Yen;
    use serde_json::json;

    use super::*;
    use crate::cases::{base, branches, day, registry, today, verdict, with};

    /// An advance for one fiscal year of a multi-year contract.
    fn application() -> snapshots::Application {
        let changes = [
            ("/works/term/to", json!("2028-03-31")),
            ("/works/fiscal_year", json!(2026)),
            ("/products/0/this_year_base", json!(10_000_000)),
        ];
        verdict(&with(base(), &changes), today()).unwrap()
    }

    fn certificate(application: &snapshots::Application, line: usize) -> Result<Certificate, NoSuchLine> {
        let (obligees, branches) = (registry(), branches());
        let number = GuaranteeNumber::build("31", 75, 1, 'M').unwrap();
        let surety = snapshots::Surety {
            name: "やまなみ建設保証株式会社".to_owned(),
            address: "東京都".to_owned(),
            president: "代表取締役社長 山並 一".to_owned(),
            terms_version: "令和8年4月版".to_owned(),
            seal: Some("0".repeat(64)),
        };
        let issuance = Issuance {
            number: &number,
            revision: 0,
            issued_on: today(),
            surety: &surety,
            branch: branches.get(&application.branch).unwrap(),
            obligee: obligees.get(&application.obligee).unwrap(),
        };
        build(application, line, &issuance)
    }

    /// The first certificate (新規) of [`application`].
    pub(crate) fn sample() -> Certificate {
        certificate(&application(), 0).unwrap()
    }

    #[test]
    fn builds_a_self_contained_certificate() {
        let (application, sample) = (application(), sample());
        assert_eq!(sample.number, "31075-00001M");
        assert_eq!(sample.expires_on, day(2027, 3, 31));
        assert_eq!(sample.amount, Yen(4_000_000));
        assert_eq!(sample.obligee.submission.mail_address.as_deref(), Some("keiyaku@example.jp"));
        assert_eq!(sample.surety.terms_version, "令和8年4月版");
        assert_eq!(sample.bank, application.products[0].bank);
        assert_eq!(sample.this_year_base, Some(Yen(10_000_000)));
        assert_eq!(certificate(&application, 1).unwrap_err(), NoSuchLine { line: 1, lines: 1 });
    }

    /// The stored text is hashed, so a later field must not appear in older content.
    #[test]
    fn rewrites_older_content_unchanged() {
        let mut older = sample();
        (older.this_year_base, older.surety.seal) = (None, None);
        let stored = snapshots::canonical(&older);
        assert!(!stored.contains("this_year_base") && !stored.contains("seal"), "{stored}");
        assert_eq!(snapshots::canonical(&snapshots::read::<Certificate>(&stored).unwrap()), stored);
    }
}

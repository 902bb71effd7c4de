//! The content of a certificate (保証証書): pure assembly of what is already judged.
//!
//! A certificate repeats everything it says instead of pointing at it: years later it must read as on the day of
//! issue, whatever has become of the obligee's mailbox or the surety's president.

use chrono::NaiveDate;
use hosho_schema::snapshots::{self, Certificate};

use super::{application::expires_on, number::GuaranteeNumber, obligee::Obligee};

/// The application has no such product line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the application has no product line {line}: it has {lines}, counted from 0")]
pub struct NoSuchLine {
    /// The line asked for, from 0.
    pub line: usize,
    /// How many there are.
    pub lines: usize,
}

/// What is around an application when a certificate is drawn up.
#[derive(Debug, Clone, Copy)]
pub struct Issuance<'a> {
    /// 保証契約番号.
    pub number: &'a GuaranteeNumber,
    /// 0 is 新規, n is 変更－n.
    pub revision: i64,
    /// 発行日 in Tokyo.
    pub issued_on: NaiveDate,
    /// 保証会社 on that day.
    pub surety: &'a snapshots::Surety,
    /// 取扱箇所 of the application.
    pub branch: &'a snapshots::Branch,
    /// 発注者 of the application.
    pub obligee: &'a Obligee,
}

/// Draws up the content of one revision for one product line of an application (from 0).
pub fn content(
    application: &snapshots::Application,
    line: usize,
    issuance: &Issuance<'_>,
) -> Result<Certificate, NoSuchLine> {
    let lines = application.products.len();
    let asked = application.products.get(line).ok_or(NoSuchLine { line, lines })?;
    Ok(Certificate {
        number: issuance.number.to_string(),
        revision: issuance.revision,
        issued_on: issuance.issued_on,
        product: asked.product,
        medium: asked.medium,
        amount: asked.amount,
        expires_on: expires_on(asked.product, &application.works),
        bank: asked.bank.clone(),
        this_year_base: asked.this_year_base,
        works: application.works.clone(),
        principal: application.principal.clone(),
        obligee: issuance.obligee.snapshot(asked.product, &application.works),
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

    /// One fiscal year of a contract of several.
    fn application() -> snapshots::Application {
        let changes = [
            ("/works/term/to", json!("2028-03-31")),
            ("/works/fiscal_year", json!(2026)),
            ("/products/0/this_year_base", json!(10_000_000)),
        ];
        verdict(&with(base(), &changes), today()).unwrap()
    }

    fn drawn_up(application: &snapshots::Application, line: usize) -> Result<Certificate, NoSuchLine> {
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
        content(application, line, &issuance)
    }

    /// The certificate 新規 of [`application`].
    pub(crate) fn sample() -> Certificate {
        drawn_up(&application(), 0).unwrap()
    }

    #[test]
    fn a_certificate_holds_all_it_says() {
        let (application, certificate) = (application(), sample());
        assert_eq!(certificate.number, "31075-00001M");
        assert_eq!(certificate.expires_on, day(2027, 3, 31));
        assert_eq!(certificate.amount, Yen(4_000_000));
        assert_eq!(certificate.obligee.submission.mail_address.as_deref(), Some("keiyaku@example.jp"));
        assert_eq!(certificate.surety.terms_version, "令和8年4月版");
        assert_eq!(certificate.bank, application.products[0].bank);
        assert_eq!(certificate.this_year_base, Some(Yen(10_000_000)));
        assert_eq!(drawn_up(&application, 1).unwrap_err(), NoSuchLine { line: 1, lines: 1 });
    }

    /// The stored text is hashed: a field that came later must not appear where it was not.
    #[test]
    fn what_was_stored_before_reads_and_writes_as_it_did() {
        let mut certificate = sample();
        (certificate.this_year_base, certificate.surety.seal) = (None, None);
        let stored = snapshots::canonical(&certificate);
        assert!(!stored.contains("this_year_base") && !stored.contains("seal"), "{stored}");
        assert_eq!(snapshots::canonical(&snapshots::read::<Certificate>(&stored).unwrap()), stored);
    }
}

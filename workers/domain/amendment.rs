//! What a change of the contract does to its guarantee (rules 2, 3 and 12).

pub use hosho_schema::messages::CancellationCauseV1 as CancellationCause;
use hosho_schema::{messages::MediumV1, snapshots::Certificate};

use super::violation::{Breach, told::Both};

/// What follows from a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The guarantee stays as it is: nothing that it guarantees has changed (rule 3).
    NoReissue,
    /// A certificate with the whole content after the change.
    Reissue,
}

/// Compares what a certificate says with what it would say after a change. A change of 請負金額 alone re-issues nothing.
///
/// Number, revision and day of issue are no content; nor are the surety, the branch and the obligee's mailbox, which change by themselves.
pub fn effect(before: &Certificate, after: &Certificate) -> Effect {
    let mut priced = before.works.clone();
    priced.contract_price = after.works.contract_price;
    let same = priced == after.works
        && (before.amount, before.expires_on, &before.bank) == (after.amount, after.expires_on, &after.bank)
        && before.this_year_base == after.this_year_base
        && before.principal == after.principal
        && (&before.obligee.code, &before.obligee.title) == (&after.obligee.code, &after.obligee.title);
    if same { Effect::NoReissue } else { Effect::Reissue }
}

/// Rule 2: a guarantee keeps its medium for life.
pub fn medium(before: &Certificate, asked: MediumV1) -> Option<Breach> {
    (asked != before.medium).then(|| {
        let number = &before.number;
        let earlier = Both { ja: format!("保証契約番号{number}"), en: format!("guarantee {number}") };
        Breach::MediumFixed { product: before.product, medium: before.medium, earlier }
    })
}

/// Rule 12: the obligee's consent is shown by evidence, unless the works contract ended for causes on its side.
pub fn cancellation(cause: CancellationCause, evidence: Option<&str>) -> Option<Breach> {
    let shown = evidence.is_some_and(|evidence| !super::text::trim(evidence).is_empty());
    (cause == CancellationCause::Consent && !shown).then_some(Breach::CancellationConsentRequired {})
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use hosho_schema::money::Yen;

    use super::*;

    #[test]
    fn the_price_alone_re_issues_nothing() {
        let before = crate::certificate::tests::sample();
        assert_eq!(effect(&before, &before), Effect::NoReissue);
        let mut after = before.clone();
        after.works.contract_price = Yen(before.works.contract_price.0 + 1);
        after.surety.president = "別人".to_owned();
        after.obligee.submission.mail_address = None;
        assert_eq!(effect(&before, &after), Effect::NoReissue);
        let changes: [fn(&mut Certificate); 7] = [
            |after| after.amount.0 += 1,
            |after| after.this_year_base = Some(Yen(1)),
            |after| after.works.to = NaiveDate::MAX,
            |after| after.expires_on = NaiveDate::MAX,
            |after| after.works.name.push('改'),
            |after| after.principal.company.address.push('改'),
            |after| after.obligee.title.push('改'),
        ];
        for change in changes {
            let mut other = after.clone();
            change(&mut other);
            assert_eq!(effect(&before, &other), Effect::Reissue, "{:?}", other.works);
        }
    }
}

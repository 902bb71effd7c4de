//! The effect of a contract change on its guarantee (rules 2, 3 and 12).

use hosho_schema::{
    messages::{CancellationCauseV1, MediumV1},
    snapshots::Certificate,
};

use crate::{bilingual::Bilingual, text, violation::Breach};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The guaranteed content is unchanged (rule 3).
    NoReissue,
    /// A new certificate states the whole content after the change.
    Reissue,
}

/// Number, revision and day of issue are not content.
/// Surety, branch and the obligee's mailbox are configuration. A change of 請負金額 alone re-issues nothing.
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

/// Rule 2: the medium of a guarantee never changes.
pub fn check_medium(before: &Certificate, requested: MediumV1) -> Option<Breach> {
    (requested != before.medium).then(|| Breach::MediumFixed {
        product: before.product,
        medium: before.medium,
        earlier: Bilingual::guarantee(&before.number),
    })
}

/// Rule 12: consent needs evidence; causes on the obligee's side do not.
pub fn check_cancellation(cause: CancellationCauseV1, evidence: Option<&str>) -> Option<Breach> {
    let has_evidence = evidence.is_some_and(|evidence| !text::trim(evidence).is_empty());
    (cause == CancellationCauseV1::Consent && !has_evidence).then_some(Breach::CancellationConsentRequired {})
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use hosho_schema::money::Yen;

    use super::*;

    #[test]
    fn reissues_nothing_when_only_the_price_changes() {
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

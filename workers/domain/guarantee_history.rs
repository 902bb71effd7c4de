//! The revisions of a guarantee, and the effect of changes (rules 2 to 5 and 12).
//!
//! Our decisions, as nothing is published:
//! - Changes take effect in the order of their versions, not of their arrival. A change that arrives after a
//!   newer one has taken effect is rejected, so it never overwrites.
//! - What a change does is decided when it takes effect. Its sender is answered at once with the effect
//!   foreseen.
//! - A correction is compared with its target, contract price included: a wrong price on a certificate is
//!   visible.
//! - Only the source that applied for a guarantee may change it, and only that source learns its number.
//!
//! Pure: `hosho::stages::amend` locks the guarantee.

use chrono::NaiveDate;
use hosho_schema::{
    messages::{ChangeEffectV1, ForeseenV1},
    models::revision::{self, Kind},
    snapshots::{self, Application, Cancellation, Certificate, Change, Reversal},
};

use crate::{
    amendment::{self, Effect},
    bilingual::Bilingual,
    labels,
    revisions::{self, Revision, Step},
    violation::{Breach, Violation},
};

#[derive(Debug, Clone)]
struct Entry {
    step: Step,
    /// `None` for a reversal and a cancellation.
    certificate: Option<Certificate>,
    ended_on: Option<NaiveDate>,
}

/// The revisions of one guarantee, from 新規 on.
#[derive(Debug, Clone)]
pub struct GuaranteeHistory {
    entries: Vec<Entry>,
}

#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("revision {revision} cannot be read")]
    Unreadable { revision: i64, source: serde_json::Error },
    #[error("the revisions of the guarantee do not follow each other")]
    Broken,
}

#[derive(Debug, Clone)]
pub struct NewRevision {
    /// Index in the chain.
    pub revision: i64,
    pub kind: Kind,
    /// The revision that a correction replaces or a reversal hides.
    pub target: Option<i64>,
    /// Canonical JSON, as it is stored.
    pub content: String,
    /// 変更 number of the certificate that is issued, reversed or cancelled.
    pub number: i64,
}

#[derive(Debug, Clone)]
pub enum AppliedChange {
    Unchanged,
    Revised(Box<NewRevision>),
}

impl AppliedChange {
    /// The effect as it is answered to the sender of the change.
    pub fn foreseen(&self) -> ForeseenV1 {
        let Self::Revised(new) = self else {
            return ForeseenV1 { effect: ChangeEffectV1::NoReissue, revision: None };
        };
        let effect = match new.kind {
            Kind::New | Kind::Amendment | Kind::Correction => ChangeEffectV1::Reissue,
            Kind::Reversal => ChangeEffectV1::Reversal,
            Kind::Cancellation => ChangeEffectV1::Cancellation,
        };
        ForeseenV1 { effect, revision: Some(new.number) }
    }
}

/// Checks the version of a change against pending and settled ones.
pub fn check_version(version: i64, pending: &[i64], settled: &[i64]) -> Option<Violation> {
    let at = |breach: &Breach| Some(Violation::new("$.version", breach));
    if version < 1 {
        return at(&Breach::VersionNotPositive {});
    }
    if pending.contains(&version) || settled.contains(&version) {
        return at(&Breach::VersionTaken { version });
    }
    match settled.iter().max() {
        Some(latest) if version < *latest => at(&Breach::VersionOutdated { version, latest: *latest }),
        _ => None,
    }
}

/// Names a stored revision: 新規, 変更－n, 変更－n（訂正）, 変更－nの取消 or 解約.
pub fn revision_label(row: &revision::Revision) -> String {
    let number =
        || snapshots::read::<Certificate>(&row.content).map_or(row.revision, |content| content.revision);
    match row.kind {
        Kind::New => labels::revision(0),
        Kind::Amendment => labels::revision(number()),
        Kind::Correction => format!("{}（訂正）", labels::revision(number())),
        Kind::Reversal => {
            let reversed =
                snapshots::read::<Reversal>(&row.content).map_or(row.revision, |content| content.revision);
            format!("{}の取消", labels::revision(reversed))
        }
        Kind::Cancellation => "解約".to_owned(),
    }
}

impl GuaranteeHistory {
    pub fn read(rows: &[revision::Revision]) -> Result<Self, HistoryError> {
        let mut entries = Vec::with_capacity(rows.len());
        for (index, row) in (0_i64..).zip(rows) {
            let unreadable = |source| HistoryError::Unreadable { revision: row.revision, source };
            if row.revision != index {
                return Err(HistoryError::Broken);
            }
            let target = || row.target.ok_or(HistoryError::Broken);
            let step = match row.kind {
                Kind::New => Step::New,
                Kind::Amendment => Step::Amendment,
                Kind::Correction => Step::Correction(target()?),
                Kind::Reversal => Step::Reversal(target()?),
                Kind::Cancellation => Step::Cancellation,
            };
            let mut entry = Entry { step, certificate: None, ended_on: None };
            if row.kind.is_certificate() {
                entry.certificate = Some(snapshots::read(&row.content).map_err(unreadable)?);
            } else if row.kind == Kind::Cancellation {
                let cancellation = snapshots::read::<Cancellation>(&row.content).map_err(unreadable)?;
                entry.ended_on = Some(cancellation.cancelled_on);
            }
            entries.push(entry);
        }
        let history = Self { entries };
        if history.current().is_none() {
            return Err(HistoryError::Broken);
        }
        Ok(history)
    }

    /// All certificates, in the order they were made.
    pub fn certificates(&self) -> Vec<Revision> {
        let steps: Vec<Step> = self.entries.iter().map(|entry| entry.step).collect();
        revisions::number_revisions(&steps).unwrap_or_default()
    }

    fn certificate(&self, revision: i64) -> Option<&Certificate> {
        self.entries.get(usize::try_from(revision).ok()?)?.certificate.as_ref()
    }

    /// The certificate in force, and its index in the chain.
    pub fn current(&self) -> Option<(i64, &Certificate)> {
        let Revision { revision, .. } = revisions::current(&self.certificates())?;
        Some((revision, self.certificate(revision)?))
    }

    /// Returns the index in the chain of the visible certificate with a 変更 number.
    pub fn find_visible(&self, number: i64) -> Result<i64, Violation> {
        find_visible(&self.certificates(), number)
    }

    /// 解約日; `None` while the guarantee is in force.
    pub fn ended_on(&self) -> Option<NaiveDate> {
        self.entries.last().and_then(|entry| entry.ended_on)
    }

    /// An impossible change leaves the history as it was. `today` is the day in Tokyo.
    /// `build` makes the certificate of an application under a 変更 number.
    pub fn apply<E: From<Violation>>(
        &mut self,
        change: &Change,
        today: NaiveDate,
        build: impl FnOnce(&Application, i64) -> Result<Certificate, E>,
    ) -> Result<AppliedChange, E> {
        let Some((current, held)) = self.current() else { return Ok(AppliedChange::Unchanged) };
        if let Some(on) = self.ended_on() {
            let breach = Breach::GuaranteeEnded { number: held.number.clone(), on };
            return Err(Violation::new("$.guarantee", &breach).into());
        }
        let certificates = self.certificates();
        let revision = i64::try_from(self.entries.len()).unwrap_or(i64::MAX);
        let new = |kind, target, number, content| NewRevision { revision, kind, target, content, number };
        let mut entry = Entry { step: Step::Amendment, certificate: None, ended_on: None };
        let new = match change {
            Change::Amendment { after } => {
                let number =
                    certificates.iter().map(|certificate| certificate.number).max().unwrap_or_default() + 1;
                let after = build(after, number)?;
                if amendment::effect(held, &after) == Effect::NoReissue {
                    return Ok(AppliedChange::Unchanged);
                }
                let content = snapshots::canonical(&after);
                entry.certificate = Some(after);
                new(Kind::Amendment, None, number, content)
            }
            Change::Correction { revision, after, .. } => {
                let target = find_visible(&certificates, *revision)?;
                let mut after = build(after, *revision)?;
                after.corrects = Some(target);
                if self.certificate(target).is_some_and(|before| {
                    amendment::effect(before, &after) == Effect::NoReissue
                        && before.works.contract_price == after.works.contract_price
                }) {
                    return Ok(AppliedChange::Unchanged);
                }
                let content = snapshots::canonical(&after);
                (entry.step, entry.certificate) = (Step::Correction(target), Some(after));
                new(Kind::Correction, Some(target), *revision, content)
            }
            Change::AmendmentReversal { revision, .. } => {
                let target = find_visible(&certificates, *revision)?;
                if *revision == 0 {
                    return Err(Violation::new("$.revision", &Breach::RevisionNotAnAmendment {}).into());
                }
                let restored = certificates
                    .iter()
                    .filter(|certificate| certificate.visible && certificate.revision != target)
                    .max_by_key(|certificate| certificate.number);
                let reversal = Reversal {
                    number: held.number.clone(),
                    revision: *revision,
                    reverses: target,
                    restores: restored.map_or(current, |certificate| certificate.revision),
                    reversed_on: today,
                };
                entry.step = Step::Reversal(target);
                new(Kind::Reversal, Some(target), *revision, snapshots::canonical(&reversal))
            }
            Change::Cancellation { cancelled_on, cause, .. } => {
                let cancelled = *cancelled_on;
                let issued = self.certificate(0).map_or(cancelled, |first| first.issued_on);
                if cancelled < issued {
                    let breach = Breach::CancelledBeforeIssue { cancelled, issued };
                    return Err(Violation::new("$.cancelled_on", &breach).into());
                }
                let cancellation = Cancellation {
                    cancelled_on: cancelled,
                    cause: *cause,
                    notified_on: today,
                    certificate: held.clone(),
                };
                (entry.step, entry.ended_on) = (Step::Cancellation, Some(cancelled));
                new(Kind::Cancellation, None, held.revision, snapshots::canonical(&cancellation))
            }
        };
        self.entries.push(entry);
        Ok(AppliedChange::Revised(Box::new(new)))
    }
}

fn find_visible(certificates: &[Revision], number: i64) -> Result<i64, Violation> {
    let visible = || certificates.iter().filter(|certificate| certificate.visible);
    if let Some(found) = visible().find(|certificate| certificate.number == number) {
        return Ok(found.revision);
    }
    let mut numbers: Vec<i64> = visible().map(|certificate| certificate.number).collect();
    numbers.sort_unstable();
    let names: Vec<String> = numbers.into_iter().map(labels::revision).collect();
    let given = if number < 0 { number.to_string() } else { labels::revision(number) };
    let shown = Bilingual::new(names.join("、"), names.join(", "));
    Err(Violation::new("$.revision", &Breach::RevisionUnknown { given, shown }))
}

#[cfg(test)]
pub(crate) mod tests {
    use hosho_schema::{
        messages::CancellationCauseV1,
        models::revision::chained_sha256,
        money::Yen,
        snapshots::{Contact, ProductLine},
    };

    use super::*;
    use crate::certificate::tests::sample;

    fn day(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 12, day).unwrap()
    }

    /// The application that a certificate was issued for.
    fn application(certificate: &Certificate) -> Application {
        Application {
            source: "portal".to_owned(),
            id: "c".to_owned(),
            branch: certificate.branch.code.clone(),
            obligee: certificate.obligee.code.clone(),
            works: certificate.works.clone(),
            principal: certificate.principal.clone(),
            products: vec![ProductLine {
                product: certificate.product,
                medium: certificate.medium,
                amount: certificate.amount,
                this_year_base: certificate.this_year_base,
                bank: certificate.bank.clone(),
                redeposit: None,
                premium_payment: String::new(),
                bill_to: String::new(),
                calculation_sheet: false,
            }],
            mail_address: None,
            contact: Contact::default(),
        }
    }

    /// That application with this much added to the amount and to the contract price.
    fn after(amount: i64, price: i64) -> Box<Application> {
        let mut application = application(&sample());
        application.products[0].amount = Yen(application.products[0].amount.0 + amount);
        application.works.contract_price = Yen(application.works.contract_price.0 + price);
        Box::new(application)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the signature that `apply` requires")]
    fn build(after: &Application, number: i64) -> Result<Certificate, Violation> {
        let mut certificate = sample();
        certificate.revision = number;
        certificate.amount = after.products[0].amount;
        certificate.works = after.works.clone();
        Ok(certificate)
    }

    pub(crate) fn first() -> GuaranteeHistory {
        GuaranteeHistory::read(&[row(0, Kind::New, None, snapshots::canonical(&sample()))]).unwrap()
    }

    fn row(revision: i64, kind: Kind, target: Option<i64>, content: String) -> revision::Revision {
        revision::Revision {
            id: revision.to_string(),
            guarantee_id: "g".to_owned(),
            revision,
            content_sha256: chained_sha256(None, &content),
            content,
            previous_sha256: None,
            drawn_at: day(1).and_time(chrono::NaiveTime::MIN),
            arrived_at: None,
            completed_at: None,
            kind,
            target,
            change_id: None,
        }
    }

    pub(crate) fn amendment(amount: i64, price: i64) -> Change {
        Change::Amendment { after: after(amount, price) }
    }

    pub(crate) fn correction(revision: i64, amount: i64, price: i64) -> Change {
        Change::Correction { revision, reason: "誤記".to_owned(), after: after(amount, price) }
    }

    pub(crate) fn reversal(revision: i64) -> Change {
        Change::AmendmentReversal { revision, reason: "合意".to_owned() }
    }

    pub(crate) fn cancellation(on: NaiveDate) -> Change {
        Change::Cancellation { cancelled_on: on, cause: CancellationCauseV1::ObligeeCause, evidence: None }
    }

    /// Applies changes; returns the code of the first that is impossible.
    pub(crate) fn apply_all(
        history: &mut GuaranteeHistory,
        changes: &[Change],
    ) -> Result<Vec<AppliedChange>, &'static str> {
        changes
            .iter()
            .map(|change| history.apply(change, day(24), build).map_err(|violation| violation.code.as_str()))
            .collect()
    }

    #[test]
    fn applies_changes_until_the_cancellation() {
        let mut history = first();
        let base = sample().amount.0;
        let held = |history: &GuaranteeHistory| {
            let (revision, certificate) = history.current().unwrap();
            (revision, certificate.revision, certificate.amount.0 - base)
        };
        for (change, expected) in [
            (amendment(1, 0), (1, 1, 1)),
            (correction(1, 2, 0), (2, 1, 2)),
            (amendment(3, 0), (3, 2, 3)),
            (reversal(2), (2, 1, 2)),
            // 変更－1 stays current when 新規 is corrected.
            (correction(0, 5, 0), (2, 1, 2)),
            // The number of the reversed amendment is not reused.
            (amendment(9, 0), (6, 3, 9)),
        ] {
            apply_all(&mut history, &[change]).unwrap();
            assert_eq!(held(&history), expected);
        }
        let visible: Vec<i64> = history
            .certificates()
            .iter()
            .filter(|certificate| certificate.visible)
            .map(|certificate| certificate.number)
            .collect();
        assert_eq!(visible, [1, 0, 3]);
        assert_eq!(history.ended_on(), None);
        apply_all(&mut history, &[cancellation(day(31))]).unwrap();
        assert_eq!((history.ended_on(), held(&history)), (Some(day(31)), (6, 3, 9)));
        assert_eq!(apply_all(&mut history, &[amendment(7, 0)]).unwrap_err(), "guarantee.ended");
    }

    #[test]
    fn price_change_makes_a_correction_but_no_amendment() {
        let mut history = first();
        let outcomes =
            apply_all(&mut history, &[amendment(0, 1), correction(0, 0, 0), correction(0, 0, 1)]).unwrap();
        assert!(matches!(outcomes[..2], [AppliedChange::Unchanged, AppliedChange::Unchanged]));
        assert_eq!(outcomes[0].foreseen(), ForeseenV1 { effect: ChangeEffectV1::NoReissue, revision: None });
        assert_eq!(outcomes[2].foreseen(), ForeseenV1 { effect: ChangeEffectV1::Reissue, revision: Some(0) });
    }

    #[test]
    fn reads_back_what_it_wrote() {
        let mut history = first();
        let mut rows = vec![row(0, Kind::New, None, snapshots::canonical(&sample()))];
        for outcome in apply_all(
            &mut history,
            &[amendment(1, 0), correction(1, 2, 0), amendment(3, 0), reversal(2), cancellation(day(31))],
        )
        .unwrap()
        {
            let AppliedChange::Revised(new) = outcome else { panic!("no revision") };
            rows.push(row(new.revision, new.kind, new.target, new.content));
        }
        let read = GuaranteeHistory::read(&rows).unwrap();
        assert_eq!(
            (read.certificates(), read.ended_on(), read.entries.len()),
            (history.certificates(), history.ended_on(), 6)
        );
        rows.remove(1);
        assert!(matches!(GuaranteeHistory::read(&rows), Err(HistoryError::Broken)));
    }

    #[test]
    fn rejects_impossible_changes() {
        for (changes, code) in [
            (vec![reversal(0)], "revision.not_an_amendment"),
            (vec![reversal(1)], "revision.unknown"),
            (vec![correction(-1, 1, 0)], "revision.unknown"),
            (vec![amendment(1, 0), reversal(1), correction(1, 1, 0)], "revision.unknown"),
            (vec![cancellation(NaiveDate::from_ymd_opt(2020, 1, 1).unwrap())], "cancelled_on.before_issue"),
        ] {
            assert_eq!(apply_all(&mut first(), &changes).unwrap_err(), code);
        }
    }
}

//! The life of a guarantee: its revisions so far, and what a change makes of them (rules 2 to 5 and 12).
//!
//! Decisions of ours, where nothing is published:
//! - The changes of a guarantee take effect in the order of their versions, whichever arrived first. An older one that arrives when a
//!   newer one has taken effect is refused; it never overwrites.
//! - What a change does is decided when its turn comes; what its sender is answered at once is what is foreseen, as things stand.
//! - A correction is compared with its target, contract price included: a wrong price on a certificate is a mistake that shows.
//! - Only the system that asked for a guarantee may change it: nobody else is told its number.
//!
//! Pure: who holds the guarantee locked meanwhile is the business of [`crate::stages::amend::decide`].

use chrono::NaiveDate;
use hosho_schema::{
    messages::{ChangeEffectV1, ForeseenV1},
    models::revision::{Kind, Revision},
    snapshots::{self, Application, Cancellation, Certificate, Change, Reversal},
};

use super::{
    amendment::{self, Effect},
    revisions::{self, Step},
    violation::{Breach, Violation, told::Both},
    wording,
};

/// A revision of a guarantee.
#[derive(Debug, Clone)]
struct Made {
    step: Step,
    /// The certificate, where it is one.
    content: Option<Certificate>,
    ended_on: Option<NaiveDate>,
}

/// A guarantee's revisions, from 新規 on.
#[derive(Debug, Clone)]
pub struct Life {
    made: Vec<Made>,
}

/// Says why stored revisions are no life.
#[derive(Debug, thiserror::Error)]
pub enum LifeError {
    /// A content cannot be read.
    #[error("revision {revision} cannot be read")]
    Unreadable {
        /// Its place in the chain.
        revision: i64,
        /// Why.
        source: serde_json::Error,
    },
    /// The rows do not follow each other.
    #[error("the revisions of the guarantee do not follow each other")]
    Broken,
}

/// A revision that a change makes.
#[derive(Debug, Clone)]
pub struct New {
    /// Its place in the chain.
    pub revision: i64,
    /// What made it.
    pub kind: Kind,
    /// The revision that a correction replaces or a reversal takes back.
    pub target: Option<i64>,
    /// Its content as it is stored.
    pub content: String,
    /// 変更 number of the certificate that is made, taken back or ended.
    pub number: i64,
}

/// What a change does.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Nothing that the guarantee says changes.
    Unchanged,
    /// A revision.
    Made(Box<New>),
}

impl Outcome {
    /// How its sender is told.
    pub fn foreseen(&self) -> ForeseenV1 {
        let Self::Made(new) = self else {
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

/// What is wrong with the version of a change, where others of the guarantee wait or are settled.
pub fn version(asked: i64, waiting: &[i64], settled: &[i64]) -> Option<Violation> {
    let at = |breach: &Breach| Some(Violation::new("$.version", breach));
    if asked < 1 {
        return at(&Breach::VersionNotPositive {});
    }
    if waiting.contains(&asked) || settled.contains(&asked) {
        return at(&Breach::VersionTaken { version: asked });
    }
    match settled.iter().max() {
        Some(latest) if asked < *latest => at(&Breach::VersionOutdated { version: asked, latest: *latest }),
        _ => None,
    }
}

/// How a revision is called: 新規, 変更－n, 変更－n（訂正）, 変更－nの取消 or 解約.
pub fn name(row: &Revision) -> String {
    let number = |content: &str| {
        snapshots::read::<Certificate>(content).map_or(row.revision, |content| content.revision)
    };
    match row.kind {
        Kind::New => wording::revision(0),
        Kind::Amendment => wording::revision(number(&row.content)),
        Kind::Correction => format!("{}（訂正）", wording::revision(number(&row.content))),
        Kind::Reversal => {
            let taken_back =
                snapshots::read::<Reversal>(&row.content).map_or(row.revision, |content| content.revision);
            format!("{}の取消", wording::revision(taken_back))
        }
        Kind::Cancellation => "解約".to_owned(),
    }
}

/// A certificate of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its place in the chain.
    pub revision: i64,
    /// 0 is 新規, n is 変更－n.
    pub number: i64,
    /// Whether a contractor sees it.
    pub visible: bool,
}

impl Life {
    /// Reads the revisions of one guarantee, in the order of the chain.
    pub fn read(rows: &[Revision]) -> Result<Self, LifeError> {
        let mut made = Vec::with_capacity(rows.len());
        for (place, row) in rows.iter().enumerate() {
            let unreadable = |source| LifeError::Unreadable { revision: row.revision, source };
            if usize::try_from(row.revision).ok() != Some(place) {
                return Err(LifeError::Broken);
            }
            let target =
                || row.target.and_then(|target| usize::try_from(target).ok()).ok_or(LifeError::Broken);
            let step = match row.kind {
                Kind::New => Step::New,
                Kind::Amendment => Step::Amendment,
                Kind::Correction => Step::Correction(target()?),
                Kind::Reversal => Step::Reversal(target()?),
                Kind::Cancellation => Step::Cancellation,
            };
            let content = row
                .kind
                .is_certificate()
                .then(|| snapshots::read(&row.content))
                .transpose()
                .map_err(unreadable)?;
            let ended_on = match row.kind {
                Kind::Cancellation => {
                    Some(snapshots::read::<Cancellation>(&row.content).map_err(unreadable)?.cancelled_on)
                }
                _ => None,
            };
            made.push(Made { step, content, ended_on });
        }
        let life = Self { made };
        if life.current().is_none() {
            return Err(LifeError::Broken);
        }
        Ok(life)
    }

    /// The certificates of it, in the order they were made.
    pub fn shown(&self) -> Vec<Shown> {
        let steps: Vec<Step> = self.made.iter().map(|made| made.step).collect();
        let shown = |revision: revisions::Revision| Shown {
            revision: i64::try_from(revision.step).unwrap_or(i64::MAX),
            number: revision.number,
            visible: revision.visible,
        };
        revisions::revisions(&steps).unwrap_or_default().into_iter().map(shown).collect()
    }

    /// The certificate that holds, and its place in the chain.
    pub fn current(&self) -> Option<(i64, &Certificate)> {
        let steps: Vec<Step> = self.made.iter().map(|made| made.step).collect();
        let step = revisions::current(&revisions::revisions(&steps).ok()?)?.step;
        Some((i64::try_from(step).ok()?, self.made[step].content.as_ref()?))
    }

    /// The place in the chain of the certificate that is shown under a 変更 number.
    pub fn target(&self, number: i64) -> Result<i64, Violation> {
        visible(&self.shown(), number)
    }

    /// 解約日 of one that has ended.
    pub fn ended_on(&self) -> Option<NaiveDate> {
        self.made.last().and_then(|made| made.ended_on)
    }

    /// How many revisions there are.
    pub fn len(&self) -> usize {
        self.made.len()
    }

    /// Never: a guarantee begins with one.
    pub fn is_empty(&self) -> bool {
        self.made.is_empty()
    }

    /// Lets a change take effect. `draw_up` writes the certificate of a content under a 変更 number, `today` is the day in Tokyo.
    /// Where the change is impossible, nothing happens.
    pub fn apply<E: From<Violation>>(
        &mut self,
        change: &Change,
        today: NaiveDate,
        draw_up: impl FnOnce(&Application, i64) -> Result<Certificate, E>,
    ) -> Result<Outcome, E> {
        let Some((current, held)) = self.current() else { return Ok(Outcome::Unchanged) };
        if let Some(on) = self.ended_on() {
            return Err(Violation::new(
                "$.guarantee",
                &Breach::GuaranteeEnded { number: held.number.clone(), on },
            )
            .into());
        }
        let shown = self.shown();
        let (step, kind, target, number, certificate, content) = match change {
            Change::Amendment { after } => {
                let number = shown.iter().map(|shown| shown.number).max().unwrap_or_default() + 1;
                let after = draw_up(after, number)?;
                if amendment::effect(held, &after) == Effect::NoReissue {
                    return Ok(Outcome::Unchanged);
                }
                let content = snapshots::canonical(&after);
                (Step::Amendment, Kind::Amendment, None, number, Some(after), content)
            }
            Change::Correction { revision, after, .. } => {
                let target = visible(&shown, *revision)?;
                let mut after = draw_up(after, *revision)?;
                after.corrects = Some(target);
                let place = usize::try_from(target).unwrap_or(usize::MAX);
                let before = self.made.get(place).and_then(|made| made.content.as_ref());
                if before.is_some_and(|before| {
                    amendment::effect(before, &after) == Effect::NoReissue
                        && before.works.contract_price == after.works.contract_price
                }) {
                    return Ok(Outcome::Unchanged);
                }
                let content = snapshots::canonical(&after);
                (Step::Correction(place), Kind::Correction, Some(target), *revision, Some(after), content)
            }
            Change::AmendmentReversal { revision, .. } => {
                let target = visible(&shown, *revision)?;
                if *revision == 0 {
                    return Err(Violation::new("$.revision", &Breach::RevisionNotAnAmendment {}).into());
                }
                let restores = shown
                    .iter()
                    .filter(|shown| shown.visible && shown.revision != target)
                    .max_by_key(|shown| shown.number);
                let content = Reversal {
                    number: held.number.clone(),
                    revision: *revision,
                    reverses: target,
                    restores: restores.map_or(current, |shown| shown.revision),
                    reversed_on: today,
                };
                let place = usize::try_from(target).unwrap_or(usize::MAX);
                (
                    Step::Reversal(place),
                    Kind::Reversal,
                    Some(target),
                    *revision,
                    None,
                    snapshots::canonical(&content),
                )
            }
            Change::Cancellation { cancelled_on, cause, .. } => {
                let issued = self
                    .made
                    .first()
                    .and_then(|made| made.content.as_ref())
                    .map_or(*cancelled_on, |first| first.issued_on);
                if *cancelled_on < issued {
                    return Err(Violation::new(
                        "$.cancelled_on",
                        &Breach::CancelledBeforeIssue { cancelled: *cancelled_on, issued },
                    )
                    .into());
                }
                let number = held.revision;
                let content = Cancellation {
                    cancelled_on: *cancelled_on,
                    cause: *cause,
                    notified_on: today,
                    certificate: held.clone(),
                };
                (Step::Cancellation, Kind::Cancellation, None, number, None, snapshots::canonical(&content))
            }
        };
        let ended_on = match change {
            Change::Cancellation { cancelled_on, .. } => Some(*cancelled_on),
            _ => None,
        };
        let revision = i64::try_from(self.made.len()).unwrap_or(i64::MAX);
        self.made.push(Made { step, content: certificate, ended_on });
        Ok(Outcome::Made(Box::new(New { revision, kind, target, content, number })))
    }
}

/// The place in the chain of the certificate that is shown under a 変更 number.
fn visible(shown: &[Shown], number: i64) -> Result<i64, Violation> {
    let found = shown.iter().find(|shown| shown.visible && shown.number == number);
    found.map(|shown| shown.revision).ok_or_else(|| {
        let mut numbers: Vec<i64> =
            shown.iter().filter(|shown| shown.visible).map(|shown| shown.number).collect();
        numbers.sort_unstable();
        let names: Vec<String> = numbers.into_iter().map(wording::revision).collect();
        let asked = if number < 0 { number.to_string() } else { wording::revision(number) };
        Violation::new(
            "$.revision",
            &Breach::RevisionUnknown { asked, shown: Both { ja: names.join("、"), en: names.join(", ") } },
        )
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use hosho_schema::{
        messages::CancellationCauseV1,
        models::revision::chained_sha256,
        money::Yen,
        snapshots::{Contact, Principal, ProductLine},
    };

    use super::*;
    use crate::domain::certificate::tests::sample;

    fn day(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 12, day).unwrap()
    }

    /// An application for what a certificate says.
    fn application(certificate: &Certificate) -> Application {
        let Principal { joint_venture, company, members } = certificate.principal.clone();
        Application {
            source: "portal".to_owned(),
            id: "c".to_owned(),
            branch: certificate.branch.code.clone(),
            obligee: certificate.obligee.code.clone(),
            works: certificate.works.clone(),
            principal: Principal { joint_venture, company, members },
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

    /// As `application`, with another amount or contract price.
    fn after(amount: i64, price: i64) -> Box<Application> {
        let mut application = application(&sample());
        application.products[0].amount = Yen(application.products[0].amount.0 + amount);
        application.works.contract_price = Yen(application.works.contract_price.0 + price);
        Box::new(application)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape `apply` asks for")]
    fn draw_up(after: &Application, number: i64) -> Result<Certificate, Violation> {
        let mut certificate = sample();
        certificate.revision = number;
        certificate.amount = after.products[0].amount;
        certificate.works = after.works.clone();
        Ok(certificate)
    }

    pub(crate) fn first() -> Life {
        Life::read(&[row(0, Kind::New, None, snapshots::canonical(&sample()))]).unwrap()
    }

    fn row(revision: i64, kind: Kind, target: Option<i64>, content: String) -> Revision {
        Revision {
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

    /// Lets changes take effect; tells the code of the first that cannot.
    pub(crate) fn live(life: &mut Life, changes: &[Change]) -> Result<Vec<Outcome>, &'static str> {
        changes
            .iter()
            .map(|change| life.apply(change, day(24), draw_up).map_err(|violation| violation.code.as_str()))
            .collect()
    }

    #[test]
    fn a_guarantee_lives_and_ends() {
        let mut life = first();
        let base = sample().amount.0;
        let held = |life: &Life| {
            let (place, certificate) = life.current().unwrap();
            (place, certificate.revision, certificate.amount.0 - base)
        };
        for (change, expected) in [
            (amendment(1, 0), (1, 1, 1)),
            (correction(1, 2, 0), (2, 1, 2)),
            (amendment(3, 0), (3, 2, 3)),
            (reversal(2), (2, 1, 2)),
            // 新規 is corrected, and what holds is still 変更－1.
            (correction(0, 5, 0), (2, 1, 2)),
            // The number of what was taken back is not given out again.
            (amendment(9, 0), (6, 3, 9)),
        ] {
            live(&mut life, &[change]).unwrap();
            assert_eq!(held(&life), expected);
        }
        let visible: Vec<i64> =
            life.shown().iter().filter(|shown| shown.visible).map(|shown| shown.number).collect();
        assert_eq!(visible, [1, 0, 3]);
        assert_eq!(life.ended_on(), None);
        live(&mut life, &[cancellation(day(31))]).unwrap();
        assert_eq!((life.ended_on(), held(&life)), (Some(day(31)), (6, 3, 9)));
        assert_eq!(live(&mut life, &[amendment(7, 0)]).unwrap_err(), "guarantee.ended");
    }

    #[test]
    fn the_price_alone_makes_no_amendment_and_a_wrong_price_makes_a_correction() {
        let mut life = first();
        let outcomes = live(&mut life, &[amendment(0, 1), correction(0, 0, 0), correction(0, 0, 1)]).unwrap();
        assert!(matches!(outcomes[..2], [Outcome::Unchanged, Outcome::Unchanged]));
        assert_eq!(outcomes[0].foreseen(), ForeseenV1 { effect: ChangeEffectV1::NoReissue, revision: None });
        assert_eq!(outcomes[2].foreseen(), ForeseenV1 { effect: ChangeEffectV1::Reissue, revision: Some(0) });
    }

    #[test]
    fn what_is_stored_reads_as_it_was() {
        let mut life = first();
        let mut rows = vec![row(0, Kind::New, None, snapshots::canonical(&sample()))];
        for outcome in live(
            &mut life,
            &[amendment(1, 0), correction(1, 2, 0), amendment(3, 0), reversal(2), cancellation(day(31))],
        )
        .unwrap()
        {
            let Outcome::Made(new) = outcome else { panic!("nothing was made") };
            rows.push(row(new.revision, new.kind, new.target, new.content));
        }
        let read = Life::read(&rows).unwrap();
        assert_eq!((read.shown(), read.ended_on(), read.len()), (life.shown(), life.ended_on(), 6));
        rows.remove(1);
        assert!(matches!(Life::read(&rows), Err(LifeError::Broken)));
    }

    #[test]
    fn what_is_impossible_is_told() {
        for (changes, code) in [
            (vec![reversal(0)], "revision.not_an_amendment"),
            (vec![reversal(1)], "revision.unknown"),
            (vec![correction(-1, 1, 0)], "revision.unknown"),
            (vec![amendment(1, 0), reversal(1), correction(1, 1, 0)], "revision.unknown"),
            (vec![cancellation(NaiveDate::from_ymd_opt(2020, 1, 1).unwrap())], "cancelled_on.before_issue"),
        ] {
            assert_eq!(live(&mut first(), &changes).unwrap_err(), code);
        }
    }
}

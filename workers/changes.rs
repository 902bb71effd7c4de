//! Decides changes of guarantees as they come, and stores the decisions, in one transaction; the amend stage's alone.
//!
//! The rules are [`crate::domain::guarantee_history`] and [`crate::domain::change_request`]. What is decided here is what is *foreseen*: the
//! change takes effect later, when the [reissue stage](crate::stages::reissue) comes to its guarantee. Two things hold from now on all
//! the same: its version is given out, and what it engages for its works is engaged, so that two changes and applications for the same
//! works that come at the same time cannot both slip through.
//!
//! Locks, always in this order: the works before and after the changes, in one pass; then the guarantees.

use std::collections::{HashMap, HashSet};

use chrono::{NaiveDate, NaiveDateTime};
use hosho_schema::{
    db::{Connection, DbError},
    ids,
    messages::{ChangeKindV1, ProductV1, ViolationV1},
    models::{
        application,
        certificate::{self, Certificate as Revision},
        change::{self, Change as Row, State},
        guarantee::{self, Guarantee},
        works::{self, Commitment, OpenCommitment},
    },
    snapshots::{self, Application, Change},
};

use crate::{
    assembly::Data,
    decisions,
    domain::{
        amendment,
        application::RuleContext,
        change_request::{self, ChangeRequest, ChangeTarget, JudgedChange},
        guarantee_history::{AppliedChange, GuaranteeHistory, check_version},
        number::GuaranteeNumber,
        violation::{Breach, Violation},
    },
    issuance,
    stage::{Fault, Reason},
    stages::unreadable,
};

/// A change that came, still to be decided.
#[derive(Clone)]
pub struct Candidate {
    /// Our identifier of the change.
    pub id: String,
    /// `source` of the message.
    pub source: String,
    /// The upstream's own id.
    pub upstream_id: String,
    /// Hash of the content.
    pub payload_sha256: String,
    /// What it is.
    pub kind: ChangeKindV1,
    /// Its trace.
    pub traceparent: String,
    /// When it came (UTC).
    pub at: NaiveDateTime,
    /// The message, or why the payload is none.
    pub content: Result<Box<ChangeRequest>, Vec<Violation>>,
}

impl Candidate {
    /// 保証契約番号, where it can be read.
    pub fn number(&self) -> Option<String> {
        self.content.as_ref().ok()?.number().ok()
    }
}

/// The guarantee of a change as it is known before anything is locked: what never changes.
#[derive(Clone)]
pub struct Known {
    guarantee: Guarantee,
    application: Application,
}

/// Reads the guarantees of changes that may be changed by those who ask. A row that cannot be read is the fault of that change alone.
pub fn known(
    db: &mut Connection,
    candidates: &[&Candidate],
) -> Result<Vec<Result<Option<Known>, Fault>>, DbError> {
    let numbers: Vec<Option<String>> = candidates.iter().map(|candidate| candidate.number()).collect();
    let asked: Vec<&str> = numbers.iter().flatten().map(String::as_str).collect();
    let mut found = guarantee::by_numbers(db, &asked)?.into_iter();
    let guarantees: Vec<Option<Guarantee>> =
        numbers.iter().map(|number| number.as_ref().and_then(|_| found.next()).flatten()).collect();
    let of: Vec<&str> =
        guarantees.iter().flatten().map(|guarantee| guarantee.application_id.as_str()).collect();
    let mut applications = application::by_ids(db, &of)?.into_iter();
    Ok(candidates
        .iter()
        .zip(guarantees)
        .map(|(candidate, guarantee)| {
            let Some(guarantee) = guarantee else { return Ok(None) };
            let Some(row) = applications.next().flatten() else { return Ok(None) };
            // Nobody else is told its number, nor that there is one.
            let Some(snapshot) = row.snapshot.filter(|_| row.source == candidate.source) else {
                return Ok(None);
            };
            let application =
                snapshots::read(&snapshot).map_err(|error| unreadable("application", &error))?;
            Ok(Some(Known { guarantee, application }))
        })
        .collect())
}

/// A change judged by itself.
pub struct Case {
    candidate: Candidate,
    known: Option<Known>,
    judged: Option<JudgedChange>,
    /// Identifier of the works after it, where they could be read.
    works: Option<String>,
}

impl Known {
    fn subject(&self) -> Option<ChangeTarget<'_>> {
        let line = change_request::product_line(&self.application, self.guarantee.line)?;
        Some(ChangeTarget { branch: &self.application.branch, obligee: &self.application.obligee, line })
    }
}

/// Judges a change by itself.
pub fn judge(candidate: Candidate, known: Option<Known>, facts: &RuleContext<'_>) -> Result<Case, Fault> {
    let judged = match (&candidate.content, known.as_ref().and_then(Known::subject)) {
        (Ok(wire), Some(subject)) => Some(change_request::judge(wire, &subject, facts)),
        _ => None,
    };
    if let Some(what) = judged.as_ref().and_then(JudgedChange::missing_configuration) {
        return Err(Fault::new(Reason::DataMissing, format!("the {what} of a guarantee is not configured")));
    }
    let works = judged.as_ref().and_then(JudgedChange::works_key).map(|key| ids::works(&key));
    Ok(Case { candidate, known, judged, works })
}

/// What is known under the locks, kept up to date from one change of the batch to the next.
struct Ledger<'a> {
    data: &'a Data,
    facts: &'a RuleContext<'a>,
    today: NaiveDate,
    revisions: HashMap<String, Vec<Revision>>,
    changes: HashMap<String, Vec<Row>>,
    engaged: HashMap<String, Vec<OpenCommitment>>,
    own: HashMap<(String, i64), Commitment>,
}

/// Decides changes in their order and stores the decisions; must run in a transaction, before anything else of it takes a lock.
/// Returns which were decided here, and what kept others from it.
pub fn store(
    db: &mut Connection,
    cases: &[&Case],
    data: &Data,
    facts: &RuleContext<'_>,
) -> Result<(HashSet<String>, HashMap<String, Fault>), Fault> {
    let lines: Vec<(&str, i64)> = cases
        .iter()
        .filter_map(|case| case.known.as_ref())
        .map(|known| (known.guarantee.application_id.as_str(), known.guarantee.line))
        .collect();
    let before = works::of_lines(db, &lines)?;
    let mut works_ids: Vec<&str> = cases.iter().filter_map(|case| case.works.as_deref()).collect();
    works_ids.extend(before.iter().flatten().map(|commitment| commitment.works_id.as_str()));
    works::lock(db, &works_ids)?;
    let guarantees: Vec<&str> = cases
        .iter()
        .filter_map(|case| case.known.as_ref())
        .map(|known| known.guarantee.id.as_str())
        .collect();
    guarantee::lock(db, &guarantees)?;
    let own = works::of_lines(db, &lines)?;
    if own.iter().flatten().any(|commitment| !works_ids.contains(&commitment.works_id.as_str())) {
        return Err(Fault::new(
            Reason::DatabaseContention,
            "the works of a guarantee were changed while they were being locked",
        ));
    }
    let ids: Vec<&str> = cases.iter().map(|case| case.candidate.id.as_str()).collect();
    let stored = change::by_ids(db, &ids)?;
    let named = |rows: Vec<Vec<Revision>>| guarantees.iter().map(|id| (*id).to_owned()).zip(rows).collect();
    let revisions = named(certificate::by_guarantees(db, &guarantees)?);
    let changes =
        guarantees.iter().map(|id| (*id).to_owned()).zip(change::accepted(db, &guarantees)?).collect();
    let engaged = works::engaged(db, &works_ids)?;
    let own = own
        .into_iter()
        .flatten()
        .map(|commitment| ((commitment.application_id.clone(), commitment.line), commitment))
        .collect();
    let mut ledger = Ledger { data, facts, today: facts.received_on, revisions, changes, engaged, own };

    let (mut rows, mut fresh, mut faults) = (Vec::new(), HashSet::new(), HashMap::new());
    let (mut moved, mut ends) = (HashMap::new(), Vec::new());
    for (case, known) in cases.iter().zip(stored) {
        if known.is_some() || fresh.contains(&case.candidate.id) {
            continue;
        }
        match ledger.decide(case) {
            Ok(decided) => {
                fresh.insert(case.candidate.id.clone());
                if let Some(commitment) = decided.engages {
                    moved.insert((commitment.application_id.clone(), commitment.line), commitment);
                }
                ends.extend(decided.ends);
                rows.push(decided.row);
            }
            Err(fault) => {
                faults.insert(case.candidate.id.clone(), fault);
            }
        }
    }
    change::insert_missing(db, &rows)?;
    works::recommit(db, &moved.into_values().collect::<Vec<_>>())?;
    if let Some(at) = cases.first().map(|case| case.candidate.at) {
        let ends: Vec<(&str, i64)> =
            ends.iter().map(|(application, line): &(String, i64)| (application.as_str(), *line)).collect();
        works::end(db, &ends, at)?;
    }
    Ok((fresh, faults))
}

/// A decision.
struct Decided {
    row: Row,
    engages: Option<Commitment>,
    ends: Option<(String, i64)>,
}

/// What can go wrong while a change is tried: it is impossible, or we are at fault.
enum Trouble {
    Violation(Violation),
    Fault(Fault),
}

impl From<Violation> for Trouble {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl Ledger<'_> {
    fn decide(&mut self, case: &Case) -> Result<Decided, Fault> {
        let candidate = &case.candidate;
        let wire = match &candidate.content {
            Ok(wire) => wire,
            Err(violations) => return Ok(rejected(candidate, None, violations.clone(), "[]".to_owned())),
        };
        if let Err(violation) = wire.number() {
            return Ok(rejected(candidate, None, vec![violation], "[]".to_owned()));
        }
        let number = candidate.number();
        let unknown = || {
            Violation::new(
                "$.guarantee",
                &Breach::GuaranteeUnknown { given: number.clone().unwrap_or_default() },
            )
        };
        let (Some(known), Some(judged)) = (&case.known, &case.judged) else {
            return Ok(rejected(candidate, None, vec![unknown()], "[]".to_owned()));
        };
        let id = &known.guarantee.id;
        let revisions = self.revisions.get(id).cloned().unwrap_or_default();
        if revisions.first().is_none_or(|first| first.arrived_at.is_none()) {
            return Ok(rejected(candidate, None, vec![unknown()], "[]".to_owned()));
        }
        let mut judged = judged.clone();
        self.against_others(case, known, &mut judged);
        let accepted = self.changes.entry(id.clone()).or_default().clone();
        let versions = |waiting: bool| -> Vec<i64> {
            accepted
                .iter()
                .filter(|row| (row.state == State::Pending) == waiting)
                .filter_map(|row| row.version)
                .collect()
        };
        if let Some(violation) = check_version(wire.version(), &versions(true), &versions(false)) {
            judged.add_violation(violation);
        }
        let mut life = GuaranteeHistory::read(&revisions)
            .map_err(|error| Fault::from_error(Reason::SnapshotUnreadable, &error))?;
        if let (Some((_, held)), Some(after)) = (life.current(), wire.after())
            && let Some(breach) = amendment::check_medium(held, after.product.medium)
        {
            judged.add_violation(Violation::new("$.after.product.medium", &breach));
        }
        // What waits and goes before it; what turns out impossible will be told when its turn comes.
        let waiting = |row: &&Row| row.state == State::Pending;
        for row in accepted.iter().filter(waiting).filter(|row| row.version < Some(wire.version())) {
            self.try_out(&mut life, known, row)?;
        }
        let foreseen = match judged.accepted().cloned() {
            None => {
                // Whether it could take effect is told with the rest.
                if let Some(violation) = impossible(&life, wire) {
                    judged.add_violation(violation);
                }
                None
            }
            Some(change) => match self.apply(&mut life, known, &change) {
                Ok(outcome) => Some((change, outcome.foreseen())),
                Err(Trouble::Violation(violation)) => {
                    judged.add_violation(violation);
                    None
                }
                Err(Trouble::Fault(fault)) => return Err(fault),
            },
        };
        let (violations, calculations) = judged.findings();
        let calculations = snapshots::canonical(&calculations);
        let Some((change, foreseen)) = foreseen else {
            return Ok(rejected(candidate, Some(known), violations, calculations));
        };
        let row = Row {
            state: State::Pending,
            snapshot: Some(snapshots::canonical(&change)),
            foreseen: Some(snapshots::canonical(&foreseen)),
            version: Some(wire.version()),
            urgent: wire.urgent(),
            calculations,
            ..row(candidate, Some(known))
        };
        for row in accepted.iter().filter(waiting).filter(|row| row.version > Some(wire.version())) {
            self.try_out(&mut life, known, row)?;
        }
        let changes = self.changes.entry(id.clone()).or_default();
        let place = changes.partition_point(|other| other.version < row.version);
        changes.insert(place, row.clone());
        let (engages, ends) = self.engage(known, &life);
        Ok(Decided { row, engages, ends })
    }

    /// Judges it against what others engaged for the same works.
    fn against_others(&self, case: &Case, known: &Known, judged: &mut JudgedChange) {
        let (Some(works), Ok(wire), Some(subject)) = (&case.works, &case.candidate.content, known.subject())
        else {
            return;
        };
        let own = |engaged: &&OpenCommitment| {
            engaged.commitment.application_id == known.guarantee.application_id
                && engaged.commitment.line == known.guarantee.line
        };
        let others: Vec<_> = self
            .engaged
            .get(works)
            .into_iter()
            .flatten()
            .filter(|engaged| !own(engaged))
            .map(decisions::known)
            .collect();
        let asked = judged.commitment();
        if let Some(content) = judged.content() {
            content.check_against(&others);
        }
        let interim = others.iter().find(|other| {
            other.commitment.product == ProductV1::InterimAdvancePayment
                && asked.as_ref().is_some_and(|asked| {
                    asked.product == ProductV1::AdvancePayment && asked.year == other.commitment.year
                })
        });
        let total = interim.and_then(|interim| {
            change_request::check_total_with_interim(wire, &subject, interim.commitment.amount, self.facts)
        });
        if let (Some(finding), Some(content)) = (total, judged.content()) {
            content.add(finding);
        }
    }

    fn apply(
        &self,
        life: &mut GuaranteeHistory,
        known: &Known,
        change: &Change,
    ) -> Result<AppliedChange, Trouble> {
        life.apply(change, self.today, |after, revision| {
            draw_up(self.data, &known.guarantee, after, revision, self.today).map_err(Trouble::Fault)
        })
    }

    /// Lets a change that waits take effect, as far as it can.
    fn try_out(&self, life: &mut GuaranteeHistory, known: &Known, row: &Row) -> Result<(), Fault> {
        let change: Change = snapshots::read(row.snapshot.as_deref().unwrap_or_default())
            .map_err(|error| unreadable("change", &error))?;
        match self.apply(life, known, &change) {
            Ok(_) | Err(Trouble::Violation(_)) => Ok(()),
            Err(Trouble::Fault(fault)) => Err(fault),
        }
    }

    /// What the guarantee engages once all that waits has taken effect, where that differs from what it does now; or that it ends.
    fn engage(
        &mut self,
        known: &Known,
        life: &GuaranteeHistory,
    ) -> (Option<Commitment>, Option<(String, i64)>) {
        let key = (known.guarantee.application_id.clone(), known.guarantee.line);
        let Some(now) = self.own.get(&key).cloned() else { return (None, None) };
        let forget = |engaged: &mut HashMap<String, Vec<OpenCommitment>>| {
            let mut gone = None;
            for others in engaged.values_mut() {
                let own = |engaged: &OpenCommitment| {
                    (engaged.commitment.application_id.as_str(), engaged.commitment.line)
                        == (key.0.as_str(), key.1)
                };
                if let Some(at) = others.iter().position(own) {
                    gone = Some(others.remove(at));
                }
            }
            gone
        };
        if life.ended_on().is_some() {
            forget(&mut self.engaged);
            self.own.remove(&key);
            return (None, Some(key));
        }
        let Some((_, held)) = life.current() else { return (None, None) };
        let (name, commitment) = crate::domain::commitment::of_certificate(held);
        let works_id = ids::works(&name);
        let then = Commitment {
            works_id: works_id.clone(),
            works_number: commitment.works_number,
            fiscal_year: i64::from(commitment.year),
            amount: commitment.amount.0,
            base: commitment.base,
            low_price: commitment.low_price,
            ..now.clone()
        };
        if then == now {
            return (None, None);
        }
        if let Some(engaged) = forget(&mut self.engaged) {
            self.engaged
                .entry(works_id)
                .or_default()
                .push(OpenCommitment { commitment: then.clone(), ..engaged });
        }
        self.own.insert(key, then.clone());
        (Some(then), None)
    }
}

/// Draws up the certificate after a change; `revision` is its 変更 number.
pub fn draw_up(
    data: &Data,
    guarantee: &Guarantee,
    after: &Application,
    revision: i64,
    today: NaiveDate,
) -> Result<snapshots::Certificate, Fault> {
    let number = GuaranteeNumber::parse(&guarantee.number)
        .map_err(|error| Fault::from_error(Reason::SnapshotUnreadable, &error))?;
    issuance::draw_up(data, after, 0, &number, revision, today)
}

/// What makes a change impossible that is wrong in other ways too.
fn impossible(life: &GuaranteeHistory, wire: &ChangeRequest) -> Option<Violation> {
    let (_, held) = life.current()?;
    let on = life.ended_on();
    on.map(|on| Violation::new("$.guarantee", &Breach::GuaranteeEnded { number: held.number.clone(), on }))
        .or_else(|| match wire {
            ChangeRequest::Correction(message) => life.find_visible(message.revision).err(),
            ChangeRequest::AmendmentReversal(message) => life.find_visible(message.revision).err(),
            ChangeRequest::Amendment(_) | ChangeRequest::Cancellation(_) => None,
        })
}

fn row(candidate: &Candidate, known: Option<&Known>) -> Row {
    Row {
        id: candidate.id.clone(),
        source: candidate.source.clone(),
        upstream_id: candidate.upstream_id.clone(),
        payload_sha256: candidate.payload_sha256.clone(),
        kind: candidate.kind,
        number: candidate.number(),
        guarantee_id: known.map(|known| known.guarantee.id.clone()),
        version: None,
        urgent: false,
        state: State::Rejected,
        snapshot: None,
        foreseen: None,
        violations: None,
        calculations: "[]".to_owned(),
        traceparent: Some(candidate.traceparent.clone()),
        received_at: candidate.at,
        settled_at: None,
        revision: None,
    }
}

fn rejected(
    candidate: &Candidate,
    known: Option<&Known>,
    violations: Vec<Violation>,
    calculations: String,
) -> Decided {
    let violations: Vec<ViolationV1> = violations.into_iter().map(ViolationV1::from).collect();
    let row =
        Row { violations: Some(snapshots::canonical(&violations)), calculations, ..row(candidate, known) };
    Decided { row, engages: None, ends: None }
}

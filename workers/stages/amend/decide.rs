//! Decides changes on receipt, and stores the decisions in one transaction.
//!
//! The rules are [`crate::domain::guarantee_history`] and [`crate::domain::change_request`]. The decision is
//! a *forecast*: the change takes effect later, when the [reissue stage](crate::stages::reissue) processes
//! its guarantee. Two effects are immediate: its version is taken, and its commitment for the works is
//! stored, so that two simultaneous changes or applications for the same works cannot both pass.
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
        change::{self, State},
        guarantee::{self, Guarantee},
        revision::{self, Revision},
        works::{self, Commitment, OpenCommitment},
    },
    snapshots::{self, Application, Change},
};

use crate::{
    domain::{
        amendment,
        application::RuleContext,
        change_request::{self, ChangeRequest, ChangeTarget, JudgedChange},
        guarantee_history::{AppliedChange, GuaranteeHistory, check_version},
        number::GuaranteeNumber,
        violation::{Breach, Violation},
    },
    fault::{Fault, Reason, Result},
    reference,
    reference::ReferenceData,
    stages::validate::decide::{self, UpstreamMessage},
};

pub(super) type Content = Result<Box<ChangeRequest>, Vec<Violation>>;

/// A payload that names its sender.
#[derive(Clone)]
pub struct Received {
    pub(super) message: UpstreamMessage,
    pub(super) kind: ChangeKindV1,
    pub(super) content: Content,
}

#[derive(Clone)]
pub struct Candidate {
    pub(super) received: Received,
    pub(super) traceparent: String,
    /// Time of receipt (UTC).
    pub(super) at: NaiveDateTime,
}

impl Candidate {
    /// 保証契約番号, where it can be read.
    fn number(&self) -> Option<String> {
        self.received.content.as_ref().ok()?.number().ok()
    }
}

/// The columns of a guarantee that never change, read before any lock.
#[derive(Clone)]
pub struct Known {
    guarantee: Guarantee,
    application: Application,
}

/// Reads the guarantees that the senders of these changes may change.
/// An unreadable row is the fault of that change alone.
pub fn known(db: &mut Connection, candidates: &[&Candidate]) -> Result<Vec<Result<Option<Known>>>, DbError> {
    let numbers: Vec<Option<String>> = candidates.iter().map(|candidate| candidate.number()).collect();
    let known: Vec<&str> = numbers.iter().flatten().map(String::as_str).collect();
    let guarantees: HashMap<&str, Guarantee> = known
        .iter()
        .zip(guarantee::by_numbers(db, &known)?)
        .filter_map(|(number, guarantee)| Some((*number, guarantee?)))
        .collect();
    let of: Vec<&str> = guarantees.values().map(|guarantee| guarantee.application_id.as_str()).collect();
    let applications: HashMap<String, application::Application> =
        application::by_ids(db, &of)?.into_iter().flatten().map(|row| (row.id.clone(), row)).collect();
    let known = |candidate: &Candidate, number: Option<&String>| {
        let Some(guarantee) = number.and_then(|number| guarantees.get(number.as_str())) else {
            return Ok(None);
        };
        let Some(row) = applications.get(&guarantee.application_id) else { return Ok(None) };
        // Other senders get neither its number nor its existence.
        let Some(snapshot) =
            row.snapshot.as_ref().filter(|_| row.source == candidate.received.message.source)
        else {
            return Ok(None);
        };
        let application =
            snapshots::read(snapshot).map_err(|error| Fault::unreadable("application", &error))?;
        Ok(Some(Known { guarantee: guarantee.clone(), application }))
    };
    Ok(candidates.iter().zip(&numbers).map(|(candidate, number)| known(candidate, number.as_ref())).collect())
}

pub struct Case {
    candidate: Candidate,
    known: Option<Known>,
    judged: Option<JudgedChange>,
    /// Identifier of the works after the change, if they are readable.
    works: Option<String>,
}

impl Known {
    fn target(&self) -> Option<ChangeTarget<'_>> {
        let Application { branch, obligee, .. } = &self.application;
        let line = change_request::product_line(&self.application, self.guarantee.line)?;
        Some(ChangeTarget { branch, obligee, line })
    }
}

pub fn judge(
    candidate: Candidate,
    known: Option<Known>,
    data: &ReferenceData,
    rules: &RuleContext<'_>,
) -> Result<Case> {
    let judged = match (&candidate.received.content, known.as_ref().and_then(Known::target)) {
        (Ok(wire), Some(target)) => Some(change_request::judge(wire, &target, rules)),
        _ => None,
    };
    if let Some(what) = judged.as_ref().and_then(JudgedChange::missing_configuration) {
        let text = format!("the {what} of a guarantee is not configured {}", data.place());
        return Err(Fault::new(Reason::DataMissing, text));
    }
    let works = judged.as_ref().and_then(JudgedChange::works_key).map(|key| ids::works(&key));
    Ok(Case { candidate, known, judged, works })
}

/// The rows read under the locks, updated with each decided change of the batch.
struct Ledger<'a> {
    data: &'a ReferenceData,
    rules: &'a RuleContext<'a>,
    today: NaiveDate,
    revisions: HashMap<String, Vec<Revision>>,
    changes: HashMap<String, Vec<change::Change>>,
    open: HashMap<String, Vec<OpenCommitment>>,
    own: HashMap<(String, i64), Commitment>,
}

/// Decides changes in their order and stores the decisions.
/// Must run in a transaction, before its first lock. Returns the ids decided here, and the faults of the
/// others.
pub fn store(
    db: &mut Connection,
    cases: &[&Case],
    data: &ReferenceData,
    rules: &RuleContext<'_>,
) -> Result<(HashSet<String>, HashMap<String, Fault>)> {
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
    let ids: Vec<&str> = cases.iter().map(|case| case.candidate.received.message.id.as_str()).collect();
    let stored = change::by_ids(db, &ids)?;
    let named = |rows: Vec<Vec<Revision>>| guarantees.iter().map(|id| (*id).to_owned()).zip(rows).collect();
    let revisions = named(revision::by_guarantees(db, &guarantees)?);
    let changes =
        guarantees.iter().map(|id| (*id).to_owned()).zip(change::accepted(db, &guarantees)?).collect();
    let open = works::commitments(db, &works_ids)?;
    let own = own
        .into_iter()
        .flatten()
        .map(|commitment| ((commitment.application_id.clone(), commitment.line), commitment))
        .collect();
    let mut ledger = Ledger { data, rules, today: rules.received_on, revisions, changes, open, own };

    let (mut rows, mut fresh, mut faults) = (Vec::new(), HashSet::new(), HashMap::new());
    let (mut moved, mut ends) = (HashMap::new(), Vec::new());
    for (case, known) in cases.iter().zip(stored) {
        if known.is_some() || fresh.contains(&case.candidate.received.message.id) {
            continue;
        }
        match ledger.decide(case) {
            Ok(decided) => {
                fresh.insert(case.candidate.received.message.id.clone());
                match decided.works {
                    WorksChange::None => {}
                    WorksChange::Moved(commitment) => {
                        moved.insert((commitment.application_id.clone(), commitment.line), commitment);
                    }
                    WorksChange::Ended { application_id, line } => ends.push((application_id, line)),
                }
                rows.push(decided.row);
            }
            Err(fault) => {
                faults.insert(case.candidate.received.message.id.clone(), fault);
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

struct Decided {
    row: change::Change,
    works: WorksChange,
}

/// How a change moves the commitment of its guarantee.
enum WorksChange {
    None,
    Moved(Commitment),
    Ended { application_id: String, line: i64 },
}

/// Why a change was not applied: it is impossible, or we are at fault.
pub enum ApplyError {
    Violation(Violation),
    Fault(Fault),
}

impl From<Violation> for ApplyError {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl Ledger<'_> {
    fn decide(&mut self, case: &Case) -> Result<Decided> {
        let candidate = &case.candidate;
        let wire = match &candidate.received.content {
            Ok(wire) => wire,
            Err(violations) => return Ok(rejected(candidate, None, violations.clone(), "[]".to_owned())),
        };
        if let Err(violation) = wire.number() {
            return Ok(rejected(candidate, None, vec![violation], "[]".to_owned()));
        }
        let unknown = || {
            let given = candidate.number().unwrap_or_default();
            Violation::new("$.guarantee", &Breach::GuaranteeUnknown { given })
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
        let mut history = GuaranteeHistory::read(&revisions)
            .map_err(|error| Fault::from_error(Reason::SnapshotUnreadable, &error))?;
        if let (Some((_, held)), Some(after)) = (history.current(), wire.after())
            && let Some(breach) = amendment::check_medium(held, after.product.medium)
        {
            judged.add_violation(Violation::new("$.after.product.medium", &breach));
        }
        // Pending changes before this one; an impossible one is reported when it is due.
        let waiting = |row: &&change::Change| row.state == State::Pending;
        for row in accepted.iter().filter(waiting).filter(|row| row.version < Some(wire.version())) {
            self.apply_pending(&mut history, known, row)?;
        }
        let foreseen = match judged.accepted().cloned() {
            None => {
                // Reports also whether it could take effect.
                if let Some(violation) = impossible(&history, wire) {
                    judged.add_violation(violation);
                }
                None
            }
            Some(change) => match self.apply(&mut history, known, &change) {
                Ok(outcome) => Some((change, outcome.foreseen())),
                Err(ApplyError::Violation(violation)) => {
                    judged.add_violation(violation);
                    None
                }
                Err(ApplyError::Fault(fault)) => return Err(fault),
            },
        };
        let (violations, calculations) = judged.findings();
        let calculations = snapshots::canonical(&calculations);
        let Some((change, foreseen)) = foreseen else {
            return Ok(rejected(candidate, Some(known), violations, calculations));
        };
        let row = change::Change {
            state: State::Pending,
            snapshot: Some(snapshots::canonical(&change)),
            foreseen: Some(snapshots::canonical(&foreseen)),
            version: Some(wire.version()),
            urgent: wire.urgent(),
            calculations,
            ..row(candidate, Some(known))
        };
        for row in accepted.iter().filter(waiting).filter(|row| row.version > Some(wire.version())) {
            self.apply_pending(&mut history, known, row)?;
        }
        let changes = self.changes.entry(id.clone()).or_default();
        let place = changes.partition_point(|other| other.version < row.version);
        changes.insert(place, row.clone());
        let works = self.recommit(known, &history);
        Ok(Decided { row, works })
    }

    /// Judges the change against commitments of others for the same works.
    fn against_others(&self, case: &Case, known: &Known, judged: &mut JudgedChange) {
        let (Some(works), Ok(wire), Some(target)) =
            (&case.works, &case.candidate.received.content, known.target())
        else {
            return;
        };
        let is_other = |open: &&OpenCommitment| {
            open.commitment.application_id != known.guarantee.application_id
                || open.commitment.line != known.guarantee.line
        };
        let open = self.open.get(works).into_iter().flatten();
        let others: Vec<_> = open.filter(is_other).map(decide::known).collect();
        let own = judged.commitment();
        if let Some(content) = judged.content() {
            content.check_against(&others);
        }
        let interim = others.iter().find(|other| {
            other.commitment.product == ProductV1::InterimAdvancePayment
                && own.as_ref().is_some_and(|own| {
                    own.product == ProductV1::AdvancePayment && own.year == other.commitment.year
                })
        });
        let total = interim.and_then(|interim| {
            change_request::check_total_with_interim(wire, &target, interim.commitment.amount, self.rules)
        });
        if let (Some(finding), Some(content)) = (total, judged.content()) {
            content.add(finding);
        }
    }

    fn apply(
        &self,
        history: &mut GuaranteeHistory,
        known: &Known,
        change: &Change,
    ) -> Result<AppliedChange, ApplyError> {
        history.apply(change, self.today, |after, revision| {
            build_certificate(self.data, &known.guarantee, after, revision, self.today)
                .map_err(ApplyError::Fault)
        })
    }

    fn apply_pending(
        &self,
        history: &mut GuaranteeHistory,
        known: &Known,
        row: &change::Change,
    ) -> Result<()> {
        let change: Change = snapshots::read(row.snapshot.as_deref().unwrap_or_default())
            .map_err(|error| Fault::unreadable("change", &error))?;
        match self.apply(history, known, &change) {
            Ok(_) | Err(ApplyError::Violation(_)) => Ok(()),
            Err(ApplyError::Fault(fault)) => Err(fault),
        }
    }

    /// The guarantee's commitment after all pending changes, or its end.
    /// Returned only if it differs from the present one.
    fn recommit(&mut self, known: &Known, history: &GuaranteeHistory) -> WorksChange {
        let key = (known.guarantee.application_id.clone(), known.guarantee.line);
        let Some(now) = self.own.get(&key).cloned() else { return WorksChange::None };
        let is_own = |open: &OpenCommitment| {
            (open.commitment.application_id.as_str(), open.commitment.line) == (key.0.as_str(), key.1)
        };
        let remove = |open: &mut HashMap<String, Vec<OpenCommitment>>| {
            open.values_mut().find_map(|all| Some(all.remove(all.iter().position(is_own)?)))
        };
        if history.ended_on().is_some() {
            remove(&mut self.open);
            self.own.remove(&key);
            let (application_id, line) = key;
            return WorksChange::Ended { application_id, line };
        }
        let Some((_, held)) = history.current() else { return WorksChange::None };
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
            return WorksChange::None;
        }
        if let Some(open) = remove(&mut self.open) {
            let moved = OpenCommitment { commitment: then.clone(), ..open };
            self.open.entry(works_id).or_default().push(moved);
        }
        self.own.insert(key, then.clone());
        WorksChange::Moved(then)
    }
}

/// The certificate after a change; `revision` is its 変更 number.
pub fn build_certificate(
    data: &ReferenceData,
    guarantee: &Guarantee,
    after: &Application,
    revision: i64,
    today: NaiveDate,
) -> Result<snapshots::Certificate> {
    let number = GuaranteeNumber::parse(&guarantee.number)
        .map_err(|error| Fault::from_error(Reason::SnapshotUnreadable, &error))?;
    reference::certificate::build(data, after, 0, &number, revision, today)
}

/// Why a change is impossible that has other violations too.
fn impossible(history: &GuaranteeHistory, wire: &ChangeRequest) -> Option<Violation> {
    let (_, held) = history.current()?;
    let on = history.ended_on();
    on.map(|on| Violation::new("$.guarantee", &Breach::GuaranteeEnded { number: held.number.clone(), on }))
        .or_else(|| match wire {
            ChangeRequest::Correction(message) => history.find_visible(message.revision).err(),
            ChangeRequest::AmendmentReversal(message) => history.find_visible(message.revision).err(),
            ChangeRequest::Amendment(_) | ChangeRequest::Cancellation(_) => None,
        })
}

fn row(candidate: &Candidate, known: Option<&Known>) -> change::Change {
    change::Change {
        id: candidate.received.message.id.clone(),
        source: candidate.received.message.source.clone(),
        upstream_id: candidate.received.message.upstream_id.clone(),
        payload_sha256: candidate.received.message.sha256.clone(),
        kind: candidate.received.kind,
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
    let row = change::Change {
        violations: Some(snapshots::canonical(&violations)),
        calculations,
        ..row(candidate, known)
    };
    Decided { row, works: WorksChange::None }
}

//! reissue: what waits for a guarantee takes effect.
//!
//! In: [`ReissueV1`], from the nightly batch, an operator's run, or the [amend stage](super::amend) for an urgent change. Out:
//! [`MintV1`](hosho_schema::messages::MintV1) for each revision that is made, which goes the way of every certificate from there; where
//! nothing waits and a run asks for it, [`RenderV1`](hosho_schema::messages::RenderV1) for the documents of the certificate that holds.
//!
//! Changes take effect in the order of their versions: by a run all that wait, by an urgent one all up to it. Each makes one revision,
//! chained to the one before it; one that turns out to change nothing, or to be impossible, is settled as such and told.
//!
//! Safe to run twice: a change is settled in the transaction that inserts its revision. A second run finds nothing waiting, and asks
//! again for every revision that is not complete.

use std::{collections::HashSet, sync::Arc};

use hosho_schema::{
    db::Connection,
    ids,
    messages::{ChangeEffectV1, ForeseenV1, ReissueV1, ViolationV1},
    models::{
        certificate::{self, Certificate as Revision, chained_sha256},
        chain_head::{self, ChainHead},
        change::{self, Change as Row, Settlement, State},
        guarantee::{self, Guarantee, Standing},
        run_item::{self, Made, Outcome as ItemOutcome},
    },
    snapshots::{self, Change},
};
use tracing::info;

use super::{amend, mint, missing, render, unreadable};
use crate::{
    assembly::{Data, Services},
    broker::Outgoing,
    changes,
    clock::Clock,
    domain::{
        guarantee_history::{AppliedChange, GuaranteeHistory},
        violation::Violation,
        wareki,
    },
    keys::KeyRing,
    stage::{Fault, Item, Reason, Stage, Verdicts},
};

/// The wire name.
pub const NAME: &str = "reissue";

/// The stage.
pub struct Reissue {
    clock: Clock,
    data: Arc<Data>,
    keys: Arc<KeyRing>,
}

/// A guarantee and what waits for it.
pub struct Facts {
    guarantee: Guarantee,
    revisions: Vec<Revision>,
    pending: Vec<Row>,
}

/// What becomes of a guarantee.
#[derive(Clone)]
pub struct Outcome {
    /// Of the facts it follows from: how many revisions there were, and which changes waited. It holds as long as they do.
    seen: (usize, Vec<String>),
    made: Vec<Revision>,
    settlements: Vec<Settlement>,
    head: Option<ChainHead>,
    standing: Option<Standing>,
    /// What is told of changes that came to nothing.
    events: Vec<Outgoing>,
    /// Every revision that is not complete, the new ones too.
    incomplete: Vec<i64>,
    /// The certificate that holds.
    current: i64,
    /// Our identifier of the application.
    application: String,
}

impl Reissue {
    pub(super) fn new(services: &Services) -> Self {
        Self {
            clock: services.clock.clone(),
            data: Arc::clone(&services.data),
            keys: Arc::clone(&services.keys),
        }
    }
}

/// The message that asks for what waits up to an urgent change.
pub(super) fn urgent<J>(item: &Item<J>, guarantee: &str, change: &str) -> Outgoing {
    item.successor(NAME, change, &ReissueV1 { guarantee: guarantee.to_owned(), run: None, redraw: false })
}

/// The business key of the message that a run sends for a guarantee.
pub(crate) fn key(run: &str, guarantee: &str) -> String {
    format!("{run}:{guarantee}")
}

/// AMQP `message_id` of that message.
pub(crate) fn message_id(run: &str, guarantee: &str) -> String {
    ids::message(NAME, &key(run, guarantee))
}

impl Stage for Reissue {
    const NAME: &'static str = NAME;
    type Job = ReissueV1;
    type Facts = Facts;
    type Outcome = Outcome;

    fn decode(&self, payload: &[u8]) -> Result<ReissueV1, Fault> {
        super::decode::<Self>(payload)
    }

    fn load(
        &self,
        db: &mut Connection,
        items: &[&Item<ReissueV1>],
    ) -> Result<Vec<Result<Facts, Fault>>, Fault> {
        load(db, &items.iter().map(|item| item.job.guarantee.as_str()).collect::<Vec<_>>())
    }

    fn decide(&self, item: &Item<ReissueV1>, facts: Facts) -> Result<Outcome, Fault> {
        self.work_out(item, &facts)
    }

    fn record(&self, db: &mut Connection, items: &[(&Item<ReissueV1>, Outcome)]) -> Result<Verdicts, Fault> {
        let guarantees: Vec<&str> = items.iter().map(|(item, _)| item.job.guarantee.as_str()).collect();
        guarantee::lock(db, &guarantees)?;
        let mut verdicts: Vec<Option<Result<Vec<Outgoing>, Fault>>> = items.iter().map(|_| None).collect();
        // A guarantee that comes twice has a round for each time: the second finds what the first has made.
        loop {
            let mut now: HashSet<&str> = HashSet::new();
            let round: Vec<usize> = (0..items.len())
                .filter(|place| verdicts[*place].is_none() && now.insert(&items[*place].0.job.guarantee))
                .collect();
            if round.is_empty() {
                break;
            }
            let of_round: Vec<&(&Item<ReissueV1>, Outcome)> =
                round.iter().map(|place| &items[*place]).collect();
            for (place, verdict) in round.iter().zip(self.record_round(db, &of_round)?) {
                verdicts[*place] = Some(verdict);
            }
        }
        Ok(verdicts.into_iter().flatten().collect())
    }
}

fn load(db: &mut Connection, guarantee_ids: &[&str]) -> Result<Vec<Result<Facts, Fault>>, Fault> {
    let guarantees = guarantee::by_ids(db, guarantee_ids)?;
    let revisions = certificate::by_guarantees(db, guarantee_ids)?;
    let pending = change::pending(db, guarantee_ids)?;
    Ok(guarantee_ids
        .iter()
        .zip(guarantees)
        .zip(revisions.into_iter().zip(pending))
        .map(|((id, guarantee), (revisions, pending))| {
            let guarantee = guarantee.ok_or_else(|| missing("guarantee", id))?;
            Ok(Facts { guarantee, revisions, pending })
        })
        .collect())
}

/// The changes of facts whose turn it is.
fn due<'a>(item: &Item<ReissueV1>, pending: &'a [Row]) -> &'a [Row] {
    if item.job.run.is_some() {
        return pending;
    }
    let last = pending.iter().rposition(|row| row.urgent);
    last.map_or(&[], |last| &pending[..=last])
}

fn seen(facts: &Facts) -> (usize, Vec<String>) {
    (facts.revisions.len(), facts.pending.iter().map(|row| row.id.clone()).collect())
}

impl Reissue {
    /// Records guarantees that are locked, each of them once.
    fn record_round(
        &self,
        db: &mut Connection,
        items: &[&(&Item<ReissueV1>, Outcome)],
    ) -> Result<Verdicts, Fault> {
        let now = self.clock.now();
        let mut outcomes = self.still_holding(db, items)?;
        let done = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok());
        let made: Vec<Revision> = done.clone().flat_map(|outcome| outcome.made.clone()).collect();
        let settlements: Vec<Settlement> =
            done.clone().flat_map(|outcome| outcome.settlements.clone()).collect();
        let heads: Vec<ChainHead> = done.clone().filter_map(|outcome| outcome.head.clone()).collect();
        let standings: Vec<Standing> = done.filter_map(|outcome| outcome.standing.clone()).collect();
        certificate::insert(db, &made)?;
        change::settle(db, &settlements, now)?;
        chain_head::write(db, &heads)?;
        guarantee::set_standing(db, &standings)?;
        let mut of_runs = Vec::new();
        let verdicts = items
            .iter()
            .zip(&mut outcomes)
            .map(|((item, _), outcome)| match outcome {
                Ok(outcome) => Ok(follow(item, outcome, &mut of_runs)),
                Err(fault) => Err(fault.clone()),
            })
            .collect();
        run_item::set_outcome(db, &of_runs, now)?;
        Ok(verdicts)
    }

    /// The outcomes, each worked out anew where its guarantee has moved on between reading and locking it.
    fn still_holding(
        &self,
        db: &mut Connection,
        items: &[&(&Item<ReissueV1>, Outcome)],
    ) -> Result<Vec<Result<Outcome, Fault>>, Fault> {
        let guarantees: Vec<&str> = items.iter().map(|(item, _)| item.job.guarantee.as_str()).collect();
        let now = load(db, &guarantees)?;
        let holding = |((item, outcome), facts): (&(&Item<ReissueV1>, Outcome), Result<Facts, Fault>)| {
            let facts = facts?;
            if seen(&facts) == outcome.seen { Ok(outcome.clone()) } else { self.work_out(item, &facts) }
        };
        Ok(items.iter().zip(now).map(|(item, facts)| holding((*item, facts))).collect())
    }

    /// Lets everything that is due take effect.
    fn work_out(&self, item: &Item<ReissueV1>, facts: &Facts) -> Result<Outcome, Fault> {
        let now = self.clock.now();
        let today = wareki::in_tokyo(now).date_naive();
        let Facts { guarantee, revisions, pending } = facts;
        let mut life = GuaranteeHistory::read(revisions)
            .map_err(|error| Fault::from_error(Reason::SnapshotUnreadable, &error))?;
        let mut head = revisions.last().map(|last| last.content_sha256.clone());
        let (mut made, mut settlements, mut events): (Vec<Revision>, _, _) =
            (Vec::new(), Vec::new(), Vec::new());
        for row in due(item, pending) {
            let change: Change = snapshots::read(row.snapshot.as_deref().unwrap_or_default())
                .map_err(|error| unreadable("change", &error))?;
            let effect = life.apply(&change, today, |after, revision| {
                changes::draw_up(&self.data, guarantee, after, revision, today).map_err(Trouble::Fault)
            });
            let settlement =
                |state, revision, violations| Settlement { id: row.id.clone(), state, revision, violations };
            match effect {
                Ok(AppliedChange::Revised(new)) => {
                    let content_sha256 = chained_sha256(head.as_deref(), &new.content);
                    made.push(Revision {
                        id: ids::certificate(&guarantee.id, new.revision),
                        guarantee_id: guarantee.id.clone(),
                        revision: new.revision,
                        content: new.content,
                        content_sha256: content_sha256.clone(),
                        previous_sha256: head.replace(content_sha256),
                        drawn_at: now,
                        arrived_at: None,
                        completed_at: None,
                        kind: new.kind,
                        target: new.target,
                        change_id: Some(row.id.clone()),
                    });
                    settlements.push(settlement(State::Effective, Some(new.revision), None));
                }
                Ok(AppliedChange::Unchanged) => {
                    events.extend(unchanged(item, row)?);
                    settlements.push(settlement(State::Unchanged, None, None));
                }
                Err(Trouble::Violation(violation)) => {
                    let violations = vec![ViolationV1::from(violation)];
                    let told = snapshots::canonical(&violations);
                    events.push(
                        item.event(&format!("{}:refused", row.id), &amend::rejection(row, violations)?),
                    );
                    settlements.push(settlement(State::Refused, None, Some(told)));
                }
                Err(Trouble::Fault(fault)) => return Err(fault),
            }
        }
        let current = life.current().map_or(0, |(revision, _)| revision);
        let incomplete = revisions
            .iter()
            .filter(|row| row.completed_at.is_none())
            .chain(&made)
            .map(|row| row.revision)
            .collect();
        Ok(Outcome {
            seen: seen(facts),
            head: made
                .last()
                .map(|last| self.keys.chain_head(&guarantee.id, last.revision + 1, &last.content_sha256)),
            standing: (!made.is_empty()).then(|| Standing {
                id: guarantee.id.clone(),
                current_revision: current,
                ended_on: life.ended_on().map(|day| day.to_string()),
            }),
            made,
            settlements,
            events,
            incomplete,
            current,
            application: guarantee.application_id.clone(),
        })
    }
}

/// What can go wrong while a change takes effect: it is impossible, or we are at fault.
enum Trouble {
    Violation(Violation),
    Fault(Fault),
}

impl From<Violation> for Trouble {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

/// Tells the sender of a change that changes nothing, where something else was foreseen.
fn unchanged(item: &Item<ReissueV1>, row: &Row) -> Result<Option<Outgoing>, Fault> {
    let mut accepted = amend::accepted(row)?;
    if accepted.foreseen.effect == ChangeEffectV1::NoReissue {
        return Ok(None);
    }
    accepted.foreseen = ForeseenV1 { effect: ChangeEffectV1::NoReissue, revision: None };
    Ok(Some(item.event(&format!("{}:unchanged", row.id), &accepted)))
}

/// What is to be published, and what a run is told.
fn follow(item: &Item<ReissueV1>, outcome: &mut Outcome, of_runs: &mut Vec<Made>) -> Vec<Outgoing> {
    let guarantee = &item.job.guarantee;
    if !outcome.made.is_empty() {
        info!(
            guarantee.id = guarantee,
            guarantee.revision = outcome.current,
            revisions = outcome.made.len(),
            trace.id = item.trace.trace_id(),
            "Changes took effect"
        );
    }
    let mut messages = std::mem::take(&mut outcome.events);
    // What follows is found under the application, as everything of its guarantee.
    let item = &Item { correlation_id: Some(outcome.application.clone()), ..item.clone() };
    messages.extend(outcome.incomplete.iter().map(|revision| mint::job(item, guarantee, *revision)));
    let Some(run) = &item.job.run else { return messages };
    let (first, last) = (outcome.incomplete.first().copied(), outcome.incomplete.last().copied());
    let (made, revisions) = match first.zip(last) {
        Some(revisions) => (ItemOutcome::Reissued, Some(revisions)),
        None if item.job.redraw => {
            messages.push(render::again(item, guarantee, outcome.current, run));
            (ItemOutcome::Redrawn, None)
        }
        None => (ItemOutcome::Unchanged, None),
    };
    of_runs.push(Made { run_id: run.clone(), guarantee_id: guarantee.clone(), outcome: made, revisions });
    messages
}

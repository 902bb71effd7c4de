//! reissue: applies the pending changes of a guarantee.
//!
//! In: [`ReissueV1`], from the nightly run, an operator's run, or the [amend stage](super::amend) for an
//! urgent change. Out: [`MintV1`] for each new revision, which then passes
//! the stages of every certificate; if nothing is pending and a run requests it,
//! [`RenderV1`] for the documents of the certificate in force.
//!
//! Changes take effect in the order of their versions: a run applies all pending ones, an urgent change all
//! up to itself. Each makes one revision, chained to the one before it; one without effect, or an impossible
//! one, is settled as such and reported by an event.
//!
//! Idempotent: a change is settled in the transaction that inserts its revision. A second run finds nothing
//! pending, and publishes [`MintV1`] again for every incomplete revision.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use hosho_schema::{
    db::Connection,
    ids,
    messages::{ChangeEffectV1, ForeseenV1, MintV1, ReissueV1, RenderV1, StageMessage as _, ViolationV1},
    models::{
        chain_head::{self, ChainHead},
        change::{self, Settlement, State},
        guarantee::{self, Guarantee, Standing},
        revision::{self, Revision, chained_sha256},
        run_item::{self, Made},
    },
    snapshots::{self, Change},
};
use tracing::info;

use super::amend;
use crate::{
    app::App,
    broker::Outgoing,
    clock::Clock,
    domain::{
        guarantee_history::{AppliedChange, GuaranteeHistory},
        wareki,
    },
    fault::{Fault, Reason, Result},
    keys::KeyRing,
    pipeline::{
        decode::decode,
        stage::{Item, Stage, Verdict},
    },
    reference::ReferenceData,
    stages::amend::decide::{self, ApplyError},
};

pub const NAME: &str = ReissueV1::STAGE;

pub struct Reissue {
    clock: Clock,
    data: Arc<ReferenceData>,
    keys: Arc<KeyRing>,
}

pub struct Facts {
    guarantee: Guarantee,
    revisions: Vec<Revision>,
    pending: Vec<change::Change>,
}

/// The rows and messages that result from the due changes of a guarantee.
#[derive(Clone)]
pub struct Outcome {
    /// The outcome is valid while the guarantee is in this state.
    loaded: LoadedState,
    made: Vec<Revision>,
    settlements: Vec<Settlement>,
    head: Option<ChainHead>,
    standing: Option<Standing>,
    events: Vec<Outgoing>,
    /// Every incomplete revision, including new ones.
    incomplete: Vec<i64>,
    current: i64,
    application: String,
}

/// The state of a guarantee when its facts were loaded.
#[derive(Clone, PartialEq, Eq)]
struct LoadedState {
    revisions: usize,
    pending: Vec<String>,
}

impl Reissue {
    pub(super) fn new(app: &App) -> Self {
        Self { clock: app.clock.clone(), data: Arc::clone(&app.data), keys: Arc::clone(&app.keys) }
    }
}

impl Stage for Reissue {
    const NAME: &'static str = NAME;
    type Job = ReissueV1;
    type Facts = Facts;
    type Outcome = Outcome;

    fn decode(&self, payload: &[u8]) -> Result<ReissueV1> {
        decode(payload)
    }

    fn load(&self, db: &mut Connection, items: &[&Item<ReissueV1>]) -> Result<Vec<Result<Facts, Fault>>> {
        load(db, &items.iter().map(|item| item.job.guarantee.as_str()).collect::<Vec<_>>())
    }

    fn decide(&self, item: &Item<ReissueV1>, facts: Facts) -> Result<Outcome> {
        self.apply_due(item, &facts)
    }

    fn record(&self, db: &mut Connection, items: &[(&Item<ReissueV1>, Outcome)]) -> Result<Vec<Verdict>> {
        let guarantees: Vec<&str> = items.iter().map(|(item, _)| item.job.guarantee.as_str()).collect();
        guarantee::lock(db, &guarantees)?;
        let mut verdicts: Vec<Option<Verdict>> = vec![None; items.len()];
        // A guarantee that occurs twice in the batch has two rounds: the second sees the rows of the first.
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

fn load(db: &mut Connection, guarantee_ids: &[&str]) -> Result<Vec<Result<Facts, Fault>>> {
    let guarantees = guarantee::by_ids(db, guarantee_ids)?;
    let revisions = revision::by_guarantees(db, guarantee_ids)?;
    let revisions: HashMap<_, _> = guarantee_ids.iter().zip(revisions).collect();
    let pending: HashMap<_, _> = guarantee_ids.iter().zip(change::pending(db, guarantee_ids)?).collect();
    let facts = |(id, guarantee): (&&str, Option<Guarantee>)| {
        Ok(Facts {
            guarantee: guarantee.ok_or_else(|| Fault::missing("guarantee", id))?,
            revisions: revisions.get(id).cloned().unwrap_or_default(),
            pending: pending.get(id).cloned().unwrap_or_default(),
        })
    };
    Ok(guarantee_ids.iter().zip(guarantees).map(facts).collect())
}

fn due<'a>(item: &Item<ReissueV1>, pending: &'a [change::Change]) -> &'a [change::Change] {
    if item.job.run.is_some() {
        return pending;
    }
    let last = pending.iter().rposition(|row| row.urgent);
    last.map_or(&[], |last| &pending[..=last])
}

fn loaded_state(facts: &Facts) -> LoadedState {
    LoadedState {
        revisions: facts.revisions.len(),
        pending: facts.pending.iter().map(|row| row.id.clone()).collect(),
    }
}

impl Reissue {
    /// Records guarantees that are locked, each once.
    fn record_round(
        &self,
        db: &mut Connection,
        items: &[&(&Item<ReissueV1>, Outcome)],
    ) -> Result<Vec<Verdict>> {
        let now = self.clock.now();
        let mut outcomes = self.still_valid(db, items)?;
        let done = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok());
        let made: Vec<Revision> = done.clone().flat_map(|outcome| outcome.made.clone()).collect();
        let settlements: Vec<Settlement> =
            done.clone().flat_map(|outcome| outcome.settlements.clone()).collect();
        let heads: Vec<ChainHead> = done.clone().filter_map(|outcome| outcome.head.clone()).collect();
        let standings: Vec<Standing> = done.filter_map(|outcome| outcome.standing.clone()).collect();
        revision::insert(db, &made)?;
        change::settle(db, &settlements, now)?;
        chain_head::write(db, &heads)?;
        guarantee::set_standing(db, &standings)?;
        let mut of_runs = Vec::new();
        let verdicts = items
            .iter()
            .zip(&mut outcomes)
            .map(|((item, _), outcome)| match outcome {
                Ok(outcome) => Verdict::done(follow(item, outcome, &mut of_runs)),
                Err(fault) => fault.clone().into(),
            })
            .collect();
        run_item::set_outcome(db, &of_runs, now)?;
        Ok(verdicts)
    }

    /// Computes an outcome again if its guarantee changed between reading and locking.
    fn still_valid(
        &self,
        db: &mut Connection,
        items: &[&(&Item<ReissueV1>, Outcome)],
    ) -> Result<Vec<Result<Outcome, Fault>>> {
        let guarantees: Vec<&str> = items.iter().map(|(item, _)| item.job.guarantee.as_str()).collect();
        let now = load(db, &guarantees)?;
        let valid = |((item, outcome), facts): (&(&Item<ReissueV1>, Outcome), Result<Facts>)| {
            let facts = facts?;
            if loaded_state(&facts) == outcome.loaded {
                Ok(outcome.clone())
            } else {
                self.apply_due(item, &facts)
            }
        };
        Ok(items.iter().zip(now).map(|(item, facts)| valid((*item, facts))).collect())
    }

    fn apply_due(&self, item: &Item<ReissueV1>, facts: &Facts) -> Result<Outcome> {
        let now = self.clock.now();
        let today = wareki::in_tokyo(now).date_naive();
        let Facts { guarantee, revisions, pending } = facts;
        let mut history = GuaranteeHistory::read(revisions)
            .map_err(|error| Fault::from_error(Reason::SnapshotUnreadable, &error))?;
        let mut head = revisions.last().map(|last| last.content_sha256.clone());
        let (mut made, mut settlements, mut events): (Vec<Revision>, _, _) =
            (Vec::new(), Vec::new(), Vec::new());
        for row in due(item, pending) {
            let change: Change = snapshots::read(row.snapshot.as_deref().unwrap_or_default())
                .map_err(|error| Fault::unreadable("change", &error))?;
            let effect = history.apply(&change, today, |after, revision| {
                decide::build_certificate(&self.data, guarantee, after, revision, today)
                    .map_err(ApplyError::Fault)
            });
            let settlement =
                |state, revision, violations| Settlement { id: row.id.clone(), state, revision, violations };
            match effect {
                Ok(AppliedChange::Revised(new)) => {
                    let content_sha256 = chained_sha256(head.as_deref(), &new.content);
                    made.push(Revision {
                        id: ids::revision(&guarantee.id, new.revision),
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
                Err(ApplyError::Violation(violation)) => {
                    let violations = vec![ViolationV1::from(violation)];
                    let stored = snapshots::canonical(&violations);
                    events.push(
                        item.event(&format!("{}:refused", row.id), &amend::rejection(row, violations)?),
                    );
                    settlements.push(settlement(State::Refused, None, Some(stored)));
                }
                Err(ApplyError::Fault(fault)) => return Err(fault),
            }
        }
        let current = history.current().map_or(0, |(revision, _)| revision);
        let incomplete = revisions
            .iter()
            .filter(|row| row.completed_at.is_none())
            .chain(&made)
            .map(|row| row.revision)
            .collect();
        Ok(Outcome {
            loaded: loaded_state(facts),
            head: made
                .last()
                .map(|last| self.keys.chain_head(&guarantee.id, last.revision + 1, &last.content_sha256)),
            standing: (!made.is_empty()).then(|| Standing {
                id: guarantee.id.clone(),
                current_revision: current,
                ended_on: history.ended_on().map(|day| day.to_string()),
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

/// The event of a change without effect, if another effect was foreseen.
fn unchanged(item: &Item<ReissueV1>, row: &change::Change) -> Result<Option<Outgoing>> {
    let mut accepted = amend::accepted(row)?;
    if accepted.foreseen.effect == ChangeEffectV1::NoReissue {
        return Ok(None);
    }
    accepted.foreseen = ForeseenV1 { effect: ChangeEffectV1::NoReissue, revision: None };
    Ok(Some(item.event(&format!("{}:unchanged", row.id), &accepted)))
}

/// The messages to publish; adds the result for the run.
fn follow(item: &Item<ReissueV1>, outcome: &mut Outcome, of_runs: &mut Vec<Made>) -> Vec<Outgoing> {
    let guarantee = &item.job.guarantee;
    if !outcome.made.is_empty() {
        info!(
            guarantee.id = guarantee,
            guarantee.revision = outcome.current,
            revisions = outcome.made.len(),
            trace.id = item.trace.trace_id(),
            "Changes applied"
        );
    }
    let mut messages = std::mem::take(&mut outcome.events);
    // Successors carry the id of the application, like every message of its guarantee.
    let item = &Item { correlation_id: Some(outcome.application.clone()), ..item.clone() };
    messages.extend(
        outcome
            .incomplete
            .iter()
            .map(|revision| item.successor(&MintV1 { guarantee: guarantee.clone(), revision: *revision })),
    );
    let Some(run) = &item.job.run else { return messages };
    let (first, last) = (outcome.incomplete.first().copied(), outcome.incomplete.last().copied());
    let (made, revisions) = match first.zip(last) {
        Some(revisions) => (run_item::Outcome::Reissued, Some(revisions)),
        None if item.job.redraw => {
            messages.push(item.successor(&RenderV1 {
                guarantee: guarantee.clone(),
                revision: outcome.current,
                run: Some(run.clone()),
            }));
            (run_item::Outcome::Redrawn, None)
        }
        None => (run_item::Outcome::Unchanged, None),
    };
    of_runs.push(Made { run_id: run.clone(), guarantee_id: guarantee.clone(), outcome: made, revisions });
    messages
}

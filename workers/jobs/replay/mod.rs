//! Replays dead letters: a canary, a ramp, a rate limit, an automatic stop.
//!
//! - The selection is frozen when it is made, with its exact count; later failures are not part of it.
//! - The canary: its messages must all be resolved before any other is sent.
//! - The ramp: at most ten in flight beyond the number resolved since, and at most a second's worth of the
//!   rate. So a harmful replay has done little, and a good one reaches its rate after a few hundred messages.
//! - It stops automatically when more than a tenth of the last 50 failed again for one reason.
//!
//! Messages go to the bulk queues, so that live work is not delayed, under their former ids. The driver holds
//! no state that matters: sent messages and their results are recorded with the messages. It publishes first
//! and records afterwards: if it is killed in between, some are sent twice, and stages are idempotent.
//!
//! A sent message may be lost all the same: its queue purged or, in the embedded mode, lost with its process.
//! The broker does not report that, so a message that has not settled for longer than all its retries take
//! ([`lost_after`]) is sent once more.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use hosho_schema::{
    db::{Connection, DbError},
    models::{
        audit,
        failed_message::{self, FailedMessage, Filter, OPEN, Progress, State},
        replay::{self, Replay},
    },
};
use tracing::warn;

use super::driver::{Driver, Ended};
use crate::{
    audit::Operation,
    broker::{BrokerError, Destination, Envelope, History, Lane, Outgoing, Publisher, RetryDelay},
    dead_letters::{self, OperationError},
    fault::chain,
    stages,
};

pub const DEFAULT_CANARY: u32 = 3;

pub const DEFAULT_RATE: u32 = 100;

/// Outcomes that are evaluated together.
const WINDOW: usize = 50;

/// Tolerated failures for one reason among them: a tenth.
const TOLERATED: usize = WINDOW / 10;

/// Messages in flight beyond the number resolved.
const FIRST_STEP: i64 = 10;

const TICK: Duration = Duration::from_millis(200);

/// How long a killed driver blocks others.
const LEASE: TimeDelta = TimeDelta::seconds(15);

const RENEWAL: Duration = Duration::from_secs(5);

/// How long a message may wait beyond its delays: in the bulk queue, or in a stage.
const QUEUEING: TimeDelta = TimeDelta::minutes(30);

/// How long after sending an unsettled message counts as lost.
/// It is the sum of all retry delays and the time in queues. A message that waits longer (its stage is
/// paused) is sent twice, without a second effect.
pub fn lost_after(delays: &[RetryDelay]) -> TimeDelta {
    let delays = delays.iter().map(|delay| {
        // Or the next longer one: the runner spreads messages that failed together.
        let longer = RetryDelay::ALL.into_iter().find(|other| other > delay).unwrap_or(*delay);
        TimeDelta::from_std(longer.delay()).unwrap_or(TimeDelta::MAX)
    });
    delays.fold(QUEUEING, |sum, delay| sum.checked_add(&delay).unwrap_or(TimeDelta::MAX))
}

#[derive(Debug, Clone)]
pub struct Order {
    /// Messages of unknown stages are omitted.
    pub filter: Filter,
    /// The request as JSON, for the record.
    pub selection: String,
    /// Messages that must be resolved first.
    pub canary: u32,
    /// Messages a second, at most.
    pub rate: u32,
    /// Also resolved messages.
    pub force: bool,
}

/// Freezes a selection, and returns the replay; `None` if the selection is empty.
pub fn begin(
    db: &mut Connection,
    operation: &Operation,
    order: &Order,
) -> Result<Option<Replay>, OperationError> {
    let mut from = OPEN.to_vec();
    if order.force {
        from.push(State::Resolved);
    }
    let mut filter = order.filter.clone();
    if filter.stages.is_empty() {
        filter.stages = stages::NAMES.iter().map(|stage| (*stage).to_owned()).collect();
    }
    filter.stages.retain(|stage| stages::NAMES.contains(&stage.as_str()));
    if filter.stages.is_empty() {
        return Ok(None);
    }
    let new = Replay {
        id: operation.id.clone(),
        state: replay::State::Running,
        total: 0,
        cutoff: operation.at,
        selection: order.selection.clone(),
        canary: order.canary.into(),
        rate: order.rate.max(1).into(),
        reason: operation.reason.clone(),
        actor: operation.actor.clone(),
        created_at: operation.at,
        driver: None,
        leased_until: None,
        note: None,
        resolved: None,
        failed_again: None,
        finished_at: None,
    };
    db.transaction(|db| {
        let Some((replay, messages)) = replay::create(db, &new, &filter, &from)? else { return Ok(None) };
        let mut entries = dead_letters::entries(operation, &messages, State::Replaying);
        entries.push(operation.entry("replay", &replay.id, None, Some(replay.selection.clone())));
        audit::write(db, &entries)?;
        Ok(Some(replay))
    })
}

pub struct ReplayDriver {
    pub driver: Driver,
    pub id: String,
    /// Age at which an unsettled message counts as lost: [`lost_after`].
    pub lost_after: TimeDelta,
}

struct Snapshot {
    replay: Replay,
    progress: Progress,
    settled: Vec<Option<String>>,
}

/// The messages sent in one step, and why not more.
#[derive(Default)]
struct Sent {
    count: usize,
    problem: Option<String>,
}

impl ReplayDriver {
    /// Drives until the replay is over or this process is requested to stop.
    /// Calls `progress` in every step.
    pub async fn drive(self, mut progress: impl FnMut(&Replay, &Progress)) -> Ended {
        let mut publisher: Option<Box<dyn Publisher>> = None;
        let (mut allowance, mut sent_at) = (0.0_f64, Instant::now());
        // An in-process queue was lost with its driver.
        let mut queue_is_new = self.driver.broker.in_process();
        let ended = loop {
            let state = match self.load(queue_is_new).await {
                Ok(Some(state)) => state,
                Ok(None) => break self.not_leased().await,
                Err(error) => {
                    warn!(error = chain(&error), "Database unavailable; replay waits");
                    if self.driver.pause(Duration::from_secs(2)).await {
                        break Ended::Interrupted;
                    }
                    continue;
                }
            };
            queue_is_new = false;
            progress(&state.replay, &state.progress);
            match next_step(&state) {
                Step::Stop(why) => {
                    if self.finish(replay::State::Stopped, Some(why.clone())).await {
                        break Ended::Stopped(why);
                    }
                }
                Step::Complete => {
                    if self.finish(replay::State::Complete, None).await {
                        break Ended::Complete;
                    }
                }
                Step::Send(at_most) => {
                    let (rate, since) = (
                        f64::from(u32::try_from(state.replay.rate).unwrap_or(u32::MAX)),
                        sent_at.elapsed().as_secs_f64(),
                    );
                    sent_at = Instant::now();
                    // Unused allowance expires: a rate is a speed, not an amount.
                    allowance = (allowance + rate * since).min(rate);
                    #[expect(clippy::cast_possible_truncation, reason = "between 0 and the rate")]
                    let count = at_most.min((allowance.floor() as i64).max(i64::from(allowance >= 1.0)));
                    let sent = self.send(&mut publisher, count).await;
                    #[expect(clippy::cast_precision_loss, reason = "a count of messages in one step")]
                    let charge = sent.count as f64;
                    allowance -= charge;
                    if let Some(error) = sent.problem {
                        warn!(error, messages.sent = sent.count, "Messages not sent; replay waits");
                        publisher = None;
                        if self.driver.pause(Duration::from_secs(2)).await {
                            break Ended::Interrupted;
                        }
                    }
                }
            }
            if self.driver.pause(TICK).await {
                break Ended::Interrupted;
            }
        };
        let _ = self.driver.unlease(replay::unlease, &self.id).await;
        ended
    }

    async fn load(&self, queue_is_new: bool) -> Result<Option<Snapshot>, DbError> {
        let Some(replay) = self.lease().await? else { return Ok(None) };
        let now = self.driver.clock.now();
        // All messages, even with a clock set back.
        let everything = now + TimeDelta::days(365);
        let lost = if queue_is_new {
            everything
        } else {
            now.checked_sub_signed(self.lost_after).unwrap_or_default()
        };
        self.with_database(move |db, id| {
            let lost = failed_message::mark_lost(db, id, lost)?;
            if lost > 0 {
                warn!(replay.id = id, messages = lost, "Messages lost; sent again");
            }
            let progress = failed_message::progress(db, id)?;
            let settled = failed_message::last_settled(db, id, i64::try_from(WINDOW).unwrap_or(i64::MAX))?;
            Ok(Some(Snapshot { replay, progress, settled }))
        })
        .await
    }

    async fn lease(&self) -> Result<Option<Replay>, DbError> {
        self.driver.lease(replay::lease, &self.id, LEASE).await
    }

    /// Why there was no lease.
    async fn not_leased(&self) -> Ended {
        match self.with_database(replay::by_id).await {
            Ok(Some(replay)) if replay.state == replay::State::Running => Ended::DrivenElsewhere,
            Ok(Some(replay)) if replay.state == replay::State::Complete => Ended::Complete,
            _ => Ended::ChangedElsewhere,
        }
    }

    async fn finish(&self, state: replay::State, note: Option<String>) -> bool {
        let now = self.driver.clock.now();
        let finished =
            self.with_database(move |db, id| replay::finish(db, id, state, note.as_deref(), now)).await;
        finished.unwrap_or(false)
    }

    /// Sends the next messages, and records those that the broker has confirmed.
    async fn send(&self, publisher: &mut Option<Box<dyn Publisher>>, count: i64) -> Sent {
        if count <= 0 {
            return Sent::default();
        }
        let none = |problem| Sent { count: 0, problem: Some(problem) };
        let rows = match self.with_database(move |db, id| failed_message::unsent(db, id, count)).await {
            Ok(rows) => rows,
            Err(error) => return none(chain(&error)),
        };
        let (mut ids, messages): (Vec<String>, Vec<Outgoing>) =
            rows.into_iter().filter_map(|row| Some((row.id.clone(), message(&row, &self.id)?))).unzip();
        let publisher = match publisher {
            Some(publisher) => publisher,
            none_yet => match self.driver.broker.publisher().await {
                Ok(publisher) => none_yet.insert(publisher),
                Err(error) => return none(chain(&error)),
            },
        };
        let problem = match self.publish(publisher, messages).await {
            Ok(()) => None,
            Err(error) => {
                // Confirmed messages are sent: publishing them again with the rest would never end while one
                // is refused.
                let BrokerError::NotConfirmed { unconfirmed, .. } = &error else {
                    return none(chain(&error));
                };
                let mut place = 0..;
                ids.retain(|_| place.next().is_some_and(|place| !unconfirmed.contains(&place)));
                Some(chain(&error))
            }
        };
        let (now, count) = (self.driver.clock.now(), ids.len());
        let marked = move |db: &mut Connection, id: &str| {
            failed_message::mark_sent(db, id, &ids.iter().map(String::as_str).collect::<Vec<_>>(), now)
        };
        let unmarked = self.with_database(marked).await.err().map(|error| chain(&error));
        Sent { count, problem: problem.or(unmarked) }
    }

    /// Publishes, and renews the lease meanwhile.
    async fn publish(
        &self,
        publisher: &mut Box<dyn Publisher>,
        messages: Vec<Outgoing>,
    ) -> Result<(), BrokerError> {
        let mut publishing = publisher.publish(messages);
        loop {
            tokio::select! {
                biased;
                outcome = &mut publishing => return outcome,
                () = tokio::time::sleep(RENEWAL) => {
                    // The next step checks the lease.
                    let _ = self.lease().await;
                }
            }
        }
    }

    async fn with_database<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection, &str) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        let id = self.id.clone();
        self.driver.database(move |db| work(db, &id)).await
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Send(i64),
    Stop(String),
    Complete,
}

fn next_step(state: &Snapshot) -> Step {
    let Snapshot { replay, progress, settled } = state;
    let canary = replay.canary.min(replay.total - progress.taken_out);
    // Messages taken out prove nothing.
    let passed = progress.resolved;
    let in_canary = passed < canary;
    if in_canary && progress.failed_again > 0 {
        return Step::Stop("the canary failed again".to_owned());
    }
    for cause in settled.iter().flatten() {
        let count = settled.iter().flatten().filter(|other| *other == cause).count();
        if count > TOLERATED {
            return Step::Stop(format!(
                "{count} of the last {} failed again for the same reason (group {cause})",
                settled.len()
            ));
        }
    }
    if progress.waiting == 0 && progress.under_way == 0 {
        return Step::Complete;
    }
    let under_way = if in_canary {
        canary - passed
    } else {
        (FIRST_STEP + passed - canary).min(replay.rate.max(FIRST_STEP))
    };
    Step::Send((under_way - progress.under_way).clamp(0, progress.waiting))
}

/// The message as it was before its first failure; `None` for an unknown stage.
fn message(row: &FailedMessage, replay_id: &str) -> Option<Outgoing> {
    let stage = stages::NAMES.iter().find(|stage| **stage == row.stage)?;
    let history = History { replay: Some(replay_id.to_owned()), ..History::default() };
    Some(Outgoing {
        destination: Destination::Stage(stage, Lane::Bulk),
        envelope: Envelope {
            message_id: Some(row.message_id.clone()),
            message_type: row.message_type.clone(),
            correlation_id: row.correlation_id.clone(),
            traceparent: row.traceparent.clone(),
            history,
            payload: row.payload.clone(),
        },
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Pause,
    Resume,
    /// End it; messages that are not settled can be replayed again.
    Abort,
}

impl Action {
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Abort => "abort",
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Pause => "replay.pause",
            Self::Resume => "replay.resume",
            Self::Abort => "replay.abort",
        }
    }
}

/// Changes the state of a replay; `false` when its state does not allow it.
pub fn set_state(
    db: &mut Connection,
    operation: &Operation,
    id: &str,
    action: Action,
) -> Result<bool, OperationError> {
    db.transaction(|db| {
        let before = replay::by_id(db, id)?;
        let done = match action {
            Action::Pause => replay::set_paused(db, id, true, Some(&operation.reason))?,
            Action::Resume => replay::set_paused(db, id, false, None)?,
            Action::Abort => {
                replay::finish(db, id, replay::State::Aborted, Some(&operation.reason), operation.at)?
            }
        };
        if done {
            let after = replay::by_id(db, id)?;
            let text = |replay: Option<Replay>| replay.map(|replay| replay.state.as_text().to_owned());
            audit::write(db, &[operation.entry("replay", id, text(before), text(after))])?;
        }
        Ok(done)
    })
}

#[cfg(test)]
mod tests;

//! Working dead letters off once more: a few first, then faster, under somebody's eyes.
//!
//! - The selection is frozen when it is made, with its exact count; what fails later is in none.
//! - The canary: its messages must all go through before any other is sent.
//! - The ramp: never more than ten under way beyond what has gone through since, and never more than a second's worth of the rate.
//!   So a replay that does harm has done little, and one that goes well is at its rate after a few hundred messages.
//! - It stops by itself when more than a tenth of the last 50 failed again for one reason.
//!
//! Messages go to the bulk queues, so that live work is not held up, under the ids they had. A [`Driver`] holds no state that
//! matters: what was sent and what became of it stands with the messages. It publishes first and writes that down afterwards: if it
//! dies in between, some are sent twice, which every stage is made for.
//!
//! A message that was sent may be lost all the same: its queue purged, or, in the embedded mode, dead with its process. Nothing tells,
//! so what has not settled for longer than a stage may try ([`lost_after`]) is sent once more.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use hosho_schema::{
    db::{Connection, DbError, Pool},
    models::{
        audit,
        failed_message::{self, FailedMessage, Filter, OPEN, Progress, State},
        replay::{self, NewReplay, Replay},
    },
};
use tokio::sync::watch;
use tracing::warn;

use crate::audit::Operation;
use crate::dead_letters::{self, OperationError};
use crate::{
    broker::{Broker, BrokerError, Destination, Envelope, History, Lane, Outgoing, Publisher, RetryDelay},
    clock::Clock,
    fault::chain,
    stages,
};

/// Messages of the canary, unless asked otherwise.
pub const DEFAULT_CANARY: u32 = 3;

/// Messages a second, unless asked otherwise.
pub const DEFAULT_RATE: u32 = 100;

/// Outcomes that are looked at together.
const WINDOW: usize = 50;

/// As many of them may fail for one reason: a tenth.
const TOLERATED: usize = WINDOW / 10;

/// Messages that may be under way beyond what has gone through.
const FIRST_STEP: i64 = 10;

/// Pause between two looks.
const TICK: Duration = Duration::from_millis(200);

/// How long a driver that gives no sign of life keeps others away.
const LEASE: TimeDelta = TimeDelta::seconds(15);

/// Pause between two signs of life while the broker takes its time.
const SIGN: Duration = Duration::from_secs(5);

/// What a message may wait for beyond its retry ladder: its turn in the bulk queue, a stage that holds it.
const TURN: TimeDelta = TimeDelta::minutes(30);

/// How long after it was sent a message that has not settled counts as lost: the whole retry ladder, and its turn at each step. One
/// that only waits for longer (its stage is paused) is sent twice, to no second effect.
pub fn lost_after(rungs: &[RetryDelay]) -> TimeDelta {
    let ladder = rungs.iter().map(|rung| {
        // Or its neighbour: the runner spreads what failed together.
        let longer = RetryDelay::ALL.into_iter().find(|other| other > rung).unwrap_or(*rung);
        TimeDelta::from_std(longer.delay()).unwrap_or(TimeDelta::MAX)
    });
    ladder.fold(TURN, |sum, delay| sum.checked_add(&delay).unwrap_or(TimeDelta::MAX))
}

/// What is to be replayed, and how.
#[derive(Debug, Clone)]
pub struct Order {
    /// Which messages; those of no stage of ours are left out.
    pub filter: Filter,
    /// What was asked for, as JSON, for the record.
    pub selection: String,
    /// Messages that must go through first.
    pub canary: u32,
    /// Messages a second, at most.
    pub rate: u32,
    /// Also what was resolved already: for whoever does not believe it.
    pub force: bool,
}

/// Freezes a selection, and returns the replay; `None` when nothing is to be replayed.
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
    let new = NewReplay {
        id: operation.id.clone(),
        selection: order.selection.clone(),
        canary: order.canary.into(),
        rate: order.rate.max(1).into(),
        reason: operation.reason.clone(),
        actor: operation.actor.clone(),
        at: operation.at,
    };
    db.transaction(|db| {
        let Some((replay, messages)) = replay::create(db, &new, &filter, &from)? else { return Ok(None) };
        let mut entries = dead_letters::entries(operation, &messages, State::Replaying);
        entries.push(operation.entry("replay", &replay.id, None, Some(replay.selection.clone())));
        audit::write(db, &entries)?;
        Ok(Some(replay))
    })
}

/// How driving ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Every message is settled.
    Complete,
    /// It stopped by itself, for this reason.
    Stopped(String),
    /// Somebody else paused, aborted or ended it: its state tells.
    ByOthers,
    /// Another process drives it.
    Driven,
    /// This process was asked to stop; it can be resumed.
    Interrupted,
}

/// Drives one replay.
pub struct Driver {
    /// The tables.
    pub pool: Pool,
    /// The queue.
    pub broker: Arc<dyn Broker>,
    /// The time.
    pub clock: Clock,
    /// The replay.
    pub id: String,
    /// Who drives: another name for every process.
    pub name: String,
    /// When what was sent and has not settled counts as lost: [`lost_after`].
    pub lost_after: TimeDelta,
    /// Becomes true when the process is asked to stop.
    pub stop: watch::Receiver<bool>,
}

/// What one look at the database told.
struct Look {
    replay: Replay,
    progress: Progress,
    settled: Vec<Option<String>>,
}

/// What one step sent, and why it was not more.
#[derive(Default)]
struct Sent {
    count: usize,
    problem: Option<String>,
}

impl Driver {
    /// Drives until the replay is over or this process is to stop. `told` hears of every look.
    pub async fn drive(mut self, mut told: impl FnMut(&Replay, &Progress)) -> Ended {
        let mut publisher: Option<Box<dyn Publisher>> = None;
        let (mut allowance, mut looked) = (0.0_f64, Instant::now());
        // A queue that died with the driver before took everything with it.
        let mut queue_is_new = self.broker.in_process();
        let ended = loop {
            let look = match self.look(queue_is_new).await {
                Ok(Some(look)) => look,
                Ok(None) => break self.why_not().await,
                Err(error) => {
                    warn!(error = chain(&error), "The database is away; the replay waits");
                    if self.wait(Duration::from_secs(2)).await {
                        break Ended::Interrupted;
                    }
                    continue;
                }
            };
            queue_is_new = false;
            told(&look.replay, &look.progress);
            match next_step(&look) {
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
                        f64::from(u32::try_from(look.replay.rate).unwrap_or(u32::MAX)),
                        looked.elapsed().as_secs_f64(),
                    );
                    looked = Instant::now();
                    // A rate is a speed, not an amount: what was not used is lost.
                    allowance = (allowance + rate * since).min(rate);
                    #[expect(clippy::cast_possible_truncation, reason = "between 0 and the rate")]
                    let count = at_most.min((allowance.floor() as i64).max(i64::from(allowance >= 1.0)));
                    let sent = self.send(&mut publisher, count).await;
                    #[expect(clippy::cast_precision_loss, reason = "a count of messages in one step")]
                    let charge = sent.count as f64;
                    allowance -= charge;
                    if let Some(error) = sent.problem {
                        warn!(
                            error,
                            messages.sent = sent.count,
                            "Not all messages could be sent; the replay waits"
                        );
                        publisher = None;
                        if self.wait(Duration::from_secs(2)).await {
                            break Ended::Interrupted;
                        }
                    }
                }
            }
            if self.wait(TICK).await {
                break Ended::Interrupted;
            }
        };
        let name = self.name.clone();
        let _ = self.with_database(move |db, id| replay::unlease(db, id, &name)).await;
        ended
    }

    async fn look(&self, queue_is_new: bool) -> Result<Option<Look>, DbError> {
        let (name, now) = (self.name.clone(), self.clock.now());
        // Everything, whatever the clock said then.
        let everything = now + TimeDelta::days(365);
        let lost = if queue_is_new {
            everything
        } else {
            now.checked_sub_signed(self.lost_after).unwrap_or_default()
        };
        self.with_database(move |db, id| {
            let Some(replay) = replay::lease(db, id, &name, now, now + LEASE)? else { return Ok(None) };
            let lost = failed_message::mark_lost(db, id, lost)?;
            if lost > 0 {
                warn!(
                    replay.id = id,
                    messages = lost,
                    "What the replay sent has not settled for long; it is sent once more"
                );
            }
            let progress = failed_message::progress(db, id)?;
            let settled = failed_message::last_settled(db, id, i64::try_from(WINDOW).unwrap_or(i64::MAX))?;
            Ok(Some(Look { replay, progress, settled }))
        })
        .await
    }

    /// Why there was no lease.
    async fn why_not(&self) -> Ended {
        match self.with_database(replay::by_id).await {
            Ok(Some(replay)) if replay.state == replay::State::Running => Ended::Driven,
            Ok(Some(replay)) if replay.state == replay::State::Complete => Ended::Complete,
            _ => Ended::ByOthers,
        }
    }

    async fn finish(&self, state: replay::State, note: Option<String>) -> bool {
        let now = self.clock.now();
        let finished =
            self.with_database(move |db, id| replay::finish(db, id, state, note.as_deref(), now)).await;
        finished.unwrap_or(false)
    }

    /// Sends the next messages, and writes down which of them the broker has.
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
            none_yet => match self.broker.publisher().await {
                Ok(publisher) => none_yet.insert(publisher),
                Err(error) => return none(chain(&error)),
            },
        };
        let problem = match self.publish(publisher, messages).await {
            Ok(()) => None,
            Err(error) => {
                // What is confirmed is sent: publishing it again with the rest would never end while one is refused.
                let BrokerError::NotConfirmed { unconfirmed, .. } = &error else {
                    return none(chain(&error));
                };
                let mut place = 0..;
                ids.retain(|_| place.next().is_some_and(|place| !unconfirmed.contains(&place)));
                Some(chain(&error))
            }
        };
        let (now, count) = (self.clock.now(), ids.len());
        let marked = move |db: &mut Connection, id: &str| {
            failed_message::mark_sent(db, id, &ids.iter().map(String::as_str).collect::<Vec<_>>(), now)
        };
        let unmarked = self.with_database(marked).await.err().map(|error| chain(&error));
        Sent { count, problem: problem.or(unmarked) }
    }

    /// Publishes, and gives signs of life for as long as that takes.
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
                () = tokio::time::sleep(SIGN) => {
                    let (name, now) = (self.name.clone(), self.clock.now());
                    // Whether it is still ours is for the next look.
                    let _ = self.with_database(move |db, id| replay::lease(db, id, &name, now, now + LEASE)).await;
                }
            }
        }
    }

    async fn with_database<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection, &str) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        let (pool, id) = (self.pool.clone(), self.id.clone());
        let done = tokio::task::spawn_blocking(move || work(&mut pool.get()?, &id)).await;
        done.unwrap_or_else(|_| Err(DbError::Damaged { what: "work on a replay panicked".to_owned() }))
    }

    /// Waits; true when the process was asked to stop meanwhile.
    async fn wait(&mut self, time: Duration) -> bool {
        tokio::select! {
            _ = self.stop.wait_for(|stop| *stop) => true,
            () = tokio::time::sleep(time) => false,
        }
    }
}

/// What follows from a look.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Send(i64),
    Stop(String),
    Complete,
}

fn next_step(look: &Look) -> Step {
    let Look { replay, progress, settled } = look;
    let canary = replay.canary.min(replay.total - progress.taken_out);
    // What was taken out has proved nothing.
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

/// The message of a row, as it was before its first failure; `None` when it is for no stage of ours.
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

/// What an operator does to a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send nothing more for now.
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

    /// Its name in the audit.
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

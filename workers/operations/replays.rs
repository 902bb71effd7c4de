//! Replays of dead letters: begins, lists, pauses, resumes, aborts and drives them.

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, NaiveDateTime, Utc};
use hosho_schema::{
    db::{Connection, DbError, Pool},
    ids,
    models::{
        audit as entries,
        failed_message::{self, Filter, OPEN, Progress, State as MessageState},
        replay::{self, State},
    },
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{
    Error, Page, PageRequest,
    stages::{Circuit, Fleet, Health},
};
use crate::{
    audit::{self, Operation},
    broker::{Broker, Lane},
    clock::Clock,
    config::Config,
    db::Db,
    dead_letters::{self, Left},
    jobs::{
        driver::{Driver, Ended},
        replay::{self as job, Action, Order, ReplayDriver},
    },
    stages,
};

#[derive(Debug, Clone, Serialize)]
pub struct Replay {
    pub id: String,
    #[serde(serialize_with = "as_text")]
    pub state: State,
    pub total: i64,
    pub waiting: i64,
    #[serde(rename = "under_way")]
    pub in_flight: i64,
    pub resolved: i64,
    pub failed_again: i64,
    pub canary: i64,
    pub rate: i64,
    pub selection: serde_json::Value,
    pub reason: String,
    pub actor: String,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    pub note: Option<String>,
    pub driven_by: Option<String>,
    /// What delays it: paused stages, open circuits, missing workers.
    pub held_up: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "`serialize_with` passes a reference")]
fn as_text<S: serde::Serializer>(state: &State, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.as_text())
}

impl Replay {
    fn of(replay: replay::Replay, progress: Progress) -> Self {
        let is_over = replay.finished_at.is_some();
        Self {
            id: replay.id,
            state: replay.state,
            total: replay.total,
            waiting: if is_over { 0 } else { progress.waiting },
            in_flight: if is_over { 0 } else { progress.under_way },
            resolved: replay.resolved.unwrap_or(progress.resolved),
            failed_again: replay.failed_again.unwrap_or(progress.failed_again),
            canary: replay.canary,
            rate: replay.rate,
            selection: serde_json::from_str(&replay.selection).unwrap_or_default(),
            reason: replay.reason,
            actor: replay.actor,
            created_at: replay.created_at.and_utc(),
            finished_at: replay.finished_at.map(|at| at.and_utc()),
            note: replay.note,
            driven_by: replay.driver,
            held_up: Vec::new(),
        }
    }
}

/// Reads a page of replays, the latest first.
pub async fn list(db: &Db, page: PageRequest) -> Result<Page<Replay>, Error> {
    db.call(move |db| {
        let total = replay::count(db)?;
        let mut items = Vec::new();
        for row in replay::list(db, page.limit, page.offset)? {
            let progress = failed_message::progress(db, &row.id)?;
            items.push(Replay::of(row, progress));
        }
        Ok::<_, DbError>(Page::new(items, total, page))
    })
    .await
    .map_err(Error::from)
}

/// Reads a replay. With `has_workers`, also what delays it: other processes do its work.
pub async fn show(db: &Db, id: &str, now: NaiveDateTime, has_workers: bool) -> Result<Replay, Error> {
    let id = id.to_owned();
    db.call(move |db| {
        let Some(row) = replay::by_id(db, &id)? else {
            return Err(unknown(&id));
        };
        let is_over = row.finished_at.is_some();
        let held_up = if has_workers && !is_over { held_up_in(db, &id, now)? } else { Vec::new() };
        let progress = failed_message::progress(db, &id)?;
        Ok(Replay { held_up, ..Replay::of(row, progress) })
    })
    .await
}

/// What delays a replay: the stages of its unsettled messages that take none.
pub async fn held_up(db: &Db, id: &str, now: NaiveDateTime) -> Result<Vec<String>, Error> {
    let id = id.to_owned();
    Ok(db.call(move |db| held_up_in(db, &id, now)).await?)
}

fn held_up_in(db: &mut Connection, id: &str, now: NaiveDateTime) -> Result<Vec<String>, DbError> {
    let states = vec![MessageState::Replaying];
    let filter = Filter { states, replay_id: Some(id.to_owned()), ..Filter::default() };
    let named: BTreeSet<String> =
        failed_message::counts(db, &filter)?.into_keys().map(|(stage, _)| stage).collect();
    if named.is_empty() {
        return Ok(Vec::new());
    }
    Ok(delays(&named, &Fleet::read(db, now)?))
}

/// In the order of the pipeline: an earlier stage delays the later ones.
fn delays(named: &BTreeSet<String>, fleet: &Fleet) -> Vec<String> {
    let health = fleet.health(Some(Lane::Bulk)).into_iter().filter(|health| named.contains(health.name));
    health.filter_map(|health| delay(&health)).collect()
}

fn delay(health: &Health) -> Option<String> {
    let stage = health.name;
    match (&health.paused, &health.circuit) {
        (Some(paused), _) => Some(format!("{stage} is paused by {}: {}", paused.actor, paused.reason)),
        (None, Circuit::Open { code, .. }) => Some(format!("{stage} waits for a dependency: {code}")),
        _ if health.consumers == 0 => {
            Some(format!("no worker takes messages of {stage}: is `hosho work` running?"))
        }
        _ => None,
    }
}

/// The messages that a replay would hold.
#[derive(Debug, Serialize)]
pub struct Plan {
    pub messages: i64,
    pub for_no_stage: i64,
    pub left_out: Vec<Left>,
}

/// Counts the messages that a replay of a filter would hold.
pub async fn plan(db: &Db, filter: Filter, force: bool) -> Result<Plan, Error> {
    let mut states = OPEN.to_vec();
    if force {
        states.push(MessageState::Resolved);
    }
    let filter = Filter { states, free: true, ..filter };
    db.call(move |db| {
        let counts = failed_message::counts(db, &filter)?;
        let named = !filter.ids.is_empty();
        let found = if named { failed_message::select(db, &filter)? } else { Vec::new() };
        let left_out = dead_letters::left_out(db, &filter, &filter.states, &found)?;
        let (mut messages, mut for_no_stage) = (0, 0);
        for ((stage, _), count) in counts {
            *if stages::NAMES.contains(&stage.as_str()) { &mut messages } else { &mut for_no_stage } += count;
        }
        Ok::<_, DbError>(Plan { messages, for_no_stage, left_out })
    })
    .await
    .map_err(Error::from)
}

/// Freezes a selection as a replay.
pub async fn begin(db: &Db, operation: Operation, order: Order) -> Result<replay::Replay, Error> {
    let replay = db.call(move |db| job::begin(db, &operation, &order)).await?;
    replay.ok_or_else(|| {
        let text = "nothing to replay: no message of this selection is open";
        Error::conflict(anyhow::anyhow!(text)).hint(
            "`hosho failed list --all` prints the state of each; --force replays resolved messages again, \
             without a second effect",
        )
    })
}

/// Pauses or aborts a replay; `dry_run` only checks its state. Returns the replay afterwards.
pub async fn set_state(
    db: &Db,
    operation: Operation,
    id: &str,
    action: Action,
    dry_run: bool,
) -> Result<(), Error> {
    let id = id.to_owned();
    db.transaction(move |db| {
        let done = if dry_run {
            let state = replay::by_id(db, &id)?.map(|replay| replay.state);
            state == Some(State::Running) || (action == Action::Abort && state == Some(State::Paused))
        } else {
            job::set_state(db, &operation, &id, action)?
        };
        if done {
            return Ok(());
        }
        let state = replay::by_id(db, &id)?.map_or("gone", |replay| replay.state.as_text());
        Err(Error::conflict(anyhow::anyhow!("it is {state}: there is nothing to {}", action.verb())))
    })
    .await
}

/// Resumes a paused replay, or takes over a running one that no process drives.
/// `dry_run` only checks its state.
pub async fn resume(db: &Db, operation: Operation, id: &str, dry_run: bool) -> Result<(), Error> {
    let id = id.to_owned();
    db.transaction(move |db| {
        let replay = replay::by_id(db, &id)?.ok_or_else(|| unknown(&id))?;
        match replay.state {
            State::Running if replay.is_driven(operation.at) => Err(driven()),
            State::Running | State::Paused if dry_run => Ok(()),
            State::Paused if job::set_state(db, &operation, &id, Action::Resume)? => Ok(()),
            State::Paused => Err(Error::conflict(anyhow::anyhow!("its state changed just now"))
                .hint("`hosho replay status` prints it")),
            State::Running => {
                let before = match &replay.driver {
                    Some(driver) => format!("running, driven by {driver}"),
                    None => "running, without a driver".to_owned(),
                };
                let entry = operation.entry("replay", &id, Some(before), Some("running".to_owned()));
                entries::write(db, &[entry])?;
                Ok(())
            }
            state => {
                let text = format!("it is over: {}", state.as_text());
                Err(Error::conflict(anyhow::anyhow!(text)).hint("`hosho failed replay` begins another"))
            }
        }
    })
    .await
}

/// The driver of a replay in this process.
pub fn driver(
    id: &str,
    config: &Config,
    pool: Pool,
    broker: Arc<dyn Broker>,
    stop: CancellationToken,
) -> ReplayDriver {
    let clock = Clock::system();
    let name = format!("{} {}", audit::host(), std::process::id());
    let worker = ids::worker(&name, std::process::id(), &clock.now().to_string());
    let name = format!("{name} {}", worker.get(..8).unwrap_or(&worker));
    ReplayDriver {
        driver: Driver { db: Db::new(pool), broker, clock, name, stop },
        id: id.to_owned(),
        lost_after: job::lost_after(&config.retry_delays()),
    }
}

/// Why a replay that was driven here is not complete.
pub fn unfinished(ended: Ended, replay: &Replay) -> Option<Error> {
    let error = match ended {
        Ended::Complete => return None,
        Ended::Driven => return Some(driven()),
        Ended::Stopped(why) => Error::conflict(anyhow::anyhow!("the replay stopped: {why}")).hint(
            "messages that were not sent keep their state; `hosho failed groups` lists what failed again",
        ),
        Ended::ByOthers => {
            let state = replay.state.as_text();
            Error::conflict(anyhow::anyhow!("another operator decided: the replay is {state}"))
        }
        Ended::Interrupted => Error::conflict(anyhow::anyhow!("interrupted"))
            .hint("`hosho replay resume ID --reason …` continues"),
    };
    Some(error)
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("there is no replay {id:?}"))
}

fn driven() -> Error {
    Error::conflict(anyhow::anyhow!("another process drives it")).hint(
        "if that process was killed, try again in 15 seconds; `hosho replay status` prints its progress",
    )
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::stages::tests::{now, paused, worker};
    use super::*;

    #[test]
    fn names_paused_stages_and_stages_without_workers() {
        let named: BTreeSet<String> = ["dispatch", "issue", "render"].map(str::to_owned).into();
        let workers = vec![
            worker("issue", Lane::Bulk, TimeDelta::zero(), |_| {}),
            worker("render", Lane::Bulk, TimeDelta::hours(1), |_| {}),
        ];
        let fleet = Fleet { workers, controls: vec![paused("dispatch")], now: now() };
        let delays = delays(&named, &fleet);
        assert_eq!(delays.len(), 2, "{delays:?}");
        assert!(delays[0].contains("no worker takes messages of render"), "{delays:?}");
        assert_eq!(delays[1], "dispatch is paused by hanako: keys");
    }
}

//! Replays of dead letters: begins, lists, pauses, resumes, aborts and drives them.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use chrono::{DateTime, NaiveDateTime, Utc};
use hosho_schema::{
    db::{Connection, DbError},
    ids,
    models::{
        self,
        failed_message::{self, Filter, OPEN, Progress},
        replay::{self, State},
    },
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{
    Cursor, Error, Page, PageRequest, broker,
    stages::{Circuit, Fleet, Health},
};
use crate::{
    audit::{self, Operation},
    broker::{Broker, Lane},
    clock::Clock,
    config::Config,
    db::Db,
    dead_letters::{self, LeftOut},
    jobs::{
        self,
        driver::{Driver, Ended},
        replay::{Action, Order, ReplayDriver},
    },
    stages,
    worker::{self, Embedded},
};

#[derive(Debug, Clone, Serialize)]
pub struct Replay {
    pub id: String,
    pub state: &'static str,
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

impl Replay {
    fn of(replay: replay::Replay, progress: Progress) -> Self {
        let is_over = replay.finished_at.is_some();
        Self {
            id: replay.id,
            state: replay.state.as_text(),
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
        let rows = replay::list(db, page.rows(), page.place())?;
        let cursor = |row: &replay::Replay| Cursor::new(row.created_at, &row.id);
        Page::new(rows, replay::count(db)?, &page, cursor).try_map(|row| {
            let progress = failed_message::progress(db, &row.id)?;
            Ok(Replay::of(row, progress))
        })
    })
    .await
}

/// `has_workers`: other processes do its work; also reads what delays it.
pub async fn show(db: &Db, id: &str, now: NaiveDateTime, has_workers: bool) -> Result<Replay, Error> {
    let id = id.to_owned();
    db.call(move |db| {
        let row = by_id(db, &id)?;
        let is_over = row.finished_at.is_some();
        let held_up = if has_workers && !is_over { held_up(db, &id, now)? } else { Vec::new() };
        let progress = failed_message::progress(db, &id)?;
        Ok(Replay { held_up, ..Replay::of(row, progress) })
    })
    .await
}

/// What delays a replay: the stages of its unsettled messages that take none.
fn held_up(db: &mut Connection, id: &str, now: NaiveDateTime) -> Result<Vec<String>, DbError> {
    let states = vec![failed_message::State::Replaying];
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
            Some(format!("no worker takes messages of {stage}: start `hosho work`"))
        }
        _ => None,
    }
}

#[derive(Debug, Serialize)]
pub struct Plan {
    pub messages: i64,
    pub for_no_stage: i64,
    pub left_out: Vec<LeftOut>,
}

pub async fn plan(db: &Db, filter: Filter, force: bool) -> Result<Plan, Error> {
    let mut states = OPEN.to_vec();
    if force {
        states.push(failed_message::State::Resolved);
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
        Ok(Plan { messages, for_no_stage, left_out })
    })
    .await
}

pub async fn begin(db: &Db, operation: Operation, order: Order) -> Result<replay::Replay, Error> {
    let replay = db.call(move |db| jobs::replay::begin(db, &operation, &order)).await?;
    replay.ok_or_else(|| {
        Error::conflict("nothing to replay: no message of this selection is open").hint(
            "run `hosho failed list --all` for the state of each; give --force to replay resolved messages \
             again, without a second effect",
        )
    })
}

/// Pauses or aborts a replay; `dry_run` only checks its state.
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
            let state = by_id(db, &id)?.state;
            state == State::Running || (action == Action::Abort && state == State::Paused)
        } else {
            jobs::replay::set_state(db, &operation, &id, action)?
        };
        if done {
            return Ok(());
        }
        let state = by_id(db, &id)?.state.as_text();
        Err(Error::conflict(format!("it is {state}: there is nothing to {}", action.verb())))
    })
    .await
}

/// Resumes a paused replay, or takes over a running one that no process drives.
/// `dry_run` only checks its state.
pub async fn resume(db: &Db, operation: Operation, id: &str, dry_run: bool) -> Result<(), Error> {
    let id = id.to_owned();
    db.transaction(move |db| {
        let replay = by_id(db, &id)?;
        match replay.state {
            State::Running if replay.is_driven(operation.at) => Err(driven()),
            State::Running | State::Paused if dry_run => Ok(()),
            State::Paused if jobs::replay::set_state(db, &operation, &id, Action::Resume)? => Ok(()),
            State::Paused => {
                Err(Error::conflict("its state changed just now")
                    .hint(format!("run `hosho replay status {id}`")))
            }
            State::Running => {
                let before = match &replay.driver {
                    Some(driver) => format!("running, driven by {driver}"),
                    None => "running, without a driver".to_owned(),
                };
                let entry = operation.entry("replay", &id, Some(before), Some("running".to_owned()));
                Ok(models::audit::write(db, &[entry])?)
            }
            state => Err(Error::conflict(format!("it is over: {}", state.as_text()))
                .hint("run `hosho failed replay` to begin another")),
        }
    })
    .await
}

/// Drives a replay to its end.
/// The stages run in workers, or here on the folder `out`. `run` calls [`ReplayDriver::drive`].
pub async fn drive(
    id: &str,
    db: &Db,
    out: Option<&Path>,
    config: &Config,
    run: impl AsyncFnOnce(ReplayDriver) -> Ended,
) -> Result<Ended, Error> {
    let Some(out) = out else {
        let stop = worker::stop_on_signal().map_err(Error::unavailable)?;
        let broker = broker::shared(config)?.broker();
        let ended = run(driver(id, config, db.clone(), Arc::clone(&broker), stop)).await;
        broker.close().await;
        return Ok(ended);
    };
    let mut embedded = Embedded::open(out, config).await?;
    embedded.start(config, &[Lane::Live, Lane::Bulk]);
    let (broker, stop) = (Arc::clone(&embedded.broker), embedded.stop.clone());
    let ended = run(driver(id, config, embedded.app.db.clone(), broker, stop)).await;
    // The messages that follow are processed too.
    embedded.until_idle().await;
    embedded.end().await;
    Ok(ended)
}

fn driver(
    id: &str,
    config: &Config,
    db: Db,
    broker: Arc<dyn Broker>,
    stop: CancellationToken,
) -> ReplayDriver {
    let clock = Clock::system();
    let name = format!("{} {}", audit::host(), std::process::id());
    let worker = ids::worker(&name, std::process::id(), &clock.now().to_string());
    let name = format!("{name} {}", worker.get(..8).unwrap_or(&worker));
    ReplayDriver {
        driver: Driver { db, broker, clock, name, stop },
        id: id.to_owned(),
        lost_after: jobs::replay::lost_after(&config.retry_delays()),
    }
}

/// Why a replay that was driven here is not complete.
pub fn unfinished(ended: Ended, replay: &Replay) -> Option<Error> {
    Some(match ended {
        Ended::Complete => return None,
        Ended::DrivenElsewhere => driven(),
        Ended::Stopped(why) => Error::conflict(format!("the replay stopped: {why}")).hint(
            "run `hosho failed groups` for what failed again; messages that were not sent keep their state",
        ),
        Ended::ChangedElsewhere => {
            Error::conflict(format!("another operator decided: the replay is {}", replay.state))
        }
        Ended::Interrupted => Error::conflict("interrupted")
            .hint(format!("run `hosho replay resume {} --reason …` to continue", replay.id)),
    })
}

fn by_id(db: &mut Connection, id: &str) -> Result<replay::Replay, Error> {
    replay::by_id(db, id)?.ok_or_else(|| Error::not_found(format!("there is no replay {id:?}")))
}

pub fn driven() -> Error {
    Error::conflict("another process drives it").hint(
        "run `hosho replay status` for its progress; if that process was killed, try again in 15 seconds",
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

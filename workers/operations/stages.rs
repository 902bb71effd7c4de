//! The state of each stage: its queues, workers, circuit and pause.
//!
//! [`Fleet::health`] is the one definition of an open circuit; `stages`, `replay` and `doctor` use it.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use hosho_schema::{
    db::{Connection, DbError},
    models::{
        audit,
        failed_message::{self, Filter, OPEN},
        stage_control::{self, StageControl},
        worker::{self, Worker, WorkerStage},
    },
};
use serde::Serialize;

use super::{Error, broker::IN_PROCESS};
use crate::{
    app,
    audit::Operation,
    broker::{Depth, Lane, RetryDelay},
    config::Config,
    db::Db,
    fault::chain,
    jobs::recover,
    pipeline::heartbeat::{GONE_AFTER, Waiting, lane_name},
    stages::NAMES,
};

/// After so long without a heartbeat, a running worker removes the row of another.
pub const REMOVED_AFTER: TimeDelta = TimeDelta::days(1);

/// Unfinished pieces of work that are read to find the oldest of each stage.
const UNFINISHED: i64 = 5_000;

/// The worker processes and the pauses, as the tables hold them.
pub struct Fleet {
    pub workers: Vec<(Worker, Vec<WorkerStage>)>,
    pub controls: Vec<StageControl>,
    pub now: NaiveDateTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    #[serde(rename = "stage")]
    pub name: &'static str,
    pub paused: Option<Paused>,
    pub circuit: Circuit,
    pub consumers: i64,
    #[serde(rename = "unacked")]
    pub held: i64,
    pub per_minute: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Paused {
    pub reason: String,
    pub actor: String,
    pub since: DateTime<Utc>,
}

/// The circuit of a stage: open while a dependency is unavailable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Circuit {
    /// No worker of the stage is running.
    Unknown,
    Closed,
    Open {
        code: String,
        text: String,
        since: DateTime<Utc>,
        next_probe: Option<DateTime<Utc>>,
    },
}

impl Fleet {
    pub fn read(db: &mut Connection, now: NaiveDateTime) -> Result<Self, DbError> {
        Ok(Self { workers: worker::all(db)?, controls: stage_control::all(db)?, now })
    }

    pub fn is_gone(&self, worker: &Worker) -> bool {
        worker.seen_at < self.now - GONE_AFTER
    }

    pub fn running(&self) -> impl Iterator<Item = (&Worker, &WorkerStage)> {
        let running = self.workers.iter().filter(|(worker, _)| !self.is_gone(worker));
        running.flat_map(|(worker, stages)| stages.iter().map(move |stage| (worker, stage)))
    }

    /// The health of every stage in the order of the pipeline, on one lane or on both.
    pub fn health(&self, lane: Option<Lane>) -> Vec<Health> {
        NAMES.iter().map(|stage| self.health_of(stage, lane)).collect()
    }

    fn health_of(&self, name: &'static str, lane: Option<Lane>) -> Health {
        let is_meant =
            |row: &WorkerStage| row.stage == name && lane.is_none_or(|lane| row.lane == lane_name(lane));
        let own: Vec<&WorkerStage> = self.running().map(|(_, row)| row).filter(|row| is_meant(row)).collect();
        let open = own.iter().filter_map(|row| Some((row.open_since?, row))).min_by_key(|(since, _)| *since);
        let circuit = match open {
            Some((since, row)) => Circuit::Open {
                code: row.fault_code.clone().unwrap_or_default(),
                text: row.fault_text.clone().unwrap_or_default(),
                since: since.and_utc(),
                next_probe: row.next_probe.map(|at| at.and_utc()),
            },
            None if own.is_empty() => Circuit::Unknown,
            None => Circuit::Closed,
        };
        let control = self.controls.iter().find(|control| control.stage == name && control.paused);
        Health {
            name,
            paused: control.map(|control| Paused {
                reason: control.reason.clone(),
                actor: control.actor.clone(),
                since: control.changed_at.and_utc(),
            }),
            circuit,
            consumers: own.iter().map(|row| row.consumers).sum(),
            held: own.iter().map(|row| row.held).sum(),
            per_minute: own.iter().map(|row| row.per_minute).sum(),
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub stages: Vec<Stage>,
    /// Messages that wait for their next attempt, of all stages, by retry delay.
    pub waiting: BTreeMap<&'static str, u64>,
    /// Dead letters that are not recorded yet.
    pub dead: Option<u64>,
    pub unrouted: Option<u64>,
    pub workers: Vec<Process>,
    /// Why the queues could not be counted.
    pub broker: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Stage {
    #[serde(flatten)]
    pub health: Health,
    pub ready: Option<u64>,
    pub bulk: Option<u64>,
    /// Messages that wait for their next attempt, by retry delay, counted by workers.
    pub waiting: BTreeMap<&'static str, u64>,
    pub failed: i64,
    pub oldest: Option<DateTime<Utc>>,
    pub oldest_is_known: bool,
}

impl Stage {
    /// Whether messages are ready and no consumer takes them.
    pub fn lacks_consumers(&self) -> bool {
        self.health.consumers == 0 && self.ready.unwrap_or(0) + self.bulk.unwrap_or(0) > 0
    }

    fn has_problem(&self) -> bool {
        let is_open = matches!(self.health.circuit, Circuit::Open { .. });
        is_open || self.health.paused.is_some() || self.lacks_consumers()
    }
}

impl Report {
    pub fn has_problem(&self) -> bool {
        self.broker.is_some() || self.stages.iter().any(Stage::has_problem)
    }
}

#[derive(Debug, Serialize)]
pub struct Process {
    pub host: String,
    pub pid: i64,
    pub version: String,
    pub started_at: DateTime<Utc>,
    pub seen_at: DateTime<Utc>,
    pub is_gone: bool,
    /// When a running worker removes the row of one that is gone.
    pub removed_at: Option<DateTime<Utc>>,
}

/// Reports on every stage: from the database, and the queues from the broker.
pub async fn report(db: &Db, config: &Config, now: NaiveDateTime) -> Result<Report, Error> {
    let rows = db.call(move |db| Rows::read(db, now)).await?;
    let client = app::broker_client(config, NAMES)?;
    let depths = if client.in_process() {
        Err(IN_PROCESS.to_owned())
    } else {
        let depths = client.broker().depths().await.map_err(|error| chain(&error));
        client.broker().close().await;
        depths
    };
    Ok(rows.report(&depths, &config.broker.prefix))
}

struct Rows {
    fleet: Fleet,
    failed: BTreeMap<String, i64>,
    oldest: recover::Oldest,
}

impl Rows {
    fn read(db: &mut Connection, now: NaiveDateTime) -> Result<Self, DbError> {
        let mut failed: BTreeMap<String, i64> = BTreeMap::new();
        let open = Filter { states: OPEN.to_vec(), ..Filter::default() };
        for ((stage, _), count) in failed_message::counts(db, &open)? {
            *failed.entry(stage).or_default() += count;
        }
        Ok(Self { fleet: Fleet::read(db, now)?, failed, oldest: recover::oldest(db, now, UNFINISHED)? })
    }

    fn report(&self, depths: &Result<Vec<Depth>, String>, prefix: &str) -> Report {
        let ready = |name: &str| {
            let queue = format!("{prefix}{name}");
            depths.as_ref().ok()?.iter().find(|depth| depth.queue == queue).map(|depth| depth.ready)
        };
        let stage = |health: Health| {
            let queue = format!("stage.{}", health.name);
            self.stage(health, ready(&queue), ready(&format!("{queue}.bulk")))
        };
        let waiting = |delay: &RetryDelay| Some((delay.name(), ready(&format!("wait.{}", delay.name()))?));
        let process = |(worker, _): &(Worker, Vec<WorkerStage>)| {
            let is_gone = self.fleet.is_gone(worker);
            Process {
                host: worker.host.clone(),
                pid: worker.pid,
                version: worker.version.clone(),
                started_at: worker.started_at.and_utc(),
                seen_at: worker.seen_at.and_utc(),
                is_gone,
                removed_at: is_gone.then(|| (worker.seen_at + REMOVED_AFTER).and_utc()),
            }
        };
        Report {
            stages: self.fleet.health(None).into_iter().map(stage).collect(),
            waiting: RetryDelay::ALL.iter().filter_map(waiting).collect(),
            dead: ready("dead"),
            unrouted: ready("unrouted"),
            workers: self.fleet.workers.iter().map(process).collect(),
            broker: depths.as_ref().err().cloned(),
        }
    }

    fn stage(&self, health: Health, ready: Option<u64>, bulk: Option<u64>) -> Stage {
        let name = health.name;
        let mut waiting: BTreeMap<&'static str, u64> = BTreeMap::new();
        // Messages that a stopped worker sent to wait are still waiting.
        for row in self.fleet.workers.iter().flat_map(|(_, stages)| stages).filter(|row| row.stage == name) {
            for (delay, count) in Waiting::parse(&row.waiting).at(self.fleet.now) {
                *waiting.entry(delay.name()).or_default() += count;
            }
        }
        // The oldest row; before there are rows, the publication time of the messages that workers took last.
        let has_work = ready.is_some_and(|ready| ready > 0) || health.held > 0;
        let own = self.fleet.running().map(|(_, row)| row).filter(|row| row.stage == name && has_work);
        let taken = own.filter_map(|row| row.taken_from).min();
        let oldest = self.oldest.by_stage.get(name).copied().or(taken);
        let is_empty = self.oldest.is_all && ready == Some(0) && bulk == Some(0);
        Stage {
            ready,
            bulk,
            waiting,
            failed: self.failed.get(name).copied().unwrap_or(0),
            oldest: oldest.map(|at| at.and_utc()),
            oldest_is_known: oldest.is_some() || is_empty,
            health,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Change {
    pub stage: String,
    pub paused: bool,
    /// Whether it was in the other state before.
    pub changed: bool,
    /// `null` when nothing was changed.
    pub operation: Option<String>,
}

/// Pauses or resumes a stage; `dry_run` only finds out whether it would change.
pub async fn set_paused(
    db: &Db,
    operation: Operation,
    stage: &str,
    paused: bool,
    dry_run: bool,
) -> Result<Change, Error> {
    let (name, id) = (stage.to_owned(), operation.id.clone());
    let changed = db.transaction(move |db| {
        if dry_run {
            let controls = stage_control::all(db)?;
            let is_paused = controls.iter().any(|control| control.stage == name && control.paused);
            return Ok::<_, DbError>(is_paused != paused);
        }
        let control = StageControl {
            stage: name.clone(),
            paused,
            reason: operation.reason.clone(),
            actor: operation.actor.clone(),
            changed_at: operation.at,
        };
        let changed = stage_control::set(db, &control)?;
        if changed {
            let text = |paused| Some(if paused { "paused" } else { "running" }.to_owned());
            audit::write(db, &[operation.entry("stage", &name, text(!paused), text(paused))])?;
        }
        Ok(changed)
    });
    let changed = changed.await?;
    let operation = (changed && !dry_run).then_some(id);
    Ok(Change { stage: stage.to_owned(), paused, changed, operation })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::operations) fn now() -> NaiveDateTime {
        "2026-12-01T00:00:00".parse().unwrap()
    }

    /// A worker with one stage, whose last heartbeat is `silent` ago.
    pub(in crate::operations) fn worker(
        stage: &str,
        lane: Lane,
        silent: TimeDelta,
        change: impl FnOnce(&mut WorkerStage),
    ) -> (Worker, Vec<WorkerStage>) {
        let worker = Worker {
            id: "w".to_owned(),
            host: "a".to_owned(),
            pid: 7,
            version: "1".to_owned(),
            started_at: now(),
            seen_at: now() - silent,
        };
        let mut row = WorkerStage {
            worker_id: "w".to_owned(),
            stage: stage.to_owned(),
            lane: lane_name(lane).to_owned(),
            consumers: 1,
            held: 1,
            done: 0,
            per_minute: 0,
            busy_since: None,
            taken_from: None,
            fault_code: None,
            fault_text: None,
            open_since: None,
            next_probe: None,
            waiting: String::new(),
        };
        change(&mut row);
        (worker, vec![row])
    }

    pub(in crate::operations) fn paused(stage: &str) -> StageControl {
        StageControl {
            stage: stage.to_owned(),
            paused: true,
            reason: "keys".to_owned(),
            actor: "hanako".to_owned(),
            changed_at: now(),
        }
    }

    #[test]
    fn health_counts_running_workers_of_the_lane() {
        let open = |row: &mut WorkerStage| {
            row.open_since = Some(now());
            row.fault_code = Some("mail.unavailable".to_owned());
        };
        let workers = vec![
            worker("issue", Lane::Live, TimeDelta::zero(), |_| {}),
            worker("issue", Lane::Bulk, TimeDelta::hours(1), |_| {}),
            worker("dispatch", Lane::Bulk, TimeDelta::zero(), open),
        ];
        let fleet = Fleet { workers, controls: vec![paused("mint")], now: now() };
        let of =
            |name: &str, lane| fleet.health(lane).into_iter().find(|health| health.name == name).unwrap();
        assert_eq!((of("issue", None).consumers, of("issue", Some(Lane::Bulk)).consumers), (1, 0));
        assert_eq!(of("issue", Some(Lane::Bulk)).circuit, Circuit::Unknown);
        assert_eq!(of("issue", None).circuit, Circuit::Closed);
        assert!(
            matches!(of("dispatch", None).circuit, Circuit::Open { code, .. } if code == "mail.unavailable")
        );
        assert_eq!(of("mint", None).paused.unwrap().actor, "hanako");
    }
}

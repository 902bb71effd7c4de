//! What holds a replay up that is running: a stage that is paused, waits for something, or has nobody to do its work.

use std::collections::BTreeSet;

use chrono::NaiveDateTime;
use hosho_schema::{
    db::{Connection, DbError},
    models::{
        failed_message::{self, Filter, State},
        stage_control::{self, StageControl},
        worker::{self, Worker, WorkerStage},
    },
};

use crate::{pipeline::heartbeat::GONE_AFTER, stages};

/// The lane of replays, as workers call it.
const BULK: &str = "bulk";

/// What the workers and the controls tell of the stages whose messages a replay has not settled.
pub(super) fn look(db: &mut Connection, replay_id: &str, now: NaiveDateTime) -> Result<Vec<String>, DbError> {
    let filter =
        Filter { states: vec![State::Replaying], replay_id: Some(replay_id.to_owned()), ..Filter::default() };
    let named: BTreeSet<String> =
        failed_message::counts(db, &filter)?.into_keys().map(|(stage, _)| stage).collect();
    if named.is_empty() {
        return Ok(Vec::new());
    }
    Ok(told(&named, &stage_control::all(db)?, &worker::all(db)?, now))
}

fn told(
    named: &BTreeSet<String>,
    controls: &[StageControl],
    workers: &[(Worker, Vec<WorkerStage>)],
    now: NaiveDateTime,
) -> Vec<String> {
    let living = || {
        workers.iter().filter(|(worker, _)| worker.seen_at >= now - GONE_AFTER).flat_map(|(_, stages)| stages)
    };
    // In the order of the pipeline: what comes first holds up what follows.
    let named = stages::NAMES.iter().filter(|stage| named.contains(**stage));
    let hold = |stage: &str| {
        if let Some(control) = controls.iter().find(|control| control.stage == stage && control.paused) {
            return Some(format!("{stage} is paused by {}: {}", control.actor, control.reason));
        }
        let own: Vec<&WorkerStage> = living().filter(|row| row.stage == stage && row.lane == BULK).collect();
        if let Some(open) = own.iter().find(|row| row.open_since.is_some()) {
            return Some(format!(
                "{stage} waits for something that is down: {}",
                open.fault_code.as_deref().unwrap_or("?")
            ));
        }
        let consumers: i64 = own.iter().map(|row| row.consumers).sum();
        (consumers == 0).then(|| format!("no worker takes messages of {stage}: is `hosho work` running?"))
    };
    named.filter_map(|stage| hold(stage)).collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn now() -> NaiveDateTime {
        "2026-12-01T00:00:00".parse().unwrap()
    }

    fn working(stage: &str, consumers: i64, seen: TimeDelta) -> (Worker, Vec<WorkerStage>) {
        let worker = Worker {
            id: "w".to_owned(),
            host: "a".to_owned(),
            pid: 7,
            version: "1".to_owned(),
            started_at: now(),
            seen_at: now() - seen,
        };
        let row = WorkerStage {
            worker_id: "w".to_owned(),
            stage: stage.to_owned(),
            lane: "bulk".to_owned(),
            consumers,
            held: 0,
            done: 0,
            per_minute: 0,
            taken_from: None,
            busy_since: None,
            open_since: None,
            next_probe: None,
            fault_code: None,
            fault_text: None,
            waiting: String::new(),
        };
        (worker, vec![row])
    }

    #[test]
    fn a_paused_stage_and_a_stage_without_workers_are_named() {
        let named: BTreeSet<String> = ["dispatch", "issue", "render"].map(str::to_owned).into();
        let paused = StageControl {
            stage: "dispatch".to_owned(),
            paused: true,
            reason: "the relay is replaced".to_owned(),
            actor: "hanako".to_owned(),
            changed_at: now(),
        };
        let workers = [working("issue", 1, TimeDelta::zero()), working("render", 1, TimeDelta::hours(1))];
        let told = told(&named, &[paused], &workers, now());
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("no worker takes messages of render"), "{told:?}");
        assert_eq!(told[1], "dispatch is paused by hanako: the relay is replaced");
    }
}

//! Worker processes: a heartbeat every few seconds, with the state of each stage.
//!
//! Nothing depends on it: a process that cannot reach the database continues and is missing from the list.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::chunks;
use super::tables::{worker, worker_stage};
use crate::db::{Connection, Result, micros, query};

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = worker)]
pub struct Worker {
    pub id: String,
    pub host: String,
    pub pid: i64,
    pub version: String,
    pub started_at: NaiveDateTime,
    pub seen_at: NaiveDateTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = worker_stage, treat_none_as_default_value = false)]
pub struct WorkerStage {
    pub worker_id: String,
    pub stage: String,
    /// `live` or `bulk`.
    pub lane: String,
    pub consumers: i64,
    pub held: i64,
    pub done: i64,
    pub per_minute: i64,
    pub busy_since: Option<NaiveDateTime>,
    /// When the latest message was published, where it has a timestamp.
    pub taken_from: Option<NaiveDateTime>,
    /// Why it waits: the stable code of the fault.
    pub fault_code: Option<String>,
    pub fault_text: Option<String>,
    pub open_since: Option<NaiveDateTime>,
    pub next_probe: Option<NaiveDateTime>,
    /// JSON: the messages it has sent to a retry queue, by delay.
    pub waiting: String,
}

/// Also deletes processes without a heartbeat since `gone_before`.
pub fn heartbeat(
    db: &mut Connection,
    process: &Worker,
    stages: &[WorkerStage],
    gone_before: NaiveDateTime,
) -> Result<()> {
    let process = Worker {
        started_at: micros(process.started_at),
        seen_at: micros(process.seen_at),
        ..process.clone()
    };
    let at = |moment: Option<NaiveDateTime>| moment.map(micros);
    let rows: Vec<WorkerStage> = stages
        .iter()
        .map(|row| WorkerStage {
            busy_since: at(row.busy_since),
            taken_from: at(row.taken_from),
            open_since: at(row.open_since),
            next_probe: at(row.next_probe),
            ..row.clone()
        })
        .collect();
    db.transaction(|db| {
        query!(db, "insert a worker", c => {
            diesel::insert_into(worker::table)
                .values(&process)
                .on_conflict(worker::id)
                .do_update()
                .set(worker::seen_at.eq(process.seen_at))
                .execute(c)
        })?;
        query!(db, "delete the stages of a worker", c => {
            diesel::delete(worker_stage::table.filter(worker_stage::worker_id.eq(&process.id))).execute(c)
        })?;
        chunks::insert!(db, "insert the stages of a worker", c, rows => {
            diesel::insert_into(worker_stage::table).values(rows).execute(c)
        })?;
        query!(db, "delete silent workers", c => {
            diesel::delete(worker::table.filter(worker::seen_at.lt(micros(gone_before)))).execute(c)
        })
        .map(drop)
    })
}

pub fn remove(db: &mut Connection, id: &str) -> Result<()> {
    query!(db, "delete a worker", c => {
        diesel::delete(worker::table.filter(worker::id.eq(id))).execute(c)
    })
    .map(drop)
}

/// Reads every process with what it does, the longest running first.
pub fn all(db: &mut Connection) -> Result<Vec<(Worker, Vec<WorkerStage>)>> {
    let workers: Vec<Worker> = query!(db, "read workers", c => {
        worker::table.order((worker::started_at, worker::id)).select(Worker::as_select()).load(c)
    })?;
    let stages: Vec<WorkerStage> = query!(db, "read workers", c => {
        worker_stage::table.order((worker_stage::stage, worker_stage::lane)).select(WorkerStage::as_select()).load(c)
    })?;
    Ok(workers
        .into_iter()
        .map(|worker| {
            let own = stages.iter().filter(|stage| stage.worker_id == worker.id).cloned().collect();
            (worker, own)
        })
        .collect())
}

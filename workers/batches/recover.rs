//! Queues again what the database says was left between two stages.
//!
//! The last net. Rows remember everything an application still lacks, so a queue that was lost, purged or restored from a
//! backup costs time and nothing else. In the embedded mode, whose queue lives in memory, this *is* the restart.

use std::collections::HashMap;

use chrono::TimeDelta;
use hosho_schema::{
    db::Connection,
    models::{
        application,
        unfinished::{self, Awaits, Unfinished},
    },
};

use crate::{
    assembly::Services,
    broker::{Lane, Outgoing},
    stage::{Fault, Item},
    stages::{dispatch, issue, mint, render},
    telemetry::Traceparent,
};

/// Applications and certificates taken in one turn; the next turn takes others.
const LIMIT: i64 = 10_000;

/// The messages for everything that is not finished now. For the embedded mode's start: nobody else is working on it.
pub fn everything(services: &Services) -> Result<Vec<Outgoing>, Fault> {
    let mut db = services.pool.get()?;
    let found = unfinished::unfinished(&mut db, services.clock.now(), LIMIT)?;
    messages(&mut db, &found)
}

/// The messages for what was begun more than `after` ago and is not finished. What is taken here is taken by no other
/// instance, and waits twice as long for its next turn: a dead letter that nobody has mended is not multiplied for ever.
pub fn overdue(services: &Services, after: TimeDelta) -> Result<Vec<Outgoing>, Fault> {
    let mut db = services.pool.get()?;
    let found = unfinished::take_unfinished(&mut db, services.clock.now(), after, LIMIT)?;
    messages(&mut db, &found)
}

fn messages(db: &mut Connection, found: &[Unfinished]) -> Result<Vec<Outgoing>, Fault> {
    let ids: Vec<&str> = found.iter().map(|work| work.application_id.as_str()).collect();
    let traces: HashMap<String, Traceparent> = application::by_ids(db, &ids)?
        .into_iter()
        .flatten()
        .filter_map(|row| Some((row.id, row.traceparent.as_deref().and_then(Traceparent::parse)?)))
        .collect();
    Ok(found.iter().map(|work| message(work, traces.get(&work.application_id))).collect())
}

fn message(work: &Unfinished, trace: Option<&Traceparent>) -> Outgoing {
    let item = Item {
        job: (),
        lane: Lane::Live,
        correlation_id: Some(work.application_id.clone()),
        trace: trace.cloned().unwrap_or_else(|| Traceparent::derived(&work.application_id)),
    };
    match (&work.guarantee_id, work.revision, work.at) {
        (Some(guarantee), Some(revision), Awaits::Mint) => mint::job(&item, guarantee, revision),
        (Some(guarantee), Some(revision), Awaits::Render) => render::job(&item, guarantee, revision),
        (Some(guarantee), Some(revision), Awaits::Dispatch) => dispatch::job(&item, guarantee, revision),
        _ => issue::job(&item, &work.application_id, work.line),
    }
}

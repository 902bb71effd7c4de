//! Queues again what the database says was left between two stages.
//!
//! The last net. Rows remember everything an application still lacks, so a queue that was lost, purged or restored from a
//! backup costs time and nothing else. In the embedded mode, whose queue lives in memory, this *is* the restart.

use std::collections::{BTreeMap, HashMap};

use chrono::{NaiveDateTime, TimeDelta};
use hosho_schema::{
    db::{Connection, DbError},
    ids,
    messages::{DispatchV1, IssueV1, MintV1, RenderV1},
    models::{application, failed_message},
    queries::unfinished::{self, Awaits, Unfinished},
};
use sha2::{Digest, Sha256};

use crate::{
    app::App,
    broker::{Destination, Lane, Outgoing},
    fault::Fault,
    hex::hex,
    pipeline::stage::Item,
    telemetry::Traceparent,
};

/// Applications and certificates taken in one turn; the next turn takes others.
const LIMIT: i64 = 10_000;

/// The messages for everything that is not finished now. For the embedded mode's start: nobody else is working on it.
pub fn everything(services: &App) -> Result<Vec<Outgoing>, Fault> {
    let mut db = services.pool.get()?;
    let found = unfinished::unfinished(&mut db, services.clock.now(), LIMIT)?;
    messages(&mut db, &found)
}

/// The messages for what was begun more than `after` ago and is not finished. What is taken here is taken by no other
/// instance, and waits twice as long for its next turn: a dead letter that nobody has mended is not multiplied for ever.
pub fn overdue(services: &App, after: TimeDelta) -> Result<Vec<Outgoing>, Fault> {
    let mut db = services.pool.get()?;
    let found = unfinished::take_unfinished(&mut db, services.clock.now(), after, LIMIT)?;
    let messages = messages(&mut db, &found)?;
    without_failed(&mut db, messages, services.clock.now() - after)
}

/// The messages for all that was begun more than `after` ago and is not finished, however often it was queued before, and how
/// many more are left out because they are among the failed messages. For an operator who knows that the queues are lost.
pub fn all(services: &App, after: TimeDelta) -> Result<(Vec<Outgoing>, usize), Fault> {
    let mut db = services.pool.get()?;
    let found = unfinished::unfinished(&mut db, services.clock.now() - after, i64::MAX)?;
    let all = messages(&mut db, &found)?;
    let count = all.len();
    let messages = without_failed(&mut db, all, services.clock.now() - after)?;
    let left_out = count - messages.len();
    Ok((messages, left_out))
}

/// Since when each stage has had work.
pub struct Oldest {
    /// The moment the oldest was begun (UTC), by stage; what is a dead letter or was given up does not count.
    pub by_stage: BTreeMap<&'static str, NaiveDateTime>,
    /// Whether everything was looked at: if not, a stage that is not named may have work all the same.
    pub is_all: bool,
}

/// Finds since when each stage has had work, of the oldest `limit` pieces of each kind.
pub fn oldest(db: &mut Connection, now: NaiveDateTime, limit: i64) -> Result<Oldest, DbError> {
    let found = unfinished::unfinished(db, now, limit)?;
    let messages: Vec<Outgoing> = found.iter().map(|work| message(work, None)).collect();
    let failed = failed(db, &messages, chrono::DateTime::UNIX_EPOCH.naive_utc())?;
    let mut by_stage: BTreeMap<&'static str, NaiveDateTime> = BTreeMap::new();
    for ((work, message), failed) in found.iter().zip(&messages).zip(failed) {
        if let (Destination::Stage(stage, _), false) = (&message.destination, failed) {
            by_stage.entry(stage).and_modify(|at| *at = (*at).min(work.since)).or_insert(work.since);
        }
    }
    Ok(Oldest { by_stage, is_all: i64::try_from(found.len()).unwrap_or(i64::MAX) < limit })
}

/// Leaves out what is a dead letter already: it waits for an operator, and would only fail again. What a replay sent before
/// `sent_before` may have been lost like everything else.
fn without_failed(
    db: &mut Connection,
    messages: Vec<Outgoing>,
    sent_before: NaiveDateTime,
) -> Result<Vec<Outgoing>, Fault> {
    let failed = failed(db, &messages, sent_before)?;
    Ok(messages.into_iter().zip(failed).filter(|(_, failed)| !failed).map(|(message, _)| message).collect())
}

/// Which of these messages are dead letters, or were given up.
fn failed(
    db: &mut Connection,
    messages: &[Outgoing],
    sent_before: NaiveDateTime,
) -> Result<Vec<bool>, DbError> {
    let failed_id = |message: &Outgoing| {
        let Destination::Stage(stage, _) = &message.destination else { return None };
        let payload_sha256 = hex(&Sha256::digest(&message.envelope.payload));
        Some(ids::failed_message(stage, message.envelope.message_id.as_deref()?, &payload_sha256))
    };
    let ids: Vec<Option<String>> = messages.iter().map(failed_id).collect();
    let asked: Vec<&str> = ids.iter().flatten().map(String::as_str).collect();
    let failed = failed_message::unsettled(db, &asked, sent_before)?;
    Ok(ids.iter().map(|id| id.as_ref().is_some_and(|id| failed.contains(id))).collect())
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
        failed_id: None,
        replayed: false,
    };
    match (&work.guarantee_id, work.revision, work.at) {
        (Some(guarantee), Some(revision), Awaits::Mint) => {
            item.successor(&MintV1 { guarantee: guarantee.clone(), revision })
        }
        (Some(guarantee), Some(revision), Awaits::Render) => {
            item.successor(&RenderV1 { guarantee: guarantee.clone(), revision, run: None })
        }
        (Some(guarantee), Some(revision), Awaits::Dispatch) => {
            item.successor(&DispatchV1 { guarantee: guarantee.clone(), revision })
        }
        _ => item.successor(&IssueV1 { application: work.application_id.clone(), line: work.line }),
    }
}

//! Publishes again the messages of unfinished work, found in the database.
//!
//! The last safety net. Rows record everything an application still lacks, so a queue that was lost, purged
//! or restored from a backup costs time and nothing else. The embedded mode, whose queue is in memory,
//! restarts this way.

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
    broker::{Destination, Lane, Outgoing},
    fault::Result,
    pipeline::stage::Item,
    telemetry::Traceparent,
};

/// Applications and certificates per call; the next call takes others.
const LIMIT: i64 = 10_000;

/// The messages for all unfinished work.
/// For the start of the embedded mode, where no other process works on it.
pub fn everything(db: &mut Connection, now: NaiveDateTime) -> Result<Vec<Outgoing>> {
    let found = unfinished::unfinished(db, now, LIMIT)?;
    messages(db, &found)
}

/// The messages for unfinished work that was begun more than `after` ago.
/// Other instances skip what is taken here, and it is due again after twice the time, so that an unresolved
/// dead letter does not multiply.
pub fn overdue(db: &mut Connection, now: NaiveDateTime, after: TimeDelta) -> Result<Vec<Outgoing>> {
    let found = unfinished::take_unfinished(db, now, after, LIMIT)?;
    let messages = messages(db, &found)?;
    without_failed(db, messages, now - after)
}

/// The messages for all unfinished work, for an operator who has lost the queues.
/// All work begun before `begun_before` counts, however often it was queued before. The number is of messages
/// that are omitted because they are failed messages.
pub fn all(db: &mut Connection, begun_before: NaiveDateTime) -> Result<(Vec<Outgoing>, usize)> {
    let found = unfinished::unfinished(db, begun_before, i64::MAX)?;
    let all = messages(db, &found)?;
    let count = all.len();
    let messages = without_failed(db, all, begun_before)?;
    let omitted = count - messages.len();
    Ok((messages, omitted))
}

/// The age of the oldest work of each stage.
pub struct Oldest {
    /// When the oldest was begun (UTC), without dead letters and discarded messages.
    pub by_stage: BTreeMap<&'static str, NaiveDateTime>,
    /// Whether all work was read; if not, a missing stage may have work all the same.
    pub is_all: bool,
}

/// Reads the oldest `limit` rows of each kind.
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

/// Omits dead letters: they wait for an operator, and would only fail again.
/// Messages that a replay sent before `sent_before` may have been lost like all others.
fn without_failed(
    db: &mut Connection,
    messages: Vec<Outgoing>,
    sent_before: NaiveDateTime,
) -> Result<Vec<Outgoing>> {
    let failed = failed(db, &messages, sent_before)?;
    Ok(messages.into_iter().zip(failed).filter(|(_, failed)| !failed).map(|(message, _)| message).collect())
}

/// Which of these messages are dead letters, or were discarded.
fn failed(
    db: &mut Connection,
    messages: &[Outgoing],
    sent_before: NaiveDateTime,
) -> Result<Vec<bool>, DbError> {
    let failed_id = |message: &Outgoing| {
        let Destination::Stage(stage, _) = &message.destination else { return None };
        let payload_sha256 = hex::encode(Sha256::digest(&message.envelope.payload));
        Some(ids::failed_message(stage, message.envelope.message_id.as_deref()?, &payload_sha256))
    };
    let ids: Vec<Option<String>> = messages.iter().map(failed_id).collect();
    let known: Vec<&str> = ids.iter().flatten().map(String::as_str).collect();
    let failed = failed_message::unsettled(db, &known, sent_before)?;
    Ok(ids.iter().map(|id| id.as_ref().is_some_and(|id| failed.contains(id))).collect())
}

fn messages(db: &mut Connection, found: &[Unfinished]) -> Result<Vec<Outgoing>> {
    let ids: Vec<&str> = found.iter().map(|work| work.application_id.as_str()).collect();
    let rows = application::by_ids(db, &ids)?.into_iter().flatten();
    let traces: HashMap<String, Option<String>> = rows.map(|row| (row.id, row.traceparent)).collect();
    let trace = |work: &Unfinished| traces.get(&work.application_id)?.as_deref();
    Ok(found.iter().map(|work| message(work, trace(work))).collect())
}

fn message(work: &Unfinished, traceparent: Option<&str>) -> Outgoing {
    let trace = Traceparent::of(traceparent, &work.application_id);
    let item = Item::new((), Lane::Live, Some(work.application_id.clone()), trace);
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

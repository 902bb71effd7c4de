//! The messages of a replay.

use chrono::NaiveDateTime;
use diesel::dsl::{count_star, sql};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable};

use super::{FREE, FailedMessage, State, overtaken, texts};
use crate::db::{Connection, Result, micros, query};
use crate::models::chunks;
use crate::models::tables::failed_message;

const SETTLED: [State; 2] = [State::Resolved, State::FailedAgain];

/// Adds messages to a replay.
/// Contention when another process has changed one of them, or added it to another replay.
pub(in crate::models) fn freeze(
    db: &mut Connection,
    ids: &[&str],
    from: &[State],
    replay_id: &str,
    now: NaiveDateTime,
) -> Result<()> {
    let frozen = chunks::update!(db, "select failed messages for a replay", c, ids => {
        diesel::update(failed_message::table.filter(failed_message::id.eq_any(ids)).filter(failed_message::state.eq_any(texts(from))))
            .filter(sql::<Bool>(FREE))
            .set((
                failed_message::state.eq(State::Replaying),
                failed_message::changed_at.eq(micros(now)),
                failed_message::replay_id.eq(replay_id),
                failed_message::replay_fingerprint.eq(failed_message::fingerprint.nullable()),
                failed_message::sent_at.eq(None::<NaiveDateTime>),
                failed_message::settled_seq.eq(None::<i64>),
            ))
            .execute(c)
    })?;
    if frozen < ids.len() { Err(overtaken()) } else { Ok(()) }
}

/// The next messages a replay has not sent, the earliest failure first.
pub fn unsent(db: &mut Connection, replay_id: &str, limit: i64) -> Result<Vec<FailedMessage>> {
    query!(db, "read failed messages", c => {
        failed_message::table
            .filter(failed_message::replay_id.eq(replay_id))
            // A literal, so that the partial index is used.
            .filter(sql::<Bool>("state = 'replaying' and sent_at is null"))
            .order((failed_message::first_failed_at, failed_message::id))
            .limit(limit)
            .select(FailedMessage::as_select())
            .load(c)
    })
}

/// Marks messages as sent by a replay. Messages that left the replay stay.
pub fn mark_sent(db: &mut Connection, replay_id: &str, ids: &[&str], now: NaiveDateTime) -> Result<()> {
    chunks::update!(db, "mark replayed messages as sent", c, ids => {
        diesel::update(failed_message::table.filter(failed_message::id.eq_any(ids)))
            .filter(failed_message::replay_id.eq(replay_id))
            .filter(failed_message::state.eq(State::Replaying))
            .set(failed_message::sent_at.eq(micros(now)))
            .execute(c)
    })?;
    Ok(())
}

/// Marks unsettled messages as unsent that were sent before `sent_before`.
pub fn mark_lost(db: &mut Connection, replay_id: &str, sent_before: NaiveDateTime) -> Result<usize> {
    query!(db, "mark replayed messages as lost", c => {
        diesel::update(failed_message::table.filter(failed_message::replay_id.eq(replay_id)))
            .filter(failed_message::state.eq(State::Replaying))
            .filter(failed_message::sent_at.lt(micros(sent_before)))
            .set(failed_message::sent_at.eq(None::<NaiveDateTime>))
            .execute(c)
    })
}

/// Gives settled messages of a replay their place in the order of settling.
/// Ties are of one transaction, or of two at the same time.
pub(super) fn settle(db: &mut Connection, ids: &[&str]) -> Result<()> {
    const NEXT: &str = "(select coalesce(max(other.settled_seq), 0) + 1 from failed_message as other \
        where other.replay_id = failed_message.replay_id)";
    chunks::update!(db, "settle replayed messages", c, ids => {
        diesel::update(failed_message::table.filter(failed_message::id.eq_any(ids)))
            .filter(failed_message::replay_id.is_not_null())
            .filter(failed_message::state.eq_any(texts(&SETTLED)))
            .set(failed_message::settled_seq.eq(sql::<Nullable<BigInt>>(NEXT)))
            .execute(c)
    })?;
    Ok(())
}

/// Sets the unsettled messages of a replay to `failed`.
/// Messages in flight may still settle.
pub(in crate::models) fn release(db: &mut Connection, replay_id: &str, now: NaiveDateTime) -> Result<usize> {
    query!(db, "release replayed messages", c => {
        diesel::update(failed_message::table.filter(failed_message::replay_id.eq(replay_id)))
            .filter(failed_message::state.eq(State::Replaying))
            .set((failed_message::state.eq(State::Failed), failed_message::changed_at.eq(micros(now))))
            .execute(c)
    })
}

/// How far a replay has come, in messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    pub waiting: i64,
    pub under_way: i64,
    pub resolved: i64,
    pub failed_again: i64,
    pub taken_out: i64,
}

pub fn progress(db: &mut Connection, replay_id: &str) -> Result<Progress> {
    let rows: Vec<(State, i64, i64)> = query!(db, "read failed messages", c => {
        failed_message::table
            .filter(failed_message::replay_id.eq(replay_id))
            .group_by(failed_message::state)
            .select((failed_message::state, count_star(), sql::<BigInt>("count(*) filter (where sent_at is null)")))
            .load(c)
    })?;
    let mut progress = Progress::default();
    for (state, count, unsent) in rows {
        match state {
            State::Replaying => {
                progress.waiting += unsent;
                progress.under_way += count - unsent;
            }
            State::Resolved => progress.resolved += count,
            State::FailedAgain => progress.failed_again += count,
            State::Failed | State::Discarded => progress.taken_out += count,
        }
    }
    Ok(progress)
}

/// Newest first: the fingerprint of a failure, `None` where it was resolved.
pub fn last_settled(db: &mut Connection, replay_id: &str, limit: i64) -> Result<Vec<Option<String>>> {
    let rows: Vec<(State, String)> = query!(db, "read failed messages", c => {
        failed_message::table
            .filter(failed_message::replay_id.eq(replay_id))
            .filter(failed_message::state.eq_any(texts(&SETTLED)))
            .order((failed_message::settled_seq.desc(), failed_message::id))
            .limit(limit)
            .select((failed_message::state, failed_message::fingerprint))
            .load(c)
    })?;
    Ok(rows
        .into_iter()
        .map(|(state, fingerprint)| (state == State::FailedAgain).then_some(fingerprint))
        .collect())
}

//! What a replay does with the messages it holds.

use chrono::NaiveDateTime;
use diesel::dsl::count_star;
use diesel::{BoolExpressionMethods, ExpressionMethods, NullableExpressionMethods, QueryDsl, RunQueryDsl, SelectableHelper};

use super::{FailedMessage, State, overtaken, texts};
use crate::db::{Connection, DbError, MAX_BINDS, match_connection, micros, reading, writing};
use crate::models::tables::failed_message;

/// Freezes messages into a replay: `replaying` from now on. Contention when another process has changed one of them meanwhile.
pub(in crate::models) fn freeze(
    connection: &mut Connection,
    ids: &[&str],
    from: &[State],
    replay_id: &str,
    now: NaiveDateTime,
) -> Result<(), DbError> {
    for ids in ids.chunks(MAX_BINDS - 16) {
        let frozen = match_connection!(connection, c => {
            diesel::update(failed_message::table.filter(failed_message::id.eq_any(ids)).filter(failed_message::state.eq_any(texts(from))))
                .set((
                    failed_message::state.eq(State::Replaying),
                    failed_message::changed_at.eq(micros(now)),
                    failed_message::replay_id.eq(replay_id),
                    failed_message::replay_fingerprint.eq(failed_message::fingerprint.nullable()),
                    failed_message::sent_at.eq(None::<NaiveDateTime>),
                ))
                .execute(c)
        })
        .map_err(writing("failed messages"))?;
        if frozen < ids.len() {
            return Err(overtaken());
        }
    }
    Ok(())
}

/// The next messages a replay has not sent, the earliest failure first.
pub fn unsent(connection: &mut Connection, replay_id: &str, limit: i64) -> Result<Vec<FailedMessage>, DbError> {
    match_connection!(connection, c => {
        failed_message::table
            .filter(failed_message::replay_id.eq(replay_id))
            .filter(failed_message::state.eq(State::Replaying).and(failed_message::sent_at.is_null()))
            .order((failed_message::first_failed_at, failed_message::id))
            .limit(limit)
            .select(FailedMessage::as_select())
            .load(c)
    })
    .map_err(reading("failed messages"))
}

/// Writes down that a replay has sent messages.
pub fn mark_sent(connection: &mut Connection, ids: &[&str], now: NaiveDateTime) -> Result<(), DbError> {
    for ids in ids.chunks(MAX_BINDS - 8) {
        match_connection!(connection, c => {
            diesel::update(failed_message::table.filter(failed_message::id.eq_any(ids)))
                .set(failed_message::sent_at.eq(micros(now)))
                .execute(c)
        })
        .map_err(writing("failed messages"))?;
    }
    Ok(())
}

/// Lets go of what a replay has not settled: `failed` again, for another to take. What is under way may still settle.
pub(in crate::models) fn release(connection: &mut Connection, replay_id: &str, now: NaiveDateTime) -> Result<usize, DbError> {
    match_connection!(connection, c => {
        diesel::update(failed_message::table.filter(failed_message::replay_id.eq(replay_id)))
            .filter(failed_message::state.eq(State::Replaying))
            .set((failed_message::state.eq(State::Failed), failed_message::changed_at.eq(micros(now))))
            .execute(c)
    })
    .map_err(writing("failed messages"))
}

/// How far a replay has come, in messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Not sent yet.
    pub waiting: i64,
    /// Sent, and neither worked off nor failed.
    pub under_way: i64,
    /// Worked off.
    pub resolved: i64,
    /// Failed once more.
    pub failed_again: i64,
    /// Taken out of it by an operator.
    pub taken_out: i64,
}

/// Counts how far a replay has come.
pub fn progress(connection: &mut Connection, replay_id: &str) -> Result<Progress, DbError> {
    let rows: Vec<(State, i64)> = match_connection!(connection, c => {
        failed_message::table
            .filter(failed_message::replay_id.eq(replay_id))
            .group_by(failed_message::state)
            .select((failed_message::state, count_star()))
            .load(c)
    })
    .map_err(reading("failed messages"))?;
    let waiting: i64 = match_connection!(connection, c => {
        failed_message::table
            .filter(failed_message::replay_id.eq(replay_id))
            .filter(failed_message::state.eq(State::Replaying).and(failed_message::sent_at.is_null()))
            .count()
            .get_result(c)
    })
    .map_err(reading("failed messages"))?;
    let mut progress = Progress { waiting, ..Progress::default() };
    for (state, count) in rows {
        match state {
            // The two questions are asked one after the other.
            State::Replaying => progress.under_way += (count - waiting).max(0),
            State::Resolved => progress.resolved += count,
            State::FailedAgain => progress.failed_again += count,
            State::Failed | State::Discarded => progress.taken_out += count,
        }
    }
    Ok(progress)
}

/// The outcomes of a replay that came last, the newest first: the cause of a failure, `None` where it was worked off.
pub fn last_settled(connection: &mut Connection, replay_id: &str, limit: i64) -> Result<Vec<Option<String>>, DbError> {
    let rows: Vec<(State, String)> = match_connection!(connection, c => {
        failed_message::table
            .filter(failed_message::replay_id.eq(replay_id))
            .filter(failed_message::state.eq_any(texts(&[State::Resolved, State::FailedAgain])))
            .order((failed_message::changed_at.desc(), failed_message::id))
            .limit(limit)
            .select((failed_message::state, failed_message::fingerprint))
            .load(c)
    })
    .map_err(reading("failed messages"))?;
    Ok(rows.into_iter().map(|(state, fingerprint)| (state == State::FailedAgain).then_some(fingerprint)).collect())
}

//! Failed messages and their states.
//!
//! ```text
//! ──record──▶ failed ──select──▶ replaying ──resolve──▶ resolved
//!              ▲  │ ▲               │  │
//!              │  │ └───release─────┘  └──record──▶ failed_again ──select──▶ replaying
//!              │  └─discard─▶ discarded ──restore──▶ failed
//!              └────────────record (a later dead letter)──── resolved, discarded
//! ```
//!
//! - [`record`] is called by the ingester with dead letters. It ignores known attempts, because the ingester
//!   may exit between its commit and its acknowledgement.
//! - [`resolve`] is called by the stages, in the transaction that holds the result. So `resolved` is
//!   reliable, whether a replay, `recover` or the sender delivered the message again.
//! - All other functions are for operators; each changes a row only from certain states.

mod record;
mod replaying;
mod search;

use std::collections::HashSet;

use chrono::NaiveDateTime;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::Bool;

pub use record::{Recorded, attempts, record};
pub use replaying::{Progress, last_settled, mark_lost, mark_sent, progress, unsent};
pub(super) use replaying::{freeze, release};
pub use search::{
    Filter, Group, Latest, by_prefix, counts, groups, groups_by_prefix, list, select, since, states,
    superseded,
};

use super::stored_text::stored_as_text;
use super::tables::failed_message;
use super::{aligned, chunks};
use crate::db::{Connection, DbError, Result, attempting, micros, query};
use crate::ids;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    Failed,
    /// Part of a replay that has not settled it.
    Replaying,
    Resolved,
    FailedAgain,
    Discarded,
}

stored_as_text!(State {
    Failed = "failed",
    Replaying = "replaying",
    Resolved = "resolved",
    FailedAgain = "failed_again",
    Discarded = "discarded",
});

pub const OPEN: [State; 2] = [State::Failed, State::FailedAgain];

/// Not part of an active replay: that reports the outcome of its messages.
const FREE: &str =
    "(replay_id is null or replay_id not in (select id from replay where state in ('running', 'paused')))";

/// diesel binds a list of texts, but not a list of `State`.
fn texts(states: &[State]) -> Vec<&'static str> {
    states.iter().map(|state| state.as_text()).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    Handler,
    /// Delivered too often without an acknowledgement.
    /// A worker crashes on it, or the broker restarted often.
    DeliveryLimit,
    /// Rejected by a consumer, or removed by the broker for another reason.
    Rejected,
    Unroutable,
    Undecodable,
}

stored_as_text!(Origin {
    Handler = "handler",
    DeliveryLimit = "delivery_limit",
    Rejected = "rejected",
    Unroutable = "unroutable",
    Undecodable = "undecodable",
});

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Queryable)]
pub struct Attempt {
    pub at: NaiveDateTime,
    pub code: String,
    /// Text of the fault; the dead letter contains that of the last attempt only.
    pub text: Option<String>,
}

/// A dead letter as it came from the queue. Prints no personal data.
#[derive(Clone)]
pub struct DeadLetter {
    /// The stage that gave up, or the routing key without a queue.
    pub stage: String,
    /// AMQP `message-id`, or a substitute.
    pub message_id: String,
    /// AMQP `type`.
    pub message_type: Option<String>,
    /// AMQP `correlation-id`.
    pub correlation_id: Option<String>,
    pub traceparent: Option<String>,
    pub payload: Vec<u8>,
    pub payload_sha256: String,
    /// JSON object of the headers.
    pub headers: String,
    pub origin: Origin,
    pub code: String,
    /// Text of the last fault, English, without personal data.
    pub text: String,
    /// Cause: equal for messages that failed for the same reason.
    pub fingerprint: String,
    pub attempts: i64,
    pub first_failed_at: NaiveDateTime,
    pub failed_at: NaiveDateTime,
    pub earlier: Vec<Attempt>,
    pub replay_id: Option<String>,
    /// Whether it is a redelivery that only the ingester dates.
    /// Its time does not distinguish it from the first delivery.
    pub is_copy: bool,
}

impl DeadLetter {
    pub fn id(&self) -> String {
        ids::failed_message(&self.stage, &self.message_id, &self.payload_sha256)
    }
}

#[derive(Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = failed_message, treat_none_as_default_value = false)]
pub struct FailedMessage {
    pub id: String,
    /// The stage that gave up, or the routing key without a queue.
    pub stage: String,
    /// AMQP `message-id`, or a substitute.
    pub message_id: String,
    /// AMQP `type`.
    pub message_type: Option<String>,
    /// AMQP `correlation-id`.
    pub correlation_id: Option<String>,
    pub traceparent: Option<String>,
    pub payload: Vec<u8>,
    pub payload_sha256: String,
    /// JSON object of the newest dead letter's headers.
    pub headers: String,
    pub origin: Origin,
    pub code: String,
    pub text: String,
    pub fingerprint: String,
    pub attempts: i64,
    pub letters: i64,
    pub first_failed_at: NaiveDateTime,
    pub last_failed_at: NaiveDateTime,
    pub state: State,
    pub changed_at: NaiveDateTime,
    /// The last replay that contained it.
    pub replay_id: Option<String>,
    pub replay_fingerprint: Option<String>,
    pub sent_at: Option<NaiveDateTime>,
    pub superseded_by: Option<String>,
}

impl std::fmt::Debug for FailedMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FailedMessage")
            .field("id", &self.id)
            .field("stage", &self.stage)
            .field("code", &self.code)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Returns how many had failed before; call in the transaction of the result.
pub fn resolve(db: &mut Connection, ids: &[&str], now: NaiveDateTime) -> Result<usize> {
    let resolved: Vec<String> = chunks::load!(db, "resolve failed messages", c, ids => {
        diesel::update(failed_message::table.filter(failed_message::id.eq_any(ids)))
            .filter(failed_message::state.eq_any(texts(&[State::Failed, State::Replaying, State::FailedAgain])))
            .set((failed_message::state.eq(State::Resolved), failed_message::changed_at.eq(micros(now))))
            .returning(failed_message::id)
            .get_results(c)
    })?;
    replaying::settle(db, &resolved.iter().map(String::as_str).collect::<Vec<_>>())?;
    Ok(resolved.len())
}

pub fn by_ids(db: &mut Connection, ids: &[&str]) -> Result<Vec<Option<FailedMessage>>> {
    let rows: Vec<FailedMessage> = chunks::load!(db, "read failed messages", c, ids => {
        failed_message::table.filter(failed_message::id.eq_any(ids)).select(FailedMessage::as_select()).load(c)
    })?;
    Ok(aligned(ids, rows, |row| &row.id))
}

/// The known, unresolved messages of these identifiers.
/// Messages that a replay sent before `sent_before` are left out: they may be lost.
pub fn unsettled(db: &mut Connection, ids: &[&str], sent_before: NaiveDateTime) -> Result<HashSet<String>> {
    let rows: Vec<String> = chunks::load!(db, "read failed messages", c, ids => {
        let sent_since = failed_message::sent_at.ge(micros(sent_before));
        failed_message::table
            .filter(failed_message::id.eq_any(ids))
            .filter(failed_message::state.ne(State::Resolved))
            .filter(failed_message::state.ne(State::Replaying).or(failed_message::sent_at.is_null()).or(sent_since))
            .select(failed_message::id)
            .load(c)
    })?;
    Ok(rows.into_iter().collect())
}

/// Moves messages from one of the states `from` to `to`.
/// Messages of an active replay stay. Returns those moved.
pub fn change(
    db: &mut Connection,
    ids: &[&str],
    from: &[State],
    to: State,
    now: NaiveDateTime,
) -> Result<HashSet<String>> {
    let rows: Vec<String> = chunks::load!(db, "change the state of failed messages", c, ids => {
        diesel::update(failed_message::table.filter(failed_message::id.eq_any(ids)).filter(failed_message::state.eq_any(texts(from))))
            .filter(sql::<Bool>(FREE))
            .set((failed_message::state.eq(to), failed_message::changed_at.eq(micros(now))))
            .returning(failed_message::id)
            .get_results(c)
    })?;
    Ok(rows.into_iter().collect())
}

/// Replaces a failed message by its edited version.
/// `false` when its state allows no edit, or an active replay contains it.
pub fn supersede(db: &mut Connection, id: &str, edited: &FailedMessage, now: NaiveDateTime) -> Result<bool> {
    let now = micros(now);
    db.transaction(|db| {
        let superseded = query!(db, "discard an edited failed message", c => {
            diesel::update(failed_message::table.filter(failed_message::id.eq(id)).filter(failed_message::state.eq_any(texts(&OPEN))))
                .filter(sql::<Bool>(FREE))
                .set((
                    failed_message::state.eq(State::Discarded),
                    failed_message::changed_at.eq(now),
                    failed_message::superseded_by.eq(&edited.id),
                ))
                .execute(c)
        })?;
        if superseded == 0 {
            return Ok(false);
        }
        let row = FailedMessage { changed_at: now, ..edited.clone() };
        // The same edit may exist, discarded: it becomes `failed` again.
        query!(db, "insert an edited message", c => {
            diesel::insert_into(failed_message::table).values(&row).on_conflict_do_nothing().execute(c)
        })?;
        change(db, &[&row.id], &[State::Discarded], State::Failed, now)?;
        Ok(true)
    })
}

fn overtaken() -> DbError {
    let source = Error::DatabaseError(
        DatabaseErrorKind::SerializationFailure,
        Box::new("another process changed one of them".to_owned()),
    );
    attempting("change failed messages")(source)
}

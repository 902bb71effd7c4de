//! Messages that failed for good: the dead letters, and what became of each.
//!
//! ```text
//! (letter) ──record──▶ failed ──select──▶ replaying ──resolve──▶ resolved
//!                       ▲  │ ▲               │  │
//!                       │  │ └───release─────┘  └──record──▶ failed_again ──select──▶ replaying
//!                       │  └─discard─▶ discarded ──restore──▶ failed
//!                       └────────────record (a later letter)──── resolved, discarded
//! ```
//!
//! - [`record`] is what the ingester does with letters. It may be given a letter any number of times: an attempt that is known is
//!   passed over, because the ingester may die between its commit and its acknowledgement.
//! - [`resolve`] belongs to the stages: whoever works a message off says so in the transaction that holds the result. So `resolved`
//!   is a proof, whichever way the message went through: by a replay, by `recover`, or because the sender sent it again.
//! - Everything else is an operator's, and changes a row only from a state that allows it.

mod record;
mod replaying;
mod search;

use std::collections::HashSet;

use chrono::NaiveDateTime;
use diesel::dsl::sql;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::Bool;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, Insertable, QueryDsl, Queryable, RunQueryDsl, Selectable,
    SelectableHelper,
};

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
use crate::db::{Connection, DbError, attempting, match_connection, micros};
use crate::ids;

/// What stands with a failed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Nobody has done anything about it yet.
    Failed,
    /// Part of a replay that has not settled it.
    Replaying,
    /// Its stage has worked it off.
    Resolved,
    /// It was replayed, and failed.
    FailedAgain,
    /// An operator gave it up.
    Discarded,
}

stored_as_text!(State {
    Failed = "failed",
    Replaying = "replaying",
    Resolved = "resolved",
    FailedAgain = "failed_again",
    Discarded = "discarded",
});

/// The states that wait for an operator.
pub const OPEN: [State; 2] = [State::Failed, State::FailedAgain];

/// What no replay holds that may still go on. It says of its messages what became of them, so nobody may take one away.
const FREE: &str =
    "(replay_id is null or replay_id not in (select id from replay where state in ('running', 'paused')))";

/// States as they are stored: diesel takes a list of texts, and none of what is stored as one.
fn texts(states: &[State]) -> Vec<&'static str> {
    states.iter().map(|state| state.as_text()).collect()
}

/// How a message became a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// Its stage gave up on it.
    Handler,
    /// It was delivered too often without an answer: a worker dies of it, or the broker was restarted often.
    DeliveryLimit,
    /// Somebody refused it, or the broker took it away for another reason.
    Rejected,
    /// No queue wanted it.
    Unroutable,
    /// It is no message of its stage.
    Undecodable,
}

stored_as_text!(Origin {
    Handler = "handler",
    DeliveryLimit = "delivery_limit",
    Rejected = "rejected",
    Unroutable = "unroutable",
    Undecodable = "undecodable",
});

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Queryable)]
pub struct Attempt {
    /// When (UTC).
    pub at: NaiveDateTime,
    /// Stable code of the fault.
    pub code: String,
    /// Its text, where the letter told it: that of the last attempt.
    pub text: Option<String>,
}

/// A dead letter as it came from the queue. Prints no personal data.
#[derive(Clone)]
pub struct DeadLetter {
    /// The stage that gave up, or the routing key that no queue wanted.
    pub stage: String,
    /// AMQP `message-id`, or what stands in for it.
    pub message_id: String,
    /// AMQP `type`.
    pub message_type: Option<String>,
    /// AMQP `correlation-id`.
    pub correlation_id: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// The body, byte for byte.
    pub payload: Vec<u8>,
    /// SHA-256 of the body, lower-case hexadecimal.
    pub payload_sha256: String,
    /// JSON object of the headers.
    pub headers: String,
    /// How it became a dead letter.
    pub origin: Origin,
    /// Stable code of the last fault.
    pub code: String,
    /// Text of the last fault, English, without personal data.
    pub text: String,
    /// Cause: equal for messages that failed for the same reason.
    pub fingerprint: String,
    /// Attempts that were counted.
    pub attempts: i64,
    /// When it failed first (UTC).
    pub first_failed_at: NaiveDateTime,
    /// When it failed last (UTC).
    pub failed_at: NaiveDateTime,
    /// The attempts it tells of before the last one.
    pub earlier: Vec<Attempt>,
    /// The replay it was sent by.
    pub replay_id: Option<String>,
    /// Whether it was delivered before, and nobody but the ingester dates it: then time does not tell it from that delivery.
    pub is_copy: bool,
}

impl DeadLetter {
    /// Identifier of the failed message.
    pub fn id(&self) -> String {
        ids::failed_message(&self.stage, &self.message_id, &self.payload_sha256)
    }
}

/// A row of `failed_message`. Prints no personal data.
#[derive(Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = failed_message, treat_none_as_default_value = false)]
pub struct FailedMessage {
    /// Our identifier ([`ids::failed_message`]).
    pub id: String,
    /// The stage that gave up, or the routing key that no queue wanted.
    pub stage: String,
    /// AMQP `message-id`, or what stands in for it.
    pub message_id: String,
    /// AMQP `type`.
    pub message_type: Option<String>,
    /// AMQP `correlation-id`.
    pub correlation_id: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// The body, byte for byte.
    pub payload: Vec<u8>,
    /// SHA-256 of the body, lower-case hexadecimal.
    pub payload_sha256: String,
    /// JSON object of the newest letter's headers.
    pub headers: String,
    /// How it became a dead letter, last.
    pub origin: Origin,
    /// Stable code of the last fault.
    pub code: String,
    /// Text of the last fault.
    pub text: String,
    /// Cause.
    pub fingerprint: String,
    /// Attempts counted by the newest letter.
    pub attempts: i64,
    /// Letters that came.
    pub letters: i64,
    /// When it failed first (UTC).
    pub first_failed_at: NaiveDateTime,
    /// When it failed last (UTC).
    pub last_failed_at: NaiveDateTime,
    /// What stands with it.
    pub state: State,
    /// Since when (UTC).
    pub changed_at: NaiveDateTime,
    /// The replay it is, or was last, part of.
    pub replay_id: Option<String>,
    /// The cause it had when it was selected.
    pub replay_fingerprint: Option<String>,
    /// When that replay sent it (UTC).
    pub sent_at: Option<NaiveDateTime>,
    /// The edited message that took its place.
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

/// Marks messages as worked off, and returns how many had failed before. Belongs into the transaction that holds the result.
pub fn resolve(connection: &mut Connection, ids: &[&str], now: NaiveDateTime) -> Result<usize, DbError> {
    let resolved: Vec<String> = chunks::load(ids, |ids| {
        match_connection!(connection, c => {
            diesel::update(failed_message::table.filter(failed_message::id.eq_any(ids)))
                .filter(failed_message::state.eq_any(texts(&[State::Failed, State::Replaying, State::FailedAgain])))
                .set((failed_message::state.eq(State::Resolved), failed_message::changed_at.eq(micros(now))))
                .returning(failed_message::id)
                .get_results(c)
        })
    })
    .map_err(attempting("resolve failed messages"))?;
    replaying::settle(connection, &resolved.iter().map(String::as_str).collect::<Vec<_>>())?;
    Ok(resolved.len())
}

/// Reads failed messages by our identifiers.
pub fn by_ids(connection: &mut Connection, ids: &[&str]) -> Result<Vec<Option<FailedMessage>>, DbError> {
    let rows: Vec<FailedMessage> = chunks::load(&ids, |ids| match_connection!(connection, c => {
            failed_message::table.filter(failed_message::id.eq_any(ids)).select(FailedMessage::as_select()).load(c)
        }))
    .map_err(attempting("read failed messages"))?;
    Ok(aligned(&ids, rows, |row| &row.id))
}

/// Of these identifiers, those that an operator or a replay has or had to deal with: known, and not worked off. Not what a replay
/// sent before `sent_before`: that may be lost.
pub fn unsettled(
    connection: &mut Connection,
    ids: &[&str],
    sent_before: NaiveDateTime,
) -> Result<HashSet<String>, DbError> {
    let rows: Vec<String> = chunks::load(ids, |ids| match_connection!(connection, c => {
            let sent_since = failed_message::sent_at.ge(micros(sent_before));
            failed_message::table
                .filter(failed_message::id.eq_any(ids))
                .filter(failed_message::state.ne(State::Resolved))
                .filter(failed_message::state.ne(State::Replaying).or(failed_message::sent_at.is_null()).or(sent_since))
                .select(failed_message::id)
                .load(c)
        }))
.map_err(attempting("read failed messages"))?;
    Ok(rows.into_iter().collect())
}

/// Moves messages from one of some states to another, and returns those that were moved. What a replay holds stays as it is.
pub fn change(
    connection: &mut Connection,
    ids: &[&str],
    from: &[State],
    to: State,
    now: NaiveDateTime,
) -> Result<HashSet<String>, DbError> {
    let rows: Vec<String> = chunks::load(ids, |ids| match_connection!(connection, c => {
            diesel::update(failed_message::table.filter(failed_message::id.eq_any(ids)).filter(failed_message::state.eq_any(texts(from))))
                .filter(sql::<Bool>(FREE))
                .set((failed_message::state.eq(to), failed_message::changed_at.eq(micros(now))))
                .returning(failed_message::id)
                .get_results(c)
        }))
.map_err(attempting("change the state of failed messages"))?;
    Ok(rows.into_iter().collect())
}

/// Puts an edited message in the place of one that failed. `false` when that one is in no state to be edited any more, or a replay
/// holds it.
pub fn supersede(
    connection: &mut Connection,
    id: &str,
    edited: &FailedMessage,
    now: NaiveDateTime,
) -> Result<bool, DbError> {
    let now = micros(now);
    connection.transaction(|connection| {
        let superseded = match_connection!(connection, c => {
            diesel::update(failed_message::table.filter(failed_message::id.eq(id)).filter(failed_message::state.eq_any(texts(&OPEN))))
                .filter(sql::<Bool>(FREE))
                .set((
                    failed_message::state.eq(State::Discarded),
                    failed_message::changed_at.eq(now),
                    failed_message::superseded_by.eq(&edited.id),
                ))
                .execute(c)
        })
        .map_err(attempting("discard an edited failed message"))?;
        if superseded == 0 {
            return Ok(false);
        }
        let row = FailedMessage { changed_at: now, ..edited.clone() };
        // Edited to this before, and given up: it is taken up again.
        match_connection!(connection, c => {
            diesel::insert_into(failed_message::table).values(&row).on_conflict_do_nothing().execute(c)
        })
        .map_err(attempting("insert an edited message"))?;
        change(connection, &[&row.id], &[State::Discarded], State::Failed, now)?;
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

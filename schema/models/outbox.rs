//! The outbox: messages that were decided on where no delivery is held open to remind of them.
//!
//! Messages of a run, written in the transaction that decided on them. The driver publishes them in order and
//! deletes them after the confirm. When it exits in between, the next driver publishes some of them again,
//! with the same ids.

use diesel::{ExpressionMethods, Insertable, QueryDsl, Queryable, RunQueryDsl, Selectable, SelectableHelper};

use super::chunks;
use super::tables::outbox;
use crate::db::{Connection, DbError, attempting, match_connection};

/// A row of `outbox`: identifiers only.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = outbox, treat_none_as_default_value = false)]
pub struct Outbound {
    pub run_id: String,
    pub seq: i64,
    pub stage: String,
    /// AMQP `message_id`.
    pub message_id: String,
    pub correlation_id: Option<String>,
    pub traceparent: Option<String>,
    pub payload: String,
}

/// Adds messages; those that are there already stay.
pub fn add(connection: &mut Connection, rows: &[Outbound]) -> Result<(), DbError> {
    chunks::insert(rows, |rows| {
        match_connection!(connection, c => diesel::insert_into(outbox::table).values(rows).on_conflict_do_nothing().execute(c))
    })
    .map(drop)
    .map_err(attempting("add messages to the outbox"))
}

/// Reads the next messages of a run, in their order.
pub fn next(connection: &mut Connection, run_id: &str, limit: i64) -> Result<Vec<Outbound>, DbError> {
    match_connection!(connection, c => {
        outbox::table.filter(outbox::run_id.eq(run_id)).order(outbox::seq).limit(limit).select(Outbound::as_select()).load(c)
    })
    .map_err(attempting("read the outbox"))
}

/// Deletes the messages of a run up to `seq`: the broker has them.
pub fn sent(connection: &mut Connection, run_id: &str, seq: i64) -> Result<usize, DbError> {
    match_connection!(connection, c => {
        diesel::delete(outbox::table.filter(outbox::run_id.eq(run_id)).filter(outbox::seq.le(seq))).execute(c)
    })
    .map_err(attempting("delete sent messages from the outbox"))
}

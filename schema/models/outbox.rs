//! Messages of a run, written in the transaction that decided on them.
//!
//! No open delivery would bring them back. The driver publishes them in order and deletes them after the
//! confirm. When it exits in between, the next driver publishes some of them again, with the same ids.

use diesel::prelude::*;

use super::chunks;
use super::tables::outbox;
use crate::db::{Connection, Result, query};

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = outbox, treat_none_as_default_value = false)]
pub struct Outbound {
    pub run_id: String,
    pub seq: i64,
    pub stage: String,
    pub message_id: String,
    pub correlation_id: Option<String>,
    pub traceparent: Option<String>,
    pub payload: String,
}

/// Adds messages; those that are there already stay.
pub fn add(db: &mut Connection, rows: &[Outbound]) -> Result<()> {
    chunks::insert!(db, "add messages to the outbox", c, rows => {
        diesel::insert_into(outbox::table).values(rows).on_conflict_do_nothing().execute(c)
    })
    .map(drop)
}

/// Reads the next messages of a run, in their order.
pub fn next(db: &mut Connection, run_id: &str, limit: i64) -> Result<Vec<Outbound>> {
    query!(db, "read the outbox", c => {
        outbox::table.filter(outbox::run_id.eq(run_id)).order(outbox::seq).limit(limit).select(Outbound::as_select()).load(c)
    })
}

/// Deletes the messages of a run up to `seq`: the broker has them.
pub fn sent(db: &mut Connection, run_id: &str, seq: i64) -> Result<usize> {
    query!(db, "delete sent messages from the outbox", c => {
        diesel::delete(outbox::table.filter(outbox::run_id.eq(run_id)).filter(outbox::seq.le(seq))).execute(c)
    })
}

/// Deletes the messages of a finished run.
pub(super) fn delete(db: &mut Connection, run_id: &str) -> Result<()> {
    query!(db, "delete the messages of a finished run", c => {
        diesel::delete(outbox::table.filter(outbox::run_id.eq(run_id))).execute(c)
    })
    .map(drop)
}

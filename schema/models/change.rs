//! Changes of guarantees and their outcomes.
//! Amendments, corrections, reversals and cancellations.
//!
//! A change is decided on arrival ([`insert_missing`]). It takes effect later, with the other changes of its
//! guarantee and in the order of their versions ([`settle`]). Both happen under the
//! [`lock`](super::guarantee::lock) of the guarantee.

use std::collections::HashMap;

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::stored_text::stored_as_text;
use super::tables::change;
use super::{aligned, chunks, grouped, of_found};
use crate::db::{Connection, DbError, Result, micros, query};
use crate::messages::ChangeKindV1;

stored_as_text!(ChangeKindV1 {
    Amendment = "amendment",
    Correction = "correction",
    AmendmentReversal = "amendment_reversal",
    Cancellation = "cancellation",
});

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// It breaks a rule and never took effect.
    Rejected,
    /// Accepted; takes effect with the next batch.
    Pending,
    Effective,
    Unchanged,
    /// Accepted, but without effect: a change with a smaller version arrived later.
    Refused,
}

stored_as_text!(State {
    Rejected = "rejected",
    Pending = "pending",
    Effective = "effective",
    Unchanged = "unchanged",
    Refused = "refused",
});

#[derive(Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = change, treat_none_as_default_value = false)]
pub struct Change {
    pub id: String,
    pub source: String,
    pub upstream_id: String,
    pub payload_sha256: String,
    pub kind: ChangeKindV1,
    /// 保証契約番号, where it could be read.
    pub number: Option<String>,
    pub guarantee_id: Option<String>,
    /// Its place among the changes of the guarantee, more than 0.
    pub version: Option<i64>,
    pub urgent: bool,
    pub state: State,
    /// Canonical [`crate::snapshots::Change`] of one that was accepted.
    pub snapshot: Option<String>,
    /// Canonical [`ForeseenV1`](crate::messages::ForeseenV1): what was answered.
    pub foreseen: Option<String>,
    pub violations: Option<String>,
    pub calculations: String,
    pub traceparent: Option<String>,
    pub received_at: NaiveDateTime,
    /// When it took effect, or was found to have none (UTC).
    pub settled_at: Option<NaiveDateTime>,
    pub revision: Option<i64>,
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("guarantee_id", &self.guarantee_id)
            .field("version", &self.version)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

pub fn insert_missing(db: &mut Connection, new: &[Change]) -> Result<()> {
    let mut rows: Vec<Change> =
        new.iter().map(|row| Change { received_at: micros(row.received_at), ..row.clone() }).collect();
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    chunks::insert!(db, "insert changes", c, rows => {
        diesel::insert_into(change::table).values(rows).execute(c)
    })
    .map(drop)
}

pub fn by_ids(db: &mut Connection, ids: &[&str]) -> Result<Vec<Option<Change>>> {
    let rows: Vec<Change> = chunks::load!(db, "read changes", c, ids => {
        change::table.filter(change::id.eq_any(ids)).select(Change::as_select()).load(c)
    })?;
    Ok(aligned(ids, rows, |row| &row.id))
}

/// Accepted changes of each guarantee, in the order of their versions.
pub fn accepted(db: &mut Connection, guarantee_ids: &[&str]) -> Result<Vec<Vec<Change>>> {
    let rows: Vec<Change> = chunks::load!(db, "read changes", c, guarantee_ids => {
        change::table
            .filter(change::guarantee_id.eq_any(guarantee_ids))
            .filter(change::state.ne(State::Rejected))
            .order(change::version)
            .select(Change::as_select())
            .load::<Change>(c)
    })?;
    Ok(grouped(guarantee_ids, rows, |row| row.guarantee_id.as_deref().unwrap_or_default()))
}

/// Changes of each guarantee that wait to take effect, in the order of versions.
pub fn pending(db: &mut Connection, guarantee_ids: &[&str]) -> Result<Vec<Vec<Change>>> {
    let rows: Vec<Change> = chunks::load!(db, "read changes", c, guarantee_ids => {
        change::table
            .filter(change::guarantee_id.eq_any(guarantee_ids))
            // A literal: the partial index is found by it.
            .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("state = 'pending'"))
            .order(change::version)
            .select(Change::as_select())
            .load::<Change>(c)
    })?;
    Ok(grouped(guarantee_ids, rows, |row| row.guarantee_id.as_deref().unwrap_or_default()))
}

/// Reads every change of a guarantee, rejected ones too, in the order they came.
pub fn by_guarantee(db: &mut Connection, guarantee_id: &str) -> Result<Vec<Change>> {
    query!(db, "read changes", c => {
        change::table
            .filter(change::guarantee_id.eq(guarantee_id))
            .order((change::received_at, change::id))
            .select(Change::as_select())
            .load(c)
    })
}

/// Finds the changes with an upstream's id; several sources may use the same.
pub fn find(db: &mut Connection, upstream_id: &str) -> Result<Vec<Change>> {
    query!(db, "read changes", c => {
        change::table.filter(change::upstream_id.eq(upstream_id)).order(change::source).select(Change::as_select()).load(c)
    })
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    pub id: String,
    /// [`State::Effective`], [`State::Unchanged`] or [`State::Refused`].
    pub state: State,
    pub revision: Option<i64>,
    /// Why it was refused, as for [`Change::violations`].
    pub violations: Option<String>,
}

/// Records the outcomes of pending changes; fails when one is no longer pending.
pub fn settle(db: &mut Connection, settlements: &[Settlement], now: NaiveDateTime) -> Result<()> {
    // Changes with one outcome share a statement: nearly all changes of a night create the next revision.
    type Became<'a> = (State, Option<i64>, Option<&'a str>);
    let mut alike: HashMap<Became<'_>, Vec<&str>> = HashMap::new();
    for settlement in settlements {
        let key = (settlement.state, settlement.revision, settlement.violations.as_deref());
        alike.entry(key).or_default().push(&settlement.id);
    }
    for ((state, revision, violations), ids) in alike {
        let changed = chunks::update!(db, "settle changes", c, ids => {
            diesel::update(change::table.filter(change::id.eq_any(ids)).filter(of_found(change::state.eq(State::Pending))))
                .set((
                    change::state.eq(state),
                    change::revision.eq(revision),
                    change::violations.eq(violations),
                    change::settled_at.eq(micros(now)),
                ))
                .execute(c)
        })?;
        if changed != ids.len() {
            return Err(DbError::Damaged {
                what: "a change was settled by another process under the lock of its guarantee".to_owned(),
            });
        }
    }
    Ok(())
}

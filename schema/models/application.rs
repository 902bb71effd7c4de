//! 保証申込: the received applications and the decisions on them.

use std::collections::HashSet;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};

use super::stored_text::stored_as_text;
use super::tables::application;
use super::{aligned, chunks};
use crate::db::{Connection, Result, attempting, micros, query};
use crate::ids;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Accepted,
    Rejected,
}

stored_as_text!(Status { Accepted = "accepted", Rejected = "rejected" });

#[derive(Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = application, treat_none_as_default_value = false)]
pub struct Application {
    pub id: String,
    pub source: String,
    /// The upstream's own id, unique within `source`.
    pub upstream_id: String,
    /// Distinguishes a redelivery from other content under the same id.
    /// SHA-256 of the payload's [`content`](crate::messages::content), lower-case hexadecimal.
    pub payload_sha256: String,
    pub status: Status,
    /// Number of product lines; 0 when rejected.
    pub lines: i64,
    pub issued_lines: i64,
    /// Canonical [`crate::snapshots::Application`]; none when rejected.
    pub snapshot: Option<String>,
    /// JSON array of [`ViolationV1`](crate::messages::ViolationV1); none when accepted.
    pub violations: Option<String>,
    /// JSON array of the calculations behind the decision; `[]` when there are none.
    pub calculations: String,
    pub traceparent: Option<String>,
    pub received_at: NaiveDateTime,
    pub decided_at: NaiveDateTime,
}

impl std::fmt::Debug for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Application")
            .field("id", &self.id)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// The first decision on an application is final.
/// Returns how many were new.
pub fn insert_new(db: &mut Connection, new: &[Application]) -> Result<usize> {
    let mut rows = new.to_vec();
    for row in &mut rows {
        row.received_at = micros(row.received_at);
        row.decided_at = micros(row.decided_at);
    }
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    chunks::insert!(db, "insert applications", c, rows => {
        diesel::insert_into(application::table).values(rows).on_conflict_do_nothing().execute(c)
    })
}

/// Inserts applications that the caller's transaction did not find.
///
/// An application that another transaction has inserted since is contention: the whole transaction is rolled
/// back and retried, and finds it. The lock of the works does not prevent this, because other content under
/// the same id may be about other works. A duplicate in `new` is a permanent error.
pub fn insert_missing(db: &mut Connection, new: &[Application]) -> Result<()> {
    let refused = |kind, why: &str| {
        attempting("insert applications")(Error::DatabaseError(kind, Box::new(why.to_owned())))
    };
    let ids: HashSet<_> = new.iter().map(|row| &row.id).collect();
    if ids.len() < new.len() {
        return Err(refused(DatabaseErrorKind::UniqueViolation, "one of them is given twice"));
    }
    if insert_new(db, new)? < new.len() {
        return Err(refused(
            DatabaseErrorKind::SerializationFailure,
            "another transaction stored one of them first",
        ));
    }
    Ok(())
}

pub fn by_ids(db: &mut Connection, ids: &[&str]) -> Result<Vec<Option<Application>>> {
    let rows: Vec<Application> = chunks::load!(db, "read applications", c, ids => {
        application::table.filter(application::id.eq_any(ids)).select(Application::as_select()).load(c)
    })?;
    Ok(aligned(ids, rows, |row| &row.id))
}

/// Reads applications by their idempotency keys, `(source, upstream id)`.
pub fn by_upstream_ids(db: &mut Connection, keys: &[(&str, &str)]) -> Result<Vec<Option<Application>>> {
    let ids: Vec<_> = keys.iter().map(|(source, id)| ids::application(source, id)).collect();
    by_ids(db, &ids.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Finds applications by our identifier or the upstream's id.
/// Several sources may use the same id. At most 100, latest first.
pub fn find(db: &mut Connection, id: &str) -> Result<Vec<Application>> {
    query!(db, "read applications", c => {
        application::table
            .filter(application::id.eq(id).or(application::upstream_id.eq(id)))
            .order((application::received_at.desc(), application::id))
            .limit(100)
            .select(Application::as_select())
            .load(c)
    })
}

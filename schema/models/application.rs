//! 保証申込: the received applications and the decisions on them.

use std::collections::HashSet;

use chrono::NaiveDateTime;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::{ExpressionMethods, Insertable, QueryDsl, Queryable, RunQueryDsl, Selectable, SelectableHelper};

use super::stored_text::stored_as_text;
use super::tables::application;
use super::{aligned, chunks};
use crate::db::{Connection, DbError, attempting, match_connection, micros};
use crate::ids;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does: one guarantee per product line follows.
    Accepted,
    /// It does not: nothing follows.
    Rejected,
}

stored_as_text!(Status { Accepted = "accepted", Rejected = "rejected" });

/// A row of `application`. Prints no personal data.
#[derive(Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = application, treat_none_as_default_value = false)]
pub struct Application {
    /// Our identifier ([`ids::application`]).
    pub id: String,
    pub source: String,
    /// The upstream's own id, unique within `source`.
    pub upstream_id: String,
    /// SHA-256 of the payload's [`content`](crate::messages::content), lower-case hexadecimal: distinguishes
    /// a redelivery from other content under the same id.
    pub payload_sha256: String,
    pub status: Status,
    /// Number of product lines; 0 when rejected.
    pub lines: i64,
    pub issued_lines: i64,
    /// Canonical [`snapshots::Application`](crate::snapshots::Application); none when rejected.
    pub snapshot: Option<String>,
    /// JSON array of [`ViolationV1`](crate::messages::ViolationV1); none when accepted.
    pub violations: Option<String>,
    /// JSON array of the calculations behind the decision; `[]` when nothing was calculated.
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

#[derive(Clone)]
pub enum Decision {
    Accepted {
        /// Canonical [`snapshots::Application`](crate::snapshots::Application).
        snapshot: String,
        /// Number of product lines, at least 1.
        lines: i64,
    },
    Rejected {
        /// JSON array of [`ViolationV1`](crate::messages::ViolationV1).
        violations: String,
    },
}

#[derive(Clone)]
pub struct NewApplication {
    pub source: String,
    pub upstream_id: String,
    /// SHA-256 of the payload, lower-case hexadecimal.
    pub payload_sha256: String,
    pub decision: Decision,
    /// JSON array of the calculations behind the decision, whichever it is; `[]` when nothing was calculated.
    pub calculations: String,
    pub traceparent: Option<String>,
    pub received_at: NaiveDateTime,
    pub decided_at: NaiveDateTime,
}

impl NewApplication {
    fn id(&self) -> String {
        ids::application(&self.source, &self.upstream_id)
    }

    fn row(&self) -> Application {
        let (status, lines, snapshot, violations) = match &self.decision {
            Decision::Accepted { snapshot, lines } => {
                (Status::Accepted, *lines, Some(snapshot.clone()), None)
            }
            Decision::Rejected { violations } => (Status::Rejected, 0, None, Some(violations.clone())),
        };
        Application {
            id: self.id(),
            source: self.source.clone(),
            upstream_id: self.upstream_id.clone(),
            payload_sha256: self.payload_sha256.clone(),
            status,
            lines,
            issued_lines: 0,
            snapshot,
            violations,
            calculations: self.calculations.clone(),
            traceparent: self.traceparent.clone(),
            received_at: micros(self.received_at),
            decided_at: micros(self.decided_at),
        }
    }
}

/// Inserts missing applications and returns how many were new. The first decision on an application is final.
pub fn insert_new(connection: &mut Connection, new: &[NewApplication]) -> Result<usize, DbError> {
    let mut rows: Vec<_> = new.iter().map(NewApplication::row).collect();
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    chunks::insert(&rows, |rows| {
        match_connection!(connection, c => {
            diesel::insert_into(application::table).values(rows).on_conflict_do_nothing().execute(c)
        })
    })
    .map_err(attempting("insert applications"))
}

/// Inserts applications that the caller's transaction did not find.
///
/// An application that another transaction has inserted since is [contention](DbError::is_contention): the
/// whole transaction is rolled back and retried, and finds it. The lock of the works does not prevent this,
/// because other content under the same id may be about other works. A duplicate in `new` is a permanent
/// error.
pub fn insert_missing(connection: &mut Connection, new: &[NewApplication]) -> Result<(), DbError> {
    let refused = |kind, why: &str| {
        attempting("insert applications")(Error::DatabaseError(kind, Box::new(why.to_owned())))
    };
    let ids: HashSet<_> = new.iter().map(NewApplication::id).collect();
    if ids.len() < new.len() {
        return Err(refused(DatabaseErrorKind::UniqueViolation, "one of them is given twice"));
    }
    if insert_new(connection, new)? < new.len() {
        return Err(refused(
            DatabaseErrorKind::SerializationFailure,
            "another transaction stored one of them first",
        ));
    }
    Ok(())
}

pub fn by_ids(connection: &mut Connection, ids: &[&str]) -> Result<Vec<Option<Application>>, DbError> {
    let rows: Vec<Application> = chunks::load(ids, |ids| {
        match_connection!(connection, c => {
            application::table.filter(application::id.eq_any(ids)).select(Application::as_select()).load(c)
        })
    })
    .map_err(attempting("read applications"))?;
    Ok(aligned(ids, rows, |row| &row.id))
}

/// Reads applications by their idempotency keys, `(source, upstream id)`.
pub fn by_upstream_ids(
    connection: &mut Connection,
    keys: &[(&str, &str)],
) -> Result<Vec<Option<Application>>, DbError> {
    let ids: Vec<_> = keys.iter().map(|(source, id)| ids::application(source, id)).collect();
    by_ids(connection, &ids.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Finds applications by our identifier or the upstream's id; several sources may use the same id. At most
/// 100, latest first.
pub fn find(connection: &mut Connection, id: &str) -> Result<Vec<Application>, DbError> {
    use diesel::BoolExpressionMethods;
    match_connection!(connection, c => {
        application::table
            .filter(application::id.eq(id).or(application::upstream_id.eq(id)))
            .order((application::received_at.desc(), application::id))
            .limit(100)
            .select(Application::as_select())
            .load(c)
    })
    .map_err(attempting("read applications"))
}

//! The hash chain of a guarantee: certificates (保証証書), reversals, cancellations.

use std::collections::HashSet;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use sha2::{Digest, Sha256};

use super::guarantee::Guarantee;
use super::stored_text::stored_as_text;
use super::tables::{guarantee, revision};
use super::{aligned, chunks, of_found};
use crate::db::{Connection, Result, micros, query};
use crate::ids;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// 新規.
    New,
    /// 変更.
    Amendment,
    /// 訂正.
    Correction,
    /// 変更取消: has no certificate of its own.
    Reversal,
    /// 解約: has a cancellation letter instead of a certificate.
    Cancellation,
}

stored_as_text!(Kind {
    New = "new",
    Amendment = "amendment",
    Correction = "correction",
    Reversal = "reversal",
    Cancellation = "cancellation",
});

impl Kind {
    pub fn is_certificate(self) -> bool {
        matches!(self, Self::New | Self::Amendment | Self::Correction)
    }
}

#[derive(Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = revision, treat_none_as_default_value = false)]
pub struct Revision {
    pub id: String,
    pub guarantee_id: String,
    /// Place in the chain of the guarantee, from 0.
    /// The 変更 number that people see is in the content.
    #[diesel(column_name = place)]
    pub revision: i64,
    /// Canonical JSON of a snapshot, by `kind`.
    /// A [`Certificate`](crate::snapshots::Certificate), [`Reversal`](crate::snapshots::Reversal) or
    /// [`Cancellation`](crate::snapshots::Cancellation).
    pub content: String,
    /// [`chained_sha256`] of the previous revision's hash and the content.
    pub content_sha256: String,
    /// `content_sha256` of the previous revision; none for 新規.
    pub previous_sha256: Option<String>,
    pub drawn_at: NaiveDateTime,
    /// 電子保証発行日時: when it arrived in the registry (UTC).
    pub arrived_at: Option<NaiveDateTime>,
    /// When its mail and its result event were done (UTC).
    pub completed_at: Option<NaiveDateTime>,
    pub kind: Kind,
    /// The revision that a correction replaces or a reversal takes back.
    pub target: Option<i64>,
    pub change_id: Option<String>,
}

impl std::fmt::Debug for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revision")
            .field("id", &self.id)
            .field("guarantee_id", &self.guarantee_id)
            .field("revision", &self.revision)
            .field("content_sha256", &self.content_sha256)
            .field("arrived_at", &self.arrived_at)
            .field("completed_at", &self.completed_at)
            .finish_non_exhaustive()
    }
}

/// SHA-256 of the previous hash and the content, as lower-case hexadecimal.
/// The previous hash is hexadecimal text (empty for 新規). So a changed revision invalidates all that follow.
pub fn chained_sha256(previous_sha256: Option<&str>, content: &str) -> String {
    use std::fmt::Write as _;
    let mut hash = Sha256::new();
    hash.update(previous_sha256.unwrap_or_default());
    hash.update(content);
    hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub fn insert(db: &mut Connection, rows: &[Revision]) -> Result<()> {
    chunks::insert!(db, "insert revisions", c, rows => {
        diesel::insert_into(revision::table).values(rows).execute(c)
    })
    .map(drop)
}

/// Reads revisions by `(guarantee id, revision)`, each with its guarantee.
pub fn by_keys(db: &mut Connection, keys: &[(&str, i64)]) -> Result<Vec<Option<(Revision, Guarantee)>>> {
    let ids: Vec<_> = keys.iter().map(|(guarantee, revision)| ids::revision(guarantee, *revision)).collect();
    by_ids(db, &ids)
}

/// Revisions with their guarantees, in the order of the ids.
pub fn by_ids(db: &mut Connection, ids: &[String]) -> Result<Vec<Option<(Revision, Guarantee)>>> {
    let rows: Vec<(Revision, Guarantee)> = chunks::load!(db, "read revisions", c, ids => {
        revision::table
            .inner_join(guarantee::table)
            .filter(revision::id.eq_any(ids))
            .select((Revision::as_select(), Guarantee::as_select()))
            .load(c)
    })?;
    Ok(aligned(ids, rows, |row| &row.0.id))
}

pub fn by_guarantees(db: &mut Connection, guarantee_ids: &[&str]) -> Result<Vec<Vec<Revision>>> {
    let rows: Vec<Revision> = chunks::load!(db, "read revisions", c, guarantee_ids => {
        revision::table
            .filter(revision::guarantee_id.eq_any(guarantee_ids))
            .order(revision::place)
            .select(Revision::as_select())
            .load::<Revision>(c)
    })?;
    Ok(super::grouped(guarantee_ids, rows, |row| &row.guarantee_id))
}

/// Revisions that a later one replaces or takes back: `(guarantee id, revision)`.
pub fn targets(db: &mut Connection, guarantee_ids: &[&str]) -> Result<HashSet<(String, i64)>> {
    let rows: Vec<(String, Option<i64>)> = chunks::load!(db, "read revisions", c, guarantee_ids => {
        revision::table
            .filter(revision::guarantee_id.eq_any(guarantee_ids))
            .filter(revision::target.is_not_null())
            .select((revision::guarantee_id, revision::target))
            .load(c)
    })?;
    Ok(rows.into_iter().filter_map(|(guarantee, target)| Some((guarantee, target?))).collect())
}

/// A page of at most `limit` arrived revisions behind `after`, by identifier.
pub fn arrived_after(db: &mut Connection, after: &str, limit: i64) -> Result<Vec<(Revision, Guarantee)>> {
    query!(db, "read revisions", c => {
        revision::table
            .inner_join(guarantee::table)
            .filter(revision::id.gt(after))
            .filter(revision::arrived_at.is_not_null())
            .order(revision::id)
            .limit(limit)
            .select((Revision::as_select(), Guarantee::as_select()))
            .load(c)
    })
}

pub fn arrived(db: &mut Connection) -> Result<i64> {
    query!(db, "read revisions", c => {
        revision::table.filter(revision::arrived_at.is_not_null()).count().get_result(c)
    })
}

/// Returns how many were marked; a revision keeps its first time.
pub fn set_arrived(db: &mut Connection, ids: &[&str], at: NaiveDateTime) -> Result<usize> {
    chunks::update!(db, "mark revisions as arrived", c, ids => {
        diesel::update(revision::table.filter(revision::id.eq_any(ids)).filter(revision::arrived_at.is_null()))
            .set(revision::arrived_at.eq(micros(at)))
            .execute(c)
    })
}

/// Marks revisions whose mail and result event are done.
/// Returns how many were marked; a revision keeps its first time.
pub fn set_completed(db: &mut Connection, ids: &[&str], at: NaiveDateTime) -> Result<usize> {
    chunks::update!(db, "mark revisions as completed", c, ids => {
        diesel::update(revision::table.filter(revision::id.eq_any(ids)).filter(of_found(revision::completed_at.is_null())))
            .set(revision::completed_at.eq(micros(at)))
            .execute(c)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_plain_sha256() {
        // printf '{"a":1}' | sha256sum, and of that hash followed by the text.
        let first = chained_sha256(None, r#"{"a":1}"#);
        assert_eq!(first, "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862");
        assert_eq!(
            chained_sha256(Some(&first), r#"{"a":1}"#),
            "59925fcc2a53e236fd8c94cb94a2248602506f2d4484b3248f64e8475b8f36da"
        );
    }
}

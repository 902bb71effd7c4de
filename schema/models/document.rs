//! Place and hash of finished documents.
//! The bytes are in the document store.

use chrono::NaiveDateTime;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde::{Deserialize, Serialize};

use super::stored_text::stored_as_text;
use super::tables::document;
use super::{chunks, grouped};
use crate::db::{Connection, Result, micros, query};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// 保証証書.
    Certificate,
    /// 「認証キー」のお知らせ.
    Notice,
    /// 解約のお知らせ.
    Cancellation,
}

stored_as_text!(Kind { Certificate = "certificate", Notice = "notice", Cancellation = "cancellation" });

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = document, treat_none_as_default_value = false)]
pub struct Document {
    pub revision_id: String,
    pub kind: Kind,
    /// Name in the document store.
    pub segment: String,
    /// SHA-256 of the PDF, lower-case hexadecimal; of a notice the keyed hash of that.
    pub sha256: String,
    /// Bytes of the PDF; of a notice with the padding that hides its length.
    pub size: i64,
    /// What it was drawn with: fonts and templates.
    pub identity: String,
    pub stored_at: NaiveDateTime,
    /// The run that drew it again; empty for the first one drawn.
    pub run_id: String,
    /// Of its frame in the segment, bytes.
    pub position: i64,
    /// Of its frame, bytes.
    pub length: i64,
}

impl Document {
    /// Where it is, for people.
    pub fn location(&self) -> String {
        format!("{} at {}", self.segment, self.position)
    }
}

/// Inserts missing documents and returns how many were new.
/// A document drawn twice by one run keeps its first row.
pub fn insert_new(db: &mut Connection, new: &[Document]) -> Result<usize> {
    let mut rows: Vec<_> =
        new.iter().map(|row| Document { stored_at: micros(row.stored_at), ..row.clone() }).collect();
    rows.sort_by(|a, b| (&a.revision_id, a.kind, &a.run_id).cmp(&(&b.revision_id, b.kind, &b.run_id)));
    chunks::insert!(db, "insert documents", c, rows => {
        diesel::insert_into(document::table).values(rows).on_conflict_do_nothing().execute(c)
    })
}

/// The last drawn documents of each revision: the certificate, then the notice.
pub fn by_revisions(db: &mut Connection, revision_ids: &[&str]) -> Result<Vec<Vec<Document>>> {
    let mut all = every(db, revision_ids)?;
    for documents in &mut all {
        // In the order they were stored: the last of each kind counts.
        let last = |at: usize| documents.get(at + 1).is_none_or(|next| next.kind != documents[at].kind);
        *documents = (0..documents.len()).filter(|at| last(*at)).map(|at| documents[at].clone()).collect();
    }
    Ok(all)
}

/// Including documents redrawn since: by kind, in the order they were stored.
pub fn every(db: &mut Connection, revision_ids: &[&str]) -> Result<Vec<Vec<Document>>> {
    let rows: Vec<Document> = chunks::load!(db, "read documents", c, revision_ids => {
        document::table
            .filter(document::revision_id.eq_any(revision_ids))
            .order((document::kind, document::stored_at, document::run_id))
            .select(Document::as_select())
            .load::<Document>(c)
    })?;
    Ok(grouped(revision_ids, rows, |row| &row.revision_id))
}

/// The documents of a segment, in their order.
pub fn by_segment(db: &mut Connection, segment: &str) -> Result<Vec<Document>> {
    query!(db, "read documents", c => {
        document::table
            .filter(document::segment.eq(segment))
            .order(document::position)
            .select(Document::as_select())
            .load(c)
    })
}

/// Bytes of the frames that rows name, of each of these segments that a row names.
pub fn named_bytes(db: &mut Connection, segments: &[&str]) -> Result<Vec<(String, i64)>> {
    chunks::load!(db, "read segments of documents", c, segments => {
        document::table
            .filter(document::segment.eq_any(segments))
            .group_by(document::segment)
            .select((document::segment, sql::<BigInt>("cast(sum(length) as bigint)")))
            .load::<(String, i64)>(c)
    })
}

pub fn count(db: &mut Connection) -> Result<i64> {
    query!(db, "count documents", c => document::table.count().get_result(c))
}

/// The segments that rows name, in their order, from the one after `after` on.
pub fn segments(db: &mut Connection, after: &str, limit: i64) -> Result<Vec<String>> {
    query!(db, "read segments of documents", c => {
        document::table
            .filter(document::segment.gt(after))
            .select(document::segment)
            .distinct()
            .order(document::segment)
            .limit(limit)
            .load(c)
    })
}

/// Names the new places of moved documents, each with its old row.
/// Returns how many had not been moved.
pub fn set_places(db: &mut Connection, moved: &[(Document, Document)]) -> Result<usize> {
    let mut count = 0;
    for (old, new) in moved {
        count += query!(db, "move documents", c => {
            diesel::update(document::table.find((&old.revision_id, old.kind, &old.run_id)))
                .filter(document::segment.eq(&old.segment))
                .filter(document::position.eq(old.position))
                .set((
                    document::segment.eq(&new.segment),
                    document::position.eq(new.position),
                    document::length.eq(new.length),
                    document::sha256.eq(&new.sha256),
                    document::size.eq(new.size),
                ))
                .execute(c)
        })?;
    }
    Ok(count)
}

//! Location and hash of finished documents.
//! The bytes are in the document store.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::stored_text::stored_as_text;
use super::tables::document;
use super::{chunks, grouped};
use crate::db::{Connection, Result, micros};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    pub location: String,
    /// SHA-256 of the bytes, lower-case hexadecimal.
    pub sha256: String,
    /// Bytes.
    pub size: i64,
    /// What it was drawn with: fonts and templates.
    pub identity: String,
    pub stored_at: NaiveDateTime,
    /// The run that drew it again; empty for the first one drawn.
    pub run_id: String,
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

//! The document stores that this database uses, one of each kind.

use std::collections::BTreeMap;

use diesel::prelude::*;

use super::tables::document_store;
use crate::db::{Connection, Result, query};

/// By kind: `folder` or `bucket`.
pub fn identities(db: &mut Connection) -> Result<BTreeMap<String, String>> {
    let rows: Vec<(String, String)> = query!(db, "read the identities of document stores", c => {
        document_store::table.select((document_store::kind, document_store::identity)).load(c)
    })?;
    Ok(rows.into_iter().collect())
}

/// Keeps the identity that is there.
pub fn insert_new(db: &mut Connection, kind: &str, identity: &str) -> Result<()> {
    query!(db, "insert the identity of the document store", c => {
        diesel::insert_into(document_store::table)
            .values((document_store::kind.eq(kind), document_store::identity.eq(identity)))
            .on_conflict_do_nothing()
            .execute(c)
    })
    .map(drop)
}

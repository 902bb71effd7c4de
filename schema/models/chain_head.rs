//! Length and last hash of the revision chain of each guarantee.
//! They reveal the removal of its last revisions.
//!
//! The seal needs a key that is not in the database (the key ring of the workers): write access to the tables
//! does not suffice to forge it.

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::tables::chain_head;
use super::{aligned, chunks};
use crate::db::{Connection, Result};

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = chain_head, treat_none_as_default_value = false)]
pub struct ChainHead {
    pub guarantee_id: String,
    pub revisions: i64,
    /// `content_sha256` of the last.
    pub head_sha256: String,
    pub seal: String,
}

/// Call under the lock of the guarantees, or for new guarantees.
pub fn write(db: &mut Connection, heads: &[ChainHead]) -> Result<()> {
    let mut rows = heads.to_vec();
    rows.sort_by(|a, b| a.guarantee_id.cmp(&b.guarantee_id));
    chunks::insert!(db, "update chain heads", c, rows => {
        diesel::insert_into(chain_head::table)
            .values(rows)
            .on_conflict(chain_head::guarantee_id)
            .do_update()
            .set((
                chain_head::revisions.eq(excluded(chain_head::revisions)),
                chain_head::head_sha256.eq(excluded(chain_head::head_sha256)),
                chain_head::seal.eq(excluded(chain_head::seal)),
            ))
            .execute(c)
    })
    .map(drop)
}

pub fn by_guarantees(db: &mut Connection, guarantee_ids: &[&str]) -> Result<Vec<Option<ChainHead>>> {
    let rows: Vec<ChainHead> = chunks::load!(db, "read chain heads", c, guarantee_ids => {
        chain_head::table.filter(chain_head::guarantee_id.eq_any(guarantee_ids)).select(ChainHead::as_select()).load(c)
    })?;
    Ok(aligned(guarantee_ids, rows, |row| &row.guarantee_id))
}

//! Length and last hash of the revision chain of each guarantee, so that the removal of its last revisions is
//! detected.
//!
//! The seal needs a key that is not in the database (the key ring of the workers): write access to the tables
//! does not suffice to forge it.

use diesel::upsert::excluded;
use diesel::{ExpressionMethods, Insertable, QueryDsl, Queryable, RunQueryDsl, Selectable, SelectableHelper};

use super::tables::chain_head;
use super::{aligned, chunks};
use crate::db::{Connection, DbError, attempting, match_connection};

/// A row of `chain_head`.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = chain_head, treat_none_as_default_value = false)]
pub struct ChainHead {
    pub guarantee_id: String,
    /// Revisions in the chain, at least 1.
    pub revisions: i64,
    /// `content_sha256` of the last.
    pub head_sha256: String,
    /// Keyed hash of the three above.
    pub seal: String,
}

/// Call under the lock of the guarantees, or for new guarantees.
pub fn write(connection: &mut Connection, heads: &[ChainHead]) -> Result<(), DbError> {
    let mut rows = heads.to_vec();
    rows.sort_by(|a, b| a.guarantee_id.cmp(&b.guarantee_id));
    chunks::insert(&rows, |rows| {
        match_connection!(connection, c => {
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
    })
    .map(drop)
    .map_err(attempting("update chain heads"))
}

pub fn by_guarantees(
    connection: &mut Connection,
    guarantee_ids: &[&str],
) -> Result<Vec<Option<ChainHead>>, DbError> {
    let rows: Vec<ChainHead> = chunks::load(guarantee_ids, |ids| {
        match_connection!(connection, c => {
            chain_head::table.filter(chain_head::guarantee_id.eq_any(ids)).select(ChainHead::as_select()).load(c)
        })
    })
    .map_err(attempting("read chain heads"))?;
    Ok(aligned(guarantee_ids, rows, |row| &row.guarantee_id))
}

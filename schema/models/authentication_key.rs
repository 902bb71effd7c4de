//! 認証キー: one per electronic guarantee, sealed.
//! The database never contains the key in the clear.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::tables::authentication_key;
use super::{aligned, chunks};
use crate::db::{Connection, Result, micros, query};

/// A row of `authentication_key`. Prints neither the sealed key nor its hash.
#[derive(Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = authentication_key, treat_none_as_default_value = false)]
pub struct AuthenticationKey {
    /// The guarantee; all its revisions share the key.
    pub guarantee_id: String,
    pub data_key_id: String,
    pub sealed: Vec<u8>,
    /// Finds and verifies a key that is shown to us.
    /// Keyed hash of the key, lower-case hexadecimal.
    pub lookup_hash: String,
    pub minted_at: NaiveDateTime,
}

impl std::fmt::Debug for AuthenticationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthenticationKey")
            .field("guarantee_id", &self.guarantee_id)
            .field("data_key_id", &self.data_key_id)
            .field("minted_at", &self.minted_at)
            .finish_non_exhaustive()
    }
}

/// Inserts the keys of guarantees that have none and returns how many were new.
///
/// Read the keys back: a guarantee keeps an existing key, and a key whose hash another guarantee has is not
/// stored, so that a new one has to be minted.
pub fn insert_new(db: &mut Connection, new: &[AuthenticationKey]) -> Result<usize> {
    let mut rows: Vec<_> =
        new.iter().map(|row| AuthenticationKey { minted_at: micros(row.minted_at), ..row.clone() }).collect();
    rows.sort_by(|a, b| a.guarantee_id.cmp(&b.guarantee_id));
    chunks::insert!(db, "insert authentication keys", c, rows => {
        diesel::insert_into(authentication_key::table).values(rows).on_conflict_do_nothing().execute(c)
    })
}

pub fn by_guarantees(db: &mut Connection, guarantee_ids: &[&str]) -> Result<Vec<Option<AuthenticationKey>>> {
    let rows: Vec<AuthenticationKey> = chunks::load!(db, "read authentication keys", c, guarantee_ids => {
        authentication_key::table
            .filter(authentication_key::guarantee_id.eq_any(guarantee_ids))
            .select(AuthenticationKey::as_select())
            .load(c)
    })?;
    Ok(aligned(guarantee_ids, rows, |row| &row.guarantee_id))
}

pub fn by_lookup_hash(db: &mut Connection, lookup_hash: &str) -> Result<Option<AuthenticationKey>> {
    query!(db, "read authentication keys", c => {
        authentication_key::table
            .filter(authentication_key::lookup_hash.eq(lookup_hash))
            .select(AuthenticationKey::as_select())
            .first(c)
            .optional()
    })
}

pub fn data_keys(db: &mut Connection) -> Result<Vec<String>> {
    query!(db, "read authentication keys", c => {
        authentication_key::table.select(authentication_key::data_key_id).distinct().order(authentication_key::data_key_id).load(c)
    })
}

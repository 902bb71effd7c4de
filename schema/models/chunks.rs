//! Statements over more rows or keys than SQLite binds values: 32,766.
//!
//! The macros run a body for each chunk: `chunks::load!(db, "read runs", c, ids => query.load(c))`.

use crate::db::Result;

/// Most rows of one insert: no table has more than 32 columns.
const MAX_ROWS: usize = 1_000;

/// Most keys of one statement: some binds stay free for its other values.
const MAX_KEYS: usize = 32_000;

pub(crate) fn insert_each<R>(rows: &[R], insert: impl FnMut(&[R]) -> Result<usize>) -> Result<usize> {
    rows.chunks(MAX_ROWS).map(insert).sum()
}

pub(crate) fn update_each<K>(keys: &[K], update: impl FnMut(&[K]) -> Result<usize>) -> Result<usize> {
    keys.chunks(MAX_KEYS).map(update).sum()
}

pub(crate) fn load_each<K, R>(keys: &[K], mut load: impl FnMut(&[K]) -> Result<Vec<R>>) -> Result<Vec<R>> {
    let mut rows = Vec::new();
    for keys in keys.chunks(MAX_KEYS) {
        rows.append(&mut load(keys)?);
    }
    Ok(rows)
}

/// Inserts rows and returns how many were new.
macro_rules! insert {
    ($db:expr, $attempt:expr, $c:ident, $rows:ident => $body:expr) => {
        $crate::models::chunks::insert_each(&$rows[..], |$rows| $crate::db::query!($db, $attempt, $c => $body))
    };
}
pub(crate) use insert;

/// Changes the rows of some keys and returns how many changed.
macro_rules! update {
    ($db:expr, $attempt:expr, $c:ident, $keys:ident => $body:expr) => {
        $crate::models::chunks::update_each(&$keys[..], |$keys| $crate::db::query!($db, $attempt, $c => $body))
    };
}
pub(crate) use update;

/// Loads the rows of some keys, in no order across chunks.
macro_rules! load {
    ($db:expr, $attempt:expr, $c:ident, $keys:ident => $body:expr) => {
        $crate::models::chunks::load_each(&$keys[..], |$keys| $crate::db::query!($db, $attempt, $c => $body))
    };
}
pub(crate) use load;

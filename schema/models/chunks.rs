//! Statements over more rows or keys than SQLite binds values: 32,766.

use diesel::QueryResult;

/// Most rows of one insert: no table has more than 32 columns.
const MAX_ROWS: usize = 1_000;

/// Most keys of one statement: some binds stay free for its other values.
const MAX_KEYS: usize = 32_000;

/// Inserts rows and returns how many were new.
pub(crate) fn insert<R>(
    rows: &[R],
    mut insert: impl FnMut(&[R]) -> QueryResult<usize>,
) -> QueryResult<usize> {
    rows.chunks(MAX_ROWS).map(|rows| insert(rows)).sum()
}

/// Changes the rows of some keys and returns how many changed.
pub(crate) fn update<K>(
    keys: &[K],
    mut update: impl FnMut(&[K]) -> QueryResult<usize>,
) -> QueryResult<usize> {
    keys.chunks(MAX_KEYS).map(|keys| update(keys)).sum()
}

/// Loads the rows of some keys, in no order across chunks.
pub(crate) fn load<K, R>(
    keys: &[K],
    mut load: impl FnMut(&[K]) -> QueryResult<Vec<R>>,
) -> QueryResult<Vec<R>> {
    let mut rows = Vec::new();
    for keys in keys.chunks(MAX_KEYS) {
        rows.append(&mut load(keys)?);
    }
    Ok(rows)
}

//! Notes of operators on a cause, one per fingerprint.

use std::collections::HashMap;

use chrono::NaiveDateTime;
use diesel::{ExpressionMethods, Insertable, QueryDsl, Queryable, RunQueryDsl, Selectable, SelectableHelper};

use super::chunks;
use super::tables::failure_note;
use crate::db::{Connection, DbError, attempting, match_connection, micros};

/// A row of `failure_note`.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = failure_note)]
pub struct FailureNote {
    pub fingerprint: String,
    pub note: String,
    pub actor: String,
    pub noted_at: NaiveDateTime,
}

/// Writes a note, replacing an earlier one.
pub fn write(connection: &mut Connection, note: &FailureNote) -> Result<(), DbError> {
    let row = FailureNote { noted_at: micros(note.noted_at), ..note.clone() };
    match_connection!(connection, c => {
        diesel::insert_into(failure_note::table)
            .values(&row)
            .on_conflict(failure_note::fingerprint)
            .do_update()
            .set((
                failure_note::note.eq(&row.note),
                failure_note::actor.eq(&row.actor),
                failure_note::noted_at.eq(row.noted_at),
            ))
            .execute(c)
    })
    .map(drop)
    .map_err(attempting("write a failure note"))
}

pub fn by_fingerprints(
    connection: &mut Connection,
    fingerprints: &[&str],
) -> Result<HashMap<String, FailureNote>, DbError> {
    let notes: Vec<FailureNote> = chunks::load(fingerprints, |some| {
        match_connection!(connection, c => {
            failure_note::table.filter(failure_note::fingerprint.eq_any(some)).select(FailureNote::as_select()).load(c)
        })
    })
    .map_err(attempting("read failure notes"))?;
    Ok(notes.into_iter().map(|note| (note.fingerprint.clone(), note)).collect())
}

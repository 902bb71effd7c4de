//! Notes of operators on a cause, one per fingerprint.

use std::collections::HashMap;

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::chunks;
use super::tables::failure_note;
use crate::db::{Connection, Result, micros, query};

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = failure_note)]
pub struct FailureNote {
    pub fingerprint: String,
    pub note: String,
    pub actor: String,
    pub noted_at: NaiveDateTime,
}

pub fn write(db: &mut Connection, note: &FailureNote) -> Result<()> {
    let row = FailureNote { noted_at: micros(note.noted_at), ..note.clone() };
    query!(db, "write a failure note", c => {
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
}

pub fn by_fingerprints(db: &mut Connection, fingerprints: &[&str]) -> Result<HashMap<String, FailureNote>> {
    let notes: Vec<FailureNote> = chunks::load!(db, "read failure notes", c, fingerprints => {
        failure_note::table.filter(failure_note::fingerprint.eq_any(fingerprints)).select(FailureNote::as_select()).load(c)
    })?;
    Ok(notes.into_iter().map(|note| (note.fingerprint.clone(), note)).collect())
}

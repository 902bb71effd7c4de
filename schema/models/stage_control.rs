//! Paused stages; a stage without a row runs.
//! Every worker process reads them every second.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::tables::stage_control;
use crate::db::{Connection, Result, micros, query};

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = stage_control)]
pub struct StageControl {
    pub stage: String,
    pub paused: bool,
    pub reason: String,
    pub actor: String,
    pub changed_at: NaiveDateTime,
}

pub fn all(db: &mut Connection) -> Result<Vec<StageControl>> {
    query!(db, "read stage controls", c => {
        stage_control::table.order(stage_control::stage).select(StageControl::as_select()).load(c)
    })
}

/// Returns whether that changed anything; an unchanged stage keeps its reason.
pub fn set(db: &mut Connection, wanted: &StageControl) -> Result<bool> {
    let row = StageControl { changed_at: micros(wanted.changed_at), ..wanted.clone() };
    db.transaction(|db| {
        let inserted = query!(db, "insert a stage control", c => {
            let initial = StageControl { paused: false, ..row.clone() };
            diesel::insert_into(stage_control::table).values(&initial).on_conflict_do_nothing().execute(c)
        })?;
        let changed = query!(db, "update a stage control", c => {
            diesel::update(stage_control::table.filter(stage_control::stage.eq(&row.stage)).filter(stage_control::paused.ne(row.paused)))
                .set((
                    stage_control::paused.eq(row.paused),
                    stage_control::reason.eq(&row.reason),
                    stage_control::actor.eq(&row.actor),
                    stage_control::changed_at.eq(row.changed_at),
                ))
                .execute(c)
        })?;
        if inserted == 1 && changed == 0 {
            // It was not paused: the row is not needed.
            query!(db, "delete a stage control", c => {
                diesel::delete(stage_control::table.filter(stage_control::stage.eq(&row.stage))).execute(c)
            })?;
        }
        Ok(changed > 0)
    })
}

//! Paused stages. Every worker process reads them every second; a stage without a row runs.

use chrono::NaiveDateTime;
use diesel::{ExpressionMethods, Insertable, QueryDsl, Queryable, RunQueryDsl, Selectable, SelectableHelper};

use super::tables::stage_control;
use crate::db::{Connection, DbError, attempting, match_connection, micros};

/// A row of `stage_control`.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = stage_control)]
pub struct StageControl {
    pub stage: String,
    pub paused: bool,
    pub reason: String,
    pub actor: String,
    pub changed_at: NaiveDateTime,
}

pub fn all(connection: &mut Connection) -> Result<Vec<StageControl>, DbError> {
    match_connection!(connection, c => {
        stage_control::table.order(stage_control::stage).select(StageControl::as_select()).load(c)
    })
    .map_err(attempting("read stage controls"))
}

/// Pauses or resumes a stage and returns whether that changed anything. An unchanged stage keeps its reason.
pub fn set(connection: &mut Connection, wanted: &StageControl) -> Result<bool, DbError> {
    let row = StageControl { changed_at: micros(wanted.changed_at), ..wanted.clone() };
    connection.transaction(|connection| {
        let inserted = match_connection!(connection, c => {
            let initial = StageControl { paused: false, ..row.clone() };
            diesel::insert_into(stage_control::table).values(&initial).on_conflict_do_nothing().execute(c)
        })
        .map_err(attempting("insert a stage control"))?;
        let changed = match_connection!(connection, c => {
            diesel::update(stage_control::table.filter(stage_control::stage.eq(&row.stage)).filter(stage_control::paused.ne(row.paused)))
                .set((
                    stage_control::paused.eq(row.paused),
                    stage_control::reason.eq(&row.reason),
                    stage_control::actor.eq(&row.actor),
                    stage_control::changed_at.eq(row.changed_at),
                ))
                .execute(c)
        })
        .map_err(attempting("update a stage control"))?;
        if inserted == 1 && changed == 0 {
            // It was not paused: the row is not needed.
            match_connection!(connection, c => {
                diesel::delete(stage_control::table.filter(stage_control::stage.eq(&row.stage))).execute(c)
            })
            .map_err(attempting("delete a stage control"))?;
        }
        Ok(changed > 0)
    })
}

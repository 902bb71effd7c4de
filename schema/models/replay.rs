//! Replays: failed messages that are sent again, a few first, then faster, watched by an operator.
//!
//! A replay is a frozen selection: [`create`] marks the messages, so that no message is part of two replays
//! at a time, and the count is exact. One process drives it under a lease ([`lease`]). When it exits, another
//! continues, because the messages record what was sent and settled.

use chrono::NaiveDateTime;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, Insertable, QueryDsl, Queryable, RunQueryDsl, Selectable,
    SelectableHelper,
};

use super::beginning_with;
use super::failed_message::{self, Filter};
use super::stored_text::stored_as_text;
use super::tables::replay;
use crate::db::{Connection, DbError, attempting, match_connection, micros};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    Running,
    Paused,
    Complete,
    /// Stopped automatically: too many messages failed again.
    Stopped,
    Aborted,
}

stored_as_text!(State { Running = "running", Paused = "paused", Complete = "complete", Stopped = "stopped", Aborted = "aborted" });

/// A row of `replay`.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = replay, treat_none_as_default_value = false)]
pub struct Replay {
    pub id: String,
    pub state: State,
    pub selection: String,
    pub total: i64,
    pub cutoff: NaiveDateTime,
    /// Messages that must succeed before any other is sent.
    pub canary: i64,
    /// Messages a second, at most.
    pub rate: i64,
    pub reason: String,
    pub actor: String,
    pub created_at: NaiveDateTime,
    pub driver: Option<String>,
    pub leased_until: Option<NaiveDateTime>,
    pub note: Option<String>,
    /// Messages that were worked off; once it is over.
    pub resolved: Option<i64>,
    /// Messages that failed again; once it is over.
    pub failed_again: Option<i64>,
    pub finished_at: Option<NaiveDateTime>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReplay {
    pub id: String,
    pub selection: String,
    /// Messages that must succeed before any other is sent.
    pub canary: i64,
    /// Messages a second, at most.
    pub rate: i64,
    pub reason: String,
    pub actor: String,
    pub at: NaiveDateTime,
}

/// A replay with its messages, and the state each was in before.
pub type Frozen = (Replay, Vec<(String, failed_message::State)>);

/// Creates a replay of the messages that match a filter in one of the states `from`, and returns it with the
/// previous state of each; `None` when no message matches. Messages of another active replay are excluded.
/// Contention when another process has changed one of them meanwhile.
pub fn create(
    connection: &mut Connection,
    new: &NewReplay,
    filter: &Filter,
    from: &[failed_message::State],
) -> Result<Option<Frozen>, DbError> {
    let now = micros(new.at);
    connection.transaction(|connection| {
        let until = filter.until.map_or(now, |until| until.min(now));
        let filter = Filter { states: from.to_vec(), until: Some(until), free: true, ..filter.clone() };
        let found = failed_message::select(connection, &filter)?;
        if found.is_empty() {
            return Ok(None);
        }
        let row = Replay {
            id: new.id.clone(),
            state: State::Running,
            selection: new.selection.clone(),
            total: i64::try_from(found.len()).unwrap_or(i64::MAX),
            cutoff: until,
            canary: new.canary,
            rate: new.rate,
            reason: new.reason.clone(),
            actor: new.actor.clone(),
            created_at: now,
            driver: None,
            leased_until: None,
            note: None,
            resolved: None,
            failed_again: None,
            finished_at: None,
        };
        match_connection!(connection, c => diesel::insert_into(replay::table).values(&row).execute(c))
            .map_err(attempting("insert a replay"))?;
        let ids: Vec<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
        failed_message::freeze(connection, &ids, from, &row.id, now)?;
        Ok(Some((row, found)))
    })
}

/// Takes or renews the lease of a replay until `until`. `None` when it is not running, or another process has
/// the lease.
pub fn lease(
    connection: &mut Connection,
    id: &str,
    driver: &str,
    now: NaiveDateTime,
    until: NaiveDateTime,
) -> Result<Option<Replay>, DbError> {
    let taken: Vec<Replay> = match_connection!(connection, c => {
        let free = replay::driver.is_null().or(replay::driver.eq(driver)).or(replay::leased_until.lt(micros(now)));
        diesel::update(replay::table.filter(replay::id.eq(id)).filter(replay::state.eq(State::Running)).filter(free))
            .set((replay::driver.eq(driver), replay::leased_until.eq(micros(until))))
            .returning(Replay::as_returning())
            .get_results(c)
    })
    .map_err(attempting("lease a replay"))?;
    Ok(taken.into_iter().next())
}

pub fn unlease(connection: &mut Connection, id: &str, driver: &str) -> Result<(), DbError> {
    match_connection!(connection, c => {
        diesel::update(replay::table.filter(replay::id.eq(id)).filter(replay::driver.eq(driver)))
            .set((replay::driver.eq(None::<String>), replay::leased_until.eq(None::<NaiveDateTime>)))
            .execute(c)
    })
    .map(drop)
    .map_err(attempting("end the lease of a replay"))
}

/// Pauses a running replay or resumes a paused one; returns whether that changed anything.
pub fn set_paused(
    connection: &mut Connection,
    id: &str,
    paused: bool,
    note: Option<&str>,
) -> Result<bool, DbError> {
    let (from, to) = if paused { (State::Running, State::Paused) } else { (State::Paused, State::Running) };
    match_connection!(connection, c => {
        diesel::update(replay::table.filter(replay::id.eq(id)).filter(replay::state.eq(from)))
            .set((replay::state.eq(to), replay::note.eq(note)))
            .execute(c)
    })
    .map(|changed| changed > 0)
    .map_err(attempting("pause or resume a replay"))
}

/// Ends a replay: records its outcome and releases its unsettled messages. `false` when it was over already.
pub fn finish(
    connection: &mut Connection,
    id: &str,
    state: State,
    note: Option<&str>,
    now: NaiveDateTime,
) -> Result<bool, DbError> {
    connection.transaction(|connection| {
        let progress = failed_message::progress(connection, id)?;
        let changed = match_connection!(connection, c => {
            diesel::update(replay::table.filter(replay::id.eq(id)).filter(replay::state.eq_any([State::Running.as_text(), State::Paused.as_text()])))
                .set((
                    replay::state.eq(state),
                    replay::note.eq(note),
                    replay::resolved.eq(progress.resolved),
                    replay::failed_again.eq(progress.failed_again),
                    replay::finished_at.eq(micros(now)),
                    replay::driver.eq(None::<String>),
                    replay::leased_until.eq(None::<NaiveDateTime>),
                ))
                .execute(c)
        })
        .map_err(attempting("finish a replay"))?;
        if changed > 0 {
            failed_message::release(connection, id, now)?;
        }
        Ok(changed > 0)
    })
}

pub fn by_id(connection: &mut Connection, id: &str) -> Result<Option<Replay>, DbError> {
    let found: Vec<Replay> = match_connection!(connection, c => {
        replay::table.filter(replay::id.eq(id)).select(Replay::as_select()).load(c)
    })
    .map_err(attempting("read replays"))?;
    Ok(found.into_iter().next())
}

/// Reads a page of the replays, the latest first.
pub fn list(connection: &mut Connection, limit: i64, offset: i64) -> Result<Vec<Replay>, DbError> {
    match_connection!(connection, c => {
        replay::table.order((replay::created_at.desc(), replay::id)).limit(limit).offset(offset).select(Replay::as_select()).load(c)
    })
    .map_err(attempting("read replays"))
}

/// Counts the replays.
pub fn count(connection: &mut Connection) -> Result<i64, DbError> {
    match_connection!(connection, c => replay::table.count().get_result(c))
        .map_err(attempting("count replays"))
}

/// The identifiers with `prefix`, at most two: enough to detect an ambiguous prefix.
pub fn by_prefix(connection: &mut Connection, prefix: &str) -> Result<Vec<String>, DbError> {
    use diesel::{EscapeExpressionMethods as _, TextExpressionMethods as _};
    match_connection!(connection, c => {
        replay::table
            .filter(replay::id.like(beginning_with(prefix)).escape('!'))
            .order(replay::id)
            .limit(2)
            .select(replay::id)
            .load(c)
    })
    .map_err(attempting("read replays"))
}

//! Failed messages that are sent again, a few first, then faster.
//! An operator watches.
//!
//! A replay is a frozen selection: [`create`] marks the messages, so that no message is part of two replays
//! at a time, and the count is exact. One process drives it under a lease ([`lease`]). When it exits, another
//! continues, because the messages record what was sent and settled.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::failed_message::{self, Filter};
use super::lease::leased;
use super::stored_text::stored_as_text;
use super::tables::replay;
use crate::db::{Connection, Result, micros, query};

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

leased!(replay: Replay, "replay", "replays");

/// A replay with its messages, and the state each was in before.
pub type Frozen = (Replay, Vec<(String, failed_message::State)>);

/// Selects the messages that match `filter` in one of the states `from`.
/// Counts them, and returns the previous state of each; `None` when no message matches. Messages of another
/// active replay are excluded. Contention when another process has changed one of them meanwhile.
pub fn create(
    db: &mut Connection,
    new: &Replay,
    filter: &Filter,
    from: &[failed_message::State],
) -> Result<Option<Frozen>> {
    let now = micros(new.created_at);
    db.transaction(|db| {
        let until = filter.until.map_or(now, |until| until.min(now));
        let filter = Filter { states: from.to_vec(), until: Some(until), free: true, ..filter.clone() };
        let found = failed_message::select(db, &filter)?;
        if found.is_empty() {
            return Ok(None);
        }
        let total = i64::try_from(found.len()).unwrap_or(i64::MAX);
        let row = Replay { total, cutoff: until, created_at: now, ..new.clone() };
        query!(db, "insert a replay", c => {
            diesel::insert_into(replay::table).values(&row).execute(c)
        })?;
        let ids: Vec<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
        failed_message::freeze(db, &ids, from, &row.id, now)?;
        Ok(Some((row, found)))
    })
}

/// Records the outcome and releases the unsettled messages.
/// `false` when the replay was over already.
pub fn finish(
    db: &mut Connection,
    id: &str,
    state: State,
    note: Option<&str>,
    now: NaiveDateTime,
) -> Result<bool> {
    db.transaction(|db| {
        if !end(db, id, state, note, now)? {
            return Ok(false);
        }
        let progress = failed_message::progress(db, id)?;
        query!(db, "finish a replay", c => {
            diesel::update(replay::table.filter(replay::id.eq(id)))
                .set((replay::resolved.eq(progress.resolved), replay::failed_again.eq(progress.failed_again)))
                .execute(c)
        })?;
        failed_message::release(db, id, now)?;
        Ok(true)
    })
}

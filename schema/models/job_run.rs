//! Runs of the jobs on the schedule, and of those an operator starts by hand.
//!
//! A slot of the schedule is a row that can be inserted once ([`begin`]), and at most one run of a job is
//! active at a time; the tables enforce both. One process drives a run under a lease ([`lease`]). When it
//! exits, another process continues from the checkpoint.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::chunks;
use super::lease::leased;
use super::outbox::{self, Outbound};
use super::run_item;
use super::stored_text::stored_as_text;
use super::tables::{job, job_run};
use crate::db::{Connection, Result, micros, query};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    Running,
    Paused,
    Complete,
    /// Every guarantee of it is done or a dead letter.
    CompleteWithFailures,
    Cancelled,
    Skipped,
}

stored_as_text!(State {
    Running = "running",
    Paused = "paused",
    Complete = "complete",
    CompleteWithFailures = "complete_with_failures",
    Cancelled = "cancelled",
    Skipped = "skipped",
});

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = job_run, treat_none_as_default_value = false)]
pub struct Run {
    pub id: String,
    pub job: String,
    /// The slot in the schedule's zone, such as `2026-12-01T01:30:00`.
    /// None for a run by hand.
    pub scheduled_for: Option<String>,
    pub selection: String,
    pub reason: String,
    pub actor: String,
    pub state: State,
    /// Messages a second, at most.
    pub rate: i64,
    /// Guarantees in it, counted when it began.
    pub total: i64,
    pub cutoff: NaiveDateTime,
    pub selected: i64,
    /// The last of them; empty before the first.
    pub checkpoint: String,
    pub exhausted: bool,
    pub driver: Option<String>,
    pub leased_until: Option<NaiveDateTime>,
    /// How often it was taken over from a process that was gone.
    pub takeovers: i64,
    pub note: Option<String>,
    pub created_at: NaiveDateTime,
    pub finished_at: Option<NaiveDateTime>,
    pub reported_at: Option<NaiveDateTime>,
}

leased!(job_run: Run, "run", "runs", takeovers);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    Ours(Box<Run>),
    Taken,
    Busy(Box<Run>),
}

/// Begins a run, unless its slot is taken or another run of the job is active.
pub fn begin(db: &mut Connection, new: &Run) -> Result<Begun> {
    let row = Run { created_at: micros(new.created_at), cutoff: micros(new.cutoff), ..new.clone() };
    db.transaction(|db| {
        let inserted = query!(db, "insert a run", c => {
            diesel::insert_into(job_run::table).values(&row).on_conflict_do_nothing().execute(c)
        })?;
        if inserted > 0 {
            return Ok(Begun::Ours(Box::new(row)));
        }
        // By a run or as skipped; NULL equals no slot.
        let same_slot: Option<String> = query!(db, "read runs", c => {
            let slots = job_run::table.filter(job_run::job.eq(&row.job));
            slots.filter(job_run::scheduled_for.eq(&row.scheduled_for)).select(job_run::id).first(c).optional()
        })?;
        if same_slot.is_some() {
            return Ok(Begun::Taken);
        }
        // The active run may have ended since; then the next tick begins this one.
        Ok(active(db, &row.job)?.map_or(Begun::Taken, |run| Begun::Busy(Box::new(run))))
    })
}

/// The latest taken slot of a job at or before `slot`.
pub fn last_slot(db: &mut Connection, job: &str, slot: &str) -> Result<Option<String>> {
    let found: Option<Option<String>> = query!(db, "read runs", c => {
        job_run::table
            .filter(job_run::job.eq(job))
            .filter(job_run::scheduled_for.le(slot))
            .order(job_run::scheduled_for.desc())
            .select(job_run::scheduled_for)
            .first(c)
            .optional()
    })?;
    Ok(found.flatten())
}

/// The first slot of a job; `now` on the first call.
pub fn known_since(db: &mut Connection, name: &str, now: &str) -> Result<String> {
    let known: Option<String> = query!(db, "read jobs", c => {
        job::table.filter(job::name.eq(name)).select(job::since).first(c).optional()
    })?;
    if let Some(since) = known {
        return Ok(since);
    }
    query!(db, "insert a job", c => {
        diesel::insert_into(job::table).values((job::name.eq(name), job::since.eq(now))).on_conflict_do_nothing().execute(c)
    })?;
    query!(db, "read jobs", c => {
        job::table.filter(job::name.eq(name)).select(job::since).first(c)
    })
}

/// The running or paused run of a job.
pub fn active(db: &mut Connection, job: &str) -> Result<Option<Run>> {
    query!(db, "read runs", c => {
        job_run::table
            .filter(job_run::job.eq(job))
            .filter(job_run::state.eq_any([State::Running.as_text(), State::Paused.as_text()]))
            .select(Run::as_select())
            .first(c)
            .optional()
    })
}

/// The finished runs of a job that are not reported to the operators.
pub fn unreported(db: &mut Connection, job: &str) -> Result<Vec<Run>> {
    query!(db, "read runs", c => {
        job_run::table
            .filter(job_run::job.eq(job))
            .filter(job_run::finished_at.is_not_null())
            .filter(job_run::reported_at.is_null())
            .order(job_run::created_at)
            .select(Run::as_select())
            .load(c)
    })
}

/// Runs of a job that were cancelled since then, oldest first.
pub fn cancelled(db: &mut Connection, job: &str, since: NaiveDateTime) -> Result<Vec<Run>> {
    query!(db, "read runs", c => {
        job_run::table
            .filter(job_run::job.eq(job))
            .filter(job_run::state.eq(State::Cancelled))
            .filter(job_run::finished_at.ge(micros(since)))
            .order(job_run::created_at)
            .select(Run::as_select())
            .load(c)
    })
}

/// Which of these runs are over.
pub fn finished(db: &mut Connection, ids: &[&str]) -> Result<Vec<String>> {
    chunks::load!(db, "read runs", c, ids => {
        job_run::table
            .filter(job_run::id.eq_any(ids))
            .filter(job_run::finished_at.is_not_null())
            .select(job_run::id)
            .load::<String>(c)
    })
}

/// Adds a page in one transaction: guarantees, their messages, the checkpoint.
/// `false`, without any effect, when the process has lost the lease or another page came first.
pub fn advance(
    db: &mut Connection,
    run: &Run,
    driver: &str,
    guarantees: &[&str],
    messages: &[Outbound],
    exhausted: bool,
) -> Result<bool> {
    db.transaction(|db| {
        let checkpoint = guarantees.last().copied().unwrap_or(&run.checkpoint);
        let gained = i64::try_from(guarantees.len()).unwrap_or(i64::MAX);
        let changed = query!(db, "advance a run", c => {
            let mine = job_run::table
                .filter(job_run::id.eq(&run.id))
                .filter(job_run::state.eq(State::Running))
                .filter(job_run::driver.eq(driver))
                .filter(job_run::checkpoint.eq(&run.checkpoint));
            diesel::update(mine)
                .set((
                    job_run::checkpoint.eq(checkpoint),
                    job_run::selected.eq(job_run::selected + gained),
                    job_run::exhausted.eq(exhausted),
                ))
                .execute(c)
        })?;
        if changed == 0 {
            return Ok(false);
        }
        run_item::add(db, &run.id, guarantees)?;
        outbox::add(db, messages)?;
        Ok(true)
    })
}

/// Ends a run and drops its unpublished messages. `false` when it was over already.
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
        outbox::delete(db, id)?;
        Ok(true)
    })
}

/// Marks a run as reported; `false` when another process has.
/// The report may be lost with this process, which is better than repeating it every second.
pub fn set_reported(db: &mut Connection, id: &str, now: NaiveDateTime) -> Result<bool> {
    query!(db, "mark a run as reported", c => {
        diesel::update(job_run::table.filter(job_run::id.eq(id)).filter(job_run::reported_at.is_null()))
            .set(job_run::reported_at.eq(micros(now)))
            .execute(c)
    })
    .map(|changed| changed > 0)
}

pub fn unset_reported(db: &mut Connection, id: &str) -> Result<()> {
    query!(db, "mark a run as not reported", c => {
        diesel::update(job_run::table.filter(job_run::id.eq(id))).set(job_run::reported_at.eq(None::<NaiveDateTime>)).execute(c)
    })
    .map(drop)
}

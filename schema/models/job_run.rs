//! Runs of the jobs on the schedule, and of those an operator starts by hand.
//!
//! A slot of the schedule is a row that can be inserted once ([`begin`]), and at most one run of a job is
//! active at a time; the tables enforce both. One process drives a run under a lease ([`lease`]). When it
//! exits, another process continues from the checkpoint.

use chrono::NaiveDateTime;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable,
    RunQueryDsl, Selectable, SelectableHelper,
};

use super::beginning_with;
use super::outbox::{self, Outbound};
use super::run_item;
use super::stored_text::stored_as_text;
use super::tables::{job, job_run, outbox as outbox_table};
use crate::db::{Connection, DbError, attempting, match_connection, micros};

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

impl State {
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Running | Self::Paused)
    }
}

/// A row of `job_run`.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = job_run, treat_none_as_default_value = false)]
pub struct Run {
    pub id: String,
    /// The job, such as `reissue`.
    pub job: String,
    /// The slot on the clocks of the schedule's zone, such as `2026-12-01T01:30:00`; none for a run by hand.
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    Ours(Box<Run>),
    Taken,
    /// Another run of the job is under way.
    Busy(Box<Run>),
}

/// Begins a run and takes its slot, unless the slot is taken or another run of the job is active.
pub fn begin(connection: &mut Connection, new: &Run) -> Result<Begun, DbError> {
    let row = Run { created_at: micros(new.created_at), cutoff: micros(new.cutoff), ..new.clone() };
    connection.transaction(|connection| {
        let inserted = match_connection!(connection, c => {
            diesel::insert_into(job_run::table).values(&row).on_conflict_do_nothing().execute(c)
        })
        .map_err(attempting("insert a run"))?;
        if inserted > 0 {
            return Ok(Begun::Ours(Box::new(row)));
        }
        let taken = match &row.scheduled_for {
            Some(slot) => has_slot(connection, &row.job, slot)?,
            None => false,
        };
        if taken {
            return Ok(Begun::Taken);
        }
        // The active run may have ended since; then the next tick begins this one.
        Ok(active(connection, &row.job)?.map_or(Begun::Taken, |run| Begun::Busy(Box::new(run))))
    })
}

/// Whether a slot is taken, by a run or as skipped.
pub fn has_slot(connection: &mut Connection, job: &str, slot: &str) -> Result<bool, DbError> {
    let found: Option<String> = match_connection!(connection, c => {
        job_run::table
            .filter(job_run::job.eq(job))
            .filter(job_run::scheduled_for.eq(slot))
            .select(job_run::id)
            .first(c)
            .optional()
    })
    .map_err(attempting("read runs"))?;
    Ok(found.is_some())
}

/// The latest taken slot of a job at or before `slot`.
pub fn last_slot(connection: &mut Connection, job: &str, slot: &str) -> Result<Option<String>, DbError> {
    let found: Option<Option<String>> = match_connection!(connection, c => {
        job_run::table
            .filter(job_run::job.eq(job))
            .filter(job_run::scheduled_for.le(slot))
            .order(job_run::scheduled_for.desc())
            .select(job_run::scheduled_for)
            .first(c)
            .optional()
    })
    .map_err(attempting("read runs"))?;
    Ok(found.flatten())
}

/// The first slot of a job; `now` on the first call.
pub fn known_since(connection: &mut Connection, name: &str, now: &str) -> Result<String, DbError> {
    let known: Option<String> = match_connection!(connection, c => {
        job::table.filter(job::name.eq(name)).select(job::since).first(c).optional()
    })
    .map_err(attempting("read jobs"))?;
    if let Some(since) = known {
        return Ok(since);
    }
    match_connection!(connection, c => {
        diesel::insert_into(job::table).values((job::name.eq(name), job::since.eq(now))).on_conflict_do_nothing().execute(c)
    })
    .map_err(attempting("insert a job"))?;
    match_connection!(connection, c => job::table.filter(job::name.eq(name)).select(job::since).first(c))
        .map_err(attempting("read jobs"))
}

/// The run of a job that is under way or paused.
pub fn active(connection: &mut Connection, job: &str) -> Result<Option<Run>, DbError> {
    match_connection!(connection, c => {
        job_run::table
            .filter(job_run::job.eq(job))
            .filter(job_run::state.eq_any([State::Running.as_text(), State::Paused.as_text()]))
            .select(Run::as_select())
            .first(c)
            .optional()
    })
    .map_err(attempting("read runs"))
}

/// The finished runs of a job that are not reported to the operators.
pub fn unreported(connection: &mut Connection, job: &str) -> Result<Vec<Run>, DbError> {
    match_connection!(connection, c => {
        job_run::table
            .filter(job_run::job.eq(job))
            .filter(job_run::finished_at.is_not_null())
            .filter(job_run::reported_at.is_null())
            .order(job_run::created_at)
            .select(Run::as_select())
            .load(c)
    })
    .map_err(attempting("read runs"))
}

/// Runs of a job that were cancelled since then, oldest first.
pub fn cancelled(connection: &mut Connection, job: &str, since: NaiveDateTime) -> Result<Vec<Run>, DbError> {
    match_connection!(connection, c => {
        job_run::table
            .filter(job_run::job.eq(job))
            .filter(job_run::state.eq(State::Cancelled))
            .filter(job_run::finished_at.ge(micros(since)))
            .order(job_run::created_at)
            .select(Run::as_select())
            .load(c)
    })
    .map_err(attempting("read runs"))
}

/// Takes or renews the lease of a run until `until`. `None` when it is not running, or another process has
/// the lease.
pub fn lease(
    connection: &mut Connection,
    id: &str,
    driver: &str,
    now: NaiveDateTime,
    until: NaiveDateTime,
) -> Result<Option<Run>, DbError> {
    let kept = match_connection!(connection, c => {
        let run = job_run::table.filter(job_run::id.eq(id)).filter(job_run::state.eq(State::Running)).filter(job_run::driver.eq(driver));
        diesel::update(run).set(job_run::leased_until.eq(micros(until))).returning(Run::as_returning()).get_results::<Run>(c)
    })
    .map_err(attempting("renew the lease of a run"))?;
    if let Some(run) = kept.into_iter().next() {
        return Ok(Some(run));
    }
    let taken: Vec<Run> = match_connection!(connection, c => {
        let free = job_run::driver.is_null().or(job_run::leased_until.lt(micros(now)));
        diesel::update(job_run::table.filter(job_run::id.eq(id)).filter(job_run::state.eq(State::Running)).filter(free))
            .set((
                job_run::driver.eq(driver),
                job_run::leased_until.eq(micros(until)),
                job_run::takeovers.eq(job_run::takeovers + 1_i64),
            ))
            .returning(Run::as_returning())
            .get_results(c)
    })
    .map_err(attempting("lease a run"))?;
    Ok(taken.into_iter().next())
}

pub fn unlease(connection: &mut Connection, id: &str, driver: &str) -> Result<(), DbError> {
    match_connection!(connection, c => {
        diesel::update(job_run::table.filter(job_run::id.eq(id)).filter(job_run::driver.eq(driver)))
            .set((job_run::driver.eq(None::<String>), job_run::leased_until.eq(None::<NaiveDateTime>)))
            .execute(c)
    })
    .map(drop)
    .map_err(attempting("end the lease of a run"))
}

/// Adds a page to a run in one transaction: its guarantees, their messages, and the checkpoint. `false`,
/// without any effect, when the process has lost the lease or another page came first.
pub fn advance(
    connection: &mut Connection,
    run: &Run,
    driver: &str,
    guarantees: &[&str],
    messages: &[Outbound],
    exhausted: bool,
) -> Result<bool, DbError> {
    connection.transaction(|connection| {
        let checkpoint = guarantees.last().copied().unwrap_or(&run.checkpoint);
        let gained = i64::try_from(guarantees.len()).unwrap_or(i64::MAX);
        let changed = match_connection!(connection, c => {
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
        })
        .map_err(attempting("advance a run"))?;
        if changed == 0 {
            return Ok(false);
        }
        run_item::add(connection, &run.id, guarantees)?;
        outbox::add(connection, messages)?;
        Ok(true)
    })
}

/// Pauses a running run or resumes a paused one; returns whether that changed anything.
pub fn set_paused(
    connection: &mut Connection,
    id: &str,
    paused: bool,
    note: Option<&str>,
) -> Result<bool, DbError> {
    let (from, to) = if paused { (State::Running, State::Paused) } else { (State::Paused, State::Running) };
    match_connection!(connection, c => {
        diesel::update(job_run::table.filter(job_run::id.eq(id)).filter(job_run::state.eq(from)))
            .set((job_run::state.eq(to), job_run::note.eq(note)))
            .execute(c)
    })
    .map(|changed| changed > 0)
    .map_err(attempting("pause or resume a run"))
}

/// Ends a run and drops its unpublished messages. `false` when it was over already.
pub fn finish(
    connection: &mut Connection,
    id: &str,
    state: State,
    note: Option<&str>,
    now: NaiveDateTime,
) -> Result<bool, DbError> {
    connection.transaction(|connection| {
        let changed = match_connection!(connection, c => {
            let open = job_run::state.eq_any([State::Running.as_text(), State::Paused.as_text()]);
            diesel::update(job_run::table.filter(job_run::id.eq(id)).filter(open))
                .set((
                    job_run::state.eq(state),
                    job_run::note.eq(note),
                    job_run::finished_at.eq(micros(now)),
                    job_run::driver.eq(None::<String>),
                    job_run::leased_until.eq(None::<NaiveDateTime>),
                ))
                .execute(c)
        })
        .map_err(attempting("finish a run"))?;
        if changed > 0 {
            match_connection!(connection, c => {
                diesel::delete(outbox_table::table.filter(outbox_table::run_id.eq(id))).execute(c)
            })
            .map_err(attempting("delete the messages of a finished run"))?;
        }
        Ok(changed > 0)
    })
}

/// Marks a run as reported; `false` when another process has. The report may be lost with this process, which
/// is better than repeating it every second.
pub fn set_reported(connection: &mut Connection, id: &str, now: NaiveDateTime) -> Result<bool, DbError> {
    match_connection!(connection, c => {
        diesel::update(job_run::table.filter(job_run::id.eq(id)).filter(job_run::reported_at.is_null()))
            .set(job_run::reported_at.eq(micros(now)))
            .execute(c)
    })
    .map(|changed| changed > 0)
    .map_err(attempting("mark a run as reported"))
}

/// Undoes [`set_reported`] after a failed report.
pub fn unset_reported(connection: &mut Connection, id: &str) -> Result<(), DbError> {
    match_connection!(connection, c => {
        diesel::update(job_run::table.filter(job_run::id.eq(id))).set(job_run::reported_at.eq(None::<NaiveDateTime>)).execute(c)
    })
    .map(drop)
    .map_err(attempting("mark a run as not reported"))
}

pub fn by_id(connection: &mut Connection, id: &str) -> Result<Option<Run>, DbError> {
    match_connection!(connection, c => job_run::table.filter(job_run::id.eq(id)).select(Run::as_select()).first(c).optional())
        .map_err(attempting("read runs"))
}

/// The identifiers with `prefix`, at most two: enough to detect an ambiguous prefix.
pub fn by_prefix(connection: &mut Connection, prefix: &str) -> Result<Vec<String>, DbError> {
    use diesel::{EscapeExpressionMethods as _, TextExpressionMethods as _};
    match_connection!(connection, c => {
        job_run::table
            .filter(job_run::id.like(beginning_with(prefix)).escape('!'))
            .order(job_run::id)
            .limit(2)
            .select(job_run::id)
            .load(c)
    })
    .map_err(attempting("read runs"))
}

/// Counts all runs.
pub fn count(connection: &mut Connection) -> Result<i64, DbError> {
    match_connection!(connection, c => job_run::table.count().get_result(c)).map_err(attempting("count runs"))
}

/// Reads a page of the runs, the latest first.
pub fn list(connection: &mut Connection, limit: i64, offset: i64) -> Result<Vec<Run>, DbError> {
    match_connection!(connection, c => {
        job_run::table.order((job_run::created_at.desc(), job_run::id)).limit(limit).offset(offset).select(Run::as_select()).load(c)
    })
    .map_err(attempting("read runs"))
}

//! Runs of the jobs on the schedule, and of those an operator starts by hand.
//!
//! A slot of the schedule is a row that can be inserted once ([`begin`]), whoever comes first, and at most one run of a job is under
//! way at a time; the tables see to both. A run is driven by one process under a lease ([`lease`]) and goes on from its checkpoint
//! when that process dies.

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

/// What stands with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Whoever holds the lease drives it.
    Running,
    /// An operator holds it back.
    Paused,
    /// Every guarantee of it is done.
    Complete,
    /// Every guarantee of it is done or a dead letter.
    CompleteWithFailures,
    /// An operator ended it.
    Cancelled,
    /// The slot passed without a run.
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
    /// Whether nothing happens any more.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Running | Self::Paused)
    }
}

/// A row of `job_run`.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = job_run, treat_none_as_default_value = false)]
pub struct Run {
    /// Our identifier.
    pub id: String,
    /// The job, such as `reissue`.
    pub job: String,
    /// The slot on the clocks of the schedule's zone, such as `2026-12-01T01:30:00`; none for a run by hand.
    pub scheduled_for: Option<String>,
    /// What is in it, as JSON.
    pub selection: String,
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
    /// What stands with it.
    pub state: State,
    /// Messages a second, at most.
    pub rate: i64,
    /// Guarantees in it, counted when it began.
    pub total: i64,
    /// Nothing that came later is in it (UTC).
    pub cutoff: NaiveDateTime,
    /// Guarantees selected so far.
    pub selected: i64,
    /// The last of them; empty before the first.
    pub checkpoint: String,
    /// Whether there are no more to select.
    pub exhausted: bool,
    /// Which process drives it.
    pub driver: Option<String>,
    /// Until when nobody else may (UTC).
    pub leased_until: Option<NaiveDateTime>,
    /// How often it was taken over from a process that was gone.
    pub takeovers: i64,
    /// Why it was paused, cancelled or skipped.
    pub note: Option<String>,
    /// When it was made (UTC).
    pub created_at: NaiveDateTime,
    /// When it was over (UTC).
    pub finished_at: Option<NaiveDateTime>,
    /// When the operators were told (UTC).
    pub reported_at: Option<NaiveDateTime>,
}

/// Why a run was not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is this one.
    Ours(Box<Run>),
    /// Somebody has this slot already.
    Taken,
    /// Another run of the job is under way.
    Busy(Box<Run>),
}

/// Begins a run: gives it its slot, if it has one, unless another has it or another run of the job is under way.
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
        // Whoever was under way may have ended since; then the next look begins it.
        Ok(active(connection, &row.job)?.map_or(Begun::Taken, |run| Begun::Busy(Box::new(run))))
    })
}

/// Whether a slot was given out, to a run or as skipped.
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

/// The latest slot of a job at or before `slot` that was given out.
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

/// Since which slot a job is known: `now` where this is the first time anybody asks.
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

/// The runs of a job that are over and of which the operators were not told.
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

/// Takes or keeps the right to drive a run until `until`. `None` when it is not running, or another process drives it.
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

/// Gives the right to drive back.
pub fn unlease(connection: &mut Connection, id: &str, driver: &str) -> Result<(), DbError> {
    match_connection!(connection, c => {
        diesel::update(job_run::table.filter(job_run::id.eq(id)).filter(job_run::driver.eq(driver)))
            .set((job_run::driver.eq(None::<String>), job_run::leased_until.eq(None::<NaiveDateTime>)))
            .execute(c)
    })
    .map(drop)
    .map_err(attempting("end the lease of a run"))
}

/// Adds a page to a run: its guarantees, what is to be published for them, and the checkpoint behind them, all or nothing. `false`
/// when the process does not drive the run any more, or another page came first; then nothing was done.
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

/// Pauses a run that is running, or lets one go on that is paused; returns whether that changed anything.
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

/// Ends a run. What it has not published is dropped. `false` when it was over already.
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

/// Writes down that the operators are being told; `false` when somebody else does. The report may be lost with the process, which
/// is better than one every second.
pub fn set_reported(connection: &mut Connection, id: &str, now: NaiveDateTime) -> Result<bool, DbError> {
    match_connection!(connection, c => {
        diesel::update(job_run::table.filter(job_run::id.eq(id)).filter(job_run::reported_at.is_null()))
            .set(job_run::reported_at.eq(micros(now)))
            .execute(c)
    })
    .map(|changed| changed > 0)
    .map_err(attempting("mark a run as reported"))
}

/// Takes that back: they could not be told.
pub fn unset_reported(connection: &mut Connection, id: &str) -> Result<(), DbError> {
    match_connection!(connection, c => {
        diesel::update(job_run::table.filter(job_run::id.eq(id))).set(job_run::reported_at.eq(None::<NaiveDateTime>)).execute(c)
    })
    .map(drop)
    .map_err(attempting("mark a run as not reported"))
}

/// Reads a run.
pub fn by_id(connection: &mut Connection, id: &str) -> Result<Option<Run>, DbError> {
    match_connection!(connection, c => job_run::table.filter(job_run::id.eq(id)).select(Run::as_select()).first(c).optional())
        .map_err(attempting("read runs"))
}

/// The identifiers that begin with `prefix`, at most two: enough to tell whether it means one.
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

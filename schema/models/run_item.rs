//! The guarantees of a run and their outcomes.
//!
//! The reissue stage records its outcome ([`set_outcome`]). A redrawn guarantee is done when its documents
//! are stored ([`redrawn`]), a reissued one when its revisions are complete; the driver of the run looks that
//! up ([`settle_completed`]), and dead letters ([`set_failed`]).

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::NaiveDateTime;
use diesel::dsl::{count_star, sql};
use diesel::prelude::*;
use diesel::sql_types::Bool;
use serde::Serialize;

use super::stored_text::stored_as_text;
use super::tables::{failed_message, guarantee, revision, run_item};
use super::{chunks, of_found};
use crate::db::{Connection, Result, micros, query};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    Queued,
    Done,
    Failed,
}

stored_as_text!(State { Queued = "queued", Done = "done", Failed = "failed" });

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    Awaited,
    Reissued,
    Redrawn,
    Unchanged,
}

stored_as_text!(Outcome { Awaited = "awaited", Reissued = "reissued", Redrawn = "redrawn", Unchanged = "unchanged" });

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = run_item, treat_none_as_default_value = false)]
pub struct RunItem {
    pub run_id: String,
    pub guarantee_id: String,
    pub state: State,
    pub outcome: Outcome,
    pub first_revision: Option<i64>,
    pub last_revision: Option<i64>,
    pub failed_id: Option<String>,
    pub settled_at: Option<NaiveDateTime>,
}

/// Adds guarantees to a run; those that are in it stay.
pub(super) fn add(db: &mut Connection, run_id: &str, guarantee_ids: &[&str]) -> Result<()> {
    let rows: Vec<RunItem> = guarantee_ids
        .iter()
        .map(|guarantee| RunItem {
            run_id: run_id.to_owned(),
            guarantee_id: (*guarantee).to_owned(),
            state: State::Queued,
            outcome: Outcome::Awaited,
            first_revision: None,
            last_revision: None,
            failed_id: None,
            settled_at: None,
        })
        .collect();
    chunks::insert!(db, "add guarantees to a run", c, rows => {
        diesel::insert_into(run_item::table).values(rows).on_conflict_do_nothing().execute(c)
    })
    .map(drop)
}

/// What the reissue stage made of guarantees of runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub run_id: String,
    pub guarantee_id: String,
    pub outcome: Outcome,
    pub revisions: Option<(i64, i64)>,
}

/// Records outcomes of the reissue stage; the first of a guarantee is final.
/// Where nothing was due, the guarantee is done.
pub fn set_outcome(db: &mut Connection, made: &[Made], now: NaiveDateTime) -> Result<()> {
    type Became<'a> = (&'a str, Outcome, Option<(i64, i64)>);
    let mut alike: BTreeMap<Became<'_>, Vec<&str>> = BTreeMap::new();
    for item in made {
        alike.entry((&item.run_id, item.outcome, item.revisions)).or_default().push(&item.guarantee_id);
    }
    for ((run, outcome, revisions), ids) in alike {
        let (state, at) = match outcome {
            Outcome::Unchanged => (State::Done, Some(micros(now))),
            Outcome::Awaited | Outcome::Reissued | Outcome::Redrawn => (State::Queued, None),
        };
        chunks::update!(db, "record the outcome of guarantees of a run", c, ids => {
            let open = run_item::table
                .filter(run_item::run_id.eq(run))
                .filter(run_item::guarantee_id.eq_any(ids))
                .filter(run_item::outcome.eq(Outcome::Awaited));
            diesel::update(open)
                .set((
                    run_item::outcome.eq(outcome),
                    run_item::first_revision.eq(revisions.map(|(first, _)| first)),
                    run_item::last_revision.eq(revisions.map(|(_, last)| last)),
                    run_item::state.eq(state),
                    run_item::settled_at.eq(at),
                    run_item::failed_id.eq(None::<String>),
                ))
                .execute(c)
        })?;
    }
    Ok(())
}

/// Marks guarantees as done whose documents were drawn again: `(run, guarantee)`.
pub fn redrawn(db: &mut Connection, items: &[(&str, &str)], now: NaiveDateTime) -> Result<()> {
    let mut by_run: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (run, guarantee) in items {
        by_run.entry(run).or_default().push(guarantee);
    }
    for (run, ids) in by_run {
        chunks::update!(db, "mark guarantees of a run as redrawn", c, ids => {
            let open = run_item::table
                .filter(run_item::run_id.eq(run))
                .filter(run_item::guarantee_id.eq_any(ids))
                .filter(run_item::state.ne(State::Done));
            diesel::update(open).set((run_item::state.eq(State::Done), run_item::settled_at.eq(micros(now)))).execute(c)
        })?;
    }
    Ok(())
}

/// Reissued guarantees, queued or failed, whose revisions are all complete.
///
/// Two simple queries instead of a join: when the planner counts incomplete revisions there are none, at
/// night there are thousands, and the plan for none takes seconds for thousands.
fn completed(db: &mut Connection, run_id: &str, state: State) -> Result<Vec<String>> {
    // Literals: the partial index is found by them.
    let state = match state {
        State::Queued => "run_item.state = 'queued'",
        State::Failed => "run_item.state = 'failed'",
        State::Done => "run_item.state = 'done'",
    };
    // Read first: a revision is there when its item says so.
    let made: Vec<(String, Option<i64>, Option<i64>)> = query!(db, "read guarantees of a run", c => {
        run_item::table
            .filter(run_item::run_id.eq(run_id))
            .filter(sql::<Bool>(state))
            .filter(run_item::outcome.eq(Outcome::Reissued))
            .select((run_item::guarantee_id, run_item::first_revision, run_item::last_revision))
            .load(c)
    })?;
    let open: Vec<(String, i64)> = chunks::load!(db, "read revisions of a run", c, made => {
        revision::table
            .filter(revision::guarantee_id.eq_any(made.iter().map(|(guarantee, ..)| guarantee)))
            .filter(of_found(revision::completed_at.is_null()))
            .select((revision::guarantee_id, revision::place))
            .load(c)
    })?;
    let mut incomplete: HashMap<String, Vec<Option<i64>>> = HashMap::new();
    for (guarantee, revision) in open {
        incomplete.entry(guarantee).or_default().push(Some(revision));
    }
    let is_complete = |(guarantee, first, last): &(String, Option<i64>, Option<i64>)| {
        let open = incomplete.get(guarantee).map_or(&[][..], Vec::as_slice);
        !open.iter().any(|revision| first <= revision && revision <= last)
    };
    Ok(made.into_iter().filter(is_complete).map(|(guarantee, ..)| guarantee).collect())
}

/// Marks reissued guarantees as done whose revisions are all complete.
/// `failed` selects those that had failed and were replayed since, instead of queued ones. Returns how
/// many were marked.
pub fn settle_completed(
    db: &mut Connection,
    run_id: &str,
    failed: bool,
    now: NaiveDateTime,
) -> Result<usize> {
    let state = if failed { State::Failed } else { State::Queued };
    let ids = completed(db, run_id, state)?;
    chunks::update!(db, "settle guarantees of a run", c, ids => {
        let open = run_item::table
            .filter(run_item::run_id.eq(run_id))
            .filter(run_item::guarantee_id.eq_any(ids))
            .filter(of_found(run_item::state.eq(state)));
        diesel::update(open).set((run_item::state.eq(State::Done), run_item::settled_at.eq(micros(now)))).execute(c)
    })
}

/// Marks `(guarantee, dead letter)` of a run as failed; one that is done stays so.
pub fn set_failed(
    db: &mut Connection,
    run_id: &str,
    failed: &[(&str, &str)],
    now: NaiveDateTime,
) -> Result<usize> {
    let mut marked = 0;
    for (guarantee, failed) in failed {
        marked += query!(db, "mark guarantees of a run as failed", c => {
            let open = run_item::table
                .filter(run_item::run_id.eq(run_id))
                .filter(run_item::guarantee_id.eq(guarantee))
                .filter(of_found(run_item::state.eq(State::Queued)));
            diesel::update(open)
                .set((run_item::state.eq(State::Failed), run_item::failed_id.eq(failed), run_item::settled_at.eq(micros(now))))
                .execute(c)
        })?;
    }
    Ok(marked)
}

/// How many guarantees of a run are in each state, and with each outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub queued: i64,
    pub done: i64,
    pub failed: i64,
    /// Of those done: with one revision or more.
    pub reissued: i64,
    /// Of those done: with documents drawn again.
    pub redrawn: i64,
    /// Of those done: nothing was due.
    pub unchanged: i64,
}

/// A guarantee with complete revisions counts as done.
/// So does one whose dead letter was replayed after the end of the run.
pub fn counts(db: &mut Connection, run_id: &str) -> Result<Counts> {
    let rows: Vec<(State, Outcome, i64)> = query!(db, "read guarantees of a run", c => {
        run_item::table
            .filter(run_item::run_id.eq(run_id))
            .group_by((run_item::state, run_item::outcome))
            .select((run_item::state, run_item::outcome, count_star()))
            .load(c)
    })?;
    let mut counts = Counts::default();
    for (state, outcome, count) in rows {
        match state {
            State::Queued => counts.queued += count,
            State::Failed => counts.failed += count,
            State::Done => {
                counts.done += count;
                match outcome {
                    Outcome::Redrawn => counts.redrawn += count,
                    Outcome::Unchanged => counts.unchanged += count,
                    Outcome::Reissued | Outcome::Awaited => counts.reissued += count,
                }
            }
        }
    }
    for (state, open) in [(State::Queued, &mut counts.queued), (State::Failed, &mut counts.failed)] {
        if *open > 0 {
            let late = i64::try_from(completed(db, run_id, state)?.len()).unwrap_or(i64::MAX).min(*open);
            *open -= late;
            counts.done += late;
            counts.reissued += late;
        }
    }
    Ok(counts)
}

pub fn queued(db: &mut Connection, run_id: &str) -> Result<i64> {
    query!(db, "read guarantees of a run", c => {
        run_item::table.filter(run_item::run_id.eq(run_id)).filter(sql::<Bool>("state = 'queued'")).count().get_result(c)
    })
}

/// Guarantees that the reissue stage has not had, each with its application.
/// Ordered by identifier, behind `after`.
pub fn untouched(
    db: &mut Connection,
    run_id: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<(String, String)>> {
    query!(db, "read guarantees of a run", c => {
        run_item::table
            .inner_join(guarantee::table)
            .filter(run_item::run_id.eq(run_id))
            .filter(sql::<Bool>("run_item.state = 'queued'"))
            .filter(run_item::outcome.eq(Outcome::Awaited))
            .filter(run_item::guarantee_id.gt(after))
            .order(run_item::guarantee_id)
            .limit(limit)
            .select((run_item::guarantee_id, guarantee::application_id))
            .load(c)
    })
}

/// Of these guarantees, the queued ones of a run, with their revisions.
pub fn under_way(db: &mut Connection, run_id: &str, guarantee_ids: &[&str]) -> Result<Vec<RunItem>> {
    let rows = chunks::load!(db, "read guarantees of a run", c, guarantee_ids => {
        run_item::table
            .filter(run_item::run_id.eq(run_id))
            .filter(run_item::guarantee_id.eq_any(guarantee_ids))
            .filter(of_found(run_item::state.eq(State::Queued)))
            .select(RunItem::as_select())
            .load::<RunItem>(c)
    })?;
    Ok(rows)
}

/// A guarantee of a run that failed, and why.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Serialize)]
pub struct Failed {
    /// 保証契約番号.
    pub number: String,
    pub failed_id: String,
    pub stage: String,
    pub code: String,
    pub text: String,
}

/// By number, without those that a replay completed.
pub fn failed(db: &mut Connection, run_id: &str, limit: i64) -> Result<Vec<Failed>> {
    let late: HashSet<String> = completed(db, run_id, State::Failed)?.into_iter().collect();
    let rows: Vec<(String, Failed)> = query!(db, "read guarantees of a run", c => {
        run_item::table
            .inner_join(guarantee::table)
            .inner_join(failed_message::table)
            .filter(run_item::run_id.eq(run_id))
            .filter(run_item::state.eq(State::Failed))
            .order(guarantee::number)
            // Those that went through may be among the first.
            .limit(limit.saturating_add(i64::try_from(late.len()).unwrap_or(i64::MAX)))
            .select((
                run_item::guarantee_id,
                (guarantee::number, failed_message::id, failed_message::stage, failed_message::code, failed_message::text),
            ))
            .load(c)
    })?;
    let failed =
        rows.into_iter().filter(|(guarantee, _)| !late.contains(guarantee)).map(|(_, failed)| failed);
    Ok(failed.take(usize::try_from(limit).unwrap_or_default()).collect())
}

/// The runs that a guarantee was part of, oldest first.
pub fn of_guarantee(db: &mut Connection, guarantee_id: &str) -> Result<Vec<RunItem>> {
    query!(db, "read guarantees of a run", c => {
        run_item::table
            .filter(run_item::guarantee_id.eq(guarantee_id))
            .order((run_item::settled_at, run_item::run_id))
            .select(RunItem::as_select())
            .load(c)
    })
}

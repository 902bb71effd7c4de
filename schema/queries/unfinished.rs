//! Unfinished work, derived from the rows.
//!
//! A restarted embedded worker, and `recover` after the loss of a queue, requeue it at the stage named. An
//! earlier stage is harmless: a stage that finds its work done passes it on.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use diesel::prelude::*;

use crate::db::{Connection, Result, micros, query};
use crate::ids;
use crate::messages::MediumV1;
use crate::models::chunks;
use crate::models::document::Kind;
use crate::models::tables::{application, authentication_key, document, guarantee, requeued, revision};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Awaits {
    Issue,
    Mint,
    /// Documents are missing, or the certificate has not arrived in the registry.
    Render,
    /// Everything but the mail and the result event.
    Dispatch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    pub application_id: String,
    pub line: i64,
    pub guarantee_id: Option<String>,
    pub revision: Option<i64>,
    pub at: Awaits,
    /// When it was begun (UTC): the application received, or the certificate drawn up.
    pub since: NaiveDateTime,
}

/// Later than anything is due; of four digits, because SQLite compares text.
const FAR: NaiveDateTime = match NaiveDate::from_ymd_opt(9999, 12, 31) {
    Some(day) => day.and_time(NaiveTime::MIN),
    None => panic!("a day of the calendar"),
};

/// Finds unfinished work begun before `older_than`, oldest first.
/// The lines of at most `limit` accepted applications, then at most `limit` revisions.
pub fn unfinished(db: &mut Connection, older_than: NaiveDateTime, limit: i64) -> Result<Vec<Unfinished>> {
    find(db, older_than, FAR, limit)
}

/// Takes unfinished work older than `after` that was not taken for a while.
/// That while is twice as long each time, from `after` to a day. The caller requeues the work; a concurrent
/// caller gets none of it.
pub fn take_unfinished(
    db: &mut Connection,
    now: NaiveDateTime,
    after: TimeDelta,
    limit: i64,
) -> Result<Vec<Unfinished>> {
    let now = micros(now);
    db.transaction(|db| {
        let found = find(db, now - after, now, limit)?;
        let ids: BTreeSet<String> = found.iter().map(Unfinished::id).collect();
        let taken = take(db, &ids.into_iter().collect::<Vec<_>>(), now, after)?;
        Ok(found.into_iter().filter(|work| taken.contains(&work.id())).collect())
    })
}

/// Sets the next due time of each and returns those that were due.
fn take(
    db: &mut Connection,
    ids: &[String],
    now: NaiveDateTime,
    after: TimeDelta,
) -> Result<HashSet<String>> {
    let rows: Vec<_> = ids
        .iter()
        .map(|id| (requeued::id.eq(id), requeued::times.eq(0_i64), requeued::next_at.eq(now)))
        .collect();
    chunks::insert!(db, "insert requeued work", c, rows => {
        diesel::insert_into(requeued::table).values(rows).on_conflict_do_nothing().execute(c)
    })?;
    let due: Vec<(String, i64)> = chunks::load!(db, "read requeued work", c, ids => {
        requeued::table
            .filter(requeued::id.eq_any(ids))
            .filter(requeued::next_at.le(now))
            .select((requeued::id, requeued::times))
            .load(c)
    })?;
    let mut by_times: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for (id, times) in due {
        by_times.entry(times).or_default().push(id);
    }
    let mut taken = HashSet::new();
    for (times, ids) in by_times {
        // A second caller finds another count and takes nothing.
        let rows: Vec<String> = chunks::load!(db, "take requeued work", c, ids => {
            diesel::update(requeued::table.filter(requeued::id.eq_any(ids)).filter(requeued::times.eq(times)))
                .set((requeued::times.eq(times + 1), requeued::next_at.eq(now + distance(after, times + 1))))
                .returning(requeued::id)
                .get_results(c)
        })?;
        taken.extend(rows);
    }
    Ok(taken)
}

/// `after`, doubled with each time, a day at most.
fn distance(after: TimeDelta, times: i64) -> TimeDelta {
    let factor = 1 << (times - 1).clamp(0, 20);
    after.checked_mul(factor).unwrap_or(TimeDelta::MAX).min(TimeDelta::days(1).max(after))
}

fn find(
    db: &mut Connection,
    older_than: NaiveDateTime,
    due: NaiveDateTime,
    limit: i64,
) -> Result<Vec<Unfinished>> {
    let mut unfinished = unissued_lines(db, older_than, due, limit)?;
    unfinished.extend(uncompleted_revisions(db, older_than, due, limit)?);
    Ok(unfinished)
}

impl Unfinished {
    /// The revision, or the application before there is one.
    fn id(&self) -> String {
        match (&self.guarantee_id, self.revision) {
            (Some(guarantee), Some(revision)) => ids::revision(guarantee, revision),
            _ => self.application_id.clone(),
        }
    }
}

fn unissued_lines(
    db: &mut Connection,
    older_than: NaiveDateTime,
    due: NaiveDateTime,
    limit: i64,
) -> Result<Vec<Unfinished>> {
    let applications: Vec<(String, i64, NaiveDateTime)> = query!(db, "read unfinished applications", c => {
        application::table
            .filter(application::issued_lines.lt(application::lines))
            .filter(application::received_at.lt(micros(older_than)))
            .filter(application::id.ne_all(requeued::table.filter(requeued::next_at.gt(due)).select(requeued::id)))
            .order((application::received_at, application::id))
            .limit(limit)
            .select((application::id, application::lines, application::received_at))
            .load(c)
    })?;
    let issued: Vec<(String, i64)> = chunks::load!(db, "read unfinished applications", c, applications => {
        guarantee::table
            .filter(guarantee::application_id.eq_any(applications.iter().map(|(id, ..)| id)))
            .select((guarantee::application_id, guarantee::line))
            .load(c)
    })?;
    let issued: HashSet<(String, i64)> = issued.into_iter().collect();
    let lines = applications
        .iter()
        .flat_map(|(id, lines, since)| (0..*lines).map(|line| ((id.clone(), line), *since)));
    Ok(lines
        .filter(|(line, _)| !issued.contains(line))
        .map(|((application_id, line), since)| Unfinished {
            application_id,
            line,
            guarantee_id: None,
            revision: None,
            at: Awaits::Issue,
            since,
        })
        .collect())
}

fn uncompleted_revisions(
    db: &mut Connection,
    older_than: NaiveDateTime,
    due: NaiveDateTime,
    limit: i64,
) -> Result<Vec<Unfinished>> {
    type Row = (String, String, i64, Option<NaiveDateTime>, String, i64, MediumV1, NaiveDateTime);
    let revisions: Vec<Row> = query!(db, "read unfinished revisions", c => {
        revision::table
            .inner_join(guarantee::table)
            .filter(revision::completed_at.is_null())
            .filter(revision::drawn_at.lt(micros(older_than)))
            .filter(revision::id.ne_all(requeued::table.filter(requeued::next_at.gt(due)).select(requeued::id)))
            .order((revision::drawn_at, revision::id))
            .limit(limit)
            .select((
                revision::id,
                revision::guarantee_id,
                revision::place,
                revision::arrived_at,
                guarantee::application_id,
                guarantee::line,
                guarantee::medium,
                revision::drawn_at,
            ))
            .load(c)
    })?;
    let keys: Vec<String> = chunks::load!(db, "read authentication keys", c, revisions => {
        authentication_key::table
            .filter(authentication_key::guarantee_id.eq_any(revisions.iter().map(|row| &row.1)))
            .select(authentication_key::guarantee_id)
            .load(c)
    })?;
    let keys: HashSet<String> = keys.into_iter().collect();
    let documents: Vec<(String, Kind)> = chunks::load!(db, "read documents", c, revisions => {
        document::table
            .filter(document::revision_id.eq_any(revisions.iter().map(|row| &row.0)))
            .select((document::revision_id, document::kind))
            .load(c)
    })?;
    let documents: HashSet<(String, Kind)> = documents.into_iter().collect();
    Ok(revisions
        .into_iter()
        .map(|(revision_id, guarantee_id, revision, arrived_at, application_id, line, medium, since)| {
            let electronic = medium == MediumV1::Electronic;
            let drawn = documents.contains(&(revision_id.clone(), Kind::Certificate))
                && (!electronic || documents.contains(&(revision_id, Kind::Notice)));
            let at = if electronic && !keys.contains(&guarantee_id) {
                Awaits::Mint
            } else if !drawn || arrived_at.is_none() {
                Awaits::Render
            } else {
                Awaits::Dispatch
            };
            Unfinished {
                application_id,
                line,
                guarantee_id: Some(guarantee_id),
                revision: Some(revision),
                at,
                since,
            }
        })
        .collect())
}

//! Searches for operators.

use std::collections::{BTreeMap, HashSet};

use chrono::NaiveDateTime;
use diesel::dsl::{count_star, max, min, sql};
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::{FREE, FailedMessage, State, texts};
use crate::db::{Connection, Result, micros, query};
use crate::models::tables::{failed_message, run_item};
use crate::models::{beginning_with, chunks, with_prefix};

/// An empty list or `None` omits a condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub ids: Vec<String>,
    pub stages: Vec<String>,
    pub codes: Vec<String>,
    pub groups: Vec<String>,
    pub states: Vec<State>,
    pub since: Option<NaiveDateTime>,
    pub until: Option<NaiveDateTime>,
    /// Part of the fault's text; upper and lower case count.
    pub text: Option<String>,
    pub correlation_id: Option<String>,
    pub replay_id: Option<String>,
    /// A run of the nightly batch, or one by hand: the guarantees of it that failed.
    pub run_id: Option<String>,
    /// Only messages in no active replay.
    pub free: bool,
}

/// Adds the conditions of a filter to a boxed query.
macro_rules! narrowed {
    ($query:expr, $filter:expr) => {{
        let (mut query, filter): (_, &Filter) = ($query, $filter);
        if !filter.ids.is_empty() {
            query = query.filter(failed_message::id.eq_any(&filter.ids));
        }
        if !filter.stages.is_empty() {
            query = query.filter(failed_message::stage.eq_any(&filter.stages));
        }
        if !filter.codes.is_empty() {
            query = query.filter(failed_message::code.eq_any(&filter.codes));
        }
        if !filter.groups.is_empty() {
            query = query.filter(failed_message::fingerprint.eq_any(&filter.groups));
        }
        if !filter.states.is_empty() {
            query = query.filter(failed_message::state.eq_any(texts(&filter.states)));
        }
        if let Some(since) = filter.since {
            query = query.filter(failed_message::last_failed_at.ge(micros(since)));
        }
        if let Some(until) = filter.until {
            query = query.filter(failed_message::last_failed_at.lt(micros(until)));
        }
        if let Some(text) = &filter.text {
            query = query.filter(failed_message::text.like(containing(text)).escape('!'));
        }
        if let Some(id) = &filter.correlation_id {
            query = query.filter(failed_message::correlation_id.eq(id));
        }
        if let Some(id) = &filter.replay_id {
            query = query.filter(failed_message::replay_id.eq(id));
        }
        if let Some(id) = &filter.run_id {
            let of_run =
                run_item::table.filter(run_item::run_id.eq(id)).select(run_item::failed_id).into_boxed();
            query =
                query.filter(diesel::NullableExpressionMethods::nullable(failed_message::id).eq_any(of_run));
        }
        if filter.free {
            query = query.filter(sql::<Bool>(FREE));
        }
        query
    }};
}

/// A pattern for `like … escape '!'` that finds a text anywhere.
fn containing(text: &str) -> String {
    format!("%{}", beginning_with(text))
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub fingerprint: String,
    pub stage: String,
    pub code: String,
    pub text: String,
    pub sample: String,
    pub first_failed_at: NaiveDateTime,
    pub last_failed_at: NaiveDateTime,
    pub states: BTreeMap<State, i64>,
}

impl Group {
    pub fn count(&self) -> i64 {
        self.states.values().sum()
    }
}

/// Groups what a filter finds by cause, the largest group first.
pub fn groups(db: &mut Connection, filter: &Filter) -> Result<Vec<Group>> {
    type Row = (
        String,
        String,
        String,
        State,
        i64,
        Option<NaiveDateTime>,
        Option<NaiveDateTime>,
        Option<String>,
        Option<String>,
    );
    let rows: Vec<Row> = query!(db, "read failed messages", c: B => {
        let query = failed_message::table
            .group_by((failed_message::fingerprint, failed_message::stage, failed_message::code, failed_message::state))
            .select((
                failed_message::fingerprint,
                failed_message::stage,
                failed_message::code,
                failed_message::state,
                count_star(),
                min(failed_message::first_failed_at),
                max(failed_message::last_failed_at),
                min(failed_message::text),
                min(failed_message::id),
            ))
            .into_boxed::<B>();
        narrowed!(query, filter).load(c)
    })?;
    let mut groups: BTreeMap<(String, String, String), Group> = BTreeMap::new();
    for (fingerprint, stage, code, state, count, first, last, text, sample) in rows {
        let (Some(first), Some(last), Some(text), Some(sample)) = (first, last, text, sample) else {
            continue;
        };
        let group =
            groups.entry((fingerprint.clone(), stage.clone(), code.clone())).or_insert_with(|| Group {
                fingerprint,
                stage,
                code,
                text,
                sample,
                first_failed_at: first,
                last_failed_at: last,
                states: BTreeMap::new(),
            });
        group.first_failed_at = group.first_failed_at.min(first);
        group.last_failed_at = group.last_failed_at.max(last);
        group.states.insert(state, count);
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by(|a, b| (b.count(), &a.fingerprint).cmp(&(a.count(), &b.fingerprint)));
    Ok(groups)
}

/// Counts what a filter finds, by stage and state.
pub fn counts(db: &mut Connection, filter: &Filter) -> Result<BTreeMap<(String, State), i64>> {
    let rows: Vec<(String, State, i64)> = query!(db, "read failed messages", c: B => {
        let query = failed_message::table
            .group_by((failed_message::stage, failed_message::state))
            .select((failed_message::stage, failed_message::state, count_star()))
            .into_boxed::<B>();
        narrowed!(query, filter).load(c)
    })?;
    Ok(rows.into_iter().map(|(stage, state, count)| ((stage, state), count)).collect())
}

/// Reads a page of what a filter finds, the latest failure first.
/// `after`: time of failure and identifier of the last row of the page before.
pub fn list(
    db: &mut Connection,
    filter: &Filter,
    limit: i64,
    after: Option<(NaiveDateTime, &str)>,
) -> Result<Vec<FailedMessage>> {
    query!(db, "read failed messages", c: B => {
        let rows = failed_message::table.select(FailedMessage::as_select()).into_boxed::<B>();
        let mut query = narrowed!(rows, filter);
        if let Some((at, id)) = after {
            let is_later = failed_message::last_failed_at.lt(at).or(failed_message::id.gt(id));
            query = query.filter(failed_message::last_failed_at.le(at)).filter(is_later);
        }
        query.order((failed_message::last_failed_at.desc(), failed_message::id)).limit(limit).load(c)
    })
}

/// Everything a filter finds, the earliest failure first.
pub fn select(db: &mut Connection, filter: &Filter) -> Result<Vec<(String, State)>> {
    query!(db, "read failed messages", c: B => {
        narrowed!(failed_message::table.select((failed_message::id, failed_message::state)).into_boxed::<B>(), filter)
            .order((failed_message::first_failed_at, failed_message::id))
            .load(c)
    })
}

/// A message that failed, and what it was about.
#[derive(Clone, PartialEq, Eq, diesel::Queryable)]
pub struct Latest {
    pub id: String,
    pub last_failed_at: NaiveDateTime,
    pub payload: Vec<u8>,
}

/// Unsettled messages that failed at or after a moment, the earliest first.
pub fn since(db: &mut Connection, since: NaiveDateTime, limit: i64) -> Result<Vec<Latest>> {
    query!(db, "read failed messages", c => {
        failed_message::table
            .filter(failed_message::last_failed_at.ge(micros(since)))
            .filter(failed_message::state.eq_any(texts(&super::OPEN)))
            .order((failed_message::last_failed_at, failed_message::id))
            .limit(limit)
            .select((failed_message::id, failed_message::last_failed_at, failed_message::payload))
            .load(c)
    })
}

/// At most two identifiers: enough to detect an ambiguous prefix.
pub fn by_prefix(db: &mut Connection, prefix: &str) -> Result<Vec<String>> {
    with_prefix!(db, "read failed messages", failed_message::id, prefix)
}

/// The fingerprints that begin with `prefix`, at most two.
pub fn groups_by_prefix(db: &mut Connection, prefix: &str) -> Result<Vec<String>> {
    with_prefix!(db, "read failed messages", failed_message::fingerprint, prefix)
}

/// Of these identifiers, those that an edited message replaced.
pub fn superseded(db: &mut Connection, ids: &[&str]) -> Result<HashSet<String>> {
    let rows: Vec<String> = chunks::load!(db, "read failed messages", c, ids => {
        failed_message::table
            .filter(failed_message::id.eq_any(ids))
            .filter(failed_message::superseded_by.is_not_null())
            .select(failed_message::id)
            .load(c)
    })?;
    Ok(rows.into_iter().collect())
}

/// The states of these identifiers, where they are known.
pub fn states(db: &mut Connection, ids: &[&str]) -> Result<BTreeMap<String, State>> {
    let rows: Vec<(String, State)> = chunks::load!(db, "read failed messages", c, ids => {
        failed_message::table.filter(failed_message::id.eq_any(ids)).select((failed_message::id, failed_message::state)).load(c)
    })?;
    Ok(rows.into_iter().collect())
}

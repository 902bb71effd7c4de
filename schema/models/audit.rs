//! Audit entries: actor, action, time and reason.
//! An entry is written in the transaction of the change and never updated.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::tables::audit;
use super::{beginning_with, chunks};
use crate::db::{Connection, Result, micros, query};

/// A row of `audit`. Prints no personal data: `before` and `after` may hold some.
#[derive(Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit, treat_none_as_default_value = false)]
pub struct Entry {
    pub id: String,
    pub operation_id: String,
    pub at: NaiveDateTime,
    pub actor: String,
    pub action: String,
    /// Kind of the subject, such as `failed_message`.
    pub kind: String,
    pub subject: String,
    pub reason: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("action", &self.action)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

pub fn write(db: &mut Connection, entries: &[Entry]) -> Result<()> {
    let rows: Vec<Entry> =
        entries.iter().map(|entry| Entry { at: micros(entry.at), ..entry.clone() }).collect();
    chunks::insert!(db, "insert audit entries", c, rows => {
        diesel::insert_into(audit::table).values(rows).execute(c)
    })
    .map(drop)
}

/// Which entries are meant; `None` leaves a condition out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub subject: Option<String>,
    pub operation_id: Option<String>,
    /// Beginning of the action, such as `failed.`.
    pub action: Option<String>,
    pub actor: Option<String>,
    pub since: Option<NaiveDateTime>,
}

const WHOLE: usize = 36;

/// Adds the conditions of a filter to a boxed query.
macro_rules! narrowed {
    ($query:expr, $filter:expr) => {{
        let (mut query, filter): (_, &Filter) = ($query, $filter);
        // Whole identifiers are looked up by the index.
        if let Some(subject) = filter.subject.as_ref().filter(|subject| subject.len() >= WHOLE) {
            query = query.filter(audit::subject.eq(subject));
        } else if let Some(subject) = &filter.subject {
            query = query.filter(audit::subject.like(beginning_with(subject)).escape('!'));
        }
        if let Some(operation) = &filter.operation_id {
            query = query.filter(audit::operation_id.like(beginning_with(operation)).escape('!'));
        }
        if let Some(action) = &filter.action {
            query = query.filter(audit::action.like(beginning_with(action)).escape('!'));
        }
        if let Some(actor) = &filter.actor {
            query = query.filter(audit::actor.eq(actor));
        }
        if let Some(since) = filter.since {
            query = query.filter(audit::at.ge(micros(since)));
        }
        query
    }};
}

/// The latest first.
/// `after`: time and identifier of the last row of the page before.
pub fn list(
    db: &mut Connection,
    filter: &Filter,
    limit: i64,
    after: Option<(NaiveDateTime, &str)>,
) -> Result<Vec<Entry>> {
    query!(db, "read audit entries", c: B => {
        let mut query = narrowed!(audit::table.select(Entry::as_select()).into_boxed::<B>(), filter);
        if let Some((at, id)) = after {
            query = query.filter(audit::at.le(at)).filter(audit::at.lt(at).or(audit::id.gt(id)));
        }
        query.order((audit::at.desc(), audit::id)).limit(limit).load(c)
    })
}

pub fn count(db: &mut Connection, filter: &Filter) -> Result<i64> {
    query!(db, "read audit entries", c: B => {
        narrowed!(audit::table.select(diesel::dsl::count_star()).into_boxed::<B>(), filter).first::<i64>(c)
    })
}

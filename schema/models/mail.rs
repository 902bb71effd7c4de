//! The ledger of mails, for delivery as close to exactly once as SMTP allows.
//!
//! ```text
//! pending ──claim──▶ sending ──settle──▶ accepted | rejected ──reopen──▶ pending
//!    ▲                  │ │
//!    └─────release──────┘ └─settle, adopt_orphans, mark_unknown──▶ unknown ──claim, once, later──▶ sending
//! ```
//!
//! - `sending` is committed before the first byte goes out, by an update that only one worker can win.
//! - [`release`] is for mails that surely did not arrive (the connection broke before the final dot).
//! - `unknown` is for mails that may have arrived: the connection broke after the final dot, or the worker
//!   exited. Such a mail is sent again once, with the same Message-ID, when [`resend_due`] selects it; after
//!   that it waits for an operator.
//! - A redelivery that finds a row `sending` belongs to a worker that exited, or that lost its broker and is
//!   still connected to the mail server. Sending at once could send twice, so the row becomes `unknown`
//!   ([`adopt_orphans`]). A worker that is still running may settle the row, because the reply of the server
//!   is better than `unknown`.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDateTime;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::stored_text::stored_as_text;
use super::tables::{application, guarantee, mail, revision};
use super::{beginning_with, chunks, grouped, of_found};
use crate::db::{Connection, Result, micros, query};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    Pending,
    /// A worker is sending it, or exited while sending.
    Sending,
    Accepted,
    Rejected,
    /// It may or may not have been taken.
    Unknown,
}

stored_as_text!(State { Pending = "pending", Sending = "sending", Accepted = "accepted", Rejected = "rejected", Unknown = "unknown" });

/// Attempts of a mail: one, and a second when the first outcome is unknown.
pub const MAX_ATTEMPTS: i64 = 2;

#[derive(Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = mail, treat_none_as_default_value = false)]
pub struct Mail {
    pub id: String,
    pub revision_id: String,
    pub recipient: String,
    /// `Message-ID` header, the same at every attempt.
    pub message_id: String,
    /// `Date` header (UTC), the same at every attempt.
    pub date: NaiveDateTime,
    pub subject: String,
    pub text_body: String,
    pub html_body: String,
    pub state: State,
    /// Attempts that reached, or may have reached, the mail server.
    /// Counted when claimed, taken back when released.
    pub attempts: i64,
    pub reply: Option<String>,
    /// When it was last claimed (UTC); none while pending.
    pub claimed_at: Option<NaiveDateTime>,
    pub settled_at: Option<NaiveDateTime>,
    pub created_at: NaiveDateTime,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail")
            .field("id", &self.id)
            .field("state", &self.state)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// The first text of a mail is final.
/// Returns how many were new.
pub fn insert_new(db: &mut Connection, new: &[Mail]) -> Result<usize> {
    let mut rows = new.to_vec();
    for row in &mut rows {
        row.date = micros(row.date);
        row.created_at = micros(row.created_at);
    }
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    chunks::insert!(db, "insert mails", c, rows => {
        diesel::insert_into(mail::table).values(rows).on_conflict_do_nothing().execute(c)
    })
}

pub fn by_revisions(db: &mut Connection, revision_ids: &[&str]) -> Result<Vec<Vec<Mail>>> {
    let rows: Vec<Mail> = chunks::load!(db, "read mails", c, revision_ids => {
        mail::table
            .filter(mail::revision_id.eq_any(revision_ids))
            .order((mail::created_at, mail::id))
            .select(Mail::as_select())
            .load::<Mail>(c)
    })?;
    Ok(grouped(revision_ids, rows, |row| &row.revision_id))
}

/// Claims mails for sending and returns those claimed, in the order of `ids`.
///
/// Claims pending mails, and unknown ones that became so before `unknown_before` and may be sent once more.
/// Commit before the first byte is sent, then [`settle`] or [`release`] each.
pub fn claim(
    db: &mut Connection,
    ids: &[&str],
    now: NaiveDateTime,
    unknown_before: NaiveDateTime,
) -> Result<Vec<Mail>> {
    let claimed = chunks::load!(db, "claim mails", c, ids => {
        let again = mail::attempts.lt(MAX_ATTEMPTS).and(mail::settled_at.lt(micros(unknown_before)));
        let sendable = mail::state.eq(State::Pending).or(mail::state.eq(State::Unknown).and(again));
        diesel::update(mail::table.filter(mail::id.eq_any(ids)).filter(of_found(sendable)))
            .set((
                mail::state.eq(State::Sending),
                mail::attempts.eq(mail::attempts + 1),
                mail::claimed_at.eq(micros(now)),
                mail::settled_at.eq(None::<NaiveDateTime>),
            ))
            .returning(Mail::as_returning())
            .get_results::<Mail>(c)
    })?;
    Ok(in_order(ids, claimed))
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    pub id: String,
    pub outcome: Outcome,
    pub reply: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Accepted,
    Rejected,
    Unknown,
}

/// Records how sending ended and returns how many rows changed.
/// Atomic only in a transaction of the caller.
///
/// A row that another worker has set to unknown meanwhile is still accepted or rejected; an accepted or
/// rejected one stays.
pub fn settle(db: &mut Connection, settlements: &[Settlement], at: NaiveDateTime) -> Result<usize> {
    // Mails with the same outcome and reply share a statement; some mail servers name each mail in the reply.
    let mut alike: BTreeMap<(Outcome, Option<&str>), Vec<&str>> = BTreeMap::new();
    for settlement in settlements {
        alike.entry((settlement.outcome, settlement.reply.as_deref())).or_default().push(&settlement.id);
    }
    let mut settled = 0;
    for ((outcome, reply), ids) in alike {
        let (state, also_from) = match outcome {
            Outcome::Accepted => (State::Accepted, State::Unknown),
            Outcome::Rejected => (State::Rejected, State::Unknown),
            Outcome::Unknown => (State::Unknown, State::Sending),
        };
        settled += chunks::update!(db, "settle mails", c, ids => {
            let open = mail::state.eq(State::Sending).or(mail::state.eq(also_from));
            diesel::update(mail::table.filter(mail::id.eq_any(ids)).filter(of_found(open)))
                .set((mail::state.eq(state), mail::reply.eq(reply), mail::settled_at.eq(micros(at))))
                .execute(c)
        })?;
    }
    Ok(settled)
}

/// Releases claimed mails that were surely not sent and returns how many.
/// Atomic only in a transaction of the caller.
///
/// A first attempt becomes pending again; a second one becomes unknown again and is due after the same delay.
pub fn release(db: &mut Connection, ids: &[&str]) -> Result<usize> {
    let re_sent = chunks::update!(db, "release mails sent again", c, ids => {
        let re_sent = mail::state.eq(State::Sending).and(mail::attempts.gt(1));
        diesel::update(mail::table.filter(mail::id.eq_any(ids)).filter(of_found(re_sent)))
            .set((mail::state.eq(State::Unknown), mail::attempts.eq(mail::attempts - 1), mail::settled_at.eq(mail::claimed_at)))
            .execute(c)
    })?;
    let first = chunks::update!(db, "release mails", c, ids => {
        diesel::update(mail::table.filter(mail::id.eq_any(ids)).filter(of_found(mail::state.eq(State::Sending))))
            .set((
                mail::state.eq(State::Pending),
                mail::attempts.eq(mail::attempts - 1),
                mail::claimed_at.eq(None::<NaiveDateTime>),
            ))
            .execute(c)
    })?;
    Ok(re_sent + first)
}

/// Sets rejected mails to pending for an operator and returns how many.
///
/// A mail rejected at its first attempt was surely not sent and starts over. One that was unknown before may
/// have arrived and keeps that attempt counted: if it becomes unknown again, it is left to an operator.
pub fn reopen(db: &mut Connection, ids: &[&str]) -> Result<usize> {
    chunks::update!(db, "reopen rejected mails", c, ids => {
        diesel::update(mail::table.filter(mail::id.eq_any(ids)).filter(of_found(mail::state.eq(State::Rejected))))
            .set((
                mail::state.eq(State::Pending),
                mail::attempts.eq(sql::<BigInt>("case when attempts > 1 then 1 else 0 end")),
                mail::claimed_at.eq(None::<NaiveDateTime>),
                mail::settled_at.eq(None::<NaiveDateTime>),
            ))
            .execute(c)
    })
}

/// Sets mails to unknown that another worker has claimed.
/// Returns them in the order of `ids`.
///
/// For a redelivered message whose mail this worker has not claimed.
pub fn adopt_orphans(db: &mut Connection, ids: &[&str], now: NaiveDateTime) -> Result<Vec<Mail>> {
    let adopted = chunks::load!(db, "mark mails of another worker as unknown", c, ids => {
        diesel::update(mail::table.filter(mail::id.eq_any(ids)).filter(of_found(mail::state.eq(State::Sending))))
            .set((mail::state.eq(State::Unknown), mail::settled_at.eq(micros(now))))
            .returning(Mail::as_returning())
            .get_results::<Mail>(c)
    })?;
    Ok(in_order(ids, adopted))
}

/// Sets mails claimed before `claimed_before` to unknown: their worker has exited.
pub fn mark_unknown(
    db: &mut Connection,
    claimed_before: NaiveDateTime,
    now: NaiveDateTime,
) -> Result<Vec<Mail>> {
    query!(db, "mark abandoned mails as unknown", c => {
        // A literal, so that the partial index is used.
        diesel::update(mail::table.filter(sql::<Bool>("state = 'sending'")).filter(mail::claimed_at.lt(micros(claimed_before))))
            .set((mail::state.eq(State::Unknown), mail::settled_at.eq(micros(now))))
            .returning(Mail::as_returning())
            .get_results(c)
    })
}

/// An unknown mail to send once more, with what its dispatch message needs.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct ResendDue {
    pub mail_id: String,
    pub guarantee_id: String,
    pub revision: i64,
    pub application_id: String,
    pub traceparent: Option<String>,
}

/// Mails unknown since before `unknown_before` that may be sent once more.
/// Longest waiting first.
pub fn resend_due(db: &mut Connection, unknown_before: NaiveDateTime, limit: i64) -> Result<Vec<ResendDue>> {
    query!(db, "read mails", c => {
        mail::table
            .inner_join(revision::table.inner_join(guarantee::table.inner_join(application::table)))
            // A literal, so that the partial index is used.
            .filter(sql::<Bool>("mail.state = 'unknown'"))
            .filter(mail::attempts.lt(MAX_ATTEMPTS))
            .filter(mail::settled_at.lt(micros(unknown_before)))
            .order((mail::settled_at, mail::id))
            .limit(limit)
            .select((mail::id, revision::guarantee_id, revision::place, application::id, application::traceparent))
            .load(c)
    })
}

/// Which mails are meant; an empty list leaves a condition out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub states: Vec<State>,
    /// Only unknown mails that were sent twice: they wait for an operator.
    pub given_up: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct Listed {
    pub mail: Mail,
    /// 保証契約番号.
    pub number: String,
    pub guarantee_id: String,
    pub revision: i64,
    pub application_id: String,
    pub traceparent: Option<String>,
}

/// Reads a page of the mails a filter finds, the longest waiting first.
/// `after`: creation time and identifier of the last row of the page before.
pub fn list(
    db: &mut Connection,
    filter: &Filter,
    limit: i64,
    after: Option<(NaiveDateTime, &str)>,
) -> Result<Vec<Listed>> {
    query!(db, "read mails", c: B => {
        let mut query = mail::table
            .inner_join(revision::table.inner_join(guarantee::table.inner_join(application::table)))
            .select((
                Mail::as_select(),
                guarantee::number,
                guarantee::id,
                revision::place,
                application::id,
                application::traceparent,
            ))
            .into_boxed::<B>();
        if !filter.states.is_empty() {
            query = query.filter(mail::state.eq_any(filter.states.iter().map(|state| state.as_text())));
        }
        if filter.given_up {
            query = query.filter(mail::state.eq(State::Unknown)).filter(mail::attempts.ge(MAX_ATTEMPTS));
        }
        if let Some((at, id)) = after {
            query = query.filter(mail::created_at.ge(at)).filter(mail::created_at.gt(at).or(mail::id.gt(id)));
        }
        query.order((mail::created_at, mail::id)).limit(limit).load(c)
    })
}

pub fn count(db: &mut Connection, filter: &Filter) -> Result<i64> {
    query!(db, "count mails", c: B => {
        let mut query = mail::table.select(diesel::dsl::count_star()).into_boxed::<B>();
        if !filter.states.is_empty() {
            query = query.filter(mail::state.eq_any(filter.states.iter().map(|state| state.as_text())));
        }
        if filter.given_up {
            query = query.filter(mail::state.eq(State::Unknown)).filter(mail::attempts.ge(MAX_ATTEMPTS));
        }
        query.first::<i64>(c)
    })
}

/// Counts the unknown mails that are re-sent automatically.
/// Also returns since when the first of them is unknown (UTC).
pub fn awaiting_resend(db: &mut Connection) -> Result<(i64, Option<NaiveDateTime>)> {
    query!(db, "count mails", c => {
        mail::table
            .filter(sql::<Bool>("state = 'unknown'"))
            .filter(mail::attempts.lt(MAX_ATTEMPTS))
            .select((diesel::dsl::count_star(), diesel::dsl::min(mail::settled_at)))
            .first::<(i64, Option<NaiveDateTime>)>(c)
    })
}

/// By 保証契約番号, or by the beginning of the identifier or Message-ID.
pub fn find(db: &mut Connection, key: &str, limit: i64) -> Result<Vec<Listed>> {
    let prefix = beginning_with(key);
    query!(db, "read mails", c => {
        mail::table
            .inner_join(revision::table.inner_join(guarantee::table.inner_join(application::table)))
            .filter(mail::id.like(&prefix).escape('!').or(mail::message_id.like(&prefix).escape('!')).or(guarantee::number.eq(key)))
            .order((mail::created_at, mail::id))
            .limit(limit)
            .select((
                Mail::as_select(),
                guarantee::number,
                guarantee::id,
                revision::place,
                application::id,
                application::traceparent,
            ))
            .load(c)
    })
}

/// Records the finding of an operator.
/// From `unknown`, `rejected` or `pending` to `accepted` or `rejected`, or to `pending`, to be sent as if for
/// the first time. `false` when the state is no longer `from`.
pub fn resolve(
    db: &mut Connection,
    id: &str,
    from: State,
    to: State,
    reply: &str,
    now: NaiveDateTime,
) -> Result<bool> {
    let now = micros(now);
    let unchanged = mail::table.filter(mail::id.eq(id)).filter(of_found(mail::state.eq(from)));
    let outcome = (mail::state.eq(to), mail::reply.eq(reply));
    let nothing = None::<NaiveDateTime>;
    query!(db, "resolve a mail", c => match (from, to) {
        (_, State::Pending) => diesel::update(unchanged)
            .set((outcome, mail::attempts.eq(0), mail::claimed_at.eq(nothing), mail::settled_at.eq(nothing)))
            .execute(c),
        // Was not claimed; a settled mail counts as claimed.
        (State::Pending, _) => diesel::update(unchanged).set((outcome, mail::claimed_at.eq(now), mail::settled_at.eq(now))).execute(c),
        _ => diesel::update(unchanged).set((outcome, mail::settled_at.eq(now))).execute(c),
    })
    .map(|changed| changed > 0)
}

fn in_order(ids: &[&str], rows: Vec<Mail>) -> Vec<Mail> {
    let mut rows: HashMap<String, Mail> = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    ids.iter().filter_map(|id| rows.remove(*id)).collect()
}

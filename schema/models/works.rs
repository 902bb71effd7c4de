//! Works (工事・業務委託) and the commitments of accepted applications for them.
//!
//! Some rules look at other applications for the same works: a product is given once, an interim advance
//! needs the advance, amounts are capped together. Two applications judged at the same time would each find
//! the other missing. So every decision is made in one transaction, in this order:
//!
//! 1. [`lock`] the works of all applications of the batch that may be accepted;
//! 2. read the applications again by id ([`application::by_ids`](super::application::by_ids)): the previous
//!    holder of the lock may have decided on the same ones; those keep the stored answer and drop out, as
//!    does the second of an id in the batch;
//! 3. read the open [`commitments`];
//! 4. judge, one application after the other, each with the commitments of the ones before it in the batch;
//! 5. store the applications ([`application::insert_missing`](super::application::insert_missing)): one that
//!    came in between under the same id with other content, hence about other works, sends the whole
//!    transaction back to 1;
//! 6. [`commit`] every line of the accepted ones.
//!
//! Why no two such transactions wait for each other for ever: each locks works in one pass in the order of
//! their ids, before it touches anything else that another could wait for, and then inserts applications in
//! the order of theirs. A transaction that waits for works holds only works with smaller ids; one that waits
//! for an application holds works, for which the other no longer waits, and applications with smaller ids.
//! Commitments meet only under the same works or the same application. So: one [`lock`] per transaction, and
//! first.
//!
//! The lock is an insert that, on a conflict, updates the row to what it is. It makes and locks rows in one
//! pass, so that there is one order to keep; and what is read afterwards is never older than the lock:
//! PostgreSQL's READ COMMITTED takes a new snapshot for every statement, and under a stricter isolation the
//! second writer of a row gets a serialization failure, which is contention and is tried again. Rejected:
//! - `on conflict do nothing` alone locks no row that is there already;
//! - followed by `select … for update`, it writes no new version of known rows (a decision leaves one dead
//!   row of some 60 bytes, unindexed and pruned with its page), but makes two passes, which must not be mixed
//!   chunk by chunk or they deadlock, and under a stricter isolation a row that was locked but not changed
//!   lets the second reader in with its old snapshot;
//! - advisory locks are a second space of names, hashed, and SQLite has none;
//! - the unique index alone detects a product given twice, but no sum over several products. It stays as a
//!   safeguard.
//!
//! On SQLite a transaction holds the only write lock from its beginning; there the same statement just makes
//! the rows.
//!
//! A row of `works` is never deleted while the program runs. A commitment is kept when it [`end`]s.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::chunks;
use super::tables::{application, engagement, guarantee, revision, works};
use crate::db::{Connection, Result, micros, query};
use crate::messages::{BaseV1, MediumV1, ProductV1};

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = engagement, treat_none_as_default_value = false)]
pub struct Commitment {
    /// The works ([`ids::works`](crate::ids::works)).
    pub works_id: String,
    /// 工事番号 in the form it is compared in, where the application has one.
    pub works_number: Option<String>,
    pub fiscal_year: i64,
    /// 商品: open once per works and year.
    pub product: ProductV1,
    pub application_id: String,
    /// Index of the product line within the application, from 0.
    pub line: i64,
    pub medium: MediumV1,
    /// 保証金額 in yen, more than 0.
    pub amount: i64,
    pub base: BaseV1,
    /// 低入札.
    pub low_price: bool,
    pub engaged_at: NaiveDateTime,
}

/// An open commitment, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenCommitment {
    pub commitment: Commitment,
    pub source: String,
    /// 保証契約番号, once its guarantee has one.
    pub number: Option<String>,
    /// When its certificate 新規 arrived in the registry (UTC).
    /// From then on the guarantee is issued.
    pub arrived_at: Option<NaiveDateTime>,
}

/// Locks works until the end of the transaction, creating missing ones.
/// Outside of a transaction it locks nothing.
///
/// To be called once in a transaction, first, with all works it is about.
pub fn lock(db: &mut Connection, works_ids: &[&str]) -> Result<()> {
    let ids: Vec<&str> = works_ids.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let rows: Vec<_> = ids.into_iter().map(|id| works::id.eq(id)).collect();
    chunks::insert!(db, "lock works", c, rows => {
        // Changes nothing, but locks the row.
        diesel::insert_into(works::table).values(rows).on_conflict(works::id).do_update().set(works::id.eq(works::id)).execute(c)
    })
    .map(drop)
}

/// Open commitments, oldest first; works without any are left out.
///
/// Holds until the end of the transaction when the works are [locked](lock), except for numbers and arrivals:
/// issuing takes no such lock, so one that is not there yet may be there a moment later.
pub fn commitments(db: &mut Connection, works_ids: &[&str]) -> Result<HashMap<String, Vec<OpenCommitment>>> {
    let ids: Vec<&str> = works_ids.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let rows: Vec<(Commitment, String, Option<String>, Option<NaiveDateTime>)> = chunks::load!(db, "read commitments", c, ids => {
        let same_line = guarantee::application_id.eq(engagement::application_id).and(guarantee::line.eq(engagement::line));
        let first = revision::guarantee_id.nullable().eq(guarantee::id.nullable()).and(revision::place.eq(0));
        engagement::table
            .inner_join(application::table)
            .left_join(guarantee::table.on(same_line))
            .left_join(revision::table.on(first))
            .filter(engagement::works_id.eq_any(ids))
            .filter(engagement::ended_at.is_null())
            .order((engagement::engaged_at, engagement::application_id, engagement::line))
            .select((
                Commitment::as_select(),
                application::source,
                guarantee::number.nullable(),
                revision::arrived_at.nullable(),
            ))
            .load(c)
    })?;
    let mut by_works: HashMap<String, Vec<OpenCommitment>> = HashMap::new();
    for (commitment, source, number, arrived_at) in rows {
        by_works.entry(commitment.works_id.clone()).or_default().push(OpenCommitment {
            commitment,
            source,
            number,
            arrived_at,
        });
    }
    Ok(by_works)
}

/// Inserts the commitments of applications stored in the same transaction.
/// The [`lock`] of their works is required.
///
/// A line with an open commitment, or a product that is open for its works, is an error: the holder of the
/// lock has seen it.
pub fn commit(db: &mut Connection, rows: &[Commitment]) -> Result<()> {
    let rows: Vec<_> =
        rows.iter().map(|row| Commitment { engaged_at: micros(row.engaged_at), ..row.clone() }).collect();
    chunks::insert!(db, "insert commitments", c, rows => {
        diesel::insert_into(engagement::table).values(rows).execute(c)
    })
    .map(drop)
}

/// Reads the open commitments of lines, `(application id, line)`.
pub fn of_lines(db: &mut Connection, lines: &[(&str, i64)]) -> Result<Vec<Option<Commitment>>> {
    let ids: Vec<&str> =
        lines.iter().map(|(application, _)| *application).collect::<BTreeSet<_>>().into_iter().collect();
    let rows: Vec<Commitment> = chunks::load!(db, "read commitments", c, ids => {
        engagement::table
            .filter(engagement::application_id.eq_any(ids))
            .filter(engagement::ended_at.is_null())
            .select(Commitment::as_select())
            .load(c)
    })?;
    let by_line: HashMap<(&str, i64), &Commitment> =
        rows.iter().map(|row| ((row.application_id.as_str(), row.line), row)).collect();
    Ok(lines.iter().map(|line| by_line.get(line).copied().cloned()).collect())
}

/// Updates open commitments after a change of their guarantees.
/// The [`lock`] of their old and new works is required.
pub fn recommit(db: &mut Connection, rows: &[Commitment]) -> Result<()> {
    for row in rows {
        let open = engagement::table
            .filter(engagement::application_id.eq(&row.application_id))
            .filter(engagement::line.eq(row.line))
            .filter(engagement::ended_at.is_null());
        query!(db, "update commitments", c => {
            diesel::update(open)
                .set((
                    engagement::works_id.eq(&row.works_id),
                    engagement::works_number.eq(&row.works_number),
                    engagement::fiscal_year.eq(row.fiscal_year),
                    engagement::amount.eq(row.amount),
                    engagement::base.eq(row.base),
                    engagement::low_price.eq(row.low_price),
                ))
                .execute(c)
        })?;
    }
    Ok(())
}

/// Ends the commitments of `(application id, line)`; returns how many were open.
/// Their works are free for the product again. One that has ended keeps its time.
///
/// Takes the [`lock`] of their works, so that no other transaction judges by commitments that are just
/// ending: the rule of one lock per transaction applies.
pub fn end(db: &mut Connection, lines: &[(&str, i64)], at: NaiveDateTime) -> Result<usize> {
    let distinct: HashSet<(&str, i64)> = lines.iter().copied().collect();
    let mut by_line: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for (application, line) in &distinct {
        by_line.entry(*line).or_default().push(application);
    }
    db.transaction(|db| {
        let open = of_lines(db, lines)?;
        let works: Vec<&str> = open.iter().flatten().map(|row| row.works_id.as_str()).collect();
        lock(db, &works)?;
        let mut ended = 0;
        for (line, ids) in &by_line {
            ended += chunks::update!(db, "end commitments", c, ids => {
                let open = engagement::table
                    .filter(engagement::application_id.eq_any(ids))
                    .filter(engagement::line.eq(line))
                    .filter(engagement::ended_at.is_null());
                diesel::update(open).set(engagement::ended_at.eq(micros(at))).execute(c)
            })?;
        }
        Ok(ended)
    })
}

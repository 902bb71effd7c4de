//! 保証契約: one issued product line of an application.
//! [`issue`](crate::queries::issue) creates it, [`set_standing`] updates it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::tables::guarantee;
use super::{aligned, chunks};
use crate::db::{Connection, Result, attempting, query};
use crate::messages::{MediumV1, ProductV1};

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = guarantee, treat_none_as_default_value = false)]
pub struct Guarantee {
    pub id: String,
    pub application_id: String,
    /// Index of the product line within the application, from 0.
    pub line: i64,
    pub product: ProductV1,
    /// 証書の形式; an amendment keeps it.
    pub medium: MediumV1,
    /// 保証契約番号, unique.
    pub number: String,
    /// Code of the branch, the first part of the number.
    pub branch: String,
    /// The surety's fiscal term, the second part of the number.
    pub term: String,
    /// Sequence within branch and term, from 1 without gaps.
    pub sequence: i64,
    pub obligee: String,
    pub issued_at: NaiveDateTime,
    /// The revision that holds: its place in the chain.
    pub current_revision: i64,
    /// 解約日 of one that has ended, `YYYY-MM-DD`.
    pub ended_on: Option<String>,
}

/// Inserts guarantees; any that is there already is an error.
pub(crate) fn insert(db: &mut Connection, rows: &[Guarantee]) -> Result<()> {
    chunks::insert!(db, "insert guarantees", c, rows => {
        diesel::insert_into(guarantee::table).values(rows).execute(c)
    })
    .map(drop)
}

pub fn by_ids(db: &mut Connection, ids: &[&str]) -> Result<Vec<Option<Guarantee>>> {
    let rows: Vec<Guarantee> = chunks::load!(db, "read guarantees", c, ids => {
        guarantee::table.filter(guarantee::id.eq_any(ids)).select(Guarantee::as_select()).load(c)
    })?;
    Ok(aligned(ids, rows, |row| &row.id))
}

/// Reads the guarantees of applications, in the order of their lines.
pub fn by_applications(db: &mut Connection, application_ids: &[&str]) -> Result<Vec<Vec<Guarantee>>> {
    let rows: Vec<Guarantee> = chunks::load!(db, "read guarantees", c, application_ids => {
        guarantee::table
            .filter(guarantee::application_id.eq_any(application_ids))
            .order(guarantee::line)
            .select(Guarantee::as_select())
            .load::<Guarantee>(c)
    })?;
    Ok(super::grouped(application_ids, rows, |row| &row.application_id))
}

/// Finds a guarantee by its 保証契約番号, written exactly.
pub fn by_number(db: &mut Connection, number: &str) -> Result<Option<Guarantee>> {
    query!(db, "read guarantees", c => {
        guarantee::table.filter(guarantee::number.eq(number)).select(Guarantee::as_select()).first(c).optional()
    })
}

/// Finds guarantees by their 保証契約番号, written exactly.
pub fn by_numbers(db: &mut Connection, numbers: &[&str]) -> Result<Vec<Option<Guarantee>>> {
    let rows: Vec<Guarantee> = chunks::load!(db, "read guarantees", c, numbers => {
        guarantee::table.filter(guarantee::number.eq_any(numbers)).select(Guarantee::as_select()).load(c)
    })?;
    Ok(aligned(numbers, rows, |row| &row.number))
}

/// Locks until the end of the transaction, in the order of the identifiers.
/// Every change of a guarantee needs the lock. Call once in a transaction, after the
/// [lock of works](super::works::lock) where that is needed too.
pub fn lock(db: &mut Connection, ids: &[&str]) -> Result<()> {
    // In SQLite a transaction has the only write lock from its beginning.
    let Connection::Postgres(c) = db else { return Ok(()) };
    let ids: Vec<&str> = ids.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    chunks::load_each(&ids, |ids| {
        let rows = guarantee::table.filter(guarantee::id.eq_any(ids)).order(guarantee::id);
        let locked = rows.select(guarantee::id).for_no_key_update().load::<String>(&mut **c);
        locked.map_err(attempting("read guarantees"))
    })
    .map(drop)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub id: String,
    pub current_revision: i64,
    /// 解約日 of one that has ended, `YYYY-MM-DD`.
    pub ended_on: Option<String>,
}

/// Updates guarantees, under their [`lock`].
pub fn set_standing(db: &mut Connection, standings: &[Standing]) -> Result<()> {
    let mut alike: BTreeMap<(i64, Option<&str>), Vec<&str>> = BTreeMap::new();
    for standing in standings {
        alike
            .entry((standing.current_revision, standing.ended_on.as_deref()))
            .or_default()
            .push(&standing.id);
    }
    for ((revision, ended_on), ids) in alike {
        chunks::update!(db, "update the standing of guarantees", c, ids => {
            diesel::update(guarantee::table.filter(guarantee::id.eq_any(ids)))
                .set((guarantee::current_revision.eq(revision), guarantee::ended_on.eq(ended_on)))
                .execute(c)
        })?;
    }
    Ok(())
}

/// A page of at most `limit` guarantees behind `after`, by identifier.
pub fn after(db: &mut Connection, after: &str, limit: i64) -> Result<Vec<Guarantee>> {
    query!(db, "read guarantees", c => {
        guarantee::table.filter(guarantee::id.gt(after)).order(guarantee::id).limit(limit).select(Guarantee::as_select()).load(c)
    })
}

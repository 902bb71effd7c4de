//! 保証契約: one issued product line of an application. Created by [`issue`](crate::queries::issue), updated
//! by [`set_standing`].

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDateTime;
use diesel::{
    ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable, RunQueryDsl, Selectable,
    SelectableHelper,
};

use super::tables::guarantee;
use super::{aligned, chunks};
use crate::db::{Connection, DbError, attempting, match_connection};
use crate::messages::{MediumV1, ProductV1};

/// A row of `guarantee`.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = guarantee, treat_none_as_default_value = false)]
pub struct Guarantee {
    /// Our identifier ([`ids::guarantee`](crate::ids::guarantee)).
    pub id: String,
    pub application_id: String,
    /// Index of the product line within the application, from 0.
    pub line: i64,
    /// 商品.
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
pub(crate) fn insert(connection: &mut Connection, rows: &[Guarantee]) -> Result<(), DbError> {
    chunks::insert(rows, |rows| {
        match_connection!(connection, c => diesel::insert_into(guarantee::table).values(rows).execute(c))
    })
    .map(drop)
    .map_err(attempting("insert guarantees"))
}

pub fn by_ids(connection: &mut Connection, ids: &[&str]) -> Result<Vec<Option<Guarantee>>, DbError> {
    let rows: Vec<Guarantee> = chunks::load(ids, |ids| {
        match_connection!(connection, c => {
            guarantee::table.filter(guarantee::id.eq_any(ids)).select(Guarantee::as_select()).load(c)
        })
    })
    .map_err(attempting("read guarantees"))?;
    Ok(aligned(ids, rows, |row| &row.id))
}

/// Reads the guarantees of applications, in the order of their lines.
pub fn by_applications(
    connection: &mut Connection,
    application_ids: &[&str],
) -> Result<Vec<Vec<Guarantee>>, DbError> {
    let rows: Vec<Guarantee> = chunks::load(application_ids, |ids| {
        match_connection!(connection, c => {
            guarantee::table
                .filter(guarantee::application_id.eq_any(ids))
                .order(guarantee::line)
                .select(Guarantee::as_select())
                .load::<Guarantee>(c)
        })
    })
    .map_err(attempting("read guarantees"))?;
    Ok(super::grouped(application_ids, rows, |row| &row.application_id))
}

/// Finds a guarantee by its 保証契約番号, written exactly.
pub fn by_number(connection: &mut Connection, number: &str) -> Result<Option<Guarantee>, DbError> {
    match_connection!(connection, c => {
        guarantee::table.filter(guarantee::number.eq(number)).select(Guarantee::as_select()).first(c).optional()
    })
    .map_err(attempting("read guarantees"))
}

/// Finds guarantees by their 保証契約番号, written exactly.
pub fn by_numbers(connection: &mut Connection, numbers: &[&str]) -> Result<Vec<Option<Guarantee>>, DbError> {
    let rows: Vec<Guarantee> = chunks::load(numbers, |numbers| {
        match_connection!(connection, c => {
            guarantee::table.filter(guarantee::number.eq_any(numbers)).select(Guarantee::as_select()).load(c)
        })
    })
    .map_err(attempting("read guarantees"))?;
    Ok(aligned(numbers, rows, |row| &row.number))
}

/// Locks guarantees until the end of the transaction, in the order of their identifiers. Every change of a
/// guarantee needs the lock. Call once in a transaction, after the [lock of works](super::works::lock) where
/// that is needed too.
pub fn lock(connection: &mut Connection, ids: &[&str]) -> Result<(), DbError> {
    let ids: BTreeSet<&str> = ids.iter().copied().collect();
    match connection {
        // A transaction holds the only write lock from its beginning.
        Connection::Sqlite(_) => Ok(()),
        Connection::Postgres(c) => chunks::load(&ids.into_iter().collect::<Vec<_>>(), |ids| {
            let query = guarantee::table
                .filter(guarantee::id.eq_any(ids))
                .order(guarantee::id)
                .select(guarantee::id)
                .for_no_key_update();
            query.load::<String>(&mut **c)
        })
        .map(drop)
        .map_err(attempting("read guarantees")),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub id: String,
    pub current_revision: i64,
    /// 解約日 of one that has ended, `YYYY-MM-DD`.
    pub ended_on: Option<String>,
}

/// Updates guarantees, under their [`lock`].
pub fn set_standing(connection: &mut Connection, standings: &[Standing]) -> Result<(), DbError> {
    let mut alike: BTreeMap<(i64, Option<&str>), Vec<&str>> = BTreeMap::new();
    for standing in standings {
        alike
            .entry((standing.current_revision, standing.ended_on.as_deref()))
            .or_default()
            .push(&standing.id);
    }
    for ((revision, ended_on), ids) in alike {
        chunks::update(&ids, |ids| {
            match_connection!(connection, c => {
                diesel::update(guarantee::table.filter(guarantee::id.eq_any(ids)))
                    .set((guarantee::current_revision.eq(revision), guarantee::ended_on.eq(ended_on)))
                    .execute(c)
            })
        })
        .map_err(attempting("update the standing of guarantees"))?;
    }
    Ok(())
}

/// Reads guarantees in the order of their identifiers, from the one after `after` on: a page of at most
/// `limit`.
pub fn after(connection: &mut Connection, after: &str, limit: i64) -> Result<Vec<Guarantee>, DbError> {
    match_connection!(connection, c => {
        guarantee::table.filter(guarantee::id.gt(after)).order(guarantee::id).limit(limit).select(Guarantee::as_select()).load(c)
    })
    .map_err(attempting("read guarantees"))
}

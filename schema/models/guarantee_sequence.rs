//! The last sequence in guarantee numbers, per branch and fiscal term.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::chunks;
use super::tables::guarantee_sequence;
use crate::db::{Connection, Result, query};

#[derive(Insertable)]
#[diesel(table_name = guarantee_sequence, treat_none_as_default_value = false)]
struct Counter<'a> {
    branch: &'a str,
    term: &'a str,
    last: i64,
}

/// `(branch, term)` and the last sequence given out, in the order of the keys.
pub(crate) type Counters = BTreeMap<(String, String), i64>;

/// Locks the counters until the end of the transaction and reads their values.
/// Missing counters are created.
///
/// They are locked in the order of their keys, so that two transactions cannot hold one each and wait for the
/// other's.
pub(crate) fn lock(db: &mut Connection, counters: &mut Counters) -> Result<()> {
    let rows: Vec<_> = counters.keys().map(|(branch, term)| Counter { branch, term, last: 0 }).collect();
    let locked: Vec<(String, String, i64)> = chunks::load!(db, "lock guarantee sequences", c, rows => {
        diesel::insert_into(guarantee_sequence::table)
            .values(rows)
            .on_conflict((guarantee_sequence::branch, guarantee_sequence::term))
            .do_update()
            // Changes nothing, but locks the row and returns it.
            .set(guarantee_sequence::last.eq(guarantee_sequence::last))
            .returning((guarantee_sequence::branch, guarantee_sequence::term, guarantee_sequence::last))
            .get_results(c)
    })?;
    *counters = locked.into_iter().map(|(branch, term, last)| ((branch, term), last)).collect();
    Ok(())
}

pub(crate) fn advance(db: &mut Connection, counters: &Counters) -> Result<()> {
    let rows: Vec<_> =
        counters.iter().map(|((branch, term), last)| Counter { branch, term, last: *last }).collect();
    chunks::insert!(db, "advance guarantee sequences", c, rows => {
        diesel::insert_into(guarantee_sequence::table)
            .values(rows)
            .on_conflict((guarantee_sequence::branch, guarantee_sequence::term))
            .do_update()
            .set(guarantee_sequence::last.eq(excluded(guarantee_sequence::last)))
            .execute(c)
    })
    .map(drop)
}

/// Reads all counters: branch and term, and the last sequence given out.
pub fn all(db: &mut Connection) -> Result<BTreeMap<(String, String), i64>> {
    let rows: Vec<(String, String, i64)> = query!(db, "read guarantee sequences", c => {
        guarantee_sequence::table.order((guarantee_sequence::branch, guarantee_sequence::term)).load(c)
    })?;
    Ok(rows.into_iter().map(|(branch, term, last)| ((branch, term), last)).collect())
}

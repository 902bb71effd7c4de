//! Rows and the queries on one table, a file per entity.
//! `tables` declares all tables to diesel; [`queries`](crate::queries) join several.
//!
//! Functions take slices and return rows in the order of the keys, with one query for the whole batch
//! (`chunks`). Identifiers are derived from business keys ([`ids`](crate::ids)), so a lookup by business
//! key needs no other index.
//!
//! Writing is idempotent: `insert_new` keeps existing rows and returns how many rows were new. Batches are
//! inserted in the order of their primary keys, so that two transactions with the same rows wait for each
//! other instead of deadlocking.
//!
//! `Debug` of rows with personal data or key material omits these.
//!
//! To add a table: a migration for each database, a `table!` in `tables`, a file here, and a name in
//! [`counts`].

pub mod application;
pub mod audit;
pub mod authentication_key;
pub mod chain_head;
pub mod change;
pub(crate) mod chunks;
pub mod document;
pub mod document_store;
pub mod failed_message;
pub mod failure_note;
pub mod guarantee;
pub mod guarantee_sequence;
pub mod job_run;
pub(crate) mod lease;
pub mod mail;
pub mod outbox;
pub mod replay;
pub mod revision;
pub mod run_item;
pub mod stage_control;
pub(crate) mod stored_text;
pub(crate) mod tables;
pub mod worker;
pub mod works;

use std::collections::HashMap;

use diesel::dsl;
use diesel::prelude::*;
use diesel::sql_types::{Bool, BoolOrNullableBool};

use crate::db::{Connection, Result, query};

/// A condition on rows found by ids, in a form that no partial index matches.
/// Not to be negated: it is true or null.
///
/// Such an index contains every row that ever met its condition since the last vacuum, and PostgreSQL reads
/// all of these for each lookup: for 19,000 mails the ledger read 26 million entries.
fn of_found<C>(condition: C) -> dsl::case_when<C, bool, Bool>
where
    C: Expression<SqlType: BoolOrNullableBool>,
{
    dsl::case_when::<_, _, Bool>(condition, true)
}

/// A pattern for `like … escape '!'` that finds what begins with a text.
fn beginning_with(text: &str) -> String {
    format!("{}%", literal(text))
}

/// The first two values that begin with `prefix`: enough to detect ambiguity.
macro_rules! with_prefix {
    ($db:expr, $attempt:expr, $table:ident::$column:ident, $prefix:expr) => {
        $crate::db::query!($db, $attempt, c => {
            let pattern = $crate::models::beginning_with($prefix);
            let found = $table::table.filter($table::$column.like(pattern).escape('!'));
            found.select($table::$column).distinct().order($table::$column).limit(2).load(c)
        })
    };
}
pub(crate) use with_prefix;

/// Escapes the wildcards of `like … escape '!'`.
fn literal(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}

/// The row of each key, in the order of the keys; a key may occur twice.
fn aligned<R: Clone>(keys: &[impl AsRef<str>], rows: Vec<R>, key: impl Fn(&R) -> &str) -> Vec<Option<R>> {
    grouped(keys, rows, key).into_iter().map(|mut rows| rows.pop()).collect()
}

/// The rows of each key, in the order of the keys; a key may occur twice.
fn grouped<R: Clone>(keys: &[impl AsRef<str>], rows: Vec<R>, key: impl Fn(&R) -> &str) -> Vec<Vec<R>> {
    let mut groups: HashMap<String, Vec<R>> = HashMap::new();
    for row in rows {
        groups.entry(key(&row).to_owned()).or_default().push(row);
    }
    keys.iter().map(|key| groups.get(key.as_ref()).cloned().unwrap_or_default()).collect()
}

pub fn counts(db: &mut Connection) -> Result<Vec<(&'static str, i64)>> {
    macro_rules! count {
        ($($table:ident),*) => {
            vec![$((
                stringify!($table),
                query!(db, "read row counts", c => {
                    tables::$table::table.count().get_result::<i64>(c)
                })?,
            )),*]
        };
    }
    Ok(count![
        application,
        works,
        engagement,
        guarantee_sequence,
        guarantee,
        revision,
        authentication_key,
        document,
        document_store,
        mail,
        requeued,
        replay,
        failed_message,
        failed_attempt,
        failure_note,
        audit,
        stage_control,
        worker,
        worker_stage,
        chain_head,
        change,
        job,
        job_run,
        run_item,
        outbox
    ])
}

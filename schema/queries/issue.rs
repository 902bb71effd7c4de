//! Issues guarantees in one transaction, with numbers without gaps or duplicates.
//!
//! A number is only ever given together with its row. The counter is a row that is locked, not a database
//! sequence: a sequence does not roll back and leaves gaps. The order of steps matters:
//!
//! 1. lock the counters that are needed, in the order of their keys;
//! 2. look (again) which lines have their guarantee: the previous holder of the lock may have issued them;
//! 3. count up by exactly what is missing, and insert guarantees and revisions.
//!
//! Two transactions that issue the same line under different counters (a redelivery across the end of the
//! fiscal term) meet at the unique key instead; the second is rolled back whole, counter included, and run
//! again: then it finds the first's rows.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::db::{Connection, DbError, Result, micros};
use crate::ids;
use crate::messages::{MediumV1, ProductV1};
use crate::models::chunks;
use crate::models::guarantee::{self, Guarantee};
use crate::models::guarantee_sequence::{self, Counters};
use crate::models::revision::{self, Kind, Revision, chained_sha256};
use crate::models::tables::application;

/// Attempts of a transaction that collides with another at a unique key.
const ATTEMPTS: usize = 3;

/// A guarantee to be issued for one product line of an accepted application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuaranteeDraft {
    pub application_id: String,
    /// Index of the product line, from 0.
    pub line: i64,
    pub product: ProductV1,
    pub medium: MediumV1,
    pub obligee: String,
    pub branch: String,
    pub term: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    pub guarantee: Guarantee,
    pub revision: Revision,
    /// False when it existed already.
    pub fresh: bool,
}

/// Returns guarantees in the order of the drafts; existing ones are unchanged.
///
/// `build` returns the 保証契約番号 and the content (canonical
/// [`snapshots::Certificate`](crate::snapshots::Certificate)) of a draft with its sequence. It runs for
/// missing guarantees only, once more with another sequence where two transactions collide. When it fails,
/// nothing is issued.
pub fn issue<D: Borrow<GuaranteeDraft>, E: From<DbError>>(
    db: &mut Connection,
    drafts: &[D],
    now: NaiveDateTime,
    mut build: impl FnMut(&D, i64) -> Result<(String, String), E>,
) -> Result<Vec<Issued>, E> {
    let ids: Vec<_> = drafts
        .iter()
        .map(Borrow::borrow)
        .map(|draft: &GuaranteeDraft| ids::guarantee(&draft.application_id, draft.line))
        .collect();
    // A redelivery needs no lock.
    let existing = load(db, &ids)?;
    if let Some(issued) = ids.iter().map(|id| existing.get(id).cloned()).collect::<Option<Vec<_>>>() {
        return Ok(issued);
    }
    let mut attempt = 1;
    loop {
        match db.transaction(|db| issue_missing(db, drafts, &ids, micros(now), &mut build)) {
            Ok(issued) => return Ok(issued),
            Err(IssueError::Database(error)) if error.is_unique_violation() && attempt < ATTEMPTS => {
                attempt += 1;
            }
            Err(IssueError::Database(error)) => return Err(error.into()),
            Err(IssueError::Build(error)) => return Err(error),
        }
    }
}

enum IssueError<E> {
    Database(DbError),
    Build(E),
}

impl<E> From<DbError> for IssueError<E> {
    fn from(error: DbError) -> Self {
        Self::Database(error)
    }
}

fn issue_missing<D: Borrow<GuaranteeDraft>, E>(
    db: &mut Connection,
    drafts: &[D],
    ids: &[String],
    now: NaiveDateTime,
    build: &mut impl FnMut(&D, i64) -> Result<(String, String), E>,
) -> Result<Vec<Issued>, IssueError<E>> {
    let counter = |draft: &GuaranteeDraft| (draft.branch.clone(), draft.term.clone());
    let mut counters: Counters = drafts.iter().map(|draft| (counter(draft.borrow()), 0)).collect();
    guarantee_sequence::lock(db, &mut counters)?;

    let mut known = load(db, ids)?;
    let (mut guarantees, mut revisions, mut result) = (Vec::new(), Vec::new(), Vec::new());
    let mut fresh_lines: BTreeMap<&str, i64> = BTreeMap::new();
    for (each, id) in drafts.iter().zip(ids) {
        let draft: &GuaranteeDraft = each.borrow();
        if let Some(issued) = known.get(id) {
            result.push(issued.clone());
            continue;
        }
        let Some(sequence) = counters.get_mut(&counter(draft)) else {
            return Err(IssueError::Database(DbError::Damaged {
                what: "a guarantee sequence vanished while locked".to_owned(),
            }));
        };
        *sequence += 1;
        let (number, content) = build(each, *sequence).map_err(IssueError::Build)?;
        let issued = Issued {
            guarantee: Guarantee {
                id: id.clone(),
                application_id: draft.application_id.clone(),
                line: draft.line,
                product: draft.product,
                medium: draft.medium,
                number,
                branch: draft.branch.clone(),
                term: draft.term.clone(),
                sequence: *sequence,
                obligee: draft.obligee.clone(),
                issued_at: now,
                current_revision: 0,
                ended_on: None,
            },
            revision: Revision {
                id: ids::revision(id, 0),
                guarantee_id: id.clone(),
                revision: 0,
                content_sha256: chained_sha256(None, &content),
                content,
                previous_sha256: None,
                drawn_at: now,
                arrived_at: None,
                completed_at: None,
                kind: Kind::New,
                target: None,
                change_id: None,
            },
            fresh: true,
        };
        guarantees.push(issued.guarantee.clone());
        revisions.push(issued.revision.clone());
        *fresh_lines.entry(&draft.application_id).or_default() += 1;
        // The same line twice in one batch: the second finds the first.
        known.insert(id.clone(), Issued { fresh: false, ..issued.clone() });
        result.push(issued);
    }

    guarantee_sequence::advance(db, &counters)?;
    guarantee::insert(db, &guarantees)?;
    revision::insert(db, &revisions)?;
    count_issued(db, &fresh_lines)?;
    Ok(result)
}

/// Reads guarantees with their certificate 新規, by guarantee id.
fn load(db: &mut Connection, ids: &[String]) -> Result<HashMap<String, Issued>> {
    let keys: Vec<_> = ids.iter().map(|id| (id.as_str(), 0)).collect();
    let rows = revision::by_keys(db, &keys)?;
    Ok(rows
        .into_iter()
        .flatten()
        .map(|(revision, guarantee)| (guarantee.id.clone(), Issued { guarantee, revision, fresh: false }))
        .collect())
}

/// One statement for all applications that gained the same number of lines.
fn count_issued(db: &mut Connection, fresh_lines: &BTreeMap<&str, i64>) -> Result<()> {
    let mut by_gain: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for (application, gain) in fresh_lines {
        by_gain.entry(*gain).or_default().push(application);
    }
    for (gain, ids) in by_gain {
        chunks::update!(db, "count issued lines", c, ids => {
            diesel::update(application::table.filter(application::id.eq_any(ids)))
                .set(application::issued_lines.eq(application::issued_lines + gain))
                .execute(c)
        })?;
    }
    Ok(())
}

//! Proves that no revision was altered or removed.

use std::collections::{BTreeMap, BTreeSet};

use hosho_schema::{
    db::{Connection, DbError},
    models::{
        chain_head::{self, ChainHead},
        guarantee::{self, Guarantee},
        guarantee_sequence,
        revision::{self, Kind, Revision, chained_sha256},
    },
    snapshots::{self, Certificate, Reversal},
};
use serde::Serialize;

use super::{Error, guarantees};
use crate::{db::Db, domain::guarantee_history::GuaranteeHistory, keys::KeyRing};

/// Guarantees read at a time.
const PAGE: i64 = 1_000;

#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub guarantees: usize,
    pub revisions: usize,
    pub faults: Vec<Finding>,
}

#[derive(Debug, Serialize)]
pub struct Finding {
    pub number: String,
    pub fault: String,
}

/// Verifies these guarantees; without a number all, and the gaps between numbers.
pub async fn verify_chain(db: &Db, keys: KeyRing, numbers: &[String]) -> Result<Report, Error> {
    let numbers = guarantees::parse_numbers(numbers)?;
    db.call(move |db| if numbers.is_empty() { Ok(all(db, &keys)?) } else { some(db, &keys, &numbers) }).await
}

fn some(db: &mut Connection, keys: &KeyRing, numbers: &[String]) -> Result<Report, Error> {
    let found = guarantees::by_numbers(db, numbers)?;
    let mut report = Report::default();
    verify(db, keys, &found, &mut report)?;
    Ok(report)
}

fn all(db: &mut Connection, keys: &KeyRing) -> Result<Report, DbError> {
    let mut report = Report::default();
    let mut present: BTreeMap<(String, String), BTreeSet<i64>> = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = guarantee::after(db, &after, PAGE)?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.id);
        for guarantee in &page {
            present
                .entry((guarantee.branch.clone(), guarantee.term.clone()))
                .or_default()
                .insert(guarantee.sequence);
        }
        verify(db, keys, &page, &mut report)?;
    }
    for ((branch, term), last) in guarantee_sequence::all(db)? {
        let present = present.remove(&(branch.clone(), term.clone())).unwrap_or_default();
        let missing = (1..=last).filter(|sequence| !present.contains(sequence));
        report.faults.extend(missing.map(|sequence| Finding {
            number: format!("{branch}{term}-{sequence:05}"),
            fault: "the number was allocated, and its guarantee is gone".to_owned(),
        }));
    }
    Ok(report)
}

fn verify(
    db: &mut Connection,
    keys: &KeyRing,
    guarantees: &[Guarantee],
    report: &mut Report,
) -> Result<(), DbError> {
    let ids: Vec<&str> = guarantees.iter().map(|guarantee| guarantee.id.as_str()).collect();
    let revisions = revision::by_guarantees(db, &ids)?;
    let heads = chain_head::by_guarantees(db, &ids)?;
    for ((guarantee, revisions), head) in guarantees.iter().zip(revisions).zip(heads) {
        report.guarantees += 1;
        report.revisions += revisions.len();
        let faults = faults(keys, guarantee, &revisions, head.as_ref());
        report
            .faults
            .extend(faults.into_iter().map(|fault| Finding { number: guarantee.number.clone(), fault }));
    }
    Ok(())
}

fn span(first: i64, last: i64) -> String {
    if first == last { format!("revision {first} was") } else { format!("revisions {first} to {last} were") }
}

fn faults(
    keys: &KeyRing,
    guarantee: &Guarantee,
    revisions: &[Revision],
    head: Option<&ChainHead>,
) -> Vec<String> {
    let mut faults = Vec::new();
    let mut previous: Option<&str> = None;
    for (place, row) in (0_i64..).zip(revisions) {
        if row.revision != place {
            faults.push(format!("revision {place} was removed"));
            return faults;
        }
        if row.previous_sha256.as_deref() != previous
            || chained_sha256(previous, &row.content) != row.content_sha256
        {
            faults.push(format!("revision {place} was altered"));
        } else if !matches_content(guarantee, row) {
            faults.push(format!("revision {place} does not match its content"));
        }
        previous = Some(&row.content_sha256);
    }
    let count = i64::try_from(revisions.len()).unwrap_or(i64::MAX);
    let Some(head) = head else {
        faults.push("the end of its chain was removed".to_owned());
        return faults;
    };
    if *head != keys.chain_head(&guarantee.id, head.revisions, &head.head_sha256) {
        let fault = "its chain is sealed with a key that is not in keys.file, or the seal was altered";
        faults.push(fault.to_owned());
    } else if head.revisions > count {
        faults.push(format!("{} removed", span(count, head.revisions - 1)));
    } else if head.revisions < count {
        faults.push(format!("{} added", span(head.revisions, count - 1)));
    } else if previous != Some(&head.head_sha256) {
        faults.push("its chain does not end where it is sealed".to_owned());
    }
    if !faults.is_empty() {
        return faults;
    }
    match GuaranteeHistory::read(revisions) {
        Err(error) => faults.push(error.to_string()),
        Ok(history)
            if history.current().map(|(revision, _)| revision) == Some(guarantee.current_revision)
                && history.ended_on().map(|day| day.to_string()) == guarantee.ended_on => {}
        Ok(_) => faults.push("the stored state of the guarantee does not match its chain".to_owned()),
    }
    faults
}

/// Whether kind, target and number of the row are those of its hashed content.
fn matches_content(guarantee: &Guarantee, row: &Revision) -> bool {
    match row.kind {
        Kind::New | Kind::Amendment | Kind::Correction => snapshots::read::<Certificate>(&row.content)
            .is_ok_and(|content| {
                let corrects = (row.kind == Kind::Correction).then_some(row.target).flatten();
                content.number == guarantee.number
                    && content.corrects == corrects
                    && (row.kind == Kind::New) == (row.revision == 0)
            }),
        Kind::Reversal => snapshots::read::<Reversal>(&row.content)
            .is_ok_and(|content| content.number == guarantee.number && Some(content.reverses) == row.target),
        Kind::Cancellation => snapshots::read::<snapshots::Cancellation>(&row.content)
            .is_ok_and(|content| content.certificate.number == guarantee.number && row.target.is_none()),
    }
}

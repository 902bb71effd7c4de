//! One guarantee: the certificates of the contractor, the history for operators.

use chrono::{DateTime, NaiveDateTime, Utc};
use hosho_schema::{
    db::Connection,
    messages::{ProductV1, ViolationV1},
    models::{
        change::{self, Change},
        document::{self, Document},
        guarantee::{self, Guarantee},
        job_run,
        revision::{self, Revision},
        run_item,
    },
    snapshots,
};
use serde::Serialize;

use super::{Error, ErrorKind};
use crate::{
    db::Db,
    domain::{
        guarantee_history::{self, GuaranteeHistory},
        labels,
        number::GuaranteeNumber,
    },
};

/// No authentication key and no personal data.
#[derive(Debug, Serialize)]
pub struct History {
    pub number: String,
    pub product: ProductV1,
    /// `in_force` or `cancelled`.
    pub state: &'static str,
    /// 解約日.
    pub ended_on: Option<String>,
    pub certificates: Vec<CertificateLine>,
    /// For operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all: Option<FullHistory>,
}

#[derive(Debug, Serialize)]
pub struct CertificateLine {
    /// No., from 1.
    pub no: usize,
    /// 対象.
    pub target: String,
    /// 電子保証発行日時.
    pub arrived_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize)]
pub struct FullHistory {
    pub revisions: Vec<RevisionLine>,
    pub changes: Vec<ChangeLine>,
    pub redrawn: Vec<RedrawnDocument>,
}

#[derive(Debug, Serialize)]
pub struct RevisionLine {
    /// Position in the chain, from 0.
    pub revision: i64,
    pub target: String,
    pub visible: bool,
    /// Whether it is in force.
    pub holds: bool,
    pub drawn_at: DateTime<Utc>,
    pub arrived_at: Option<DateTime<Utc>>,
    pub completed_at: Option<DateTime<Utc>>,
    /// The change behind it, its reason, and what hides it.
    pub why: String,
}

#[derive(Debug, Serialize)]
pub struct ChangeLine {
    pub source: String,
    pub id: String,
    pub kind: &'static str,
    pub version: Option<i64>,
    pub urgent: bool,
    pub state: &'static str,
    pub received_at: DateTime<Utc>,
    pub settled_at: Option<DateTime<Utc>>,
    /// The revision that it made.
    pub revision: Option<i64>,
    pub violations: Vec<ViolationV1>,
}

/// A document drawn again, without a new revision.
#[derive(Debug, Serialize)]
pub struct RedrawnDocument {
    pub revision: i64,
    pub target: String,
    pub document: &'static str,
    pub stored_at: DateTime<Utc>,
    pub run: String,
    pub reason: String,
    pub sha256: String,
    pub identity: String,
}

/// `current`, the certificate in force, has personal data: for the terminal only.
pub struct GuaranteeView {
    pub history: History,
    pub current: Option<snapshots::Certificate>,
}

struct Rows {
    guarantee: Guarantee,
    revisions: Vec<Revision>,
    changes: Vec<Change>,
    documents: Vec<Vec<Document>>,
    runs: Vec<job_run::Run>,
}

/// Reads a guarantee by 保証契約番号 in either width; `full` is for operators.
pub async fn history(db: &Db, number: &str, full: bool) -> Result<GuaranteeView, Error> {
    let number = parse_number(number)?;
    let rows = db.call(move |db| find(db, &number)).await?;
    let history =
        GuaranteeHistory::read(&rows.revisions).map_err(|error| Error::new(ErrorKind::Conflict, error))?;
    let current = history.current().map(|(_, certificate)| certificate.clone());
    Ok(GuaranteeView { history: build(&rows, &history, full), current })
}

/// Reads a 保証契約番号 in either width, into its normal form.
pub fn parse_number(number: &str) -> Result<String, Error> {
    GuaranteeNumber::parse(number)
        .map(|number| number.to_string())
        .map_err(|error| Error::invalid(error.to_string()))
}

pub(super) fn parse_numbers(numbers: &[String]) -> Result<Vec<String>, Error> {
    numbers.iter().map(|number| parse_number(number)).collect()
}

pub(super) fn not_found(number: &str) -> Error {
    Error::not_found(format!("there is no guarantee {number}"))
        .hint("run `hosho status`, which finds applications too")
}

/// The guarantees of these parsed numbers, in order; all must exist.
pub(super) fn by_numbers(db: &mut Connection, numbers: &[String]) -> Result<Vec<Guarantee>, Error> {
    let named: Vec<&str> = numbers.iter().map(String::as_str).collect();
    let found = guarantee::by_numbers(db, &named)?;
    named.into_iter().zip(found).map(|(number, row)| row.ok_or_else(|| not_found(number))).collect()
}

fn find(db: &mut Connection, number: &str) -> Result<Rows, Error> {
    let guarantee = guarantee::by_number(db, number)?.ok_or_else(|| not_found(number))?;
    let revisions = revision::by_guarantees(db, &[&guarantee.id])?.pop().unwrap_or_default();
    let ids: Vec<&str> = revisions.iter().map(|revision| revision.id.as_str()).collect();
    let documents = document::every(db, &ids)?;
    let changes = change::by_guarantee(db, &guarantee.id)?;
    let mut runs = Vec::new();
    for item in run_item::of_guarantee(db, &guarantee.id)? {
        runs.extend(job_run::by_id(db, &item.run_id)?);
    }
    Ok(Rows { guarantee, revisions, changes, documents, runs })
}

fn build(rows: &Rows, history: &GuaranteeHistory, full: bool) -> History {
    // A certificate is issued when it has arrived in the registry (rule 6).
    let arrived =
        |revision| rows.revisions.iter().find(|row| row.revision == revision).and_then(|row| row.arrived_at);
    let visible = history.certificates().into_iter().filter(|shown| shown.visible);
    let mut issued: Vec<_> =
        visible.filter_map(|shown| Some((shown.number, arrived(shown.revision)?))).collect();
    issued.sort_by_key(|(number, _)| *number);
    let certificate = |(no, (number, at)): (usize, (i64, NaiveDateTime))| CertificateLine {
        no,
        target: labels::revision(number),
        arrived_at: Some(at.and_utc()),
    };
    let ended_on = rows.guarantee.ended_on.clone();
    History {
        number: rows.guarantee.number.clone(),
        product: rows.guarantee.product,
        state: if ended_on.is_some() { "cancelled" } else { "in_force" },
        ended_on,
        certificates: (1..).zip(issued).map(certificate).collect(),
        all: full.then(|| full_history(rows, history)),
    }
}

fn full_history(rows: &Rows, history: &GuaranteeHistory) -> FullHistory {
    let holds = history.current().map(|(revision, _)| revision);
    let certificates = history.certificates();
    let is_visible = |revision| certificates.iter().any(|shown| shown.visible && shown.revision == revision);
    let utc = |at: Option<NaiveDateTime>| at.map(|at| at.and_utc());
    let revision = |row: &Revision| RevisionLine {
        revision: row.revision,
        target: guarantee_history::revision_label(row),
        visible: is_visible(row.revision),
        holds: holds == Some(row.revision),
        drawn_at: row.drawn_at.and_utc(),
        arrived_at: utc(row.arrived_at),
        completed_at: utc(row.completed_at),
        why: why(rows, row),
    };
    let change = |row: &Change| ChangeLine {
        source: row.source.clone(),
        id: row.upstream_id.clone(),
        kind: row.kind.as_text(),
        version: row.version,
        urgent: row.urgent,
        state: row.state.as_text(),
        received_at: row.received_at.and_utc(),
        settled_at: utc(row.settled_at),
        revision: row.revision,
        violations: super::stored_violations(row.violations.as_deref()),
    };
    let redrawn = |(row, document): (&Revision, &Document)| RedrawnDocument {
        revision: row.revision,
        target: guarantee_history::revision_label(row),
        document: document.kind.as_text(),
        stored_at: document.stored_at.and_utc(),
        run: document.run_id.clone(),
        reason: rows
            .runs
            .iter()
            .find(|run| run.id == document.run_id)
            .map(|run| run.reason.clone())
            .unwrap_or_default(),
        sha256: document.sha256.clone(),
        identity: document.identity.clone(),
    };
    let documents = rows.revisions.iter().zip(&rows.documents);
    FullHistory {
        revisions: rows.revisions.iter().map(revision).collect(),
        changes: rows.changes.iter().map(change).collect(),
        redrawn: documents
            .flat_map(|(row, documents)| documents.iter().map(move |document| (row, document)))
            .filter(|(_, document)| !document.run_id.is_empty())
            .map(redrawn)
            .collect(),
    }
}

fn why(rows: &Rows, row: &Revision) -> String {
    let mut parts = Vec::new();
    if let Some(change) = rows.changes.iter().find(|change| row.change_id.as_ref() == Some(&change.id)) {
        let version = change.version.unwrap_or_default();
        parts.push(format!("change {} of {} (version {version})", change.upstream_id, change.source));
        parts.extend(reason(change));
    }
    if let Some(later) = rows.revisions.iter().find(|later| later.target == Some(row.revision)) {
        parts.push(format!(
            "hidden by {} (revision {})",
            guarantee_history::revision_label(later),
            later.revision
        ));
    }
    parts.join("; ")
}

fn reason(change: &Change) -> Option<String> {
    match snapshots::read::<snapshots::Change>(change.snapshot.as_deref()?).ok()? {
        snapshots::Change::Correction { reason, .. }
        | snapshots::Change::AmendmentReversal { reason, .. } => Some(reason),
        snapshots::Change::Cancellation { cause, evidence, .. } => {
            let cause = labels::cancellation_cause(cause);
            Some(evidence.map_or_else(|| cause.to_owned(), |evidence| format!("{cause}: {evidence}")))
        }
        snapshots::Change::Amendment { .. } => None,
    }
}

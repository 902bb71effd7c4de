//! The result of `hosho process`: a row per product line, and every violation.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::NaiveDateTime;
use hosho_schema::{
    ids,
    messages::{ChangeEffectV1, ForeseenV1, MediumV1, ProductV1, ViolationV1},
    models::{
        application, change,
        document::{self, Kind},
        failed_message::{self, FailedMessage, Filter, OPEN},
        mail::State,
        revision,
    },
    queries::status::{self, ApplicationStatus, GuaranteeStatus, RevisionStatus},
    snapshots,
};
use serde::Serialize;

use super::super::{Error, input::Record, stored_violations};
use crate::{
    app::App,
    documents::store::Access,
    domain::{guarantee_history, labels, violation::Violation},
    mail,
    stages::{amend, validate},
};

/// Applications read from the database at a time.
const CHUNK: usize = 1_000;

pub struct Before {
    known: HashSet<String>,
    complete: HashSet<String>,
}

#[derive(Serialize)]
pub struct Report {
    pub guarantees: Vec<Issued>,
    pub changes: Vec<Changed>,
    pub rejected: Vec<Rejected>,
    pub failed: Vec<Failed>,
    pub summary: Summary,
}

#[derive(Serialize, Default)]
pub struct Summary {
    pub read: usize,
    pub issued: usize,
    pub unchanged: usize,
    pub changes: usize,
    pub rejected: usize,
    pub failed: usize,
    pub unfinished: usize,
    /// Messages that an earlier run had left, published first.
    pub resumed: usize,
    #[serde(skip)]
    pub fresh: bool,
}

#[derive(Serialize)]
pub struct Issued {
    pub source: String,
    pub id: String,
    pub line: i64,
    pub product: ProductV1,
    pub medium: MediumV1,
    pub number: String,
    pub revision: i64,
    pub certificate: Option<PathBuf>,
    pub notice: Option<PathBuf>,
    pub mail: &'static str,
    pub mail_file: Option<PathBuf>,
    /// `issued`, `unchanged` or `unfinished`.
    pub result: &'static str,
}

#[derive(Serialize)]
pub struct Changed {
    pub source: String,
    pub id: String,
    pub kind: &'static str,
    pub number: String,
    pub version: i64,
    /// `pending`, `effective`, `unchanged` or `refused`.
    pub state: &'static str,
    pub what: String,
    pub certificate: Option<PathBuf>,
    pub notice: Option<PathBuf>,
}

#[derive(Serialize)]
pub struct Rejected {
    pub place: String,
    pub source: String,
    pub id: String,
    pub violations: Vec<ViolationV1>,
}

#[derive(Serialize)]
pub struct Failed {
    pub stage: String,
    pub what: String,
    pub code: String,
    pub text: String,
    /// For `hosho failed show`.
    pub message: String,
}

/// Reads the stored ids of these records before they are processed.
pub async fn known(app: &Arc<App>, records: &[Record]) -> Result<Before, Error> {
    let found = read(app, records).await?;
    let guarantees = found.values().flat_map(|found| &found.guarantees);
    let revisions = guarantees.flat_map(|guarantee| &guarantee.revisions).map(|each| &each.revision);
    let complete = revisions.filter(|revision| revision.completed_at.is_some());
    Ok(Before {
        complete: complete.map(|revision| revision.id.clone()).collect(),
        known: found.into_keys().collect(),
    })
}

async fn read(app: &Arc<App>, records: &[Record]) -> Result<HashMap<String, ApplicationStatus>, Error> {
    let ids: Vec<String> = records
        .iter()
        .filter_map(Record::identity)
        .map(|(source, id)| ids::application(&source, &id))
        .collect();
    let found = app.with_database("cannot read the results", move |db| {
        let mut all = HashMap::new();
        for chunk in ids.chunks(CHUNK) {
            let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
            let rows = status::status(db, &chunk)?.into_iter().flatten();
            all.extend(rows.map(|row| (row.application.id.clone(), row)));
        }
        Ok(all)
    });
    Ok(found.await?)
}

/// Reads the result, and gives every PDF a readable name.
pub async fn gather(
    app: &Arc<App>,
    records: &[Record],
    before: &Before,
    began: NaiveDateTime,
    resumed: usize,
    out: &Path,
) -> Result<Report, Error> {
    let found = read(app, records).await?;
    let failures = app
        .with_database("cannot read the failed messages", move |db| {
            let filter = Filter { since: Some(began), states: OPEN.to_vec(), ..Filter::default() };
            failed_message::list(db, &filter, i64::MAX, None)
        })
        .await?;
    let mut report = Report {
        guarantees: Vec::new(),
        changes: Vec::new(),
        rejected: Vec::new(),
        failed: failures.iter().rev().map(|row| failed(row, records)).collect(),
        summary: Summary { read: records.len(), resumed, ..Summary::default() },
    };
    let mut seen = HashSet::new();
    for record in records.iter().filter(|record| !record.is_change()) {
        let Some((source, id)) = record.identity() else { continue };
        let Some(status) = found.get(&ids::application(&source, &id)) else { continue };
        let application = &status.application;
        if validate::content_sha256(&record.payload)
            .is_some_and(|sha256| sha256 != application.payload_sha256)
        {
            // The row is that of the other application with this id; the stage answered by an event.
            let violations = vec![Violation::id_reused(&source, &id).into()];
            report.rejected.push(rejected(record, source, id, violations));
            continue;
        }
        if !seen.insert(&application.id) {
            continue;
        }
        report.summary.fresh |= !before.known.contains(&application.id);
        if application.status == application::Status::Rejected {
            let violations = stored_violations(application.violations.as_deref());
            report.rejected.push(rejected(record, source, id, violations));
            continue;
        }
        for GuaranteeStatus { guarantee, revisions, .. } in &status.guarantees {
            let new = revisions.iter().filter(|revision| revision.revision.kind == revision::Kind::New);
            for revision in new {
                report.guarantees.push(Issued {
                    source: source.clone(),
                    id: id.clone(),
                    line: guarantee.line,
                    product: guarantee.product,
                    medium: guarantee.medium,
                    number: guarantee.number.clone(),
                    revision: revision.revision.revision,
                    certificate: written(app, out, revision, Kind::Certificate, &guarantee.number).await?,
                    notice: written(app, out, revision, Kind::Notice, &guarantee.number).await?,
                    mail: mail_state(revision),
                    mail_file: mail_file(out, revision),
                    result: match revision.revision.completed_at {
                        None => "unfinished",
                        Some(_) if before.complete.contains(&revision.revision.id) => "unchanged",
                        Some(_) => "issued",
                    },
                });
            }
        }
        let waiting = application.lines - i64::try_from(status.guarantees.len()).unwrap_or(0);
        report.summary.unfinished += usize::try_from(waiting).unwrap_or(0);
    }
    changes(app, records, out, &mut report).await?;
    let count = |result| report.guarantees.iter().filter(|line| line.result == result).count();
    report.summary.issued = count("issued");
    report.summary.unchanged = count("unchanged");
    report.summary.unfinished += count("unfinished");
    report.summary.rejected = report.rejected.len();
    report.summary.changes = report.changes.len();
    report.summary.failed = report.failed.len();
    Ok(report)
}

/// Adds the changes among the records, and gives their documents names.
async fn changes(app: &Arc<App>, records: &[Record], out: &Path, report: &mut Report) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for record in records.iter().filter(|record| record.is_change()) {
        let Some((id, sha256)) = amend::identity(&record.payload).filter(|(id, _)| seen.insert(id.clone()))
        else {
            continue;
        };
        let found = app.with_database("cannot read the results", move |db| {
            let Some(row) = change::by_ids(db, &[&id])?.pop().flatten() else { return Ok(None) };
            let Some(key) = row.guarantee_id.as_deref().zip(row.revision) else {
                return Ok(Some((row, None)));
            };
            let Some((revision, _)) = revision::by_keys(db, &[key])?.pop().flatten() else {
                return Ok(Some((row, None)));
            };
            let documents = document::by_revisions(db, &[&revision.id])?.pop().unwrap_or_default();
            Ok(Some((row, Some(RevisionStatus { revision, documents, mails: Vec::new() }))))
        });
        let Some((row, made)) = found.await? else { continue };
        let refused = |violations| rejected(record, row.source.clone(), row.upstream_id.clone(), violations);
        if row.payload_sha256 != sha256 {
            let violation = Violation::change_id_reused(&row.source, &row.upstream_id).into();
            report.rejected.push(refused(vec![violation]));
            continue;
        }
        if matches!(row.state, change::State::Rejected | change::State::Refused) {
            report.rejected.push(refused(stored_violations(row.violations.as_deref())));
            continue;
        }
        let number = row.number.clone().unwrap_or_default();
        let foreseen = || {
            let foreseen: ForeseenV1 = snapshots::read(row.foreseen.as_deref()?).ok()?;
            let revision = labels::revision(foreseen.revision.unwrap_or_default());
            Some(match foreseen.effect {
                ChangeEffectV1::NoReissue => "no re-issue needed".to_owned(),
                ChangeEffectV1::Cancellation => "解約".to_owned(),
                ChangeEffectV1::Reversal => format!("{revision}の取消"),
                ChangeEffectV1::Reissue => revision,
            })
        };
        let (mut certificate, mut notice) = (None, None);
        if let Some(made) = &made {
            // A revision has one or the other.
            for kind in [Kind::Certificate, Kind::Cancellation] {
                certificate = certificate.or(written(app, out, made, kind, &number).await?);
            }
            notice = written(app, out, made, Kind::Notice, &number).await?;
        }
        report.changes.push(Changed {
            source: row.source.clone(),
            id: row.upstream_id.clone(),
            kind: row.kind.as_text(),
            version: row.version.unwrap_or_default(),
            state: row.state.as_text(),
            what: made
                .as_ref()
                .map(|made| guarantee_history::revision_label(&made.revision))
                .or_else(foreseen)
                .unwrap_or_default(),
            certificate,
            notice,
            number,
        });
    }
    Ok(())
}

fn rejected(record: &Record, source: String, id: String, violations: Vec<ViolationV1>) -> Rejected {
    Rejected { place: record.place.clone(), source, id, violations }
}

fn failed(row: &FailedMessage, records: &[Record]) -> Failed {
    let record = records.iter().find(|record| record.payload == row.payload);
    let what = record.map(|record| &record.place).or(row.correlation_id.as_ref());
    Failed {
        stage: row.stage.clone(),
        what: what.cloned().unwrap_or_default(),
        code: row.code.clone(),
        text: row.text.clone(),
        message: row.id.clone(),
    }
}

/// Writes a document to `<kind>s/<number>.pdf`, for the user of `--out`.
async fn written(
    app: &App,
    out: &Path,
    revision: &RevisionStatus,
    kind: Kind,
    number: &str,
) -> Result<Option<PathBuf>, Error> {
    let Some(document) = revision.documents.iter().find(|document| document.kind == kind) else {
        return Ok(None);
    };
    let folder = out.join(format!("{}s", kind.as_text()));
    let place = revision.revision.revision;
    let number_of_change = || {
        snapshots::read(&revision.revision.content)
            .map_or(place, |content: snapshots::Certificate| content.revision)
    };
    let suffix = match revision.revision.kind {
        revision::Kind::New | revision::Kind::Reversal | revision::Kind::Cancellation => String::new(),
        revision::Kind::Amendment => format!("-{}", number_of_change()),
        revision::Kind::Correction => format!("-{}-corrected-{place}", number_of_change()),
    };
    let file = folder.join(format!("{number}{suffix}.pdf"));
    let access = Access { reader: "process", reason: "a file for the user of --out" };
    let bytes = app.documents.read_notice(document, access).await.map_err(Error::unavailable)?;
    if std::fs::read(&file).is_ok_and(|found| found == *bytes) {
        return Ok(Some(file));
    }
    write_private(&folder, &file, &bytes)
        .map_err(|error| Error::unavailable(error).context(format!("cannot write {}", file.display())))?;
    Ok(Some(file))
}

/// Writes a file that only its owner can read, whole or not at all.
fn write_private(folder: &Path, file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::{io::Write as _, os::unix::fs::DirBuilderExt as _};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut draft = tempfile::NamedTempFile::new_in(folder)?;
    draft.write_all(bytes)?;
    draft.persist(file).map_err(|failed| failed.error)?;
    Ok(())
}

fn mail_state(revision: &RevisionStatus) -> &'static str {
    match revision.mails.first().map(|mail| mail.state) {
        None => "not wanted",
        Some(State::Accepted) => "written",
        Some(State::Pending | State::Sending) => "waiting",
        Some(State::Rejected) => "refused",
        Some(State::Unknown) => "unknown",
    }
}

fn mail_file(out: &Path, revision: &RevisionStatus) -> Option<PathBuf> {
    let written = revision.mails.first().filter(|mail| mail.state == State::Accepted)?;
    Some(out.join("mail").join(mail::file_name(&written.message_id)))
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.summary.rejected + self.summary.failed + self.summary.unfinished == 0
    }
}

//! What `hosho process` tells at the end: one row per product line, and every violation of what was rejected.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use chrono::NaiveDateTime;
use hosho_schema::{
    ids,
    messages::{ChangeEffectV1, ForeseenV1, MediumV1, ProductV1, ViolationV1},
    models::{
        application::{self, Application},
        certificate::{self, Kind as Made},
        change,
        document::{self, Kind},
        failed_message::{self, FailedMessage, Filter, OPEN},
        mail::State,
        status::{self, ApplicationStatus, CertificateStatus},
    },
    snapshots,
};
use serde::Serialize;

use super::super::{Failure, input::Record, print, print_json, printable, table};
use crate::{
    assembly::Services,
    domain::{guarantee_history, labels, violation::Violation},
    mail,
    stages::{amend, validate},
};

/// Applications read from the database at a time.
const CHUNK: usize = 1_000;

/// What the database knew before the run.
pub(super) struct Before {
    known: HashSet<String>,
    complete: HashSet<String>,
}

/// The result of a run.
#[derive(Serialize)]
pub(super) struct Report {
    guarantees: Vec<Issued>,
    changes: Vec<Changed>,
    rejected: Vec<Rejected>,
    failed: Vec<Failed>,
    summary: Summary,
}

#[derive(Serialize, Default)]
struct Summary {
    read: usize,
    issued: usize,
    unchanged: usize,
    changes: usize,
    rejected: usize,
    failed: usize,
    unfinished: usize,
    /// Pieces of work an earlier run had left, taken up first.
    resumed: usize,
    /// Whether an application was decided that was not known before.
    #[serde(skip)]
    fresh: bool,
}

#[derive(Serialize)]
struct Issued {
    source: String,
    id: String,
    line: i64,
    product: ProductV1,
    medium: MediumV1,
    number: String,
    revision: i64,
    certificate: Option<PathBuf>,
    notice: Option<PathBuf>,
    mail: &'static str,
    mail_file: Option<PathBuf>,
    /// `issued`, `unchanged` or `unfinished`.
    result: &'static str,
}

/// A change of a guarantee that was accepted.
#[derive(Serialize)]
struct Changed {
    source: String,
    id: String,
    kind: &'static str,
    number: String,
    version: i64,
    /// `pending`, `effective`, `unchanged` or `refused`.
    state: &'static str,
    /// What was made of it, or is foreseen.
    what: String,
    certificate: Option<PathBuf>,
    notice: Option<PathBuf>,
}

#[derive(Serialize)]
struct Rejected {
    place: String,
    source: String,
    id: String,
    violations: Vec<ViolationV1>,
}

#[derive(Serialize)]
struct Failed {
    stage: String,
    what: String,
    code: String,
    text: String,
    /// For `hosho failed show`.
    message: String,
}

/// Reads what is known of the records before anything is done.
pub(super) async fn known(services: &Arc<Services>, records: &[Record]) -> Result<Before, Failure> {
    let mut before = Before { known: HashSet::new(), complete: HashSet::new() };
    for found in read(services, records).await?.into_values() {
        before.known.insert(found.application.id.clone());
        let certificates = found.guarantees.iter().flat_map(|guarantee| &guarantee.certificates);
        before.complete.extend(
            certificates
                .filter(|each| each.certificate.completed_at.is_some())
                .map(|each| each.certificate.id.clone()),
        );
    }
    Ok(before)
}

async fn read(
    services: &Arc<Services>,
    records: &[Record],
) -> Result<HashMap<String, ApplicationStatus>, Failure> {
    let ids: Vec<String> = records
        .iter()
        .filter_map(Record::identity)
        .map(|(source, id)| ids::application(&source, &id))
        .collect();
    let found = services
        .with_database("cannot read the results", move |db| {
            let mut all = HashMap::new();
            for chunk in ids.chunks(CHUNK) {
                let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
                let rows = status::status(db, &chunk)?.into_iter().flatten();
                all.extend(rows.map(|row| (row.application.id.clone(), row)));
            }
            Ok(all)
        })
        .await?;
    Ok(found)
}

/// Gathers the result, and gives every PDF a name a person can find.
pub(super) async fn gather(
    services: &Arc<Services>,
    records: &[Record],
    before: &Before,
    began: NaiveDateTime,
    resumed: usize,
    out: &Path,
) -> Result<Report, Failure> {
    let found = read(services, records).await?;
    let failures = services
        .with_database("cannot read what failed", move |db| {
            let filter = Filter { since: Some(began), states: OPEN.to_vec(), ..Filter::default() };
            failed_message::list(db, &filter, i64::MAX, 0)
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
    for record in records {
        let Some((source, id)) = record.identity() else { continue };
        let Some(status) = found.get(&ids::application(&source, &id)).filter(|_| !record.is_change()) else {
            continue;
        };
        if validate::content_sha256(&record.payload)
            .is_some_and(|sha256| sha256 != status.application.payload_sha256)
        {
            // The stage answered it so by event; the row, and what is told of it below, is the other application's.
            report.rejected.push(rejected(
                record,
                &status.application,
                vec![Violation::id_reused(&source, &id).into()],
            ));
            continue;
        }
        if !seen.insert(status.application.id.clone()) {
            continue;
        }
        report.summary.fresh |= !before.known.contains(&status.application.id);
        if status.application.status == application::Status::Rejected {
            let violations = status
                .application
                .violations
                .as_deref()
                .and_then(|text| snapshots::read(text).ok())
                .unwrap_or_default();
            report.rejected.push(rejected(record, &status.application, violations));
            continue;
        }
        for guarantee in &status.guarantees {
            for revision in
                guarantee.certificates.iter().filter(|revision| revision.certificate.kind == Made::New)
            {
                let complete = revision.certificate.completed_at.is_some();
                let result = match complete {
                    true if before.complete.contains(&revision.certificate.id) => "unchanged",
                    true => "issued",
                    false => "unfinished",
                };
                let number = &guarantee.guarantee.number;
                let line = Issued {
                    source: status.application.source.clone(),
                    id: status.application.upstream_id.clone(),
                    line: guarantee.guarantee.line,
                    product: guarantee.guarantee.product,
                    medium: guarantee.guarantee.medium,
                    number: number.clone(),
                    revision: revision.certificate.revision,
                    certificate: named(out, revision, Kind::Certificate, number)?,
                    notice: named(out, revision, Kind::Notice, number)?,
                    mail: mail_state(revision),
                    mail_file: mail_file(out, revision),
                    result,
                };
                report.guarantees.push(line);
            }
        }
        let waiting = status.application.lines - i64::try_from(status.guarantees.len()).unwrap_or(0);
        report.summary.unfinished += usize::try_from(waiting).unwrap_or(0);
    }
    changes(services, records, out, &mut report).await?;
    let count = |result| report.guarantees.iter().filter(|line| line.result == result).count();
    report.summary.issued = count("issued");
    report.summary.unchanged = count("unchanged");
    report.summary.unfinished += count("unfinished");
    report.summary.rejected = report.rejected.len();
    report.summary.changes = report.changes.len();
    report.summary.failed = report.failed.len();
    Ok(report)
}

/// Tells what became of the changes among the records, and names the documents they made.
async fn changes(
    services: &Arc<Services>,
    records: &[Record],
    out: &Path,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    for record in records.iter().filter(|record| record.is_change()) {
        let Some((id, sha256)) = amend::identity(&record.payload).filter(|(id, _)| seen.insert(id.clone()))
        else {
            continue;
        };
        let found = services
            .with_database("cannot read the results", move |db| {
                let Some(row) = change::by_ids(db, &[&id])?.pop().flatten() else { return Ok(None) };
                let key = row.guarantee_id.as_deref().zip(row.revision);
                let made = match key {
                    Some(key) => {
                        certificate::by_keys(db, &[key])?.pop().flatten().map(|(revision, _)| revision)
                    }
                    None => None,
                };
                let made = match made {
                    Some(certificate) => {
                        let documents =
                            document::by_certificates(db, &[&certificate.id])?.pop().unwrap_or_default();
                        Some(CertificateStatus { certificate, documents, mails: Vec::new() })
                    }
                    None => None,
                };
                Ok(Some((row, made)))
            })
            .await?;
        let Some((row, made)) = found else { continue };
        let violations =
            || row.violations.as_deref().and_then(|text| snapshots::read(text).ok()).unwrap_or_default();
        let refused = |violations| Rejected {
            place: record.place.clone(),
            source: row.source.clone(),
            id: row.upstream_id.clone(),
            violations,
        };
        if row.payload_sha256 != sha256 {
            report
                .rejected
                .push(refused(vec![Violation::change_id_reused(&row.source, &row.upstream_id).into()]));
            continue;
        }
        if matches!(row.state, change::State::Rejected | change::State::Refused) {
            report.rejected.push(refused(violations()));
            continue;
        }
        let number = row.number.clone().unwrap_or_default();
        let foreseen = || {
            let foreseen: Option<ForeseenV1> =
                row.foreseen.as_deref().and_then(|text| snapshots::read(text).ok());
            foreseen.map(|foreseen| match (foreseen.effect, foreseen.revision) {
                (ChangeEffectV1::NoReissue, _) => "no re-issue needed".to_owned(),
                (ChangeEffectV1::Cancellation, _) => "解約".to_owned(),
                (ChangeEffectV1::Reversal, revision) => {
                    format!("{}の取消", labels::revision(revision.unwrap_or_default()))
                }
                (ChangeEffectV1::Reissue, revision) => labels::revision(revision.unwrap_or_default()),
            })
        };
        let name = |kind| made.as_ref().map_or(Ok(None), |made| named(out, made, kind, &number));
        let (certificate, letter, notice) =
            (name(Kind::Certificate)?, name(Kind::Cancellation)?, name(Kind::Notice)?);
        report.changes.push(Changed {
            source: row.source.clone(),
            id: row.upstream_id.clone(),
            kind: row.kind.as_text(),
            version: row.version.unwrap_or_default(),
            state: row.state.as_text(),
            what: made
                .as_ref()
                .map(|made| guarantee_history::revision_label(&made.certificate))
                .or_else(foreseen)
                .unwrap_or_default(),
            certificate: certificate.or(letter),
            notice,
            number,
        });
    }
    Ok(())
}

fn rejected(record: &Record, application: &Application, violations: Vec<ViolationV1>) -> Rejected {
    Rejected {
        place: record.place.clone(),
        source: application.source.clone(),
        id: application.upstream_id.clone(),
        violations,
    }
}

fn failed(row: &FailedMessage, records: &[Record]) -> Failed {
    let place =
        records.iter().find(|record| record.payload == row.payload).map(|record| record.place.clone());
    Failed {
        stage: row.stage.clone(),
        what: place.or_else(|| row.correlation_id.clone()).unwrap_or_default(),
        code: row.code.clone(),
        text: row.text.clone(),
        message: row.id.clone(),
    }
}

/// `<kind>s/<number>.pdf` beside the content-addressed store: a second name of the same file.
fn named(
    out: &Path,
    revision: &CertificateStatus,
    kind: Kind,
    number: &str,
) -> Result<Option<PathBuf>, Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let Some(document) = revision.documents.iter().find(|document| document.kind == kind) else {
        return Ok(None);
    };
    let folder = out.join(match kind {
        Kind::Certificate => "certificates",
        Kind::Notice => "notices",
        Kind::Cancellation => "cancellations",
    });
    let place = revision.certificate.revision;
    let number_of_change = || {
        snapshots::read(&revision.certificate.content)
            .map_or(place, |content: snapshots::Certificate| content.revision)
    };
    let suffix = match revision.certificate.kind {
        Made::New | Made::Reversal | Made::Cancellation => String::new(),
        Made::Amendment => format!("-{}", number_of_change()),
        Made::Correction => format!("-{}-corrected-{place}", number_of_change()),
    };
    let name = folder.join(format!("{number}{suffix}.pdf"));
    let linked = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .and_then(|()| link(&out.join("documents").join(&document.location), &name));
    linked.map_err(|error| {
        Failure::unavailable(anyhow::Error::new(error).context(format!("cannot name {}", name.display())))
    })?;
    Ok(Some(name))
}

/// Gives a file a second name; one that stands for another file is replaced in one step.
fn link(file: &Path, name: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let stored = std::fs::metadata(file)?;
    if std::fs::metadata(name).is_ok_and(|found| (found.dev(), found.ino()) == (stored.dev(), stored.ino())) {
        return Ok(());
    }
    let draft = name.with_extension("draft");
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::hard_link(file, &draft)?;
    std::fs::rename(&draft, name)
}

fn mail_state(revision: &CertificateStatus) -> &'static str {
    match revision.mails.first().map(|mail| mail.state) {
        None => "not wanted",
        Some(State::Accepted) => "written",
        Some(State::Pending | State::Sending) => "waiting",
        Some(State::Rejected) => "refused",
        Some(State::Unknown) => "unknown",
    }
}

fn mail_file(out: &Path, revision: &CertificateStatus) -> Option<PathBuf> {
    let written = revision.mails.first().filter(|mail| mail.state == State::Accepted)?;
    Some(out.join("mail").join(mail::file_name(&written.message_id)))
}

impl Report {
    /// Prints it, and gives the exit code.
    pub(super) fn print(&self, json: bool) -> Result<ExitCode, Failure> {
        if json {
            print_json(self)?;
        } else {
            self.tell();
        }
        let summary = &self.summary;
        Ok(ExitCode::from(u8::from(summary.rejected + summary.failed + summary.unfinished > 0)))
    }

    fn tell(&self) {
        if !self.guarantees.is_empty() {
            let mut table = table(["application", "product", "number", "notice", "mail", ""]);
            for line in &self.guarantees {
                let notice =
                    line.notice.as_ref().map_or_else(|| "-".to_owned(), |path| path.display().to_string());
                let product = format!("{} {}", labels::product(line.product), labels::medium(line.medium));
                table.add_row([
                    printable(&line.id),
                    product,
                    line.number.clone(),
                    notice,
                    line.mail.to_owned(),
                    line.result.to_owned(),
                ]);
            }
            print(table);
        }
        if !self.changes.is_empty() {
            let mut table = table(["change", "number", "version", "what", "state", "certificate"]);
            for line in &self.changes {
                let certificate = line
                    .certificate
                    .as_ref()
                    .map_or_else(|| "-".to_owned(), |path| path.display().to_string());
                let state = if line.state == "pending" { "waits for the night" } else { line.state };
                table.add_row([
                    printable(&line.id),
                    line.number.clone(),
                    line.version.to_string(),
                    line.what.clone(),
                    state.to_owned(),
                    certificate,
                ]);
            }
            print(table);
        }
        for rejected in &self.rejected {
            print(format!("\nrejected  {} ({})", printable(&rejected.id), printable(&rejected.place)));
            for violation in &rejected.violations {
                print(format!("  {}  {}", violation.code, printable(&violation.path)));
                print(format!("    {}", printable(&violation.message_ja)));
                print(format!("    {}", printable(&violation.message_en)));
            }
        }
        for failed in &self.failed {
            print(format!(
                "\nfailed in {}  {}  {}\n  {}",
                failed.stage,
                printable(&failed.what),
                failed.code,
                printable(&failed.text)
            ));
        }
        print(self.summary.line());
    }
}

impl Summary {
    fn line(&self) -> String {
        use std::fmt::Write as _; // writing to a String cannot fail
        let what = if self.changes > 0 { "messages" } else { "applications" };
        let mut line = format!(
            "\n{} {what} read: {} guarantees issued, {} unchanged, {} rejected, {} failed",
            self.read, self.issued, self.unchanged, self.rejected, self.failed
        );
        if self.changes > 0 {
            let _ = write!(line, ", {} changes accepted", self.changes);
        }
        if self.unfinished > 0 {
            let _ = write!(line, ", {} unfinished (run again)", self.unfinished);
        }
        if self.resumed > 0 {
            let _ = write!(line, "; {} pieces of work of an earlier run were taken up", self.resumed);
        }
        let known = self.unchanged + self.rejected > 0 && self.issued + self.unfinished + self.resumed == 0;
        if known && !self.fresh {
            line.push_str(". Nothing was changed: all of it was known before.");
        }
        line
    }
}

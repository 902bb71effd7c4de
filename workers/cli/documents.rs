//! `hosho documents verify`

use std::{collections::BTreeMap, process::ExitCode, sync::Arc};

use hosho_schema::{
    db::{DbError, Pool},
    models::{
        authentication_key,
        document::{self, Document, Kind},
        guarantee::{self, Guarantee},
        revision::{self, Revision},
    },
};
use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Error, existing, print, print_json, printable, process};
use crate::{
    app,
    config::Config,
    documents::{
        revision::{Each, RevisionRenderer, Sealed},
        store::{DocumentStore, StoreError},
    },
    domain::number::GuaranteeNumber,
    fault::Fault,
    hex::hex,
};

/// Certificates looked at together.
const PAGE: usize = 256;

/// Prove that documents are what was issued
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho documents verify 31075-00001M
  hosho documents verify --all --json")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// Read documents back, draw them again from the database, and compare byte for byte
    #[command(after_help = "Examples:
  hosho documents verify 31075-00001M
  hosho documents verify --all --json
  hosho documents verify --all --out hosho-out   what `hosho process` left in a folder

Results:
  same        stored as it was drawn, and drawn again to the same bytes
  intact      stored as it was drawn; drawn again it differs, as it may: another program, other fonts, templates or settings
              drew it (--strict takes that for a failure)
  different   stored as it was drawn, but what the database says gives another document now
  damaged     the stored bytes are not those that were drawn
  missing     there is no such file
  unrecorded  the certificate has arrived, and the database knows no such document
  undrawable  it cannot be drawn again

Exit code 1 when a document is none of `same` and `intact`.")]
    Verify {
        /// 保証契約番号 (full-width is fine)
        #[arg(value_name = "NUMBER", required_unless_present = "all", conflicts_with = "all")]
        numbers: Vec<String>,
        /// Every document there is
        #[arg(long)]
        all: bool,
        /// A folder of `hosho process` instead of database.url, documents.url and keys.file
        #[arg(long, value_name = "FOLDER")]
        out: Option<std::path::PathBuf>,
        /// Exit code 1 also for `intact`
        #[arg(long)]
        strict: bool,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
}

impl Args {
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Error> {
        let Sub::Verify { out, .. } = &self.command;
        out.as_deref().map_or(Ok(Vec::new()), super::database_of)
    }
}

/// What became of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Same,
    Intact,
    Different,
    Damaged,
    Missing,
    Unrecorded,
    Undrawable,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Intact => "intact",
            Self::Different => "different",
            Self::Damaged => "damaged",
            Self::Missing => "missing",
            Self::Unrecorded => "unrecorded",
            Self::Undrawable => "undrawable",
        }
    }

    const fn is_good(self) -> bool {
        matches!(self, Self::Same | Self::Intact)
    }
}

#[derive(Debug, Serialize)]
struct Finding {
    number: String,
    revision: i64,
    document: &'static str,
    verdict: Verdict,
    /// In the document store; nothing when the database knows none.
    location: Option<String>,
    /// Why it cannot be drawn again.
    problem: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    counts: BTreeMap<Verdict, u64>,
    /// Those asked for by number; of all, only those that are not as they should be.
    documents: Vec<Finding>,
}

/// What there must be of a certificate, drawn again: kind, and SHA-256 or why there is none.
type Again = Result<Each<String>, Fault>;

/// A certificate, its documents as recorded, and the sealed key.
struct Case {
    revision: Revision,
    guarantee: Guarantee,
    documents: Vec<Document>,
    sealed: Option<Sealed>,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let Sub::Verify { numbers, all, strict, json, .. } = args.command;
    existing(&config)?;
    let pool = app::pool(&config)?;
    let documents = app::documents(&config)?;
    if config.keys.ring.is_none() && !config.keys.file.exists() {
        // Looking must not make a key.
        return Err(Error::configuration(anyhow::anyhow!("keys.file {} does not exist", config.keys.file.display()))
            .hint("notices are drawn with the keys that sealed their authentication keys: give the ring that was used"));
    }
    let keys = app::keys(&config.keys)?;
    let drawing = RevisionRenderer::new(Arc::new(app::press(&config)?), Arc::new(keys), config.registry.url);
    let mut report = Report::default();
    if all {
        let pool_of_count = pool.clone();
        let total = blocking(move || revision::arrived(&mut pool_of_count.get()?)).await?;
        let bar = process::bar(u64::try_from(total).unwrap_or(0), "certificates");
        let mut after = String::new();
        loop {
            let (pool, from) = (pool.clone(), after.clone());
            let page = blocking(move || page(&pool, &from)).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.revision.id);
            bar.inc(page.len() as u64);
            look_at(page, &documents, &drawing, &mut report, false).await?;
        }
        bar.finish_and_clear();
    } else {
        let found = blocking(move || numbered(&pool, &numbers)).await??;
        look_at(found, &documents, &drawing, &mut report, true).await?;
    }
    let bad: u64 = report
        .counts
        .iter()
        .filter(|(verdict, _)| !verdict.is_good() || (strict && **verdict == Verdict::Intact))
        .map(|(_, count)| count)
        .sum();
    if json {
        print_json(&report)?;
    } else {
        tell(&report);
    }
    Ok(ExitCode::from(u8::from(bad > 0)))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DbError> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(Error::unavailable)?.map_err(Error::unavailable)
}

/// The next page of all certificates.
fn page(pool: &Pool, after: &str) -> Result<Vec<Case>, DbError> {
    let found = revision::arrived_after(&mut pool.get()?, after, i64::try_from(PAGE).unwrap_or(i64::MAX))?;
    cases(pool, found)
}

/// All revisions of guarantees by their numbers.
fn numbered(pool: &Pool, numbers: &[String]) -> Result<Result<Vec<Case>, Error>, DbError> {
    let mut found = Vec::new();
    for number in numbers {
        let normal =
            GuaranteeNumber::parse(number).map_or_else(|_| number.clone(), |number| number.to_string());
        let mut db = pool.get()?;
        let Some(guarantee) = guarantee::by_number(&mut db, &normal)? else {
            return Ok(Err(Error::conflict(anyhow::anyhow!("there is no guarantee {}", printable(number)))
                .hint("give a 保証契約番号")));
        };
        let revisions = revision::by_guarantees(&mut db, &[&guarantee.id])?.into_iter().flatten();
        found.extend(
            revisions
                .filter(|revision| revision.arrived_at.is_some())
                .map(|revision| (revision, guarantee.clone())),
        );
    }
    cases(pool, found).map(Ok)
}

fn cases(pool: &Pool, found: Vec<(Revision, Guarantee)>) -> Result<Vec<Case>, DbError> {
    let mut db = pool.get()?;
    let revisions: Vec<&str> = found.iter().map(|(revision, _)| revision.id.as_str()).collect();
    let guarantees: Vec<&str> = found.iter().map(|(_, guarantee)| guarantee.id.as_str()).collect();
    let documents = document::by_revisions(&mut db, &revisions)?;
    let sealed = authentication_key::by_guarantees(&mut db, &guarantees)?;
    let rows = found.into_iter().zip(documents).zip(sealed);
    Ok(rows
        .map(|(((revision, guarantee), documents), key)| Case {
            revision,
            guarantee,
            documents,
            sealed: key.map(|key| (key.data_key_id, key.sealed)),
        })
        .collect())
}

/// Reads the stored bytes, draws again in parallel, and notes what differs; everything when `every`.
async fn look_at(
    cases: Vec<Case>,
    store: &DocumentStore,
    drawing: &RevisionRenderer,
    report: &mut Report,
    every: bool,
) -> Result<(), Error> {
    let identity = drawing.identity();
    let drawing = drawing.clone();
    let hashed = |(kind, drawn): (Kind, Result<Vec<u8>, Fault>)| {
        (kind, drawn.map(|bytes| hex(&Sha256::digest(&bytes))))
    };
    let task = tokio::task::spawn_blocking(move || -> Vec<(Case, Again)> {
        let draw = |case: Case| {
            let drawn = drawing.each(&case.revision, case.sealed.as_ref());
            (case, drawn.map(|drawn| drawn.into_iter().map(hashed).collect()))
        };
        cases.into_par_iter().map(draw).collect()
    });
    let drawn = task.await.map_err(Error::unavailable)?;
    let stored =
        drawn.iter().flat_map(|(case, _)| &case.documents).map(|document| store.get(&document.location));
    let mut stored = futures_util::future::join_all(stored).await.into_iter();
    for (case, again) in drawn {
        let found = case.documents.iter().zip(stored.by_ref()).collect::<Vec<_>>();
        for (document, bytes) in found {
            let (verdict, problem) = judged(document, bytes, &again, document.identity == identity)?;
            report.note(&case, document.kind, verdict, Some(&document.location), problem, every);
        }
        let expected = again.iter().flatten().map(|(kind, _)| *kind);
        for kind in expected.filter(|kind| case.documents.iter().all(|document| document.kind != *kind)) {
            report.note(&case, kind, Verdict::Unrecorded, None, None, every);
        }
        if again.is_err() && case.documents.is_empty() {
            report.note(&case, Kind::Certificate, Verdict::Unrecorded, None, None, every);
        }
    }
    Ok(())
}

/// What has become of a document: its bytes as they are stored, and drawn again. `is_ours` when it was drawn with what there is
/// now.
fn judged(
    document: &Document,
    stored: Result<Vec<u8>, StoreError>,
    again: &Again,
    is_ours: bool,
) -> Result<(Verdict, Option<String>), Error> {
    match stored {
        Ok(bytes) if hex(&Sha256::digest(&bytes)) == document.sha256 => {}
        Err(StoreError::Missing { .. }) => return Ok((Verdict::Missing, None)),
        Err(error) if error.is_unavailable() => return Err(Error::unavailable(error)),
        Ok(_) | Err(_) => return Ok((Verdict::Damaged, None)),
    }
    let again = match again {
        Ok(again) => again.iter().find(|(kind, _)| *kind == document.kind).map(|(_, drawn)| drawn.as_ref()),
        Err(fault) => Some(Err(fault)),
    };
    Ok(match again {
        Some(Ok(sha256)) if *sha256 == document.sha256 => (Verdict::Same, None),
        _ if !is_ours => (Verdict::Intact, None),
        Some(Err(fault)) => (Verdict::Undrawable, Some(fault.text.clone())),
        Some(Ok(_)) | None => (Verdict::Different, None),
    })
}

impl Report {
    fn note(
        &mut self,
        case: &Case,
        kind: Kind,
        verdict: Verdict,
        location: Option<&str>,
        problem: Option<String>,
        every: bool,
    ) {
        *self.counts.entry(verdict).or_default() += 1;
        if every || !verdict.is_good() {
            self.documents.push(Finding {
                number: case.guarantee.number.clone(),
                revision: case.revision.revision,
                document: match kind {
                    Kind::Certificate => "certificate",
                    Kind::Notice => "notice",
                    Kind::Cancellation => "cancellation",
                },
                verdict,
                location: location.map(str::to_owned),
                problem,
            });
        }
    }
}

fn tell(report: &Report) {
    if !report.documents.is_empty() {
        let mut table = super::table(["number", "revision", "document", "result", "location or problem"]);
        for finding in &report.documents {
            let revision = finding.revision.to_string();
            let more = finding.problem.as_deref().or(finding.location.as_deref()).unwrap_or_default();
            table.add_row([
                &finding.number,
                &revision,
                finding.document,
                finding.verdict.name(),
                &printable(more),
            ]);
        }
        print(table);
    }
    let counts: Vec<String> =
        report.counts.iter().map(|(verdict, count)| format!("{count} {}", verdict.name())).collect();
    print(if counts.is_empty() { "there are no documents".to_owned() } else { counts.join(", ") });
}

//! Verifies that stored documents are the issued ones: reads them back, draws them again and compares the
//! bytes.

use std::{collections::BTreeMap, sync::Arc};

use hosho_schema::{
    db::{Connection, DbError},
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

use super::{Error, guarantees};
use crate::{
    app::{self, AppError},
    config::Config,
    db::Db,
    documents::{
        revision::{Each, RevisionRenderer, Sealed},
        store::{DocumentStore, StoreError},
    },
    domain::number::GuaranteeNumber,
    fault::Fault,
    hex::hex,
};

/// Certificates verified together.
const PAGE: i64 = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Same,
    Intact,
    Different,
    Damaged,
    Missing,
    Unrecorded,
    Undrawable,
}

impl Verdict {
    pub const fn as_text(self) -> &'static str {
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

    pub const fn is_good(self) -> bool {
        matches!(self, Self::Same | Self::Intact)
    }
}

#[derive(Debug, Serialize)]
pub struct Finding {
    pub number: String,
    pub revision: i64,
    pub document: &'static str,
    pub verdict: Verdict,
    /// In the document store; `null` when none is recorded.
    pub location: Option<String>,
    /// The reason why it cannot be drawn again.
    pub problem: Option<String>,
}

#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub counts: BTreeMap<Verdict, u64>,
    /// Every document of the given numbers; of all guarantees, only those with a fault.
    pub documents: Vec<Finding>,
}

/// The documents of a certificate, drawn again: kind, and SHA-256 or a fault.
type Again = Result<Each<String>, Fault>;

struct Case {
    revision: Revision,
    guarantee: Guarantee,
    documents: Vec<Document>,
    sealed: Option<Sealed>,
}

impl Report {
    pub fn has_faults(&self, strict: bool) -> bool {
        self.counts.keys().any(|verdict| !verdict.is_good() || (strict && *verdict == Verdict::Intact))
    }

    /// Whether every document was drawn again to the same bytes.
    pub fn all_same(&self) -> bool {
        self.counts.keys().all(|verdict| *verdict == Verdict::Same)
    }

    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// Which guarantees to verify.
pub enum Which {
    All,
    /// By 保証契約番号, in either width.
    Numbers(Vec<String>),
}

/// Called with the total and the finished certificates, when `All`.
pub type Progress<'a> = &'a (dyn Fn(i64, usize) + Send + Sync);

/// Verifies documents. Creates no key ring.
pub async fn verify_documents(
    config: &Config,
    which: Which,
    progress: Progress<'_>,
) -> Result<Report, Error> {
    let db = Db::new(app::pool(config)?);
    let store = app::documents(config)?;
    if config.keys.ring.is_none() && !config.keys.file.exists() {
        return Err(AppError::KeysMissing(config.keys.file.clone()).into());
    }
    let keys = app::keys(&config.keys)?;
    let renderer =
        RevisionRenderer::new(Arc::new(app::press(config)?), Arc::new(keys), config.registry.url.clone());
    let mut report = Report::default();
    match which {
        Which::Numbers(numbers) => {
            let found = db.call(move |db| numbered(db, &numbers)).await?;
            verify(found, &store, &renderer, &mut report, true).await?;
        }
        Which::All => {
            let total = db.call(|db| revision::arrived(db)).await.map_err(Error::unavailable)?;
            let mut after = String::new();
            loop {
                let from = after.clone();
                let page = db.call(move |db| {
                    let found = revision::arrived_after(db, &from, PAGE)?;
                    cases(db, found)
                });
                let page = page.await.map_err(Error::unavailable)?;
                let Some(last) = page.last() else { break };
                after.clone_from(&last.revision.id);
                progress(total, page.len());
                verify(page, &store, &renderer, &mut report, false).await?;
            }
        }
    }
    Ok(report)
}

/// All arrived revisions of these guarantees.
fn numbered(db: &mut Connection, numbers: &[String]) -> Result<Vec<Case>, Error> {
    let mut found = Vec::new();
    for number in numbers {
        let normal =
            GuaranteeNumber::parse(number).map_or_else(|_| number.clone(), |number| number.to_string());
        let guarantee = guarantee::by_number(db, &normal)?
            .ok_or_else(|| guarantees::not_found(number).hint("give a 保証契約番号"))?;
        let revisions = revision::by_guarantees(db, &[&guarantee.id])?.into_iter().flatten();
        let arrived = revisions.filter(|revision| revision.arrived_at.is_some());
        found.extend(arrived.map(|revision| (revision, guarantee.clone())));
    }
    Ok(cases(db, found)?)
}

fn cases(db: &mut Connection, found: Vec<(Revision, Guarantee)>) -> Result<Vec<Case>, DbError> {
    let revisions: Vec<&str> = found.iter().map(|(revision, _)| revision.id.as_str()).collect();
    let guarantees: Vec<&str> = found.iter().map(|(_, guarantee)| guarantee.id.as_str()).collect();
    let documents = document::by_revisions(db, &revisions)?;
    let sealed = authentication_key::by_guarantees(db, &guarantees)?;
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

/// Draws in parallel; reports good documents too when `every`.
async fn verify(
    cases: Vec<Case>,
    store: &DocumentStore,
    renderer: &RevisionRenderer,
    report: &mut Report,
    every: bool,
) -> Result<(), Error> {
    let identity = renderer.identity();
    let renderer = renderer.clone();
    let hashed = |(kind, drawn): (Kind, Result<Vec<u8>, Fault>)| {
        (kind, drawn.map(|bytes| hex(&Sha256::digest(&bytes))))
    };
    let task = tokio::task::spawn_blocking(move || -> Vec<(Case, Again)> {
        let draw = |case: Case| {
            let drawn = renderer.each(&case.revision, case.sealed.as_ref());
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
            let (verdict, problem) = verdict(document, bytes, &again, document.identity == identity)?;
            report.add(&case, document.kind, verdict, Some(&document.location), problem, every);
        }
        let expected = again.iter().flatten().map(|(kind, _)| *kind);
        for kind in expected.filter(|kind| case.documents.iter().all(|document| document.kind != *kind)) {
            report.add(&case, kind, Verdict::Unrecorded, None, None, every);
        }
        if again.is_err() && case.documents.is_empty() {
            report.add(&case, Kind::Certificate, Verdict::Unrecorded, None, None, every);
        }
    }
    Ok(())
}

/// `is_ours`: drawn with the same program, fonts, templates and settings.
fn verdict(
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
    fn add(
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

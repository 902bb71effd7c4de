//! Verifies that stored documents are the issued ones: draws them again.

use std::{collections::BTreeMap, sync::Arc};

use hosho_schema::{
    db::{Connection, DbError},
    models::{
        authentication_key,
        document::{self, Document, Kind},
        guarantee::Guarantee,
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
    fault::Fault,
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
    const fn is_good(self) -> bool {
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

/// Verifies the documents of these guarantees, or all when no number is given.
/// Creates no key ring. When all, `progress` gets the total and the certificates just verified.
pub async fn verify_documents(
    db: &Db,
    config: &Config,
    numbers: &[String],
    progress: impl Fn(i64, usize),
) -> Result<Report, Error> {
    let numbers = guarantees::parse_numbers(numbers)?;
    let store = app::documents(config)?;
    if config.keys.ring.is_none() && !config.keys.file.exists() {
        return Err(AppError::KeysMissing(config.keys.file.clone()).into());
    }
    let keys = app::keys(&config.keys)?;
    let renderer =
        RevisionRenderer::new(Arc::new(app::renderer(config)?), Arc::new(keys), config.registry.url.clone());
    let mut report = Report::default();
    if !numbers.is_empty() {
        let found = db.call(move |db| numbered(db, &numbers)).await?;
        verify(found, &store, &renderer, &mut report, true).await?;
        return Ok(report);
    }
    let total = db.call(revision::arrived).await.map_err(Error::unavailable)?;
    let mut after = String::new();
    loop {
        let from = after.clone();
        let page = db.call(move |db| {
            let found = revision::arrived_after(db, &from, PAGE)?;
            cases(db, found)
        });
        let page = page.await.map_err(Error::unavailable)?;
        let Some(last) = page.last() else { return Ok(report) };
        after.clone_from(&last.revision.id);
        progress(total, page.len());
        verify(page, &store, &renderer, &mut report, false).await?;
    }
}

fn numbered(db: &mut Connection, numbers: &[String]) -> Result<Vec<Case>, Error> {
    let mut found = Vec::new();
    for guarantee in guarantees::by_numbers(db, numbers)? {
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
        (kind, drawn.map(|bytes| hex::encode(Sha256::digest(&bytes))))
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
        let Case { revision, guarantee, documents, .. } = case;
        let mut add = |kind: Kind, verdict: Verdict, location: Option<&str>, problem| {
            *report.counts.entry(verdict).or_default() += 1;
            if every || !verdict.is_good() {
                report.documents.push(Finding {
                    number: guarantee.number.clone(),
                    revision: revision.revision,
                    document: kind.as_text(),
                    verdict,
                    location: location.map(str::to_owned),
                    problem,
                });
            }
        };
        for (document, bytes) in documents.iter().zip(stored.by_ref()) {
            let (verdict, problem) = verdict(document, bytes, &again, document.identity == identity)?;
            add(document.kind, verdict, Some(&document.location), problem);
        }
        let expected = again.iter().flatten().map(|(kind, _)| *kind);
        for kind in expected.filter(|kind| documents.iter().all(|document| document.kind != *kind)) {
            add(kind, Verdict::Unrecorded, None, None);
        }
        if again.is_err() && documents.is_empty() {
            add(Kind::Certificate, Verdict::Unrecorded, None, None);
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
        Ok(bytes) if hex::encode(Sha256::digest(&bytes)) == document.sha256 => {}
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

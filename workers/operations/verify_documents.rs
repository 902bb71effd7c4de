//! Verifies that stored documents are the issued ones: draws them again.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::StreamExt as _;
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
use zeroize::Zeroizing;

use super::{Error, guarantees};
use crate::{
    app::{self, AppError},
    clock::Clock,
    config::Config,
    db::Db,
    documents::{
        revision::{Each, RevisionRenderer, Sealed},
        store::{Access, DocumentStore, StoreError},
    },
    fault::{Fault, chain},
    keys::KeyError,
};

const ACCESS: Access<'static> = Access { reader: "documents verify", reason: "compared, not shown" };

/// Documents read at the same time.
const AT_ONCE: usize = 16;

/// Certificates verified together.
const PAGE: i64 = 256;

/// Documents of a segment verified together.
const CHUNK_SIZE: usize = 256;

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
    /// Of the given segment as a whole, such as an end that is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_problem: Option<String>,
}

/// The documents of a certificate, drawn again: kind, and SHA-256 or a fault.
type Again = Result<Each<String>, Fault>;

struct Case {
    revision: Revision,
    guarantee: Guarantee,
    documents: Vec<Document>,
    /// Others of the revision are in other segments.
    is_partial: bool,
    sealed: Option<Sealed>,
}

/// The documents to verify.
#[derive(Debug)]
pub enum Scope {
    All,
    /// Guarantees by 保証契約番号.
    Numbers(Vec<String>),
    /// The documents that rows name in a segment of the store.
    Segment(String),
}

impl Report {
    pub fn has_faults(&self, strict: bool) -> bool {
        let is_fault = |verdict: &Verdict| !verdict.is_good() || (strict && *verdict == Verdict::Intact);
        self.segment_problem.is_some() || self.counts.keys().any(is_fault)
    }

    /// Whether every document was drawn again to the same bytes.
    pub fn all_same(&self) -> bool {
        self.counts.keys().all(|verdict| *verdict == Verdict::Same)
    }

    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// Verifies documents. Creates no key ring.
/// `progress` gets the total, and the number just verified: of all, certificates; of a segment, documents.
pub async fn verify_documents(
    db: &Db,
    config: &Config,
    scope: Scope,
    progress: impl Fn(i64, usize),
) -> Result<Report, Error> {
    let scope = match scope {
        Scope::Numbers(numbers) => Scope::Numbers(guarantees::parse_numbers(&numbers)?),
        scope => scope,
    };
    if config.keys.ring.is_none() && !config.keys.file.exists() {
        return Err(AppError::KeysMissing(config.keys.file.clone()).into());
    }
    let keys = Arc::new(app::keys(&config.keys)?);
    let store = app::documents(config, &keys, &Clock::system())?;
    app::check_store(db, &store).await?;
    let renderer = RevisionRenderer::new(Arc::new(app::renderer(config)?), keys, config.registry.url.clone());
    let mut report = Report::default();
    match scope {
        Scope::All => {}
        Scope::Numbers(numbers) => {
            let found = db.call(move |db| numbered(db, &numbers)).await?;
            verify(found, &store, &renderer, &mut report, true).await?;
            return Ok(report);
        }
        Scope::Segment(segment) => {
            report.segment_problem = segment_problem(&store, &segment).await?;
            let rows = of_segment(db, segment).await?;
            let total = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            for page in rows.chunks(CHUNK_SIZE) {
                let documents = page.to_vec();
                let cases = db.call(move |db| partial_cases(db, documents)).await?;
                verify(cases, &store, &renderer, &mut report, false).await?;
                progress(total, page.len());
            }
            return Ok(report);
        }
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

async fn segment_problem(store: &DocumentStore, segment: &str) -> Result<Option<String>, Error> {
    // Files of their own, as they were stored before, have neither frames nor an end.
    if !store.is_current(segment) {
        return Ok(None);
    }
    match store.documents(segment).await {
        Ok(listing) => Ok(listing.problem()),
        Err(error) if error.is_unavailable() => Err(Error::unavailable(error)),
        Err(error) => Ok(Some(chain(&error))),
    }
}

async fn of_segment(db: &Db, segment: String) -> Result<Vec<Document>, Error> {
    let named = segment.clone();
    let rows = db.call(move |db| document::by_segment(db, &named)).await?;
    if rows.is_empty() {
        let error = Error::not_found(format!("no document is in a segment {segment:?}"));
        return Err(error.hint("run `hosho documents list` for the segments"));
    }
    Ok(rows)
}

/// A case for each of these documents.
fn partial_cases(db: &mut Connection, documents: Vec<Document>) -> Result<Vec<Case>, DbError> {
    let ids: Vec<String> = documents.iter().map(|document| document.revision_id.clone()).collect();
    // A row of a document refers to its revision.
    let found: Vec<(Revision, Guarantee)> = revision::by_ids(db, &ids)?.into_iter().flatten().collect();
    let cases = cases(db, found)?.into_iter().zip(documents);
    Ok(cases.map(|(case, document)| Case { documents: vec![document], is_partial: true, ..case }).collect())
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
            is_partial: false,
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
    let stored = drawn
        .iter()
        .flat_map(|(case, _)| &case.documents)
        .map(|document| store.read_notice(document, ACCESS));
    // Each read holds a document, and a thread or a connection.
    let stored: Vec<_> = futures_util::stream::iter(stored).buffered(AT_ONCE).collect().await;
    let mut stored = stored.into_iter();
    for (case, again) in drawn {
        let Case { revision, guarantee, documents, is_partial, .. } = case;
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
            let (verdict, problem) = verdict(store, document, bytes, &again, document.identity == identity)?;
            add(document.kind, verdict, Some(&document.location()), problem);
        }
        if is_partial {
            continue;
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
    store: &DocumentStore,
    document: &Document,
    stored: Result<Zeroizing<Vec<u8>>, StoreError>,
    again: &Again,
    is_ours: bool,
) -> Result<(Verdict, Option<String>), Error> {
    match stored {
        // Reading has compared its hash with that of the row.
        Ok(_) => {}
        Err(StoreError::Missing { .. }) => return Ok((Verdict::Missing, None)),
        Err(StoreError::Sealed { source: error @ KeyError::UnknownDataKey { .. }, .. }) => {
            return Ok((Verdict::Undrawable, Some(error.to_string())));
        }
        Err(error) if error.is_unavailable() => return Err(Error::unavailable(error)),
        Err(error) => return Ok((Verdict::Damaged, Some(chain(&error)))),
    }
    let again = match again {
        Ok(again) => again.iter().find(|(kind, _)| *kind == document.kind).map(|(_, drawn)| drawn.as_ref()),
        Err(fault) => Some(Err(fault)),
    };
    Ok(match again {
        Some(Ok(sha256)) if store.hash(document, sha256) == document.sha256 => (Verdict::Same, None),
        _ if !is_ours => (Verdict::Intact, None),
        Some(Err(fault)) => (Verdict::Undrawable, Some(fault.text.clone())),
        Some(Ok(_)) | None => (Verdict::Different, None),
    })
}

//! Removes stored documents that no row names, and moves documents between stores.
//!
//! A worker that is killed between the sync of a batch and the commit of its rows leaves documents behind; so
//! does a rolled back transaction. The message is repeated, and its documents are stored and named elsewhere.
//! A document may be removed if no row names it and none ever will. That is proven if
//!
//! - its segment is sealed: no process writes to it any more. A segment that a killed process left is sealed
//!   here, which its lock permits only when that process is gone;
//! - the segment has not changed for a day: a row is committed within the time that a batch is held
//!   (`work.hold_seconds`), which is far less;
//! - a row names a repetition: a document of the same revision, kind and run; if the run is over, of any run.
//!   The repetition was read back whole, and its segment has not changed for a day either.
//!
//! Without a repetition the database is not that of the store, or an older copy of it: the document stays,
//! and is reported.
//!
//! A segment without any named document is removed. If more than half of a segment is not named, the named
//! documents are stored again; it is removed a day later, for the sake of readers, and of copies of the
//! database that were made before.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use chrono::NaiveDateTime;
use hosho_schema::{
    db::{Connection, DbError},
    ids,
    models::{
        document::{self, Document},
        job_run, revision,
    },
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    app::App,
    db::Db,
    documents::store::{
        Access, DocumentStore, Listed, NewDocument, Segment, StoreError, Stored,
        frame::{self, Header},
    },
    fault::chain,
    schedule::CronSchedule,
};

/// A segment that changed more recently is left alone.
const QUIET: Duration = Duration::from_hours(24);

/// Documents stored again together.
const CHUNK_SIZE: usize = 64;

/// Segments of one query.
const LOOKED_UP_TOGETHER: usize = 512;

#[derive(Debug, thiserror::Error)]
pub enum ReclaimError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Database(#[from] DbError),
}

#[derive(Debug, Default, Serialize)]
pub struct Reclaimed {
    /// Documents that no row names, and that a named document repeats.
    pub documents: u64,
    /// Of their frames.
    pub bytes: u64,
    /// Segments removed.
    pub segments: u64,
    /// Documents stored again, because most of their segment was not named.
    pub moved: u64,
    /// Documents that the database does not know; nothing of their segments is removed.
    pub unknown: u64,
    /// Damaged segments, and why; nothing of them is removed.
    pub damaged: Vec<String>,
}

/// Reclaims what no row names; with `dry_run` only counts.
pub async fn reclaim(
    db: &Db,
    store: &DocumentStore,
    now: NaiveDateTime,
    dry_run: bool,
) -> Result<Reclaimed, ReclaimError> {
    let unchanged_since = SystemTime::from(now.and_utc()) - QUIET;
    let mut segments = store.segments().await?;
    segments.retain(|segment| segment.modified <= unchanged_since);
    let quiet: HashSet<String> = segments.iter().map(|segment| segment.name.clone()).collect();
    let mut reclaimed = Reclaimed::default();
    for segment in not_wholly_named(db, segments).await? {
        let name = segment.name.clone();
        let rows = db.call(move |db| document::by_segment(db, &name)).await?;
        let named: HashMap<u64, u64> = rows.iter().map(place).collect();
        let named_end =
            named.iter().map(|(position, length)| position.saturating_add(*length)).max().unwrap_or(0);
        let is_abandoned = store.seal_abandoned(&segment.name, named_end, dry_run).await;
        let listed = match is_abandoned {
            Ok(true) => store.documents(&segment.name).await,
            // Its process lives.
            Ok(false) => continue,
            Err(error) => Err(error),
        };
        let listing = match listed {
            Ok(listing) => listing,
            // Another process has removed it.
            Err(StoreError::Missing { .. }) => continue,
            Err(error) if error.is_unavailable() => return Err(error.into()),
            Err(error) => {
                reclaimed.damaged.push(chain(&error));
                continue;
            }
        };
        if let Some(problem) = listing.problem() {
            reclaimed.damaged.push(format!("{} {problem}", segment.name));
            continue;
        }
        let is_unnamed = |document: &Listed| !named.contains_key(&document.position);
        let unnamed: Vec<Listed> = listing.documents.into_iter().filter(is_unnamed).collect();
        let (count, bytes) =
            (unnamed.len() as u64, unnamed.iter().map(|document| document.length).sum::<u64>());
        let repetitions = db.call(move |db| repetitions(db, &unnamed)).await?;
        let (mut unknown, mut is_recent) = (0, false);
        for repetition in repetitions {
            let is_stored = match repetition {
                Some(row) => {
                    is_recent |= store.is_current(&row.segment) && !quiet.contains(&row.segment);
                    is_readable(store, &row).await?
                }
                None => false,
            };
            unknown += u64::from(!is_stored);
        }
        if unknown > 0 {
            reclaimed.unknown += unknown;
            continue;
        }
        // A reader, or a copy of the database, may still name the old place.
        if is_recent {
            continue;
        }
        reclaimed.documents += count;
        reclaimed.bytes += bytes;
        if rows.is_empty() {
            reclaimed.segments += 1;
            if !dry_run {
                store.remove(&segment.name).await?;
                info!(
                    segment = segment.name,
                    documents = count,
                    "Segment removed; rows name repetitions of its documents"
                );
            }
        } else if bytes * 2 > segment.bytes {
            reclaimed.moved += rows.len() as u64;
            if !dry_run {
                let Moved { failed, .. } = store_again(db, store, &rows, "reclaim").await?;
                reclaimed.damaged.extend(failed);
            }
        }
    }
    Ok(reclaimed)
}

/// Omits the sealed segments whose every byte a row names: nearly all of them.
async fn not_wholly_named(db: &Db, segments: Vec<Segment>) -> Result<Vec<Segment>, ReclaimError> {
    let mut found = Vec::new();
    for segments in segments.chunks(LOOKED_UP_TOGETHER) {
        let wanted: Vec<String> = segments.iter().map(|segment| segment.name.clone()).collect();
        let bytes = db.call(move |db| {
            let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
            document::named_bytes(db, &wanted)
        });
        let bytes: HashMap<String, i64> = bytes.await?.into_iter().collect();
        let is_wholly_named = |segment: &&Segment| {
            let bytes = bytes.get(&segment.name).copied().unwrap_or_default();
            bytes.cast_unsigned() + frame::SEAL as u64 == segment.bytes && bytes > 0
        };
        found.extend(segments.iter().filter(|segment| !is_wholly_named(segment)).cloned());
    }
    Ok(found)
}

/// Whether the document of a row is in the store and whole.
async fn is_readable(store: &DocumentStore, row: &Document) -> Result<bool, StoreError> {
    let access = Access { reader: "reclaim", reason: "verified before its repetition is removed" };
    match store.read_notice(row, access).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_unavailable() => Err(error),
        Err(_) => Ok(false),
    }
}

/// Position and length.
fn place(row: &Document) -> (u64, u64) {
    (u64::try_from(row.position).unwrap_or(u64::MAX), u64::try_from(row.length).unwrap_or(0))
}

/// Of each document a row of the same revision, kind and run.
/// Of any run, if that of the document is over.
fn repetitions(db: &mut Connection, documents: &[Listed]) -> Result<Vec<Option<Document>>, DbError> {
    let revision = |header: &Header| ids::revision(&header.guarantee, header.revision);
    let ids: Vec<String> = documents.iter().map(|document| revision(&document.header)).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let rows = document::every(db, &ids)?.into_iter();
    let runs: BTreeSet<&str> =
        documents.iter().filter_map(|document| document.header.run.as_deref()).collect();
    let finished = job_run::finished(db, &runs.into_iter().collect::<Vec<_>>())?;
    let repetition = |(document, rows): (&Listed, Vec<Document>)| {
        let Header { kind, run, .. } = &document.header;
        let run = run.as_deref().unwrap_or_default();
        let mut rows: Vec<Document> = rows.into_iter().filter(|row| row.kind == *kind).collect();
        let same_run = rows.iter().position(|row| row.run_id == run);
        match same_run {
            Some(place) => Some(rows.swap_remove(place)),
            None if finished.iter().any(|finished| finished == run) => rows.pop(),
            None => None,
        }
    };
    Ok(documents.iter().zip(rows).map(repetition).collect())
}

/// Documents stored again.
#[derive(Debug, Default)]
pub struct Moved {
    /// Rows that name the new place: another process may have been first.
    pub moved: usize,
    /// Documents that cannot be read, with the reason.
    pub failed: Vec<String>,
}

/// Stores documents again in the store in use, and names their new places.
pub async fn store_again(
    db: &Db,
    store: &DocumentStore,
    rows: &[Document],
    reader: &str,
) -> Result<Moved, ReclaimError> {
    let mut result = Moved::default();
    for rows in rows.chunks(CHUNK_SIZE) {
        let ids: Vec<String> = rows.iter().map(|row| row.revision_id.clone()).collect();
        let owners = db.call(move |db| revision::by_ids(db, &ids)).await?;
        let (mut old, mut documents) = (Vec::new(), Vec::new());
        for (row, owner) in rows.iter().zip(owners) {
            let missing =
                || DbError::Damaged { what: format!("a document of {}, which is missing", row.revision_id) };
            let (revision, guarantee) = owner.ok_or_else(missing)?;
            let bytes = match store.read_notice(row, Access { reader, reason: "stored again" }).await {
                Ok(bytes) => bytes,
                Err(error) if error.is_unavailable() => return Err(error.into()),
                // Others are moved all the same.
                Err(error) => {
                    result.failed.push(format!(
                        "{} of {}: {}",
                        row.kind.as_text(),
                        guarantee.number,
                        chain(&error)
                    ));
                    continue;
                }
            };
            old.push(row.clone());
            documents.push(NewDocument {
                number: guarantee.number,
                guarantee: guarantee.id,
                revision: revision.revision,
                kind: row.kind,
                run: Some(row.run_id.clone()).filter(|run| !run.is_empty()),
                identity: row.identity.clone(),
                stored_at: Some(row.stored_at),
                bytes,
            });
        }
        let stored = store.put(documents.into()).await?;
        let new = |(row, stored): (Document, Stored)| {
            let place = stored.row(row.revision_id.clone(), row.identity.clone(), row.run_id.clone());
            (row, place)
        };
        let moved: Vec<(Document, Document)> = old.into_iter().zip(stored).map(new).collect();
        result.moved += db.transaction(move |db| document::set_places(db, &moved)).await?;
    }
    Ok(result)
}

/// Record of the register: when the last run of the job was due.
const LAST_RUN: &str = "reclaim";

/// Runs the job at its times until the process is requested to stop.
/// Of all workers one runs it.
pub async fn run(app: Arc<App>, expression: String, stop: CancellationToken) {
    // Reading the configuration has rejected wrong expressions.
    let Ok(cron) = CronSchedule::new(&expression, "Asia/Tokyo") else { return stop.cancelled().await };
    loop {
        let Some(due) = cron.next_moment(app.clock.now()) else { return stop.cancelled().await };
        if super::sleep_until(due, &app.clock, &stop).await {
            return;
        }
        tokio::select! {
            () = run_once(&app, due) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn run_once(app: &App, due: NaiveDateTime) {
    let reclaimed = async {
        if !claim(&app.documents, due).await? {
            return Ok(None);
        }
        reclaim(&app.db, &app.documents, app.clock.now(), false).await.map(Some)
    };
    match reclaimed.await {
        Ok(None) => {}
        Ok(Some(reclaimed)) if reclaimed.unknown > 0 || !reclaimed.damaged.is_empty() => warn!(
            documents.unknown = reclaimed.unknown,
            damaged = reclaimed.damaged.join("; "),
            "Documents left alone; run `hosho documents reclaim --dry-run`"
        ),
        Ok(Some(reclaimed)) => info!(
            documents = reclaimed.documents,
            bytes = reclaimed.bytes,
            segments.removed = reclaimed.segments,
            "Documents reclaimed"
        ),
        Err(error) => warn!(error = chain(&error), "Documents not reclaimed; retried at the next time"),
    }
}

/// Whether this process runs the job that is due: it sets the record first.
async fn claim(store: &DocumentStore, due: NaiveDateTime) -> Result<bool, ReclaimError> {
    let due = due.format("%Y-%m-%dT%H:%M:%S").to_string();
    let found = store.record(LAST_RUN).await?;
    if found.as_ref().is_some_and(|(last, _)| last.as_slice() >= due.as_bytes()) {
        return Ok(false);
    }
    let version = found.map(|(_, version)| version);
    Ok(store.set_record(LAST_RUN, version.as_deref(), due.as_bytes()).await?.is_some())
}

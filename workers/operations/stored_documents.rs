//! Exports, lists, moves and reclaims stored documents.

use std::sync::Arc;

use hosho_schema::models::{
    audit,
    document::{self, Kind},
    guarantee, revision,
};
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{Error, guarantees};
use crate::{
    app,
    audit::Operation,
    clock::Clock,
    config::Config,
    db::Db,
    documents::store::{self, Access, DocumentStore, Listed},
    fault::chain,
    jobs::reclaim::{self, ReclaimError, Reclaimed},
};

/// Segments whose documents are moved together.
const TOGETHER: i64 = 64;

impl From<ReclaimError> for Error {
    fn from(error: ReclaimError) -> Self {
        match error {
            ReclaimError::Store(error) => Self::unavailable(error),
            ReclaimError::Database(error) => error.into(),
        }
    }
}

/// Opens the store that the database names.
/// One that is only read is neither created nor recorded.
async fn open(db: &Db, config: &Config, reads_only: bool) -> Result<DocumentStore, Error> {
    let keys = Arc::new(app::keys(&config.keys)?);
    let store = app::documents(config, &keys, &Clock::system())?;
    if reads_only {
        app::check_store(db, &store).await?;
    } else {
        app::identify_store(db, &store).await?;
    }
    Ok(store)
}

pub struct Exported {
    pub number: String,
    pub revision: i64,
    pub kind: Kind,
    /// `None` in a dry run.
    pub bytes: Option<Zeroizing<Vec<u8>>>,
}

/// Reads one document of a guarantee; of its last revision if none is given.
/// The audit entry is committed before the document is read. A dry run only finds it.
pub async fn export(
    db: &Db,
    config: &Config,
    operation: Operation,
    number: &str,
    revision: Option<i64>,
    kind: Kind,
    dry_run: bool,
) -> Result<Exported, Error> {
    let number = guarantees::parse_number(number)?;
    let store = open(db, config, true).await?;
    let (actor, reason) = (operation.actor.clone(), operation.reason.clone());
    let (wanted, named) = (revision, number.clone());
    let (revision, document) = db
        .transaction(move |db| {
            let guarantee = guarantee::by_number(db, &named)?.ok_or_else(|| guarantees::not_found(&named))?;
            let revisions = revision::by_guarantees(db, &[&guarantee.id])?.into_iter().flatten();
            let mut with_documents = Vec::new();
            for revision in revisions.filter(|found| wanted.is_none_or(|wanted| found.revision == wanted)) {
                let documents = document::by_revisions(db, &[&revision.id])?.into_iter().flatten();
                let document = documents.into_iter().find(|document| document.kind == kind);
                with_documents.extend(document.map(|document| (revision.revision, document)));
            }
            let found = with_documents.pop().ok_or_else(|| {
                let of = wanted.map_or_else(String::new, |revision| format!("revision {revision} of "));
                Error::not_found(format!("{of}{named} has no {}", kind.as_text()))
                    .hint(format!("run `hosho history {named}`"))
            })?;
            if !dry_run {
                let after = json!({ "revision": found.0, "document": kind.as_text() }).to_string();
                audit::write(db, &[operation.entry("document", &guarantee.id, None, Some(after))])?;
            }
            Ok::<_, Error>(found)
        })
        .await?;
    let access = Access { reader: &actor, reason: &reason };
    let bytes = if dry_run {
        None
    } else {
        Some(store.read_notice(&document, access).await.map_err(Error::unavailable)?)
    };
    Ok(Exported { number, revision, kind, bytes })
}

#[derive(Debug, Serialize)]
pub struct Entry {
    pub segment: String,
    #[serde(flatten)]
    pub document: Listed,
}

#[derive(Debug, Default, Serialize)]
pub struct Inventory {
    pub documents: Vec<Entry>,
    /// Damaged segments, and what is wrong.
    pub damaged: Vec<(String, String)>,
}

/// Lists the documents of the store, without database and keys.
pub async fn list(config: &Config) -> Result<Inventory, Error> {
    let mut inventory = Inventory::default();
    let settings = app::store_settings(&config.documents)?;
    let found = store::list(&settings, |segment, listing| {
        let listing = match listing {
            Ok(listing) => listing,
            Err(error) => return inventory.damaged.push((segment.to_owned(), chain(&error))),
        };
        inventory.damaged.extend(listing.problem().map(|problem| (segment.to_owned(), problem)));
        let entry = |document| Entry { segment: segment.to_owned(), document };
        inventory.documents.extend(listing.documents.into_iter().map(entry));
    });
    found.await.map_err(Error::unavailable)?;
    Ok(inventory)
}

#[derive(Debug, Default, Serialize)]
pub struct Moved {
    /// Documents whose row names the store in use now.
    pub moved: usize,
    /// Documents that were there already.
    pub present: usize,
    /// Documents that cannot be read, with the reason.
    pub failed: Vec<String>,
}

/// Moves documents that are elsewhere into the store in use.
/// These are files of their own, and those of documents.previous_url. Each is verified when it is read.
/// May be interrupted and repeated, while workers run.
pub async fn move_all(
    db: &Db,
    config: &Config,
    operation: Operation,
    dry_run: bool,
    progress: impl Fn(i64, usize),
) -> Result<Moved, Error> {
    let store = open(db, config, dry_run).await?;
    let total = db.call(document::count).await?;
    let (mut result, mut elsewhere, mut after) = (Moved::default(), 0, String::new());
    loop {
        let (from, place) = (after.clone(), store.clone());
        let (last, count, rows) = db
            .call(move |db| {
                let segments = document::segments(db, &from, TOGETHER)?;
                let (mut rows, mut count) = (Vec::new(), 0);
                for segment in &segments {
                    let found = document::by_segment(db, segment)?;
                    count += found.len();
                    if !place.is_current(segment) {
                        rows.extend(found);
                    }
                }
                Ok::<_, Error>((segments.last().cloned(), count, rows))
            })
            .await?;
        let Some(last) = last else { break };
        after = last;
        elsewhere += rows.len();
        progress(total, count);
        if dry_run {
            result.moved += rows.len();
        } else {
            let again = reclaim::store_again(db, &store, &rows, "documents move").await?;
            result.moved += again.moved;
            // Another process has moved them meanwhile.
            result.present += rows.len() - again.moved - again.failed.len();
            result.failed.extend(again.failed);
        }
    }
    result.present += usize::try_from(total).unwrap_or(usize::MAX).saturating_sub(elsewhere);
    store.close().await;
    if !dry_run {
        record(db, &operation, "move", &result).await?;
    }
    Ok(result)
}

/// Removes what no row names and no row will.
pub async fn reclaim(
    db: &Db,
    config: &Config,
    operation: Operation,
    dry_run: bool,
) -> Result<Reclaimed, Error> {
    let store = open(db, config, dry_run).await?;
    let reclaimed = reclaim::reclaim(db, &store, Clock::system().now(), dry_run).await?;
    store.close().await;
    if !dry_run {
        record(db, &operation, "reclaim", &reclaimed).await?;
    }
    Ok(reclaimed)
}

async fn record(db: &Db, operation: &Operation, what: &str, result: &impl Serialize) -> Result<(), Error> {
    let summary = serde_json::to_string(result).map_err(Error::unavailable)?;
    let entry = operation.entry("documents", what, None, Some(summary));
    db.transaction(move |db| audit::write(db, &[entry])).await?;
    Ok(())
}

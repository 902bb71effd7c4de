//! Stores finished documents: segments of PDFs.
//!
//! They are in a folder or a bucket that all workers share.
//!
//! - [`frame`]: what a segment consists of: a document, and all that identifies it;
//! - `folder`: `file:`; the writes of a moment share one sync;
//! - `bucket`: `s3:`; an object for each batch.
//!
//! A document is durable before the row that names it is committed, so a reader, who goes by rows, never
//! reads what is not committed. If a worker is killed in between, no row names the document, and its message
//! is repeated: the job [`reclaim`](crate::jobs::reclaim) removes it. A row has the place of its document,
//! and reading takes one request.
//!
//! Every reading verifies: the frame is whole, it is the document of the row, its hash is that of the row.
//!
//! **A notice, which holds an authentication key, is sealed** (XChaCha20-Poly1305), and its hash in the
//! database is keyed: a PDF can be drawn again from a stolen database for every guess of a key, and compared
//! with a plain hash. It is read by [`DocumentStore::read_notice`] alone, which takes reader and reason.
//!
//! A record of the register is replaced by compare-and-set: of several processes one succeeds.

mod backend;
mod bucket;
mod folder;
pub mod frame;
mod register;

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use chrono::NaiveDateTime;
use hosho_schema::{
    ids,
    models::document::{Document, Kind},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tracing::debug;
use zeroize::Zeroizing;

use self::{
    backend::{Backend, on_thread},
    frame::{End, FrameError, Header},
};
use crate::{
    clock::Clock,
    keys::{KeyError, KeyRing},
    secret::Secret,
};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "cannot use {url:?} as document store: {problem}; expected file:./folder, file:///folder or \
         s3://bucket/prefix?endpoint=https://host"
    )]
    Url { url: String, problem: &'static str },
    #[error("cannot open the document store {url}")]
    Open { url: String, source: io::Error },
    #[error("cannot store documents")]
    Put { source: io::Error },
    #[error("cannot read {location}")]
    Get { location: String, source: io::Error },
    #[error("{location} does not exist")]
    Missing { location: String },
    #[error("{location} is damaged: {problem}")]
    Damaged { location: String, problem: String },
    #[error("{location:?} is not the place of a document")]
    Location { location: String },
    #[error("{location} does not open")]
    Sealed { location: String, source: KeyError },
    #[error("cannot use the register of the document store")]
    Register { source: io::Error },
    #[error("{location} is in a document store of another kind: name that one in documents.previous_url")]
    Elsewhere { location: String },
    #[error("{url} is not the document store that the database names: it is another one, or not mounted")]
    Other { url: String },
}

impl StoreError {
    /// Whether the store as a whole is down or full, so that a retry can succeed.
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Open { .. }
                | Self::Put { .. }
                | Self::Get { .. }
                | Self::Register { .. }
                | Self::Other { .. }
                | Self::Elsewhere { .. }
        )
    }

    /// Whether the store is full or read-only: a probe would fail too.
    pub fn is_full(&self) -> bool {
        use ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let (Self::Put { source } | Self::Open { source, .. }) = self else { return false };
        matches!(source.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
    }
}

/// Where documents are stored.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// `file:…` or `s3:…`.
    pub url: String,
    /// The store before, until everything is moved.
    pub previous_url: Option<String>,
    /// `None`: from the environment.
    pub credentials: Option<BucketCredentials>,
}

#[derive(Debug, Clone)]
pub struct BucketCredentials {
    pub access_key_id: Secret,
    pub secret_access_key: Secret,
}

/// A document to be stored.
pub struct NewDocument {
    pub number: String,
    pub guarantee: String,
    pub revision: i64,
    pub kind: Kind,
    /// The run that drew it again.
    pub run: Option<String>,
    /// What it was drawn with.
    pub identity: String,
    /// When it was stored first; `None` for now.
    pub stored_at: Option<NaiveDateTime>,
    /// The PDF; a notice holds an authentication key.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// Where a stored document is, and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub kind: Kind,
    pub segment: Arc<str>,
    /// Of its frame in the segment.
    pub position: u64,
    /// Bytes of its frame.
    pub length: u64,
    /// As [`Header::sha256`].
    pub sha256: String,
    /// As [`Header::size`].
    pub size: u64,
    pub stored_at: NaiveDateTime,
}

/// Who reads a notice, which holds an authentication key, and why.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    pub reader: &'a str,
    pub reason: &'a str,
}

/// A segment, as the store lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub name: String,
    pub bytes: u64,
    /// By the clock of the store.
    pub modified: SystemTime,
}

/// A document in a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    pub position: u64,
    pub length: u64,
    #[serde(flatten)]
    pub header: Header,
}

#[derive(Debug)]
pub struct Listing {
    pub documents: Vec<Listed>,
    pub end: End,
    /// The segment is sealed, so its end must be there.
    pub is_immutable: bool,
}

impl Listing {
    /// Damage, or a missing end.
    pub fn problem(&self) -> Option<String> {
        match &self.end {
            End::Broken { position, error } => Some(format!("after byte {position}: {error}")),
            End::Open { .. } | End::Unfinished { .. } if self.is_immutable => {
                Some("its end is missing".to_owned())
            }
            End::Open { .. } | End::Unfinished { .. } | End::Sealed => None,
        }
    }
}

impl Stored {
    /// Its row.
    pub fn row(&self, revision_id: String, identity: String, run_id: String) -> Document {
        let signed = |number| i64::try_from(number).unwrap_or(i64::MAX);
        Document {
            revision_id,
            kind: self.kind,
            segment: self.segment.to_string(),
            sha256: self.sha256.clone(),
            size: signed(self.size),
            identity,
            stored_at: self.stored_at,
            run_id,
            position: signed(self.position),
            length: signed(self.length),
        }
    }
}

/// Where a batch was written.
#[derive(Debug, Clone)]
struct Written {
    segment: Arc<str>,
    position: u64,
}

/// The document store. Cheap to clone.
#[derive(Clone)]
pub struct DocumentStore {
    backend: Backend,
    /// Holds the documents that are not moved yet.
    previous: Option<Backend>,
    url: String,
    previous_url: Option<String>,
    keys: Arc<KeyRing>,
    clock: Clock,
}

impl DocumentStore {
    pub fn open(settings: &StoreSettings, keys: Arc<KeyRing>, clock: &Clock) -> Result<Self, StoreError> {
        let open = |url: &str, must_exist| Backend::open(url, settings, must_exist, clock);
        Ok(Self {
            backend: open(&settings.url, false)?,
            previous: settings.previous_url.as_deref().map(|url| open(url, true)).transpose()?,
            url: settings.url.clone(),
            previous_url: settings.previous_url.clone(),
            keys,
            clock: clock.clone(),
        })
    }

    /// `folder` or `bucket`.
    pub fn kind(&self) -> &'static str {
        self.backend.kind()
    }

    /// The identity of the store in use.
    /// `known` has those in the database, by kind. Given at the first use, if that names none. From now on
    /// another folder or bucket in its place is an error.
    pub async fn identify(&self, known: &BTreeMap<String, String>) -> Result<String, StoreError> {
        let register = |source| StoreError::Register { source };
        if !known.contains_key(self.kind()) && self.record(IDENTITY).await?.is_none() {
            let id = getrandom::u64().map_err(|error| register(io::Error::other(error)))?;
            // Another process may have been first.
            self.set_record(IDENTITY, None, format!("{id:016x}").as_bytes()).await?;
        }
        self.check_identity(known).await?;
        let (identity, _) =
            self.record(IDENTITY).await?.ok_or_else(|| StoreError::Other { url: self.url.clone() })?;
        self.backend.set_identity(&identity);
        String::from_utf8(identity).map_err(|error| register(io::Error::other(error)))
    }

    /// Fails unless each store is the one that the database names. Creates nothing.
    pub async fn check_identity(&self, known: &BTreeMap<String, String>) -> Result<(), StoreError> {
        let previous = self.previous.as_ref().zip(self.previous_url.as_ref());
        for (backend, url) in [(&self.backend, &self.url)].into_iter().chain(previous) {
            if let Some(known) = known.get(backend.kind()) {
                backend.set_identity(known.as_bytes());
            }
            backend.confirm().await.map_err(|source| StoreError::Open { url: url.clone(), source })?;
        }
        Ok(())
    }

    /// Stores documents durably: all of them or, if it fails, none that counts.
    pub async fn put(&self, documents: Arc<[NewDocument]>) -> Result<Vec<Stored>, StoreError> {
        if documents.is_empty() {
            return Ok(Vec::new());
        }
        let (keys, now) = (Arc::clone(&self.keys), self.clock.now());
        let task = tokio::task::spawn_blocking(move || frames(&keys, &documents, now));
        let (frames, mut stored) =
            task.await.map_err(|error| StoreError::Put { source: io::Error::other(error) })??;
        let lengths =
            stored.iter().map(|stored| usize::try_from(stored.length).unwrap_or(usize::MAX)).collect();
        let written =
            self.backend.append(frames, lengths).await.map_err(|source| StoreError::Put { source })?;
        for stored in &mut stored {
            stored.segment = Arc::clone(&written.segment);
            stored.position += written.position;
        }
        Ok(stored)
    }

    /// Reads a document that holds no authentication key.
    pub async fn read(&self, document: &Document) -> Result<Vec<u8>, StoreError> {
        if document.kind == Kind::Notice {
            return Err(StoreError::Location { location: document.location() });
        }
        self.read_any(document).await.map(|bytes| bytes.to_vec())
    }

    /// Reads any document. The only way to a notice.
    pub async fn read_notice(
        &self,
        document: &Document,
        access: Access<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let bytes = self.read_any(document).await?;
        if document.kind == Kind::Notice {
            let Access { reader, reason } = access;
            debug!(revision.id = document.revision_id, reader, reason, "Notice read");
        }
        Ok(bytes)
    }

    async fn read_any(&self, document: &Document) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let location = document.location();
        let damaged = |problem: String| StoreError::Damaged { location: location.clone(), problem };
        let name =
            checked(&document.segment).ok_or_else(|| StoreError::Location { location: location.clone() })?;
        let backend = self.backend_of(name);
        if !backend.holds(name) {
            return Err(StoreError::Elsewhere { location });
        }
        let bytes = if is_file(name) {
            // Stored before segments.
            match backend.read_whole(name).await {
                Ok(bytes) => Zeroizing::new(bytes),
                Err(error) => return Err(backend.failure(&location, error).await),
            }
        } else {
            let position = u64::try_from(document.position).unwrap_or(u64::MAX);
            let length = usize::try_from(document.length).unwrap_or(0);
            if length == 0 {
                return Err(damaged(FrameError::Incomplete.to_string()));
            }
            let bytes = match backend.read(name, position, length).await {
                Ok(bytes) => bytes,
                Err(error) => return Err(backend.failure(&location, error).await),
            };
            let frame = frame::read(&bytes).map_err(|error| damaged(error.to_string()))?;
            let Header { guarantee, revision, kind, .. } = &frame.header;
            if ids::revision(guarantee, *revision) != document.revision_id || *kind != document.kind {
                return Err(damaged("it is another document".to_owned()));
            }
            if *kind == Kind::Notice && frame.header.data_key.is_none() {
                return Err(damaged("it is not sealed".to_owned()));
            }
            let sealed = |source| StoreError::Sealed { location: location.clone(), source };
            self.open_frame(&frame).map_err(sealed)?
        };
        if self.hash(document, &hex::encode(Sha256::digest(&*bytes))) != document.sha256 {
            return Err(damaged(FrameError::Body.to_string()));
        }
        Ok(bytes)
    }

    /// The hash that a row has for a PDF with this SHA-256.
    pub fn hash(&self, document: &Document, sha256: &str) -> String {
        // A file of its own was stored before the hashes of notices were keyed.
        let is_keyed = document.kind == Kind::Notice && !is_file(&document.segment);
        if is_keyed { self.keys.document_hash(sha256) } else { sha256.to_owned() }
    }

    /// The segments of the store in use, in the order of their names.
    pub async fn segments(&self) -> Result<Vec<Segment>, StoreError> {
        self.backend.segments().await
    }

    /// The documents of a segment, whether rows name them or not. Reads all of it.
    pub async fn documents(&self, segment: &str) -> Result<Listing, StoreError> {
        self.backend.documents(segment).await
    }

    /// Seals a segment whose process is gone. False if it lives.
    /// Rows name documents up to byte `named_end`: none of them is cut. `dry_run` only checks.
    pub async fn seal_abandoned(
        &self,
        segment: &str,
        named_end: u64,
        dry_run: bool,
    ) -> Result<bool, StoreError> {
        let Backend::Folder(folder) = &self.backend else { return Ok(true) };
        let name = segment.to_owned();
        match on_thread(folder, move |folder| folder.seal_abandoned(&name, named_end, dry_run)).await {
            Ok(is_abandoned) => Ok(is_abandoned),
            Err(error) => Err(self.backend.failure(segment, error).await),
        }
    }

    /// Removes a segment.
    /// The caller has proven that no row names a document of it, and none will.
    pub async fn remove(&self, segment: &str) -> Result<(), StoreError> {
        self.backend.remove(segment).await.map_err(|source| get_error(segment, source))
    }

    /// Whether a document of this segment is in the store in use, as a frame.
    pub fn is_current(&self, segment: &str) -> bool {
        !is_file(segment) && self.backend.holds(segment)
    }

    fn open_frame(&self, frame: &frame::Frame<'_>) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let Header { guarantee, revision, kind, data_key, .. } = &frame.header;
        match data_key {
            None => Ok(Zeroizing::new(frame.body.to_vec())),
            Some(id) => self.keys.open_document(id, frame.body, guarantee, *revision, kind.as_text()),
        }
    }

    /// Writes and removes something of the size of a document.
    /// (A nearly full disk still takes small files.)
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.backend.probe(false).await
    }

    /// Seals the open segment: the process ends.
    pub async fn close(&self) {
        if let Backend::Folder(folder) = &self.backend {
            folder.seal().await;
        }
    }

    /// The value of a record of the register, with its version.
    pub async fn record(&self, name: &str) -> Result<Option<(Vec<u8>, String)>, StoreError> {
        let found = async { self.backend.record(register_name(name)?).await };
        found.await.map_err(|source| StoreError::Register { source })
    }

    /// Replaces a record whose version is `expected`; `None`: that does not exist.
    /// Returns the new version. `None`: another process has replaced it; ours may have been there in between
    /// (its answer was lost), so a value names its writer. After an error, ours may be there.
    pub async fn set_record(
        &self,
        name: &str,
        expected: Option<&str>,
        value: &[u8],
    ) -> Result<Option<String>, StoreError> {
        let set = async { self.backend.set_record(register_name(name)?, expected, value).await };
        set.await.map_err(|source| StoreError::Register { source })
    }

    /// The store that has the segment of this name.
    fn backend_of(&self, name: &str) -> &Backend {
        match &self.previous {
            Some(previous) if previous.holds(name) && !self.backend.holds(name) => previous,
            _ => &self.backend,
        }
    }
}

fn get_error(location: &str, source: io::Error) -> StoreError {
    let location = location.to_owned();
    match source.kind() {
        ErrorKind::NotFound => StoreError::Missing { location },
        ErrorKind::UnexpectedEof => {
            StoreError::Damaged { location, problem: FrameError::Incomplete.to_string() }
        }
        ErrorKind::InvalidData => StoreError::Damaged { location, problem: source.to_string() },
        _ => StoreError::Get { location, source },
    }
}

/// The frames of a batch, and the place of each in it.
fn frames(
    keys: &KeyRing,
    documents: &[NewDocument],
    now: NaiveDateTime,
) -> Result<(Vec<u8>, Vec<Stored>), StoreError> {
    let size: usize = documents.iter().map(|document| document.bytes.len() + 1024).sum();
    let (mut frames, mut stored) = (Vec::with_capacity(size), Vec::with_capacity(documents.len()));
    for document in documents {
        let sha256 = hex::encode(Sha256::digest(&*document.bytes));
        let stored_at = document.stored_at.unwrap_or(now);
        let mut header = Header {
            number: document.number.clone(),
            guarantee: document.guarantee.clone(),
            revision: document.revision,
            kind: document.kind,
            run: document.run.clone(),
            identity: document.identity.clone(),
            body_sha256: sha256.clone(),
            sha256,
            size: document.bytes.len() as u64,
            stored_at: stored_at.and_utc(),
            data_key: None,
        };
        let position = frames.len() as u64;
        let length = if document.kind == Kind::Notice {
            let kind = document.kind.as_text();
            let sealed = keys
                .seal_document(&document.bytes, &document.guarantee, document.revision, kind)
                .map_err(|source| StoreError::Sealed { location: document.number.clone(), source })?;
            header.sha256 = keys.document_hash(&header.sha256);
            header.body_sha256 = hex::encode(Sha256::digest(&sealed.bytes));
            header.size = sealed.bytes.len() as u64;
            header.data_key = Some(sealed.data_key_id);
            frame::write(&header, &sealed.bytes, &mut frames)
        } else {
            frame::write(&header, &document.bytes, &mut frames)
        };
        stored.push(Stored {
            kind: header.kind,
            segment: "".into(),
            position,
            length: length as u64,
            sha256: header.sha256,
            size: header.size,
            stored_at,
        });
    }
    Ok((frames, stored))
}

enum Place {
    Folder(PathBuf),
    Bucket(bucket::Place),
}

/// Writes something, reads it back and removes it. Needs no keys.
pub async fn probe(settings: &StoreSettings) -> Result<(), StoreError> {
    Backend::open(&settings.url, settings, true, &Clock::system())?.probe(true).await
}

/// Passes the documents of each segment to `each`. Needs no keys, and no database.
/// An unreadable segment does not end the list.
pub async fn list(
    settings: &StoreSettings,
    mut each: impl FnMut(&str, Result<Listing, StoreError>),
) -> Result<(), StoreError> {
    let backend = Backend::open(&settings.url, settings, true, &Clock::system())?;
    for segment in backend.segments().await? {
        each(&segment.name, backend.documents(&segment.name).await);
    }
    Ok(())
}

/// Checks the URL of a store and that of the one before; opens nothing.
pub fn check_urls(url: &str, previous_url: Option<&str>) -> Result<(), StoreError> {
    let place = place_of(url)?;
    let Some(previous) = previous_url else { return Ok(()) };
    // The name of a segment decides which of the two has it.
    if std::mem::discriminant(&place_of(previous)?) == std::mem::discriminant(&place) {
        let problem = "it is the same kind of store as documents.url: copy its files there instead";
        return Err(StoreError::Url { url: previous.to_owned(), problem });
    }
    Ok(())
}

fn place_of(text: &str) -> Result<Place, StoreError> {
    let wrong = |problem| StoreError::Url { url: text.to_owned(), problem };
    let Some((scheme, rest)) = text.split_once(':') else { return Err(wrong("it has no scheme")) };
    if scheme.eq_ignore_ascii_case("s3") {
        return bucket::Place::parse(text).map(Place::Bucket).map_err(wrong);
    }
    if !scheme.eq_ignore_ascii_case("file") {
        return Err(wrong("only folders and S3 are supported"));
    }
    if rest.is_empty() {
        return Err(wrong("it names no folder"));
    }
    if !rest.starts_with("//") {
        return Ok(Place::Folder(PathBuf::from(rest)));
    }
    let url = url::Url::parse(text).map_err(|_| wrong("it is not a URL"))?;
    url.to_file_path().map(Place::Folder).map_err(|()| wrong("it names another host"))
}

/// Accepts only names that a store gives.
/// They are a segment, an object, or a file of the store before segments.
fn checked(name: &str) -> Option<&str> {
    let plain = |part: &str| {
        !part.is_empty()
            && part.len() <= 80
            && !part.starts_with('.')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
    };
    let parts: Vec<&str> = name.split('/').collect();
    let [first, _, file] = parts[..] else { return None };
    let is_segment = matches!(first, "segments" | "objects") && has_extension(file, "seg");
    let is_old = matches!(first, "certificate" | "notice" | "cancellation") && is_file(file);
    (parts.iter().all(|part| plain(part)) && (is_segment || is_old)).then_some(name)
}

/// Whether the document was stored before segments, in a file of its own.
fn is_file(name: &str) -> bool {
    has_extension(name, "pdf")
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found == extension)
}

/// Record of the register that identifies the store.
const IDENTITY: &str = "identity";

/// That record, once it is known.
#[derive(Debug, Clone, Default)]
struct Identity(Arc<OnceLock<Vec<u8>>>);

impl Identity {
    fn set(&self, identity: &[u8]) {
        // The first one counts.
        let _ = self.0.set(identity.to_vec());
    }

    fn is_known(&self) -> bool {
        self.0.get().is_some()
    }

    /// Fails if the store is another one than before: replaced, or not mounted.
    fn check(&self, found: Option<(Vec<u8>, String)>) -> io::Result<()> {
        let is_same = |known: &Vec<u8>| found.is_some_and(|(found, _)| found == *known);
        if self.0.get().is_none_or(is_same) {
            return Ok(());
        }
        Err(io::Error::other(
            "it is not the document store that the database names: replaced, or not mounted",
        ))
    }
}

fn register_name(name: &str) -> io::Result<&str> {
    if register::is_name(name) {
        return Ok(name);
    }
    Err(io::Error::new(
        ErrorKind::InvalidInput,
        "the name of a record consists of a to z, 0 to 9 and hyphens",
    ))
}

const PROBE: &str = "a probe";

/// Bytes of a probe: about the size of a document with its fonts.
const SAMPLE_BYTES: usize = 256 * 1024;

/// Incompressible bytes.
fn sample() -> Vec<u8> {
    let blocks = 0..SAMPLE_BYTES / 32;
    blocks.flat_map(|block| <[u8; 32]>::from(Sha256::digest(block.to_be_bytes()))).collect()
}

//! Finished PDFs under content-addressed names, in a folder that workers share.
//!
//! A document's location is `<prefix>/<first two hex digits>/<sha256>.pdf`. Writes are idempotent, so a stage
//! that runs again stores nothing new, and each read verifies the hash. Rejected: names by number and
//! revision, which a correction would have to overwrite.
//!
//! A document appears whole or not at all (temporary file, sync, rename). Notices hold authentication keys,
//! so only the owner can read them: every folder below the root is 0700 before a file is put there, and each
//! file 0600. The root, which an operator or user chose, is created 0700 where it is missing and otherwise
//! keeps its mode.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot use {url:?} as document store: {problem}; expected file:./folder or file:///folder")]
    Url { url: String, problem: &'static str },
    #[error("cannot open the document folder {folder}", folder = folder.display())]
    Open { folder: PathBuf, source: std::io::Error },
    #[error("cannot store document {location}")]
    Put { location: String, source: std::io::Error },
    #[error("cannot read document {location}")]
    Get { location: String, source: std::io::Error },
    #[error("document {location} does not exist")]
    Missing { location: String },
    #[error("document {location} is damaged: its content has another SHA-256")]
    Damaged { location: String },
    #[error("{location:?} is not the location of a document")]
    Location { location: String },
}

impl StoreError {
    /// Whether the store as a whole is down or full, so that a retry can succeed.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Open { .. } | Self::Put { .. } | Self::Get { .. } => true,
            Self::Url { .. } | Self::Missing { .. } | Self::Damaged { .. } | Self::Location { .. } => false,
        }
    }

    /// Whether the store is full or read-only: a probe would fail too.
    pub fn is_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let (Self::Put { source, .. } | Self::Open { source, .. }) = self else { return false };
        matches!(source.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub location: String,
    /// SHA-256 of the content, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Length, bytes.
    pub size: u64,
}

/// The document store: a folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DocumentStore {
    root: Arc<Path>,
    permits: Arc<Semaphore>,
}

/// Most documents written or read at the same time.
/// It is enough for a disk that syncs many files together. Each uses a thread, and threads keep memory: with
/// one per document of a batch, hundreds, a worker had 2 GB and spent a fifth of its time allocating it.
const CONCURRENCY: usize = 16;

impl DocumentStore {
    /// Opens the store of a URL: `file:./folder` or `file:///folder`.
    /// The first is relative to the working directory.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let folder = folder_of(url).map_err(|problem| StoreError::Url { url: url.to_owned(), problem })?;
        let failed = |source| StoreError::Open { folder: folder.clone(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        let root = folder.canonicalize().map_err(failed)?;
        Ok(Self { root: root.into(), permits: Arc::new(Semaphore::new(CONCURRENCY)) })
    }

    /// Checks the URL; opens nothing.
    pub fn check(url: &str) -> Result<(), StoreError> {
        folder_of(url).map(drop).map_err(|problem| StoreError::Url { url: url.to_owned(), problem })
    }

    /// Stores a PDF below `prefix` (such as `notice`), unless it exists already.
    pub async fn put(&self, prefix: &str, bytes: &[u8]) -> Result<Stored, StoreError> {
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
            return Err(StoreError::Location { location: prefix.to_owned() });
        }
        let prefix = prefix.to_owned();
        let permit = self.permit().await;
        let bytes = bytes.to_vec();
        let put = move |root: &Path| {
            let _permit = permit;
            let sha256 = hex::encode(Sha256::digest(&bytes));
            let location = format!("{prefix}/{}/{sha256}.pdf", &sha256[..2]);
            let stored = Stored { location, sha256, size: bytes.len() as u64 };
            match write_whole(root, &stored, &bytes) {
                Ok(()) => Ok(stored),
                Err(source) => Err(StoreError::Put { location: stored.location, source }),
            }
        };
        let failed = |source| StoreError::Put { location: String::new(), source };
        self.blocking(put).await.unwrap_or_else(|source| Err(failed(source)))
    }

    /// Writes and removes a file of the size of a document.
    /// A nearly full disk still takes small ones.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.probe_with(false).await
    }

    /// [`DocumentStore::probe`], and reads the file back.
    pub async fn probe_reading(&self) -> Result<(), StoreError> {
        self.probe_with(true).await
    }

    async fn probe_with(&self, reads: bool) -> Result<(), StoreError> {
        let failed = |source| StoreError::Put { location: PROBE.to_owned(), source };
        let probe = move |root: &Path| {
            let content = sample();
            let mut file = temporary(root).map_err(failed)?;
            file.write_all(&content).and_then(|()| file.as_file().sync_data()).map_err(failed)?;
            let read = |source| StoreError::Get { location: PROBE.to_owned(), source };
            if reads && std::fs::read(file.path()).map_err(read)? != content {
                return Err(StoreError::Damaged { location: PROBE.to_owned() });
            }
            file.close().map_err(failed)
        };
        self.blocking(probe).await.unwrap_or_else(|source| Err(failed(source)))
    }

    /// Reads a document and verifies its hash.
    pub async fn get(&self, location: &str) -> Result<Vec<u8>, StoreError> {
        let path = checked(location)?.to_owned();
        let permit = self.permit().await;
        let read = move |root: &Path| {
            let _permit = permit;
            let bytes = std::fs::read(root.join(&path))?;
            let sha256 = hex::encode(Sha256::digest(&bytes));
            let is_whole = Path::new(&path).file_stem().is_some_and(|name| name == sha256.as_str());
            Ok::<_, std::io::Error>(is_whole.then_some(bytes))
        };
        match self.blocking(read).await.and_then(|read| read) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(StoreError::Damaged { location: location.to_owned() }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(StoreError::Missing { location: location.to_owned() })
            }
            Err(source) => Err(StoreError::Get { location: location.to_owned(), source }),
        }
    }

    /// `None` only of a closed semaphore, and this one is never closed.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// Runs `work` with the root on a blocking thread.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> T + Send + 'static,
    ) -> std::io::Result<T> {
        let root = Arc::clone(&self.root);
        tokio::task::spawn_blocking(move || work(&root)).await.map_err(std::io::Error::other)
    }
}

/// Writes a document atomically and durably, unless it exists already.
/// Only its owner can read it.
fn write_whole(root: &Path, stored: &Stored, bytes: &[u8]) -> std::io::Result<()> {
    let path = root.join(&stored.location);
    let folder = path.parent().unwrap_or(root);
    match std::fs::metadata(&path) {
        // Renaming is atomic, so a file of this name and length is the document. Its mode may have been
        // changed.
        Ok(found) if found.len() == stored.size => return private_file(&path, &found),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let made = match temporary(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            private_folders(root, folder)?;
            temporary(folder)
        }
        made => made,
    };
    let mut file = made?;
    file.write_all(bytes)?;
    file.as_file().sync_data()?;
    file.persist(&path).map_err(|failed| failed.error)?;
    std::fs::File::open(folder)?.sync_all()
}

/// A file beside the documents, removed unless it is renamed.
/// Only its owner can read it.
fn temporary(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(".").suffix(".part").tempfile_in(folder)
}

fn private_file(path: &Path, found: &std::fs::Metadata) -> std::io::Result<()> {
    if found.permissions().mode() & 0o077 != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

const PROBE: &str = "a probe";

/// Bytes of a probe: about the size of a document with its fonts.
const SAMPLE_BYTES: usize = 256 * 1024;

/// Incompressible bytes.
fn sample() -> Vec<u8> {
    let blocks = 0..SAMPLE_BYTES / 32;
    blocks.flat_map(|block| <[u8; 32]>::from(Sha256::digest(block.to_be_bytes()))).collect()
}

fn folder_of(url: &str) -> Result<PathBuf, &'static str> {
    let Some((scheme, rest)) = url.split_once(':') else { return Err("it has no scheme") };
    if !scheme.eq_ignore_ascii_case("file") {
        return Err("only folders are supported");
    }
    if rest.is_empty() {
        return Err("it names no folder");
    }
    if !rest.starts_with("//") {
        return Ok(PathBuf::from(rest));
    }
    let url = url::Url::parse(url).map_err(|_| "it is not a URL")?;
    url.to_file_path().map_err(|()| "it names another host")
}

/// Accepts only a location of [`DocumentStore::put`].
/// It has a lower-case prefix, two digits and 64 digits.
fn checked(location: &str) -> Result<&str, StoreError> {
    let wrong = || StoreError::Location { location: location.to_owned() };
    let digits = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let [prefix, shard, name] = location.split('/').collect::<Vec<_>>()[..] else { return Err(wrong()) };
    let sha256 = name.strip_suffix(".pdf").ok_or_else(wrong)?;
    let plain = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    if !plain || shard.len() != 2 || sha256.len() != 64 || !sha256.starts_with(shard) || !digits(sha256) {
        return Err(wrong());
    }
    Ok(location)
}

/// Creates the folders between `root` and `folder`, 0700 whatever the umask.
fn private_folders(root: &Path, folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    for folder in folder.ancestors().take_while(|folder| *folder != root) {
        if std::fs::metadata(folder)?.permissions().mode() & 0o077 != 0 {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
        }
        // The new directory entry must survive a power cut too.
        std::fs::File::open(folder.parent().unwrap_or(Path::new("/")))?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }

    #[tokio::test]
    async fn stores_a_document_once_and_privately() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("documents");
        let documents = DocumentStore::open(&format!("file://{}", root.display())).unwrap();
        let first = documents.put("notice", b"%PDF-1.7 a").await.unwrap();
        assert_eq!(first.size, 10);
        assert_eq!(first.location, format!("notice/{}/{}.pdf", &first.sha256[..2], first.sha256));
        let path = root.join(&first.location);
        let written = std::fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap()), mode(&root)), (0o600, 0o700, 0o700));
        assert_eq!(documents.put("notice", b"%PDF-1.7 a").await.unwrap(), first);
        assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), written);
        assert_eq!(files(&root), [path]);
        assert_eq!(documents.get(&first.location).await.unwrap(), b"%PDF-1.7 a");
        assert_ne!(documents.put("certificate", b"%PDF-1.7 a").await.unwrap().location, first.location);
    }

    #[tokio::test]
    async fn concurrent_puts_store_one_whole_document() {
        let folder = tempfile::tempdir().unwrap();
        let documents = DocumentStore::open(&format!("file://{}", folder.path().display())).unwrap();
        let bytes = vec![b'x'; 300_000];
        let puts = (0..16).map(|_| documents.put("notice", &bytes));
        let stored: Vec<_> =
            futures_util::future::join_all(puts).await.into_iter().map(Result::unwrap).collect();
        assert!(stored.iter().all(|one| *one == stored[0]));
        assert_eq!(files(folder.path()).len(), 1);
        assert_eq!(documents.get(&stored[0].location).await.unwrap(), bytes);
    }

    #[tokio::test]
    async fn detects_damage_and_replaces_incomplete_files() {
        let folder = tempfile::tempdir().unwrap();
        let documents = DocumentStore::open(&format!("file://{}", folder.path().display())).unwrap();
        let stored = documents.put("notice", b"whole").await.unwrap();
        let path = folder.path().join(&stored.location);
        std::fs::write(&path, b"whale").unwrap();
        let error = documents.get(&stored.location).await.unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }) && !error.is_unavailable());
        std::fs::write(&path, b"wh").unwrap();
        documents.put("notice", b"whole").await.unwrap();
        assert_eq!(documents.get(&stored.location).await.unwrap(), b"whole");
        // Left by a process that was killed between writing it and setting its mode.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        documents.put("notice", b"whole").await.unwrap();
        assert_eq!(mode(&path), 0o600);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(documents.get(&stored.location).await.unwrap_err(), StoreError::Missing { .. }));
    }

    #[tokio::test]
    async fn reads_only_well_formed_locations() {
        let folder = tempfile::tempdir().unwrap();
        let documents = DocumentStore::open(&format!("file://{}", folder.path().display())).unwrap();
        let hash = "ab".repeat(32);
        for location in [
            "../secret".to_owned(),
            "/etc/passwd".to_owned(),
            format!("../ab/{hash}.pdf"),
            format!("notice/cd/{hash}.pdf"),
            String::new(),
        ] {
            assert!(
                matches!(documents.get(&location).await.unwrap_err(), StoreError::Location { .. }),
                "{location}"
            );
        }
        assert!(matches!(documents.put("../up", b"x").await.unwrap_err(), StoreError::Location { .. }));
    }

    #[test]
    fn rejects_urls_that_are_not_folders() {
        for (url, says) in [
            ("s3://bucket/x", "only folders are supported"),
            ("documents", "it has no scheme"),
            ("file:", "it names no folder"),
            ("file://host/x", "it names another host"),
        ] {
            let error = DocumentStore::open(url).unwrap_err();
            assert!(error.to_string().contains(says) && !error.is_unavailable(), "{error}");
        }
        assert_eq!(folder_of("file:./a b"), Ok(PathBuf::from("./a b")));
        assert_eq!(folder_of("file:///a%20b"), Ok(PathBuf::from("/a b")));
    }

    #[tokio::test]
    async fn probe_has_document_size_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let documents = DocumentStore::open(&format!("file://{}", folder.path().display())).unwrap();
        let probes = (0..8).map(|_| documents.probe());
        assert!(futures_util::future::join_all(probes).await.iter().all(Result::is_ok));
        documents.probe_reading().await.unwrap();
        assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
        assert_eq!(sample().len(), SAMPLE_BYTES);
    }

    #[test]
    fn recognises_a_full_or_read_only_disk() {
        for (errno, full) in [(28, true), (122, true), (30, true), (13, false), (5, false)] {
            let stored =
                StoreError::Put { location: String::new(), source: std::io::Error::from_raw_os_error(errno) };
            assert_eq!((stored.is_full(), stored.is_unavailable()), (full, true), "{errno}");
        }
    }

    #[tokio::test]
    async fn unwritable_store_is_unavailable() {
        let folder = tempfile::tempdir().unwrap();
        let documents = DocumentStore::open(&format!("file://{}", folder.path().display())).unwrap();
        std::fs::write(folder.path().join("notice"), "a file where a folder belongs").unwrap();
        let error = documents.put("notice", b"x").await.unwrap_err();
        assert!(error.is_unavailable(), "{error:?}");
    }
}

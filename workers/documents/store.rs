//! Finished documents: PDFs under names made of their content. A folder that every worker sees.
//!
//! A document's location is `<prefix>/<first two hex digits>/<sha256>.pdf`. Writing it twice is the same as writing it once, so a
//! stage that runs again stores nothing new, and whoever reads a document back knows whether it is still what was written.
//! Names that mean something (number and revision) were rejected: they would have to be overwritten by a correction.
//!
//! In a folder a document appears whole or not at all (written beside, synchronised, renamed), and since notices hold
//! authentication keys, nobody but the owner can read it: every folder below the root is 0700 before a file is
//! put there, and each file 0600. The root itself, which an operator or user chose, is created 0700 where it is missing and
//! otherwise left as it is.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::hex::hex;

/// Says what went wrong with stored documents.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL of the store is not understood.
    #[error("cannot use {url:?} as document store: {problem}; expected file:./folder or file:///folder")]
    Url {
        /// The URL as configured.
        url: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The folder cannot be created or opened.
    #[error("cannot open the document folder {folder}", folder = folder.display())]
    Open {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store does not take the document.
    #[error("cannot store document {location}")]
    Put {
        /// Where it was to be.
        location: String,
        /// Why.
        source: std::io::Error,
    },
    /// The store does not give the document.
    #[error("cannot read document {location}")]
    Get {
        /// Where it should be.
        location: String,
        /// Why.
        source: std::io::Error,
    },
    /// There is no such document.
    #[error("document {location} does not exist")]
    Missing {
        /// Where it should be.
        location: String,
    },
    /// The document is not what was stored.
    #[error("document {location} is damaged: its content has another SHA-256")]
    Damaged {
        /// Where it is.
        location: String,
    },
    /// A prefix or location is not one of ours.
    #[error("{location:?} is not the location of a document")]
    Location {
        /// The text given.
        location: String,
    },
}

impl StoreError {
    /// Whether the store as a whole is down or full: waiting and trying again is right, giving up this document is not.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Open { .. } | Self::Put { .. } | Self::Get { .. } => true,
            Self::Url { .. } | Self::Missing { .. } | Self::Damaged { .. } | Self::Location { .. } => false,
        }
    }

    /// Whether the store has no room left, or is read-only: it takes no document, and there is no need to ask it.
    pub fn is_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let (Self::Put { source, .. } | Self::Open { source, .. }) = self else { return false };
        matches!(source.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
    }
}

/// A document that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where, for [`DocumentStore::get`].
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
    at_once: Arc<Semaphore>,
}

/// Documents written or read at the same time: enough for a disk that syncs many files together. Each has a thread of its own, and
/// a thread keeps some memory: with one for each document of a batch, hundreds, a worker had 2 GB and spent a fifth of its time
/// in getting that memory.
const AT_ONCE: usize = 16;

impl DocumentStore {
    /// Opens the store of a URL: `file:./folder` (relative to the working directory) or `file:///folder`.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let folder = folder_of(url).map_err(|problem| StoreError::Url { url: url.to_owned(), problem })?;
        let failed = |source| StoreError::Open { folder: folder.clone(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        let root = folder.canonicalize().map_err(failed)?;
        Ok(Self { root: root.into(), at_once: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    /// Checks that a URL is one of a store, and opens nothing.
    pub fn check(url: &str) -> Result<(), StoreError> {
        folder_of(url).map(drop).map_err(|problem| StoreError::Url { url: url.to_owned(), problem })
    }

    /// Stores a PDF below `prefix` (such as `notice`) and says where. A document that is there already is not written again.
    pub async fn put(&self, prefix: &str, bytes: &[u8]) -> Result<Stored, StoreError> {
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
            return Err(StoreError::Location { location: prefix.to_owned() });
        }
        let prefix = prefix.to_owned();
        let permit = self.permit().await;
        let bytes = bytes.to_vec();
        let put = move |root: &Path| {
            let _permit = permit;
            let sha256 = hex(&Sha256::digest(&bytes));
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

    /// Finds out whether documents can be written now, by writing a file of their size and taking it away. A full disk still takes
    /// small ones.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.trial(false).await
    }

    /// [`DocumentStore::probe`], and reads back what it wrote.
    pub async fn examine(&self) -> Result<(), StoreError> {
        self.trial(true).await
    }

    async fn trial(&self, reads: bool) -> Result<(), StoreError> {
        let failed = |source| StoreError::Put { location: TRIAL.to_owned(), source };
        let trial = move |root: &Path| {
            let content = sample();
            let mut file = temporary(root).map_err(failed)?;
            file.write_all(&content).and_then(|()| file.as_file().sync_data()).map_err(failed)?;
            let read = |source| StoreError::Get { location: TRIAL.to_owned(), source };
            if reads && std::fs::read(file.path()).map_err(read)? != content {
                return Err(StoreError::Damaged { location: TRIAL.to_owned() });
            }
            file.close().map_err(failed)
        };
        self.blocking(trial).await.unwrap_or_else(|source| Err(failed(source)))
    }

    /// Reads a document back and checks that it is what was stored.
    pub async fn get(&self, location: &str) -> Result<Vec<u8>, StoreError> {
        let path = checked(location)?.to_owned();
        let permit = self.permit().await;
        let read = move |root: &Path| {
            let _permit = permit;
            let bytes = std::fs::read(root.join(&path))?;
            let sha256 = hex(&Sha256::digest(&bytes));
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

    /// Leave for one more document. None is only had of a semaphore that was closed, which this one never is.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.at_once).acquire_owned().await.ok()
    }

    /// Works on the folder, on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> T + Send + 'static,
    ) -> std::io::Result<T> {
        let root = Arc::clone(&self.root);
        tokio::task::spawn_blocking(move || work(&root)).await.map_err(std::io::Error::other)
    }
}

/// Writes a document so that it appears whole, for its owner only, and survives a power cut; unless it is there already.
fn write_whole(root: &Path, stored: &Stored, bytes: &[u8]) -> std::io::Result<()> {
    let path = root.join(&stored.location);
    let folder = path.parent().unwrap_or(root);
    match std::fs::metadata(&path) {
        // Renaming is atomic, so a file of the right name and length is the document. Whoever put it there may have left it open to
        // others.
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

/// A file beside the documents, for its owner only, that is gone unless it is renamed.
fn temporary(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(".").suffix(".part").tempfile_in(folder)
}

/// Closes a stored document to everyone but its owner.
fn private_file(path: &Path, found: &std::fs::Metadata) -> std::io::Result<()> {
    if found.permissions().mode() & 0o077 != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// What is written to find out whether documents can be, in messages.
const TRIAL: &str = "a trial";

/// Bytes of what is written to find out whether documents can be: about a document, with its fonts.
const SAMPLE_BYTES: usize = 256 * 1024;

/// Bytes that no file system makes smaller.
fn sample() -> Vec<u8> {
    let blocks = 0..SAMPLE_BYTES / 32;
    blocks.flat_map(|block| <[u8; 32]>::from(Sha256::digest(block.to_be_bytes()))).collect()
}

/// The folder that a `file:` URL names.
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

/// Only what [`DocumentStore::put`] makes is a location: lower-case prefix, two digits, 64 digits.
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

/// Makes the folders between `root` and `folder`, open to their owner only, whatever the umask says and whoever made them.
fn private_folders(root: &Path, folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    for folder in folder.ancestors().take_while(|folder| *folder != root) {
        if std::fs::metadata(folder)?.permissions().mode() & 0o077 != 0 {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
        }
        // The new name must survive a power cut as surely as the document.
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
    async fn a_document_is_stored_once_under_its_content_and_for_its_owner_only() {
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
    async fn many_at_once_store_the_same_document_whole() {
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
    async fn damage_and_absence_are_found_and_a_torn_file_is_written_again() {
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
        // Left by a process that died between writing it and closing it to others.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        documents.put("notice", b"whole").await.unwrap();
        assert_eq!(mode(&path), 0o600);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(documents.get(&stored.location).await.unwrap_err(), StoreError::Missing { .. }));
    }

    #[tokio::test]
    async fn only_our_own_locations_are_read() {
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
    fn urls_that_are_not_folders_are_refused() {
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
    async fn a_probe_is_of_the_size_of_a_document_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let documents = DocumentStore::open(&format!("file://{}", folder.path().display())).unwrap();
        let probes = (0..8).map(|_| documents.probe());
        assert!(futures_util::future::join_all(probes).await.iter().all(Result::is_ok));
        documents.examine().await.unwrap();
        assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
        assert_eq!(sample().len(), SAMPLE_BYTES);
    }

    #[test]
    fn a_full_or_read_only_disk_is_told_from_other_trouble() {
        for (errno, full) in [(28, true), (122, true), (30, true), (13, false), (5, false)] {
            let stored =
                StoreError::Put { location: String::new(), source: std::io::Error::from_raw_os_error(errno) };
            assert_eq!((stored.is_full(), stored.is_unavailable()), (full, true), "{errno}");
        }
    }

    #[tokio::test]
    async fn a_store_that_cannot_be_written_is_unavailable() {
        let folder = tempfile::tempdir().unwrap();
        let documents = DocumentStore::open(&format!("file://{}", folder.path().display())).unwrap();
        std::fs::write(folder.path().join("notice"), "a file where a folder belongs").unwrap();
        let error = documents.put("notice", b"x").await.unwrap_err();
        assert!(error.is_unavailable(), "{error:?}");
    }
}

//! Stored documents, read as the program reads them.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, OnceLock},
};

use hosho::{
    clock::Clock,
    documents::store::{self, Access, DocumentStore, Listed, StoreSettings, frame::End},
    keys::KeyRing,
};
use hosho_schema::models::document::{Document, Kind};
use sha2::{Digest as _, Sha256};

use super::process::run;

const ACCESS: Access<'static> = Access { reader: "test", reason: "compared" };

/// A document store in a folder, with its key ring.
pub struct StoredDocuments {
    store: DocumentStore,
    settings: StoreSettings,
}

/// Waits for a future, from any thread: a runtime is not entered twice by one.
fn wait<T: Send>(future: impl Future<Output = T> + Send) -> T {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    });
    std::thread::scope(|scope| scope.spawn(|| runtime.block_on(future)).join().unwrap())
}

impl StoredDocuments {
    /// Of a folder with `documents` and `hosho.keys`.
    pub fn open(folder: &Path) -> Self {
        let url = format!("file:{}", folder.join("documents").display());
        let settings = StoreSettings { url, previous_url: None, credentials: None };
        let keys = Arc::new(KeyRing::load(&folder.join("hosho.keys")).unwrap());
        let store = DocumentStore::open(&settings, keys, &Clock::system()).unwrap();
        Self { store, settings }
    }

    /// The PDF. Panics unless it is the document of the row.
    pub fn read(&self, document: &Document) -> Vec<u8> {
        let read = wait(self.store.read_notice(document, ACCESS));
        read.unwrap_or_else(|error| panic!("{}: {error}", document.location())).to_vec()
    }

    /// SHA-256 of the PDF.
    pub fn sha256(&self, document: &Document) -> String {
        hex::encode(Sha256::digest(self.read(document)))
    }

    /// Every whole document with its segment, whether a row names it or not.
    /// Also returns the number of segments with an unfinished end.
    pub fn all(&self) -> (Vec<(String, Listed)>, usize) {
        let (mut documents, mut unfinished) = (Vec::new(), 0);
        let listed = wait(store::list(&self.settings, |segment, listing| {
            let listing = listing.unwrap();
            assert_eq!(listing.problem(), None, "{segment}");
            unfinished += usize::from(matches!(listing.end, End::Unfinished { .. }));
            documents.extend(listing.documents.into_iter().map(|one| (segment.to_owned(), one)));
        }));
        listed.unwrap();
        (documents, unfinished)
    }

    /// Every notice is sealed; what begins like a PDF in clear is another document.
    pub fn assert_sealed(&self) {
        let (stored, _) = self.all();
        let count =
            |sealed: bool| stored.iter().filter(|(_, one)| one.header.data_key.is_some() == sealed).count();
        let notices = stored.iter().filter(|(_, one)| one.header.kind == Kind::Notice).count();
        assert_eq!(count(true), notices);
        let segments: BTreeSet<&str> = stored.iter().map(|(segment, _)| segment.as_str()).collect();
        let folder = Path::new(self.settings.url.strip_prefix("file:").unwrap());
        let in_clear = |segment: &str| {
            let bytes = std::fs::read(folder.join(segment)).unwrap();
            bytes.windows(5).filter(|window| window == b"%PDF-").count()
        };
        assert_eq!(segments.into_iter().map(in_clear).sum::<usize>(), count(false));
    }

    /// Checks every document of `rows`, and that any other repeats one of them.
    /// (Its worker was killed before it committed.) Returns the number of segments with an unfinished end.
    pub fn assert_are<'a>(&self, rows: impl IntoIterator<Item = &'a Document>) -> usize {
        let (mut named, mut hashes) = (BTreeSet::new(), BTreeSet::new());
        for document in rows {
            let bytes = self.read(document);
            assert_size(document, &bytes);
            assert!(bytes.starts_with(b"%PDF-") && bytes.trim_ascii_end().ends_with(b"%%EOF"));
            let place = (document.segment.clone(), document.position.cast_unsigned());
            assert!(named.insert(place), "two rows name {}", document.location());
            hashes.insert(document.sha256.clone());
        }
        let (stored, unfinished) = self.all();
        let places = stored.iter().map(|(segment, one)| (segment.clone(), one.position));
        let stored_places: BTreeSet<_> = places.collect();
        assert!(named.is_subset(&stored_places), "the store lists fewer documents than rows name");
        for (segment, one) in &stored {
            let at = one.position;
            assert!(
                hashes.contains(&one.header.sha256),
                "no row is like {segment} at {at}: {:?}",
                one.header
            );
        }
        unfinished
    }
}

/// Compares the size in the row; that of a sealed notice hides its length.
pub fn assert_size(document: &Document, bytes: &[u8]) {
    let sealed = |length: usize| 24 + (length + 1).next_multiple_of(4096) + 16;
    let expected = if document.kind == Kind::Notice { sealed(bytes.len()) } else { bytes.len() };
    assert_eq!(document.size.cast_unsigned(), expected as u64, "{}", document.location());
}

/// The text of a PDF as pdftotext extracts it.
pub fn pdf_text(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let mut command = std::process::Command::new("pdftotext");
    command.args(["-raw", "-enc", "UTF-8"]).arg(file.path()).arg("-");
    let output = run(command);
    assert!(output.status.success(), "pdftotext: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

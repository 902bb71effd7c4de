//! One suite over every document store: a folder, and S3-compatible servers.

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::Write as _,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hosho::{
    clock::Clock,
    documents::store::{
        self, Access, BucketCredentials, DocumentStore, NewDocument, StoreError, StoreSettings, Stored,
        frame::End,
    },
    keys::KeyRing,
    secret::Secret,
};
use hosho_schema::{
    ids,
    models::document::{Document, Kind},
};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{
    process::{eventually, spawn},
    s3::{self, S3Server},
};

const ACCESS: Access<'static> = Access { reader: "test", reason: "test" };

/// The keys and settings of one store.
pub struct Place {
    folder: tempfile::TempDir,
    settings: StoreSettings,
    keys: Arc<KeyRing>,
}

impl Place {
    fn folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}", folder.path().join("documents").display());
        Self::of(folder, url)
    }

    fn bucket(server: &S3Server, prefix: &str) -> Self {
        Self::of(tempfile::tempdir().unwrap(), server.url(prefix))
    }

    pub fn of(folder: tempfile::TempDir, url: String) -> Self {
        let credentials = Some(BucketCredentials {
            access_key_id: Secret::new(s3::KEY_ID),
            secret_access_key: Secret::new(s3::SECRET),
        });
        let settings = StoreSettings { url, previous_url: None, credentials };
        let keys = Arc::new(KeyRing::load_or_create(&folder.path().join("keys")).ok().unwrap());
        Self { folder, settings, keys }
    }

    /// A store as another process opens it.
    pub fn open(&self) -> DocumentStore {
        DocumentStore::open(&self.settings, Arc::clone(&self.keys), &Clock::system()).unwrap()
    }
}

pub fn document(number: u32, kind: Kind, bytes: &[u8]) -> NewDocument {
    NewDocument {
        number: format!("31075-{number:05}M"),
        guarantee: ids::guarantee("application", i64::from(number)),
        revision: 0,
        kind,
        run: None,
        identity: "fonts and templates".to_owned(),
        stored_at: None,
        bytes: bytes.to_vec().into(),
    }
}

/// The row of a stored document.
fn row(number: u32, stored: &Stored) -> Document {
    let revision = ids::revision(&ids::guarantee("application", i64::from(number)), 0);
    stored.row(revision, "fonts and templates".to_owned(), String::new())
}

async fn put(store: &DocumentStore, documents: Vec<NewDocument>) -> Vec<Stored> {
    store.put(documents.into()).await.unwrap()
}

async fn reads_stored_documents(place: &Place) {
    let (writer, reader) = (place.open(), place.open());
    let (certificate, notice) = (vec![b'c'; 100_000], vec![b'n'; 70_000]);
    let stored =
        put(&writer, vec![document(1, Kind::Certificate, &certificate), document(1, Kind::Notice, &notice)])
            .await;
    assert_eq!(reader.read(&row(1, &stored[0])).await.unwrap(), certificate);
    assert_eq!(*reader.read_notice(&row(1, &stored[1]), ACCESS).await.unwrap(), notice);
    // A notice is read with its reason only.
    assert!(matches!(reader.read(&row(1, &stored[1])).await.unwrap_err(), StoreError::Location { .. }));
    // The row of another guarantee does not read it.
    let swapped = Document { revision_id: row(2, &stored[1]).revision_id, ..row(1, &stored[1]) };
    let error = reader.read_notice(&swapped, ACCESS).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let missing = Document { segment: stored[0].segment.replace("-00001", "-99999"), ..row(1, &stored[0]) };
    assert!(matches!(reader.read(&missing).await.unwrap_err(), StoreError::Missing { .. }));
    let beyond = Document { position: 10_000_000, ..row(1, &stored[0]) };
    let error = reader.read(&beyond).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    // What holds a key is sealed, and its hash is keyed.
    let listing = reader.documents(&stored[1].segment).await.unwrap();
    let header =
        |kind: Kind| &listing.documents.iter().find(|listed| listed.header.kind == kind).unwrap().header;
    let sha256 = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    assert_eq!(
        (&header(Kind::Certificate).sha256, &stored[0].sha256),
        (&sha256(&certificate), &sha256(&certificate))
    );
    assert_eq!(header(Kind::Notice).sha256, stored[1].sha256);
    assert_ne!(stored[1].sha256, sha256(&notice));
    assert!(header(Kind::Notice).data_key.is_some() && header(Kind::Certificate).data_key.is_none());
    for name in ["../keys", "segments/../keys.seg", "/etc/passwd", "segments/2026-12-01/.seg", ""] {
        let outside = Document { segment: name.to_owned(), ..row(1, &stored[0]) };
        assert!(matches!(reader.read(&outside).await.unwrap_err(), StoreError::Location { .. }), "{name}");
    }
}

async fn lists_everything_without_keys(place: &Place) {
    let store = place.open();
    let mut stored = Vec::new();
    for number in 1..=5 {
        stored.extend(put(&store, vec![document(number, Kind::Certificate, &[b'c'; 1000])]).await);
    }
    store.close().await;
    let mut listed = Vec::new();
    store::list(&place.settings, |segment, listing| {
        let listing = listing.unwrap();
        assert_eq!(listing.end, End::Sealed, "{segment}");
        listed.extend(listing.documents.into_iter().map(|document| (segment.to_owned(), document)));
    })
    .await
    .unwrap();
    assert_eq!(listed.len(), 5);
    for (number, stored) in (1..).zip(&stored) {
        let (segment, document) = listed
            .iter()
            .find(|(_, document)| document.header.number == format!("31075-{number:05}M"))
            .unwrap();
        assert_eq!((segment.as_str(), document.position), (&*stored.segment, stored.position));
        assert_eq!((&document.header.sha256, document.header.size), (&stored.sha256, 1000));
    }
}

/// Of many processes that replace the same version, one succeeds.
async fn register_has_one_winner(place: &Place) {
    let stores: Vec<DocumentStore> = (0..16).map(|_| place.open()).collect();
    assert_eq!(stores[0].record("block").await.unwrap(), None);
    let mut version: Option<String> = None;
    for round in 0..4_u8 {
        let values: Vec<Vec<u8>> = (0..16).map(|racer| vec![round, racer, b'\n', 0]).collect();
        let racers = stores.iter().zip(&values);
        let raced = racers.map(|(store, value)| store.set_record("block", version.as_deref(), value));
        let raced: Vec<Option<String>> =
            futures_util::future::join_all(raced).await.into_iter().map(Result::unwrap).collect();
        let winners: Vec<usize> = (0..16).filter(|racer| raced[*racer].is_some()).collect();
        assert_eq!(winners.len(), 1, "round {round}: {raced:?}");
        let (value, now) = stores[1].record("block").await.unwrap().unwrap();
        assert_eq!((&value, Some(&now)), (&values[winners[0]], raced[winners[0]].as_ref()));
        // A version of before, and that of no record, are refused.
        assert_eq!(stores[2].set_record("block", version.as_deref(), b"late").await.unwrap(), None);
        version = Some(now);
    }
    // The same value again is another version.
    let (value, before) = stores[0].record("block").await.unwrap().unwrap();
    let after = stores[0].set_record("block", Some(&before), &value).await.unwrap().unwrap();
    assert_ne!(before, after);
    assert_eq!(stores[0].set_record("block", Some(&before), &value).await.unwrap(), None);
}

#[tokio::test]
async fn sealed_documents_are_not_in_clear() {
    let place = Place::folder();
    let (clear, sealed) = ([b'c'; 1000], [b'n'; 1000]);
    let stored =
        put(&place.open(), vec![document(1, Kind::Certificate, &clear), document(1, Kind::Notice, &sealed)])
            .await;
    let bytes = std::fs::read(place.folder.path().join("documents").join(&*stored[0].segment)).unwrap();
    let has = |byte: u8| bytes.windows(8).any(|window| window == [byte; 8]);
    assert!(has(b'c') && !has(b'n'));
}

/// As when its disk is not mounted.
#[tokio::test]
async fn another_folder_in_its_place_is_refused() {
    let place = Place::folder();
    let store = place.open();
    let identity = store.identify(&BTreeMap::new()).await.unwrap();
    assert_eq!(place.open().identify(&BTreeMap::new()).await.unwrap(), identity);
    let known = |identity: &str| BTreeMap::from([("folder".to_owned(), identity.to_owned())]);
    let stored = put(&store, vec![document(1, Kind::Certificate, b"%PDF-1.7 a")]).await;
    let (root, aside) = (place.folder.path().join("documents"), place.folder.path().join("aside"));
    std::fs::rename(&root, &aside).unwrap();
    std::fs::create_dir(&root).unwrap();
    for _ in 0..2 {
        let refused =
            store.put(vec![document(2, Kind::Certificate, b"%PDF-1.7 b")].into()).await.unwrap_err();
        let probed = store.probe().await.unwrap_err();
        let read = store.read(&row(1, &stored[0])).await.unwrap_err();
        for error in [refused, probed, read] {
            assert!(error.is_unavailable(), "{error:?}");
        }
    }
    for is_there in [true, false] {
        for store in [place.open(), place.open()] {
            assert!(store.identify(&known(&identity)).await.unwrap_err().is_unavailable());
            assert!(store.check_identity(&known(&identity)).await.unwrap_err().is_unavailable());
        }
        if is_there {
            assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
            std::fs::remove_dir(&root).unwrap();
        }
    }
    assert!(!root.exists());
    std::fs::rename(&aside, &root).unwrap();
    assert_eq!(store.read(&row(1, &stored[0])).await.unwrap(), b"%PDF-1.7 a");
    put(&store, vec![document(2, Kind::Certificate, b"%PDF-1.7 b")]).await;
    let error = place.open().identify(&known("0123456789abcdef")).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
}

/// The store is waited for; its documents are not missing.
#[tokio::test]
async fn bucket_that_is_gone_is_unavailable() {
    let server = S3Server::start(s3::Kind::Moto);
    let place = Place::bucket(&server, "one");
    let store = place.open();
    let identity = store.identify(&BTreeMap::new()).await.unwrap();
    let stored = put(&store, vec![document(1, Kind::Certificate, b"%PDF-1.7 a")]).await;
    let missing = Document { segment: stored[0].segment.replace("-00001", "-99999"), ..row(1, &stored[0]) };
    assert!(matches!(store.read(&missing).await.unwrap_err(), StoreError::Missing { .. }));
    let known = BTreeMap::from([("bucket".to_owned(), identity)]);
    let elsewhere = Place::bucket(&server, "two");
    assert!(elsewhere.open().check_identity(&known).await.unwrap_err().is_unavailable());
    let absent =
        StoreSettings { url: place.settings.url.replace("documents", "absent"), ..place.settings.clone() };
    let absent = DocumentStore::open(&absent, Arc::clone(&place.keys), &Clock::system()).unwrap();
    assert!(absent.check_identity(&BTreeMap::new()).await.unwrap_err().is_unavailable());
    assert!(absent.read(&row(1, &stored[0])).await.unwrap_err().is_unavailable());
}

/// One document that cannot be read says nothing about the others.
#[tokio::test]
async fn unreadable_segment_is_damaged() {
    let place = Place::folder();
    let store = place.open();
    let stored = put(&store, vec![document(1, Kind::Certificate, b"%PDF-1.7 a")]).await;
    let path = place.folder.path().join("documents").join(&*stored[0].segment);
    store.close().await;
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let error = store.read(&row(1, &stored[0])).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(store.segments().await.unwrap().is_empty());
}

#[tokio::test]
async fn damaged_or_cut_segments_are_not_sealed() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::folder();
    let store = place.open();
    let bodies = [b"%PDF-1.7 a", b"%PDF-1.7 b", b"%PDF-1.7 c"];
    let new = |(number, body): (u32, &&[u8; 10])| document(number, Kind::Certificate, body.as_slice());
    let stored = put(&store, (1..).zip(&bodies).map(new).collect()).await;
    let segment = &*stored[0].segment;
    let folder = place.folder.path().join("documents").join(segment.rsplit_once('/').unwrap().0);
    let whole = std::fs::read(place.folder.path().join("documents").join(segment)).unwrap();
    let end = |index: usize| usize::try_from(stored[index].position + stored[index].length).unwrap();
    let (mut damaged, mut last) = (whole.clone(), whole.clone());
    damaged[end(0) - 1] ^= 1;
    last[end(2) - 1] ^= 1;
    for (number, bytes, named_end, is_sealed) in [
        (1, &whole[..], end(2), true),
        // Cut at the end of a frame; a row names the next.
        (2, &whole[..end(1)], end(2), false),
        (3, &whole[..end(1) + 9], end(2), false),
        (4, &whole[..end(1) + 9], end(1), true),
        // Damage with whole frames behind it, which no row may name yet.
        (5, &damaged[..], 0, false),
        // Damage in the last frame.
        (6, &last[..], 0, false),
    ] {
        let file = folder.join(format!("0123456789abcdef-{number:05}.seg"));
        std::fs::write(&file, bytes).unwrap();
        let name = format!("{}/0123456789abcdef-{number:05}.seg", segment.rsplit_once('/').unwrap().0);
        let checked = store.seal_abandoned(&name, named_end as u64, true).await;
        assert_eq!((checked.is_ok(), std::fs::read(&file).unwrap()), (is_sealed, bytes.to_vec()), "{number}");
        let sealed = store.seal_abandoned(&name, named_end as u64, false).await;
        match (is_sealed, &sealed) {
            (true, Ok(true)) => {}
            (false, Err(StoreError::Damaged { .. })) => assert_eq!(std::fs::read(&file).unwrap(), bytes),
            _ => panic!("{number}: {sealed:?}"),
        }
    }
    // A sealed segment is never cut, however it looks.
    store.close().await;
    let sealed = std::fs::read(place.folder.path().join("documents").join(segment)).unwrap();
    let name = format!("{}/0123456789abcdef-00007.seg", segment.rsplit_once('/').unwrap().0);
    let file = folder.join("0123456789abcdef-00007.seg");
    for flipped in [end(1) + 60, end(2) - 1, end(2) + 1] {
        for cut in [sealed.len(), sealed.len() - 1, end(2), end(2) - 1] {
            let mut bytes = sealed[..cut].to_vec();
            if let Some(byte) = bytes.get_mut(flipped) {
                *byte ^= 1;
            }
            std::fs::write(&file, &bytes).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o400)).unwrap();
            let error = store.seal_abandoned(&name, 0, false).await.unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{flipped} {cut}: {error}");
            assert_eq!(std::fs::read(&file).unwrap(), bytes);
            assert!(store.documents(&name).await.unwrap().problem().is_some());
            std::fs::remove_file(&file).unwrap();
        }
    }
    // The documents behind the damage are listed.
    let name = format!("{}/0123456789abcdef-00005.seg", segment.rsplit_once('/').unwrap().0);
    assert_eq!(store.documents(&name).await.unwrap().documents.len(), 2);
}

#[tokio::test]
async fn folder_conforms() {
    let place = Place::folder();
    place.open().probe().await.unwrap();
    reads_stored_documents(&place).await;
    register_has_one_winner(&place).await;
    lists_everything_without_keys(&Place::folder()).await;
}

#[tokio::test]
async fn bucket_conforms() {
    let server = S3Server::start(s3::Kind::Moto);
    let place = Place::bucket(&server, "one");
    place.open().probe().await.unwrap();
    reads_stored_documents(&place).await;
    register_has_one_winner(&place).await;
    // Another prefix is another store.
    lists_everything_without_keys(&Place::bucket(&server, "two/deep")).await;
    lists_everything_without_keys(&Place::bucket(&server, "")).await;
}

#[tokio::test]
async fn bucket_that_checks_checksums_conforms() {
    let server = S3Server::start(s3::Kind::S3sFs);
    let place = Place::bucket(&server, "one");
    place.open().probe().await.unwrap();
    reads_stored_documents(&place).await;
    lists_everything_without_keys(&Place::bucket(&server, "two")).await;
}

#[tokio::test]
async fn every_changed_object_is_damaged() {
    let server = S3Server::start(s3::Kind::S3sFs);
    let place = Place::bucket(&server, "one");
    let stored = put(&place.open(), vec![document(1, Kind::Notice, &[b'n'; 3_000])]).await;
    let file = server.file("one").join(&*stored[0].segment);
    let whole = std::fs::read(&file).unwrap();
    for byte in (0..usize::try_from(stored[0].length).unwrap()).step_by(97) {
        let mut changed = whole.clone();
        changed[byte] ^= 1;
        std::fs::write(&file, changed).unwrap();
        let error = place.open().read_notice(&row(1, &stored[0]), ACCESS).await.unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{byte}: {error}");
    }
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let error = place.open().read_notice(&row(1, &stored[0]), ACCESS).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    std::fs::write(&file, whole).unwrap();
    place.open().read_notice(&row(1, &stored[0]), ACCESS).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_for_a_bucket_that_is_away() {
    let mut server = S3Server::start(s3::Kind::S3sFs);
    let place = Place::bucket(&server, "one");
    let store = place.open();
    put(&store, vec![document(1, Kind::Certificate, b"%PDF-1.7 before")]).await;
    server.kill();
    let again = store.put(vec![document(2, Kind::Certificate, b"%PDF-1.7 while away")].into());
    let (stored, ()) = tokio::join!(again, async {
        // Several attempts fail before the server is back.
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", server.port)).await.unwrap();
        for _ in 0..3 {
            drop(listener.accept().await.unwrap());
        }
        drop(listener);
        tokio::task::block_in_place(|| server.restart());
    });
    let stored = stored.unwrap();
    assert_eq!(store.read(&row(2, &stored[0])).await.unwrap(), b"%PDF-1.7 while away");
}

/// Between the store and its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// A bit of each document flips on its way to the server.
    Flip,
    /// The server gets the first put; its answer is lost.
    LoseAnswer,
}

/// Forwards connections to a server, with a fault. Returns its own port.
async fn faulty(server_port: u16, fault: Fault) -> u16 {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let loses = Arc::new(AtomicBool::new(fault == Fault::LoseAnswer));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = tokio::net::TcpStream::connect(("127.0.0.1", server_port)).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let is_put = Arc::new(AtomicBool::new(false));
            let (sees_put, loses) = (Arc::clone(&is_put), Arc::clone(&loses));
            tokio::spawn(async move {
                let mut bytes = vec![0; 1 << 20];
                while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
                    sees_put.fetch_or(bytes.starts_with(b"PUT "), Ordering::SeqCst);
                    let body = bytes[..count].windows(5).position(|window| window == b"%PDF-");
                    if let (Fault::Flip, Some(place)) = (fault, body) {
                        bytes[place] ^= 1;
                    }
                    to_server.write_all(&bytes[..count]).await.unwrap();
                }
            });
            tokio::spawn(async move {
                let mut bytes = vec![0; 1 << 20];
                while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
                    if is_put.load(Ordering::SeqCst) && loses.swap(false, Ordering::SeqCst) {
                        return;
                    }
                    to_client.write_all(&bytes[..count]).await.unwrap();
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn changed_bytes_are_refused_by_the_server() {
    let server = S3Server::start(s3::Kind::S3sFs);
    let port = faulty(server.port, Fault::Flip).await;
    let url = server.url("one").replace(&server.port.to_string(), &port.to_string());
    let store = Place::of(tempfile::tempdir().unwrap(), url).open();
    let error = store.put(vec![document(1, Kind::Certificate, b"%PDF-1.7 a")].into()).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    assert!(Place::bucket(&server, "one").open().segments().await.unwrap().is_empty());
}

/// The put is repeated, and finds what it stored itself.
#[tokio::test]
async fn lost_answer_of_a_put_is_success() {
    let server = S3Server::start(s3::Kind::Moto);
    for prefix in ["documents", "register"] {
        let port = faulty(server.port, Fault::LoseAnswer).await;
        let url = server.url(prefix).replace(&server.port.to_string(), &port.to_string());
        let (place, direct) = (Place::of(tempfile::tempdir().unwrap(), url), Place::bucket(&server, prefix));
        let store = place.open();
        if prefix == "documents" {
            let stored = put(&store, vec![document(1, Kind::Certificate, b"%PDF-1.7 a")]).await;
            assert_eq!(store.read(&row(1, &stored[0])).await.unwrap(), b"%PDF-1.7 a");
            assert_eq!(direct.open().segments().await.unwrap().len(), 1);
        } else {
            let version = store.set_record("block", None, b"1").await.unwrap().unwrap();
            assert_eq!(direct.open().record("block").await.unwrap(), Some((b"1".to_vec(), version)));
        }
    }
}

#[tokio::test]
async fn concurrent_batches_share_segments() {
    let place = Place::folder();
    let store = place.open();
    let puts =
        (1..=64).map(|number| store.put(vec![document(number, Kind::Certificate, &[7; 9_000])].into()));
    let stored: Vec<Stored> =
        futures_util::future::join_all(puts).await.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(stored.iter().map(|stored| &stored.segment).collect::<HashSet<_>>().len(), 1);
    for (number, stored) in (1..).zip(&stored) {
        assert_eq!(store.read(&row(number, stored)).await.unwrap(), [7; 9_000]);
    }
}

#[tokio::test]
async fn seals_what_a_dead_process_left() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::folder();
    let store = place.open();
    let stored = put(&store, vec![document(1, Kind::Certificate, b"%PDF-1.7 whole")]).await;
    let segment = &*stored[0].segment;
    // It lives.
    assert!(!place.open().seal_abandoned(segment, 0, false).await.unwrap());
    let path = place.folder.path().join("documents").join(segment);
    let whole = std::fs::read(&path).unwrap();
    // As after a kill in the middle of the next write: a copy has no lock.
    let torn = path.with_file_name("0123456789abcdef-00001.seg");
    std::fs::write(&torn, [&whole[..], &whole[..whole.len() / 2]].concat()).unwrap();
    let name = format!("{}/0123456789abcdef-00001.seg", segment.rsplit_once('/').unwrap().0);
    let listing = place.open().documents(&name).await.unwrap();
    assert_eq!(listing.documents.len(), 1);
    assert_eq!(listing.end, End::Unfinished { position: whole.len() as u64 });
    assert!(place.open().seal_abandoned(&name, 0, false).await.unwrap());
    let listing = place.open().documents(&name).await.unwrap();
    assert_eq!((listing.documents.len(), listing.end), (1, End::Sealed));
    assert_eq!(std::fs::metadata(&torn).unwrap().permissions().mode() & 0o777, 0o400);
    // A second time nothing changes.
    let sealed = std::fs::read(&torn).unwrap();
    assert!(place.open().seal_abandoned(&name, 0, false).await.unwrap());
    assert_eq!(std::fs::read(&torn).unwrap(), sealed);
}

/// The folder of a store; set in the child process that writes until it is killed.
const WRITER: &str = "HOSHO_STORE_WRITER";

/// Writes batches, and the places of each durable batch to a file.
fn write_until_killed(folder: &Path) {
    let url = format!("file://{}", folder.join("documents").display());
    let settings = StoreSettings { url, previous_url: None, credentials: None };
    let keys = Arc::new(KeyRing::load(&folder.join("keys")).unwrap());
    let store = DocumentStore::open(&settings, keys, &Clock::system()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut log = File::options().append(true).create(true).open(folder.join("stored")).unwrap();
    for first in (1..90_000).step_by(20) {
        let size = |number: u32| 1_000 + number as usize * 7_919 % 90_000;
        let batch: Vec<NewDocument> = (first..first + 20)
            .map(|number| document(number, Kind::Certificate, &vec![b'x'; size(number)]))
            .collect();
        let stored = runtime.block_on(store.put(batch.into())).unwrap();
        let lines = (first..).zip(stored).map(|(number, stored)| {
            let Stored { segment, position, length, sha256, size, .. } = stored;
            format!("{number} {segment} {position} {length} {sha256} {size}\n")
        });
        log.write_all(lines.collect::<String>().as_bytes()).unwrap();
    }
}

fn stored_of(line: &str) -> (u32, Stored) {
    let [number, segment, position, length, sha256, size] = line.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{line}")
    };
    let stored = Stored {
        kind: Kind::Certificate,
        segment: segment.into(),
        position: position.parse().unwrap(),
        length: length.parse().unwrap(),
        sha256: sha256.to_owned(),
        size: size.parse().unwrap(),
        stored_at: Clock::system().now(),
    };
    (number.parse().unwrap(), stored)
}

/// Kills a writer after so many stored documents each.
const KILLS: [usize; 6] = [1, 340, 60, 1_200, 20, 700];

#[tokio::test]
async fn killed_writers_leave_whole_documents() {
    if let Some(folder) = std::env::var_os(WRITER) {
        return tokio::task::spawn_blocking(move || write_until_killed(Path::new(&folder))).await.unwrap();
    }
    let place = Place::folder();
    let folder = place.folder.path();
    let stored = || std::fs::read_to_string(folder.join("stored")).unwrap_or_default();
    for kill in KILLS {
        let (before, mut command) =
            (stored().lines().count(), Command::new(std::env::current_exe().unwrap()));
        command.args(["--exact", "documents::store::killed_writers_leave_whole_documents", "--nocapture"]);
        command.env(WRITER, folder);
        let mut writer = spawn(command, &folder.join("log"));
        eventually("stored documents", Duration::from_mins(1), || {
            assert!(writer.is_alive(), "{}", writer.output());
            (stored().lines().count() >= before + kill).then_some(())
        });
        writer.kill9();
    }
    let text = stored();
    // The last line may be incomplete.
    let acknowledged: Vec<(u32, Stored)> = text[..text.rfind('\n').unwrap()].lines().map(stored_of).collect();
    let store = place.open();
    let mut whole = HashSet::new();
    let segments = store.segments().await.unwrap();
    assert_eq!(segments.len(), KILLS.len());
    for segment in &segments {
        let before = store.documents(&segment.name).await.unwrap();
        assert_ne!(before.end, End::Sealed, "{segment:?}");
        assert!(store.seal_abandoned(&segment.name, 0, false).await.unwrap(), "{segment:?}");
        let after = store.documents(&segment.name).await.unwrap();
        assert_eq!((after.documents.len(), after.end), (before.documents.len(), End::Sealed));
        whole.extend(after.documents.iter().map(|document| (segment.name.clone(), document.position)));
    }
    for (number, stored) in &acknowledged {
        assert!(whole.contains(&(stored.segment.to_string(), stored.position)), "{stored:?}");
        let read = store.read(&row(*number, stored)).await.unwrap();
        assert_eq!(read.len() as u64, stored.size);
    }
}

/// A segment that is cut anywhere keeps the documents before the cut.
#[tokio::test]
async fn cut_segments_keep_whole_documents() {
    let place = Place::folder();
    let store = place.open();
    let batch = (1..=12).map(|number| document(number, Kind::Notice, &vec![b'n'; 500 * number as usize]));
    let stored = put(&store, batch.collect()).await;
    store.close().await;
    let path = place.folder.path().join("documents").join(&*stored[0].segment);
    let whole = std::fs::read(&path).unwrap();
    for cut in (0..whole.len()).step_by(211) {
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, &whole[..cut]).unwrap();
        let listing = store.documents(&stored[0].segment).await.unwrap();
        let kept = stored.iter().filter(|stored| stored.position + stored.length <= cut as u64).count();
        assert_eq!(listing.documents.len(), kept, "{cut}");
        assert_ne!(listing.end, End::Sealed, "{cut}");
        for (number, stored) in (1..).zip(&stored) {
            let read = store.read_notice(&row(number, stored), ACCESS).await;
            assert_eq!(read.is_ok(), number as usize <= kept, "{cut}: {read:?}");
        }
    }
}

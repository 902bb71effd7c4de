//! Documents stored a second on this disk: `cargo bench --bench store -- FOLDER`.
//!
//! Eight batches are under way at a time, each of sixteen documents of 45 KB, as in the render stage. A batch
//! is done when it is durable. The ways alternate, so that each meets the same disturbances.
//!
//! | way | a batch |
//! |---|---|
//! | `segments` | the document store: hashed, sealed, appended; concurrent batches share a sync |
//! | `file each` | the store before segments: hashed, written, synced and renamed by one of sixteen threads |
//! | `syncfs` | hashed and written, one `syncfs`, then all renamed and their folder synced |
//! | `zeroed` | as `segments`, but without sealing, and into a file that was filled with zeros before |

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a failure aborts the benchmark")]

use std::{
    fs::File,
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use hosho::{
    clock::Clock,
    documents::store::{DocumentStore, NewDocument, StoreSettings},
    keys::KeyRing,
};
use hosho_schema::{ids, models::document::Kind};
use sha2::{Digest as _, Sha256};

const DOCUMENT_BYTES: usize = 45 * 1024;
const BATCH: usize = 16;
const UNDER_WAY: usize = 8;
/// Batches of one round of a way.
const BATCHES: usize = 96;
const ROUNDS: usize = 5;

fn main() {
    let parent = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = tempfile::tempdir_in(parent.unwrap_or_else(|| ".".to_owned())).unwrap();
    let root = |way: &str, round: usize| {
        let root = folder.path().join(format!("{way}-{round}"));
        std::fs::create_dir(&root).unwrap();
        root
    };
    let mut spent = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        spent[0].push(segments(&root("segments", round), round));
        spent[1].push(file_each(&root("files", round), round));
        spent[2].push(syncfs(&root("syncfs", round), round));
        spent[3].push(zeroed(&root("zeroed", round), round));
    }
    println!(
        "| way | documents a second | processor time, µs each | against `file each` |\n|---|---|---|---|"
    );
    let median = |spent: &[(Duration, Duration)]| {
        let mut sorted = spent.to_vec();
        sorted.sort();
        sorted[ROUNDS / 2]
    };
    let count = f64::from(u32::try_from(BATCHES * BATCH).unwrap());
    let base = median(&spent[1]).0.as_secs_f64();
    for (way, spent) in ["segments", "file each", "syncfs", "zeroed"].into_iter().zip(&spent) {
        let (elapsed, processor) = median(spent);
        println!(
            "| `{way}` | {:.0} | {:.0} | {:.1} |",
            count / elapsed.as_secs_f64(),
            processor.as_secs_f64() * 1e6 / count,
            base / elapsed.as_secs_f64()
        );
    }
}

/// Incompressible, different for each document.
fn body(round: usize, batch: usize, place: usize) -> Vec<u8> {
    let seed = ((round * BATCHES + batch) * BATCH + place) as u64;
    let blocks =
        (0..DOCUMENT_BYTES as u64 / 32).map(|block| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ block);
    blocks.flat_map(|word| word.to_le_bytes().repeat(4)).collect()
}

fn bodies(round: usize, batch: usize) -> Vec<Vec<u8>> {
    (0..BATCH).map(|place| body(round, batch, place)).collect()
}

/// Processor time of this process so far.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// Elapsed and processor time of the batches, which are made before.
fn timed(round: usize, work: impl FnOnce(Vec<Vec<Vec<u8>>>)) -> (Duration, Duration) {
    let batches = (0..BATCHES).map(|batch| bodies(round, batch)).collect();
    let (began, processor) = (Instant::now(), processor_time());
    work(batches);
    (began.elapsed(), processor_time().checked_sub(processor).unwrap())
}

/// Passes the batches to threads, several at a time.
fn on_threads<T: Send>(items: Vec<T>, threads: usize, work: impl Fn(T) + Sync) {
    let items = Mutex::new(items.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = items.lock().unwrap().next();
                    let Some(item) = next else { return };
                    work(item);
                }
            });
        }
    });
}

fn segments(root: &Path, round: usize) -> (Duration, Duration) {
    let keys = Arc::new(KeyRing::load_or_create(&root.join("keys")).unwrap());
    let url = format!("file:{}", root.join("documents").display());
    let settings = StoreSettings { url, previous_url: None, credentials: None };
    let store = DocumentStore::open(&settings, keys, &Clock::system()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    timed(round, |batches| {
        let under_way = tokio::sync::Semaphore::new(UNDER_WAY);
        let put = async |batch: usize, bodies: Vec<Vec<u8>>| {
            let _permit = under_way.acquire().await.unwrap();
            let documents: Vec<NewDocument> = bodies
                .into_iter()
                .enumerate()
                .map(|(place, bytes)| NewDocument {
                    number: format!("31075-{:05}M", batch * BATCH + place),
                    guarantee: ids::guarantee("application", i64::try_from(batch * BATCH + place).unwrap()),
                    revision: 0,
                    kind: if place % 2 == 0 { Kind::Certificate } else { Kind::Notice },
                    run: None,
                    identity: "fonts and templates".to_owned(),
                    stored_at: None,
                    bytes: bytes.into(),
                })
                .collect();
            store.put(documents.into()).await.unwrap();
        };
        runtime.block_on(async {
            let puts = batches.into_iter().enumerate().map(|(batch, bodies)| put(batch, bodies));
            futures_util::future::join_all(puts).await;
        });
    })
}

fn name_of(bytes: &[u8]) -> (String, String) {
    let sha256 = hex::encode(Sha256::digest(bytes));
    (sha256[..2].to_owned(), sha256)
}

fn file_each(root: &Path, round: usize) -> (Duration, Duration) {
    timed(round, |batches| {
        on_threads(batches.into_iter().flatten().collect(), 16, |bytes: Vec<u8>| {
            let (shard, name) = name_of(&bytes);
            let folder = root.join(shard);
            std::fs::create_dir_all(&folder).unwrap();
            let mut file = tempfile::NamedTempFile::new_in(&folder).unwrap();
            file.write_all(&bytes).unwrap();
            file.as_file().sync_data().unwrap();
            file.persist(folder.join(name)).unwrap();
            File::open(&folder).unwrap().sync_all().unwrap();
        });
    })
}

fn syncfs(root: &Path, round: usize) -> (Duration, Duration) {
    timed(round, |batches| {
        on_threads(batches, UNDER_WAY, |batch| {
            let mut written: Vec<(PathBuf, PathBuf)> = Vec::new();
            for bytes in batch {
                let (_, name) = name_of(&bytes);
                let part = root.join(format!("{name}.part"));
                File::create(&part).unwrap().write_all(&bytes).unwrap();
                written.push((part, root.join(name)));
            }
            let folder = File::open(root).unwrap();
            rustix::fs::syncfs(&folder).unwrap();
            for (part, path) in written {
                std::fs::rename(part, path).unwrap();
            }
            folder.sync_all().unwrap();
        });
    })
}

fn zeroed(root: &Path, round: usize) -> (Duration, Duration) {
    let file = File::create(root.join("segment")).unwrap();
    let mut rest = BATCHES * BATCH * (DOCUMENT_BYTES + 1024);
    let zeros = vec![0; 1 << 20];
    while rest > 0 {
        let bytes = rest.min(zeros.len());
        (&file).write_all(&zeros[..bytes]).unwrap();
        rest -= bytes;
    }
    file.sync_all().unwrap();
    timed(round, |batches| {
        let (sender, requests) = mpsc::channel::<(Vec<u8>, mpsc::Sender<()>)>();
        std::thread::scope(|scope| {
            let file = &file;
            scope.spawn(move || {
                let mut position = 0;
                while let Ok(first) = requests.recv() {
                    let together: Vec<_> = std::iter::once(first).chain(requests.try_iter()).collect();
                    for (bytes, _) in &together {
                        file.write_all_at(bytes, position).unwrap();
                        position += bytes.len() as u64;
                    }
                    file.sync_data().unwrap();
                    for (_, done) in together {
                        done.send(()).unwrap();
                    }
                }
            });
            on_threads(batches, UNDER_WAY, |batch| {
                let frames: Vec<u8> = batch
                    .into_iter()
                    .flat_map(|bytes| [Sha256::digest(&bytes).to_vec(), bytes].concat())
                    .collect();
                let (done, is_done) = mpsc::channel();
                sender.send((frames, done)).unwrap();
                is_done.recv().unwrap();
            });
            drop(sender);
        });
    })
}

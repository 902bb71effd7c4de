//! A store in a folder that all hosts share.
//!
//! Segments are below `segments/`, records below `register/`.
//!
//! A process appends to segments of its own, `segments/<day>/<process>-<number>.seg`, and holds their lock.
//! Writes that arrive while the disk is busy share the next `fdatasync`: its cost follows the number of
//! files, not of bytes (docs/bench.md). Rejected: a file each with one `syncfs` for a batch, which also
//! writes the data of neighbours; segments filled with zeros beforehand, which are written twice; `io_uring`,
//! as slow as threads.
//!
//! A segment is sealed, and immutable from then on, when it is full or an hour old, or when its process ends;
//! [`Folder::seal_abandoned`] seals what a killed process left. After a failed write or sync nothing more is
//! appended to that segment: what the disk holds of it is unknown.
//!
//! Only the owner can read: folders are 0700, segments 0600, and 0400 once sealed.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::fs::{
        DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use tracing::warn;

use super::{
    IDENTITY, Identity, Segment, Written,
    frame::{End, Frames, Tally},
    register,
};
use crate::{clock::Clock, fault::chain};

/// Bytes of a segment, unless a single batch is larger.
const FULL: u64 = 64 * 1024 * 1024;

/// A segment is sealed at this age.
const OLD: Duration = Duration::from_hours(1);

/// Bytes written before a sync at most, unless a single batch is larger.
const TOGETHER: usize = 16 * 1024 * 1024;

const SEGMENTS: &str = "segments";
const REGISTER: &str = "register";

#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) root: Arc<Path>,
    clock: Clock,
    writer: Arc<Mutex<Option<mpsc::Sender<Request>>>>,
    pub(super) identity: Identity,
}

enum Request {
    /// Whole frames, and the length of each.
    Append {
        frames: Vec<u8>,
        lengths: Vec<usize>,
        written: oneshot::Sender<io::Result<Written>>,
    },
    Seal {
        sealed: oneshot::Sender<()>,
    },
}

impl Folder {
    /// Opens a folder. One that need not exist is created at the first write.
    pub(super) fn open(root: &Path, must_exist: bool, clock: Clock) -> io::Result<Self> {
        let root: Arc<Path> = std::path::absolute(root)?.into();
        let folder = Self { root, clock, writer: Arc::default(), identity: Identity::default() };
        if must_exist {
            folder.confirm()?;
        }
        Ok(folder)
    }

    /// Fails unless the folder is there, and the one it was.
    pub(super) fn confirm(&self) -> io::Result<()> {
        if !self.root.is_dir() {
            return Err(io::Error::other(format!("there is no folder {}", self.root.display())));
        }
        self.identity.check(record(&self.root, IDENTITY)?)
    }

    /// Whether a segment is sealed: its mode forbids to write.
    pub(super) fn is_immutable(&self, name: &str) -> bool {
        std::fs::metadata(self.root.join(name)).is_ok_and(|found| found.permissions().mode() & 0o200 == 0)
    }

    /// Appends frames durably.
    pub(super) async fn append(&self, frames: Vec<u8>, lengths: Vec<usize>) -> io::Result<Written> {
        let (sender, written) = oneshot::channel();
        self.request(Request::Append { frames, lengths, written: sender })?;
        written.await.map_err(io::Error::other)?
    }

    /// Seals the open segment; the next write opens another.
    pub(super) async fn seal(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (sender, sealed) = oneshot::channel();
        if writer.is_some_and(|writer| writer.send(Request::Seal { sealed: sender }).is_ok()) {
            // An error means that the writer has ended.
            let _ = sealed.await;
        }
    }

    /// Starts the writer with the first request: most processes only read.
    fn request(&self, request: Request) -> io::Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = match &mut *writer {
            Some(sender) => sender,
            none => {
                let (sender, requests) = mpsc::channel();
                let state = Writer::new(Arc::clone(&self.root), self.clock.clone(), self.identity.clone())?;
                std::thread::Builder::new()
                    .name("documents".to_owned())
                    .spawn(move || state.run(&requests))?;
                none.insert(sender)
            }
        };
        sender.send(request).map_err(|_| {
            // The next request starts another.
            *writer = None;
            io::Error::other("the writer of the document store has ended")
        })
    }

    pub(super) fn read(&self, name: &str, position: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = File::open(self.root.join(name))?;
        // A damaged row must not ask for more memory than there is.
        if position.saturating_add(length as u64) > file.metadata()?.len() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, position)?;
        Ok(bytes)
    }

    pub(super) fn read_whole(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.root.join(name))?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The segments in the order of their names.
    pub(super) fn segments(&self) -> io::Result<Vec<Segment>> {
        let mut segments = Vec::new();
        for day in entries(&self.root.join(SEGMENTS))? {
            for path in entries(&day)? {
                let (Ok(name), Ok(metadata)) = (path.strip_prefix(&self.root), path.symlink_metadata())
                else {
                    continue;
                };
                if metadata.is_file() {
                    segments.push(Segment {
                        name: name.to_string_lossy().into_owned(),
                        bytes: metadata.len(),
                        modified: metadata.modified().unwrap_or_else(|_| self.clock.now().and_utc().into()),
                    });
                }
            }
        }
        segments.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(segments)
    }

    /// Cuts the unfinished end of a segment whose process is gone, and seals it.
    /// False if its process lives. `InvalidData`: it is damaged, or lacks what a row names; it stays as it
    /// is. `dry_run` only checks.
    pub(super) fn seal_abandoned(&self, name: &str, named_end: u64, dry_run: bool) -> io::Result<bool> {
        let path = self.root.join(name);
        if !std::fs::symlink_metadata(&path)?.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidData, "it is not a file"));
        }
        // Once sealed it is never written again.
        let is_immutable = self.is_immutable(name);
        let file = OpenOptions::new().read(true).write(!is_immutable).open(&path)?;
        if !is_immutable {
            match file.try_lock() {
                Ok(()) => {}
                Err(std::fs::TryLockError::WouldBlock) => return Ok(false),
                Err(std::fs::TryLockError::Error(error)) => return Err(error),
            }
        }
        let mut bytes = Vec::new();
        (&file).read_to_end(&mut bytes)?;
        let mut tally = Tally::default();
        let mut frames = Frames::of(&bytes);
        for (start, _) in frames.by_ref() {
            tally.add(&bytes[usize::try_from(start).unwrap_or(usize::MAX)..]);
        }
        match frames.end() {
            End::Sealed => {}
            End::Open { position } | End::Unfinished { position }
                if !is_immutable && position >= named_end =>
            {
                if !dry_run {
                    file.set_len(position)?;
                    seal(&file, position, &tally)?;
                }
            }
            End::Broken { error, .. } => {
                return Err(io::Error::new(ErrorKind::InvalidData, error.to_string()));
            }
            End::Open { .. } | End::Unfinished { .. } => {
                return Err(io::Error::new(ErrorKind::InvalidData, "its end is missing"));
            }
        }
        if !is_immutable && !dry_run {
            file.set_permissions(Permissions::from_mode(0o400))?;
        }
        Ok(true)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.root.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }?;
        // The folder of a day is removed with its last segment.
        let _ = path.parent().map(std::fs::remove_dir);
        Ok(())
    }

    /// Writes and removes a file beside the segments.
    /// Whether it read back the same, if `reads`.
    pub(super) fn probe(&self, content: &[u8], reads: bool) -> io::Result<io::Result<bool>> {
        create_root(&self.root, &self.identity)?;
        let folder = self.root.join(SEGMENTS);
        private_folders(&self.root, &folder)?;
        let mut file = temporary(&folder)?;
        file.write_all(content)?;
        file.as_file().sync_data()?;
        let read = if reads { std::fs::read(file.path()).map(|read| read == content) } else { Ok(true) };
        file.close()?;
        Ok(read)
    }

    /// The value of a record, with its version.
    pub(super) fn record(&self, name: &str) -> io::Result<Option<(Vec<u8>, String)>> {
        if self.identity.is_known() {
            self.confirm()?;
        }
        record(&self.root, name)
    }

    /// Replaces a record whose version is `expected`; `None`: that does not exist.
    /// Returns the new version, or `None` if another process was first.
    pub(super) fn set_record(
        &self,
        name: &str,
        expected: Option<&str>,
        value: &[u8],
    ) -> io::Result<Option<String>> {
        let folder = self.root.join(REGISTER);
        create_root(&self.root, &self.identity)?;
        private_folders(&self.root, &folder)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(folder.join(".lock"))?;
        // The kernel releases the lock with its process.
        lock.lock()?;
        let found = self.record(name)?.map(|(_, version)| version);
        if found.as_deref() != expected {
            return Ok(None);
        }
        let stored = register::stored(value)?;
        let mut file = temporary(&folder)?;
        file.write_all(&stored)?;
        file.as_file().sync_data()?;
        file.persist(folder.join(name)).map_err(|failed| failed.error)?;
        for folder in [&folder, &*self.root] {
            File::open(folder)?.sync_all()?;
        }
        Ok(Some(register::value(&stored)?.0.to_owned()))
    }
}

fn record(root: &Path, name: &str) -> io::Result<Option<(Vec<u8>, String)>> {
    let stored = match std::fs::read(root.join(REGISTER).join(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let (nonce, value) = register::value(&stored)?;
    Ok(Some((value.to_vec(), nonce.to_owned())))
}

struct Writer {
    root: Arc<Path>,
    clock: Clock,
    identity: Identity,
    /// Of this process: distinguishes its segments from all others.
    process: String,
    /// Segments opened so far.
    count: u32,
    open: Option<Open>,
}

struct Open {
    name: Arc<str>,
    file: File,
    position: u64,
    tally: Tally,
    since: Instant,
}

impl Open {
    /// Writes and syncs the frames of a batch.
    fn append(&mut self, batch: &[(Vec<u8>, Vec<usize>)]) -> io::Result<Vec<Written>> {
        let mut written = Vec::with_capacity(batch.len());
        for (frames, lengths) in batch {
            self.file.write_all_at(frames, self.position)?;
            written.push(Written { segment: Arc::clone(&self.name), position: self.position });
            self.position += frames.len() as u64;
            let mut rest = frames.as_slice();
            for length in lengths {
                self.tally.add(rest);
                rest = &rest[*length..];
            }
        }
        self.file.sync_data()?;
        Ok(written)
    }

    /// Fails if the folder was moved, replaced or unmounted.
    /// Then the open file is not where readers look for it.
    fn in_place(self, root: &Path) -> io::Result<Self> {
        let (found, written) = (std::fs::metadata(root.join(&*self.name))?, self.file.metadata()?);
        if (found.dev(), found.ino()) == (written.dev(), written.ino()) {
            return Ok(self);
        }
        Err(io::Error::new(ErrorKind::NotFound, format!("{} was replaced", root.display())))
    }
}

impl Writer {
    fn new(root: Arc<Path>, clock: Clock, identity: Identity) -> io::Result<Self> {
        let process = format!("{:016x}", getrandom::u64().map_err(io::Error::other)?);
        Ok(Self { root, clock, identity, process, count: 0, open: None })
    }

    /// Writes until the last [`Folder`] is dropped.
    fn run(mut self, requests: &mpsc::Receiver<Request>) {
        loop {
            let wait = self.open.as_ref().map_or(OLD, |open| OLD.saturating_sub(open.since.elapsed()));
            let mut batch = Vec::new();
            match requests.recv_timeout(wait) {
                Ok(first) => batch.push(first),
                Err(mpsc::RecvTimeoutError::Timeout) => self.seal(),
                Err(mpsc::RecvTimeoutError::Disconnected) => return self.seal(),
            }
            let mut bytes = 0;
            while bytes < TOGETHER
                && let Ok(next) = requests.try_recv()
            {
                if let Request::Append { frames, .. } = &next {
                    bytes += frames.len();
                }
                batch.push(next);
            }
            self.handle(batch);
        }
    }

    fn handle(&mut self, batch: Vec<Request>) {
        let (mut appended, mut answers, mut seals) = (Vec::new(), Vec::new(), Vec::new());
        for request in batch {
            match request {
                Request::Append { frames, lengths, written } => {
                    appended.push((frames, lengths));
                    answers.push(written);
                }
                Request::Seal { sealed } => seals.push(sealed),
            }
        }
        if !appended.is_empty() {
            let written = self.append(&appended);
            for (place, answer) in answers.into_iter().enumerate() {
                // A caller that no longer waits has left documents that no row names.
                let _ = answer.send(match &written {
                    Ok(written) => Ok(written[place].clone()),
                    Err(error) => Err(same(error)),
                });
            }
        }
        if !seals.is_empty() {
            self.seal();
        }
        for sealed in seals {
            let _ = sealed.send(());
        }
    }

    fn append(&mut self, batch: &[(Vec<u8>, Vec<usize>)]) -> io::Result<Vec<Written>> {
        let bytes: u64 = batch.iter().map(|(frames, _)| frames.len() as u64).sum();
        if self.open.as_ref().is_some_and(|open| open.position > 0 && open.position + bytes > FULL) {
            self.seal();
        }
        // Kept only if all of it succeeds.
        let mut open = match self.open.take() {
            Some(open) => open.in_place(&self.root)?,
            None => self.create()?,
        };
        let acknowledged = open.position;
        let written = open.append(batch).inspect_err(|_| {
            // Frees the space of a full disk; the job seals what is there already.
            let _ = if acknowledged == 0 {
                std::fs::remove_file(self.root.join(&*open.name))
            } else {
                open.file.set_len(acknowledged)
            };
        })?;
        self.open = Some(open);
        Ok(written)
    }

    fn create(&mut self) -> io::Result<Open> {
        create_root(&self.root, &self.identity)?;
        let segments = self.root.join(SEGMENTS);
        let day = segments.join(self.clock.now().format("%Y-%m-%d").to_string());
        private_folders(&self.root, &day)?;
        self.count += 1;
        let path = day.join(format!("{}-{:05}.seg", self.process, self.count));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.lock()?;
        // Another process may have made a folder and not synced the one that has it.
        for folder in [&day, &segments, &*self.root] {
            File::open(folder)?.sync_all()?;
        }
        let name = path.strip_prefix(&self.root).unwrap_or(&path).to_string_lossy().into();
        Ok(Open { name, file, position: 0, tally: Tally::default(), since: Instant::now() })
    }

    fn seal(&mut self) {
        let Some(open) = self.open.take() else { return };
        let path = self.root.join(&*open.name);
        let sealed = seal(&open.file, open.position, &open.tally)
            .and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(0o400)));
        if let Err(error) = sealed {
            warn!(
                segment = &*open.name,
                error = chain(&error),
                "Segment not sealed; the next housekeeping seals it"
            );
        }
    }
}

fn seal(file: &File, position: u64, tally: &Tally) -> io::Result<()> {
    file.write_all_at(&tally.seal(), position)?;
    file.sync_all()
}

/// An error of all writes of a batch, for each of them.
fn same(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// The entries of a folder; none if it does not exist.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// A file that only its owner can read, removed unless it is renamed.
pub(super) fn temporary(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(".").suffix(".part").tempfile_in(folder)
}

/// Creates the folder of a new store; the folder of a known one is only checked.
fn create_root(root: &Path, identity: &Identity) -> io::Result<()> {
    if identity.is_known() {
        return identity.check(record(root, IDENTITY)?);
    }
    if !root.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        // Durable with the folder that has it.
        if let Some(parent) = root.parent() {
            File::open(parent)?.sync_all()?;
        }
    }
    Ok(())
}

/// Creates the folders between `root`, which exists, and `folder`.
/// Their mode is 0700, whatever the umask.
fn private_folders(root: &Path, folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if !std::fs::metadata(root)?.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    for folder in folder.ancestors().take_while(|folder| *folder != root) {
        if std::fs::metadata(folder)?.permissions().mode() & 0o077 != 0 {
            std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        }
        // The new directory entry must survive a power cut too.
        File::open(folder.parent().unwrap_or(Path::new("/")))?.sync_all()?;
    }
    Ok(())
}

//! A folder or a bucket, behind the same calls.

use std::io::{self, ErrorKind};

use super::{
    Listed, Listing, PROBE, Place, Segment, StoreError, StoreSettings, Written,
    bucket::Bucket,
    checked,
    folder::Folder,
    frame::{self, FrameError},
    get_error, place_of, sample,
};
use crate::clock::Clock;

#[derive(Debug, Clone)]
pub(super) enum Backend {
    Folder(Folder),
    Bucket(Bucket),
}

impl Backend {
    pub(super) fn open(
        url: &str,
        settings: &StoreSettings,
        must_exist: bool,
        clock: &Clock,
    ) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Open { url: url.to_owned(), source };
        match place_of(url)? {
            Place::Folder(folder) => {
                Folder::open(&folder, must_exist, clock.clone()).map(Self::Folder).map_err(failed)
            }
            Place::Bucket(place) => {
                let credentials = settings.credentials.as_ref();
                Bucket::open(&place, credentials, clock.clone()).map(Self::Bucket).map_err(failed)
            }
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Folder(_) => "folder",
            Self::Bucket(_) => "bucket",
        }
    }

    /// From now on, another store in this place is an error.
    pub(super) fn set_identity(&self, identity: &[u8]) {
        match self {
            Self::Folder(folder) => folder.identity.set(identity),
            Self::Bucket(bucket) => bucket.identity.set(identity),
        }
    }

    /// Fails unless the store is there, and the one it was.
    pub(super) async fn confirm(&self) -> io::Result<()> {
        match self {
            Self::Folder(folder) => on_thread(folder, Folder::confirm).await,
            Self::Bucket(bucket) => bucket.confirm().await,
        }
    }

    /// Whether an error of one segment concerns that alone, or the store.
    pub(super) async fn failure(&self, location: &str, source: io::Error) -> StoreError {
        use ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied};
        let is_bad_sector = source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
        if is_bad_sector
            || matches!(source.kind(), NotFound | PermissionDenied | IsADirectory | NotADirectory)
        {
            if let Err(source) = self.confirm().await {
                return StoreError::Get { location: location.to_owned(), source };
            }
            if source.kind() != NotFound {
                return StoreError::Damaged { location: location.to_owned(), problem: source.to_string() };
            }
        }
        get_error(location, source)
    }

    /// Each kind of store names its segments otherwise.
    pub(super) fn holds(&self, name: &str) -> bool {
        name.starts_with("objects/") == matches!(self, Self::Bucket(_))
    }

    pub(super) async fn probe(&self, reads: bool) -> Result<(), StoreError> {
        let read = |source| StoreError::Get { location: PROBE.to_owned(), source };
        let written = match self {
            Self::Folder(folder) => on_thread(folder, move |folder| folder.probe(&sample(), reads)).await,
            Self::Bucket(bucket) => bucket.probe(sample(), reads).await,
        };
        match written.map_err(|source| StoreError::Put { source })? {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(StoreError::Damaged { location: PROBE.to_owned(), problem: FrameError::Body.to_string() })
            }
            Err(source) => Err(read(source)),
        }
    }

    pub(super) async fn append(&self, frames: Vec<u8>, lengths: Vec<usize>) -> io::Result<Written> {
        match self {
            Self::Folder(folder) => folder.append(frames, lengths).await,
            Self::Bucket(bucket) => bucket.append(frames, &lengths).await,
        }
    }

    pub(super) async fn read(&self, name: &str, position: u64, length: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::Folder(folder) => {
                let name = name.to_owned();
                on_thread(folder, move |folder| folder.read(&name, position, length)).await
            }
            Self::Bucket(bucket) => bucket.read(name, position, length).await,
        }
    }

    pub(super) async fn read_whole(&self, name: &str) -> io::Result<Vec<u8>> {
        match self {
            Self::Folder(folder) => {
                let name = name.to_owned();
                on_thread(folder, move |folder| folder.read_whole(&name)).await
            }
            Self::Bucket(bucket) => bucket.read_whole(name).await,
        }
    }

    /// Files of other names are not ours.
    pub(super) async fn segments(&self) -> Result<Vec<Segment>, StoreError> {
        let found = match self {
            Self::Folder(folder) => on_thread(folder, Folder::segments).await,
            Self::Bucket(bucket) => bucket.segments().await,
        };
        let failed = |source| StoreError::Get { location: "the list of segments".to_owned(), source };
        let mut segments = found.map_err(failed)?;
        segments.retain(|segment| checked(&segment.name).is_some());
        Ok(segments)
    }

    pub(super) async fn documents(&self, segment: &str) -> Result<Listing, StoreError> {
        let bytes = match self.read_whole(segment).await {
            Ok(bytes) => bytes,
            Err(error) => return Err(self.failure(segment, error).await),
        };
        let is_immutable = match self {
            Self::Folder(folder) => folder.is_immutable(segment),
            Self::Bucket(_) => true,
        };
        let listed = |(position, frame): (u64, frame::Frame<'_>)| Listed {
            position,
            length: frame.length as u64,
            header: frame.header,
        };
        let task = tokio::task::spawn_blocking(move || {
            let mut frames = frame::Frames::of(&bytes);
            let documents = frames.by_ref().map(listed).collect();
            Listing { documents, end: frames.end(), is_immutable }
        });
        task.await.map_err(|error| get_error(segment, io::Error::other(error)))
    }

    pub(super) async fn remove(&self, name: &str) -> io::Result<()> {
        match self {
            Self::Folder(folder) => {
                let name = name.to_owned();
                on_thread(folder, move |folder| folder.remove(&name)).await
            }
            Self::Bucket(bucket) => bucket.remove(name).await,
        }
    }

    pub(super) async fn record(&self, name: &str) -> io::Result<Option<(Vec<u8>, String)>> {
        match self {
            Self::Folder(folder) => {
                let name = name.to_owned();
                on_thread(folder, move |folder| folder.record(&name)).await
            }
            Self::Bucket(bucket) => bucket.record(name).await,
        }
    }

    pub(super) async fn set_record(
        &self,
        name: &str,
        expected: Option<&str>,
        value: &[u8],
    ) -> io::Result<Option<String>> {
        match self {
            Self::Folder(folder) => {
                let (name, expected, value) = (name.to_owned(), expected.map(str::to_owned), value.to_vec());
                on_thread(folder, move |folder| folder.set_record(&name, expected.as_deref(), &value)).await
            }
            Self::Bucket(bucket) => bucket.set_record(name, expected, value).await,
        }
    }
}

pub(super) async fn on_thread<T: Send + 'static>(
    folder: &Folder,
    work: impl FnOnce(&Folder) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let folder = folder.clone();
    tokio::task::spawn_blocking(move || work(&folder)).await.map_err(io::Error::other)?
}

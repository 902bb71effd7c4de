//! A store in a bucket of an S3-compatible server.
//!
//! `s3://bucket/prefix?endpoint=https://host`
//!
//! A bucket cannot append, so each batch is an object, `objects/<day>/<process>-<number>.seg`, sealed at
//! once. Rejected: an object per document (sixteen times the requests, which are what S3 charges for), and
//! collecting batches locally (a document must be durable before its row is committed).
//!
//! Every put is conditional and carries its SHA-256, which the server compares.

use std::{
    io::{self, ErrorKind},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::TryStreamExt as _;
use object_store::{
    BackoffConfig, ClientOptions, Error, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions,
    RetryConfig, UpdateVersion,
    aws::{AmazonS3, AmazonS3Builder, Checksum},
    path::Path,
};

use super::{BucketCredentials, IDENTITY, Identity, Segment, Written, frame::Tally, register};
use crate::clock::Clock;

/// For one request; a batch has a few megabytes.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// For all attempts of a request.
/// A request that fails longer is unavailable, and the stage waits.
const RETRY_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub(super) struct Bucket {
    store: Arc<AmazonS3>,
    prefix: Path,
    clock: Clock,
    /// Of this process: distinguishes its objects from all others.
    process: Arc<str>,
    count: Arc<AtomicU32>,
    pub(super) identity: Identity,
}

/// Which bucket of which server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    bucket: String,
    prefix: String,
    endpoint: Option<String>,
    region: String,
}

impl Place {
    /// `s3://bucket/prefix?endpoint=https://host:port&region=name`.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let url = url::Url::parse(text).map_err(|_| "it is not a URL")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("credentials belong into documents.access_key_id and documents.secret_access_key");
        }
        let bucket = url.host_str().filter(|host| !host.is_empty()).ok_or("it names no bucket")?.to_owned();
        let region = std::env::var("AWS_REGION").ok().filter(|region| !region.is_empty());
        let (mut endpoint, mut region) = (None, region.unwrap_or_else(|| "us-east-1".to_owned()));
        for (key, value) in url.query_pairs() {
            match &*key {
                "endpoint" if value.starts_with("https://") || value.starts_with("http://") => {
                    endpoint = Some(value.into_owned());
                }
                "endpoint" => return Err("its endpoint is not https://host"),
                "region" => region = value.into_owned(),
                _ => return Err("its parameters are endpoint and region"),
            }
        }
        Ok(Self { bucket, prefix: url.path().trim_matches('/').to_owned(), endpoint, region })
    }
}

impl Bucket {
    pub(super) fn open(
        place: &Place,
        credentials: Option<&BucketCredentials>,
        clock: Clock,
    ) -> io::Result<Self> {
        // The HTTP client brings none; an error means that one is installed already.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let retry = RetryConfig {
            backoff: BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() },
            max_retries: 10,
            retry_timeout: RETRY_LIMIT,
        };
        let options = ClientOptions::new()
            .with_timeout(REQUEST_LIMIT)
            .with_connect_timeout(CONNECT_LIMIT)
            .with_allow_http(true);
        // Not `from_env`: it would mix other settings of the host with those of the URL.
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&place.bucket)
            .with_region(&place.region)
            .with_checksum_algorithm(Checksum::SHA256)
            .with_client_options(options)
            .with_retry(retry);
        if let Some(endpoint) = &place.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        builder = match credentials {
            Some(BucketCredentials { access_key_id, secret_access_key }) => builder
                .with_access_key_id(access_key_id.expose())
                .with_secret_access_key(secret_access_key.expose()),
            None => from_environment(builder)?,
        };
        let process = format!("{:016x}", getrandom::u64().map_err(io::Error::other)?);
        Ok(Self {
            store: Arc::new(builder.build().map_err(failure)?),
            prefix: Path::from_url_path(&place.prefix).map_err(io::Error::other)?,
            clock,
            process: process.into(),
            count: Arc::default(),
            identity: Identity::default(),
        })
    }

    /// Fails unless the bucket is there, and the one it was.
    pub(super) async fn confirm(&self) -> io::Result<()> {
        if self.identity.is_known() {
            return self.identity.check(self.record(IDENTITY).await?);
        }
        // A bucket that does not exist is not found, and an empty one lists nothing.
        let first = self.store.list(Some(&self.prefix)).try_next().await;
        first.map(drop).map_err(|error| io::Error::other(failure(error)))
    }

    /// Stores frames as one sealed object.
    pub(super) async fn append(&self, mut frames: Vec<u8>, lengths: &[usize]) -> io::Result<Written> {
        let mut tally = Tally::default();
        let mut start = 0;
        for length in lengths {
            tally.add(&frames[start..]);
            start += length;
        }
        frames.extend_from_slice(&tally.seal());
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let day = self.clock.now().format("%Y-%m-%d");
        let name = format!("objects/{day}/{}-{number:05}.seg", self.process);
        let frames = bytes::Bytes::from(frames);
        match self.put(&name, frames.clone(), PutMode::Create).await {
            Ok(_) => {}
            // The answer of an attempt was lost: no other process uses this name.
            Err(error) if may_have_succeeded(&error) => match self.read_whole(&name).await {
                Ok(found) if found == frames => {}
                _ => return Err(error),
            },
            Err(error) => return Err(error),
        }
        Ok(Written { segment: name.into(), position: 0 })
    }

    async fn put(&self, name: &str, value: bytes::Bytes, mode: PutMode) -> io::Result<Option<String>> {
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = self.store.put_opts(&self.path(name), value.into(), options).await;
        Ok(put.map_err(failure)?.e_tag)
    }

    pub(super) async fn read(&self, name: &str, position: u64, length: usize) -> io::Result<Vec<u8>> {
        let (path, end) = (self.path(name), position.saturating_add(length as u64));
        match self.store.get_range(&path, position..end).await {
            Ok(bytes) if bytes.len() == length => Ok(bytes.into()),
            Ok(_) => Err(ErrorKind::UnexpectedEof.into()),
            // Servers reply to a range behind the end in different ways.
            Err(error) if !matches!(error, Error::NotFound { .. }) => {
                let size = self.store.head(&path).await.map_err(failure)?.size;
                if end > size { Err(ErrorKind::UnexpectedEof.into()) } else { Err(failure(error)) }
            }
            Err(error) => Err(failure(error)),
        }
    }

    pub(super) async fn read_whole(&self, name: &str) -> io::Result<Vec<u8>> {
        let found = self.store.get(&self.path(name)).await.map_err(failure)?;
        Ok(found.bytes().await.map_err(failure)?.into())
    }

    /// The segments in the order of their names.
    pub(super) async fn segments(&self) -> io::Result<Vec<Segment>> {
        let prefix_length = self.path("").as_ref().len();
        let found = self.store.list(Some(&self.path("objects"))).map_ok(|object| Segment {
            name: object.location.as_ref()[prefix_length..].trim_start_matches('/').to_owned(),
            bytes: object.size,
            modified: object.last_modified.into(),
        });
        let mut segments: Vec<Segment> = found.try_collect().await.map_err(failure)?;
        segments.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(segments)
    }

    pub(super) async fn remove(&self, name: &str) -> io::Result<()> {
        match self.store.delete(&self.path(name)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure(error)),
        }
    }

    /// See [`Folder::probe`](super::folder::Folder::probe).
    pub(super) async fn probe(&self, content: Vec<u8>, reads: bool) -> io::Result<io::Result<bool>> {
        let name = format!("probe/{}", self.process);
        let content = bytes::Bytes::from(content);
        self.put(&name, content.clone(), PutMode::Overwrite).await?;
        let read = if reads { self.read_whole(&name).await.map(|read| read == content) } else { Ok(true) };
        self.remove(&name).await?;
        Ok(read)
    }

    /// The value of a record, with its version.
    pub(super) async fn record(&self, name: &str) -> io::Result<Option<(Vec<u8>, String)>> {
        let found = self.stored_record(name).await?;
        found.map(|(stored, version)| Ok((register::value(&stored)?.1.to_vec(), version))).transpose()
    }

    async fn stored_record(&self, name: &str) -> io::Result<Option<(Vec<u8>, String)>> {
        match self.store.get(&self.path(&format!("register/{name}"))).await {
            Ok(found) => {
                let version = found.meta.e_tag.clone().unwrap_or_default();
                Ok(Some((found.bytes().await.map_err(failure)?.into(), version)))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failure(error)),
        }
    }

    /// See [`Folder::set_record`](super::folder::Folder::set_record).
    pub(super) async fn set_record(
        &self,
        name: &str,
        expected: Option<&str>,
        value: &[u8],
    ) -> io::Result<Option<String>> {
        let mode = match expected {
            None => PutMode::Create,
            Some(version) => {
                PutMode::Update(UpdateVersion { e_tag: Some(version.to_owned()), version: None })
            }
        };
        let stored = register::stored(value)?;
        match self.put(&format!("register/{name}"), stored.clone().into(), mode).await {
            Ok(version) => Ok(version),
            // The answer of an attempt may have been lost. No two writes are alike, so ours is recognised.
            Err(error) if may_have_succeeded(&error) => match self.stored_record(name).await? {
                Some((found, version)) if found == stored => Ok(Some(version)),
                Some(_) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').filter(|part| !part.is_empty()).fold(self.prefix.clone(), Path::join)
    }
}

/// The credentials of the environment.
/// Without any, requests would wait for a metadata server.
fn from_environment(builder: AmazonS3Builder) -> io::Result<AmazonS3Builder> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (Some(id), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) else {
        let problem = "credentials are missing: set documents.access_key_id and documents.secret_access_key";
        return Err(io::Error::new(ErrorKind::PermissionDenied, problem));
    };
    let builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    Ok(match variable("AWS_SESSION_TOKEN") {
        Some(token) => builder.with_token(token),
        None => builder,
    })
}

fn may_have_succeeded(error: &io::Error) -> bool {
    !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied)
}

/// As the kind of error that a folder has.
fn failure(error: Error) -> io::Error {
    let kind = match &error {
        Error::NotFound { .. } => ErrorKind::NotFound,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => ErrorKind::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => ErrorKind::PermissionDenied,
        _ => ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

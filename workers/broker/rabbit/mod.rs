//! RabbitMQ (3.10 to 4.x, no plugins) through lapin.
//! Nothing outside this folder names lapin.
//!
//! Two connections, one to consume and one to publish, because a broker short of memory or disk blocks whole
//! connections that publish, and with them the acknowledgements they carry. Each is made at first use and
//! shared; every consumer and every publisher has a channel of its own. On an error, drop the consumer or
//! publisher and request a new one: [`Rabbit`] opens a channel of an open connection, replacing a broken one,
//! and then declares the topology again, provided that [`topology::apply`] was called on it before: a client
//! that only publishes needs no permission to declare.
//!
//! lapin's automatic recovery stays off: after a channel error its stream can hang for ever on a connection
//! that looks alive. Every request to the broker has a time limit, for the same reason.
//!
//! - `answers`: time limits and errors.
//! - [`topology`]: exchanges, queues and bindings, declared and compared.
//! - `consumer`: deliveries, slow start, requeueing.
//! - `publisher`: publishing with confirms.
//! - `frame_filter`: protects lapin from hostile properties.
//! - `wire`: our envelope as AMQP properties and back.
//! - [`diagnostics`]: version, health and clock of the broker, for `hosho doctor`.

mod answers;
mod consumer;
pub mod diagnostics;
mod dial;
mod frame_filter;
mod publisher;
pub mod topology;
mod wire;

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use lapin::{
    Channel, Connection, ConnectionProperties,
    options::QueueDeclareOptions,
    types::FieldTable,
    uri::{AMQPScheme, AMQPUri},
};
use tokio::{sync::Mutex, time::timeout};
use tokio_rustls::TlsConnector;
use url::Url;

use self::{
    answers::{ANSWER_LIMIT, answer, short, unavailable, within},
    consumer::RabbitConsumer,
    publisher::RabbitPublisher,
};
use super::{Broker, BrokerError, Consumer, Depth, Publisher, Source, names::Names};
use crate::clock::Clock;

/// How long connecting may take, TLS and login included.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How to reach RabbitMQ and what our part of it is called.
#[derive(Clone)]
pub struct RabbitOptions {
    /// `amqp://user:password@host:port/vhost` or `amqps://…`.
    /// Secret: it holds the password.
    pub url: String,
    /// PEM file of the private authority that signed the broker's certificate.
    /// For `amqps` only, added to the system's.
    pub ca_file: Option<PathBuf>,
    /// Start of the name of every queue and exchange.
    pub prefix: String,
    pub stages: Vec<&'static str>,
    /// A silent broker is found dead after twice this time. Whole seconds.
    pub heartbeat: Duration,
    /// How long a publish may wait for its confirms.
    pub confirm_timeout: Duration,
    pub connection_name: String,
}

impl RabbitOptions {
    /// The usual settings: prefix `hosho.`, heartbeat 10 s, confirms within 30 s.
    pub fn new(url: impl Into<String>, stages: Vec<&'static str>) -> Self {
        Self {
            url: url.into(),
            ca_file: None,
            prefix: "hosho.".to_owned(),
            stages,
            heartbeat: Duration::from_secs(10),
            confirm_timeout: Duration::from_secs(30),
            connection_name: "hosho".to_owned(),
        }
    }
}

impl fmt::Debug for RabbitOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitOptions")
            .field("url", &masked(&self.url))
            .field("ca_file", &self.ca_file)
            .field("prefix", &self.prefix)
            .field("stages", &self.stages)
            .finish_non_exhaustive()
    }
}

/// RabbitMQ as a [`Broker`]. Clones share their connections.
#[derive(Clone)]
pub struct Rabbit {
    inner: Arc<Inner>,
}

struct Inner {
    uri: AMQPUri,
    tls: Option<TlsConnector>,
    names: Arc<Names>,
    confirm_timeout: Duration,
    connection_name: String,
    clock: Clock,
    consuming: Slot,
    publishing: Slot,
    /// The topology was applied through this object: keep it in place from now on.
    keeps_topology: AtomicBool,
    /// Something was found missing: declare before the next channel is handed out.
    something_missing: AtomicBool,
    closed: AtomicBool,
}

struct Slot {
    purpose: &'static str,
    connection: Mutex<Option<Arc<Connection>>>,
}

impl Slot {
    fn new(purpose: &'static str) -> Self {
        Self { purpose, connection: Mutex::new(None) }
    }
}

impl fmt::Debug for Rabbit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rabbit")
            .field("host", &self.inner.uri.authority.host)
            .field("port", &self.inner.uri.authority.port)
            .field("prefix", &self.inner.names.prefix)
            .finish_non_exhaustive()
    }
}

impl Rabbit {
    /// Checks the options; does not connect.
    ///
    /// [`BrokerError::Url`] for a URL that is not one of AMQP, [`BrokerError::Unavailable`] for an unreadable
    /// CA file.
    pub fn new(options: RabbitOptions) -> Result<Self, BrokerError> {
        let mut uri = parse(&options.url)?;
        uri.query.heartbeat = Some(u16::try_from(options.heartbeat.as_secs()).unwrap_or(u16::MAX));
        if options.ca_file.is_some() && uri.scheme != AMQPScheme::AMQPS {
            return Err(BrokerError::Url {
                url: masked(&options.url),
                problem: "a CA file is configured, but the scheme is not amqps".to_owned(),
            });
        }
        let tls =
            (uri.scheme == AMQPScheme::AMQPS).then(|| dial::tls(options.ca_file.as_deref())).transpose();
        let tls = tls.map_err(|source| {
            let operation = match &options.ca_file {
                Some(path) => format!("read the CA file {}", path.display()),
                None => "read the certificates of the system".to_owned(),
            };
            unavailable(operation, source)
        })?;
        Ok(Self {
            inner: Arc::new(Inner {
                uri,
                tls,
                names: Arc::new(Names::new(&options.prefix, &options.stages)),
                confirm_timeout: options.confirm_timeout,
                connection_name: options.connection_name,
                clock: Clock::system(),
                consuming: Slot::new("consume"),
                publishing: Slot::new("publish"),
                keeps_topology: AtomicBool::new(false),
                something_missing: AtomicBool::new(false),
                closed: AtomicBool::new(false),
            }),
        })
    }

    /// The connection of a slot, replaced if it is broken.
    async fn connection(&self, slot: &Slot) -> Result<Arc<Connection>, BrokerError> {
        // Held while connecting: the others wait for this connection instead of making their own.
        let mut held = slot.connection.lock().await;
        if self.inner.closed.load(Ordering::Acquire) {
            return Err(BrokerError::Closed);
        }
        let living = held.take().filter(|connection| connection.status().connected());
        let is_new = living.is_none();
        let connection = match living {
            Some(connection) => connection,
            None => Arc::new(self.connect(slot.purpose).await?),
        };
        let missing = self.inner.something_missing.swap(false, Ordering::AcqRel);
        if (is_new || missing)
            && self.inner.keeps_topology.load(Ordering::Acquire)
            && let Err(error) = topology::declare(&connection, &self.inner.names).await
        {
            self.inner.something_missing.store(missing, Ordering::Release);
            return Err(error);
        }
        *held = Some(Arc::clone(&connection));
        Ok(connection)
    }

    async fn connect(&self, purpose: &str) -> Result<Connection, BrokerError> {
        let inner = &self.inner;
        let authority = &inner.uri.authority;
        let operation =
            format!("connect to {}://{}:{} to {purpose}", inner.uri.scheme, authority.host, authority.port);
        let properties = ConnectionProperties::default()
            .with_connection_name(format!("{} {purpose}", inner.connection_name).into());
        let connecting = frame_filter::connect(inner.uri.clone(), properties, inner.tls.clone());
        within(CONNECT_LIMIT, operation, connecting).await
    }

    async fn channel(&self, slot: &Slot, operation: &str) -> Result<Channel, BrokerError> {
        let connection = self.connection(slot).await?;
        answer(operation, connection.create_channel()).await
    }

    /// Records that something is missing; true if we may declare it.
    fn note_missing(&self) -> bool {
        self.inner.something_missing.store(true, Ordering::Release);
        self.inner.keeps_topology.load(Ordering::Acquire)
    }
}

impl Broker for Rabbit {
    fn consume(
        &self,
        source: Source,
        prefetch: u16,
    ) -> BoxFuture<'_, Result<Box<dyn Consumer>, BrokerError>> {
        Box::pin(async move {
            let operation = format!("consume {}", self.inner.names.source(source));
            let channel = self.channel(&self.inner.consuming, &operation).await?;
            let first = RabbitConsumer::open(channel, &self.inner.names, source, prefetch).await;
            let consumer = match first {
                // The queue was deleted meanwhile: declare it again, as a new connection would.
                Err(BrokerError::Topology(_)) if self.note_missing() => {
                    let channel = self.channel(&self.inner.consuming, &operation).await?;
                    RabbitConsumer::open(channel, &self.inner.names, source, prefetch).await?
                }
                other => other?,
            };
            Ok(Box::new(consumer) as Box<dyn Consumer>)
        })
    }

    fn publisher(&self) -> BoxFuture<'_, Result<Box<dyn Publisher>, BrokerError>> {
        Box::pin(async move {
            let channel = self.channel(&self.inner.publishing, "publish").await?;
            let publisher = RabbitPublisher::open(channel, self.clone()).await?;
            Ok(Box::new(publisher) as Box<dyn Publisher>)
        })
    }

    fn depths(&self) -> BoxFuture<'_, Result<Vec<Depth>, BrokerError>> {
        Box::pin(async move {
            let channel = self.channel(&self.inner.consuming, "count messages").await?;
            let mut depths = Vec::new();
            for name in self.inner.names.queues() {
                let options = QueueDeclareOptions { passive: true, ..Default::default() };
                let declared = channel.queue_declare(short(&name), options, FieldTable::default());
                let queue = answer(format!("count the messages of {name}"), declared).await?;
                depths.push(Depth {
                    queue: name,
                    ready: u64::from(queue.message_count()),
                    consumers: u64::from(queue.consumer_count()),
                });
            }
            // Not worth an error: the channel goes with the last handle anyway.
            let _ = timeout(ANSWER_LIMIT, channel.close(200, short("OK"))).await;
            Ok(depths)
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.inner.closed.store(true, Ordering::Release);
            for slot in [&self.inner.consuming, &self.inner.publishing] {
                if let Some(connection) = slot.connection.lock().await.take() {
                    // A connection that does not answer is as good as closed: the broker drops it by its
                    // heartbeat.
                    let _ = timeout(ANSWER_LIMIT, connection.close(200, short("OK"))).await;
                }
            }
        })
    }
}

/// Parses the URL, more tolerant than lapin in two places.
/// `amqp://host/` means the virtual host `/` (lapin: the empty one, which never exists). An IPv6 address is
/// an address (lapin: silently `localhost`).
fn parse(text: &str) -> Result<AMQPUri, BrokerError> {
    let wrong = |problem: &str| BrokerError::Url { url: masked(text), problem: problem.to_owned() };
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "amqp" | "amqps") {
        return Err(wrong("the scheme must be amqp or amqps"));
    }
    let host = match url.host() {
        Some(url::Host::Ipv6(address)) => address.to_string(),
        Some(host) => host.to_string(),
        None => return Err(wrong("the host is missing, as in amqp://user:password@host:5672/vhost")),
    };
    // Its error texts may hold the whole URL, password included: never passed on.
    let mut uri: AMQPUri =
        text.parse().map_err(|_| wrong("a number or percent escape in it is malformed"))?;
    uri.authority.host = host;
    if uri.vhost.is_empty() {
        "/".clone_into(&mut uri.vhost);
    }
    Ok(uri)
}

fn masked(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) => {
            if url.password().is_some() && url.set_password(Some("***")).is_err() {
                return "(hidden)".to_owned();
            }
            url.to_string()
        }
        Err(_) => "(not a URL)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> RabbitOptions {
        RabbitOptions::new(url, vec!["validate"])
    }

    #[test]
    fn debug_output_omits_the_password() {
        let url = "amqp://worker:hunter2@mq.example.com/prod";
        let rabbit = Rabbit::new(options(url)).unwrap();
        for shown in [format!("{:?}", options(url)), format!("{rabbit:?}")] {
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains("mq.example.com"), "{shown}");
        }
        for wrong in [
            "http://worker:hunter2@mq.example.com",
            "amqp://worker:hunter2@mq.example.com/?heartbeat=hunter2",
            "amqp:hunter2",
            "hunter2",
        ] {
            let error = Rabbit::new(options(wrong)).unwrap_err();
            let BrokerError::Url { problem, .. } = &error else { panic!("{error}") };
            assert!(!problem.contains("hunter2"), "{problem}");
        }
        let error = Rabbit::new(options("http://worker:hunter2@mq.example.com")).unwrap_err().to_string();
        assert_eq!(
            error,
            "broker URL http://worker:***@mq.example.com/ is not usable: the scheme must be amqp or amqps"
        );
    }

    #[test]
    fn parses_urls_and_their_defaults() {
        let uri = |text: &str| parse(text).unwrap();
        assert_eq!(uri("amqp://mq.example.com").vhost, "/");
        assert_eq!(uri("amqp://mq.example.com/").vhost, "/");
        assert_eq!(uri("amqp://mq.example.com/%2fprod").vhost, "/prod");
        assert_eq!(uri("amqp://[::1]:5673").authority.host, "::1");
        assert_eq!(uri("amqp://127.0.0.1").authority.port, 5672);
        assert_eq!(uri("amqps://u%40x:p%3a%2f@mq.example.com").authority.port, 5671);
        assert_eq!(uri("amqps://u%40x:p%3a%2f@mq.example.com").authority.userinfo.password, "p:/");
    }

    #[test]
    fn rejects_unused_or_empty_ca_files() {
        let with = |url: &str, file: &std::path::Path| {
            Rabbit::new(RabbitOptions { ca_file: Some(file.to_owned()), ..options(url) })
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, "nothing").unwrap();
        assert!(matches!(with("amqp://mq.example.com", &file), Err(BrokerError::Url { .. })));
        let error = with("amqps://mq.example.com", &file).unwrap_err();
        assert_eq!(
            std::error::Error::source(&error).unwrap().to_string(),
            "the file holds no PEM certificate"
        );
        assert!(matches!(
            with("amqps://mq.example.com", &folder.path().join("none")),
            Err(BrokerError::Unavailable { .. })
        ));
        for text in
            ["-----BEGIN CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"]
        {
            std::fs::write(&file, text).unwrap();
            assert!(with("amqps://mq.example.com", &file).is_err(), "{text}");
        }
    }
}

//! The broker as a runner sees it, with two implementations.
//!
//! [`rabbit`] speaks AMQP 0-9-1 to RabbitMQ; [`memory`] runs in this process for the embedded mode with the
//! same guarantees: at-least-once delivery, redelivery of unacknowledged messages, delays, dead letters. One
//! conformance suite (`tests/it/broker/`) runs against both.
//!
//! Stages need no outbox: a runner commits its rows, publishes every successor, waits for every confirm, then
//! acknowledges. The unacknowledged delivery is the reminder. So there is no "send and forget":
//! [`Publisher::publish`] returns when the broker has confirmed all messages, or names those that it has not.
//!
//! On any error of a [`Consumer`] or [`Publisher`], drop it, back off, and request a new one from the
//! [`Broker`]. Rejected: automatic recovery within the client; after a channel error its stream can hang for
//! ever while "connected".

pub mod memory;
mod names;
pub mod rabbit;

use std::{fmt, time::Duration};

use chrono::NaiveDateTime;
use futures_util::future::BoxFuture;

/// The lane of a stage: nightly runs and replays never starve live work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    Live,
    Bulk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    Stage(&'static str, Lane),
    Dead,
    Unrouted,
    /// A temporary queue that receives every result event while it is open.
    Events,
}

/// The time that a failed message waits before its next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RetryDelay {
    S1,
    S3,
    S8,
    S20,
    S45,
    M2,
    M5,
    M12,
    M30,
    M60,
}

impl RetryDelay {
    /// Shortest first.
    pub const ALL: [Self; 10] = {
        use RetryDelay::{M2, M5, M12, M30, M60, S1, S3, S8, S20, S45};
        [S1, S3, S8, S20, S45, M2, M5, M12, M30, M60]
    };

    /// The name in queue names, and seconds.
    const fn parts(self) -> (&'static str, u64) {
        match self {
            Self::S1 => ("1s", 1),
            Self::S3 => ("3s", 3),
            Self::S8 => ("8s", 8),
            Self::S20 => ("20s", 20),
            Self::S45 => ("45s", 45),
            Self::M2 => ("2m", 120),
            Self::M5 => ("5m", 300),
            Self::M12 => ("12m", 720),
            Self::M30 => ("30m", 1_800),
            Self::M60 => ("60m", 3_600),
        }
    }

    /// The name in queue names, such as `20s`.
    pub const fn name(self) -> &'static str {
        self.parts().0
    }

    pub const fn delay(self) -> Duration {
        Duration::from_secs(self.parts().1)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    Stage(&'static str, Lane),
    /// Back to its stage after a delay.
    Wait(&'static str, Lane, RetryDelay),
    /// Dead letters, under the name of the stage that gave up.
    Dead(&'static str),
    /// Result events for upstream systems, under a key such as `guarantee.issued`.
    Event(&'static str),
}

/// The failed attempts of a message, in our own headers of at most 4 KiB.
/// The headers are `hosho-attempt`, `hosho-first-failed-at`, `hosho-failed-at`, `hosho-fault-code`,
/// `hosho-fault`, `hosho-history` and `hosho-replay`. `x-*` headers are never copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    pub attempts: u32,
    pub first_failed_at: Option<NaiveDateTime>,
    pub failed_at: Option<NaiveDateTime>,
    pub code: Option<String>,
    /// The newest fault in English, without personal data, at most 1,000 characters.
    pub text: Option<String>,
    /// Time and code of earlier attempts, oldest first.
    /// Only the latest [`History::REMEMBERED`] are kept.
    pub earlier: Vec<(NaiveDateTime, String)>,
    pub replay: Option<String>,
}

impl History {
    pub const REMEMBERED: usize = 12;

    pub fn add(&mut self, at: NaiveDateTime, code: &str, text: String) {
        if let (Some(before), Some(code)) = (self.failed_at, self.code.take()) {
            self.earlier.push((before, code));
            let surplus = self.earlier.len().saturating_sub(Self::REMEMBERED);
            self.earlier.drain(..surplus);
        }
        // A foreign client can write any number into the header.
        self.attempts = self.attempts.saturating_add(1);
        self.first_failed_at.get_or_insert(at);
        self.failed_at = Some(at);
        self.code = Some(code.to_owned());
        self.text = Some(text);
    }
}

#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// AMQP `message-id`; a message of a foreign client may lack it.
    pub message_id: Option<String>,
    /// AMQP `type`, such as `issue.v1`; a message of a foreign client may lack it.
    pub message_type: Option<String>,
    /// AMQP `correlation-id`: our identifier of the application.
    pub correlation_id: Option<String>,
    pub traceparent: Option<String>,
    pub history: History,
    pub payload: Vec<u8>,
}

/// Bodies may hold names and addresses: only their size is shown.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("message_id", &self.message_id)
            .field("message_type", &self.message_type)
            .field("attempts", &self.history.attempts)
            .field("payload", &format_args!("{} bytes", self.payload.len()))
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    pub destination: Destination,
    pub envelope: Envelope,
}

/// Position of a delivery on its consumer; later deliveries are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag(pub u64);

/// Why the broker itself made a message a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// RabbitMQ's reason: `delivery_limit`, `rejected`, `expired`, `maxlen`.
    pub reason: String,
    /// When (UTC), by the broker's clock, in whole seconds.
    pub at: Option<NaiveDateTime>,
}

#[derive(Debug, Clone)]
pub struct Delivery {
    /// For [`Consumer::ack`].
    pub tag: Tag,
    /// Whether it was delivered before, to any consumer.
    pub redelivered: bool,
    /// The stage named by the routing key, for dead letters and unrouted messages.
    pub routing_key: String,
    /// Time of publication (UTC, whole seconds), if the sender set it.
    pub published_at: Option<NaiveDateTime>,
    /// Of a message that the broker itself dead-lettered.
    pub death: Option<Death>,
    /// Headers that are text or numbers, of a dead letter or an unrouted message.
    pub headers: serde_json::Map<String, serde_json::Value>,
    pub envelope: Envelope,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Depth {
    pub queue: String,
    pub ready: u64,
    pub consumers: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error("broker URL {url} is not usable: {problem}")]
    Url { url: String, problem: String },
    /// The broker cannot be reached or is silent, or the connection or channel broke.
    #[error("cannot {operation}: the broker is not available")]
    Unavailable {
        /// The operation, such as `consume hosho.stage.issue`.
        operation: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The broker refused the login or denied a permission (AMQP 403).
    /// The problem is the text of the broker.
    #[error("cannot {operation}: the broker denied it: {problem}")]
    Denied { operation: String, problem: String },
    /// A queue or exchange exists with other settings (AMQP 406), or is missing.
    #[error("topology differs: {0}")]
    Topology(String),
    /// The broker did not confirm some of the messages within the time limit.
    #[error("{} of {total} messages were not confirmed: {problem}", unconfirmed.len())]
    NotConfirmed {
        /// Indexes into the messages of the call.
        unconfirmed: Vec<usize>,
        total: usize,
        /// The reason of the first.
        problem: String,
    },
    #[error("the consumer is closed")]
    Closed,
}

impl BrokerError {
    pub const fn is_denied(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }
}

pub trait Broker: Send + Sync + fmt::Debug {
    /// Whether its messages are lost when this process ends.
    fn in_process(&self) -> bool {
        false
    }

    /// Opens a consumer with at most `prefetch` unacknowledged deliveries.
    /// The consumer reaches that number after a slow start.
    fn consume(&self, source: Source, prefetch: u16)
    -> BoxFuture<'_, Result<Box<dyn Consumer>, BrokerError>>;

    /// Opens a publisher. One task uses it at a time.
    fn publisher(&self) -> BoxFuture<'_, Result<Box<dyn Publisher>, BrokerError>>;

    /// In the order of the topology.
    fn depths(&self) -> BoxFuture<'_, Result<Vec<Depth>, BrokerError>>;

    /// Closes all connections, which requeues all unacknowledged deliveries.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// A stream of deliveries in order of arrival.
/// Dropping it requeues all unacknowledged deliveries.
pub trait Consumer: Send {
    /// Waits for a delivery, then takes all that are ready, up to `max`.
    /// Never empty. Dropping the future loses no delivery.
    fn next_batch(&mut self, max: usize) -> BoxFuture<'_, Result<Vec<Delivery>, BrokerError>>;

    /// Acknowledges every delivery up to and including `last`.
    fn ack(&mut self, last: Tag) -> BoxFuture<'_, Result<(), BrokerError>>;

    fn held(&self) -> usize;

    /// Stops consuming and requeues all unacknowledged deliveries, in order.
    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>>;
}

pub trait Publisher: Send {
    /// Returns when the broker has confirmed every message.
    /// [`BrokerError::NotConfirmed`] names the others; publishing them again is always safe.
    fn publish(&mut self, messages: Vec<Outgoing>) -> BoxFuture<'_, Result<(), BrokerError>>;
}

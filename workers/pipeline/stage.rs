//! The contract of a stage. Names no vendor.
//!
//! A stage is batch-shaped, because one transaction for 256 messages costs little more than one for a single
//! message:
//!
//! 1. [`Stage::decode`]: bytes → job, one at a time.
//! 2. [`Stage::load`]: the rows that the whole batch needs, in one transaction.
//! 3. [`Stage::decide`]: CPU work without database, network or files; one item at a time, in parallel. A
//!    panic fails that item alone.
//! 4. [`Stage::act`]: effects outside the database (store a file, send a mail), with no transaction open.
//! 5. [`Stage::record`]: all rows of the batch in one transaction; returns the messages to publish.
//!
//! The [runner](crate::pipeline::runner) then publishes every message, waits for every confirm, and
//! acknowledges. Every step must be idempotent: a second run finds its own row and publishes the successor
//! *again*, because the first run may have been killed between commit and publish.
//!
//! The [`Reason`](crate::fault::Reason) of a [`Fault`] alone decides what happens to a failed item. A broken
//! business rule is no fault: it is an answer, and [`Verdict::Done`].

use std::future::Future;

use hosho_schema::{
    db::Connection,
    ids,
    messages::{Message, StageMessage, contract::without_version},
};

use crate::{
    broker::{Destination, Envelope, History, Lane, Outgoing},
    fault::{Fault, Result},
    permit::Permit,
    telemetry::Traceparent,
};

/// A decoded message with the properties that its successors inherit.
#[derive(Debug, Clone)]
pub struct Item<J> {
    pub job: J,
    /// Successors stay on this lane.
    pub lane: Lane,
    pub correlation_id: Option<String>,
    pub trace: Traceparent,
    /// Its id in `failed_message`, if it fails or has failed; `None` outside a queue.
    pub failed_id: Option<String>,
    /// Sent by a replay: an effect that was refused for good is tried again.
    pub replayed: bool,
}

impl<J> Item<J> {
    /// An item outside a queue.
    pub fn new(job: J, lane: Lane, correlation_id: Option<String>, trace: Traceparent) -> Self {
        Self { job, lane, correlation_id, trace, failed_id: None, replayed: false }
    }

    /// The same message, about another subject.
    pub fn about(&self, correlation_id: &str) -> Item<&J> {
        Item::new(&self.job, self.lane, Some(correlation_id.to_owned()), self.trace.clone())
    }

    /// A message for the stage that consumes its type.
    pub fn successor<M: StageMessage>(&self, message: &M) -> Outgoing {
        self.successor_with_key(&message.key(), message)
    }

    /// The same under a business key other than [`StageMessage::key`].
    pub fn successor_with_key<M: StageMessage>(&self, key: &str, message: &M) -> Outgoing {
        outgoing(
            Destination::Stage(M::STAGE, self.lane),
            &ids::message(M::STAGE, key),
            self.correlation_id.clone(),
            &self.trace,
            message,
        )
    }

    /// A result event for upstream systems.
    /// `key` is the business key: the same on retry, redelivery and replay.
    pub fn event<M: Message>(&self, key: &str, message: &M) -> Outgoing {
        outgoing(
            Destination::Event(without_version(M::TYPE)),
            &ids::message(M::TYPE, key),
            self.correlation_id.clone(),
            &self.trace,
            message,
        )
    }
}

/// A message with its properties, for callers without an [`Item`].
pub fn outgoing<M: Message>(
    destination: Destination,
    message_id: &str,
    correlation_id: Option<String>,
    trace: &Traceparent,
    message: &M,
) -> Outgoing {
    Outgoing {
        destination,
        envelope: Envelope {
            message_id: Some(message_id.to_owned()),
            message_type: Some(M::TYPE.to_owned()),
            correlation_id,
            traceparent: Some(trace.child(message_id).to_string()),
            history: History::default(),
            payload: hosho_schema::snapshots::canonical(message).into_bytes(),
        },
    }
}

/// The result of one item. Each case may publish messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Done {
        publish: Vec<Outgoing>,
    },
    /// The effect may have happened; its state is recorded.
    /// Neither retried nor a dead letter.
    InDoubt {
        fault: Fault,
        publish: Vec<Outgoing>,
    },
    /// The class of `fault` decides between retry, dead letter and waiting.
    Failed {
        fault: Fault,
        publish: Vec<Outgoing>,
    },
}

impl Verdict {
    pub fn done(publish: Vec<Outgoing>) -> Self {
        Self::Done { publish }
    }

    /// Whether the item is finished, so that an earlier failure of it is resolved.
    pub fn is_finished(&self) -> bool {
        !matches!(self, Self::Failed { .. })
    }
}

impl From<Fault> for Verdict {
    fn from(fault: Fault) -> Self {
        Self::Failed { fault, publish: Vec::new() }
    }
}

impl From<Result<Vec<Outgoing>>> for Verdict {
    fn from(result: Result<Vec<Outgoing>>) -> Self {
        result.map_or_else(Self::from, Self::done)
    }
}

pub trait Stage: Send + Sync + 'static {
    /// The wire name: queue, routing key, metric label.
    const NAME: &'static str;
    /// Items decided and acted on together.
    /// All their outcomes are in memory at the same time.
    const CHUNK_SIZE: usize = 1_024;
    type Job: Send + Sync;
    type Facts: Send;
    /// The decision on one item, with the results of its effects.
    type Outcome: Send + Sync;

    fn decode(&self, payload: &[u8]) -> Result<Self::Job>;

    /// Reads the rows of the batch in one transaction. One result per item, in order.
    /// A fault of the whole call rolls back, and the runner retries as for [`Stage::record`].
    fn load(&self, db: &mut Connection, items: &[&Item<Self::Job>]) -> Result<Vec<Result<Self::Facts>>>;

    /// Decides one item, without I/O.
    /// May draw random bytes (`mint`), so a second call need not return the same outcome.
    fn decide(&self, item: &Item<Self::Job>, facts: Self::Facts) -> Result<Self::Outcome>;

    /// Has effects outside the database. One result per outcome, in order.
    /// Must be idempotent. Slow effects check `permit` before each one.
    fn act(
        &self,
        outcomes: Vec<Self::Outcome>,
        permit: &Permit,
    ) -> impl Future<Output = Vec<Result<Self::Outcome>>> + Send {
        let _ = permit;
        std::future::ready(outcomes.into_iter().map(Ok).collect())
    }

    /// Whether an outcome is the only trace of an effect that cannot be repeated.
    /// Recording it is then retried without limit.
    fn must_record(&self, outcome: &Self::Outcome) -> bool {
        let _ = outcome;
        false
    }

    /// Writes all rows in one transaction. One verdict per item, in order.
    /// A fault of the whole call rolls back. After a refused statement, or after the quick retries, each item
    /// is recorded alone; while the database is unavailable, recording the same outcomes is retried.
    fn record(
        &self,
        db: &mut Connection,
        items: &[(&Item<Self::Job>, Self::Outcome)],
    ) -> Result<Vec<Verdict>>;
}

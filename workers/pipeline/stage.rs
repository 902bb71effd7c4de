//! The contract that every stage fulfils. Knows no vendor.
//!
//! A stage is batch-shaped, because one transaction for 256 messages costs little more than one for a single message:
//!
//! 1. [`Stage::decode`]: bytes → job, one at a time.
//! 2. [`Stage::load`]: what the database knows of the whole batch, in one transaction.
//! 3. [`Stage::decide`]: pure, one item at a time, in parallel; a panic here is the fault of that item alone.
//! 4. [`Stage::act`]: effects outside the database (store a file, send a mail), with no transaction open.
//! 5. [`Stage::record`]: all rows of the batch in one transaction; names what to publish.
//!
//! The [runner](crate::pipeline::runner) then publishes every successor, waits for every confirm, and acknowledges. Running a
//! stage twice on one message must be safe: the second run finds its own row and publishes the successor *again*,
//! because the first run may have died between commit and publish.
//!
//! The verdict on an item is a type: `Ok` is done, a [`Fault`] carries its [`Reason`], and the reason alone decides
//! what happens next ([`Class`]) and what an operator is told to do ([`Reason::advice`]). A broken rule of the business is no fault: it is an answer, and `Ok`.

use std::{future::Future, sync::Arc};

use hosho_schema::{
    db::Connection,
    ids,
    messages::{Message, StageMessage},
};

use crate::{
    broker::{Destination, Envelope, History, Lane, Outgoing},
    fault::{Fault, Reason},
    telemetry::Traceparent,
};

/// A decoded message with what its successors inherit.
#[derive(Debug, Clone)]
pub struct Item<J> {
    /// The decoded body.
    pub job: J,
    /// The lane it came on; successors stay on it.
    pub lane: Lane,
    /// Our identifier of the application.
    pub correlation_id: Option<String>,
    /// Its trace.
    pub trace: Traceparent,
    /// What it would be called, or is, among the failed messages; `None` for what came from no queue.
    pub failed_id: Option<String>,
    /// Whether an operator sent it once more, and so wants tried again what was refused for good.
    pub replayed: bool,
}

impl<J> Item<J> {
    /// A message for the stage that consumes its type.
    pub fn successor<M: StageMessage>(&self, message: &M) -> Outgoing {
        self.successor_with_key(&message.key(), message)
    }

    /// The same under another business key than the message's own.
    pub fn successor_with_key<M: StageMessage>(&self, key: &str, message: &M) -> Outgoing {
        outgoing(
            Destination::Stage(M::STAGE, self.lane),
            &ids::message(M::STAGE, key),
            self.correlation_id.clone(),
            &self.trace,
            message,
        )
    }

    /// A result event for upstream systems. `key` is the business key: the same on retry, redelivery and replay.
    pub fn event<M: Message>(&self, key: &str, message: &M) -> Outgoing {
        let routing_key = M::TYPE.rsplit_once('.').map_or(M::TYPE, |(name, _version)| name);
        outgoing(
            Destination::Event(routing_key),
            &ids::message(M::TYPE, key),
            self.correlation_id.clone(),
            &self.trace,
            message,
        )
    }
}

/// A message with its properties, for code that has no [`Item`] at hand: recovery and the command line.
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

/// Leave to begin something more, for a stage that is at work: it ends when the process is asked to stop, when an operator pauses the
/// stage, and when the batch has been held for long.
#[derive(Clone)]
pub struct Permit(Arc<dyn Fn() -> Option<&'static str> + Send + Sync>);

impl Permit {
    /// Leave until `end` tells why it has ended.
    pub fn until(end: impl Fn() -> Option<&'static str> + Send + Sync + 'static) -> Self {
        Self(Arc::new(end))
    }

    /// Leave without an end.
    pub fn unlimited() -> Self {
        Self::until(|| None)
    }

    /// Whether something more may be begun; a fault for what is not begun, where it may not.
    pub fn ask(&self) -> Result<(), Fault> {
        (self.0)().map_or(Ok(()), |why| Err(Fault::new(Reason::Stopping, why)))
    }
}

/// What to publish for each item, or why it failed; in the order of the items.
pub type Verdicts = Vec<Result<Vec<Outgoing>, Fault>>;

/// One stage of the pipeline.
pub trait Stage: Send + Sync + 'static {
    /// The wire name: queue, routing key, metric label.
    const NAME: &'static str;
    /// Items of a batch that are decided and have their effects together: what all of them make is in memory at the same time.
    const TOGETHER: usize = 1_024;
    /// The decoded message.
    type Job: Send + Sync;
    /// What [`Stage::load`] finds for one item.
    type Facts: Send;
    /// What [`Stage::decide`] makes of it.
    type Outcome: Send + Sync;

    /// Decodes a body.
    fn decode(&self, payload: &[u8]) -> Result<Self::Job, Fault>;

    /// Reads what the batch needs; runs in one transaction. One result per item, in order.
    /// A fault of the whole call rolls back, and the runner tries again as for [`Stage::record`].
    fn load(
        &self,
        db: &mut Connection,
        items: &[&Item<Self::Job>],
    ) -> Result<Vec<Result<Self::Facts, Fault>>, Fault>;

    /// Decides one item. Pure: no I/O.
    fn decide(&self, item: &Item<Self::Job>, facts: Self::Facts) -> Result<Self::Outcome, Fault>;

    /// Has effects outside the database. One result per outcome, in order. Must be safe to run twice. Where effects take long, each is
    /// begun by leave.
    fn act(
        &self,
        outcomes: Vec<Self::Outcome>,
        leave: &Permit,
    ) -> impl Future<Output = Vec<Result<Self::Outcome, Fault>>> + Send {
        let _ = leave;
        std::future::ready(outcomes.into_iter().map(Ok).collect())
    }

    /// Whether an outcome is the only memory of an effect that cannot be repeated: then it is recorded however long that takes.
    fn is_only_memory(&self, outcome: &Self::Outcome) -> bool {
        let _ = outcome;
        false
    }

    /// Writes all rows; runs in one transaction. One verdict per item, in order.
    /// A fault of the whole call rolls back. What the database refuses, or what is contended for long, is tried item by item; where it
    /// is not reachable, the same outcomes are recorded again later.
    fn record(
        &self,
        db: &mut Connection,
        items: &[(&Item<Self::Job>, Self::Outcome)],
    ) -> Result<Verdicts, Fault>;
}

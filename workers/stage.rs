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
//! The [runner](crate::runner) then publishes every successor, waits for every confirm, and acknowledges. Running a
//! stage twice on one message must be safe: the second run finds its own row and publishes the successor *again*,
//! because the first run may have died between commit and publish.
//!
//! The verdict on an item is a type: `Ok` is done, a [`Fault`] carries its [`Reason`], and the reason alone decides
//! what happens next ([`Class`]). A broken rule of the business is no fault: it is an answer, and `Ok`.

use std::{error::Error, fmt, future::Future};

use hosho_schema::{
    db::{Connection, DbError},
    ids,
    messages::Message,
};

use crate::{
    broker::{Destination, Envelope, History, Lane, Outgoing},
    telemetry::Traceparent,
};

/// What a reason means for the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Trying again cannot help: a dead letter at once.
    Permanent,
    /// This item may succeed later: the retry ladder, then a dead letter.
    Transient,
    /// Something everybody needs is down: no attempt is counted, the stage waits and probes.
    Unavailable,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $class:ident;)*) => {
        /// Why an item failed. The code is stable: it is the metric label and the failure's code, and is never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable code.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What happens to the message.
            pub const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)* }
            }
        }
    };
}

reasons! {
    /// The body is larger than `work.max_message_bytes`.
    TooLarge = "message.too_large", Permanent;
    /// The body is not JSON, or not of the message's shape.
    Undecodable = "message.undecodable", Permanent;
    /// The message names a row that does not exist.
    ReferenceMissing = "reference.missing", Permanent;
    /// A stored snapshot cannot be read.
    SnapshotUnreadable = "snapshot.unreadable", Permanent;
    /// Obligee, branch or surety of an accepted application is no longer configured.
    DataMissing = "data.missing", Permanent;
    /// The sequence of guarantee numbers of a branch and term is used up.
    NumberExhausted = "number.exhausted", Permanent;
    /// The sealed authentication key cannot be made or opened with the data keys at hand.
    KeyUnusable = "key.unusable", Permanent;
    /// Template, markup, glyph or layout failed.
    DocumentFailed = "document.failed", Permanent;
    /// The mail cannot be built.
    MailUnbuildable = "mail.unbuildable", Permanent;
    /// The mail server refused the mail for good (5xx).
    MailRefused = "mail.refused", Permanent;
    /// The mail server refused the mail for now (4xx).
    MailDeferred = "mail.deferred", Transient;
    /// Another worker is sending this mail.
    MailClaimed = "mail.claimed", Transient;
    /// A document named in the database is not in the store.
    DocumentMissing = "document.missing", Transient;
    /// The document store takes other documents, and not this one.
    DocumentUnwritable = "document.unwritable", Transient;
    /// Lock timeout, deadlock or serialization failure.
    DatabaseContention = "database.contention", Transient;
    /// The database refused the statement.
    DatabaseRefused = "database.refused", Permanent;
    /// The stage panicked on this item.
    Panicked = "stage.panicked", Permanent;
    /// The database cannot be reached.
    DatabaseUnavailable = "database.unavailable", Unavailable;
    /// The document store cannot be reached or written.
    DocumentsUnavailable = "documents.unavailable", Unavailable;
    /// The mail server cannot be reached, or refuses the login.
    MailUnavailable = "mail.unavailable", Unavailable;
    /// The process was asked to stop before this item had its turn.
    Stopping = "stage.stopping", Unavailable;
}

/// Why an item (or a whole batch) failed, with the chain of causes as text for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The reason; decides what happens next.
    pub reason: Reason,
    /// What was attempted and every cause, English, without personal data.
    pub text: String,
    /// What is published all the same: an item can fail in one part and be done in another.
    pub aside: Vec<Outgoing>,
}

impl Fault {
    /// A fault with a text of its own.
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into(), aside: Vec::new() }
    }

    /// A fault from an error, with its whole chain of causes.
    pub fn from_error(reason: Reason, error: &dyn Error) -> Self {
        Self::new(reason, chain(error))
    }

    /// Publishes `messages` although the item fails.
    #[must_use]
    pub fn with(mut self, messages: Vec<Outgoing>) -> Self {
        self.aside = messages;
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.code(), self.text)
    }
}

impl From<DbError> for Fault {
    fn from(error: DbError) -> Self {
        let reason = if error.is_unavailable() {
            Reason::DatabaseUnavailable
        } else if error.is_contention() {
            Reason::DatabaseContention
        } else {
            Reason::DatabaseRefused
        };
        Self::from_error(reason, &error)
    }
}

/// Writes an error and all its causes in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

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
}

impl<J> Item<J> {
    /// A message for the next stage. `key` is the business key: the same on retry, redelivery and replay.
    pub fn successor<M: Message>(&self, stage: &'static str, key: &str, message: &M) -> Outgoing {
        outgoing(Destination::Stage(stage, self.lane), &ids::message(stage, key), self.correlation_id.clone(), &self.trace, message)
    }

    /// A result event for upstream systems. `key` as for [`Item::successor`].
    pub fn event<M: Message>(&self, key: &str, message: &M) -> Outgoing {
        let routing_key = M::TYPE.rsplit_once('.').map_or(M::TYPE, |(name, _version)| name);
        outgoing(Destination::Event(routing_key), &ids::message(M::TYPE, key), self.correlation_id.clone(), &self.trace, message)
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

/// What to publish for each item, or why it failed; in the order of the items.
pub type Verdicts = Vec<Result<Vec<Outgoing>, Fault>>;

/// One stage of the pipeline.
pub trait Stage: Send + Sync + 'static {
    /// The wire name: queue, routing key, metric label.
    const NAME: &'static str;
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
    fn load(&self, db: &mut Connection, items: &[&Item<Self::Job>]) -> Result<Vec<Result<Self::Facts, Fault>>, Fault>;

    /// Decides one item. Pure: no I/O.
    fn decide(&self, item: &Item<Self::Job>, facts: Self::Facts) -> Result<Self::Outcome, Fault>;

    /// Has effects outside the database. One result per outcome, in order. Must be safe to run twice.
    fn act(&self, outcomes: Vec<Self::Outcome>) -> impl Future<Output = Vec<Result<Self::Outcome, Fault>>> + Send {
        std::future::ready(outcomes.into_iter().map(Ok).collect())
    }

    /// Writes all rows; runs in one transaction. One verdict per item, in order.
    /// A fault of the whole call rolls back. What the database refuses is tried item by item; where it is not reachable
    /// or contended, the same outcomes are recorded again later: what [`Stage::act`] did is not forgotten.
    fn record(&self, db: &mut Connection, items: &[(&Item<Self::Job>, Self::Outcome)]) -> Result<Verdicts, Fault>;
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique() {
        let codes: HashSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
    }
}

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
//! what happens next ([`Class`]) and what an operator is told to do ([`Reason::advice`]). A broken rule of the business is no fault: it is an answer, and `Ok`.

use std::{error::Error, fmt, future::Future, sync::Arc};

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
    /// The effect may have happened, and the stage has written that down: neither tried again by the runner nor a dead letter.
    Ambiguous,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $class:ident, $advice:literal;)*) => {
        /// Why an item failed. The code is stable: it is the metric label and the failure's code, and is never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])* $name,)*
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

            /// What an operator who finds such dead letters does about them.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }

            /// The reason that has a code.
            pub fn of_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.code() == code)
            }
        }
    };
}

reasons! {
    /// The body is larger than `work.max_message_bytes`.
    TooLarge = "message.too_large", Permanent, "ask the sender to send less, or raise work.max_message_bytes; then replay";
    /// The body is not JSON, or not of the message's shape.
    Undecodable = "message.undecodable", Permanent, "the text tells where the body is wrong: `hosho failed edit` mends one message, the sender mends the rest; discard what is nobody's";
    /// The message names a row that does not exist.
    ReferenceMissing = "reference.missing", Permanent, "what the message names is not in the database: was a backup restored, or the message published by hand? `hosho status` tells what is known; discard it if nothing is missing";
    /// A stored snapshot cannot be read.
    SnapshotUnreadable = "snapshot.unreadable", Permanent, "the stored row was written by another version or damaged: run the newest version, then replay";
    /// Obligee, branch or surety of an accepted application is no longer configured.
    DataMissing = "data.missing", Permanent, "put the file of the obligee, branch or surety back (`hosho config check`), restart the workers, then replay";
    /// The sequence of guarantee numbers of a branch and term is used up.
    NumberExhausted = "number.exhausted", Permanent, "the numbers of this branch and term are used up: ask for another branch code, then replay";
    /// The sealed authentication key cannot be made or opened with the data keys at hand.
    KeyUnusable = "key.unusable", Permanent, "put the data key back that sealed it (keys.file, an old line), restart the workers, then replay";
    /// Template, markup, glyph or layout failed.
    DocumentFailed = "document.failed", Permanent, "the text names template or character: mend the template (`hosho templates check`) or the fonts, restart the workers, then replay";
    /// The mail cannot be built.
    MailUnbuildable = "mail.unbuildable", Permanent, "mend the mail template or mail.from_address (`hosho config check`), restart the workers, then replay";
    /// The mail server refused the mail for good (5xx).
    MailRefused = "mail.refused", Permanent, "the guarantee is issued all the same. If the mail server was wrong: mend it, then replay, which sends the mail anew. If the address is wrong: tell the contractor another way, then discard";
    /// The mail server refused the mail for now (4xx).
    MailDeferred = "mail.deferred", Transient, "the mailbox was busy or full for over an hour: replay later";
    /// Another worker is sending this mail.
    MailClaimed = "mail.claimed", Transient, "another worker held this mail for too long: `hosho mail unknown` tells whether it is in doubt, then replay";
    /// A document named in the database is not in the store.
    DocumentMissing = "document.missing", Transient, "the document is gone from the store: restore it from the backup (`hosho documents verify`), then replay";
    /// The document store takes other documents, and not this one.
    DocumentUnwritable = "document.unwritable", Transient, "look at the permissions and names below documents.url, then replay";
    /// Lock timeout, deadlock or serialization failure.
    DatabaseContention = "database.contention", Transient, "the database was overloaded for over an hour: look at its locks, then replay";
    /// The database refused the statement.
    DatabaseRefused = "database.refused", Permanent, "a fault of the program or of the tables (`hosho migrate --check`): the log tells the statement; after the update, replay";
    /// The stage panicked on this item.
    Panicked = "stage.panicked", Permanent, "a fault of the program: report the place told in the text; after the update, replay";
    /// The database cannot be reached.
    DatabaseUnavailable = "database.unavailable", Unavailable, "the stage waits by itself: bring the database back";
    /// The document store cannot be reached or written.
    DocumentsUnavailable = "documents.unavailable", Unavailable, "the stage waits by itself: make documents.url writable";
    /// The mail server cannot be reached, or refuses the login.
    MailUnavailable = "mail.unavailable", Unavailable, "the stage waits by itself: bring the mail server back, or mend [mail]";
    /// The mail server may have taken the mail: its ledger row says `unknown`.
    MailUnknown = "mail.unknown", Ambiguous, "it is sent once more by itself; after that `hosho mail unknown` lists it";
    /// The process was asked to stop, or the stage was paused, before this item had its turn.
    Stopping = "stage.stopping", Unavailable, "nothing: another worker goes on";
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
    /// What it would be called, or is, among the failed messages; `None` for what came from no queue.
    pub failed_id: Option<String>,
    /// Whether an operator sent it once more, and so wants tried again what was refused for good.
    pub replayed: bool,
}

impl<J> Item<J> {
    /// A message for the next stage. `key` is the business key: the same on retry, redelivery and replay.
    pub fn successor<M: Message>(&self, stage: &'static str, key: &str, message: &M) -> Outgoing {
        outgoing(
            Destination::Stage(stage, self.lane),
            &ids::message(stage, key),
            self.correlation_id.clone(),
            &self.trace,
            message,
        )
    }

    /// A result event for upstream systems. `key` as for [`Item::successor`].
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
pub struct Leave(Arc<dyn Fn() -> Option<&'static str> + Send + Sync>);

impl Leave {
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
        leave: &Leave,
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_says_what_to_do_and_is_found_by_its_code() {
        for reason in Reason::ALL {
            assert!(reason.advice().len() > 10 && !reason.advice().ends_with('.'), "{}", reason.code());
            assert_eq!(Reason::of_code(reason.code()), Some(*reason));
        }
        assert_eq!(Reason::of_code("nothing"), None);
    }

    #[test]
    fn codes_are_unique() {
        let codes: HashSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
    }
}

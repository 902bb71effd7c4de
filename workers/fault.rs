//! Reasons of failures, the class of each, and the fault that carries one.

use std::{error::Error, fmt};

use hosho_schema::db::DbError;

/// What happens to the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A retry cannot help: a dead letter at once.
    Permanent,
    /// This item may succeed later: retries, then a dead letter.
    Transient,
    /// A dependency of all items is down: no attempt is counted, the stage waits and probes.
    Unavailable,
    /// The effect may have happened, and the stage has recorded that: neither a retry nor a dead letter.
    Ambiguous,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $class:ident, $advice:literal;)*) => {
        /// Why an item failed.
        /// Codes are stable and never reused: metric label, and code of the failure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])* $name,)*
        }

        impl Reason {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            pub const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)* }
            }

            /// What an operator does about such dead letters.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }

            pub fn of_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.code() == code)
            }
        }
    };
}

reasons! {
    /// The body is larger than `work.max_message_bytes`.
    TooLarge = "message.too_large", Permanent, "ask the sender to send less, or raise work.max_message_bytes; then replay";
    /// The body is not JSON, or not the expected message.
    Undecodable = "message.undecodable", Permanent, "the text tells where the body is wrong: `hosho failed edit` mends one message, the sender mends the rest; discard what is nobody's";
    /// The message names a row that does not exist.
    ReferenceMissing = "reference.missing", Permanent, "what the message names is not in the database: was a backup restored, or the message published by hand? `hosho status` tells what is known; discard it if nothing is missing";
    /// A stored snapshot cannot be read.
    SnapshotUnreadable = "snapshot.unreadable", Permanent, "the stored row was written by another version or damaged: run the newest version, then replay";
    /// The obligee, branch or surety of an accepted application is no longer configured.
    DataMissing = "data.missing", Permanent, "put the file of the obligee, branch or surety back (`hosho config check`), restart the workers, then replay";
    /// The sequence of guarantee numbers of a branch and term is used up.
    NumberExhausted = "number.exhausted", Permanent, "the numbers of this branch and term are used up: ask for another branch code, then replay";
    /// The authentication key cannot be sealed or opened with the configured data keys.
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
    /// The document store accepts other documents, but not this one.
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
    /// The process was requested to stop, or the stage was paused, before this item was begun.
    Stopping = "stage.stopping", Unavailable, "nothing: another worker goes on";
}

/// Why an item (or a whole batch) failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub reason: Reason,
    /// The attempt and every cause, for operators, without personal data.
    pub text: String,
}

impl Fault {
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }

    /// With the whole chain of causes.
    pub fn from_error(reason: Reason, error: &dyn Error) -> Self {
        Self::new(reason, chain(error))
    }

    /// A stored text that cannot be read.
    /// With the category only: the text of a data error quotes the value.
    pub fn unreadable(what: &str, error: &serde_json::Error) -> Self {
        Self::new(
            Reason::SnapshotUnreadable,
            format!(
                "the stored {what} cannot be read: {:?} error at line {}",
                error.classify(),
                error.line()
            ),
        )
    }

    /// A row that a message names and that does not exist.
    /// The sender chooses the name: only a UUID is repeated.
    pub fn missing(what: &str, id: &str) -> Self {
        let id = if uuid::Uuid::try_parse(id).is_ok() { id } else { "under the name given" };
        Self::new(Reason::ReferenceMissing, format!("there is no {what} {id}"))
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

/// An error and all its causes in one line.
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_has_advice_and_a_code() {
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

    #[test]
    fn repeats_only_identifiers_from_messages() {
        let id = "6f1c1c3e-7f0b-5c53-9c7d-5b8a1d1f0a11";
        assert_eq!(Fault::missing("application", id).text, format!("there is no application {id}"));
        assert!(!Fault::missing("application", "taro@example.jp").text.contains("taro"));
    }
}

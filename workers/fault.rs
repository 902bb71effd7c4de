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
    /// A dependency of all items is down.
    /// No attempt is counted; the stage waits and probes.
    Unavailable,
    /// The effect may have happened, and the stage has recorded that.
    /// Neither a retry nor a dead letter follows.
    Ambiguous,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $class:ident;)*) => {
        /// Why an item failed. The code is stable and never reused.
        /// It is the metric label and the failure's code.
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

            pub fn of_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.code() == code)
            }
        }
    };
}

reasons! {
    TooLarge = "message.too_large", Permanent;
    /// The body is not JSON, or not of the message's shape.
    Undecodable = "message.undecodable", Permanent;
    ReferenceMissing = "reference.missing", Permanent;
    SnapshotUnreadable = "snapshot.unreadable", Permanent;
    /// Obligee, branch or surety of an accepted application is no longer configured.
    DataMissing = "data.missing", Permanent;
    NumberExhausted = "number.exhausted", Permanent;
    /// The data keys at hand cannot make or open the sealed authentication key.
    KeyUnusable = "key.unusable", Permanent;
    /// Template, markup, glyph or layout failed.
    DocumentFailed = "document.failed", Permanent;
    MailUnbuildable = "mail.unbuildable", Permanent;
    MailRefused = "mail.refused", Permanent;
    MailDeferred = "mail.deferred", Transient;
    /// This mail is being sent, or a worker stopped while sending it.
    MailClaimed = "mail.claimed", Transient;
    /// A document named in the database is not in the store.
    DocumentMissing = "document.missing", Transient;
    /// The document store takes other documents, and not this one.
    DocumentUnwritable = "document.unwritable", Transient;
    /// Lock timeout, deadlock or serialization failure.
    DatabaseContention = "database.contention", Transient;
    DatabaseRefused = "database.refused", Permanent;
    Panicked = "stage.panicked", Permanent;
    DatabaseUnavailable = "database.unavailable", Unavailable;
    DocumentsUnavailable = "documents.unavailable", Unavailable;
    /// The mail server cannot be reached, or refuses the login.
    MailUnavailable = "mail.unavailable", Unavailable;
    /// The mail server may have taken the mail: its ledger row says `unknown`.
    MailUnknown = "mail.unknown", Ambiguous;
    /// The process stopped, or the stage was paused, before this item was processed.
    Stopping = "stage.stopping", Unavailable;
}

pub type Result<T, E = Fault> = std::result::Result<T, E>;

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
/// A cause that the error before it ends with is not repeated.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let reason = cause.to_string();
        if !text.ends_with(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn finds_a_reason_by_its_code() {
        for reason in Reason::ALL {
            assert_eq!(Reason::of_code(reason.code()), Some(*reason));
        }
        assert_eq!(Reason::of_code("nothing"), None);
    }

    #[test]
    fn chain_names_each_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Layer(&'static str, #[source] Option<Box<Layer>>);

        let refused = || Some(Box::new(Layer("refused", None)));
        assert_eq!(chain(&Layer("no broker", refused())), "no broker: refused");
        let error = Layer("no broker", Some(Box::new(Layer("IO error: refused", refused()))));
        assert_eq!(chain(&error), "no broker: IO error: refused");
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

//! What can go wrong with a database, and what a caller does about it.
//!
//! A worker asks one question of an error: is the database away (stop consuming, probe, resume), is it contention (try
//! again soon), or is this item at fault? diesel keeps the SQLSTATE to itself for most codes, so the rest is told by the
//! server's primary message, in English and in the Japanese of a server whose `lc_messages` says so.

use std::path::PathBuf;

use diesel::result::{DatabaseErrorKind, Error};

/// Says which operation on the database failed. No text holds a row's content, a URL or a password.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The configured URL names no database.
    #[error("the database URL is not usable: {problem}")]
    Url {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The SQLite file cannot be created or opened.
    #[error("cannot open database file {path}", path = path.display())]
    OpenFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is there, but SQLite cannot work with it.
    #[error("cannot set up SQLite database {path}", path = path.display())]
    OpenSqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Error,
    },
    /// No connection could be made, or none became free in time.
    #[error("cannot get a database connection: {problem}")]
    Connect {
        /// What the server or the pool said, without passwords.
        problem: String,
    },
    /// A transaction could not be begun.
    #[error("cannot begin a transaction")]
    Begin {
        /// Why.
        source: Error,
    },
    /// A transaction could not be committed.
    #[error("cannot commit a transaction")]
    Commit {
        /// Why.
        source: Error,
    },
    /// The migrations could not be read, or one of them could not be applied or reverted.
    #[error("cannot migrate the database ({step})")]
    Migrate {
        /// Name of the migration, or what was attempted.
        step: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Rows could not be read.
    #[error("cannot read {what}")]
    Read {
        /// Which rows.
        what: &'static str,
        /// Why.
        source: Error,
    },
    /// Rows could not be written.
    #[error("cannot write {what}")]
    Write {
        /// Which rows.
        what: &'static str,
        /// Why.
        source: Error,
    },
    /// Rows contradict each other in a way this program never writes.
    #[error("the database is damaged: {what}")]
    Damaged {
        /// Where.
        what: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Unavailable,
    Contention,
    Unique,
    Permanent,
}

impl DbError {
    /// Whether the database is away, full or refuses connections: nothing is wrong with the item at hand.
    pub fn is_unavailable(&self) -> bool {
        self.class() == Class::Unavailable
    }

    /// Whether other transactions were in the way: the same work may succeed at once.
    pub fn is_contention(&self) -> bool {
        self.class() == Class::Contention
    }

    /// Whether a unique key was already there.
    pub(crate) fn is_unique_violation(&self) -> bool {
        self.class() == Class::Unique
    }

    fn class(&self) -> Class {
        match self {
            Self::Connect { .. } => Class::Unavailable,
            Self::Url { .. } | Self::OpenFile { .. } | Self::Damaged { .. } => Class::Permanent,
            Self::OpenSqlite { source, .. }
            | Self::Begin { source }
            | Self::Commit { source }
            | Self::Read { source, .. }
            | Self::Write { source, .. } => class_of(source),
            Self::Migrate { source, .. } => {
                let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&**source);
                while let Some(error) = cause {
                    if let Some(error) = error.downcast_ref::<Error>() {
                        return class_of(error);
                    }
                    cause = error.source();
                }
                Class::Permanent
            }
        }
    }
}

fn class_of(error: &Error) -> Class {
    match error {
        // A lost connection leaves its transaction in a state diesel will not continue.
        Error::BrokenTransactionManager => Class::Unavailable,
        Error::RollbackErrorOnCommit { commit_error, .. } => class_of(commit_error),
        Error::DatabaseError(kind, information) => match kind {
            // Read-only: a standby, where a failover has not finished.
            DatabaseErrorKind::ClosedConnection
            | DatabaseErrorKind::UnableToSendCommand
            | DatabaseErrorKind::ReadOnlyTransaction => Class::Unavailable,
            DatabaseErrorKind::SerializationFailure => Class::Contention,
            DatabaseErrorKind::UniqueViolation => Class::Unique,
            DatabaseErrorKind::Unknown => class_of_message(information.message()),
            _ => Class::Permanent,
        },
        _ => Class::Permanent,
    }
}

/// Parts of messages. The first of each group are PostgreSQL's and the C library's, then their Japanese, then SQLite's.
fn class_of_message(message: &str) -> Class {
    const CONTENTION: &[&str] = &[
        "deadlock detected",
        "due to lock timeout",
        "could not obtain lock",
        "デッドロックを検出",
        "ロックのタイムアウト",
        "ロックを取得できません",
        "database is locked",
        "database table is locked",
        "database schema is locked",
    ];
    const UNAVAILABLE: &[&str] = &[
        "terminating connection",
        "server closed the connection",
        "database system is shutting down",
        "database system is starting up",
        "database system is in recovery mode",
        "too many clients",
        "remaining connection slots",
        "No space left on device",
        "could not extend file",
        "out of memory",
        "out of shared memory",
        "接続を終了",
        "データベースシステムは",
        "空き領域がありません",
        "メモリ不足",
        "database or disk is full",
        "disk I/O error",
        "unable to open database file",
        "attempt to write a readonly database",
    ];
    let holds = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    if holds(CONTENTION) {
        Class::Contention
    } else if holds(UNAVAILABLE) {
        Class::Unavailable
    } else {
        Class::Permanent
    }
}

/// Names the rows a failed query wanted to read.
pub(crate) fn reading(what: &'static str) -> impl FnOnce(Error) -> DbError {
    move |source| DbError::Read { what, source }
}

/// Names the rows a failed statement wanted to write.
pub(crate) fn writing(what: &'static str) -> impl FnOnce(Error) -> DbError {
    move |source| DbError::Write { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(kind: DatabaseErrorKind, message: &str) -> Class {
        DbError::Write { what: "rows", source: Error::DatabaseError(kind, Box::new(message.to_owned())) }
            .class()
    }

    #[test]
    fn errors_are_told_apart() {
        use DatabaseErrorKind::{
            CheckViolation, ClosedConnection, SerializationFailure, UniqueViolation, Unknown,
        };
        assert_eq!(class(ClosedConnection, ""), Class::Unavailable);
        assert_eq!(class(SerializationFailure, ""), Class::Contention);
        assert_eq!(class(UniqueViolation, ""), Class::Unique);
        assert_eq!(class(CheckViolation, "deadlock detected"), Class::Permanent);
        assert_eq!(class(Unknown, "deadlock detected"), Class::Contention);
        assert_eq!(class(Unknown, "database is locked"), Class::Contention);
        assert_eq!(
            class(Unknown, "could not extend file \"base/1\": No space left on device"),
            Class::Unavailable
        );
        assert_eq!(class(Unknown, "database or disk is full"), Class::Unavailable);
        assert_eq!(class(Unknown, "relation \"mail\" does not exist"), Class::Permanent);
    }

    #[test]
    fn the_text_names_the_operation_and_leaves_the_cause_to_the_source() {
        let error = DbError::Read { what: "applications", source: Error::NotFound };
        assert_eq!(error.to_string(), "cannot read applications");
        assert!(std::error::Error::source(&error).is_some());
    }
}

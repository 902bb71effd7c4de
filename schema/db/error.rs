//! Errors of the database, classified by what a caller does about them.
//!
//! A worker distinguishes three classes: the database is unavailable (stop consuming, probe, resume),
//! contention (retry soon), and a fault of the item. diesel exposes the SQLSTATE of few codes, so the others
//! are recognised by the server's primary message, in English and in Japanese (`lc_messages`).

use std::path::PathBuf;

use diesel::result::{DatabaseErrorKind, Error};

/// A result of the database, unless it names another error.
pub type Result<T, E = DbError> = std::result::Result<T, E>;

/// No text of it contains a row's content, a URL or a password.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("the database URL is not usable: {problem}")]
    Url { problem: &'static str },
    #[error("cannot open database file {path}", path = path.display())]
    OpenFile { path: PathBuf, source: std::io::Error },
    /// The file opens, but is no SQLite database or is locked.
    #[error("cannot set up SQLite database {path}", path = path.display())]
    OpenSqlite { path: PathBuf, source: Error },
    /// The server refused, or no connection of the pool became free in time.
    #[error("cannot get a database connection: {problem}")]
    Connect {
        /// Message of the server or the pool, without passwords.
        problem: String,
    },
    #[error("cannot begin a transaction")]
    Begin { source: Error },
    #[error("cannot commit a transaction")]
    Commit { source: Error },
    #[error("cannot migrate the database ({step})")]
    Migrate {
        /// Name of the migration, or the step around it.
        step: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("cannot {attempt}")]
    Statement { attempt: &'static str, source: Error },
    /// Rows contradict each other in a way this program never writes.
    #[error("the database is damaged: {what}")]
    Damaged { what: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Unavailable,
    Contention,
    Unique,
    Permanent,
}

impl DbError {
    /// The database is down, full or refuses connections: the item is not at fault.
    pub fn is_unavailable(&self) -> bool {
        self.class() == Class::Unavailable
    }

    /// Whether other transactions were in the way: a retry may succeed at once.
    pub fn is_contention(&self) -> bool {
        self.class() == Class::Contention
    }

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
            | Self::Statement { source, .. } => class_of(source),
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
        // After a lost connection diesel refuses to continue the transaction.
        Error::BrokenTransactionManager => Class::Unavailable,
        Error::RollbackErrorOnCommit { commit_error, .. } => class_of(commit_error),
        Error::DatabaseError(kind, information) => match kind {
            // Read-only: a standby whose failover has not finished.
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

/// In each group: PostgreSQL and the C library, then their Japanese, then SQLite.
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

/// Says what a failed statement attempted: verb and rows, never their content.
pub(crate) fn attempting(attempt: &'static str) -> impl FnOnce(Error) -> DbError {
    move |source| DbError::Statement { attempt, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(kind: DatabaseErrorKind, message: &str) -> Class {
        attempting("claim mails")(Error::DatabaseError(kind, Box::new(message.to_owned()))).class()
    }

    #[test]
    fn classifies_errors_by_kind_and_message() {
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
    fn text_names_the_attempt_and_source_the_cause() {
        let error = attempting("read applications")(Error::NotFound);
        assert_eq!(error.to_string(), "cannot read applications");
        assert!(std::error::Error::source(&error).is_some());
    }
}

//! The one error of the application layer.

use std::{fmt, process::ExitCode};

use hosho_schema::db::DbError;
use serde::Serialize;

use crate::{
    app::AppError,
    broker::BrokerError,
    dead_letters::{EditError, OperationError},
    fault::{Fault, chain},
    worker::WorkerError,
};

/// The kind of an error: exit code, JSON code, and later HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    NotFound,
    /// The state of the subject does not allow it; nothing was changed.
    Conflict,
    Invalid,
    /// The configuration, or a file it names, is wrong.
    Configuration,
    /// Database, broker, document store or fonts cannot be used.
    Unavailable,
}

/// An error with its causes and what to do about it.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    source: anyhow::Error,
    hint: Option<String>,
}

impl Error {
    pub fn new(kind: ErrorKind, source: impl Into<anyhow::Error>) -> Self {
        Self { kind, source: source.into(), hint: None }
    }

    pub fn not_found(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, anyhow::Error::msg(text.into()))
    }

    pub fn conflict(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, anyhow::Error::msg(text.into()))
    }

    pub fn invalid(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, anyhow::Error::msg(text.into()))
    }

    pub fn configuration(error: impl Into<anyhow::Error>) -> Self {
        Self::new(ErrorKind::Configuration, error)
    }

    pub fn unavailable(error: impl Into<anyhow::Error>) -> Self {
        Self::new(ErrorKind::Unavailable, error)
    }

    #[must_use]
    pub fn context(self, text: impl Into<String>) -> Self {
        Self { source: self.source.context(text.into()), ..self }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error with its causes, without the hint.
    pub fn message(&self) -> String {
        chain(&*self.source)
    }

    /// The hint, if any.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            ErrorKind::NotFound | ErrorKind::Conflict => 1,
            ErrorKind::Invalid => 2,
            ErrorKind::Configuration => 3,
            ErrorKind::Unavailable => 4,
        })
    }

    /// `{"error":{"code":…,"message":…,"hint":…}}`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "error": { "code": self.kind, "message": self.message(), "hint": self.hint } })
    }
}

/// `error: …: cause: cause`, then the hint on a line of its own.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message())?;
        if let Some(hint) = &self.hint {
            write!(f, "\n hint: {hint}")?;
        }
        Ok(())
    }
}

impl From<AppError> for Error {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Configuration { .. } => Self::configuration(error)
                .hint("correct it, then run `hosho config check`; for templates, `hosho templates check`"),
            AppError::Unavailable { .. } => Self::unavailable(error)
                .hint("try again when it is available; run `hosho config show` for its address"),
            AppError::Fonts(_) => Self::unavailable(error)
                .hint("correct fonts.mincho or fonts.gothic, or install the font"),
            AppError::KeysMissing(_) => Self::configuration(error).hint(
                "create it once with HOSHO__KEYS__CREATE=true for a new installation; otherwise restore it from the \
                 backup, because without it no stored authentication key can be opened",
            ),
            AppError::Unmigrated { .. } => Self::unavailable(error).hint("run `hosho migrate`"),
        }
    }
}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        let hint = if error.is_contention() {
            "try again: another process changed the same row just now"
        } else {
            DATABASE_DOWN
        };
        Self::unavailable(error).hint(hint)
    }
}

const DATABASE_DOWN: &str = "start the database server or correct database.url, then run `hosho doctor`";
const BROKER_DOWN: &str = "start the broker or correct broker.url, then run `hosho doctor`";

/// The hint of a refused login, or of a missing permission.
pub(super) const BROKER_DENIED: &str = "correct user and password of broker.url, or grant the user the \
     permission with `rabbitmqctl set_permissions`: configure to declare, write to publish, read to consume";

impl From<BrokerError> for Error {
    fn from(error: BrokerError) -> Self {
        let hint = if error.is_denied() { BROKER_DENIED } else { BROKER_DOWN };
        Self::unavailable(error).hint(hint)
    }
}

impl From<WorkerError> for Error {
    fn from(error: WorkerError) -> Self {
        use ErrorKind::{Configuration, Invalid, Unavailable};
        let (kind, hint) = match error {
            WorkerError::App(error) => return error.into(),
            WorkerError::System(_) => return Self::unavailable(error),
            WorkerError::Schedule(_) => return Self::configuration(error),
            WorkerError::InProcess => (Invalid, "set HOSHO__BROKER__URL=amqp://…, or use `hosho process`"),
            WorkerError::Paused(_) => (Unavailable, DATABASE_DOWN),
            WorkerError::EndedEarly => {
                (Unavailable, "read the log for the reason, then start the process again")
            }
            WorkerError::Folder { .. } => (Unavailable, "name a folder with --out that this user may write"),
            WorkerError::Locked(_) => (Unavailable, "wait for it to end, or choose another --out"),
            WorkerError::KeysGone(_) => {
                (Configuration, "restore the file, or begin in another folder with --out")
            }
        };
        Self::new(kind, error).hint(hint)
    }
}

impl From<OperationError> for Error {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Database(error) => error.into(),
            OperationError::Edit(error) => error.into(),
            error @ OperationError::State { .. } => {
                Self::new(ErrorKind::Conflict, error).hint("run `hosho failed show` for its state")
            }
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::unavailable(anyhow::Error::msg(fault.to_string()))
    }
}

impl From<EditError> for Error {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Assignment(_) | EditError::Path { .. } => Self::invalid(error.to_string()),
            error => Self::new(ErrorKind::Conflict, error)
                .hint("correct the edit and run the command again: nothing was changed"),
        }
    }
}

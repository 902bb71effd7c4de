//! What a command reports when it cannot go on: an error with its causes, a hint, and an exit code.

use std::{fmt, process::ExitCode};

use hosho_schema::db::DbError;

use crate::{
    app::AppError,
    dead_letters::{EditError, OperationError},
};

/// A command that could not be carried out.
#[derive(Debug)]
pub struct CliError {
    code: u8,
    error: anyhow::Error,
    hint: Option<String>,
}

impl CliError {
    /// Exit code 1: the command ran and found something wrong.
    pub fn found(error: impl Into<anyhow::Error>) -> Self {
        Self { code: 1, error: error.into(), hint: None }
    }

    /// Exit code 2: the arguments do not make sense.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { code: 2, error: anyhow::anyhow!(text.into()), hint: None }
    }

    /// Exit code 3: the configuration is not valid.
    pub fn configuration(error: impl Into<anyhow::Error>) -> Self {
        Self { code: 3, error: error.into(), hint: None }
    }

    /// Exit code 4: something needed is not available.
    pub fn unavailable(error: impl Into<anyhow::Error>) -> Self {
        Self { code: 4, error: error.into(), hint: None }
    }

    /// Exit code 4: the program could not do its part (a thread, a timer, its own output).
    pub fn internal(error: impl Into<anyhow::Error>) -> Self {
        Self::unavailable(error)
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error with its causes, without the hint.
    pub fn text(&self) -> String {
        format!("{:#}", self.error)
    }

    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

/// `error: …: cause: cause`, then the hint on a line of its own.
impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {:#}", self.error)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n hint: {hint}")?;
        }
        Ok(())
    }
}

impl From<AppError> for CliError {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Configuration { .. } => Self::configuration(error)
                .hint("correct it, then `hosho config check` tells whether all is right; templates: `hosho templates check`"),
            AppError::Unavailable { .. } => {
                Self::unavailable(error).hint("`hosho config show` prints where it was looked for; try again when it is there")
            }
            AppError::Unmigrated { .. } => Self::unavailable(error).hint("run `hosho migrate`"),
        }
    }
}

impl From<DbError> for CliError {
    fn from(error: DbError) -> Self {
        let hint = if error.is_contention() {
            "somebody else changed the same just now: try again"
        } else {
            "is database.url right and the server up?"
        };
        Self::unavailable(error).hint(hint)
    }
}

impl From<OperationError> for CliError {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Database(error) => error.into(),
            OperationError::Edit(error) => error.into(),
            error @ OperationError::State { .. } => {
                Self::found(error).hint("`hosho failed show` tells what became of it")
            }
        }
    }
}

impl From<EditError> for CliError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Assignment(_) | EditError::Path { .. } => Self::usage(error.to_string()),
            error => Self::found(error).hint("nothing was changed"),
        }
    }
}

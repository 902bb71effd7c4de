//! Completes the beginnings of identifiers.

use hosho_schema::{
    db::{Connection, DbError},
    models::{failed_message, job_run, replay},
};

use super::Error;
use crate::db::Db;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    DeadLetter,
    Group,
    Run,
    Replay,
}

impl Kind {
    /// Its name, and the command that lists them.
    const fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::DeadLetter => ("failed message", "hosho failed list"),
            Self::Group => ("group", "hosho failed groups"),
            Self::Run => ("run", "hosho batch list"),
            Self::Replay => ("replay", "hosho replay list"),
        }
    }

    fn find(self, db: &mut Connection, beginning: &str) -> Result<Vec<String>, DbError> {
        match self {
            Self::DeadLetter => failed_message::by_prefix(db, beginning),
            Self::Group => failed_message::groups_by_prefix(db, beginning),
            Self::Run => job_run::by_prefix(db, beginning),
            Self::Replay => replay::by_prefix(db, beginning),
        }
    }
}

/// The one identifier that begins so.
pub fn complete_in(db: &mut Connection, kind: Kind, beginning: &str) -> Result<String, Error> {
    let (name, command) = kind.texts();
    let several = format!("begins several identifiers: give more of the {name}");
    only(kind.find(db, beginning)?, name, command, beginning, &several)
}

/// The only row that `key` names; `command` lists all rows.
pub(super) fn only<T>(
    mut found: Vec<T>,
    name: &str,
    command: &str,
    key: &str,
    several: &str,
) -> Result<T, Error> {
    match (found.pop(), found.is_empty()) {
        (Some(row), true) => Ok(row),
        (None, _) => Err(Error::not_found(format!("there is no {name} {key:?}"))
            .hint(format!("run `{command}` to list them"))),
        _ => Err(Error::invalid(format!("{key:?} {several}"))),
    }
}

pub async fn complete(db: &Db, kind: Kind, beginning: &str) -> Result<String, Error> {
    let beginning = beginning.to_owned();
    db.call(move |db| complete_in(db, kind, &beginning)).await
}

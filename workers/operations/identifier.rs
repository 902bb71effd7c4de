//! Completes the beginnings of identifiers.

use hosho_schema::{
    db::{Connection, DbError},
    models::{failed_message, job_run, replay},
};

use super::Error;
use crate::db::Db;

/// What an identifier names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    DeadLetter,
    Group,
    Run,
    Replay,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::DeadLetter => "failed message",
            Self::Group => "group",
            Self::Run => "run",
            Self::Replay => "replay",
        }
    }

    const fn hint(self) -> &'static str {
        match self {
            Self::DeadLetter => "`hosho failed list` lists them",
            Self::Group => "`hosho failed groups` lists them",
            Self::Run => "`hosho batch list` lists them",
            Self::Replay => "`hosho replay list` lists them",
        }
    }

    /// The identifiers that begin so, at most two.
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
    let mut found = kind.find(db, beginning)?;
    match (found.pop(), found.is_empty()) {
        (Some(id), true) => Ok(id),
        (None, _) => {
            Err(Error::not_found(format!("there is no {} {beginning:?}", kind.name())).hint(kind.hint()))
        }
        _ => {
            let text = format!("{beginning:?} begins several identifiers: give more of the {}", kind.name());
            Err(Error::invalid(text))
        }
    }
}

/// The one identifier that begins so.
pub async fn complete(db: &Db, kind: Kind, beginning: &str) -> Result<String, Error> {
    let beginning = beginning.to_owned();
    db.call(move |db| complete_in(db, kind, &beginning)).await
}

//! Discards, restores, notes and edits.

use hosho_schema::models::failed_message::{FailedMessage, Filter, OPEN, State};
use serde::Serialize;
use serde_json::Value;

use crate::{
    audit::Operation,
    db::Db,
    dead_letters::{self, LeftOut, Moved, check_edit, diff, masked_path, masked_text},
    operations::{
        Error,
        identifier::{Kind, complete},
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Discard,
    Restore,
}

impl Direction {
    pub const fn from(self) -> &'static [State] {
        match self {
            Self::Discard => &OPEN,
            Self::Restore => &[State::Discarded],
        }
    }

    /// Its name in the audit.
    pub const fn action(self) -> &'static str {
        match self {
            Self::Discard => "failed.discard",
            Self::Restore => "failed.restore",
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Changed {
    /// `null` when nothing was changed.
    pub operation: Option<String>,
    pub messages: Vec<String>,
    pub left_out: Vec<LeftOut>,
}

/// Moves messages; `dry_run` only finds out which.
pub async fn change(
    db: &Db,
    operation: Operation,
    direction: Direction,
    filter: Filter,
    dry_run: bool,
) -> Result<Changed, Error> {
    let id = (!dry_run).then(|| operation.id.clone());
    let moved = db.call(move |db| match direction {
        _ if dry_run => dead_letters::planned(db, &filter, direction.from()),
        Direction::Discard => dead_letters::discard(db, &operation, &filter),
        Direction::Restore => dead_letters::restore(db, &operation, &filter),
    });
    let Moved { messages, left_out } = moved.await?;
    let messages: Vec<String> = messages.into_iter().map(|(id, _)| id).collect();
    Ok(Changed { operation: id.filter(|_| !messages.is_empty()), messages, left_out })
}

#[derive(Debug, Serialize)]
pub struct Noted {
    pub group: String,
    pub note: String,
}

/// Writes a note about a group; `dry_run` only finds the group.
pub async fn note(
    db: &Db,
    operation: Operation,
    beginning: &str,
    note: String,
    dry_run: bool,
) -> Result<Noted, Error> {
    let group = complete(db, Kind::Group, beginning).await?;
    let noted = Noted { group, note };
    if !dry_run {
        let (group, text) = (noted.group.clone(), noted.note.clone());
        db.call(move |db| dead_letters::note(db, &operation, &group, &text)).await?;
    }
    Ok(noted)
}

/// Reads a message that may be edited.
pub async fn find(db: &Db, beginning: &str) -> Result<FailedMessage, Error> {
    let id = complete(db, Kind::DeadLetter, beginning).await?;
    let row = db.call(move |db| super::by_id(db, &id)).await?;
    dead_letters::editable(&row)?;
    Ok(row)
}

/// Writes the audit entry that personal data of a message is shown.
pub async fn reveal(db: &Db, operation: Operation, id: &str) -> Result<(), Error> {
    let id = id.to_owned();
    Ok(db.transaction(move |db| dead_letters::reveal(db, &operation, &[&id])).await?)
}

/// An edit that was made, or would be; personal data is masked.
#[derive(Debug, Serialize)]
pub struct Edited {
    /// The new message; `null` when nothing was changed.
    pub message: Option<String>,
    pub changes: Vec<ValueChange>,
}

#[derive(Debug, Serialize)]
pub struct ValueChange {
    pub path: String,
    pub before: Value,
    pub after: Value,
}

/// Replaces a message by an edited one; `dry_run` only checks the payload.
pub async fn edit(
    db: &Db,
    operation: Operation,
    row: FailedMessage,
    stage: String,
    payload: Vec<u8>,
    dry_run: bool,
) -> Result<Edited, Error> {
    let masked = |change: dead_letters::Change| ValueChange {
        path: masked_path(&change.path),
        before: masked_text(&change.path, &change.before),
        after: masked_text(&change.path, &change.after),
    };
    let changes = diff(&row.payload, &payload).into_iter().map(masked).collect();
    let message = if dry_run {
        check_edit(&row, &stage, payload)?;
        None
    } else {
        let edited = db.call(move |db| dead_letters::edit(db, &operation, &row, &stage, payload));
        Some(edited.await?.id)
    };
    Ok(Edited { message, changes })
}

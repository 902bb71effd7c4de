//! Changes by operators. Each change and its audit entry are one transaction.

use std::{collections::HashSet, fmt};

use hosho_schema::{
    db::{Connection, DbError},
    ids,
    messages::contract,
    models::{
        audit::{self, Entry},
        failed_message::{self, FailedMessage, Filter, OPEN, Origin, State},
        failure_note::{self, FailureNote},
    },
};
use serde::{Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{EditError, diff, fingerprint};
use crate::audit::Operation;

/// Why an operation was not carried out; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error("the message is {}{}: only what failed can be edited", state.as_text(), held(replay.as_ref()))]
    State { state: State, replay: Option<String> },
}

fn held(replay: Option<&String>) -> String {
    replay.map_or_else(String::new, |id| format!(" in the replay {id}, which must be over first"))
}

/// Entries about failed messages that changed their state.
pub fn entries(operation: &Operation, changed: &[(String, State)], after: State) -> Vec<Entry> {
    let text = |state: State| Some(state.as_text().to_owned());
    changed
        .iter()
        .map(|(id, before)| operation.entry(FAILED_MESSAGE, id, text(*before), text(after)))
        .collect()
}

/// The kind of a failed message in the audit.
pub(super) const FAILED_MESSAGE: &str = "failed_message";

/// The messages that an operation moves, and those it leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moved {
    /// The messages, with the state each was in.
    pub messages: Vec<(String, State)>,
    pub left_out: Vec<LeftOut>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    #[serde(rename = "message")]
    pub id: String,
    pub why: LeftOutReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOutReason {
    State(State),
    /// An edited message superseded it: both would be processed.
    Superseded,
    /// A replay holds it that is not over.
    Held,
    /// It was named, and another condition does not match.
    Conditions,
}

impl Serialize for LeftOutReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for LeftOutReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(state) => write!(f, "it is {}", state.as_text()),
            Self::Superseded => f.write_str("an edited message superseded it"),
            Self::Held => f.write_str("a replay holds it; `hosho replay list`"),
            Self::Conditions => f.write_str("the other conditions do not match"),
        }
    }
}

pub fn discard(db: &mut Connection, operation: &Operation, filter: &Filter) -> Result<Moved, OperationError> {
    move_all(db, operation, filter, &OPEN, State::Discarded)
}

/// Restores discarded messages, except those that an edited message superseded.
pub fn restore(db: &mut Connection, operation: &Operation, filter: &Filter) -> Result<Moved, OperationError> {
    move_all(db, operation, filter, &[State::Discarded], State::Failed)
}

/// The messages of a selection that would move from these states. Changes nothing.
pub fn planned(db: &mut Connection, filter: &Filter, from: &[State]) -> Result<Moved, OperationError> {
    let filter = Filter { states: from.to_vec(), free: true, ..filter.clone() };
    let found = failed_message::select(db, &filter)?;
    let discarded: Vec<&str> =
        found.iter().filter(|(_, state)| *state == State::Discarded).map(|(id, _)| id.as_str()).collect();
    let superseded = failed_message::superseded(db, &discarded)?;
    let (edited, messages): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(id, state)| *state == State::Discarded && superseded.contains(id));
    let mut omitted: Vec<LeftOut> =
        edited.into_iter().map(|(id, _)| LeftOut { id, why: LeftOutReason::Superseded }).collect();
    let named = left_out(db, &filter, from, &messages)?;
    omitted.extend(named.into_iter().filter(|left| !superseded.contains(&left.id)));
    Ok(Moved { messages, left_out: omitted })
}

/// The messages that a filter names but that are not `found`, and why.
pub fn left_out(
    db: &mut Connection,
    filter: &Filter,
    from: &[State],
    found: &[(String, State)],
) -> Result<Vec<LeftOut>, DbError> {
    let found: HashSet<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
    let missing: Vec<&str> = filter.ids.iter().map(String::as_str).filter(|id| !found.contains(id)).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let named = missing.iter().map(|id| (*id).to_owned()).collect();
    let held = failed_message::select(
        db,
        &Filter { ids: named, states: from.to_vec(), free: false, ..filter.clone() },
    )?;
    let why = |id: &str, state| match state {
        _ if held.iter().any(|(held, _)| held == id) => LeftOutReason::Held,
        state if from.contains(&state) => LeftOutReason::Conditions,
        state => LeftOutReason::State(state),
    };
    Ok(failed_message::states(db, &missing)?
        .into_iter()
        .map(|(id, state)| LeftOut { why: why(&id, state), id })
        .collect())
}

fn move_all(
    db: &mut Connection,
    operation: &Operation,
    filter: &Filter,
    from: &[State],
    to: State,
) -> Result<Moved, OperationError> {
    db.transaction(|db| {
        let mut moved = planned(db, filter, from)?;
        let ids: Vec<&str> = moved.messages.iter().map(|(id, _)| id.as_str()).collect();
        // A message may have been resolved between the two statements.
        let changed = failed_message::change(db, &ids, from, to, operation.at)?;
        moved.messages.retain(|(id, _)| changed.contains(id));
        audit::write(db, &entries(operation, &moved.messages, to))?;
        Ok(moved)
    })
}

pub fn note(
    db: &mut Connection,
    operation: &Operation,
    fingerprint: &str,
    text: &str,
) -> Result<(), OperationError> {
    db.transaction(|db| {
        let before =
            failure_note::by_fingerprints(db, &[fingerprint])?.remove(fingerprint).map(|note| note.note);
        let row = FailureNote {
            fingerprint: fingerprint.to_owned(),
            note: text.to_owned(),
            actor: operation.actor.clone(),
            noted_at: operation.at,
        };
        failure_note::write(db, &row)?;
        audit::write(db, &[operation.entry("failure_note", fingerprint, before, Some(text.to_owned()))])?;
        Ok(())
    })
}

/// Writes the audit entries that personal data of messages is shown.
pub fn reveal(db: &mut Connection, operation: &Operation, ids: &[&str]) -> Result<(), OperationError> {
    let entries: Vec<Entry> = ids.iter().map(|id| operation.entry(FAILED_MESSAGE, id, None, None)).collect();
    Ok(audit::write(db, &entries)?)
}

/// Rejects an edit of a message that is not open.
pub fn editable(row: &FailedMessage) -> Result<(), OperationError> {
    if OPEN.contains(&row.state) {
        Ok(())
    } else {
        Err(OperationError::State { state: row.state, replay: None })
    }
}

/// The message that would supersede one that failed. Changes nothing.
/// It has a new message id and the same correlation. Its payload must be a message of `stage`.
pub fn check_edit(
    row: &FailedMessage,
    stage: &str,
    payload: Vec<u8>,
) -> Result<FailedMessage, OperationError> {
    editable(row)?;
    let kind =
        contract::of_stage(stage, &payload).ok_or_else(|| EditError::NoStage { stage: stage.to_owned() })?;
    let errors = kind.decode_errors(&payload);
    if !errors.is_empty() {
        return Err(EditError::Undecodable { kind: kind.name, errors }.into());
    }
    let payload_sha256 = hex::encode(Sha256::digest(&payload));
    if payload_sha256 == row.payload_sha256 && stage == row.stage {
        return Err(EditError::Unchanged.into());
    }
    let message_id = ids::edited_message(&row.id, &payload_sha256);
    let text = format!("edited from the message {}", row.id);
    Ok(FailedMessage {
        id: ids::failed_message(stage, &message_id, &payload_sha256),
        stage: stage.to_owned(),
        message_id,
        message_type: Some(kind.name.to_owned()),
        payload,
        payload_sha256,
        headers: "{}".to_owned(),
        origin: Origin::Handler,
        code: "message.edited".to_owned(),
        fingerprint: fingerprint(stage, "message.edited", &text),
        text,
        attempts: 0,
        letters: 1,
        state: State::Failed,
        replay_id: None,
        replay_fingerprint: None,
        sent_at: None,
        superseded_by: None,
        ..row.clone()
    })
}

/// Supersedes a failed message by an edited one ([`check_edit`]), and returns that.
pub fn edit(
    db: &mut Connection,
    operation: &Operation,
    row: &FailedMessage,
    stage: &str,
    payload: Vec<u8>,
) -> Result<FailedMessage, OperationError> {
    let edited = check_edit(row, stage, payload)?;
    let changes = diff(&row.payload, &edited.payload);
    let side = |pick: fn(&super::Change) -> &Value| {
        let side: serde_json::Map<String, Value> =
            changes.iter().map(|change| (change.path.clone(), pick(change).clone())).collect();
        Some(Value::Object(side).to_string())
    };
    db.transaction(|db| {
        if !failed_message::supersede(db, &row.id, &edited, operation.at)? {
            let now = failed_message::by_ids(db, &[&row.id])?.pop().flatten();
            let row = now.as_ref().unwrap_or(row);
            return Err(OperationError::State {
                state: row.state,
                replay: row.replay_id.clone().filter(|_| OPEN.contains(&row.state)),
            });
        }
        audit::write(
            db,
            &[
                operation.entry(
                    FAILED_MESSAGE,
                    &row.id,
                    side(|change| &change.before),
                    side(|change| &change.after),
                ),
                operation.entry(FAILED_MESSAGE, &edited.id, Some(format!("edited from {}", row.id)), None),
            ],
        )?;
        Ok(edited)
    })
}

//! What operators change, each time with who, when and why.
//!
//! Every function here runs in one transaction that holds the change and its audit, or neither.

use chrono::NaiveDateTime;
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
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{EditError, diff, fingerprint};
use crate::{clock::Clock, hex::hex, pulse};

/// Something an operator does: who, when, why. Everything it changes is audited under its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Our identifier.
    pub id: String,
    /// Who.
    pub actor: String,
    /// When (UTC).
    pub at: NaiveDateTime,
    /// Why.
    pub reason: String,
    /// What, such as `failed.discard`.
    pub action: &'static str,
}

/// Says why an operation was not carried out; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The edited payload is not what it should be.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The message is in a state that does not allow it.
    #[error("the message is {}: only what failed can be edited", state.as_text())]
    State {
        /// Its state.
        state: State,
    },
}

impl Operation {
    /// An operation that begins now.
    pub fn new(clock: &Clock, action: &'static str, actor: &str, reason: &str) -> Self {
        let at = clock.now();
        let process = format!("{}:{}:{actor}", pulse::host(), std::process::id());
        Self { id: ids::operation(&process, action, &at.to_string()), actor: actor.to_owned(), at, reason: reason.to_owned(), action }
    }

    /// Its entry of the audit about one subject.
    pub fn entry(&self, kind: &str, subject: &str, before: Option<String>, after: Option<String>) -> Entry {
        Entry {
            id: ids::audit(&self.id, kind, subject),
            operation_id: self.id.clone(),
            at: self.at,
            actor: self.actor.clone(),
            action: self.action.to_owned(),
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            reason: self.reason.clone(),
            before,
            after,
        }
    }

    /// Entries about failed messages that changed their state.
    pub(super) fn entries(&self, changed: &[(String, State)], after: State) -> Vec<Entry> {
        let text = |state: State| Some(state.as_text().to_owned());
        changed.iter().map(|(id, before)| self.entry(FAILED_MESSAGE, id, text(*before), text(after))).collect()
    }
}

/// The kind of a failed message in the audit.
pub(super) const FAILED_MESSAGE: &str = "failed_message";

/// Gives messages up, and returns them with the state each was in.
pub fn discard(db: &mut Connection, operation: &Operation, filter: &Filter) -> Result<Vec<(String, State)>, OperationError> {
    move_all(db, operation, filter, &OPEN, State::Discarded)
}

/// Takes up again what was given up.
pub fn restore(db: &mut Connection, operation: &Operation, filter: &Filter) -> Result<Vec<(String, State)>, OperationError> {
    move_all(db, operation, filter, &[State::Discarded], State::Failed)
}

fn move_all(
    db: &mut Connection,
    operation: &Operation,
    filter: &Filter,
    from: &[State],
    to: State,
) -> Result<Vec<(String, State)>, OperationError> {
    db.transaction(|db| {
        let filter = Filter { states: from.to_vec(), ..filter.clone() };
        let mut found = failed_message::select(db, &filter)?;
        let ids: Vec<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
        // What settled by itself between the two statements is left alone.
        let changed = failed_message::change(db, &ids, from, to, operation.at)?;
        found.retain(|(id, _)| changed.contains(id));
        audit::write(db, &operation.entries(&found, to))?;
        Ok(found)
    })
}

/// Writes down what is known of a cause.
pub fn note(db: &mut Connection, operation: &Operation, fingerprint: &str, text: &str) -> Result<(), OperationError> {
    db.transaction(|db| {
        let before = failure_note::by_fingerprints(db, &[fingerprint])?.remove(fingerprint).map(|note| note.note);
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

/// Writes down that personal data of messages was shown.
pub fn reveal(db: &mut Connection, operation: &Operation, ids: &[&str]) -> Result<(), OperationError> {
    let entries: Vec<Entry> = ids.iter().map(|id| operation.entry(FAILED_MESSAGE, id, None, None)).collect();
    Ok(audit::write(db, &entries)?)
}

/// Puts an edited message in the place of one that failed, for `stage`: a new message id, the same correlation. It is judged
/// against the schema of what the stage takes. Returns the new one.
pub fn edit(
    db: &mut Connection,
    operation: &Operation,
    row: &FailedMessage,
    stage: &str,
    payload: Vec<u8>,
) -> Result<FailedMessage, OperationError> {
    let kind = contract::of_stage(stage, &payload).ok_or_else(|| EditError::NoStage { stage: stage.to_owned() })?;
    let misfits = kind.misfits(&payload);
    if !misfits.is_empty() {
        return Err(EditError::Misfits { kind: kind.name, misfits }.into());
    }
    let payload_sha256 = hex(&Sha256::digest(&payload));
    if payload_sha256 == row.payload_sha256 && stage == row.stage {
        return Err(EditError::Unchanged.into());
    }
    let message_id = ids::edited_message(&row.id, &payload_sha256);
    let text = format!("edited from the message {}", row.id);
    let edited = FailedMessage {
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
    };
    let changes = diff(&row.payload, &edited.payload);
    let side = |pick: fn(&super::Change) -> &Value| {
        let side: serde_json::Map<String, Value> = changes.iter().map(|change| (change.path.clone(), pick(change).clone())).collect();
        Some(Value::Object(side).to_string())
    };
    db.transaction(|db| {
        if !failed_message::supersede(db, &row.id, &edited, operation.at)? {
            let now = failed_message::by_ids(db, &[&row.id])?.pop().flatten();
            return Err(OperationError::State { state: now.map_or(row.state, |row| row.state) });
        }
        audit::write(
            db,
            &[
                operation.entry(FAILED_MESSAGE, &row.id, side(|change| &change.before), side(|change| &change.after)),
                operation.entry(FAILED_MESSAGE, &edited.id, Some(format!("edited from {}", row.id)), None),
            ],
        )?;
        Ok(edited)
    })
}

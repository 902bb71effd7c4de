//! Everything about a dead letter, with its payload.

use chrono::{DateTime, Utc};
use hosho_schema::{
    messages::{FieldError, FieldFault, contract},
    models::{
        audit,
        failed_message::{self, FailedMessage, Filter},
        failure_note,
    },
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::Summary;
use crate::{
    audit::Operation,
    db::Db,
    dead_letters::{self, advice, field_error_text, masked, masked_headers, masked_word},
    fault::Reason,
    operations::{
        Error,
        audit::Entry,
        identifier::{Kind, complete},
    },
};

/// Audit entries of a dead letter that are read.
const ENTRIES: i64 = 100;

#[derive(Debug, Serialize)]
pub struct Details {
    #[serde(flatten)]
    pub message: Summary,
    pub advice: Option<&'static str>,
    pub note: Option<String>,
    /// Where an undecodable payload differs from what its stage takes.
    #[serde(rename = "misfits")]
    pub decode_errors: Vec<String>,
    pub headers: Map<String, Value>,
    pub history: Vec<Attempt>,
    pub payload_bytes: usize,
    pub payload_sha256: String,
    /// `null` when it is not JSON.
    pub payload: Option<Value>,
    /// Only when it is not JSON, and only when revealed.
    pub payload_text: Option<String>,
    /// The latest hundred.
    pub audit: Vec<Entry>,
    pub audit_total: i64,
}

#[derive(Debug, Serialize)]
pub struct Attempt {
    pub at: DateTime<Utc>,
    pub code: String,
    pub text: Option<String>,
}

/// Reads one dead letter. `reveal` writes its audit entry and shows personal data.
pub async fn show(db: &Db, beginning: &str, reveal: Option<Operation>) -> Result<Details, Error> {
    let id = complete(db, Kind::DeadLetter, beginning).await?;
    let is_revealed = reveal.is_some();
    if let Some(operation) = reveal {
        super::reveal(db, operation, &id).await?;
    }
    db.call(move |db| {
        let row = super::by_id(db, &id)?;
        let attempts = failed_message::attempts(db, &[&id])?.pop().unwrap_or_default();
        let note = failure_note::by_fingerprints(db, &[&row.fingerprint])?.remove(&row.fingerprint);
        let filter = audit::Filter { subject: Some(id), ..audit::Filter::default() };
        let entries = audit::list(db, &filter, ENTRIES, None)?;
        let audit_total = audit::count(db, &filter)?;
        let payload: Option<Value> = serde_json::from_slice(&row.payload).ok();
        let text = || String::from_utf8_lossy(&row.payload).into_owned();
        let attempt = |failed_message::Attempt { at, code, text }| Attempt { at: at.and_utc(), code, text };
        Ok(Details {
            message: Summary::of(&row, is_revealed),
            advice: advice(&row.code),
            note: note.map(|note| note.note),
            decode_errors: decode_errors(&row),
            headers: headers(&row, is_revealed),
            history: attempts.into_iter().map(attempt).collect(),
            payload_bytes: row.payload.len(),
            payload_sha256: row.payload_sha256.clone(),
            payload_text: (payload.is_none() && is_revealed).then(text),
            payload: payload.map(|payload| if is_revealed { payload } else { masked(&payload) }),
            audit: entries.into_iter().map(|entry| Entry::of(entry, is_revealed)).collect(),
            audit_total,
        })
    })
    .await
}

fn headers(row: &FailedMessage, reveal: bool) -> Map<String, Value> {
    let headers: Map<String, Value> = serde_json::from_str(&row.headers).unwrap_or_default();
    if reveal { headers } else { masked_headers(&headers) }
}

/// How an undecodable payload differs from the message that its stage takes.
fn decode_errors(row: &FailedMessage) -> Vec<String> {
    // If the payload is not JSON, the text of the fault says so.
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&row.payload).is_ok();
    if row.code != Reason::Undecodable.code() || !is_json {
        return Vec::new();
    }
    let kind = contract::of_stage(&row.stage, &row.payload);
    let errors = kind.map(|kind| kind.decode_errors(&row.payload)).unwrap_or_default();
    let text = |error: &FieldError| match error.fault {
        // The words of a parser may repeat a value.
        FieldFault::Other(_) => format!("{}: does not fit", error.path),
        _ => field_error_text(error),
    };
    errors.iter().map(text).collect()
}

#[derive(Debug, Serialize)]
pub struct Exported {
    #[serde(flatten)]
    pub message: Summary,
    pub headers: Map<String, Value>,
    pub traceparent: Option<String>,
    pub payload_sha256: String,
    pub payload: Option<Value>,
    /// Only when it is not JSON, and only when revealed.
    pub payload_hex: Option<String>,
}

/// The dead letters to export. `reveal` writes an audit entry about each.
pub async fn export_ids(db: &Db, filter: Filter, reveal: Option<Operation>) -> Result<Vec<String>, Error> {
    db.transaction(move |db| {
        let found = failed_message::select(db, &filter)?;
        if let Some(operation) = &reveal {
            let ids: Vec<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
            dead_letters::reveal(db, operation, &ids)?;
        }
        Ok(found.into_iter().map(|(id, _)| id).collect())
    })
    .await
}

pub async fn export(db: &Db, ids: Vec<String>, reveal: bool) -> Result<Vec<Exported>, Error> {
    let rows = db.call(move |db| {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        failed_message::by_ids(db, &ids)
    });
    Ok(rows.await?.into_iter().flatten().map(|row| exported(&row, reveal)).collect())
}

fn exported(row: &FailedMessage, reveal: bool) -> Exported {
    let payload: Option<Value> = serde_json::from_slice(&row.payload).ok();
    let trace = |trace: &String| if reveal { trace.clone() } else { masked_word(trace) };
    Exported {
        message: Summary::of(row, reveal),
        headers: headers(row, reveal),
        traceparent: row.traceparent.as_ref().map(trace),
        payload_sha256: row.payload_sha256.clone(),
        payload_hex: (payload.is_none() && reveal).then(|| hex::encode(&row.payload)),
        payload: payload.map(|payload| if reveal { payload } else { masked(&payload) }),
    }
}

//! Reads the audit. Values of payloads are masked, unless the caller may see them.

use chrono::{DateTime, Utc};
use hosho_schema::models::audit::{self, Filter};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Cursor, Error, Page, PageRequest};
use crate::{
    db::Db,
    dead_letters::{masked_path, masked_text},
};

#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    pub at: DateTime<Utc>,
    pub actor: String,
    pub action: String,
    pub kind: String,
    pub subject: String,
    pub operation: String,
    pub reason: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

impl Entry {
    pub fn of(entry: audit::Entry, reveal: bool) -> Self {
        let side = |text: Option<String>| text.map(|text| side(&text, reveal));
        Self {
            at: entry.at.and_utc(),
            actor: entry.actor,
            action: entry.action,
            kind: entry.kind,
            subject: entry.subject,
            operation: entry.operation_id,
            reason: entry.reason,
            before: side(entry.before),
            after: side(entry.after),
        }
    }
}

/// One side of a change. Values by JSON path are masked, plain words are not.
fn side(text: &str, reveal: bool) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Object(values)) if !reveal && values.keys().all(|path| path.starts_with('$')) => {
            let masked: Map<String, Value> =
                values.iter().map(|(path, value)| (masked_path(path), masked_text(path, value))).collect();
            Value::Object(masked)
        }
        Ok(value @ Value::Object(_)) => value,
        _ => text.into(),
    }
}

pub async fn list(db: &Db, filter: Filter, page: PageRequest) -> Result<Page<Entry>, Error> {
    db.call(move |db| {
        let entries = audit::list(db, &filter, page.rows(), page.place())?;
        let cursor = |entry: &audit::Entry| Cursor::new(entry.at, &entry.id);
        Ok(Page::new(entries, audit::count(db, &filter)?, &page, cursor).map(|entry| Entry::of(entry, false)))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_values_of_payloads_only() {
        let values = r#"{"$.contact.name":"髙橋","$.branch":"31"}"#;
        let (masked, revealed) = (side(values, false), side(values, true));
        assert_eq!((&masked["$.branch"], &masked["$.contact.name"]), (&"31".into(), &"***".into()));
        assert_eq!(revealed["$.contact.name"], "髙橋");
        assert_eq!(side("failed", false), "failed");
        assert_eq!(side(r#"{"queued":1}"#, false)["queued"], 1);
    }
}

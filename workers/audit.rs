//! Who acts, when and why.
//! Every change of an operator is audited in its own transaction.

use chrono::NaiveDateTime;
use hosho_schema::{ids, models::audit::Entry};

use crate::clock::Clock;

/// An operation of a person or of the schedule. Its audit entries carry its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    pub id: String,
    pub actor: String,
    /// UTC.
    pub at: NaiveDateTime,
    pub reason: String,
    pub action: &'static str,
}

impl Operation {
    pub fn new(clock: &Clock, action: &'static str, actor: &str, reason: &str) -> Self {
        let at = clock.now();
        let process = format!("{}:{}:{actor}", host(), std::process::id());
        Self {
            id: ids::operation(&process, action, &at.to_string()),
            actor: actor.to_owned(),
            at,
            reason: reason.to_owned(),
            action,
        }
    }

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
}

pub fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

//! Identifiers: UUIDv5 of business keys.
//!
//! A business key gives the same identifier on every retry, redelivery and replay, in every process and on
//! both databases. So an insert needs no lookup, a batch is looked up by primary key alone, and writing a row
//! twice is a conflict, never a second row. Random identifiers would need a table of the keys seen.
//!
//! The texts below are part of the stored data: they never change.

use uuid::Uuid;

const NAMESPACE: Uuid = Uuid::from_u128(0x7d0b_5a86_3c1e_5f42_9b57_e1f4_20c6_83da);

fn derive(key: &str) -> String {
    Uuid::new_v5(&NAMESPACE, key.as_bytes()).to_string()
}

/// Identifier of an application, from its idempotency key.
///
/// Both parts are text from outside that may hold any separator; the length distinguishes `a:b` and `c` from
/// `a` and `b:c`.
pub fn application(source: &str, upstream_id: &str) -> String {
    derive(&format!("application:{}:{source}:{upstream_id}", source.len()))
}

/// Identifier of a change, from its idempotency key; parts as for [`application`].
pub fn change(source: &str, upstream_id: &str) -> String {
    derive(&format!("change:{}:{source}:{upstream_id}", source.len()))
}

/// Identifier of a run, from its slot or from the operation that requested it.
pub fn job_run(job: &str, slot_or_operation: &str) -> String {
    derive(&format!("job_run:{job}:{slot_or_operation}"))
}

/// Identifier of works in one fiscal year, from the text that distinguishes them.
///
/// The text contains the names of works and contractor, so it is not stored. The caller keeps its parts
/// distinct.
pub fn works(key: &str) -> String {
    derive(&format!("works:{key}"))
}

/// Identifier of the guarantee issued for one product line of an application.
pub fn guarantee(application_id: &str, line: i64) -> String {
    derive(&format!("guarantee:{application_id}:{line}"))
}

/// Identifier of one revision.
/// The text says `certificate` because it never changes.
pub fn revision(guarantee_id: &str, revision: i64) -> String {
    derive(&format!("certificate:{guarantee_id}:{revision}"))
}

/// Identifier of the mail about one revision to one recipient.
pub fn mail(revision_id: &str, recipient: &str) -> String {
    derive(&format!("mail:{revision_id}:{recipient}"))
}

/// AMQP `message_id` of a message to `stage` about `business_key`.
pub fn message(stage: &str, business_key: &str) -> String {
    derive(&format!("message:{stage}:{business_key}"))
}

/// Identifier of a message that failed in `stage`.
/// Foreign senders choose message ids and may use one twice, so the payload is part of the key.
pub fn failed_message(stage: &str, message_id: &str, payload_sha256: &str) -> String {
    // As stored: PostgreSQL accepts no NUL in a text.
    let message_id = message_id.replace('\0', "\u{fffd}");
    derive(&format!("failed:{stage}:{}:{message_id}:{payload_sha256}", message_id.len()))
}

/// AMQP `message_id` of a failed message that was edited, now with this payload.
pub fn edited_message(failed_id: &str, payload_sha256: &str) -> String {
    derive(&format!("edited:{failed_id}:{payload_sha256}"))
}

/// Identifier of an operation; `moment` is its start, to the microsecond.
pub fn operation(process: &str, action: &str, moment: &str) -> String {
    derive(&format!("operation:{process}:{action}:{moment}"))
}

/// Identifier of an audit entry: the effect of an operation on one subject.
pub fn audit(operation_id: &str, kind: &str, subject: &str) -> String {
    derive(&format!("audit:{operation_id}:{kind}:{subject}"))
}

pub fn worker(host: &str, pid: u32, started_at: &str) -> String {
    derive(&format!("worker:{host}:{pid}:{started_at}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_identifiers_stable() {
        let application = application("portal", "2026-000123");
        assert_eq!(application, "03b8136e-3908-5afb-af27-f60a4efb6a7c");
        assert_eq!(works("hirakawa:2026:橋梁補修工事"), "bfed2a80-f234-5766-ae1f-5da119a85f43");
        assert_eq!(guarantee(&application, 0), "c682e8d7-7d51-54e6-8ca1-aac333101075");
        assert_eq!(revision(&guarantee(&application, 0), 0), "f2e633ec-742e-5e22-9954-d6c6bbea1e0e");
    }

    #[test]
    fn separators_in_parts_cause_no_collision() {
        assert_ne!(application("a:b", "c"), application("a", "b:c"));
        assert_ne!(application("1:a", "b"), application("1", "a:b"));
    }

    #[test]
    fn identifiers_of_different_kinds_differ() {
        assert_ne!(guarantee("a", 0), revision("a", 0));
        assert_ne!(mail("a", "b"), message("a", "b"));
    }
}

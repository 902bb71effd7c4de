//! The operator's action for each code of a dead letter: imperative and command.
//! docs/operations.md lists it.

use crate::fault::Reason;

const fn of(reason: Reason) -> &'static str {
    match reason {
        Reason::TooLarge => {
            "shorten the message at its sender, or raise work.max_message_bytes and restart the workers; \
             then run `hosho failed replay`"
        }
        Reason::Undecodable => {
            "read the fields or the position in the text; correct the message with `hosho failed edit`, or have its \
             sender send it again and run `hosho failed discard`"
        }
        Reason::ReferenceMissing => {
            "run `hosho status`; restore the missing rows from the backup and run `hosho failed replay`, \
             or run `hosho failed discard` if nothing is missing"
        }
        Reason::SnapshotUnreadable => {
            "install the newest version on every worker, then run `hosho failed replay`"
        }
        Reason::DataMissing => {
            "restore the file of the obligee, branch or surety (`hosho config check`), restart the workers, \
             then run `hosho failed replay`"
        }
        Reason::NumberExhausted => {
            "request another code for the branch, whose numbers of this term are used up; \
             then run `hosho failed replay`"
        }
        Reason::KeyUnusable => {
            "restore the data key that sealed it (an old line of keys.file), restart the workers, \
             then run `hosho failed replay`"
        }
        Reason::DocumentFailed => {
            "correct the template (`hosho templates check`) or the font that the text names, \
             restart the workers, then run `hosho failed replay`"
        }
        Reason::MailUnbuildable => {
            "correct the mail template or mail.from_address (`hosho config check`), restart the workers, \
             then run `hosho failed replay`"
        }
        Reason::MailRefused => {
            "correct the mail server, then run `hosho failed replay`; if the address is wrong, reach the \
             contractor another way and run `hosho failed discard` (the guarantee is issued either way)"
        }
        Reason::MailDeferred => {
            "read the text for the result of the last attempt (each got a 4xx reply or lost the connection); \
             run `hosho failed replay` when the mail server accepts the mail"
        }
        Reason::MailClaimed => {
            "wait until `hosho mail list --state sending` no longer lists the mail (it is being sent, or a \
             worker stopped while sending it), then run `hosho failed replay`"
        }
        Reason::DocumentMissing => {
            "restore the document from the backup (`hosho documents verify`), then run `hosho failed replay`"
        }
        Reason::DocumentUnwritable => {
            "correct permissions and names below documents.url, then run `hosho failed replay`"
        }
        Reason::DatabaseContention => {
            "look for long locks in the database, which was overloaded for over an hour; \
             then run `hosho failed replay`"
        }
        Reason::DatabaseRefused => {
            "run `hosho migrate --check` and report the statement in the log; after the update, \
             run `hosho failed replay`"
        }
        Reason::Panicked => {
            "report the place in the text to the developers; after the update, run `hosho failed replay`"
        }
        Reason::DatabaseUnavailable => "restore the database: the stage resumes automatically",
        Reason::DocumentsUnavailable => "make documents.url writable: the stage resumes automatically",
        Reason::MailUnavailable => {
            "restore the mail server, or correct [mail]: the stage resumes automatically"
        }
        Reason::MailUnknown => "wait for the automatic re-send; after that, run `hosho mail unknown`",
        Reason::Stopping => "do nothing: another worker takes the message",
    }
}

/// Codes that no stage returns.
/// They are of dead letters from the broker or foreign clients, and of edited messages.
const OTHERS: &[(&str, &str)] = &[
    (
        "delivery.limit",
        "read the logs of crashed workers and of the kernel; run `hosho failed replay`, whose canary is sent \
         first, and `hosho failed discard` for the message that crashes its worker",
    ),
    ("delivery.rejected", FOREIGN),
    ("delivery.expired", POLICY),
    ("delivery.overflow", POLICY),
    (
        "delivery.dead_lettered",
        "read x-death in `hosho failed show`, update hosho to a version that supports this broker, \
         then run `hosho failed replay`",
    ),
    ("message.foreign", FOREIGN),
    (
        "message.unroutable",
        "run `hosho topology check`, and correct the routing key of the sender (`validate` for \
         applications); then run `hosho failed replay`, or `hosho failed edit --stage` first",
    ),
    ("message.edited", "run `hosho failed replay`"),
];

const FOREIGN: &str =
    "find the foreign consumer (`rabbitmqctl list_consumers`) or publisher of our queues, and stop it";
const POLICY: &str =
    "remove the policy that drops messages (`rabbitmqctl list_policies`), then run `hosho failed replay`";

/// Every code with its advice: first those of stages, then the others.
pub fn codes() -> impl Iterator<Item = (&'static str, &'static str)> {
    Reason::ALL.iter().map(|reason| (reason.code(), of(*reason))).chain(OTHERS.iter().copied())
}

/// The advice on a code; `None` for a code of a foreign publisher.
pub fn advice(code: &str) -> Option<&'static str> {
    codes().find(|(known, _)| *known == code).map(|(_, advice)| advice)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The codes written in a source as `"delivery.…"` or `"message.…"`.
    fn codes_in(source: &str) -> BTreeSet<&str> {
        let is_code = |text: &&str| {
            let rest = text.strip_prefix("delivery.").or_else(|| text.strip_prefix("message."));
            rest.is_some_and(|rest| {
                !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            })
        };
        source.split('"').filter(is_code).collect()
    }

    #[test]
    fn every_code_has_advice() {
        let given: BTreeSet<&str> = [include_str!("ingest.rs"), include_str!("operations.rs")]
            .into_iter()
            .flat_map(codes_in)
            .collect();
        assert!(given.contains("delivery.dead_lettered") && given.contains("message.edited"), "{given:?}");
        for code in given {
            assert!(advice(code).is_some(), "no advice on {code}");
        }
        assert_eq!(advice("foreign.code"), None);
    }

    /// The first words of advice.
    const IMPERATIVES: &[&str] = &[
        "correct", "do", "find", "install", "look", "make", "read", "remove", "report", "request", "restore",
        "run", "shorten", "wait",
    ];

    /// Why a text is no advice: an imperative with a command, a setting or a place.
    fn flaw(advice: &str) -> Option<&'static str> {
        const PLACES: &[&str] =
            &["database", "mail server", "documents.url", "[mail]", "the text", "the log", "worker"];
        let first = advice.split(' ').next().unwrap_or_default();
        if !IMPERATIVES.contains(&first) {
            return Some("it begins with no imperative");
        }
        if advice.contains('?') || advice.split(' ').count() < 4 {
            return Some("it is a question, or too short");
        }
        let has_place = advice.contains('`') || PLACES.iter().any(|place| advice.contains(place));
        (!has_place).then_some("it names no command and no place")
    }

    #[test]
    fn advice_is_an_imperative_with_a_place() {
        for (code, advice) in codes() {
            assert_eq!(flaw(advice), None, "{code}: {advice}");
        }
        for wrong in [
            "",
            "run it",
            "is the database up and running?",
            "`hosho failed list` prints the messages",
            "correct whatever is wrong with it",
            "look: is `hosho work` running at all?",
        ] {
            assert!(flaw(wrong).is_some(), "{wrong}");
        }
    }

    #[test]
    fn lists_each_code_once() {
        let listed: Vec<&str> = codes().map(|(code, _)| code).collect();
        assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len(), "{listed:?}");
    }

    #[test]
    fn guide_lists_every_code() {
        let guide = include_str!("../../docs/operations.md");
        for (code, advice) in codes() {
            assert!(!advice.ends_with('.') && guide.contains(&format!("| `{code}` | {advice} |")), "{code}");
        }
    }
}

//! What to do about each code that a failed message can have: the one list.

use crate::fault::Reason;

/// The codes that no stage gives: of letters that the broker or others made, and of what an operator edited.
const OTHERS: &[(&str, &str)] = &[
    (
        "delivery.limit",
        "look for workers that die (their logs, the kernel's); if one message is the culprit, the others of the group were bystanders: replay with the canary, and discard the culprit",
    ),
    ("delivery.rejected", FOREIGN),
    ("delivery.expired", POLICY),
    ("delivery.overflow", POLICY),
    (
        "delivery.dead_lettered",
        "the broker gave a reason that hosho does not know: `hosho failed show` has it under x-death; is the broker newer than hosho? Then replay",
    ),
    ("message.foreign", FOREIGN),
    (
        "message.unroutable",
        "a queue was missing (`hosho topology check`) or the sender's routing key is wrong: it is `validate` for applications; replay, or `hosho failed edit --stage`",
    ),
    ("message.edited", "edited and not replayed yet: replay"),
];

const FOREIGN: &str =
    "somebody else works on our queues: find the consumer (`rabbitmqctl list_consumers`) or the publisher";
const POLICY: &str = "a policy of the broker takes messages away: `rabbitmqctl list_policies`; then replay";

/// Every code with what to do about it: first those of stages, then the others.
pub fn codes() -> impl Iterator<Item = (&'static str, &'static str)> {
    Reason::ALL.iter().map(|reason| (reason.code(), reason.advice())).chain(OTHERS.iter().copied())
}

/// What to do about a code; `None` for one that is none of ours, which a foreign publisher may write.
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
    fn every_code_that_is_given_has_advice() {
        let given: BTreeSet<&str> = [include_str!("ingest.rs"), include_str!("operations.rs")]
            .into_iter()
            .flat_map(codes_in)
            .collect();
        assert!(given.contains("delivery.dead_lettered") && given.contains("message.edited"), "{given:?}");
        for code in given {
            assert!(advice(code).is_some(), "nobody is told what to do about {code}");
        }
        assert_eq!(advice("somebody.elses"), None);
    }

    #[test]
    fn a_code_is_listed_once() {
        let listed: Vec<&str> = codes().map(|(code, _)| code).collect();
        assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len(), "{listed:?}");
    }
}

//! Decodes bodies.
//! A fault names fields of our own schema only: a payload may hold anything.

use hosho_schema::messages::{self, DecodeError, Message};

use sha2::{Digest, Sha256};

use crate::{
    fault::{Fault, Reason, Result},
    hex::hex,
};

pub fn decode<M: Message>(payload: &[u8]) -> Result<M> {
    messages::decode(payload).map_err(|error| undecodable(&error, M::TYPE))
}

/// The hash of a body's canonical content. One that did not decode is hashed as bytes: a field that occurs
/// twice has two contents. So is one nested too deeply for the canonical form.
pub fn content_sha256(payload: &[u8], is_decoded: bool) -> String {
    let content = is_decoded.then(|| messages::content(payload).ok()).flatten();
    hex(&Sha256::digest(content.as_deref().map_or(payload, str::as_bytes)))
}

/// The fault of a body that is not the message `expected`.
pub fn undecodable(error: &DecodeError, expected: &str) -> Fault {
    let text = match error {
        DecodeError::NotJson { problem, line, column } => {
            format!("the body is not JSON: {problem} (line {line}, column {column})")
        }
        DecodeError::Shape { problem, .. } => {
            // serde takes the name of a missing field from our types; other problems quote the payload.
            let missing = problem.starts_with("missing field").then(|| format!(": {problem}"));
            format!("the body is JSON, but not {expected}{}", missing.unwrap_or_default())
        }
    };
    Fault::new(Reason::Undecodable, text)
}

#[cfg(test)]
mod tests {
    use hosho_schema::messages::MintV1;

    use super::*;

    #[test]
    fn names_the_message_and_its_missing_field_only() {
        let text = |payload: &str| decode::<MintV1>(payload.as_bytes()).unwrap_err().text;
        assert_eq!(
            text(r#"{"guarantee":"taro"}"#),
            "the body is JSON, but not mint.v1: missing field `revision`"
        );
        assert_eq!(text(r#"{"guarantee":"taro","revision":"taro"}"#), "the body is JSON, but not mint.v1");
    }
}

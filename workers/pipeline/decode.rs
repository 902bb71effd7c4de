//! Decodes bodies.
//! A fault names fields of our own schema only: a payload may hold anything.

use std::fmt::Write as _;

use hosho_schema::messages::{self, DecodeError, Described, FieldFault, decode_errors};

use sha2::{Digest, Sha256};

use crate::fault::{Fault, Reason, Result};

/// Decodes a message between stages.
pub fn decode<M: Described>(payload: &[u8]) -> Result<M> {
    messages::decode(payload).map_err(|error| undecodable::<M>(payload, &error))
}

/// The hash of a body's canonical content, or of its bytes if it did not decode.
/// A field that occurs twice has two contents. A body nested too deeply for the canonical form is hashed as
/// bytes, too.
pub fn content_sha256(payload: &[u8], is_decoded: bool) -> String {
    let content = is_decoded.then(|| messages::content(payload).ok()).flatten();
    hex::encode(Sha256::digest(content.as_deref().map_or(payload, str::as_bytes)))
}

/// Names all missing and misshapen fields of a body that is no message of type `M`.
pub fn undecodable<M: Described>(payload: &[u8], error: &DecodeError) -> Fault {
    if let DecodeError::NotJson { .. } = error {
        return not_json(error);
    }
    let (mut missing, mut misshapen, mut unknown) = (Vec::new(), Vec::new(), 0);
    for error in decode_errors::<M>(payload, error) {
        let field = error.path.trim_start_matches("$.").to_owned();
        match error.fault {
            FieldFault::Missing => missing.push(field),
            FieldFault::Type(_) | FieldFault::Choice(_) => misshapen.push(field),
            // The names of unknown fields, and the words of serde, quote the payload.
            FieldFault::Unknown => unknown += 1,
            FieldFault::Other(_) => {}
        }
    }
    unfit(M::TYPE, &missing, &misshapen, unknown)
}

/// The fault of JSON that is not the message `expected`.
pub fn unfit(expected: &str, missing: &[String], misshapen: &[String], unknown: usize) -> Fault {
    let mut text = format!("the body is JSON, but not {expected}");
    for (what, fields) in [("missing", missing), ("not as in the contract", misshapen)] {
        if !fields.is_empty() {
            write!(text, "; {what}: {}", fields.join(", ")).expect("a String takes all");
        }
    }
    if unknown > 0 {
        write!(text, "; fields that are not in the contract: {unknown}").expect("a String takes all");
    }
    Fault::new(Reason::Undecodable, text)
}

/// The fault of a body that is not JSON.
pub fn not_json(error: &DecodeError) -> Fault {
    Fault::new(Reason::Undecodable, format!("the body is {error}"))
}

#[cfg(test)]
mod tests {
    use hosho_schema::messages::{ApplicationV1, MintV1};

    use super::*;

    #[test]
    fn names_the_message_and_its_wrong_fields_only() {
        let text = |payload: &str| decode::<MintV1>(payload.as_bytes()).unwrap_err().text;
        assert_eq!(text("{}"), "the body is JSON, but not mint.v1; missing: guarantee, revision");
        assert_eq!(
            text(r#"{"guarantee":"taro","revision":"taro","taro":1}"#),
            "the body is JSON, but not mint.v1; not as in the contract: revision"
        );
        let error = messages::decode::<ApplicationV1>(br#"{"taro":1}"#).unwrap_err();
        let text_of_unknown = undecodable::<ApplicationV1>(br#"{"taro":1}"#, &error).text;
        assert!(text_of_unknown.ends_with("; fields that are not in the contract: 1"), "{text_of_unknown}");
        assert_eq!(text(r#"["taro"]"#), "the body is JSON, but not mint.v1; not as in the contract: $");
        assert_eq!(
            text(r#"{"guarantee":"#),
            "the body is not JSON: EOF while parsing a value (line 1, column 13)"
        );
    }
}

//! The queue contract: every message type, its wire name, and the documents generated from them.
//!
//! Wire names are constants and are never reused. A payload grows only by optional fields, so that a message
//! written by an older version still decodes. Messages behind the first stage carry identifiers only: never a
//! document, an authentication key, a name or an address.
//!
//! Add a message: a struct with `Serialize`, `Deserialize`, `JsonSchema` and [`Message`], and one word in
//! [`contract::MESSAGES`]. `HOSHO_BLESS=1 cargo test -p hosho-schema` rewrites the committed JSON Schema and
//! AsyncAPI documents; without it the same test fails when they drift.

mod application;
pub mod contract;
mod events;
mod figure;
mod stages;

pub use application::{
    ApplicationV1, CompanyV1, ContactV1, MediumV1, NotificationV1, PrincipalV1, ProductLineV1, ProductV1, TermV1, WorksKindV1, WorksV1,
};
pub use events::{ApplicationAcceptedV1, ApplicationRejectedV1, GuaranteeIssuedV1, MailStateV1, RejectedLineV1, ViolationV1};
pub use figure::Figure;
pub use stages::{DispatchV1, IssueV1, MintV1, RenderV1};

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// A type of message with its stable wire name.
pub trait Message: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The AMQP `type` property, such as `application.v1`. Never reused.
    const TYPE: &'static str;
}

/// Says why a payload is not the message it should be.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes are not JSON at all.
    #[error("not JSON: {problem} (line {line}, column {column})")]
    NotJson {
        /// What the parser found.
        problem: String,
        /// Line of the payload, from 1.
        line: usize,
        /// Column of the payload, from 1.
        column: usize,
    },
    /// JSON, but not of the message's shape.
    #[error("{path}: {problem}")]
    Shape {
        /// JSON path of the value, such as `$.products[0].amount`.
        path: String,
        /// What is wrong and what would be right.
        problem: String,
    },
}

impl DecodeError {
    /// What a parser said of bytes that are not JSON.
    pub fn not_json(error: &serde_json::Error) -> Self {
        Self::NotJson { problem: bare(error), line: error.line(), column: error.column() }
    }
}

/// Decodes a payload, and names the JSON path of the first value that does not fit.
pub fn decode<M: Serialize + DeserializeOwned>(payload: &[u8]) -> Result<M, DecodeError> {
    let mut reader = serde_json::Deserializer::from_slice(payload);
    let message: M = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = match error.path().to_string() {
            path if path == "." => "$".to_owned(),
            path if path.starts_with('[') => format!("${path}"),
            path => format!("$.{path}"),
        };
        let error = error.into_inner();
        if error.is_data() { DecodeError::Shape { path, problem: bare(&error) } } else { DecodeError::not_json(&error) }
    })?;
    reader.end().map_err(|error| DecodeError::not_json(&error))?;
    let written = serde_json::from_slice(payload).map_err(|error| DecodeError::not_json(&error))?;
    let understood = serde_json::to_value(&message).map_err(|error| DecodeError::not_json(&error))?;
    objects_are_objects(&written, &understood, "$")?;
    Ok(message)
}

/// Refuses an array that was read as an object: serde's derived types take a struct's fields by position too, which is no
/// part of the contract and would let a payload through that its JSON Schema refuses.
fn objects_are_objects(written: &Value, understood: &Value, path: &str) -> Result<(), DecodeError> {
    match (written, understood) {
        (Value::Object(written), Value::Object(understood)) => understood
            .iter()
            .filter_map(|(key, understood)| Some((key, written.get(key)?, understood)))
            .try_for_each(|(key, written, understood)| objects_are_objects(written, understood, &format!("{path}.{key}"))),
        (Value::Array(written), Value::Array(understood)) => (0..)
            .zip(written.iter().zip(understood))
            .try_for_each(|(index, (written, understood))| objects_are_objects(written, understood, &format!("{path}[{index}]"))),
        (Value::Array(_), Value::Object(_)) => {
            Err(DecodeError::Shape { path: path.to_owned(), problem: "invalid type: sequence, expected an object".to_owned() })
        }
        _ => Ok(()),
    }
}

/// Writes the content of a payload in one way only: sorted keys, no white space, and no field whose value is `null`, which is
/// the same as leaving it out. So the text depends on the payload alone, not on the version of the program that reads it.
pub fn content(payload: &[u8]) -> Result<String, DecodeError> {
    fn without_nulls(value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                let kept: BTreeMap<String, Value> =
                    fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key, without_nulls(value))).collect();
                Value::Object(kept.into_iter().collect())
            }
            Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
            other => other,
        }
    }
    let value = serde_json::from_slice(payload).map_err(|error| DecodeError::not_json(&error))?;
    Ok(without_nulls(value).to_string())
}

/// `serde_json` appends " at line 1 column 2" to every message; the position is told apart.
fn bare(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decode_names_the_path_of_a_wrong_type() {
        let error = decode::<IssueV1>(br#"{"application": 3, "line": 0}"#).unwrap_err();
        assert_eq!(error.to_string(), "$.application: invalid type: integer `3`, expected a string");
    }

    #[test]
    fn decode_refuses_trailing_text_and_half_an_object() {
        assert!(matches!(decode::<IssueV1>(br#"{"application": "a", "line": 0} x"#), Err(DecodeError::NotJson { .. })));
        assert!(matches!(decode::<IssueV1>(br#"{"application": "a""#), Err(DecodeError::NotJson { .. })));
        assert!(matches!(decode::<IssueV1>(&[0xff, 0xfe]), Err(DecodeError::NotJson { .. })));
    }

    #[test]
    fn an_array_is_no_object() {
        let error = decode::<IssueV1>(br#"["a", 0]"#).unwrap_err();
        assert_eq!(error.to_string(), "$: invalid type: sequence, expected an object");
        let application = include_str!("../../examples/applications.jsonl").lines().next().unwrap();
        let mut application: Value = serde_json::from_str(application).unwrap();
        decode::<ApplicationV1>(application.to_string().as_bytes()).unwrap();
        application["works"]["term"] = serde_json::json!(["2026-12-01", "2027-03-19"]);
        let error = decode::<ApplicationV1>(application.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with("$.works.term: "), "{error}");
    }

    #[test]
    fn content_is_written_in_one_way_only() {
        let one = content(br#"{"b": {"y": null, "x": [1, null]}, "a": "1"}"#).unwrap();
        assert_eq!(one, content(br#"{"a":"1","b":{"x":[1,null]},"c":null}"#).unwrap());
        assert_eq!(one, r#"{"a":"1","b":{"x":[1,null]}}"#);
        assert_ne!(one, content(br#"{"a":1,"b":{"x":[1,null]}}"#).unwrap());
    }

    #[test]
    fn decode_survives_deep_nesting() {
        let payload = "[".repeat(200);
        assert!(decode::<serde_json::Value>(payload.as_bytes()).is_err());
    }
}

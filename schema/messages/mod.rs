//! The queue contract: message types, wire names, generated documents.
//!
//! Wire names are constants and are never reused. A payload grows only by optional fields, so that a message
//! written by an older version still decodes. Messages behind the first stage carry identifiers only: never a
//! document, an authentication key, a name or an address.
//!
//! Add a message: a struct with `Serialize`, `Deserialize`, `JsonSchema` and [`Message`], and a line in the
//! `CONTRACT` of its file. `HOSHO_BLESS=1 cargo test -p hosho-schema` rewrites the committed JSON Schema and
//! AsyncAPI documents; without it the same test fails when they drift.

/// Gives messages their wire names and, where not 0, their number of arrays.
macro_rules! messages {
    ($($name:ident = $type:literal $(, |$message:ident| $arrays:expr)?;)*) => {$(
        impl $crate::messages::Message for $name {
            const TYPE: &'static str = $type;

            $(fn arrays(&self) -> usize {
                let $message = self;
                $arrays
            })?
        }
    )*};
}

mod amount;
mod application;
mod change;
pub mod contract;
mod decode_errors;
mod events;
mod message_type;
mod stages;

pub use amount::Amount;
pub use application::{
    ApplicationV1, CompanyV1, ContactV1, MediumV1, NotificationV1, PrincipalV1, ProductLineV1, ProductV1,
    TermV1, WorksKindV1, WorksV1,
};
pub use change::{
    AmendmentReversalV1, AmendmentV1, CancellationCauseV1, CancellationV1, ChangeKindV1, ChangedProductV1,
    ContentV1, CorrectionV1,
};
pub use decode_errors::{FieldError, FieldFault, decode_errors};
pub use events::{
    ApplicationAcceptedV1, ApplicationRejectedV1, BaseV1, BoundV1, CalculationV1, ChangeAcceptedV1,
    ChangeEffectV1, ChangeRejectedV1, ForeseenV1, GuaranteeChangedV1, GuaranteeIssuedV1, GuaranteeRedrawnV1,
    MailStateV1, RejectedLineV1, ViolationV1,
};
pub use stages::*;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// A type of message with its stable wire name.
pub trait Message: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The AMQP `type` property, such as `application.v1`. Never reused.
    const TYPE: &'static str;

    /// Number of JSON arrays in the payload.
    /// A payload with another number is checked more closely, because an array may be in the place of an
    /// object.
    fn arrays(&self) -> usize {
        0
    }
}

/// A message between stages.
pub trait StageMessage: Message {
    /// The stage that consumes it: queue, routing key, metric label. Never reused.
    const STAGE: &'static str;

    /// The business key: the same on retry, redelivery and replay.
    fn key(&self) -> String;

    /// AMQP `message_id`, derived from stage and business key.
    fn message_id(&self) -> String {
        crate::ids::message(Self::STAGE, &self.key())
    }
}

/// A message with a schema: all of them.
pub trait Described: Message + schemars::JsonSchema {}

impl<M: Message + schemars::JsonSchema> Described for M {}

#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes are not JSON at all.
    #[error("not JSON: {problem} (line {line}, column {column})")]
    NotJson { problem: String, line: usize, column: usize },
    /// JSON, but not of the message's shape.
    #[error("{path}: {problem}")]
    Shape {
        /// JSON path of the value, such as `$.products[0].amount`.
        path: String,
        problem: String,
    },
}

impl DecodeError {
    pub fn not_json(error: &serde_json::Error) -> Self {
        Self::NotJson { problem: bare(error), line: error.line(), column: error.column() }
    }
}

/// Decodes a payload, and names the JSON path of the first value that does not fit.
///
/// A payload that fits is read once; paths, which cost as much as the reading, are found on a second one.
pub fn decode<M: Message>(payload: &[u8]) -> Result<M, DecodeError> {
    let Ok(message) = read::<M>(payload) else { return Err(error::<M>(payload)) };
    if has_other_arrays(payload, message.arrays()) {
        let written = serde_json::from_slice(payload).map_err(|error| DecodeError::not_json(&error))?;
        let understood = serde_json::to_value(&message).map_err(|error| DecodeError::not_json(&error))?;
        objects_are_objects(&written, &understood, "$")?;
    }
    Ok(message)
}

/// Accepts a payload that is not UTF-8 if only ignored fields have invalid bytes.
fn read<T: DeserializeOwned>(payload: &[u8]) -> serde_json::Result<T> {
    std::str::from_utf8(payload).map_or_else(|_| serde_json::from_slice(payload), serde_json::from_str)
}

/// The error of a payload that did not decode.
fn error<M: Message>(payload: &[u8]) -> DecodeError {
    let mut reader = serde_json::Deserializer::from_slice(payload);
    match serde_path_to_error::deserialize::<_, M>(&mut reader) {
        Ok(_) => match reader.end() {
            Err(error) => DecodeError::not_json(&error),
            Ok(()) => DecodeError::Shape { path: "$".to_owned(), problem: "cannot be read".to_owned() },
        },
        Err(error) => {
            let path = match error.path().to_string() {
                path if path == "." => "$".to_owned(),
                path if path.starts_with('[') => format!("${path}"),
                path => format!("$.{path}"),
            };
            let error = error.into_inner();
            if error.is_data() {
                DecodeError::Shape { path, problem: bare(&error) }
            } else {
                DecodeError::not_json(&error)
            }
        }
    }
}

/// Whether valid JSON has another number of arrays than its message.
/// Brackets within texts are rare, so all brackets are counted first: that takes a twentieth of the time.
fn has_other_arrays(json: &[u8], expected: usize) -> bool {
    brackets(json) != expected && arrays(json) != expected
}

/// Counts `[`, also within texts.
/// The count of a piece fits in a byte, so that the compiler vectorises it.
fn brackets(json: &[u8]) -> usize {
    let of_piece =
        |piece: &[u8]| piece.iter().fold(0_u8, |count, &byte| count.wrapping_add(u8::from(byte == b'[')));
    json.chunks(u8::MAX.into()).map(|piece| usize::from(of_piece(piece))).sum()
}

/// Counts the arrays of valid JSON.
fn arrays(json: &[u8]) -> usize {
    let (mut count, mut within, mut escaped) = (0, false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if within => escaped = true,
            b'"' => within = !within,
            b'[' if !within => count += 1,
            _ => {}
        }
    }
    count
}

/// Rejects an array that was read as an object.
/// The types that serde derives accept the fields of a struct by position too; the contract and its JSON
/// Schema do not.
fn objects_are_objects(written: &Value, understood: &Value, path: &str) -> Result<(), DecodeError> {
    match (written, understood) {
        (Value::Object(written), Value::Object(understood)) => understood
            .iter()
            .filter_map(|(key, understood)| Some((key, written.get(key)?, understood)))
            .try_for_each(|(key, written, understood)| {
                objects_are_objects(written, understood, &format!("{path}.{key}"))
            }),
        (Value::Array(written), Value::Array(understood)) => {
            (0..).zip(written.iter().zip(understood)).try_for_each(|(index, (written, understood))| {
                objects_are_objects(written, understood, &format!("{path}[{index}]"))
            })
        }
        (Value::Array(_), Value::Object(_)) => Err(DecodeError::Shape {
            path: path.to_owned(),
            problem: "invalid type: sequence, expected an object".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Canonical form: sorted keys, no white space, no `null` fields.
/// A `null` field is the same as an absent one. The text depends on the payload alone, not on the version of
/// the program that reads it.
pub fn content(payload: &[u8]) -> Result<String, DecodeError> {
    fn without_nulls(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|_, value| !value.is_null());
                // Already sorted, unless another crate enables `preserve_order` of serde_json.
                fields.sort_keys();
                fields.values_mut().for_each(without_nulls);
            }
            Value::Array(items) => items.iter_mut().for_each(without_nulls),
            _ => {}
        }
    }
    let mut value = read(payload).map_err(|error| DecodeError::not_json(&error))?;
    without_nulls(&mut value);
    Ok(value.to_string())
}

/// Cuts off " at line 1 column 2": `DecodeError` has fields for the position.
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
    fn decode_names_the_path_of_the_error() {
        let error = decode::<IssueV1>(br#"{"application": 3, "line": 0}"#).unwrap_err();
        assert_eq!(error.to_string(), "$.application: invalid type: integer `3`, expected a string");
    }

    #[test]
    fn decode_rejects_trailing_text_and_half_objects() {
        assert!(matches!(
            decode::<IssueV1>(br#"{"application": "a", "line": 0} x"#),
            Err(DecodeError::NotJson { .. })
        ));
        assert!(matches!(decode::<IssueV1>(br#"{"application": "a""#), Err(DecodeError::NotJson { .. })));
        assert!(matches!(decode::<IssueV1>(&[0xff, 0xfe]), Err(DecodeError::NotJson { .. })));
    }

    #[test]
    fn decode_rejects_an_array_as_object() {
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
    fn counts_arrays_outside_of_texts() {
        for (json, count) in
            [("[]", 1), (r#"{"a": "[\"["}"#, 0), (r#"{"a\\": [[], "["]}"#, 2), (r#""\\\"[""#, 0)]
        {
            assert_eq!(arrays(json.as_bytes()), count, "{json}");
        }
        for length in [0, 1, 254, 255, 256, 510, 1_000] {
            assert_eq!((brackets(&vec![b'['; length]), brackets(&vec![b' '; length])), (length, 0));
        }
        for line in include_str!("../../examples/applications.jsonl").lines() {
            let application = decode::<ApplicationV1>(line.as_bytes()).unwrap();
            assert_eq!(application.arrays(), arrays(line.as_bytes()), "read once only: {line}");
        }
    }

    #[test]
    fn content_is_canonical() {
        let one = content(br#"{"b": {"y": null, "x": [1, null]}, "a": "1"}"#).unwrap();
        assert_eq!(one, content(br#"{"a":"1","b":{"x":[1,null]},"c":null}"#).unwrap());
        assert_eq!(one, r#"{"a":"1","b":{"x":[1,null]}}"#);
        assert_ne!(one, content(br#"{"a":1,"b":{"x":[1,null]}}"#).unwrap());
    }

    #[test]
    fn decode_survives_deep_nesting() {
        let payload = "[".repeat(200);
        assert!(decode::<ApplicationV1>(payload.as_bytes()).is_err());
        let nested = format!(r#"{{"application": "a", "line": 0, "x": {payload}{}}}"#, "]".repeat(200));
        assert!(decode::<IssueV1>(nested.as_bytes()).is_err());
    }
}

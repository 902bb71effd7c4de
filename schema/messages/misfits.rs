//! Everything that keeps a JSON payload from being a message, at once.
//!
//! Decoding stops at the first value that does not fit. A sender who learns of one at a time sends a message ten times, so a payload
//! that did not decode is held against the message's JSON Schema, which knows them all. The schema is generated from the same types; where
//! it finds nothing (a field given twice, which JSON Schema cannot see), what decoding said stands alone.
//!
//! A misfit repeats nothing from outside but names of fields, and those only where they are plain words.

use std::{
    any::TypeId,
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use jsonschema::{
    JsonType, ValidationError, Validator,
    error::{TypeKind, ValidationErrorKind},
};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

use super::{DecodeError, Message};

/// One value that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// JSON path of the value, such as `$.products[0].amount`; for a field, of the object it belongs to, and the field.
    pub path: String,
    /// What is wrong.
    pub fault: MisfitFault,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MisfitFault {
    /// The contract knows no such field.
    Unknown,
    /// The field is required.
    Missing,
    /// The value is of another JSON type; these are right, such as `string`.
    Type(Vec<&'static str>),
    /// The value is not one of those there are.
    Choice(Vec<String>),
    /// What decoding said, in its words.
    Other(String),
}

/// How many misfits are told of one payload.
const MOST: usize = 50;

/// Tells everything that keeps a payload, which did not decode, from being a message. Never empty.
pub fn misfits<M: Message + JsonSchema>(payload: &[u8], error: &DecodeError) -> Vec<Misfit> {
    let DecodeError::Shape { path, problem } = error else {
        return vec![Misfit { path: "$".to_owned(), fault: MisfitFault::Other(error.to_string()) }];
    };
    let mut found = Vec::new();
    if let (Ok(value), Some(validator)) = (serde_json::from_slice::<Value>(payload), validator::<M>()) {
        for error in validator.iter_errors(&value).take(MOST) {
            gather(&error, "$", &mut found);
        }
    }
    let mut once: Vec<Misfit> = Vec::new();
    for misfit in found {
        // Fields whose names are not repeated may look alike.
        if once.len() < MOST && !once.contains(&misfit) {
            once.push(misfit);
        }
    }
    if once.is_empty() {
        once.push(Misfit { path: path.clone(), fault: MisfitFault::Other(problem.clone()) });
    }
    once
}

/// The validator of a message's schema, made once. `None` for a schema that is none, which a test rules out.
fn validator<M: Message + JsonSchema>() -> Option<Arc<Validator>> {
    static VALIDATORS: OnceLock<Mutex<HashMap<TypeId, Option<Arc<Validator>>>>> = OnceLock::new();
    let mut validators =
        VALIDATORS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let made = || {
        let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<M>();
        jsonschema::draft202012::new(schema.as_value()).ok().map(Arc::new)
    };
    validators.entry(TypeId::of::<M>()).or_insert_with(made).clone()
}

/// Adds what an error of the validator tells. Paths within the branch of a choice are whole already.
fn gather(error: &ValidationError<'_>, root: &str, found: &mut Vec<Misfit>) {
    let path = json_path(root, error.instance_path().as_str());
    let mut tell = |path: String, fault| found.push(Misfit { path, fault });
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            for field in unexpected {
                tell(member(&path, field), MisfitFault::Unknown);
            }
        }
        ValidationErrorKind::Required { property } => {
            tell(member(&path, property.as_str().unwrap_or_default()), MisfitFault::Missing);
        }
        ValidationErrorKind::Type { kind } => tell(path, MisfitFault::Type(types(kind))),
        ValidationErrorKind::Enum { options } => tell(path, MisfitFault::Choice(words(options))),
        ValidationErrorKind::Constant { expected_value } => {
            tell(path, MisfitFault::Choice(words(expected_value)))
        }
        ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context } => {
            choose(context, &path, root, found)
        }
        _ => tell(path, MisfitFault::Other(error.kind().keyword().to_owned())),
    }
}

/// Of several forms a value may have, tells what keeps it from the one it was meant to have: the one whose `kind` it names. Where it names
/// none, the kinds or types there are.
fn choose(forms: &[Vec<ValidationError<'static>>], path: &str, root: &str, found: &mut Vec<Misfit>) {
    let told: Vec<Vec<Misfit>> = forms
        .iter()
        .map(|errors| {
            let mut misfits = Vec::new();
            for error in errors {
                gather(error, root, &mut misfits);
            }
            misfits
        })
        .collect();
    let of_kind = |misfit: &Misfit| matches!(misfit.fault, MisfitFault::Choice(_)) && misfit.path != path;
    let kinds: Vec<&Misfit> = told.iter().flatten().filter(|misfit| of_kind(misfit)).collect();
    let meant = told
        .iter()
        .filter(|misfits| !misfits.iter().any(|misfit| of_kind(misfit) || misfit.path == path))
        .min_by_key(|misfits| misfits.len());
    if let Some(meant) = meant.filter(|meant| !meant.is_empty()) {
        found.extend(meant.iter().cloned());
    } else if let Some(first) = kinds.first() {
        let choices = kinds.iter().filter_map(|misfit| {
            if let MisfitFault::Choice(words) = &misfit.fault { Some(words.clone()) } else { None }
        });
        found.push(Misfit {
            path: first.path.clone(),
            fault: MisfitFault::Choice(choices.flatten().collect()),
        });
    } else {
        let (mut choices, mut right) = (Vec::new(), Vec::new());
        for misfit in told.into_iter().flatten() {
            match misfit.fault {
                MisfitFault::Choice(words) => choices.extend(words),
                MisfitFault::Type(types) => {
                    for name in types.into_iter().filter(|&name| name != "null") {
                        // Several forms may be of one type.
                        if !right.contains(&name) {
                            right.push(name);
                        }
                    }
                }
                _ => {}
            }
        }
        let fault = if choices.is_empty() { MisfitFault::Type(right) } else { MisfitFault::Choice(choices) };
        found.push(Misfit { path: path.to_owned(), fault });
    }
}

fn types(kind: &TypeKind) -> Vec<&'static str> {
    let name = |kind: JsonType| match kind {
        JsonType::Array => "array",
        JsonType::Boolean => "boolean",
        JsonType::Integer => "integer",
        JsonType::Null => "null",
        JsonType::Number => "number",
        JsonType::Object => "object",
        JsonType::String => "string",
    };
    match kind {
        TypeKind::Single(kind) => vec![name(*kind)],
        TypeKind::Multiple(kinds) => kinds.iter().map(name).filter(|&name| name != "null").collect(),
    }
}

fn words(values: &Value) -> Vec<String> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    values.as_array().map_or_else(|| vec![word(values)], |values| values.iter().map(word).collect())
}

/// A JSON pointer as the path that messages name: `/products/0/amount` → `$.products[0].amount`.
fn json_path(root: &str, pointer: &str) -> String {
    let mut path = root.to_owned();
    for part in pointer.split('/').skip(1) {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            let _ = write!(path, "[{part}]");
        } else {
            path = member(&path, &part.replace("~1", "/").replace("~0", "~"));
        }
    }
    path
}

/// A field of an object. Its name may be text from outside: it is told where it is a plain word.
fn member(path: &str, field: &str) -> String {
    let plain = !field.is_empty()
        && field.len() <= 40
        && field.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain { format!("{path}.{field}") } else { format!("{path}.…") }
}

#[cfg(test)]
mod tests {
    use super::super::{ApplicationV1, contract, decode};
    use super::*;

    fn found(change: impl FnOnce(&mut Value)) -> Vec<(String, MisfitFault)> {
        let mut application: Value =
            serde_json::from_str(include_str!("../../examples/applications.jsonl").lines().next().unwrap())
                .unwrap();
        change(&mut application);
        let payload = application.to_string();
        let error = decode::<ApplicationV1>(payload.as_bytes()).unwrap_err();
        misfits::<ApplicationV1>(payload.as_bytes(), &error)
            .into_iter()
            .map(|misfit| (misfit.path, misfit.fault))
            .collect()
    }

    fn of(path: &str, fault: MisfitFault) -> (String, MisfitFault) {
        (path.to_owned(), fault)
    }

    #[test]
    fn all_are_told_at_once() {
        let mut told = found(|application| {
            application["works"]["colour"] = "red".into();
            application["works"]["low_price"] = "いいえ".into();
            application["works"]["kind"] = "tunnel".into();
            application["products"][0].as_object_mut().unwrap().remove("bill_to");
            application["products"][1]["amount"] = 1.5.into();
            application["taro@example.jp"] = 1.into();
            application.as_object_mut().unwrap().remove("branch");
        });
        told.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(
            told,
            [
                of("$.branch", MisfitFault::Missing),
                of("$.products[0].bill_to", MisfitFault::Missing),
                of("$.products[1].amount", MisfitFault::Type(vec!["integer", "string"])),
                of("$.works.colour", MisfitFault::Unknown),
                of(
                    "$.works.kind",
                    MisfitFault::Choice(
                        ["construction", "design", "surveying", "machinery"].map(str::to_owned).to_vec()
                    )
                ),
                of("$.works.low_price", MisfitFault::Type(vec!["boolean"])),
                of("$.…", MisfitFault::Unknown),
            ]
        );
    }

    #[test]
    fn of_a_principal_the_kind_it_names_is_meant() {
        assert_eq!(
            found(|application| {
                application["principal"].as_object_mut().unwrap().remove("address");
            }),
            [of("$.principal.address", MisfitFault::Missing)]
        );
        assert_eq!(
            found(|application| application["principal"] =
                serde_json::json!({ "kind": "joint_venture", "name": "JV", "members": [1] })),
            [
                of("$.principal.representative", MisfitFault::Missing),
                of("$.principal.members[0]", MisfitFault::Type(vec!["object"]))
            ]
        );
        let kinds = MisfitFault::Choice(vec!["company".to_owned(), "joint_venture".to_owned()]);
        assert_eq!(
            found(|application| application["principal"]["kind"] = "person".into()),
            [of("$.principal.kind", kinds)]
        );
        assert_eq!(
            found(|application| application["principal"] = 1.into()),
            [of("$.principal", MisfitFault::Type(vec!["object"]))]
        );
    }

    #[test]
    fn what_the_schema_cannot_see_is_told_as_decoding_says_it() {
        let line = include_str!("../../examples/applications.jsonl").lines().next().unwrap();
        let twice = line.replacen('{', "{\"branch\":\"31\",", 1);
        let error = decode::<ApplicationV1>(twice.as_bytes()).unwrap_err();
        let told = misfits::<ApplicationV1>(twice.as_bytes(), &error);
        assert!(
            matches!(&told[..], [Misfit { fault: MisfitFault::Other(problem), .. }] if problem.contains("duplicate field")),
            "{told:?}"
        );
    }

    #[test]
    fn every_schema_can_be_held_against() {
        for message in contract::MESSAGES {
            assert!(jsonschema::draft202012::new(&message.json_schema()).is_ok(), "{}", message.name);
        }
        assert!(validator::<ApplicationV1>().is_some());
    }
}

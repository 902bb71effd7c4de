//! Every error of a JSON payload that is not a message, in one pass.
//!
//! Decoding stops at the first value that does not fit. A sender who gets one error at a time sends a message
//! ten times, so a payload that did not decode is checked against the JSON Schema of the message, which is
//! generated from the same types. Where the schema finds nothing (a field given twice, which JSON Schema
//! cannot see), the decode error is the only one.
//!
//! The check covers the keywords that `schemars` generates for our types; a test compares it with the crate
//! `jsonschema`. Rejected: that crate in the program; it brings 29 crates and an eighth of the build time.
//!
//! Of the payload an error repeats only field names, and those only where they are plain words.

use std::{
    any::TypeId,
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

use super::{DecodeError, Message};

/// One value that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// JSON path of the value or the missing field, such as `$.products[0].amount`.
    pub path: String,
    pub fault: FieldFault,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldFault {
    /// The contract has no such field.
    Unknown,
    /// The field is required.
    Missing,
    /// The value is of another JSON type; these are right, such as `string`.
    Type(Vec<&'static str>),
    /// The value is not one of these.
    Choice(Vec<String>),
    /// The decode error, or the keyword of the schema.
    Other(String),
}

/// Largest number of errors for one payload.
const MOST: usize = 50;

/// The types of JSON Schema.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// Lists the errors of a payload that did not decode. Never empty.
pub fn decode_errors<M: Message + JsonSchema>(payload: &[u8], error: &DecodeError) -> Vec<FieldError> {
    let DecodeError::Shape { path, problem } = error else {
        return vec![FieldError { path: "$".to_owned(), fault: FieldFault::Other(error.to_string()) }];
    };
    let mut once: Vec<FieldError> = Vec::new();
    if let Ok(value) = serde_json::from_slice::<Value>(payload) {
        for error in check(&schema::<M>(), &value).into_iter().take(MOST).flatten() {
            // Fields whose names are not repeated may look alike.
            if once.len() < MOST && !once.contains(&error) {
                once.push(error);
            }
        }
    }
    if once.is_empty() {
        once.push(FieldError { path: path.clone(), fault: FieldFault::Other(problem.clone()) });
    }
    once
}

/// The schema of a message, generated once.
fn schema<M: Message + JsonSchema>() -> Arc<Value> {
    static SCHEMAS: OnceLock<Mutex<HashMap<TypeId, Arc<Value>>>> = OnceLock::new();
    let mut schemas = SCHEMAS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let generate =
        || Arc::new(SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<M>().to_value());
    Arc::clone(schemas.entry(TypeId::of::<M>()).or_insert_with(generate))
}

/// Groups the errors: one keyword of the schema may find several.
fn check(schema: &Value, value: &Value) -> Vec<Vec<FieldError>> {
    let mut checker = Checker { root: schema, found: Vec::new() };
    checker.check(schema, value, "$");
    checker.found
}

struct Checker<'a> {
    /// The whole schema, which `$ref` points into.
    root: &'a Value,
    found: Vec<Vec<FieldError>>,
}

impl Checker<'_> {
    fn check(&mut self, schema: &Value, value: &Value, path: &str) {
        let types: Vec<_> = TYPES.into_iter().filter(|name| names_type(&schema["type"], name)).collect();
        if !types.is_empty() && !types.iter().any(|name| is_of(value, name)) {
            let types = types.into_iter().filter(|&name| name != "null").collect();
            self.add(path.to_owned(), FieldFault::Type(types));
        }
        if let Some(expected) = schema.get("const").filter(|&expected| value != expected) {
            self.add(path.to_owned(), FieldFault::Choice(vec![word(expected)]));
        }
        if let Some(options) = schema["enum"].as_array().filter(|options| !options.contains(value)) {
            self.add(path.to_owned(), FieldFault::Choice(options.iter().map(word).collect()));
        }
        if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
            && number < least
        {
            self.add(path.to_owned(), FieldFault::Other("minimum".to_owned()));
        }
        match value {
            Value::Object(fields) => {
                for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    if !fields.contains_key(name) {
                        self.add(member(path, name), FieldFault::Missing);
                    }
                }
                let mut unknown = Vec::new();
                for (name, value) in fields {
                    if let Some(schema) = schema["properties"].get(name) {
                        self.check(schema, value, &member(path, name));
                    } else if schema["additionalProperties"] == false {
                        unknown.push(FieldError { path: member(path, name), fault: FieldFault::Unknown });
                    }
                }
                if !unknown.is_empty() {
                    self.found.push(unknown);
                }
            }
            Value::Array(items) => {
                if let Some(schema) = schema.get("items") {
                    for (index, value) in items.iter().enumerate() {
                        self.check(schema, value, &format!("{path}[{index}]"));
                    }
                }
            }
            _ => {}
        }
        for forms in ["anyOf", "oneOf"].into_iter().filter_map(|keyword| schema[keyword].as_array()) {
            let errors: Vec<_> = forms.iter().map(|form| self.of_form(form, value, path)).collect();
            if errors.iter().all(|errors| !errors.is_empty()) {
                self.found.push(choose(&errors, path));
            }
        }
        if let Some(target) =
            schema["$ref"].as_str().and_then(|target| self.root.pointer(target.strip_prefix('#')?))
        {
            self.check(target, value, path);
        }
    }

    fn of_form(&self, form: &Value, value: &Value, path: &str) -> Vec<FieldError> {
        let mut checker = Checker { root: self.root, found: Vec::new() };
        checker.check(form, value, path);
        checker.found.into_iter().flatten().collect()
    }

    fn add(&mut self, path: String, fault: FieldFault) {
        self.found.push(vec![FieldError { path, fault }]);
    }
}

/// Lists the errors of the form whose `kind` the value names.
/// Where it names none, lists the kinds or types of all forms.
fn choose(forms: &[Vec<FieldError>], path: &str) -> Vec<FieldError> {
    let of_kind = |error: &&FieldError| matches!(error.fault, FieldFault::Choice(_)) && error.path != path;
    let intended = forms
        .iter()
        .filter(|errors| !errors.iter().any(|error| of_kind(&error) || error.path == path))
        .min_by_key(|errors| errors.len());
    if let Some(errors) = intended {
        return errors.clone();
    }
    let all = || forms.iter().flatten();
    let choices = |errors: &mut dyn Iterator<Item = &FieldError>| -> Vec<String> {
        let words = errors.filter_map(|error| match &error.fault {
            FieldFault::Choice(words) => Some(words.clone()),
            _ => None,
        });
        words.flatten().collect()
    };
    if let Some(first) = all().find(of_kind) {
        let fault = FieldFault::Choice(choices(&mut all().filter(of_kind)));
        return vec![FieldError { path: first.path.clone(), fault }];
    }
    let choices = choices(&mut all());
    let mut types = Vec::new();
    for error in all() {
        if let FieldFault::Type(names) = &error.fault {
            for name in names {
                // Several forms may be of one type.
                if !types.contains(name) {
                    types.push(*name);
                }
            }
        }
    }
    let fault = if choices.is_empty() { FieldFault::Type(types) } else { FieldFault::Choice(choices) };
    vec![FieldError { path: path.to_owned(), fault }]
}

/// Whether the `type` of a schema, a name or a list of names, includes this one.
fn names_type(types: &Value, name: &str) -> bool {
    types.as_array().map_or(types == name, |types| types.iter().any(|other| other == name))
}

fn is_of(value: &Value, name: &str) -> bool {
    match value {
        Value::Null => name == "null",
        Value::Bool(_) => name == "boolean",
        // 1.0 is an integer.
        Value::Number(number) => {
            let is_whole = || number.as_f64().is_none_or(|number| number.fract() == 0.0);
            name == "number" || name == "integer" && is_whole()
        }
        Value::String(_) => name == "string",
        Value::Array(_) => name == "array",
        Value::Object(_) => name == "object",
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Repeats a name from outside only where it is a plain word.
fn member(path: &str, field: &str) -> String {
    let plain = !field.is_empty()
        && field.len() <= 40
        && field.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain { format!("{path}.{field}") } else { format!("{path}.…") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jsonschema::{
        ValidationError,
        error::{TypeKind, ValidationErrorKind},
    };

    use super::super::{ApplicationV1, contract, decode};
    use super::*;

    fn found(change: impl FnOnce(&mut Value)) -> Vec<(String, FieldFault)> {
        let mut application: Value =
            serde_json::from_str(include_str!("../../examples/applications.jsonl").lines().next().unwrap())
                .unwrap();
        change(&mut application);
        let payload = application.to_string();
        let error = decode::<ApplicationV1>(payload.as_bytes()).unwrap_err();
        decode_errors::<ApplicationV1>(payload.as_bytes(), &error)
            .into_iter()
            .map(|error| (error.path, error.fault))
            .collect()
    }

    fn of(path: &str, fault: FieldFault) -> (String, FieldFault) {
        (path.to_owned(), fault)
    }

    #[test]
    fn reports_all_errors_at_once() {
        let mut errors = found(|application| {
            application["works"]["colour"] = "red".into();
            application["works"]["low_price"] = "いいえ".into();
            application["works"]["kind"] = "tunnel".into();
            application["products"][0].as_object_mut().unwrap().remove("bill_to");
            application["products"][1]["amount"] = 1.5.into();
            application["taro@example.jp"] = 1.into();
            application.as_object_mut().unwrap().remove("branch");
        });
        errors.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(
            errors,
            [
                of("$.branch", FieldFault::Missing),
                of("$.products[0].bill_to", FieldFault::Missing),
                of("$.products[1].amount", FieldFault::Type(vec!["integer", "string"])),
                of("$.works.colour", FieldFault::Unknown),
                of(
                    "$.works.kind",
                    FieldFault::Choice(
                        ["construction", "design", "surveying", "machinery"].map(str::to_owned).to_vec()
                    )
                ),
                of("$.works.low_price", FieldFault::Type(vec!["boolean"])),
                of("$.…", FieldFault::Unknown),
            ]
        );
    }

    #[test]
    fn reports_errors_of_the_kind_a_principal_names() {
        assert_eq!(
            found(|application| {
                application["principal"].as_object_mut().unwrap().remove("address");
            }),
            [of("$.principal.address", FieldFault::Missing)]
        );
        assert_eq!(
            found(|application| application["principal"] =
                serde_json::json!({ "kind": "joint_venture", "name": "JV", "members": [1] })),
            [
                of("$.principal.representative", FieldFault::Missing),
                of("$.principal.members[0]", FieldFault::Type(vec!["object"]))
            ]
        );
        let kinds = FieldFault::Choice(vec!["company".to_owned(), "joint_venture".to_owned()]);
        assert_eq!(
            found(|application| application["principal"]["kind"] = "person".into()),
            [of("$.principal.kind", kinds)]
        );
        assert_eq!(
            found(|application| application["principal"] = 1.into()),
            [of("$.principal", FieldFault::Type(vec!["object"]))]
        );
    }

    #[test]
    fn reports_decode_error_if_schema_accepts() {
        let line = include_str!("../../examples/applications.jsonl").lines().next().unwrap();
        let twice = line.replacen('{', "{\"branch\":\"31\",", 1);
        let error = decode::<ApplicationV1>(twice.as_bytes()).unwrap_err();
        let errors = decode_errors::<ApplicationV1>(twice.as_bytes(), &error);
        assert!(
            matches!(&errors[..], [FieldError { fault: FieldFault::Other(problem), .. }] if problem.contains("duplicate field")),
            "{errors:?}"
        );
    }

    /// Every keyword of the schemas is checked here or does not constrain values.
    #[test]
    fn checks_every_keyword_of_every_schema() {
        fn keywords(schema: &Value, found: &mut BTreeSet<String>) {
            for (keyword, value) in schema.as_object().unwrap() {
                found.insert(keyword.clone());
                match keyword.as_str() {
                    "properties" | "$defs" => {
                        value.as_object().unwrap().values().for_each(|schema| keywords(schema, found));
                    }
                    "anyOf" | "oneOf" => {
                        value.as_array().unwrap().iter().for_each(|schema| keywords(schema, found));
                    }
                    "items" => keywords(value, found),
                    "additionalProperties" => assert_eq!(value, false),
                    _ => {}
                }
            }
        }
        let checked = [
            "$ref",
            "additionalProperties",
            "anyOf",
            "const",
            "enum",
            "items",
            "minimum",
            "oneOf",
            "properties",
            "required",
            "type",
        ];
        let silent = ["$defs", "$id", "$schema", "default", "description", "format", "title"];
        let mut found = BTreeSet::new();
        for message in contract::messages() {
            keywords(&message.json_schema(), &mut found);
        }
        found.retain(|keyword| !checked.contains(&keyword.as_str()) && !silent.contains(&keyword.as_str()));
        assert_eq!(found, BTreeSet::new());
    }

    /// Values with reproducible random errors.
    #[test]
    fn finds_the_same_errors_as_jsonschema() {
        let mut random = Random(20_261_130);
        let (mut fitting, mut faulty) = (0, 0);
        for message in contract::messages() {
            let schema = message.json_schema();
            let validator = jsonschema::draft202012::new(&schema).unwrap();
            for _ in 0..500 {
                let value = random.value(&schema, &schema);
                let mut expected = Vec::new();
                for error in validator.iter_errors(&value) {
                    gather(&error, &mut expected);
                }
                let mut found: Vec<_> = check(&schema, &value).into_iter().flatten().collect();
                // jsonschema reports a missing field after the others where an object requires no other one.
                for errors in [&mut expected, &mut found] {
                    errors.sort_by_key(|error| format!("{error:?}"));
                }
                assert_eq!(found, expected, "{}: {value}", message.name);
                *(if found.is_empty() { &mut fitting } else { &mut faulty }) += 1;
            }
        }
        assert!(fitting > 500 && faulty > 2_500, "{fitting} fit, {faulty} do not");
    }

    /// Adds the errors of an error of jsonschema.
    fn gather(error: &ValidationError<'_>, found: &mut Vec<FieldError>) {
        let path = error.instance_path().as_str().split('/').skip(1).fold("$".to_owned(), |path, part| {
            if part.parse::<usize>().is_ok() { format!("{path}[{part}]") } else { member(&path, part) }
        });
        let words = |values: &Value| values.as_array().unwrap().iter().map(word).collect();
        let mut add = |path: &str, fault| found.push(FieldError { path: path.to_owned(), fault });
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                for field in unexpected {
                    add(&member(&path, field), FieldFault::Unknown);
                }
            }
            ValidationErrorKind::Required { property } => {
                add(&member(&path, property.as_str().unwrap()), FieldFault::Missing);
            }
            ValidationErrorKind::Type { kind } => {
                let names: Vec<String> = match kind {
                    TypeKind::Single(name) => vec![name.to_string()],
                    TypeKind::Multiple(names) => names.iter().map(|name| name.to_string()).collect(),
                };
                let is_named = |name: &&str| *name != "null" && names.iter().any(|other| other == name);
                add(&path, FieldFault::Type(TYPES.into_iter().filter(is_named).collect()));
            }
            ValidationErrorKind::Enum { options } => add(&path, FieldFault::Choice(words(options))),
            ValidationErrorKind::Constant { expected_value } => {
                add(&path, FieldFault::Choice(vec![word(expected_value)]));
            }
            ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context } => {
                let forms = context.iter().map(|form| {
                    let mut errors = Vec::new();
                    for error in form {
                        gather(error, &mut errors);
                    }
                    errors
                });
                found.extend(choose(&forms.collect::<Vec<_>>(), &path));
            }
            kind => add(&path, FieldFault::Other(kind.keyword().to_owned())),
        }
    }

    /// SplitMix64.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(limit).unwrap()).unwrap()
        }

        /// A value that matches a schema except for random errors.
        fn value(&mut self, root: &Value, schema: &Value) -> Value {
            const MISTAKE: usize = 40;
            if self.below(MISTAKE) == 0 {
                let odd = serde_json::json!([
                    null, true, 0, -1, 1.0, 1.5, 1e30, u64::MAX, "", "x", "company", [], [1], {}, { "kind": "x" },
                    { "kind": "joint_venture" }
                ]);
                return odd[self.below(odd.as_array().unwrap().len())].clone();
            }
            if let Some(target) = schema["$ref"].as_str() {
                return self.value(root, root.pointer(&target[1..]).unwrap());
            }
            if let Some(fixed) = schema.get("const") {
                return fixed.clone();
            }
            if let Some(of) = ["anyOf", "oneOf", "enum"].iter().find_map(|keyword| schema[keyword].as_array())
            {
                let one = &of[self.below(of.len())];
                return if schema.get("enum").is_some() { one.clone() } else { self.value(root, one) };
            }
            let types = &schema["type"];
            let name = match types.as_array() {
                Some(types) => types[self.below(types.len())].as_str(),
                None => types.as_str(),
            };
            match name.unwrap() {
                "array" => (0..self.below(4)).map(|_| self.value(root, &schema["items"])).collect(),
                "boolean" => (self.below(2) == 0).into(),
                "integer" => (self.below(3) + 1).into(),
                "null" => Value::Null,
                "string" => "a".into(),
                "object" => {
                    let mut fields = serde_json::Map::new();
                    for (name, schema) in schema["properties"].as_object().unwrap() {
                        if self.below(MISTAKE) > 0 {
                            fields.insert(name.clone(), self.value(root, schema));
                        }
                    }
                    if self.below(MISTAKE) == 0 {
                        for name in ["colour", "taro@example.jp", "", "long_".repeat(9).as_str()] {
                            fields.insert(name.to_owned(), 1.into());
                        }
                    }
                    fields.into()
                }
                other => panic!("no value of type {other}"),
            }
        }
    }
}

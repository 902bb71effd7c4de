//! Every misfit of a JSON payload that is not a message, in one pass.
//!
//! Decoding stops at the first value that does not fit. A sender who gets one error at a time sends a message
//! ten times, so a payload that did not decode is checked against the JSON Schema of the message, which is
//! generated from the same types. Where the schema finds nothing (a field given twice, which JSON Schema cannot
//! see), the decode error is the only misfit.
//!
//! The check covers the keywords that `schemars` generates for our types; a test compares it with the crate
//! `jsonschema`. Rejected: that crate in the program; it brings 29 crates and an eighth of the build time.
//!
//! A misfit repeats only field names from outside, and those only where they are plain words.

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
pub struct Misfit {
    /// JSON path of the value, such as `$.products[0].amount`; of a field, also where there is none.
    pub path: String,
    /// What is wrong.
    pub fault: MisfitFault,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MisfitFault {
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

/// Largest number of misfits for one payload.
const MOST: usize = 50;

/// The types of JSON Schema.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// Lists the misfits of a payload that did not decode. Never empty.
pub fn misfits<M: Message + JsonSchema>(payload: &[u8], error: &DecodeError) -> Vec<Misfit> {
    let DecodeError::Shape { path, problem } = error else {
        return vec![Misfit { path: "$".to_owned(), fault: MisfitFault::Other(error.to_string()) }];
    };
    let mut once: Vec<Misfit> = Vec::new();
    if let Ok(value) = serde_json::from_slice::<Value>(payload) {
        for misfit in check(&schema::<M>(), &value).into_iter().take(MOST).flatten() {
            // Fields whose names are not repeated may look alike.
            if once.len() < MOST && !once.contains(&misfit) {
                once.push(misfit);
            }
        }
    }
    if once.is_empty() {
        once.push(Misfit { path: path.clone(), fault: MisfitFault::Other(problem.clone()) });
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

/// Checks a value against a schema. The misfits are grouped: one keyword of the schema may find several.
fn check(schema: &Value, value: &Value) -> Vec<Vec<Misfit>> {
    let mut checker = Checker { root: schema, found: Vec::new() };
    checker.check(schema, value, "$");
    checker.found
}

struct Checker<'a> {
    /// The whole schema, which `$ref` points into.
    root: &'a Value,
    found: Vec<Vec<Misfit>>,
}

impl Checker<'_> {
    fn check(&mut self, schema: &Value, value: &Value, path: &str) {
        let types: Vec<_> = TYPES.into_iter().filter(|name| names_type(&schema["type"], name)).collect();
        if !types.is_empty() && !types.iter().any(|name| is_of(value, name)) {
            let types = types.into_iter().filter(|&name| name != "null").collect();
            self.add(path.to_owned(), MisfitFault::Type(types));
        }
        if let Some(expected) = schema.get("const").filter(|&expected| value != expected) {
            self.add(path.to_owned(), MisfitFault::Choice(vec![word(expected)]));
        }
        if let Some(options) = schema["enum"].as_array().filter(|options| !options.contains(value)) {
            self.add(path.to_owned(), MisfitFault::Choice(options.iter().map(word).collect()));
        }
        if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
            && number < least
        {
            self.add(path.to_owned(), MisfitFault::Other("minimum".to_owned()));
        }
        match value {
            Value::Object(fields) => {
                for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    if !fields.contains_key(name) {
                        self.add(member(path, name), MisfitFault::Missing);
                    }
                }
                let mut unknown = Vec::new();
                for (name, value) in fields {
                    if let Some(schema) = schema["properties"].get(name) {
                        self.check(schema, value, &member(path, name));
                    } else if schema["additionalProperties"] == false {
                        unknown.push(Misfit { path: member(path, name), fault: MisfitFault::Unknown });
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
            let misfits: Vec<_> = forms.iter().map(|form| self.of_form(form, value, path)).collect();
            if misfits.iter().all(|misfits| !misfits.is_empty()) {
                self.found.push(choose(&misfits, path));
            }
        }
        if let Some(target) =
            schema["$ref"].as_str().and_then(|target| self.root.pointer(target.strip_prefix('#')?))
        {
            self.check(target, value, path);
        }
    }

    fn of_form(&self, form: &Value, value: &Value, path: &str) -> Vec<Misfit> {
        let mut checker = Checker { root: self.root, found: Vec::new() };
        checker.check(form, value, path);
        checker.found.into_iter().flatten().collect()
    }

    fn add(&mut self, path: String, fault: MisfitFault) {
        self.found.push(vec![Misfit { path, fault }]);
    }
}

/// Lists the misfits of the form that the value was meant to have: the one whose `kind` it names. Where it
/// names none, lists the kinds or types of all forms.
fn choose(forms: &[Vec<Misfit>], path: &str) -> Vec<Misfit> {
    let of_kind = |misfit: &&Misfit| matches!(misfit.fault, MisfitFault::Choice(_)) && misfit.path != path;
    let intended = forms
        .iter()
        .filter(|misfits| !misfits.iter().any(|misfit| of_kind(&misfit) || misfit.path == path))
        .min_by_key(|misfits| misfits.len());
    if let Some(misfits) = intended {
        return misfits.clone();
    }
    let all = || forms.iter().flatten();
    let choices = |misfits: &mut dyn Iterator<Item = &Misfit>| -> Vec<String> {
        let words = misfits.filter_map(|misfit| match &misfit.fault {
            MisfitFault::Choice(words) => Some(words.clone()),
            _ => None,
        });
        words.flatten().collect()
    };
    if let Some(first) = all().find(of_kind) {
        let fault = MisfitFault::Choice(choices(&mut all().filter(of_kind)));
        return vec![Misfit { path: first.path.clone(), fault }];
    }
    let choices = choices(&mut all());
    let mut types = Vec::new();
    for misfit in all() {
        if let MisfitFault::Type(names) = &misfit.fault {
            for name in names {
                // Several forms may be of one type.
                if !types.contains(name) {
                    types.push(*name);
                }
            }
        }
    }
    let fault = if choices.is_empty() { MisfitFault::Type(types) } else { MisfitFault::Choice(choices) };
    vec![Misfit { path: path.to_owned(), fault }]
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

/// The path of a field. A name from outside is repeated only where it is a plain word.
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

    /// Every keyword of our schemas is one that is checked here, or one that says nothing about values.
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
        for message in contract::MESSAGES {
            keywords(&message.json_schema(), &mut found);
        }
        found.retain(|keyword| !checked.contains(&keyword.as_str()) && !silent.contains(&keyword.as_str()));
        assert_eq!(found, BTreeSet::new());
    }

    /// Values with random mistakes, the same ones in every run.
    #[test]
    fn finds_the_misfits_that_jsonschema_finds() {
        let mut random = Random(20_261_130);
        let (mut fitting, mut misfitting) = (0, 0);
        for message in contract::MESSAGES {
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
                for misfits in [&mut expected, &mut found] {
                    misfits.sort_by_key(|misfit| format!("{misfit:?}"));
                }
                assert_eq!(found, expected, "{}: {value}", message.name);
                *(if found.is_empty() { &mut fitting } else { &mut misfitting }) += 1;
            }
        }
        assert!(fitting > 500 && misfitting > 2_500, "{fitting} fit, {misfitting} do not");
    }

    /// Adds the misfits of an error of jsonschema.
    fn gather(error: &ValidationError<'_>, found: &mut Vec<Misfit>) {
        let path = error.instance_path().as_str().split('/').skip(1).fold("$".to_owned(), |path, part| {
            if part.parse::<usize>().is_ok() { format!("{path}[{part}]") } else { member(&path, part) }
        });
        let words = |values: &Value| values.as_array().unwrap().iter().map(word).collect();
        let mut add = |path: &str, fault| found.push(Misfit { path: path.to_owned(), fault });
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                for field in unexpected {
                    add(&member(&path, field), MisfitFault::Unknown);
                }
            }
            ValidationErrorKind::Required { property } => {
                add(&member(&path, property.as_str().unwrap()), MisfitFault::Missing);
            }
            ValidationErrorKind::Type { kind } => {
                let names: Vec<String> = match kind {
                    TypeKind::Single(name) => vec![name.to_string()],
                    TypeKind::Multiple(names) => names.iter().map(|name| name.to_string()).collect(),
                };
                let is_named = |name: &&str| *name != "null" && names.iter().any(|other| other == name);
                add(&path, MisfitFault::Type(TYPES.into_iter().filter(is_named).collect()));
            }
            ValidationErrorKind::Enum { options } => add(&path, MisfitFault::Choice(words(options))),
            ValidationErrorKind::Constant { expected_value } => {
                add(&path, MisfitFault::Choice(vec![word(expected_value)]));
            }
            ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context } => {
                let forms = context.iter().map(|errors| {
                    let mut misfits = Vec::new();
                    for error in errors {
                        gather(error, &mut misfits);
                    }
                    misfits
                });
                found.extend(choose(&forms.collect::<Vec<_>>(), &path));
            }
            kind => add(&path, MisfitFault::Other(kind.keyword().to_owned())),
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

        /// A value that fits a schema, but for a mistake here and there.
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

//! Holds messages against the committed JSON Schemas, as a program of somebody else would.

use std::path::Path;

use serde_json::Value;

/// What is wrong with a payload of this message type; empty when it conforms.
///
/// Knows what the committed schemas use, and panics at any other keyword.
pub fn faults(message_type: &str, payload: &Value) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/messages/generated").join(format!("{message_type}.json"));
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut faults = Vec::new();
    check(&schema, &schema, payload, "$", &mut faults);
    // An event has no field that its schema does not tell: listeners would come to rely on it.
    let told = schema["properties"].as_object().unwrap();
    for key in payload.as_object().into_iter().flat_map(|fields| fields.keys()).filter(|key| !told.contains_key(*key)) {
        faults.push(format!("$.{key} is not in the schema"));
    }
    faults
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    for (keyword, rule) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "$ref" => {
                let target = root.pointer(rule.as_str().unwrap().trim_start_matches('#')).unwrap();
                check(root, target, value, at, faults);
            }
            "type" => {
                let fits = |name: &str| match name {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    other => panic!("type {other}"),
                };
                let names = rule.as_array().map_or_else(|| vec![rule], |names| names.iter().collect());
                if !names.iter().any(|name| fits(name.as_str().unwrap())) {
                    faults.push(format!("{at} is not of type {rule}"));
                }
            }
            "const" if rule != value => faults.push(format!("{at} is not {rule}")),
            "oneOf" => {
                let fitting = rule.as_array().unwrap().iter().filter(|option| {
                    let mut inner = Vec::new();
                    check(root, option, value, at, &mut inner);
                    inner.is_empty()
                });
                if fitting.count() != 1 {
                    faults.push(format!("{at} is not one of its options"));
                }
            }
            "required" => {
                for key in rule.as_array().unwrap().iter().filter_map(Value::as_str).filter(|key| value.get(key).is_none()) {
                    faults.push(format!("{at}.{key} is missing"));
                }
            }
            "properties" => {
                for (key, rule) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(key) {
                        check(root, rule, value, &format!("{at}.{key}"), faults);
                    }
                }
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, value, &format!("{at}[{index}]"), faults);
                }
            }
            "const" | "$defs" | "$id" | "$schema" | "description" | "title" | "format" | "default" => {}
            other => panic!("the schema uses {other}, which this check does not know"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_departure_is_told() {
        let good = json!({"source": "s", "id": "1", "application": "a", "products": ["performance"]});
        assert_eq!(faults("application.accepted.v1", &good), Vec::<String>::new());
        for (change, fault) in [
            (json!({"id": 1}), "$.id is not of type \"string\""),
            (json!({"products": ["maintenance"]}), "$.products[0] is not one of its options"),
            (json!({"products": {}}), "$.products is not of type \"array\""),
            (json!({"key": "x"}), "$.key is not in the schema"),
        ] {
            let mut bad = good.clone();
            bad.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            assert_eq!(faults("application.accepted.v1", &bad), [fault]);
        }
        assert_eq!(faults("application.accepted.v1", &json!({"source": "s", "id": "1", "products": []})), ["$.application is missing"]);
    }
}

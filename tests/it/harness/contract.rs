//! Validates messages with the committed JSON Schemas, as another system would.

use std::path::Path;

use serde_json::Value;

/// Differences between a payload and the schema of its message type.
pub fn faults(message_type: &str, payload: &Value) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("schema/messages/generated")
        .join(format!("{message_type}.json"));
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let mut faults: Vec<String> =
        validator.iter_errors(payload).map(|error| format!("{}: {error}", error.instance_path())).collect();
    // Listeners would rely on a field that the schema does not describe.
    let described = schema["properties"].as_object().unwrap();
    for key in payload
        .as_object()
        .into_iter()
        .flat_map(|fields| fields.keys())
        .filter(|key| !described.contains_key(*key))
    {
        faults.push(format!("/{key}: is not in the schema"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn returns_every_difference_from_the_schema() {
        let good = json!({"source": "s", "id": "1", "application": "a", "products": ["performance"]});
        assert_eq!(faults("application.accepted.v1", &good), Vec::<String>::new());
        for (change, fault) in [
            (json!({"id": 1}), "/id: "),
            (json!({"products": ["maintenance"]}), "/products/0: "),
            (json!({"products": {}}), "/products: "),
            (json!({"calculations": [{}]}), "/calculations/0: "),
            (json!({"key": "x"}), "/key: is not in the schema"),
        ] {
            let mut bad = good.clone();
            bad.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let found = faults("application.accepted.v1", &bad);
            assert!(!found.is_empty() && found.iter().all(|one| one.starts_with(fault)), "{found:?}");
        }
        assert_eq!(
            faults("application.accepted.v1", &json!({"source": "s", "id": "1", "products": []})).len(),
            1
        );
    }
}

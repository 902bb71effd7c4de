//! Hides personal data of payloads and headers.
//!
//! The list holds the fields that are shown, so that a new, misspelt or foreign field is hidden. Shown are
//! codes, amounts, days and identifiers, without mail addresses: a sender can type anything into any field.

use serde_json::{Map, Value};

use crate::redact::redact_addresses;

const SHOWN: &[&str] = &[
    "amount",
    "announced_on",
    "application",
    "awarded_on",
    "branch",
    "calculation_sheet",
    "cancelled_on",
    "cause",
    "contract_date",
    "contract_price",
    "designated_on",
    "fiscal_year",
    "from",
    "guarantee",
    "id",
    "kind",
    "line",
    "low_price",
    "medium",
    "notified_on",
    "obligee",
    "original_contract_date",
    "product",
    "redeposit",
    "redraw",
    "revision",
    "run",
    "source",
    "this_year_base",
    "to",
    "urgent",
    "version",
    "wanted",
];

const SHOWN_HEADERS: &[&str] = &[
    "hosho-attempt",
    "hosho-failed-at",
    "hosho-fault",
    "hosho-fault-code",
    "hosho-first-failed-at",
    "hosho-history",
    "hosho-replay",
    "x-death",
    "x-delivery-count",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
];

const HIDDEN: &str = "***";

/// Longest shown text in characters: a longer one is not a code.
const LONGEST: usize = 100;

/// A JSON value without personal data.
pub fn masked(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut shown = Map::new();
            for (number, (key, value)) in fields.iter().enumerate() {
                // The sender chooses the names of fields too.
                let name = if is_plain(key) { key.clone() } else { format!("{HIDDEN}{number}") };
                let value = match value {
                    Value::Object(_) | Value::Array(_) => masked(value),
                    leaf if SHOWN.contains(&key.as_str()) => plain(leaf),
                    _ => HIDDEN.into(),
                };
                shown.insert(name, value);
            }
            Value::Object(shown)
        }
        Value::Array(items) => Value::Array(items.iter().map(masked).collect()),
        _ => HIDDEN.into(),
    }
}

/// Hides the value unless the field that ends its JSON path is shown.
/// The path is such as `$.works.contract_price`.
pub fn masked_text(path: &str, value: &Value) -> Value {
    let field = path.rsplit('.').next().unwrap_or_default().split('[').next().unwrap_or_default();
    match value {
        Value::Object(_) | Value::Array(_) => masked(value),
        Value::Null => Value::Null,
        leaf if SHOWN.contains(&field) => plain(leaf),
        _ => HIDDEN.into(),
    }
}

/// Hides names of fields that no message has, because the sender chooses them.
pub fn masked_path(path: &str) -> String {
    let part = |part: &str| {
        let (name, index) = part.find('[').map_or((part, ""), |at| part.split_at(at));
        let is_index = index.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'[' | b']'));
        if (name == "$" || is_plain(name)) && is_index { part.to_owned() } else { HIDDEN.to_owned() }
    };
    path.split('.').map(part).collect::<Vec<_>>().join(".")
}

/// Headers without those of senders, and without mail addresses.
pub fn masked_headers(headers: &Map<String, Value>) -> Map<String, Value> {
    let redacted = |value: &Value| match value {
        Value::String(text) => redact_addresses(text).into(),
        number @ Value::Number(_) => number.clone(),
        _ => HIDDEN.into(),
    };
    let shown = |(number, (name, value)): (usize, (&String, &Value))| match (name.as_str(), value) {
        ("traceparent", Value::String(trace)) => (name.clone(), masked_word(trace).into()),
        (known, Value::Array(items)) if SHOWN_HEADERS.contains(&known) => {
            (name.clone(), items.iter().map(redacted).collect())
        }
        (known, value) if SHOWN_HEADERS.contains(&known) => (name.clone(), redacted(value)),
        (foreign, _) if is_plain(&foreign.replace('-', "_")) => (name.clone(), HIDDEN.into()),
        _ => (format!("{HIDDEN}{number}"), HIDDEN.into()),
    };
    headers.iter().enumerate().map(shown).collect()
}

/// An identifier that a sender chose, hidden unless it has the form of one.
pub fn masked_word(text: &str) -> String {
    let is_harmless = (1..=LONGEST).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':'));
    if is_harmless { text.to_owned() } else { HIDDEN.to_owned() }
}

fn plain(leaf: &Value) -> Value {
    match leaf {
        Value::String(text) if text.chars().count() > LONGEST => HIDDEN.into(),
        Value::String(text) => redact_addresses(text).into(),
        other => other.clone(),
    }
}

fn is_plain(key: &str) -> bool {
    (1..=40).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hidden fields of messages. A new field must be listed here or above.
    const HIDDEN_FIELDS: &[&str] = &[
        "address",
        "bank",
        "bill_to",
        "department",
        "evidence",
        "mail_address",
        "name",
        "number",
        "position",
        "premium_payment",
        "reason",
        "remarks",
        "representative",
        "telephone",
    ];

    fn fields(schema: &Value, found: &mut std::collections::BTreeSet<String>) {
        match schema {
            Value::Object(object) => {
                if let Some(Value::Object(properties)) = object.get("properties") {
                    for (name, property) in properties {
                        // The fields of objects and of lists of objects are visited.
                        let is_leaf =
                            !property.to_string().contains("$ref") || SHOWN.contains(&name.as_str());
                        if is_leaf && property["type"] != "array" {
                            found.insert(name.clone());
                        }
                    }
                }
                object.values().for_each(|value| fields(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| fields(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_field_is_either_shown_or_hidden() {
        let mut found = std::collections::BTreeSet::new();
        for message in hosho_schema::messages::contract::messages()
            .filter(|message| message.exchange().ends_with("work"))
        {
            fields(&message.json_schema(), &mut found);
        }
        for field in &found {
            let (shown, hidden) = (SHOWN.contains(&field.as_str()), HIDDEN_FIELDS.contains(&field.as_str()));
            assert!(shown != hidden, "{field}: shown {shown}, hidden {hidden}");
        }
        assert!(found.len() > 30, "{found:?}");
    }

    #[test]
    fn hides_names_and_addresses_but_shows_amounts() {
        let line = include_str!("../../examples/applications.jsonl").lines().next().unwrap();
        let masked = masked(&serde_json::from_str(line).unwrap());
        let text = masked.to_string();
        for secret in ["髙﨑", "架空", "keiri", "@", "０２９７", "花子", "工務部"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        assert_eq!(masked["products"][0]["amount"], "１５，４００，０００");
        assert_eq!(
            (&masked["obligee"], &masked["works"]["term"]["to"]),
            (&"ryugasaki".into(), &"2027-03-19".into())
        );
    }

    #[test]
    fn hides_keys_paths_and_long_texts_too() {
        let value = serde_json::json!({
            "id": "taro@example.jp",
            "髙橋": 1,
            "mail-address": "x",
            "amount": ["髙橋"],
            "source": "あ".repeat(200),
            "contact": "髙橋",
        });
        let text = masked(&value).to_string();
        assert!(!text.contains("taro") && !text.contains('髙') && !text.contains('あ'), "{text}");
        assert_eq!(masked(&Value::from("髙橋")), "***");
        assert_eq!(masked_text("$.works.contract_price", &5.into()), 5);
        assert_eq!(masked_text("$.contact.name", &"髙橋".into()), "***");
        assert_eq!(masked_text("$.contact.name", &Value::Null), Value::Null);
        assert_eq!(masked_path("$.products[0].amount"), "$.products[0].amount");
        assert_eq!(masked_path("$.髙橋.taro@example.jp.a[髙橋]"), "$.***.***.jp.***");
    }

    #[test]
    fn hides_foreign_headers_but_shows_known_ones() {
        let headers = serde_json::json!({
            "hosho-attempt": 3,
            "hosho-fault": "550 <taro@example.jp>: no such user",
            "hosho-contact": "髙橋",
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "x-death": ["rejected in hosho.stage.issue (1)"],
            "x-sender": "髙橋 花子",
            "telephone": 312_345_678,
            "髙橋": "x",
        });
        let masked = masked_headers(headers.as_object().unwrap());
        let text = Value::Object(masked.clone()).to_string();
        for secret in ["髙", "花子", "taro", "312345678"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        assert_eq!(
            (&masked["hosho-attempt"], &masked["hosho-fault"]),
            (&3.into(), &"550 <***@***>: no such user".into())
        );
        assert_eq!(
            (&masked["traceparent"], &masked["x-death"]),
            (&headers["traceparent"], &headers["x-death"])
        );
        assert_eq!((&masked["x-sender"], &masked["hosho-contact"]), (&"***".into(), &"***".into()));
        assert_eq!(
            masked_headers(serde_json::json!({"traceparent": "髙橋"}).as_object().unwrap())["traceparent"],
            "***"
        );
    }

    #[test]
    fn shows_every_header_of_the_product() {
        let written =
            include_str!("../broker/rabbit/wire.rs").split('"').filter(|text| text.starts_with("hosho-"));
        let written: std::collections::BTreeSet<&str> = written.collect();
        assert!(written.len() >= 7, "{written:?}");
        for name in written {
            assert!(SHOWN_HEADERS.contains(&name), "{name}");
        }
    }

    #[test]
    fn shows_identifiers_with_a_valid_form() {
        for id in ["script-19", "sha256:9e03", "6f1c1c3e-7f0b-5c53-9c7d-5b8a1d1f0a11", "portal.2026_1"] {
            assert_eq!(masked_word(id), id);
        }
        for other in ["", "髙橋 花子", "taro@example.jp", "Takahashi Hanako", "a/b"] {
            assert_eq!(masked_word(other), "***", "{other}");
        }
    }
}

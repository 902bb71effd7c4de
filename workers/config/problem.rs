//! Key, wrong value and allowed values of an error of `config` and `serde`.

use ::config::ConfigError as LayerError;

use super::ConfigError;

pub(super) fn of(error: &LayerError) -> ConfigError {
    let (key, problem) = match error {
        LayerError::Type { unexpected, expected, key, .. } => {
            let key = key.clone().unwrap_or_default();
            // Such as "64-bit integer `5`", "string \"x\"" or "map".
            let text = unexpected.to_string();
            let value = match (text.split('`').nth(1), text.strip_prefix("string ")) {
                (Some(value), None) => value,
                (_, value) => value.unwrap_or(&text),
            };
            let problem = not_allowed(value, &allowed(expected, &key));
            (key, problem)
        }
        LayerError::At { error, key, .. } => {
            let key = key.clone().unwrap_or_default();
            let text = error.to_string();
            let Some((unknown, known)) = names(&text, "unknown field ") else {
                return ConfigError::Value { problem: message(&text), key };
            };
            (format!("{key}.{unknown}"), format!("unknown key; use one of {}", known.join(", ")))
        }
        error => {
            let text = error.to_string();
            match names(&text, "unknown field ") {
                Some((unknown, known)) => {
                    (unknown, format!("unknown section; use one of {}", known.join(", ")))
                }
                None => (String::from("all layers"), text),
            }
        }
    };
    ConfigError::Value { key, problem }
}

fn message(text: &str) -> String {
    if let Some((value, choices)) = names(text, "unknown variant ") {
        let choices = match choices.as_slice() {
            [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
            choices => choices.concat(),
        };
        return not_allowed(&format!("{value:?}"), &choices);
    }
    // Not the text of `serde`, which names a Rust type.
    if text.contains("expected struct ") {
        return "it is a section: its settings are below [section], or in variables such as \
                HOSHO__SECTION__SETTING"
            .to_owned();
    }
    text.to_owned()
}

fn not_allowed(value: &str, allowed: &str) -> String {
    format!("{value} is not allowed; use {allowed}")
}

fn allowed(expected: &str, key: &str) -> String {
    if key.ends_with("_seconds") {
        return "a whole number of seconds".to_owned();
    }
    match expected {
        "u16" | "an unsigned 16 bit integer" => "a whole number from 0 to 65535".to_owned(),
        expected if expected.contains("unsigned") => "a whole number of 0 or more".to_owned(),
        expected if expected.contains("bool") => "true or false".to_owned(),
        expected if expected.contains("integer") => "a whole number".to_owned(),
        expected if expected.contains("string") => "text".to_owned(),
        expected => expected.to_owned(),
    }
}

/// Reads "unknown … `x`, expected one of `a`, `b`".
fn names(text: &str, prefix: &str) -> Option<(String, Vec<String>)> {
    let quoted: Vec<&str> = text.strip_prefix(prefix)?.split('`').skip(1).step_by(2).collect();
    let (name, known) = quoted.split_first()?;
    Some(((*name).to_owned(), known.iter().map(|name| (*name).to_owned()).collect()))
}

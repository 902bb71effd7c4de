//! Broken rules: their codes and messages.
//!
//! [`rules`] is the closed list. A [`Code`] is stable text that upstream programs compare with. A [`Breach`]
//! is one broken rule with the values of its message. A [`Violation`] is the published form, with a message
//! in Japanese for the contractor or official and one in English for operators.

pub mod rules;

use std::fmt;

use hosho_schema::messages::{self, DecodeError, Described, FieldError, FieldFault, ViolationV1};

pub use self::rules::{Breach, Code};
use crate::{bilingual::Bilingual, text};

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub code: Code,
    /// JSON path of the value, such as `$.products[0].amount`.
    pub path: String,
    pub message_ja: String,
    pub message_en: String,
}

impl Violation {
    pub fn new(path: impl Into<String>, breach: &Breach) -> Self {
        Self { code: breach.code(), path: path.into(), message_ja: breach.ja(), message_en: breach.en() }
    }

    /// All faults of a payload that cannot be decoded. No message repeats a value.
    pub fn malformed<M: Described>(payload: &[u8], error: &DecodeError) -> Vec<Self> {
        if let DecodeError::NotJson { problem, line, column } = error {
            return vec![Self::not_json(problem, *line, *column)];
        }
        let mut violations: Vec<Self> =
            messages::decode_errors::<M>(payload, error).into_iter().map(Self::decode_error).collect();
        sort(&mut violations);
        violations
    }

    /// The payload is not JSON; line and column count from 1.
    pub fn not_json(problem: &str, line: usize, column: usize) -> Self {
        Self::new("$", &Breach::MessageNotJson { problem: redacted(problem), line, column })
    }

    fn decode_error(error: FieldError) -> Self {
        let path = harmless_path(&error.path);
        let (ja, en) = match error.fault {
            FieldFault::Unknown => (
                "この項目は定められていません。綴りをご確認ください。".to_owned(),
                "the message has no such field".to_owned(),
            ),
            FieldFault::Missing => {
                ("必須の項目がありません。".to_owned(), "the field is required, and missing".to_owned())
            }
            FieldFault::Type(right) => {
                let names: Vec<&str> = right.iter().map(|name| type_ja(name)).collect();
                let right = right.join(" or ");
                (
                    format!("値の型が違います（{}をご指定ください）。", names.join("又は")),
                    format!("the value is of the wrong type: {right} is right"),
                )
            }
            FieldFault::Choice(words) => {
                let words = words.join(", ");
                (
                    format!("選べない値です。{words} のいずれかをご指定ください。"),
                    format!("the value is not one of {words}"),
                )
            }
            FieldFault::Other(problem) => {
                ("項目の過不足と値の型をご確認ください。".to_owned(), redacted(&problem))
            }
        };
        Self::new(path.clone(), &Breach::MessageMalformed { path, problem: Bilingual { ja, en } })
    }

    /// The stage that stores applications detects this.
    pub fn id_reused(source: &str, id: &str) -> Self {
        Self::new("$.id", &Breach::ApplicationIdReused { origin: text::quote(source), id: text::quote(id) })
    }

    /// As [`id_reused`](Self::id_reused), for a change of a guarantee.
    pub fn change_id_reused(source: &str, id: &str) -> Self {
        Self::new("$.id", &Breach::ChangeIdReused { origin: text::quote(source), id: text::quote(id) })
    }
}

/// By the order of the form: rules of products can report fields of the works.
pub fn sort(violations: &mut [Violation]) {
    const FAMILIES: [&str; 20] = [
        "$.source",
        "$.id",
        "$.branch",
        "$.obligee",
        "$.works",
        "$.principal",
        "$.products",
        "$.notification",
        "$.contact",
        // Fields of a change.
        "$.guarantee",
        "$.version",
        "$.urgent",
        "$.revision",
        "$.reason",
        "$.after.works",
        "$.after.principal",
        "$.after.product",
        "$.cancelled_on",
        "$.cause",
        "$.evidence",
    ];
    violations.sort_by_key(|violation| FAMILIES.iter().position(|family| violation.path.starts_with(family)));
}

impl From<Violation> for ViolationV1 {
    fn from(violation: Violation) -> Self {
        let Violation { code, path, message_ja, message_en } = violation;
        Self { code: code.as_str().to_owned(), path, message_ja, message_en }
    }
}

fn type_ja(name: &str) -> &str {
    match name {
        "string" => "文字列",
        "integer" => "整数",
        "number" => "数値",
        "boolean" => "true/false",
        "array" => "配列",
        "object" => "オブジェクト",
        other => other,
    }
}

/// Drops values that the decoder quotes (`string "…"`). Plain words stay.
fn redacted(problem: &str) -> String {
    let mut text = problem.to_owned();
    if let (Some(first), Some(last)) = (text.find('"'), text.rfind('"'))
        && last > first
    {
        text.replace_range(first..=last, "\"…\"");
    }
    if let Some(first) = text.find('`')
        && let Some(last) = text.rfind("`, expected").or_else(|| text.rfind('`'))
        && last > first
        && !is_word(&text[first + 1..last])
    {
        text.replace_range(first + 1..last, "…");
    }
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).take(300).collect()
}

fn is_word(word: &str) -> bool {
    word.len() <= 40
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// Drops an end that is not plain text: an unknown field's name is from outside.
fn harmless_path(path: &str) -> String {
    let plain = |character: char| {
        character.is_ascii_alphanumeric() || matches!(character, '$' | '.' | '_' | '-' | '[' | ']')
    };
    let Some(bad) = path.find(|character| !plain(character)) else { return path.chars().take(200).collect() };
    let known = path[..bad].rfind('.').unwrap_or_default();
    format!("{}.…", path[..known].chars().take(200).collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hosho_schema::messages::{ApplicationV1, decode};

    use super::*;

    #[test]
    fn codes_are_distinct_and_well_formed() {
        let codes: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), Code::ALL.len());
        for code in codes {
            let (family, rule) = code.split_once('.').unwrap();
            assert!(
                [family, rule].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')),
                "{code}"
            );
        }
    }

    fn malformed(payload: &[u8]) -> Vec<Violation> {
        Violation::malformed::<ApplicationV1>(payload, &decode::<ApplicationV1>(payload).unwrap_err())
    }

    #[test]
    fn malformed_message_violations_repeat_no_value() {
        for payload in [
            r#"{"source":"a","notification":{"wanted":"taro@example.jp"}}"#,
            r#"{"source":"a","taro@example.jp":1}"#,
            r#"{"notification":{"wanted":true,"mail_address":["taro@example.jp"]}}"#,
            r#"{"products":[{"product":"taro@example.jp"}]}"#,
            r#"{"works":{"kind":"a`taro@example.jp`\" \n"}}"#,
            r#"{"notification":"a\" taro@example.jp \""}"#,
            r#"{"source": taro@example.jp}"#,
        ] {
            let violations = malformed(payload.as_bytes());
            assert!(!violations.is_empty());
            for violation in violations {
                assert!(matches!(violation.code, Code::MessageMalformed | Code::MessageNotJson));
                let printed = format!("{violation:?}");
                assert!(!printed.contains("taro@example") && !printed.contains("example.jp"), "{printed}");
            }
        }
    }

    #[test]
    fn malformed_message_violations_name_their_path() {
        let violations = malformed(br#"{"source":"a","id":"b","branch":31}"#);
        let branch = violations.iter().find(|violation| violation.path == "$.branch").unwrap();
        assert_eq!(branch.message_en, "the value is of the wrong type: string is right");
        assert!(branch.message_ja.contains("文字列"), "{branch:?}");
        assert!(
            violations
                .iter()
                .any(|violation| violation.path == "$.works" && violation.message_en.contains("missing"))
        );
        assert_eq!(malformed(b"{\"source\"")[0].path, "$");
    }

    #[test]
    fn converts_to_the_wire_format() {
        let wire = ViolationV1::from(Violation::id_reused("portal", "a-1"));
        assert_eq!((wire.code.as_str(), wire.path.as_str()), ("application.id_reused", "$.id"));
        assert!(wire.message_ja.contains("a-1") && wire.message_en.contains("portal"));
    }
}

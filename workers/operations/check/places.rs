//! Finds the place of a JSON path in the text of an application, for editors.
//!
//! `serde_json` keeps no positions, so `jsonc-parser` reads a rejected application once more, in strict mode,
//! and keeps the range of every value. Rejected: an own parser, or a search for the key's name (escapes, the
//! same name in several objects), and spans as wrappers of typed fields, which the message types cannot be.

use jsonc_parser::{CollectOptions, ParseOptions, ast::Value, common::Ranged as _, parse_to_ast};

/// The text of an application with the ranges of its values.
pub(super) struct Places<'a> {
    root: Option<Value<'a>>,
}

const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

impl<'a> Places<'a> {
    /// The only place of an unreadable text is its beginning.
    pub(super) fn of(payload: &'a [u8]) -> Self {
        let read = |text| parse_to_ast(text, &CollectOptions::default(), &STRICT).ok()?.value;
        Self { root: std::str::from_utf8(payload).ok().and_then(read) }
    }

    /// The offset of the value of a path such as `$.products[0].amount`.
    /// For a missing value it is that of its nearest ancestor.
    pub(super) fn offset(&self, path: &str) -> usize {
        let Some(root) = &self.root else { return 0 };
        let mut value = root;
        for step in steps(path) {
            let found = match value {
                // Of a repeated field the second is the one too many.
                Value::Object(object) => object
                    .properties
                    .iter()
                    .rfind(|field| field.name.as_str() == step)
                    .map(|field| &field.value),
                Value::Array(array) => step.parse().ok().and_then(|index: usize| array.elements.get(index)),
                _ => None,
            };
            let Some(found) = found else { break };
            value = found;
        }
        value.range().start
    }
}

/// The names and indices of a path.
fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.trim_start_matches('$').split(['.', '[', ']']).filter(|step| !step.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_values_or_their_nearest_ancestor() {
        let text = r#" {"a": {"名\"a": 1, "b": [10, {"c" : "髙"}, "\u9ad9"]}, "d": null, "b": 1, "b": 2}"#;
        let places = Places::of(text.as_bytes());
        for (path, begins) in [
            ("$", "{\"a\""),
            ("$.a.b", "[10"),
            ("$.a.b[0]", "10,"),
            ("$.a.b[1].c", "\"髙\""),
            ("$.a.b[2]", "\"\\u9ad9"),
            ("$.d", "null"),
            ("$.b", "2}"),
            ("$.a.b[1].x.y", "{\"c\""),
            ("$.a.b[3].c", "[10"),
            ("$.a.…", "{\"名"),
            ("$.d.e", "null"),
            ("$.x", "{\"a\""),
        ] {
            let offset = places.offset(path);
            assert!(text[offset..].starts_with(begins), "{path}: {}", &text[offset..]);
        }
    }

    #[test]
    fn returns_the_beginning_of_unreadable_text() {
        for text in [&b"{\"a\": 'b'}"[..], b"{\"a\": \xff}", b"", b"{\"a\": 1,}", b"// x"] {
            assert_eq!(Places::of(text).offset("$.a"), 0);
        }
    }
}

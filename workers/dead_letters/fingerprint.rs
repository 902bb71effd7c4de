//! The cause of a failure: stage, code, and the text without its variable parts.

use sha2::{Digest, Sha256};

/// Enough hexadecimal digits to distinguish causes, few enough to type.
const DIGITS: usize = 12;

/// The cause of a failure, 12 hexadecimal digits.
pub fn fingerprint(stage: &str, code: &str, text: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(format!("{stage}\n{code}\n{}", normalised(text))));
    digits.truncate(DIGITS);
    digits
}

/// The text with `#` for identifiers, numbers and quotations.
/// Reply codes of mail servers distinguish causes and stay.
fn normalised(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let quoted = matches!(first, '"' | '\'' | '`' | '「').then(|| closing(first)).and_then(|close| {
            let within = &rest[first.len_utf8()..];
            within.find(close).map(|end| first.len_utf8() + end + close.len_utf8())
        });
        let length = quoted.unwrap_or_else(|| {
            rest.find(|character: char| {
                !(character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_'))
            })
            .unwrap_or(rest.len())
        });
        if let Some(length) = quoted {
            normal.push('#');
            rest = &rest[length..];
        } else if length == 0 {
            normal.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let word = &rest[..length];
            let changes = word.bytes().any(|byte| byte.is_ascii_digit())
                && !(is_reply(word) && normal.ends_with([' ', ':']));
            normal.push_str(if changes { "#" } else { word });
            rest = &rest[length..];
        }
    }
    normal
}

const fn closing(opening: char) -> char {
    if opening == '「' { '」' } else { opening }
}

/// `550`, or `5.1.1`.
fn is_reply(word: &str) -> bool {
    let is_number =
        |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let class = word.starts_with(['4', '5']);
    let parts: Vec<&str> = word.split('.').collect();
    class
        && parts.iter().all(|part| is_number(part))
        && (parts.len() == 3 || (parts.len() == 1 && word.len() == 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignores_identifiers_numbers_and_quotations() {
        for (one, other) in [
            (
                "there is no guarantee 6f1c1c3e-7f0b-5c53-9c7d-5b8a1d1f0a11",
                "there is no guarantee c682e8d7-7d51-54e6-8ca1-aac333101075",
            ),
            ("the body has 300000 bytes; the limit is 262144", "the body has 7 bytes; the limit is 262144"),
            ("branch '31' is gone", "branch '47' is gone"),
            ("no glyph for 「髙」 in line 3", "no glyph for 「﨑」 in line 44"),
        ] {
            assert_eq!(normalised(one), normalised(other));
            assert_eq!(fingerprint("issue", "a", one), fingerprint("issue", "a", other));
        }
    }

    #[test]
    fn distinguishes_stages_codes_and_replies() {
        let refused = "the mail server refused the mail for good, naming the recipient: 550 5.1.1 <***@***>: no such user";
        assert!(normalised(refused).contains("550 5.1.1"), "{}", normalised(refused));
        let full = refused.replace("550 5.1.1", "552 5.2.2");
        let distinct: std::collections::BTreeSet<String> = [
            fingerprint("dispatch", "mail.refused", refused),
            fingerprint("dispatch", "mail.refused", &full),
            fingerprint("render", "mail.refused", refused),
            fingerprint("dispatch", "mail.deferred", refused),
        ]
        .into();
        assert_eq!(distinct.len(), 4);
        assert!(distinct.iter().all(|fingerprint| fingerprint.len() == DIGITS));
    }

    #[test]
    fn returns_a_fingerprint_for_any_text() {
        for text in ["", "'", "'unclosed 12", "「", "髙\u{0}", "....", "4", "5..1"] {
            let _ = fingerprint("s", "c", text);
        }
    }
}

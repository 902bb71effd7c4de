//! Quotations of input values in messages.

use super::{characters::code_point, invalid::invalid_kind, width::is_hyphen};

const LONGEST: usize = 40;

/// At most 40 characters of a code, an amount or a date; invalid ones as `U+hhhh`.
/// Characters that none of these contain become `…`: a name or an address may have been typed into the
/// wrong field, and messages reach people who must not see it.
pub fn quote(value: &str) -> String {
    if value.contains(['@', '＠', '﹫']) {
        return "…@…".to_owned();
    }
    let mut quoted = String::new();
    for (index, character) in value.chars().enumerate() {
        if index == LONGEST {
            quoted.push('…');
            break;
        }
        match invalid_kind(character) {
            Some(_) => quoted.push_str(&code_point(character)),
            None if is_quotable(character) => quoted.push(character),
            None if quoted.ends_with('…') => {}
            None => quoted.push('…'),
        }
    }
    quoted
}

/// Whether codes, amounts or dates contain the character.
fn is_quotable(character: char) -> bool {
    const WORDS: &str = "〇一二三四五六七八九十百千万億兆円年月日元令和平成昭㋿㍻㍼、";
    matches!(character, ' '..='~' | '\u{3000}' | '\u{ff01}'..='\u{ff5e}')
        || is_hyphen(character)
        || WORDS.contains(character)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{Lines, find_invalid},
        *,
    };

    #[test]
    fn quotes_are_short_and_contain_no_names() {
        assert_eq!(quote("a\n\u{202e}"), "aU+000AU+202E");
        assert_eq!(quote("taro@example.jp"), "…@…");
        assert_eq!(quote(&"１".repeat(41)), format!("{}…", "１".repeat(40)));
        assert_eq!(quote("四百万円"), "四百万円");
        assert_eq!(quote("令和８年２月３０日"), "令和８年２月３０日");
        assert_eq!(quote("株式会社髙﨑土木 03-0000"), "… 03-0000");
    }

    proptest! {
        #[test]
        fn quotes_contain_no_invalid_character(text in "\\PC*|.*") {
            prop_assert_eq!(find_invalid(&quote(&text), Lines::One), None);
        }
    }
}

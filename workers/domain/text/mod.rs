//! Text from outside: its width, its length, its hostile characters.
//!
//! Two kinds of text, two treatments. **Figures and numbers** (amounts, dates, guarantee numbers, telephone numbers)
//! are typed in either width with any of a dozen hyphens; [`digits`] and [`ascii`] settle that, and [`telephone_number`] for
//! what people write beside a number. **Names** keep their code points: 髙, 﨑 and 𠮷 are different people from 高, 崎 and 吉,
//! and NFKC would merge them, so names are only trimmed ([`trim`]) and searched for characters that no form field can hold
//! ([`fault()`]). 預託金融機関 stands between the two: the form demands full width, and [`bank_name`] widens exactly the
//! half-width forms. Whether two names are the same is asked of their [`comparison()`], which is thrown away afterwards.
//!
//! A text is as long as a person counts ([`length()`]): a mark or variation selector counts with the character it is drawn on.
//! Positions in messages count the same way, so that 「3文字目」 is the third that a clerk sees.

mod comparison;
mod faults;
mod length;
mod postal;
mod telephone;
mod width;

pub use comparison::{company, comparison};
pub use faults::{Fault, Found, Lines, fault};
pub use length::length;
pub use postal::lacks_postal_code;
pub use telephone::{telephone, telephone_number};
pub use width::{ascii, bank_name, digits, ungrouped};
pub(crate) use width::{is_hyphen, narrow};

/// Removes white space at both ends, but never a control character or a line or paragraph separator: those are faults to report.
pub fn trim(value: &str) -> &str {
    value.trim_matches(|character: char| character.is_whitespace() && !faults::is_control(character))
}

/// How many characters of a value a message quotes.
const QUOTED: usize = 40;

/// Quotes a code, a figure or a day in a message: faulty characters as `U+hhhh`, at most 40 characters.
///
/// What none of them can hold is told as `…`: a name, an address or a mail address may have been typed into the wrong field, and
/// messages go to people whom it does not concern.
pub fn quote(value: &str) -> String {
    if value.contains(['@', '＠', '﹫']) {
        return "…@…".to_owned();
    }
    let mut quoted = String::new();
    for (index, character) in value.chars().enumerate() {
        if index == QUOTED {
            quoted.push('…');
            break;
        }
        match faults::fault_of(character) {
            Some(_) => quoted.push_str(&code_point(character)),
            None if is_quotable(character) => quoted.push(character),
            None if quoted.ends_with('…') => {}
            None => quoted.push('…'),
        }
    }
    quoted
}

/// Whether codes, figures or days are written with the character.
fn is_quotable(character: char) -> bool {
    const WORDS: &str = "〇一二三四五六七八九十百千万億兆円年月日元令和平成昭㋿㍻㍼、";
    matches!(character, ' '..='~' | '\u{3000}' | '\u{ff01}'..='\u{ff5e}')
        || is_hyphen(character)
        || WORDS.contains(character)
}

/// Writes a character's code point as `U+9AD9`.
pub fn code_point(character: char) -> String {
    format!("U+{:04X}", u32::from(character))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_ends_are_trimmed() {
        assert_eq!(trim("　 髙﨑　土木\u{a0}"), "髙﨑　土木");
        assert_eq!(trim("a\n"), "a\n");
        assert_eq!(trim("\u{2028}a"), "\u{2028}a");
    }

    #[test]
    fn a_quotation_is_short_and_harmless() {
        assert_eq!(quote("a\n\u{202e}"), "aU+000AU+202E");
        assert_eq!(quote("taro@example.jp"), "…@…");
        assert_eq!(quote(&"１".repeat(41)), format!("{}…", "１".repeat(40)));
        assert_eq!(quote("四百万円"), "四百万円");
        assert_eq!(quote("令和８年２月３０日"), "令和８年２月３０日");
        assert_eq!(quote("株式会社髙﨑土木 03-0000"), "… 03-0000");
    }

    proptest! {
        #[test]
        fn normalising_twice_is_normalising_once(text in "\\PC*|[ｦ-ﾟ\u{3099}\u{309a}カハウ゛]*|.*") {
            for normal in [bank_name as fn(&str) -> String, digits, ascii, telephone] {
                let once = normal(&text);
                prop_assert_eq!(normal(&once), once);
            }
            prop_assert_eq!(trim(trim(&text)), trim(&text));
            let _ = (fault(&text, Lines::One), ungrouped(&text));
            prop_assert!(fault(&quote(&text), Lines::One).is_none());
        }
    }
}

//! The length of a text on a form.
//!
//! People count visible characters: 葛󠄀 is one although it has two code points, and so is が typed as か and
//! U+3099. So a combining mark (`Mn`, `Me`) or a variation selector counts with its base. A character with
//! its own cell counts: half-width ﾊﾞ is two, as always on Japanese forms.
//!
//! Rejected: grapheme clusters (UAX #29), because ﾊﾞ would be one, and because they need a state machine for
//! scripts and emoji that no form contains. Rejected: UTF-16 units, as browsers count, because 𠮷 would be
//! two.
//!
//! A limit bounds the space of a text, so only the first two marks on a base are free, as far as languages
//! use them. A third mark counts, and so does a mark without a base. A text of length n therefore has at most
//! 3n code points.

use icu_properties::{CodePointMapData, props::GeneralCategory};

use super::characters::{is_plain, is_variation_selector};

/// Free marks on a base: a vowel sign and a tone, or a mark and a selector.
const FREE_MARKS: usize = 2;

/// Counts visible characters: a mark or variation selector counts with its base.
pub fn length(value: &str) -> usize {
    // Before the first base no mark is free.
    let mut marks = FREE_MARKS;
    let mut length = 0;
    for character in value.chars() {
        let mark = !is_plain(character) && is_mark(character);
        marks = if mark { marks + 1 } else { 0 };
        if !mark || marks > FREE_MARKS {
            length += 1;
        }
    }
    length
}

/// Whether the character is drawn on the one before it.
pub(super) fn is_mark(character: char) -> bool {
    let category = || CodePointMapData::<GeneralCategory>::new().get(character);
    is_variation_selector(character)
        || matches!(category(), GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_visible_characters() {
        for (text, expected) in [
            ("", 0),
            ("髙﨑土木", 4),
            ("葛\u{e0100}飾", 2),
            ("か\u{3099}", 1),
            ("が", 1),
            ("𠮷野", 2),
            ("ﾊﾞ", 2),
            ("a b", 3),
            ("☎\u{fe0f}", 1),
            ("1\u{fe0f}\u{20e3}", 1),
            ("e\u{301}\u{e0100}", 1),
            ("\r\n", 2),
            // Devanagari vowel signs with their own cell count.
            ("की", 2),
            // A mark without a base, and many marks on one base.
            ("\u{3099}", 1),
            ("\u{3099}か\u{3099}", 2),
            ("a\u{301}\u{301}\u{301}\u{301}b\u{301}", 4),
        ] {
            assert_eq!(length(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn length_bounds_the_code_points(text in ".*|[aか\u{301}\u{3099}\u{e0100}葛]*") {
            let (counted, all) = (length(&text), text.chars().count());
            prop_assert!(counted <= all && all <= 3 * counted);
        }
    }
}

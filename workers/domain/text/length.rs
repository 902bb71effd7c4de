//! How long a text is on a form.
//!
//! A clerk counts what is seen: 葛󠄀 is one character though it is two code points, and so is が typed as か and U+3099. So a
//! combining mark (`Mn`, `Me`) or a variation selector counts with its base. Everything that takes a cell of its own counts:
//! half-width ﾊﾞ is two, as it always was on Japanese forms. Grapheme clusters (UAX #29) were rejected for this and
//! because they need a state machine for scripts and emoji no form here holds; UTF-16 units, as browsers count, because 𠮷
//! would be two.
//!
//! A limit is there to keep a text in its place, so marks are free only as far as a language uses them: a third mark on
//! one base counts, and so does a mark without a base. A text of length n has therefore at most 3n code points.

use icu_properties::{CodePointMapData, props::GeneralCategory};

use super::faults::{is_plain, is_variation_selector};

/// How many marks on one base do not count: a vowel sign and a tone, or a mark and a variation selector.
const FREE: usize = 2;

/// Counts the characters of a text as a form counts them: a mark or variation selector counts with its base.
pub fn length(value: &str) -> usize {
    // No mark is free before the first base.
    let mut marks = FREE;
    let mut length = 0;
    for character in value.chars() {
        let mark = !is_plain(character) && is_mark(character);
        marks = if mark { marks + 1 } else { 0 };
        if !mark || marks > FREE {
            length += 1;
        }
    }
    length
}

/// Whether the character is drawn upon the one before it.
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
    fn characters_are_counted_as_on_a_form() {
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
            // Devanagari vowel signs that take a cell count.
            ("की", 2),
            // A mark without a base, and a pile of marks.
            ("\u{3099}", 1),
            ("\u{3099}か\u{3099}", 2),
            ("a\u{301}\u{301}\u{301}\u{301}b\u{301}", 4),
        ] {
            assert_eq!(length(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_length_bounds_the_code_points(text in ".*|[aか\u{301}\u{3099}\u{e0100}葛]*") {
            let (counted, all) = (length(&text), text.chars().count());
            prop_assert!(counted <= all && all <= 3 * counted);
        }
    }
}

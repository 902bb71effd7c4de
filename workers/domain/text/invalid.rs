//! Characters that no form field may contain.
//!
//! The character properties come from Unicode (`icu_properties`). Rejected: a hand-written list of ranges. It
//! missed the format characters of music, shorthand and Egyptian, and the ignorable code points from U+E01F0
//! on. These properties are invalid:
//!
//! | [`InvalidKind`] | property |
//! |---|---|
//! | `Control` | `Cc`, `Zl`, `Zp` |
//! | `Direction` | `Bidi_Control` |
//! | `Invisible` | `Default_Ignorable_Code_Point`, other `Cf` except `Prepended_Concatenation_Mark` |
//! | `PrivateUse` | `Co` |
//! | `NotACharacter` | `Noncharacter_Code_Point`, and U+FFFD |
//! | `Unassigned` | any other `Cn`, by the library's Unicode version |
//!
//! The variation selectors U+FE00..FE0F and U+E0100..E01EF are ignorable too, but they select the glyph of a
//! name (葛󠄀), so they are valid. Those of Mongolian are invalid: no name on a Japanese form contains them.
//!
//! Nearly all text of an application is ASCII, kana and unified ideographs. These are matched by range,
//! without a look-up.

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{
        BidiControl, DefaultIgnorableCodePoint, GeneralCategory, NoncharacterCodePoint,
        PrependedConcatenationMark,
    },
};

use super::{
    characters::{is_plain, is_variation_selector},
    length::length,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidKind {
    /// A control character, or a line or paragraph separator.
    Control,
    /// A mark, override or isolate of writing direction: it can reorder a name.
    Direction,
    /// A character without a glyph: two names that look the same could differ.
    Invisible,
    /// Private use (外字): its glyph differs between machines.
    PrivateUse,
    /// A noncharacter, or U+FFFD, which replaces lost text.
    NotACharacter,
    /// A code point without a character: no font has a glyph for it.
    Unassigned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidCharacter {
    pub kind: InvalidKind,
    pub character: char,
    /// Counted from 1 like [`length`](length()): a mark has its base's position.
    pub position: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// No line feed: names, addresses, numbers.
    One,
    /// CR, LF and tabs are valid: remarks.
    Many,
}

/// Finds the first invalid character of a text.
pub fn find_invalid(value: &str, lines: Lines) -> Option<InvalidCharacter> {
    value.char_indices().find_map(|(at, character)| {
        if lines == Lines::Many && matches!(character, '\r' | '\n' | '\t') {
            return None;
        }
        let kind = invalid_kind(character)?;
        Some(InvalidCharacter { kind, character, position: length(&value[..at + character.len_utf8()]) })
    })
}

/// Returns `None` for a valid character.
pub(super) fn invalid_kind(character: char) -> Option<InvalidKind> {
    if is_plain(character) { None } else { looked_up(character) }
}

fn looked_up(character: char) -> Option<InvalidKind> {
    let category = CodePointMapData::<GeneralCategory>::new().get(character);
    let kind = match category {
        GeneralCategory::Control | GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator => {
            InvalidKind::Control
        }
        GeneralCategory::PrivateUse => InvalidKind::PrivateUse,
        _ if character == char::REPLACEMENT_CHARACTER => InvalidKind::NotACharacter,
        _ if is_variation_selector(character) => return None,
        _ if CodePointSetData::new::<BidiControl>().contains(character) => InvalidKind::Direction,
        _ if CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character) => {
            InvalidKind::Invisible
        }
        GeneralCategory::Format
            if !CodePointSetData::new::<PrependedConcatenationMark>().contains(character) =>
        {
            InvalidKind::Invisible
        }
        GeneralCategory::Unassigned
            if CodePointSetData::new::<NoncharacterCodePoint>().contains(character) =>
        {
            InvalidKind::NotACharacter
        }
        GeneralCategory::Unassigned => InvalidKind::Unassigned,
        _ => return None,
    };
    Some(kind)
}

#[cfg(test)]
mod tests {
    use super::{super::characters, *};

    #[test]
    fn finds_invalid_characters_with_their_position() {
        for (text, expected) in [
            ("髙﨑\r\n土木", Some((InvalidKind::Control, 3))),
            ("a\u{b}", Some((InvalidKind::Control, 2))),
            ("\u{85}", Some((InvalidKind::Control, 1))),
            ("𠮷\u{2029}", Some((InvalidKind::Control, 2))),
            ("ab\u{202e}c", Some((InvalidKind::Direction, 3))),
            ("\u{2066}a", Some((InvalidKind::Direction, 1))),
            ("a\u{200b}", Some((InvalidKind::Invisible, 2))),
            ("a\u{feff}", Some((InvalidKind::Invisible, 2))),
            ("\u{e0041}", Some((InvalidKind::Invisible, 1))),
            ("葛\u{180b}", Some((InvalidKind::Invisible, 1))),
            ("\u{e000}", Some((InvalidKind::PrivateUse, 1))),
            ("\u{f0001}", Some((InvalidKind::PrivateUse, 1))),
            ("\u{fffd}", Some((InvalidKind::NotACharacter, 1))),
            ("\u{fdd0}", Some((InvalidKind::NotACharacter, 1))),
            ("\u{1ffff}", Some((InvalidKind::NotACharacter, 1))),
            ("一\u{378}", Some((InvalidKind::Unassigned, 2))),
            ("\u{3fffd}", Some((InvalidKind::Unassigned, 1))),
            ("葛\u{e0100}飾 髙﨑 𠮷 槗 <b>{{ }}", None),
            ("か\u{3099}", None),
            ("☎️①㈱é\u{600}", None),
        ] {
            assert_eq!(
                find_invalid(text, Lines::One).map(|found| (found.kind, found.position)),
                expected,
                "{text:?}"
            );
        }
        assert_eq!(find_invalid("一\r\n二\t", Lines::Many), None);
        assert_eq!(find_invalid("一\u{b}", Lines::Many).map(|found| found.position), Some(2));
    }

    #[test]
    fn positions_count_visible_characters() {
        for (text, position) in [
            ("葛\u{e0100}飾区\u{200b}", 4),
            ("か\u{3099}く\u{e000}", 3),
            ("ﾊﾞ\n", 3),
            ("𠮷野\n", 3),
            // An invalid mark has the position of its base.
            ("山田\u{34f}", 2),
            ("\u{34f}", 1),
        ] {
            assert_eq!(
                find_invalid(text, Lines::One).map(|found| found.position),
                Some(position),
                "{text:?}"
            );
        }
    }

    #[test]
    fn plain_characters_are_valid_and_not_marks() {
        let plain = || (char::MIN..=char::MAX).filter(|&character| is_plain(character));
        assert_eq!(plain().find(|&character| looked_up(character).is_some()), None);
        assert_eq!(plain().find(|&character| super::super::length::is_mark(character)), None);
    }

    /// The hand-written ranges that the properties replaced.
    fn by_ranges(character: char) -> Option<InvalidKind> {
        Some(match character {
            _ if characters::is_control(character) => InvalidKind::Control,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                InvalidKind::Direction
            }
            '\u{ad}'
            | '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200d}'
            | '\u{2060}'..='\u{2065}'
            | '\u{206a}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e00ff}' => InvalidKind::Invisible,
            '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{ffffd}' | '\u{100000}'..='\u{10fffd}' => {
                InvalidKind::PrivateUse
            }
            '\u{fffd}' | '\u{fdd0}'..='\u{fdef}' => InvalidKind::NotACharacter,
            _ if u32::from(character) & 0xfffe == 0xfffe => InvalidKind::NotACharacter,
            _ => return None,
        })
    }

    #[test]
    fn properties_reject_all_that_the_ranges_rejected() {
        let mut more: Vec<(u32, u32)> = Vec::new();
        for character in char::MIN..=char::MAX {
            match (by_ranges(character), invalid_kind(character)) {
                (before, now) if before == now => {}
                (None, Some(InvalidKind::Invisible)) => match more.last_mut() {
                    Some((_, last)) if *last + 1 == u32::from(character) => *last += 1,
                    _ => more.push((u32::from(character), u32::from(character))),
                },
                (None, Some(InvalidKind::Unassigned)) => {}
                difference => panic!("{character:?}: {difference:?}"),
            }
        }
        let intended = [
            (0xfff0, 0xfff8),   // specials not assigned yet
            (0x13430, 0x1343f), // Egyptian hieroglyph joiners
            (0x1bca0, 0x1bca3), // shorthand format controls
            (0x1d173, 0x1d17a), // musical beams and slurs
            (0xe01f0, 0xe0fff), // ignorable, not assigned yet
        ];
        assert_eq!(more, intended);
    }
}

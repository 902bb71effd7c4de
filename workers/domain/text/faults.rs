//! Characters that no form field can hold.
//!
//! What a character is, is knowledge of Unicode and comes from its properties (`icu_properties`): a hand-written list of
//! ranges was here before, and had missed the format characters of music, shorthand and Egyptian, and the ignorable code
//! points from U+E01F0 on. What is decided here is which properties are faults:
//!
//! | [`Fault`] | property |
//! |---|---|
//! | `Control` | `Cc`, `Zl`, `Zp` |
//! | `Direction` | `Bidi_Control` |
//! | `Invisible` | `Default_Ignorable_Code_Point`, and the other `Cf` that have no glyph (not so `Prepended_Concatenation_Mark`) |
//! | `PrivateUse` | `Co` |
//! | `NotACharacter` | `Noncharacter_Code_Point`, and U+FFFD |
//! | `Unassigned` | `Cn` otherwise, as of the Unicode version of the library |
//!
//! The variation selectors U+FE00..FE0F and U+E0100..E01EF are ignorable too, but choose the glyph of a name (葛󠄀): they are
//! text. Those of Mongolian are not: no name on a Japanese form has them.
//!
//! Nearly all text of an application is ASCII, kana and unified ideographs, so these are known by range and never looked up.

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{
        BidiControl, DefaultIgnorableCodePoint, GeneralCategory, NoncharacterCodePoint,
        PrependedConcatenationMark,
    },
};

use super::length;

/// What a character that no form field can hold is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A control character, or a line or paragraph separator.
    Control,
    /// A mark, override or isolate of writing direction: it can show a name in another order than it is stored.
    Direction,
    /// A character without a glyph: two names that look the same would differ.
    Invisible,
    /// Private use (外字): every machine shows another glyph, or none.
    PrivateUse,
    /// A code point that is not a character, or U+FFFD, which says that text was lost on the way.
    NotACharacter,
    /// A code point that is no character yet: no font can have a glyph for it.
    Unassigned,
}

/// The first [`Fault`] of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub fault: Fault,
    /// The character.
    pub character: char,
    /// Index of the character within the text, from 1, counted as [`length()`] counts: a mark has the position of its base.
    pub position: usize,
}

/// Whether a field may hold more than one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// Names, addresses, numbers: never a line feed.
    One,
    /// Remarks: CR and LF and tabs are text.
    Many,
}

/// Finds the first character that a field cannot hold. Variation selectors are fine: they choose a name's glyph.
pub fn fault(value: &str, lines: Lines) -> Option<Found> {
    value.char_indices().find_map(|(at, character)| {
        if lines == Lines::Many && matches!(character, '\r' | '\n' | '\t') {
            return None;
        }
        let fault = fault_of(character)?;
        Some(Found { fault, character, position: length(&value[..at + character.len_utf8()]) })
    })
}

pub(super) fn is_control(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// Whether the character only chooses the glyph of the one before it.
pub(super) fn is_variation_selector(character: char) -> bool {
    matches!(character, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Whether the character is of those that make up nearly all text: without fault, and one character to a reader.
#[inline]
pub(super) fn is_plain(character: char) -> bool {
    matches!(
        character,
        ' '..='~'
            | '\u{3041}'..='\u{3096}'
            | '\u{309b}'..='\u{30ff}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{3000}'..='\u{3029}'
            | '\u{3030}'..='\u{303e}'
            | '\u{ff01}'..='\u{ff9f}'
            | '\u{3400}'..='\u{4dbf}'
            | '\u{20000}'..='\u{2a6df}'
    )
}

/// The fault of a character; `None` when a field can hold it.
pub(super) fn fault_of(character: char) -> Option<Fault> {
    if is_plain(character) { None } else { looked_up(character) }
}

fn looked_up(character: char) -> Option<Fault> {
    let category = CodePointMapData::<GeneralCategory>::new().get(character);
    let fault = match category {
        GeneralCategory::Control | GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator => {
            Fault::Control
        }
        GeneralCategory::PrivateUse => Fault::PrivateUse,
        _ if character == char::REPLACEMENT_CHARACTER => Fault::NotACharacter,
        _ if is_variation_selector(character) => return None,
        _ if CodePointSetData::new::<BidiControl>().contains(character) => Fault::Direction,
        _ if CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character) => Fault::Invisible,
        GeneralCategory::Format
            if !CodePointSetData::new::<PrependedConcatenationMark>().contains(character) =>
        {
            Fault::Invisible
        }
        GeneralCategory::Unassigned
            if CodePointSetData::new::<NoncharacterCodePoint>().contains(character) =>
        {
            Fault::NotACharacter
        }
        GeneralCategory::Unassigned => Fault::Unassigned,
        _ => return None,
    };
    Some(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_found_with_their_position() {
        for (text, expected) in [
            ("髙﨑\r\n土木", Some((Fault::Control, 3))),
            ("a\u{b}", Some((Fault::Control, 2))),
            ("\u{85}", Some((Fault::Control, 1))),
            ("𠮷\u{2029}", Some((Fault::Control, 2))),
            ("ab\u{202e}c", Some((Fault::Direction, 3))),
            ("\u{2066}a", Some((Fault::Direction, 1))),
            ("a\u{200b}", Some((Fault::Invisible, 2))),
            ("a\u{feff}", Some((Fault::Invisible, 2))),
            ("\u{e0041}", Some((Fault::Invisible, 1))),
            ("葛\u{180b}", Some((Fault::Invisible, 1))),
            ("\u{e000}", Some((Fault::PrivateUse, 1))),
            ("\u{f0001}", Some((Fault::PrivateUse, 1))),
            ("\u{fffd}", Some((Fault::NotACharacter, 1))),
            ("\u{fdd0}", Some((Fault::NotACharacter, 1))),
            ("\u{1ffff}", Some((Fault::NotACharacter, 1))),
            ("一\u{378}", Some((Fault::Unassigned, 2))),
            ("\u{3fffd}", Some((Fault::Unassigned, 1))),
            ("葛\u{e0100}飾 髙﨑 𠮷 槗 <b>{{ }}", None),
            ("か\u{3099}", None),
            ("☎️①㈱é\u{600}", None),
        ] {
            assert_eq!(
                fault(text, Lines::One).map(|found| (found.fault, found.position)),
                expected,
                "{text:?}"
            );
        }
        assert_eq!(fault("一\r\n二\t", Lines::Many), None);
        assert_eq!(fault("一\u{b}", Lines::Many).map(|found| found.position), Some(2));
    }

    #[test]
    fn a_position_is_that_a_person_counts_to() {
        for (text, position) in [
            ("葛\u{e0100}飾区\u{200b}", 4),
            ("か\u{3099}く\u{e000}", 3),
            ("ﾊﾞ\n", 3),
            ("𠮷野\n", 3),
            // A mark that is a fault itself has the position of its base.
            ("山田\u{34f}", 2),
            ("\u{34f}", 1),
        ] {
            assert_eq!(fault(text, Lines::One).map(|found| found.position), Some(position), "{text:?}");
        }
    }

    #[test]
    fn plain_characters_need_no_look_up() {
        let plain = || (char::MIN..=char::MAX).filter(|&character| is_plain(character));
        assert_eq!(plain().find(|&character| looked_up(character).is_some()), None);
        assert_eq!(plain().find(|&character| super::super::length::is_mark(character)), None);
    }

    /// What was refused before Unicode's properties were asked.
    fn by_ranges(character: char) -> Option<Fault> {
        Some(match character {
            _ if is_control(character) => Fault::Control,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                Fault::Direction
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
            | '\u{e0000}'..='\u{e00ff}' => Fault::Invisible,
            '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{ffffd}' | '\u{100000}'..='\u{10fffd}' => {
                Fault::PrivateUse
            }
            '\u{fffd}' | '\u{fdd0}'..='\u{fdef}' => Fault::NotACharacter,
            _ if u32::from(character) & 0xfffe == 0xfffe => Fault::NotACharacter,
            _ => return None,
        })
    }

    #[test]
    fn the_properties_refuse_all_that_the_ranges_refused() {
        let mut more: Vec<(u32, u32)> = Vec::new();
        for character in char::MIN..=char::MAX {
            match (by_ranges(character), fault_of(character)) {
                (before, now) if before == now => {}
                (None, Some(Fault::Invisible)) => match more.last_mut() {
                    Some((_, last)) if *last + 1 == u32::from(character) => *last += 1,
                    _ => more.push((u32::from(character), u32::from(character))),
                },
                (None, Some(Fault::Unassigned)) => {}
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

//! The space between two neighbours, wherever the line breaks.
//!
//! Numbers take no Latin gap before what they count: 8年, 12,345,000円, 3工区, 3か月 and 第34号 are Japanese
//! expressions written with digits, and a gap would divide them. Every ideograph after a digit counts as a
//! unit, because a list of units is never complete. Other digits (3の, 図3) and all words take the gap.
//! Nothing is added beside punctuation or a space: those have their own.

use super::class::Class;
use super::glyph::{BLANK, LineGlyph};

/// A quarter of an em looks too wide in forms, where most words are codes.
const LATIN: i16 = 175;

/// How far the Latin gap shrinks, and grows (to a quarter of an em).
const LATIN_SQUEEZE: i16 = 75;
const LATIN_STRETCH: i16 = 75;

/// How far a word space shrinks and grows.
const SPACE_SQUEEZE: i16 = 50;
const SPACE_STRETCH: i16 = 250;

/// How far a blank shrinks: a comma or bracket keeps two fifths, a full stop three.
const BLANK_SQUEEZE: i16 = 300;
const STOP_SQUEEZE: i16 = 200;

/// How far the blank after punctuation grows.
const BLANK_STRETCH: i16 = 50;

pub(super) fn set(glyphs: &mut [LineGlyph]) {
    // Backwards: whether a number takes a gap before it depends on what follows it.
    let mut counts = false;
    for at in (1..glyphs.len()).rev() {
        let (previous, next) = (glyphs[at - 1], glyphs[at]);
        if previous.class.is(Class::DIGIT) {
            if !next.class.is(Class::DIGIT) && !is_separator(next.drawn.character) {
                counts = next.class.is(Class::IDEOGRAPH.or(Class::COUNTER));
            }
        } else if !is_separator(previous.drawn.character) {
            counts &= next.class.is(Class::DIGIT);
        }
        let is_counted = counts || (previous.drawn.character == '第' && next.class.is(Class::DIGIT));
        let (after, squeeze, stretch) = between(&previous, &next, is_counted);
        // A mark without advance has no width to give to the bracket after it.
        let bears = i32::from(previous.advance) + i32::from(after) >= i32::from(squeeze);
        let (after, squeeze, stretch) = if bears { (after, squeeze, stretch) } else { (0, 0, 0) };
        (glyphs[at - 1].after, glyphs[at - 1].squeeze, glyphs[at - 1].stretch) = (after, squeeze, stretch);
    }
}

fn is_separator(character: char) -> bool {
    matches!(character, ',' | '.')
}

/// The gap, how far it shrinks and how far it grows.
fn between(previous: &LineGlyph, next: &LineGlyph, is_counted: bool) -> (i16, i16, i16) {
    let (one, two) = (previous.class, next.class);
    let (closes, opens) = (previous.trail(), next.lead());
    if closes > 0 && opens > 0 {
        return (-BLANK, BLANK_SQUEEZE, 0);
    }
    if closes > 0 {
        return match (two.is(Class::CLOSING.or(Class::CENTRED)), one.is(Class::STOP)) {
            (true, _) => (-BLANK, 0, 0),
            (false, true) => (0, STOP_SQUEEZE, BLANK_STRETCH),
            (false, false) => (0, BLANK_SQUEEZE, BLANK_STRETCH),
        };
    }
    if opens > 0 {
        return if one.is(Class::OPENING.or(Class::CENTRED)) {
            (-BLANK, 0, 0)
        } else {
            (0, BLANK_SQUEEZE, 0)
        };
    }
    if previous.drawn.character == ' ' {
        return if two.is(Class::SPACE) { (0, 0, 0) } else { (0, SPACE_SQUEEZE, SPACE_STRETCH) };
    }
    let word = Class::LATIN.or(Class::DIGIT);
    let meet = (one.is(Class::JAPANESE) && two.is(word)) || (one.is(word) && two.is(Class::JAPANESE));
    if meet && !is_counted { (LATIN, LATIN_SQUEEZE, LATIN_STRETCH) } else { (0, 0, 0) }
}

//! Lines of Japanese text: where they break, and where each letter of them stands.
//!
//! Everything is counted in whole thousandths of an em, the unit in which a PDF states advances, so that layout and
//! viewer add up the same integers. Work goes in this order, each step linear in the text:
//!
//! 1. **Between letters** ([`gaps`]): what two neighbours say about the space between them. Adjacent punctuation
//!    shares its blank (」（ and 。」 are half an em narrower), and between Japanese and Latin letters there is a sixth
//!    of an em (和欧間).
//! 2. **Breaks** ([`breaks`]): UAX 14 in its strict form with the rules of the house on top.
//! 3. **Fitting** ([`fit`]): the longest line that fits. Where the next letter may not begin a line, punctuation is
//!    squeezed to take it in (追い込み) before letters are pushed out (追い出し).
//! 4. **Setting** ([`set`]): the squeeze, or the stretch of a justified line, is spread over the places that bear it.
//!
//! Punctuation is **squeezed, not hung**: a hung 。 stands in the margin, which a table cell or a frame does not have.
//! At the ends of a line the blank of a bracket or full stop always hangs out: an opening bracket begins flush
//! (天付き), a closing one ends flush, and right-aligned and centred lines are aligned by their ink. A blank is only
//! ever taken where the face leaves it: the ink of the glyph is looked at, so faces with narrow punctuation are safe.
//!
//! All of these spaces are part of the advance of the letter before them ([`display::Letter::pad`]): readers that
//! guess words from gaps see none. Pads come in steps of [`STEP`], because each different one is a glyph in the file.
//!
//! Below four letters of width the kinsoku rules give way where they leave nothing to cut; a line always takes at
//! least one letter, and nothing is ever wider than its room.
//!
//! Rejected: hanging punctuation (see above); word segmentation for better breaks in names (`icu_segmenter`'s
//! Japanese dictionary is megabytes and still cuts names of works in the wrong places); Knuth-Plass over whole
//! paragraphs (Japanese breaks nearly anywhere: the greedy line is within a letter of the best one).

mod breaks;
mod class;
mod fit;
mod gaps;
mod set;
#[cfg(test)]
mod tests;

use std::ops::Range;

#[cfg(test)]
pub(super) use class::{never_first, never_last};
pub(super) use set::{in_word, set};

use super::display;
use class::Class;

/// The blank of full-width punctuation, on one side.
const BLANK: i16 = 500;

/// Pads are multiples of this.
const STEP: i16 = 25;

/// A letter in a face, and the space between it and the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letter {
    /// What is drawn. Its pad is known when its line is [`set`].
    pub(super) drawn: display::Letter,
    /// Number of the face.
    pub(super) face: u8,
    /// Advance without pad.
    pub(super) advance: u16,
    class: Class,
    /// What may be taken from its blank side: [`BLANK`] or nothing.
    blank: i16,
    /// Space to the next letter; negative where blanks overlap.
    after: i16,
    /// How much that may shrink.
    squeeze: i16,
    /// How much that may grow.
    stretch: i16,
}

impl Letter {
    /// A letter of `advance`; `ink` says where its black begins and ends.
    pub(super) fn new(
        drawn: display::Letter,
        face: u8,
        advance: u16,
        ink: impl FnOnce() -> (i16, i16),
    ) -> Self {
        let mut class = Class::of(drawn.character);
        let mut blank = 0;
        if advance >= 1000 {
            // Some faces draw Greek, Cyrillic and quotation marks in a full square.
            class = class.without(Class::LATIN.or(Class::NARROW));
            if advance == 1000 && class.is(Class::OPENING.or(Class::CLOSING)) {
                let (left, right) = ink();
                let free = if class.is(Class::OPENING) { left } else { 1000 - right };
                blank = if free >= BLANK - STEP { BLANK } else { 0 };
            }
        }
        Self { drawn, face, advance, class, blank, after: 0, squeeze: 0, stretch: 0 }
    }

    fn is_space(&self) -> bool {
        self.class.is(Class::SPACE)
    }

    /// What hangs out when it begins a line.
    fn lead(&self) -> i16 {
        if self.class.is(Class::OPENING) { self.blank } else { 0 }
    }

    /// What hangs out when it ends a line.
    fn trail(&self) -> i16 {
        if self.class.is(Class::CLOSING) { self.blank } else { 0 }
    }

    /// Width as far as the next letter.
    fn step(&self) -> i64 {
        i64::from(self.advance) + i64::from(self.after)
    }

    /// Width at the end of a line.
    fn closed(&self) -> i64 {
        i64::from(self.advance) - i64::from(self.trail())
    }
}

/// The line is too narrow for a single letter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooNarrow;

/// The room of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Width of the first line.
    pub(super) first: i64,
    /// Width of the others.
    pub(super) rest: i64,
    /// The text is a name: it breaks where it has parts.
    pub(super) is_name: bool,
}

/// Breaks letters into lines.
///
/// The ranges leave out the spaces at the end of a line; an empty text is one empty line.
pub(super) fn broken(letters: &mut [Letter], room: Room) -> Result<Vec<Range<usize>>, TooNarrow> {
    gaps::find(letters);
    let letters = &*letters;
    let whole = trimmed(letters, 0, letters.len());
    if fit::width(&letters[whole.clone()]) <= room.first {
        return Ok(vec![whole]);
    }
    let allowed = breaks::find(letters);
    let mut lines = Vec::new();
    let mut start = 0;
    while start < letters.len() {
        let width = if lines.is_empty() { room.first } else { room.rest };
        let end = fit::line_end(letters, &allowed, start, width, room.is_name)?;
        lines.push(trimmed(letters, start, end));
        start = end;
    }
    Ok(lines)
}

fn trimmed(letters: &[Letter], start: usize, mut end: usize) -> Range<usize> {
    while end > start && letters[end - 1].is_space() {
        end -= 1;
    }
    start..end
}

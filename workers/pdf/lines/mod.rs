//! Lines of Japanese text: where they break, and the position of each glyph.
//!
//! All widths are whole thousandths of an em, the unit in which a PDF states advances, so layout and viewer
//! add up the same integers. The steps, each linear in the text:
//!
//! 1. **Gaps** ([`gaps`]): the space between two neighbours. Adjacent punctuation shares its blank (」（ and
//!    。」 are half an em narrower), and between Japanese and Latin letters there is a sixth of an em
//!    (和欧間).
//! 2. **Breaks** ([`breaks`]): UAX 14 in its strict form, with additional rules for business documents.
//! 3. **Fitting** ([`fit`]): the longest line that fits. If the next glyph may not begin a line, punctuation
//!    is squeezed to take it in (追い込み) before glyphs are pushed out (追い出し).
//! 4. **Justification** ([`justify`]): the squeeze of a line, or its stretch, is distributed over its gaps.
//!
//! Punctuation is **squeezed, not hung**: a hung 。 lies in the margin, and a table cell or a frame has none.
//! At the ends of a line the blank of a bracket or full stop always hangs out: an opening bracket begins
//! flush (天付き), a closing one ends flush, and right-aligned and centred lines are aligned by their ink. A
//! blank is only taken if the outline of the glyph leaves it free, so faces with narrow punctuation are safe.
//!
//! All of these spaces are part of the advance of the glyph before them (`Glyph::pad`), so readers that infer
//! words from gaps see none. Pads are multiples of `STEP`, because each different pad is a glyph in the file.
//!
//! On lines narrower than four glyphs, the line-breaking rules give way if they leave no place to cut. A line
//! takes at least one glyph, and is never wider than its room.
//!
//! Rejected: hanging punctuation (see above); word segmentation for better breaks in names (`icu_segmenter`'s
//! Japanese dictionary has megabytes and still cuts names of works in the wrong places); Knuth-Plass over
//! whole paragraphs (Japanese breaks nearly anywhere: the greedy line is within a glyph of the best one).

mod breaks;
mod class;
mod fit;
mod gaps;
mod glyph;
mod justify;
#[cfg(test)]
mod tests;

use std::ops::Range;

#[cfg(test)]
pub(crate) use class::{never_first, never_last};
pub(crate) use fit::TooNarrow;
pub(crate) use glyph::LineGlyph;
pub(crate) use justify::{in_word, justify};

/// The width available to a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Width of the first line.
    pub(crate) first: i64,
    /// Width of the other lines.
    pub(crate) rest: i64,
    /// The text is a name: prefer breaks between its parts.
    pub(crate) is_name: bool,
}

/// Breaks glyphs into lines.
///
/// The ranges exclude the spaces at the end of a line. An empty text is one empty line.
pub(crate) fn break_lines(glyphs: &mut [LineGlyph], room: Room) -> Result<Vec<Range<usize>>, TooNarrow> {
    gaps::set(glyphs);
    let glyphs = &*glyphs;
    let whole = trimmed(glyphs, 0, glyphs.len());
    if fit::width(&glyphs[whole.clone()]) <= room.first {
        return Ok(vec![whole]);
    }
    let allowed = breaks::find(glyphs);
    let mut lines = Vec::new();
    let mut start = 0;
    while start < glyphs.len() {
        let width = if lines.is_empty() { room.first } else { room.rest };
        let end = fit::line_end(glyphs, &allowed, start, width, room.is_name)?;
        lines.push(trimmed(glyphs, start, end));
        start = end;
    }
    Ok(lines)
}

fn trimmed(glyphs: &[LineGlyph], start: usize, mut end: usize) -> Range<usize> {
    while end > start && glyphs[end - 1].is_space() {
        end -= 1;
    }
    start..end
}

//! Letter-spaced text: a fixed space (字間), or spread over a width (均等割付).
//!
//! The space is part of the glyphs (`Glyph::pad`), not between them: a spaced word is copied as one word,
//! while readers take gaps of a tenth of an em and more for spaces. Tracked lines are those of an ordinary
//! paragraph in a narrower column, narrowed until they fit with their space, so all rules of line breaking
//! apply.

use super::piece::{EPSILON, Layout, Piece, offset, overflow};
use crate::display_list::{Element, Owner};
use crate::error::PdfError;
use crate::markup::{Align, Position, Text};

/// Factor by which the column is narrowed if the tracked lines do not fit.
const NARROWER: f64 = 0.93;

/// Wider than any line, in points.
const ENDLESS: f64 = 1e6;

impl Layout<'_> {
    /// A paragraph with `space` more points between any two glyphs.
    pub(super) fn tracked(
        &mut self,
        text: &Text,
        space: f64,
        owner: Owner,
        position: Position,
        width: f64,
    ) -> Result<Vec<Piece>, PdfError> {
        let size = text.style.size;
        let pad = pad(space, size).ok_or_else(|| too_far_apart(position))?;
        let plain = Text { align: Align::Left, ..text.clone() };
        let mut room = width;
        loop {
            let mut pieces = self.paragraph(&plain, owner, position, room)?;
            for piece in &mut pieces {
                add_pad(&mut piece.elements, pad);
            }
            if pieces.iter().all(|piece| end(&piece.elements) <= width + EPSILON) {
                for piece in &mut pieces {
                    let left = offset(text.align, width, end(&piece.elements));
                    shift(&mut piece.elements, left);
                }
                return Ok(pieces);
            }
            // Terminates: a column narrower than a glyph is an error of the paragraph.
            room *= NARROWER;
        }
    }

    /// Lines whose glyphs are spread over `wide` points. A single glyph is centred.
    pub(super) fn spread(
        &mut self,
        text: &Text,
        wide: f64,
        owner: Owner,
        position: Position,
        width: f64,
    ) -> Result<Vec<Piece>, PdfError> {
        if wide > width + EPSILON {
            let problem = format!("attribute spread is {wide:.1}pt; the cell is {width:.1}pt wide");
            return Err(overflow(position, problem));
        }
        let plain = Text { align: Align::Left, ..text.clone() };
        let mut pieces = self.paragraph(&plain, owner, position, ENDLESS)?;
        let left = offset(text.align, width, wide);
        for piece in &mut pieces {
            let slack = wide - end(&piece.elements);
            if slack < -EPSILON {
                let natural = wide - slack;
                let problem =
                    format!("the text is {natural:.1}pt wide, more than its attribute spread of {wide:.1}pt");
                return Err(overflow(position, problem));
            }
            let gaps = u32::try_from(count_glyphs(&piece.elements).saturating_sub(1)).map_or(0.0, f64::from);
            let pad = if gaps > 0.0 { pad(slack / gaps, text.style.size) } else { Some(0) };
            add_pad(&mut piece.elements, pad.ok_or_else(|| too_far_apart(position))?);
            let inner = if gaps > 0.0 { 0.0 } else { slack / 2.0 };
            shift(&mut piece.elements, left + inner);
        }
        Ok(pieces)
    }
}

fn too_far_apart(position: Position) -> PdfError {
    overflow(position, "the space between glyphs is more than 30em")
}

/// Points in 1/1000 em, rounded down; `None` above 30 em.
#[expect(clippy::cast_possible_truncation, reason = "checked against the range")]
fn pad(space: f64, size: f64) -> Option<i32> {
    let thousandths = (space / size * 1000.0 + EPSILON).floor();
    (0.0..=30_000.0).contains(&thousandths).then_some(thousandths as i32)
}

fn count_glyphs(elements: &[Element]) -> usize {
    let count = |element: &Element| if let Element::Text(run) = element { run.glyphs.len() } else { 0 };
    elements.iter().map(count).sum()
}

fn end(elements: &[Element]) -> f64 {
    let right = |element: &Element| if let Element::Text(run) = element { run.at.0 + run.width } else { 0.0 };
    elements.iter().map(right).fold(0.0, f64::max)
}

/// Adds space after each glyph of a line but the last.
fn add_pad(elements: &mut [Element], pad: i32) {
    let mut left = count_glyphs(elements);
    let mut x = 0.0;
    for element in elements {
        let Element::Text(run) = element else { continue };
        run.at.0 += x;
        let space = f64::from(pad) * run.size / 1000.0;
        for glyph in &mut run.glyphs {
            left -= 1;
            if left > 0 {
                glyph.pad = (i32::from(glyph.pad) + pad).try_into().unwrap_or(glyph.pad);
                run.width += space;
                x += space;
            }
        }
    }
}

fn shift(elements: &mut [Element], by: f64) {
    for element in elements {
        if let Element::Text(run) = element {
            run.at.0 += by;
        }
    }
}

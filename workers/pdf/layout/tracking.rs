//! Letter-spaced text: 字間 and 均等割付.
//!
//! The space is part of the letters ([`Letter::pad`](crate::display::Letter)), not between them: a word of
//! spaced letters is copied as one word, while gaps of a tenth of an em and more are taken for spaces. Lines are
//! those of an ordinary paragraph that is laid out narrower, until they fit with their letters apart: so every rule
//! of line breaking holds here too.

use super::{EPSILON, Layout, Piece, Position, offset, overflow};
use crate::PdfError;
use crate::display::{Element, Place};
use crate::markup::{Align, Text};

/// What a room is narrowed to when letters apart do not fit into it.
const NARROWER: f64 = 0.93;

/// Wider than any line, points.
const ENDLESS: f64 = 1e6;

impl Layout<'_> {
    /// A paragraph with `space` points more between any two letters.
    pub(super) fn tracked(
        &mut self,
        text: &Text,
        space: f64,
        place: Place,
        position: Position,
        width: f64,
    ) -> Result<Vec<Piece>, PdfError> {
        let size = text.letters.size;
        let pad = pad(space, size)
            .ok_or_else(|| overflow(position, "letters stand further apart than a line is wide"))?;
        let plain = Text { align: Align::Left, ..text.clone() };
        let mut room = width;
        loop {
            let mut pieces = self.paragraph(&plain, place, position, room)?;
            for piece in &mut pieces {
                apart(&mut piece.elements, pad);
            }
            if pieces.iter().all(|piece| end(&piece.elements) <= width + EPSILON) {
                for piece in &mut pieces {
                    align(&mut piece.elements, text.align, width);
                }
                return Ok(pieces);
            }
            // Ends: a room narrower than a letter is an error of the paragraph.
            room *= NARROWER;
        }
    }

    /// Lines whose letters are apart so far that each line is `wide` points; a letter alone stands in the middle.
    pub(super) fn spread(
        &mut self,
        text: &Text,
        wide: f64,
        place: Place,
        position: Position,
        width: f64,
    ) -> Result<Vec<Piece>, PdfError> {
        if wide > width + EPSILON {
            return Err(overflow(position, "spread letters are wider than their cell"));
        }
        let plain = Text { align: Align::Left, ..text.clone() };
        let mut pieces = self.paragraph(&plain, place, position, ENDLESS)?;
        let left = offset(text.align, width, wide);
        for piece in &mut pieces {
            let slack = wide - end(&piece.elements);
            if slack < -EPSILON {
                return Err(overflow(position, "letters are wider than the width they are spread over"));
            }
            let gaps = u32::try_from(letters(&piece.elements).saturating_sub(1)).map_or(0.0, f64::from);
            let pad = if gaps > 0.0 { pad(slack / gaps, text.letters.size) } else { Some(0) };
            apart(
                &mut piece.elements,
                pad.ok_or_else(|| overflow(position, "letters stand further apart than a line is wide"))?,
            );
            let inner = if gaps > 0.0 { 0.0 } else { slack / 2.0 };
            shift(&mut piece.elements, left + inner);
        }
        Ok(pieces)
    }
}

/// Points in 1/1000 em, rounded down.
#[expect(clippy::cast_possible_truncation, reason = "checked against the range")]
fn pad(space: f64, size: f64) -> Option<i32> {
    let thousandths = (space / size * 1000.0 + EPSILON).floor();
    (0.0..=30_000.0).contains(&thousandths).then_some(thousandths as i32)
}

fn letters(elements: &[Element]) -> usize {
    let count = |element: &Element| if let Element::Text(run) = element { run.letters.len() } else { 0 };
    elements.iter().map(count).sum()
}

/// The right end of a line.
fn end(elements: &[Element]) -> f64 {
    let right = |element: &Element| if let Element::Text(run) = element { run.at.0 + run.width } else { 0.0 };
    elements.iter().map(right).fold(0.0, f64::max)
}

/// Moves the letters of a line apart.
fn apart(elements: &mut [Element], pad: i32) {
    let mut left = letters(elements);
    let mut x = 0.0;
    for element in elements {
        let Element::Text(run) = element else { continue };
        run.at.0 += x;
        let space = f64::from(pad) * run.size / 1000.0;
        for letter in &mut run.letters {
            left -= 1;
            if left > 0 {
                letter.pad = (i32::from(letter.pad) + pad).try_into().unwrap_or(letter.pad);
                run.width += space;
                x += space;
            }
        }
    }
}

fn align(elements: &mut [Element], align: Align, width: f64) {
    let slack = width - end(elements);
    match align {
        Align::Left | Align::Justify => {}
        Align::Center => shift(elements, slack / 2.0),
        Align::Right => shift(elements, slack),
    }
}

fn shift(elements: &mut [Element], by: f64) {
    for element in elements {
        if let Element::Text(run) = element {
            run.at.0 += by;
        }
    }
}

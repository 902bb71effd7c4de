//! Rules, frames and keys.

use super::paragraph::{measured, run};
use super::{Block, EPSILON, Layout, Letters, Piece, Position, overflow};
use crate::PdfError;
use crate::display::{Element, Ink, Letter, Place, Tag};

/// The gap between groups of a key, in 1/1000 em.
const KEY_GAP: i16 = 450;

/// A straight line.
pub(super) fn line(from: (f64, f64), to: (f64, f64), width: f64, ink: Ink) -> Element {
    Element::Line { from, to, width, ink }
}

/// A horizontal line across the width.
pub(super) fn rule(position: Position, weight: f64, ink: Ink, width: f64) -> Piece {
    let elements = vec![line((0.0, weight / 2.0), (width, weight / 2.0), weight, ink)];
    Piece { position, before: 0.0, height: weight, keep: false, elements, at_top: Vec::new() }
}

/// Nothing, of some height.
pub(super) fn space(position: Position, height: f64) -> Piece {
    Piece { position, before: 0.0, height, keep: false, elements: Vec::new(), at_top: Vec::new() }
}

impl Layout<'_> {
    /// A frame around blocks.
    pub(super) fn frame(
        &mut self,
        position: Position,
        border: f64,
        tint: bool,
        padding: f64,
        content: &[Block],
        width: f64,
    ) -> Result<Piece, PdfError> {
        if width <= 2.0 * padding {
            return Err(overflow(position, "a box is narrower than its padding"));
        }
        // An empty box is an ornament.
        let node = if content.is_empty() { self.around } else { self.part(Tag::Division) };
        let (tall, content) = self.within(node, |layout| layout.stack(content, width - 2.0 * padding))?;
        let height = tall + 2.0 * padding;
        let mut elements = Vec::new();
        if tint {
            elements.push(Element::Fill { at: (0.0, 0.0), size: (width, height), ink: Ink::Tint });
        }
        if border > 0.0 {
            elements.extend(outline((0.0, 0.0), (width, height), border, Ink::Black));
        }
        elements.extend(content.into_iter().map(|element| element.moved(padding, padding)));
        Ok(Piece { position, before: 0.0, height, keep: false, elements, at_top: Vec::new() })
    }

    /// The key in a box, in groups. The gaps are part of the letters before them, so that the key is copied as one
    /// word.
    pub(super) fn key(
        &mut self,
        position: Position,
        text: &str,
        group: usize,
        letters: Letters,
        width: f64,
    ) -> Result<Piece, PdfError> {
        let place = Place::Node(self.part(Tag::Key));
        let (across, along) = (letters.size * 0.55, letters.size * 0.38);
        let height = letters.size + 2.0 * along;
        let characters: Vec<char> = text.chars().collect();
        let mut runs = Vec::new();
        let mut x = across;
        for (at, character) in characters.iter().enumerate() {
            let (face, advance) = measured(self.fonts, letters.style, *character, letters.size)?;
            let ends_group = (at + 1).is_multiple_of(group) && at + 1 < characters.len();
            let pad = if ends_group { KEY_GAP } else { 0 };
            let letter = Letter { pad, ..Letter::plain(*character) };
            let advance = advance + f64::from(pad) * letters.size / 1000.0;
            match runs.last_mut() {
                Some(Element::Text(run)) if run.face == face => {
                    run.letters.push(letter);
                    run.width += advance;
                }
                _ => runs.push(run(
                    vec![letter],
                    face,
                    (x, along + letters.size * 0.87),
                    letters,
                    advance,
                    place,
                )),
            }
            x += advance;
        }
        let wide = x + across;
        if wide > width + EPSILON {
            return Err(overflow(position, "a key is wider than its place"));
        }
        let mut elements = outline((0.0, 0.0), (wide, height), 1.0, Ink::Accent);
        elements.append(&mut runs);
        Ok(Piece { position, before: 0.0, height, keep: false, elements, at_top: Vec::new() })
    }
}

/// Four strokes.
fn outline((x, y): (f64, f64), (wide, tall): (f64, f64), width: f64, ink: Ink) -> Vec<Element> {
    // The horizontal strokes run half a stroke further, so that corners are closed.
    let half = width / 2.0;
    vec![
        line((x - half, y), (x + wide + half, y), width, ink),
        line((x - half, y + tall), (x + wide + half, y + tall), width, ink),
        line((x, y), (x, y + tall), width, ink),
        line((x + wide, y), (x + wide, y + tall), width, ink),
    ]
}

//! Lines, frames and keys.

use super::paragraph::{measure, run};
use super::piece::{Layout, Piece, check_width, moved, overflow};
use crate::display_list::{Element, Glyph, Ink, Owner, Tag};
use crate::error::PdfError;
use crate::markup::{Block, Position, TextStyle};

/// The gap between groups of a key, in 1/1000 em.
const KEY_GAP: i16 = 450;

pub(super) fn line(from: (f64, f64), to: (f64, f64), width: f64, ink: Ink) -> Element {
    Element::Line { from, to, width, ink }
}

pub(super) fn rule(position: Position, weight: f64, ink: Ink, width: f64) -> Piece {
    let elements = vec![line((0.0, weight / 2.0), (width, weight / 2.0), weight, ink)];
    Piece::new(position, weight, elements)
}

pub(super) fn space(position: Position, height: f64) -> Piece {
    Piece::new(position, height, Vec::new())
}

impl Layout<'_> {
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
            let problem =
                format!("the padding of a <box> takes {:.1}pt; {width:.1}pt are available", 2.0 * padding);
            return Err(overflow(position, problem));
        }
        // An empty box is decoration.
        let node = if content.is_empty() { self.parent } else { self.add_node(Tag::Division) };
        let (tall, content) = self.within(node, |layout| layout.stack(content, width - 2.0 * padding))?;
        let height = tall + 2.0 * padding;
        let mut elements = Vec::new();
        if tint {
            elements.push(Element::Fill { at: (0.0, 0.0), size: (width, height), ink: Ink::Tint });
        }
        if border > 0.0 {
            elements.extend(outline((0.0, 0.0), (width, height), border, Ink::Black));
        }
        elements.extend(moved(content, padding, padding));
        Ok(Piece::new(position, height, elements))
    }

    /// The gap after a group is part of its last glyph: readers copy it as one word.
    pub(super) fn key(
        &mut self,
        position: Position,
        text: &str,
        group: usize,
        style: TextStyle,
        width: f64,
    ) -> Result<Piece, PdfError> {
        let owner = Owner::Node(self.add_node(Tag::Key));
        let (across, along) = (style.size * 0.55, style.size * 0.38);
        let height = style.size + 2.0 * along;
        let characters: Vec<char> = text.chars().collect();
        let mut runs = Vec::new();
        let mut x = across;
        for (at, character) in characters.iter().enumerate() {
            let (face, advance) = measure(self.fonts, style.typeface, *character, style.size)?;
            let ends_group = (at + 1).is_multiple_of(group) && at + 1 < characters.len();
            let pad = if ends_group { KEY_GAP } else { 0 };
            let glyph = Glyph { pad, ..Glyph::plain(*character) };
            let advance = advance + f64::from(pad) * style.size / 1000.0;
            match runs.last_mut() {
                Some(Element::Text(run)) if run.face == face => {
                    run.glyphs.push(glyph);
                    run.width += advance;
                }
                _ => {
                    let at = (x, along + style.size * 0.87);
                    runs.push(run(vec![glyph], face, at, style, advance, owner));
                }
            }
            x += advance;
        }
        let wide = x + across;
        check_width(position, wide, width)?;
        let mut elements = outline((0.0, 0.0), (wide, height), 1.0, Ink::Accent);
        elements.append(&mut runs);
        Ok(Piece::new(position, height, elements))
    }
}

fn outline((x, y): (f64, f64), (wide, tall): (f64, f64), width: f64, ink: Ink) -> Vec<Element> {
    // Horizontal lines extend by half their width, so that the corners are closed.
    let half = width / 2.0;
    vec![
        line((x - half, y), (x + wide + half, y), width, ink),
        line((x - half, y + tall), (x + wide + half, y + tall), width, ink),
        line((x, y), (x, y + tall), width, ink),
        line((x + wide, y), (x + wide, y + tall), width, ink),
    ]
}

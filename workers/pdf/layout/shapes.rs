//! Tables, frames, rules, keys and codes.

use std::rc::Rc;

use qrcodegen::{Mask, QrCode, QrCodeEcc, QrSegment, Version};

use super::paragraph::{measured, run};
use super::{Align, Block, Cell, EPSILON, Layout, Letters, Piece, Position, Width, overflow};
use crate::pdf::PdfError;
use crate::pdf::display::{Element, Ink, Modules, Place, Role};

/// Space between the text of a cell and its left and right edge, points.
const SIDE: f64 = 6.0;

/// Strokes of tables, points.
const OUTER: f64 = 0.8;
const INNER: f64 = 0.35;

/// Light modules around a QR code (its standard asks for four).
const QUIET: f64 = 4.0;

/// The gap between groups of a key, in 1/1000 em.
const KEY_GAP: u16 = 450;

fn line(from: (f64, f64), to: (f64, f64), width: f64, ink: Ink) -> Element {
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
    /// A piece per row.
    pub(super) fn table(
        &mut self,
        position: Position,
        widths: &[Width],
        grid: bool,
        padding: f64,
        rows: &[Vec<Cell>],
        width: f64,
    ) -> Result<Vec<Piece>, PdfError> {
        let widths = Width::resolve(widths, width);
        if widths.iter().any(|width| *width <= 2.0 * SIDE) || widths.iter().sum::<f64>() > width + EPSILON {
            return Err(overflow(position, "the columns of a table do not fit its place"));
        }
        let table = self.next_block();
        let mut pieces = Vec::new();
        for ((number, row), last) in (0_u32..).zip(rows).zip((0..rows.len()).rev().map(|left| left == 0)) {
            let mut cells = Vec::new();
            let mut height = 0.0_f64;
            for (cell, width) in row.iter().zip(&widths) {
                let (tall, mut content) = self.stack(&cell.content, width - 2.0 * SIDE)?;
                for element in &mut content {
                    settle(element, table, number, cell.role);
                }
                height = height.max(tall);
                cells.push((tall, content));
            }
            height += 2.0 * padding;
            let mut fills = Vec::new();
            let mut strokes = Vec::new();
            let mut texts = Vec::new();
            let mut x = 0.0;
            for ((tall, content), (cell, &wide)) in cells.into_iter().zip(row.iter().zip(&widths)) {
                if cell.role == Role::TableLabel {
                    fills.push(Element::Fill { at: (x, 0.0), size: (wide, height), ink: Ink::Tint });
                }
                if grid && x > 0.0 {
                    strokes.push(line((x, 0.0), (x, height), INNER, Ink::Grey));
                }
                let y = (height - tall) / 2.0;
                texts.extend(content.into_iter().map(|element| element.moved(x + SIDE, y)));
                x += wide;
            }
            if grid {
                strokes.push(line((0.0, 0.0), (0.0, height), OUTER, Ink::Black));
                strokes.push(line((x, 0.0), (x, height), OUTER, Ink::Black));
            }
            let top = line((0.0, 0.0), (x, 0.0), OUTER, Ink::Black);
            let (stroke, ink) = if last { (OUTER, Ink::Black) } else { (INNER, Ink::Grey) };
            strokes.push(line((0.0, height), (x, height), stroke, ink));
            let at_top = if number == 0 { Vec::new() } else { vec![top.clone()] };
            if number == 0 {
                strokes.push(top);
            }
            fills.append(&mut strokes);
            fills.append(&mut texts);
            pieces.push(Piece { position, before: 0.0, height, keep: false, elements: fills, at_top });
        }
        Ok(pieces)
    }

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
        let (tall, content) = self.stack(content, width - 2.0 * padding)?;
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
    pub(super) fn key(&mut self, position: Position, text: &str, group: usize, letters: Letters, width: f64) -> Result<Piece, PdfError> {
        let place = Place { role: Role::Key, block: self.next_block(), row: None };
        let (across, along) = (letters.size * 0.55, letters.size * 0.38);
        let height = letters.size + 2.0 * along;
        let characters: Vec<char> = text.chars().collect();
        let mut runs = Vec::new();
        let mut x = across;
        for (at, character) in characters.iter().enumerate() {
            let (face, advance) = measured(self.fonts, letters.style, *character, letters.size)?;
            let ends_group = (at + 1).is_multiple_of(group) && at + 1 < characters.len();
            let pad = if ends_group { KEY_GAP } else { 0 };
            let advance = advance + f64::from(pad) * letters.size / 1000.0;
            match runs.last_mut() {
                Some(Element::Text(run)) if run.face == face && run.pad == 0 => {
                    run.text.push(*character);
                    run.pad = pad;
                    run.width += advance;
                }
                _ => {
                    runs.push(run(character.to_string(), face, (x, along + letters.size * 0.87), letters, advance, place));
                    if let Some(Element::Text(run)) = runs.last_mut() {
                        run.pad = pad;
                    }
                }
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

    /// A QR code with its quiet zone. The mask is fixed: readers take any, and the search for the prettiest one
    /// takes longer than the rest of the layout.
    pub(super) fn code(&mut self, position: Position, data: &str, size: f64, align: Align, width: f64) -> Result<Piece, PdfError> {
        if size > width + EPSILON {
            return Err(overflow(position, "a QR code is wider than its place"));
        }
        let segments = QrSegment::make_segments(data);
        let code = QrCode::encode_segments_advanced(&segments, QrCodeEcc::Medium, Version::MIN, Version::MAX, Some(Mask::new(4)), false)
            .map_err(|source| PdfError::Code { source })?;
        let edge = code.size();
        let dark = (0..edge).flat_map(|y| (0..edge).map(move |x| (x, y))).map(|(x, y)| code.get_module(x, y)).collect();
        let modules = Rc::new(Modules { size: edge.unsigned_abs() as usize, dark });
        let module = size / (f64::from(edge) + 2.0 * QUIET);
        let left = match align {
            Align::Left | Align::Justify => 0.0,
            Align::Center => (width - size) / 2.0,
            Align::Right => width - size,
        };
        let place = Place { role: Role::Figure, block: self.next_block(), row: None };
        let at = (left + module * QUIET, module * QUIET);
        let elements = vec![Element::Code { at, size: module * f64::from(edge), modules, place }];
        Ok(Piece { position, before: 0.0, height: size, keep: false, elements, at_top: Vec::new() })
    }
}

/// Tells an element of a cell which table and row it belongs to.
fn settle(element: &mut Element, table: u32, row: u32, role: Role) {
    let place = match element {
        Element::Text(run) => &mut run.place,
        Element::Code { place, .. } => place,
        Element::Line { .. } | Element::Fill { .. } => return,
    };
    place.block = table;
    place.row = Some(row);
    if place.role == Role::Paragraph {
        place.role = role;
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

//! Blocks below each other, and side by side.

use super::frames::{rule, space};
use super::piece::{EPSILON, Layout, Piece, moved, overflow};
use crate::display_list::{Element, Owner, Tag};
use crate::error::PdfError;
use crate::markup::{Block, BlockKind, ColumnWidth, LetterSpacing, Position, Text};

impl Layout<'_> {
    pub(super) fn flow(&mut self, blocks: &[Block], width: f64) -> Result<Vec<Piece>, PdfError> {
        let mut pieces = Vec::new();
        for block in blocks {
            let from = pieces.len();
            let at = block.position;
            match &block.kind {
                BlockKind::Text(text) => {
                    let node = text.tag.clone().map_or(self.parent, |tag| self.add_node(tag));
                    let mut lines = self.text(text, Owner::Node(node), at, width)?;
                    keep_first_and_last_lines(&mut lines);
                    pieces.append(&mut lines);
                }
                BlockKind::List(list) => pieces.append(&mut self.list(at, list, width)?),
                BlockKind::Table(table) => pieces.append(&mut self.table(at, table, width)?),
                BlockKind::Frame { border, tint, padding, content } => {
                    pieces.push(self.frame(at, *border, *tint, *padding, content, width)?);
                }
                BlockKind::Rule { weight, ink } => pieces.push(rule(at, *weight, *ink, width)),
                BlockKind::Space(height) => pieces.push(space(at, *height)),
                BlockKind::Key { text, group, style } => {
                    pieces.push(self.key(at, text, *group, *style, width)?);
                }
                BlockKind::QrCode { data, size, align, alternative } => {
                    pieces.push(self.qr_code(at, data, *size, *align, alternative, width)?);
                }
                BlockKind::Image(image) => {
                    let piece = self.image(at, image, width)?;
                    // A seal stays with the name that it is put on.
                    if let Some(last) = pieces.last_mut() {
                        last.keep |= image.overlap > 0.0;
                    }
                    pieces.push(piece);
                }
                BlockKind::Columns { widths, gap, columns } => {
                    pieces.push(self.columns(at, widths, *gap, columns, width)?);
                }
            }
            if let Some(first) = pieces.get_mut(from) {
                first.before += block.before;
            }
            if block.keep
                && let Some(last) = pieces.last_mut()
            {
                last.keep = true;
            }
        }
        Ok(pieces)
    }

    /// Lays blocks out as a unit: its height and elements.
    pub(super) fn stack(&mut self, blocks: &[Block], width: f64) -> Result<(f64, Vec<Element>), PdfError> {
        let mut y = 0.0_f64;
        let mut elements = Vec::new();
        for (at, piece) in self.flow(blocks, width)?.into_iter().enumerate() {
            if at > 0 {
                y = (y + piece.before).max(0.0);
            }
            if elements.is_empty() && y == 0.0 {
                elements = piece.elements;
            } else {
                elements.extend(moved(piece.elements, 0.0, y));
            }
            y += piece.height;
        }
        Ok((y, elements))
    }

    fn text(
        &mut self,
        text: &Text,
        owner: Owner,
        position: Position,
        width: f64,
    ) -> Result<Vec<Piece>, PdfError> {
        match text.spacing {
            LetterSpacing::None => self.paragraph(text, owner, position, width),
            LetterSpacing::Tracked(space) => self.tracked(text, space, owner, position, width),
            LetterSpacing::Spread(wide) => self.spread(text, wide, owner, position, width),
        }
    }

    fn columns(
        &mut self,
        position: Position,
        widths: &[ColumnWidth],
        gap: f64,
        columns: &[Vec<Block>],
        width: f64,
    ) -> Result<Piece, PdfError> {
        let gaps = widths.iter().skip(1).fold(0.0, |sum, _| sum + gap);
        let widths = ColumnWidth::resolve(widths, width - gaps);
        let mut elements = Vec::new();
        let (mut x, mut height) = (0.0, 0.0_f64);
        for (column, &room) in columns.iter().zip(&widths) {
            if room <= 0.0 || x + room > width + EPSILON {
                let total = gaps + widths.iter().sum::<f64>();
                return Err(overflow(
                    position,
                    format!("the columns of <columns> take {total:.1}pt; {width:.1}pt are available"),
                ));
            }
            // An empty column is a spacer, not a part of the document.
            let node = if column.is_empty() { self.parent } else { self.add_node(Tag::Division) };
            let (tall, content) = self.within(node, |layout| layout.stack(column, room))?;
            elements.extend(moved(content, x, 0.0));
            height = height.max(tall);
            x += room + gap;
        }
        Ok(Piece::new(position, height, elements))
    }
}

/// Prevents a single line of a paragraph at the end or start of a page.
fn keep_first_and_last_lines(lines: &mut [Piece]) {
    if let [first, _, ..] = lines {
        first.keep = true;
    }
    if let [.., last, _] = lines {
        last.keep = true;
    }
}

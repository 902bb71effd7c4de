//! From blocks to placed elements: a column of pieces, cut into pages.
//!
//! A piece is what a page break never divides: a line, a table row (or several that a cell ties together), a frame,
//! a group of columns. Nothing is ever placed outside its page or cell: what is larger than a page or narrower than
//! a letter is an error.
//!
//! Rejected: dividing a table row between pages. A value that begins on one page and ends on the next is read as
//! two; text that long belongs into a paragraph.

mod figures;
mod lists;
mod pages;
mod paragraph;
mod running;
mod shapes;
mod tables;
#[cfg(test)]
mod tests;
mod tracking;

use std::rc::Rc;

use super::PdfError;
use super::display::{Display, Element, NodeId, Place, Tag, Tree};
use super::fonts::Fonts;
use super::markup::{Align, Block, Kind, Letters, Position, Sheet, Spacing, Span, Text, Width};
use super::picture::Pictures;

/// Slack for sums of rounded lengths, in points.
const EPSILON: f64 = 1e-6;

/// What a page break never divides. Elements are relative to its top left corner.
struct Piece {
    position: Position,
    /// Space above, unless it begins a page. Less than nothing where it rises over what is above.
    before: f64,
    height: f64,
    /// Stays on the page of the piece that follows.
    keep: bool,
    elements: Vec<Element>,
    /// Drawn above the piece only when it begins a page: what a table repeats. Shared by the rows.
    at_top: Vec<Rc<Top>>,
}

/// What is drawn above a piece that begins a page.
struct Top {
    height: f64,
    elements: Vec<Element>,
}

struct Layout<'a> {
    fonts: &'a Fonts,
    pictures: &'a Pictures,
    tree: Tree,
    /// The node whose children are laid out.
    around: NodeId,
}

/// Lays a document out.
pub(super) fn display(sheet: &Sheet, fonts: &Fonts, pictures: &Pictures) -> Result<Display, PdfError> {
    let mut layout = Layout { fonts, pictures, tree: Tree::new(), around: Tree::ROOT };
    let [top, right, bottom, left] = sheet.margins;
    let pieces = layout.flow(&sheet.blocks, sheet.size.0 - left - right)?;
    let mut pages = pages::paginated(pieces, sheet.size, (left, top), sheet.size.1 - top - bottom)?;
    layout.margins(sheet, &mut pages)?;
    Ok(Display { pages, tree: layout.tree })
}

fn overflow(position: Position, what: &'static str) -> PdfError {
    PdfError::Overflow { line: position.line, column: position.column, what }
}

/// How far from the left something stands that is narrower than its room.
fn offset(align: Align, room: f64, width: f64) -> f64 {
    match align {
        Align::Left | Align::Justify => 0.0,
        Align::Center => (room - width) / 2.0,
        Align::Right => room - width,
    }
}

impl Layout<'_> {
    /// The next part of what is laid out.
    fn part(&mut self, tag: Tag) -> NodeId {
        self.tree.add(self.around, tag)
    }

    /// Lays something out as children of `node`.
    fn within<T>(&mut self, node: NodeId, lay: impl FnOnce(&mut Self) -> T) -> T {
        let around = std::mem::replace(&mut self.around, node);
        let result = lay(self);
        self.around = around;
        result
    }

    /// Lays blocks out below each other.
    fn flow(&mut self, blocks: &[Block], width: f64) -> Result<Vec<Piece>, PdfError> {
        let mut pieces = Vec::new();
        for block in blocks {
            let from = pieces.len();
            let at = block.position;
            match &block.kind {
                Kind::Text(text) => {
                    let node = text.tag.clone().map_or(self.around, |tag| self.part(tag));
                    let mut lines = self.text(text, Place::Node(node), at, width)?;
                    hold_together(&mut lines);
                    pieces.append(&mut lines);
                }
                Kind::List(list) => pieces.append(&mut self.list(at, list, width)?),
                Kind::Table(table) => pieces.append(&mut self.table(at, table, width)?),
                Kind::Frame { border, tint, padding, content } => {
                    pieces.push(self.frame(at, *border, *tint, *padding, content, width)?);
                }
                Kind::Rule { weight, ink } => pieces.push(shapes::rule(at, *weight, *ink, width)),
                Kind::Space(height) => pieces.push(shapes::space(at, *height)),
                Kind::Key { text, group, letters } => {
                    pieces.push(self.key(at, text, *group, *letters, width)?)
                }
                Kind::Code { data, size, align, alternative } => {
                    pieces.push(self.code(at, data, *size, *align, alternative, width)?);
                }
                Kind::Image(image) => {
                    let piece = self.image(at, image, width)?;
                    // A seal does not leave the name it was put to.
                    if let Some(last) = pieces.last_mut() {
                        last.keep |= image.overlap > 0.0;
                    }
                    pieces.push(piece);
                }
                Kind::Columns { widths, gap, columns } => {
                    pieces.push(self.columns(at, widths, *gap, columns, width)?)
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

    /// Lays blocks out as one: height and elements.
    fn stack(&mut self, blocks: &[Block], width: f64) -> Result<(f64, Vec<Element>), PdfError> {
        let mut y = 0.0_f64;
        let mut elements = Vec::new();
        for (at, piece) in self.flow(blocks, width)?.into_iter().enumerate() {
            if at > 0 {
                y = (y + piece.before).max(0.0);
            }
            if elements.is_empty() && y == 0.0 {
                elements = piece.elements;
            } else {
                elements.extend(piece.elements.into_iter().map(|element| element.moved(0.0, y)));
            }
            y += piece.height;
        }
        Ok((y, elements))
    }

    fn text(
        &mut self,
        text: &Text,
        place: Place,
        position: Position,
        width: f64,
    ) -> Result<Vec<Piece>, PdfError> {
        match text.spacing {
            Spacing::Natural => self.paragraph(text, place, position, width),
            Spacing::Tracked(space) => self.tracked(text, space, place, position, width),
            Spacing::Spread(wide) => self.spread(text, wide, place, position, width),
        }
    }

    fn columns(
        &mut self,
        position: Position,
        widths: &[Width],
        gap: f64,
        columns: &[Vec<Block>],
        width: f64,
    ) -> Result<Piece, PdfError> {
        let gaps = widths.iter().skip(1).fold(0.0, |sum, _| sum + gap);
        let widths = Width::resolve(widths, width - gaps);
        let mut elements = Vec::new();
        let (mut x, mut height) = (0.0, 0.0_f64);
        for (column, &room) in columns.iter().zip(&widths) {
            if room <= 0.0 || x + room > width + EPSILON {
                return Err(overflow(position, "the columns are wider than their place"));
            }
            // An empty column keeps others away and is nothing to a reader.
            let node = if column.is_empty() { self.around } else { self.part(Tag::Division) };
            let (tall, content) = self.within(node, |layout| layout.stack(column, room))?;
            elements.extend(content.into_iter().map(|element| element.moved(x, 0.0)));
            height = height.max(tall);
            x += room + gap;
        }
        Ok(Piece { position, before: 0.0, height, keep: false, elements, at_top: Vec::new() })
    }
}

/// No line of a paragraph stands alone at the foot of a page or at its head.
fn hold_together(lines: &mut [Piece]) {
    if let [first, _, ..] = lines {
        first.keep = true;
    }
    if let [.., last, _] = lines {
        last.keep = true;
    }
}

/// Text of one line and look.
fn single(text: String, letters: Letters) -> Text {
    let lines = vec![vec![Span { text, style: letters.style }]];
    Text { tag: None, letters, align: Align::Left, indent: 0.0, inset: 0.0, spacing: Spacing::Natural, lines }
}

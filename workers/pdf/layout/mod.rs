//! From blocks to placed elements: a column of pieces, cut into pages.
//!
//! A piece is what a page break never divides: a line, a table row, a frame, a group of columns. Nothing is ever
//! placed outside its page or cell: what is larger than a page or narrower than a letter is an error.

mod paragraph;
mod shapes;

use super::PdfError;
use super::display::{Element, Page, Place, Role};
use super::fonts::Fonts;
use super::markup::{Align, Block, Cell, Kind, Letters, Position, Sheet, Span, Text, Width};

/// More pages than any form of this business: a text that long is a mistake.
const MOST_PAGES: usize = 50;

/// Slack for sums of rounded lengths, in points.
const EPSILON: f64 = 1e-6;

/// What a page break never divides. Elements are relative to its top left corner.
struct Piece {
    position: Position,
    before: f64,
    height: f64,
    keep: bool,
    elements: Vec<Element>,
    /// Drawn only when the piece begins a page: the upper border of a table that goes on.
    at_top: Vec<Element>,
}

struct Layout<'a> {
    fonts: &'a Fonts,
    blocks: u32,
}

/// Lays a document out.
pub(super) fn pages(sheet: &Sheet, fonts: &Fonts) -> Result<Vec<Page>, PdfError> {
    let mut layout = Layout { fonts, blocks: 0 };
    let [top, right, bottom, left] = sheet.margins;
    let width = sheet.size.0 - left - right;
    let pieces = layout.flow(&sheet.blocks, width)?;
    let mut pages = paginated(pieces, sheet.size, (left, top), sheet.size.1 - top - bottom)?;
    let count = pages.len();
    for (number, page) in (1..).zip(&mut pages) {
        layout.foot(page, sheet, number, count)?;
    }
    Ok(pages)
}

fn paginated(pieces: Vec<Piece>, size: (f64, f64), origin: (f64, f64), height: f64) -> Result<Vec<Page>, PdfError> {
    let blank = || Page { size, elements: Vec::new() };
    let mut pages = Vec::new();
    let mut page = blank();
    let mut y = 0.0;
    let mut fresh = true;
    // What the pieces from here to the first one that needs no follower take together.
    let mut chains: Vec<f64> = pieces.iter().map(|piece| piece.height).collect();
    for at in (1..pieces.len()).rev() {
        if pieces[at - 1].keep {
            chains[at - 1] += pieces[at].before + chains[at];
        }
    }
    for (piece, chain) in pieces.into_iter().zip(chains) {
        if piece.height > height + EPSILON {
            return Err(overflow(piece.position, "a block is taller than the page"));
        }
        let chain = if chain > height { piece.height } else { chain };
        if !fresh && y + piece.before + chain > height + EPSILON {
            pages.push(std::mem::replace(&mut page, blank()));
            if pages.len() >= MOST_PAGES {
                return Err(overflow(piece.position, "the document is longer than 50 pages"));
            }
            y = 0.0;
            fresh = true;
        }
        if !fresh {
            y += piece.before;
        }
        let lead = if fresh { piece.at_top } else { Vec::new() };
        page.elements.extend(lead.into_iter().chain(piece.elements).map(|element| element.moved(origin.0, origin.1 + y)));
        y += piece.height;
        fresh = false;
    }
    pages.push(page);
    Ok(pages)
}

fn overflow(position: Position, what: &'static str) -> PdfError {
    PdfError::Overflow { line: position.line, column: position.column, what }
}

impl Layout<'_> {
    fn next_block(&mut self) -> u32 {
        self.blocks += 1;
        self.blocks
    }

    /// Lays blocks out below each other.
    fn flow(&mut self, blocks: &[Block], width: f64) -> Result<Vec<Piece>, PdfError> {
        let mut pieces = Vec::new();
        for block in blocks {
            let from = pieces.len();
            match &block.kind {
                Kind::Text(text) => {
                    let place = Place { role: text.role, block: self.next_block(), row: None };
                    pieces.extend(self.paragraph(text, place, block.position, width)?);
                }
                Kind::List { inset, gap, letters, items } => {
                    pieces.extend(self.list(block.position, (*inset, *gap), *letters, items, width)?);
                }
                Kind::Table { widths, grid, padding, rows } => {
                    pieces.extend(self.table(block.position, widths, *grid, *padding, rows, width)?);
                }
                Kind::Frame { border, tint, padding, content } => {
                    pieces.push(self.frame(block.position, *border, *tint, *padding, content, width)?);
                }
                Kind::Rule { weight, ink } => pieces.push(shapes::rule(block.position, *weight, *ink, width)),
                Kind::Space(height) => pieces.push(shapes::space(block.position, *height)),
                Kind::Key { text, group, letters } => pieces.push(self.key(block.position, text, *group, *letters, width)?),
                Kind::Code { data, size, align } => pieces.push(self.code(block.position, data, *size, *align, width)?),
                Kind::Columns { widths, gap, columns } => pieces.push(self.columns(block.position, widths, *gap, columns, width)?),
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
        let mut y = 0.0;
        let mut elements = Vec::new();
        for (at, piece) in self.flow(blocks, width)?.into_iter().enumerate() {
            if at > 0 {
                y += piece.before;
            }
            elements.extend(piece.elements.into_iter().map(|element| element.moved(0.0, y)));
            y += piece.height;
        }
        Ok((y, elements))
    }

    fn list(
        &mut self,
        position: Position,
        (inset, gap): (f64, f64),
        letters: Letters,
        items: &[(String, Vec<Block>)],
        width: f64,
    ) -> Result<Vec<Piece>, PdfError> {
        if width <= inset {
            return Err(overflow(position, "a list is too narrow"));
        }
        let mut pieces = Vec::new();
        for (at, (label, content)) in items.iter().enumerate() {
            let place = Place { role: Role::ListLabel, block: self.next_block(), row: None };
            let label = self.paragraph(&single(label.clone(), Role::ListLabel, letters), place, position, inset)?;
            let mut body = self.flow(content, width - inset)?;
            for piece in &mut body {
                piece.elements = std::mem::take(&mut piece.elements).into_iter().map(|element| element.moved(inset, 0.0)).collect();
            }
            if let Some(first) = body.first_mut() {
                let labels = label.into_iter().flat_map(|piece| piece.elements);
                first.elements = labels.chain(std::mem::take(&mut first.elements)).collect();
                first.before = if at > 0 { gap } else { 0.0 };
            }
            pieces.extend(body);
        }
        Ok(pieces)
    }

    fn columns(&mut self, position: Position, widths: &[Width], gap: f64, columns: &[Vec<Block>], width: f64) -> Result<Piece, PdfError> {
        let gaps = widths.iter().skip(1).fold(0.0, |sum, _| sum + gap);
        let widths = Width::resolve(widths, width - gaps);
        let mut elements = Vec::new();
        let (mut x, mut height) = (0.0, 0.0_f64);
        for (column, &room) in columns.iter().zip(&widths) {
            if room <= 0.0 || x + room > width + EPSILON {
                return Err(overflow(position, "the columns are wider than their place"));
            }
            let (tall, content) = self.stack(column, room)?;
            elements.extend(content.into_iter().map(|element| element.moved(x, 0.0)));
            height = height.max(tall);
            x += room + gap;
        }
        Ok(Piece { position, before: 0.0, height, keep: false, elements, at_top: Vec::new() })
    }

    /// The footer, and the page's number when there are several.
    fn foot(&mut self, page: &mut Page, sheet: &Sheet, number: usize, count: usize) -> Result<(), PdfError> {
        let [_, right, bottom, left] = sheet.margins;
        let width = sheet.size.0 - left - right;
        let place = Place { role: Role::Artifact, block: 0, row: None };
        let top = sheet.size.1 - bottom * 0.62;
        let mut y = top;
        if let Some(footer) = &sheet.footer {
            for piece in self.paragraph(footer, place, Position::START, width)? {
                page.elements.extend(piece.elements.into_iter().map(|element| element.moved(left, y)));
                y += piece.height;
            }
        }
        if count > 1 {
            let letters = Letters { size: 8.0, style: super::fonts::Style::Gothic, ink: super::display::Ink::Grey, leading: 1.4 };
            let mut text = single(format!("{number} / {count}"), Role::Artifact, letters);
            text.align = Align::Center;
            for piece in self.paragraph(&text, place, Position::START, width)? {
                page.elements.extend(piece.elements.into_iter().map(|element| element.moved(left, y)));
                y += piece.height;
            }
        }
        if y > sheet.size.1 { Err(overflow(Position::START, "the footer does not fit into the bottom margin")) } else { Ok(()) }
    }
}

fn single(text: String, role: Role, letters: Letters) -> Text {
    let lines = vec![vec![Span { text, style: letters.style }]];
    Text { role, letters, align: Align::Left, indent: 0.0, inset: 0.0, lines }
}

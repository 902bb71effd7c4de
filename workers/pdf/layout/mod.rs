//! Lays blocks out: first as a column of pieces, then on pages.
//!
//! A piece is a part that a page break never divides: a line, a table row (or rows that a cell ties
//! together), a frame, a group of columns. Nothing is ever placed outside its page or cell: anything larger
//! than a page or narrower than a glyph is an error.
//!
//! Rejected: dividing a table row between pages. A value that begins on one page and ends on the next is read
//! as two. Text of that length belongs in a paragraph.

mod flow;
mod frames;
mod images;
mod letter_spacing;
mod lists;
mod margins;
mod pagination;
mod paragraph;
mod piece;
mod tables;
#[cfg(test)]
mod tests;

use crate::display_list::{DisplayList, Tree};
use crate::error::PdfError;
use crate::fonts::Fonts;
use crate::markup;
use crate::picture::Pictures;
use piece::Layout;

/// Parses markup and lays it out.
pub(crate) fn lay_out(markup: &str, fonts: &Fonts, pictures: &Pictures) -> Result<DisplayList, PdfError> {
    let document = markup::read(markup)?;
    let mut layout = Layout { fonts, pictures, tree: Tree::new(), parent: Tree::ROOT };
    let [top, right, bottom, left] = document.margins;
    let pieces = layout.flow(&document.blocks, document.size.0 - left - right)?;
    let height = document.size.1 - top - bottom;
    let mut pages = pagination::paginate(pieces, document.size, (left, top), height)?;
    layout.margins(&document, &mut pages)?;
    Ok(DisplayList { pages, tree: layout.tree })
}

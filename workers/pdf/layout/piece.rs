//! The state of a layout, and the pieces it produces.

use std::rc::Rc;

use crate::display_list::{Element, NodeId, Tag, Tree};
use crate::error::PdfError;
use crate::fonts::Fonts;
use crate::markup::{Align, Position, Span, Text, TextStyle};
use crate::picture::Pictures;

/// Tolerance for sums of rounded lengths, in points.
pub(super) const EPSILON: f64 = 1e-6;

/// No page break divides it. Elements are relative to its top left corner.
pub(super) struct Piece {
    pub(super) position: Position,
    /// Space above it, unless it begins a page; negative over the piece above.
    pub(super) before: f64,
    pub(super) height: f64,
    /// Stays on the page of the next piece.
    pub(super) keep: bool,
    pub(super) elements: Vec<Element>,
    /// Drawn if the piece begins a page: the head of a table, shared by its rows.
    pub(super) at_top: Vec<Rc<Top>>,
}

impl Piece {
    pub(super) fn new(position: Position, height: f64, elements: Vec<Element>) -> Self {
        Self { position, before: 0.0, height, keep: false, elements, at_top: Vec::new() }
    }
}

#[derive(Default)]
pub(super) struct Top {
    pub(super) height: f64,
    pub(super) elements: Vec<Element>,
}

pub(super) struct Layout<'a> {
    pub(super) fonts: &'a Fonts,
    pub(super) pictures: &'a Pictures,
    pub(super) tree: Tree,
    /// The node whose children are being laid out.
    pub(super) parent: NodeId,
}

impl Layout<'_> {
    pub(super) fn add_node(&mut self, tag: Tag) -> NodeId {
        self.tree.add(self.parent, tag)
    }

    pub(super) fn within<T>(&mut self, node: NodeId, lay_out: impl FnOnce(&mut Self) -> T) -> T {
        let parent = std::mem::replace(&mut self.parent, node);
        let result = lay_out(self);
        self.parent = parent;
        result
    }
}

pub(super) fn overflow(position: Position, problem: impl Into<String>) -> PdfError {
    PdfError::Overflow { line: position.line, column: position.column, problem: problem.into() }
}

pub(super) fn check_width(position: Position, wide: f64, width: f64) -> Result<(), PdfError> {
    if wide <= width + EPSILON {
        return Ok(());
    }
    let element = position.element;
    Err(overflow(position, format!("the <{element}> is {wide:.1}pt wide; {width:.1}pt are available")))
}

pub(super) fn moved(elements: Vec<Element>, dx: f64, dy: f64) -> impl Iterator<Item = Element> {
    elements.into_iter().map(move |element| element.moved(dx, dy))
}

/// The left edge of something that is narrower than its room.
pub(super) fn offset(align: Align, room: f64, width: f64) -> f64 {
    match align {
        Align::Left | Align::Justify => 0.0,
        Align::Center => (room - width) / 2.0,
        Align::Right => room - width,
    }
}

pub(super) fn single(text: String, style: TextStyle) -> Text {
    Text::new(style, Align::Left, vec![vec![Span { text, typeface: style.typeface }]])
}

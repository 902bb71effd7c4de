//! The display list: what a page shows, placed, and nothing about how a PDF says it.
//!
//! Lengths are points; x grows to the right and y downwards from the page's top left corner. Every element knows
//! its place in the document's structure ([`Tree`]), because a tagged file is read by that and not by where things stand.

use std::rc::Rc;
use std::sync::Arc;

use super::picture::Picture;

/// A character in one face, with the mark that is part of its glyph and the space it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Letter {
    /// The character.
    pub(super) character: char,
    /// A variation selector or combining mark that, with the character, has a glyph of its own.
    pub(super) mark: Option<char>,
    /// Added to the advance, in 1/1000 em; negative where the letter's blank is squeezed.
    pub(super) pad: i16,
}

impl Letter {
    /// A character by itself.
    pub(super) const fn plain(character: char) -> Self {
        Self { character, mark: None, pad: 0 }
    }

    /// What a reader copies.
    pub(super) fn characters(self) -> impl Iterator<Item = char> {
        std::iter::once(self.character).chain(self.mark)
    }
}

/// Number of a [`Node`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(pub(super) u32);

/// A node of the structure: what a part of the document is to a reader, whatever pages it falls on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// The node around it. A parent has a smaller number than its children, which are in reading order.
    pub(super) parent: NodeId,
    /// What it is.
    pub(super) tag: Tag,
}

/// What a part of a document is: the structure types of PDF that business documents need.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tag {
    /// The whole.
    Document,
    /// Blocks that belong together.
    Division,
    /// Heading of a level from 1 to 6.
    Heading(u8),
    /// Running text.
    Paragraph,
    /// Small print beside something.
    Caption,
    /// A list.
    List(Numbering),
    /// Item of a list.
    Item,
    /// ① of an item.
    Label,
    /// Text of an item.
    Body,
    /// A table.
    Table,
    /// A row of a table.
    Row,
    /// A cell that names others.
    Head {
        /// What it names.
        scope: Scope,
        /// Columns it spans, from 1.
        columns: u16,
        /// Rows it spans, from 1.
        rows: u16,
    },
    /// A cell.
    Cell {
        /// Columns it spans, from 1.
        columns: u16,
        /// Rows it spans, from 1.
        rows: u16,
    },
    /// Authentication key.
    Key,
    /// A picture.
    Figure {
        /// What it shows, in words.
        alternative: String,
    },
}

/// How the items of a list are labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbering {
    /// ・
    Dot,
    /// 1. 2. 3.
    Decimal,
    /// ① ② ③
    Circled,
}

/// What a head cell names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The cells of its row.
    Row,
    /// The cells of its column.
    Column,
}

/// The structure of a document. Node 0 is the whole.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// The node of the whole.
    pub(super) const ROOT: NodeId = NodeId(0);

    /// A document without parts.
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node { parent: Self::ROOT, tag: Tag::Document }] }
    }

    /// Adds the next child of a node.
    pub(super) fn add(&mut self, parent: NodeId, tag: Tag) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node { parent, tag });
        id
    }

    /// All nodes; the place of each is its number.
    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}

/// Where an element belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// To a node of the structure.
    Node(NodeId),
    /// To the running header of a page.
    Header,
    /// To the running footer of a page.
    Footer,
    /// To nothing a reader wants to hear (again): repeated heads of tables, ornaments.
    Ornament,
}

/// A colour of the house.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// Text.
    Black,
    /// Side remarks and thin rules.
    Grey,
    /// Headings and strong rules.
    Accent,
    /// Background of labels.
    Tint,
}

/// An element of a page.
#[derive(Debug, Clone)]
pub(super) enum Element {
    /// A run of text in one face on one line.
    Text(Run),
    /// A straight line.
    Line {
        /// From x, y.
        from: (f64, f64),
        /// To x, y.
        to: (f64, f64),
        /// Thickness.
        width: f64,
        /// Colour.
        ink: Ink,
    },
    /// A filled rectangle.
    Fill {
        /// Left, top.
        at: (f64, f64),
        /// Width, height.
        size: (f64, f64),
        /// Colour.
        ink: Ink,
    },
    /// A QR code, quiet zone not included.
    Code {
        /// Left, top.
        at: (f64, f64),
        /// Edge.
        size: f64,
        /// Modules.
        modules: Rc<Modules>,
        /// Place.
        place: Place,
    },
    /// A picture.
    Picture {
        /// Left, top.
        at: (f64, f64),
        /// Width, height.
        size: (f64, f64),
        /// Which.
        picture: Arc<Picture>,
        /// Place.
        place: Place,
    },
}

/// A run of text in one face on one line.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// Number of the face.
    pub(super) face: u8,
    /// Size of letters.
    pub(super) size: f64,
    /// Left end on the baseline. The blank of an opening bracket that begins a line lies outside of its place.
    pub(super) at: (f64, f64),
    /// Space added after every letter, for justified lines.
    pub(super) spacing: f64,
    /// Colour.
    pub(super) ink: Ink,
    /// The letters.
    pub(super) letters: Vec<Letter>,
    /// Width from `at`, spacing and pads included, as far as ink may stand: without the blank of what ends a line.
    pub(super) width: f64,
    /// Place.
    pub(super) place: Place,
}

impl Run {
    /// The text as a reader copies it.
    #[cfg(test)]
    pub(super) fn text(&self) -> String {
        self.letters.iter().flat_map(|letter| letter.characters()).collect()
    }
}

/// The modules of a QR code: `size` × `size`, row by row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Modules {
    /// Modules on an edge.
    pub(super) size: usize,
    /// Dark ones are true.
    pub(super) dark: Vec<bool>,
}

/// What a document shows, and what it means.
#[derive(Debug, Clone)]
pub(super) struct Display {
    /// Pages.
    pub(super) pages: Vec<Page>,
    /// Structure.
    pub(super) tree: Tree,
}

/// A page.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// Width, height.
    pub(super) size: (f64, f64),
    /// In drawing and reading order.
    pub(super) elements: Vec<Element>,
}

impl Element {
    /// The same element moved by `dx`, `dy`.
    pub(super) fn moved(mut self, dx: f64, dy: f64) -> Self {
        let shift = |point: &mut (f64, f64)| *point = (point.0 + dx, point.1 + dy);
        match &mut self {
            Self::Text(run) => shift(&mut run.at),
            Self::Line { from, to, .. } => {
                shift(from);
                shift(to);
            }
            Self::Fill { at, .. } | Self::Code { at, .. } | Self::Picture { at, .. } => shift(at),
        }
        self
    }
}

//! The display list: what each page shows and where, independent of PDF operators.
//!
//! Lengths are points. x grows to the right and y downwards from the top left corner of the page. Every
//! element names its place in the structure of the document ([`Tree`]): a tagged file is read by structure,
//! not by position.

use std::rc::Rc;
use std::sync::Arc;

use crate::picture::Picture;

/// A character of one face, with the mark in its outline and extra space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Glyph {
    pub(crate) character: char,
    /// A variation selector or combining mark in the outline of the character.
    pub(crate) mark: Option<char>,
    /// Added to the advance, in 1/1000 em; negative where its own blank is squeezed.
    pub(crate) pad: i16,
}

impl Glyph {
    pub(crate) const fn plain(character: char) -> Self {
        Self { character, mark: None, pad: 0 }
    }

    /// The characters that a reader copies.
    pub(crate) fn characters(self) -> impl Iterator<Item = char> {
        std::iter::once(self.character).chain(self.mark)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(crate) u32);

/// A part of the document, on whatever pages it falls.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// A parent has a smaller number than its children. Children are in reading order.
    pub(crate) parent: NodeId,
    pub(crate) tag: Tag,
}

/// The structure types of PDF that business documents need.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tag {
    Document,
    Division,
    /// Level 1 to 6.
    Heading(u8),
    Paragraph,
    Caption,
    List(Numbering),
    Item,
    /// The marker of an item, such as ①.
    Label,
    Body,
    Table,
    Row,
    /// A cell that names other cells. Spans count from 1.
    Head {
        scope: Scope,
        columns: u16,
        rows: u16,
    },
    /// Spans count from 1.
    Cell {
        columns: u16,
        rows: u16,
    },
    /// An authentication key.
    Key,
    Figure {
        /// Description for readers who cannot see it.
        alternative: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbering {
    /// ・
    Dot,
    /// 1. 2. 3.
    Decimal,
    /// ① ② ③
    Circled,
}

/// The cells that a head cell names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Row,
    Column,
}

/// The structure of a document. Node 0 is the document itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    pub(crate) const ROOT: NodeId = NodeId(0);

    pub(crate) fn new() -> Self {
        Self { nodes: vec![Node { parent: Self::ROOT, tag: Tag::Document }] }
    }

    pub(crate) fn add(&mut self, parent: NodeId, tag: Tag) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node { parent, tag });
        id
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Node(NodeId),
    Header,
    Footer,
    /// Nothing that a screen reader should read: lines, repeated table heads.
    Decoration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Text.
    Black,
    /// Small print and thin lines.
    Grey,
    /// Headings and strong lines.
    Accent,
    /// Background of labels.
    Tint,
}

/// One thing on a page. `at` is the left and top edge, `size` is width and height.
#[derive(Debug, Clone)]
pub(crate) enum Element {
    Text(Run),
    Line {
        from: (f64, f64),
        to: (f64, f64),
        width: f64,
        ink: Ink,
    },
    Fill {
        at: (f64, f64),
        size: (f64, f64),
        ink: Ink,
    },
    /// A QR code without its quiet zone.
    QrCode {
        at: (f64, f64),
        /// Length of an edge.
        size: f64,
        modules: Rc<QrModules>,
        owner: Owner,
    },
    Picture {
        at: (f64, f64),
        size: (f64, f64),
        picture: Arc<Picture>,
        owner: Owner,
    },
}

/// Text of one face on one line.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Index of the face in [`Fonts`](crate::Fonts).
    pub(crate) face: u8,
    pub(crate) size: f64,
    /// Left end on the baseline; the blank of an opening bracket is left of the column.
    pub(crate) at: (f64, f64),
    /// Space added after every glyph of a justified line.
    pub(crate) spacing: f64,
    pub(crate) ink: Ink,
    pub(crate) glyphs: Vec<Glyph>,
    /// Width from `at` to the end of the ink, spacing and pads included.
    pub(crate) width: f64,
    pub(crate) owner: Owner,
}

impl Run {
    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        self.glyphs.iter().flat_map(|glyph| glyph.characters()).collect()
    }
}

/// The modules of a QR code, row by row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QrModules {
    /// Modules on an edge.
    pub(crate) size: usize,
    pub(crate) dark: Vec<bool>,
}

#[derive(Debug, Clone)]
pub(crate) struct DisplayList {
    pub(crate) pages: Vec<Page>,
    pub(crate) tree: Tree,
}

#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// Width and height.
    pub(crate) size: (f64, f64),
    /// In drawing and reading order.
    pub(crate) elements: Vec<Element>,
}

impl Element {
    pub(crate) fn moved(mut self, dx: f64, dy: f64) -> Self {
        let shift = |point: &mut (f64, f64)| *point = (point.0 + dx, point.1 + dy);
        match &mut self {
            Self::Text(run) => shift(&mut run.at),
            Self::Line { from, to, .. } => {
                shift(from);
                shift(to);
            }
            Self::Fill { at, .. } | Self::QrCode { at, .. } | Self::Picture { at, .. } => shift(at),
        }
        self
    }
}

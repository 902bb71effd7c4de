//! The language templates are written in: about a dozen elements, read into typed blocks.
//!
//! An unknown element or attribute, text where none belongs and a length that is none are errors with line and
//! column: a slip in a template must not become a gap in a certificate. No document type, no entities of one's own.
//! The elements are described in `templates/README.md`.

mod attributes;
mod inline;
mod read;

pub(super) use read::read;

use super::display::{Ink, Role};
use super::fonts::Style;

/// Line and column of the markup, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// Line.
    pub(super) line: u32,
    /// Column, in characters.
    pub(super) column: u32,
}

/// The whole document.
pub(super) struct Sheet {
    /// Width and height of the paper, points.
    pub(super) size: (f64, f64),
    /// Top, right, bottom, left, points.
    pub(super) margins: [f64; 4],
    /// What stands at the foot of every page.
    pub(super) footer: Option<Text>,
    /// The content.
    pub(super) blocks: Vec<Block>,
}

/// How letters look; inherited from the element around.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letters {
    /// Size in points.
    pub(super) size: f64,
    /// Style.
    pub(super) style: Style,
    /// Colour.
    pub(super) ink: Ink,
    /// Line height as a multiple of the size.
    pub(super) leading: f64,
}

/// A block of the content.
pub(super) struct Block {
    /// Where it stands in the markup.
    pub(super) position: Position,
    /// Space above it, points; none at the top of a page, box or cell.
    pub(super) before: f64,
    /// Stays on the page of the block that follows.
    pub(super) keep: bool,
    /// What it is.
    pub(super) kind: Kind,
}

/// Kinds of blocks.
pub(super) enum Kind {
    /// Heading, paragraph or caption.
    Text(Text),
    /// Items with their labels.
    List {
        /// Width kept for the labels, points.
        inset: f64,
        /// Space between items, points.
        gap: f64,
        /// Letters of the labels.
        letters: Letters,
        /// Label and content.
        items: Vec<(String, Vec<Block>)>,
    },
    /// Rows of labels and values.
    Table {
        /// Widths of the columns.
        widths: Vec<Width>,
        /// With vertical lines.
        grid: bool,
        /// Space above and below the content of a cell, points.
        padding: f64,
        /// Rows.
        rows: Vec<Vec<Cell>>,
    },
    /// A frame around blocks.
    Frame {
        /// Thickness of the border, points; 0 is none.
        border: f64,
        /// Tinted background.
        tint: bool,
        /// Space within, points.
        padding: f64,
        /// Content.
        content: Vec<Block>,
    },
    /// A horizontal line.
    Rule {
        /// Thickness, points.
        weight: f64,
        /// Colour.
        ink: Ink,
    },
    /// Empty height, points.
    Space(f64),
    /// An authentication key in its box.
    Key {
        /// The key.
        text: String,
        /// Letters between two gaps.
        group: usize,
        /// Letters.
        letters: Letters,
    },
    /// A QR code.
    Code {
        /// What it says.
        data: String,
        /// Edge with the quiet zone, points.
        size: f64,
        /// Where it stands.
        align: Align,
    },
    /// Blocks side by side.
    Columns {
        /// Widths.
        widths: Vec<Width>,
        /// Space between columns, points.
        gap: f64,
        /// Content of each.
        columns: Vec<Vec<Block>>,
    },
}

/// A cell of a table.
pub(super) struct Cell {
    /// Label or value.
    pub(super) role: Role,
    /// Content.
    pub(super) content: Vec<Block>,
}

/// A paragraph.
pub(super) struct Text {
    /// What it is to a reader.
    pub(super) role: Role,
    /// How it looks.
    pub(super) letters: Letters,
    /// Where lines stand.
    pub(super) align: Align,
    /// Indent of the first line, points.
    pub(super) indent: f64,
    /// Indent of all lines, points.
    pub(super) inset: f64,
    /// Lines as the markup breaks them, of spans.
    pub(super) lines: Vec<Vec<Span>>,
}

/// Text of one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    /// The text.
    pub(super) text: String,
    /// Style.
    pub(super) style: Style,
}

/// Where lines stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// At the left.
    Left,
    /// In the middle.
    Center,
    /// At the right.
    Right,
    /// At both sides, but for the last line.
    Justify,
}

/// Width of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Width {
    /// Points.
    Points(f64),
    /// Fraction of the whole.
    Fraction(f64),
    /// An equal share of what is left.
    Rest,
}

impl Width {
    /// Resolves widths within `room` points.
    pub(super) fn resolve(widths: &[Self], room: f64) -> Vec<f64> {
        let fixed = |width: &Self| match width {
            Self::Points(points) => *points,
            Self::Fraction(fraction) => fraction * room,
            Self::Rest => 0.0,
        };
        let taken: f64 = widths.iter().map(fixed).sum();
        let rests = widths.iter().filter(|width| **width == Self::Rest).fold(0.0, |count, _| count + 1.0);
        widths.iter().map(|width| if *width == Self::Rest { (room - taken) / rests } else { fixed(width) }).collect()
    }
}

//! The language templates are written in: about a dozen elements, read into typed blocks.
//!
//! An unknown element or attribute, text where none belongs and a length that is none are errors with line and
//! column: a slip in a template must not become a gap in a certificate. No document type, no entities of one's own.
//! The elements are described in `templates/README.md`, each with a picture that is drawn from the example there.
//!
//! What needs no measuring is judged here: the grid of a table is laid out in cells before it is in points. Errors
//! name places, elements and attributes, never text: that is personal, and errors are logged.

mod attributes;
mod elements;
mod inline;
mod lists;
#[cfg(test)]
mod manual;
mod read;
mod tables;
#[cfg(test)]
mod tests;

pub(super) use read::read;

use super::display::{Ink, Numbering, Scope, Tag};
use super::fonts::Style;

/// Stands in running text where the page's number belongs. No text of a document contains it: it is a noncharacter.
pub(super) const PAGES: char = '\u{FFFF}';

/// Line and column of the markup, from 1, and the element that begins there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// Line.
    pub(super) line: u32,
    /// Column, in characters.
    pub(super) column: u32,
    /// Name of the element.
    pub(super) element: &'static str,
}

/// The whole document.
pub(super) struct Sheet {
    /// Width and height of the paper, points.
    pub(super) size: (f64, f64),
    /// Top, right, bottom, left, points.
    pub(super) margins: [f64; 4],
    /// What stands at the head of every page.
    pub(super) header: Option<Running>,
    /// What stands at the foot of every page.
    pub(super) footer: Option<Running>,
    /// The content.
    pub(super) blocks: Vec<Block>,
}

/// Text in the margin of every page. [`PAGES`] in it is the page's number.
pub(super) struct Running {
    /// Where it stands in the markup.
    pub(super) position: Position,
    /// Stands on the first page as well.
    pub(super) on_first: bool,
    /// What it says.
    pub(super) text: Text,
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
    List(List),
    /// Rows of labels and values.
    Table(Table),
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
        /// What it is, in words.
        alternative: String,
    },
    /// A picture.
    Image(Image),
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

/// Items with their labels.
pub(super) struct List {
    /// How items are labelled.
    pub(super) numbering: Numbering,
    /// The least width kept for the labels, points.
    pub(super) inset: f64,
    /// Space between a label that is wider than that and the text, points.
    pub(super) clearance: f64,
    /// Space between items, points.
    pub(super) gap: f64,
    /// Letters of the labels.
    pub(super) letters: Letters,
    /// Label and content.
    pub(super) items: Vec<(String, Vec<Block>)>,
}

/// Rows of labels and values. Its cells fill its columns: no overlaps, no holes.
pub(super) struct Table {
    /// Widths of the columns.
    pub(super) widths: Vec<Width>,
    /// Which lines are drawn.
    pub(super) border: Border,
    /// Space above and below the content of a cell, points.
    pub(super) padding: f64,
    /// How many rows, from the first, are repeated on every page the table goes on to.
    pub(super) heads: usize,
    /// Rows.
    pub(super) rows: Vec<Row>,
}

/// Lines of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Border {
    /// None, and no tint.
    None,
    /// Between rows.
    Rows,
    /// Between rows and columns, and around.
    Grid,
}

/// A row of a table.
pub(super) struct Row {
    /// Where it stands in the markup.
    pub(super) position: Position,
    /// Cells, from the left.
    pub(super) cells: Vec<Cell>,
}

/// A cell of a table.
pub(super) struct Cell {
    /// What it names, if it is a label: tinted.
    pub(super) scope: Option<Scope>,
    /// Its first column, from 0.
    pub(super) column: usize,
    /// Columns it spans, from 1.
    pub(super) columns: u16,
    /// Rows it spans, from 1.
    pub(super) rows: u16,
    /// Where its content stands if the cell is taller.
    pub(super) valign: Vertical,
    /// Content.
    pub(super) content: Vec<Block>,
}

/// A picture.
pub(super) struct Image {
    /// Which.
    pub(super) name: String,
    /// What it shows, in words.
    pub(super) alternative: String,
    /// Width, points. The height follows from the picture.
    pub(super) width: f64,
    /// Where it stands.
    pub(super) align: Align,
    /// How far it rises over what stands above it, points.
    pub(super) overlap: f64,
}

/// A paragraph.
#[derive(Clone)]
pub(super) struct Text {
    /// What it is to a reader; nothing of its own when it is all that an item or cell holds.
    pub(super) tag: Option<Tag>,
    /// How it looks.
    pub(super) letters: Letters,
    /// Where lines stand.
    pub(super) align: Align,
    /// Indent of the first line, points.
    pub(super) indent: f64,
    /// Indent of all lines, points.
    pub(super) inset: f64,
    /// Space between letters.
    pub(super) spacing: Spacing,
    /// Lines as the markup breaks them, of spans.
    pub(super) lines: Vec<Vec<Span>>,
}

/// Space between letters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Spacing {
    /// As the face has it.
    Natural,
    /// That much more between any two, points (字間).
    Tracked(f64),
    /// Whatever fills this width, points (均等割付).
    Spread(f64),
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

/// Where content stands in a cell that is taller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vertical {
    /// At the top.
    Top,
    /// In the middle.
    Middle,
    /// At the bottom.
    Bottom,
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
        widths
            .iter()
            .map(|width| if *width == Self::Rest { (room - taken) / rests } else { fixed(width) })
            .collect()
    }
}

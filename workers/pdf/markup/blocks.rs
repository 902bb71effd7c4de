//! The blocks that markup is parsed into. Lengths are points.

use crate::display_list::{Ink, Numbering, Scope, Tag};
use crate::fonts::Typeface;

/// The page number in running text: a noncharacter, which no document contains.
pub(crate) const PAGE_NUMBER: char = '\u{FFFF}';

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// Counted from 1.
    pub(crate) line: u32,
    /// Counted from 1, in characters.
    pub(crate) column: u32,
    pub(crate) element: &'static str,
}

pub(crate) struct Document {
    /// Width and height of the paper.
    pub(crate) size: (f64, f64),
    /// Top, right, bottom, left.
    pub(crate) margins: [f64; 4],
    pub(crate) header: Option<MarginText>,
    pub(crate) footer: Option<MarginText>,
    pub(crate) blocks: Vec<Block>,
}

/// Text in the margin of every page, in which [`PAGE_NUMBER`] is replaced.
pub(crate) struct MarginText {
    pub(crate) position: Position,
    pub(crate) on_first: bool,
    pub(crate) text: Text,
}

/// The look of text, inherited from the surrounding element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TextStyle {
    pub(crate) size: f64,
    pub(crate) typeface: Typeface,
    pub(crate) ink: Ink,
    /// Line height as a multiple of the size.
    pub(crate) leading: f64,
}

pub(crate) struct Block {
    pub(crate) position: Position,
    /// Space above it; ignored at the top of a page, box or cell.
    pub(crate) before: f64,
    /// Stays on the page of the next block.
    pub(crate) keep: bool,
    pub(crate) kind: BlockKind,
}

pub(crate) enum BlockKind {
    /// A heading, paragraph or caption.
    Text(Text),
    List(List),
    Table(Table),
    Frame {
        /// Width of the border; 0 for none.
        border: f64,
        tint: bool,
        padding: f64,
        content: Vec<Block>,
    },
    Rule {
        weight: f64,
        ink: Ink,
    },
    Space(f64),
    Key {
        text: String,
        /// Characters between two gaps.
        group: usize,
        style: TextStyle,
    },
    QrCode {
        data: String,
        /// Length of an edge, quiet zone included.
        size: f64,
        align: Align,
        alternative: String,
    },
    Image(Image),
    Columns {
        widths: Vec<ColumnWidth>,
        gap: f64,
        columns: Vec<Vec<Block>>,
    },
}

pub(crate) struct List {
    pub(crate) numbering: Numbering,
    /// Least width of the labels.
    pub(crate) inset: f64,
    /// Space between the text and a label that is wider than the inset.
    pub(crate) clearance: f64,
    pub(crate) gap: f64,
    pub(crate) style: TextStyle,
    /// Label and content of each item.
    pub(crate) items: Vec<(String, Vec<Block>)>,
}

/// Rows whose cells fill all columns, without overlaps or holes.
pub(crate) struct Table {
    pub(crate) widths: Vec<ColumnWidth>,
    pub(crate) border: Border,
    /// Space above and below the content of a cell.
    pub(crate) padding: f64,
    /// Number of rows at the start that are repeated on every further page.
    pub(crate) heads: usize,
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Border {
    /// No lines, and no tint.
    None,
    Rows,
    /// Between rows and columns, and around the table.
    Grid,
}

pub(crate) struct Row {
    pub(crate) position: Position,
    pub(crate) cells: Vec<Cell>,
}

pub(crate) struct Cell {
    /// The cells that a label names; `None` for a value.
    pub(crate) scope: Option<Scope>,
    /// Its first column, from 0.
    pub(crate) column: usize,
    /// Columns it spans, from 1.
    pub(crate) columns: u16,
    /// Rows it spans, from 1.
    pub(crate) rows: u16,
    pub(crate) valign: VerticalAlign,
    pub(crate) content: Vec<Block>,
}

pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) alternative: String,
    /// The height follows from the picture.
    pub(crate) width: f64,
    pub(crate) align: Align,
    /// How far it extends over the blocks above it.
    pub(crate) overlap: f64,
}

#[derive(Clone)]
pub(crate) struct Text {
    /// Its own structure element; `None` if the text is all that an item or cell holds.
    pub(crate) tag: Option<Tag>,
    pub(crate) style: TextStyle,
    pub(crate) align: Align,
    /// Indent of the first line.
    pub(crate) indent: f64,
    /// Indent of all lines.
    pub(crate) inset: f64,
    pub(crate) spacing: LetterSpacing,
    pub(crate) lines: Vec<Vec<Span>>,
}

impl Text {
    pub(crate) fn new(style: TextStyle, align: Align, lines: Vec<Vec<Span>>) -> Self {
        Self { tag: None, style, align, indent: 0.0, inset: 0.0, spacing: LetterSpacing::None, lines }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum LetterSpacing {
    None,
    /// This much between any two (字間).
    Tracked(f64),
    /// As much as fills this width (均等割付).
    Spread(f64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) text: String,
    pub(crate) typeface: Typeface,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Center,
    Right,
    /// Flush on both sides, except for the last line.
    Justify,
}

/// Position of content in a cell that is taller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VerticalAlign {
    Top,
    Middle,
    Bottom,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ColumnWidth {
    Points(f64),
    /// Fraction of the available width.
    Fraction(f64),
    /// An equal share of the remaining width.
    Rest,
}

impl ColumnWidth {
    pub(crate) fn resolve(widths: &[Self], room: f64) -> Vec<f64> {
        let fixed = |width: &Self| match width {
            Self::Points(points) => *points,
            Self::Fraction(fraction) => fraction * room,
            Self::Rest => 0.0,
        };
        let taken: f64 = widths.iter().map(fixed).sum();
        let shares = widths.iter().filter(|width| **width == Self::Rest).fold(0.0, |count, _| count + 1.0);
        widths
            .iter()
            .map(|width| if *width == Self::Rest { (room - taken) / shares } else { fixed(width) })
            .collect()
    }
}

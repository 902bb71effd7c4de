//! The display list: what a page shows, placed, and nothing about how a PDF says it.
//!
//! Lengths are points; x grows to the right and y downwards from the page's top left corner. Every element knows
//! the block (and table row) it belongs to and its role there, in reading order, because a tagged file needs it.

use std::rc::Rc;

/// A character in one face, with the space it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Letter {
    /// The character.
    pub(super) character: char,
    /// Extra advance in 1/1000 em.
    pub(super) pad: u16,
}

/// What an element is to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Decoration: no part of the text.
    Artifact,
    /// Heading of a level from 1.
    Heading(u8),
    /// Running text.
    Paragraph,
    /// ① of a list.
    ListLabel,
    /// Text of a list item.
    ListBody,
    /// Label of a table row.
    TableLabel,
    /// Value of a table row.
    TableValue,
    /// Authentication key.
    Key,
    /// Small print beside something.
    Caption,
    /// QR code.
    Figure,
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

/// Where an element belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Role within the block.
    pub(super) role: Role,
    /// Number of the block, in reading order.
    pub(super) block: u32,
    /// Row of a table.
    pub(super) row: Option<u32>,
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
}

/// A run of text in one face on one line.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// Number of the face.
    pub(super) face: u8,
    /// Size of letters.
    pub(super) size: f64,
    /// Left end on the baseline.
    pub(super) at: (f64, f64),
    /// Space added after every letter, for justified lines.
    pub(super) spacing: f64,
    /// Colour.
    pub(super) ink: Ink,
    /// The text.
    pub(super) text: String,
    /// Extra advance of the last letter in 1/1000 em.
    pub(super) pad: u16,
    /// Width from `at`, spacing and pad included.
    pub(super) width: f64,
    /// Place.
    pub(super) place: Place,
}

impl Run {
    /// The letters, the last one padded.
    pub(super) fn letters(&self) -> impl Iterator<Item = Letter> + '_ {
        let mut characters = self.text.chars().peekable();
        std::iter::from_fn(move || {
            let character = characters.next()?;
            Some(Letter { character, pad: if characters.peek().is_none() { self.pad } else { 0 } })
        })
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
            Self::Fill { at, .. } | Self::Code { at, .. } => shift(at),
        }
        self
    }
}

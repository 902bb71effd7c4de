//! The template language: about two dozen XML elements, parsed into typed blocks.
//!
//! Unknown elements and attributes, misplaced text and malformed lengths are errors with line and column: a
//! slip in a template must not become a gap in a certificate. Document types and custom entities are
//! rejected. `templates/README.md` describes each element, with a picture drawn from its example.
//!
//! Everything that needs no measuring is checked here: the cells of a table are placed in columns before they
//! are placed in points. Errors name positions, elements and attributes, never text: text is personal, and
//! errors are logged.

mod attributes;
mod blocks;
mod elements;
mod error;
mod inline;
mod lists;
mod read;
mod tables;

pub(crate) use blocks::{
    Align, Block, BlockKind, Border, Cell, ColumnWidth, Document, Image, LetterSpacing, List, MarginText,
    PAGE_NUMBER, Position, Row, Span, Table, Text, TextStyle, VerticalAlign,
};
pub(crate) use read::read;

#[cfg(test)]
mod manual;
#[cfg(test)]
mod tests;

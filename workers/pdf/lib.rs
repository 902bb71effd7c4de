//! Documents: markup in, PDF bytes out.
//!
//! ```text
//! markup ──► blocks ──► pieces on pages ──► display list ──► printpdf ──► lopdf ──► bytes
//! markup/    layout/    layout/             display.rs       print.rs     finish.rs
//! ```
//!
//! Everything that can be wrong with a document (markup, a character without a glyph, text that does not fit) is
//! found before the first byte is written. The display list carries role, block and row of every element: that is
//! what a tag tree needs, and it makes the back end one file that could be replaced.
//!
//! The same markup, fonts and [`Info`] give the same bytes: fonts and objects are numbered by the document alone,
//! dates come with [`Info`], and the file's `/ID` is a hash of its content.
//!
//! Rejected: printpdf's HTML engine (puts 、 at line starts, 14–45 documents a second), printpdf's own font
//! embedding (4 MB files, text that copies back wrongly) and its `save` (compression 9, random `/ID`): pages go
//! through printpdf, font programs and the file's end are written here. typst and krilla draw well, but several
//! times slower than a form letter needs.

mod colour;
mod deflate;
mod display;
mod face;
mod file;
mod finish;
mod fonts;
mod layout;
mod lines;
mod markup;
mod metadata;
mod picture;
mod print;
mod review;
mod stock;
mod structure;
mod subset;
mod text;

use chrono::NaiveDateTime;

use display::Display;
pub use fonts::{FontError, FontFile, FontPaths, Fonts};
pub use picture::{Picture, PictureError, Pictures};
pub use review::{Fallback, Review, review};
pub use stock::Stock;

#[cfg(test)]
pub(crate) use fonts::tests::fonts as test_fonts;

/// What a file says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Title, shown in the window's title bar.
    pub title: String,
    /// Who issued it.
    pub author: String,
    /// What it is about. Never a key.
    pub subject: String,
    /// Date of the document, UTC.
    pub created: NaiveDateTime,
    /// 保証契約番号.
    pub number: String,
    /// Number of the revision, from 0.
    pub revision: i64,
    /// A file to carry along.
    pub attachment: Option<Attachment>,
}

/// A file within a document, so that machines need not read what was written for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// File name, ASCII.
    pub name: &'static str,
    /// What it is, for a reader.
    pub description: &'static str,
    /// Media type, such as `application/json`.
    pub media_type: &'static str,
    /// The bytes.
    pub content: Vec<u8>,
}

/// What documents are drawn with.
#[derive(Clone, Copy)]
pub struct Materials<'a> {
    /// Faces.
    pub fonts: &'a Fonts,
    /// Pictures that markup may name.
    pub pictures: &'a Pictures,
    /// What documents of the template share.
    pub stock: &'a Stock,
}

/// Says why a document cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    /// The markup is not XML, or uses more of XML than it may.
    #[error("markup line {line}, column {column}: not well-formed")]
    NotXml {
        /// Line, from 1.
        line: u32,
        /// Column, from 1.
        column: u32,
        /// Why.
        source: Box<roxmltree::Error>,
    },
    /// The markup uses an element, attribute or value that does not exist.
    #[error("markup line {line}, column {column}: {problem}")]
    Markup {
        /// Line, from 1.
        line: u32,
        /// Column, from 1.
        column: u32,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A character that no font can draw.
    #[error("no font draws {character} (U+{:04X})", u32::from(*character))]
    MissingGlyph {
        /// The character.
        character: char,
    },
    /// A control character or bidirectional override.
    #[error("character U+{:04X} may not stand in a document", u32::from(*character))]
    ForbiddenCharacter {
        /// The character.
        character: char,
    },
    /// Something is larger than the place it must fit in.
    #[error("markup line {line}, column {column}: {what}")]
    Overflow {
        /// Line, from 1.
        line: u32,
        /// Column, from 1.
        column: u32,
        /// What does not fit where.
        what: &'static str,
    },
    /// The markup names a picture that nobody gave.
    #[error("markup line {line}, column {column}: there is no picture of that name")]
    NoPicture {
        /// Line, from 1.
        line: u32,
        /// Column, from 1.
        column: u32,
    },
    /// The text of a QR code is too long for one.
    #[error("cannot encode the QR code")]
    Code {
        /// How much too long.
        source: qrcodegen::DataTooLong,
    },
    /// printpdf had something to say: its warnings are broken documents.
    #[error("printpdf warns: {0}")]
    Warning(String),
    /// The parts of the file do not hang together as expected.
    #[error("the document lacks its {0}")]
    Structure(&'static str),
    /// The file cannot be put together.
    #[error("cannot write the document")]
    Write {
        /// Why.
        source: std::io::Error,
    },
}

/// Draws a document.
///
/// Takes about a millisecond of CPU for a page: call it off the async threads.
pub fn draw(markup: &str, materials: Materials<'_>, info: &Info) -> Result<Vec<u8>, PdfError> {
    let display = display(markup, materials.fonts, materials.pictures)?;
    let printed = print::printed(&display, materials)?;
    finish::finished(printed, &display, materials, info)
}

/// Lays a document out without drawing it, and tells how many pages it has.
pub fn pages(markup: &str, fonts: &Fonts, pictures: &Pictures) -> Result<usize, PdfError> {
    display(markup, fonts, pictures).map(|display| display.pages.len())
}

/// Prepares what all documents of a template share, from the markup of its samples.
pub fn stock<'a>(
    samples: impl IntoIterator<Item = &'a str>,
    fonts: &Fonts,
    pictures: &Pictures,
) -> Result<Stock, PdfError> {
    let drawings =
        samples.into_iter().map(|markup| display(markup, fonts, pictures)).collect::<Result<Vec<_>, _>>()?;
    Ok(Stock::of(&drawings, fonts))
}

fn display(markup: &str, fonts: &Fonts, pictures: &Pictures) -> Result<Display, PdfError> {
    let sheet = markup::read(markup)?;
    layout::display(&sheet, fonts, pictures)
}

#[cfg(test)]
mod tests;

//! Draws Japanese business documents: markup in, PDF/A bytes out.
//!
//! ```text
//! markup ──► blocks ──► pieces on pages ──► display list ──► printpdf ──► lopdf ──► bytes
//! markup/    layout/    layout/             display_list.rs  print.rs     write.rs
//! ```
//!
//! Every fault of a document (markup, a character without a glyph, text that does not fit) is found before
//! the first byte is written. The display list names the structure element of each thing on a page. The tag
//! tree needs that, and it confines the back end to a few files that could be replaced.
//!
//! The same markup, fonts and [`Info`] give the same bytes: fonts and objects are numbered per document,
//! dates come from [`Info`], and the file's `/ID` is a hash of its content.
//!
//! Rejected: printpdf's HTML engine (puts 、 at line starts, 14–45 documents a second), its font embedding (4
//! MB files, text that copies back wrong) and its `save` (compression 9, random `/ID`). Pages go through
//! printpdf; font programs and the end of the file are written here. typst and krilla draw well, but several
//! times slower than a form letter needs.

mod deflate;
mod diagnostics;
mod display_list;
mod error;
mod face;
mod fonts;
mod glyph_cache;
mod info;
mod layout;
mod lines;
mod markup;
mod materials;
mod metadata;
mod normalize;
mod object_stream;
mod picture;
mod print;
mod srgb;
mod structure;
mod subset;
mod write;

pub use diagnostics::{Diagnostics, Fallback, diagnose};
pub use error::PdfError;
pub use fonts::{FontError, FontFile, FontPaths, Fonts};
pub use glyph_cache::GlyphCache;
pub use info::{Attachment, Info};
pub use materials::Materials;
pub use picture::{Picture, PictureError, Pictures};

/// A page takes about a millisecond of CPU: call it off the async threads.
pub fn draw(markup: &str, materials: Materials<'_>, info: &Info) -> Result<Vec<u8>, PdfError> {
    let list = layout::lay_out(markup, materials.fonts, materials.pictures)?;
    let printed = print::print(&list, materials)?;
    write::write(printed, &list, materials, info)
}

pub fn page_count(markup: &str, fonts: &Fonts, pictures: &Pictures) -> Result<usize, PdfError> {
    layout::lay_out(markup, fonts, pictures).map(|list| list.pages.len())
}

#[cfg(test)]
pub(crate) use fonts::tests::fonts as test_fonts;
#[cfg(test)]
mod tests;

use crate::fonts::Fonts;
use crate::glyph_cache::GlyphCache;
use crate::picture::Pictures;

/// Everything a document is drawn with, apart from its markup.
#[derive(Clone, Copy)]
pub struct Materials<'a> {
    pub fonts: &'a Fonts,
    /// The pictures that the markup may name.
    pub pictures: &'a Pictures,
    /// Glyphs of the template, compressed once per process.
    pub glyph_cache: &'a GlyphCache,
}

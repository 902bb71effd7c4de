use crate::fonts::Fonts;
use crate::glyph_cache::GlyphCache;
use crate::picture::Pictures;

#[derive(Clone, Copy)]
pub struct Materials<'a> {
    pub fonts: &'a Fonts,
    pub pictures: &'a Pictures,
    /// Glyphs of the template, compressed once per process.
    pub glyph_cache: &'a GlyphCache,
}

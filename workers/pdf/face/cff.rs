//! Outlines of a `CFF` table, converted to `glyf` when they are first drawn.
//!
//! So all faces share the code path that copies `glyf` programs. A collection of Noto has 65,535 glyphs and a
//! document draws two hundred of them, so nothing is converted when the face is read. A converted program is
//! kept for the life of the process, and does not depend on the order of requests.

use std::sync::OnceLock;

use ttf_parser::{GlyphId, cff};

use super::outline::{Extent, Outline};

pub(super) struct CffOutlines {
    table: Vec<u8>,
    units: u16,
    programs: Vec<OnceLock<Option<Box<[u8]>>>>,
}

impl CffOutlines {
    /// Stated in `maxp`; the most complex kanji of Noto has a tenth of them.
    pub(super) const EXTENT: Extent = Extent { points: 8192, contours: 1024 };

    pub(super) fn new(table: &[u8], units: u16, glyphs: u16) -> Self {
        Self { table: table.to_vec(), units, programs: (0..glyphs).map(|_| OnceLock::new()).collect() }
    }

    /// Empty for a blank; `None` if it is broken or exceeds [`Self::EXTENT`].
    pub(super) fn get(&self, glyph: u16) -> Option<&[u8]> {
        self.programs.get(usize::from(glyph))?.get_or_init(|| self.convert(glyph)).as_deref()
    }

    fn convert(&self, glyph: u16) -> Option<Box<[u8]>> {
        let table = cff::Table::parse(&self.table)?;
        let mut outline = Outline::new(self.units);
        match table.outline(GlyphId(glyph), &mut outline) {
            Ok(_) => {}
            // A blank: it was read to its end and has no extent. The error type is not public.
            Err(error) if format!("{error:?}") == "ZeroBBox" => return Some(Box::default()),
            Err(_) => return None,
        }
        let mut program = Vec::new();
        let extent = outline.reversed().write(&mut program).ok()?;
        let fits = extent.points <= Self::EXTENT.points && extent.contours <= Self::EXTENT.contours;
        fits.then(|| program.into_boxed_slice())
    }
}

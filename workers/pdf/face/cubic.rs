//! Outlines of a `CFF` table, turned into `glyf` programs when they are first drawn.
//!
//! All faces take one road through the PDF that way, the one that copies programs. A collection of Noto has 65,535
//! glyphs and a document draws two hundred of them, so nothing is converted when the face is read; what was converted
//! stays for the life of the process, and is the same in whatever order it is asked for.

use std::sync::OnceLock;

use ttf_parser::{GlyphId, cff};

use super::outline::{Extent, Outline};

/// Programs of all glyphs, as far as they were drawn.
pub(super) struct Cubics {
    table: Vec<u8>,
    units: u16,
    programs: Vec<OnceLock<Option<Box<[u8]>>>>,
}

impl Cubics {
    /// What a program may have at most: `maxp` is written before the programs are. The most complex kanji of Noto have a tenth
    /// of it.
    pub(super) const EXTENT: Extent = Extent { points: 8192, contours: 1024 };

    /// Takes the table of a face with so many units and glyphs.
    pub(super) fn new(table: &[u8], units: u16, glyphs: u16) -> Self {
        Self { table: table.to_vec(), units, programs: (0..glyphs).map(|_| OnceLock::new()).collect() }
    }

    /// The program of a glyph, empty for a blank; `None` for a glyph that is broken or larger than [`Self::EXTENT`].
    pub(super) fn get(&self, glyph: u16) -> Option<&[u8]> {
        self.programs.get(usize::from(glyph))?.get_or_init(|| self.converted(glyph)).as_deref()
    }

    fn converted(&self, glyph: u16) -> Option<Box<[u8]>> {
        let table = cff::Table::parse(&self.table)?;
        let mut outline = Outline::new(self.units);
        match table.outline(GlyphId(glyph), &mut outline) {
            Ok(_) => {}
            // A blank: it was read to its end and has no extent. (The type of the error has no public name.)
            Err(error) if format!("{error:?}") == "ZeroBBox" => return Some(Box::default()),
            Err(_) => return None,
        }
        let mut program = Vec::new();
        let extent = outline.reversed().write(&mut program).ok()?;
        let fits = extent.points <= Self::EXTENT.points && extent.contours <= Self::EXTENT.contours;
        fits.then(|| program.into_boxed_slice())
    }
}

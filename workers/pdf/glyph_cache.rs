//! The glyphs that all documents of one template share, prepared once per process.
//!
//! A form letter repeats the words of its template in every copy. [`GlyphCache::from_samples`] lays the
//! samples of a template out and keeps the glyphs that most of them contain, so that drawing a document only
//! works on the rest. The cache is part of a document's bytes. It depends on template, samples and fonts
//! alone, never on what the process has drawn before.

use std::collections::BTreeMap;

use crate::display_list::{DisplayList, Element, Glyph};
use crate::error::PdfError;
use crate::fonts::Fonts;
use crate::layout;
use crate::picture::Pictures;
use crate::subset::SharedGlyphs;

#[derive(Debug, Default)]
pub struct GlyphCache {
    faces: BTreeMap<u8, SharedGlyphs>,
}

impl GlyphCache {
    /// A glyph is kept if at least half of the samples contain it.
    /// One that a document lacks costs it a hundred bytes; one that it contains costs it no time.
    pub fn from_samples<'a>(
        samples: impl IntoIterator<Item = &'a str>,
        fonts: &Fonts,
        pictures: &Pictures,
    ) -> Result<Self, PdfError> {
        let lists = samples
            .into_iter()
            .map(|markup| layout::lay_out(markup, fonts, pictures))
            .collect::<Result<Vec<_>, _>>()?;
        let mut counts: BTreeMap<u8, BTreeMap<Glyph, usize>> = BTreeMap::new();
        for list in &lists {
            for (face, glyphs) in glyphs_by_face(list) {
                let counts = counts.entry(face).or_default();
                for glyph in glyphs {
                    *counts.entry(glyph).or_default() += 1;
                }
            }
        }
        let common = |counts: BTreeMap<Glyph, usize>| -> Vec<Glyph> {
            counts.into_iter().filter(|(_, count)| 2 * count >= lists.len()).map(|(glyph, _)| glyph).collect()
        };
        let faces = counts
            .into_iter()
            .map(|(face, counts)| (face, common(counts)))
            .filter(|(_, glyphs)| !glyphs.is_empty())
            .map(|(face, glyphs)| (face, SharedGlyphs::new(fonts.face(face), glyphs)))
            .collect();
        Ok(Self { faces })
    }

    pub(crate) fn face(&self, face: u8) -> &SharedGlyphs {
        static NONE: SharedGlyphs = SharedGlyphs::EMPTY;
        self.faces.get(&face).unwrap_or(&NONE)
    }
}

/// The glyphs of a document by face, sorted, each once.
pub(crate) fn glyphs_by_face(list: &DisplayList) -> BTreeMap<u8, Vec<Glyph>> {
    let mut faces: BTreeMap<u8, Vec<Glyph>> = BTreeMap::new();
    for element in list.pages.iter().flat_map(|page| &page.elements) {
        if let Element::Text(run) = element {
            faces.entry(run.face).or_default().extend(&run.glyphs);
        }
    }
    for glyphs in faces.values_mut() {
        glyphs.sort_unstable();
        glyphs.dedup();
    }
    faces
}

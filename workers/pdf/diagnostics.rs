//! Findings for authors of templates about documents that can be drawn.

use std::collections::BTreeSet;

use crate::display_list::Element;
use crate::error::PdfError;
use crate::fonts::{Fonts, Typeface};
use crate::layout;
use crate::picture::Pictures;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    pub pages: usize,
    /// Characters that the first face of neither typeface draws, each once.
    pub fallbacks: Vec<Fallback>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fallback {
    pub character: char,
    /// PostScript name of the face.
    pub face: String,
}

pub fn diagnose(markup: &str, fonts: &Fonts, pictures: &Pictures) -> Result<Diagnostics, PdfError> {
    let list = layout::lay_out(markup, fonts, pictures)?;
    // Every face has a space, so this finds the first face of each chain.
    let first = [Typeface::Mincho, Typeface::Gothic]
        .map(|typeface| fonts.find(typeface, ' ', None).map(|(face, _)| face));
    let mut fallbacks = BTreeSet::new();
    for element in list.pages.iter().flat_map(|page| &page.elements) {
        if let Element::Text(run) = element
            && !first.contains(&Some(run.face))
        {
            fallbacks.extend(run.glyphs.iter().map(|glyph| (glyph.character, run.face)));
        }
    }
    let named = |(character, face)| Fallback { character, face: fonts.face(face).name.clone() };
    Ok(Diagnostics { pages: list.pages.len(), fallbacks: fallbacks.into_iter().map(named).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_fonts;

    #[test]
    fn counts_pages_and_names_fallbacks() {
        let markup = format!("<page><p>吉𠮷<em>𠮷槗</em></p>{}</page>", "<p>甲</p>".repeat(60));
        let found = diagnose(&markup, test_fonts(), &Pictures::new()).unwrap();
        let names: Vec<_> =
            found.fallbacks.iter().map(|fallback| (fallback.character, fallback.face.as_str())).collect();
        assert_eq!((found.pages, names), (2, vec![('槗', "VL-Gothic-Regular"), ('𠮷', "VL-Gothic-Regular")]));
    }
}

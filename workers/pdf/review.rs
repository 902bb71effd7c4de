//! What the person who edits a template wants to know beyond "it can be drawn".
//!
//! Excerpts of markup are made here and not by the errors: these are logged, and markup is full of names. Whoever
//! calls for an excerpt draws samples, whose names are invented.

use std::collections::BTreeSet;

use super::display::Element;
use super::fonts::{Fonts, Style};
use super::picture::Pictures;
use super::{PdfError, display};

/// What a look at a document finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// How many pages it has.
    pub pages: usize,
    /// Characters that the first face of neither style draws, each once.
    pub fallbacks: Vec<Fallback>,
}

/// A character that a face further back in its chain had to draw: it looks a little different from its neighbours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fallback {
    /// The character.
    pub character: char,
    /// PostScript name of the face.
    pub face: String,
}

/// Lays a document out and looks at it.
pub fn review(markup: &str, fonts: &Fonts, pictures: &Pictures) -> Result<Review, PdfError> {
    let display = display(markup, fonts, pictures)?;
    // Every face draws a space: the first of a style's chain answers.
    let first =
        [Style::Mincho, Style::Gothic].map(|style| fonts.find(style, ' ', None).map(|(face, _)| face));
    let mut fallbacks = BTreeSet::new();
    for element in display.pages.iter().flat_map(|page| &page.elements) {
        if let Element::Text(run) = element
            && !first.contains(&Some(run.face))
        {
            fallbacks.extend(run.letters.iter().map(|letter| (letter.character, run.face)));
        }
    }
    let named = |(character, face)| Fallback { character, face: fonts.face(face).name.clone() };
    Ok(Review { pages: display.pages.len(), fallbacks: fallbacks.into_iter().map(named).collect() })
}

/// Most characters of a line that an excerpt shows.
const LONGEST: usize = 90;

impl PdfError {
    /// The line of the markup that the error is about, as `line 12: <p colour="red">`. It repeats what the document says:
    /// for samples only, and never for a log.
    pub fn excerpt(&self, markup: &str) -> Option<String> {
        let (line, column) = match self {
            Self::NotXml { line, column, .. }
            | Self::Markup { line, column, .. }
            | Self::Overflow { line, column, .. }
            | Self::NoPicture { line, column } => (*line, *column),
            Self::MissingGlyph { character } | Self::ForbiddenCharacter { character } => {
                let (line, text) = (1..).zip(markup.lines()).find(|(_, text)| text.contains(*character))?;
                let column =
                    text.chars().take_while(|other| other != character).fold(1, |column, _| column + 1);
                (line, column)
            }
            _ => return None,
        };
        let text = markup.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)?;
        let start = text.chars().take_while(|character| character.is_whitespace()).count();
        // The place itself is always shown, with a little of what stands before it.
        let start = start
            .max(usize::try_from(column).ok()?.saturating_sub(1 + LONGEST / 3).min(text.chars().count()));
        let shown: String = text.chars().skip(start).take(LONGEST).collect();
        (!shown.is_empty()).then(|| format!("line {line}: {}", shown.trim_end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_fonts;

    fn excerpt(markup: &str) -> Option<String> {
        review(markup, test_fonts(), &Pictures::new()).unwrap_err().excerpt(markup)
    }

    #[test]
    fn pages_are_counted_and_fallbacks_named() {
        let markup = format!("<page><p>吉𠮷<em>𠮷槗</em></p>{}</page>", "<p>甲</p>".repeat(60));
        let found = review(&markup, test_fonts(), &Pictures::new()).unwrap();
        let names: Vec<_> =
            found.fallbacks.iter().map(|fallback| (fallback.character, fallback.face.as_str())).collect();
        assert_eq!((found.pages, names), (2, vec![('槗', "VL-Gothic-Regular"), ('𠮷', "VL-Gothic-Regular")]));
    }

    #[test]
    fn the_offending_line_is_shown() {
        assert_eq!(
            excerpt("<page>\n\n   <p colour=\"red\">甲</p>\n</page>").unwrap(),
            "line 3: <p colour=\"red\">甲</p>"
        );
        assert_eq!(
            excerpt("<page>\n <p>乙</p>\n <p>甲\u{10FFFD}</p></page>").unwrap(),
            "line 3: <p>甲\u{10FFFD}</p></page>"
        );
        assert_eq!(excerpt("<page>\n <p>甲\n</page>").unwrap(), "line 3: </page>");
        let long = format!("<page>{}<blink/></page>", "<p>甲</p>".repeat(500));
        let shown = excerpt(&long).unwrap();
        assert!(shown.contains("<blink/>") && shown.chars().count() < 110, "{shown}");
        assert_eq!(excerpt(""), None);
    }
}

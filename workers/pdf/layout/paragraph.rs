//! Lines of text: measuring, breaking, aligning, and runs of one face.

use super::{Layout, Piece, overflow};
use crate::pdf::PdfError;
use crate::pdf::display::{Element, Ink, Place, Run};
use crate::pdf::fonts::{Fonts, Style};
use crate::pdf::lines::{self, Measured};
use crate::pdf::markup::{Align, Letters, Position, Span, Text};

/// Where the baseline stands within the em square: both IPAex faces have 880 above and 120 below.
const ASCENT: f64 = 0.88;

/// The most that justification adds to a letter, in em. More looks torn, and from 0.1 on a gap is read as a space.
const MOST_SPACING: f64 = 0.06;

/// One letter of a paragraph with its face.
struct Letter {
    character: char,
    face: u8,
    advance: f64,
}

/// The first face for a character, and its advance at a size.
pub(super) fn measured(fonts: &Fonts, style: Style, character: char, size: f64) -> Result<(u8, f64), PdfError> {
    let (face, glyph) = fonts.find(style, character).ok_or(PdfError::MissingGlyph { character })?;
    Ok((face, f64::from(fonts.face(face).metric(glyph).thousandths) * size / 1000.0))
}

impl Layout<'_> {
    /// Lays out a paragraph, a piece per line.
    pub(super) fn paragraph(&mut self, text: &Text, place: Place, position: Position, width: f64) -> Result<Vec<Piece>, PdfError> {
        let mut pieces = Vec::new();
        let mut indent = text.indent;
        for spans in &text.lines {
            self.line_of_markup(text, spans, indent, place, position, width, &mut pieces)?;
            indent = 0.0;
        }
        Ok(pieces)
    }

    #[expect(clippy::too_many_arguments, reason = "one call, and the arguments are what a line depends on")]
    fn line_of_markup(
        &self,
        text: &Text,
        spans: &[Span],
        indent: f64,
        place: Place,
        position: Position,
        width: f64,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), PdfError> {
        let size = text.letters.size;
        let whole: String = spans.iter().map(|span| span.text.as_str()).collect();
        let mut letters = Vec::with_capacity(whole.len() / 3 + 1);
        let mut advances = Vec::with_capacity(whole.len() / 3 + 1);
        for span in spans {
            for character in span.text.chars() {
                let (face, advance) = measured(self.fonts, span.style, character, size)?;
                letters.push(Letter { character, face, advance });
                advances.push(Measured { character, advance });
            }
        }
        let room = width - text.inset;
        let broken = lines::broken(&whole, &advances, room, indent)
            .map_err(|lines::TooNarrow| overflow(position, "a line is narrower than a letter"))?;
        let height = size * text.letters.leading;
        let baseline = (height - size) / 2.0 + size * ASCENT;
        let last = broken.len() - 1;
        for (at, range) in broken.into_iter().enumerate() {
            let line = &letters[range];
            let room = if at == 0 { room - indent } else { room };
            let left = text.inset + if at == 0 { indent } else { 0.0 };
            let used: f64 = line.iter().map(|letter| letter.advance).sum();
            let (x, spacing) = match text.align {
                Align::Left => (0.0, 0.0),
                Align::Center => ((room - used) / 2.0, 0.0),
                Align::Right => (room - used, 0.0),
                Align::Justify if at == last => (0.0, 0.0),
                Align::Justify => (0.0, justified(room - used, line.len(), size)),
            };
            let elements = runs(line, (left + x, baseline), text.letters, spacing, place);
            pieces.push(Piece { position, before: 0.0, height, keep: false, elements, at_top: Vec::new() });
        }
        Ok(())
    }
}

/// Space after each letter of a line with `slack` to fill, rounded down to what a PDF says.
fn justified(slack: f64, letters: usize, size: f64) -> f64 {
    let Some(gaps) = letters.checked_sub(1).and_then(|gaps| u32::try_from(gaps).ok()).filter(|gaps| *gaps > 0) else { return 0.0 };
    let spacing = (slack / f64::from(gaps) * 1000.0).floor() / 1000.0;
    if spacing > 0.0 && spacing <= MOST_SPACING * size { spacing } else { 0.0 }
}

/// Groups letters of one face into runs.
fn runs(line: &[Letter], (mut x, y): (f64, f64), letters: Letters, spacing: f64, place: Place) -> Vec<Element> {
    let mut runs = Vec::new();
    for group in line.chunk_by(|one, other| one.face == other.face) {
        let width = group.iter().map(|letter| letter.advance + spacing).sum();
        runs.push(run(group.iter().map(|letter| letter.character).collect(), group[0].face, (x, y), letters, width, place));
        if let Some(Element::Text(run)) = runs.last_mut() {
            run.spacing = spacing;
        }
        x += width;
    }
    runs
}

/// A run without spacing or pad.
pub(super) fn run(text: String, face: u8, at: (f64, f64), letters: Letters, width: f64, place: Place) -> Element {
    let ink: Ink = letters.ink;
    Element::Text(Run { face, size: letters.size, at, spacing: 0.0, ink, text, pad: 0, width, place })
}

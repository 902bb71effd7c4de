//! Lines of text: letters with their faces, lines with their places, and runs of one face.

use super::{Layout, Piece, overflow};
use crate::PdfError;
use crate::display::{self, Element, Ink, Place, Run};
use crate::fonts::{Fonts, Style};
use crate::lines::{self, Letter, Room};
use crate::markup::{Align, Letters, Position, Span, Text};
use crate::text::{is_selector, joins};

/// Where the baseline stands within the em square: both IPAex faces have 880 above and 120 below.
const ASCENT: f64 = 0.88;

/// The first face for a character, and its advance at a size.
pub(super) fn measured(
    fonts: &Fonts,
    style: Style,
    character: char,
    size: f64,
) -> Result<(u8, f64), PdfError> {
    let (face, glyph) = fonts.find(style, character, None).ok_or(PdfError::MissingGlyph { character })?;
    Ok((face, f64::from(fonts.face(face).metric(glyph).thousandths) * size / 1000.0))
}

impl Layout<'_> {
    /// Lays out a paragraph, a piece per line.
    pub(super) fn paragraph(
        &mut self,
        text: &Text,
        place: Place,
        position: Position,
        width: f64,
    ) -> Result<Vec<Piece>, PdfError> {
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
        let mut letters = letters(self.fonts, spans)?;
        let whole = width - text.inset;
        // What fills a cell is a name or a value; running text is justified.
        let is_name = text.tag.is_none() && text.align != Align::Justify;
        let room = Room { first: thousandths(whole - indent, size), rest: thousandths(whole, size), is_name };
        let broken = lines::broken(&mut letters, room)
            .map_err(|lines::TooNarrow| overflow(position, "a line is narrower than a letter"))?;
        let height = size * text.letters.leading;
        let baseline = (height - size) / 2.0 + size * ASCENT;
        let last = broken.len() - 1;
        for (at, range) in broken.into_iter().enumerate() {
            let line = &mut letters[range];
            let (room, points, indent) =
                if at == 0 { (room.first, whole - indent, indent) } else { (room.rest, whole, 0.0) };
            let set = lines::set(line, room, text.align == Align::Justify && at < last);
            let free = points - points_of(set.width, size);
            let x = match text.align {
                Align::Left | Align::Justify => 0.0,
                Align::Center => free / 2.0,
                Align::Right => free,
            };
            let left = text.inset + indent + x - points_of(set.lead.into(), size);
            // Rounded down to what a PDF says, so that the sum stays within the room.
            let spacing = (set.spacing * size).floor() / 1000.0;
            let mut elements = runs(line, (left, baseline), text.letters, spacing, place);
            if let Some(Element::Text(run)) = elements.last_mut() {
                run.width -= points_of(set.trail.into(), size) + run.spacing;
            }
            pieces.push(Piece { position, before: 0.0, height, keep: false, elements, at_top: Vec::new() });
        }
        Ok(())
    }
}

/// Letters of spans with their faces. A character and the mark behind it are one letter where a face has a glyph for the
/// two; other selectors are dropped, other marks are letters themselves.
fn letters(fonts: &Fonts, spans: &[Span]) -> Result<Vec<Letter>, PdfError> {
    let mut letters = Vec::with_capacity(spans.iter().map(|span| span.text.len()).sum::<usize>() / 3 + 1);
    for span in spans {
        let mut characters = span.text.chars().peekable();
        while let Some(character) = characters.next() {
            if is_selector(character) {
                continue;
            }
            let mark = characters.peek().copied().filter(|next| joins(*next));
            let pair = mark.and_then(|mark| fonts.find(span.style, character, Some(mark)));
            let found = if pair.is_some() {
                characters.next().and(pair)
            } else {
                fonts.find(span.style, character, None)
            };
            let (number, glyph) = found.ok_or(PdfError::MissingGlyph { character })?;
            let face = fonts.face(number);
            let letter = display::Letter {
                mark: mark.filter(|_| pair.is_some()),
                ..display::Letter::plain(character)
            };
            letters.push(Letter::new(letter, number, face.metric(glyph).thousandths, || {
                // `xMin` and `xMax` of the outline's header.
                let edge = |at: usize| {
                    face.program(glyph)
                        .get(at..at + 2)
                        .map_or(0, |bytes| i16::from_be_bytes([bytes[0], bytes[1]]))
                };
                (face.thousandths(edge(2)), face.thousandths(edge(6)))
            }));
        }
    }
    Ok(letters)
}

/// Points as whole thousandths of an em: those that fit.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a length on a page; a size of nothing gives the largest number"
)]
fn thousandths(points: f64, size: f64) -> i64 {
    // A thousandth of slack for what sums of lengths are off.
    (points * 1000.0 / size + 0.001).floor().clamp(-1e12, 1e12) as i64
}

#[expect(clippy::cast_precision_loss, reason = "thousandths of a line: far below 2^53")]
fn points_of(thousandths: i64, size: f64) -> f64 {
    thousandths as f64 * size / 1000.0
}

/// Groups letters of one face into runs; a word on a line with spacing is a run of its own, without it.
fn runs(line: &[Letter], (mut x, y): (f64, f64), look: Letters, spacing: f64, place: Place) -> Vec<Element> {
    let mut runs = Vec::new();
    let mut start = 0;
    while start < line.len() {
        let key = |at: usize| (line[at].face, spacing > 0.0 && lines::in_word(line, at));
        let (face, is_word) = key(start);
        let end = (start + 1..line.len()).find(|at| key(*at) != (face, is_word)).unwrap_or(line.len());
        let group = &line[start..end];
        let spacing = if is_word { 0.0 } else { spacing };
        let width = group
            .iter()
            .map(|letter| {
                points_of(i64::from(letter.advance) + i64::from(letter.drawn.pad), look.size) + spacing
            })
            .sum();
        let mut element =
            run(group.iter().map(|letter| letter.drawn).collect(), face, (x, y), look, width, place);
        if let Element::Text(run) = &mut element {
            run.spacing = spacing;
        }
        runs.push(element);
        x += width;
        start = end;
    }
    runs
}

/// A run without spacing or pad.
pub(super) fn run(
    text: Vec<display::Letter>,
    face: u8,
    at: (f64, f64),
    look: Letters,
    width: f64,
    place: Place,
) -> Element {
    let ink: Ink = look.ink;
    Element::Text(Run { face, size: look.size, at, spacing: 0.0, ink, letters: text, width, place })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lines::{never_first, never_last};
    use crate::{Pictures, markup, test_fonts, text};

    fn span(text: &str) -> [Span; 1] {
        [Span { text: text.to_owned(), style: Style::Mincho }]
    }

    #[test]
    fn the_faces_leave_the_blank_that_lines_take() {
        for style in [Style::Mincho, Style::Gothic] {
            for punctuation in "「」『』（）〔〕［］｛｝〈〉《》【】〝〟、。，．".chars()
            {
                let mut line = letters(test_fonts(), &[Span { text: punctuation.into(), style }]).unwrap();
                assert_eq!(lines::set(&mut line, 9000, false).width, 500, "{punctuation} {style:?}");
            }
        }
    }

    #[test]
    fn a_mark_is_part_of_a_letter_where_a_face_draws_the_two() {
        let fonts = test_fonts();
        for (base, mark) in [
            ('葛', '\u{E0100}'),
            ('辻', '\u{E0101}'),
            ('神', '\u{FE00}'),
            ('か', '\u{309A}'),
            ('e', '\u{FE00}'),
        ] {
            let letters = letters(fonts, &span(&format!("甲{base}{mark}乙"))).unwrap();
            let drawn: Vec<_> =
                letters.iter().map(|letter| (letter.drawn.character, letter.drawn.mark)).collect();
            let pair = fonts.find(Style::Mincho, base, Some(mark));
            let mut expected = vec![('甲', None), (base, pair.map(|_| mark)), ('乙', None)];
            if pair.is_none() && !is_selector(mark) {
                expected.insert(2, (mark, None));
            }
            assert_eq!(drawn, expected);
        }
        assert_eq!(
            letters(fonts, &span("\u{FE00}甲\u{FE00}\u{E0100}")).unwrap().len(),
            1,
            "a selector by itself is nothing"
        );
        assert!(matches!(
            letters(fonts, &span("\u{10FFFD}\u{FE00}")),
            Err(PdfError::MissingGlyph { character: '\u{10FFFD}' })
        ));
    }

    /// Lines of a paragraph on a page of `width` mm: text, left and right edge of its ink.
    fn laid(text: &str, attributes: &str, width: u32) -> Vec<(String, f64, f64)> {
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
        let markup =
            format!("<page margin=\"0mm {}mm 20mm 0mm\"><p {attributes}>{escaped}</p></page>", 210 - width);
        let sheet = markup::read(&markup).unwrap();
        let pages = super::super::display(&sheet, test_fonts(), &Pictures::new()).unwrap().pages;
        let runs = pages.iter().flat_map(|page| &page.elements).filter_map(|element| match element {
            Element::Text(run) if run.place != Place::Footer => Some(run),
            _ => None,
        });
        let runs: Vec<_> = runs.collect();
        let lines = runs.chunk_by(|one, other| (one.at.1 - other.at.1).abs() < 0.001);
        lines
            .map(|line| {
                let text: String = line.iter().map(|run| run.text()).collect();
                let lead = if text.starts_with(|first: char| !first.is_ascii() && never_last(first)) {
                    line[0].size / 2.0
                } else {
                    0.0
                };
                for pair in line.windows(2) {
                    assert!(
                        (pair[0].at.0 + pair[0].width - pair[1].at.0).abs() < 0.001,
                        "runs touch: {text}"
                    );
                }
                let last = line[line.len() - 1];
                (text, line[0].at.0 + lead, last.at.0 + last.width)
            })
            .collect()
    }

    #[test]
    fn ends_of_lines_are_where_they_belong() {
        let sentence =
            "「発注者」（甲）は、工期の始期までに、（乙）あてにPDFを送付し、、確認する。".repeat(4);
        let wide = 100.0 * 72.0 / 25.4;
        let lines = laid(&sentence, "align=\"justify\"", 100);
        for (text, left, right) in &lines[..lines.len() - 1] {
            assert!(left.abs() < 0.01 && (right - wide).abs() < 0.5, "{text} from {left} to {right}");
        }
        for (text, _, right) in laid(&sentence, "align=\"right\"", 100) {
            assert!((right - wide).abs() < 0.01, "{text} to {right}");
        }
        for (text, left, right) in laid(&sentence, "align=\"center\"", 100) {
            assert!((left + right - wide).abs() < 0.01, "{text} from {left} to {right}");
        }
    }

    #[test]
    fn ten_thousand_letters_stay_within_their_column() {
        let name =
            "社会資本整備総合交付金事業（第３工区）Wakaba橋".chars().cycle().take(10_000).collect::<String>();
        let lines = laid(&name, "size=\"4pt\" leading=\"1\"", 60);
        assert!(lines.len() > 200);
        assert_eq!(lines.iter().map(|(text, ..)| text.as_str()).collect::<String>(), name);
        assert!(lines.iter().all(|(_, left, right)| *left >= -0.01 && *right <= 60.0 * 72.0 / 25.4 + 0.01));
    }

    /// What is copied, spaces aside.
    fn visible(text: &str) -> String {
        text.chars().filter(|character| !character.is_whitespace() && !is_selector(*character)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        #[test]
        fn generated_paragraphs_keep_their_text_and_their_place(
            text in "([一-仿ぁ-ヿ、-〟！-～A-Za-z0-9 。、（）「」ｱ-ﾟ𠮷﨑\u{E0100}ー・…'&<>/.@-]|、|。|（|）|「|」){1,100}",
            align in prop::sample::select(vec!["left", "center", "right", "justify"]),
            width in 30_u32..150,
        ) {
            prop_assume!(test_fonts().missing(&text).is_empty());
            let lines = laid(&text, &format!("align=\"{align}\""), width);
            let whole: String = lines.iter().map(|(text, ..)| text.as_str()).collect();
            prop_assert_eq!(visible(&whole), visible(&text::prepared(&text).unwrap()));
            let wide = f64::from(width) * 72.0 / 25.4;
            for (text, left, right) in &lines {
                prop_assert!(*left >= -0.01 && *right <= wide + 0.01, "{} from {} to {} of {}", text, left, right, wide);
            }
            for pair in lines.windows(2) {
                let cut = pair[0].0.chars().zip(pair[0].0.chars().skip(1)).any(|(one, other)| {
                    !never_last(one) && !never_first(other) && !one.is_whitespace() && !other.is_whitespace()
                });
                let broken = pair[1].0.starts_with(never_first) || pair[0].0.ends_with(never_last);
                prop_assert!(!broken || !cut, "{} | {}", pair[0].0, pair[1].0);
            }
        }
    }
}

//! Paragraphs: text to glyphs, glyphs to lines, lines to runs of one face.

use super::piece::{Layout, Piece, offset, overflow};
use crate::display_list::{Element, Glyph, Owner, Run};
use crate::error::PdfError;
use crate::fonts::{Fonts, Typeface};
use crate::lines::{self, LineGlyph, Room, TooNarrow};
use crate::markup::{Align, Position, Span, Text, TextStyle};
use crate::normalize::{is_mark, is_variation_selector};

/// Height of the em square above the baseline: that of both IPAex faces.
const ASCENT: f64 = 0.88;

/// The first face for a character, and its advance at a size.
pub(super) fn measure(
    fonts: &Fonts,
    typeface: Typeface,
    character: char,
    size: f64,
) -> Result<(u8, f64), PdfError> {
    let (face, glyph) = fonts.find(typeface, character, None).ok_or(PdfError::MissingGlyph { character })?;
    Ok((face, f64::from(fonts.face(face).metric(glyph).thousandths) * size / 1000.0))
}

impl Layout<'_> {
    pub(super) fn paragraph(
        &mut self,
        text: &Text,
        owner: Owner,
        position: Position,
        width: f64,
    ) -> Result<Vec<Piece>, PdfError> {
        let mut pieces = Vec::new();
        let mut indent = text.indent;
        for spans in &text.lines {
            self.lay_out_line(text, spans, indent, owner, position, width, &mut pieces)?;
            indent = 0.0;
        }
        Ok(pieces)
    }

    #[expect(clippy::too_many_arguments, reason = "one caller; a line depends on all of them")]
    fn lay_out_line(
        &self,
        text: &Text,
        spans: &[Span],
        indent: f64,
        owner: Owner,
        position: Position,
        width: f64,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), PdfError> {
        let size = text.style.size;
        let mut glyphs = glyphs(self.fonts, spans)?;
        let whole = width - text.inset;
        // Text without an element of its own fills a cell: a name or a value.
        let is_name = text.tag.is_none() && text.align != Align::Justify;
        let room = Room { first: thousandths(whole - indent, size), rest: thousandths(whole, size), is_name };
        let lines = lines::break_lines(&mut glyphs, room).map_err(|TooNarrow| {
            let room = whole - indent.max(0.0);
            overflow(position, format!("a line of {room:.1}pt is narrower than a glyph of {size:.1}pt"))
        })?;
        let height = size * text.style.leading;
        let baseline = (height - size) / 2.0 + size * ASCENT;
        let last = lines.len() - 1;
        for (at, range) in lines.into_iter().enumerate() {
            let line = &mut glyphs[range];
            let (room, points, indent) =
                if at == 0 { (room.first, whole - indent, indent) } else { (room.rest, whole, 0.0) };
            let set = lines::justify(line, room, text.align == Align::Justify && at < last);
            let x = offset(text.align, points, points_of(set.width, size));
            let left = text.inset + indent + x - points_of(set.lead.into(), size);
            // Rounded down to the precision of the PDF, so that the sum stays within the room.
            let spacing = (set.spacing * size).floor() / 1000.0;
            let mut elements = runs(line, (left, baseline), text.style, spacing, owner);
            if let Some(Element::Text(run)) = elements.last_mut() {
                run.width -= points_of(set.trail.into(), size) + run.spacing;
            }
            pieces.push(Piece::new(position, height, elements));
        }
        Ok(())
    }
}

/// A character and its mark are one glyph if a face has one for the two.
/// Otherwise a variation selector is dropped, and any other mark is a glyph itself.
fn glyphs(fonts: &Fonts, spans: &[Span]) -> Result<Vec<LineGlyph>, PdfError> {
    let mut glyphs = Vec::with_capacity(spans.iter().map(|span| span.text.len()).sum::<usize>() / 3 + 1);
    for span in spans {
        let mut characters = span.text.chars().peekable();
        while let Some(character) = characters.next() {
            if is_variation_selector(character) {
                continue;
            }
            let mark = characters.peek().copied().filter(|next| is_mark(*next));
            let pair = mark.and_then(|mark| fonts.find(span.typeface, character, Some(mark)));
            let found = if pair.is_some() {
                characters.next().and(pair)
            } else {
                fonts.find(span.typeface, character, None)
            };
            let (number, glyph) = found.ok_or(PdfError::MissingGlyph { character })?;
            let face = fonts.face(number);
            let drawn = Glyph { mark: mark.filter(|_| pair.is_some()), ..Glyph::plain(character) };
            glyphs.push(LineGlyph::new(drawn, number, face.metric(glyph).thousandths, || {
                // `xMin` and `xMax` in the header of the outline.
                let edge = |at: usize| {
                    face.program(glyph)
                        .get(at..at + 2)
                        .map_or(0, |bytes| i16::from_be_bytes([bytes[0], bytes[1]]))
                };
                (face.thousandths(edge(2)), face.thousandths(edge(6)))
            }));
        }
    }
    Ok(glyphs)
}

/// Points as thousandths of an em, rounded down.
#[expect(clippy::cast_possible_truncation, reason = "clamped; a size of zero gives the largest number")]
fn thousandths(points: f64, size: f64) -> i64 {
    // A thousandth of tolerance for sums of lengths.
    (points * 1000.0 / size + 0.001).floor().clamp(-1e12, 1e12) as i64
}

#[expect(clippy::cast_precision_loss, reason = "thousandths of a line: far below 2^53")]
fn points_of(thousandths: i64, size: f64) -> f64 {
    thousandths as f64 * size / 1000.0
}

/// On a line with spacing, a word is a run of its own, without spacing.
fn runs(
    line: &[LineGlyph],
    (mut x, y): (f64, f64),
    style: TextStyle,
    spacing: f64,
    owner: Owner,
) -> Vec<Element> {
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
            .map(|glyph| {
                points_of(i64::from(glyph.advance) + i64::from(glyph.drawn.pad), style.size) + spacing
            })
            .sum();
        let mut element =
            run(group.iter().map(|glyph| glyph.drawn).collect(), face, (x, y), style, width, owner);
        if let Element::Text(run) = &mut element {
            run.spacing = spacing;
        }
        runs.push(element);
        x += width;
        start = end;
    }
    runs
}

pub(super) fn run(
    glyphs: Vec<Glyph>,
    face: u8,
    at: (f64, f64),
    style: TextStyle,
    width: f64,
    owner: Owner,
) -> Element {
    Element::Text(Run { face, size: style.size, at, spacing: 0.0, ink: style.ink, glyphs, width, owner })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lines::{never_first, never_last};
    use crate::{Pictures, layout, normalize, test_fonts};

    fn span(text: &str) -> [Span; 1] {
        [Span { text: text.to_owned(), typeface: Typeface::Mincho }]
    }

    #[test]
    fn default_faces_have_the_blank_of_punctuation() {
        for typeface in [Typeface::Mincho, Typeface::Gothic] {
            for punctuation in "「」『』（）〔〕［］｛｝〈〉《》【】〝〟、。，．".chars()
            {
                let mut line = glyphs(test_fonts(), &[Span { text: punctuation.into(), typeface }]).unwrap();
                assert_eq!(lines::justify(&mut line, 9000, false).width, 500, "{punctuation} {typeface:?}");
            }
        }
    }

    #[test]
    fn joins_marks_that_have_a_common_glyph() {
        let fonts = test_fonts();
        for (base, mark) in [
            ('葛', '\u{E0100}'),
            ('辻', '\u{E0101}'),
            ('神', '\u{FE00}'),
            ('か', '\u{309A}'),
            ('e', '\u{FE00}'),
        ] {
            let glyphs = glyphs(fonts, &span(&format!("甲{base}{mark}乙"))).unwrap();
            let drawn: Vec<_> =
                glyphs.iter().map(|glyph| (glyph.drawn.character, glyph.drawn.mark)).collect();
            let pair = fonts.find(Typeface::Mincho, base, Some(mark));
            let mut expected = vec![('甲', None), (base, pair.map(|_| mark)), ('乙', None)];
            if pair.is_none() && !is_variation_selector(mark) {
                expected.insert(2, (mark, None));
            }
            assert_eq!(drawn, expected);
        }
        assert_eq!(
            glyphs(fonts, &span("\u{FE00}甲\u{FE00}\u{E0100}")).unwrap().len(),
            1,
            "a lone selector is dropped"
        );
        assert!(matches!(
            glyphs(fonts, &span("\u{10FFFD}\u{FE00}")),
            Err(PdfError::MissingGlyph { character: '\u{10FFFD}' })
        ));
    }

    /// Text, left and right edge of the lines of a paragraph of `width` mm.
    fn lay_out(text: &str, attributes: &str, width: u32) -> Vec<(String, f64, f64)> {
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
        let markup =
            format!("<page margin=\"0mm {}mm 20mm 0mm\"><p {attributes}>{escaped}</p></page>", 210 - width);
        let pages = layout::lay_out(&markup, test_fonts(), &Pictures::new()).unwrap().pages;
        let runs = pages.iter().flat_map(|page| &page.elements).filter_map(|element| match element {
            Element::Text(run) if run.owner != Owner::Footer => Some(run),
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
    fn aligns_lines_by_their_ink() {
        let sentence =
            "「発注者」（甲）は、工期の始期までに、（乙）あてにPDFを送付し、、確認する。".repeat(4);
        let wide = 100.0 * 72.0 / 25.4;
        let lines = lay_out(&sentence, "align=\"justify\"", 100);
        for (text, left, right) in &lines[..lines.len() - 1] {
            assert!(left.abs() < 0.01 && (right - wide).abs() < 0.5, "{text} from {left} to {right}");
        }
        for (text, _, right) in lay_out(&sentence, "align=\"right\"", 100) {
            assert!((right - wide).abs() < 0.01, "{text} to {right}");
        }
        for (text, left, right) in lay_out(&sentence, "align=\"center\"", 100) {
            assert!((left + right - wide).abs() < 0.01, "{text} from {left} to {right}");
        }
    }

    #[test]
    fn long_text_stays_within_its_column() {
        let name =
            "社会資本整備総合交付金事業（第３工区）Wakaba橋".chars().cycle().take(10_000).collect::<String>();
        let lines = lay_out(&name, "size=\"4pt\" leading=\"1\"", 60);
        assert!(lines.len() > 200);
        assert_eq!(lines.iter().map(|(text, ..)| text.as_str()).collect::<String>(), name);
        assert!(lines.iter().all(|(_, left, right)| *left >= -0.01 && *right <= 60.0 * 72.0 / 25.4 + 0.01));
    }

    /// The copied text without spaces.
    fn visible(text: &str) -> String {
        text.chars()
            .filter(|character| !character.is_whitespace() && !is_variation_selector(*character))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        #[test]
        fn generated_paragraphs_keep_their_text_and_column(
            text in "([一-仿ぁ-ヿ、-〟！-～A-Za-z0-9 。、（）「」ｱ-ﾟ𠮷﨑\u{E0100}ー・…'&<>/.@-]|、|。|（|）|「|」){1,100}",
            align in prop::sample::select(vec!["left", "center", "right", "justify"]),
            width in 30_u32..150,
        ) {
            prop_assume!(test_fonts().missing(&text).is_empty());
            let lines = lay_out(&text, &format!("align=\"{align}\""), width);
            let whole: String = lines.iter().map(|(text, ..)| text.as_str()).collect();
            prop_assert_eq!(visible(&whole), visible(&normalize::normalize(&text).unwrap()));
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

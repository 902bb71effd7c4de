//! The width of the terminal, and text wrapped to it.
//!
//! Japanese breaks as in documents (`icu_segmenter`, strict: no 、 or 」 begins a line).

use icu_segmenter::{
    LineSegmenter, LineSegmenterBorrowed,
    options::{LineBreakOptions, LineBreakStrictness},
};
use unicode_width::UnicodeWidthStr as _;

/// Columns of the terminal; without one, `COLUMNS`, or 80.
pub(super) fn columns() -> u16 {
    const DEFAULT: u16 = 80;
    const LEAST: u16 = 40;
    let terminal =
        || terminal_size::terminal_size_of(std::io::stdout()).map(|(terminal_size::Width(width), _)| width);
    let environment = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal().or_else(environment).unwrap_or(DEFAULT).max(LEAST)
}

/// Breaks a text into parts of at most `width` columns.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<&str> {
    const SEGMENTER: LineSegmenterBorrowed<'static> = LineSegmenter::new_for_non_complex_scripts(options());
    let (mut parts, mut start, mut reached) = (Vec::new(), 0, 0);
    for end in SEGMENTER.segment_str(text).skip(1) {
        if text[start..end].trim_end().width() > width {
            if reached > start {
                parts.push(&text[start..reached]);
                start = reached;
            }
            // No break opportunity: cut anywhere.
            while let Some(cut) = overflow(&text[start..end], width) {
                parts.push(&text[start..start + cut]);
                start += cut;
            }
        }
        reached = end;
    }
    if start < text.len() {
        parts.push(&text[start..]);
    }
    parts
}

/// Where to cut a text that does not fit.
fn overflow(text: &str, width: usize) -> Option<usize> {
    if text.trim_end().width() <= width {
        return None;
    }
    let ends = text.char_indices().map(|(at, character)| at + character.len_utf8());
    ends.take_while(|end| text[..*end].width() <= width).last()
}

const fn options() -> LineBreakOptions<'static> {
    let mut options = LineBreakOptions::default();
    options.strictness = Some(LineBreakStrictness::Strict);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_lines_and_keeps_their_text() {
        let text = "保証金額（5,000,000円、請負金額の50.0%）が上限を超えています。上限は「請負金額」の40%です。amount.exceeds_cap of <U+001B>髙﨑𠮷";
        for width in 8..90 {
            let parts = wrapped(text, width);
            assert_eq!(parts.concat(), text);
            assert!(parts.iter().all(|part| part.trim_end().width() <= width), "{width}: {parts:?}");
        }
        for part in wrapped(text, 30) {
            assert!(
                !part.starts_with(['、', '。', '」', '）']) && !part.trim_end().ends_with(['「', '（']),
                "{part}"
            );
        }
        assert_eq!(wrapped("", 10), [""; 0]);
    }

    #[test]
    fn cuts_unbreakable_text() {
        assert_eq!(wrapped("aaaaaaaaaa bb", 4), ["aaaa", "aaaa", "aa ", "bb"]);
        assert_eq!(wrapped("ーーーーー", 5).concat(), "ーーーーー");
    }
}

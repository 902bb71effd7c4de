//! The width of the terminal, and text wrapped to it.
//!
//! Japanese breaks as in documents (`icu_segmenter`, strict: no 、 or 」 begins a line), everything else at
//! spaces only: an identifier, a path or an option stays whole if it fits on a line.

use icu_segmenter::{
    LineSegmenter, LineSegmenterBorrowed,
    options::{LineBreakOptions, LineBreakStrictness},
};
use std::os::fd::AsFd;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Columns of standard output.
pub(super) fn columns() -> u16 {
    columns_of(std::io::stdout())
}

/// Columns of the terminal behind a stream; without one, `COLUMNS`, or 80.
pub(super) fn columns_of(stream: impl AsFd) -> u16 {
    const DEFAULT: u16 = 80;
    const LEAST: u16 = 40;
    let terminal = || terminal_size::terminal_size_of(stream).map(|(terminal_size::Width(width), _)| width);
    let environment = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal().or_else(environment).unwrap_or(DEFAULT).max(LEAST)
}

/// A text behind a prefix, in lines of at most `width` columns.
/// All lines but the first are indented.
pub(super) fn hanging(prefix: &str, text: &str, indent: usize, width: usize) -> String {
    const LEAST: usize = 20;
    let room = |taken: usize| width.saturating_sub(taken).max(LEAST);
    let (mut lines, mut before) = (Vec::new(), prefix.to_owned());
    for line in text.trim_end().split('\n') {
        let parts = parts(line, room(before.width()), room(indent));
        for part in if parts.is_empty() { vec![""] } else { parts } {
            lines.push(format!("{before}{part}").trim_end().to_owned());
            before = " ".repeat(indent);
        }
    }
    lines.join("\n")
}

/// The width of the longest part of a text that does not break.
pub(super) fn longest_part(text: &str) -> usize {
    let ends = [0].into_iter().chain(breaks(text)).collect::<Vec<_>>();
    ends.windows(2).map(|ends| text[ends[0]..ends[1]].trim_end().width()).max().unwrap_or_default()
}

/// Breaks a text into parts of at most `width` columns.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<&str> {
    parts(text, width, width)
}

fn breaks(text: &str) -> impl Iterator<Item = usize> {
    const SEGMENTER: LineSegmenterBorrowed<'static> = LineSegmenter::new_for_non_complex_scripts(options());
    SEGMENTER.segment_str(text).skip(1).filter(|end| is_between_words(text, *end))
}

fn is_between_words(text: &str, at: usize) -> bool {
    let is_wide = |character: char| character.width().is_some_and(|width| width > 1);
    match (text[..at].chars().next_back(), text[at..].chars().next()) {
        (Some(last), Some(next)) => last.is_whitespace() || is_wide(last) || is_wide(next),
        _ => true,
    }
}

fn parts(text: &str, first: usize, others: usize) -> Vec<&str> {
    let (mut parts, mut start, mut reached) = (Vec::new(), 0, 0);
    for end in breaks(text) {
        let room = |parts: &[&str]| if parts.is_empty() { first } else { others };
        if text[start..end].trim_end().width() > room(&parts) {
            if reached > start {
                parts.push(&text[start..reached]);
                start = reached;
            }
            // No break opportunity: cut anywhere.
            while let Some(cut) = overflow(&text[start..end], room(&parts)) {
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

    #[test]
    fn breaks_latin_text_at_spaces_only() {
        let text = "start a run with --dry-run, or read docs/operations.md";
        assert_eq!(wrapped(text, 22), ["start a run with ", "--dry-run, or read ", "docs/operations.md"]);
        assert_eq!(longest_part(text), "docs/operations.md".len());
        assert_eq!(longest_part("保証金額 --out"), "--out".len());
    }

    #[test]
    fn hangs_lines_below_the_text() {
        let text = "cannot connect to the broker at amqp://localhost\n  at once";
        assert_eq!(
            hanging("error: ", text, 7, 40),
            "error: cannot connect to the broker at\n       amqp://localhost\n         at once"
        );
        assert_eq!(hanging("  ", "", 4, 40), "");
    }
}

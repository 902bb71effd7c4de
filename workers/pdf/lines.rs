//! Line breaking: UAX 14 in its strict form, and the rules of the house on top.
//!
//! `icu_segmenter` in strict mode keeps 、。」 and small kana off line starts and 「（ off line ends. What it lacks
//! for business documents is added here: no break before ～ ´ ｀ ¨ and none after ＃, none inside a full-width
//! number, and a date stays with its units (令和8年 and 7月1日 are two pieces at most). A piece that is wider than
//! the line (a long Latin name, a path) is cut where it fills the line, but not so that a forbidden character
//! comes to a line's start.

use std::ops::Range;

use icu_segmenter::LineSegmenter;
use icu_segmenter::options::{LineBreakOptions, LineBreakStrictness};

/// A character and its advance in points.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    /// The character.
    pub(super) character: char,
    /// Advance in points.
    pub(super) advance: f64,
}

/// The line is too narrow for a single character.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooNarrow;

/// Slack for sums of rounded advances, in points.
const EPSILON: f64 = 1e-6;

/// Breaks characters (those of `text`) into lines of `width`, the first one shorter by `indent`.
///
/// The ranges leave out the spaces at the end of a line; an empty text is one empty line.
pub(super) fn broken(text: &str, characters: &[Measured], width: f64, indent: f64) -> Result<Vec<Range<usize>>, TooNarrow> {
    let total: f64 = characters.iter().map(|measured| measured.advance).sum();
    if total <= width - indent + EPSILON {
        return Ok(vec![trimmed(characters, 0, characters.len())]);
    }
    let allowed = opportunities(text, characters);
    let mut lines = Vec::new();
    let mut start = 0;
    while start < characters.len() {
        let room = if lines.is_empty() { width - indent } else { width };
        let end = line_end(characters, &allowed, start, room)?;
        lines.push(trimmed(characters, start, end));
        start = end;
    }
    Ok(lines)
}

fn trimmed(characters: &[Measured], start: usize, mut end: usize) -> Range<usize> {
    while end > start && is_space(characters[end - 1].character) {
        end -= 1;
    }
    start..end
}

fn line_end(characters: &[Measured], allowed: &[bool], start: usize, room: f64) -> Result<usize, TooNarrow> {
    let mut used = 0.0;
    let mut last = None;
    for (at, measured) in characters.iter().enumerate().skip(start) {
        if at > start && allowed[at] {
            last = Some(at);
        }
        // Spaces hang over the end of the line.
        if used + measured.advance > room + EPSILON && !is_space(measured.character) {
            return match last {
                Some(at) => Ok(at),
                None if at > start => Ok(emergency(characters, start, at)),
                None => Err(TooNarrow),
            };
        }
        used += measured.advance;
    }
    Ok(characters.len())
}

/// Where to cut an unbreakable piece of which `start..end` fits: as late as a line may start.
fn emergency(characters: &[Measured], start: usize, end: usize) -> usize {
    (start + 1..=end).rev().find(|&at| !never_first(characters[at].character) && !never_last(characters[at - 1].character)).unwrap_or(end)
}

/// For each character: may a line begin with it?
fn opportunities(text: &str, characters: &[Measured]) -> Vec<bool> {
    const SEGMENTER: icu_segmenter::LineSegmenterBorrowed<'static> = LineSegmenter::new_for_non_complex_scripts(options());
    let mut allowed = vec![false; characters.len()];
    let mut breaks = SEGMENTER.segment_str(text).peekable();
    for (at, (byte, _)) in text.char_indices().enumerate() {
        while breaks.next_if(|&next| next < byte).is_some() {}
        if at > 0 && breaks.peek() == Some(&byte) && !is_glued(characters, at) {
            allowed[at] = true;
        }
    }
    allowed
}

const fn options() -> LineBreakOptions<'static> {
    let mut options = LineBreakOptions::default();
    options.strictness = Some(LineBreakStrictness::Strict);
    options
}

/// The rules of the house: is there no break before `at`?
fn is_glued(characters: &[Measured], at: usize) -> bool {
    let get = |at: Option<usize>| at.and_then(|at| characters.get(at)).map_or('\0', |measured| measured.character);
    let (before, previous, next) = (get(at.checked_sub(2)), get(at.checked_sub(1)), get(Some(at)));
    let visible = characters[..at].iter().rev().map(|measured| measured.character).find(|&character| !is_space(character));
    if never_first(next) || visible.is_some_and(never_last) {
        return true;
    }
    if is_wide_digit(previous) && is_wide_digit(next) {
        return true;
    }
    // １２，３４５ and １．５
    if matches!(previous, '，' | '．') && is_wide_digit(before) && is_wide_digit(next) {
        return true;
    }
    // 8年 7月 1日 12,345,000円
    let is_number = |character: char| character.is_ascii_digit() || is_wide_digit(character);
    if (is_number(previous) || previous == '元') && matches!(next, '年' | '月' | '日' | '時' | '分' | '円') {
        return true;
    }
    // 4月｜1日
    if previous == '月' && is_number(before) && is_number(next) {
        return true;
    }
    // 令｜和｜8
    let is_year = |character: char| is_number(character) || character == '元';
    let is_era = |one, other| matches!((one, other), ('令' | '昭', '和') | ('平', '成'));
    (is_era(before, previous) && is_year(next)) || (is_era(previous, next) && is_year(get(Some(at + 1))))
}

fn is_wide_digit(character: char) -> bool {
    matches!(character, '０'..='９')
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\u{3000}')
}

/// Characters that no line begins with (行頭禁則), where UAX 14 is silent or a piece is cut.
pub(super) fn never_first(character: char) -> bool {
    matches!(
        character,
        '、' | '。'
            | '，'
            | '．'
            | ','
            | '.'
            | '・'
            | '：'
            | '；'
            | ':'
            | ';'
            | '？'
            | '！'
            | '?'
            | '!'
            | '゛'
            | '゜'
            | 'ヽ'
            | 'ヾ'
            | 'ゝ'
            | 'ゞ'
            | '々'
            | '〻'
            | 'ー'
            | '～'
            | '〜'
            | '´'
            | '｀'
            | '¨'
            | ')'
            | ']'
            | '}'
            | '）'
            | '］'
            | '｝'
            | '〕'
            | '〉'
            | '》'
            | '」'
            | '』'
            | '】'
            | '〟'
            | '’'
            | '”'
            | 'ぁ'
            | 'ぃ'
            | 'ぅ'
            | 'ぇ'
            | 'ぉ'
            | 'っ'
            | 'ゃ'
            | 'ゅ'
            | 'ょ'
            | 'ゎ'
            | 'ゕ'
            | 'ゖ'
            | 'ァ'
            | 'ィ'
            | 'ゥ'
            | 'ェ'
            | 'ォ'
            | 'ッ'
            | 'ャ'
            | 'ュ'
            | 'ョ'
            | 'ヮ'
            | 'ヵ'
            | 'ヶ'
            | '％'
            | '℃'
            | '°'
            | '′'
            | '″'
            | '\u{3099}'
            | '\u{309A}'
    )
}

/// Characters that no line ends with (行末禁則).
pub(super) fn never_last(character: char) -> bool {
    matches!(
        character,
        '(' | '[' | '{' | '（' | '［' | '｛' | '〔' | '〈' | '《' | '「' | '『' | '【' | '〝' | '‘' | '“' | '＃' | '￥' | '＄'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, width: f64) -> Vec<String> {
        let characters: Vec<_> =
            text.chars().map(|character| Measured { character, advance: if character.is_ascii() { 0.5 } else { 1.0 } }).collect();
        let all: Vec<char> = text.chars().collect();
        broken(text, &characters, width, 0.0).unwrap().into_iter().map(|range| all[range].iter().collect()).collect()
    }

    #[test]
    fn dates_amounts_and_numbers_stay_whole() {
        assert_eq!(lines("工期は令和8年7月1日から", 5.0), ["工期は", "令和8年", "7月1日から"]);
        assert_eq!(lines("請負金額12,345,000円", 7.0), ["請負金額", "12,345,000円"].map(str::to_owned));
        assert_eq!(lines("番号は３１０７４です", 6.0), ["番号は", "３１０７４で", "す"]);
        assert_eq!(lines("工区＃３の一部", 3.0), ["工区", "＃３の", "一部"]);
        assert_eq!(lines("一丁目～三丁目", 3.0), ["一丁", "目～三", "丁目"]);
    }

    #[test]
    fn long_pieces_are_cut_and_text_is_never_lost() {
        assert_eq!(lines("ABCDEFGHIJ", 2.0), ["ABCD", "EFGH", "IJ"]);
        assert_eq!(lines("https://example.jp/。", 3.0).concat(), "https://example.jp/。");
        assert_eq!(lines("株式会社　甲乙", 4.0), ["株式会社", "甲乙"]);
        assert_eq!(lines("", 4.0), [""]);
        assert_eq!(broken("大", &[Measured { character: '大', advance: 9.0 }], 4.0, 0.0), Err(TooNarrow));
    }

    #[test]
    fn no_line_of_ten_thousand_begins_or_ends_with_a_forbidden_character() {
        const WORDS: [&str; 14] =
            ["工事", "株式会社", "３", "１２", "8", "12,000円", "令和", "7月", "1日", "Tokyo", "A", "サーバ", "１，２", "橋梁"];
        const MARKS: [&str; 24] = [
            "", "", "", "「", "」", "（", "）", "、", "。", "ー", "ッ", "ょ", "々", "・", "～", "＃", "％", "！", "【", "】", " 、", "　",
            "” ", "“",
        ];
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut next = |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap() % bound
        };
        let mut count = 0;
        while count < 10_000 {
            let text: String = (0..90).map(|at| if at % 3 == 0 { WORDS[next(WORDS.len())] } else { MARKS[next(MARKS.len())] }).collect();
            let width = 12.0 + f64::from(u8::try_from(next(20)).unwrap());
            let broken = lines(&text, width);
            for pair in broken.windows(2) {
                let (last, first) = (pair[0].chars().next_back(), pair[1].chars().next());
                assert!(!first.is_some_and(never_first), "{pair:?} in {text}");
                assert!(!last.is_some_and(never_last), "{pair:?} in {text}");
                count += 1;
            }
        }
    }
}

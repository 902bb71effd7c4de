//! Where lines may break: UAX 14 in its strict form, with additional rules.
//!
//! `icu_segmenter` in strict mode keeps 、。」 and small kana off line starts and 「（ off line ends. The
//! rules added for business documents:
//!
//! - the characters of [`Class::NEVER_FIRST`] and [`Class::NEVER_LAST`] that UAX 14 omits, also across
//!   spaces;
//! - a number is not divided, nor separated from its counter (12,345,000円, ３工区, 3か月, 3億5,000万円) or
//!   its 第;
//! - a date has at most two pieces: 令和8年 and 7月1日;
//! - a word in full-width letters (ＪＲ, Ｗａｋａｂａ) is not divided, nor are …… ―― ‥‥ and 〳〵;
//! - a web or mail address breaks after / . @ _ & ? = and gets no hyphen: readers would type it.

use icu_segmenter::LineSegmenter;
use icu_segmenter::options::{LineBreakOptions, LineBreakStrictness};

use super::class::Class;
use super::glyph::LineGlyph;

/// For each glyph, whether a line may begin with it.
pub(super) fn find(glyphs: &[LineGlyph]) -> Vec<bool> {
    const SEGMENTER: icu_segmenter::LineSegmenterBorrowed<'static> =
        LineSegmenter::new_for_non_complex_scripts(options());
    // Marks that share a glyph with a character do not affect breaks.
    let text: String = glyphs.iter().map(|glyph| glyph.drawn.character).collect();
    let mut allowed = vec![false; glyphs.len()];
    let mut breaks = SEGMENTER.segment_str(&text).peekable();
    let mut visible = None;
    for (at, (byte, _)) in text.char_indices().enumerate() {
        while breaks.next_if(|&next| next < byte).is_some() {}
        let is_break = at > 0 && breaks.peek() == Some(&byte);
        allowed[at] = is_break
            && !visible.is_some_and(|class: Class| class.is(Class::NEVER_LAST))
            && !is_glued(glyphs, at);
        if !glyphs[at].is_space() {
            visible = Some(glyphs[at].class);
        }
    }
    let is_word = |glyph: &LineGlyph| glyph.drawn.character.is_ascii_graphic();
    let mut start = 0;
    for word in glyphs.chunk_by(|one, other| is_word(one) == is_word(other)) {
        if is_word(&word[0]) && is_address(word) {
            for (at, pair) in (start + 1..).zip(word.windows(2)) {
                let ends_part = matches!(pair[0].drawn.character, '/' | '.' | '@' | '_' | '&' | '?' | '=');
                allowed[at] |= ends_part && pair[1].drawn.character.is_ascii_alphanumeric();
            }
        }
        start += word.len();
    }
    allowed
}

const fn options() -> LineBreakOptions<'static> {
    let mut options = LineBreakOptions::default();
    options.strictness = Some(LineBreakStrictness::Strict);
    options
}

/// `https://…`, `www.…` or `name@…`.
fn is_address(word: &[LineGlyph]) -> bool {
    let begins = |rest: &[LineGlyph], with: &str| {
        rest.len() > with.len()
            && rest.iter().zip(with.chars()).all(|(glyph, character)| glyph.drawn.character == character)
    };
    begins(word, "www.")
        || word.iter().any(|glyph| glyph.drawn.character == '@')
        || (0..word.len()).any(|at| begins(&word[at..], "://"))
}

/// Whether the additional rules forbid a break before `at`.
fn is_glued(glyphs: &[LineGlyph], at: usize) -> bool {
    let get = |at: Option<usize>| {
        at.and_then(|at| glyphs.get(at)).map_or(('\0', Class::of('\0')), |it| (it.drawn.character, it.class))
    };
    let ((before, earlier), (previous, one), (next, two)) =
        (get(at.checked_sub(2)), get(at.checked_sub(1)), get(Some(at)));
    if two.is(Class::NEVER_FIRST) {
        return true;
    }
    let wide = Class::WIDE_DIGIT.or(Class::WIDE_LATIN);
    if one.is(wide) && two.is(wide) {
        return true;
    }
    // １２，３４５ and １．５
    if matches!(previous, '，' | '．') && earlier.is(Class::WIDE_DIGIT) && two.is(Class::WIDE_DIGIT) {
        return true;
    }
    // 8年 12,345,000円 ３工区 50㎡
    if one.is(Class::NUMBER) && two.is(Class::IDEOGRAPH.or(Class::COUNTER))
        || (previous, next) == ('元', '年')
    {
        return true;
    }
    // 3億｜5,000万｜円
    let scales = matches!(previous, '千' | '万' | '億' | '兆') && (two.is(Class::NUMBER) || next == '円');
    // 4月｜1日, 第｜34号
    if earlier.is(Class::NUMBER) && (scales || (previous == '月' && two.is(Class::NUMBER)))
        || (previous == '第' && two.is(Class::NUMBER))
    {
        return true;
    }
    if matches!((previous, next), ('…', '…') | ('‥', '‥') | ('―', '―') | ('—', '—') | ('─', '─'))
    {
        return true;
    }
    // 令｜和｜8
    let is_year = |(character, class): (char, Class)| class.is(Class::NUMBER) || character == '元';
    let is_era =
        |one, other| matches!((one, other), ('令' | '昭', '和') | ('平', '成') | ('大', '正') | ('明', '治'));
    (is_era(before, previous) && is_year((next, two)))
        || (is_era(previous, next) && is_year(get(Some(at + 1))))
}

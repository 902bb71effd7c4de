//! The role of a character in a line.
//!
//! The lists are those of JIS X 4051 and of business typesetting. UAX 14 omits some of their characters (～ ´
//! ｀ ¨ ＃), and cutting a piece that is wider than a line needs them all. A list can be compared with the
//! standard; no property of Unicode states 行頭禁則.
//!
//! A hyphen ends no line: readers take it for hyphenation and drop it when text is copied, and half of the
//! hyphens here are parts of numbers, codes and addresses.

use unicode_normalization::char::is_combining_mark;

/// A set of the properties below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class(u16);

impl Class {
    /// May not begin a line (行頭禁則).
    pub(super) const NEVER_FIRST: Self = Self(1);
    /// May not end a line (行末禁則).
    pub(super) const NEVER_LAST: Self = Self(1 << 1);
    /// Hangs over the end of a line, invisible.
    pub(super) const SPACE: Self = Self(1 << 2);
    /// A full-width opening bracket: blank on its left.
    pub(super) const OPENING: Self = Self(1 << 3);
    /// A full-width closing bracket or comma: blank on its right.
    pub(super) const CLOSING: Self = Self(1 << 4);
    /// A full stop: closing too, and its blank is part of the pause.
    pub(super) const STOP: Self = Self(1 << 5);
    /// ・：；: blank on both sides.
    pub(super) const CENTRED: Self = Self(1 << 6);
    pub(super) const IDEOGRAPH: Self = Self(1 << 7);
    pub(super) const KANA: Self = Self(1 << 8);
    pub(super) const LATIN: Self = Self(1 << 9);
    pub(super) const DIGIT: Self = Self(1 << 10);
    pub(super) const WIDE_DIGIT: Self = Self(1 << 11);
    pub(super) const WIDE_LATIN: Self = Self(1 << 12);
    /// Part of a word: letters, digits and marks of proportional width.
    pub(super) const NARROW: Self = Self(1 << 13);
    pub(super) const MARK: Self = Self(1 << 14);
    /// Belongs to the number before it, as every ideograph does: ％ ℃ ヶ か つ.
    pub(super) const COUNTER: Self = Self(1 << 15);

    pub(super) const NUMBER: Self = Self::DIGIT.or(Self::WIDE_DIGIT);
    pub(super) const JAPANESE: Self = Self::IDEOGRAPH.or(Self::KANA);

    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the sets intersect.
    pub(super) const fn is(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    #[expect(clippy::match_same_arms, reason = "single characters, then ranges")]
    pub(super) fn of(character: char) -> Self {
        match character {
            '\u{4E00}'..='\u{9FFF}'
            | '\u{3400}'..='\u{4DBF}'
            | '〆'
            | '〇'
            | '\u{2E80}'..='\u{2FDF}'
            | '\u{F900}'..='\u{FAFF}'
            | '\u{20000}'..='\u{3FFFF}' => Self::IDEOGRAPH,
            'か' | 'つ' => Self::KANA.or(Self::COUNTER),
            'ぁ' | 'ぃ' | 'ぅ' | 'ぇ' | 'ぉ' | 'っ' | 'ゃ' | 'ゅ' | 'ょ' | 'ゎ' | 'ゕ' | 'ゖ' | 'ァ'
            | 'ィ' | 'ゥ' | 'ェ' | 'ォ' | 'ッ' | 'ャ' | 'ュ' | 'ョ' | 'ヮ' | 'ー' | 'ｰ' | 'ﾞ' | 'ﾟ' | 'ヽ'
            | 'ヾ' | 'ゝ' | 'ゞ' | '゛' | '゜' | 'ゟ' | 'ヿ' | '\u{1B132}' | '\u{1B155}' => {
                Self::KANA.or(Self::NEVER_FIRST)
            }
            '\u{31F0}'..='\u{31FF}' | 'ｧ'..='ｯ' | '\u{1B150}'..='\u{1B152}' | '\u{1B164}'..='\u{1B167}' => {
                Self::KANA.or(Self::NEVER_FIRST)
            }
            'ヵ' | 'ヶ' => Self::KANA.or(Self::NEVER_FIRST).or(Self::COUNTER),
            '々' | '〻' | '\u{16FF2}'..='\u{16FF3}' => Self::IDEOGRAPH.or(Self::NEVER_FIRST),
            '\u{3041}'..='\u{3096}' | '\u{30A1}'..='\u{30FA}' | 'ｦ'..='ﾝ' | '\u{1B000}'..='\u{1B16F}' => {
                Self::KANA
            }
            ' ' => Self::SPACE.or(Self::NARROW),
            '\u{3000}' | '\u{2000}'..='\u{2006}' | '\u{2008}'..='\u{200A}' | '\u{205F}' => Self::SPACE,
            '0'..='9' => Self::DIGIT.or(Self::NARROW),
            '０'..='９' => Self::WIDE_DIGIT,
            'Ａ'..='Ｚ' | 'ａ'..='ｚ' => Self::WIDE_LATIN,
            '×' | '÷' => Self(0),
            'A'..='Z'
            | 'a'..='z'
            | '\u{C0}'..='\u{24F}'
            | '\u{370}'..='\u{52F}'
            | '\u{1E00}'..='\u{1FFF}' => Self::LATIN.or(Self::NARROW),
            ',' | '.' | ':' | ';' | '?' | '!' | ')' | ']' | '}' | '%' | '°' => {
                Self::NEVER_FIRST.or(Self::NARROW)
            }
            '(' | '[' | '{' | '$' | '¥' | '£' | '€' | '-' => Self::NEVER_LAST.or(Self::NARROW),
            '!'..='~' => Self::NARROW,
            '（' | '［' | '｛' | '〔' | '〈' | '《' | '「' | '『' | '【' | '〖' | '〘' | '〝' | '‘' | '“'
            | '｟' => Self::NEVER_LAST.or(Self::OPENING),
            '）' | '］' | '｝' | '〕' | '〉' | '》' | '」' | '』' | '】' | '〗' | '〙' | '〟' | '’' | '”'
            | '｠' | '、' | '，' => Self::NEVER_FIRST.or(Self::CLOSING),
            '。' | '．' => Self::NEVER_FIRST.or(Self::CLOSING).or(Self::STOP),
            '・' | '：' | '；' => Self::NEVER_FIRST.or(Self::CENTRED),
            '％' | '℃' | '‰' | '′' | '″' => Self::NEVER_FIRST.or(Self::COUNTER),
            '\u{3380}'..='\u{33DF}' => Self::COUNTER,
            '｡' | '､' | '･' | '｣' | '？' | '！' | '‼' | '⁇' | '⁈' | '⁉' | '～' | '〜' | '－' | '–' | '゠'
            | '´' | '｀' | '¨' | '〵' | '»' => Self::NEVER_FIRST,
            '｢' | '＃' | '￥' | '＄' | '￡' | '〳' | '〴' | '«' => Self::NEVER_LAST,
            '‐' | '\u{2011}' => Self::NEVER_FIRST.or(Self::NEVER_LAST),
            _ if is_combining_mark(character) => Self::NEVER_FIRST.or(Self::MARK),
            _ => Self(0),
        }
    }
}

#[cfg(test)]
pub(crate) fn never_first(character: char) -> bool {
    Class::of(character).is(Class::NEVER_FIRST)
}

#[cfg(test)]
pub(crate) fn never_last(character: char) -> bool {
    Class::of(character).is(Class::NEVER_LAST)
}

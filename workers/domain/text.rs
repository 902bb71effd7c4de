//! Widths and hostile characters of text from outside.
//!
//! Two kinds of text, two treatments. **Figures and numbers** (amounts, dates, guarantee numbers, telephone numbers)
//! are typed in either width with any of a dozen hyphens; [`digits`] and [`ascii`] settle that. **Names** keep their code
//! points: 髙, 﨑 and 𠮷 are different people from 高, 崎 and 吉, and NFKC would merge them, so names are only trimmed
//! ([`trim`]) and searched for characters that no form field can hold ([`fault`]). 預託金融機関 stands between the two:
//! the form demands full width, and [`bank_name`] widens exactly the half-width forms.
//!
//! Composition of half-width kana is a table here and not NFKC of a part of the text, because NFKC would also change
//! compatibility ideographs and circled figures next to the kana.

/// Widens a 預託金融機関: half-width kana (with their marks composed), ASCII and spaces become full-width.
///
/// U+3000 and everything else is kept as it is. Applying it twice changes nothing more.
pub fn bank_name(value: &str) -> String {
    let mut wide = String::with_capacity(value.len() * 2);
    for character in value.chars() {
        let character = widened(character);
        let composed = match character {
            '\u{3099}' => wide.chars().next_back().and_then(voiced),
            '\u{309a}' => wide.chars().next_back().and_then(half_voiced),
            _ => None,
        };
        if let Some(composed) = composed {
            wide.pop();
            wide.push(composed);
        } else {
            wide.push(character);
        }
    }
    // A half-width mark that met no kana stands alone: the spacing form is its full-width twin.
    if value.contains(['ﾞ', 'ﾟ']) { wide.replace('\u{3099}', "゛").replace('\u{309a}', "゜") } else { wide }
}

/// Half-width katakana U+FF61..U+FF9D in order, without the two marks that follow.
const WIDE_KANA: &str =
    "。「」、・ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン";

fn widened(character: char) -> char {
    match character {
        ' ' | '\u{a0}' => '\u{3000}',
        '!'..='~' => char::from_u32(u32::from(character) + 0xfee0).unwrap_or(character),
        '¥' => '￥',
        '\u{ff61}'..='\u{ff9d}' => WIDE_KANA.chars().nth((u32::from(character) - 0xff61) as usize).unwrap_or(character),
        'ﾞ' => '\u{3099}',
        'ﾟ' => '\u{309a}',
        _ => character,
    }
}

/// The kana with dakuten: カ → ガ.
fn voiced(kana: char) -> Option<char> {
    const PLAIN: &str = "カキクケコサシスセソタチツテトハヒフヘホウワヲかきくけこさしすせそたちつてとはひふへほう";
    const VOICED: &str = "ガギグゲゴザジズゼゾダヂヅデドバビブベボヴヷヺがぎぐげござじずぜぞだぢづでどばびぶべぼゔ";
    twin(kana, PLAIN, VOICED)
}

/// The kana with handakuten: ハ → パ.
fn half_voiced(kana: char) -> Option<char> {
    twin(kana, "ハヒフヘホはひふへほ", "パピプペポぱぴぷぺぽ")
}

fn twin(kana: char, from: &str, to: &str) -> Option<char> {
    from.chars().position(|candidate| candidate == kana).and_then(|index| to.chars().nth(index))
}

/// Whether the character is one of those that people type for a hyphen.
fn is_hyphen(character: char) -> bool {
    matches!(
        character,
        '-' | '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{2500}' | '\u{30fc}' | '\u{fe63}' | '\u{ff0d}' | '\u{ff70}'
    )
}

/// Narrows full-width digits and turns every kind of hyphen (`－ ‐ − ー – …`) into `-`; all else is kept.
pub fn digits(value: &str) -> String {
    value.chars().map(|character| if is_hyphen(character) { '-' } else { narrow_digit(character) }).collect()
}

fn narrow_digit(character: char) -> char {
    match character {
        '０'..='９' => char::from_u32(u32::from(character) - 0xfee0).unwrap_or(character),
        _ => character,
    }
}

/// [`digits`], and full-width letters, signs and spaces too: for codes such as `３１０７４－００００１Ｍ`.
pub fn ascii(value: &str) -> String {
    digits(value)
        .chars()
        .map(|character| match character {
            '！'..='～' => char::from_u32(u32::from(character) - 0xfee0).unwrap_or(character),
            '\u{3000}' => ' ',
            _ => character,
        })
        .collect()
}

/// Narrows a telephone number. A hyphen counts as one only beside a digit, so that `センター` keeps its ー.
pub fn telephone(value: &str) -> String {
    let characters: Vec<char> = value.chars().map(narrow_digit).collect();
    let digit_at = |index: Option<usize>| index.and_then(|index| characters.get(index)).is_some_and(char::is_ascii_digit);
    characters
        .iter()
        .enumerate()
        .map(
            |(index, &character)| {
                if is_hyphen(character) && digit_at(index.checked_sub(1)) && digit_at(index.checked_add(1)) { '-' } else { character }
            },
        )
        .collect()
}

/// Removes thousands separators (`, ， 、`) where they stand before groups of three digits; `None` where they do not.
///
/// `12,00` is a slip of the hand and not twelve hundred.
pub fn ungrouped(value: &str) -> Option<String> {
    if !value.contains([',', '，', '、']) {
        return Some(value.to_owned());
    }
    let (sign, figure) = value.strip_prefix('-').map_or(("", value), |figure| ("-", figure));
    let mut groups = figure.split([',', '，', '、']);
    let first = groups.next()?;
    let whole = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let fits = (1..=3).contains(&first.len()) && whole(first) && groups.all(|group| group.len() == 3 && whole(group));
    fits.then(|| format!("{sign}{}", figure.replace([',', '，', '、'], "")))
}

/// Removes white space at both ends, but never a control character or a line or paragraph separator: those are faults to report.
pub fn trim(value: &str) -> &str {
    value.trim_matches(|character: char| character.is_whitespace() && !is_control(character))
}

/// What a character that no form field can hold is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A control character, or a line or paragraph separator.
    Control,
    /// A mark, override or isolate of writing direction: it can show a name in another order than it is stored.
    Direction,
    /// A character without a glyph: two names that look the same would differ.
    Invisible,
    /// Private use (外字): every machine shows another glyph, or none.
    PrivateUse,
    /// A code point that is not a character, or U+FFFD, which says that text was lost on the way.
    NotACharacter,
}

/// The first [`Fault`] of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub fault: Fault,
    /// The character.
    pub character: char,
    /// Index of the character within the text, from 1.
    pub position: usize,
}

/// Whether a field may hold more than one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// Names, addresses, numbers: never a line feed.
    One,
    /// Remarks: CR and LF and tabs are text.
    Many,
}

/// Finds the first character that a field cannot hold. Variation selectors are fine: they choose a name's glyph.
pub fn fault(value: &str, lines: Lines) -> Option<Found> {
    value.chars().enumerate().find_map(|(index, character)| {
        if lines == Lines::Many && matches!(character, '\r' | '\n' | '\t') {
            return None;
        }
        fault_of(character).map(|fault| Found { fault, character, position: index + 1 })
    })
}

fn is_control(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

fn fault_of(character: char) -> Option<Fault> {
    let code = u32::from(character);
    Some(match character {
        _ if is_control(character) => Fault::Control,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Fault::Direction,
        '\u{ad}'
        | '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200d}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e00ff}' => Fault::Invisible,
        '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{ffffd}' | '\u{100000}'..='\u{10fffd}' => Fault::PrivateUse,
        '\u{fffd}' | '\u{fdd0}'..='\u{fdef}' => Fault::NotACharacter,
        _ if code & 0xfffe == 0xfffe => Fault::NotACharacter,
        _ => return None,
    })
}

/// How many characters of a value a message quotes.
const QUOTED: usize = 40;

/// Quotes a value in a message: faulty characters as `U+hhhh`, at most 40 characters. What may be a mail address, typed
/// into the wrong field, is not repeated.
pub fn quote(value: &str) -> String {
    if value.contains(['@', '＠', '﹫']) {
        return "…@…".to_owned();
    }
    let mut quoted = String::new();
    for (index, character) in value.chars().enumerate() {
        if index == QUOTED {
            quoted.push('…');
            break;
        }
        match fault_of(character) {
            Some(_) => quoted.push_str(&code_point(character)),
            None => quoted.push(character),
        }
    }
    quoted
}

/// Writes a character's code point as `U+9AD9`.
pub fn code_point(character: char) -> String {
    format!("U+{:04X}", u32::from(character))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bank_is_widened() {
        for (narrow, wide) in [
            ("ﾐｽﾞﾎ銀行 龍ｹ崎支店", "ミズホ銀行　龍ケ崎支店"),
            ("ﾊﾞﾝﾄﾞｳ ﾊﾟｰｸ", "バンドウ　パーク"),
            ("ｳﾞｨﾗ", "ヴィラ"),
            ("カﾞハﾟは\u{309a}か\u{3099}", "ガパぱが"),
            ("ｱﾞ ﾟ", "ア゛　゜"),
            ("JA Bank (No.1)~", "ＪＡ　Ｂａｎｋ　（Ｎｏ．１）～"),
            ("｢ｱ･ｲ｣､｡ｰ", "「ア・イ」、。ー"),
            ("\\100¥", "＼１００￥"),
            ("𠮷野髙﨑銀行　①", "𠮷野髙﨑銀行　①"),
            ("ﾜﾞｦﾞﾝﾞ", "ヷヺン゛"),
            ("", ""),
        ] {
            assert_eq!(bank_name(narrow), wide, "{narrow}");
        }
    }

    #[test]
    fn the_kana_table_is_whole() {
        assert_eq!(WIDE_KANA.chars().count(), 0xff9d - 0xff61 + 1);
        assert_eq!(bank_name("ｱﾝﾘﾛ"), "アンリロ");
    }

    #[test]
    fn digits_and_hyphens_are_narrowed() {
        for hyphen in "-－‐−ー–—―‑ｰ─﹣".chars() {
            assert_eq!(digits(&format!("３１０７４{hyphen}００００１Ｍ")), "31074-00001Ｍ");
            assert_eq!(ascii(&format!("３１０７４{hyphen}００００１Ｍ")), "31074-00001M");
        }
        assert_eq!(digits("髙﨑①"), "髙﨑①");
        assert_eq!(ascii("ａ　ｂ～"), "a b~");
    }

    #[test]
    fn a_telephone_number_keeps_its_words() {
        for (given, kept) in [
            ("０２９７－６４－１１１１（センター）", "0297-64-1111（センター）"),
            ("0297ー64ー1111", "0297-64-1111"),
            ("ー", "ー"),
            ("", ""),
            ("内線１２－", "内線12－"),
        ] {
            assert_eq!(telephone(given), kept);
        }
    }

    #[test]
    fn separators_stand_before_three_digits() {
        for (given, figure) in [
            ("1,234,567", Some("1234567")),
            ("12，000、000", Some("12000000")),
            ("-1,000", Some("-1000")),
            ("1234", Some("1234")),
            ("12,00", None),
            (",100", None),
            ("1,,000", None),
            ("1000,000", None),
            ("a,000", None),
            ("1,0a0", None),
        ] {
            assert_eq!(ungrouped(given).as_deref(), figure, "{given}");
        }
    }

    #[test]
    fn only_ends_are_trimmed() {
        assert_eq!(trim("　 髙﨑　土木\u{a0}"), "髙﨑　土木");
        assert_eq!(trim("a\n"), "a\n");
        assert_eq!(trim("\u{2028}a"), "\u{2028}a");
    }

    #[test]
    fn faults_are_found_with_their_position() {
        for (text, expected) in [
            ("髙﨑\r\n土木", Some((Fault::Control, 3))),
            ("a\u{b}", Some((Fault::Control, 2))),
            ("\u{85}", Some((Fault::Control, 1))),
            ("𠮷\u{2029}", Some((Fault::Control, 2))),
            ("ab\u{202e}c", Some((Fault::Direction, 3))),
            ("\u{2066}a", Some((Fault::Direction, 1))),
            ("a\u{200b}", Some((Fault::Invisible, 2))),
            ("a\u{feff}", Some((Fault::Invisible, 2))),
            ("\u{e000}", Some((Fault::PrivateUse, 1))),
            ("\u{f0001}", Some((Fault::PrivateUse, 1))),
            ("\u{fffd}", Some((Fault::NotACharacter, 1))),
            ("\u{fdd0}", Some((Fault::NotACharacter, 1))),
            ("\u{1ffff}", Some((Fault::NotACharacter, 1))),
            ("葛\u{e0100}飾 髙﨑 𠮷 槗 <b>{{ }}", None),
            ("か\u{3099}", None),
        ] {
            assert_eq!(fault(text, Lines::One).map(|found| (found.fault, found.position)), expected, "{text:?}");
        }
        assert_eq!(fault("一\r\n二\t", Lines::Many), None);
        assert_eq!(fault("一\u{b}", Lines::Many).map(|found| found.position), Some(2));
    }

    #[test]
    fn a_quotation_is_short_and_harmless() {
        assert_eq!(quote("a\n\u{202e}"), "aU+000AU+202E");
        assert_eq!(quote("taro@example.jp"), "…@…");
        assert_eq!(quote(&"髙".repeat(41)), format!("{}…", "髙".repeat(40)));
    }

    proptest! {
        #[test]
        fn normalising_twice_is_normalising_once(text in "\\PC*|[ｦ-ﾟ\u{3099}\u{309a}カハウ゛]*|.*") {
            for normal in [bank_name as fn(&str) -> String, digits, ascii, telephone] {
                let once = normal(&text);
                prop_assert_eq!(normal(&once), once);
            }
            prop_assert_eq!(trim(trim(&text)), trim(&text));
            let _ = (fault(&text, Lines::One), ungrouped(&text));
            prop_assert!(fault(&quote(&text), Lines::One).is_none());
        }
    }
}

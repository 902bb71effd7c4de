//! Widths: full-width bank names, narrow figures and codes.
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
    if value.contains(['ﾞ', 'ﾟ']) {
        wide.replace('\u{3099}', "゛").replace('\u{309a}', "゜")
    } else {
        wide
    }
}

/// Half-width katakana U+FF61..U+FF9D in order, without the two marks that follow.
const WIDE_KANA: &str = "。「」、・ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン";

fn widened(character: char) -> char {
    match character {
        ' ' | '\u{a0}' => '\u{3000}',
        '!'..='~' => char::from_u32(u32::from(character) + 0xfee0).unwrap_or(character),
        '¥' => '￥',
        '\u{ff61}'..='\u{ff9d}' => {
            WIDE_KANA.chars().nth((u32::from(character) - 0xff61) as usize).unwrap_or(character)
        }
        'ﾞ' => '\u{3099}',
        'ﾟ' => '\u{309a}',
        _ => character,
    }
}

/// The kana with dakuten: カ → ガ.
fn voiced(kana: char) -> Option<char> {
    const PLAIN: &str =
        "カキクケコサシスセソタチツテトハヒフヘホウワヲかきくけこさしすせそたちつてとはひふへほう";
    const VOICED: &str =
        "ガギグゲゴザジズゼゾダヂヅデドバビブベボヴヷヺがぎぐげござじずぜぞだぢづでどばびぶべぼゔ";
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
pub(crate) fn is_hyphen(character: char) -> bool {
    matches!(
        character,
        '-' | '\u{2010}'
            ..='\u{2015}'
                | '\u{2043}'
                | '\u{2212}'
                | '\u{2500}'
                | '\u{30fc}'
                | '\u{fe63}'
                | '\u{ff0d}'
                | '\u{ff70}'
    )
}

/// Narrows full-width digits and turns every kind of hyphen (`－ ‐ − ー – …`) into `-`; all else is kept.
pub fn digits(value: &str) -> String {
    value.chars().map(|character| if is_hyphen(character) { '-' } else { narrow_digit(character) }).collect()
}

/// The twin of a full-width digit in ASCII; all else is kept.
pub(super) fn narrow_digit(character: char) -> char {
    match character {
        '０'..='９' => narrow(character),
        _ => character,
    }
}

/// The twin of a full-width character (digit, letter, sign, space) in ASCII; all else is kept.
pub(crate) fn narrow(character: char) -> char {
    match character {
        '！'..='～' => char::from_u32(u32::from(character) - 0xfee0).unwrap_or(character),
        '\u{3000}' => ' ',
        _ => character,
    }
}

/// [`digits`], and full-width letters, signs and spaces too: for codes such as `３１０７４－００００１Ｍ`.
pub fn ascii(value: &str) -> String {
    digits(value).chars().map(narrow).collect()
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
    let fits = (1..=3).contains(&first.len())
        && whole(first)
        && groups.all(|group| group.len() == 3 && whole(group));
    fits.then(|| format!("{sign}{}", figure.replace([',', '，', '、'], "")))
}

#[cfg(test)]
mod tests {
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
}

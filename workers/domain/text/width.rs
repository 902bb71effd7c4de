//! Full-width bank names, and narrow numbers and codes.
//!
//! Half-width kana are composed by a table and not by NFKC, because NFKC would also change compatibility
//! ideographs and circled digits next to them.

/// Half-width kana (composed with their marks), ASCII and spaces become full-width.
/// Everything else stays. The function is idempotent.
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
    // A half-width mark without a kana becomes its full-width spacing form.
    if value.contains(['ﾞ', 'ﾟ']) {
        wide.replace('\u{3099}', "゛").replace('\u{309a}', "゜")
    } else {
        wide
    }
}

/// The full-width forms of U+FF61..U+FF9D, in order.
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

/// Adds a dakuten: カ → ガ.
fn voiced(kana: char) -> Option<char> {
    const PLAIN: &str =
        "カキクケコサシスセソタチツテトハヒフヘホウワヲかきくけこさしすせそたちつてとはひふへほう";
    const VOICED: &str =
        "ガギグゲゴザジズゼゾダヂヅデドバビブベボヴヷヺがぎぐげござじずぜぞだぢづでどばびぶべぼゔ";
    translate(kana, PLAIN, VOICED)
}

/// Adds a handakuten: ハ → パ.
fn half_voiced(kana: char) -> Option<char> {
    translate(kana, "ハヒフヘホはひふへほ", "パピプペポぱぴぷぺぽ")
}

fn translate(kana: char, from: &str, to: &str) -> Option<char> {
    from.chars().position(|candidate| candidate == kana).and_then(|index| to.chars().nth(index))
}

/// Whether people type the character as a hyphen.
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

/// Narrows full-width digits, and replaces every hyphen (`－ ‐ − ー – …`) by `-`.
pub fn narrow_digits(value: &str) -> String {
    value.chars().map(|character| if is_hyphen(character) { '-' } else { narrow_digit(character) }).collect()
}

pub(super) fn narrow_digit(character: char) -> char {
    match character {
        '０'..='９' => narrow(character),
        _ => character,
    }
}

/// Returns the ASCII form of a full-width digit, letter, sign or space.
pub(crate) fn narrow(character: char) -> char {
    match character {
        '！'..='～' => char::from_u32(u32::from(character) - 0xfee0).unwrap_or(character),
        '\u{3000}' => ' ',
        _ => character,
    }
}

/// As [`narrow_digits`], for codes with letters: `３１０７４－００００１Ｍ`.
pub fn to_ascii(value: &str) -> String {
    narrow_digits(value).chars().map(narrow).collect()
}

/// `None` unless each separator (`, ， 、`) precedes a group of three digits:
/// `12,00` is a typing error, not twelve hundred.
pub fn without_separators(value: &str) -> Option<String> {
    if !value.contains([',', '，', '、']) {
        return Some(value.to_owned());
    }
    let (sign, number) = value.strip_prefix('-').map_or(("", value), |number| ("-", number));
    let mut groups = number.split([',', '，', '、']);
    let first = groups.next()?;
    let whole = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let fits = (1..=3).contains(&first.len())
        && whole(first)
        && groups.all(|group| group.len() == 3 && whole(group));
    fits.then(|| format!("{sign}{}", number.replace([',', '，', '、'], "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widens_bank_names() {
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
    fn kana_table_is_complete() {
        assert_eq!(WIDE_KANA.chars().count(), 0xff9d - 0xff61 + 1);
        assert_eq!(bank_name("ｱﾝﾘﾛ"), "アンリロ");
    }

    #[test]
    fn narrows_digits_and_hyphens() {
        for hyphen in "-－‐−ー–—―‑ｰ─﹣".chars() {
            assert_eq!(narrow_digits(&format!("３１０７４{hyphen}００００１Ｍ")), "31074-00001Ｍ");
            assert_eq!(to_ascii(&format!("３１０７４{hyphen}００００１Ｍ")), "31074-00001M");
        }
        assert_eq!(narrow_digits("髙﨑①"), "髙﨑①");
        assert_eq!(to_ascii("ａ　ｂ～"), "a b~");
    }

    #[test]
    fn removes_separators_before_three_digits() {
        for (given, number) in [
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
            assert_eq!(without_separators(given).as_deref(), number, "{given}");
        }
    }
}

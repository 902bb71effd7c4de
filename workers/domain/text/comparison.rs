//! Keys by which names of works and companies are compared.

use unicode_normalization::UnicodeNormalization;

use super::{
    characters::is_variation_selector,
    width::{is_hyphen, narrow},
};

/// Two names with the same key are the same name. It is never stored nor shown.
///
/// The key is NFKC (㈱ becomes (株), widths do not matter) in lower case. White space is removed except
/// between two digits (１ １工区 is not 11工区). All hyphens, ー included, become one, and so do both wave
/// dashes. Variation selectors are removed, as NFKC replaces compatibility ideographs, the older way to
/// select a glyph. 髙 and 﨑 are characters of their own and stay.
pub fn comparison_key(value: &str) -> String {
    let plain: Option<String> = value.chars().map(map_plain).collect();
    plain.map_or_else(|| normalise(value), |plain| collapse_spaces(&plain))
}

/// As [`comparison_key`], with abbreviations such as ㈱ replaced by 株式会社.
pub fn company_key(value: &str) -> String {
    let mut name = comparison_key(value);
    for (short, long) in [
        ("(株)", "株式会社"),
        ("(有)", "有限会社"),
        ("(合)", "合同会社"),
        ("(資)", "合資会社"),
        ("(名)", "合名会社"),
    ] {
        if name.contains(short) {
            name = name.replace(short, long);
        }
    }
    name
}

/// Removes white space; between two digits, one space stays.
fn collapse_spaces(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut space = false;
    for character in text.chars() {
        if character.is_whitespace() {
            space = true;
            continue;
        }
        if space && character.is_ascii_digit() && kept.ends_with(|before: char| before.is_ascii_digit()) {
            kept.push(' ');
        }
        space = false;
        kept.push(character);
    }
    kept
}

/// `None` for a character that composes or decomposes: nearly no name has one.
fn map_plain(character: char) -> Option<char> {
    match character {
        ' ' | '\u{3000}' => Some(' '),
        '!'..='~' | '\u{ff01}'..='\u{ff5e}' => Some(unify(narrow(character)).to_ascii_lowercase()),
        '\u{3041}'..='\u{3096}'
        | '\u{30a1}'..='\u{30fe}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' => Some(unify(character)),
        _ => None,
    }
}

/// As [`comparison_key`] for any text, many times slower.
fn normalise(value: &str) -> String {
    // The way through upper case unifies ß with ss, and both small sigmas.
    let folded = value
        .nfkc()
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfkc();
    let kept: String = folded.filter(|&character| !is_variation_selector(character)).collect();
    // A removed character may have separated a kana and its mark.
    collapse_spaces(&kept).chars().map(unify).nfkc().collect()
}

fn unify(character: char) -> char {
    match character {
        '\u{301c}' => '~',
        _ if is_hyphen(character) => '-',
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_names_have_equal_keys() {
        for (left, right) in [
            ("市道１号線改良工事", "市道1号線 改良工事"),
            ("市道１－２号線", "市道1‐2号線"),
            ("ｾﾝﾀｰ改修工事", "センター改修工事"),
            ("㈱髙﨑土木", "(株)髙﨑土木"),
            ("㍿髙﨑", "株式会社髙﨑"),
            ("ＡＢＣ Kensetsu", "abc　kensetsu"),
            ("か\u{3099}け", "がけ"),
            ("ﾊﾞﾝﾄﾞｳ", "バンドウ"),
            ("葛\u{e0100}飾区", "葛飾区"),
            ("か\u{e0100}\u{3099}", "が"),
            ("東京〜大阪", "東京～大阪"),
            ("Straße", "STRASSE"),
            ("Ⅱ期", "II期"),
        ] {
            assert_eq!(comparison_key(left), comparison_key(right));
        }
    }

    #[test]
    fn different_names_have_different_keys() {
        for (left, right) in [
            ("髙橋", "高橋"),
            ("山﨑", "山崎"),
            ("𠮷野", "吉野"),
            ("1工区", "2工区"),
            ("はは", "ばば"),
            ("一丁目", "ー丁目"),
        ] {
            assert_ne!(comparison_key(left), comparison_key(right));
        }
    }

    #[test]
    fn keys_of_all_characters_are_idempotent() {
        // Unified ideographs and Hangul syllables do not change, and are most of Unicode.
        let unchanged = |character| matches!(character, '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{20000}'..='\u{2f7ff}' | '\u{30000}'..);
        for character in (char::MIN..=char::MAX).filter(|&character| !unchanged(character)) {
            for text in [
                String::from(character),
                format!("か{character}"),
                format!("{character}\u{3099}"),
                format!("a{character}\u{301}"),
            ] {
                let once = comparison_key(&text);
                assert_eq!(comparison_key(&once), once, "{text:?}");
            }
        }
    }

    #[test]
    fn keeps_spaces_only_between_digits() {
        for (text, form) in [
            ("１ １工区", "1 1工区"),
            ("1　　1", "1 1"),
            ("1 工区 1", "1工区1"),
            (" 11 ", "11"),
            ("1- 1", "1-1"),
            ("", ""),
        ] {
            assert_eq!(comparison_key(text), form);
            assert_eq!(normalise(text), form);
        }
    }

    #[test]
    fn unifies_company_forms_and_abbreviations() {
        for (left, right) in [
            ("㈱髙﨑土木", "株式会社 髙﨑土木"),
            ("髙﨑土木（株）", "髙﨑土木株式会社"),
            ("㈲若葉", "有限会社若葉"),
        ] {
            assert_eq!(company_key(left), company_key(right));
        }
        assert_ne!(company_key("㈱髙﨑土木"), company_key("髙﨑土木㈱"));
    }

    #[test]
    fn both_paths_agree_on_plain_characters() {
        for (character, short) in
            (char::MIN..=char::MAX).filter_map(|character| Some((character, map_plain(character)?)))
        {
            assert_eq!(normalise(&String::from(character)), collapse_spaces(&String::from(short)));
        }
    }

    proptest! {
        #[test]
        fn both_paths_agree_on_plain_texts(text in "[ -~！-～　ぁ-ゖァ-ヾ㐀-鿿]*") {
            prop_assert_eq!(comparison_key(&text), normalise(&text));
        }

        #[test]
        fn comparison_keys_are_idempotent(text in ".*|\\PC*|[ｦ-ﾟ゛か-ぽ \u{3099}\u{e0100}ー〜ßΣςİ]*") {
            let once = comparison_key(&text);
            prop_assert_eq!(comparison_key(&once), once);
        }
    }
}

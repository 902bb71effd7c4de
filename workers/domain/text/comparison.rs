//! Whether two texts say the same.

use unicode_normalization::UnicodeNormalization;

use super::{
    faults::is_variation_selector,
    width::{is_hyphen, narrow},
};

/// The form in which two names of works or companies are compared. It is never stored as a name, nor shown.
///
/// NFKC (㈱ is (株), widths do not matter), without case, without white space but between two digits (１ １工区 is not 11工区), with one
/// hyphen for all that people type for one (ー too) and one wave dash. Variation selectors are left out as well: NFKC does the same to the compatibility
/// ideographs, which are the older way to choose a glyph. 髙 and 﨑 are characters of their own and stay.
pub fn comparison(value: &str) -> String {
    let plain: Option<String> = value.chars().map(plain).collect();
    plain.map_or_else(|| composed(value), |plain| spaced(&plain))
}

/// [`comparison()`] of the name of a company: 株式会社 and its abbreviations are one, and those of the other forms.
pub fn company(value: &str) -> String {
    let mut name = comparison(value);
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

/// Leaves out spaces but one between two digits.
fn spaced(text: &str) -> String {
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

/// What a character that neither composes nor falls apart becomes; nearly every name is made of these alone.
fn plain(character: char) -> Option<char> {
    match character {
        ' ' | '\u{3000}' => Some(' '),
        '!'..='~' | '\u{ff01}'..='\u{ff5e}' => Some(unified(narrow(character)).to_ascii_lowercase()),
        '\u{3041}'..='\u{3096}'
        | '\u{30a1}'..='\u{30fe}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' => Some(unified(character)),
        _ => None,
    }
}

/// [`comparison()`] of any text whatever, many times slower.
fn composed(value: &str) -> String {
    // Capitals and back is what brings ß and ss together, and the two small sigmas.
    let folded = value
        .nfkc()
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfkc();
    let kept: String = folded.filter(|&character| !is_variation_selector(character)).collect();
    // What was left out may have stood between a kana and its mark.
    spaced(&kept).chars().map(unified).nfkc().collect()
}

fn unified(character: char) -> char {
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
    fn the_same_text_typed_otherwise_is_the_same() {
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
            assert_eq!(comparison(left), comparison(right));
        }
    }

    #[test]
    fn other_texts_stay_others() {
        for (left, right) in [
            ("髙橋", "高橋"),
            ("山﨑", "山崎"),
            ("𠮷野", "吉野"),
            ("1工区", "2工区"),
            ("はは", "ばば"),
            ("一丁目", "ー丁目"),
        ] {
            assert_ne!(comparison(left), comparison(right));
        }
    }

    #[test]
    fn every_character_is_settled_at_once() {
        // Unified ideographs and syllables of Hangul have nothing to settle, and are most of Unicode.
        let plain = |character| matches!(character, '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{20000}'..='\u{2f7ff}' | '\u{30000}'..);
        for character in (char::MIN..=char::MAX).filter(|&character| !plain(character)) {
            for text in [
                String::from(character),
                format!("か{character}"),
                format!("{character}\u{3099}"),
                format!("a{character}\u{301}"),
            ] {
                let once = comparison(&text);
                assert_eq!(comparison(&once), once, "{text:?}");
            }
        }
    }

    #[test]
    fn a_space_counts_between_digits_alone() {
        for (text, form) in [
            ("１ １工区", "1 1工区"),
            ("1　　1", "1 1"),
            ("1 工区 1", "1工区1"),
            (" 11 ", "11"),
            ("1- 1", "1-1"),
            ("", ""),
        ] {
            assert_eq!(comparison(text), form);
            assert_eq!(composed(text), form);
        }
    }

    #[test]
    fn forms_of_companies_are_one_with_their_abbreviations() {
        for (left, right) in [
            ("㈱髙﨑土木", "株式会社 髙﨑土木"),
            ("髙﨑土木（株）", "髙﨑土木株式会社"),
            ("㈲若葉", "有限会社若葉"),
        ] {
            assert_eq!(company(left), company(right));
        }
        assert_ne!(company("㈱髙﨑土木"), company("髙﨑土木㈱"));
    }

    #[test]
    fn plain_characters_take_no_other_way_than_all() {
        for (character, short) in
            (char::MIN..=char::MAX).filter_map(|character| Some((character, plain(character)?)))
        {
            assert_eq!(composed(&String::from(character)), spaced(&String::from(short)));
        }
    }

    proptest! {
        #[test]
        fn plain_texts_take_no_other_way_than_all(text in "[ -~！-～　ぁ-ゖァ-ヾ㐀-鿿]*") {
            prop_assert_eq!(comparison(&text), composed(&text));
        }

        #[test]
        fn comparing_twice_is_comparing_once(text in ".*|\\PC*|[ｦ-ﾟ゛か-ぽ \u{3099}\u{e0100}ー〜ßΣςİ]*") {
            let once = comparison(&text);
            prop_assert_eq!(comparison(&once), once);
        }
    }
}

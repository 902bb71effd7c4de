//! Whether two texts say the same.

use unicode_normalization::UnicodeNormalization;

use super::{
    faults::is_variation_selector,
    width::{is_hyphen, narrow},
};

/// The form in which two names of works or companies are compared. It is never stored as a name, nor shown.
///
/// NFKC (㈱ is (株), widths do not matter), without case, without white space, with one hyphen for all that people type for
/// one (ー too) and one wave dash. Variation selectors are left out as well: NFKC does the same to the compatibility
/// ideographs, which are the older way to choose a glyph. 髙 and 﨑 are characters of their own and stay.
pub fn comparison(value: &str) -> String {
    let plain = value.chars().filter(|&character| !matches!(character, ' ' | '\u{3000}')).map(plain);
    plain.collect::<Option<String>>().unwrap_or_else(|| composed(value))
}

/// What a character that neither composes nor falls apart becomes; nearly every name is made of these alone.
fn plain(character: char) -> Option<char> {
    match character {
        '!'..='~' | '\u{ff01}'..='\u{ff5e}' => Some(unified(narrow(character)).to_ascii_lowercase()),
        '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fe}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' => Some(unified(character)),
        _ => None,
    }
}

/// [`comparison()`] of any text whatever, many times slower.
fn composed(value: &str) -> String {
    // Capitals and back is what brings ß and ss together, and the two small sigmas.
    let folded = value.nfkc().flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkc();
    let kept = folded.filter(|&character| !character.is_whitespace() && !is_variation_selector(character));
    // What was left out may have stood between a kana and its mark.
    kept.map(unified).nfkc().collect()
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
        for (left, right) in
            [("髙橋", "高橋"), ("山﨑", "山崎"), ("𠮷野", "吉野"), ("1工区", "2工区"), ("はは", "ばば"), ("一丁目", "ー丁目")]
        {
            assert_ne!(comparison(left), comparison(right));
        }
    }

    #[test]
    fn every_character_is_settled_at_once() {
        // Unified ideographs and syllables of Hangul have nothing to settle, and are most of Unicode.
        let plain =
            |character| matches!(character, '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{20000}'..='\u{2f7ff}' | '\u{30000}'..);
        for character in (char::MIN..=char::MAX).filter(|&character| !plain(character)) {
            for text in [String::from(character), format!("か{character}"), format!("{character}\u{3099}"), format!("a{character}\u{301}")]
            {
                let once = comparison(&text);
                assert_eq!(comparison(&once), once, "{text:?}");
            }
        }
    }

    #[test]
    fn plain_characters_take_no_other_way_than_all() {
        for (character, short) in (char::MIN..=char::MAX).filter_map(|character| Some((character, plain(character)?))) {
            assert_eq!(composed(&String::from(character)), String::from(short));
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

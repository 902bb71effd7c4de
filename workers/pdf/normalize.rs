//! Prepares text for measuring: composes it, drops the invisible, rejects controls.
//!
//! - Combining sequences of kana and Latin are composed (NFC), because there is no shaper. A character that
//!   NFC would replace by a single other one (compatibility ideographs, U+F900… and U+2F800…; Å of ångström)
//!   stays: a name must be printed, and copied, as it is registered.
//! - Default-ignorable characters (zero-width spaces, soft hyphens) are dropped: they have no glyph.
//!   Variation selectors stay until the faces are searched: some faces have a glyph for the pair.
//! - Controls, separators and bidirectional overrides are rejected: a reader would see something other than
//!   what a program copies.

use std::borrow::Cow;

use unicode_normalization::{
    IsNormalized, UnicodeNormalization,
    char::{canonical_combining_class, is_combining_mark},
    is_nfc_quick,
};

/// Text ready for measuring, or the first forbidden character.
pub(crate) fn normalize(text: &str) -> Result<Cow<'_, str>, char> {
    if text.is_ascii() {
        return match text.chars().find(|&character| is_forbidden(character)) {
            Some(forbidden) => Err(forbidden),
            None => Ok(Cow::Borrowed(text)),
        };
    }
    let composed = compose(text);
    let mut clean = true;
    for character in composed.chars() {
        if is_forbidden(character) {
            return Err(character);
        }
        clean &= !is_dropped(character);
    }
    Ok(if clean {
        composed
    } else {
        Cow::Owned(composed.chars().filter(|&character| !is_dropped(character)).collect())
    })
}

fn is_dropped(character: char) -> bool {
    is_ignorable(character) && !is_variation_selector(character)
}

/// Composes sequences; keeps characters that NFC would replace by a single one.
pub(crate) fn compose(text: &str) -> Cow<'_, str> {
    if is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return Cow::Borrowed(text);
    }
    let mut composed = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let kept = rest.char_indices().find(|&(_, character)| is_replaced(character));
        let (before, from) = match kept {
            None => (rest, rest.len()),
            Some((at, character)) => (&rest[..at], at + character.len_utf8()),
        };
        composed.extend(before.nfc());
        composed.push_str(&rest[before.len()..from]);
        rest = &rest[from..];
    }
    Cow::Owned(composed)
}

/// Whether [`compose`] keeps the character among others for which this holds.
pub(crate) fn is_composed(character: char) -> bool {
    canonical_combining_class(character) == 0 && is_nfc_quick(std::iter::once(character)) == IsNormalized::Yes
}

/// Whether NFC gives one other character: Å of ångström, compatibility ideographs.
fn is_replaced(character: char) -> bool {
    let mut composed = std::iter::once(character).nfc();
    is_nfc_quick(std::iter::once(character)) != IsNormalized::Yes
        && composed.next().is_some_and(|first| first != character)
        && composed.next().is_none()
}

pub(crate) fn is_variation_selector(character: char) -> bool {
    matches!(character, '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}')
}

/// Variation selectors and combining marks: a face may join them to a character.
pub(crate) fn is_mark(character: char) -> bool {
    match character {
        // Nearly all text.
        ..'\u{300}'
        | '\u{3000}'..='\u{3029}'
        | '\u{3030}'..='\u{3098}'
        | '\u{309B}'..='\u{9FFF}'
        | '\u{FF00}'..='\u{FFEF}' => false,
        _ => is_variation_selector(character) || is_combining_mark(character),
    }
}

/// Controls, separators, bidirectional controls and noncharacters.
pub(crate) fn is_forbidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FDD0}'..='\u{FDEF}')
        || u32::from(character) & 0xFFFE == 0xFFFE
}

/// Default_Ignorable_Code_Point of Unicode 16, without the forbidden characters.
pub(crate) fn is_ignorable(character: char) -> bool {
    matches!(character,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2065}' | '\u{206A}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composes_marks_but_keeps_registered_characters() {
        for (text, expected) in [
            ("か\u{3099}は\u{309A}", "がぱ"),
            ("e\u{301}", "é"),
            ("神\u{FA19}社\u{FA4C}か\u{3099}\u{2F800}", "神\u{FA19}社\u{FA4C}が\u{2F800}"),
            ("\u{212B}A\u{30A}\u{2126}\u{1F71}", "\u{212B}\u{C5}\u{2126}\u{1F71}"),
            ("髙﨑𠮷槗", "髙﨑𠮷槗"),
            ("葛\u{E0100}飾\u{FE00}\u{200B}\u{AD}", "葛\u{E0100}飾\u{FE00}"),
        ] {
            assert_eq!(normalize(text).unwrap(), expected);
        }
    }

    #[test]
    fn rejects_controls_and_overrides() {
        for forbidden in
            ['\u{0}', '\u{B}', '\u{7F}', '\u{85}', '\u{2028}', '\u{202E}', '\u{2066}', '\u{FFFE}']
        {
            assert_eq!(normalize(&format!("山{forbidden}田")), Err(forbidden));
            assert_eq!(normalize(&format!("a{forbidden}b")), Err(forbidden));
        }
    }
}

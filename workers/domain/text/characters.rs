//! Character classes that the other modules share.

/// Control characters and line separators stay, so that they are reported.
pub fn trim(value: &str) -> &str {
    value.trim_matches(|character: char| character.is_whitespace() && !is_control(character))
}

/// Formats a code point as `U+9AD9`.
pub fn code_point(character: char) -> String {
    format!("U+{:04X}", u32::from(character))
}

pub(super) fn is_control(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// Whether the character only selects the glyph of the one before it.
pub(super) fn is_variation_selector(character: char) -> bool {
    matches!(character, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// The ranges of nearly all text: valid characters, of which none is a mark.
#[inline]
pub(super) fn is_plain(character: char) -> bool {
    matches!(
        character,
        ' '..='~'
            | '\u{3041}'..='\u{3096}'
            | '\u{309b}'..='\u{30ff}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{3000}'..='\u{3029}'
            | '\u{3030}'..='\u{303e}'
            | '\u{ff01}'..='\u{ff9f}'
            | '\u{3400}'..='\u{4dbf}'
            | '\u{20000}'..='\u{2a6df}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trims_white_space_but_no_control_characters() {
        assert_eq!(trim("　 髙﨑　土木\u{a0}"), "髙﨑　土木");
        assert_eq!(trim("a\n"), "a\n");
        assert_eq!(trim("\u{2028}a"), "\u{2028}a");
    }
}

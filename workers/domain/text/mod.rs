//! Text from outside: width, length and invalid characters.
//!
//! Two kinds of text are treated differently. **Amounts, dates and numbers** are typed in either width with
//! any of a dozen hyphens: [`narrow_digits`], [`to_ascii`] and [`normal_telephone`] convert them. **Names**
//! keep their code points. 髙, 﨑 and 𠮷 denote other people than 高, 崎 and 吉, and NFKC would merge them.
//! So names are only trimmed ([`trim`]) and checked for invalid characters ([`find_invalid`]). 預託金融機関
//! is in between: the form requires full width, and [`bank_name`] widens exactly the half-width forms. Two
//! names are compared by their [`comparison_key`], which is never stored as a name.
//!
//! The [`length`](length()) of a text is the one that people count: a mark or variation selector counts with
//! its base. Positions in messages count the same way, so 「3文字目」 is the third visible character.

mod characters;
mod comparison;
mod invalid;
mod length;
mod postal;
mod quote;
mod telephone;
mod width;

pub use characters::{code_point, trim};
pub use comparison::{company_key, comparison_key};
pub use invalid::{InvalidCharacter, InvalidKind, Lines, find_invalid};
pub use length::length;
pub use postal::lacks_postal_code;
pub use quote::quote;
pub use telephone::{narrow_telephone, normal_telephone};
pub use width::{bank_name, narrow_digits, to_ascii, without_separators};
pub(crate) use width::{is_hyphen, narrow};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn normalising_is_idempotent(text in "\\PC*|[ｦ-ﾟ\u{3099}\u{309a}カハウ゛]*|.*") {
            for normal in [bank_name as fn(&str) -> String, narrow_digits, to_ascii, narrow_telephone] {
                let once = normal(&text);
                prop_assert_eq!(normal(&once), once);
            }
            prop_assert_eq!(trim(trim(&text)), trim(&text));
            let _ = (find_invalid(&text, Lines::One), without_separators(&text));
        }
    }
}

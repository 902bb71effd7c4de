//! The postal code at the beginning of an address.

use super::{characters::trim, width};

/// Characters to inspect: seven digits, a hyphen and the next character.
const INSPECTED: usize = 9;

/// Whether an address begins with 〒 that no postal code follows.
/// A postal code is seven digits of either width, with any hyphen or none after the third.
pub fn lacks_postal_code(address: &str) -> bool {
    trim(address).strip_prefix('〒').is_some_and(|rest| {
        let code: String = trim(rest).chars().take(INSPECTED).collect();
        !is_code(&width::narrow_digits(&code))
    })
}

/// Whether a text begins with seven digits and no eighth.
fn is_code(narrow: &str) -> bool {
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((area, rest)) = narrow.split_at_checked(3) else { return false };
    let Some((town, rest)) = rest.strip_prefix('-').unwrap_or(rest).split_at_checked(4) else { return false };
    is_digits(area) && is_digits(town) && !rest.starts_with(|next: char| next.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_seven_digits_or_no_mark() {
        for address in [
            "〒100-0001 東京都千代田区",
            "〒１００－０００１東京都",
            "〒1000001",
            " 〒 100ー0001 東京都",
            "\u{3000}〒\u{3000}100−0001",
            "東京都千代田区",
            "1-2-3",
            "",
        ] {
            assert!(!lacks_postal_code(address), "{address}");
        }
    }

    #[test]
    fn detects_missing_postal_codes() {
        for address in [
            "〒",
            "〒東京都千代田区",
            "〒100-001 東京都",
            "〒10-00001",
            "〒100--0001",
            "〒100-00012 東京都",
            "〒100-000-1",
            "〒100-0001２",
            "〒〒100-0001",
            "〒taro@example.jp",
            "〒\u{202e}100",
        ] {
            assert!(lacks_postal_code(address), "{address}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_on_any_address(address in "〒?[0-9０-９ー －-]{0,9}.*") {
            let _ = lacks_postal_code(&address);
        }
    }
}

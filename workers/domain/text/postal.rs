//! The postal code an address may begin with.

use super::{trim, width};

/// How many characters of an address are looked at: seven digits, a hyphen, and what follows.
const LOOKED_AT: usize = 9;

/// Whether an address begins with 〒 and no postal code stands behind it.
///
/// A postal code is seven digits of either width, with a hyphen of any kind behind the third or none. The address itself
/// is kept as it was typed, whatever the answer, and never quoted.
pub fn lacks_postal_code(address: &str) -> bool {
    trim(address).strip_prefix('〒').is_some_and(|rest| {
        let code: String = trim(rest).chars().take(LOOKED_AT).collect();
        !is_code(&width::digits(&code))
    })
}

/// Whether a text begins with a postal code and does not go on with an eighth digit.
fn is_code(narrow: &str) -> bool {
    let is_figure = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((area, rest)) = narrow.split_at_checked(3) else { return false };
    let Some((town, rest)) = rest.strip_prefix('-').unwrap_or(rest).split_at_checked(4) else { return false };
    is_figure(area) && is_figure(town) && !rest.starts_with(|next: char| next.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seven_digits_follow_the_mark() {
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
    fn anything_else_is_told() {
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
        fn no_address_panics(address in "〒?[0-9０-９ー －-]{0,9}.*") {
            let _ = lacks_postal_code(&address);
        }
    }
}

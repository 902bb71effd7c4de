//! Which mail addresses are taken, and in which form they travel.
//!
//! - The part before the `@` is ASCII and needs no quotes: an address with Japanese letters before the `@` needs SMTPUTF8, which hardly
//!   any relay in Japan offers, so a contractor who typed one has made a mistake.
//! - The domain may be internationalised (`例え.jp` is a real kind of domain): it travels as `xn--…`, which every relay takes.
//!   (The form asks for ASCII, so an application names such a domain in that form; a sender in the configuration too.)
//! - The domain has a dot and is not an IP address: nobody is told about a guarantee at `localhost`.

use lettre::Address;

/// Longest address SMTP can carry (RFC 5321 4.5.3.1.3, less the angle brackets).
const LONGEST: usize = 254;

/// Whether a notice can be sent to this address.
pub fn is_mail_address(text: &str) -> bool {
    parse(text).is_some()
}

/// Reads an address into the form in which it travels: ASCII only.
pub(super) fn parse(text: &str) -> Option<Address> {
    let (user, domain) = text.rsplit_once('@')?;
    if !user.is_ascii() || user.contains(|character: char| character == '"' || character.is_ascii_whitespace() || character.is_control()) {
        return None;
    }
    let domain = if domain.is_ascii() { domain.to_owned() } else { ascii(domain)? };
    let top = domain.rsplit_once('.')?.1;
    if top.is_empty() || top.bytes().all(|byte| byte.is_ascii_digit()) || domain.contains([':', '[']) {
        return None;
    }
    let address = Address::new(user, domain).ok()?;
    let text: &str = address.as_ref();
    (text.len() <= LONGEST && text.is_ascii()).then_some(address)
}

/// The `xn--` form of an internationalised domain.
fn ascii(domain: &str) -> Option<String> {
    // A URL's host is percent-decoded first; a domain is not, and `%` stands in none.
    match url::Host::parse(domain) {
        Ok(url::Host::Domain(ascii)) if !domain.contains('%') => Some(ascii),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_firms_are_taken() {
        for text in
            ["taro@example.jp", "keiri-1@kensetsu.example.co.jp", "T.Yamada+hosho@example.com", "a_b@xn--r8jz45g.jp", "o'brien@example.jp"]
        {
            assert_eq!(parse(text).map(|address| address.to_string()).as_deref(), Some(text));
        }
        assert_eq!(parse("taro@例え.jp").unwrap().to_string(), "taro@xn--r8jz45g.jp");
    }

    #[test]
    fn what_cannot_be_delivered_or_smuggles_something_is_refused() {
        let long = format!("{}@{}.jp", "a".repeat(60), ["b".repeat(63), "c".repeat(63), "d".repeat(63)].join("."));
        for text in [
            "",
            "@",
            "taro",
            "taro@",
            "@example.jp",
            "taro@localhost",
            "taro@192.0.2.1",
            "taro@[192.0.2.1]",
            "taro@[IPv6:2001:db8::1]",
            "太郎@example.jp",
            "\"a b\"@example.jp",
            "a b@example.jp",
            "taro@example.jp ",
            " taro@example.jp",
            "taro@example.jp\r\nBcc: x@example.com",
            "ta\0ro@example.jp",
            "a..b@example.jp",
            ".a@example.jp",
            "a@b@example.jp",
            "taro@example..jp",
            "taro@-example.jp",
            "taro@例え.jp%0d%0a",
            "<taro@example.jp>",
            "taro@example.jp>",
            "taro@example.jp,hanako@example.jp",
            "taro＠example.jp",
            "taro@exa mple.jp",
            "taro@example.",
            &long,
        ] {
            assert!(!is_mail_address(text), "{text:?}");
        }
    }
}

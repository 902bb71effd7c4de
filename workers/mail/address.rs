//! Accepted mail addresses and their normal form.
//!
//! - The part before the `@` is ASCII and needs no quotes: Japanese characters there need SMTPUTF8, which
//!   hardly any relay in Japan offers. Full-width characters there are typing errors and are rejected: no
//!   standard maps them, as UTS 46 maps a domain. Two consecutive dots, or a dot before the `@`, which mobile
//!   carriers once allowed, are rejected too: they need quotes, which relays treat in different ways.
//! - The domain may be internationalised (`例え.jp`), in any form that UTS 46 maps to one: full width, with
//!   `。` for a dot, in capitals. The normal form is `xn--…`, which every relay accepts. A label that begins
//!   with `xn--` must decode. Otherwise the domain is a host name: ASCII alphanumerics and hyphens, labels of
//!   at most 63 characters, no dot at its end.
//! - Characters of several scripts in one domain (`exаmple.jp` with a Cyrillic а) are accepted. Look-alikes
//!   deceive a reader of an address; this one is typed by the contractor who wants the mail, and later
//!   readers see `xn--…`. Rejecting them would need the registries' tables of scripts, and would reject real
//!   domains.
//! - The domain has a dot and is not an IP address: no contractor has a mailbox at `localhost`.
//! - The address has one `@`, no comment and no display name, and no character that a form field cannot hold.
//!
//! The grammar is that of the crate `email_address`, which lettre's `Address` uses (the local part of at most
//! 64 characters, dot-atoms); the mapping is that of the crate `idna`, through `url`. This module decides the
//! rest: `email_address` alone accepts `a@ex!ample.jp`, IP literals, quotes, and any character before the
//! `@`. [`normal_mail_address`] returns the form to store; [`is_mail_address`] says whether there is one. A
//! form may be stricter, such as ASCII only.

use lettre::Address;

use crate::domain::text::{self, Lines};

/// Longest address SMTP can carry (RFC 5321 4.5.3.1.3, less the angle brackets).
const LONGEST: usize = 254;

pub fn is_mail_address(text: &str) -> bool {
    parse(text).is_some()
}

/// The address in ASCII: domain in small letters, `xn--` if internationalised.
/// `None` when no notice can be sent there. The normal form of a normal form is the same.
pub fn normal_mail_address(text: &str) -> Option<String> {
    parse(text).map(|address| address.to_string())
}

/// Reads an address into the form in which it travels: ASCII only.
pub(super) fn parse(text: &str) -> Option<Address> {
    let (user, domain) = text.rsplit_once('@')?;
    if !user.is_ascii() || user.contains(['"', ' ']) || text::find_invalid(text, Lines::One).is_some() {
        return None;
    }
    let address = Address::new(user, ascii(domain)?).ok()?;
    let text: &str = address.as_ref();
    (text.len() <= LONGEST).then_some(address)
}

/// The domain in small letters, internationalised labels as `xn--`.
fn ascii(domain: &str) -> Option<String> {
    // A URL's host is percent-decoded first; a domain is not, and none has a `%`.
    let ascii = match url::Host::parse(domain) {
        Ok(url::Host::Domain(ascii)) if !domain.contains('%') => ascii,
        _ => return None,
    };
    let is_label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (1..=63).contains(&label.len()) && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    (ascii.contains('.') && ascii.split('.').all(is_label)).then_some(ascii)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_addresses_of_companies() {
        for text in [
            "taro@example.jp",
            "keiri-1@kensetsu.example.co.jp",
            "T.Yamada+hosho@example.com",
            "a_b@xn--r8jz45g.jp",
            "o'brien@example.jp",
            "1@1.example.jp",
            "a@a--b.example.jp",
        ] {
            assert_eq!(normal_mail_address(text).as_deref(), Some(text));
            assert!(is_mail_address(text));
        }
    }

    #[test]
    fn converts_domains_to_ascii() {
        for (typed, travels) in [
            ("taro@例え.jp", "taro@xn--r8jz45g.jp"),
            ("taro@例え。jp", "taro@xn--r8jz45g.jp"),
            ("Taro@EXAMPLE.JP", "Taro@example.jp"),
            ("taro@ｅｘａｍｐｌｅ．ｊｐ", "taro@example.jp"),
            ("taro@XN--R8JZ45G.jp", "taro@xn--r8jz45g.jp"),
            ("taro@メール。例え.jp", "taro@xn--4dkua4c.xn--r8jz45g.jp"),
            // Two scripts in one label, and a character that only looks Latin.
            ("taro@exаmple.jp", "taro@xn--exmple-4nf.jp"),
            ("taro@hosho例え.jp", "taro@xn--hosho-c63dw88r.jp"),
        ] {
            assert_eq!(normal_mail_address(typed).as_deref(), Some(travels), "{typed}");
        }
    }

    #[test]
    fn rejects_undeliverable_addresses_and_header_injection() {
        let long =
            format!("{}@{}.jp", "a".repeat(60), ["b".repeat(63), "c".repeat(63), "d".repeat(63)].join("."));
        let label = format!("taro@{}.jp", "a".repeat(64));
        let local = format!("{}@example.jp", "a".repeat(65));
        // 63 characters as typed, more in ASCII.
        let mapped = format!("taro@{}.jp", "例".repeat(60));
        for text in [
            "",
            "@",
            "taro",
            "taro@",
            "@example.jp",
            "taro@localhost",
            "taro@192.0.2.1",
            "taro@１９２．０．２．１",
            "taro@0x7f.1",
            "taro@example.123",
            "taro@[192.0.2.1]",
            "taro@[IPv6:2001:db8::1]",
            "taro@2001:db8::1",
            "太郎@example.jp",
            "ｔａｒｏ@example.jp",
            "\"a b\"@example.jp",
            "\"taro\"@example.jp",
            "\"a@b\"@example.jp",
            "a b@example.jp",
            "taro@example.jp ",
            " taro@example.jp",
            "taro@example.jp\r\nBcc: x@example.com",
            "taro\r\n@example.jp",
            "taro@example.jp\n",
            "ta\0ro@example.jp",
            "ta\tro@example.jp",
            "a..b@example.jp",
            ".a@example.jp",
            "a.@example.jp",
            "a@b@example.jp",
            "taro@@example.jp",
            "taro@example@example.jp",
            "taro(comment)@example.jp",
            "taro@(comment)example.jp",
            "taro@example.jp(comment)",
            "taro@example..jp",
            "taro@.example.jp",
            "taro@example.jp.",
            "taro@example.jp。",
            "taro@-example.jp",
            "taro@example-.jp",
            "taro@ex_ample.jp",
            "taro@ex!ample.jp",
            "taro@ex+ample.jp",
            "taro@ex'ample.jp",
            "taro@例え.jp%0d%0a",
            "taro@exampl%65.jp",
            "taro@例え.jp％0d",
            "taro@xn--a.jp",
            "taro@xn--.jp",
            "taro@xn--example-.jp",
            "taro@xn--zzzzzzzz99999.jp",
            "taro@exa\u{ad}mple.jp",
            "taro@exa\u{200b}mple.jp",
            "taro@\u{202e}example.jp",
            "taro@\u{3099}例え.jp",
            "taro@\u{e000}.jp",
            "<taro@example.jp>",
            "taro@example.jp>",
            "Taro <taro@example.jp>",
            "mailto:taro@example.jp?x",
            "taro@example.jp,hanako@example.jp",
            "taro@example.jp;hanako@example.jp",
            "taro＠example.jp",
            "taro@exa mple.jp",
            "taro@exa\u{3000}mple.jp",
            "taro@example.",
            "taro@example.jp:25",
            "taro@example.jp/x",
            "taro\\@example.jp",
            &long,
            &label,
            &local,
            &mapped,
        ] {
            assert_eq!(normal_mail_address(text), None, "{text:?}");
            assert!(!is_mail_address(text), "{text:?}");
        }
    }

    #[test]
    fn accepts_the_longest_address() {
        let domain = |last: usize| ["b".repeat(63), "c".repeat(63), "d".repeat(last)].join(".");
        let address = |last| format!("{}@{}.jp", "a".repeat(60), domain(last));
        assert_eq!(address(62).len(), LONGEST);
        assert!(is_mail_address(&address(62)));
        assert!(!is_mail_address(&address(63)));
        assert!(is_mail_address(&format!("{}@{}.jp", "a".repeat(64), "b".repeat(63))));
    }

    proptest! {
        #[test]
        fn normalising_is_idempotent_for_addresses(text in ".*@.*|[a-z.+]{1,9}@[a-zA-Zあ-ん例え。．ａ-ｚ-]{1,12}[.．。](jp|com|みんな)|[!-~]{1,9}@[!-~]{1,20}") {
            if let Some(normal) = normal_mail_address(&text) {
                prop_assert!(normal.is_ascii() && normal.len() <= LONGEST && normal.matches('@').count() == 1);
                prop_assert!(!normal.contains(|character: char| character.is_ascii_whitespace() || character.is_control()));
                prop_assert_eq!(normal_mail_address(&normal), Some(normal));
            }
        }
    }
}

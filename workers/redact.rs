//! Personal data that formats as a mask, so that it cannot reach a log.
//!
//! Only [`MailAddress::expose`] returns the address; `Display` and `Debug` write a mask, and there is no
//! serde support on purpose: a masked value is never part of a message, an event or a snapshot. The mask
//! keeps one character, to distinguish log lines without naming a person. It drops the domain too: most
//! contractors are small firms with their own domain, so the domain *is* the name.
//!
//! Names and postal addresses travel inside the messages and snapshots of `hosho-schema`, whose `Debug` omits
//! them.
//!
//! [`redact_addresses`] is for foreign text that may quote an address, such as the reply of a mail server.

use std::fmt;

/// A mail address; formats as `t***@***`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MailAddress(String);

impl MailAddress {
    /// The address itself. Callers keep it out of logs, errors and messages.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for MailAddress {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for MailAddress {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.chars().next().filter(|first| *first != '@' && !first.is_control()) {
            Some(first) => f.pad(&format!("{first}***@***")),
            None => f.pad("***@***"),
        }
    }
}

impl fmt::Debug for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Replaces every apparent mail address by `***@***`, and controls by a space.
pub fn redact_addresses(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut word = String::new();
    for character in
        text.chars().map(|character| if character.is_control() { ' ' } else { character }).chain([' '])
    {
        if character.is_whitespace() || "<>()[]{}\"'`,;:".contains(character) {
            redacted.push_str(if word.contains('@') || word.contains('＠') { "***@***" } else { &word });
            redacted.push(character);
            word.clear();
        } else {
            word.push(character);
        }
    }
    redacted.pop();
    redacted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_keeps_at_most_one_character() {
        let mail = MailAddress::from("taro@kensetsu.example.jp");
        assert_eq!(format!("{mail} {mail:?}"), "t***@*** t***@***");
        assert_eq!(mail.expose(), "taro@kensetsu.example.jp");
        assert_eq!(MailAddress::from("").to_string(), "***@***");
        assert_eq!(MailAddress::from("@x").to_string(), "***@***");
    }

    #[test]
    fn redacts_addresses_in_foreign_text() {
        for (text, redacted) in [
            (
                "5.1.1 <taro@example.jp>: Recipient address rejected",
                "5.1.1 <***@***>: Recipient address rejected",
            ),
            ("taro＠example.jp unknown", "***@*** unknown"),
            ("RCPT TO:taro@example.jp,hanako@example.jp", "RCPT TO:***@***,***@***"),
            ("OK queued as 4F3A\r\nX", "OK queued as 4F3A  X"),
            ("", ""),
        ] {
            assert_eq!(redact_addresses(text), redacted);
        }
    }
}

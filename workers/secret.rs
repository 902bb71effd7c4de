//! Secrets of the configuration: printed and serialised as `***`.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroize;

/// A password or similar secret; wiped when dropped.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A URL that may hold a password: printed with `***` in its place.
#[derive(Clone, Deserialize, PartialEq, Eq)]
pub struct SecretUrl(String);

impl SecretUrl {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The URL with `***` for its password and for query parameters named like one.
    pub fn masked(&self) -> String {
        let hidden =
            || self.0.split_once(':').map_or_else(|| "***".to_owned(), |(scheme, _)| format!("{scheme}:***"));
        let mut url = match url::Url::parse(&self.0) {
            Ok(url) if !(url.cannot_be_a_base() && self.0.contains('@')) => url,
            // Not a URL with a host: show nothing that might be a password.
            _ => return hidden(),
        };
        if url.password().is_some() && url.set_password(Some("***")).is_err() {
            return hidden();
        }
        if url.query_pairs().any(|(key, _)| key.contains("password")) {
            url.set_query(Some("***"));
        }
        url.into()
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_every_possible_password() {
        for (url, shown) in [
            ("postgres://u:hunter2@h/d?sslpassword=hunter2", "postgres://u:***@h/d?***"),
            ("amqp://u:hunter2@h:5672/v", "amqp://u:***@h:5672/v"),
            ("sqlite:out/hosho.sqlite", "sqlite:out/hosho.sqlite"),
            ("u:hunter2@h", "u:***"),
            ("hunter2", "***"),
        ] {
            assert_eq!(SecretUrl::new(url).masked(), shown);
        }
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
    }
}

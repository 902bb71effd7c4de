//! Secrets of the configuration: printed and serialised as `***`.

use std::{fmt, net::IpAddr};

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

    /// Why it cannot be used, without a part of it.
    /// A library would quote what it takes for the host, which may be the end of a password.
    pub fn problem(&self) -> Option<&'static str> {
        let (_, rest) = self.0.split_once("://")?;
        if self.0.contains(|character: char| character.is_whitespace() || character.is_control()) {
            return Some("holds white space; write a space as %20");
        }
        let is_escape = |text: &str| {
            text.get(..2).is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        };
        if !self.0.split('%').skip(1).all(is_escape) {
            return Some("holds a % without two hexadecimal digits; write % in a password as %25");
        }
        let (authority, path) = authority(rest);
        if authority.matches('@').count() > 1 {
            return Some("holds more than one @; write @ in a password as %40");
        }
        if path.contains('@') {
            return Some("holds an @ after the host; in a password, write / as %2F, ? as %3F and # as %23");
        }
        let is_number = |(_, port): (&str, Option<&str>)| port.is_none_or(|port| port.parse::<u16>().is_ok());
        let problem = "has a port that is not a number; in a password, write : as %3A and / as %2F";
        (!hosts(authority).all(is_number)).then_some(problem)
    }

    /// Whether every host is this one: a loopback address, or the folder of a socket.
    pub fn is_local(&self) -> bool {
        let Some((_, rest)) = self.0.split_once("://") else { return true };
        let (authority, path) = authority(rest);
        let parameters = path.split_once('?').map_or("", |(_, parameters)| parameters);
        let of_libpq = url::form_urlencoded::parse(parameters.as_bytes())
            .filter(|(key, _)| key == "host" || key == "hostaddr")
            .map(|(_, value)| value.into_owned());
        let named: Vec<String> = hosts(authority).map(|(host, _)| host.to_owned()).chain(of_libpq).collect();
        named.iter().flat_map(|hosts| hosts.split(',')).all(is_loopback)
    }

    /// The value of a query parameter.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let (_, parameters) = self.0.split_once('?')?;
        let mut pairs = url::form_urlencoded::parse(parameters.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
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

/// The part of a URL with user, password, hosts and ports, and what follows it.
fn authority(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

/// Hosts, each with its port; libpq takes several.
fn hosts(authority: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    hosts.split(',').map(|host| match host.rsplit_once(']') {
        Some((address, port)) => (address.trim_start_matches('['), port.strip_prefix(':')),
        None => host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port))),
    })
}

/// Whether what is sent to a host stays on this one.
pub fn is_loopback(host: &str) -> bool {
    host.is_empty()
        || host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
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

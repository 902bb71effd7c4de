//! The bytes of a record: a line that makes it unique and whole, then the value.
//!
//! `<nonce> <SHA-256 of the value>`. The nonce is random, so that a value that returns is another version,
//! and a write whose answer was lost is recognised.

use std::io::{self, ErrorKind};

use sha2::{Digest as _, Sha256};

pub(super) fn stored(value: &[u8]) -> io::Result<Vec<u8>> {
    let nonce = getrandom::u64().map_err(io::Error::other)?;
    let sha256 = hex::encode(Sha256::digest(value));
    Ok([format!("{nonce:016x} {sha256}\n").as_bytes(), value].concat())
}

/// Nonce and value.
pub(super) fn value(stored: &[u8]) -> io::Result<(&str, &[u8])> {
    let damaged = || io::Error::new(ErrorKind::InvalidData, "the record is damaged");
    let end = stored.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
    let (line, value) = (&stored[..end], &stored[end + 1..]);
    let line = std::str::from_utf8(line).map_err(|_| damaged())?;
    let (nonce, sha256) = line.split_once(' ').ok_or_else(damaged)?;
    if hex::encode(Sha256::digest(value)) == sha256 { Ok((nonce, value)) } else { Err(damaged()) }
}

/// Whether a name is safe as a file and as an object.
pub(super) fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_is_noticed() {
        let record = stored(b"31-075: 1200").unwrap();
        assert_eq!(value(&record).unwrap().1, b"31-075: 1200");
        assert_ne!(record, stored(b"31-075: 1200").unwrap());
        // The nonce itself is not protected: another one is another version of the same value.
        for place in 16..record.len() {
            let mut changed = record.clone();
            changed[place] ^= 1;
            assert!(value(&changed).is_err(), "{place}");
        }
        assert!(value(b"").is_err());
    }

    #[test]
    fn names_are_plain() {
        assert!(is_name("identity") && is_name("block-31-075"));
        for name in ["", "../x", ".lock", "a/b", "A", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }
}

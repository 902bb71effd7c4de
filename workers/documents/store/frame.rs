//! Frames: what a segment consists of.
//!
//! A frame is one document with all that identifies it, so that a segment can be listed, and the rows of its
//! documents rebuilt, without a database:
//!
//! ```text
//! bytes
//!  8    "hoshodoc"
//!  4    length of the header, little endian
//!  8    length of the body, little endian
//! 32    SHA-256 of the fields above and the header
//!       header: JSON
//!       body: the PDF; sealed, if it holds an authentication key
//! ```
//!
//! A sealed segment ends with "hoshoend", the number of its frames (8 bytes) and the SHA-256 of their header
//! hashes: nothing was removed from its end, and nothing follows.
//!
//! The header has the SHA-256 of the body as it is stored. A writer that is killed leaves an incomplete frame
//! only at the end of its segment, because every process appends to segments of its own: reading stops there.

use std::ops::Range;

use chrono::{DateTime, Utc};
use hosho_schema::models::document::Kind;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const MAGIC: &[u8; 8] = b"hoshodoc";
const FIELDS: usize = 8 + 4 + 8;
const PREFIX: usize = FIELDS + 32;

const SEALED: &[u8; 8] = b"hoshoend";
pub const SEAL: usize = 8 + 8 + 32;

/// Larger values are damage.
const LONGEST_HEADER: usize = 64 * 1024;

/// What identifies a stored document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub number: String,
    pub guarantee: String,
    pub revision: i64,
    pub kind: Kind,
    /// The run that drew it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// What it was drawn with.
    pub identity: String,
    /// SHA-256 of the PDF; of a sealed one its keyed hash.
    /// See [`KeyRing::document_hash`](crate::keys::KeyRing::document_hash).
    pub sha256: String,
    /// Bytes of the PDF; of the body of a sealed one, which hides its length.
    pub size: u64,
    pub stored_at: DateTime<Utc>,
    /// SHA-256 of the body.
    pub body_sha256: String,
    /// The data key that sealed the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_key: Option<String>,
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The writer was killed, or the file was cut.
    #[error("it is incomplete")]
    Incomplete,
    #[error("it is not a document frame")]
    NotAFrame,
    #[error("its header is damaged")]
    Header,
    #[error("its content has another SHA-256")]
    Body,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub header: Header,
    pub body: &'a [u8],
    /// Bytes of the whole frame.
    pub length: usize,
}

/// Appends a frame to `segment` and returns its length.
pub(super) fn write(header: &Header, body: &[u8], segment: &mut Vec<u8>) -> usize {
    let header = serde_json::to_vec(header).expect("a header is JSON");
    let start = segment.len();
    segment.extend_from_slice(MAGIC);
    segment.extend_from_slice(&u32::try_from(header.len()).unwrap_or(u32::MAX).to_le_bytes());
    segment.extend_from_slice(&(body.len() as u64).to_le_bytes());
    let sha256 = Sha256::new_with_prefix(&segment[start..]).chain_update(&header).finalize();
    segment.extend_from_slice(&sha256);
    segment.extend_from_slice(&header);
    segment.extend_from_slice(body);
    segment.len() - start
}

/// Where the next frame with a whole header begins, behind damage.
fn next_header(bytes: &[u8]) -> Option<usize> {
    let begins = |start: &usize| bytes[*start..].starts_with(MAGIC) && read_header(&bytes[*start..]).is_ok();
    (1..bytes.len().saturating_sub(PREFIX)).find(begins)
}

/// Reads the frame at the start of `bytes`.
pub fn read(bytes: &[u8]) -> Result<Frame<'_>, FrameError> {
    let (header, place) = read_header(bytes)?;
    let length = place.end;
    let body = bytes.get(place).ok_or(FrameError::Incomplete)?;
    if hex::encode(Sha256::digest(body)) != header.body_sha256 {
        return Err(FrameError::Body);
    }
    Ok(Frame { header, body, length })
}

/// The header of a frame, and the place of its body.
fn read_header(bytes: &[u8]) -> Result<(Header, Range<usize>), FrameError> {
    let Some((fields, rest)) = bytes.split_at_checked(FIELDS) else { return Err(FrameError::Incomplete) };
    let (magic, lengths) = fields.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(FrameError::NotAFrame);
    }
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let [header_length, body_length] =
        [&lengths[..4], &lengths[4..]].map(|field| usize::try_from(number(field)).unwrap_or(usize::MAX));
    if header_length > LONGEST_HEADER {
        return Err(FrameError::Header);
    }
    let (sha256, rest) = rest.split_at_checked(PREFIX - FIELDS).ok_or(FrameError::Incomplete)?;
    let header = rest.get(..header_length).ok_or(FrameError::Incomplete)?;
    if Sha256::new_with_prefix(fields).chain_update(header).finalize()[..] != *sha256 {
        return Err(FrameError::Header);
    }
    let header: Header = serde_json::from_slice(header).map_err(|_| FrameError::Header)?;
    let start = PREFIX + header_length;
    Ok((header, start..start.saturating_add(body_length)))
}

/// The whole frames of a segment in their order, each with its position.
/// Damage is skipped, up to the next whole header.
pub struct Frames<'a> {
    segment: &'a [u8],
    position: usize,
    tally: Tally,
    /// The first one that was skipped.
    damage: Option<(u64, FrameError)>,
    end: Option<End>,
}

/// Where and how the frames of a segment end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// After the last frame, without a seal.
    Open { position: u64 },
    /// The seal: this is all that was ever written.
    Sealed,
    /// After whole frames an incomplete one, and nothing else.
    /// Its writer was killed, or is at work.
    Unfinished { position: u64 },
    /// Damage, first at `position`.
    Broken { position: u64, error: FrameError },
}

/// Every frame that was written, in order: the seal of a segment is its digest.
#[derive(Clone, Default)]
pub struct Tally {
    frames: u64,
    sha256: Sha256,
}

impl Tally {
    /// `frame` begins with a whole frame.
    pub fn add(&mut self, frame: &[u8]) {
        self.frames += 1;
        self.sha256.update(&frame[FIELDS..PREFIX]);
    }

    /// The last bytes of a segment: no frame follows.
    pub fn seal(&self) -> [u8; SEAL] {
        let mut seal = [0; SEAL];
        seal[..8].copy_from_slice(SEALED);
        seal[8..16].copy_from_slice(&self.frames.to_le_bytes());
        seal[16..].copy_from_slice(&self.sha256.clone().finalize());
        seal
    }
}

impl<'a> Frames<'a> {
    pub fn of(segment: &'a [u8]) -> Self {
        Self { segment, position: 0, tally: Tally::default(), damage: None, end: None }
    }

    /// How the segment ends; known after the last frame.
    pub fn end(self) -> End {
        self.end.unwrap_or(End::Open { position: self.position as u64 })
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = (u64, Frame<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.end.is_some() {
            return None;
        }
        loop {
            let (rest, position) = (&self.segment[self.position..], self.position as u64);
            let error = match read(rest) {
                Ok(frame) => {
                    self.tally.add(rest);
                    self.position += frame.length;
                    return Some((position, frame));
                }
                Err(error) => error,
            };
            let is_end = self.damage.is_none();
            if is_end && (rest.is_empty() || rest == self.tally.seal()) {
                self.end = Some(if rest.is_empty() { End::Open { position } } else { End::Sealed });
                return None;
            }
            let next = match read_header(rest) {
                // The header is whole and has the length.
                Ok((_, place)) if place.end <= rest.len() => Some(place.end),
                _ => next_header(rest),
            };
            if let Some(next) = next {
                self.damage.get_or_insert((position, error));
                self.position += next;
                continue;
            }
            self.end = Some(match self.damage.take() {
                Some((position, error)) => End::Broken { position, error },
                None if error == FrameError::Incomplete => End::Unfinished { position },
                None => End::Broken { position, error },
            });
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(body: &[u8]) -> Header {
        Header {
            number: "31075-00001M".to_owned(),
            guarantee: "7a48a48f-1cc6-5bf6-be41-c025b921bcc6".to_owned(),
            revision: 0,
            kind: Kind::Certificate,
            run: None,
            identity: "fonts:1 templates:2".to_owned(),
            sha256: hex::encode(Sha256::digest(body)),
            size: body.len() as u64,
            stored_at: "2026-12-01T00:00:00Z".parse().unwrap(),
            body_sha256: hex::encode(Sha256::digest(body)),
            data_key: None,
        }
    }

    /// Three frames, with their ends.
    fn segment() -> (Vec<u8>, Vec<usize>, Tally) {
        let (mut segment, mut ends, mut tally) = (Vec::new(), Vec::new(), Tally::default());
        for body in [&b"%PDF-1.7 a"[..], b"", b"%PDF-1.7 ccc"] {
            let start = segment.len();
            write(&header(body), body, &mut segment);
            tally.add(&segment[start..]);
            ends.push(segment.len());
        }
        (segment, ends, tally)
    }

    #[test]
    fn cut_at_any_byte_keeps_every_whole_frame() {
        let (segment, ends, _) = segment();
        for length in 0..=segment.len() {
            let mut frames = Frames::of(&segment[..length]);
            let whole = ends.iter().filter(|end| **end <= length).count();
            assert_eq!(frames.by_ref().count(), whole, "{length}");
            let last = ends[..whole].last().copied().unwrap_or_default() as u64;
            let expected = if last == length as u64 {
                End::Open { position: last }
            } else {
                End::Unfinished { position: last }
            };
            assert_eq!(frames.end(), expected, "{length}");
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let (mut segment, ends, tally) = segment();
        segment.extend_from_slice(&tally.seal());
        let mut frames = Frames::of(&segment);
        assert_eq!((frames.by_ref().count(), frames.end()), (3, End::Sealed));
        for place in 0..segment.len() {
            let mut changed = segment.clone();
            changed[place] ^= 1;
            let mut frames = Frames::of(&changed);
            // One document is lost, and no other.
            let whole = if place < ends[2] { 2 } else { 3 };
            assert_eq!(frames.by_ref().count(), whole, "{place}");
            assert!(matches!(frames.end(), End::Broken { .. }), "{place}");
        }
        // A sealed segment from which the last frame was removed.
        let removed = [&segment[..ends[1]], &tally.seal()].concat();
        let mut frames = Frames::of(&removed);
        assert_eq!(frames.by_ref().count(), 2);
        assert!(matches!(frames.end(), End::Broken { .. }));
    }
}

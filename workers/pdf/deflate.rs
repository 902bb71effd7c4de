//! zlib streams, whole and glued from pieces.
//!
//! A deflate stream may be cut at any byte boundary (a sync flush), and pieces that were compressed apart can be put
//! one behind the other: only the Adler-32 of the whole has to be reckoned, and it follows from those of the pieces. So
//! what every document repeats is compressed once and thoroughly ([`Piece::shared`]), and what is a document's own is
//! compressed quickly.
//!
//! A compressor is a quarter of a megabyte of state: each thread keeps one.

use std::cell::RefCell;

use flate2::{Compress, Compression, FlushCompress};

/// Compression of what is a document's own. 6 is 10 % smaller and takes twice as long; nothing is gained above that.
const LEVEL: u32 = 1;

/// Compression of what is done once per process.
const THOROUGH: u32 = 9;

/// The first two bytes of a zlib stream: deflate, 32 KiB window, no preset dictionary.
const HEADER: [u8; 2] = [0x78, 0x01];

/// The last block of a deflate stream, empty.
const END: [u8; 2] = [0x03, 0x00];

thread_local! {
    static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::new(LEVEL), true));
}

/// Bytes, compressed up to a byte boundary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    deflated: Vec<u8>,
    /// Adler-32 of the bytes.
    adler: u32,
    /// Number of bytes before compression.
    length: usize,
}

impl Piece {
    /// Compresses what many documents share.
    pub(super) fn shared(bytes: &[u8]) -> Self {
        Self::compressed(&mut Compress::new(Compression::new(THOROUGH), true), bytes)
    }

    /// Compresses what is a document's own.
    pub(super) fn own(bytes: &[u8]) -> Self {
        COMPRESS.with_borrow_mut(|compress| Self::compressed(compress, bytes))
    }

    fn compressed(compress: &mut Compress, bytes: &[u8]) -> Self {
        compress.reset();
        let mut deflated = Vec::with_capacity(bytes.len() / 2 + 64);
        run(compress, bytes, FlushCompress::Sync, &mut deflated);
        let end = deflated.len();
        run(compress, &[], FlushCompress::Finish, &mut deflated);
        // The compressor reckons the Adler-32 and puts it behind the last block.
        let adler = deflated.last_chunk::<4>().map_or(1, |bytes| u32::from_be_bytes(*bytes));
        deflated.truncate(end);
        deflated.drain(..HEADER.len().min(end));
        Self { deflated, adler, length: bytes.len() }
    }

    /// Bytes before compression.
    pub(super) fn length(&self) -> usize {
        self.length
    }
}

/// Puts pieces into one zlib stream.
pub(super) fn glued(pieces: &[&Piece]) -> Vec<u8> {
    let mut stream = Vec::with_capacity(pieces.iter().map(|piece| piece.deflated.len()).sum::<usize>() + 8);
    stream.extend_from_slice(&HEADER);
    let mut adler = 1;
    for piece in pieces {
        stream.extend_from_slice(&piece.deflated);
        adler = joined(adler, piece.adler, piece.length);
    }
    stream.extend_from_slice(&END);
    stream.extend_from_slice(&adler.to_be_bytes());
    stream
}

/// Compresses what is a document's own into one zlib stream.
pub(super) fn own(bytes: &[u8]) -> Vec<u8> {
    COMPRESS.with_borrow_mut(|compress| whole(compress, bytes))
}

/// Compresses what is done once per process into one zlib stream.
pub(super) fn shared(bytes: &[u8]) -> Vec<u8> {
    whole(&mut Compress::new(Compression::new(THOROUGH), true), bytes)
}

fn whole(compress: &mut Compress, bytes: &[u8]) -> Vec<u8> {
    compress.reset();
    let mut stream = Vec::with_capacity(bytes.len() / 2 + 64);
    run(compress, bytes, FlushCompress::Finish, &mut stream);
    stream
}

fn run(compress: &mut Compress, bytes: &[u8], flush: FlushCompress, into: &mut Vec<u8>) {
    let mut rest = bytes;
    loop {
        if into.capacity() - into.len() < 64 {
            into.reserve(into.capacity());
        }
        let before = compress.total_in();
        // Cannot fail: there is no dictionary, and there is room in the output.
        let _ = compress.compress_vec(rest, into, flush);
        let taken = usize::try_from(compress.total_in() - before).unwrap_or(rest.len());
        rest = &rest[taken.min(rest.len())..];
        // It is done when it leaves room unused.
        if rest.is_empty() && into.len() < into.capacity() {
            break;
        }
    }
}

/// Adler-32 of two stretches of bytes, the second one `length` bytes long, from those of each.
fn joined(first: u32, second: u32, length: usize) -> u32 {
    const BASE: u64 = 65521;
    let low = |sum: u32| u64::from(sum & 0xFFFF);
    let high = |sum: u32| u64::from(sum >> 16);
    let length = length as u64 % BASE;
    let a = (low(first) + low(second) + BASE - 1) % BASE;
    let b = (high(first) + high(second) + length * (low(first) + BASE - 1)) % BASE;
    // Both are below 65521.
    u32::try_from(b << 16 | a).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn inflated(stream: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        flate2::read::ZlibDecoder::new(stream).read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn noise(length: usize, mut state: u64) -> Vec<u8> {
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            u8::try_from(state >> 59).unwrap()
        })
        .take(length)
        .collect()
    }

    #[test]
    fn glued_pieces_are_one_stream_with_the_right_checksum() {
        for lengths in [[0, 0, 0], [1, 0, 5], [108, 30_000, 70_000], [65_521, 65_520, 1], [3, 200_000, 0]] {
            let parts = [noise(lengths[0], 1), noise(lengths[1], 2), noise(lengths[2], 3)];
            let pieces = [Piece::own(&parts[0]), Piece::shared(&parts[1]), Piece::own(&parts[2])];
            let stream = glued(&[&pieces[0], &pieces[1], &pieces[2]]);
            // The decoder compares the Adler-32 and fails where it differs.
            assert_eq!(inflated(&stream), parts.concat(), "{lengths:?}");
            assert_eq!(pieces[1].length(), lengths[1]);
        }
    }

    #[test]
    fn whole_streams_come_back_and_do_not_depend_on_what_was_compressed_before() {
        for length in [0, 1, 63, 64, 65, 1_000, 100_000] {
            let bytes = noise(length, 7);
            let first = own(&bytes);
            own(&noise(5_000, 9));
            assert_eq!(first, own(&bytes));
            assert_eq!(inflated(&first), bytes);
            assert_eq!(inflated(&shared(&bytes)), bytes);
        }
        // Bytes that do not shrink.
        let random: Vec<u8> =
            (0..50_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
        assert_eq!(inflated(&own(&random)), random);
    }
}

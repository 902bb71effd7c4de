//! zlib streams, whole or joined from pieces.
//!
//! A deflate stream can be cut at a byte boundary (a sync flush), and pieces that were compressed apart can
//! be joined: only the Adler-32 of the whole has to be computed, and it follows from those of the pieces. So
//! what every document repeats is compressed once, slowly ([`Piece::small`]), and what belongs to one
//! document is compressed fast.
//!
//! A compressor has 256 KB of state, so each thread keeps one.

use std::cell::RefCell;

use flate2::{Compress, Compression, FlushCompress};

/// Level 6 saves 10 % and takes twice as long; higher levels gain nothing.
const FAST: u32 = 1;

/// Level for bytes that are compressed once per process.
const SMALL: u32 = 9;

/// Header of a zlib stream: deflate, window of 32 KiB, no preset dictionary.
const HEADER: [u8; 2] = [0x78, 0x01];

/// An empty last block of a deflate stream.
const END: [u8; 2] = [0x03, 0x00];

thread_local! {
    static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::new(FAST), true));
}

/// Bytes compressed up to a byte boundary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    deflated: Vec<u8>,
    /// Adler-32 of the uncompressed bytes.
    adler: u32,
    uncompressed_len: usize,
}

impl Piece {
    /// Compresses slowly, for bytes that many documents share.
    pub(crate) fn small(bytes: &[u8]) -> Self {
        Self::compressed(&mut Compress::new(Compression::new(SMALL), true), bytes)
    }

    /// Compresses fast, for bytes of one document.
    pub(crate) fn fast(bytes: &[u8]) -> Self {
        COMPRESS.with_borrow_mut(|compress| Self::compressed(compress, bytes))
    }

    fn compressed(compress: &mut Compress, bytes: &[u8]) -> Self {
        compress.reset();
        let mut deflated = Vec::with_capacity(bytes.len() / 2 + 64);
        run(compress, bytes, FlushCompress::Sync, &mut deflated);
        let end = deflated.len();
        run(compress, &[], FlushCompress::Finish, &mut deflated);
        // The compressor writes the Adler-32 after the last block.
        let adler = deflated.last_chunk::<4>().map_or(1, |bytes| u32::from_be_bytes(*bytes));
        deflated.truncate(end);
        deflated.drain(..HEADER.len().min(end));
        Self { deflated, adler, uncompressed_len: bytes.len() }
    }

    pub(crate) fn uncompressed_len(&self) -> usize {
        self.uncompressed_len
    }
}

pub(crate) fn join(pieces: &[&Piece]) -> Vec<u8> {
    let mut stream = Vec::with_capacity(pieces.iter().map(|piece| piece.deflated.len()).sum::<usize>() + 8);
    stream.extend_from_slice(&HEADER);
    let mut adler = 1;
    for piece in pieces {
        stream.extend_from_slice(&piece.deflated);
        adler = adler32_combine(adler, piece.adler, piece.uncompressed_len);
    }
    stream.extend_from_slice(&END);
    stream.extend_from_slice(&adler.to_be_bytes());
    stream
}

pub(crate) fn fast(bytes: &[u8]) -> Vec<u8> {
    COMPRESS.with_borrow_mut(|compress| whole(compress, bytes))
}

pub(crate) fn small(bytes: &[u8]) -> Vec<u8> {
    whole(&mut Compress::new(Compression::new(SMALL), true), bytes)
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
        // Cannot fail: there is no dictionary, and the output has room.
        let _ = compress.compress_vec(rest, into, flush);
        let taken = usize::try_from(compress.total_in() - before).unwrap_or(rest.len());
        rest = &rest[taken.min(rest.len())..];
        // Finished once room is left over.
        if rest.is_empty() && into.len() < into.capacity() {
            break;
        }
    }
}

/// The Adler-32 of a concatenation; the second part is `length` bytes long.
fn adler32_combine(first: u32, second: u32, length: usize) -> u32 {
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
    fn joined_pieces_form_one_valid_stream() {
        for lengths in [[0, 0, 0], [1, 0, 5], [108, 30_000, 70_000], [65_521, 65_520, 1], [3, 200_000, 0]] {
            let parts = [noise(lengths[0], 1), noise(lengths[1], 2), noise(lengths[2], 3)];
            let pieces = [Piece::fast(&parts[0]), Piece::small(&parts[1]), Piece::fast(&parts[2])];
            let stream = join(&[&pieces[0], &pieces[1], &pieces[2]]);
            // The decoder fails if the Adler-32 differs.
            assert_eq!(inflated(&stream), parts.concat(), "{lengths:?}");
            assert_eq!(pieces[1].uncompressed_len(), lengths[1]);
        }
    }

    #[test]
    fn stream_depends_on_its_bytes_alone() {
        for length in [0, 1, 63, 64, 65, 1_000, 100_000] {
            let bytes = noise(length, 7);
            let first = fast(&bytes);
            fast(&noise(5_000, 9));
            assert_eq!(first, fast(&bytes));
            assert_eq!(inflated(&first), bytes);
            assert_eq!(inflated(&small(&bytes)), bytes);
        }
        // Bytes that cannot be compressed.
        let random: Vec<u8> =
            (0..50_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
        assert_eq!(inflated(&fast(&random)), random);
    }
}

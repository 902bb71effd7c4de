//! A font program with only what one document needs.
//!
//! Every *character* gets a glyph number of its own, even where the face draws two characters with one glyph
//! (IPAex does so 290 times: 〜 and ～, 長 and ⻑). Numbers then translate back to text exactly, and what a reader
//! copies is what was written. A character may also appear with another advance ([`Letter::pad`]): space that
//! belongs to the glyph is not mistaken for a space character when text is copied. Such a glyph costs 16 bytes: it
//! refers to the character's own.
//!
//! The letters that the documents of a template have in common come first ([`Shelf`], numbers and outlines settled
//! once per process, compressed once), then those that are this document's own. The program is a TrueType file,
//! compressed, with its tables in this order:
//!
//! ```text
//! directory | glyf: shared outlines | glyf: own outlines | head hhea hmtx loca maxp
//!    own               shared                         own
//! ```

use super::deflate::{self, Piece};
use super::display::Letter;
use super::face::Face;

/// The letters of one face that the documents of a template share.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// Sorted.
    letters: Vec<Letter>,
    outlines: Option<Outlines>,
    piece: Option<Piece>,
}

impl Shelf {
    /// Nothing is ready.
    pub(super) const EMPTY: Self = Self { letters: Vec::new(), outlines: None, piece: None };

    /// Prepares letters; order and repetition do not matter.
    pub(super) fn new(face: &Face, letters: Vec<Letter>) -> Self {
        let letters = settled(letters);
        let mut outlines = Outlines::default();
        outlines.push(face, NOTDEF, 0, None);
        for &letter in &letters {
            let base = base(letter).and_then(|base| number_in(&letters, base));
            outlines.push(face, glyph(face, letter), letter.pad, base);
        }
        outlines.align();
        let piece = Piece::shared(&outlines.glyf);
        Self { letters, outlines: Some(outlines), piece: Some(piece) }
    }
}

/// The letters one face contributes to a document: those of the shelf are numbered from 1, then come its own.
pub(super) struct Subset<'a> {
    shelf: &'a Shelf,
    /// Sorted, none of them on the shelf.
    own: Vec<Letter>,
}

impl<'a> Subset<'a> {
    /// Numbers the letters; order and repetition of `letters` do not matter.
    pub(super) fn new(shelf: &'a Shelf, letters: Vec<Letter>) -> Self {
        let mut own = settled(letters);
        own.retain(|letter| shelf.letters.binary_search(letter).is_err());
        Self { shelf, own }
    }

    /// Letters with their numbers; 0 is `.notdef`.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u16, Letter)> {
        (1..).zip(self.shelf.letters.iter().chain(&self.own).copied())
    }

    /// The number of a letter of this subset.
    pub(super) fn number(&self, letter: Letter) -> u16 {
        number_in(&self.shelf.letters, letter).unwrap_or_else(|| self.own_number(letter).unwrap_or(0))
    }

    fn own_number(&self, letter: Letter) -> Option<u16> {
        let first = u16::try_from(self.shelf.letters.len()).ok()?;
        number_in(&self.own, letter).and_then(|number| number.checked_add(first))
    }

    /// Advances in 1/1000 em by number, from number 1.
    pub(super) fn advances<'f>(&'f self, face: &'f Face) -> impl Iterator<Item = u16> + 'f {
        self.numbered()
            .map(|(_, letter)| face.metric(glyph(face, letter)).thousandths.saturating_add_signed(letter.pad))
    }

    /// The font program as a zlib stream, and its length before compression.
    pub(super) fn program(&self, face: &Face) -> (Vec<u8>, usize) {
        let empty = Outlines::notdef(face);
        let shared = self.shelf.outlines.as_ref().unwrap_or(&empty);
        let mut own = Outlines { offset: shared.end(), ..Outlines::default() };
        for &letter in &self.own {
            own.push(face, glyph(face, letter), letter.pad, base(letter).map(|base| self.number(base)));
        }
        own.align();

        let count = u16::try_from(1 + self.shelf.letters.len() + self.own.len()).unwrap_or(u16::MAX);
        let hmtx = [shared.hmtx.as_slice(), &own.hmtx].concat();
        let mut loca = [shared.loca.as_slice(), &own.loca].concat();
        loca.extend_from_slice(&own.end().to_be_bytes());
        let mut head = face.head.clone();
        set(&mut head, 8, &[0; 4]); // checkSumAdjustment, known at the end
        if let Some(flags) = head.get_mut(17) {
            *flags &= !0b0001_1100; // nothing depends on hinting instructions any more
        }
        set(&mut head, 50, &1_u16.to_be_bytes()); // long offsets
        let mut hhea = face.hhea.clone();
        set(&mut hhea, 34, &count.to_be_bytes());
        let mut maxp = face.maxp.clone();
        set(&mut maxp, 4, &count.to_be_bytes());
        // A padded letter is a composite of one component: maxCompositePoints and -Contours, maxComponentElements, -Depth.
        maxp.copy_within(6..10, 10);
        set(&mut maxp, 28, &[0, 1, 0, 1]);

        let glyf = (shared.sum.wrapping_add(own.sum), own.end());
        let tail: [(&[u8; 4], Vec<u8>); 5] =
            [(b"head", head), (b"hhea", hhea), (b"hmtx", hmtx), (b"loca", loca), (b"maxp", maxp)];
        let (directory, rest) = assembled(glyf, own.glyf, tail);
        let directory = Piece::own(&directory);
        let rest = Piece::own(&rest);
        let unprepared;
        let middle = if let Some(piece) = &self.shelf.piece {
            piece
        } else {
            unprepared = Piece::own(&shared.glyf);
            &unprepared
        };
        let length = directory.length() + middle.length() + rest.length();
        (deflate::glued(&[&directory, middle, &rest]), length)
    }
}

/// Outlines in the order of their numbers, and the tables that go with them.
#[derive(Debug, Default)]
struct Outlines {
    /// Where `glyf` begins in the whole table.
    offset: u32,
    glyf: Vec<u8>,
    loca: Vec<u8>,
    hmtx: Vec<u8>,
    /// Checksum of `glyf`, once aligned.
    sum: u32,
}

impl Outlines {
    /// The outline of `.notdef` alone.
    fn notdef(face: &Face) -> Self {
        let mut outlines = Self::default();
        outlines.push(face, NOTDEF, 0, None);
        outlines.align();
        outlines
    }

    /// Adds the glyph `source` of the face; one that differs from `base` by its advance alone refers to it.
    fn push(&mut self, face: &Face, source: u16, pad: i16, base: Option<u16>) {
        self.loca.extend_from_slice(&self.end().to_be_bytes());
        let program = face.program(source);
        match (base, program.first_chunk::<10>()) {
            (Some(base), Some(bounds)) => {
                self.glyf.extend_from_slice(&(-1_i16).to_be_bytes());
                self.glyf.extend_from_slice(&bounds[2..]);
                self.glyf.extend_from_slice(&0x0002_u16.to_be_bytes()); // the arguments are offsets: 0, 0
                self.glyf.extend_from_slice(&base.to_be_bytes());
                self.glyf.extend_from_slice(&[0, 0]);
            }
            _ => self.glyf.extend_from_slice(program),
        }
        let metric = face.metric(source);
        let pad = (i32::from(pad) * i32::from(face.units) + 500).div_euclid(1000);
        let advance = u16::try_from((i32::from(metric.advance) + pad).max(0)).unwrap_or(u16::MAX);
        self.hmtx.extend_from_slice(&advance.to_be_bytes());
        self.hmtx.extend_from_slice(&metric.bearing.to_be_bytes());
    }

    fn end(&self) -> u32 {
        self.offset + as_u32(self.glyf.len())
    }

    fn align(&mut self) {
        self.glyf.resize(self.glyf.len().next_multiple_of(4), 0);
        self.sum = checksum(&self.glyf);
    }
}

fn settled(mut letters: Vec<Letter>) -> Vec<Letter> {
    letters.sort_unstable();
    letters.dedup();
    // A padded letter refers to the plain one.
    let plain: Vec<Letter> = letters.iter().copied().filter_map(base).collect();
    if !plain.is_empty() {
        letters.extend(plain);
        letters.sort_unstable();
        letters.dedup();
    }
    letters
}

/// The letter without its pad, when it has one.
fn base(letter: Letter) -> Option<Letter> {
    (letter.pad != 0).then_some(Letter { pad: 0, ..letter })
}

fn number_in(letters: &[Letter], letter: Letter) -> Option<u16> {
    letters.binary_search(&letter).ok().and_then(|at| u16::try_from(at + 1).ok())
}

fn glyph(face: &Face, letter: Letter) -> u16 {
    face.glyph(letter.character, letter.mark).unwrap_or(0)
}

fn set(table: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = table.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// The glyph of a face for what it has no glyph for.
const NOTDEF: u16 = 0;

/// Bytes of the directory of six tables.
const DIRECTORY: usize = 12 + 6 * 16;

/// The directory, and everything behind the shared outlines. `glyf` is checksum and length of the whole table.
fn assembled(glyf: (u32, u32), own: Vec<u8>, mut tail: [(&[u8; 4], Vec<u8>); 5]) -> (Vec<u8>, Vec<u8>) {
    let mut directory = Vec::with_capacity(DIRECTORY);
    // Version 1.0, six tables, and the binary search fields that follow from six.
    directory.extend_from_slice(&[0, 1, 0, 0, 0, 6, 0, 64, 0, 2, 0, 32]);
    let mut offset = as_u32(DIRECTORY);
    let mut sum = glyf.0;
    let mut entry = |tag: &[u8; 4], checksum: u32, length: u32| {
        directory.extend_from_slice(tag);
        for value in [checksum, offset, length] {
            directory.extend_from_slice(&value.to_be_bytes());
        }
        offset += length.next_multiple_of(4);
    };
    entry(b"glyf", glyf.0, glyf.1);
    for (tag, table) in &tail {
        let checksum = checksum(table);
        sum = sum.wrapping_add(checksum);
        entry(tag, checksum, as_u32(table.len()));
    }
    let adjustment = 0xB1B0_AFBA_u32.wrapping_sub(sum.wrapping_add(checksum(&directory)));
    let mut rest = own;
    set(&mut tail[0].1, 8, &adjustment.to_be_bytes());
    for (_, table) in &tail {
        rest.extend_from_slice(table);
        rest.resize(rest.len().next_multiple_of(4), 0);
    }
    (directory, rest)
}

fn as_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn checksum(table: &[u8]) -> u32 {
    let (words, rest) = table.as_chunks::<4>();
    let sum = words.iter().fold(0_u32, |sum, word| sum.wrapping_add(u32::from_be_bytes(*word)));
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum.wrapping_add(u32::from_be_bytes(last))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::fonts::{Style, tests::fonts};

    fn program(subset: &Subset, face: &Face) -> Vec<u8> {
        let (stream, length) = subset.program(face);
        let mut program = Vec::new();
        flate2::read::ZlibDecoder::new(stream.as_slice()).read_to_end(&mut program).unwrap();
        assert_eq!(program.len(), length);
        program
    }

    #[test]
    fn a_subset_is_a_font_with_a_glyph_per_character() {
        let (face, _) = fonts().find(Style::Mincho, '長', None).unwrap();
        let face = fonts().face(face);
        assert_eq!(face.glyph('長', None), face.glyph('⻑', None), "the face shares the glyph");
        let letters = ['長', '⻑', '永', 'A', ' '].map(Letter::plain);
        let (wide, narrow) = (Letter { pad: 400, ..letters[3] }, Letter { pad: -250, ..Letter::plain('。') });
        let all = [&letters[..], &[wide, narrow]].concat();
        let shelves = [
            Shelf::default(),
            Shelf::new(face, all[..3].to_vec()),
            Shelf::new(face, vec![wide]),
            Shelf::new(face, all.clone()),
        ];
        for shelf in &shelves {
            let subset = Subset::new(shelf, all.clone());
            assert_ne!(subset.number(letters[0]), subset.number(letters[1]));
            let program = program(&subset, face);
            assert_eq!(checksum(&program), 0xB1B0_AFBA);
            let parsed = ttf_parser::Face::parse(&program, 0).unwrap();
            // 。 without its squeeze comes along.
            assert_eq!(usize::from(parsed.number_of_glyphs()), all.len() + 2);
            for (number, letter) in subset.numbered() {
                let id = ttf_parser::GlyphId(number);
                assert_eq!(subset.number(letter), number);
                assert_eq!(parsed.glyph_bounding_box(id).is_some(), letter.character != ' ', "{letter:?}");
                let original = face.metric(glyph(face, letter)).advance;
                let expected = i32::from(original) + (i32::from(letter.pad) * 2048 + 500).div_euclid(1000);
                assert_eq!(i32::from(parsed.glyph_hor_advance(id).unwrap()), expected, "{letter:?}");
            }
            // A table's checksum is what its directory says.
            for record in parsed.raw_face().table_records {
                let (from, to) = (record.offset as usize, (record.offset + record.length) as usize);
                assert_eq!(
                    record.check_sum,
                    checksum(&program[from..to]).wrapping_sub(if record.tag.to_string() == "head" {
                        adjustment(&program, from)
                    } else {
                        0
                    })
                );
            }
        }
    }

    /// The adjustment is no part of the checksum of `head`.
    fn adjustment(program: &[u8], head: usize) -> u32 {
        u32::from_be_bytes(program[head + 8..head + 12].try_into().unwrap())
    }

    #[test]
    fn composite_glyphs_are_flattened_to_the_same_shape() {
        let path = crate::FontPaths::system().unwrap().gothic[1].clone();
        let bytes = std::fs::read(path).unwrap();
        let original = ttf_parser::Face::parse(&bytes, 0).unwrap();
        let face = Face::parse(&bytes).unwrap();
        let mut composites = 0;
        for character in (0x20..0x3000)
            .filter_map(char::from_u32)
            .filter(|character| face.glyph(*character, None).is_some())
        {
            let id = ttf_parser::GlyphId(face.glyph(character, None).unwrap());
            let letter = Letter::plain(character);
            let program = program(&Subset::new(&Shelf::default(), vec![letter]), &face);
            let parsed = ttf_parser::Face::parse(&program, 0).unwrap();
            assert_eq!(
                parsed.glyph_bounding_box(ttf_parser::GlyphId(1)),
                original.glyph_bounding_box(id),
                "{character}"
            );
            composites += usize::from(is_composite(&original, id));
        }
        assert!(composites > 10, "{composites}");
    }

    fn is_composite(face: &ttf_parser::Face, id: ttf_parser::GlyphId) -> bool {
        let table = |tag: &[u8; 4]| face.raw_face().table(ttf_parser::Tag::from_bytes(tag)).unwrap();
        let at = usize::from(id.0) * 4;
        let loca = table(b"loca");
        let entry = |at: usize| u32::from_be_bytes(loca[at..at + 4].try_into().unwrap()) as usize;
        let (from, to) = (entry(at), entry(at + 4));
        to > from && table(b"glyf")[from] >= 0x80
    }
}

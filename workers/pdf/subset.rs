//! Builds a font program that holds only the glyphs of one document.
//!
//! Every *character* gets its own glyph number, even if the face draws two characters with one glyph (IPAex
//! does so 290 times: 〜 and ～, 長 and ⻑). So a number maps back to one text, and readers copy what was
//! written. A character may occur with different advances ([`Glyph::pad`]): space inside a glyph is not read
//! as a space character when text is copied. Such a glyph costs 16 bytes, because it refers to the outline of
//! the plain one.
//!
//! The glyphs that the documents of a template share come first ([`SharedGlyphs`]: numbered and compressed
//! once per process), then the document's own. The program is a TrueType file, compressed, with its tables in
//! this order:
//!
//! ```text
//! directory | glyf: shared outlines | glyf: own outlines | head hhea hmtx loca maxp
//!    own               shared                         own
//! ```

use crate::deflate::{self, Piece};
use crate::display_list::Glyph;
use crate::face::Face;

/// The glyphs of one face that all documents of a template share.
#[derive(Debug, Default)]
pub(crate) struct SharedGlyphs {
    /// Sorted.
    glyphs: Vec<Glyph>,
    outlines: Option<Outlines>,
    piece: Option<Piece>,
}

impl SharedGlyphs {
    pub(crate) const EMPTY: Self = Self { glyphs: Vec::new(), outlines: None, piece: None };

    /// Numbers and compresses glyphs, given in any order.
    pub(crate) fn new(face: &Face, glyphs: Vec<Glyph>) -> Self {
        let glyphs = sorted_with_bases(glyphs);
        let mut outlines = Outlines::default();
        outlines.push(face, NOTDEF, 0, None);
        for &glyph in &glyphs {
            let base = base(glyph).and_then(|base| number_in(&glyphs, base));
            outlines.push(face, glyph_id(face, glyph), glyph.pad, base);
        }
        outlines.align();
        let piece = Piece::small(&outlines.glyf);
        Self { glyphs, outlines: Some(outlines), piece: Some(piece) }
    }
}

/// Shared glyphs are numbered from 1, then follow the own ones.
pub(crate) struct Subset<'a> {
    shared: &'a SharedGlyphs,
    /// Sorted, without the shared ones.
    own: Vec<Glyph>,
}

impl<'a> Subset<'a> {
    pub(crate) fn new(shared: &'a SharedGlyphs, glyphs: Vec<Glyph>) -> Self {
        let mut own = sorted_with_bases(glyphs);
        own.retain(|glyph| shared.glyphs.binary_search(glyph).is_err());
        Self { shared, own }
    }

    /// Glyphs with their numbers, from 1; 0 is `.notdef`.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (u16, Glyph)> {
        (1..).zip(self.shared.glyphs.iter().chain(&self.own).copied())
    }

    pub(crate) fn number(&self, glyph: Glyph) -> u16 {
        number_in(&self.shared.glyphs, glyph).unwrap_or_else(|| self.own_number(glyph).unwrap_or(0))
    }

    fn own_number(&self, glyph: Glyph) -> Option<u16> {
        let first = u16::try_from(self.shared.glyphs.len()).ok()?;
        number_in(&self.own, glyph).and_then(|number| number.checked_add(first))
    }

    /// Advances in 1/1000 em, in the order of numbers.
    pub(crate) fn advances<'f>(&'f self, face: &'f Face) -> impl Iterator<Item = u16> + 'f {
        self.numbered()
            .map(|(_, glyph)| face.metric(glyph_id(face, glyph)).thousandths.saturating_add_signed(glyph.pad))
    }

    /// The font program as a zlib stream, and its uncompressed length.
    pub(crate) fn program(&self, face: &Face) -> (Vec<u8>, usize) {
        let empty = Outlines::notdef(face);
        let shared = self.shared.outlines.as_ref().unwrap_or(&empty);
        let mut own = Outlines { offset: shared.end(), ..Outlines::default() };
        for &glyph in &self.own {
            own.push(face, glyph_id(face, glyph), glyph.pad, base(glyph).map(|base| self.number(base)));
        }
        own.align();

        let count = u16::try_from(1 + self.shared.glyphs.len() + self.own.len()).unwrap_or(u16::MAX);
        let hmtx = [shared.hmtx.as_slice(), &own.hmtx].concat();
        let mut loca = [shared.loca.as_slice(), &own.loca].concat();
        loca.extend_from_slice(&own.end().to_be_bytes());
        let mut head = face.head.clone();
        set(&mut head, 8, &[0; 4]); // checkSumAdjustment, computed at the end
        if let Some(flags) = head.get_mut(17) {
            *flags &= !0b0001_1100; // no flag depends on hinting instructions
        }
        set(&mut head, 50, &1_u16.to_be_bytes()); // long offsets
        let mut hhea = face.hhea.clone();
        set(&mut hhea, 34, &count.to_be_bytes());
        let mut maxp = face.maxp.clone();
        set(&mut maxp, 4, &count.to_be_bytes());
        // A padded glyph is a composite of one component: maxCompositePoints, maxCompositeContours,
        // maxComponentElements, maxComponentDepth.
        maxp.copy_within(6..10, 10);
        set(&mut maxp, 28, &[0, 1, 0, 1]);

        let glyf = (shared.sum.wrapping_add(own.sum), own.end());
        let tail: [(&[u8; 4], Vec<u8>); 5] =
            [(b"head", head), (b"hhea", hhea), (b"hmtx", hmtx), (b"loca", loca), (b"maxp", maxp)];
        let (directory, rest) = assemble(glyf, own.glyf, tail);
        let directory = Piece::fast(&directory);
        let rest = Piece::fast(&rest);
        let unprepared;
        let middle = if let Some(piece) = &self.shared.piece {
            piece
        } else {
            unprepared = Piece::fast(&shared.glyf);
            &unprepared
        };
        let length = directory.uncompressed_len() + middle.uncompressed_len() + rest.uncompressed_len();
        (deflate::join(&[&directory, middle, &rest]), length)
    }
}

/// Outlines in the order of their numbers, with their part of the other tables.
#[derive(Debug, Default)]
struct Outlines {
    /// Offset of `glyf` in the whole table.
    offset: u32,
    glyf: Vec<u8>,
    loca: Vec<u8>,
    hmtx: Vec<u8>,
    /// Checksum of `glyf`, set by [`Self::align`].
    sum: u32,
}

impl Outlines {
    fn notdef(face: &Face) -> Self {
        let mut outlines = Self::default();
        outlines.push(face, NOTDEF, 0, None);
        outlines.align();
        outlines
    }

    /// With `base`, it refers to the outline of that glyph of the subset.
    fn push(&mut self, face: &Face, source: u16, pad: i16, base: Option<u16>) {
        self.loca.extend_from_slice(&self.end().to_be_bytes());
        let program = face.program(source);
        match (base, program.first_chunk::<10>()) {
            (Some(base), Some(bounds)) => {
                self.glyf.extend_from_slice(&(-1_i16).to_be_bytes());
                self.glyf.extend_from_slice(&bounds[2..]);
                self.glyf.extend_from_slice(&0x0002_u16.to_be_bytes()); // the arguments are offsets, both 0
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

fn sorted_with_bases(mut glyphs: Vec<Glyph>) -> Vec<Glyph> {
    glyphs.sort_unstable();
    glyphs.dedup();
    // A padded glyph refers to the outline of the plain one.
    let plain: Vec<Glyph> = glyphs.iter().copied().filter_map(base).collect();
    if !plain.is_empty() {
        glyphs.extend(plain);
        glyphs.sort_unstable();
        glyphs.dedup();
    }
    glyphs
}

/// The glyph without its pad; `None` if it has none.
fn base(glyph: Glyph) -> Option<Glyph> {
    (glyph.pad != 0).then_some(Glyph { pad: 0, ..glyph })
}

fn number_in(glyphs: &[Glyph], glyph: Glyph) -> Option<u16> {
    glyphs.binary_search(&glyph).ok().and_then(|at| u16::try_from(at + 1).ok())
}

fn glyph_id(face: &Face, glyph: Glyph) -> u16 {
    face.glyph_id(glyph.character, glyph.mark).unwrap_or(0)
}

fn set(table: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = table.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// The glyph of every face for characters that it lacks.
const NOTDEF: u16 = 0;

/// Length of a directory of six tables.
const DIRECTORY_LEN: usize = 12 + 6 * 16;

/// `glyf` is checksum and length of the whole table.
fn assemble(glyf: (u32, u32), own: Vec<u8>, mut tail: [(&[u8; 4], Vec<u8>); 5]) -> (Vec<u8>, Vec<u8>) {
    let mut directory = Vec::with_capacity(DIRECTORY_LEN);
    // Version 1.0, six tables, and the binary search fields for six tables.
    directory.extend_from_slice(&[0, 1, 0, 0, 0, 6, 0, 64, 0, 2, 0, 32]);
    let mut offset = as_u32(DIRECTORY_LEN);
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
    use crate::fonts::{Typeface, tests::fonts};

    fn program(subset: &Subset, face: &Face) -> Vec<u8> {
        let (stream, length) = subset.program(face);
        let mut program = Vec::new();
        flate2::read::ZlibDecoder::new(stream.as_slice()).read_to_end(&mut program).unwrap();
        assert_eq!(program.len(), length);
        program
    }

    #[test]
    fn subset_has_one_glyph_per_character() {
        let (face, _) = fonts().find(Typeface::Mincho, '長', None).unwrap();
        let face = fonts().face(face);
        assert_eq!(face.glyph_id('長', None), face.glyph_id('⻑', None), "the face shares the glyph");
        let glyphs = ['長', '⻑', '永', 'A', ' '].map(Glyph::plain);
        let (wide, narrow) = (Glyph { pad: 400, ..glyphs[3] }, Glyph { pad: -250, ..Glyph::plain('。') });
        let all = [&glyphs[..], &[wide, narrow]].concat();
        let shared = [
            SharedGlyphs::default(),
            SharedGlyphs::new(face, all[..3].to_vec()),
            SharedGlyphs::new(face, vec![wide]),
            SharedGlyphs::new(face, all.clone()),
        ];
        for shared in &shared {
            let subset = Subset::new(shared, all.clone());
            assert_ne!(subset.number(glyphs[0]), subset.number(glyphs[1]));
            let program = program(&subset, face);
            assert_eq!(checksum(&program), 0xB1B0_AFBA);
            let parsed = ttf_parser::Face::parse(&program, 0).unwrap();
            // `.notdef` and the plain 。 that the squeezed one refers to.
            assert_eq!(usize::from(parsed.number_of_glyphs()), all.len() + 2);
            for (number, glyph) in subset.numbered() {
                let id = ttf_parser::GlyphId(number);
                assert_eq!(subset.number(glyph), number);
                assert_eq!(parsed.glyph_bounding_box(id).is_some(), glyph.character != ' ', "{glyph:?}");
                let original = face.metric(glyph_id(face, glyph)).advance;
                let expected = i32::from(original) + (i32::from(glyph.pad) * 2048 + 500).div_euclid(1000);
                assert_eq!(i32::from(parsed.glyph_hor_advance(id).unwrap()), expected, "{glyph:?}");
            }
            // The directory states the checksum of each table.
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

    /// The checksum of `head` is computed without the adjustment.
    fn adjustment(program: &[u8], head: usize) -> u32 {
        u32::from_be_bytes(program[head + 8..head + 12].try_into().unwrap())
    }

    #[test]
    fn flattened_composites_keep_their_bounds() {
        let path = crate::FontPaths::system().unwrap().gothic[1].clone();
        let bytes = std::fs::read(path).unwrap();
        let original = ttf_parser::Face::parse(&bytes, 0).unwrap();
        let face = Face::parse(&bytes).unwrap();
        let mut composites = 0;
        for character in (0x20..0x3000)
            .filter_map(char::from_u32)
            .filter(|character| face.glyph_id(*character, None).is_some())
        {
            let id = ttf_parser::GlyphId(face.glyph_id(character, None).unwrap());
            let glyph = Glyph::plain(character);
            let program = program(&Subset::new(&SharedGlyphs::default(), vec![glyph]), &face);
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

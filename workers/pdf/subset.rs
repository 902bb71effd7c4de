//! A font program with only what one document needs.
//!
//! Every *character* gets a glyph number of its own, even where the face draws two characters with one glyph
//! (IPAex does so 290 times: 〜 and ～, 長 and ⻑). Numbers then translate back to text exactly, and what a reader
//! copies is what was written. A character may also appear with a wider advance ([`Letter::pad`]): space that
//! belongs to the glyph is not mistaken for a space character when text is copied.

use super::display::Letter;
use super::face::Face;

/// The letters one face contributes to a document, in order: number `n` is `letters[n - 1]`; 0 is `.notdef`.
pub(super) struct Subset {
    letters: Vec<Letter>,
}

impl Subset {
    /// Numbers the letters; order and repetition of `letters` do not matter.
    pub(super) fn new(mut letters: Vec<Letter>) -> Self {
        letters.sort_unstable();
        letters.dedup();
        Self { letters }
    }

    /// Letters with their numbers.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u16, Letter)> {
        (1..).zip(self.letters.iter().copied())
    }

    /// The number of a letter of this subset.
    pub(super) fn number(&self, letter: Letter) -> u16 {
        self.letters.binary_search(&letter).ok().and_then(|at| u16::try_from(at + 1).ok()).unwrap_or(0)
    }

    /// Advances in 1/1000 em by number, from number 1.
    pub(super) fn advances<'a>(&'a self, face: &'a Face) -> impl Iterator<Item = u16> + 'a {
        self.letters.iter().map(|letter| face.metric(glyph(face, *letter)).thousandths.saturating_add(letter.pad))
    }

    /// The font program: a TrueType file of the six tables a PDF needs.
    pub(super) fn program(&self, face: &Face) -> Vec<u8> {
        let mut glyf = Vec::with_capacity(self.letters.len() * 400);
        let mut loca = Vec::with_capacity(self.letters.len() * 4 + 8);
        let mut hmtx = Vec::with_capacity(self.letters.len() * 4 + 4);
        let mut count = 0_u16;
        let mut push = |source: u16, pad: u16| {
            loca.extend_from_slice(&u32::try_from(glyf.len()).unwrap_or(u32::MAX).to_be_bytes());
            glyf.extend_from_slice(face.program(source));
            let metric = face.metric(source);
            let pad = u32::from(pad) * u32::from(face.units) / 1000;
            hmtx.extend_from_slice(&metric.advance.saturating_add(u16::try_from(pad).unwrap_or(0)).to_be_bytes());
            hmtx.extend_from_slice(&metric.bearing.to_be_bytes());
            count += 1;
        };
        push(0, 0);
        for &letter in &self.letters {
            push(glyph(face, letter), letter.pad);
        }
        loca.extend_from_slice(&u32::try_from(glyf.len()).unwrap_or(u32::MAX).to_be_bytes());

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
        assemble(&[(b"glyf", &glyf), (b"head", &head), (b"hhea", &hhea), (b"hmtx", &hmtx), (b"loca", &loca), (b"maxp", &maxp)])
    }
}

fn glyph(face: &Face, letter: Letter) -> u16 {
    face.glyph(letter.character).unwrap_or(0)
}

fn set(table: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = table.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Writes tables (sorted by tag) behind their directory, with checksums.
fn assemble(tables: &[(&[u8; 4], &[u8]); 6]) -> Vec<u8> {
    const HEADER: usize = 12 + 6 * 16;
    let mut file = Vec::with_capacity(HEADER + tables.iter().map(|(_, table)| table.len() + 3).sum::<usize>());
    // Version 1.0, six tables, and the binary search fields that follow from six.
    file.extend_from_slice(&[0, 1, 0, 0, 0, 6, 0, 64, 0, 2, 0, 32]);
    let mut offset = HEADER;
    for (tag, table) in tables {
        file.extend_from_slice(*tag);
        for value in [checksum(table), as_u32(offset), as_u32(table.len())] {
            file.extend_from_slice(&value.to_be_bytes());
        }
        offset += table.len().next_multiple_of(4);
    }
    let mut head = 0;
    for (tag, table) in tables {
        if *tag == b"head" {
            head = file.len();
        }
        file.extend_from_slice(table);
        file.resize(file.len().next_multiple_of(4), 0);
    }
    let adjustment = 0xB1B0_AFBA_u32.wrapping_sub(checksum(&file));
    set(&mut file, head + 8, &adjustment.to_be_bytes());
    file
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
    use super::*;
    use crate::pdf::fonts::{Style, tests::fonts};

    #[test]
    fn a_subset_is_a_font_with_a_glyph_per_character() {
        let (face, _) = fonts().find(Style::Mincho, '長').unwrap();
        let face = fonts().face(face);
        assert_eq!(face.glyph('長'), face.glyph('⻑'), "the face shares the glyph");
        let letters = ['長', '⻑', '永', 'A', ' '].map(|character| Letter { character, pad: 0 });
        let wide = Letter { character: 'A', pad: 400 };
        let subset = Subset::new([&letters[..], &[wide]].concat());
        assert_ne!(subset.number(letters[0]), subset.number(letters[1]));
        let program = subset.program(face);
        assert_eq!(checksum(&program), 0xB1B0_AFBA);
        let parsed = ttf_parser::Face::parse(&program, 0).unwrap();
        assert_eq!(parsed.number_of_glyphs(), 7);
        let original = face.metric(face.glyph('A').unwrap()).advance;
        for (number, letter) in subset.numbered() {
            let id = ttf_parser::GlyphId(number);
            assert_eq!(parsed.glyph_bounding_box(id).is_some(), letter.character != ' ', "{letter:?}");
            if letter == wide {
                assert_eq!(parsed.glyph_hor_advance(id).unwrap(), original + 819);
            }
        }
    }

    #[test]
    fn composite_glyphs_are_flattened_to_the_same_shape() {
        let path = crate::pdf::FontPaths::system().unwrap().gothic[1].clone();
        let bytes = std::fs::read(path).unwrap();
        let original = ttf_parser::Face::parse(&bytes, 0).unwrap();
        let face = Face::parse(&bytes).unwrap();
        let mut composites = 0;
        for character in (0x20..0x3000).filter_map(char::from_u32).filter(|character| face.glyph(*character).is_some()) {
            let id = ttf_parser::GlyphId(face.glyph(character).unwrap());
            let letter = Letter { character, pad: 0 };
            let program = Subset::new(vec![letter]).program(&face);
            let parsed = ttf_parser::Face::parse(&program, 0).unwrap();
            assert_eq!(parsed.glyph_bounding_box(ttf_parser::GlyphId(1)), original.glyph_bounding_box(id), "{character}");
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

//! Glyphs for two characters: kanji and variation selector, or letter and mark.
//! Unicode does not compose such a letter with its mark (か゚, ɔ̀, ˩˥).
//!
//! There is no shaper. Variation sequences are in the character map (format 14). The others are ligatures of
//! two glyphs in layout features that every shaper applies. Only ligatures with a mark are taken: a name is
//! never set with a ligature of two letters.

use std::collections::{BTreeSet, HashMap};

use ttf_parser::gsub::{LigatureSubstitution, SubstitutionSubtable};
use ttf_parser::opentype_layout::{Coverage, LayoutTable};
use ttf_parser::{GlyphId, Tag};
use unicode_normalization::char::compose;

use super::bytes::{size_at, u16_at, u24_at};
use super::cmap::{CharacterMap, subtables};
use crate::normalize::is_variation_selector;

/// The whole family register has about sixty thousand.
const MAX_ENTRIES: u32 = 400_000;

/// Features that every shaper applies by default.
const FEATURES: [Tag; 2] = [Tag::from_bytes(b"ccmp"), Tag::from_bytes(b"liga")];

/// The letters that may take a mark: those below the kanji.
const LETTERS: std::ops::Range<u32> = 0x41..0x3400;

/// Combining marks, and the two tones that JIS X 0213 joins.
const MARKS: [std::ops::RangeInclusive<char>; 7] = [
    '\u{300}'..='\u{36F}',
    '\u{2E5}'..='\u{2E9}',
    '\u{1AB0}'..='\u{1AFF}',
    '\u{1DC0}'..='\u{1DFF}',
    '\u{20D0}'..='\u{20FF}',
    '\u{3099}'..='\u{309A}',
    '\u{FE20}'..='\u{FE2F}',
];

/// The sequences of a face, sorted by mark and then character.
pub(super) struct Variations {
    sorted: Vec<((char, char), u16)>,
}

impl Variations {
    pub(super) fn read(
        cmap: &[u8],
        gsub: Option<LayoutTable>,
        characters: &CharacterMap,
        glyphs: u16,
    ) -> Result<Self, String> {
        let mut reader = Reader { characters, found: Vec::new(), left: MAX_ENTRIES };
        for (_, _, subtable) in
            subtables(cmap).filter(|(platform, encoding, _)| (*platform, *encoding) == (0, 5))
        {
            reader.variations(subtable).ok_or("its variation sequences are broken")?;
        }
        if let Some(gsub) = gsub {
            reader.ligatures(&gsub).ok_or("its glyph substitutions are broken")?;
        }
        let mut sorted = reader.found;
        sorted.retain(|(_, glyph)| (1..glyphs).contains(glyph));
        // A stable sort: the sequence found first is kept.
        sorted.sort_by_key(|(sequence, _)| *sequence);
        sorted.dedup_by_key(|(sequence, _)| *sequence);
        sorted.shrink_to_fit();
        Ok(Self { sorted })
    }

    pub(super) fn glyph_id(&self, character: char, mark: char) -> Option<u16> {
        let at = self.sorted.binary_search_by_key(&(mark, character), |(sequence, _)| *sequence).ok()?;
        self.sorted.get(at).map(|(_, glyph)| *glyph)
    }

    /// The marks of all sequences, each once, ascending.
    pub(super) fn marks(&self) -> impl Iterator<Item = char> {
        self.sorted.chunk_by(|one, other| one.0.0 == other.0.0).map(|group| group[0].0.0)
    }
}

/// Its methods return `None` for a table that is truncated or too long.
struct Reader<'a> {
    characters: &'a CharacterMap,
    found: Vec<((char, char), u16)>,
    left: u32,
}

impl Reader<'_> {
    fn step(&mut self) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        Some(())
    }

    fn put(&mut self, code: u32, mark: char, glyph: Option<u16>) -> Option<()> {
        self.step()?;
        if let Some(character) = char::from_u32(code)
            && let Some(glyph) = glyph.or_else(|| self.characters.glyph_id(character))
        {
            self.found.push(((mark, character), glyph));
        }
        Some(())
    }

    /// Format 14: some characters of a selector keep their glyph, others get another.
    fn variations(&mut self, table: &[u8]) -> Option<()> {
        if u16_at(table, 0)? != 14 {
            return Some(());
        }
        for record in (0..size_at(table, 6)?).map(|at| 10 + 11 * at) {
            self.step()?;
            // A sequence with any other character would remove that character from the text.
            let Some(selector) =
                char::from_u32(u24_at(table, record)?).filter(|character| is_variation_selector(*character))
            else {
                continue;
            };
            let [own, other] = [size_at(table, record + 3)?, size_at(table, record + 7)?];
            if other != 0 {
                for at in (0..size_at(table, other)?).map(|at| other + 4 + 5 * at) {
                    self.put(u24_at(table, at)?, selector, Some(u16_at(table, at + 3)?))?;
                }
            }
            if own != 0 {
                for at in (0..size_at(table, own)?).map(|at| own + 4 + 4 * at) {
                    let first = u24_at(table, at)?;
                    for code in first..=first + u32::from(*table.get(at + 3)?) {
                        self.put(code, selector, None)?;
                    }
                }
            }
        }
        Some(())
    }

    fn ligatures(&mut self, gsub: &LayoutTable) -> Option<()> {
        let mut marks: HashMap<u16, Vec<char>> = HashMap::new();
        for mark in MARKS.into_iter().flatten() {
            if let Some(glyph) = self.characters.glyph_id(mark) {
                marks.entry(glyph).or_default().push(mark);
            }
        }
        let mut lookups = BTreeSet::new();
        for feature in gsub.features.into_iter().filter(|feature| FEATURES.contains(&feature.tag)) {
            for index in feature.lookup_indices {
                self.step()?;
                lookups.insert(index);
            }
        }
        let mut pairs: HashMap<u16, Vec<(u16, u16)>> = HashMap::new();
        for lookup in lookups.into_iter().filter_map(|index| gsub.lookups.get(index)) {
            for subtable in lookup.subtables.into_iter::<SubstitutionSubtable>() {
                self.step()?;
                if let SubstitutionSubtable::Ligature(ligatures) = subtable {
                    self.pairs(&ligatures, &marks, &mut pairs)?;
                }
            }
        }
        if pairs.is_empty() {
            return Some(());
        }
        for letter in LETTERS.filter_map(char::from_u32) {
            for (mark, ligature) in
                self.characters.glyph_id(letter).and_then(|glyph| pairs.get(&glyph)).into_iter().flatten()
            {
                for &mark in marks.get(mark).into_iter().flatten() {
                    if compose(letter, mark).is_none() {
                        self.put(u32::from(letter), mark, Some(*ligature))?;
                    }
                }
            }
        }
        Some(())
    }

    /// Collects pairs of mark glyph and ligature glyph by the glyph of the letter.
    fn pairs(
        &mut self,
        ligatures: &LigatureSubstitution,
        marks: &HashMap<u16, Vec<char>>,
        pairs: &mut HashMap<u16, Vec<(u16, u16)>>,
    ) -> Option<()> {
        for (letter, set) in covered(ligatures.coverage) {
            self.step()?;
            for ligature in ligatures.ligature_sets.get(set).into_iter().flatten() {
                self.step()?;
                if ligature.components.len() == 1
                    && let Some(GlyphId(mark)) = ligature.components.get(0)
                    && marks.contains_key(&mark)
                {
                    pairs.entry(letter.0).or_default().push((mark, ligature.glyph.0));
                }
            }
        }
        Some(())
    }
}

/// Each glyph of a coverage with its index.
fn covered(coverage: Coverage) -> Box<dyn Iterator<Item = (GlyphId, u16)> + '_> {
    match coverage {
        Coverage::Format1 { glyphs } => Box::new(glyphs.into_iter().zip(0..)),
        Coverage::Format2 { records } => Box::new(records.into_iter().flat_map(|record| {
            let (first, number) = (record.start.0, record.value);
            (first..=record.end.0).map(move |glyph| (GlyphId(glyph), number.wrapping_add(glyph - first)))
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A format 14 subtable with one selector and full ranges of characters.
    fn table(ranges: u32) -> Vec<u8> {
        let mut table = vec![0, 14, 0, 0, 0, 0, 0, 0, 0, 1, 0x0E, 0x01, 0x00, 0, 0, 0, 21, 0, 0, 0, 0];
        table.extend(ranges.to_be_bytes());
        (0..ranges).for_each(|_| table.extend([0, 0x4E, 0, 255]));
        table
    }

    #[test]
    fn rejects_endless_sequences() {
        let cmap = [0, 0, 0, 1, 0, 3, 0, 10, 0, 0, 0, 12]
            .into_iter()
            .chain([0_u8, 12, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, 1]);
        let cmap: Vec<u8> = cmap.chain([0, 0, 0x4E, 0, 0, 0, 0x4E, 0, 0, 0, 0, 7]).collect();
        let characters = CharacterMap::read(&cmap, 10).unwrap();
        let read = |table: &[u8]| {
            let mut reader = Reader { characters: &characters, found: Vec::new(), left: MAX_ENTRIES };
            reader.variations(table).map(|()| reader.found)
        };
        assert_eq!(read(&table(1)).unwrap(), [(('\u{E0100}', '\u{4E00}'), 7)]);
        assert_eq!(read(&table(1000)).unwrap().len(), 1000);
        assert_eq!(read(&table(2000)), None);
        assert_eq!(read(&table(3)[..30]), None);
        let letter = [&table(1)[..10], &[0x00, 0x30, 0x44], &table(1)[13..]].concat();
        assert_eq!(read(&letter).unwrap(), [], "い is not a selector");
    }
}

//! The character map of a face, dense in the planes of text.
//!
//! Formats 4 and 12 are parsed here because ttf-parser iterates a subtable for as long as the subtable claims
//! (a few bytes can claim four thousand million characters), and looks every glyph up again. Japanese fonts
//! have one of these formats, nearly all have both.

use std::collections::HashMap;

use super::bytes::{size_at, u16_at, u32_at};

/// Most characters read from one face: four times the size of Unicode.
const MAX_CHARACTERS: u32 = 0x44_0000;

pub(super) struct CharacterMap {
    /// The basic plane, indexed by code point; 0 for none.
    basic: Vec<u16>,
    supplementary: HashMap<u32, u16>,
    glyphs: u16,
    /// Characters that may still be read.
    left: u32,
}

impl CharacterMap {
    /// If subtables differ, the first one applies.
    pub(super) fn read(cmap: &[u8], glyphs: u16) -> Result<Self, String> {
        let mut characters =
            Self { basic: vec![0; 0x1_0000], supplementary: HashMap::new(), glyphs, left: MAX_CHARACTERS };
        let mut read = false;
        for (platform, encoding, subtable) in subtables(cmap) {
            let is_unicode = platform == 0 || (platform == 3 && matches!(encoding, 1 | 10));
            read |= is_unicode
                && match u16_at(subtable, 0) {
                    Some(4) => characters.segments(subtable).ok_or("its character map is broken")?,
                    Some(12) => characters.groups(subtable).ok_or("its character map is broken")?,
                    _ => false,
                };
        }
        if read {
            Ok(characters)
        } else {
            Err("it has no Unicode character map of format 4 or 12".to_owned())
        }
    }

    /// Never glyph 0.
    pub(super) fn glyph_id(&self, character: char) -> Option<u16> {
        let code = u32::from(character);
        let glyph = match self.basic.get(code as usize) {
            Some(&glyph) => glyph,
            None => self.supplementary.get(&code).copied().unwrap_or(0),
        };
        (glyph != 0).then_some(glyph)
    }

    /// Format 4.
    fn segments(&mut self, table: &[u8]) -> Option<bool> {
        let twice = usize::from(u16_at(table, 6)? & !1);
        for segment in (0..twice).step_by(2) {
            let last = u16_at(table, 14 + segment)?;
            let first = u16_at(table, 16 + twice + segment)?;
            let delta = u16_at(table, 16 + 2 * twice + segment)?;
            let place = 16 + 3 * twice + segment;
            let offset = u16_at(table, place)?;
            // 0xFFFF ends the list. As an offset it is a known fault of old tools.
            if first == 0xFFFF || offset == 0xFFFF {
                continue;
            }
            for code in first..=last {
                self.left = self.left.checked_sub(1)?;
                let glyph = match offset {
                    0 => code.wrapping_add(delta),
                    _ => match u16_at(table, place + usize::from(offset) + 2 * usize::from(code - first)) {
                        None | Some(0) => 0,
                        Some(glyph) => glyph.wrapping_add(delta),
                    },
                };
                self.put(u32::from(code), glyph);
            }
        }
        Some(true)
    }

    /// Format 12.
    fn groups(&mut self, table: &[u8]) -> Option<bool> {
        let count = size_at(table, 12)?;
        let groups = table.get(16..)?.as_chunks::<12>().0.get(..count)?;
        for group in groups {
            let (first, last, glyph) = (u32_at(group, 0)?, u32_at(group, 4)?, u32_at(group, 8)?);
            for code in first..=last.min(u32::from(char::MAX)) {
                self.left = self.left.checked_sub(1)?;
                self.put(
                    code,
                    glyph.checked_add(code - first).and_then(|glyph| u16::try_from(glyph).ok()).unwrap_or(0),
                );
            }
        }
        Some(true)
    }

    fn put(&mut self, code: u32, glyph: u16) {
        if glyph == 0 || glyph >= self.glyphs {
            return;
        }
        match self.basic.get_mut(code as usize) {
            Some(slot) if *slot == 0 => *slot = glyph,
            Some(_) => {}
            None => _ = self.supplementary.entry(code).or_insert(glyph),
        }
    }
}

/// Platform, encoding and bytes of each subtable, up to the end of the table.
pub(super) fn subtables(cmap: &[u8]) -> impl Iterator<Item = (u16, u16, &[u8])> {
    let count = u16_at(cmap, 2).unwrap_or(0);
    (0..usize::from(count)).map(|at| 4 + 8 * at).map_while(move |at| {
        let subtable = size_at(cmap, at + 4).and_then(|offset| cmap.get(offset..)).unwrap_or(&[]);
        Some((u16_at(cmap, at)?, u16_at(cmap, at + 2)?, subtable))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_ttf_parser() {
        let paths = crate::FontPaths::system().unwrap();
        for file in [&paths.mincho[0], &paths.mincho[1]] {
            let bytes = std::fs::read(file).unwrap();
            let face = ttf_parser::Face::parse(&bytes, 0).unwrap();
            let cmap = face.raw_face().table(ttf_parser::Tag::from_bytes(b"cmap")).unwrap();
            let characters = CharacterMap::read(cmap, face.number_of_glyphs()).unwrap();
            for character in '\0'..='\u{2FFFF}' {
                let expected = face.glyph_index(character).map(|glyph| glyph.0).filter(|glyph| *glyph != 0);
                assert_eq!(characters.glyph_id(character), expected, "U+{:04X}", u32::from(character));
            }
        }
    }

    fn cmap(subtables: &[&[u8]]) -> Vec<u8> {
        let count = u16::try_from(subtables.len()).unwrap();
        let mut cmap = [[0, 0], count.to_be_bytes()].concat();
        let mut offset = 4 + 8 * subtables.len();
        for subtable in subtables {
            cmap.extend([0, 3, 0, 10]);
            cmap.extend(u32::try_from(offset).unwrap().to_be_bytes());
            offset += subtable.len();
        }
        [cmap, subtables.concat()].concat()
    }

    fn groups(groups: &[[u32; 3]]) -> Vec<u8> {
        let count = u32::try_from(groups.len()).unwrap();
        let numbers = [0x000C_0000, 0, 0, count].into_iter().chain(groups.iter().flatten().copied());
        numbers.flat_map(u32::to_be_bytes).collect()
    }

    #[test]
    fn rejects_an_endless_map() {
        let read = |cmap: &[u8]| CharacterMap::read(cmap, 100).err();
        assert_eq!(read(&cmap(&[&groups(&[[0x41, 0x42, 1]])])), None);
        assert_eq!(
            read(&cmap(&[&groups(&vec![[0, u32::MAX, 1]; 100_000])])).unwrap(),
            "its character map is broken"
        );
        assert_eq!(read(&cmap(&[&groups(&[[0x41, 0x42, 1]])[..20]])).unwrap(), "its character map is broken");
        assert_eq!(read(&cmap(&[])).unwrap(), "it has no Unicode character map of format 4 or 12");
        assert_eq!(read(&[]).unwrap(), "it has no Unicode character map of format 4 or 12");
    }

    #[test]
    fn ignores_glyphs_beyond_the_last() {
        let characters =
            CharacterMap::read(&cmap(&[&groups(&[[0x41, 0x45, 98], [0x2_0000, 0x2_0001, 7]])]), 100).unwrap();
        assert_eq!(
            ['A', 'B', 'C', '\u{20001}'].map(|character| characters.glyph_id(character)),
            [Some(98), Some(99), None, Some(8)]
        );
    }
}

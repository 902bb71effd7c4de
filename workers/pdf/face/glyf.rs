//! Outlines of a `glyf` table, converted when the face is read.
//! All become simple and without hinting.

use ttf_parser::{GlyphId, head::IndexToLocationFormat};

use super::bytes::{size_at, u16_at};
use super::outline::{Extent, Outline};

/// Most parts of a composite glyph, nested ones included; real ones have three.
const MAX_PARTS: u32 = 1000;

pub(super) struct GlyfOutlines {
    bytes: Vec<u8>,
    offsets: Vec<u32>,
    pub(super) extent: Extent,
}

impl GlyfOutlines {
    /// Copies simple glyphs without their hints, and flattens composite ones.
    pub(super) fn read(face: &ttf_parser::Face, glyf: &[u8], loca: &[u8]) -> Result<Self, String> {
        let table = Table {
            glyf,
            loca,
            is_long: face.tables().head.index_to_location_format == IndexToLocationFormat::Long,
        };
        let mut all =
            Self { bytes: Vec::with_capacity(glyf.len()), offsets: vec![0], extent: Extent::default() };
        for glyph in 0..face.number_of_glyphs() {
            let program = table
                .program(glyph)
                .ok_or_else(|| format!("its glyph {glyph} lies outside the glyf table"))?;
            match contours(program) {
                None | Some(0) => {}
                Some(count @ 1..) => {
                    strip_hints(program, count.unsigned_abs(), &mut all.bytes)
                        .ok_or_else(|| format!("its glyph {glyph} is truncated"))?;
                }
                Some(_) => all.flatten(face, &table, glyph)?,
            }
            if !all.bytes.len().is_multiple_of(2) {
                all.bytes.push(0);
            }
            all.offsets
                .push(u32::try_from(all.bytes.len()).map_err(|_| "its glyf table is larger than 4 GB")?);
        }
        Ok(all)
    }

    /// The program of a glyph; empty for a blank.
    pub(super) fn get(&self, glyph: u16) -> &[u8] {
        let at = usize::from(glyph);
        match (self.offsets.get(at), self.offsets.get(at + 1)) {
            (Some(&from), Some(&to)) => &self.bytes[from as usize..to as usize],
            _ => &[],
        }
    }

    fn flatten(&mut self, face: &ttf_parser::Face, table: &Table, glyph: u16) -> Result<(), String> {
        let mut left = MAX_PARTS;
        table
            .count_parts(glyph, 0, &mut left)
            .ok_or_else(|| format!("its glyph {glyph} has more than {MAX_PARTS} parts"))?;
        let mut outline = Outline::new(face.units_per_em());
        if face.outline_glyph(GlyphId(glyph), &mut outline).is_some() {
            let extent =
                outline.write(&mut self.bytes).map_err(|problem| format!("its glyph {glyph}: {problem}"))?;
            self.extent.points = self.extent.points.max(extent.points);
            self.extent.contours = self.extent.contours.max(extent.contours);
        }
        Ok(())
    }
}

/// The number of contours; negative for a composite glyph.
fn contours(program: &[u8]) -> Option<i16> {
    u16_at(program, 0).map(u16::cast_signed)
}

struct Table<'a> {
    glyf: &'a [u8],
    loca: &'a [u8],
    is_long: bool,
}

impl Table<'_> {
    fn program(&self, glyph: u16) -> Option<&[u8]> {
        let at = usize::from(glyph);
        let location = |at: usize| {
            if self.is_long {
                size_at(self.loca, 4 * at)
            } else {
                u16_at(self.loca, 2 * at).map(|half| 2 * usize::from(half))
            }
        };
        self.glyf.get(location(at)?..location(at + 1)?)
    }

    /// Subtracts the parts of a glyph from `left`; `None` if there are more.
    /// A part may contain itself: ttf-parser bounds the depth (32), but a thousand parts of a thousand parts
    /// would never end.
    fn count_parts(&self, glyph: u16, depth: u32, left: &mut u32) -> Option<()> {
        let Some(program) =
            self.program(glyph).filter(|program| contours(program).is_some_and(i16::is_negative))
        else {
            return Some(());
        };
        if depth == 32 {
            return None;
        }
        let mut at = 10;
        loop {
            // A truncated record ends the glyph.
            let (Some(flags), Some(part)) = (u16_at(program, at), u16_at(program, at + 2)) else {
                return Some(());
            };
            *left = left.checked_sub(1)?;
            self.count_parts(part, depth + 1, left)?;
            let has = |bit: u16| usize::from(flags >> bit & 1);
            // Arguments of words or bytes, then one, two or four scales.
            at += 4 + 2 + 2 * has(0) + 2 * has(3) + 4 * has(6) + 8 * has(7);
            if has(5) == 0 {
                return Some(());
            }
        }
    }
}

/// Copies a simple glyph with an instruction length of zero.
fn strip_hints(program: &[u8], contours: u16, into: &mut Vec<u8>) -> Option<()> {
    let ends = 10 + 2 * usize::from(contours);
    let length = usize::from(u16_at(program, ends)?);
    let rest = program.get(ends + 2 + length..)?;
    into.extend_from_slice(&program[..ends]);
    into.extend_from_slice(&[0, 0]);
    into.extend_from_slice(rest);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_endless_parts_without_following_them() {
        // Glyph 0 is simple. Glyph n consists of ten times glyph n - 1; the last one consists of itself.
        let simple = [0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let made_of = |part: u8| {
            let mut program = vec![0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0];
            for at in 0..10 {
                program.extend([0, if at == 9 { 0 } else { 0x20 }, 0, part, 0, 0]);
            }
            program
        };
        let programs = [simple.to_vec(), made_of(0), made_of(1), made_of(2), made_of(3), made_of(5)];
        let mut loca = vec![0, 0];
        let mut end = 0;
        for program in &programs {
            end += program.len() / 2;
            loca.extend(u16::try_from(end).unwrap().to_be_bytes());
        }
        let glyf = programs.concat();
        let table = Table { glyf: &glyf, loca: &loca, is_long: false };
        let count = |glyph| {
            let mut left = MAX_PARTS;
            table.count_parts(glyph, 0, &mut left).map(|()| MAX_PARTS - left)
        };
        assert_eq!([0, 1, 2, 3, 4, 5].map(count), [Some(0), Some(10), Some(110), None, None, None]);
    }
}

//! One font face, parsed once per process into the form that drawing needs.
//!
//! It keeps a dense character map, the glyphs of variation sequences, advances in 1/1000 em (the unit of
//! `/W`, so layout and viewer add up the same integers), and every outline as a simple `glyf` program without
//! hinting. Hints are a third of such a file, and today's viewers do not run them at reading sizes. Composite
//! glyphs are flattened here once, so the subset builder copies bytes and follows no references.
//!
//! CFF outlines (Noto CJK) become such programs too, each when it is first drawn. Rejected: embedding them
//! unchanged, a second code path through subset, `/W` and font dictionaries for a shape that looks the same
//! in print.
//!
//! A font file comes from the operator, but it may be truncated, wrong, or built to keep a program busy:
//! every list in it is read for a bounded number of steps. The exception is subroutines of CFF outlines,
//! which ttf-parser bounds by depth alone.

mod bytes;
mod cff;
mod cmap;
mod glyf;
mod outline;
mod variations;

use sha2::{Digest, Sha256};
use ttf_parser::{GlyphId, Permissions, TableRecord, Tag, fonts_in_collection};

use bytes::u16_at;
use cff::CffOutlines;
use cmap::CharacterMap;
use glyf::GlyfOutlines;
use outline::Extent;
use variations::Variations;

pub(super) struct Face {
    /// PostScript name, such as `IPAexMincho`.
    pub(super) name: String,
    /// Units per em.
    pub(super) units: u16,
    /// Height above the baseline, in font units.
    pub(super) ascent: i16,
    /// Depth below the baseline (negative), in font units.
    pub(super) descent: i16,
    /// `xMin yMin xMax yMax`, in font units.
    pub(super) bounds: [i16; 4],
    /// Weight class of OS/2.
    pub(super) weight: u16,
    pub(super) head: Vec<u8>,
    pub(super) hhea: Vec<u8>,
    /// The `maxp` table, with the limits of the flattened outlines.
    pub(super) maxp: Vec<u8>,
    /// SHA-256 of the file.
    pub(super) digest: [u8; 32],
    characters: CharacterMap,
    variations: Variations,
    metrics: Vec<Metric>,
    outlines: Outlines,
}

#[derive(Clone, Copy)]
pub(super) struct Metric {
    /// Advance in font units.
    pub(super) advance: u16,
    /// In font units. It must be exact: renderers shift an outline by `xMin - lsb`.
    pub(super) bearing: i16,
    /// Advance in 1/1000 em.
    pub(super) thousandths: u16,
}

enum Outlines {
    Glyf(GlyfOutlines),
    Cff(CffOutlines),
}

impl Face {
    /// Parses a font file that holds one face.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        match fonts_in_collection(bytes) {
            Some(count) if count > 1 => {
                let name = |index| {
                    ttf_parser::Face::parse(bytes, index)
                        .map_or_else(|_| "?".to_owned(), |face| post_script_name(&face))
                };
                let names: Vec<_> =
                    (0..count.min(16)).map(|index| format!("#{index} {}", name(index))).collect();
                Err(format!("it is a collection of faces; select one as file#number: {}", names.join(", ")))
            }
            _ => Self::read(bytes, 0),
        }
    }

    /// Parses one face of a collection, counting from 0.
    pub(super) fn parse_member(bytes: &[u8], index: u32) -> Result<Self, String> {
        match fonts_in_collection(bytes).unwrap_or(1) {
            count if index < count => Self::read(bytes, index),
            1 => Err(format!("it has one face; #{index} does not exist")),
            count => Err(format!(
                "it has {count} faces, #0 to #{}; #{index} does not exist",
                count.saturating_sub(1)
            )),
        }
    }

    fn read(bytes: &[u8], index: u32) -> Result<Self, String> {
        let parsed = ttf_parser::Face::parse(bytes, index).map_err(|error| error.to_string())?;
        let table = |name: &[u8; 4]| {
            parsed
                .raw_face()
                .table(Tag::from_bytes(name))
                .ok_or_else(|| format!("it has no {} table", String::from_utf8_lossy(name)))
        };
        check_complete(&parsed, bytes)?;
        check_embedding(&parsed)?;
        let units = parsed.units_per_em();
        let glyphs = parsed.number_of_glyphs();
        let metrics = (0..glyphs)
            .map(|id| {
                let advance = parsed.glyph_hor_advance(GlyphId(id)).unwrap_or(0);
                let bearing = parsed.glyph_hor_side_bearing(GlyphId(id)).unwrap_or(0);
                Metric { advance, bearing, thousandths: in_thousandths(advance, units) }
            })
            .collect();
        let cmap = table(b"cmap")?;
        let characters = CharacterMap::read(cmap, glyphs)?;
        let variations = Variations::read(cmap, parsed.tables().gsub, &characters, glyphs)?;
        let (outlines, maxp) = if parsed.tables().glyf.is_some() {
            let outlines = GlyfOutlines::read(&parsed, table(b"glyf")?, table(b"loca")?)?;
            let maxp = maxp_of_glyf(table(b"maxp")?, outlines.extent)?;
            (Outlines::Glyf(outlines), maxp)
        } else if parsed.tables().cff.is_some() {
            (Outlines::Cff(CffOutlines::new(table(b"CFF ")?, units, glyphs)), maxp_of_cff(glyphs))
        } else {
            return Err("it has neither TrueType (glyf) nor PostScript (CFF) outlines".to_owned());
        };
        let bounds = parsed.global_bounding_box();
        Ok(Self {
            name: post_script_name(&parsed),
            units,
            ascent: parsed.ascender(),
            descent: parsed.descender(),
            bounds: [bounds.x_min, bounds.y_min, bounds.x_max, bounds.y_max],
            weight: parsed.weight().to_number(),
            head: table(b"head")?.to_vec(),
            hhea: table(b"hhea")?.to_vec(),
            maxp,
            digest: Sha256::digest(bytes).into(),
            characters,
            variations,
            metrics,
            outlines,
        })
    }

    /// A mark is a variation selector or combining mark.
    /// `None` if the face has no glyph, or one with a broken outline.
    pub(super) fn glyph_id(&self, character: char, mark: Option<char>) -> Option<u16> {
        let glyph = match mark {
            None => self.characters.glyph_id(character),
            Some(mark) => self.variations.glyph_id(character, mark),
        }?;
        match &self.outlines {
            Outlines::Glyf(_) => Some(glyph),
            Outlines::Cff(outlines) => outlines.get(glyph).map(|_| glyph),
        }
    }

    /// Whether the character map has the character. The outline may still be broken.
    pub(super) fn lists(&self, character: char) -> bool {
        self.characters.glyph_id(character).is_some()
    }

    /// The marks that have a common glyph with some character, ascending.
    pub(super) fn marks(&self) -> impl Iterator<Item = char> {
        self.variations.marks()
    }

    /// Metrics of a glyph; one em for an unknown glyph.
    pub(super) fn metric(&self, glyph: u16) -> Metric {
        let Some(&metric) = self.metrics.get(usize::from(glyph)) else {
            return Metric { advance: self.units, bearing: 0, thousandths: 1000 };
        };
        match &self.outlines {
            Outlines::Glyf(_) => metric,
            // The table does not describe the converted outline, which keeps its position.
            Outlines::Cff(_) => {
                Metric { bearing: u16_at(self.program(glyph), 2).map_or(0, u16::cast_signed), ..metric }
            }
        }
    }

    /// Font units in 1/1000 em, rounded.
    pub(super) fn thousandths(&self, value: i16) -> i16 {
        let units = i32::from(self.units.max(1));
        let scaled = (i32::from(value) * 2000 + units).div_euclid(2 * units);
        i16::try_from(scaled).unwrap_or(if value < 0 { i16::MIN } else { i16::MAX })
    }

    /// The outline of a glyph as a `glyf` program of even length; empty for a blank.
    pub(super) fn program(&self, glyph: u16) -> &[u8] {
        match &self.outlines {
            Outlines::Glyf(outlines) => outlines.get(glyph),
            Outlines::Cff(outlines) => outlines.get(glyph).unwrap_or(&[]),
        }
    }
}

fn in_thousandths(value: u16, units: u16) -> u16 {
    let units = u32::from(units.max(1));
    u16::try_from((u32::from(value) * 1000 + units / 2) / units).unwrap_or(u16::MAX)
}

/// The PostScript name, reduced to characters that need no escaping in a PDF name.
fn post_script_name(face: &ttf_parser::Face) -> String {
    let name = face
        .names()
        .into_iter()
        .find(|name| name.name_id == ttf_parser::name_id::POST_SCRIPT_NAME && name.is_unicode());
    let name = name.and_then(|name| name.to_string()).unwrap_or_default();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    if name.is_empty() { "Unnamed".to_owned() } else { name }
}

/// A truncated file could lack tables that only some documents need.
fn check_complete(face: &ttf_parser::Face, bytes: &[u8]) -> Result<(), String> {
    let end = |record: &TableRecord| u64::from(record.offset) + u64::from(record.length);
    match face.raw_face().table_records.into_iter().find(|record| end(record) > bytes.len() as u64) {
        Some(record) => Err(format!("the file is truncated: table {} reaches beyond its end", record.tag)),
        None => Ok(()),
    }
}

/// By the licence bits (OS/2 `fsType`); a face without them may be embedded.
fn check_embedding(face: &ttf_parser::Face) -> Result<(), String> {
    let Some(os2) = face.tables().os2 else { return Ok(()) };
    let forbids = match os2.permissions() {
        Some(Permissions::Restricted) => {
            "its licence bits (fsType) forbid embedding, and an archived document must embed its fonts"
        }
        None => "its licence bits (fsType) contradict each other",
        Some(_) if !os2.is_outline_embedding_allowed() => {
            "its licence bits (fsType) allow embedding of bitmaps only"
        }
        Some(_) if !os2.is_subsetting_allowed() => "its licence bits (fsType) forbid embedding a subset",
        Some(_) => return Ok(()),
    };
    Err(forbids.to_owned())
}

/// `maxp` with the limits of flattened glyphs, and no resources for hinting.
fn maxp_of_glyf(maxp: &[u8], extent: Extent) -> Result<Vec<u8>, String> {
    if maxp.len() < 32 {
        return Err("the maxp table is truncated".to_owned());
    }
    let mut maxp = maxp.to_vec();
    for (at, least) in [(6, extent.points), (8, extent.contours)] {
        let value = u16::from_be_bytes([maxp[at], maxp[at + 1]]).max(least);
        maxp[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }
    // maxCompositePoints and maxCompositeContours; then twilight points, storage, function and instruction
    // definitions, stack elements, size of instructions, component elements and depth.
    maxp[10..14].fill(0);
    maxp[16..32].fill(0);
    Ok(maxp)
}

/// Version 1.0: that of a face with CFF outlines has 0.5, without limits.
fn maxp_of_cff(glyphs: u16) -> Vec<u8> {
    let mut maxp = vec![0; 32];
    for (at, value) in
        [(0, 1), (4, glyphs), (6, CffOutlines::EXTENT.points), (8, CffOutlines::EXTENT.contours), (14, 1)]
    {
        maxp[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }
    maxp
}

#[cfg(test)]
mod tests;

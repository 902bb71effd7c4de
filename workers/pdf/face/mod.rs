//! One font face, read once per process into the shape that drawing wants.
//!
//! What is kept: a dense character map, the glyphs of sequences, advances in 1/1000 em (the unit of `/W`, so that layout
//! and viewer add up the same integers), and every outline as a simple `glyf` program without hinting. Hints are a third
//! of such a file and no viewer of today runs them at reading sizes. Composite glyphs are flattened here once, so that
//! the subset builder copies bytes and never follows references.
//!
//! CFF outlines (Noto CJK) become such programs too, each when it is first drawn. Rejected: embedding them as they are,
//! a second road through subset, `/W` and font dictionaries for a shape nobody can tell apart in print.
//!
//! A font file is an operator's own, and still may be cut short, wrong, or made to keep a program busy: every list in it is
//! followed for a bounded number of steps. The one exception is what ttf-parser bounds by depth alone, subroutines of
//! CFF outlines.

mod bytes;
mod characters;
mod cubic;
mod outline;
mod sequences;
mod truetype;

use sha2::{Digest, Sha256};
use ttf_parser::{GlyphId, Permissions, TableRecord, Tag, fonts_in_collection};

use self::bytes::u16_at;
use self::characters::Characters;
use self::cubic::Cubics;
use self::outline::Extent;
use self::sequences::Sequences;
use self::truetype::Programs;

/// A parsed face.
pub(super) struct Face {
    /// PostScript name, such as `IPAexMincho`.
    pub(super) name: String,
    /// Units of the em square.
    pub(super) units: u16,
    /// Ascent above the baseline, font units.
    pub(super) ascent: i16,
    /// Descent below the baseline (negative), font units.
    pub(super) descent: i16,
    /// `xMin yMin xMax yMax`, font units.
    pub(super) bounds: [i16; 4],
    /// OS/2 weight class.
    pub(super) weight: u16,
    /// `head`, as the face has it.
    pub(super) head: Vec<u8>,
    /// `hhea`, as the face has it.
    pub(super) hhea: Vec<u8>,
    /// `maxp`, with the limits of the programs.
    pub(super) maxp: Vec<u8>,
    /// SHA-256 of the file.
    pub(super) digest: [u8; 32],
    characters: Characters,
    sequences: Sequences,
    metrics: Vec<Metric>,
    outlines: Outlines,
}

/// Horizontal metrics of a glyph.
#[derive(Clone, Copy)]
pub(super) struct Metric {
    /// Advance in font units.
    pub(super) advance: u16,
    /// Left side bearing in font units. Kept exactly: renderers shift an outline by `xMin - lsb`.
    pub(super) bearing: i16,
    /// Advance in 1/1000 em.
    pub(super) thousandths: u16,
}

enum Outlines {
    Ready(Programs),
    Lazy(Cubics),
}

impl Face {
    /// Parses a font file with one face. The error says what is missing or broken.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        match fonts_in_collection(bytes) {
            Some(count) if count > 1 => {
                let name = |index| {
                    ttf_parser::Face::parse(bytes, index)
                        .map_or_else(|_| "?".to_owned(), |face| post_script_name(&face))
                };
                let names: Vec<_> =
                    (0..count.min(16)).map(|index| format!("#{index} {}", name(index))).collect();
                Err(format!(
                    "it is a collection, say which of its faces as file#number: {}",
                    names.join(", ")
                ))
            }
            _ => Self::read(bytes, 0),
        }
    }

    /// Parses one face of a collection, counted from 0.
    pub(super) fn parse_member(bytes: &[u8], index: u32) -> Result<Self, String> {
        match fonts_in_collection(bytes).unwrap_or(1) {
            count if index < count => Self::read(bytes, index),
            1 => Err(format!("it has one face and no #{index}")),
            count => Err(format!(
                "it has {count} faces, the last is #{}, and no #{index}",
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
                .ok_or_else(|| format!("no {} table", String::from_utf8_lossy(name)))
        };
        whole(&parsed, bytes)?;
        permitted(&parsed)?;
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
        let characters = Characters::read(cmap, glyphs)?;
        let sequences = Sequences::read(cmap, parsed.tables().gsub, &characters, glyphs)?;
        let (outlines, maxp) = if parsed.tables().glyf.is_some() {
            let programs = Programs::read(&parsed, table(b"glyf")?, table(b"loca")?)?;
            let maxp = limits(table(b"maxp")?, programs.extent)?;
            (Outlines::Ready(programs), maxp)
        } else if parsed.tables().cff.is_some() {
            (Outlines::Lazy(Cubics::new(table(b"CFF ")?, units, glyphs)), limits_of_cubics(glyphs))
        } else {
            return Err("neither TrueType (glyf) nor PostScript (CFF) outlines".to_owned());
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
            sequences,
            metrics,
            outlines,
        })
    }

    /// The glyph of a character, or of a character with a mark (variation selector or combining mark); `None` when the
    /// face has none, or one that cannot be drawn.
    pub(super) fn glyph(&self, character: char, mark: Option<char>) -> Option<u16> {
        let glyph = match mark {
            None => self.characters.glyph(character),
            Some(mark) => self.sequences.glyph(character, mark),
        }?;
        match &self.outlines {
            Outlines::Ready(_) => Some(glyph),
            Outlines::Lazy(cubics) => cubics.get(glyph).map(|_| glyph),
        }
    }

    /// Whether the face says it has the character: what [`Self::glyph`] finds unless the outline is broken, without a look at it.
    pub(super) fn lists(&self, character: char) -> bool {
        self.characters.glyph(character).is_some()
    }

    /// The marks with which any character has a glyph of its own, ascending.
    pub(super) fn marks(&self) -> impl Iterator<Item = char> {
        self.sequences.marks()
    }

    /// Metrics of a glyph; those of `.notdef` for an unknown one.
    pub(super) fn metric(&self, glyph: u16) -> Metric {
        let Some(&metric) = self.metrics.get(usize::from(glyph)) else {
            return Metric { advance: self.units, bearing: 0, thousandths: 1000 };
        };
        match &self.outlines {
            Outlines::Ready(_) => metric,
            // Of a converted outline the table knows nothing. It stands where it was drawn.
            Outlines::Lazy(_) => {
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

    /// The outline of a glyph as a `glyf` entry of even length; empty for a blank.
    pub(super) fn program(&self, glyph: u16) -> &[u8] {
        match &self.outlines {
            Outlines::Ready(programs) => programs.get(glyph),
            Outlines::Lazy(cubics) => cubics.get(glyph).unwrap_or(&[]),
        }
    }
}

/// Font units to 1/1000 em, rounded.
fn in_thousandths(value: u16, units: u16) -> u16 {
    let units = u32::from(units.max(1));
    u16::try_from((u32::from(value) * 1000 + units / 2) / units).unwrap_or(u16::MAX)
}

/// The name of a face, of letters that a PDF name may have.
fn post_script_name(face: &ttf_parser::Face) -> String {
    let name = face
        .names()
        .into_iter()
        .find(|name| name.name_id == ttf_parser::name_id::POST_SCRIPT_NAME && name.is_unicode());
    let name = name.and_then(|name| name.to_string()).unwrap_or_default();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    if name.is_empty() { "Unnamed".to_owned() } else { name }
}

/// Whether all of the face is there: a file that is cut short may lack tables that only some documents need.
fn whole(face: &ttf_parser::Face, bytes: &[u8]) -> Result<(), String> {
    let end = |record: &TableRecord| u64::from(record.offset) + u64::from(record.length);
    match face.raw_face().table_records.into_iter().find(|record| end(record) > bytes.len() as u64) {
        Some(record) => Err(format!("the file is cut short: table {} ends behind it", record.tag)),
        None => Ok(()),
    }
}

/// Whether the face says (OS/2 `fsType`) that a part of it may stand in a document. One that says nothing may.
fn permitted(face: &ttf_parser::Face) -> Result<(), String> {
    let Some(os2) = face.tables().os2 else { return Ok(()) };
    let forbids = match os2.permissions() {
        Some(Permissions::Restricted) => {
            "its licence bits (fsType) forbid to embed it, and an archived document must embed its fonts"
        }
        None => "its licence bits (fsType) contradict each other",
        Some(_) if !os2.is_outline_embedding_allowed() => {
            "its licence bits (fsType) allow to embed bitmaps only"
        }
        Some(_) if !os2.is_subsetting_allowed() => "its licence bits (fsType) forbid to embed a part of it",
        Some(_) => return Ok(()),
    };
    Err(forbids.to_owned())
}

/// Raises the limits of `maxp` to those of flattened glyphs and takes the hinting machine's memory to zero.
fn limits(maxp: &[u8], extent: Extent) -> Result<Vec<u8>, String> {
    if maxp.len() < 32 {
        return Err("the maxp table is cut short".to_owned());
    }
    let mut maxp = maxp.to_vec();
    for (at, least) in [(6, extent.points), (8, extent.contours)] {
        let value = u16::from_be_bytes([maxp[at], maxp[at + 1]]).max(least);
        maxp[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }
    // maxCompositePoints, maxCompositeContours; twilight points, storage, function and instruction definitions,
    // stack elements, size of instructions, component elements and depth.
    maxp[10..14].fill(0);
    maxp[16..32].fill(0);
    Ok(maxp)
}

/// A `maxp` of version 1.0: a face with CFF outlines has one of half, without limits.
fn limits_of_cubics(glyphs: u16) -> Vec<u8> {
    let mut maxp = vec![0; 32];
    for (at, value) in
        [(0, 1), (4, glyphs), (6, Cubics::EXTENT.points), (8, Cubics::EXTENT.contours), (14, 1)]
    {
        maxp[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }
    maxp
}

#[cfg(test)]
mod tests;

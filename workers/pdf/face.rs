//! One font face, read once per process into the shape that drawing wants.
//!
//! What is kept: a dense character map, advances in 1/1000 em (the unit of `/W`, so that layout and viewer add up
//! the same integers), and every outline as a simple `glyf` program without hinting. Hints are a third of such a
//! file and no viewer of today runs them at reading sizes. Composite glyphs are flattened here once, so that the
//! subset builder copies bytes and never follows references.
//!
//! Only `glyf` outlines are taken: a CFF font subsets slowly and takes another road through a PDF.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use ttf_parser::{GlyphId, OutlineBuilder, Tag};

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
    /// `maxp`, with the limits of the flattened glyphs.
    pub(super) maxp: Vec<u8>,
    /// SHA-256 of the file.
    pub(super) digest: [u8; 32],
    basic: Vec<u16>,
    supplementary: HashMap<u32, u16>,
    metrics: Vec<Metric>,
    programs: Vec<u8>,
    offsets: Vec<u32>,
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

impl Face {
    /// Parses the bytes of a TrueType file. The error says what is missing or broken.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let parsed = ttf_parser::Face::parse(bytes, 0).map_err(|error| error.to_string())?;
        let table = |name: &[u8; 4]| {
            parsed.raw_face().table(Tag::from_bytes(name)).ok_or_else(|| format!("no {} table", String::from_utf8_lossy(name)))
        };
        if parsed.tables().glyf.is_none() {
            return Err("no glyf outlines (only TrueType outlines are supported)".to_owned());
        }
        let units = parsed.units_per_em();
        let metrics = (0..parsed.number_of_glyphs())
            .map(|id| {
                let advance = parsed.glyph_hor_advance(GlyphId(id)).unwrap_or(0);
                let bearing = parsed.glyph_hor_side_bearing(GlyphId(id)).unwrap_or(0);
                Metric { advance, bearing, thousandths: in_thousandths(advance, units) }
            })
            .collect();
        let (basic, supplementary) = character_map(&parsed)?;
        let outlines = outlines(&parsed, table(b"glyf")?, table(b"loca")?)?;
        let mut maxp = table(b"maxp")?.to_vec();
        limit(&mut maxp, outlines.points, outlines.contours)?;
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
            basic,
            supplementary,
            metrics,
            programs: outlines.programs,
            offsets: outlines.offsets,
        })
    }

    /// The glyph of a character; `None` when the face has none.
    pub(super) fn glyph(&self, character: char) -> Option<u16> {
        let code = u32::from(character);
        let glyph = match self.basic.get(code as usize) {
            Some(&glyph) => glyph,
            None => self.supplementary.get(&code).copied().unwrap_or(0),
        };
        (glyph != 0).then_some(glyph)
    }

    /// Metrics of a glyph; those of `.notdef` for an unknown one.
    pub(super) fn metric(&self, glyph: u16) -> Metric {
        self.metrics.get(usize::from(glyph)).copied().unwrap_or(Metric { advance: self.units, bearing: 0, thousandths: 1000 })
    }

    /// Font units in 1/1000 em, rounded.
    pub(super) fn thousandths(&self, value: i16) -> i16 {
        let units = i32::from(self.units.max(1));
        let scaled = (i32::from(value) * 2000 + units).div_euclid(2 * units);
        i16::try_from(scaled).unwrap_or(if value < 0 { i16::MIN } else { i16::MAX })
    }

    /// The outline of a glyph as a `glyf` entry of even length; empty for a blank.
    pub(super) fn program(&self, glyph: u16) -> &[u8] {
        let at = usize::from(glyph);
        match (self.offsets.get(at), self.offsets.get(at + 1)) {
            (Some(&from), Some(&to)) => &self.programs[from as usize..to as usize],
            _ => &[],
        }
    }
}

/// Font units to 1/1000 em, rounded.
fn in_thousandths(value: u16, units: u16) -> u16 {
    let units = u32::from(units.max(1));
    u16::try_from((u32::from(value) * 1000 + units / 2) / units).unwrap_or(u16::MAX)
}

fn post_script_name(face: &ttf_parser::Face) -> String {
    let name = face.names().into_iter().find(|name| name.name_id == ttf_parser::name_id::POST_SCRIPT_NAME && name.is_unicode());
    let name = name.and_then(|name| name.to_string()).unwrap_or_default();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    if name.is_empty() { "Unnamed".to_owned() } else { name }
}

fn character_map(face: &ttf_parser::Face) -> Result<(Vec<u16>, HashMap<u32, u16>), String> {
    let subtables = face.tables().cmap.ok_or("no cmap table")?.subtables;
    let mut basic = vec![0; 0x1_0000];
    let mut supplementary = HashMap::new();
    for subtable in subtables.into_iter().filter(ttf_parser::cmap::Subtable::is_unicode) {
        subtable.codepoints(|code| {
            let Some(GlyphId(glyph)) = subtable.glyph_index(code).filter(|glyph| glyph.0 != 0) else { return };
            match basic.get_mut(code as usize) {
                Some(slot) if *slot == 0 => *slot = glyph,
                Some(_) => {}
                None => _ = supplementary.entry(code).or_insert(glyph),
            }
        });
    }
    Ok((basic, supplementary))
}

struct Outlines {
    programs: Vec<u8>,
    offsets: Vec<u32>,
    points: u16,
    contours: u16,
}

fn outlines(face: &ttf_parser::Face, glyf: &[u8], loca: &[u8]) -> Result<Outlines, String> {
    let long = face.tables().head.index_to_location_format == ttf_parser::head::IndexToLocationFormat::Long;
    let location = |glyph: usize| -> Option<usize> {
        if long {
            let bytes = loca.get(glyph * 4..glyph * 4 + 4)?;
            Some(u32::from_be_bytes(bytes.try_into().ok()?) as usize)
        } else {
            let bytes = loca.get(glyph * 2..glyph * 2 + 2)?;
            Some(usize::from(u16::from_be_bytes(bytes.try_into().ok()?)) * 2)
        }
    };
    let mut outlines = Outlines { programs: Vec::with_capacity(glyf.len()), offsets: vec![0], points: 0, contours: 0 };
    for glyph in 0..face.number_of_glyphs() {
        let at = usize::from(glyph);
        let program = location(at).zip(location(at + 1)).and_then(|(from, to)| glyf.get(from..to));
        let program = program.ok_or_else(|| format!("glyph {glyph} lies outside the glyf table"))?;
        match program.first_chunk::<2>().map(|count| i16::from_be_bytes(*count)) {
            None | Some(0) => {}
            Some(count) if count > 0 => {
                strip_hints(program, count.unsigned_abs(), &mut outlines.programs).ok_or_else(|| format!("glyph {glyph} is cut short"))?;
            }
            Some(_) => {
                let mut pen = Pen::default();
                if face.outline_glyph(GlyphId(glyph), &mut pen).is_some() {
                    pen.write(&mut outlines)?;
                }
            }
        }
        if outlines.programs.len() % 2 == 1 {
            outlines.programs.push(0);
        }
        outlines.offsets.push(u32::try_from(outlines.programs.len()).map_err(|_| "the glyf table is too large")?);
    }
    Ok(outlines)
}

/// Copies a simple glyph with an instruction length of zero.
fn strip_hints(program: &[u8], contours: u16, into: &mut Vec<u8>) -> Option<()> {
    let ends = 10 + 2 * usize::from(contours);
    let length = usize::from(u16::from_be_bytes(program.get(ends..ends + 2)?.try_into().ok()?));
    let rest = program.get(ends + 2 + length..)?;
    into.extend_from_slice(&program[..ends]);
    into.extend_from_slice(&[0, 0]);
    into.extend_from_slice(rest);
    Some(())
}

/// Raises the limits of `maxp` to those of flattened glyphs and takes the hinting machine's memory to zero.
fn limit(maxp: &mut [u8], points: u16, contours: u16) -> Result<(), String> {
    if maxp.len() < 32 {
        return Err("the maxp table is cut short".to_owned());
    }
    for (at, least) in [(6, points), (8, contours)] {
        let value = u16::from_be_bytes([maxp[at], maxp[at + 1]]).max(least);
        maxp[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }
    // maxCompositePoints, maxCompositeContours; twilight points, storage, function and instruction definitions,
    // stack elements, size of instructions, component elements and depth.
    maxp[10..14].fill(0);
    maxp[16..32].fill(0);
    Ok(())
}

/// Collects the outline of a composite glyph and writes it as a simple one.
#[derive(Default)]
struct Pen {
    contours: Vec<Vec<(i16, i16, bool)>>,
}

#[expect(clippy::cast_possible_truncation, reason = "rounded font units; a glyph outside i16 cannot be in a glyf table")]
fn unit(value: f32) -> i16 {
    value.round() as i16
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.contours.push(vec![(unit(x), unit(y), true)]);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        if let Some(contour) = self.contours.last_mut() {
            contour.push((unit(x), unit(y), true));
        }
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        if let Some(contour) = self.contours.last_mut() {
            contour.push((unit(x1), unit(y1), false));
            contour.push((unit(x), unit(y), true));
        }
    }

    fn curve_to(&mut self, _x1: f32, _y1: f32, _x2: f32, _y2: f32, x: f32, y: f32) {
        // A glyf table has no cubic curves.
        self.line_to(x, y);
    }

    fn close(&mut self) {
        if let Some(contour) = self.contours.last_mut()
            && contour.len() > 1
            && contour.first() == contour.last()
        {
            contour.pop();
        }
    }
}

impl Pen {
    fn write(&self, outlines: &mut Outlines) -> Result<(), String> {
        let too_many = |_| "a composite glyph has too many points".to_owned();
        let points: Vec<_> = self.contours.iter().flatten().copied().collect();
        if points.is_empty() {
            return Ok(());
        }
        let count = u16::try_from(points.len()).map_err(too_many)?;
        let contours = i16::try_from(self.contours.len()).map_err(too_many)?;
        outlines.points = outlines.points.max(count);
        outlines.contours = outlines.contours.max(contours.unsigned_abs());
        let bound = |pick: fn(&(i16, i16, bool)) -> i16| {
            let values = points.iter().map(pick);
            (values.clone().min().unwrap_or(0), values.max().unwrap_or(0))
        };
        let ((left, right), (bottom, top)) = (bound(|point| point.0), bound(|point| point.1));
        let out = &mut outlines.programs;
        for value in [contours, left, bottom, right, top] {
            out.extend_from_slice(&value.to_be_bytes());
        }
        let mut end = 0_u16;
        for contour in &self.contours {
            end += u16::try_from(contour.len()).map_err(too_many)?;
            out.extend_from_slice(&(end - 1).to_be_bytes());
        }
        out.extend_from_slice(&[0, 0]);
        out.extend(points.iter().map(|point| u8::from(point.2)));
        for pick in [|point: &(i16, i16, bool)| point.0, |point: &(i16, i16, bool)| point.1] {
            let mut last = 0_i16;
            for point in &points {
                out.extend_from_slice(&pick(point).wrapping_sub(last).to_be_bytes());
                last = pick(point);
            }
        }
        Ok(())
    }
}

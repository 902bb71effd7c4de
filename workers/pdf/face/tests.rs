//! Installed faces, and broken ones.

use std::io::Write as _;

use super::*;
use crate::FontPaths;

const NOTO: [&str; 2] = ["Noto Serif CJK JP", "Noto Sans CJK JP"];
const BIZ: [&str; 2] = ["BIZ UDMincho", "BIZ UDGothic"];

/// Bytes and number of a font; `None` if its package is not installed.
fn installed(test: &str, name: &str, package: &str) -> Option<(Vec<u8>, u32)> {
    let wanted = [name.to_owned()];
    let Ok(paths) = FontPaths::find(&wanted, &wanted) else {
        // Written past the capture of test output, so that a skipped test is seen.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {name} ({package}) is not installed");
        return None;
    };
    let file = &paths.mincho[0];
    Some((std::fs::read(file).unwrap(), file.face.unwrap_or(0)))
}

fn default_face(number: usize) -> Vec<u8> {
    std::fs::read(&FontPaths::system().unwrap().mincho[number]).unwrap()
}

/// Signed area and bounds of an outline, from many points of its curves.
#[derive(Default)]
struct Shape {
    start: (f64, f64),
    at: (f64, f64),
    area: f64,
    length: f64,
    bounds: Option<[f64; 4]>,
}

impl Shape {
    fn to(&mut self, x: f64, y: f64) {
        self.area += (self.at.0 * y - x * self.at.1) / 2.0;
        self.length += (x - self.at.0).hypot(y - self.at.1);
        self.at = (x, y);
        let [left, bottom, right, top] = self.bounds.unwrap_or([x, y, x, y]);
        self.bounds = Some([left.min(x), bottom.min(y), right.max(x), top.max(y)]);
    }

    fn curve(&mut self, points: &[(f32, f32)]) {
        let points: Vec<(f64, f64)> =
            [self.at].into_iter().chain(points.iter().map(|(x, y)| (f64::from(*x), f64::from(*y)))).collect();
        for step in 1..=32 {
            let t = f64::from(step) / 32.0;
            let mut row = points.clone();
            while row.len() > 1 {
                row = row
                    .windows(2)
                    .map(|p| (p[0].0 + (p[1].0 - p[0].0) * t, p[0].1 + (p[1].1 - p[0].1) * t))
                    .collect();
            }
            self.to(row[0].0, row[0].1);
        }
    }
}

impl ttf_parser::OutlineBuilder for Shape {
    fn move_to(&mut self, x: f32, y: f32) {
        self.at = (x.into(), y.into());
        self.start = self.at;
        self.to(x.into(), y.into());
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.to(x.into(), y.into());
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.curve(&[(x1, y1), (x, y)]);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.curve(&[(x1, y1), (x2, y2), (x, y)]);
    }

    fn close(&mut self) {
        self.to(self.start.0, self.start.1);
    }
}

/// A font file with the given glyphs of a face alone, as a document embeds them.
fn file(face: &Face, glyphs: &[u16]) -> Vec<u8> {
    let (mut glyf, mut loca, mut hmtx) = (Vec::new(), Vec::new(), Vec::new());
    for &glyph in glyphs {
        loca.extend(u32::try_from(glyf.len()).unwrap().to_be_bytes());
        glyf.extend_from_slice(face.program(glyph));
        assert!(glyf.len().is_multiple_of(2));
        hmtx.extend(face.metric(glyph).advance.to_be_bytes());
        hmtx.extend(face.metric(glyph).bearing.to_be_bytes());
    }
    loca.extend(u32::try_from(glyf.len()).unwrap().to_be_bytes());
    let count = u16::try_from(glyphs.len()).unwrap().to_be_bytes();
    let (mut head, mut hhea, mut maxp) = (face.head.clone(), face.hhea.clone(), face.maxp.clone());
    head[50..52].copy_from_slice(&[0, 1]);
    hhea[34..36].copy_from_slice(&count);
    maxp[4..6].copy_from_slice(&count);
    sfnt(&[
        (b"glyf", &glyf),
        (b"head", &head),
        (b"hhea", &hhea),
        (b"hmtx", &hmtx),
        (b"loca", &loca),
        (b"maxp", &maxp),
    ])
}

/// A font file of tables.
fn sfnt(tables: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let count = u16::try_from(tables.len()).unwrap();
    let mut file = [&[0, 1, 0, 0], &count.to_be_bytes()[..], &[0; 6]].concat();
    let mut offset = 12 + 16 * tables.len();
    for (tag, table) in tables {
        file.extend_from_slice(*tag);
        file.extend([0; 4]);
        file.extend(u32::try_from(offset).unwrap().to_be_bytes());
        file.extend(u32::try_from(table.len()).unwrap().to_be_bytes());
        offset += table.len();
    }
    file.extend(tables.iter().flat_map(|(_, table)| *table));
    file
}

/// Two thousand kanji spread over the block, kana, letters, marks and a blank.
fn sample() -> impl Iterator<Item = char> {
    let kanji = ('\u{4E00}'..='\u{9FA5}').step_by(10);
    kanji.chain('\u{3041}'..='\u{30FF}').chain('!'..='~').chain(" 　①㈱℡～ｱ﨑髙𠮷槗邉".chars())
}

#[test]
fn converted_curves_keep_their_shape() {
    for name in NOTO {
        let Some((bytes, number)) = installed("converted_curves_keep_their_shape", name, "fonts-noto-cjk")
        else {
            continue;
        };
        let face = Face::parse_member(&bytes, number).unwrap();
        let original = ttf_parser::Face::parse(&bytes, number).unwrap();
        let glyphs: Vec<u16> = sample().filter_map(|character| face.glyph_id(character, None)).collect();
        assert!(glyphs.len() > 2300, "{}", glyphs.len());
        let embedded = file(&face, &glyphs);
        let embedded = ttf_parser::Face::parse(&embedded, 0).unwrap();
        let mut most = Extent::default();
        for (at, &glyph) in (0..).zip(&glyphs) {
            let (mut was, mut is) = (Shape::default(), Shape::default());
            original.outline_glyph(GlyphId(glyph), &mut was);
            embedded.outline_glyph(GlyphId(at), &mut is);
            for (was, is) in was.bounds.iter().flatten().zip(is.bounds.iter().flatten()) {
                assert!((was - is).abs() < 1.0, "{name}, glyph {glyph}: {was} {is}");
            }
            assert_eq!(was.bounds.is_some(), is.bounds.is_some(), "{name}, glyph {glyph}");
            // The same area in the other direction. Along the whole outline less than a third of a unit is
            // lost.
            assert!(
                (was.area + is.area).abs() <= 0.33 * was.length,
                "{name}, glyph {glyph}: {} {}",
                was.area,
                is.area
            );
            let program = face.program(glyph);
            if !program.is_empty() {
                assert_eq!(u16_at(program, 2).map(u16::cast_signed), Some(face.metric(glyph).bearing));
                let contours = u16_at(program, 0).unwrap();
                most.contours = most.contours.max(contours);
                most.points = most.points.max(u16_at(program, 8 + 2 * usize::from(contours)).unwrap() + 1);
            }
        }
        assert!(most.points > 100 && most.points < CffOutlines::EXTENT.points / 8, "{most:?}");
        assert!(most.contours > 10 && most.contours < CffOutlines::EXTENT.contours / 8, "{most:?}");
    }
}

#[test]
fn conversion_depends_on_the_glyph_alone() {
    let Some((bytes, number)) = installed("conversion_depends_on_the_glyph_alone", NOTO[1], "fonts-noto-cjk")
    else {
        return;
    };
    let [one, other] = [(); 2].map(|()| Face::parse_member(&bytes, number).unwrap());
    let glyphs: Vec<u16> =
        "永字八法あいうABC".chars().filter_map(|character| one.glyph_id(character, None)).collect();
    let forwards: Vec<_> = glyphs.iter().map(|glyph| one.program(*glyph).to_vec()).collect();
    let backwards: Vec<_> = glyphs.iter().rev().map(|glyph| other.program(*glyph).to_vec()).collect();
    assert!(forwards.iter().eq(backwards.iter().rev()));
    assert_eq!(one.metric(one.glyph_id('永', None).unwrap()).thousandths, 1000);
}

/// Variations of JIS X 0213 that Unicode does not compose: 25.
const JOINED: [&str; 25] = [
    "か\u{309A}",
    "き\u{309A}",
    "く\u{309A}",
    "け\u{309A}",
    "こ\u{309A}",
    "カ\u{309A}",
    "キ\u{309A}",
    "ク\u{309A}",
    "ケ\u{309A}",
    "コ\u{309A}",
    "セ\u{309A}",
    "ツ\u{309A}",
    "ト\u{309A}",
    "ㇷ\u{309A}",
    "æ\u{300}",
    "ɔ\u{300}",
    "ɔ\u{301}",
    "ʌ\u{300}",
    "ʌ\u{301}",
    "ə\u{300}",
    "ə\u{301}",
    "ɚ\u{300}",
    "ɚ\u{301}",
    "˩˥",
    "˥˩",
];

fn joined(face: &Face, text: &str) -> Option<u16> {
    let mut characters = text.chars();
    face.glyph_id(characters.next().unwrap(), characters.next())
}

#[test]
fn finds_glyphs_of_characters_with_marks() {
    let ipaex = Face::parse(&default_face(0)).unwrap();
    let mut glyphs: Vec<u16> =
        JOINED.iter().map(|text| joined(&ipaex, text).unwrap_or_else(|| panic!("{text}"))).collect();
    glyphs.sort_unstable();
    glyphs.dedup();
    assert_eq!(glyphs.len(), 25);
    // A spacing accent is a character of its own, though the face draws it with the glyph of the combining
    // one. A pair that Unicode composes never arrives as two characters.
    for text in ["æ`", "æ´", "か\u{3099}", "か゜", "fi", "大正"] {
        assert_eq!(joined(&ipaex, text), None, "{text}");
    }
    let vl = Face::parse(&default_face(1)).unwrap();
    assert!(JOINED.iter().all(|text| joined(&vl, text).is_none()));
    for (name, package) in [
        (NOTO[0], "fonts-noto-cjk"),
        (NOTO[1], "fonts-noto-cjk"),
        (BIZ[0], "fonts-morisawa-bizud-mincho"),
        (BIZ[1], "fonts-morisawa-bizud-gothic"),
    ] {
        let Some((bytes, number)) = installed("finds_glyphs_of_characters_with_marks", name, package) else {
            continue;
        };
        let face = Face::parse_member(&bytes, number).unwrap();
        assert!(JOINED[..14].iter().all(|text| joined(&face, text).is_some()), "{name}");
        assert_eq!(
            JOINED[14..].iter().all(|text| joined(&face, text).is_some()),
            BIZ.contains(&name),
            "{name}"
        );
    }
}

#[test]
fn variation_sequences_agree_with_ttf_parser() {
    let expected =
        |face: &ttf_parser::Face, character: char, selector| {
            let variation =
                face.tables().cmap.unwrap().subtables.into_iter().find_map(|subtable| {
                    subtable.glyph_variation_index(character.into(), u32::from(selector))
                });
            match variation {
                Some(ttf_parser::cmap::GlyphVariationResult::Found(glyph)) => Some(glyph.0),
                Some(ttf_parser::cmap::GlyphVariationResult::UseDefault) => {
                    face.glyph_index(character).map(|glyph| glyph.0)
                }
                None => None,
            }
            .filter(|glyph| *glyph != 0)
        };
    for (number, least) in [(0, 440), (1, 240)] {
        let bytes = default_face(number);
        let face = Face::parse(&bytes).unwrap();
        let original = ttf_parser::Face::parse(&bytes, 0).unwrap();
        let mut found = 0;
        for selector in ('\u{FE00}'..='\u{FE02}').chain('\u{E0100}'..='\u{E0108}') {
            for character in '\u{4E00}'..='\u{9FA5}' {
                let glyph = face.glyph_id(character, Some(selector));
                assert_eq!(glyph, expected(&original, character, selector), "{character} {selector:?}");
                found += usize::from(glyph.is_some());
            }
        }
        assert!(found >= least, "{found}");
    }
    let ipaex = Face::parse(&default_face(0)).unwrap();
    assert_eq!(ipaex.glyph_id('冤', Some('\u{FE00}')), ipaex.glyph_id('冤', None), "keeps its glyph");
    assert!(
        ipaex.glyph_id('侮', Some('\u{FE00}')).is_some_and(|glyph| Some(glyph) != ipaex.glyph_id('侮', None)),
        "gets another glyph"
    );
    assert_eq!(ipaex.glyph_id('葛', Some('\u{E01EF}')), None);
}

#[test]
fn requires_a_face_number_for_collections() {
    let Some((bytes, _)) = installed("requires_a_face_number_for_collections", NOTO[1], "fonts-noto-cjk")
    else {
        return;
    };
    let problem = Face::parse(&bytes).err().unwrap();
    assert!(problem.contains("file#number: #0 NotoSansCJKjp-Regular, #1 "), "{problem}");
    assert_eq!(Face::parse_member(&bytes, 0).unwrap().name, "NotoSansCJKjp-Regular");
    assert_eq!(
        Face::parse_member(&bytes, 10).err().unwrap(),
        "it has 10 faces, #0 to #9; #10 does not exist"
    );
    assert_eq!(Face::parse_member(&default_face(0), 1).err().unwrap(), "it has one face; #1 does not exist");
    assert_eq!(Face::parse_member(&default_face(0), 0).unwrap().name, "IPAexMincho");
}

/// The file with one word of a table replaced.
fn with(bytes: &[u8], tag: [u8; 4], at: usize, word: u16) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let count = usize::from(u16_at(&bytes, 4).unwrap());
    let entry =
        (0..count).map(|entry| 12 + 16 * entry).find(|entry| bytes[*entry..].starts_with(&tag)).unwrap();
    let at = at + bytes::size_at(&bytes, entry + 8).unwrap();
    bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
    bytes
}

#[test]
fn rejects_a_face_that_forbids_embedding() {
    let bytes = default_face(1);
    let problem = |version, bits| {
        Face::parse(&with(&with(&bytes, *b"OS/2", 0, version), *b"OS/2", 8, bits)).err().unwrap_or_default()
    };
    for allowed in [0, 4, 8] {
        assert_eq!(problem(4, allowed), "");
    }
    assert!(problem(4, 2).contains("forbid embedding, "), "{}", problem(4, 2));
    assert!(problem(2, 2).contains("forbid embedding, "));
    assert!(problem(4, 6).contains("contradict"));
    assert!(problem(4, 0x108).contains("forbid embedding a subset"));
    assert!(problem(4, 0x200).contains("bitmaps only"));
}

#[test]
fn broken_files_never_panic() {
    let bytes = default_face(1);
    assert!(Face::parse(b"not a font").is_err());
    assert!(Face::parse(b"").is_err());
    let end = bytes.len();
    for cut in [1, 11, 12, 100, 1000, end / 2, end - 10_000, end - 4] {
        assert!(Face::parse(&bytes[..cut]).is_err(), "{cut} of {end}");
    }
    assert!(Face::parse(&bytes[..end / 2]).err().unwrap().starts_with("the file is truncated"));
    // Random damage gives an error, or a face whose glyphs can be read.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    for _ in 0..5 {
        let mut bytes = bytes.clone();
        for _ in 0..2000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Half of the damage hits the counts and offsets at the start.
            let room = if state & 1 == 0 { 200_000 } else { bytes.len() - 1000 };
            let at = 400 + usize::try_from(state >> 20).unwrap() % room;
            bytes[at] = state.to_le_bytes()[1];
        }
        if let Ok(face) = Face::parse(&bytes) {
            sample().filter_map(|character| face.glyph_id(character, None)).for_each(|glyph| {
                face.metric(glyph);
                assert!(face.program(glyph).len().is_multiple_of(2));
            });
        }
    }
}

#[test]
fn broken_curve_counts_as_missing_glyph() {
    let Some((bytes, number)) = installed("broken_curve_counts_as_missing_glyph", NOTO[1], "fonts-noto-cjk")
    else {
        return;
    };
    let original = ttf_parser::Face::parse(&bytes, number).unwrap();
    let table = original.raw_face().table(Tag::from_bytes(b"CFF ")).unwrap();
    let from = table.as_ptr() as usize - bytes.as_ptr() as usize;
    let mut broken = bytes.clone();
    // An unknown operator in the middle third of the programs.
    broken[from + table.len() / 3..from + table.len() * 2 / 3].fill(0);
    let face = Face::parse_member(&broken, number).unwrap();
    let kanji: Vec<char> = ('\u{4E00}'..='\u{9FA5}').step_by(10).collect();
    let drawn = kanji.iter().filter(|character| face.glyph_id(**character, None).is_some()).count();
    assert!(kanji.iter().all(|character| face.lists(*character)));
    assert!(drawn > 100 && drawn < kanji.len() - 100, "{drawn}");
    assert!(face.glyph_id(' ', None).is_some_and(|blank| face.program(blank).is_empty()));
}

//! 6.2.11: embedded fonts, agreement with their programs, the text of every glyph.

use std::collections::{BTreeMap, BTreeSet};

use lopdf::{Dictionary, Object, ObjectId};

use crate::content::PageContent;
use crate::file::{File, decoded, dictionary};
use crate::report::Report;
use crate::tokens::{Token, tokens};

pub(crate) fn check(file: &File, content: &PageContent, report: &mut Report) {
    let mut used: BTreeMap<ObjectId, BTreeSet<u16>> = BTreeMap::new();
    for text in &content.texts {
        used.entry(text.font).or_default().extend(&text.codes);
    }
    for (id, codes) in &used {
        match file.document.get_dictionary(*id) {
            Ok(font) => check_font(file, font, codes, report),
            Err(_) => report.add("6.2.11.2-1", "a font is not a dictionary"),
        }
    }
}

fn check_font(file: &File, font: &Dictionary, codes: &BTreeSet<u16>, report: &mut Report) {
    report.require(file.name(font, "Type") == Some("Font"), "6.2.11.2-1", "Type of a font is not Font");
    if file.name(font, "Subtype") != Some("Type0") {
        return report.add("6.2.11.2-2", "a font is not composite, as all of our fonts are");
    }
    let name = file.name(font, "BaseFont").unwrap_or_default();
    let tagged = name.split_once('+').is_some_and(|(tag, rest)| {
        tag.len() == 6 && tag.bytes().all(|byte| byte.is_ascii_uppercase()) && !rest.is_empty()
    });
    report.require(tagged, "6.2.11.2-3", "BaseFont of a font does not name a subset");
    let is_identity = file.name(font, "Encoding") == Some("Identity-H");
    report.require(is_identity, "6.2.11.3.3-1", "Encoding of a font is not Identity-H");
    let Some(descendant) =
        file.list(font, "DescendantFonts").first().and_then(|font| dictionary(file.resolve(font)?))
    else {
        return report.add("6.2.11.2-2", "a composite font has no descendant");
    };
    let is_font = file.name(descendant, "Type") == Some("Font");
    report.require(is_font, "6.2.11.2-1", "Type of a descendant font is not Font");
    let is_truetype = file.name(descendant, "Subtype") == Some("CIDFontType2");
    report.require(is_truetype, "6.2.11.2-2", "a descendant font is not TrueType");
    let same_name = file.name(descendant, "BaseFont") == Some(name);
    report.require(same_name, "6.2.11.2-3", "a font and its descendant have different names");
    let identity = file
        .value(descendant, "CIDToGIDMap")
        .is_some_and(|map| map.as_name().is_ok_and(|name| name == b"Identity") || map.as_stream().is_ok());
    report.require(identity, "6.2.11.3.2-1", "a font has no CIDToGIDMap");
    let system = file.dictionary(descendant, "CIDSystemInfo");
    let text = |key| system.and_then(|system| file.text(system, key));
    let known =
        text("Registry").as_deref() == Some("Adobe") && text("Ordering").as_deref() == Some("Identity");
    let numbered = system.and_then(|system| file.integer(system, "Supplement")) == Some(0);
    report.require(known && numbered, "6.2.11.3.1-1", "CIDSystemInfo of a font is not Adobe-Identity-0");

    let descriptor = file.dictionary(descendant, "FontDescriptor");
    let Some(descriptor) = descriptor else { return report.add("6.2.11.4.1-1", "a font has no descriptor") };
    for key in ["Flags", "FontBBox", "ItalicAngle", "Ascent", "Descent", "CapHeight", "StemV"] {
        let has_key = file.value(descriptor, key).is_some();
        report.require(has_key, "9.8.1", "a font descriptor lacks a required key");
    }
    let same_name = file.name(descriptor, "FontName") == Some(name);
    report.require(same_name, "6.2.11.2-3", "a font and its descriptor have different names");
    let flags = file.integer(descriptor, "Flags").unwrap_or_default();
    let is_symbolic = flags & 4 == 4 && flags & 32 == 0;
    report.require(is_symbolic, "6.2.11.6-3", "a font without a standard encoding is not flagged symbolic");
    report.require(
        !descriptor.has(b"CIDSet"),
        "6.2.11.4.2-2",
        "a font descriptor has a CIDSet, which our documents do not need",
    );
    let Some(program) = file.stream(descriptor, "FontFile2") else {
        return report.add("6.2.11.4.1-1", "a font is not embedded");
    };
    report.require(!program.dict.has(b"Subtype"), "6.2.11.2-7", "a TrueType program has a Subtype");
    let bytes = decoded(program);
    let length = file.integer(&program.dict, "Length1").and_then(|length| usize::try_from(length).ok());
    report.require(length == Some(bytes.len()), "9.9", "Length1 of a font program differs from its length");
    let Ok(face) = ttf_parser::Face::parse(&bytes, 0) else {
        return report.add("6.2.11.4.1-1", "a font program cannot be parsed");
    };

    let map = file.stream(font, "ToUnicode").map(|stream| to_unicode(&decoded(stream))).unwrap_or_default();
    let widths = widths(file, descendant);
    let usual = file.value(descendant, "DW").and_then(|width| width.as_float().ok()).unwrap_or(1000.0);
    for &code in codes {
        report.require(code != 0, "6.2.11.8-1", ".notdef is shown");
        let glyph = ttf_parser::GlyphId(code);
        let Some(advance) = face.glyph_hor_advance(glyph).filter(|_| code < face.number_of_glyphs()) else {
            report.add("6.2.11.4.1-2", "a shown glyph is not in the font program");
            continue;
        };
        let own = f32::from(advance) * 1000.0 / f32::from(face.units_per_em());
        let declared = widths.get(&code).copied().unwrap_or(usual);
        let agrees = (own - declared).abs() <= 1.0;
        report.require(agrees, "6.2.11.5-1", "the width of a glyph differs between W and the font program");
        let Some(text) = map.get(&code) else {
            report.add("6.2.11.7.2-1", "a shown glyph has no ToUnicode text");
            continue;
        };
        let meant = !text.is_empty() && !text.contains(['\0', '\u{FEFF}', '\u{FFFE}', '\u{FFFD}']);
        report.require(
            meant,
            "6.2.11.7.2-2",
            "the ToUnicode text of a glyph is empty or holds a noncharacter",
        );
        let is_public = !text.contains(is_private);
        report.require(is_public, "6.2.11.7.3-1", "the ToUnicode text of a glyph is in a private use area");
        let blank = text.chars().all(char::is_whitespace);
        let is_drawn = blank || face.glyph_bounding_box(glyph).is_some();
        report.require(is_drawn, "6.2.11.4.1-2", "the outline of a visible glyph is empty");
    }
}

fn is_private(character: char) -> bool {
    matches!(character, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..)
}

/// `/W`: widths by glyph number.
fn widths(file: &File, font: &Dictionary) -> BTreeMap<u16, f32> {
    let mut widths = BTreeMap::new();
    let entries = file.list(font, "W");
    let mut rest = &entries[..];
    let number = |object: &Object| object.as_i64().ok().and_then(|number| u16::try_from(number).ok());
    while let Some((first, after)) = rest.split_first() {
        let Some(first) = number(first) else { break };
        match after {
            [Object::Array(own), after @ ..] => {
                widths.extend((first..).zip(own.iter().filter_map(|width| width.as_float().ok())));
                rest = after;
            }
            [last, width, after @ ..] => {
                let (Some(last), Ok(width)) = (number(last), width.as_float()) else { break };
                widths.extend((first..=last).map(|number| (number, width)));
                rest = after;
            }
            _ => break,
        }
    }
    widths
}

fn to_unicode(map: &[u8]) -> BTreeMap<u16, String> {
    let mut texts = BTreeMap::new();
    let tokens = tokens(map);
    let mut at = 0;
    let mut ranges = None;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            Token::Word(b"beginbfrange") => ranges = Some(true),
            Token::Word(b"beginbfchar") => ranges = Some(false),
            Token::Word(b"endbfrange" | b"endbfchar") => ranges = None,
            Token::Hexadecimal(first) => {
                let Some(is_range) = ranges else { continue };
                let first = code(first);
                if !is_range {
                    if let Some(Token::Hexadecimal(text)) = tokens.get(at) {
                        texts.insert(first, string(text));
                    }
                    at += 1;
                    continue;
                }
                let last =
                    if let Some(Token::Hexadecimal(last)) = tokens.get(at) { code(last) } else { first };
                at += 1;
                if tokens.get(at) == Some(&Token::Word(b"[")) {
                    for code in first..=last {
                        at += 1;
                        if let Some(Token::Hexadecimal(text)) = tokens.get(at) {
                            texts.insert(code, string(text));
                        }
                    }
                    at += 2;
                } else if let Some(Token::Hexadecimal(text)) = tokens.get(at) {
                    let start = u32::from_str_radix(&String::from_utf8_lossy(text), 16).unwrap_or_default();
                    texts.extend(
                        (first..=last)
                            .zip(start..)
                            .filter_map(|(code, text)| Some((code, char::from_u32(text)?.to_string()))),
                    );
                    at += 1;
                }
            }
            _ => {}
        }
    }
    texts
}

fn code(digits: &[u8]) -> u16 {
    u16::from_str_radix(&String::from_utf8_lossy(digits), 16).unwrap_or_default()
}

fn string(digits: &[u8]) -> String {
    let units: Vec<u16> = digits.chunks(4).map(code).collect();
    String::from_utf16_lossy(&units)
}

//! From the display list to a `lopdf` document, by way of printpdf: pages, content streams and font dictionaries.
//!
//! printpdf is told of each face as a stub: names, metrics and the map from characters to our own glyph numbers.
//! The font program itself goes in at the end ([`super::finish`]): printpdf would copy it four times. Its warnings
//! (a missing font, text outside a text section) are errors here.

use std::collections::BTreeMap;

use printpdf::{
    Codepoint, Color, DictItem, ExternalStream, ExternalXObject, FontId, FontMetrics, FontType, Line, LinePoint, Op, PaintMode, ParsedFont,
    PdfDocument, PdfFont, PdfFontHandle, PdfFontMetricsStub, PdfPage, PdfSaveOptions, Point, Pt, Rect, Rgb, TextItem, TextMatrix, XObject,
    XObjectId, XObjectTransform,
};
use sha2::{Digest, Sha256};

use super::PdfError;
use super::display::{Element, Ink, Letter, Modules, Page, Run};
use super::face::Face;
use super::fonts::Fonts;
use super::subset::Subset;

/// A document of printpdf, and the fonts it still lacks.
pub(super) struct Printed {
    /// Pages, resources and font dictionaries.
    pub(super) document: lopdf::Document,
    /// The faces it uses.
    pub(super) fonts: Vec<PrintedFont>,
}

/// A face as this document uses it.
pub(super) struct PrintedFont {
    /// `/BaseFont`, such as `ABCDEF+IPAexMincho`.
    pub(super) name: String,
    /// Number of the face.
    pub(super) face: u8,
    /// Its letters.
    pub(super) subset: Subset,
}

/// Writes pages through printpdf.
pub(super) fn printed(pages: &[Page], fonts: &Fonts) -> Result<Printed, PdfError> {
    let mut letters: BTreeMap<u8, Vec<Letter>> = BTreeMap::new();
    for run in pages.iter().flat_map(|page| &page.elements).filter_map(text) {
        letters.entry(run.face).or_default().extend(run.letters());
    }
    let mut document = PdfDocument::default();
    let mut subsets = BTreeMap::new();
    for (face, letters) in letters {
        let subset = Subset::new(letters);
        let name = format!("{}+{}", tag(face, &subset), fonts.face(face).name);
        document.resources.fonts.map.insert(resource(face), PdfFont::new(stub(fonts.face(face), &name, &subset)));
        subsets.insert(face, PrintedFont { name, face, subset });
    }
    let mut codes = Vec::new();
    document.pages = pages.iter().map(|page| self::page(page, &subsets, &mut codes)).collect();
    for (number, modules) in codes.into_iter().enumerate() {
        document.resources.xobjects.map.insert(code_resource(number), form(&modules));
    }
    let options = PdfSaveOptions { optimize: false, subset_fonts: false, secure: true, image_optimization: None };
    let mut warnings = Vec::new();
    let document = document.to_lopdf_document(&options, &mut warnings);
    match warnings.into_iter().next() {
        Some(warning) => Err(PdfError::Warning(warning.msg)),
        None => Ok(Printed { document, fonts: subsets.into_values().collect() }),
    }
}

fn text(element: &Element) -> Option<&Run> {
    match element {
        Element::Text(run) => Some(run),
        _ => None,
    }
}

fn resource(face: u8) -> FontId {
    FontId(format!("J{face}"))
}

fn code_resource(number: usize) -> XObjectId {
    XObjectId(format!("Q{number}"))
}

/// Six letters that name a subset: they differ where its letters differ.
fn tag(face: u8, subset: &Subset) -> String {
    let mut hash = Sha256::new();
    hash.update([face]);
    for (_, letter) in subset.numbered() {
        hash.update(u32::from(letter.character).to_be_bytes());
        hash.update(letter.pad.to_be_bytes());
    }
    hash.finalize().iter().take(6).map(|byte| char::from(b'A' + byte % 26)).collect()
}

/// What printpdf needs to know of a face, everything in 1/1000 em: the unit it writes.
fn stub(face: &Face, name: &str, subset: &Subset) -> ParsedFont {
    let [x_min, y_min, x_max, y_max] = face.bounds.map(|value| face.thousandths(value));
    ParsedFont {
        // The four bytes every TrueType file begins with: printpdf reads the kind of font off them.
        original_bytes: vec![0, 1, 0, 0],
        font_index: 0,
        font_name: Some(name.to_owned()),
        codepoint_to_glyph: subset
            .numbered()
            .filter(|(_, letter)| letter.pad == 0)
            .map(|(number, letter)| (u32::from(letter.character), number))
            .collect(),
        glyph_widths: (1..).zip(subset.advances(face)).collect(),
        units_per_em: 1000,
        font_metrics: FontMetrics { ascent: face.thousandths(face.ascent), descent: face.thousandths(face.descent) },
        font_type: FontType::TrueType,
        pdf_font_metrics: PdfFontMetricsStub {
            units_per_em: 1000,
            x_min,
            y_min,
            x_max,
            y_max,
            us_weight_class: face.weight,
            ..PdfFontMetricsStub::default()
        },
    }
}

/// Points as a PDF says them: three decimals are finer than any printer.
#[expect(clippy::cast_possible_truncation, reason = "coordinates of a page")]
fn rounded(value: f64) -> f32 {
    ((value * 1000.0).round() / 1000.0) as f32
}

fn pt(value: f64) -> Pt {
    Pt(rounded(value))
}

fn color(ink: Ink) -> Color {
    let [r, g, b] = match ink {
        Ink::Black => [0.0, 0.0, 0.0],
        Ink::Grey => [0.35, 0.35, 0.35],
        Ink::Accent => [0.1, 0.2, 0.38],
        Ink::Tint => [0.95, 0.96, 0.97],
    };
    Color::Rgb(Rgb { r, g, b, icc_profile: None })
}

/// What was last told to the page, so that it is told once.
#[derive(Default)]
struct State {
    font: Option<(u8, f64)>,
    fill: Option<Ink>,
    stroke: Option<(Ink, f64)>,
    spacing: f64,
    in_text: bool,
}

fn page(page: &Page, subsets: &BTreeMap<u8, PrintedFont>, codes: &mut Vec<std::rc::Rc<Modules>>) -> PdfPage {
    let height = page.size.1;
    let mut state = State::default();
    let mut ops = Vec::new();
    // Backgrounds first: the tint of a row must not cover the line of the row above.
    let is_fill = |element: &&Element| matches!(element, Element::Fill { .. });
    let elements = page.elements.iter().filter(is_fill).chain(page.elements.iter().filter(|element| !is_fill(element)));
    for element in elements {
        let is_text = matches!(element, Element::Text(_));
        if is_text != state.in_text {
            ops.push(if is_text { Op::StartTextSection } else { Op::EndTextSection });
            state.in_text = is_text;
        }
        match element {
            Element::Text(run) => show(run, height, subsets, &mut state, &mut ops),
            Element::Line { from, to, width, ink } => {
                if state.stroke != Some((*ink, *width)) {
                    ops.push(Op::SetOutlineColor { col: color(*ink) });
                    ops.push(Op::SetOutlineThickness { pt: pt(*width) });
                    state.stroke = Some((*ink, *width));
                }
                let points = [from, to].map(|point| LinePoint { p: Point { x: pt(point.0), y: pt(height - point.1) }, bezier: false });
                ops.push(Op::DrawLine { line: Line { points: points.to_vec(), is_closed: false } });
            }
            Element::Fill { at, size, ink } => {
                fill(*ink, &mut state, &mut ops);
                ops.push(Op::DrawRectangle {
                    rectangle: Rect {
                        x: pt(at.0),
                        y: pt(height - at.1 - size.1),
                        width: pt(size.0),
                        height: pt(size.1),
                        mode: Some(PaintMode::Fill),
                        winding_order: None,
                    },
                });
            }
            Element::Code { at, size, modules, .. } => {
                let id = code_resource(codes.len());
                codes.push(std::rc::Rc::clone(modules));
                ops.push(Op::UseXobject {
                    id,
                    transform: XObjectTransform {
                        translate_x: Some(pt(at.0)),
                        translate_y: Some(pt(height - at.1 - size)),
                        scale_x: Some(rounded(*size)),
                        scale_y: Some(rounded(*size)),
                        no_auto_scale: true,
                        ..XObjectTransform::default()
                    },
                });
            }
        }
    }
    if state.in_text {
        ops.push(Op::EndTextSection);
    }
    let mut paper = PdfPage::new(printpdf::Mm(0.0), printpdf::Mm(0.0), ops);
    let sheet = Rect { x: Pt(0.0), y: Pt(0.0), width: pt(page.size.0), height: pt(height), mode: None, winding_order: None };
    paper.media_box = sheet.clone();
    paper.trim_box = sheet.clone();
    paper.crop_box = sheet;
    paper
}

fn fill(ink: Ink, state: &mut State, ops: &mut Vec<Op>) {
    if state.fill != Some(ink) {
        ops.push(Op::SetFillColor { col: color(ink) });
        state.fill = Some(ink);
    }
}

#[expect(clippy::float_cmp, reason = "compares what was written with what is to be written")]
fn show(run: &Run, height: f64, subsets: &BTreeMap<u8, PrintedFont>, state: &mut State, ops: &mut Vec<Op>) {
    fill(run.ink, state, ops);
    if state.font != Some((run.face, run.size)) {
        ops.push(Op::SetFont { font: PdfFontHandle::External(resource(run.face)), size: pt(run.size) });
        state.font = Some((run.face, run.size));
    }
    if state.spacing != run.spacing {
        ops.push(Op::SetCharacterSpacing { multiplier: rounded(run.spacing) });
        state.spacing = run.spacing;
    }
    ops.push(Op::SetTextMatrix { matrix: TextMatrix::Translate(pt(run.at.0), pt(height - run.at.1)) });
    let items = if run.pad == 0 {
        vec![TextItem::Text(run.text.clone())]
    } else {
        // A padded letter shares its character with the plain one: it is named by its number.
        let mut plain = run.text.clone();
        let last = plain.pop().map(|character| Letter { character, pad: run.pad });
        let number = |letter| subsets.get(&run.face).map_or(0, |font| font.subset.number(letter));
        let glyph = |letter: Letter| Codepoint::with_cid(number(letter), 0.0, letter.character.to_string());
        vec![TextItem::Text(plain), TextItem::GlyphIds(last.map(glyph).into_iter().collect())]
    };
    ops.push(Op::ShowText { items });
}

/// A QR code in a unit square: one rectangle per run of dark modules.
fn form(modules: &Modules) -> XObject {
    use std::fmt::Write;
    let size = modules.size;
    let mut content = String::with_capacity(8 * size * size);
    // Writing to a string cannot fail.
    let _ = writeln!(content, "0 0 0 rg\n{:.7} 0 0 {:.7} 0 0 cm", 1.0 / whole(size), 1.0 / whole(size));
    for (y, row) in modules.dark.chunks(size).enumerate() {
        let mut x = 0;
        for group in row.chunk_by(|one, other| one == other) {
            if group[0] {
                let _ = writeln!(content, "{x} {} {} 1 re", size - 1 - y, group.len());
            }
            x += group.len();
        }
    }
    content.push_str("f\n");
    let name = |name: &str| DictItem::Name(name.as_bytes().to_vec());
    let dict = BTreeMap::from([
        ("Type".to_owned(), name("XObject")),
        ("Subtype".to_owned(), name("Form")),
        ("BBox".to_owned(), DictItem::Array([0, 0, 1, 1].map(DictItem::Int).to_vec())),
        ("Resources".to_owned(), DictItem::Dict { map: BTreeMap::new() }),
    ]);
    XObject::External(ExternalXObject {
        stream: ExternalStream { dict, content: content.into_bytes(), compress: true },
        width: None,
        height: None,
        dpi: None,
    })
}

fn whole(size: usize) -> f64 {
    u32::try_from(size).map_or(f64::MAX, f64::from)
}

//! From the display list to a `lopdf` document, by way of printpdf: pages, content streams and graphic objects.
//!
//! printpdf is told nothing of faces: text is written as the numbers of its glyphs, by an operator of its own, because several letters may
//! be drawn with one character. Faces go in at the end ([`super::finish`]): printpdf would copy a program four times and
//! write it whole. Telling it of each as a stub was tried: a fifth of the time of a document went into maps of glyphs, widths and
//! characters that were thrown away. Its warnings (text outside a text section) are errors here.

use std::collections::BTreeMap;
use std::sync::Arc;

use printpdf::{
    Color, DictItem, ExternalStream, ExternalXObject, FontId, Line, LinePoint, Op, PaintMode, PdfDocument,
    PdfFontHandle, PdfPage, PdfSaveOptions, Point, Pt, Rect, Rgb, TextMatrix, XObject, XObjectId,
    XObjectTransform,
};
use sha2::{Digest, Sha256};

use super::display::{Display, Element, Ink, Modules, NodeId, Page, Place, Run};
use super::picture::Picture;
use super::structure::{self, Marks};
use super::subset::Subset;
use super::{Materials, PdfError, stock};

/// A document of printpdf, and what it still lacks.
pub(super) struct Printed<'a> {
    /// Pages, and resources but for fonts.
    pub(super) document: lopdf::Document,
    /// The faces it uses.
    pub(super) fonts: Vec<PrintedFont<'a>>,
    /// The pictures it uses: names of the resources in its pages.
    pub(super) pictures: Vec<Arc<Picture>>,
    /// What the content of its pages belongs to.
    pub(super) marks: Marks,
}

/// A face as this document uses it.
pub(super) struct PrintedFont<'a> {
    /// `/BaseFont`, such as `ABCDEF+IPAexMincho`.
    pub(super) name: String,
    /// Number of the face.
    pub(super) face: u8,
    /// Its letters.
    pub(super) subset: Subset<'a>,
}

/// Writes pages through printpdf.
pub(super) fn printed<'a>(display: &Display, materials: Materials<'a>) -> Result<Printed<'a>, PdfError> {
    let mut document = PdfDocument::default();
    let mut fonts = BTreeMap::new();
    for (face, letters) in stock::letters(display) {
        let subset = Subset::new(materials.stock.shelf(face), letters);
        let name = format!("{}+{}", tag(face, &subset), materials.fonts.face(face).name);
        fonts.insert(face, PrintedFont { name, face, subset });
    }
    let mut writer =
        Writer { display, fonts: &fonts, codes: Vec::new(), pictures: Vec::new(), marks: Marks::default() };
    document.pages = display.pages.iter().map(|page| writer.page(page)).collect();
    let Writer { codes, pictures, marks, .. } = writer;
    for (number, modules) in codes.into_iter().enumerate() {
        document.resources.xobjects.map.insert(code_resource(number), form(&modules));
    }
    for (number, _) in pictures.iter().enumerate() {
        document.resources.xobjects.map.insert(picture_resource(number), placeholder());
    }
    // "Secure" would leave out the operator of our own.
    let options =
        PdfSaveOptions { optimize: false, subset_fonts: false, secure: false, image_optimization: None };
    let mut warnings = Vec::new();
    let document = document.to_lopdf_document(&options, &mut warnings);
    match warnings.into_iter().next() {
        Some(warning) => Err(PdfError::Warning(warning.msg)),
        None => Ok(Printed { document, fonts: fonts.into_values().collect(), pictures, marks }),
    }
}

/// Name of a face among the resources of pages.
pub(super) fn font_resource(face: u8) -> FontId {
    FontId(format!("J{face}"))
}

fn code_resource(number: usize) -> XObjectId {
    XObjectId(format!("Q{number}"))
}

/// Name of a picture among the resources of pages.
pub(super) fn picture_resource(number: usize) -> XObjectId {
    XObjectId(format!("P{number}"))
}

/// Six letters that name a subset: they differ where its letters differ.
fn tag(face: u8, subset: &Subset) -> String {
    let mut bytes = vec![face];
    for (_, letter) in subset.numbered() {
        bytes.extend_from_slice(&u32::from(letter.character).to_be_bytes());
        bytes.extend_from_slice(&letter.mark.map_or(0, u32::from).to_be_bytes());
        bytes.extend_from_slice(&letter.pad.to_be_bytes());
    }
    Sha256::digest(&bytes).iter().take(6).map(|byte| char::from(b'A' + byte % 26)).collect()
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

/// Writes the pages of one document.
struct Writer<'d, 'a> {
    display: &'d Display,
    fonts: &'d BTreeMap<u8, PrintedFont<'a>>,
    codes: Vec<std::rc::Rc<Modules>>,
    pictures: Vec<Arc<Picture>>,
    marks: Marks,
}

/// A page being written, and what it was last told, so that it is told once.
#[derive(Default)]
struct Sheet {
    ops: Vec<Op>,
    height: f64,
    font: Option<(u8, f64)>,
    fill: Option<Ink>,
    stroke: Option<(Ink, f64)>,
    spacing: f64,
    in_text: bool,
    open: Option<Place>,
    marked: Vec<NodeId>,
}

impl Writer<'_, '_> {
    fn page(&mut self, page: &Page) -> PdfPage {
        let mut sheet = Sheet { height: page.size.1, ..Sheet::default() };
        // Backgrounds first: the tint of a row must not cover the line of the row above.
        let is_fill = |element: &&Element| matches!(element, Element::Fill { .. });
        let is_line = |element: &&Element| matches!(element, Element::Line { .. });
        for element in page.elements.iter().filter(is_fill).chain(page.elements.iter().filter(is_line)) {
            sheet.enter(Place::Ornament, self.display);
            sheet.shape(element);
        }
        for element in &page.elements {
            match element {
                Element::Text(run) => {
                    sheet.enter(run.place, self.display);
                    if let Some(font) = self.fonts.get(&run.face) {
                        sheet.show(run, &font.subset);
                    }
                }
                Element::Code { at, size, modules, place } => {
                    sheet.enter(*place, self.display);
                    sheet.place(code_resource(self.codes.len()), *at, (*size, *size));
                    self.codes.push(std::rc::Rc::clone(modules));
                    self.figure(*place, *at, (*size, *size), page.size.1);
                }
                Element::Picture { at, size, picture, place } => {
                    sheet.enter(*place, self.display);
                    let known = self.pictures.iter().position(|known| Arc::ptr_eq(known, picture));
                    let number = known.unwrap_or_else(|| {
                        self.pictures.push(Arc::clone(picture));
                        self.pictures.len() - 1
                    });
                    sheet.place(picture_resource(number), *at, *size);
                    self.figure(*place, *at, *size, page.size.1);
                }
                Element::Line { .. } | Element::Fill { .. } => {}
            }
        }
        sheet.leave();
        self.marks.pages.push(sheet.marked);
        let mut paper = PdfPage::new(printpdf::Mm(0.0), printpdf::Mm(0.0), sheet.ops);
        let edges = Rect {
            x: Pt(0.0),
            y: Pt(0.0),
            width: pt(page.size.0),
            height: pt(page.size.1),
            mode: None,
            winding_order: None,
        };
        paper.media_box = edges.clone();
        paper.trim_box = edges.clone();
        paper.crop_box = edges;
        paper
    }

    fn figure(&mut self, place: Place, at: (f64, f64), size: (f64, f64), height: f64) {
        if let Place::Node(node) = place {
            let [left, top, right, bottom] =
                [at.0, height - at.1, at.0 + size.0, height - at.1 - size.1].map(rounded);
            self.marks.figures.insert(node, [left, bottom, right, top]);
        }
    }
}

impl Sheet {
    /// Goes on with content of a place.
    fn enter(&mut self, place: Place, display: &Display) {
        if self.open == Some(place) {
            return;
        }
        self.leave();
        self.ops.push(match place {
            Place::Node(node) => {
                let number = i64::try_from(self.marked.len()).unwrap_or(i64::MAX);
                self.marked.push(node);
                let tag =
                    display.tree.nodes().get(node.0 as usize).map_or("P", |node| structure::name(&node.tag));
                let properties = BTreeMap::from([("MCID".to_owned(), DictItem::Int(number))]);
                Op::BeginMarkedContentWithProperties {
                    tag: tag.to_owned(),
                    properties: DictItem::Dict { map: properties },
                }
            }
            Place::Ornament => Op::BeginMarkedContent { tag: "Artifact".to_owned() },
            Place::Header | Place::Footer => {
                let name = |name: &str| DictItem::Name(name.as_bytes().to_vec());
                let kind = name(if place == Place::Header { "Header" } else { "Footer" });
                let map =
                    BTreeMap::from([("Type".to_owned(), name("Pagination")), ("Subtype".to_owned(), kind)]);
                Op::BeginMarkedContentWithProperties {
                    tag: "Artifact".to_owned(),
                    properties: DictItem::Dict { map },
                }
            }
        });
        self.open = Some(place);
    }

    /// Ends the content of the place it is in.
    fn leave(&mut self) {
        self.text(false);
        if self.open.take().is_some() {
            self.ops.push(Op::EndMarkedContent);
        }
    }

    fn text(&mut self, wanted: bool) {
        if self.in_text != wanted {
            self.ops.push(if wanted { Op::StartTextSection } else { Op::EndTextSection });
            self.in_text = wanted;
        }
    }

    fn fill(&mut self, ink: Ink) {
        if self.fill != Some(ink) {
            self.ops.push(Op::SetFillColor { col: color(ink) });
            self.fill = Some(ink);
        }
    }

    fn shape(&mut self, element: &Element) {
        match element {
            Element::Line { from, to, width, ink } => {
                if self.stroke != Some((*ink, *width)) {
                    self.ops.push(Op::SetOutlineColor { col: color(*ink) });
                    self.ops.push(Op::SetOutlineThickness { pt: pt(*width) });
                    self.stroke = Some((*ink, *width));
                }
                let place = |point: &(f64, f64)| LinePoint {
                    p: Point { x: pt(point.0), y: pt(self.height - point.1) },
                    bezier: false,
                };
                self.ops.push(Op::DrawLine {
                    line: Line { points: vec![place(from), place(to)], is_closed: false },
                });
            }
            Element::Fill { at, size, ink } => {
                self.fill(*ink);
                self.ops.push(Op::DrawRectangle {
                    rectangle: Rect {
                        x: pt(at.0),
                        y: pt(self.height - at.1 - size.1),
                        width: pt(size.0),
                        height: pt(size.1),
                        mode: Some(PaintMode::Fill),
                        winding_order: None,
                    },
                });
            }
            Element::Text(_) | Element::Code { .. } | Element::Picture { .. } => {}
        }
    }

    #[expect(clippy::float_cmp, reason = "compares what was written with what is to be written")]
    fn show(&mut self, run: &Run, subset: &Subset) {
        self.text(true);
        self.fill(run.ink);
        if self.font != Some((run.face, run.size)) {
            self.ops.push(Op::SetFont {
                font: PdfFontHandle::External(font_resource(run.face)),
                size: pt(run.size),
            });
            self.font = Some((run.face, run.size));
        }
        if self.spacing != run.spacing {
            self.ops.push(Op::SetCharacterSpacing { multiplier: rounded(run.spacing) });
            self.spacing = run.spacing;
        }
        self.ops.push(Op::SetTextMatrix {
            matrix: TextMatrix::Translate(pt(run.at.0), pt(self.height - run.at.1)),
        });
        let text = run.letters.iter().flat_map(|letter| subset.number(*letter).to_be_bytes()).collect();
        self.ops.push(Op::Unknown { key: "Tj".to_owned(), value: vec![DictItem::Bytes(text)] });
    }

    /// Places a graphic object of the resources.
    fn place(&mut self, id: XObjectId, at: (f64, f64), size: (f64, f64)) {
        self.text(false);
        self.ops.push(Op::UseXobject {
            id,
            transform: XObjectTransform {
                translate_x: Some(pt(at.0)),
                translate_y: Some(pt(self.height - at.1 - size.1)),
                scale_x: Some(rounded(size.0)),
                scale_y: Some(rounded(size.1)),
                no_auto_scale: true,
                ..XObjectTransform::default()
            },
        });
    }
}

/// Keeps a place among the resources for a picture, which is put in at the end: it is compressed already.
fn placeholder() -> XObject {
    let stream = ExternalStream { dict: BTreeMap::new(), content: Vec::new(), compress: false };
    XObject::External(ExternalXObject { stream, width: None, height: None, dpi: None })
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

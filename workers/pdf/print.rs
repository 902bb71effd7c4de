//! Writes a display list through printpdf, as a `lopdf` document without fonts.
//!
//! printpdf does not see the faces: text is written as glyph numbers by a custom operator, because
//! several glyphs may show one character. [`write`](crate::write) adds the fonts; printpdf
//! would copy a font program four times and write all of it. Registering each face as a stub was tried: a
//! fifth of the time per document went into maps of glyphs, widths and characters that were thrown away.
//! printpdf's warnings are errors here.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use printpdf::{
    Color, DictItem, ExternalStream, ExternalXObject, FontId, Line, LinePoint, Op, PaintMode, PdfDocument,
    PdfFontHandle, PdfPage, PdfSaveOptions, Point, Pt, Rect, Rgb, TextMatrix, XObject, XObjectId,
    XObjectTransform,
};
use sha2::{Digest, Sha256};

use crate::display_list::{DisplayList, Element, Ink, NodeId, Owner, Page, QrModules, Run};
use crate::error::PdfError;
use crate::glyph_cache::glyphs_by_face;
use crate::materials::Materials;
use crate::picture::Picture;
use crate::structure::{self, MarkedContent};
use crate::subset::Subset;

/// The output of printpdf, and everything that is still to be added to it.
pub(crate) struct Printed<'a> {
    /// Pages and resources, without fonts.
    pub(crate) document: lopdf::Document,
    pub(crate) fonts: Vec<PrintedFont<'a>>,
    /// Each picture of the document once; its index is in [`picture_resource`].
    pub(crate) pictures: Vec<Arc<Picture>>,
    pub(crate) marked_content: MarkedContent,
}

pub(crate) struct PrintedFont<'a> {
    /// `/BaseFont`, such as `ABCDEF+IPAexMincho`.
    pub(crate) name: String,
    pub(crate) face: u8,
    pub(crate) subset: Subset<'a>,
}

pub(crate) fn print<'a>(list: &DisplayList, materials: Materials<'a>) -> Result<Printed<'a>, PdfError> {
    let mut document = PdfDocument::default();
    let mut fonts = BTreeMap::new();
    for (face, glyphs) in glyphs_by_face(list) {
        let subset = Subset::new(materials.glyph_cache.face(face), glyphs);
        let name = format!("{}+{}", tag(face, &subset), materials.fonts.face(face).name);
        fonts.insert(face, PrintedFont { name, face, subset });
    }
    let mut printer = Printer {
        list,
        fonts: &fonts,
        qr_codes: Vec::new(),
        pictures: Vec::new(),
        marked_content: MarkedContent::default(),
    };
    document.pages = list.pages.iter().map(|page| printer.page(page)).collect();
    let Printer { qr_codes, pictures, marked_content, .. } = printer;
    for (number, modules) in qr_codes.into_iter().enumerate() {
        document.resources.xobjects.map.insert(qr_code_resource(number), qr_code_form(&modules));
    }
    for (number, _) in pictures.iter().enumerate() {
        document.resources.xobjects.map.insert(picture_resource(number), placeholder());
    }
    // The secure mode would drop our text operator.
    let options =
        PdfSaveOptions { optimize: false, subset_fonts: false, secure: false, image_optimization: None };
    let mut warnings = Vec::new();
    let document = document.to_lopdf_document(&options, &mut warnings);
    match warnings.into_iter().next() {
        Some(warning) => Err(PdfError::Warning(warning.msg)),
        None => Ok(Printed { document, fonts: fonts.into_values().collect(), pictures, marked_content }),
    }
}

pub(crate) fn font_resource(face: u8) -> FontId {
    FontId(format!("J{face}"))
}

fn qr_code_resource(number: usize) -> XObjectId {
    XObjectId(format!("Q{number}"))
}

pub(crate) fn picture_resource(number: usize) -> XObjectId {
    XObjectId(format!("P{number}"))
}

/// Six letters that differ if the glyphs of two subsets differ.
fn tag(face: u8, subset: &Subset) -> String {
    let mut bytes = vec![face];
    for (_, glyph) in subset.numbered() {
        bytes.extend_from_slice(&u32::from(glyph.character).to_be_bytes());
        bytes.extend_from_slice(&glyph.mark.map_or(0, u32::from).to_be_bytes());
        bytes.extend_from_slice(&glyph.pad.to_be_bytes());
    }
    Sha256::digest(&bytes).iter().take(6).map(|byte| char::from(b'A' + byte % 26)).collect()
}

/// Points with three decimals: finer than any printer.
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

struct Printer<'d, 'a> {
    list: &'d DisplayList,
    fonts: &'d BTreeMap<u8, PrintedFont<'a>>,
    qr_codes: Vec<Rc<QrModules>>,
    pictures: Vec<Arc<Picture>>,
    marked_content: MarkedContent,
}

/// The operators of a page, and the graphics state after them.
#[derive(Default)]
struct Canvas {
    ops: Vec<Op>,
    height: f64,
    font: Option<(u8, f64)>,
    fill: Option<Ink>,
    stroke: Option<(Ink, f64)>,
    spacing: f64,
    in_text: bool,
    open: Option<Owner>,
    /// The node of each marked-content number.
    marked: Vec<NodeId>,
}

impl Printer<'_, '_> {
    fn page(&mut self, page: &Page) -> PdfPage {
        let mut canvas = Canvas { height: page.size.1, ..Canvas::default() };
        // Fills first: the tint of a row must not cover the line of the row above.
        let is_fill = |element: &&Element| matches!(element, Element::Fill { .. });
        let is_line = |element: &&Element| matches!(element, Element::Line { .. });
        for element in page.elements.iter().filter(is_fill).chain(page.elements.iter().filter(is_line)) {
            canvas.enter(Owner::Decoration, self.list);
            canvas.shape(element);
        }
        for element in &page.elements {
            match element {
                Element::Text(run) => {
                    canvas.enter(run.owner, self.list);
                    if let Some(font) = self.fonts.get(&run.face) {
                        canvas.show(run, &font.subset);
                    }
                }
                Element::QrCode { at, size, modules, owner } => {
                    canvas.enter(*owner, self.list);
                    canvas.paint(qr_code_resource(self.qr_codes.len()), *at, (*size, *size));
                    self.qr_codes.push(Rc::clone(modules));
                    self.figure(*owner, *at, (*size, *size), page.size.1);
                }
                Element::Picture { at, size, picture, owner } => {
                    canvas.enter(*owner, self.list);
                    let known = self.pictures.iter().position(|known| Arc::ptr_eq(known, picture));
                    let number = known.unwrap_or_else(|| {
                        self.pictures.push(Arc::clone(picture));
                        self.pictures.len() - 1
                    });
                    canvas.paint(picture_resource(number), *at, *size);
                    self.figure(*owner, *at, *size, page.size.1);
                }
                Element::Line { .. } | Element::Fill { .. } => {}
            }
        }
        canvas.leave();
        self.marked_content.pages.push(canvas.marked);
        let mut paper = PdfPage::new(printpdf::Mm(0.0), printpdf::Mm(0.0), canvas.ops);
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

    fn figure(&mut self, owner: Owner, at: (f64, f64), size: (f64, f64), height: f64) {
        if let Owner::Node(node) = owner {
            let [left, top, right, bottom] =
                [at.0, height - at.1, at.0 + size.0, height - at.1 - size.1].map(rounded);
            self.marked_content.figures.insert(node, [left, bottom, right, top]);
        }
    }
}

impl Canvas {
    /// Makes the following operators content of `owner`.
    fn enter(&mut self, owner: Owner, list: &DisplayList) {
        if self.open == Some(owner) {
            return;
        }
        self.leave();
        self.ops.push(match owner {
            Owner::Node(node) => {
                let number = i64::try_from(self.marked.len()).unwrap_or(i64::MAX);
                self.marked.push(node);
                let tag =
                    list.tree.nodes().get(node.0 as usize).map_or("P", |node| structure::name(&node.tag));
                let properties = DictItem::Dict { map: entries([("MCID", DictItem::Int(number))]) };
                Op::BeginMarkedContentWithProperties { tag: tag.to_owned(), properties }
            }
            Owner::Decoration => Op::BeginMarkedContent { tag: "Artifact".to_owned() },
            Owner::Header | Owner::Footer => {
                let kind = name(if owner == Owner::Header { "Header" } else { "Footer" });
                let map = entries([("Type", name("Pagination")), ("Subtype", kind)]);
                let properties = DictItem::Dict { map };
                Op::BeginMarkedContentWithProperties { tag: "Artifact".to_owned(), properties }
            }
        });
        self.open = Some(owner);
    }

    fn leave(&mut self) {
        self.text_section(false);
        if self.open.take().is_some() {
            self.ops.push(Op::EndMarkedContent);
        }
    }

    fn text_section(&mut self, wanted: bool) {
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
                let line_point = |point: &(f64, f64)| LinePoint {
                    p: Point { x: pt(point.0), y: pt(self.height - point.1) },
                    bezier: false,
                };
                self.ops.push(Op::DrawLine {
                    line: Line { points: vec![line_point(from), line_point(to)], is_closed: false },
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
            Element::Text(_) | Element::QrCode { .. } | Element::Picture { .. } => {}
        }
    }

    #[expect(clippy::float_cmp, reason = "compares with the value written last")]
    fn show(&mut self, run: &Run, subset: &Subset) {
        self.text_section(true);
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
        let text = run.glyphs.iter().flat_map(|glyph| subset.number(*glyph).to_be_bytes()).collect();
        self.ops.push(Op::Unknown { key: "Tj".to_owned(), value: vec![DictItem::Bytes(text)] });
    }

    fn paint(&mut self, id: XObjectId, at: (f64, f64), size: (f64, f64)) {
        self.text_section(false);
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

/// Reserves a resource that [`write`](crate::write) replaces with the picture.
fn placeholder() -> XObject {
    external(ExternalStream { dict: BTreeMap::new(), content: Vec::new(), compress: false })
}

/// A QR code in a unit square: one rectangle per run of dark modules.
fn qr_code_form(modules: &QrModules) -> XObject {
    use std::fmt::Write as _;
    let size = modules.size;
    let mut content = String::with_capacity(8 * size * size);
    // Writing to a String cannot fail.
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
    let dict = entries([
        ("Type", name("XObject")),
        ("Subtype", name("Form")),
        ("BBox", DictItem::Array([0, 0, 1, 1].map(DictItem::Int).to_vec())),
        ("Resources", DictItem::Dict { map: BTreeMap::new() }),
    ]);
    external(ExternalStream { dict, content: content.into_bytes(), compress: true })
}

fn external(stream: ExternalStream) -> XObject {
    XObject::External(ExternalXObject { stream, width: None, height: None, dpi: None })
}

fn name(name: &str) -> DictItem {
    DictItem::Name(name.as_bytes().to_vec())
}

fn entries<const N: usize>(entries: [(&str, DictItem); N]) -> BTreeMap<String, DictItem> {
    entries.map(|(key, value)| (key.to_owned(), value)).into()
}

fn whole(size: usize) -> f64 {
    u32::try_from(size).map_or(f64::MAX, f64::from)
}

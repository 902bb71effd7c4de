//! 6.2.2 and 14.6: the operators of the pages, and the structure that marks them.

use lopdf::content::{Content, Operation};
use lopdf::{Dictionary, Object, ObjectId};

use crate::file::{File, decoded, dictionary};
use crate::report::Report;

/// Operators that paint nothing and need no check.
const QUIET: &str =
    "b* n W W* m l c v y h re w J j M d ri i Tc Tw Tz TL Tr Ts Td TD Tm T* cm d0 d1 BX EX MP DP";
/// Operators that paint a path or a shading.
const PAINT: &str = "S s f F f* B B* b sh";
/// Colours that the output intent defines.
const COLOUR: &str = "g G rg RG";
/// Colours that it does not define, or that our documents do not need.
const OTHER_COLOUR: &str = "k K cs CS sc SC scn SCN sh";

pub(crate) struct ShownText {
    pub(crate) font: ObjectId,
    /// Glyph numbers.
    pub(crate) codes: Vec<u16>,
}

/// A marked-content sequence of the structure.
pub(crate) struct Mark {
    /// Index of the page, from 0.
    pub(crate) page: usize,
    /// MCID, its number within the page.
    pub(crate) number: i64,
    pub(crate) tag: String,
}

#[derive(Default)]
pub(crate) struct PageContent {
    pub(crate) texts: Vec<ShownText>,
    pub(crate) marks: Vec<Mark>,
    pub(crate) painted: Vec<ObjectId>,
}

struct ContentReader<'r, 'f> {
    file: &'f File<'f>,
    report: &'r mut Report,
    pages: &'r mut PageContent,
    page: usize,
    /// Whether each open marked-content sequence is tagged or an artifact, or neither.
    open: Vec<bool>,
    in_text: bool,
    font: Option<ObjectId>,
    saved: usize,
}

pub(crate) fn check(file: &File, report: &mut Report) -> PageContent {
    let mut pages = PageContent::default();
    for (page, id) in file.document.page_iter().enumerate() {
        let Ok(about) = file.document.get_dictionary(id) else { continue };
        boxes(file, about, report);
        let Some(resources) = file.dictionary(about, "Resources") else {
            report.add("6.2.2-2", "a page has no resources");
            continue;
        };
        let Ok(content) = Content::decode(&file.document.get_page_content(id)) else {
            report.add("6.2.2-1", "the content of a page cannot be parsed");
            continue;
        };
        let mut reader = ContentReader {
            file,
            report,
            pages: &mut pages,
            page,
            open: Vec::new(),
            in_text: false,
            font: None,
            saved: 0,
        };
        reader.read(&content.operations, resources, 0);
        let done = reader.open.is_empty() && !reader.in_text && reader.saved == 0;
        report.require(done, "14.6.1", "a page ends inside marked content, a text object or a saved state");
    }
    report.require(!file.pages().is_empty(), "7.7.3", "the document has no page");
    pages
}

fn boxes(file: &File, page: &Dictionary, report: &mut Report) {
    let edges = |key: &str| -> Option<[f32; 4]> {
        let edges: Vec<f32> = file.list(page, key).iter().filter_map(|edge| edge.as_float().ok()).collect();
        edges.try_into().ok()
    };
    let Some(paper) = edges("MediaBox") else {
        return report.add("14.11.2", "a page has no MediaBox");
    };
    for key in ["MediaBox", "CropBox", "BleedBox", "TrimBox", "ArtBox"] {
        let Some([left, bottom, right, top]) = edges(key) else { continue };
        let fits = |length: f32| (3.0..=14400.0).contains(&length.abs());
        let in_range = fits(right - left) && fits(top - bottom);
        report.require(in_range, "6.1.13-11", "a page is smaller than 3 or larger than 14,400 units");
        let within = left >= paper[0] && bottom >= paper[1] && right <= paper[2] && top <= paper[3];
        report.require(within, "14.11.2", "a box of a page is larger than its MediaBox");
    }
}

fn is_among(operator: &str, list: &str) -> bool {
    list.split(' ').any(|known| known == operator)
}

impl<'f> ContentReader<'_, 'f> {
    fn read(&mut self, operations: &[Operation], resources: &'f Dictionary, depth: usize) {
        for Operation { operator, operands } in operations {
            match operator.as_str() {
                "q" => {
                    self.saved += 1;
                    self.report.require(
                        self.saved <= 28,
                        "6.1.13-8",
                        "graphics states are saved more than 28 deep",
                    );
                }
                "Q" => match self.saved.checked_sub(1) {
                    Some(saved) => self.saved = saved,
                    None => self.report.add("8.4.2", "a graphics state is restored that was not saved"),
                },
                "BT" | "ET" => {
                    let is_paired = self.in_text == (operator == "ET");
                    self.report.require(is_paired, "9.4.1", "text objects are nested");
                    self.in_text = operator == "BT";
                }
                "BMC" | "BDC" => self.begin(operands),
                "EMC" => {
                    let open = self.open.pop().is_some();
                    self.report.require(
                        open && !self.in_text,
                        "14.6.1",
                        "marked content ends that did not begin, or inside a text object",
                    );
                }
                "Tf" => self.font = self.resource(resources, "Font", operands),
                "Tj" | "TJ" | "'" | "\"" => self.show(operands),
                "Do" => self.paint(resources, operands, depth),
                "gs" => drop(self.resource(resources, "ExtGState", operands)),
                "BI" | "ID" | "EI" => self.report.add("6.1.10-1", "the content has an inline image"),
                other if is_among(other, PAINT) => self.require_marked(),
                other if is_among(other, OTHER_COLOUR) => {
                    self.report.add("6.2.4.3-3", "a colour is not grey or RGB");
                }
                other if is_among(other, QUIET) || is_among(other, COLOUR) => {}
                other => self.report.add("6.2.2-1", format!("operator {other} is unknown")),
            }
            if operator == "ri" {
                let known: [&[u8]; 4] =
                    [b"RelativeColorimetric", b"AbsoluteColorimetric", b"Perceptual", b"Saturation"];
                let named = operands
                    .first()
                    .and_then(|name| name.as_name().ok())
                    .is_some_and(|name| known.contains(&name));
                self.report.require(named, "6.2.6-1", "a rendering intent is unknown");
            }
        }
    }

    fn begin(&mut self, operands: &[Object]) {
        let tag = operands.first().and_then(|tag| tag.as_name().ok()).unwrap_or_default();
        let properties = operands.get(1).and_then(dictionary);
        let number = properties.and_then(|properties| properties.get(b"MCID").and_then(Object::as_i64).ok());
        self.report.require(!self.in_text, "14.6.1", "marked content begins inside a text object");
        if let Some(properties) = properties
            && properties.has(b"Lang")
        {
            self.report.add("6.7.4-1", "marked content has a Lang, which our documents do not need");
        }
        let belongs = number.is_some() || tag == b"Artifact";
        let not_nested = !(belongs && self.open.contains(&true));
        self.report.require(not_nested, "14.8.2.2", "tagged content or an artifact is nested in another");
        if let Some(number) = number {
            let tag = String::from_utf8_lossy(tag).into_owned();
            self.pages.marks.push(Mark { page: self.page, number, tag });
        }
        self.open.push(belongs);
    }

    fn require_marked(&mut self) {
        let is_marked = self.open.contains(&true);
        self.report.require(is_marked, "14.8.2.2", "painted content is neither tagged nor an artifact");
    }

    fn resource(&mut self, resources: &'f Dictionary, kind: &str, operands: &[Object]) -> Option<ObjectId> {
        let name = operands.first()?.as_name().ok()?;
        let found = self.file.dictionary(resources, kind).and_then(|named| named.get(name).ok());
        let is_listed = found.is_some();
        self.report.require(is_listed, "6.2.2-2", "the content uses a resource that the page does not list");
        found?.as_reference().ok()
    }

    fn show(&mut self, operands: &[Object]) {
        self.require_marked();
        self.report.require(self.in_text, "9.4.1", "text is shown outside of a text object");
        let Some(font) = self.font else {
            return self.report.add("9.3.1", "text is shown before a font is selected");
        };
        let strings: Vec<&Object> = operands
            .iter()
            .flat_map(|operand| operand.as_array().map_or(vec![operand], |array| array.iter().collect()))
            .collect();
        for bytes in strings.into_iter().filter_map(|string| string.as_str().ok()) {
            self.report.require(bytes.len() % 2 == 0, "9.7.6.2", "a shown string has an odd number of bytes");
            let codes = bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            self.pages.texts.push(ShownText { font, codes });
        }
    }

    fn paint(&mut self, resources: &'f Dictionary, operands: &[Object], depth: usize) {
        self.require_marked();
        self.report.require(!self.in_text, "8.2", "an XObject is painted inside a text object");
        let Some(id) = self.resource(resources, "XObject", operands) else { return };
        self.pages.painted.push(id);
        let file = self.file;
        let Some(stream) = file.document.get_object(id).ok().and_then(|object| object.as_stream().ok())
        else {
            return self.report.add("8.8", "a painted XObject is not a stream");
        };
        if file.name(&stream.dict, "Subtype") != Some("Form") {
            return;
        }
        let Some(own) = file.dictionary(&stream.dict, "Resources") else {
            return self.report.add("6.2.2-2", "a form has no resources");
        };
        match Content::decode(&decoded(stream)) {
            Ok(content) if depth < 8 => self.read(&content.operations, own, depth + 1),
            _ => self.report.add("6.2.2-1", "the content of a form cannot be parsed"),
        }
    }
}

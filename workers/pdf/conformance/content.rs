//! 6.2.2 and 14.6: what pages draw, operator by operator, and what each part of it belongs to.

use lopdf::content::{Content, Operation};
use lopdf::{Dictionary, Object, ObjectId};

use super::{File, Report, dictionary, plain};

/// Operators that paint nothing and need no watching.
const QUIET: &str =
    "b* n W W* m l c v y h re w J j M d ri i Tc Tw Tz TL Tr Ts Td TD Tm T* cm d0 d1 BX EX MP DP";
/// Operators that paint a path or a shading.
const PAINT: &str = "S s f F f* B B* b sh";
/// Colours that the output intent gives a meaning to.
const COLOUR: &str = "g G rg RG";
/// Colours that it gives none, or that none of our documents need.
const OTHER_COLOUR: &str = "k K cs CS sc SC scn SCN sh";

/// Letters shown one after the other.
pub(super) struct Text {
    /// The font, by its object.
    pub(super) font: ObjectId,
    /// Numbers of letters.
    pub(super) codes: Vec<u16>,
}

/// A marked-content sequence that belongs to the structure.
pub(super) struct Mark {
    /// Page, from 0.
    pub(super) page: usize,
    /// Its number within the page.
    pub(super) number: i64,
    /// Its tag.
    pub(super) tag: String,
}

/// What the pages show.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) texts: Vec<Text>,
    pub(super) marks: Vec<Mark>,
    /// Objects that pages paint: pictures and forms.
    pub(super) painted: Vec<ObjectId>,
}

/// Where reading the content of a page has come to.
struct Reader<'r, 'f> {
    file: &'f File<'f>,
    report: &'r mut Report,
    shown: &'r mut Shown,
    page: usize,
    /// Marked-content sequences that are open: whether they belong to the structure or to nothing, or neither.
    open: Vec<bool>,
    in_text: bool,
    font: Option<ObjectId>,
    saved: usize,
}

pub(super) fn check(file: &File, report: &mut Report) -> Shown {
    let mut shown = Shown::default();
    for (page, id) in file.document.page_iter().enumerate() {
        let Ok(about) = file.document.get_dictionary(id) else { continue };
        boxes(file, about, report);
        let Some(resources) = file.dictionary(about, "Resources") else {
            report.tell("6.2.2-2", "a page has no resources of its own");
            continue;
        };
        let Ok(content) = Content::decode(&file.document.get_page_content(id)) else {
            report.tell("6.2.2-1", "the content of a page cannot be read");
            continue;
        };
        let mut reader = Reader {
            file,
            report,
            shown: &mut shown,
            page,
            open: Vec::new(),
            in_text: false,
            font: None,
            saved: 0,
        };
        reader.read(&content.operations, resources, 0);
        let done = reader.open.is_empty() && !reader.in_text && reader.saved == 0;
        report.expect(done, "14.6.1", "a page ends within marked content, text or a saved state");
    }
    report.expect(!file.pages().is_empty(), "7.7.3", "there is no page");
    shown
}

fn boxes(file: &File, page: &Dictionary, report: &mut Report) {
    let edges = |key: &str| -> Option<[f32; 4]> {
        let edges: Vec<f32> = file.list(page, key).iter().filter_map(|edge| edge.as_float().ok()).collect();
        edges.try_into().ok()
    };
    let Some(paper) = edges("MediaBox") else {
        return report.tell("14.11.2", "a page does not say how large it is");
    };
    for key in ["MediaBox", "CropBox", "BleedBox", "TrimBox", "ArtBox"] {
        let Some([left, bottom, right, top]) = edges(key) else { continue };
        let fits = |length: f32| (3.0..=14400.0).contains(&length.abs());
        report.expect(
            fits(right - left) && fits(top - bottom),
            "6.1.13-11",
            "a page is smaller than 3 or larger than 14,400 units",
        );
        let within = left >= paper[0] && bottom >= paper[1] && right <= paper[2] && top <= paper[3];
        report.expect(within, "14.11.2", "a box of a page is larger than its paper");
    }
}

fn is_among(operator: &str, list: &str) -> bool {
    list.split(' ').any(|known| known == operator)
}

impl<'f> Reader<'_, 'f> {
    fn read(&mut self, operations: &[Operation], resources: &'f Dictionary, depth: usize) {
        for Operation { operator, operands } in operations {
            match operator.as_str() {
                "q" => {
                    self.saved += 1;
                    self.report.expect(self.saved <= 28, "6.1.13-8", "states are saved more than 28 deep");
                }
                "Q" => match self.saved.checked_sub(1) {
                    Some(saved) => self.saved = saved,
                    None => self.report.tell("8.4.2", "a state is restored that was not saved"),
                },
                "BT" | "ET" => {
                    self.report.expect(
                        self.in_text == (operator == "ET"),
                        "9.4.1",
                        "texts stand within each other",
                    );
                    self.in_text = operator == "BT";
                }
                "BMC" | "BDC" => self.begin(operands),
                "EMC" => {
                    let open = self.open.pop().is_some();
                    self.report.expect(
                        open && !self.in_text,
                        "14.6.1",
                        "marked content ends where it did not begin",
                    );
                }
                "Tf" => self.font = self.resource(resources, "Font", operands),
                "Tj" | "TJ" | "'" | "\"" => self.show(operands),
                "Do" => self.paint(resources, operands, depth),
                "gs" => drop(self.resource(resources, "ExtGState", operands)),
                "BI" | "ID" | "EI" => self.report.tell("6.1.10-1", "a picture stands within the content"),
                other if is_among(other, PAINT) => self.marked(),
                other if is_among(other, OTHER_COLOUR) => {
                    self.report.tell("6.2.4.3-3", "a colour is not one that the output intent describes");
                }
                other if is_among(other, QUIET) || is_among(other, COLOUR) => {}
                other => self.report.tell("6.2.2-1", format!("operator {other} is unknown")),
            }
            if operator == "ri" {
                let known: [&[u8]; 4] =
                    [b"RelativeColorimetric", b"AbsoluteColorimetric", b"Perceptual", b"Saturation"];
                let named = operands
                    .first()
                    .and_then(|name| name.as_name().ok())
                    .is_some_and(|name| known.contains(&name));
                self.report.expect(named, "6.2.6-1", "a rendering intent is unknown");
            }
        }
    }

    fn begin(&mut self, operands: &[Object]) {
        let tag = operands.first().and_then(|tag| tag.as_name().ok()).unwrap_or_default();
        let properties = operands.get(1).and_then(dictionary);
        let number = properties.and_then(|properties| properties.get(b"MCID").and_then(Object::as_i64).ok());
        self.report.expect(
            !self.in_text,
            "14.6.1",
            "marked content begins within a text and may end outside",
        );
        if let Some(properties) = properties
            && properties.has(b"Lang")
        {
            self.report.tell("6.7.4-1", "marked content has a language of its own, which nothing checks");
        }
        let belongs = number.is_some() || tag == b"Artifact";
        self.report.expect(
            !(belongs && self.open.contains(&true)),
            "14.8.2.2",
            "content of the structure stands within other content",
        );
        if let Some(number) = number {
            let tag = String::from_utf8_lossy(tag).into_owned();
            self.shown.marks.push(Mark { page: self.page, number, tag });
        }
        self.open.push(belongs);
    }

    /// What is painted belongs to the structure, or is marked as belonging to nothing.
    fn marked(&mut self) {
        self.report.expect(
            self.open.contains(&true),
            "14.8.2.2",
            "something is painted that is neither content nor artifact",
        );
    }

    fn resource(&mut self, resources: &'f Dictionary, kind: &str, operands: &[Object]) -> Option<ObjectId> {
        let name = operands.first()?.as_name().ok()?;
        let found = self.file.dictionary(resources, kind).and_then(|named| named.get(name).ok());
        self.report.expect(
            found.is_some(),
            "6.2.2-2",
            "the content names a resource that the page does not list",
        );
        found?.as_reference().ok()
    }

    fn show(&mut self, operands: &[Object]) {
        self.marked();
        self.report.expect(self.in_text, "9.4.1", "letters stand outside of a text");
        let Some(font) = self.font else {
            return self.report.tell("9.3.1", "letters are shown before a font is chosen");
        };
        let strings: Vec<&Object> = operands
            .iter()
            .flat_map(|operand| operand.as_array().map_or(vec![operand], |array| array.iter().collect()))
            .collect();
        for bytes in strings.into_iter().filter_map(|string| string.as_str().ok()) {
            self.report.expect(bytes.len() % 2 == 0, "9.7.6.2", "half a letter is shown");
            let codes = bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            self.shown.texts.push(Text { font, codes });
        }
    }

    fn paint(&mut self, resources: &'f Dictionary, operands: &[Object], depth: usize) {
        self.marked();
        self.report.expect(!self.in_text, "8.2", "an object is painted within a text");
        let Some(id) = self.resource(resources, "XObject", operands) else { return };
        self.shown.painted.push(id);
        let file = self.file;
        let Some(stream) = file.document.get_object(id).ok().and_then(|object| object.as_stream().ok())
        else {
            return self.report.tell("8.8", "what is painted is no stream");
        };
        if file.name(&stream.dict, "Subtype") != Some("Form") {
            return;
        }
        let Some(own) = file.dictionary(&stream.dict, "Resources") else {
            return self.report.tell("6.2.2-2", "a form has no resources of its own");
        };
        match Content::decode(&plain(stream)) {
            Ok(content) if depth < 8 => self.read(&content.operations, own, depth + 1),
            _ => self.report.tell("6.2.2-1", "the content of a form cannot be read"),
        }
    }
}

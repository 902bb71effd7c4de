//! Faults of bytes, content and graphics, each with the clause that it breaks.

use lopdf::{Dictionary, Document, Object, ObjectId, Stream, dictionary};

/// A clause, and a change that breaks it.
pub(super) type Fault = (&'static str, fn(&mut Document));

pub(super) fn catalog(document: &mut Document) -> &mut Dictionary {
    document.catalog_mut().unwrap()
}

pub(super) fn page(document: &mut Document) -> &mut Dictionary {
    let id = document.page_iter().next().unwrap();
    document.get_dictionary_mut(id).unwrap()
}

/// The first dictionary or stream that satisfies `is`.
pub(super) fn find(document: &Document, is: impl Fn(&Dictionary) -> bool) -> ObjectId {
    let found = document.objects.iter().find(|(_, object)| hosho_pdfa::dictionary(object).is_some_and(&is));
    *found.unwrap().0
}

pub(super) fn named(about: &Dictionary, key: &str, name: &str) -> bool {
    about.get(key.as_bytes()).and_then(Object::as_name).is_ok_and(|found| found == name.as_bytes())
}

/// The first dictionary with a name under a key.
pub(super) fn with<'d>(document: &'d mut Document, key: &str, name: &str) -> &'d mut Dictionary {
    let id = find(document, |about| named(about, key, name));
    match document.get_object_mut(id).unwrap() {
        Object::Stream(stream) => &mut stream.dict,
        object => object.as_dict_mut().unwrap(),
    }
}

pub(super) fn intent(document: &mut Document) -> &mut Dictionary {
    let intents = catalog(document).get_mut(b"OutputIntents").unwrap().as_array_mut().unwrap();
    intents[0].as_dict_mut().unwrap()
}

/// Changes the content of the first page.
fn content(document: &mut Document, change: impl Fn(String) -> String) {
    let id = document.page_iter().next().unwrap();
    let content = document.get_page_content(id);
    let changed: Vec<u8> = change(content.iter().map(|byte| char::from(*byte)).collect())
        .chars()
        .map(|letter| u8::try_from(letter).unwrap())
        .collect();
    let stream = document.get_page_contents(id)[0];
    document.set_object(stream, Stream::new(Dictionary::new(), changed));
}

fn append(document: &mut Document, more: &str) {
    content(document, |content| content + "\n" + more);
}

/// Adds a picture of two by two pixels.
fn picture(document: &mut Document, change: impl Fn(&mut Dictionary)) {
    let mut about = dictionary! {
        "Type" => "XObject", "Subtype" => "Image", "Width" => 2, "Height" => 2, "ColorSpace" => "DeviceGray", "BitsPerComponent" => 8,
    };
    change(&mut about);
    document.add_object(Stream::new(about, vec![0; 4]));
}

fn form(document: &mut Document, change: impl Fn(&mut Dictionary)) {
    let mut about = dictionary! {
        "Type" => "XObject", "Subtype" => "Form", "BBox" => Object::Array(vec![0.into(), 0.into(), 1.into(), 1.into()]),
        "Resources" => Dictionary::new(),
    };
    change(&mut about);
    document.add_object(Stream::new(about, Vec::new()));
}

fn profile(document: &mut Document, change: impl Fn(&mut Vec<u8>)) {
    let id = intent(document).get(b"DestOutputProfile").and_then(Object::as_reference).unwrap();
    let stream = document.get_object_mut(id).unwrap().as_stream_mut().unwrap();
    let mut bytes = stream.decompressed_content().unwrap();
    change(&mut bytes);
    stream.dict.remove(b"Filter");
    stream.set_content(bytes);
}

/// Adds a picture and a form, which is no fault.
pub(super) fn pictured(document: &mut Document) {
    picture(document, |_| ());
    form(document, |_| ());
}

pub(super) const SYNTAX: &[Fault] = &[
    ("6.1.3-1", |document| drop(document.trailer.remove(b"ID"))),
    ("6.1.3", |document| drop(document.trailer.remove(b"Info"))),
    ("6.1.6-1", |document| append(document, "/Artifact BMC BT <ABC> Tj ET EMC")),
    ("6.1.6-2", |document| append(document, "/Artifact BMC BT <AX> Tj ET EMC")),
    ("6.1.7.1-3", |document| with(document, "Subtype", "XML").set("FFilter", "FlateDecode")),
    ("6.1.7.2-1", |document| with(document, "Subtype", "XML").set("Filter", "LZWDecode")),
    ("6.1.8-1", |document| catalog(document).set(vec![b'X', 0xFF], 1)),
    ("6.1.10-1", |document| append(document, "/Artifact BMC q BI /W 1 /H 1 /BPC 8 /CS /G ID x EI Q EMC")),
    ("6.1.12-1", |document| catalog(document).set("Perms", Dictionary::new())),
    ("6.1.13-1", |document| catalog(document).set("Large", 1_i64 << 31)),
    ("6.1.13-2", |document| append(document, &format!("4{}.0 w", "0".repeat(38)))),
    ("6.1.13-3", |document| catalog(document).set("Long", Object::string_literal("a".repeat(32_768)))),
    ("6.1.13-4", |document| catalog(document).set("a".repeat(128), 1)),
    ("6.1.13-5", |document| append(document, &format!("0.{}1 w", "0".repeat(38)))),
    ("6.1.13-8", |document| append(document, &("q ".repeat(29) + &"Q ".repeat(29)))),
    ("6.1.13-11", |document| {
        page(document).set("MediaBox", vec![0.into(), 0.into(), 2.into(), Object::Integer(2)])
    }),
    ("14.11.2", |document| {
        page(document).set("CropBox", vec![0.into(), 0.into(), 700.into(), Object::Integer(900)])
    }),
    ("14.11.2", |document| drop(page(document).remove(b"MediaBox"))),
    ("7.7.3", |document| {
        let pages = with(document, "Type", "Pages");
        pages.set("Kids", Object::Array(Vec::new()));
        pages.set("Count", 0);
    }),
];

pub(super) const CONTENT: &[Fault] = &[
    ("6.2.2-1", |document| append(document, "1 xx")),
    ("6.2.2-2", |document| append(document, "/Artifact BMC /Nothing Do EMC")),
    ("6.2.2-2", |document| drop(page(document).remove(b"Resources"))),
    ("6.2.4.3-3", |document| append(document, "0 0 0 1 k")),
    ("6.2.6-1", |document| append(document, "/Brilliant ri")),
    ("8.2", |document| append(document, "/Artifact BMC BT /Nothing Do ET EMC")),
    ("8.4.2", |document| append(document, "Q")),
    ("8.8", |document| {
        let id = document.add_object(1);
        let resources = page(document).get_mut(b"Resources").unwrap();
        if let Ok(resources) = resources.as_dict_mut() {
            resources.set("XObject", dictionary! { "One" => Object::Reference(id) });
        } else {
            let resources = resources.as_reference().unwrap();
            document
                .get_dictionary_mut(resources)
                .unwrap()
                .set("XObject", dictionary! { "One" => Object::Reference(id) });
        }
        append(document, "/Artifact BMC /One Do EMC");
    }),
    ("9.3.1", |document| {
        content(document, |content| "/Artifact BMC BT <0001> Tj ET EMC ".to_owned() + &content)
    }),
    ("9.4.1", |document| append(document, "ET")),
    ("9.7.6.2", |document| append(document, "/Artifact BMC BT (a) Tj ET EMC")),
    ("6.2.11.4.1-2", |document| append(document, "/Artifact BMC BT <FFF0> Tj ET EMC")),
    ("6.2.11.8-1", |document| append(document, "/Artifact BMC BT <0000> Tj ET EMC")),
    ("6.7.4-1", |document| append(document, "/Span <</Lang (en)>> BDC EMC")),
    ("14.6.1", |document| content(document, |content| content.replacen("EMC", "", 1))),
    ("14.6.1", |document| append(document, "BT")),
    ("14.6.2", |document| content(document, |content| content.replacen("/H1", "/P", 1))),
    ("14.7.4.2", |document| append(document, "/P <</MCID 0>> BDC EMC")),
    ("14.7.4.2", |document| append(document, "/P <</MCID 9999>> BDC EMC")),
    ("14.8.2.2", |document| append(document, "0 0 1 1 re f")),
    ("14.8.2.2", |document| append(document, "/Artifact BMC /P <</MCID 9999>> BDC EMC EMC")),
];

pub(super) const GRAPHICS: &[Fault] = &[
    ("6.2.3", |document| drop(catalog(document).remove(b"OutputIntents"))),
    ("6.2.3", |document| intent(document).set("S", "GTS_PDFX")),
    ("6.2.3", |document| drop(intent(document).remove(b"OutputConditionIdentifier"))),
    ("6.2.3-1", |document| profile(document, |bytes| bytes[8] = 5)),
    ("6.2.3-1", |document| profile(document, |bytes| bytes[16] = b'C')),
    ("6.2.3-1", |document| profile(document, |bytes| bytes.push(0))),
    ("6.2.3-1", |document| profile(document, |bytes| bytes[132] = b'x')),
    ("6.2.3-3", |document| intent(document).set("DestOutputProfileRef", Dictionary::new())),
    ("6.2.4.3-2", |document| drop(intent(document).remove(b"DestOutputProfile"))),
    ("6.2.4.3-3", |document| picture(document, |about| about.set("ColorSpace", "DeviceCMYK"))),
    ("6.2.5-1", |document| {
        catalog(document).set("G", dictionary! { "Type" => "ExtGState", "TR" => "Identity" })
    }),
    ("6.2.5-2", |document| {
        catalog(document).set("G", dictionary! { "Type" => "ExtGState", "TR2" => "Identity" })
    }),
    ("6.2.5-3", |document| catalog(document).set("G", dictionary! { "Type" => "ExtGState", "HTP" => 1 })),
    ("6.2.8-1", |document| picture(document, |about| about.set("Alternates", Object::Array(Vec::new())))),
    ("6.2.8-2", |document| picture(document, |about| about.set("OPI", Dictionary::new()))),
    ("6.2.8-3", |document| picture(document, |about| about.set("Interpolate", true))),
    ("6.2.8-4", |document| picture(document, |about| about.set("BitsPerComponent", 3))),
    ("6.2.9-1", |document| form(document, |about| about.set("OPI", Dictionary::new()))),
    ("6.2.9-2", |document| form(document, |about| about.set("Ref", Dictionary::new()))),
    ("6.2.9-3", |document| form(document, |about| about.set("Subtype", "PS"))),
    ("6.2.10-1", |document| {
        catalog(document).set("G", dictionary! { "Type" => "ExtGState", "BM" => "Sparkle" })
    }),
    ("8.9.5", |document| picture(document, |about| about.set("Width", 3))),
    ("8.9.5", |document| picture(document, |about| drop(about.remove(b"Height")))),
    ("8.10.2", |document| form(document, |about| drop(about.remove(b"BBox")))),
    ("11.6.5.3", |document| {
        let mask = dictionary! {
            "Subtype" => "Image", "Width" => 1, "Height" => 1, "ColorSpace" => "DeviceRGB", "BitsPerComponent" => 8,
        };
        let mask = document.add_object(Stream::new(mask, vec![0; 3]));
        picture(document, |about| about.set("SMask", Object::Reference(mask)));
    }),
];

pub(super) const INTERACTIVE: &[Fault] = &[
    ("6.3.1-1", |document| page(document).set("Annots", Object::Array(Vec::new()))),
    ("6.3.1-1", |document| {
        catalog(document).set("Hidden", dictionary! { "Type" => "Annot", "Subtype" => "Movie" })
    }),
    ("6.4.1-1", |document| catalog(document).set("Hidden", dictionary! { "FT" => "Tx" })),
    ("6.4.1-3", |document| catalog(document).set("AcroForm", Dictionary::new())),
    ("6.4.2-2", |document| catalog(document).set("NeedsRendering", true)),
    ("6.5.1-1", |document| catalog(document).set("OpenAction", dictionary! { "S" => "Launch" })),
    ("6.5.1-1", |document| catalog(document).set("Names", dictionary! { "JavaScript" => Dictionary::new() })),
    ("6.5.1-1", |document| {
        catalog(document)
            .set("Hidden", dictionary! { "S" => "JavaScript", "JS" => Object::string_literal("1") })
    }),
    ("6.5.2-1", |document| page(document).set("AA", Dictionary::new())),
    ("6.8", |document| catalog(document).set("Collection", Dictionary::new())),
    ("6.9-1", |document| catalog(document).set("OCProperties", Dictionary::new())),
    ("6.10-1", |document| {
        catalog(document).set("Names", dictionary! { "AlternatePresentations" => Dictionary::new() })
    }),
    ("6.10-2", |document| page(document).set("PresSteps", Dictionary::new())),
    ("6.11-1", |document| catalog(document).set("Requirements", Object::Array(Vec::new()))),
    ("7.7.4", |document| catalog(document).set("Names", dictionary! { "Pages" => Dictionary::new() })),
    ("12.3.3", |document| catalog(document).set("Outlines", Dictionary::new())),
];

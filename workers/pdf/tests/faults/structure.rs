//! Faults of fonts, metadata, structure and attachments, each with its clause.

use lopdf::{Dictionary, Document, Object, Stream, dictionary};

use super::content::{Fault, catalog, find, named, page, with};

fn font(document: &mut Document) -> &mut Dictionary {
    with(document, "Subtype", "Type0")
}

fn descendant(document: &mut Document) -> &mut Dictionary {
    let fonts = font(document).get_mut(b"DescendantFonts").unwrap().as_array_mut().unwrap();
    fonts[0].as_dict_mut().unwrap()
}

fn descriptor(document: &mut Document) -> &mut Dictionary {
    let id = descendant(document).get(b"FontDescriptor").and_then(Object::as_reference).unwrap();
    document.get_dictionary_mut(id).unwrap()
}

fn program(document: &mut Document) -> &mut Stream {
    let id = descriptor(document).get(b"FontFile2").and_then(Object::as_reference).unwrap();
    document.get_object_mut(id).unwrap().as_stream_mut().unwrap()
}

/// Replaces text in a stream.
fn rewrite(stream: &mut Stream, from: &str, to: &str) {
    let bytes = hosho_pdfa::decoded(stream);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains(from), "the stream has no {from}");
    stream.dict.remove(b"Filter");
    stream.set_content(text.replacen(from, to, 1).into_bytes());
}

fn to_unicode(document: &mut Document, from: &str, to: &str) {
    let id = font(document).get(b"ToUnicode").and_then(Object::as_reference).unwrap();
    rewrite(document.get_object_mut(id).unwrap().as_stream_mut().unwrap(), from, to);
}

/// Maps the glyphs of all fonts to one text.
fn map_glyphs_to(document: &mut Document, text: &str) {
    let ids: Vec<_> = document
        .objects
        .values()
        .filter_map(|object| object.as_dict().ok()?.get(b"ToUnicode").ok()?.as_reference().ok())
        .collect();
    let map = format!("1 beginbfrange\n<0000> <FFFF> [{}]\nendbfrange", format!("<{text}>").repeat(65_536));
    for id in ids {
        document.set_object(id, Stream::new(Dictionary::new(), map.clone().into_bytes()));
    }
}

fn xmp(document: &mut Document, from: &str, to: &str) {
    let id = find(document, |about| named(about, "Subtype", "XML"));
    rewrite(document.get_object_mut(id).unwrap().as_stream_mut().unwrap(), from, to);
}

fn information(document: &mut Document) -> &mut Dictionary {
    let id = document.trailer.get(b"Info").and_then(Object::as_reference).unwrap();
    document.get_dictionary_mut(id).unwrap()
}

fn root(document: &mut Document) -> &mut Dictionary {
    with(document, "Type", "StructTreeRoot")
}

/// The first structure element of a type.
fn element<'d>(document: &'d mut Document, kind: &str) -> &'d mut Dictionary {
    let id = find(document, |about| named(about, "S", kind) && about.has(b"P"));
    document.get_dictionary_mut(id).unwrap()
}

fn retype(document: &mut Document, from: &str, to: &str) {
    element(document, from).set("S", to);
}

fn attributes<'d>(document: &'d mut Document, kind: &str) -> &'d mut Dictionary {
    element(document, kind).get_mut(b"A").unwrap().as_dict_mut().unwrap()
}

pub(super) const FONTS: &[Fault] = &[
    ("6.2.11.2-1", |document| drop(font(document).remove(b"Type"))),
    ("6.2.11.2-2", |document| descendant(document).set("Subtype", "CIDFontType0")),
    ("6.2.11.2-2", |document| font(document).set("Subtype", "Type3")),
    ("6.2.11.2-3", |document| font(document).set("BaseFont", "Other")),
    ("6.2.11.2-3", |document| descriptor(document).set("FontName", "Other")),
    ("6.2.11.2-7", |document| program(document).dict.set("Subtype", "OpenType9")),
    ("6.2.11.3.1-1", |document| drop(descendant(document).remove(b"CIDSystemInfo"))),
    ("6.2.11.3.2-1", |document| drop(descendant(document).remove(b"CIDToGIDMap"))),
    ("6.2.11.3.3-1", |document| font(document).set("Encoding", "Identity-V")),
    ("6.2.11.4.1-1", |document| drop(descriptor(document).remove(b"FontFile2"))),
    ("6.2.11.4.1-1", |document| drop(descendant(document).remove(b"FontDescriptor"))),
    ("6.2.11.4.1-1", |document| program(document).set_content(vec![0; 99])),
    ("6.2.11.4.2-2", |document| descriptor(document).set("CIDSet", 1)),
    ("6.2.11.5-1", |document| drop(descendant(document).remove(b"W"))),
    ("6.2.11.5-1", |document| descendant(document).set("DW", 1002)),
    ("6.2.11.6-3", |document| descriptor(document).set("Flags", 32)),
    ("6.2.11.7.2-1", |document| drop(font(document).remove(b"ToUnicode"))),
    ("6.2.11.7.2-1", |document| to_unicode(document, "beginbfrange", "beginbfrang")),
    ("6.2.11.7.2-2", |document| map_glyphs_to(document, "0000")),
    ("6.2.11.7.2-2", |document| map_glyphs_to(document, "FEFF")),
    ("6.2.11.7.3-1", |document| map_glyphs_to(document, "E000")),
    ("9.8.1", |document| drop(descriptor(document).remove(b"StemV"))),
    ("9.9", |document| program(document).dict.set("Length1", 7)),
];

pub(super) const METADATA: &[Fault] = &[
    ("6.6.2.1-1", |document| drop(catalog(document).remove(b"Metadata"))),
    ("6.6.2.1-1", |document| drop(with(document, "Subtype", "XML").remove(b"Type"))),
    ("6.6.2.1", |document| {
        let id = find(document, |about| named(about, "Subtype", "XML"));
        document.get_object_mut(id).unwrap().as_stream_mut().unwrap().compress().unwrap();
    }),
    ("6.6.2.1-2", |document| xmp(document, " id=", " bytes=\"9\" id=")),
    ("6.6.2.1-3", |document| xmp(document, "zkc9d\"", "zkc9d\" encoding=\"UTF-8\"")),
    ("6.6.2.1-4", |document| xmp(document, "</rdf:RDF>", "")),
    ("6.6.2.1-4", |document| xmp(document, "rdf:about=\"\"", "rdf:about=\"x\"")),
    ("6.6.2.1-5", |document| {
        let id = find(document, |about| named(about, "Subtype", "XML"));
        document
            .get_object_mut(id)
            .unwrap()
            .as_stream_mut()
            .unwrap()
            .set_content(vec![0xFF, 0xFE, 0x3C, 0x00]);
    }),
    ("6.6.2.3.1-1", |document| xmp(document, "<pdfaProperty:name>revision<", "<pdfaProperty:name>other<")),
    ("6.6.2.3.1-1", |document| {
        xmp(document, "<dc:format>application/pdf</dc:format>", "<dc:colour>blue</dc:colour>");
    }),
    ("6.6.2.3.1-2", |document| xmp(document, "<hosho:revision>", "<hosho:revision>x")),
    ("6.6.2.3.1-2", |document| xmp(document, "x-default", "ja")),
    ("6.6.2.3.1-2", |document| xmp(document, "<xmp:MetadataDate>", "<xmp:MetadataDate>on ")),
    ("6.6.2.3.2-1", |document| {
        xmp(
            document,
            "</pdfaProperty:category>",
            "</pdfaProperty:category><pdfaProperty:more>x</pdfaProperty:more>",
        );
    }),
    ("6.6.2.3.3-1", |document| {
        xmp(document, "<pdfaExtension:schemas><rdf:Bag>", "<pdfaExtension:schemas><rdf:Alt/><rdf:Bag>");
    }),
    ("6.6.2.3.3-2", |document| xmp(document, "<pdfaSchema:schema>hosho documents", "<pdfaSchema:schema>")),
    ("6.6.2.3.3-3", |document| xmp(document, "<pdfaSchema:namespaceURI>", "<pdfaSchema:namespaceURI>x")),
    ("6.6.2.3.3-4", |document| xmp(document, "<pdfaSchema:prefix>", "<pdfaSchema:prefix>x")),
    ("6.6.2.3.3-5", |document| xmp(document, "<pdfaSchema:property>", "<pdfaSchema:property><rdf:Bag/>")),
    ("6.6.2.3.3-7", |document| xmp(document, "<pdfaProperty:name>guaranteeNumber", "<pdfaProperty:name>")),
    ("6.6.2.3.3-8", |document| xmp(document, "<pdfaProperty:valueType>Text", "<pdfaProperty:valueType>Poem")),
    ("6.6.2.3.3-9", |document| xmp(document, ">external<", ">eternal<")),
    ("6.6.2.3.3-10", |document| xmp(document, "Number of the guarantee", "")),
    ("6.6.3", |document| information(document).set("Title", Object::string_literal("other"))),
    ("6.6.3", |document| {
        information(document).set("ModDate", Object::string_literal("D:20200101000000+00'00'"));
    }),
    ("6.6.3", |document| information(document).set("Mood", Object::string_literal("good"))),
    ("7.18.1", |document| information(document).set("Title", Object::string_literal(""))),
    ("7.18.1", |document| drop(catalog(document).remove(b"ViewerPreferences"))),
    ("6.6.4-1", |document| xmp(document, "<pdfaid:part>2</pdfaid:part>", "")),
    ("6.6.4-2", |document| xmp(document, "<pdfaid:part>2", "<pdfaid:part>4")),
    ("6.6.4-3", |document| xmp(document, "<pdfaid:conformance>A", "<pdfaid:conformance>B")),
    ("6.6.4-4", |document| {
        xmp(document, "xmlns:pdfaid=", "xmlns:id=");
        for end in ["<", "</"] {
            xmp(document, &format!("{end}pdfaid:part"), &format!("{end}id:part"));
            xmp(document, &format!("{end}pdfaid:conformance"), &format!("{end}id:conformance"));
        }
    }),
];

pub(super) const STRUCTURE: &[Fault] = &[
    ("6.7.2.2-1", |document| drop(catalog(document).remove(b"MarkInfo"))),
    ("6.7.2.2", |document| {
        catalog(document).set("MarkInfo", dictionary! { "Marked" => true, "Suspects" => true });
    }),
    ("6.7.3", |document| drop(page(document).remove(b"Tabs"))),
    ("6.7.3.3-1", |document| drop(catalog(document).remove(b"StructTreeRoot"))),
    ("6.7.3.4-1", |document| retype(document, "P", "Paragraph")),
    ("6.7.3.4-2", |document| root(document).set("RoleMap", Dictionary::new())),
    ("6.7.4-1", |document| drop(catalog(document).remove(b"Lang"))),
    ("6.7.5", |document| drop(element(document, "Figure").remove(b"Alt"))),
    ("6.7.7", |document| element(document, "P").set("ActualText", Object::string_literal("x"))),
    ("14.7.2", |document| element(document, "P").set("P", Object::Null)),
    ("14.7.2", |document| {
        let id = find(document, |about| named(about, "S", "P") && about.has(b"P"));
        let kids = element(document, "Document").get_mut(b"K").unwrap().as_array_mut().unwrap();
        kids.push(Object::Reference(id));
    }),
    ("14.7.4.2", |document| drop(element(document, "H1").remove(b"Pg"))),
    ("14.7.4.2", |document| element(document, "H1").set("K", 9998)),
    ("14.7.4.4", |document| page(document).set("StructParents", 7)),
    ("14.7.4.4", |document| {
        let id = root(document).get(b"ParentTree").and_then(Object::as_reference).unwrap();
        let numbers =
            document.get_dictionary_mut(id).unwrap().get_mut(b"Nums").unwrap().as_array_mut().unwrap();
        numbers[1].as_array_mut().unwrap().swap(0, 1);
    }),
    ("14.8.2.3", |document| {
        let kids = element(document, "Document").get_mut(b"K").unwrap().as_array_mut().unwrap();
        kids.reverse();
    }),
    ("14.8.4.2", |document| retype(document, "Document", "Div")),
    ("14.8.4.2", |document| {
        let content = element(document, "H1").get(b"K").unwrap().clone();
        retype(document, "H1", "Div");
        element(document, "Div").set("K", content);
    }),
    ("14.8.4.3.2", |document| retype(document, "H1", "H3")),
    ("14.8.4.3.2", |document| retype(document, "H1", "H")),
    ("14.8.4.3.2", |document| drop(element(document, "P").remove(b"K"))),
    ("14.8.4.3.3", |document| retype(document, "Lbl", "P")),
    ("14.8.4.3.3", |document| retype(document, "LI", "P")),
    ("14.8.4.3.3", |document| retype(document, "L", "Div")),
    ("14.8.4.3.4", |document| retype(document, "TR", "P")),
    ("14.8.4.3.4", |document| retype(document, "TH", "P")),
    ("14.8.4.3.4", |document| retype(document, "Table", "Div")),
    ("14.8.4.3.4", |document| attributes(document, "TH").set("ColSpan", 2)),
    ("14.8.4.3.4", |document| attributes(document, "TH").set("RowSpan", 2)),
    ("14.8.4.5", |document| drop(element(document, "Figure").remove(b"K"))),
    ("14.8.5.4.3", |document| drop(attributes(document, "Figure").remove(b"BBox"))),
    ("14.8.5.5", |document| drop(element(document, "L").remove(b"A"))),
    ("14.8.5.7", |document| drop(attributes(document, "TH").remove(b"Scope"))),
    ("6.8-5", |document| catalog(document).set("Hidden", dictionary! { "EF" => Dictionary::new() })),
];

fn specification(document: &mut Document) -> &mut Dictionary {
    with(document, "Type", "Filespec")
}

fn file(document: &mut Document) -> &mut Stream {
    let id = find(document, |about| about.has_type(b"EmbeddedFile"));
    document.get_object_mut(id).unwrap().as_stream_mut().unwrap()
}

/// Faults of a document with an attachment.
pub(super) const ATTACHMENTS: &[Fault] = &[
    ("6.6.4-2", |document| xmp(document, "<pdfaid:part>3", "<pdfaid:part>1")),
    ("6.8-5", |document| xmp(document, "<pdfaid:part>3", "<pdfaid:part>2")),
    ("6.8-1", |document| drop(file(document).dict.remove(b"Subtype"))),
    ("6.8-2", |document| drop(specification(document).remove(b"UF"))),
    ("6.8-2", |document| specification(document).set("EF", Dictionary::new())),
    ("6.8-3", |document| drop(specification(document).remove(b"AFRelationship"))),
    ("6.8-4", |document| drop(catalog(document).remove(b"AF"))),
    ("6.8", |document| drop(specification(document).remove(b"Desc"))),
    ("6.8", |document| rewrite(file(document), "{", "[")),
    ("6.8", |document| xmp(document, "<hosho:dataSha256>", "<hosho:dataSha256>0")),
    ("7.11.4", |document| drop(catalog(document).remove(b"Names"))),
    ("7.11.4", |document| rewrite(file(document), "{", "{ ")),
];

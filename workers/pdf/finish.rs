//! The end of a file, over lopdf: font programs, compact `/ToUnicode` maps, metadata, identity, compression.
//!
//! lopdf's own `compress` is fixed at level 9 and printpdf's own end gives every file a random `/ID`; both are
//! passed over. Level 6 is within a few percent of 9 at half the time.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use lopdf::{Dictionary, Document, Object, ObjectId, Stream, StringFormat, dictionary};
use sha2::{Digest, Sha256};

use super::fonts::Fonts;
use super::print::{Printed, PrintedFont};
use super::{Info, PdfError};

/// Compression of streams.
const LEVEL: u32 = 6;

/// What wrote the file.
const PRODUCER: &str = concat!("hosho ", env!("CARGO_PKG_VERSION"));

/// Puts in what printpdf left out and writes the file.
pub(super) fn finished(printed: Printed, fonts: &Fonts, info: &Info) -> Result<Vec<u8>, PdfError> {
    let Printed { mut document, fonts: used } = printed;
    "1.7".clone_into(&mut document.version);
    let identity = identity(&document, &used, fonts, info);
    for font in &used {
        embed(&mut document, font, fonts)?;
    }
    describe(&mut document, info)?;
    let identity = Object::String(identity, StringFormat::Hexadecimal);
    document.trailer.set("ID", Object::Array(vec![identity.clone(), identity]));
    for object in document.objects.values_mut() {
        if let Object::Stream(stream) = object {
            compress(stream).map_err(|source| PdfError::Write { source })?;
        }
    }
    let mut bytes = Vec::with_capacity(96 * 1024);
    document.save_to(&mut bytes).map_err(|source| PdfError::Write { source })?;
    Ok(bytes)
}

/// Sixteen bytes that are the content's own: pages, fonts and description.
fn identity(document: &Document, used: &[PrintedFont], fonts: &Fonts, info: &Info) -> Vec<u8> {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(PRODUCER.as_bytes());
    part(fonts.sha256().as_bytes());
    for text in [&info.title, &info.author, &info.subject] {
        part(text.as_bytes());
    }
    part(pdf_date(info).as_bytes());
    for font in used {
        part(font.name.as_bytes());
    }
    for object in document.objects.values() {
        if let Object::Stream(stream) = object {
            part(&stream.content);
        }
    }
    hash.finalize().iter().take(16).copied().collect()
}

/// Finds the font's dictionaries by its name and gives them program and text.
fn embed(document: &mut Document, font: &PrintedFont, fonts: &Fonts) -> Result<(), PdfError> {
    let face = fonts.face(font.face);
    let is_ours = |object: &Object, kind: &[u8], key: &[u8]| {
        object.as_dict().is_ok_and(|dictionary| {
            dictionary.get(key).and_then(Object::as_name).is_ok_and(|name| name == font.name.as_bytes())
                && dictionary.get(b"Type").and_then(Object::as_name).is_ok_and(|name| name == kind)
        })
    };
    let find = |document: &Document, kind: &[u8], key: &[u8]| {
        document.objects.iter().find(|(_, object)| is_ours(object, kind, key)).map(|(id, _)| *id)
    };
    let root = find(document, b"Font", b"BaseFont").ok_or(PdfError::Structure("font dictionary"))?;
    let descriptor = find(document, b"FontDescriptor", b"FontName").ok_or(PdfError::Structure("font descriptor"))?;

    let program = font.subset.program(face);
    let file = reference(document, descriptor, b"FontFile2")?;
    let length = i64::try_from(program.len()).unwrap_or(i64::MAX);
    document.set_object(file, Stream::new(dictionary! { "Length1" => length }, program));

    let to_unicode = reference(document, root, b"ToUnicode")?;
    document.set_object(to_unicode, Stream::new(Dictionary::new(), to_unicode_map(font).into_bytes()));

    // 4 is symbolic: the glyphs are numbered by us, not by a Latin encoding.
    document
        .get_object_mut(descriptor)
        .and_then(Object::as_dict_mut)
        .map_err(|_| PdfError::Structure("font descriptor"))?
        .set("Flags", Object::Integer(4));
    Ok(())
}

fn reference(document: &Document, id: ObjectId, key: &[u8]) -> Result<ObjectId, PdfError> {
    document
        .get_object(id)
        .and_then(Object::as_dict)
        .and_then(|dictionary| dictionary.get(key))
        .and_then(Object::as_reference)
        .map_err(|_| PdfError::Structure("font stream"))
}

/// Maps every glyph number to its character.
fn to_unicode_map(font: &PrintedFont) -> String {
    let entries: Vec<_> = font.subset.numbered().collect();
    let mut map = String::with_capacity(400 + entries.len() * 16);
    map.push_str(
        "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n\
         /CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n",
    );
    for block in entries.chunks(100) {
        // Writing to a string cannot fail.
        let _ = writeln!(map, "{} beginbfchar", block.len());
        for (number, letter) in block {
            let _ = write!(map, "<{number:04X}> <");
            for unit in letter.character.encode_utf16(&mut [0; 2]) {
                let _ = write!(map, "{unit:04X}");
            }
            map.push_str(">\n");
        }
        map.push_str("endbfchar\n");
    }
    map.push_str("endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n");
    map
}

/// Title, author, dates, language: in the information dictionary and as XMP.
fn describe(document: &mut Document, info: &Info) -> Result<(), PdfError> {
    let date = Object::string_literal(pdf_date(info));
    let entries = dictionary! {
        "Title" => text_string(&info.title),
        "Author" => text_string(&info.author),
        "Subject" => text_string(&info.subject),
        "Producer" => text_string(PRODUCER),
        "CreationDate" => date.clone(),
        "ModDate" => date,
    };
    let id = document.trailer.get(b"Info").and_then(Object::as_reference).map_err(|_| PdfError::Structure("information dictionary"))?;
    document.set_object(id, entries);
    let metadata = Stream::new(dictionary! { "Type" => "Metadata", "Subtype" => "XML" }, xmp(info).into_bytes());
    let metadata = document.add_object(metadata);
    let catalog = document.catalog_mut().map_err(|_| PdfError::Structure("catalog"))?;
    catalog.set("Lang", Object::string_literal("ja-JP"));
    catalog.set("Metadata", Object::Reference(metadata));
    catalog.set("PageLayout", "SinglePage");
    catalog.set("ViewerPreferences", dictionary! { "DisplayDocTitle" => true });
    Ok(())
}

fn pdf_date(info: &Info) -> String {
    info.created.format("D:%Y%m%d%H%M%S+00'00'").to_string()
}

fn text_string(text: &str) -> Object {
    if text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Object::string_literal(text);
    }
    let units = std::iter::once(0xFEFF).chain(text.encode_utf16());
    Object::String(units.flat_map(u16::to_be_bytes).collect(), StringFormat::Hexadecimal)
}

fn xmp(info: &Info) -> String {
    let date = info.created.format("%Y-%m-%dT%H:%M:%SZ");
    let [title, author, subject] = [&info.title, &info.author, &info.subject].map(|text| escaped(text));
    format!(
        "<?xpacket begin=\"\u{FEFF}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n\
         <x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n\
         <rdf:Description rdf:about=\"\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\" xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\" \
         xmlns:pdf=\"http://ns.adobe.com/pdf/1.3/\">\n\
         <dc:format>application/pdf</dc:format>\n\
         <dc:language><rdf:Bag><rdf:li>ja-JP</rdf:li></rdf:Bag></dc:language>\n\
         <dc:title><rdf:Alt><rdf:li xml:lang=\"x-default\">{title}</rdf:li></rdf:Alt></dc:title>\n\
         <dc:creator><rdf:Seq><rdf:li>{author}</rdf:li></rdf:Seq></dc:creator>\n\
         <dc:description><rdf:Alt><rdf:li xml:lang=\"x-default\">{subject}</rdf:li></rdf:Alt></dc:description>\n\
         <xmp:CreateDate>{date}</xmp:CreateDate><xmp:ModifyDate>{date}</xmp:ModifyDate><xmp:MetadataDate>{date}</xmp:MetadataDate>\n\
         <pdf:Producer>{PRODUCER}</pdf:Producer>\n\
         </rdf:Description></rdf:RDF></x:xmpmeta>\n<?xpacket end=\"r\"?>"
    )
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            control if control.is_control() => {}
            other => escaped.push(other),
        }
    }
    escaped
}

/// Compresses a stream that is not metadata (which stays readable without a PDF library).
fn compress(stream: &mut Stream) -> std::io::Result<()> {
    let is_metadata = stream.dict.get(b"Type").and_then(Object::as_name).is_ok_and(|name| name == b"Metadata");
    if is_metadata || stream.dict.has(b"Filter") {
        return Ok(());
    }
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(stream.content.len() / 2), Compression::new(LEVEL));
    encoder.write_all(&stream.content)?;
    stream.set_content(encoder.finish()?);
    stream.dict.set("Filter", "FlateDecode");
    Ok(())
}

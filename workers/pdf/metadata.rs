//! XMP, and the same values in the older information dictionary.
//!
//! Guarantee number, revision and the hash of an attachment belong to a schema of our own. PDF/A requires
//! that the file describes such a schema (ISO 19005-2, 6.6.2.3).

use lopdf::{Dictionary, Object, StringFormat, dictionary};
use sha2::{Digest, Sha256};

use crate::info::Info;

pub(crate) const PRODUCER: &str = concat!("hosho ", env!("CARGO_PKG_VERSION"));

pub(crate) fn dictionary(info: &Info) -> Dictionary {
    let date = Object::string_literal(pdf_date(info));
    dictionary! {
        "Title" => text_string(&info.title),
        "Author" => text_string(&info.author),
        "Subject" => text_string(&info.subject),
        "Producer" => text_string(PRODUCER),
        "CreationDate" => date.clone(),
        "ModDate" => date,
    }
}

pub(crate) fn pdf_date(info: &Info) -> String {
    info.created.format("D:%Y%m%d%H%M%S+00'00'").to_string()
}

/// Longest value, in characters: a string of PDF/A has at most 32,767 bytes.
const MAX_LENGTH: usize = 8000;

/// The characters that XMP can hold too: no controls and no noncharacters.
fn storable(text: &str) -> impl Iterator<Item = char> {
    text.chars()
        .filter(|&character| !character.is_control() && !matches!(character, '\u{FFFE}' | '\u{FFFF}'))
        .take(MAX_LENGTH)
}

/// A text string: ASCII unchanged, anything else as UTF-16.
pub(crate) fn text_string(text: &str) -> Object {
    let text: String = storable(text).collect();
    if text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Object::string_literal(text);
    }
    let units = std::iter::once(0xFEFF).chain(text.encode_utf16());
    Object::String(units.flat_map(u16::to_be_bytes).collect(), StringFormat::Hexadecimal)
}

/// Claims PDF/A-3a for a file with an attachment, otherwise PDF/A-2a.
pub(crate) fn xmp(info: &Info) -> String {
    let date = info.created.format("%Y-%m-%dT%H:%M:%SZ");
    let part = if info.attachment.is_some() { 3 } else { 2 };
    let [title, author, subject, number] =
        [&info.title, &info.author, &info.subject, &info.number].map(|text| escaped(text));
    let revision = info.revision;
    let hash = info.attachment.as_ref().map_or_else(String::new, |attachment| {
        format!("<hosho:dataSha256>{}</hosho:dataSha256>\n", hex::encode(Sha256::digest(&attachment.content)))
    });
    format!(
        "<?xpacket begin=\"\u{FEFF}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n\
         <x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n\
         <rdf:Description rdf:about=\"\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\" xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\" \
         xmlns:pdf=\"http://ns.adobe.com/pdf/1.3/\" xmlns:pdfaid=\"http://www.aiim.org/pdfa/ns/id/\" xmlns:hosho=\"urn:hosho:document:1\">\n\
         <dc:format>application/pdf</dc:format><dc:language><rdf:Bag><rdf:li>ja-JP</rdf:li></rdf:Bag></dc:language>\n\
         <dc:title><rdf:Alt><rdf:li xml:lang=\"x-default\">{title}</rdf:li></rdf:Alt></dc:title>\n\
         <dc:creator><rdf:Seq><rdf:li>{author}</rdf:li></rdf:Seq></dc:creator>\n\
         <dc:description><rdf:Alt><rdf:li xml:lang=\"x-default\">{subject}</rdf:li></rdf:Alt></dc:description>\n\
         <hosho:guaranteeNumber>{number}</hosho:guaranteeNumber><hosho:revision>{revision}</hosho:revision>\n\
         <xmp:CreateDate>{date}</xmp:CreateDate><xmp:ModifyDate>{date}</xmp:ModifyDate><xmp:MetadataDate>{date}</xmp:MetadataDate>\n\
         <pdf:Producer>{PRODUCER}</pdf:Producer><pdfaid:part>{part}</pdfaid:part><pdfaid:conformance>A</pdfaid:conformance>\n\
         {hash}</rdf:Description>\n{SCHEMA}</rdf:RDF></x:xmpmeta>\n<?xpacket end=\"r\"?>",
    )
}

macro_rules! schema {
    ($($name:literal, $kind:literal, $description:literal;)*) => {
        concat!(
            "<rdf:Description rdf:about=\"\" xmlns:pdfaExtension=\"http://www.aiim.org/pdfa/ns/extension/\" \
             xmlns:pdfaSchema=\"http://www.aiim.org/pdfa/ns/schema#\" xmlns:pdfaProperty=\"http://www.aiim.org/pdfa/ns/property#\">\n\
             <pdfaExtension:schemas><rdf:Bag><rdf:li rdf:parseType=\"Resource\"><pdfaSchema:schema>hosho documents</pdfaSchema:schema>\
             <pdfaSchema:namespaceURI>urn:hosho:document:1</pdfaSchema:namespaceURI><pdfaSchema:prefix>hosho</pdfaSchema:prefix>\
             <pdfaSchema:property><rdf:Seq>\n",
            $("<rdf:li rdf:parseType=\"Resource\"><pdfaProperty:name>", $name, "</pdfaProperty:name><pdfaProperty:valueType>", $kind,
              "</pdfaProperty:valueType><pdfaProperty:category>external</pdfaProperty:category><pdfaProperty:description>", $description,
              "</pdfaProperty:description></rdf:li>\n",)*
            "</rdf:Seq></pdfaSchema:property></rdf:li></rdf:Bag></pdfaExtension:schemas></rdf:Description>\n"
        )
    };
}

const SCHEMA: &str = schema! {
    "guaranteeNumber", "Text", "Number of the guarantee";
    "revision", "Integer", "Number of the revision, 0 for the first";
    "dataSha256", "Text", "SHA-256 of the attached data";
};

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in storable(text) {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            other => escaped.push(other),
        }
    }
    escaped
}

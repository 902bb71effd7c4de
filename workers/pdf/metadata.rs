//! The metadata of a file: XMP, and the same values in the older information dictionary.
//!
//! Guarantee number, revision and the hash of an attachment belong to a schema of our own. PDF/A requires
//! that the file describes such a schema (ISO 19005-2, 6.6.2.3).

use std::fmt::Write as _;

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

/// The creation date in the syntax of PDF strings.
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

/// The XMP packet.
///
/// It claims PDF/A-3a for a file with an attachment, otherwise PDF/A-2a.
pub(crate) fn xmp(info: &Info) -> String {
    let date = info.created.format("%Y-%m-%dT%H:%M:%SZ");
    let part = if info.attachment.is_some() { 3 } else { 2 };
    let mut xmp = String::with_capacity(3072);
    xmp.push_str("<?xpacket begin=\"\u{FEFF}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n");
    xmp.push_str("<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n");
    xmp.push_str(
        "<rdf:Description rdf:about=\"\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\" xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\" \
         xmlns:pdf=\"http://ns.adobe.com/pdf/1.3/\" xmlns:pdfaid=\"http://www.aiim.org/pdfa/ns/id/\" xmlns:hosho=\"urn:hosho:document:1\">\n",
    );
    xmp.push_str("<dc:format>application/pdf</dc:format><dc:language><rdf:Bag><rdf:li>ja-JP</rdf:li></rdf:Bag></dc:language>\n");
    let mut property = |open: &str, text: &str, close: &str| {
        xmp.push_str(open);
        escape(text, &mut xmp);
        xmp.push_str(close);
    };
    property(
        "<dc:title><rdf:Alt><rdf:li xml:lang=\"x-default\">",
        &info.title,
        "</rdf:li></rdf:Alt></dc:title>\n",
    );
    property("<dc:creator><rdf:Seq><rdf:li>", &info.author, "</rdf:li></rdf:Seq></dc:creator>\n");
    property(
        "<dc:description><rdf:Alt><rdf:li xml:lang=\"x-default\">",
        &info.subject,
        "</rdf:li></rdf:Alt></dc:description>\n",
    );
    property("<hosho:guaranteeNumber>", &info.number, "</hosho:guaranteeNumber>");
    // Writing to a String cannot fail.
    let _ = write!(
        xmp,
        "<hosho:revision>{}</hosho:revision>\n\
         <xmp:CreateDate>{date}</xmp:CreateDate><xmp:ModifyDate>{date}</xmp:ModifyDate><xmp:MetadataDate>{date}</xmp:MetadataDate>\n\
         <pdf:Producer>{PRODUCER}</pdf:Producer><pdfaid:part>{part}</pdfaid:part><pdfaid:conformance>A</pdfaid:conformance>\n",
        info.revision
    );
    if let Some(attachment) = &info.attachment {
        let _ = writeln!(
            xmp,
            "<hosho:dataSha256>{}</hosho:dataSha256>",
            hex::encode(Sha256::digest(&attachment.content))
        );
    }
    xmp.push_str("</rdf:Description>\n");
    xmp.push_str(SCHEMA);
    xmp.push_str("</rdf:RDF></x:xmpmeta>\n<?xpacket end=\"r\"?>");
    xmp
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

fn escape(text: &str, into: &mut String) {
    for character in storable(text) {
        match character {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            other => into.push(other),
        }
    }
}

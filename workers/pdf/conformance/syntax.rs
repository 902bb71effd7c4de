//! 6.1: file structure, checked on the bytes.

use lopdf::Object;
use lopdf::xref::XrefEntry;

use crate::file::{File, decoded};
use crate::report::Report;
use crate::tokens::{Token, tokens};

/// Filters that PDF/A allows. Our documents use one.
const FILTERS: [&[u8]; 8] = [
    b"ASCIIHexDecode",
    b"ASCII85Decode",
    b"FlateDecode",
    b"RunLengthDecode",
    b"CCITTFaxDecode",
    b"JBIG2Decode",
    b"DCTDecode",
    b"JPXDecode",
];

pub(crate) fn check(file: &File, report: &mut Report) {
    header(file.bytes, report);
    trailer(file, report);
    let mut texts = objects(file, report);
    for object in file.document.objects.values() {
        if let Object::Stream(stream) = object {
            for key in ["F", "FFilter", "FDecodeParms"] {
                let is_inside = !stream.dict.has(key.as_bytes());
                report.require(is_inside, "6.1.7.1-3", "the content of a stream is outside of the file");
            }
            for filter in file.list(&stream.dict, "Filter") {
                let known = filter.as_name().is_ok_and(|name| FILTERS.contains(&name));
                report.require(
                    known,
                    "6.1.7.2-1",
                    "a stream is compressed with a filter that is not allowed",
                );
            }
            let readable = !stream.dict.has(b"Filter") || stream.decompressed_content().is_ok();
            report.require(readable, "6.1.7.2-1", "a stream cannot be decompressed");
            let is_text =
                stream.dict.has_type(b"ObjStm") || file.name(&stream.dict, "Subtype") == Some("Form");
            if is_text {
                texts.push(decoded(stream));
            }
        }
    }
    for page in file.document.page_iter() {
        texts.push(file.document.get_page_content(page));
    }
    for text in &texts {
        for token in tokens(text) {
            word(&token, report);
        }
    }
    let is_small = file.document.objects.len() <= 8_388_607;
    report.require(is_small, "6.1.13-7", "the file has more than 8,388,607 objects");
}

fn header(bytes: &[u8], report: &mut Report) {
    let version = bytes.strip_prefix(b"%PDF-1.").and_then(<[u8]>::split_first);
    let Some((b'0'..=b'7', rest)) = version else {
        return report.add("6.1.2-1", "the file does not begin with %PDF-1.0 to 1.7");
    };
    let rest =
        rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")).or_else(|| rest.strip_prefix(b"\r"));
    let Some(rest) = rest else { return report.add("6.1.2-1", "the header is not followed by a line end") };
    let binary = rest.first() == Some(&b'%')
        && rest.get(1..5).is_some_and(|bytes| bytes.iter().all(|byte| *byte > 127));
    report.require(binary, "6.1.2-2", "no comment of four bytes above 127 follows the header");
}

fn trailer(file: &File, report: &mut Report) {
    let trailer = &file.document.trailer;
    let parts = file.list(trailer, "ID");
    let identified =
        parts.len() == 2 && parts.iter().all(|part| part.as_str().is_ok_and(|part| part.len() >= 16));
    report.require(identified, "6.1.3-1", "the trailer has no ID of two strings of 16 bytes");
    report.require(!trailer.has(b"Encrypt"), "6.1.3-2", "the file is encrypted");
    let end = file
        .bytes
        .windows(5)
        .rposition(|window| window == b"%%EOF")
        .map_or(&[][..], |at| &file.bytes[at + 5..]);
    let ended = file.bytes.windows(5).any(|window| window == b"%%EOF")
        && matches!(end, b"" | b"\n" | b"\r" | b"\r\n");
    report.require(ended, "6.1.3-3", "the file does not end with %%EOF");
    report.require(trailer.has(b"Root") && trailer.has(b"Info"), "6.1.3", "the trailer lacks Root or Info");
}

/// Checks the framing of every object; returns the bytes outside of streams.
fn objects(file: &File, report: &mut Report) -> Vec<Vec<u8>> {
    let bytes = file.bytes;
    let mut texts = Vec::new();
    let start = file.document.xref_start;
    let end = format!("startxref\n{start}\n%%EOF");
    let is_ended = contains(bytes, end.as_bytes());
    report.require(is_ended, "6.1.4-1", "startxref is not followed by the offset and %%EOF");
    for (&number, entry) in &file.document.reference_table.entries {
        let &XrefEntry::Normal { offset, generation } = entry else { continue };
        let offset = offset as usize;
        let header = format!("{number} {generation} obj\n");
        let before = offset.checked_sub(1).and_then(|at| bytes.get(at));
        let Some(body) = bytes.get(offset..).and_then(|rest| rest.strip_prefix(header.as_bytes())) else {
            report.add(
                "6.1.9-1",
                format!(
                    "object {number} is not at the offset of the cross-reference table, or not framed by line ends"
                ),
            );
            continue;
        };
        let on_new_line = matches!(before, Some(b'\n' | b'\r'));
        report.require(on_new_line, "6.1.9-1", "an object does not begin on a new line");
        let end = position(body, b"\nendobj\n");
        report.require(end.is_some(), "6.1.9-1", "endobj is not on a line of its own");
        let text_end =
            match position(body, b"stream").filter(|at| *at < position(body, b"endobj").unwrap_or(0)) {
                Some(at) => {
                    let declared = length(&body[..at]);
                    let content =
                        body[at + 6..].strip_prefix(b"\r\n").or_else(|| body[at + 6..].strip_prefix(b"\n"));
                    report.require(
                        content.is_some(),
                        "6.1.7.1-2",
                        "the keyword stream is not followed by a line end",
                    );
                    let rest = declared.and_then(|declared| content?.get(declared..));
                    let closed = rest.is_some_and(|rest| {
                        rest.starts_with(b"\nendstream") || rest.starts_with(b"\r\nendstream")
                    });
                    report.require(
                        closed,
                        "6.1.7.1-1",
                        "Length of a stream is wrong, or endstream is not preceded by a line end",
                    );
                    let framed =
                        rest.is_none_or(|rest| rest.trim_ascii_start().starts_with(b"endstream\nendobj\n"));
                    report.require(framed, "6.1.9-1", "endobj is not on a line of its own");
                    at
                }
                None => end.unwrap_or(body.len()),
            };
        texts.push(body[..text_end].to_vec());
    }
    texts
}

/// `/Length` as written: lopdf decompresses some streams when it reads them.
fn length(about: &[u8]) -> Option<usize> {
    let words = tokens(about);
    let at = words.iter().position(|word| *word == Token::Name(b"Length".to_vec()))?;
    let Token::Word(length) = words.get(at + 1)? else { return None };
    std::str::from_utf8(length).ok()?.parse().ok()
}

fn word(token: &Token<'_>, report: &mut Report) {
    match token {
        Token::Name(name) => {
            report.require(std::str::from_utf8(name).is_ok(), "6.1.8-1", "a name is not UTF-8");
            report.require(name.len() <= 127, "6.1.13-4", "a name is longer than 127 bytes");
        }
        Token::Literal(text) => {
            report.require(text.len() < 32_768, "6.1.13-3", "a string is longer than 32,767 bytes");
        }
        Token::Hexadecimal(text) => {
            let is_even = text.len() % 2 == 0;
            report.require(is_even, "6.1.6-1", "a hexadecimal string has an odd number of digits");
            let only_digits = text.iter().all(u8::is_ascii_hexdigit);
            report.require(only_digits, "6.1.6-2", "a hexadecimal string has characters other than digits");
            report.require(text.len() / 2 < 32_768, "6.1.13-3", "a string is longer than 32,767 bytes");
        }
        Token::Word(word)
            if word.first().is_some_and(|byte| byte.is_ascii_digit() || b"+-.".contains(byte)) =>
        {
            let Ok(word) = std::str::from_utf8(word) else { return };
            if word.contains('.') {
                let value: f64 = word.parse().unwrap_or(f64::NAN);
                let plain = word.bytes().all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte));
                let is_plain = plain && value.abs() <= 3.403e38;
                report.require(is_plain, "6.1.13-2", "a real number is too large or has an exponent");
                let is_normal = value == 0.0 || value.abs() >= 1.175e-38;
                report.require(is_normal, "6.1.13-5", "a real number is too small");
            } else {
                report.require(word.parse::<i32>().is_ok(), "6.1.13-1", "an integer has more than 32 bits");
            }
        }
        Token::Word(_) => {}
    }
}

fn position(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    position(bytes, what).is_some()
}

//! 6.1: the file's bytes, before they mean anything.

use lopdf::Object;
use lopdf::xref::XrefEntry;

use super::tokens::{Token, tokens};
use super::{File, Report, plain};

/// Filters that a conforming file may use. Ours use one.
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

pub(super) fn check(file: &File, report: &mut Report) {
    header(file.bytes, report);
    trailer(file, report);
    let mut texts = objects(file, report);
    for object in file.document.objects.values() {
        if let Object::Stream(stream) = object {
            for key in ["F", "FFilter", "FDecodeParms"] {
                report.expect(
                    !stream.dict.has(key.as_bytes()),
                    "6.1.7.1-3",
                    "a stream is kept outside of the file",
                );
            }
            for filter in file.list(&stream.dict, "Filter") {
                let known = filter.as_name().is_ok_and(|name| FILTERS.contains(&name));
                report.expect(known, "6.1.7.2-1", "a stream is compressed with a filter that is not allowed");
            }
            let readable = !stream.dict.has(b"Filter") || stream.decompressed_content().is_ok();
            report.expect(readable, "6.1.7.2-1", "a stream cannot be decompressed");
            let is_text =
                stream.dict.has_type(b"ObjStm") || file.name(&stream.dict, "Subtype") == Some("Form");
            if is_text {
                texts.push(plain(stream));
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
    report.expect(file.document.objects.len() <= 8_388_607, "6.1.13-7", "there are too many objects");
}

fn header(bytes: &[u8], report: &mut Report) {
    let version = bytes.strip_prefix(b"%PDF-1.").and_then(<[u8]>::split_first);
    let Some((b'0'..=b'7', rest)) = version else {
        return report.tell("6.1.2-1", "the file does not begin with %PDF-1.0 to 1.7");
    };
    let rest =
        rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")).or_else(|| rest.strip_prefix(b"\r"));
    let Some(rest) = rest else { return report.tell("6.1.2-1", "the header does not end with its line") };
    let binary = rest.first() == Some(&b'%')
        && rest.get(1..5).is_some_and(|bytes| bytes.iter().all(|byte| *byte > 127));
    report.expect(binary, "6.1.2-2", "no comment of four bytes above 127 follows the header");
}

fn trailer(file: &File, report: &mut Report) {
    let trailer = &file.document.trailer;
    let parts = file.list(trailer, "ID");
    let identified =
        parts.len() == 2 && parts.iter().all(|part| part.as_str().is_ok_and(|part| part.len() >= 16));
    report.expect(identified, "6.1.3-1", "the trailer has no ID of two parts");
    report.expect(!trailer.has(b"Encrypt"), "6.1.3-2", "the file is encrypted");
    let end = file
        .bytes
        .windows(5)
        .rposition(|window| window == b"%%EOF")
        .map_or(&[][..], |at| &file.bytes[at + 5..]);
    let ended = file.bytes.windows(5).any(|window| window == b"%%EOF")
        && matches!(end, b"" | b"\n" | b"\r" | b"\r\n");
    report.expect(ended, "6.1.3-3", "the file does not end with its end-of-file marker");
    report.expect(trailer.has(b"Root") && trailer.has(b"Info"), "6.1.3", "the trailer lacks Root or Info");
}

/// Every object stands where the cross-references say, framed by line ends; streams are as long as they say. Returns what
/// stands outside of streams.
fn objects(file: &File, report: &mut Report) -> Vec<Vec<u8>> {
    let bytes = file.bytes;
    let mut texts = Vec::new();
    let start = file.document.xref_start;
    let end = format!("startxref\n{start}\n%%EOF");
    report.expect(
        contains(bytes, end.as_bytes()),
        "6.1.4-1",
        "startxref is not followed by the offset and the end-of-file marker",
    );
    for (&number, entry) in &file.document.reference_table.entries {
        let &XrefEntry::Normal { offset, generation } = entry else { continue };
        let offset = offset as usize;
        let header = format!("{number} {generation} obj\n");
        let before = offset.checked_sub(1).and_then(|at| bytes.get(at));
        let Some(body) = bytes.get(offset..).and_then(|rest| rest.strip_prefix(header.as_bytes())) else {
            report.tell(
                "6.1.9-1",
                format!(
                    "object {number} does not stand, framed by line ends, where the cross-references say"
                ),
            );
            continue;
        };
        report.expect(matches!(before, Some(b'\n' | b'\r')), "6.1.9-1", "an object does not begin a line");
        let end = position(body, b"\nendobj\n");
        report.expect(end.is_some(), "6.1.9-1", "endobj does not stand on a line of its own");
        let text_end =
            match position(body, b"stream").filter(|at| *at < position(body, b"endobj").unwrap_or(0)) {
                Some(at) => {
                    let declared = length(&body[..at]);
                    let content =
                        body[at + 6..].strip_prefix(b"\r\n").or_else(|| body[at + 6..].strip_prefix(b"\n"));
                    report.expect(content.is_some(), "6.1.7.1-2", "no line end follows the word stream");
                    let rest = declared.and_then(|declared| content?.get(declared..));
                    let closed = rest.is_some_and(|rest| {
                        rest.starts_with(b"\nendstream") || rest.starts_with(b"\r\nendstream")
                    });
                    report.expect(
                        closed,
                        "6.1.7.1-1",
                        "a stream is not as long as it says, or no line end comes before endstream",
                    );
                    let framed =
                        rest.is_none_or(|rest| rest.trim_ascii_start().starts_with(b"endstream\nendobj\n"));
                    report.expect(framed, "6.1.9-1", "endobj does not stand on a line of its own");
                    at
                }
                None => end.unwrap_or(body.len()),
            };
        texts.push(body[..text_end].to_vec());
    }
    texts
}

/// `/Length` as it is written: lopdf unpacks some streams as it reads them.
fn length(about: &[u8]) -> Option<usize> {
    let words = tokens(about);
    let at = words.iter().position(|word| *word == Token::Name(b"Length".to_vec()))?;
    let Token::Word(length) = words.get(at + 1)? else { return None };
    std::str::from_utf8(length).ok()?.parse().ok()
}

fn word(token: &Token<'_>, report: &mut Report) {
    match token {
        Token::Name(name) => {
            report.expect(std::str::from_utf8(name).is_ok(), "6.1.8-1", "a name is not UTF-8");
            report.expect(name.len() <= 127, "6.1.13-4", "a name is longer than 127 bytes");
        }
        Token::Literal(text) => {
            report.expect(text.len() < 32_768, "6.1.13-3", "a string is longer than 32,767 bytes")
        }
        Token::Hexadecimal(text) => {
            report.expect(text.len() % 2 == 0, "6.1.6-1", "a hexadecimal string has an odd number of digits");
            report.expect(
                text.iter().all(u8::is_ascii_hexdigit),
                "6.1.6-2",
                "a hexadecimal string holds something else than digits",
            );
            report.expect(text.len() / 2 < 32_768, "6.1.13-3", "a string is longer than 32,767 bytes");
        }
        Token::Word(word)
            if word.first().is_some_and(|byte| byte.is_ascii_digit() || b"+-.".contains(byte)) =>
        {
            let Ok(word) = std::str::from_utf8(word) else { return };
            if word.contains('.') {
                let value: f64 = word.parse().unwrap_or(f64::NAN);
                let plain = word.bytes().all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte));
                report.expect(
                    plain && value.abs() <= 3.403e38,
                    "6.1.13-2",
                    "a number is too large or not written as PDF does",
                );
                report.expect(value == 0.0 || value.abs() >= 1.175e-38, "6.1.13-5", "a number is too small");
            } else {
                report.expect(
                    word.parse::<i32>().is_ok(),
                    "6.1.13-1",
                    "a whole number has more than 32 bits",
                );
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

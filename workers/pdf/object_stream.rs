//! Serializes streams one by one, and all other objects in one compressed stream.
//!
//! A tagged document has a hundred small dictionaries. Written one by one they take 8 KB of every file;
//! together and compressed they take 2 KB. lopdf can do the same, but it copies every object first, leaves
//! the cross-reference stream uncompressed, and does not export its object writer.

use std::io::{self, Write as _};

use lopdf::{Dictionary, Document, Object, StringFormat, dictionary};

use crate::deflate;

#[derive(Clone, Copy)]
enum Entry {
    Offset(usize),
    /// Index within the object stream.
    Compressed(usize),
}

/// All objects must have generation 0; streams are written as they are.
pub(crate) fn serialize(document: &Document) -> io::Result<Vec<u8>> {
    let mut file = Vec::with_capacity(64 * 1024);
    writeln!(file, "%PDF-{}", document.version)?;
    // Four bytes above 127 mark the file as binary.
    file.extend_from_slice(b"%\xE2\xE3\xCF\xD3\n");
    let mut entries: Vec<(u32, Entry)> = Vec::with_capacity(document.objects.len() + 2);
    let mut together = Vec::with_capacity(16 * 1024);
    let mut offsets = Vec::with_capacity(1024);
    let mut count = 0;
    for (&(number, _), object) in &document.objects {
        if matches!(object, Object::Stream(_)) {
            entries.push((number, Entry::Offset(file.len())));
            write_indirect(&mut file, number, object)?;
        } else {
            entries.push((number, Entry::Compressed(count)));
            count += 1;
            write!(offsets, "{number} {} ", together.len())?;
            write_object(&mut together, object)?;
            together.push(b' ');
        }
    }
    let container = document.max_id + 1;
    let about = dictionary! { "Type" => "ObjStm", "N" => to_i64(count), "First" => to_i64(offsets.len()), "Filter" => "FlateDecode" };
    offsets.append(&mut together);
    entries.push((container, Entry::Offset(file.len())));
    write_indirect(&mut file, container, &stream(about, deflate::fast(&offsets)))?;

    let last = container + 1;
    let start = file.len();
    entries.push((last, Entry::Offset(start)));
    write_indirect(&mut file, last, &cross_references(document, &entries, container, last)?)?;
    write!(file, "startxref\n{start}\n%%EOF\n")?;
    Ok(file)
}

/// The cross-reference stream: type, position and index of each object.
fn cross_references(
    document: &Document,
    entries: &[(u32, Entry)],
    container: u32,
    last: u32,
) -> io::Result<Object> {
    let mut rows = vec![[0_u8; 7]; last as usize + 1];
    rows[0] = [0, 0, 0, 0, 0, 0xFF, 0xFF];
    for &(number, entry) in entries {
        let (kind, place, index) = match entry {
            Entry::Offset(offset) => (1, u32::try_from(offset).map_err(io::Error::other)?, 0),
            Entry::Compressed(index) => (2, container, u16::try_from(index).map_err(io::Error::other)?),
        };
        let row = &mut rows[number as usize];
        row[0] = kind;
        row[1..5].copy_from_slice(&place.to_be_bytes());
        row[5..].copy_from_slice(&index.to_be_bytes());
    }
    let mut about = dictionary! {
        "Type" => "XRef",
        "Size" => i64::from(last) + 1,
        "W" => Object::Array([1, 4, 2].map(Object::Integer).to_vec()),
        "Filter" => "FlateDecode",
    };
    for key in ["Root", "Info", "ID"] {
        if let Ok(value) = document.trailer.get(key.as_bytes()) {
            about.set(key, value.clone());
        }
    }
    Ok(stream(about, deflate::fast(rows.as_flattened())))
}

fn stream(about: Dictionary, content: Vec<u8>) -> Object {
    Object::Stream(lopdf::Stream::new(about, content))
}

fn write_indirect(file: &mut Vec<u8>, number: u32, object: &Object) -> io::Result<()> {
    writeln!(file, "{number} 0 obj")?;
    write_object(file, object)?;
    file.extend_from_slice(b"\nendobj\n");
    Ok(())
}

fn write_object(file: &mut Vec<u8>, object: &Object) -> io::Result<()> {
    match object {
        Object::Null => file.extend_from_slice(b"null"),
        Object::Boolean(value) => write!(file, "{value}")?,
        Object::Integer(value) => write!(file, "{value}")?,
        // `Display` writes no exponent, which PDF does not have.
        Object::Real(value) => write!(file, "{value}")?,
        Object::Name(name) => write_name(file, name),
        Object::String(text, format) => write_string(file, text, *format),
        Object::Array(array) => {
            file.push(b'[');
            for (at, object) in array.iter().enumerate() {
                if at > 0 {
                    file.push(b' ');
                }
                write_object(file, object)?;
            }
            file.push(b']');
        }
        Object::Dictionary(dictionary) => write_dictionary(file, dictionary)?,
        Object::Stream(stream) => {
            write_dictionary(file, &stream.dict)?;
            file.extend_from_slice(b"\nstream\n");
            file.extend_from_slice(&stream.content);
            file.extend_from_slice(b"\nendstream");
        }
        Object::Reference((number, generation)) => write!(file, "{number} {generation} R")?,
    }
    Ok(())
}

fn write_dictionary(file: &mut Vec<u8>, dictionary: &Dictionary) -> io::Result<()> {
    file.extend_from_slice(b"<<");
    for (key, value) in dictionary {
        write_name(file, key);
        if matches!(
            value,
            Object::Null | Object::Boolean(_) | Object::Integer(_) | Object::Real(_) | Object::Reference(_)
        ) {
            file.push(b' ');
        }
        write_object(file, value)?;
    }
    file.extend_from_slice(b">>");
    Ok(())
}

fn write_name(file: &mut Vec<u8>, name: &[u8]) {
    file.push(b'/');
    for &byte in name {
        if byte.is_ascii_graphic() && !b"()<>[]{}/%#".contains(&byte) {
            file.push(byte);
        } else {
            file.push(b'#');
            write_hexadecimal(file, byte);
        }
    }
}

fn write_string(file: &mut Vec<u8>, text: &[u8], format: StringFormat) {
    match format {
        StringFormat::Literal => {
            file.push(b'(');
            for &byte in text {
                match byte {
                    b'(' | b')' | b'\\' => file.extend_from_slice(&[b'\\', byte]),
                    b'\r' => file.extend_from_slice(b"\\r"),
                    other => file.push(other),
                }
            }
            file.push(b')');
        }
        StringFormat::Hexadecimal => {
            file.push(b'<');
            for &byte in text {
                write_hexadecimal(file, byte);
            }
            file.push(b'>');
        }
    }
}

fn write_hexadecimal(file: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    file.extend([byte >> 4, byte & 0xF].map(|digit| DIGITS[usize::from(digit)]));
}

fn to_i64(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

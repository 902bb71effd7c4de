//! Completes a file: fonts, pictures, structure, metadata, `/ID`, compression.
//!
//! The file is PDF/A-2a (ISO 19005-2, level A), or PDF/A-3a if it carries an attachment: part 3 is part 2
//! with attachments of any type. printpdf's own `save` is not used: it gives every file a random `/ID`, its
//! PDF/A has a colour profile of 540 KB and no XMP, and its compression is fixed at level 9.

use std::sync::Arc;

use lopdf::{Dictionary, Document, Object, ObjectId, Stream, StringFormat, dictionary};
use sha2::{Digest, Sha256};

use crate::display_list::{DisplayList, Tag};
use crate::error::PdfError;
use crate::info::{Attachment, Info};
use crate::materials::Materials;
use crate::metadata::{self, PRODUCER};
use crate::picture::Picture;
use crate::print::{Printed, PrintedFont, font_resource, picture_resource};
use crate::{deflate, object_stream, srgb, structure};

/// Adds everything that printpdf left out, and returns the bytes of the file.
pub(crate) fn write(
    printed: Printed,
    list: &DisplayList,
    materials: Materials<'_>,
    info: &Info,
) -> Result<Vec<u8>, PdfError> {
    let Printed { mut document, fonts, pictures, marked_content } = printed;
    "1.7".clone_into(&mut document.version);
    let file_id = file_id(&document, &fonts, &pictures, list, materials, info);
    let pages: Vec<ObjectId> = document.page_iter().collect();
    let first = *pages.first().ok_or(PdfError::Structure("first page"))?;
    add_fonts(&mut document, first, &fonts, materials)?;
    for (number, picture) in pictures.iter().enumerate() {
        let name = picture_resource(number);
        add_picture(&mut document, first, name.0.as_bytes(), picture)?;
    }
    for object in document.objects.values_mut() {
        if let Object::Stream(stream) = object {
            compress(stream);
        }
    }
    let root = structure::add(&mut document, &pages, &list.tree, &marked_content);
    for (number, page) in (0_i64..).zip(&pages) {
        let page = document.get_dictionary_mut(*page).map_err(|_| PdfError::Structure("page"))?;
        page.set("StructParents", number);
        page.set("Tabs", "S");
        page.remove(b"Annots");
    }
    add_metadata(&mut document, root, info)?;
    let file_id = Object::String(file_id, StringFormat::Hexadecimal);
    document.trailer.set("ID", Object::Array(vec![file_id.clone(), file_id]));
    object_stream::serialize(&document).map_err(|source| PdfError::Write { source })
}

/// Sixteen bytes that depend on pages, fonts, pictures and metadata alone.
fn file_id(
    document: &Document,
    fonts: &[PrintedFont],
    pictures: &[Arc<Picture>],
    list: &DisplayList,
    materials: Materials<'_>,
    info: &Info,
) -> Vec<u8> {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(PRODUCER.as_bytes());
    part(materials.fonts.sha256().as_bytes());
    for text in [&info.title, &info.author, &info.subject, &info.number] {
        part(text.as_bytes());
    }
    part(&info.revision.to_be_bytes());
    part(metadata::pdf_date(info).as_bytes());
    part(info.attachment.as_ref().map_or(&[], |attachment| attachment.content.as_slice()));
    for font in fonts {
        part(font.name.as_bytes());
    }
    for picture in pictures {
        part(picture.sha256.as_bytes());
    }
    // Page content holds the rest of the structure, but not the descriptions of figures.
    for node in list.tree.nodes() {
        if let Tag::Figure { alternative } = &node.tag {
            part(alternative.as_bytes());
        }
    }
    for object in document.objects.values() {
        if let Object::Stream(stream) = object {
            part(&stream.content);
        }
    }
    hash.finalize().iter().take(16).copied().collect()
}

/// The resources of a page; all pages share them.
fn resources(document: &Document, page: ObjectId) -> lopdf::Result<&Dictionary> {
    document
        .get_dictionary(page)
        .and_then(|page| page.get_deref(b"Resources", document))
        .and_then(Object::as_dict)
}

fn add_fonts(
    document: &mut Document,
    page: ObjectId,
    fonts: &[PrintedFont],
    materials: Materials<'_>,
) -> Result<(), PdfError> {
    let id = resources(document, page)
        .and_then(|resources| resources.get(b"Font"))
        .and_then(Object::as_reference)
        .map_err(|_| PdfError::Structure("font resources"))?;
    let mut ours = Dictionary::new();
    for font in fonts {
        ours.set(font_resource(font.face).0, add_font(document, font, materials));
    }
    document.set_object(id, ours);
    Ok(())
}

/// Adds one font, and returns the id of its dictionary.
fn add_font(document: &mut Document, font: &PrintedFont, materials: Materials<'_>) -> ObjectId {
    let face = materials.fonts.face(font.face);
    let (program, length) = font.subset.program(face);
    let about =
        dictionary! { "Filter" => "FlateDecode", "Length1" => i64::try_from(length).unwrap_or(i64::MAX) };
    let file = document.add_object(Stream::new(about, program));
    let to_unicode = document.add_object(Stream::new(Dictionary::new(), to_unicode_map(font).into_bytes()));

    let name = || Object::Name(font.name.as_bytes().to_vec());
    let thousandths = |value: i16| Object::Integer(face.thousandths(value).into());
    // An estimate of the stem width from the weight: 87 at 400 and 165 at 700.
    let stem = i64::from(face.weight) * i64::from(face.weight) / 4225 + 50;
    let descriptor = document.add_object(dictionary! {
        "Type" => "FontDescriptor",
        "FontName" => name(),
        "Flags" => 4, // symbolic: the glyph numbers are our own, not those of a Latin encoding
        "FontBBox" => Object::Array(face.bounds.map(thousandths).to_vec()),
        "ItalicAngle" => 0,
        "Ascent" => thousandths(face.ascent),
        "Descent" => thousandths(face.descent),
        "CapHeight" => thousandths(face.ascent),
        "StemV" => stem,
        "FontFile2" => Object::Reference(file),
    });
    let descendant = dictionary! {
        "Type" => "Font",
        "Subtype" => "CIDFontType2",
        "BaseFont" => name(),
        "CIDSystemInfo" => dictionary! {
            "Registry" => Object::string_literal("Adobe"), "Ordering" => Object::string_literal("Identity"), "Supplement" => 0,
        },
        "CIDToGIDMap" => "Identity",
        "DW" => 1000,
        "W" => widths(font.subset.advances(face)),
        "FontDescriptor" => Object::Reference(descriptor),
    };
    document.add_object(dictionary! {
        "Type" => "Font",
        "Subtype" => "Type0",
        "BaseFont" => name(),
        "Encoding" => "Identity-H",
        "DescendantFonts" => Object::Array(vec![Object::Dictionary(descendant)]),
        "ToUnicode" => Object::Reference(to_unicode),
    })
}

/// `/W`: the advances that differ from one em; equal neighbours share an entry.
fn widths(advances: impl Iterator<Item = u16>) -> Object {
    let mut entries = Vec::new();
    let mut flush = |first: i64, last: i64, width: u16| {
        if width != 1000 && last >= first {
            entries.extend([first, last, i64::from(width)].map(Object::Integer));
        }
    };
    let (mut first, mut width, mut last) = (1, 1000, 0);
    for (number, advance) in (1_i64..).zip(advances) {
        if advance != width {
            flush(first, last, width);
            (first, width) = (number, advance);
        }
        last = number;
    }
    flush(first, last, width);
    Object::Array(entries)
}

/// The `ToUnicode` map: the characters of every glyph number.
fn to_unicode_map(font: &PrintedFont) -> String {
    let entries: Vec<_> = font.subset.numbered().collect();
    let mut map = String::with_capacity(400 + entries.len() * 16);
    map.push_str(
        "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n\
         /CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n",
    );
    // The numbers of a range must have the same first byte.
    let ranges: Vec<_> = entries.chunk_by(|one, other| one.0 >> 8 == other.0 >> 8).collect();
    for range in &ranges {
        let (Some((first, _)), Some((last, _))) = (range.first(), range.last()) else { continue };
        map.push_str("1 beginbfrange\n<");
        hexadecimal(*first, &mut map);
        map.push_str("> <");
        hexadecimal(*last, &mut map);
        map.push_str("> [");
        for (_, glyph) in *range {
            map.push('<');
            for character in glyph.characters() {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    hexadecimal(*unit, &mut map);
                }
            }
            map.push('>');
        }
        map.push_str("]\nendbfrange\n");
    }
    map.push_str("endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n");
    map
}

fn hexadecimal(value: u16, into: &mut String) {
    for shift in [12, 8, 4, 0] {
        into.push(char::from(b"0123456789ABCDEF"[usize::from(value >> shift & 0xF)]));
    }
}

/// Replaces a resource that [`print`](crate::print) reserved with its picture.
fn add_picture(
    document: &mut Document,
    page: ObjectId,
    name: &[u8],
    picture: &Picture,
) -> Result<(), PdfError> {
    let id = resources(document, page)
        .and_then(|resources| resources.get_deref(b"XObject", document))
        .and_then(Object::as_dict)
        .and_then(|objects| objects.get(name))
        .and_then(Object::as_reference)
        .map_err(|_| PdfError::Structure("picture"))?;
    let image = |space: &'static str| {
        dictionary! {
            "Type" => "XObject",
            "Subtype" => "Image",
            "Width" => i64::from(picture.width),
            "Height" => i64::from(picture.height),
            "ColorSpace" => space,
            "BitsPerComponent" => 8,
            "Filter" => "FlateDecode",
        }
    };
    let mut about = image(if picture.channels == 1 { "DeviceGray" } else { "DeviceRGB" });
    if let Some(alpha) = &picture.alpha {
        let mask = document.add_object(Stream::new(image("DeviceGray"), alpha.clone()));
        about.set("SMask", Object::Reference(mask));
    }
    document.set_object(id, Stream::new(about, picture.color.clone()));
    Ok(())
}

/// Adds all metadata, the structure, the output intent and the attachment.
fn add_metadata(document: &mut Document, structure: ObjectId, info: &Info) -> Result<(), PdfError> {
    let id = document
        .trailer
        .get(b"Info")
        .and_then(Object::as_reference)
        .map_err(|_| PdfError::Structure("information dictionary"))?;
    document.set_object(id, metadata::dictionary(info));
    // Not compressed, so that an archive can find it without a PDF parser.
    let packet = Stream::new(
        dictionary! { "Type" => "Metadata", "Subtype" => "XML" },
        metadata::xmp(info).into_bytes(),
    );
    let packet = document.add_object(packet);
    let profile =
        Stream::new(dictionary! { "N" => 3, "Filter" => "FlateDecode" }, srgb::compressed().to_vec());
    let profile = document.add_object(profile);
    let intent = dictionary! {
        "Type" => "OutputIntent",
        "S" => "GTS_PDFA1",
        "OutputConditionIdentifier" => Object::string_literal(srgb::NAME),
        "Info" => Object::string_literal(srgb::NAME),
        "DestOutputProfile" => Object::Reference(profile),
    };
    let attached = info.attachment.as_ref().map(|attachment| attach(document, attachment, info));
    let catalog = document.catalog_mut().map_err(|_| PdfError::Structure("catalog"))?;
    catalog.set("Lang", Object::string_literal("ja-JP"));
    catalog.set("MarkInfo", dictionary! { "Marked" => true });
    catalog.set("StructTreeRoot", Object::Reference(structure));
    catalog.set("Metadata", Object::Reference(packet));
    catalog.set("OutputIntents", Object::Array(vec![Object::Dictionary(intent)]));
    catalog.set("PageLayout", "SinglePage");
    catalog.set("ViewerPreferences", dictionary! { "DisplayDocTitle" => true });
    if let Some((name, file)) = attached {
        let names = dictionary! { "Names" => Object::Array(vec![name, Object::Reference(file)]) };
        catalog.set("Names", dictionary! { "EmbeddedFiles" => names });
        catalog.set("AF", Object::Array(vec![Object::Reference(file)]));
    }
    Ok(())
}

/// Adds an attachment, and returns its name and the id of its file specification.
fn attach(document: &mut Document, attachment: &Attachment, info: &Info) -> (Object, ObjectId) {
    let about = dictionary! {
        "Type" => "EmbeddedFile",
        "Subtype" => Object::Name(attachment.media_type.as_bytes().to_vec()),
        "Filter" => "FlateDecode",
        "Params" => dictionary! {
            "Size" => i64::try_from(attachment.content.len()).unwrap_or(i64::MAX),
            "ModDate" => Object::string_literal(metadata::pdf_date(info)),
        },
    };
    let content = document.add_object(Stream::new(about, deflate::fast(&attachment.content)));
    let name = || metadata::text_string(attachment.name);
    let file = document.add_object(dictionary! {
        "Type" => "Filespec",
        "F" => name(),
        "UF" => name(),
        "Desc" => metadata::text_string(attachment.description),
        "AFRelationship" => "Data",
        "EF" => dictionary! { "F" => Object::Reference(content), "UF" => Object::Reference(content) },
    });
    (name(), file)
}

fn compress(stream: &mut Stream) {
    if !stream.dict.has(b"Filter") && !stream.content.is_empty() {
        let compressed = deflate::fast(&stream.content);
        stream.set_content(compressed);
        stream.dict.set("Filter", "FlateDecode");
    }
}

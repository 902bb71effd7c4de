//! 6.2.3 to 6.2.10: colours, pictures, forms, graphics states, transparency.

use lopdf::{Dictionary, Object, Stream};

use crate::file::{File, decoded, dictionary};
use crate::report::Report;

/// Blend modes that PDF/A allows. Our documents use none.
const BLENDING: &str = "Normal Compatible Multiply Screen Overlay Darken Lighten ColorDodge ColorBurn HardLight SoftLight Difference \
                        Exclusion Hue Saturation Color Luminosity";

pub(crate) fn check(file: &File, report: &mut Report) {
    intents(file, report);
    for object in file.document.objects.values() {
        if let Object::Stream(stream) = object {
            match file.name(&stream.dict, "Subtype") {
                Some("Image") => image(file, stream, report),
                Some("Form") => form(&stream.dict, report),
                Some("PS") => report.add("6.2.9-3", "the file has a PostScript XObject"),
                _ => {}
            }
        }
    }
    for dictionary in file.dictionaries() {
        state(file, dictionary, report);
    }
}

fn intents(file: &File, report: &mut Report) {
    let intents = file.list(file.catalog(), "OutputIntents");
    let ours: Vec<&Dictionary> =
        intents.iter().filter_map(|intent| dictionary(file.resolve(intent)?)).collect();
    report.require(ours.len() == 1, "6.2.3", "the catalog does not have exactly one output intent");
    for intent in ours {
        let is_pdfa = file.name(intent, "S") == Some("GTS_PDFA1");
        report.require(is_pdfa, "6.2.3", "S of the output intent is not GTS_PDFA1");
        let is_identified = file.text(intent, "OutputConditionIdentifier").is_some();
        report.require(is_identified, "6.2.3", "the output intent has no OutputConditionIdentifier");
        let is_embedded = !intent.has(b"DestOutputProfileRef");
        report.require(is_embedded, "6.2.3-3", "the output intent refers to an external profile");
        let Some(stream) = file.stream(intent, "DestOutputProfile") else {
            report.add("6.2.4.3-2", "the output intent has no profile, but the file uses RGB");
            continue;
        };
        profile(file, stream, report);
    }
}

fn profile(file: &File, stream: &Stream, report: &mut Report) {
    let bytes = decoded(stream);
    let field = |at: usize| bytes.get(at..at + 4).unwrap_or_default();
    let word = |at: usize| field(at).try_into().map_or(0, u32::from_be_bytes) as usize;
    let kind = matches!(field(12), b"prtr" | b"mntr") && field(16) == b"RGB " && field(36) == b"acsp";
    report.require(kind, "6.2.3-1", "the colour profile is not an RGB profile of a display or printer");
    let known_version = bytes.get(8).is_some_and(|version| (2..5).contains(version));
    report.require(known_version, "6.2.3-1", "the version of the colour profile is not 2 to 4");
    let is_whole = word(0) == bytes.len();
    report.require(is_whole, "6.2.3-1", "the length in the colour profile differs from its length");
    report.require(file.integer(&stream.dict, "N") == Some(3), "6.2.3-1", "N of the colour profile is not 3");
    let tags: Vec<&[u8]> = (0..word(128).min(100)).map(|tag| field(132 + 12 * tag)).collect();
    let needed: [&[u8]; 9] =
        [b"desc", b"cprt", b"wtpt", b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC"];
    let has_all = needed.iter().all(|tag| tags.contains(tag));
    report.require(has_all, "6.2.3-1", "the colour profile lacks a required tag");
    let within =
        (0..tags.len()).all(|tag| word(132 + 12 * tag + 4) + word(132 + 12 * tag + 8) <= bytes.len());
    report.require(within, "6.2.3-1", "a tag of the colour profile reaches beyond its end");
}

fn image(file: &File, stream: &Stream, report: &mut Report) {
    let about = &stream.dict;
    report.require(!about.has(b"Alternates"), "6.2.8-1", "a picture has Alternates");
    report.require(!about.has(b"OPI"), "6.2.8-2", "a picture has OPI");
    let smoothed =
        file.value(about, "Interpolate").is_some_and(|value| !matches!(value, Object::Boolean(false)));
    report.require(!smoothed, "6.2.8-3", "a picture is interpolated");
    let eight_bits = file.integer(about, "BitsPerComponent") == Some(8);
    report.require(eight_bits, "6.2.8-4", "a picture does not have 8 bits per component");
    let channels = match file.name(about, "ColorSpace") {
        Some("DeviceRGB") => 3,
        Some("DeviceGray") => 1,
        _ => return report.add("6.2.4.3-3", "the colour space of a picture is not grey or RGB"),
    };
    let size = [file.integer(about, "Width"), file.integer(about, "Height")]
        .map(|length| length.and_then(|length| usize::try_from(length).ok()));
    let [Some(width), Some(height)] = size else {
        return report.add("8.9.5", "a picture has no Width or Height");
    };
    // lopdf reverses predictors.
    let is_complete = decoded(stream).len() == width * height * channels;
    report.require(is_complete, "8.9.5", "the number of pixels differs from Width and Height of a picture");
    let Some(mask) = file.stream(about, "SMask") else { return };
    let grey = file.name(&mask.dict, "ColorSpace") == Some("DeviceGray")
        && !mask.dict.has(b"SMask")
        && !mask.dict.has(b"Mask");
    let is_grey = grey && !about.has(b"Mask");
    report.require(is_grey, "11.6.5.3", "the soft mask of a picture is not a grey picture");
}

fn form(about: &Dictionary, report: &mut Report) {
    let foreign = about.has(b"OPI") || about.has(b"PS") || about.has(b"Subtype2");
    report.require(!foreign, "6.2.9-1", "a form has OPI or PostScript");
    report.require(!about.has(b"Ref"), "6.2.9-2", "a form refers to another file");
    report.require(about.has(b"BBox"), "8.10.2", "a form has no BBox");
}

/// Blend modes are checked anywhere: `Type` is optional in a graphics state.
fn state(file: &File, about: &Dictionary, report: &mut Report) {
    if about.has_type(b"ExtGState") {
        report.require(!about.has(b"TR"), "6.2.5-1", "a graphics state has a transfer function");
        let usual = file.name(about, "TR2").is_none_or(|name| name == "Default");
        report.require(usual, "6.2.5-2", "a graphics state has a transfer function");
        report.require(!about.has(b"HTP") && !about.has(b"HT"), "6.2.5-3", "a graphics state has a halftone");
    }
    let modes = file.list(about, "BM");
    let known = modes.iter().all(|mode| {
        mode.as_name().is_ok_and(|mode| BLENDING.split_whitespace().any(|known| known.as_bytes() == mode))
    });
    report.require(known, "6.2.10-1", "a blend mode is unknown");
}

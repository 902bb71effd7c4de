//! 6.2.3 to 6.2.10: colours, pictures, forms, graphics states, transparency.

use lopdf::{Dictionary, Object, Stream};

use super::{File, Report, dictionary, plain};

/// Blend modes that a conforming file may name. Ours name none.
const BLENDING: &str = "Normal Compatible Multiply Screen Overlay Darken Lighten ColorDodge ColorBurn HardLight SoftLight Difference \
                        Exclusion Hue Saturation Color Luminosity";

pub(super) fn check(file: &File, report: &mut Report) {
    intents(file, report);
    for object in file.document.objects.values() {
        if let Object::Stream(stream) = object {
            match file.name(&stream.dict, "Subtype") {
                Some("Image") => image(file, stream, report),
                Some("Form") => form(&stream.dict, report),
                Some("PS") => report.tell("6.2.9-3", "PostScript stands in the file"),
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
        intents.iter().filter_map(|intent| dictionary(file.follow(intent)?)).collect();
    report.expect(ours.len() == 1, "6.2.3", "there is not exactly one output intent");
    for intent in ours {
        report.expect(
            file.name(intent, "S") == Some("GTS_PDFA1"),
            "6.2.3",
            "the output intent is not one of PDF/A",
        );
        report.expect(
            file.text(intent, "OutputConditionIdentifier").is_some(),
            "6.2.3",
            "the output intent does not name its condition",
        );
        report.expect(
            !intent.has(b"DestOutputProfileRef"),
            "6.2.3-3",
            "the output intent points out of the file",
        );
        let Some(stream) = file.stream(intent, "DestOutputProfile") else {
            report.tell("6.2.4.3-2", "RGB is used and no profile says what it means");
            continue;
        };
        profile(file, stream, report);
    }
}

fn profile(file: &File, stream: &Stream, report: &mut Report) {
    let bytes = plain(stream);
    let field = |at: usize| bytes.get(at..at + 4).unwrap_or_default();
    let word = |at: usize| field(at).try_into().map_or(0, u32::from_be_bytes) as usize;
    let kind = matches!(field(12), b"prtr" | b"mntr") && field(16) == b"RGB " && field(36) == b"acsp";
    report.expect(kind, "6.2.3-1", "the colour profile is not one of a screen or printer in RGB");
    report.expect(
        bytes.get(8).is_some_and(|version| (2..5).contains(version)),
        "6.2.3-1",
        "the colour profile has a version from 5",
    );
    report.expect(word(0) == bytes.len(), "6.2.3-1", "the colour profile is not as long as it says");
    report.expect(
        file.integer(&stream.dict, "N") == Some(3),
        "6.2.3-1",
        "the colour profile does not say that it has three colours",
    );
    let tags: Vec<&[u8]> = (0..word(128).min(100)).map(|tag| field(132 + 12 * tag)).collect();
    let needed: [&[u8]; 9] =
        [b"desc", b"cprt", b"wtpt", b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC"];
    report.expect(
        needed.iter().all(|tag| tags.contains(tag)),
        "6.2.3-1",
        "the colour profile lacks a part it must have",
    );
    let within =
        (0..tags.len()).all(|tag| word(132 + 12 * tag + 4) + word(132 + 12 * tag + 8) <= bytes.len());
    report.expect(within, "6.2.3-1", "a part of the colour profile lies behind its end");
}

fn image(file: &File, stream: &Stream, report: &mut Report) {
    let about = &stream.dict;
    report.expect(!about.has(b"Alternates"), "6.2.8-1", "a picture has alternates");
    report.expect(!about.has(b"OPI"), "6.2.8-2", "a picture refers to another one");
    let smoothed =
        file.value(about, "Interpolate").is_some_and(|value| !matches!(value, Object::Boolean(false)));
    report.expect(!smoothed, "6.2.8-3", "a picture is interpolated");
    report.expect(
        file.integer(about, "BitsPerComponent") == Some(8),
        "6.2.8-4",
        "a picture does not have 8 bits a colour",
    );
    let channels = match file.name(about, "ColorSpace") {
        Some("DeviceRGB") => 3,
        Some("DeviceGray") => 1,
        _ => return report.tell("6.2.4.3-3", "a picture's colours are not grey or RGB"),
    };
    let size = [file.integer(about, "Width"), file.integer(about, "Height")]
        .map(|length| length.and_then(|length| usize::try_from(length).ok()));
    let [Some(width), Some(height)] = size else {
        return report.tell("8.9.5", "a picture does not say how large it is");
    };
    // lopdf undoes predictors.
    report.expect(
        plain(stream).len() == width * height * channels,
        "8.9.5",
        "a picture has not as many pixels as it says",
    );
    let Some(mask) = file.stream(about, "SMask") else { return };
    let grey = file.name(&mask.dict, "ColorSpace") == Some("DeviceGray")
        && !mask.dict.has(b"SMask")
        && !mask.dict.has(b"Mask");
    report.expect(
        grey && !about.has(b"Mask"),
        "11.6.5.3",
        "the opacity of a picture is not a plain grey picture",
    );
}

fn form(about: &Dictionary, report: &mut Report) {
    let foreign = about.has(b"OPI") || about.has(b"PS") || about.has(b"Subtype2");
    report.expect(!foreign, "6.2.9-1", "a form refers to another one or holds PostScript");
    report.expect(!about.has(b"Ref"), "6.2.9-2", "a form refers to another file");
    report.expect(about.has(b"BBox"), "8.10.2", "a form does not say how large it is");
}

/// What graphics states may not say. They are known by their keys: a state need not say what it is.
fn state(file: &File, about: &Dictionary, report: &mut Report) {
    if about.has_type(b"ExtGState") {
        report.expect(!about.has(b"TR"), "6.2.5-1", "a graphics state has a transfer function");
        let usual = file.name(about, "TR2").is_none_or(|name| name == "Default");
        report.expect(usual, "6.2.5-2", "a graphics state has a transfer function");
        report.expect(!about.has(b"HTP") && !about.has(b"HT"), "6.2.5-3", "a graphics state has a halftone");
    }
    let modes = file.list(about, "BM");
    let known = modes.iter().all(|mode| {
        mode.as_name().is_ok_and(|mode| BLENDING.split_whitespace().any(|known| known.as_bytes() == mode))
    });
    report.expect(known, "6.2.10-1", "a blend mode is unknown");
}

//! 6.3 to 6.5 and 6.9 to 6.11: nothing in a document does anything.

use lopdf::Object;

use super::{File, Report};

/// What neither the catalog nor a page of ours says.
const ABSENT: [(&str, &str); 14] = [
    ("AA", "6.5.2-1"),
    ("OpenAction", "6.5.1-1"),
    ("A", "6.5.1-1"),
    ("AcroForm", "6.4.1-3"),
    ("NeedsRendering", "6.4.2-2"),
    ("OCProperties", "6.9-1"),
    ("Requirements", "6.11-1"),
    ("Perms", "6.1.12-1"),
    ("Collection", "6.8"),
    ("Annots", "6.3.1-1"),
    ("PresSteps", "6.10-2"),
    ("URI", "6.5.1-1"),
    ("Dests", "6.5.1-1"),
    ("Outlines", "12.3.3"),
];

pub(super) fn check(file: &File, report: &mut Report) {
    for about in file.pages().into_iter().chain([file.catalog()]) {
        for (key, clause) in ABSENT {
            report.expect(
                !about.has(key.as_bytes()),
                clause,
                &format!("the file has {key}, which our documents need not"),
            );
        }
    }
    if let Some(names) = file.dictionary(file.catalog(), "Names") {
        report.expect(!names.has(b"AlternatePresentations"), "6.10-1", "there are alternate presentations");
        report.expect(!names.has(b"JavaScript"), "6.5.1-1", "there is a program in the file");
        let known = names.iter().all(|(name, _)| name == b"EmbeddedFiles");
        report.expect(known, "7.7.4", "the file names something else than attachments");
    }
    for dictionary in file.dictionaries() {
        let action = dictionary.has_type(b"Action") || dictionary.has(b"JS");
        report.expect(!action, "6.5.1-1", "there is an action");
        let annotation = dictionary.has_type(b"Annot") || (dictionary.has(b"Rect") && dictionary.has(b"AP"));
        report.expect(!annotation, "6.3.1-1", "there is an annotation");
        let kind = dictionary.get(b"FT").and_then(Object::as_name).ok();
        report.expect(kind.is_none(), "6.4.1-1", "there is a field of a form");
    }
}

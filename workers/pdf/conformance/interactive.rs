//! 6.3 to 6.5 and 6.9 to 6.11: a document has no interactive parts.

use lopdf::Object;

use crate::file::File;
use crate::report::Report;

/// Keys that neither the catalog nor a page may have.
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

pub(crate) fn check(file: &File, report: &mut Report) {
    for about in file.pages().into_iter().chain([file.catalog()]) {
        for (key, clause) in ABSENT {
            report.require(
                !about.has(key.as_bytes()),
                clause,
                &format!("the file has {key}, which our documents do not need"),
            );
        }
    }
    if let Some(names) = file.dictionary(file.catalog(), "Names") {
        let without_alternates = !names.has(b"AlternatePresentations");
        report.require(without_alternates, "6.10-1", "the file has alternate presentations");
        report.require(!names.has(b"JavaScript"), "6.5.1-1", "the file has JavaScript");
        let known = names.iter().all(|(name, _)| name == b"EmbeddedFiles");
        report.require(known, "7.7.4", "Names has another entry than EmbeddedFiles");
    }
    for dictionary in file.dictionaries() {
        let action = dictionary.has_type(b"Action") || dictionary.has(b"JS");
        report.require(!action, "6.5.1-1", "the file has an action");
        let annotation = dictionary.has_type(b"Annot") || (dictionary.has(b"Rect") && dictionary.has(b"AP"));
        report.require(!annotation, "6.3.1-1", "the file has an annotation");
        let kind = dictionary.get(b"FT").and_then(Object::as_name).ok();
        report.require(kind.is_none(), "6.4.1-1", "the file has a form field");
    }
}

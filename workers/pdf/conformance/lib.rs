//! Checks whether a file is the PDF/A-2a, or PDF/A-3a, that it claims to be.
//!
//! A file with an attachment claims to be PDF/A-3a. The crate reads finished files without help from the code
//! that wrote them: bytes first, then objects. A finding names the broken clause of ISO 19005-2 (part 3
//! differs in 6.8 alone), or of ISO 32000-1, on which it is based. If a clause holds several rules, the
//! number after the hyphen is the one that validators commonly use. `docs/pdfa.md` lists every checked
//! clause, and what no program can check.
//!
//! The check is stricter than the standard where our documents need less than it allows: no annotations,
//! actions, forms, optional content or inline images, and no colours but grey and RGB. A valid PDF/A from
//! another program may fail.
//!
//! Rejected: the crate `pdfv-core` 0.1. It contains the profiles of veraPDF, but evaluates about a tenth of
//! the rules of level A, rejects the line feed after `stream`, and does not find the identification in our
//! metadata. Its list of rules served as the checklist for this crate.

mod attachments;
mod clauses;
mod content;
mod file;
mod fonts;
mod graphics;
mod interactive;
mod metadata;
mod report;
mod structure;
mod syntax;
mod tokens;

use lopdf::Document;

pub use clauses::clauses;
use file::File;
pub use file::{decoded, dictionary};
pub use report::Finding;
use report::Report;

/// The clauses of its PDF/A part and level that a file breaks.
pub fn findings(bytes: &[u8]) -> Vec<Finding> {
    let mut report = Report::default();
    match Document::load_mem(bytes) {
        Err(error) => report.add("6.1.1", format!("the file cannot be parsed: {error}")),
        Ok(document) => {
            let file = File { bytes, document };
            let content = content::check(&file, &mut report);
            syntax::check(&file, &mut report);
            fonts::check(&file, &content, &mut report);
            graphics::check(&file, &mut report);
            interactive::check(&file, &mut report);
            let claim = metadata::check(&file, &mut report);
            structure::check(&file, &content, &mut report);
            attachments::check(&file, &claim, &mut report);
        }
    }
    report.0
}

/// # Panics
///
/// With all findings, if there are any.
#[track_caller]
pub fn assert_clean(name: &str, bytes: &[u8]) {
    let findings: Vec<String> = findings(bytes).iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{name} is not PDF/A:\n{}", findings.join("\n"));
}

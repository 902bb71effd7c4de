//! Whether a file is what it says it is: PDF/A-2a or, with an attachment, PDF/A-3a.
//!
//! Reads finished files as a stranger would, bytes first, then objects, and says what breaks which clause of ISO 19005-2
//! (part 3 differs in 6.8 alone) or of ISO 32000-1, which it builds upon. Findings are named by their clause, and where a
//! clause holds several rules by the number that validators commonly give them. `docs/pdfa.md` lists what is checked where, and
//! what no program can check.
//!
//! It is stricter than the standard where our own documents need less than it allows: no annotations, no actions, no forms,
//! no optional content, no inline images, no colours but grey and RGB. A file of somebody else's may be PDF/A and be refused here.
//!
//! Rejected: crate `pdfv-core` 0.1 as judge. It carries the profiles of veraPDF, but of the rules of level A it can evaluate about a
//! tenth, takes the line feed behind `stream` for a fault and does not find the identification in our metadata. The list of rules
//! it carries was the checklist here.

mod attachments;
mod content;
mod fonts;
mod graphics;
mod interactive;
mod metadata;
mod structure;
mod syntax;
mod tokens;

use std::{collections::BTreeSet, fmt};

use lopdf::{Dictionary, Document, Object, Stream};

/// What breaks a clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The clause, such as `6.1.3-1`.
    pub clause: &'static str,
    /// What is wrong.
    pub told: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.clause, self.told)
    }
}

/// Everything that keeps a file from being PDF/A of the part and level that it claims.
pub fn findings(bytes: &[u8]) -> Vec<Finding> {
    let mut report = Report::default();
    match Document::load_mem(bytes) {
        Err(error) => report.tell("6.1.1", format!("the file cannot be read: {error}")),
        Ok(document) => {
            let file = File { bytes, document };
            let shown = content::check(&file, &mut report);
            syntax::check(&file, &mut report);
            fonts::check(&file, &shown, &mut report);
            graphics::check(&file, &mut report);
            interactive::check(&file, &mut report);
            let claim = metadata::check(&file, &mut report);
            structure::check(&file, &shown, &mut report);
            attachments::check(&file, &claim, &mut report);
        }
    }
    report.0
}

/// Panics with all findings unless there are none.
#[track_caller]
pub fn assert_clean(name: &str, bytes: &[u8]) {
    let findings = findings(bytes);
    let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{name} is no PDF/A:\n{}", told.join("\n"));
}

/// Findings so far.
#[derive(Default)]
struct Report(Vec<Finding>);

impl Report {
    fn tell(&mut self, clause: &'static str, told: impl Into<String>) {
        self.0.push(Finding { clause, told: told.into() });
    }

    fn expect(&mut self, holds: bool, clause: &'static str, told: &str) {
        if !holds {
            self.tell(clause, told);
        }
    }
}

/// A file as bytes and as objects.
struct File<'a> {
    bytes: &'a [u8],
    document: Document,
}

/// The dictionary of a dictionary or stream.
pub fn dictionary(object: &Object) -> Option<&Dictionary> {
    match object {
        Object::Dictionary(dictionary) => Some(dictionary),
        Object::Stream(stream) => Some(&stream.dict),
        _ => None,
    }
}

/// The decompressed content of a stream.
pub fn plain(stream: &Stream) -> Vec<u8> {
    if stream.dict.has(b"Filter") {
        stream.decompressed_content().unwrap_or_default()
    } else {
        stream.content.clone()
    }
}

impl File<'_> {
    /// The object behind references.
    fn follow<'f>(&'f self, object: &'f Object) -> Option<&'f Object> {
        self.document.dereference(object).ok().map(|(_, object)| object).filter(|object| !object.is_null())
    }

    /// A value, behind references.
    fn value<'f>(&'f self, dictionary: &'f Dictionary, key: &str) -> Option<&'f Object> {
        self.follow(dictionary.get(key.as_bytes()).ok()?)
    }

    fn dictionary<'f>(&'f self, within: &'f Dictionary, key: &str) -> Option<&'f Dictionary> {
        dictionary(self.value(within, key)?)
    }

    fn stream<'f>(&'f self, within: &'f Dictionary, key: &str) -> Option<&'f Stream> {
        self.value(within, key)?.as_stream().ok()
    }

    fn name<'f>(&'f self, within: &'f Dictionary, key: &str) -> Option<&'f str> {
        std::str::from_utf8(self.value(within, key)?.as_name().ok()?).ok()
    }

    fn integer(&self, within: &Dictionary, key: &str) -> Option<i64> {
        self.value(within, key)?.as_i64().ok()
    }

    /// An array; a single value counts as an array of one.
    fn list<'f>(&'f self, within: &'f Dictionary, key: &str) -> Vec<&'f Object> {
        match self.value(within, key) {
            Some(Object::Array(array)) => array.iter().collect(),
            Some(one) => vec![one],
            None => Vec::new(),
        }
    }

    /// A text string.
    fn text(&self, within: &Dictionary, key: &str) -> Option<String> {
        let bytes = self.value(within, key)?.as_str().ok()?;
        match bytes.strip_prefix(&[0xFE, 0xFF]) {
            None => String::from_utf8(bytes.to_vec()).ok(),
            Some(units) => {
                let units: Vec<u16> = units
                    .chunks(2)
                    .map(|pair| u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]))
                    .collect();
                String::from_utf16(&units).ok()
            }
        }
    }

    fn catalog(&self) -> &Dictionary {
        static NOTHING: std::sync::LazyLock<Dictionary> = std::sync::LazyLock::new(Dictionary::new);
        self.document.catalog().unwrap_or(&NOTHING)
    }

    fn pages(&self) -> Vec<&Dictionary> {
        self.document.page_iter().filter_map(|id| self.document.get_dictionary(id).ok()).collect()
    }

    /// Every dictionary of the file, however deep, those of streams included.
    fn dictionaries(&self) -> Vec<&Dictionary> {
        let mut found = Vec::new();
        let mut waiting: Vec<&Object> = self.document.objects.values().collect();
        while let Some(object) = waiting.pop() {
            if let Object::Array(array) = object {
                waiting.extend(array);
            }
            if let Some(dictionary) = dictionary(object) {
                waiting.extend(dictionary.iter().map(|(_, value)| value));
                found.push(dictionary);
            }
        }
        found
    }
}

/// The clauses that the checks name.
pub fn clauses() -> BTreeSet<&'static str> {
    let checks = [
        include_str!("lib.rs"),
        include_str!("attachments.rs"),
        include_str!("content.rs"),
        include_str!("fonts.rs"),
        include_str!("graphics.rs"),
        include_str!("interactive.rs"),
        include_str!("metadata.rs"),
        include_str!("structure.rs"),
        include_str!("syntax.rs"),
    ];
    let texts = checks.iter().flat_map(|check| check.split('"').skip(1).step_by(2));
    let is_clause = |text: &&str| {
        let (clause, rule) = text.split_once('-').unwrap_or((text, "1"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        clause.split('.').count() > 1 && clause.split('.').all(is_number) && is_number(rule)
    };
    texts.filter(is_clause).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_every_clause_that_is_checked() {
        let told = include_str!("../../../docs/pdfa.md");
        let words: BTreeSet<&str> =
            told.split(|letter: char| !letter.is_ascii_digit() && letter != '.' && letter != '-').collect();
        let untold: Vec<_> = clauses().into_iter().filter(|clause| !words.contains(clause)).collect();
        assert!(untold.is_empty(), "docs/pdfa.md does not tell of {untold:?}");
    }
}

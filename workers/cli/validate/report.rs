//! Tells what was found, portion by portion, in one of three forms.
//!
//! The JSON document is written as it grows, because the applications of a year do not all need to be held for it; its framing is
//! here, its values are serialised. The names of its fields are promised in the help of the command.

use std::{fmt::Write as _, sync::Arc};

use hosho_schema::messages::{CalculationV1, RejectedLineV1, ViolationV1};
use rayon::prelude::*;
use serde::Serialize;

use super::{
    super::{
        Error, harmless_json,
        input::{Piece, Position},
        is_obeyed, print, printable,
    },
    Format,
    history::{Decided, Place, as_text},
    places::Places,
    words::{Language, Words},
};

/// Whether an application would be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Accepted,
    Rejected,
}

/// An application and what is told of it.
#[derive(Serialize)]
pub(super) struct Checked {
    #[serde(serialize_with = "as_text")]
    pub(super) file: Arc<str>,
    pub(super) line: usize,
    pub(super) source: Option<String>,
    pub(super) id: Option<String>,
    pub(super) verdict: Verdict,
    pub(super) repeats: Option<Place>,
    pub(super) stored: bool,
    products: Vec<RejectedLineV1>,
    pub(super) violations: Vec<Placed>,
    pub(super) calculations: Vec<CalculationV1>,
}

/// A broken rule and the place of the value in the file.
#[derive(Serialize)]
pub(super) struct Placed {
    #[serde(flatten)]
    pub(super) violation: ViolationV1,
    line: usize,
    column: usize,
}

/// A file that could not be read.
#[derive(Serialize)]
pub(super) struct Unreadable {
    pub(super) file: String,
    pub(super) problem: String,
}

/// How many there were.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Summary {
    applications: usize,
    accepted: usize,
    rejected: usize,
    repeated: usize,
    stored: usize,
    unreadable: usize,
}

impl Checked {
    /// Finds the place of each violation. `payload` is the bytes of the piece.
    pub(super) fn new(file: &Arc<str>, piece: &Piece, payload: &[u8], decided: Decided) -> Self {
        let Decided { about, violations, calculations, repeats, stored, broken_at } = decided;
        let verdict = if violations.is_empty() { Verdict::Accepted } else { Verdict::Rejected };
        let ranges =
            if violations.is_empty() || broken_at.is_some() { None } else { Some(Places::of(payload)) };
        let placed = |violation: ViolationV1| {
            let offset =
                broken_at.or_else(|| Some(ranges.as_ref()?.offset(&violation.path))).unwrap_or_default();
            let Position { line, column } = piece.at.after(&payload[..offset]);
            Placed { violation, line, column }
        };
        let (source, id) = about.identity.unzip();
        Self {
            file: Arc::clone(file),
            line: piece.at.line,
            source,
            id,
            verdict,
            repeats,
            stored,
            products: about.products,
            violations: violations.into_iter().map(placed).collect(),
            calculations,
        }
    }

    /// One line per violation, as compilers write them.
    fn lines(&self, language: Language) -> String {
        let mut text = String::new();
        for Placed { violation, line, column } in &self.violations {
            let message = printable(&language.message(violation));
            let (file, path) = (printable(&self.file), printable(&violation.path));
            let _ = writeln!(
                text,
                "{file}:{line}:{column}: error: {message} [{}] {path}",
                printable(&violation.code)
            );
        }
        text
    }

    fn json(&self) -> Result<String, Error> {
        let text = serde_json::to_string_pretty(self).map_err(Error::unavailable)?;
        let text = if text.chars().any(|character| character != '\n' && is_obeyed(character)) {
            harmless_json(&text)
        } else {
            text
        };
        Ok(text.replace('\n', "\n    "))
    }
}

/// The answer as it grows.
pub(super) struct Report {
    format: Format,
    words: Words,
    summary: Summary,
    unreadable: Vec<Unreadable>,
    /// The last application of the document, of which it is not known yet whether another follows.
    last: Option<String>,
}

impl Report {
    pub(super) fn new(format: Format, language: Language, verbose: bool) -> Self {
        let words = Words::new(language, verbose);
        Self { format, words, summary: Summary::default(), unreadable: Vec::new(), last: None }
    }

    pub(super) fn summary(&self) -> Summary {
        self.summary
    }

    /// Begins; nothing may fail for want of something between this and the first application.
    pub(super) fn begin(&self) {
        if self.format == Format::Json {
            print("{\n  \"applications\": [");
        }
    }

    /// Tells the next applications.
    pub(super) fn add(&mut self, checked: &[Checked]) -> Result<(), Error> {
        for checked in checked {
            self.summary.count(checked);
        }
        match self.format {
            Format::Table => {
                tell(&checked.par_iter().map(|checked| self.words.block(checked)).collect::<Vec<_>>())
            }
            Format::Lines => tell(
                &checked.par_iter().map(|checked| checked.lines(self.words.language())).collect::<Vec<_>>(),
            ),
            Format::Json => {
                let texts: Vec<String> = checked.par_iter().map(Checked::json).collect::<Result<_, _>>()?;
                let mut texts: Vec<String> = self.last.take().into_iter().chain(texts).collect();
                self.last = texts.pop();
                if !texts.is_empty() {
                    print(format!("    {},", texts.join(",\n    ")));
                }
            }
        }
        Ok(())
    }

    /// Tells of a file that could not be read.
    pub(super) fn unreadable(&mut self, file: Unreadable) {
        self.summary.unreadable += 1;
        self.unreadable.push(file);
    }

    /// Ends the answer.
    pub(super) fn end(&self) -> Result<(), Error> {
        match self.format {
            Format::Lines => {}
            Format::Table => print(self.words.paragraph(&self.summary.line())),
            Format::Json => {
                if let Some(last) = &self.last {
                    print(format!("    {last}"));
                }
                let indented = |value: Result<String, serde_json::Error>| {
                    Ok::<_, Error>(harmless_json(&value.map_err(Error::unavailable)?).replace('\n', "\n  "))
                };
                let unreadable = indented(serde_json::to_string_pretty(&self.unreadable))?;
                let summary = indented(serde_json::to_string_pretty(&self.summary))?;
                print(format!("  ],\n  \"unreadable\": {unreadable},\n  \"summary\": {summary}\n}}"));
            }
        }
        Ok(())
    }
}

/// Prints texts of whole lines.
fn tell(texts: &[String]) {
    if let Some(text) = texts.concat().strip_suffix('\n') {
        print(text);
    }
}

impl Summary {
    fn count(&mut self, checked: &Checked) {
        self.applications += 1;
        match checked.verdict {
            Verdict::Accepted => self.accepted += 1,
            Verdict::Rejected => self.rejected += 1,
        }
        self.repeated += usize::from(checked.repeats.is_some());
        self.stored += usize::from(checked.stored);
    }

    /// 0 where all is accepted, 1 where something is rejected, 4 where a file could not be read, whatever is in the others.
    pub(super) fn exit_code(self) -> u8 {
        match (self.unreadable, self.rejected) {
            (0, 0) => 0,
            (0, _) => 1,
            _ => 4,
        }
    }

    fn line(self) -> String {
        let noun = if self.applications == 1 { "application" } else { "applications" };
        let mut line =
            format!("{} {noun}: {} accepted, {} rejected", self.applications, self.accepted, self.rejected);
        for (count, what) in [(self.repeated, "repeated"), (self.stored, "known to the database")] {
            if count > 0 {
                let _ = write!(line, "; {count} {what}");
            }
        }
        if self.unreadable > 0 {
            let _ = write!(
                line,
                "; {} cannot be read",
                if self.unreadable == 1 { "a file".to_owned() } else { format!("{} files", self.unreadable) }
            );
        }
        line
    }
}

//! Prints the answer of `hosho validate` portion by portion, in three formats.
//!
//! The JSON document is written as it grows, because a file may hold the applications of a year. Its framing
//! is written here, its values are serialised. The help of the command documents the names of its fields.

use hosho_schema::messages::ProductV1;
use rayon::prelude::*;
use serde::Serialize;

use super::{
    super::{Error, harmless_json, print, printable, wrap},
    Format,
    text::{Language, TextFormat},
};
use crate::operations::check::{Checked, Placed, Summary, Unreadable};

pub(super) struct Report {
    format: Format,
    text: TextFormat,
    pub(super) summary: Summary,
    unreadable: Vec<Unreadable>,
    /// The last application so far: the comma depends on whether another follows.
    last: Option<String>,
    /// Whether an application requests an interim advance payment.
    pub(super) has_interim: bool,
}

impl Report {
    pub(super) fn new(format: Format, language: Language, verbose: bool) -> Self {
        let text = TextFormat { language, verbose, width: usize::from(wrap::columns()) };
        let summary = Summary::default();
        Self { format, text, summary, unreadable: Vec::new(), last: None, has_interim: false }
    }

    /// Begins the answer. From here on every error must be an entry of the answer.
    pub(super) fn begin(&self) {
        if self.format == Format::Json {
            print("{\n  \"applications\": [");
        }
    }

    pub(super) fn add(&mut self, checked: &[Checked]) -> Result<(), Error> {
        for checked in checked {
            self.summary.count(checked);
            self.has_interim |=
                checked.products.iter().any(|line| line.product == ProductV1::InterimAdvancePayment);
        }
        match self.format {
            Format::Table => {
                print_lines(&checked.par_iter().map(|checked| self.text.block(checked)).collect::<Vec<_>>());
            }
            Format::Lines => print_lines(
                &checked.par_iter().map(|checked| lines(checked, self.text.language)).collect::<Vec<_>>(),
            ),
            Format::Json => {
                let texts: Vec<String> =
                    checked.par_iter().map(|checked| json(checked, "    ")).collect::<Result<_, _>>()?;
                let mut texts: Vec<String> = self.last.take().into_iter().chain(texts).collect();
                self.last = texts.pop();
                if !texts.is_empty() {
                    print(format!("    {},", texts.join(",\n    ")));
                }
            }
        }
        Ok(())
    }

    pub(super) fn unreadable(&mut self, file: Unreadable) {
        self.summary.unreadable += 1;
        self.unreadable.push(file);
    }

    pub(super) fn end(&self) -> Result<(), Error> {
        match self.format {
            Format::Lines => {}
            Format::Table => print(self.text.paragraph(&self.summary.line())),
            Format::Json => {
                if let Some(last) = &self.last {
                    print(format!("    {last}"));
                }
                let (unreadable, summary) = (json(&self.unreadable, "  ")?, json(&self.summary, "  ")?);
                print(format!("  ],\n  \"unreadable\": {unreadable},\n  \"summary\": {summary}\n}}"));
            }
        }
        Ok(())
    }
}

fn print_lines(texts: &[String]) {
    if let Some(text) = texts.concat().strip_suffix('\n') {
        print(text);
    }
}

/// One line per violation, as compilers write them.
fn lines(checked: &Checked, language: Language) -> String {
    let mut text = String::new();
    for Placed { violation, line, column } in &checked.violations {
        let (message, code, path) = (language.message(violation), &violation.code, &violation.path);
        let problem = format!("{}:{line}:{column}: error: {message} [{code}] {path}", checked.file);
        text += &(printable(&problem) + "\n");
    }
    text
}

/// A value as JSON, indented.
fn json(value: &impl Serialize, indent: &str) -> Result<String, Error> {
    let text = serde_json::to_string_pretty(value).map_err(Error::unavailable)?;
    Ok(harmless_json(&text).replace('\n', &format!("\n{indent}")))
}

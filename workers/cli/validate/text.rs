//! The text of `hosho validate`: a block per application, wrapped to the terminal.
//!
//! Rejected: comfy-table. It breaks between any two wide characters, and a message in a column is a narrow
//! tower.

use std::borrow::Cow;

use hosho_schema::messages::{BoundV1, CalculationV1, ViolationV1};

use super::super::{name_of, printable, wrap};
use crate::{
    domain::{bilingual::BilingualText, violation::Code},
    operations::{
        check::{Checked, Verdict},
        input,
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Language {
    /// Japanese
    Ja,
    /// English
    En,
}

impl Language {
    /// The Japanese text of a syntax error lacks the detail: both are given then.
    pub(super) fn message(self, violation: &ViolationV1) -> Cow<'_, str> {
        let technical = violation.code == Code::MessageNotJson.as_str();
        match self {
            Self::En => violation.message_en.as_str().into(),
            Self::Ja if technical => format!("{}（{}）", violation.message_ja, violation.message_en).into(),
            Self::Ja => violation.message_ja.as_str().into(),
        }
    }

    fn text(self, value: &impl BilingualText) -> String {
        match self {
            Self::Ja => value.ja(),
            Self::En => value.en(),
        }
    }

    /// The calculation of an amount rule, so that the reader can repeat it.
    fn calculation(self, calculation: &CalculationV1) -> String {
        let CalculationV1 { kept, bound, percentage, .. } = calculation;
        let [amount, limit, base_amount] =
            [calculation.amount, calculation.limit, calculation.base_amount].map(|yen| self.text(&yen));
        let base = self.text(&calculation.base);
        let (ratio, unit) = (
            calculation.ratio.map(|ratio| self.text(&ratio)),
            calculation.rounding_unit.map(|unit| self.text(&unit)),
        );
        let what = self.amount_name(calculation);
        match self {
            Self::Ja => {
                let rule = match (ratio, unit) {
                    (Some(ratio), Some(unit)) => {
                        format!("{base}{base_amount}の{ratio}（{unit}未満切捨て）＝{limit}")
                    }
                    (Some(ratio), None) => format!("{base}{base_amount}の{ratio}＝{limit}"),
                    (None, _) => limit,
                };
                let bound = if *bound == BoundV1::AtMost { "以下" } else { "以上" };
                let verdict = if *kept { "適合" } else { "不適合" };
                format!("計算: {rule}{bound}に対し、{what}{amount}（{base}の{percentage}%）: {verdict}")
            }
            Self::En => {
                let rule = match (ratio, unit) {
                    (Some(ratio), Some(unit)) => {
                        format!("{ratio} of the {base} of {base_amount}, rounded down to {unit} = {limit}")
                    }
                    (Some(ratio), None) => format!("{ratio} of the {base} of {base_amount} = {limit}"),
                    (None, _) => limit,
                };
                let bound = if *bound == BoundV1::AtMost { "at most" } else { "at least" };
                let verdict = if *kept { "kept" } else { "broken" };
                format!(
                    "calculation: {bound} {rule}; the {what} is {amount} ({percentage}% of the {base}): {verdict}"
                )
            }
        }
    }

    fn amount_name(self, calculation: &CalculationV1) -> &'static str {
        let is_total = calculation.code == Code::AmountExceedsTotal.as_str();
        let field = calculation.path.rsplit('.').next().unwrap_or_default();
        match (self, field) {
            (Self::Ja, _) if is_total => "前払金保証との合計",
            (Self::En, _) if is_total => "total with the advance payment",
            (Self::Ja, "contract_price") => "請負金額",
            (Self::En, "contract_price") => "contract price",
            (Self::Ja, "this_year_base") => "今年度対象額",
            (Self::En, "this_year_base") => "base of this year",
            (Self::Ja, _) => "保証金額",
            (Self::En, _) => "amount",
        }
    }
}

pub(super) struct TextFormat {
    pub(super) language: Language,
    pub(super) verbose: bool,
    pub(super) width: usize,
}

impl TextFormat {
    /// The block of an application; empty for a plain accepted one.
    pub(super) fn block(&self, checked: &Checked) -> String {
        let is_shown = self.verbose
            || checked.verdict == Verdict::Rejected
            || checked.repeats.is_some()
            || checked.stored;
        if !is_shown {
            return String::new();
        }
        let mut text = String::new();
        self.line(&mut text, 0, &head(checked));
        for placed in &checked.violations {
            let violation = &placed.violation;
            self.line(&mut text, 2, &printable(&format!("{}  {}", violation.code, violation.path)));
            self.line(&mut text, 4, &printable(&self.language.message(violation)));
            let about = |calculation: &&CalculationV1| {
                calculation.code == violation.code && calculation.path == violation.path
            };
            for calculation in checked.calculations.iter().filter(about) {
                self.line(&mut text, 4, &printable(&self.language.calculation(calculation)));
            }
        }
        if self.verbose {
            for calculation in checked.calculations.iter().filter(|calculation| calculation.kept) {
                self.line(&mut text, 2, &printable(&format!("{}  {}", calculation.code, calculation.path)));
                self.line(&mut text, 4, &printable(&self.language.calculation(calculation)));
            }
        }
        text.push('\n');
        text
    }

    pub(super) fn paragraph(&self, line: &str) -> String {
        let mut text = String::new();
        self.line(&mut text, 0, line);
        text.truncate(text.trim_end().len());
        text
    }

    fn line(&self, text: &mut String, indent: usize, line: &str) {
        for part in wrap::wrapped(line, self.width.saturating_sub(indent)) {
            text.extend(std::iter::repeat_n(' ', indent));
            text.push_str(part.trim_end());
            text.push('\n');
        }
    }
}

/// `verdict  FILE:LINE  source id`.
fn head(checked: &Checked) -> String {
    let place = |file: &str, line: usize| format!("{}:{line}", input::name(std::path::Path::new(file)));
    let identity = match (&checked.source, &checked.id) {
        (Some(source), Some(id)) => format!("{} {}", shortened(source), shortened(id)),
        _ => "(source and id cannot be read)".to_owned(),
    };
    let verdict = name_of(checked.verdict);
    let mut head = format!("{verdict}  {}  {identity}", place(&checked.file, checked.line));
    if let Some(first) = &checked.repeats {
        head += ", repeated: first in ";
        head += &place(&first.file, first.line);
    }
    if checked.stored {
        head += ", in the database";
    }
    printable(&head)
}

/// Cut at the allowed length of `source` and `id`.
fn shortened(text: &str) -> String {
    const MAX: usize = 64;
    match text.char_indices().nth(MAX) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

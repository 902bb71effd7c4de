//! What is said to people at a terminal: a block for each application, wrapped to its width.
//!
//! A line may break wherever Japanese lets it (`icu_segmenter`, strict: no 、 or 」 begins a line), as documents do it.
//! comfy-table was rejected here: it breaks between any two wide characters, and a message in a column is a narrow tower.

use std::borrow::Cow;

use hosho_schema::messages::{BoundV1, CalculationV1, ViolationV1};
use icu_segmenter::{
    LineSegmenter, LineSegmenterBorrowed,
    options::{LineBreakOptions, LineBreakStrictness},
};
use unicode_width::UnicodeWidthStr as _;

use super::{
    super::{input, printable},
    report::{Checked, Verdict},
};
use crate::domain::{bilingual::BilingualText, violation::Code};

/// The language of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Language {
    /// Japanese
    Ja,
    /// English
    En,
}

impl Language {
    /// What is wrong. Where a message is no JSON, the Japanese does not say what the parser met; whoever has the file needs that too.
    pub(super) fn message(self, violation: &ViolationV1) -> Cow<'_, str> {
        let technical = violation.code == Code::MessageNotJson.as_str();
        match self {
            Self::En => violation.message_en.as_str().into(),
            Self::Ja if technical => format!("{}（{}）", violation.message_ja, violation.message_en).into(),
            Self::Ja => violation.message_ja.as_str().into(),
        }
    }

    fn say(self, figure: &impl BilingualText) -> String {
        match self {
            Self::Ja => figure.ja(),
            Self::En => figure.en(),
        }
    }

    /// The sum behind an amount rule, so that it can be done again.
    fn calculation(self, calculation: &CalculationV1) -> String {
        let CalculationV1 { kept, bound, percentage, .. } = calculation;
        let [amount, limit, base_amount] =
            [calculation.amount, calculation.limit, calculation.base_amount].map(|yen| self.say(&yen));
        let base = self.say(&calculation.base);
        let (ratio, unit) = (
            calculation.ratio.map(|ratio| self.say(&ratio)),
            calculation.rounding_unit.map(|unit| self.say(&unit)),
        );
        let what = self.what(calculation);
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

    /// What amount it is that a calculation is about.
    fn what(self, calculation: &CalculationV1) -> &'static str {
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

/// How blocks are written.
pub(super) struct Words {
    language: Language,
    verbose: bool,
    width: usize,
}

impl Words {
    pub(super) fn new(language: Language, verbose: bool) -> Self {
        Self { language, verbose, width: width() }
    }

    pub(super) fn language(&self) -> Language {
        self.language
    }

    /// What is said of an application: of one that is accepted nothing, unless there is something to say.
    pub(super) fn block(&self, checked: &Checked) -> String {
        let speaks = self.verbose
            || checked.verdict == Verdict::Rejected
            || checked.repeats.is_some()
            || checked.stored;
        if !speaks {
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

    /// Wraps a text of our own.
    pub(super) fn paragraph(&self, line: &str) -> String {
        let mut text = String::new();
        self.line(&mut text, 0, line);
        text.truncate(text.trim_end().len());
        text
    }

    fn line(&self, text: &mut String, indent: usize, line: &str) {
        for part in wrapped(line, self.width.saturating_sub(indent)) {
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
    let verdict = match checked.verdict {
        Verdict::Accepted => "accepted",
        Verdict::Rejected => "rejected",
    };
    let repeated = checked
        .repeats
        .as_ref()
        .map(|first| format!(", repeated: first in {}", place(&first.file, first.line)));
    let stored = if checked.stored { ", known to the database" } else { "" };
    let place = place(&checked.file, checked.line);
    printable(&format!("{verdict}  {place}  {identity}{}{stored}", repeated.unwrap_or_default()))
}

/// `source` and `id` as they may be at most; what is longer is broken anyway.
fn shortened(text: &str) -> String {
    const MOST: usize = 64;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

/// Columns of the terminal; of what is no terminal, `COLUMNS` or a hundred.
fn width() -> usize {
    const OTHERWISE: usize = 100;
    const LEAST: usize = 40;
    let terminal = || {
        terminal_size::terminal_size_of(std::io::stdout())
            .map(|(terminal_size::Width(width), _)| usize::from(width))
    };
    let environment = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal().or_else(environment).unwrap_or(OTHERWISE).max(LEAST)
}

/// Parts of a text that fit into a width of columns each.
fn wrapped(text: &str, width: usize) -> Vec<&str> {
    const SEGMENTER: LineSegmenterBorrowed<'static> = LineSegmenter::new_for_non_complex_scripts(options());
    let (mut parts, mut start, mut reached) = (Vec::new(), 0, 0);
    for end in SEGMENTER.segment_str(text).skip(1) {
        if text[start..end].trim_end().width() > width {
            if reached > start {
                parts.push(&text[start..reached]);
                start = reached;
            }
            // What has no place to break is broken anywhere.
            while let Some(cut) = overflow(&text[start..end], width) {
                parts.push(&text[start..start + cut]);
                start += cut;
            }
        }
        reached = end;
    }
    if start < text.len() {
        parts.push(&text[start..]);
    }
    parts
}

/// Where a text must be cut to fit; `None` where it fits.
fn overflow(text: &str, width: usize) -> Option<usize> {
    if text.trim_end().width() <= width {
        return None;
    }
    let ends = text.char_indices().map(|(at, character)| at + character.len_utf8());
    ends.take_while(|end| text[..*end].width() <= width).last()
}

const fn options() -> LineBreakOptions<'static> {
    let mut options = LineBreakOptions::default();
    options.strictness = Some(LineBreakStrictness::Strict);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_keep_their_text() {
        let text = "保証金額（5,000,000円、請負金額の50.0%）が上限を超えています。上限は「請負金額」の40%です。amount.exceeds_cap of <U+001B>髙﨑𠮷";
        for width in 8..90 {
            let parts = wrapped(text, width);
            assert_eq!(parts.concat(), text);
            assert!(parts.iter().all(|part| part.trim_end().width() <= width), "{width}: {parts:?}");
        }
        for part in wrapped(text, 30) {
            assert!(
                !part.starts_with(['、', '。', '」', '）']) && !part.trim_end().ends_with(['「', '（']),
                "{part}"
            );
        }
        assert_eq!(wrapped("", 10), [""; 0]);
    }

    #[test]
    fn what_cannot_be_broken_is_cut() {
        assert_eq!(wrapped("aaaaaaaaaa bb", 4), ["aaaa", "aaaa", "aa ", "bb"]);
        assert_eq!(wrapped("ーーーーー", 5).concat(), "ーーーーー");
    }
}

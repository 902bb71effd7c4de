//! Reads single fields of the form and gathers what is wrong with them.

use std::fmt::Write as _;

use chrono::{Datelike, NaiveDate};
use hosho_schema::messages::{Amount, CalculationV1};

use super::super::{
    money::Yen,
    text::{self, Fault, Lines},
    violation::{
        self, Breach, Violation,
        told::{Both, Label},
    },
    wareki::{self, DateError},
};

/// More than any works contract of the country: a trillion yen. Beyond it somebody leant on a key.
const LARGEST_AMOUNT: Yen = Yen(1_000_000_000_000);

/// The part of an application that a field stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Works,
    Term,
    Principal,
    Representative,
    Member(usize),
    Product(usize),
    Notification,
    Contact,
    /// A change of a guarantee, itself.
    Change,
}

impl Place {
    /// JSON path.
    pub(super) fn path(self) -> String {
        match self {
            Self::Works => "$.works".to_owned(),
            Self::Term => "$.works.term".to_owned(),
            Self::Principal => "$.principal".to_owned(),
            Self::Representative => "$.principal.representative".to_owned(),
            Self::Member(index) => format!("$.principal.members[{index}]"),
            Self::Product(index) => format!("$.products[{index}]"),
            Self::Notification => "$.notification".to_owned(),
            Self::Contact => "$.contact".to_owned(),
            Self::Change => "$".to_owned(),
        }
    }

    /// What stands before the label of a field whose label alone does not say whose it is.
    fn owner(self) -> Option<String> {
        match self {
            Self::Representative => Some("JV代表者".to_owned()),
            Self::Member(index) => Some(format!("JV構成員（{}社目）", index + 1)),
            _ => None,
        }
    }
}

/// A field as messages name it. Costs nothing until something is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    place: Place,
    name: &'static str,
    ja: &'static str,
}

impl Field {
    /// A field by its place, its name on the wire and its label on the form.
    pub(super) const fn new(place: Place, name: &'static str, ja: &'static str) -> Self {
        Self { place, name, ja }
    }

    /// JSON path.
    pub(super) fn path(self) -> String {
        format!("{}.{}", self.place.path(), self.name)
    }

    fn label(self) -> Label {
        Label(self.place.owner().map_or_else(|| self.ja.to_owned(), |owner| format!("{owner}の{}", self.ja)))
    }
}

/// What a text field may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    /// Characters at most.
    pub(super) characters: usize,
    /// Whether documents show it: every character needs a glyph.
    pub(super) printed: bool,
    /// One line or many.
    pub(super) lines: Lines,
}

impl Limit {
    const fn new(characters: usize, printed: bool) -> Self {
        Self { characters, printed, lines: Lines::One }
    }

    /// 工事名, 商号, JV名: two lines of a certificate's field hold 120 characters at a size that can be read.
    pub(super) const NAME: Self = Self::new(120, true);
    /// 住所.
    pub(super) const ADDRESS: Self = Self::new(160, true);
    /// 代表者の役職・氏名.
    pub(super) const PERSON: Self = Self::new(80, true);
    /// 預託金融機関, before it is widened.
    pub(super) const BANK: Self = Self::new(80, false);
    /// 工事番号.
    pub(super) const NUMBER: Self = Self::new(64, true);
    /// What no document shows: 保証料支払方法, 担当部署 and so on.
    pub(super) const NOTE: Self = Self::new(120, false);
    /// 連絡事項.
    pub(super) const REMARKS: Self = Self { characters: 1000, printed: false, lines: Lines::Many };
}

/// What was found so far.
pub(super) struct Form<'a> {
    unprintable: &'a (dyn Fn(&str) -> Vec<char> + Sync),
    violations: Vec<Violation>,
    calculations: Vec<CalculationV1>,
}

impl<'a> Form<'a> {
    pub(super) fn new(unprintable: &'a (dyn Fn(&str) -> Vec<char> + Sync)) -> Self {
        Self { unprintable, violations: Vec::new(), calculations: Vec::new() }
    }

    /// Reports a broken rule; the same rule is told once per field.
    pub(super) fn report(&mut self, path: impl Into<String>, breach: &Breach) {
        let path = path.into();
        if !self.violations.iter().any(|known| known.code == breach.code() && known.path == path) {
            self.violations.push(Violation::new(path, breach));
        }
    }

    /// Keeps how an amount was judged, and reports it when it breaks the rule.
    pub(super) fn judged(&mut self, (calculation, breach): (CalculationV1, Option<Breach>)) {
        if let Some(breach) = breach {
            self.report(calculation.path.as_str(), &breach);
        }
        self.calculations.push(calculation);
    }

    /// What was found: violations in the order of the form, and how amounts were judged.
    pub(super) fn finish(mut self) -> (Vec<Violation>, Vec<CalculationV1>) {
        violation::sort(&mut self.violations);
        (self.violations, self.calculations)
    }

    /// A text that must not be empty.
    pub(super) fn required(&mut self, field: Field, value: &str, limit: Limit) -> String {
        self.present(field, value);
        self.text(field, value, limit)
    }

    /// Reports an empty text.
    pub(super) fn present(&mut self, field: Field, value: &str) {
        if text::trim(value).is_empty() {
            self.report(field.path(), &Breach::TextRequired { field: field.label() });
        }
    }

    /// A text that may be absent; empty is absent.
    pub(super) fn optional(&mut self, field: Field, value: Option<&str>, limit: Limit) -> Option<String> {
        let text = self.text(field, value?, limit);
        (!text.is_empty()).then_some(text)
    }

    /// Reports an address that begins with 〒 and has no postal code.
    pub(super) fn postal_code(&mut self, field: Field, address: &str) {
        if text::lacks_postal_code(address) {
            self.report(field.path(), &Breach::PostalCodeMalformed { field: field.label() });
        }
    }

    /// A telephone number that may be absent, in its normal form.
    pub(super) fn telephone(&mut self, field: Field, value: Option<&str>, limit: Limit) -> Option<String> {
        let before = self.violations.len();
        let typed = self.optional(field, value, limit)?;
        let normal = text::telephone_number(&typed);
        // A fault of the text says more.
        if normal.is_none() && self.violations.len() == before {
            self.report(field.path(), &Breach::TelephoneMalformed { field: field.label() });
        }
        normal.or(Some(typed))
    }

    fn text(&mut self, field: Field, value: &str, limit: Limit) -> String {
        let trimmed = text::trim(value);
        // A character has a byte at least: most texts need not be counted.
        if trimmed.len() > limit.characters {
            let length = text::length(trimmed);
            if length > limit.characters {
                self.report(
                    field.path(),
                    &Breach::TextTooLong { field: field.label(), length, most: limit.characters },
                );
                return trimmed.to_owned();
            }
        }
        if let Some(found) = text::fault(value, limit.lines) {
            self.report(field.path(), &fault(field.label(), found));
        } else if limit.printed {
            self.glyphs(field, value, trimmed);
        }
        trimmed.to_owned()
    }

    /// How many characters without a glyph a message names.
    const NAMED: usize = 5;

    /// Reports the characters of a printed text that no font has. Positions are those within `value`.
    pub(super) fn glyphs(&mut self, field: Field, value: &str, trimmed: &str) {
        let missing = (self.unprintable)(trimmed);
        if missing.is_empty() {
            return;
        }
        let (mut ja, mut en) = (String::new(), String::new());
        let mut named: Vec<char> = Vec::new();
        for &character in &missing {
            if named.contains(&character) || named.len() == Self::NAMED {
                continue;
            }
            named.push(character);
            let Some(at) = value.find(character) else { continue };
            let (position, code_point) = (text::length(&value[..at]) + 1, text::code_point(character));
            let (comma_ja, comma_en) = if ja.is_empty() { ("", "") } else { ("、", ", ") };
            let _ = write!(ja, "{comma_ja}{position}文字目の「{character}」（{code_point}）");
            let _ = write!(en, "{comma_en}{code_point} at character {position}");
        }
        self.report(
            field.path(),
            &Breach::TextUnprintable { field: field.label(), characters: Both { ja, en } },
        );
    }

    /// A whole amount of 1 yen to a trillion; `None` when it was reported.
    pub(super) fn amount(&mut self, field: Field, figure: &Amount) -> Option<Yen> {
        let yen = match figure {
            Amount::Integer(yen) => i128::from(*yen),
            Amount::Text(typed) => {
                let Some(yen) = whole(typed) else {
                    self.report(
                        field.path(),
                        &Breach::AmountMalformed { field: field.label(), given: text::quote(typed) },
                    );
                    return None;
                };
                yen
            }
        };
        if yen <= 0 {
            self.report(field.path(), &Breach::AmountNotPositive { field: field.label() });
            return None;
        }
        match i64::try_from(yen).map(Yen) {
            Ok(yen) if yen <= LARGEST_AMOUNT => Some(yen),
            _ => {
                self.report(
                    field.path(),
                    &Breach::AmountTooLarge { field: field.label(), most: LARGEST_AMOUNT },
                );
                None
            }
        }
    }

    /// A day; `None` when it is absent or was reported.
    pub(super) fn date(&mut self, field: Field, value: Option<&str>) -> Option<NaiveDate> {
        let typed = text::trim(value?);
        if typed.is_empty() {
            return None;
        }
        let date = match wareki::parse(typed) {
            Ok(date) => date,
            Err(error) => {
                self.report(field.path(), &not_a_date(field.label(), text::quote(typed), error));
                return None;
            }
        };
        if !(2000..2100).contains(&date.year()) {
            self.report(
                field.path(),
                &Breach::DateImplausible { field: field.label(), given: date.to_string() },
            );
            return None;
        }
        Some(date)
    }
}

/// What is wrong with a date, and what would be right.
fn not_a_date(field: Label, given: String, error: DateError) -> Breach {
    match error {
        DateError::Unreadable => Breach::DateMalformed { field, given },
        DateError::NoSuchDay { last } => {
            let ends = |last: NaiveDate| Both {
                ja: format!("この月の末日は{}です。", wareki::format(last)),
                en: format!("the month ends on {last}"),
            };
            let none = || Both {
                ja: "年と月をご確認ください。".to_owned(),
                en: "there is no such month either".to_owned(),
            };
            Breach::DateNoSuchDay { field, given, remedy: last.map_or_else(none, ends) }
        }
        DateError::OutsideEra { era, first, last, right } => {
            let period =
                last.map(wareki::format).map_or_else(|| "から".to_owned(), |last| format!("から{last}まで"));
            let would_ja =
                right.as_ref().map(|right| format!("{right}とご入力ください。")).unwrap_or_default();
            let would_en = right.map(|right| format!("; {right} would be right")).unwrap_or_default();
            let until = last.map_or_else(|| " on".to_owned(), |last| format!(" to {last}"));
            let remedy = Both {
                ja: format!("{era}は{}{period}です。{would_ja}", wareki::format(first)),
                en: format!("{era} is from {first}{until}{would_en}"),
            };
            Breach::DateOutsideEra { field, given, remedy }
        }
    }
}

fn fault(field: Label, found: text::Found) -> Breach {
    let (position, code_point) = (found.position, text::code_point(found.character));
    match found.fault {
        Fault::Control => Breach::TextControlCharacter { field, position, code_point },
        Fault::Direction => Breach::TextDirection { field, position, code_point },
        Fault::Invisible => Breach::TextInvisible { field, position, code_point },
        Fault::PrivateUse => Breach::TextPrivateUse { field, position, code_point },
        Fault::NotACharacter => Breach::TextNotACharacter { field, position, code_point },
        Fault::Unassigned => Breach::TextUnassigned { field, position, code_point },
    }
}

/// Reads a whole figure of either width, with or without separators. Figures beyond all bounds saturate.
fn whole(typed: &str) -> Option<i128> {
    let normal = text::ungrouped(&text::digits(text::trim(typed)))?;
    let digits = normal.strip_prefix('-').unwrap_or(&normal);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let magnitude = digits.parse::<i128>().unwrap_or(i128::MAX);
    Some(if digits.len() < normal.len() { -magnitude } else { magnitude })
}

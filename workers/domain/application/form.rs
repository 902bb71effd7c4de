//! Reads single fields of the form and collects their violations.

use std::fmt::Write as _;

use chrono::{Datelike, NaiveDate};
use hosho_schema::{
    messages::{Amount, CalculationV1},
    money::Yen,
};

use super::amounts::Finding;
use crate::{
    bilingual::{Bilingual, FieldLabel},
    text::{self, InvalidKind, Lines},
    violation::{self, Breach, Violation},
    wareki::{self, DateError},
};

/// More than any works contract in Japan: larger values are typing errors.
const LARGEST_AMOUNT: Yen = Yen(1_000_000_000_000);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Works,
    Term,
    Principal,
    Representative,
    Member(usize),
    Product(usize),
    Notification,
    Contact,
    /// The top level of a change.
    Change,
}

impl Section {
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

    pub(super) fn path_to(self, field: &str) -> String {
        format!("{}.{field}", self.path())
    }

    /// Precedes the label of a field whose label alone is ambiguous.
    fn owner(self) -> Option<String> {
        match self {
            Self::Representative => Some("JV代表者".to_owned()),
            Self::Member(index) => Some(format!("JV構成員（{}社目）", index + 1)),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    section: Section,
    name: &'static str,
    ja: &'static str,
}

impl Field {
    /// `name` is the JSON field, `ja` the label on the form.
    pub(crate) const fn new(section: Section, name: &'static str, ja: &'static str) -> Self {
        Self { section, name, ja }
    }

    pub(super) fn path(self) -> String {
        self.section.path_to(self.name)
    }

    fn label(self) -> FieldLabel {
        FieldLabel(
            self.section.owner().map_or_else(|| self.ja.to_owned(), |owner| format!("{owner}の{}", self.ja)),
        )
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct TextLimit {
    pub(super) characters: usize,
    /// Whether documents print the text: then every character needs a glyph.
    pub(super) printed: bool,
    pub(super) lines: Lines,
}

impl TextLimit {
    const fn new(characters: usize, printed: bool) -> Self {
        Self { characters, printed, lines: Lines::One }
    }

    /// 工事名, 商号, JV名: two lines of a certificate's field fit 120 characters.
    pub(super) const NAME: Self = Self::new(120, true);
    pub(super) const ADDRESS: Self = Self::new(160, true);
    /// 代表者の役職・氏名.
    pub(super) const PERSON: Self = Self::new(80, true);
    /// 預託金融機関, before widening.
    pub(super) const BANK: Self = Self::new(80, false);
    /// 工事番号.
    pub(super) const NUMBER: Self = Self::new(64, true);
    /// Texts that no document prints: 保証料支払方法, 担当部署 and so on.
    pub(crate) const NOTE: Self = Self::new(120, false);
    pub(super) const REMARKS: Self = Self { characters: 1000, printed: false, lines: Lines::Many };
}

pub(crate) struct FormReader<'a> {
    unprintable: &'a (dyn Fn(&str) -> Vec<char> + Sync),
    violations: Vec<Violation>,
    calculations: Vec<CalculationV1>,
}

impl<'a> FormReader<'a> {
    pub(crate) fn new(unprintable: &'a (dyn Fn(&str) -> Vec<char> + Sync)) -> Self {
        Self { unprintable, violations: Vec::new(), calculations: Vec::new() }
    }

    /// Reports a broken rule, once per field.
    pub(crate) fn report(&mut self, path: impl Into<String>, breach: &Breach) {
        let path = path.into();
        if !self.violations.iter().any(|known| known.code == breach.code() && known.path == path) {
            self.violations.push(Violation::new(path, breach));
        }
    }

    fn report_field(&mut self, field: Field, breach: impl FnOnce(FieldLabel) -> Breach) {
        self.report(field.path(), &breach(field.label()));
    }

    pub(super) fn record(&mut self, (calculation, breach): Finding) {
        if let Some(breach) = breach {
            self.report(calculation.path.as_str(), &breach);
        }
        self.calculations.push(calculation);
    }

    /// Returns the violations in the order of the form, and the calculations.
    pub(crate) fn finish(mut self) -> (Vec<Violation>, Vec<CalculationV1>) {
        violation::sort(&mut self.violations);
        (self.violations, self.calculations)
    }

    pub(crate) fn required(&mut self, field: Field, value: &str, limit: TextLimit) -> String {
        self.require(field, value);
        self.text(field, value, limit)
    }

    pub(crate) fn require(&mut self, field: Field, value: &str) {
        if text::trim(value).is_empty() {
            self.report_field(field, |field| Breach::TextRequired { field });
        }
    }

    /// Reads an empty text as absent.
    pub(crate) fn optional(&mut self, field: Field, value: Option<&str>, limit: TextLimit) -> Option<String> {
        let text = self.text(field, value?, limit);
        (!text.is_empty()).then_some(text)
    }

    pub(super) fn postal_code(&mut self, field: Field, address: &str) {
        if text::lacks_postal_code(address) {
            self.report_field(field, |field| Breach::PostalCodeMalformed { field });
        }
    }

    pub(super) fn telephone(
        &mut self,
        field: Field,
        value: Option<&str>,
        limit: TextLimit,
    ) -> Option<String> {
        let before = self.violations.len();
        let typed = self.optional(field, value, limit)?;
        let normal = text::normal_telephone(&typed);
        // An invalid character is the more specific violation.
        if normal.is_none() && self.violations.len() == before {
            self.report_field(field, |field| Breach::TelephoneMalformed { field });
        }
        normal.or(Some(typed))
    }

    fn text(&mut self, field: Field, value: &str, limit: TextLimit) -> String {
        let trimmed = text::trim(value);
        // A character has at least one byte, so most texts need not be counted.
        if trimmed.len() > limit.characters {
            let length = text::length(trimmed);
            if length > limit.characters {
                let most = limit.characters;
                self.report_field(field, |field| Breach::TextTooLong { field, length, most });
                return trimmed.to_owned();
            }
        }
        if let Some(found) = text::find_invalid(value, limit.lines) {
            self.report_field(field, |field| invalid_character(field, found));
        } else if limit.printed {
            self.glyphs(field, value, trimmed);
        }
        trimmed.to_owned()
    }

    /// Maximum characters without a glyph that a message names.
    const MOST_NAMED: usize = 5;

    /// Reports characters of `trimmed` without a glyph, by positions in `value`.
    pub(super) fn glyphs(&mut self, field: Field, value: &str, trimmed: &str) {
        let missing = (self.unprintable)(trimmed);
        if missing.is_empty() {
            return;
        }
        let (mut ja, mut en) = (String::new(), String::new());
        let mut named: Vec<char> = Vec::new();
        for &character in &missing {
            if named.contains(&character) || named.len() == Self::MOST_NAMED {
                continue;
            }
            named.push(character);
            let Some(at) = value.find(character) else { continue };
            let (position, code_point) = (text::length(&value[..at]) + 1, text::code_point(character));
            let (comma_ja, comma_en) = if ja.is_empty() { ("", "") } else { ("、", ", ") };
            let _ = write!(ja, "{comma_ja}{position}文字目の「{character}」（{code_point}）");
            let _ = write!(en, "{comma_en}{code_point} at character {position}");
        }
        let characters = Bilingual { ja, en };
        self.report_field(field, |field| Breach::TextUnprintable { field, characters });
    }

    /// Reads an amount of 1 yen to a trillion; returns `None` if it was reported.
    pub(super) fn amount(&mut self, field: Field, amount: &Amount) -> Option<Yen> {
        let yen = match amount {
            Amount::Integer(yen) => i128::from(*yen),
            Amount::Text(typed) => {
                let Some(yen) = parse_integer(typed) else {
                    let given = text::quote(typed);
                    self.report_field(field, |field| Breach::AmountMalformed { field, given });
                    return None;
                };
                yen
            }
        };
        if yen <= 0 {
            self.report_field(field, |field| Breach::AmountNotPositive { field });
            return None;
        }
        match i64::try_from(yen).map(Yen) {
            Ok(yen) if yen <= LARGEST_AMOUNT => Some(yen),
            _ => {
                self.report_field(field, |field| Breach::AmountTooLarge { field, most: LARGEST_AMOUNT });
                None
            }
        }
    }

    /// Returns `None` if the date is absent or was reported.
    pub(crate) fn date(&mut self, field: Field, value: Option<&str>) -> Option<NaiveDate> {
        let typed = text::trim(value?);
        if typed.is_empty() {
            return None;
        }
        let date = match wareki::parse(typed) {
            Ok(date) => date,
            Err(error) => {
                self.report_field(field, |field| invalid_date(field, text::quote(typed), error));
                return None;
            }
        };
        if !(2000..2100).contains(&date.year()) {
            self.report_field(field, |field| Breach::DateImplausible { field, given: date.to_string() });
            return None;
        }
        Some(date)
    }
}

fn invalid_date(field: FieldLabel, given: String, error: DateError) -> Breach {
    match error {
        DateError::Unreadable => Breach::DateMalformed { field, given },
        DateError::NoSuchDay { last } => {
            let remedy = match last {
                Some(last) => Bilingual::new(
                    format!("この月の末日は{}です。", wareki::format(last)),
                    format!("the month ends on {last}"),
                ),
                None => Bilingual::new("年と月をご確認ください。", "there is no such month either"),
            };
            Breach::DateNoSuchDay { field, given, remedy }
        }
        DateError::OutsideEra { era, first, last, corrected } => {
            let (first_ja, last_ja) = (wareki::format(first), last.map(wareki::format).unwrap_or_default());
            let (mut ja, mut en) = match last {
                Some(last) => (
                    format!("{era}は{first_ja}から{last_ja}までです。"),
                    format!("{era} is from {first} to {last}"),
                ),
                None => (format!("{era}は{first_ja}からです。"), format!("{era} is from {first} on")),
            };
            if let Some(corrected) = corrected {
                let _ = write!(ja, "{corrected}とご入力ください。");
                let _ = write!(en, "; {corrected} would be right");
            }
            Breach::DateOutsideEra { field, given, remedy: Bilingual { ja, en } }
        }
    }
}

fn invalid_character(field: FieldLabel, found: text::InvalidCharacter) -> Breach {
    let (position, code_point) = (found.position, text::code_point(found.character));
    match found.kind {
        InvalidKind::Control => Breach::TextControlCharacter { field, position, code_point },
        InvalidKind::Direction => Breach::TextDirection { field, position, code_point },
        InvalidKind::Invisible => Breach::TextInvisible { field, position, code_point },
        InvalidKind::PrivateUse => Breach::TextPrivateUse { field, position, code_point },
        InvalidKind::NotACharacter => Breach::TextNotACharacter { field, position, code_point },
        InvalidKind::Unassigned => Breach::TextUnassigned { field, position, code_point },
    }
}

/// Of either width, with or without separators. Values out of range saturate.
fn parse_integer(typed: &str) -> Option<i128> {
    let normal = text::without_separators(&text::narrow_digits(text::trim(typed)))?;
    let digits = normal.strip_prefix('-').unwrap_or(&normal);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let magnitude = digits.parse::<i128>().unwrap_or(i128::MAX);
    Some(if digits.len() < normal.len() { -magnitude } else { magnitude })
}

//! Reads single fields of the form and gathers what is wrong with them.

use std::fmt::Write as _;

use chrono::NaiveDate;
use hosho_schema::messages::Figure;

use super::{
    super::{
        money::Yen,
        text::{self, Fault, Lines},
        violation::{Code, Violation},
    },
    is_plausible,
};

/// More than any works contract of the country: a trillion yen. Beyond it somebody leant on a key.
const LARGEST_AMOUNT: i64 = 1_000_000_000_000;

/// A field as messages name it.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// JSON path.
    pub(super) path: String,
    /// Its label on the form.
    pub(super) ja: String,
}

impl Field {
    pub(super) fn new(path: impl Into<String>, ja: impl Into<String>) -> Self {
        Self { path: path.into(), ja: ja.into() }
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

/// The violations found so far.
pub(super) struct Form<'a> {
    unprintable: &'a (dyn Fn(&str) -> Vec<char> + Sync),
    violations: Vec<Violation>,
}

impl<'a> Form<'a> {
    pub(super) fn new(unprintable: &'a (dyn Fn(&str) -> Vec<char> + Sync)) -> Self {
        Self { unprintable, violations: Vec::new() }
    }

    /// Reports a violation; the same rule is told once per field.
    pub(super) fn report(&mut self, code: Code, path: &str, message_ja: String, message_en: String) {
        if !self.violations.iter().any(|known| known.code == code && known.path == path) {
            self.violations.push(Violation { code, path: path.to_owned(), message_ja, message_en });
        }
    }

    /// The value when nothing was reported, else all violations in the order of the form's families.
    pub(super) fn finish<T>(mut self, value: T) -> Result<T, Vec<Violation>> {
        // Rules of products may point back at the works.
        const FAMILIES: [&str; 9] =
            ["$.source", "$.id", "$.branch", "$.obligee", "$.works", "$.principal", "$.products", "$.notification", "$.contact"];
        if self.violations.is_empty() {
            return Ok(value);
        }
        self.violations.sort_by_key(|violation| FAMILIES.iter().position(|family| violation.path.starts_with(family)));
        Err(self.violations)
    }

    /// A text that must not be empty.
    pub(super) fn required(&mut self, field: &Field, value: &str, limit: Limit) -> String {
        self.present(field, value);
        self.text(field, value, limit)
    }

    /// Reports an empty text.
    pub(super) fn present(&mut self, field: &Field, value: &str) {
        if text::trim(value).is_empty() {
            let ja = format!("{}が空欄です。必ずご入力ください。", field.ja);
            self.report(Code::TextRequired, &field.path, ja, "must not be empty".to_owned());
        }
    }

    /// A text that may be absent; empty is absent.
    pub(super) fn optional(&mut self, field: &Field, value: Option<&str>, limit: Limit) -> Option<String> {
        let text = self.text(field, value?, limit);
        (!text.is_empty()).then_some(text)
    }

    fn text(&mut self, field: &Field, value: &str, limit: Limit) -> String {
        let trimmed = text::trim(value);
        let length = trimmed.chars().count();
        if length > limit.characters {
            let (ja, most) = (&field.ja, limit.characters);
            let told_ja = format!("{ja}は{most}文字以内でご入力ください（現在{length}文字）。");
            self.report(Code::TextTooLong, &field.path, told_ja, format!("has {length} characters, at most {most} fit"));
            return trimmed.to_owned();
        }
        if let Some(found) = text::fault(value, limit.lines) {
            self.fault(field, found);
        } else if limit.printed {
            self.glyphs(field, value, trimmed);
        }
        trimmed.to_owned()
    }

    fn fault(&mut self, field: &Field, found: text::Found) {
        let (code, what_ja, remedy_ja, what_en) = match found.fault {
            Fault::Control => (Code::TextControlCharacter, "制御文字", "改行やタブなどを含めずにご入力ください。", "a control character"),
            Fault::Direction => (Code::TextDirection, "文字の向きを変える制御文字", "取り除いてください。", "a directional character"),
            Fault::Invisible => (Code::TextInvisible, "目に見えない文字", "取り除いてください。", "an invisible character"),
            Fault::PrivateUse => {
                (Code::TextPrivateUse, "外字", "外字は証書に表せません。一般の文字でご入力ください。", "a private use character")
            }
            Fault::NotACharacter => (
                Code::TextNotACharacter,
                "文字として扱えない符号",
                "文字化けしていないかご確認ください。",
                "a code point that is no character",
            ),
            Fault::Unassigned => (
                Code::TextNotACharacter,
                "文字がまだ割り当てられていない符号",
                "文字化けしていないかご確認ください。",
                "a code point no character is assigned to",
            ),
        };
        let (ja, position, code_point) = (&field.ja, found.position, text::code_point(found.character));
        self.report(
            code,
            &field.path,
            format!("{ja}の{position}文字目に{what_ja}（{code_point}）があります。{remedy_ja}"),
            format!("character {position} is {what_en} ({code_point})"),
        );
    }

    /// How many characters without a glyph a message names.
    const NAMED: usize = 5;

    /// Reports the characters of a printed text that no font has. Positions are those within `value`.
    pub(super) fn glyphs(&mut self, field: &Field, value: &str, trimmed: &str) {
        let missing = (self.unprintable)(trimmed);
        if missing.is_empty() {
            return;
        }
        let (mut list_ja, mut list_en) = (String::new(), String::new());
        let mut named: Vec<char> = Vec::new();
        for &character in &missing {
            if named.contains(&character) || named.len() == Self::NAMED {
                continue;
            }
            named.push(character);
            let Some(position) = value.chars().position(|candidate| candidate == character) else { continue };
            let (position, code_point) = (position + 1, text::code_point(character));
            let (comma_ja, comma_en) = if list_ja.is_empty() { ("", "") } else { ("、", ", ") };
            let _ = write!(list_ja, "{comma_ja}{position}文字目の「{character}」（{code_point}）");
            let _ = write!(list_en, "{comma_en}{code_point} at character {position}");
        }
        self.report(
            Code::TextUnprintable,
            &field.path,
            format!("{}のうち{list_ja}は、証書に印刷できる書体がありません。別の字体でご入力ください。", field.ja),
            format!("no font has a glyph for {list_en}"),
        );
    }

    /// A whole amount of 1 yen to a trillion; `None` when it was reported.
    pub(super) fn amount(&mut self, field: &Field, figure: &Figure) -> Option<i64> {
        let ja = &field.ja;
        let yen = match figure {
            Figure::Integer(yen) => i128::from(*yen),
            Figure::Text(typed) => {
                let Some(yen) = whole(typed) else {
                    let quoted = text::quote(typed);
                    self.report(
                        Code::AmountMalformed,
                        &field.path,
                        format!("{ja}「{quoted}」を金額として読み取れません。12,000,000 のように円単位の整数でご入力ください。"),
                        format!("{quoted:?} is not a whole figure in yen, such as 12,000,000"),
                    );
                    return None;
                };
                yen
            }
        };
        if yen <= 0 {
            self.report(
                Code::AmountNotPositive,
                &field.path,
                format!("{ja}が0円以下です。1円以上の金額をご入力ください。"),
                "must be at least 1 yen".to_owned(),
            );
            return None;
        }
        match i64::try_from(yen) {
            Ok(yen) if yen <= LARGEST_AMOUNT => Some(yen),
            _ => {
                let most = Yen(LARGEST_AMOUNT);
                self.report(
                    Code::AmountTooLarge,
                    &field.path,
                    format!("{ja}が大きすぎます。桁数をご確認ください（上限 {most}）。"),
                    format!("is more than {LARGEST_AMOUNT} yen"),
                );
                None
            }
        }
    }

    /// A day; `None` when it is absent or was reported.
    pub(super) fn date(&mut self, field: &Field, value: Option<&str>) -> Option<NaiveDate> {
        let typed = text::trim(value?);
        if typed.is_empty() {
            return None;
        }
        let ja = &field.ja;
        let Some(date) = day(typed) else {
            let quoted = text::quote(typed);
            self.report(
                Code::DateMalformed,
                &field.path,
                format!("{ja}「{quoted}」を日付として読み取れません。2026-11-20 のように西暦の年月日でご入力ください。"),
                format!("{quoted:?} is not a day such as 2026-11-20"),
            );
            return None;
        };
        if !is_plausible(date) {
            self.report(
                Code::DateImplausible,
                &field.path,
                format!("{ja}の年をご確認ください（{date}）。2000年から2099年までの日付を受け付けます。"),
                format!("{date} is not between 2000 and 2099"),
            );
            return None;
        }
        Some(date)
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

/// Reads `YYYY-MM-DD` of either width with any hyphen.
fn day(typed: &str) -> Option<NaiveDate> {
    let normal = text::digits(typed);
    let shape = normal.len() == 10
        && normal.bytes().enumerate().all(|(index, byte)| if matches!(index, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
    if shape { normal.parse().ok() } else { None }
}

//! Whole yen and exact ratios, without floating point.

use std::{fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Whole yen, tax included; on the wire and in the database the bare integer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Yen(pub i64);

impl Yen {
    /// The part that `ratio` allows, rounded down to whole `unit`s.
    /// A unit below 1 yen counts as 1 yen.
    ///
    /// Exact: `floor(self × numerator ÷ (denominator × unit)) × unit`. What no `i64` can hold saturates.
    #[must_use]
    pub fn part_down(self, ratio: Ratio, unit: Self) -> Self {
        let unit = i128::from(unit.0.max(1));
        let (numerator, denominator) = (i128::from(ratio.numerator), i128::from(ratio.denominator));
        let units = (i128::from(self.0) * numerator).div_euclid(denominator * unit);
        Self(saturated(units * unit))
    }

    /// The part that `ratio` demands at least, rounded up to a whole yen.
    /// What no `i64` can hold saturates.
    #[must_use]
    pub fn part_up(self, ratio: Ratio) -> Self {
        let (numerator, denominator) = (i128::from(ratio.numerator), i128::from(ratio.denominator));
        Self(saturated(-(-i128::from(self.0) * numerator).div_euclid(denominator)))
    }

    /// The sum; `None` where no `i64` can hold it.
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// A percentage of `base` with one decimal, rounded half up, as on the form.
    ///
    /// `None` unless the base is positive and the amount is not negative.
    pub fn share_of(self, base: Self) -> Option<Share> {
        if base.0 <= 0 || self.0 < 0 {
            return None;
        }
        let (amount, base) = (i128::from(self.0), i128::from(base.0));
        let tenths = (amount * 2_000 + base).div_euclid(2 * base);
        Some(Share { tenths: u64::try_from(tenths).unwrap_or(u64::MAX) })
    }
}

fn saturated(yen: i128) -> i64 {
    i64::try_from(yen).unwrap_or(if yen < 0 { i64::MIN } else { i64::MAX })
}

/// Writes the amount as on a form: `12,345,000円`.
impl fmt::Display for Yen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}円", grouped(self.0)))
    }
}

/// Writes a whole number with thousands separators: `12,345,000`.
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 2);
    if number < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl JsonSchema for Yen {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Yen".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "Whole yen.", "type": "integer" })
    }
}

/// A ratio as an exact fraction in lowest terms: 45 % is 9/20.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Fraction")]
#[schemars(with = "Fraction")]
pub struct Ratio {
    numerator: u32,
    denominator: u32,
}

/// A ratio as an exact fraction in lowest terms: 45 % is 9/20.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Ratio")]
struct Fraction {
    /// Numerator.
    numerator: u32,
    /// Denominator, at least 1.
    #[schemars(range(min = 1))]
    denominator: u32,
}

impl TryFrom<Fraction> for Ratio {
    type Error = RatioError;

    fn try_from(Fraction { numerator, denominator }: Fraction) -> Result<Self, RatioError> {
        Self::new(numerator, denominator)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RatioError {
    #[error("a ratio has a denominator of at least 1")]
    Denominator,
    #[error("a ratio is written \"40%\", \"12.5%\" or \"1/3\"")]
    Malformed,
}

impl Ratio {
    pub const WHOLE: Self = Self { numerator: 1, denominator: 1 };

    /// A fraction, reduced to lowest terms.
    pub fn new(numerator: u32, denominator: u32) -> Result<Self, RatioError> {
        if denominator == 0 {
            return Err(RatioError::Denominator);
        }
        let divisor = greatest_common_divisor(numerator, denominator);
        Ok(Self { numerator: numerator / divisor, denominator: denominator / divisor })
    }

    pub const fn percent(percent: u32) -> Self {
        let divisor = greatest_common_divisor(percent, 100);
        Self { numerator: percent / divisor, denominator: 100 / divisor }
    }

    /// Numerator and denominator in lowest terms.
    pub fn terms(self) -> (u32, u32) {
        (self.numerator, self.denominator)
    }

    /// The sum; `None` where the terms outgrow 32 bits.
    pub fn plus(self, other: Self) -> Option<Self> {
        let numerator = u64::from(self.numerator) * u64::from(other.denominator)
            + u64::from(other.numerator) * u64::from(self.denominator);
        let denominator = u64::from(self.denominator) * u64::from(other.denominator);
        let (mut a, mut b) = (numerator, denominator);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Some(Self {
            numerator: u32::try_from(numerator / a).ok()?,
            denominator: u32::try_from(denominator / a).ok()?,
        })
    }
}

const fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ratio {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let product = |a: u32, b: u32| u64::from(a) * u64::from(b);
        product(self.numerator, other.denominator).cmp(&product(other.numerator, self.denominator))
    }
}

/// Reads `40%`, `12.5%` or `1/3`.
impl FromStr for Ratio {
    type Err = RatioError;

    fn from_str(text: &str) -> Result<Self, RatioError> {
        let whole = |digits: &str| {
            let plain =
                !digits.is_empty() && digits.len() <= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
            if plain {
                digits.parse::<u32>().map_err(|_| RatioError::Malformed)
            } else {
                Err(RatioError::Malformed)
            }
        };
        if let Some((numerator, denominator)) = text.split_once('/') {
            return Self::new(whole(numerator)?, whole(denominator)?);
        }
        let percent = text.strip_suffix('%').ok_or(RatioError::Malformed)?.trim_end();
        match percent.split_once('.') {
            None => Self::new(whole(percent)?, 100),
            Some((percent, tenths)) if tenths.len() == 1 => {
                Self::new(whole(percent)? * 10 + whole(tenths)?, 1_000)
            }
            Some(_) => Err(RatioError::Malformed),
        }
    }
}

/// Percents where exact to one decimal, else the fraction: `45%`, `12.5%`, `1/3`.
impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = u64::from(self.numerator) * 1_000;
        let denominator = u64::from(self.denominator);
        let text = match (tenths.is_multiple_of(denominator), tenths / denominator) {
            (true, tenths) if tenths.is_multiple_of(10) => format!("{}%", tenths / 10),
            (true, tenths) => format!("{}.{}%", tenths / 10, tenths % 10),
            (false, _) => format!("{}/{}", self.numerator, self.denominator),
        };
        f.pad(&text)
    }
}

/// A percentage with one decimal, as on the form.
/// It is text on the wire (`"40.0"`), so that no reader converts it to floating point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    tenths: u64,
}

/// Writes the percentage without its sign: `40.0`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.tenths / 10, self.tenths % 10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_yen_with_separators() {
        for (yen, text) in [
            (0, "0円"),
            (999, "999円"),
            (1_000, "1,000円"),
            (12_345_000, "12,345,000円"),
            (-1_234, "-1,234円"),
        ] {
            assert_eq!(Yen(yen).to_string(), text);
        }
        assert_eq!(Yen(i64::MIN).to_string(), "-9,223,372,036,854,775,808円");
    }

    #[test]
    fn computes_exact_parts() {
        for (base, ratio, unit, down) in [
            (10_000_000, Ratio::percent(40), 10_000, 4_000_000),
            (12_345_678, Ratio::percent(40), 10_000, 4_930_000),
            (12_345_678, Ratio::percent(45), 100_000, 5_500_000),
            (12_345_678, Ratio::percent(35), 1, 4_320_987),
            (10_000, Ratio::new(1, 3).unwrap(), 0, 3_333),
            (24_999, Ratio::percent(40), 10_000, 0),
            (i64::MAX, Ratio::percent(100), 1, i64::MAX),
        ] {
            assert_eq!(Yen(base).part_down(ratio, Yen(unit)), Yen(down), "{base} × {ratio} by {unit}");
        }
        for (base, ratio, up) in [
            (10_000_001, Ratio::percent(10), 1_000_001),
            (10_000_000, Ratio::percent(10), 1_000_000),
            (0, Ratio::WHOLE, 0),
        ] {
            assert_eq!(Yen(base).part_up(ratio), Yen(up));
        }
        assert_eq!(Yen(i64::MAX).part_up(Ratio::percent(300)), Yen(i64::MAX));
        assert_eq!(Yen(i64::MAX).plus(Yen(1)), None);
    }

    #[test]
    fn rounds_shares_half_up_to_one_decimal() {
        for (amount, base, share) in [
            (4_000_000, 10_000_000, "40.0"),
            (4_004_999, 10_000_000, "40.0"),
            (4_005_000, 10_000_000, "40.1"),
            (1, 3, "33.3"),
            (2, 3, "66.7"),
            (0, 1, "0.0"),
            (3, 1, "300.0"),
        ] {
            assert_eq!(Yen(amount).share_of(Yen(base)).unwrap().to_string(), share);
        }
        assert_eq!(Yen(1).share_of(Yen(0)), None);
        assert_eq!(Yen(-1).share_of(Yen(1)), None);
    }

    #[test]
    fn parses_and_writes_ratios() {
        for (text, terms, shown) in [
            ("40%", (2, 5), "40%"),
            ("45%", (9, 20), "45%"),
            ("45 %", (9, 20), "45%"),
            ("12.5%", (1, 8), "12.5%"),
            ("1/3", (1, 3), "1/3"),
            ("100%", (1, 1), "100%"),
            ("0%", (0, 1), "0%"),
        ] {
            let ratio: Ratio = text.parse().unwrap();
            assert_eq!((ratio.terms(), ratio.to_string().as_str()), (terms, shown), "{text}");
        }
        for text in ["", "40", "%", "4O%", "-4%", "1.25%", "1/0", "1/", ".5%", "9999999%", "４０%"] {
            assert!(text.parse::<Ratio>().is_err(), "{text}");
        }
        assert!(Ratio::percent(35) < Ratio::new(2, 5).unwrap());
        assert_eq!(Ratio::percent(40).plus(Ratio::percent(20)), Some(Ratio::percent(60)));
    }

    #[test]
    fn rejects_invalid_ratios_on_the_wire() {
        assert_eq!(
            serde_json::to_string(&Ratio::percent(45)).unwrap(),
            r#"{"numerator":9,"denominator":20}"#
        );
        assert_eq!(
            serde_json::from_str::<Ratio>(r#"{"numerator":45,"denominator":100}"#).unwrap(),
            Ratio::percent(45)
        );
        assert!(serde_json::from_str::<Ratio>(r#"{"numerator":1,"denominator":0}"#).is_err());
        assert_eq!(serde_json::to_string(&Yen(5)).unwrap(), "5");
    }
}

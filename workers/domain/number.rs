//! Guarantee numbers (保証契約番号).
//!
//! A number is opaque text in the published format `^[0-9]{5}-[0-9]{5}[0-9A-Z]$`; no code extracts its parts.
//! Our decision for new numbers: branch, fiscal term, sequence within both, suffix letter.

use std::fmt;

use chrono::NaiveDate;

use crate::{text, wareki};

pub const FIRST_SEQUENCE: i64 = 1;
pub const LAST_SEQUENCE: i64 = 99_999;

/// Fiscal year minus term: term 74 is FY2025.
const YEAR_OF_TERM_0: i32 = 1951;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    #[error(
        "cannot read {quoted:?} as a guarantee number: five digits, a hyphen, five digits and a digit or letter, such as 31074-00001M"
    )]
    Malformed { quoted: String },
    #[error("cannot build a guarantee number for branch {quoted:?}: a branch code is two digits")]
    Branch { quoted: String },
    #[error("cannot build a guarantee number for term {0}: terms run from 1 (FY1952) to 999")]
    Term(i32),
    #[error("cannot build a guarantee number from sequence {0}: sequences start at 1")]
    Sequence(i64),
    #[error(
        "branch {branch} has no guarantee number left in term {term}: {LAST_SEQUENCE} are issued; give the branch a second code"
    )]
    SequenceExhausted { branch: String, term: i32 },
    #[error("cannot build a guarantee number with suffix {0:?}: one of 0-9 or A-Z")]
    Suffix(char),
}

/// A guarantee number in its normal form, such as `31074-00001M`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuaranteeNumber(String);

impl GuaranteeNumber {
    /// Parses a number in either width and case, with any hyphen and spaces around it.
    pub fn parse(value: &str) -> Result<Self, NumberError> {
        let normal = text::to_ascii(text::trim(value)).to_ascii_uppercase();
        if is_number(&normal) {
            Ok(Self(normal))
        } else {
            Err(NumberError::Malformed { quoted: text::quote(value) })
        }
    }

    pub fn build(branch: &str, term: i32, sequence: i64, suffix: char) -> Result<Self, NumberError> {
        if !(branch.len() == 2 && branch.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(NumberError::Branch { quoted: text::quote(branch) });
        }
        if !(1..=999).contains(&term) {
            return Err(NumberError::Term(term));
        }
        if sequence < FIRST_SEQUENCE {
            return Err(NumberError::Sequence(sequence));
        }
        if sequence > LAST_SEQUENCE {
            return Err(NumberError::SequenceExhausted { branch: branch.to_owned(), term });
        }
        if !is_suffix(suffix) {
            return Err(NumberError::Suffix(suffix));
        }
        Ok(Self(format!("{branch}{term:03}-{sequence:05}{suffix}")))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GuaranteeNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Returns the fiscal term of a day: 75 for 2026-04-01 to 2027-03-31.
pub fn term_of(date: NaiveDate) -> i32 {
    wareki::fiscal_year(date) - YEAR_OF_TERM_0
}

pub fn is_suffix(character: char) -> bool {
    character.is_ascii_digit() || character.is_ascii_uppercase()
}

fn is_number(value: &str) -> bool {
    value.len() == 12
        && value.bytes().enumerate().all(|(index, byte)| match index {
            5 => byte == b'-',
            11 => is_suffix(byte.into()),
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parses_published_samples() {
        for (typed, number) in [
            ("31074-00001M", "31074-00001M"),
            ("35075-00000M", "35075-00000M"),
            ("３１０７４－００００１Ｍ", "31074-00001M"),
            ("31074ー00001m", "31074-00001M"),
            ("　31074−000017 ", "31074-000017"),
        ] {
            assert_eq!(GuaranteeNumber::parse(typed).unwrap().to_string(), number);
        }
    }

    #[test]
    fn rejects_malformed_numbers() {
        for typed in [
            "",
            "31074-00001",
            "3107400001M",
            "31074-00001MM",
            "3107A-00001M",
            "31074-00001é",
            "31074\n00001M",
            "٣1074-00001M",
        ] {
            assert!(matches!(GuaranteeNumber::parse(typed), Err(NumberError::Malformed { .. })), "{typed:?}");
        }
    }

    #[test]
    fn builds_numbers_until_the_sequence_is_exhausted() {
        assert_eq!(GuaranteeNumber::build("31", 74, 1, 'M').unwrap().to_string(), "31074-00001M");
        assert_eq!(GuaranteeNumber::build("07", 75, 99_999, '0').unwrap().to_string(), "07075-999990");
        for (branch, term, sequence, suffix, error) in [
            ("31", 75, 100_000, 'M', NumberError::SequenceExhausted { branch: "31".to_owned(), term: 75 }),
            ("31", 75, i64::MAX, 'M', NumberError::SequenceExhausted { branch: "31".to_owned(), term: 75 }),
            ("31", 75, 0, 'M', NumberError::Sequence(0)),
            ("31", 75, -1, 'M', NumberError::Sequence(-1)),
            ("31", 0, 1, 'M', NumberError::Term(0)),
            ("31", 1000, 1, 'M', NumberError::Term(1000)),
            ("3", 75, 1, 'M', NumberError::Branch { quoted: "3".to_owned() }),
            ("３１", 75, 1, 'M', NumberError::Branch { quoted: "３１".to_owned() }),
            ("31", 75, 1, 'm', NumberError::Suffix('m')),
        ] {
            assert_eq!(GuaranteeNumber::build(branch, term, sequence, suffix).unwrap_err(), error);
        }
    }

    #[test]
    fn starts_a_term_in_april() {
        for ((year, month, day), term) in
            [((2026, 3, 31), 74), ((2026, 4, 1), 75), ((2025, 4, 1), 74), ((2027, 3, 31), 75)]
        {
            assert_eq!(term_of(NaiveDate::from_ymd_opt(year, month, day).unwrap()), term);
        }
    }

    proptest! {
        #[test]
        fn parses_what_it_builds(branch in 0..100, term in 1..1000, sequence in 1..100_000_i64, suffix in "[0-9A-Z]") {
            let number = GuaranteeNumber::build(&format!("{branch:02}"), term, sequence, suffix.chars().next().unwrap()).unwrap();
            prop_assert_eq!(GuaranteeNumber::parse(&number.0).unwrap(), number);
        }

        #[test]
        fn never_panics_on_any_text(text in ".*") {
            if let Ok(number) = GuaranteeNumber::parse(&text) {
                prop_assert!(is_number(&number.0));
            }
        }
    }
}

//! Parses dates as people and systems write them.
//!
//! | form | examples |
//! |---|---|
//! | western, by sign | `2026-07-01` `2026/7/1` `2026.7.1` |
//! | western, by word | `2026年7月1日` |
//! | era, by sign | `R8.7.1` `r08/07/01` `S64-1-7` `㋿8.7.1` `R元.5.1` |
//! | era, by word | `令和8年7月1日` `令和元年5月1日` `令和 8 年 7 月 1 日` `㍻31年4月30日` |
//!
//! Digits, letters and signs may have either width, and every character that people type as a hyphen is one.
//! White space may surround a number, but not divide it. Both signs of a date must be equal: `2026-07/01` is
//! a typing error. A western year has four digits. Eight digits in a row are not a date: `20260701` may be
//! the number of another field.
//!
//! A date must lie within its era. Other programs read 平成31年5月1日 as the day it must mean. In a guarantee
//! such a date is rejected, and the error contains the correct one.

use std::ops::RangeInclusive;

use chrono::NaiveDate;

use super::eras::{self, Era};
use crate::text;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DateError {
    #[error("not a day in any form that is read, such as 2026-07-01, 2026年7月1日, 令和8年7月1日 or R8.7.1")]
    Unreadable,
    #[error("the calendar has no such day{}", month_ends(*.last))]
    NoSuchDay {
        /// The last day of the month; `None` if the month or year does not exist either.
        last: Option<NaiveDate>,
    },
    #[error("not a day of {era}, {}{}", era_lasts(*.first, *.last), correction(.corrected.as_deref()))]
    OutsideEra {
        era: &'static str,
        first: NaiveDate,
        /// `None` for the current era.
        last: Option<NaiveDate>,
        /// The same day in its own era: 令和元年5月1日. `None` for a year 0, which no day has.
        corrected: Option<String>,
    },
}

fn month_ends(last: Option<NaiveDate>) -> String {
    last.map(|last| format!(": the month ends on {last}")).unwrap_or_default()
}

fn era_lasts(first: NaiveDate, last: Option<NaiveDate>) -> String {
    last.map_or_else(
        || format!("which began on {first}"),
        |last| format!("which lasted from {first} to {last}"),
    )
}

fn correction(corrected: Option<&str>) -> String {
    corrected.map(|corrected| format!(": {corrected} would be right")).unwrap_or_default()
}

/// Parses a date in any form of the table above, ignoring white space around it.
pub fn parse(text: &str) -> Result<NaiveDate, DateError> {
    if let Some((year, month, day)) = iso(text) {
        return western(i32::from(year), month, day);
    }
    let mut reader = Reader { rest: text::trim(text) };
    let era = reader.era();
    let year = reader.year(era.is_some())?;
    let first = reader.sign()?;
    let month = reader.number(1..=2)?;
    let second = reader.sign()?;
    let day = reader.number(1..=2)?;
    reader.end(first, second)?;
    match era {
        Some(era) => of_era(era, year, month, day),
        None => western(i32::from(year), month, day),
    }
}

/// `YYYY-MM-DD` in plain ASCII, as nearly every date: it takes a few nanoseconds.
fn iso(text: &str) -> Option<(u16, u16, u16)> {
    let bytes: &[u8; 10] = text.as_bytes().try_into().ok()?;
    let number = |digits: &[u8]| {
        digits
            .iter()
            .try_fold(0, |sum, &digit| digit.is_ascii_digit().then(|| sum * 10 + u16::from(digit - b'0')))
    };
    let [year @ .., b'-', _, _, b'-', _, _] = bytes else { return None };
    Some((number(year)?, number(&bytes[5..7])?, number(&bytes[8..])?))
}

fn western(year: i32, month: u16, day: u16) -> Result<NaiveDate, DateError> {
    if year < 1 {
        return Err(DateError::NoSuchDay { last: None });
    }
    let on = |day| NaiveDate::from_ymd_opt(year, u32::from(month), day);
    on(u32::from(day)).ok_or_else(|| DateError::NoSuchDay { last: (28..=31).rev().find_map(on) })
}

fn of_era(era: &Era, year: u16, month: u16, day: u16) -> Result<NaiveDate, DateError> {
    let outside =
        |corrected| DateError::OutsideEra { era: era.name, first: era.first, last: era.last, corrected };
    if year == 0 {
        return Err(outside(None));
    }
    let date = western(era.western(i32::from(year)), month, day)?;
    if era.contains(date) { Ok(date) } else { Err(outside(Some(super::format(date)))) }
}

/// The separator after a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Hyphen,
    Slash,
    Dot,
    Year,
    Month,
    Day,
}

/// Consumes the parts of a date, skipping white space before each part.
struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// Consumes the next character, narrowed to ASCII, if `convert` accepts it.
    fn take<T>(&mut self, convert: impl FnOnce(char) -> Option<T>) -> Option<T> {
        let mut characters = self.rest.chars();
        let found = characters.next().map(text::narrow).and_then(convert)?;
        self.rest = characters.as_str();
        Some(found)
    }

    fn space(&mut self) {
        self.rest = text::trim(self.rest);
    }

    fn era(&mut self) -> Option<&'static Era> {
        let (era, rest) = eras::strip(self.rest)?;
        self.rest = rest;
        Some(era)
    }

    /// A western year has four digits; a year of an era is 元 or up to three.
    /// The error for 昭和100年 contains 令和7年.
    fn year(&mut self, of_era: bool) -> Result<u16, DateError> {
        if !of_era {
            return self.number(4..=4);
        }
        self.space();
        match self.take(|character| (character == '元').then_some(1)) {
            Some(first) => Ok(first),
            None => self.number(1..=3),
        }
    }

    /// A number with this many digits, at most four.
    fn number(&mut self, digits: RangeInclusive<usize>) -> Result<u16, DateError> {
        self.space();
        let (mut number, mut length) = (0, 0);
        while let Some(digit) = self.take(|character| u16::try_from(character.to_digit(10)?).ok()) {
            length += 1;
            if length > *digits.end() {
                return Err(DateError::Unreadable);
            }
            number = number * 10 + digit;
        }
        if digits.contains(&length) { Ok(number) } else { Err(DateError::Unreadable) }
    }

    fn sign(&mut self) -> Result<Sign, DateError> {
        self.space();
        let sign = |character| match character {
            '/' => Some(Sign::Slash),
            '.' => Some(Sign::Dot),
            '年' => Some(Sign::Year),
            '月' => Some(Sign::Month),
            '日' => Some(Sign::Day),
            _ => text::is_hyphen(character).then_some(Sign::Hyphen),
        };
        self.take(sign).ok_or(DateError::Unreadable)
    }

    /// Checks that both signs match, and that at most the 日 of words follows.
    fn end(&mut self, first: Sign, second: Sign) -> Result<(), DateError> {
        let matched = match (first, second) {
            (Sign::Year, Sign::Month) => self.sign()? == Sign::Day,
            (Sign::Hyphen | Sign::Slash | Sign::Dot, _) => first == second,
            _ => false,
        };
        if matched && self.rest.is_empty() { Ok(()) } else { Err(DateError::Unreadable) }
    }
}

#[cfg(test)]
mod tests {
    use chrono::Datelike;
    use proptest::prelude::*;

    use super::*;
    use crate::wareki::format;

    fn day(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).unwrap()
    }

    #[test]
    fn parses_every_form() {
        for text in [
            "2026-07-01",
            "2026-7-1",
            "2026/7/1",
            "2026/07/01",
            "2026.7.1",
            "2026年7月1日",
            "2026年07月01日",
            "２０２６－０７－０１",
            "２０２６／７／１",
            "2026ー07ー01",
            "2026−07−01",
            "2026‐7―1",
            "令和8年7月1日",
            "令和８年７月１日",
            "令和 8 年 7 月 1 日",
            "令和\u{3000}８年\u{3000}７月\u{3000}１日",
            "令和08年07月01日",
            "令和8.7.1",
            "R8.7.1",
            "r08/07/01",
            "Ｒ８．７．１",
            "ｒ８－７－１",
            "R 8. 7. 1",
            "R8年7月1日",
            "㋿8年7月1日",
            "㋿8.7.1",
            " 2026-07-01 ",
            "\u{3000}令和8年7月1日\u{a0}",
        ] {
            assert_eq!(parse(text), Ok(day(2026, 7, 1)), "{text:?}");
        }
    }

    #[test]
    fn parses_eras_to_their_first_and_last_days() {
        for (text, date) in [
            ("令和元年5月1日", day(2019, 5, 1)),
            ("令和1年5月1日", day(2019, 5, 1)),
            ("R元.5.1", day(2019, 5, 1)),
            ("㋿元年5月1日", day(2019, 5, 1)),
            ("平成31年4月30日", day(2019, 4, 30)),
            ("H31.4.30", day(2019, 4, 30)),
            ("㍻31年4月30日", day(2019, 4, 30)),
            ("平成元年1月8日", day(1989, 1, 8)),
            ("昭和64年1月7日", day(1989, 1, 7)),
            ("S64-1-7", day(1989, 1, 7)),
            ("㍼64年1月7日", day(1989, 1, 7)),
            ("昭和元年12月25日", day(1926, 12, 25)),
            ("1926年12月24日", day(1926, 12, 24)),
            ("令和6年2月29日", day(2024, 2, 29)),
            ("昭和39年2月29日", day(1964, 2, 29)),
        ] {
            assert_eq!(parse(text), Ok(date), "{text}");
        }
    }

    #[test]
    fn corrects_days_outside_their_era() {
        for (text, era, last, corrected) in [
            ("平成31年5月1日", "平成", Some(day(2019, 4, 30)), Some("令和元年5月1日")),
            ("H38.7.1", "平成", Some(day(2019, 4, 30)), Some("令和8年7月1日")),
            ("平成元年1月7日", "平成", Some(day(2019, 4, 30)), Some("昭和64年1月7日")),
            ("令和元年4月30日", "令和", None, Some("平成31年4月30日")),
            ("昭和64年1月8日", "昭和", Some(day(1989, 1, 7)), Some("平成元年1月8日")),
            ("昭和65年1月1日", "昭和", Some(day(1989, 1, 7)), Some("平成2年1月1日")),
            ("昭和100年1月1日", "昭和", Some(day(1989, 1, 7)), Some("令和7年1月1日")),
            ("昭和元年12月24日", "昭和", Some(day(1989, 1, 7)), Some("1926年12月24日")),
            ("令和0年7月1日", "令和", None, None),
            ("R00.13.41", "令和", None, None),
        ] {
            match parse(text) {
                Err(DateError::OutsideEra { era: found, last: until, corrected: instead, .. }) => {
                    assert_eq!((found, until, instead.as_deref()), (era, last, corrected), "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn error_messages_contain_corrections() {
        for (text, message) in [
            (
                "平成31年5月1日",
                "not a day of 平成, which lasted from 1989-01-08 to 2019-04-30: 令和元年5月1日 would be right",
            ),
            ("令和0年7月1日", "not a day of 令和, which began on 2019-05-01"),
            ("2026-02-29", "the calendar has no such day: the month ends on 2026-02-28"),
            ("2026-13-01", "the calendar has no such day"),
            (
                "あした",
                "not a day in any form that is read, such as 2026-07-01, 2026年7月1日, 令和8年7月1日 or R8.7.1",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn rejects_days_outside_the_calendar() {
        for (text, last) in [
            ("2026-02-29", Some(day(2026, 2, 28))),
            ("2024-02-30", Some(day(2024, 2, 29))),
            ("2100-02-29", Some(day(2100, 2, 28))),
            ("2026/6/31", Some(day(2026, 6, 30))),
            ("2026-07-00", Some(day(2026, 7, 31))),
            ("令和8年2月29日", Some(day(2026, 2, 28))),
            ("平成31年4月31日", Some(day(2019, 4, 30))),
            ("2026-13-01", None),
            ("2026-00-01", None),
            ("R8.13.1", None),
            ("0000-01-01", None),
        ] {
            assert_eq!(parse(text), Err(DateError::NoSuchDay { last }), "{text}");
        }
        assert_eq!(parse("2000-02-29"), Ok(day(2000, 2, 29)));
    }

    #[test]
    fn rejects_every_other_form() {
        for text in [
            "",
            " ",
            "20260701",
            "２０２６０７０１",
            "令和",
            "R",
            "8年7月1日",
            "8.7.1",
            "26-07-01",
            "02026-07-01",
            "2026-007-01",
            "2026-07-01T00:00:00Z",
            "2026-07-011",
            "2026-07-0a",
            "2026-07",
            "2026-07/01",
            "2026年7月1",
            "2026年7-1",
            "2026-7月1日",
            "2026年7月1日(水)",
            "2026日7月1年",
            "2026年7日1月",
            "-2026-07-01",
            "+2026-07-1",
            "2 026-07-01",
            "2026 07 01",
            "2026-07-01-",
            "2026--07-01",
            "令和元元年7月1日",
            "2026元年7月1日",
            "令和八年七月一日",
            "令和1000年7月1日",
            "大正15年1月1日",
            "明治45年7月29日",
            "令和R8年7月1日",
            "X8.7.1",
            "2026-07-01\n",
            "2026-\n07-01",
            "2026-0\u{663}-01",
            "①-②-③",
            "\u{200b}2026-07-01",
        ] {
            assert_eq!(parse(text), Err(DateError::Unreadable), "{text:?}");
        }
    }

    #[test]
    fn parses_every_formatted_day() {
        let mut days = day(1926, 12, 25).iter_days().take_while(|&date| date <= day(2099, 12, 31));
        assert_eq!(days.find(|&date| parse(&format(date)) != Ok(date)), None);
    }

    fn a_day(from: NaiveDate, to: NaiveDate) -> impl Strategy<Value = NaiveDate> {
        (from.num_days_from_ce()..=to.num_days_from_ce())
            .prop_map(|days| NaiveDate::from_num_days_from_ce_opt(days).unwrap())
    }

    fn wide(text: &str) -> String {
        text.chars().map(|character| char::from_u32(u32::from(character) + 0xfee0).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn parses_all_western_forms(date in a_day(day(1, 1, 1), day(9999, 12, 31))) {
            let (year, month, day) = (date.year(), date.month(), date.day());
            prop_assert_eq!(parse(&date.to_string()), Ok(date));
            prop_assert_eq!(parse(&wide(&date.to_string())), Ok(date));
            prop_assert_eq!(parse(&format!("{year:04}年{month}月{day}日")), Ok(date));
            for sign in "-/.－／．ー−".chars() {
                prop_assert_eq!(parse(&format!("{year:04}{sign}{month}{sign}{day}")), Ok(date));
            }
        }

        #[test]
        fn parses_all_short_forms(date in a_day(day(1926, 12, 25), day(2099, 12, 31))) {
            let era = eras::of(date).unwrap();
            let (year, month, day) = (era.year(date.year()), date.month(), date.day());
            let letter = match era.name { "昭和" => 'S', "平成" => 'H', _ => 'R' };
            for sign in ['-', '/', '.'] {
                let short = format!("{letter}{year}{sign}{month}{sign}{day}");
                prop_assert_eq!(parse(&short), Ok(date));
                prop_assert_eq!(parse(&short.to_lowercase()), Ok(date));
                prop_assert_eq!(parse(&wide(&short)), Ok(date));
                prop_assert_eq!(parse(&format!(" {letter}{year:02}{sign}{month:02}{sign}{day:02}")), Ok(date));
            }
        }

        #[test]
        fn parsed_days_have_the_typed_numbers(numbers in (0..=999_u32, 0..=19_u32, 0..=39_u32), era in "令和|平成|昭和|[RHS]") {
            let (year, month, day) = numbers;
            match parse(&format!("{era}{year}年{month}月{day}日")) {
                Ok(date) => prop_assert_eq!((date.month(), date.day()), (month, day)),
                Err(DateError::OutsideEra { corrected: Some(corrected), .. }) => {
                    prop_assert!(parse(&corrected).is_ok_and(|date| (date.month(), date.day()) == (month, day)));
                }
                Err(error) => prop_assert!(error != DateError::Unreadable),
            }
        }

        #[test]
        fn never_panics_on_any_text(text in ".*|[0-9０-９年月日元令和RHS㋿./ー-]{0,14}|[0-9]{4}-[0-9]{2}-[0-9]{2}") {
            let _ = parse(&text).map_err(|error| error.to_string());
        }
    }
}

//! The eras, with first and last days from the Japanese calendar of ICU4X.

use std::sync::LazyLock;

use chrono::{Datelike, NaiveDate};
use icu_calendar::{Date, cal::Japanese, types::EraYear};

use crate::text;

/// Identifier in the calendar, name, letter and square form.
const SPELLINGS: [(&str, &str, char, char); 3] =
    [("showa", "昭和", 'S', '㍼'), ("heisei", "平成", 'H', '㍻'), ("reiwa", "令和", 'R', '㋿')];

pub(super) struct Era {
    /// Such as 令和.
    pub(super) name: &'static str,
    pub(super) first: NaiveDate,
    /// `None` for the current era.
    pub(super) last: Option<NaiveDate>,
    letter: char,
    square: char,
}

impl Era {
    /// Converts a western year; 1 is 元年, and years before the era are below 1.
    pub(super) fn year(&self, western: i32) -> i32 {
        western - self.first.year() + 1
    }

    /// Converts a year of the era to a western year.
    pub(super) fn western(&self, year: i32) -> i32 {
        self.first.year() + year - 1
    }

    pub(super) fn contains(&self, date: NaiveDate) -> bool {
        self.first <= date && self.last.is_none_or(|last| date <= last)
    }
}

/// Returns `None` before 昭和, and in an era without a spelling.
pub(super) fn of(date: NaiveDate) -> Option<&'static Era> {
    ERAS.iter().rfind(|era| era.contains(date))
}

/// Splits the era from the text after it: 令和, ㋿, or R in either case and width.
pub(super) fn strip(given: &str) -> Option<(&'static Era, &str)> {
    ERAS.iter().find_map(|era| {
        let letter = |character: char| {
            text::narrow(character).to_ascii_uppercase() == era.letter || character == era.square
        };
        given.strip_prefix(era.name).or_else(|| given.strip_prefix(letter)).map(|rest| (era, rest))
    })
}

/// Computed once, because a calendar look-up per date would dominate its cost.
static ERAS: LazyLock<Vec<Era>> = LazyLock::new(|| {
    let changes = changes();
    let eras = changes.iter().enumerate().filter_map(|(index, (year, first))| {
        let (_, name, letter, square) =
            SPELLINGS.into_iter().find(|(code, ..)| year.era.as_str() == *code)?;
        let last = changes.get(index + 1).and_then(|(_, next)| next.pred_opt());
        Some(Era { name, first: *first, last, letter, square })
    });
    eras.collect()
});

/// The years to search for changes of era.
const SEARCHED: std::ops::Range<i32> = 1900..2200;

/// The first days of all eras, in order, with or without a spelling.
fn changes() -> Vec<(EraYear, NaiveDate)> {
    let new_year = |year| NaiveDate::from_ymd_opt(year, 1, 1);
    let mut changes = Vec::new();
    for (from, to) in SEARCHED.filter_map(|year| new_year(year).zip(new_year(year + 1))) {
        if era_of(from).map(|year| year.era) == era_of(to).map(|year| year.era) {
            continue;
        }
        let days = from.iter_days().take_while(|&day| day < to);
        changes.extend(days.zip(from.iter_days().skip(1)).filter_map(|(day, next)| {
            let (before, after) = (era_of(day)?, era_of(next)?);
            (before.era != after.era).then_some((after, next))
        }));
    }
    changes
}

fn era_of(date: NaiveDate) -> Option<EraYear> {
    let (month, day) = (u8::try_from(date.month()).ok()?, u8::try_from(date.day()).ok()?);
    Some(Date::try_new_iso(date.year(), month, day).ok()?.to_calendar(Japanese::new()).era_year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_era_since_showa_has_a_spelling() {
        let changes = changes();
        let codes: Vec<&str> =
            changes.iter().map(|(year, _)| year.era.as_str()).skip_while(|&code| code != "showa").collect();
        assert_eq!(codes, SPELLINGS.map(|(code, ..)| code), "the calendar has a new era");
        assert_eq!(ERAS.len(), SPELLINGS.len());
    }

    #[test]
    fn eras_are_contiguous_and_the_last_is_open() {
        let eras: Vec<String> =
            ERAS.iter().map(|era| format!("{} {} {:?}", era.name, era.first, era.last)).collect();
        assert_eq!(
            eras,
            ["昭和 1926-12-25 Some(1989-01-07)", "平成 1989-01-08 Some(2019-04-30)", "令和 2019-05-01 None"]
        );
    }

    #[test]
    fn years_agree_with_the_calendar() {
        for era in ERAS.iter() {
            let end = era.last.unwrap_or_else(|| NaiveDate::from_ymd_opt(2099, 12, 31).unwrap());
            for date in [era.first, end] {
                assert_eq!(Some(era.year(date.year())), era_of(date).map(|year| year.year), "{date}");
                assert_eq!(era.western(era.year(date.year())), date.year());
            }
        }
    }
}

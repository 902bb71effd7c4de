//! Japanese calendar dates (和暦), and the time zone Asia/Tokyo.
//!
//! The library `icu_calendar` defines when an era begins, and gains a new era with the next Unicode release.
//! The spellings of an era (令和, R, ㋿) are defined here, because the library has only codes. [`format()`]
//! writes one form; [`parse()`] reads that one and many others. Days before 昭和 do not occur in guarantees,
//! and use the western calendar.
//!
//! Rejected: a table of eras. When an era ends, the program would use the old one until the table is updated.

mod eras;
mod parse;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, TimeZone};

pub use parse::{DateError, parse};

/// Formats a date as `令和8年7月1日`; the first year is `令和元年`.
///
/// Dates before 昭和, and from the year 1000 of an era on, are written in the western calendar with a
/// four-digit year. [`parse()`] reads them in no other form.
pub fn format(date: NaiveDate) -> String {
    let (month, day) = (date.month(), date.day());
    match eras::of(date).map(|era| (era.name, era.year(date.year()))) {
        Some((name, 1)) => format!("{name}元年{month}月{day}日"),
        Some((name, year @ ..1_000)) => format!("{name}{year}年{month}月{day}日"),
        _ => format!("{:04}年{month}月{day}日", date.year()),
    }
}

/// Japan has kept +09:00 without daylight saving since 1952: the offset is exact.
pub const TOKYO: FixedOffset = match FixedOffset::east_opt(9 * 3600) {
    Some(offset) => offset,
    None => panic!("nine hours are within a day"),
};

pub fn in_tokyo(utc: NaiveDateTime) -> DateTime<FixedOffset> {
    TOKYO.from_utc_datetime(&utc)
}

/// It begins in April: 2026-04-01 to 2027-03-31 is 2026 (令和8年度).
pub fn fiscal_year(date: NaiveDate) -> i32 {
    if date.month() >= 4 { date.year() } else { date.year() - 1 }
}

/// 31 March of the next year; `None` outside the range of [`NaiveDate`].
pub fn fiscal_year_end(year: i32) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(year.checked_add(1)?, 3, 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).unwrap()
    }

    #[test]
    fn formats_dates_by_era() {
        for (date, text) in [
            (day(2026, 7, 1), "令和8年7月1日"),
            (day(2019, 5, 1), "令和元年5月1日"),
            (day(2019, 4, 30), "平成31年4月30日"),
            (day(1989, 1, 8), "平成元年1月8日"),
            (day(1989, 1, 7), "昭和64年1月7日"),
            (day(1926, 12, 25), "昭和元年12月25日"),
            (day(1926, 12, 24), "1926年12月24日"),
            (day(794, 11, 22), "0794年11月22日"),
            (day(3017, 7, 1), "令和999年7月1日"),
            (day(3018, 7, 1), "3018年7月1日"),
        ] {
            assert_eq!(format(date), text);
        }
    }

    #[test]
    fn starts_a_fiscal_year_in_april() {
        assert_eq!(fiscal_year(day(2026, 3, 31)), 2025);
        assert_eq!(fiscal_year(day(2026, 4, 1)), 2026);
    }

    #[test]
    fn ends_a_fiscal_year_in_march() {
        for date in [day(2026, 4, 1), day(2027, 3, 31), day(2024, 2, 29)] {
            let end = fiscal_year_end(fiscal_year(date)).unwrap();
            assert!(date <= end && end < date + chrono::Months::new(12), "{date}");
            assert_eq!(fiscal_year(end.succ_opt().unwrap()), fiscal_year(date) + 1);
        }
        assert_eq!(fiscal_year_end(2026), Some(day(2027, 3, 31)));
        assert_eq!([fiscal_year_end(i32::MAX), fiscal_year_end(i32::MIN)], [None; 2]);
    }

    #[test]
    fn tokyo_is_nine_hours_ahead_of_utc() {
        let midnight = day(2026, 3, 31).and_hms_opt(15, 0, 0).unwrap();
        for (utc, date, year) in [
            (midnight, day(2026, 4, 1), "令和8年4月1日"),
            (midnight - chrono::TimeDelta::nanoseconds(1), day(2026, 3, 31), "令和8年3月31日"),
            (day(2019, 4, 30).and_hms_opt(15, 0, 0).unwrap(), day(2019, 5, 1), "令和元年5月1日"),
            (day(2019, 4, 30).and_hms_opt(14, 59, 59).unwrap(), day(2019, 4, 30), "平成31年4月30日"),
        ] {
            assert_eq!(in_tokyo(utc).date_naive(), date);
            assert_eq!(format(in_tokyo(utc).date_naive()), year);
        }
    }
}

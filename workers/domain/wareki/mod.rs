//! Dates as certificates show them and people type them: 和暦, Asia/Tokyo.
//!
//! When an era begins is knowledge of the library `icu_calendar`, which learns of a new era when Unicode does; how an era is
//! written (令和, R, ㋿) is ours, because the library knows eras by code only. [`format()`] writes one form, [`parse`] reads
//! many; what [`format()`] writes, [`parse`] reads. 大正 and before are of no use to a guarantee: such a day is written in the
//! western calendar and read from it.
//!
//! A table of eras of our own was here before, and was rejected for the day on which an era ends: then the program
//! would go on writing it until someone remembers the table.

mod eras;
mod reading;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, TimeZone};

pub use reading::{DateError, parse};

/// Writes a date as `令和8年7月1日`; the first year is `令和元年`. Dates before 昭和, and those a thousand years into an era, are
/// written in the western calendar, the year with four digits: neither is read in any other form.
pub fn format(date: NaiveDate) -> String {
    let (month, day) = (date.month(), date.day());
    match eras::of(date).map(|era| (era.name, era.year(date.year()))) {
        Some((name, 1)) => format!("{name}元年{month}月{day}日"),
        Some((name, year @ ..1_000)) => format!("{name}{year}年{month}月{day}日"),
        _ => format!("{:04}年{month}月{day}日", date.year()),
    }
}

/// Asia/Tokyo. Japan has kept +09:00 without daylight saving since 1952, so a fixed offset is exact.
pub const TOKYO: FixedOffset = match FixedOffset::east_opt(9 * 3600) {
    Some(offset) => offset,
    None => panic!("nine hours are within a day"),
};

/// The moment `utc` on the clocks of Tokyo.
pub fn in_tokyo(utc: NaiveDateTime) -> DateTime<FixedOffset> {
    TOKYO.from_utc_datetime(&utc)
}

/// The fiscal year a day belongs to: April to March, named after the year it begins in (2026 = 令和8年度).
pub fn fiscal_year(date: NaiveDate) -> i32 {
    if date.month() >= 4 { date.year() } else { date.year() - 1 }
}

/// The last day of a fiscal year: 31 March of the year after. `None` beyond the calendar.
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
    fn eras_begin_on_their_first_day() {
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
    fn a_fiscal_year_begins_in_april() {
        assert_eq!(fiscal_year(day(2026, 3, 31)), 2025);
        assert_eq!(fiscal_year(day(2026, 4, 1)), 2026);
    }

    #[test]
    fn a_fiscal_year_ends_with_march() {
        for date in [day(2026, 4, 1), day(2027, 3, 31), day(2024, 2, 29)] {
            let end = fiscal_year_end(fiscal_year(date)).unwrap();
            assert!(date <= end && end < date + chrono::Months::new(12), "{date}");
            assert_eq!(fiscal_year(end.succ_opt().unwrap()), fiscal_year(date) + 1);
        }
        assert_eq!(fiscal_year_end(2026), Some(day(2027, 3, 31)));
        assert_eq!([fiscal_year_end(i32::MAX), fiscal_year_end(i32::MIN)], [None; 2]);
    }

    #[test]
    fn tokyo_is_nine_hours_ahead() {
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

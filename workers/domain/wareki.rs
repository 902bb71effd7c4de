//! Dates as certificates show them: 和暦, Asia/Tokyo.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, TimeZone};

/// An era and its first day.
struct Era {
    name: &'static str,
    first_day: (i32, u32, u32),
}

/// Eras newest first (元号法; the first days are those of the cabinet orders).
const ERAS: [Era; 3] = [
    Era { name: "令和", first_day: (2019, 5, 1) },
    Era { name: "平成", first_day: (1989, 1, 8) },
    Era { name: "昭和", first_day: (1926, 12, 25) },
];

/// Writes a date as `令和8年7月1日`; the first year is `令和元年`. Dates before 昭和 are written in the western calendar.
pub fn format(date: NaiveDate) -> String {
    let ymd = (date.year(), date.month(), date.day());
    let year = match ERAS.iter().find(|era| ymd >= era.first_day) {
        None => date.year().to_string(),
        Some(era) if date.year() == era.first_day.0 => format!("{}元", era.name),
        Some(era) => format!("{}{}", era.name, date.year() - era.first_day.0 + 1),
    };
    format!("{year}年{}月{}日", date.month(), date.day())
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
    fn tokyo_is_nine_hours_ahead() {
        let utc = day(2026, 3, 31).and_hms_opt(15, 0, 0).unwrap();
        assert_eq!(in_tokyo(utc).date_naive(), day(2026, 4, 1));
    }
}

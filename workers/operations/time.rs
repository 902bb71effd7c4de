//! Times as operators write them: days and times in Asia/Tokyo, spans before now.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};

use super::Error;
use crate::domain::wareki::TOKYO;

/// Reads a day, a day with a time of day, or a span before `now`. Returns UTC.
pub fn parse(option: &str, text: &str, now: NaiveDateTime) -> Result<NaiveDateTime, Error> {
    let tokyo =
        |local: NaiveDateTime| TOKYO.from_local_datetime(&local).single().map(|time| time.naive_utc());
    let day = |text: &str| {
        NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|day| tokyo(day.and_time(NaiveTime::MIN)))
    };
    let with_time = |text: &str| {
        let text = text.replace('T', " ");
        let formats = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"];
        formats.iter().find_map(|format| NaiveDateTime::parse_from_str(&text, format).ok()).and_then(tokyo)
    };
    let ago = |text: &str| parse_span(text).and_then(|span| now.checked_sub_signed(span));
    day(text).or_else(|| with_time(text)).or_else(|| ago(text)).ok_or_else(|| {
        Error::invalid(format!("{option}: {text:?} is not a time"))
            .hint("write 2026-12-01, \"2026-12-01 09:00\" (Asia/Tokyo), or 90m, 2h, 3d (before now)")
    })
}

/// Reads a span such as 45s, 90m, 2h or 3d.
pub fn parse_span(text: &str) -> Option<TimeDelta> {
    let at = text.char_indices().last()?.0;
    let (number, unit) = text.split_at(at);
    let number: i64 = number.parse().ok().filter(|number| (0..1_000_000).contains(number))?;
    match unit {
        "s" => TimeDelta::try_seconds(number),
        "m" => TimeDelta::try_minutes(number),
        "h" => TimeDelta::try_hours(number),
        "d" => TimeDelta::try_days(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_days_times_and_spans() {
        let now: NaiveDateTime = "2026-12-01T03:00:00".parse().unwrap();
        for (text, utc) in [
            ("2026-12-01", "2026-11-30 15:00:00"),
            ("2026-12-01 09:00", "2026-12-01 00:00:00"),
            ("2026-12-01T09:00:30", "2026-12-01 00:00:30"),
            ("90m", "2026-12-01 01:30:00"),
            ("2h", "2026-12-01 01:00:00"),
            ("3d", "2026-11-28 03:00:00"),
        ] {
            assert_eq!(parse("--since", text, now).unwrap().to_string(), utc, "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "h", "-2h", "5", "99999999999h", "2時間"] {
            assert!(parse("--since", text, now).unwrap_err().to_string().contains("--since"), "{text}");
        }
    }
}

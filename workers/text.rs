//! Counts and times in texts.

use chrono::NaiveDateTime;

/// `1 message`, `2 messages`.
pub fn counted(count: impl TryInto<i64>, one: &str) -> String {
    let count = count.try_into().unwrap_or(i64::MAX);
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// A time (UTC) in Asia/Tokyo, to the second.
pub fn local(at: NaiveDateTime) -> String {
    crate::domain::wareki::in_tokyo(at).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// As [`local`], with the zone, such as `2026-12-01 12:00:00 JST`.
pub fn zoned(at: NaiveDateTime) -> String {
    format!("{} JST", local(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_take_a_plural() {
        assert_eq!(
            [counted(0, "message"), counted(1_usize, "message"), counted(2_u64, "message")],
            ["0 messages", "1 message", "2 messages"]
        );
    }

    #[test]
    fn formats_times_in_tokyo() {
        assert_eq!(local("2026-12-01T03:00:00".parse().unwrap()), "2026-12-01 12:00:00");
        assert_eq!(zoned("2026-12-01T03:00:00".parse().unwrap()), "2026-12-01 12:00:00 JST");
    }
}

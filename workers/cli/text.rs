//! Texts, times and tables that fit the terminal.

use chrono::{DateTime, NaiveDateTime, Utc};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, TableStyle};

use serde_json::Value;

use super::wrap;
pub(super) use crate::operations::counted;
use crate::operations::{local, zoned};

/// In Asia/Tokyo, to the second.
pub(super) fn shown(at: DateTime<Utc>) -> String {
    zoned(at.naive_utc())
}

/// Day and time of day on a line each, for narrow columns; `-` for none.
pub(super) fn stacked(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| local(at.naive_utc()).replace(' ', "\n"))
}

/// A table whose last column wraps where the line ends.
pub(super) fn table<const N: usize>(head: [&str; N]) -> Table {
    fitted(super::table(head), wrap::columns())
}

/// Labels and texts; long texts wrap beside their label.
pub(super) fn labelled<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    for (label, text) in rows {
        table.add_row([label.to_owned(), text]);
    }
    fitted(table, wrap::columns())
}

fn fitted(mut table: Table, width: u16) -> Table {
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    let last = table.column_count().saturating_sub(1);
    for column in table.column_iter_mut().take(last) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    table
}

/// A selection as the options that mean it, such as `--obligee hirakawa`.
pub(super) fn options(selection: &Value) -> String {
    let mut words = Vec::new();
    for (name, value) in selection.as_object().into_iter().flatten() {
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for value in values {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            words.push(match (name.as_str(), text.as_str()) {
                ("what", "numbers" | "obligee" | "since") | ("identity", _) => continue,
                ("what", what) => format!("--{}", what.replace('_', "-")),
                ("numbers", number) => format!("--guarantee {number}"),
                ("ids", id) => id.to_owned(),
                (name, text) => {
                    let text = text.parse::<NaiveDateTime>().map_or_else(|_| text.to_owned(), local);
                    if text.contains(' ') { format!("--{name} {text:?}") } else { format!("--{name} {text}") }
                }
            });
        }
    }
    words.join(" ")
}

/// The text, cut to `longest` characters; `…` marks the cut.
pub(super) fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    text.chars().take(longest.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_texts_end_with_an_ellipsis() {
        assert_eq!(
            (cut("保証契約", 4).as_str(), cut("保証契約番号", 4).as_str(), cut("", 0).as_str()),
            ("保証契約", "保証契…", "")
        );
    }

    #[test]
    fn selections_are_shown_as_options() {
        for (selection, shown) in [
            (r#"{"what":"pending"}"#, "--pending"),
            (r#"{"what":"obligee","obligee":"hirakawa"}"#, "--obligee hirakawa"),
            (
                r#"{"what":"numbers","numbers":["31075-00001M","31075-00002M"]}"#,
                "--guarantee 31075-00001M --guarantee 31075-00002M",
            ),
            (r#"{"what":"since","since":"2026-12-01T00:00:00"}"#, "--since \"2026-12-01 09:00:00\""),
            (r#"{"what":"template_changed","identity":"5b1d"}"#, "--template-changed"),
            (
                r#"{"ids":["5b1d"],"stage":["issue"],"text":"no such user"}"#,
                "5b1d --stage issue --text \"no such user\"",
            ),
        ] {
            assert_eq!(options(&serde_json::from_str(selection).unwrap()), shown);
        }
    }

    #[test]
    fn tables_fit_their_width() {
        let mut table = crate::cli::table(["replay", "state", "reason"]);
        table.add_row([
            "5b1d2c31",
            "complete",
            "relay has the domain again, ticket 4711, and so on and on and on",
        ]);
        let text = fitted(table, 40).to_string();
        assert!(text.lines().all(|line| unicode_width::UnicodeWidthStr::width(line) <= 40), "{text}");
        assert!(text.contains("5b1d2c31") && text.contains("complete"), "{text}");
    }
}

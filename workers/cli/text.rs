//! Texts, times and tables that fit the terminal.

use chrono::{DateTime, Utc};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, TableStyle};

use super::wrap;
pub(super) use crate::operations::counted;
use crate::operations::local;

/// In Asia/Tokyo, to the second.
pub(super) fn shown(at: DateTime<Utc>) -> String {
    local(at.naive_utc())
}

/// Day and time of day on a line each, for narrow columns; `-` for none.
pub(super) fn stacked(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| shown(at).replace(' ', "\n"))
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

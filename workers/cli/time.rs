//! Times as operators read them.

use chrono::{DateTime, Utc};

use crate::operations::local;

/// In Asia/Tokyo, to the second.
pub(super) fn shown(at: DateTime<Utc>) -> String {
    local(at.naive_utc())
}

/// Day and time of day on a line each, for narrow columns; `-` for none.
pub(super) fn stacked(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| shown(at).replace(' ', "\n"))
}

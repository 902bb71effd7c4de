//! Pages of lists.

use std::{fmt, str::FromStr};

use chrono::{DateTime, NaiveDateTime};
use serde::{Serialize, Serializer};

/// A row's place in its list. Rows that come or go elsewhere do not move it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// What the list is ordered by: µs since 1970 (UTC), or a count.
    key: i64,
    /// Orders rows of one key.
    id: String,
}

impl Cursor {
    pub fn new(at: NaiveDateTime, id: &str) -> Self {
        Self::counted(at.and_utc().timestamp_micros(), id)
    }

    pub fn counted(count: i64, id: &str) -> Self {
        Self { key: count, id: id.to_owned() }
    }

    pub fn key(&self) -> (i64, &str) {
        (self.key, &self.id)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.key, self.id)
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('.').and_then(|(key, id)| Some((key.parse().ok()?, id)));
        match parts {
            Some((key @ 0.., id)) if DateTime::from_timestamp_micros(key).is_some() => {
                Ok(Self::counted(key, id))
            }
            _ => Err("a cursor is `next` of the page before"),
        }
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Rows at most.
    pub limit: i64,
    /// [`Page::next`] of the page before; `None` for the first page.
    pub after: Option<Cursor>,
}

impl PageRequest {
    /// Rows to read: one more than the limit shows that there is a next page.
    pub fn rows(&self) -> i64 {
        self.limit.saturating_add(1)
    }

    /// The row after which the page begins, in a list ordered by time.
    pub fn place(&self) -> Option<(NaiveDateTime, &str)> {
        let cursor = self.after.as_ref()?;
        Some((DateTime::from_timestamp_micros(cursor.key)?.naive_utc(), &cursor.id))
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Rows on all pages.
    pub total: i64,
    /// `null` on the last page.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// `rows`: up to [`PageRequest::rows`], from the requested place on.
    pub fn new(
        mut rows: Vec<T>,
        total: i64,
        request: &PageRequest,
        cursor: impl FnOnce(&T) -> Cursor,
    ) -> Self {
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let has_next = rows.len() > limit;
        rows.truncate(limit);
        let next = if has_next { rows.last().map(cursor) } else { None };
        Self { items: rows, total, next }
    }

    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(convert).collect(), total: self.total, next: self.next }
    }

    pub fn try_map<U, E>(self, convert: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        let items = self.items.into_iter().map(convert).collect::<Result<_, E>>()?;
        Ok(Page { items, total: self.total, next: self.next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_names_the_next_one() {
        let page = |rows: &[i64]| {
            let request = PageRequest { limit: 2, after: None };
            Page::new(rows.to_vec(), 9, &request, |row| Cursor::counted(*row, "row"))
        };
        let full = page(&[7, 8, 9]);
        assert_eq!(
            (full.items.as_slice(), full.next.unwrap().to_string()),
            (&[7, 8][..], "8.row".to_owned())
        );
        assert_eq!(page(&[8, 9]).next, None);
    }

    #[test]
    fn reads_only_its_own_cursors() {
        let at = "2026-12-01T00:00:00.000001".parse().unwrap();
        let cursor: Cursor = Cursor::new(at, "5b1d.2").to_string().parse().unwrap();
        let request = PageRequest { limit: 1, after: Some(cursor) };
        assert_eq!(request.place(), Some((at, "5b1d.2")));
        for text in ["", "2", "x.5b1d", "-1.5b1d", "9223372036854775807.5b1d", "99999999999999999999.5b1d"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}

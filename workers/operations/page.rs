//! Pages of lists.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    pub limit: i64,
    /// First row: [`Page::next`] of the page before.
    pub offset: i64,
}

#[derive(Debug, Clone, Serialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Rows on all pages.
    pub total: i64,
    /// Offset of the next page; `null` on the last.
    pub next: Option<i64>,
}

impl<T> Page<T> {
    pub fn new(items: Vec<T>, total: i64, request: PageRequest) -> Self {
        let end = request.offset + i64::try_from(items.len()).unwrap_or(i64::MAX);
        Self { items, total, next: (end < total).then_some(end) }
    }

    /// The page of rows that are all in memory.
    pub fn of(all: Vec<T>, request: PageRequest) -> Self {
        let total = i64::try_from(all.len()).unwrap_or(i64::MAX);
        let amount = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        let items = all.into_iter().skip(amount(request.offset)).take(amount(request.limit)).collect();
        Self::new(items, total, request)
    }

    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(convert).collect(), total: self.total, next: self.next }
    }
}

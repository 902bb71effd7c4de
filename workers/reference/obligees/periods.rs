//! Periods of days, one after another, without gap and without overlap.

use std::ops::Range;

use chrono::NaiveDate;

use super::table::LimitsTable;
use crate::reference::toml_file::FileDiagnostics;

/// A value for the days from `from` until `until`, both included.
/// An absent day is open.
pub(super) struct Period<T> {
    pub(super) from: Option<NaiveDate>,
    pub(super) until: Option<NaiveDate>,
    /// Where the file says so (bytes).
    pub(super) at: Range<usize>,
    pub(super) value: T,
}

impl<T> Period<T> {
    /// Reads the days of a table that begins `at`; `None` when they are no period.
    pub(super) fn read<D>(
        page: &mut FileDiagnostics<'_>,
        table: &LimitsTable<D>,
        at: Range<usize>,
        value: T,
    ) -> Option<Self> {
        let from = table.from.as_ref().map(|from| page.day("from", from));
        let until = table.until.as_ref().map(|until| page.day("until", until));
        let at = table.from.as_ref().map_or(at, toml::Spanned::span);
        if from == Some(None) || until == Some(None) {
            return None;
        }
        let (from, until) = (from.flatten(), until.flatten());
        match (from, until, &table.until) {
            (Some(from), Some(until), Some(written)) if until < from => {
                page.problem(
                    written.span(),
                    format!("until {until} is before from {from}: it is the last day"),
                );
                None
            }
            _ => Some(Self { from, until, at, value }),
        }
    }

    /// `None` is the time before every day that any file names.
    pub(super) fn holds(&self, day: Option<NaiveDate>) -> bool {
        match day {
            None => self.from.is_none(),
            Some(day) => {
                self.from.is_none_or(|from| from <= day) && self.until.is_none_or(|until| day <= until)
            }
        }
    }
}

/// Sorts periods and reports gaps and overlaps; true when there are none.
/// `filling` says how to close a gap.
pub(super) fn in_order<T>(page: &mut FileDiagnostics<'_>, periods: &mut [Period<T>], filling: &str) -> bool {
    periods.sort_by_key(|period| period.from);
    let mut sound = true;
    for (index, period) in periods.iter().enumerate() {
        // Not always the neighbour: a long period may hold beyond a short one.
        let Some(before) =
            periods[..index].iter().max_by_key(|before| before.until.unwrap_or(NaiveDate::MAX))
        else {
            continue;
        };
        let line = page.line(&before.at);
        let problem = match (before.until, period.from) {
            (Some(until), Some(from)) if until < from => {
                let (Some(first), Some(last)) = (until.succ_opt(), from.pred_opt()) else { continue };
                if first == from {
                    continue;
                }
                format!("gap: no [[limits]] holds from {first} until {last}; {filling}")
            }
            (Some(until), _) => {
                format!("this [[limits]] overlaps the one of line {line}, which holds until {until}")
            }
            (None, _) => format!("this [[limits]] overlaps the one of line {line}, which has no until"),
        };
        sound = false;
        page.problem(period.at.clone(), problem);
    }
    sound
}

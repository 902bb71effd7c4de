//! Merges an obligee's limits over the national ones of the day, and checks them.
//!
//! The result is split wherever either of the two changes, so a rule has complete limits on any day. A
//! contradiction that only the result has (an obligee's low-price ratio against the national ordinary one) is
//! reported at the obligee's line, which can be edited for this obligee alone.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::{
    contradictions,
    national::National,
    periods::{self, Period},
    table::{Given, LimitsTable},
};
use crate::{
    domain::limits::{Limits, Timeline, fields::Origins},
    reference::toml_file::FileDiagnostics,
};

struct Own {
    given: Given,
    disaster_area: bool,
}

/// Reads an obligee's periods and lays them over the national limits.
/// `None` when that cannot be done.
pub(super) fn read(
    page: &mut FileDiagnostics<'_>,
    tables: &[toml::Spanned<LimitsTable<bool>>],
    national: Option<&Timeline<National>>,
) -> Option<(Timeline<Limits>, Timeline<Origins>)> {
    let periods: Vec<_> = tables
        .iter()
        .map(|table| {
            let own = Own {
                given: table.get_ref().given(page),
                disaster_area: table.get_ref().disaster_area == Some(true),
            };
            Period::read(page, table.get_ref(), table.span(), own)
        })
        .collect();
    let mut periods: Vec<_> = periods.into_iter().collect::<Option<_>>()?;
    let sound = periods::in_order(
        page,
        &mut periods,
        "give these days a [[limits]] of their own, empty for the national limits",
    );
    Some(laid(page, &periods, national.filter(|_| sound)?))
}

/// Both timelines: the limits, and who says each field.
fn laid(
    page: &mut FileDiagnostics<'_>,
    periods: &[Period<Own>],
    national: &Timeline<National>,
) -> (Timeline<Limits>, Timeline<Origins>) {
    let mut days: BTreeSet<NaiveDate> = national.iter().filter_map(|(from, _)| from).collect();
    days.extend(periods.iter().filter_map(|period| period.from));
    days.extend(periods.iter().filter_map(|period| period.until?.succ_opt()));
    let mut on = |day: Option<NaiveDate>| {
        let (since, national) = day.map_or_else(|| (None, national.first()), |day| national.period(day));
        let mut limits = national.limits.clone();
        let Some(Period { value: own, .. }) = periods.iter().find(|period| period.holds(day)) else {
            return (limits, Origins::default());
        };
        if own.disaster_area {
            limits.advance.ratios = national.disaster_area;
        }
        for (field, placed) in &own.given.0 {
            field.set(&mut limits, placed.amount);
        }
        contradictions::report(
            page,
            &limits,
            &own.given,
            &since.map_or_else(|| " nationally".to_owned(), |since| format!(" nationally since {since}")),
        );
        (limits, Origins { own: own.given.0.keys().copied().collect(), disaster_area: own.disaster_area })
    };
    let (limits, origins) = on(None);
    let (later_limits, later_origins): (BTreeMap<_, _>, BTreeMap<_, _>) = days
        .into_iter()
        .map(|day| {
            let (limits, origins) = on(Some(day));
            ((day, limits), (day, origins))
        })
        .unzip();
    (Timeline::changing(limits, later_limits), Timeline::changing(origins, later_origins))
}

#[cfg(test)]
mod tests;

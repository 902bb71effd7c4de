//! Lays what an obligee says of its limits over what the country says on the same day, and judges what comes out.
//!
//! The outcome is split wherever either of the two changes, so a rule meets whole limits whatever the day. What is impossible only in
//! the outcome (an obligee's low-price ratio against the national ordinary one) is a problem of the obligee's line: it is the one that can
//! be edited for this obligee alone.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::{
    figures::{Given, LimitsTable},
    national::National,
    periods::{self, Period},
};
use crate::{
    domain::limits::{
        Limits, Timeline,
        fields::{LimitField, Origins},
    },
    entries::Page,
};

/// What may not be more than what. An advance may reach the total and more: then there is nothing left for an interim one.
const AT_MOST: [(LimitField, LimitField); 8] = [
    (LimitField::AdvanceLowPrice, LimitField::AdvanceConstruction),
    (LimitField::AdvanceRoundingUnit, LimitField::AdvanceMaximum),
    (LimitField::InterimRatio, LimitField::InterimTotal),
    (LimitField::InterimLowPriceRatio, LimitField::InterimRatio),
    (LimitField::InterimLowPriceRatio, LimitField::InterimLowPriceTotal),
    (LimitField::InterimLowPriceTotal, LimitField::InterimTotal),
    (LimitField::InterimRoundingUnit, LimitField::InterimMaximum),
    (LimitField::PerformanceMinimum, LimitField::PerformanceLowPriceMinimum),
];

/// What an obligee says of one period.
struct Own {
    given: Given,
    disaster_area: bool,
}

/// Reads an obligee's periods and lays them over the national limits; `None` when that cannot be done.
pub(super) fn read(
    page: &mut Page<'_>,
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

/// Both timelines: the limits, and who says each figure.
fn laid(
    page: &mut Page<'_>,
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
        for (figure, placed) in &own.given.0 {
            figure.set(&mut limits, placed.amount);
        }
        judge(
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

/// Tells impossible pairs of figures where a file that gives one of them says so; `elsewhere` follows a figure of somebody else.
pub(super) fn judge(page: &mut Page<'_>, limits: &Limits, given: &Given, elsewhere: &str) {
    for (less, more) in AT_MOST {
        let (Some(low), Some(high)) = (less.of(limits), more.of(limits)) else { continue };
        let (own_low, own_high) = (given.0.get(&less), given.0.get(&more));
        // Of two the later line: it is the one that contradicts what was read before.
        let Some(place) = own_low.into_iter().chain(own_high).max_by_key(|placed| placed.at.start) else {
            continue;
        };
        if low > high {
            let told = |own: Option<_>| if own.is_some() { "" } else { elsewhere };
            let text = format!(
                "{less} is {low}{} and more than {more}, which is {high}{}",
                told(own_low),
                told(own_high)
            );
            page.problem(place.at.clone(), text);
        }
    }
}

#[cfg(test)]
mod tests;

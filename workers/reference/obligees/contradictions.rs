//! Pairs of limits that contradict each other.

use super::table::Given;
use crate::{
    domain::limits::{Limits, fields::LimitField},
    reference::toml_file::FileDiagnostics,
};

/// Pairs in which the first may not exceed the second.
/// An advance may reach the total: then no interim one is possible.
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

/// Reports impossible pairs of values at a file that sets one of them.
/// `elsewhere` follows a value of another file.
pub(super) fn report(page: &mut FileDiagnostics<'_>, limits: &Limits, given: &Given, elsewhere: &str) {
    for (less, more) in AT_MOST {
        let (Some(low), Some(high)) = (less.of(limits), more.of(limits)) else { continue };
        let (own_low, own_high) = (given.0.get(&less), given.0.get(&more));
        // Of two the later line: it is the one that contradicts what was read before.
        let Some(place) = own_low.into_iter().chain(own_high).max_by_key(|placed| placed.at.start) else {
            continue;
        };
        if low > high {
            let origin = |own: Option<_>| if own.is_some() { "" } else { elsewhere };
            let text = format!(
                "{less} is {low}{} and more than {more}, which is {high}{}",
                origin(own_low),
                origin(own_high)
            );
            page.problem(place.at.clone(), text);
        }
    }
}

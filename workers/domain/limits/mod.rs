//! The limits of an obligee's guarantees (rules 8 to 10), and their first days.
//!
//! A [`Timeline`] is a contiguous list of periods. One date of the works selects the period, so a contract
//! keeps the limits of its day whatever the obligee decides later. The national defaults are a timeline too.
//! `hosho::reference::obligees` reads both files and overrides the defaults with the obligee's values, so a
//! rule always gets complete [`Limits`].

pub mod fields;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use hosho_schema::{
    messages::WorksKindV1,
    money::{Ratio, Yen},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// 前払金 (rule 8).
    pub advance: AdvanceLimits,
    /// 中間前払金 (rule 9).
    pub interim: InterimLimits,
    /// 契約保証 (rule 10).
    pub performance: PerformanceLimits,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvanceLimits {
    /// Maximum share of the base.
    pub ratios: KindRatios,
    /// Maximum share for a low-price tender, where it is less.
    pub low_price: Ratio,
    /// The maximum is rounded down to a multiple of this, such as 1万円.
    pub rounding_unit: Yen,
    /// The obligee makes no advance below this 請負金額.
    pub minimum_contract_price: Option<Yen>,
    /// Absolute maximum, whatever the ratio.
    pub maximum: Option<Yen>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindRatios {
    pub construction: Ratio,
    pub design: Ratio,
    pub surveying: Ratio,
    pub machinery: Ratio,
}

impl KindRatios {
    pub fn of(&self, kind: WorksKindV1) -> Ratio {
        match kind {
            WorksKindV1::Construction => self.construction,
            WorksKindV1::Design => self.design,
            WorksKindV1::Surveying => self.surveying,
            WorksKindV1::Machinery => self.machinery,
        }
    }
}

impl AdvanceLimits {
    /// Returns the ratio for a kind of works; for a low-price tender the smaller one.
    pub fn ratio(&self, kind: WorksKindV1, low_price: bool) -> Ratio {
        let ratio = self.ratios.of(kind);
        if low_price { ratio.min(self.low_price) } else { ratio }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterimLimits {
    /// Maximum share of the base.
    pub ratio: Ratio,
    pub low_price_ratio: Ratio,
    /// Maximum share of the base for 前払金 and 中間前払金 together.
    pub total: Ratio,
    pub low_price_total: Ratio,
    /// Both maxima are rounded down to a multiple of this.
    pub rounding_unit: Yen,
    /// Absolute maximum, whatever the ratio.
    pub maximum: Option<Yen>,
}

impl InterimLimits {
    pub fn ratio(&self, low_price: bool) -> Ratio {
        if low_price { self.low_price_ratio } else { self.ratio }
    }

    pub fn total(&self, low_price: bool) -> Ratio {
        if low_price { self.low_price_total } else { self.total }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerformanceLimits {
    /// Minimum share of 請負金額.
    pub minimum: Ratio,
    pub low_price_minimum: Ratio,
}

/// Each value is valid until the next one's first day; the first has no beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline<T> {
    first: T,
    later: Vec<(NaiveDate, T)>,
}

impl<T> Timeline<T> {
    pub fn always(value: T) -> Self {
        Self { first: value, later: Vec::new() }
    }

    /// Values by their first day. A value equal to the one before it begins no period.
    pub fn changing(first: T, later: BTreeMap<NaiveDate, T>) -> Self
    where
        T: PartialEq,
    {
        let mut timeline = Self::always(first);
        for (from, value) in later {
            if *timeline.latest() != value {
                timeline.later.push((from, value));
            }
        }
        timeline
    }

    fn latest(&self) -> &T {
        self.later.last().map_or(&self.first, |(_, value)| value)
    }

    /// Returns the value as the error unless its first day is after all others.
    pub fn push(&mut self, from: NaiveDate, value: T) -> Result<(), T> {
        if self.later.last().is_some_and(|(last, _)| *last >= from) {
            return Err(value);
        }
        self.later.push((from, value));
        Ok(())
    }

    pub fn on(&self, day: NaiveDate) -> &T {
        self.period(day).1
    }

    /// The period of a day: its first day (`None` for the first period) and its value.
    pub fn period(&self, day: NaiveDate) -> (Option<NaiveDate>, &T) {
        self.later
            .iter()
            .rev()
            .find(|(from, _)| *from <= day)
            .map_or((None, &self.first), |(from, value)| (Some(*from), value))
    }

    pub fn first(&self) -> &T {
        &self.first
    }

    /// The next period after a day: its first day and its value.
    pub fn next_after(&self, day: NaiveDate) -> Option<(NaiveDate, &T)> {
        self.later.iter().find(|(from, _)| *from > day).map(|(from, value)| (*from, value))
    }

    pub fn map<U>(&self, make: impl Fn(&T) -> U) -> Timeline<U> {
        Timeline {
            first: make(&self.first),
            later: self.later.iter().map(|(from, value)| (*from, make(value))).collect(),
        }
    }

    /// The value, if it is the same on all days.
    pub fn only(&self) -> Option<&T> {
        self.later.is_empty().then_some(&self.first)
    }

    /// Iterates over the periods from the oldest, each with its first day.
    pub fn iter(&self) -> impl Iterator<Item = (Option<NaiveDate>, &T)> {
        [(None, &self.first)].into_iter().chain(self.later.iter().map(|(from, value)| (Some(*from), value)))
    }
}

/// The limits of the business rules without any obligee's own, for tests.
#[cfg(test)]
pub(crate) fn default_limits() -> Limits {
    let percent = Ratio::percent;
    Limits {
        advance: AdvanceLimits {
            ratios: KindRatios {
                construction: percent(40),
                design: percent(30),
                surveying: percent(30),
                machinery: percent(30),
            },
            low_price: percent(20),
            rounding_unit: Yen(10_000),
            minimum_contract_price: None,
            maximum: None,
        },
        interim: InterimLimits {
            ratio: percent(20),
            low_price_ratio: percent(10),
            total: percent(60),
            low_price_total: percent(30),
            rounding_unit: Yen(10_000),
            maximum: None,
        },
        performance: PerformanceLimits { minimum: percent(10), low_price_minimum: percent(30) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).unwrap()
    }

    #[test]
    fn returns_the_period_of_each_day() {
        let mut timeline = Timeline::always("a");
        assert_eq!(timeline.only(), Some(&"a"));
        timeline.push(day(2026, 4, 1), "b").unwrap();
        timeline.push(day(2027, 4, 1), "c").unwrap();
        assert_eq!(timeline.push(day(2027, 4, 1), "d"), Err("d"));
        for (on, value) in [
            (day(2000, 1, 1), "a"),
            (day(2026, 3, 31), "a"),
            (day(2026, 4, 1), "b"),
            (day(2027, 3, 31), "b"),
            (day(2027, 4, 1), "c"),
            (day(2099, 1, 1), "c"),
        ] {
            assert_eq!(*timeline.on(on), value, "{on}");
        }
        assert_eq!(timeline.only(), None);
        assert_eq!(timeline.iter().count(), 3);
        assert_eq!(timeline.period(day(2026, 3, 31)), (None, &"a"));
        assert_eq!(timeline.period(day(2026, 4, 1)), (Some(day(2026, 4, 1)), &"b"));
        assert_eq!(timeline.next_after(day(2026, 3, 31)), Some((day(2026, 4, 1), &"b")));
        assert_eq!(timeline.next_after(day(2026, 4, 1)), Some((day(2027, 4, 1), &"c")));
        assert_eq!(timeline.next_after(day(2027, 4, 1)), None);
        assert_eq!(*timeline.map(|value| value.len()).on(day(2027, 4, 1)), 1);
    }

    #[test]
    fn equal_values_make_one_period() {
        let later = BTreeMap::from([
            (day(2026, 4, 1), "a"),
            (day(2027, 4, 1), "b"),
            (day(2028, 4, 1), "b"),
            (day(2029, 4, 1), "a"),
        ]);
        let timeline = Timeline::changing("a", later);
        let periods: Vec<_> = timeline.iter().collect();
        assert_eq!(periods, [(None, &"a"), (Some(day(2027, 4, 1)), &"b"), (Some(day(2029, 4, 1)), &"a")]);
        assert_eq!(Timeline::changing("a", BTreeMap::from([(day(2026, 4, 1), "a")])).only(), Some(&"a"));
    }

    #[test]
    fn low_price_tenders_get_the_smaller_ratio() {
        let mut limits = default_limits().advance;
        assert_eq!(limits.ratio(WorksKindV1::Construction, false), Ratio::percent(40));
        assert_eq!(limits.ratio(WorksKindV1::Surveying, false), Ratio::percent(30));
        assert_eq!(limits.ratio(WorksKindV1::Construction, true), Ratio::percent(20));
        limits.ratios.design = Ratio::percent(15);
        assert_eq!(limits.ratio(WorksKindV1::Design, true), Ratio::percent(15));
    }
}

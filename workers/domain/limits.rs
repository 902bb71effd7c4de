//! What an obligee allows and demands in figures (rules 8 to 10), and since when.
//!
//! A [`Timeline`] is a contiguous row of periods: which one holds is decided by one date of the works, so a contract keeps for life the
//! limits of its day, whatever the obligee decides later. The national defaults are a timeline too; reading both files and laying an
//! obligee's values over the defaults is `hosho::reference::obligees`, so that a rule meets whole [`Limits`] and never a gap.

pub mod figures;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use hosho_schema::{
    messages::WorksKindV1,
    money::{Ratio, Yen},
};

/// Limits of one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// 前払金 (rule 8).
    pub advance: AdvanceLimits,
    /// 中間前払金 (rule 9).
    pub interim: InterimLimits,
    /// 契約保証 (rule 10).
    pub performance: PerformanceLimits,
}

/// Limits of 前払金.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvanceLimits {
    /// Most of the base, by kind of works.
    pub ratios: KindRatios,
    /// Most of the base for a low-price tender, where that is less.
    pub low_price: Ratio,
    /// What the most is rounded down to, such as 1万円.
    pub rounding_unit: Yen,
    /// 請負金額 from which advances are made.
    pub minimum_contract_price: Option<Yen>,
    /// Most in yen, whatever the ratio gives.
    pub maximum: Option<Yen>,
}

/// A ratio for each kind of works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindRatios {
    /// 工事.
    pub construction: Ratio,
    /// 設計・調査.
    pub design: Ratio,
    /// 測量.
    pub surveying: Ratio,
    /// 機械製造.
    pub machinery: Ratio,
}

impl KindRatios {
    /// The ratio of a kind.
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
    /// The ratio for a kind of works; a low-price tender gets the smaller one.
    pub fn ratio(&self, kind: WorksKindV1, low_price: bool) -> Ratio {
        let ratio = self.ratios.of(kind);
        if low_price { ratio.min(self.low_price) } else { ratio }
    }
}

/// Limits of 中間前払金.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterimLimits {
    /// Most of the base.
    pub ratio: Ratio,
    /// Most of the base for a low-price tender.
    pub low_price_ratio: Ratio,
    /// Most of the base for 前払金 and 中間前払金 together.
    pub total: Ratio,
    /// The same for a low-price tender.
    pub low_price_total: Ratio,
    /// What both are rounded down to.
    pub rounding_unit: Yen,
    /// Most in yen, whatever the ratio gives.
    pub maximum: Option<Yen>,
}

/// Limits of 契約保証.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerformanceLimits {
    /// Least of 請負金額.
    pub minimum: Ratio,
    /// The same for a low-price tender.
    pub low_price_minimum: Ratio,
}

/// Values that hold from a day on, until the next one's day; the first holds since ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline<T> {
    first: T,
    later: Vec<(NaiveDate, T)>,
}

impl<T> Timeline<T> {
    /// One value for all time.
    pub fn always(value: T) -> Self {
        Self { first: value, later: Vec::new() }
    }

    /// Values by their first day. One that equals the value before it begins no period: nothing changes on its day.
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

    /// Lets `value` hold from a day on. Days come in ascending order; what is not later than the last one replaces nothing
    /// and is handed back.
    pub fn then(&mut self, from: NaiveDate, value: T) -> Result<(), T> {
        if self.later.last().is_some_and(|(last, _)| *last >= from) {
            return Err(value);
        }
        self.later.push((from, value));
        Ok(())
    }

    /// The value that holds on a day.
    pub fn on(&self, day: NaiveDate) -> &T {
        self.period(day).1
    }

    /// The first day (`None`: since ever) and the value of the period a day is in.
    pub fn period(&self, day: NaiveDate) -> (Option<NaiveDate>, &T) {
        self.later
            .iter()
            .rev()
            .find(|(from, _)| *from <= day)
            .map_or((None, &self.first), |(from, value)| (Some(*from), value))
    }

    /// The value before any period begins that has a first day.
    pub fn first(&self) -> &T {
        &self.first
    }

    /// The first day and the value of the next period after a day.
    pub fn next_after(&self, day: NaiveDate) -> Option<(NaiveDate, &T)> {
        self.later.iter().find(|(from, _)| *from > day).map(|(from, value)| (*from, value))
    }

    /// The same periods with values made of these.
    pub fn map<U>(&self, make: impl Fn(&T) -> U) -> Timeline<U> {
        Timeline {
            first: make(&self.first),
            later: self.later.iter().map(|(from, value)| (*from, make(value))).collect(),
        }
    }

    /// The only value, where nothing ever changes: then no day is needed to know it.
    pub fn only(&self) -> Option<&T> {
        self.later.is_empty().then_some(&self.first)
    }

    /// Every period with its first day (`None`: since ever), the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Option<NaiveDate>, &T)> {
        [(None, &self.first)].into_iter().chain(self.later.iter().map(|(from, value)| (Some(*from), value)))
    }
}

/// Limits that no file had a say in, for tests of rules.
#[cfg(test)]
pub(crate) fn usual() -> Limits {
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
    fn a_period_begins_on_its_first_day_and_ends_before_the_next() {
        let mut timeline = Timeline::always("a");
        assert_eq!(timeline.only(), Some(&"a"));
        timeline.then(day(2026, 4, 1), "b").unwrap();
        timeline.then(day(2027, 4, 1), "c").unwrap();
        assert_eq!(timeline.then(day(2027, 4, 1), "d"), Err("d"));
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
    fn what_stays_equal_begins_no_period() {
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
    fn a_low_price_tender_gets_the_smaller_ratio() {
        let mut limits = usual().advance;
        assert_eq!(limits.ratio(WorksKindV1::Construction, false), Ratio::percent(40));
        assert_eq!(limits.ratio(WorksKindV1::Surveying, false), Ratio::percent(30));
        assert_eq!(limits.ratio(WorksKindV1::Construction, true), Ratio::percent(20));
        limits.ratios.design = Ratio::percent(15);
        assert_eq!(limits.ratio(WorksKindV1::Design, true), Ratio::percent(15));
    }
}

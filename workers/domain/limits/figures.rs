//! Every figure of [`Limits`] by the name that files give it, so that reading, laying over, comparing and showing them are loops over
//! one list. Rules name the fields themselves; this is for whoever treats all figures alike.

use std::{collections::BTreeSet, fmt};

use hosho_schema::money::{Ratio, Yen};
use serde::Serialize;

use super::Limits;

/// A figure of [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    AdvanceConstruction,
    AdvanceDesign,
    AdvanceSurveying,
    AdvanceMachinery,
    AdvanceLowPrice,
    AdvanceRoundingUnit,
    AdvanceMinimumContractPrice,
    AdvanceMaximum,
    InterimRatio,
    InterimLowPriceRatio,
    InterimTotal,
    InterimLowPriceTotal,
    InterimRoundingUnit,
    InterimMaximum,
    PerformanceMinimum,
    PerformanceLowPriceMinimum,
}

/// The value of a [`Figure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Amount {
    /// A part of something.
    Ratio(Ratio),
    /// Whole yen.
    Yen(Yen),
}

/// Writes it as people read it: `45%`, `10,000円`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ratio(ratio) => ratio.fmt(f),
            Self::Yen(yen) => yen.fmt(f),
        }
    }
}

/// Where a figure stands in [`Limits`].
enum Slot<'a> {
    Ratio(&'a mut Ratio),
    Yen(&'a mut Yen),
    MaybeYen(&'a mut Option<Yen>),
}

impl Figure {
    /// Every figure, in the order of the files.
    pub const ALL: [Self; 16] = [
        Self::AdvanceConstruction,
        Self::AdvanceDesign,
        Self::AdvanceSurveying,
        Self::AdvanceMachinery,
        Self::AdvanceLowPrice,
        Self::AdvanceRoundingUnit,
        Self::AdvanceMinimumContractPrice,
        Self::AdvanceMaximum,
        Self::InterimRatio,
        Self::InterimLowPriceRatio,
        Self::InterimTotal,
        Self::InterimLowPriceTotal,
        Self::InterimRoundingUnit,
        Self::InterimMaximum,
        Self::PerformanceMinimum,
        Self::PerformanceLowPriceMinimum,
    ];

    /// Its table and its key there.
    pub const fn name(self) -> (&'static str, &'static str) {
        const ADVANCE: &str = "advance_payment";
        const INTERIM: &str = "interim_advance_payment";
        const PERFORMANCE: &str = "performance";
        match self {
            Self::AdvanceConstruction => (ADVANCE, "construction"),
            Self::AdvanceDesign => (ADVANCE, "design"),
            Self::AdvanceSurveying => (ADVANCE, "surveying"),
            Self::AdvanceMachinery => (ADVANCE, "machinery"),
            Self::AdvanceLowPrice => (ADVANCE, "low_price"),
            Self::AdvanceRoundingUnit => (ADVANCE, "rounding_unit"),
            Self::AdvanceMinimumContractPrice => (ADVANCE, "minimum_contract_price"),
            Self::AdvanceMaximum => (ADVANCE, "maximum"),
            Self::InterimRatio => (INTERIM, "ratio"),
            Self::InterimLowPriceRatio => (INTERIM, "low_price_ratio"),
            Self::InterimTotal => (INTERIM, "total"),
            Self::InterimLowPriceTotal => (INTERIM, "low_price_total"),
            Self::InterimRoundingUnit => (INTERIM, "rounding_unit"),
            Self::InterimMaximum => (INTERIM, "maximum"),
            Self::PerformanceMinimum => (PERFORMANCE, "minimum"),
            Self::PerformanceLowPriceMinimum => (PERFORMANCE, "low_price_minimum"),
        }
    }

    /// What it is called.
    pub const fn ja(self) -> &'static str {
        match self {
            Self::AdvanceConstruction => "前払金の上限（工事）",
            Self::AdvanceDesign => "前払金の上限（設計・調査）",
            Self::AdvanceSurveying => "前払金の上限（測量）",
            Self::AdvanceMachinery => "前払金の上限（機械製造）",
            Self::AdvanceLowPrice => "前払金の上限（低入札）",
            Self::AdvanceRoundingUnit => "前払金の端数切捨て単位",
            Self::AdvanceMinimumContractPrice => "前払金の最低請負金額",
            Self::AdvanceMaximum => "前払金の限度額",
            Self::InterimRatio => "中間前払金の上限",
            Self::InterimLowPriceRatio => "中間前払金の上限（低入札）",
            Self::InterimTotal => "前払金との合計の上限",
            Self::InterimLowPriceTotal => "前払金との合計の上限（低入札）",
            Self::InterimRoundingUnit => "中間前払金の端数切捨て単位",
            Self::InterimMaximum => "中間前払金の限度額",
            Self::PerformanceMinimum => "契約保証の下限",
            Self::PerformanceLowPriceMinimum => "契約保証の下限（低入札）",
        }
    }

    /// The figure of a table and key.
    pub fn named(table: &str, key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|figure| figure.name() == (table, key))
    }

    /// Whether it is a ratio; yen otherwise.
    pub const fn is_ratio(self) -> bool {
        !self.may_be_absent() && !self.is_rounding_unit()
    }

    /// Whether it is what amounts are rounded down to.
    pub const fn is_rounding_unit(self) -> bool {
        matches!(self, Self::AdvanceRoundingUnit | Self::InterimRoundingUnit)
    }

    /// Whether limits may be without it: a bound in yen.
    pub const fn may_be_absent(self) -> bool {
        matches!(self, Self::AdvanceMinimumContractPrice | Self::AdvanceMaximum | Self::InterimMaximum)
    }

    /// Whether it is the ratio of 前払金 for one kind of works: what a disaster area raises.
    pub const fn is_of_kind(self) -> bool {
        matches!(
            self,
            Self::AdvanceConstruction | Self::AdvanceDesign | Self::AdvanceSurveying | Self::AdvanceMachinery
        )
    }

    /// Its value; `None` where there is no such bound.
    pub fn of(self, limits: &Limits) -> Option<Amount> {
        match self.slot(&mut limits.clone()) {
            Slot::Ratio(ratio) => Some(Amount::Ratio(*ratio)),
            Slot::Yen(yen) => Some(Amount::Yen(*yen)),
            Slot::MaybeYen(yen) => yen.map(Amount::Yen),
        }
    }

    /// Gives it a value. A ratio where yen belong, or the reverse, changes nothing.
    pub fn put(self, limits: &mut Limits, amount: Amount) {
        match (self.slot(limits), amount) {
            (Slot::Ratio(slot), Amount::Ratio(ratio)) => *slot = ratio,
            (Slot::Yen(slot), Amount::Yen(yen)) => *slot = yen,
            (Slot::MaybeYen(slot), Amount::Yen(yen)) => *slot = Some(yen),
            (Slot::Ratio(_), Amount::Yen(_)) | (Slot::Yen(_) | Slot::MaybeYen(_), Amount::Ratio(_)) => {}
        }
    }

    fn slot(self, limits: &mut Limits) -> Slot<'_> {
        let Limits { advance, interim, performance } = limits;
        match self {
            Self::AdvanceConstruction => Slot::Ratio(&mut advance.ratios.construction),
            Self::AdvanceDesign => Slot::Ratio(&mut advance.ratios.design),
            Self::AdvanceSurveying => Slot::Ratio(&mut advance.ratios.surveying),
            Self::AdvanceMachinery => Slot::Ratio(&mut advance.ratios.machinery),
            Self::AdvanceLowPrice => Slot::Ratio(&mut advance.low_price),
            Self::AdvanceRoundingUnit => Slot::Yen(&mut advance.rounding_unit),
            Self::AdvanceMinimumContractPrice => Slot::MaybeYen(&mut advance.minimum_contract_price),
            Self::AdvanceMaximum => Slot::MaybeYen(&mut advance.maximum),
            Self::InterimRatio => Slot::Ratio(&mut interim.ratio),
            Self::InterimLowPriceRatio => Slot::Ratio(&mut interim.low_price_ratio),
            Self::InterimTotal => Slot::Ratio(&mut interim.total),
            Self::InterimLowPriceTotal => Slot::Ratio(&mut interim.low_price_total),
            Self::InterimRoundingUnit => Slot::Yen(&mut interim.rounding_unit),
            Self::InterimMaximum => Slot::MaybeYen(&mut interim.maximum),
            Self::PerformanceMinimum => Slot::Ratio(&mut performance.minimum),
            Self::PerformanceLowPriceMinimum => Slot::Ratio(&mut performance.low_price_minimum),
        }
    }
}

/// Writes `advance_payment.construction`.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, key) = self.name();
        f.pad(&format!("{table}.{key}"))
    }
}

/// Who says a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The national limits.
    National,
    /// The national limits of disaster areas.
    DisasterArea,
    /// The obligee itself.
    Own,
}

/// Who says each figure of an obligee's limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    /// What the obligee says itself.
    pub own: BTreeSet<Figure>,
    /// Whether the rest is that of a disaster area.
    pub disaster_area: bool,
}

impl Origins {
    /// Who says a figure.
    pub fn of(&self, figure: Figure) -> Origin {
        if self.own.contains(&figure) {
            Origin::Own
        } else if self.disaster_area && figure.is_of_kind() {
            Origin::DisasterArea
        } else {
            Origin::National
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::usual, *};

    #[test]
    fn every_figure_has_a_place_and_a_name_of_its_own() {
        let names: BTreeSet<_> = Figure::ALL.map(Figure::name).into_iter().collect();
        let labels: BTreeSet<_> = Figure::ALL.map(Figure::ja).into_iter().collect();
        assert_eq!((names.len(), labels.len()), (Figure::ALL.len(), Figure::ALL.len()));
        let before = usual();
        for figure in Figure::ALL {
            let (table, key) = figure.name();
            assert_eq!(Figure::named(table, key), Some(figure));
            let (fitting, other) = (Amount::Ratio(Ratio::percent(77)), Amount::Yen(Yen(77)));
            let (fitting, other) = if figure.is_ratio() { (fitting, other) } else { (other, fitting) };
            let mut limits = before.clone();
            figure.put(&mut limits, other);
            assert_eq!(limits, before, "{figure}");
            figure.put(&mut limits, fitting);
            for seen in Figure::ALL {
                let expected = if seen == figure { Some(fitting) } else { seen.of(&before) };
                assert_eq!(seen.of(&limits), expected, "{seen} after {figure}");
            }
            assert_eq!(figure.of(&before).is_none(), figure.may_be_absent(), "{figure}");
        }
    }

    #[test]
    fn a_disaster_area_raises_the_ratios_by_kind_alone() {
        let origins = Origins { own: BTreeSet::from([Figure::AdvanceDesign]), disaster_area: true };
        assert_eq!(origins.of(Figure::AdvanceDesign), Origin::Own);
        assert_eq!(origins.of(Figure::AdvanceConstruction), Origin::DisasterArea);
        assert_eq!(origins.of(Figure::AdvanceLowPrice), Origin::National);
        assert_eq!(Origins::default().of(Figure::AdvanceConstruction), Origin::National);
    }
}

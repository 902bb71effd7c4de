//! The fields of [`Limits`] by the names that configuration files give them.
//!
//! Reading, overriding, comparing and printing limits are loops over [`LimitField::ALL`]. Rules use the
//! struct's fields.

use std::{collections::BTreeSet, fmt};

use hosho_schema::money::{Ratio, Yen};
use serde::Serialize;

use super::Limits;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitField {
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitValue {
    Ratio(Ratio),
    Yen(Yen),
}

/// Writes `45%` or `10,000円`.
impl fmt::Display for LimitValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ratio(ratio) => ratio.fmt(f),
            Self::Yen(yen) => yen.fmt(f),
        }
    }
}

enum Slot<'a> {
    Ratio(&'a mut Ratio),
    Yen(&'a mut Yen),
    MaybeYen(&'a mut Option<Yen>),
}

impl LimitField {
    /// In the order of the files.
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

    /// The TOML table and the key in it.
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

    pub fn find(table: &str, key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == (table, key))
    }

    /// Whether the value is a ratio, not an amount in yen.
    pub const fn is_ratio(self) -> bool {
        !self.is_optional() && !self.is_rounding_unit()
    }

    pub const fn is_rounding_unit(self) -> bool {
        matches!(self, Self::AdvanceRoundingUnit | Self::InterimRoundingUnit)
    }

    /// Whether limits can lack it.
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::AdvanceMinimumContractPrice | Self::AdvanceMaximum | Self::InterimMaximum)
    }

    /// Whether it is a ratio for one kind of works, which a disaster area raises.
    pub const fn is_by_kind(self) -> bool {
        matches!(
            self,
            Self::AdvanceConstruction | Self::AdvanceDesign | Self::AdvanceSurveying | Self::AdvanceMachinery
        )
    }

    pub fn of(self, limits: &Limits) -> Option<LimitValue> {
        match self.slot(&mut limits.clone()) {
            Slot::Ratio(ratio) => Some(LimitValue::Ratio(*ratio)),
            Slot::Yen(yen) => Some(LimitValue::Yen(*yen)),
            Slot::MaybeYen(yen) => yen.map(LimitValue::Yen),
        }
    }

    /// Sets the value. A value of the wrong kind is ignored.
    pub fn set(self, limits: &mut Limits, value: LimitValue) {
        match (self.slot(limits), value) {
            (Slot::Ratio(slot), LimitValue::Ratio(ratio)) => *slot = ratio,
            (Slot::Yen(slot), LimitValue::Yen(yen)) => *slot = yen,
            (Slot::MaybeYen(slot), LimitValue::Yen(yen)) => *slot = Some(yen),
            (Slot::Ratio(_), LimitValue::Yen(_))
            | (Slot::Yen(_) | Slot::MaybeYen(_), LimitValue::Ratio(_)) => {}
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
impl fmt::Display for LimitField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, key) = self.name();
        f.pad(&format!("{table}.{key}"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    National,
    /// The national limits for disaster areas.
    DisasterArea,
    /// The obligee's own file.
    Own,
}

/// The origin of each field of an obligee's limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    /// The fields that the obligee's own file sets.
    pub own: BTreeSet<LimitField>,
    /// Whether the other fields are those of a disaster area.
    pub disaster_area: bool,
}

impl Origins {
    pub fn of(&self, field: LimitField) -> Origin {
        if self.own.contains(&field) {
            Origin::Own
        } else if self.disaster_area && field.is_by_kind() {
            Origin::DisasterArea
        } else {
            Origin::National
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::default_limits, *};

    #[test]
    fn gets_and_sets_every_field_by_its_name() {
        let names: BTreeSet<_> = LimitField::ALL.map(LimitField::name).into_iter().collect();
        let labels: BTreeSet<_> = LimitField::ALL.map(LimitField::ja).into_iter().collect();
        assert_eq!((names.len(), labels.len()), (LimitField::ALL.len(), LimitField::ALL.len()));
        let before = default_limits();
        for field in LimitField::ALL {
            let (table, key) = field.name();
            assert_eq!(LimitField::find(table, key), Some(field));
            let (right, wrong) = (LimitValue::Ratio(Ratio::percent(77)), LimitValue::Yen(Yen(77)));
            let (right, wrong) = if field.is_ratio() { (right, wrong) } else { (wrong, right) };
            let mut limits = before.clone();
            field.set(&mut limits, wrong);
            assert_eq!(limits, before, "{field}");
            field.set(&mut limits, right);
            for other in LimitField::ALL {
                let expected = if other == field { Some(right) } else { other.of(&before) };
                assert_eq!(other.of(&limits), expected, "{other} after {field}");
            }
            assert_eq!(field.of(&before).is_none(), field.is_optional(), "{field}");
        }
    }

    #[test]
    fn disaster_area_raises_only_ratios_by_kind() {
        let origins = Origins { own: BTreeSet::from([LimitField::AdvanceDesign]), disaster_area: true };
        assert_eq!(origins.of(LimitField::AdvanceDesign), Origin::Own);
        assert_eq!(origins.of(LimitField::AdvanceConstruction), Origin::DisasterArea);
        assert_eq!(origins.of(LimitField::AdvanceLowPrice), Origin::National);
        assert_eq!(Origins::default().of(LimitField::AdvanceConstruction), Origin::National);
    }
}

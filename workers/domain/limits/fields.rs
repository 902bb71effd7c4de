//! The fields of [`Limits`] by the names that configuration files give them.
//!
//! Reading, overriding, comparing and printing limits are loops over [`LimitField::ALL`]. Rules use the
//! struct's fields.

use std::{collections::BTreeSet, fmt};

use hosho_schema::money::{Ratio, Yen};
use serde::{Serialize, Serializer};

use super::Limits;

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

/// Writes `"45%"` or `10000`.
impl Serialize for LimitValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Ratio(ratio) => serializer.collect_str(ratio),
            Self::Yen(yen) => serializer.serialize_i64(yen.0),
        }
    }
}

enum Slot<'a> {
    Ratio(&'a mut Ratio),
    Yen(&'a mut Yen),
    MaybeYen(&'a mut Option<Yen>),
}

macro_rules! fields {
    ($($table:literal { $($name:ident = $key:literal, $ja:literal, $slot:ident($($at:ident).+);)* })*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum LimitField { $($($name,)*)* }

        impl LimitField {
            /// In the order of the files.
            pub const ALL: [Self; 16] = [$($(Self::$name,)*)*];

            /// The TOML table and the key in it.
            pub const fn name(self) -> (&'static str, &'static str) {
                match self { $($(Self::$name => ($table, $key),)*)* }
            }

            pub const fn ja(self) -> &'static str {
                match self { $($(Self::$name => $ja,)*)* }
            }

            fn slot(self, limits: &mut Limits) -> Slot<'_> {
                match self { $($(Self::$name => Slot::$slot(&mut limits.$($at).+),)*)* }
            }
        }
    };
}

fields! {
    "advance_payment" {
        AdvanceConstruction = "construction", "前払金の上限（工事）", Ratio(advance.ratios.construction);
        AdvanceDesign = "design", "前払金の上限（設計・調査）", Ratio(advance.ratios.design);
        AdvanceSurveying = "surveying", "前払金の上限（測量）", Ratio(advance.ratios.surveying);
        AdvanceMachinery = "machinery", "前払金の上限（機械製造）", Ratio(advance.ratios.machinery);
        AdvanceLowPrice = "low_price", "前払金の上限（低入札）", Ratio(advance.low_price);
        AdvanceRoundingUnit = "rounding_unit", "前払金の端数切捨て単位", Yen(advance.rounding_unit);
        AdvanceMinimumContractPrice = "minimum_contract_price", "前払金の最低請負金額", MaybeYen(advance.minimum_contract_price);
        AdvanceMaximum = "maximum", "前払金の限度額", MaybeYen(advance.maximum);
    }
    "interim_advance_payment" {
        InterimRatio = "ratio", "中間前払金の上限", Ratio(interim.ratio);
        InterimLowPriceRatio = "low_price_ratio", "中間前払金の上限（低入札）", Ratio(interim.low_price_ratio);
        InterimTotal = "total", "前払金との合計の上限", Ratio(interim.total);
        InterimLowPriceTotal = "low_price_total", "前払金との合計の上限（低入札）", Ratio(interim.low_price_total);
        InterimRoundingUnit = "rounding_unit", "中間前払金の端数切捨て単位", Yen(interim.rounding_unit);
        InterimMaximum = "maximum", "中間前払金の限度額", MaybeYen(interim.maximum);
    }
    "performance" {
        PerformanceMinimum = "minimum", "契約保証の下限", Ratio(performance.minimum);
        PerformanceLowPriceMinimum = "low_price_minimum", "契約保証の下限（低入札）", Ratio(performance.low_price_minimum);
    }
}

impl LimitField {
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
    DisasterArea,
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

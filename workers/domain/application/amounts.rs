//! Limits of amounts (rules 8, 9 and 10), each with a repeatable calculation.
//!
//! Each rule is a pure function. It returns the [`CalculationV1`] that explains the result and, for a broken
//! rule, the breach. The total of rule 9 depends on other applications: [`Total`] computes it,
//! `crate::commitment` supplies them.

use hosho_schema::{
    messages::{BaseV1, BoundV1, CalculationV1, ProductV1, WorksKindV1},
    money::{self, Ratio, Yen},
};

use crate::{
    bilingual::Bilingual,
    limits::{InterimLimits, PerformanceLimits},
    violation::{Breach, Code},
};

pub(crate) type Finding = (CalculationV1, Option<Breach>);

#[derive(Debug, Clone, Copy)]
pub(super) struct LineAmounts {
    pub(super) product: ProductV1,
    pub(super) amount: Yen,
    pub(super) this_year_base: Option<Yen>,
    pub(super) price: Yen,
    pub(super) kind: WorksKindV1,
    pub(super) low_price: bool,
}

impl LineAmounts {
    /// Returns 今年度対象額 if there is one, else 請負金額.
    fn base(&self) -> (BaseV1, Yen) {
        self.this_year_base.map_or((BaseV1::ContractPrice, self.price), |base| (BaseV1::ThisYearBase, base))
    }
}

struct Limit {
    code: Code,
    bound: BoundV1,
    amount: Yen,
    base: BaseV1,
    base_amount: Yen,
    ratio: Option<Ratio>,
    rounding_unit: Option<Yen>,
}

impl Limit {
    fn absolute(code: Code, bound: BoundV1, amount: Yen, (base, base_amount): (BaseV1, Yen)) -> Self {
        Self { code, bound, amount, base, base_amount, ratio: None, rounding_unit: None }
    }

    fn price(code: Code, price: Yen) -> Self {
        let limit = Self::absolute(code, BoundV1::AtMost, price, (BaseV1::ContractPrice, price));
        Self { ratio: Some(Ratio::WHOLE), ..limit }
    }

    /// At most a ratio of the base, rounded down to the unit.
    fn share(code: Code, (base, base_amount): (BaseV1, Yen), ratio: Ratio, unit: Yen) -> Self {
        let limit = base_amount.part_down(ratio, unit);
        let limit = Self::absolute(code, BoundV1::AtMost, limit, (base, base_amount));
        Self { ratio: Some(ratio), rounding_unit: Some(unit), ..limit }
    }

    fn check(self, path: String, amount: Yen, breach: impl FnOnce(&CalculationV1) -> Breach) -> Finding {
        let kept = match self.bound {
            BoundV1::AtMost => amount <= self.amount,
            BoundV1::AtLeast => amount >= self.amount,
        };
        let calculation = CalculationV1 {
            code: self.code.as_str().to_owned(),
            path,
            kept,
            amount,
            bound: self.bound,
            limit: self.amount,
            base: self.base,
            base_amount: self.base_amount,
            percentage: amount.share_of(self.base_amount).map(|share| share.to_string()).unwrap_or_default(),
            ratio: self.ratio,
            rounding_unit: self.rounding_unit,
        };
        let breach = (!kept).then(|| breach(&calculation));
        (calculation, breach)
    }
}

/// 保証金額 is at most 請負金額.
pub(super) fn check_price(path: String, amounts: &LineAmounts) -> Finding {
    let LineAmounts { amount, price, .. } = *amounts;
    let breach = |_: &_| Breach::AmountExceedsContractPrice { amount, price };
    Limit::price(Code::AmountExceedsContractPrice, price).check(path, amount, breach)
}

/// 今年度対象額 is at most 請負金額.
pub(super) fn check_base(path: String, base: Yen, price: Yen) -> Finding {
    let breach = |_: &_| Breach::BaseExceedsContractPrice { base, price };
    Limit::price(Code::BaseExceedsContractPrice, price).check(path, base, breach)
}

/// Rule 8: the ratio of 前払金. Rule 9: the ratio of 中間前払金.
pub(super) fn check_cap(path: String, amounts: &LineAmounts, ratio: Ratio, unit: Yen) -> Finding {
    let cap = Limit::share(Code::AmountExceedsCap, amounts.base(), ratio, unit);
    cap.check(path, amounts.amount, |calculation| Breach::AmountExceedsCap {
        amount: calculation.amount,
        percentage: calculation.percentage.clone(),
        base: calculation.base,
        base_amount: calculation.base_amount,
        ratio,
        unit,
        limit: calculation.limit,
        remedy: remedy(calculation.limit),
    })
}

fn remedy(most: Yen) -> Bilingual {
    if most > Yen(0) {
        Bilingual::new(
            format!("{most}以内の金額をご入力ください。"),
            format!("at most {} yen", money::grouped(most.0)),
        )
    } else {
        Bilingual::new("この契約ではお申し込みいただけません。", "no guarantee can be applied for")
    }
}

/// Rules 8 and 9: the obligee's absolute maximum.
pub(super) fn check_maximum(path: String, amounts: &LineAmounts, limit: Yen, obligee: &str) -> Finding {
    let LineAmounts { product, amount, .. } = *amounts;
    let maximum = Limit::absolute(Code::AmountExceedsMaximum, BoundV1::AtMost, limit, amounts.base());
    maximum.check(path, amount, |_| Breach::AmountExceedsMaximum {
        amount,
        product,
        obligee: obligee.to_owned(),
        limit,
    })
}

/// Rule 8: the obligee's minimum contract price for advances.
pub(super) fn check_minimum_price(amounts: &LineAmounts, minimum: Yen, obligee: &str) -> Finding {
    let LineAmounts { product, price, .. } = *amounts;
    let base = (BaseV1::ContractPrice, price);
    let limit = Limit::absolute(Code::ContractPriceBelowMinimum, BoundV1::AtLeast, minimum, base);
    limit.check("$.works.contract_price".to_owned(), price, |_| Breach::ContractPriceBelowMinimum {
        obligee: obligee.to_owned(),
        product,
        price,
        minimum,
    })
}

/// Rule 10: the minimum ratio of 契約保証.
pub(super) fn check_performance_minimum(
    path: String,
    amounts: &LineAmounts,
    limits: &PerformanceLimits,
) -> Finding {
    let LineAmounts { amount, price, .. } = *amounts;
    let ratio = if amounts.low_price { limits.low_price_minimum } else { limits.minimum };
    let limit = price.part_up(ratio);
    let base = (BaseV1::ContractPrice, price);
    let minimum = Limit::absolute(Code::AmountBelowMinimum, BoundV1::AtLeast, limit, base);
    Limit { ratio: Some(ratio), ..minimum }.check(path, amount, |calculation| Breach::AmountBelowMinimum {
        amount,
        percentage: calculation.percentage.clone(),
        price,
        ratio,
        limit,
    })
}

/// The total limit of rule 9, before the amount of the advance is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Total {
    path: String,
    amount: Yen,
    base: (BaseV1, Yen),
    ratio: Ratio,
    unit: Yen,
    /// The highest amount by the ratio and maximum of 中間前払金 alone.
    cap: Yen,
}

impl Total {
    /// `path` is the one of the interim amount.
    pub(super) fn new(path: String, amounts: &LineAmounts, limits: &InterimLimits) -> Self {
        let (base, unit) = (amounts.base(), limits.rounding_unit);
        let cap = base.1.part_down(limits.ratio(amounts.low_price), unit);
        Self {
            path,
            amount: amounts.amount,
            base,
            ratio: limits.total(amounts.low_price),
            unit,
            cap: limits.maximum.map_or(cap, |maximum| cap.min(maximum)),
        }
    }

    /// Checks the sum with `earlier`, the amount guaranteed as 前払金.
    pub(crate) fn check(self, earlier: Yen) -> Finding {
        let Self { path, amount, base, ratio, unit, cap } = self;
        let total = amount.plus(earlier).unwrap_or(Yen(i64::MAX));
        let limit = Limit::share(Code::AmountExceedsTotal, base, ratio, unit);
        limit.check(path, total, |calculation| Breach::AmountExceedsTotal {
            amount,
            earlier,
            total,
            base: calculation.base,
            base_amount: calculation.base_amount,
            ratio,
            unit,
            limit: calculation.limit,
            remedy: remedy(Yen(calculation.limit.0.saturating_sub(earlier.0)).min(cap)),
        })
    }
}

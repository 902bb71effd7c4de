//! Amounts and caps: what each product may or must be, as an exact sum that can be done again (rules 8, 9 and 10).
//!
//! Each rule is a pure function from figures to the [`CalculationV1`] that explains it and, when it is broken, the breach. The total of
//! rule 9 needs what other applications got; [`total`] is its sum, and `super::super::engagement` knows the rest.

use hosho_schema::{
    messages::{BaseV1, BoundV1, CalculationV1, ProductV1, WorksKindV1},
    money::{self, Ratio, Yen},
};

use super::super::{
    limits::{AdvanceLimits, InterimLimits, PerformanceLimits},
    violation::{Breach, Code, told::Both},
};

/// How an amount was judged, and what is wrong with it.
pub(in super::super) type Finding = (CalculationV1, Option<Breach>);

/// The figures of one product line and its works.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    /// 商品.
    pub(super) product: ProductV1,
    /// 保証金額.
    pub(super) amount: Yen,
    /// 今年度対象額.
    pub(super) this_year_base: Option<Yen>,
    /// 請負金額.
    pub(super) price: Yen,
    /// Kind of works.
    pub(super) kind: WorksKindV1,
    /// 低入札.
    pub(super) low_price: bool,
}

impl Figures {
    /// 今年度対象額 where there is one, else 請負金額.
    pub(super) fn base(&self) -> (BaseV1, Yen) {
        self.this_year_base.map_or((BaseV1::ContractPrice, self.price), |base| (BaseV1::ThisYearBase, base))
    }
}

/// A limit before an amount is held to it.
struct Measure {
    code: Code,
    bound: BoundV1,
    limit: Yen,
    base: BaseV1,
    base_amount: Yen,
    ratio: Option<Ratio>,
    rounding_unit: Option<Yen>,
}

impl Measure {
    fn hold(self, path: String, amount: Yen) -> CalculationV1 {
        let kept = match self.bound {
            BoundV1::AtMost => amount <= self.limit,
            BoundV1::AtLeast => amount >= self.limit,
        };
        CalculationV1 {
            code: self.code.as_str().to_owned(),
            path,
            kept,
            amount,
            bound: self.bound,
            limit: self.limit,
            base: self.base,
            base_amount: self.base_amount,
            percentage: percentage(amount, self.base_amount),
            ratio: self.ratio,
            rounding_unit: self.rounding_unit,
        }
    }
}

/// The share that the form shows; amounts are positive where they are judged.
fn percentage(amount: Yen, base: Yen) -> String {
    amount.share_of(base).map(|share| share.to_string()).unwrap_or_default()
}

/// 保証金額 is at most 請負金額.
pub(super) fn within_price(path: String, figures: &Figures) -> Finding {
    let Figures { amount, price, .. } = *figures;
    let calculation = of_price(Code::AmountExceedsContractPrice, price).hold(path, amount);
    let breach = (!calculation.kept).then_some(Breach::AmountExceedsContractPrice { amount, price });
    (calculation, breach)
}

/// 今年度対象額 is at most 請負金額.
pub(super) fn base_within_price(path: String, base: Yen, price: Yen) -> Finding {
    let calculation = of_price(Code::BaseExceedsContractPrice, price).hold(path, base);
    let breach = (!calculation.kept).then_some(Breach::BaseExceedsContractPrice { base, price });
    (calculation, breach)
}

fn of_price(code: Code, price: Yen) -> Measure {
    Measure {
        code,
        bound: BoundV1::AtMost,
        limit: price,
        base: BaseV1::ContractPrice,
        base_amount: price,
        ratio: Some(Ratio::WHOLE),
        rounding_unit: None,
    }
}

/// Rule 8: 前払金 by ratio.
pub(super) fn advance_cap(path: String, figures: &Figures, limits: &AdvanceLimits) -> Finding {
    cap(path, figures, limits.ratio(figures.kind, figures.low_price), limits.rounding_unit)
}

/// Rule 9: 中間前払金 by ratio.
pub(super) fn interim_cap(path: String, figures: &Figures, limits: &InterimLimits) -> Finding {
    let ratio = if figures.low_price { limits.low_price_ratio } else { limits.ratio };
    cap(path, figures, ratio, limits.rounding_unit)
}

fn cap(path: String, figures: &Figures, ratio: Ratio, unit: Yen) -> Finding {
    let (base, base_amount) = figures.base();
    let amount = figures.amount;
    let limit = base_amount.part_down(ratio, unit);
    let measure = Measure {
        code: Code::AmountExceedsCap,
        bound: BoundV1::AtMost,
        limit,
        base,
        base_amount,
        ratio: Some(ratio),
        rounding_unit: Some(unit),
    };
    let calculation = measure.hold(path, amount);
    let breach = (!calculation.kept).then(|| Breach::AmountExceedsCap {
        amount,
        percentage: calculation.percentage.clone(),
        base,
        base_amount,
        ratio,
        unit,
        limit,
        remedy: remedy(limit),
    });
    (calculation, breach)
}

/// What may be asked for instead.
fn remedy(most: Yen) -> Both {
    if most > Yen(0) {
        Both {
            ja: format!("{most}以内の金額をご入力ください。"),
            en: format!("at most {} yen", money::grouped(most.0)),
        }
    } else {
        Both {
            ja: "この契約ではお申し込みいただけません。".to_owned(),
            en: "nothing can be asked for".to_owned(),
        }
    }
}

/// Rules 8 and 9: the obligee's absolute maximum.
pub(super) fn maximum(path: String, figures: &Figures, limit: Yen, obligee: &str) -> Finding {
    let (base, base_amount) = figures.base();
    let amount = figures.amount;
    let measure = Measure {
        code: Code::AmountExceedsMaximum,
        bound: BoundV1::AtMost,
        limit,
        base,
        base_amount,
        ratio: None,
        rounding_unit: None,
    };
    let calculation = measure.hold(path, amount);
    let breach = (!calculation.kept).then(|| Breach::AmountExceedsMaximum {
        amount,
        product: figures.product,
        obligee: obligee.to_owned(),
        limit,
    });
    (calculation, breach)
}

/// Rule 8: the price from which the obligee makes advances.
pub(super) fn minimum_price(figures: &Figures, minimum: Yen, obligee: &str) -> Finding {
    let Figures { product, price, .. } = *figures;
    let measure = Measure {
        code: Code::ContractPriceBelowMinimum,
        bound: BoundV1::AtLeast,
        limit: minimum,
        base: BaseV1::ContractPrice,
        base_amount: price,
        ratio: None,
        rounding_unit: None,
    };
    let calculation = measure.hold("$.works.contract_price".to_owned(), price);
    let breach = (!calculation.kept).then(|| Breach::ContractPriceBelowMinimum {
        obligee: obligee.to_owned(),
        product,
        price,
        minimum,
    });
    (calculation, breach)
}

/// Rule 10: 契約保証 is a part of 請負金額 at least.
pub(super) fn performance_minimum(path: String, figures: &Figures, limits: &PerformanceLimits) -> Finding {
    let Figures { amount, price, .. } = *figures;
    let ratio = if figures.low_price { limits.low_price_minimum } else { limits.minimum };
    let limit = price.part_up(ratio);
    let measure = Measure {
        code: Code::AmountBelowMinimum,
        bound: BoundV1::AtLeast,
        limit,
        base: BaseV1::ContractPrice,
        base_amount: price,
        ratio: Some(ratio),
        rounding_unit: None,
    };
    let calculation = measure.hold(path, amount);
    let percentage = || calculation.percentage.clone();
    let breach = (!calculation.kept).then(|| Breach::AmountBelowMinimum {
        amount,
        percentage: percentage(),
        price,
        ratio,
        limit,
    });
    (calculation, breach)
}

/// What rule 9 says of the total, as far as one application knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Total {
    /// JSON path of the interim amount.
    pub(in super::super) path: String,
    amount: Yen,
    base: BaseV1,
    base_amount: Yen,
    ratio: Ratio,
    unit: Yen,
    /// The most by rule 9's other ratio: what is left of the total is no more than that.
    cap: Yen,
}

impl Total {
    /// The total that an interim line has to keep.
    pub(super) fn new(path: String, figures: &Figures, limits: &InterimLimits) -> Self {
        let (base, base_amount) = figures.base();
        let ratio = if figures.low_price { limits.low_price_total } else { limits.total };
        let own = if figures.low_price { limits.low_price_ratio } else { limits.ratio };
        let cap =
            base_amount.part_down(own, limits.rounding_unit).min(limits.maximum.unwrap_or(Yen(i64::MAX)));
        Self { path, amount: figures.amount, base, base_amount, ratio, unit: limits.rounding_unit, cap }
    }

    /// Rule 9: 前払金 and 中間前払金 together. `earlier` is what is guaranteed as 前払金.
    pub(in super::super) fn with(self, earlier: Yen) -> Finding {
        let Self { path, amount, base, base_amount, ratio, unit, cap } = self;
        let limit = base_amount.part_down(ratio, unit);
        let total = amount.plus(earlier).unwrap_or(Yen(i64::MAX));
        let measure = Measure {
            code: Code::AmountExceedsTotal,
            bound: BoundV1::AtMost,
            limit,
            base,
            base_amount,
            ratio: Some(ratio),
            rounding_unit: Some(unit),
        };
        let calculation = measure.hold(path, total);
        let breach = (!calculation.kept).then(|| {
            let left = Yen(limit.0.saturating_sub(earlier.0)).min(cap);
            Breach::AmountExceedsTotal {
                amount,
                earlier,
                total,
                base,
                base_amount,
                ratio,
                unit,
                limit,
                remedy: remedy(left),
            }
        });
        (calculation, breach)
    }
}

//! Limits of amounts (rules 8, 9, 10 and 13).

use hosho_schema::{
    messages::{BaseV1, BoundV1},
    money::{Ratio, Yen},
};
use serde_json::json;

use super::{
    advance, advanced, after, calculation, cases, changed, interim, otherwise, performance, set, with,
    with_amount,
};
use crate::commitment::OpenCommitment;

const AMOUNT: &str = "/products/0/amount";
const PRICE: &str = "/works/contract_price";
const BASE: &str = "/products/0/this_year_base";

/// As [`advanced`], for a low-price tender.
fn advanced_low_price(amount: i64) -> OpenCommitment {
    otherwise(advanced(amount), |commitment| commitment.low_price = true)
}

cases! {
    amount_malformed = "amount.malformed" {
        kept "full width with separators": set(AMOUNT, json!("４，０００，０００"));
        kept "spaces around it": set(AMOUNT, json!(" 4,000,000　"));
        broken "a unit": set(AMOUNT, json!("4000000円"));
        broken "empty": set(PRICE, json!(""));
        broken "a lone sign": set(PRICE, json!("-"));
        broken "a slipped separator": set(AMOUNT, json!("4,000,00"));
        broken "a base": set(BASE, json!("x"));
        broken "Japanese numerals": set(AMOUNT, json!("四百万"));
        kept "a number with a point and nothing behind it": set(AMOUNT, json!(4_000_000.0));
        broken "a fraction of a yen": set(AMOUNT, json!(3_999_999.5));
        kept "a base left empty": set(BASE, json!("　"));
    }
    amount_not_positive = "amount.not_positive" {
        kept "one yen": set(AMOUNT, json!(1));
        broken "nothing": set(AMOUNT, json!(0));
        broken "the least integer": set(AMOUNT, json!(i64::MIN));
        broken "a full-width minus": set(AMOUNT, json!("−4"));
    }
    amount_too_large = "amount.too_large" {
        kept "a trillion": set(PRICE, json!("１，０００，０００，０００，０００"));
        broken "a trillion and one": set(PRICE, json!("1,000,000,000,001"));
        broken "sixty digits": set(PRICE, json!("9".repeat(60)));
        broken "a number of 24 digits": set(PRICE, json!(1e24));
    }
    contract_price_below_minimum = "contract_price.below_minimum" {
        kept "the minimum": changed(&[("/obligee", json!("from-1300000")), (PRICE, json!(1_300_000)), (AMOUNT, json!(520_000))]);
        kept "a performance guarantee below it":
            changed(&[("/obligee", json!("from-1300000")), (PRICE, json!(1_299_999)), ("/products/0", performance())]);
        broken "one yen below": changed(&[("/obligee", json!("from-1300000")), (PRICE, json!(1_299_999)), (AMOUNT, json!(510_000))]);
    }
    this_year_base_exceeds_contract_price = "this_year_base.exceeds_contract_price" {
        kept "all of it": set(BASE, json!(10_000_000));
        broken "one yen over": set(BASE, json!(10_000_001));
    }
    this_year_base_required = "this_year_base.required" {
        kept "one year of several with its base":
            changed(&[("/works/term/to", json!("2028-03-31")), ("/works/fiscal_year", json!(2026)), (BASE, json!(10_000_000))]);
        kept "the only year without": set("/works/fiscal_year", json!(2026));
        kept "a performance guarantee without":
            changed(&[("/works/term/to", json!("2028-03-31")), ("/works/fiscal_year", json!(2026)), ("/products/0", performance())]);
        kept "the whole contract without": set("/works/term/to", json!("2028-03-31"));
        broken "one year of several without": changed(&[("/works/term/to", json!("2028-03-31")), ("/works/fiscal_year", json!(2026))]);
    }
    amount_exceeds_contract_price = "amount.exceeds_contract_price" {
        kept "a performance guarantee for all of it": set("/products/0", with_amount(performance(), 10_000_000));
        broken "one yen over": set("/products/0", with_amount(performance(), 10_000_001));
    }
    amount_exceeds_cap = "amount.exceeds_cap" {
        kept "40 % of the price": set(AMOUNT, json!(4_000_000));
        broken "one yen over": set(AMOUNT, json!(4_000_001));
        kept "30 % of a design": changed(&[("/works/kind", json!("design")), (AMOUNT, json!(3_000_000)), ("/products/0/medium", json!("paper"))]);
        broken "a design, one yen over":
            changed(&[("/works/kind", json!("design")), (AMOUNT, json!(3_000_001)), ("/products/0/medium", json!("paper"))]);
        kept "30 % of a survey": changed(&[("/works/kind", json!("surveying")), (AMOUNT, json!(3_000_000)), ("/products/0/medium", json!("paper"))]);
        broken "a survey, one yen over":
            changed(&[("/works/kind", json!("surveying")), (AMOUNT, json!(3_000_001)), ("/products/0/medium", json!("paper"))]);
        broken "machinery, one yen over":
            changed(&[("/works/kind", json!("machinery")), (AMOUNT, json!(3_000_001)), ("/products/0/medium", json!("paper"))]);
        kept "20 % of a low-price tender": changed(&[("/works/low_price", json!(true)), (AMOUNT, json!(2_000_000))]);
        broken "a low-price tender, one yen over": changed(&[("/works/low_price", json!(true)), (AMOUNT, json!(2_000_001))]);
        kept "45 % in a disaster area": changed(&[("/obligee", json!("disaster")), (AMOUNT, json!(4_500_000))]);
        broken "a disaster area, one yen over": changed(&[("/obligee", json!("disaster")), (AMOUNT, json!(4_500_001))]);
        kept "40 % of this year's base": changed(&[(BASE, json!(5_000_000)), (AMOUNT, json!(2_000_000))]);
        broken "this year's base, one yen over": changed(&[(BASE, json!(5_000_000)), (AMOUNT, json!(2_000_001))]);
        kept "rounded down to 1万円": changed(&[(PRICE, json!(9_999_999)), (AMOUNT, json!(3_990_000))]);
        broken "within the ratio, beyond the unit": changed(&[(PRICE, json!(9_999_999)), (AMOUNT, json!(3_990_001))]);
        kept "rounded down to 10万円": changed(&[("/obligee", json!("coarse")), (PRICE, json!(9_999_999)), (AMOUNT, json!(3_900_000))]);
        broken "beyond 10万円": changed(&[("/obligee", json!("coarse")), (PRICE, json!(9_999_999)), (AMOUNT, json!(3_900_001))]);
        broken "a cap of nothing": changed(&[(PRICE, json!(24_999)), (AMOUNT, json!(1))]);
        kept "20 % as an interim advance": after(&[advanced(4_000_000)], &[("/products/0", interim())]);
        broken "an interim advance, one yen over":
            after(&[advanced(1_000_000)], &[("/products/0", with_amount(interim(), 2_000_001))]);
        broken "an interim advance of a low-price tender, one yen over 10 %":
            after(&[advanced_low_price(1_000_000)], &[("/works/low_price", json!(true)), ("/products/0", with_amount(interim(), 1_000_001))]);
        kept "the new ratio from its day on": changed(&[("/obligee", json!("changed")), ("/works/announced_on", json!("2026-11-20")), (AMOUNT, json!(4_500_000))]);
        broken "the new ratio the day before": changed(&[("/obligee", json!("changed")), ("/works/announced_on", json!("2026-11-19")), (AMOUNT, json!(4_500_000))]);
    }
    amount_exceeds_maximum = "amount.exceeds_maximum" {
        kept "the maximum": changed(&[("/obligee", json!("at-most-3000000")), (AMOUNT, json!(3_000_000))]);
        broken "one yen over": changed(&[("/obligee", json!("at-most-3000000")), (AMOUNT, json!(3_000_001))]);
        broken "an interim advance, one yen over": after(&[advanced(1_000_000)], &[
            ("/obligee", json!("at-most-3000000")),
            ("/products/0", with_amount(interim(), 1_000_001)),
        ]);
    }
    amount_exceeds_total = "amount.exceeds_total" {
        kept "60 % together": after(&[advanced(4_000_000)], &[("/products/0", interim())]);
        broken "one yen over together": after(&[advanced(4_000_001)], &[("/products/0", interim())]);
        kept "30 % together for a low-price tender": after(&[advanced_low_price(2_000_000)], &[
            ("/works/low_price", json!(true)),
            ("/products/0", with_amount(interim(), 1_000_000)),
        ]);
        broken "a low-price tender, one yen over": after(&[advanced_low_price(2_000_001)], &[
            ("/works/low_price", json!(true)),
            ("/products/0", with_amount(interim(), 1_000_000)),
        ]);
        broken "of this year's base": after(&[otherwise(advanced(4_000_000), |commitment| commitment.base = BaseV1::ThisYearBase)], &[
            ("/products/0", with(interim(), &[("/amount", json!(1_000_000)), ("/this_year_base", json!(8_000_000))])),
        ]);
    }
    amount_below_minimum = "amount.below_minimum" {
        kept "10 % of the price": set("/products/0", performance());
        broken "one yen less": set("/products/0", with_amount(performance(), 999_999));
        broken "10 % rounded down": changed(&[(PRICE, json!(10_000_001)), ("/products/0", performance())]);
        kept "30 % of a low-price tender":
            changed(&[("/works/low_price", json!(true)), ("/products/0", with_amount(performance(), 3_000_000))]);
        broken "a low-price tender, one yen less":
            changed(&[("/works/low_price", json!(true)), ("/products/0", with_amount(performance(), 2_999_999))]);
    }
}

#[test]
fn calculations_contain_every_operand() {
    let cap = calculation("amount.exceeds_cap", &[(BASE, json!(5_005_000)), (AMOUNT, json!(2_000_001))]);
    assert_eq!((cap.path.as_str(), cap.kept, cap.bound), ("$.products[0].amount", false, BoundV1::AtMost));
    assert_eq!(
        (cap.base, cap.base_amount, cap.ratio),
        (BaseV1::ThisYearBase, Yen(5_005_000), Some(Ratio::percent(40)))
    );
    assert_eq!(
        (cap.rounding_unit, cap.limit, cap.amount),
        (Some(Yen(10_000)), Yen(2_000_000), Yen(2_000_001))
    );
    assert_eq!(cap.percentage, "40.0");
    let minimum = calculation("amount.below_minimum", &[("/products/0", performance())]);
    assert_eq!((minimum.kept, minimum.bound, minimum.limit), (true, BoundV1::AtLeast, Yen(1_000_000)));
    let maximum = calculation("amount.exceeds_maximum", &[("/obligee", json!("at-most-3000000"))]);
    assert_eq!(
        (maximum.kept, maximum.limit, maximum.ratio, maximum.percentage.as_str()),
        (false, Yen(3_000_000), None, "40.0")
    );
}

#[test]
fn checks_the_price_without_a_known_obligee() {
    let over = with_amount(advance(), 10_000_001);
    assert_eq!(
        changed(&[("/obligee", json!("closed")), ("/products/0", over)]),
        ["obligee.unknown", "amount.exceeds_contract_price"]
    );
}

//! Properties of every application.

use chrono::{Days, NaiveDate};
use hosho_schema::{messages::decode, money::Yen};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    cases::{advance, advanced, base, interim, judged, performance, today, verdict, with},
    violation::Code,
    wareki,
};

/// Any JSON value, including hostile text.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*|\\PC{1,200}|[\u{0}-\u{1f}\u{200b}-\u{202e}\u{e000}\u{fffd}\u{fe00}㍻令和元年月日0-9０-９ー－@＠〒]{1,30}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,8}", inner, 0..4).prop_map(|fields| json!(fields)),
        ]
    })
}

/// JSON pointers of an application's fields.
const POINTERS: [&str; 31] = [
    "/source",
    "/id",
    "/branch",
    "/obligee",
    "/works",
    "/works/name",
    "/works/number",
    "/works/kind",
    "/works/contract_price",
    "/works/term",
    "/works/term/from",
    "/works/term/to",
    "/works/contract_date",
    "/works/original_contract_date",
    "/works/low_price",
    "/works/fiscal_year",
    "/works/colour",
    "/principal",
    "/principal/kind",
    "/principal/name",
    "/principal/address",
    "/products",
    "/products/0",
    "/products/0/product",
    "/products/0/amount",
    "/products/0/this_year_base",
    "/products/0/bank",
    "/products/0/redeposit",
    "/notification",
    "/notification/mail_address",
    "/contact",
];

fn assert_valid(violation: &Violation) {
    assert!(Code::ALL.contains(&violation.code));
    assert!(violation.path.starts_with('$'), "{violation:?}");
    for message in [&violation.message_ja, &violation.message_en] {
        assert!(!message.is_empty() && !message.chars().any(char::is_control), "{violation:?}");
        assert!(text::find_invalid(message, text::Lines::One).is_none(), "{violation:?}");
    }
}

/// Computes the cap of a base differently from the rules.
fn cap(base: i64, percent: u128, unit: i64) -> i64 {
    let units = u128::try_from(base).unwrap() * percent / 100 / u128::try_from(unit).unwrap();
    i64::try_from(units).unwrap() * unit
}

/// Obligees of the cases, with the percentage of 前払金 for 工事 and the rounding unit.
fn obligees() -> impl Strategy<Value = (&'static str, u128, i64)> {
    prop::sample::select(vec![("open", 40, 10_000), ("coarse", 40, 100_000), ("disaster", 45, 10_000)])
}

proptest! {
    #[test]
    fn never_panics_on_any_value(pointer in prop::sample::select(&POINTERS[..]), value in value(), other in prop::sample::select(&POINTERS[..]), second in value()) {
        let mut payload = with(base(), &[(pointer, value)]);
        if payload.pointer(other.rsplit_once('/').unwrap().0).is_some_and(Value::is_object) {
            payload = with(payload, &[(other, second)]);
        }
        match decode::<ApplicationV1>(payload.to_string().as_bytes()) {
            Err(error) => Violation::malformed::<ApplicationV1>(payload.to_string().as_bytes(), &error).iter().for_each(assert_valid),
            Ok(_) => {
                let mut judged = judged(&payload, today());
                judged.check_against(&[]);
                let (verdict, calculations) = judged.verdict();
                if let Err(violations) = verdict {
                    prop_assert!(!violations.is_empty());
                    violations.iter().for_each(assert_valid);
                }
                for calculation in calculations {
                    prop_assert!(calculation.base_amount > Yen(0) && !calculation.percentage.is_empty());
                }
            }
        }
    }

    #[test]
    fn never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(error) = decode::<ApplicationV1>(&bytes) {
            Violation::malformed::<ApplicationV1>(&bytes, &error).iter().for_each(assert_valid);
        }
    }

    #[test]
    fn accepts_an_advance_exactly_up_to_its_cap(
        (obligee, percent, unit) in obligees(), price in 1..=1_000_000_000_000_i64, share in 1..=100_i64, of_this_year: bool, low_price: bool, beyond in 1..=3_i64
    ) {
        let counted = if of_this_year { (price / 100 * share).max(1) } else { price };
        let cap = cap(counted, if low_price { 20 } else { percent }, unit);
        let accepted = |amount: i64| {
            let mut line = advance();
            line["amount"] = json!(amount);
            if of_this_year {
                line["this_year_base"] = json!(counted);
            }
            let changes = [("/obligee", json!(obligee)), ("/works/contract_price", json!(price)), ("/works/low_price", json!(low_price)), ("/products/0", line)];
            verdict(&with(base(), &changes), today())
        };
        if cap > 0 {
            prop_assert_eq!(accepted(cap).map(|application| application.products[0].amount), Ok(Yen(cap)));
        }
        // Above by whole units, and by one yen.
        for amount in [cap + beyond * unit, cap + 1] {
            let codes: Vec<_> = accepted(amount).unwrap_err().iter().map(|violation| violation.code).collect();
            prop_assert_eq!(codes, [Code::AmountExceedsCap]);
        }
    }

    #[test]
    fn limits_the_total_of_advance_and_interim(price in 100_000..=1_000_000_000_000_i64, earlier in 1..=600_000_000_000_i64, amount in 1..=200_000_000_000_i64) {
        let mut line = interim();
        line["amount"] = json!(amount);
        let mut judged = judged(&with(base(), &[("/works/contract_price", json!(price)), ("/products/0", line)]), today());
        judged.check_against(&[advanced(earlier)]);
        let (verdict, calculations) = judged.verdict();
        let within = amount <= cap(price, 20, 10_000) && amount + earlier <= cap(price, 60, 10_000);
        prop_assert_eq!(verdict.is_ok(), within);
        prop_assert!(calculations.iter().all(|calculation| calculation.kept) == within);
    }

    #[test]
    fn requires_the_minimum_performance_amount(price in 1..=1_000_000_000_000_i64, low_price: bool) {
        let least = (i128::from(price) * if low_price { 30 } else { 10 } + 99) / 100;
        let least = i64::try_from(least).unwrap();
        let accepted = |amount: i64| {
            let mut line = performance();
            line["amount"] = json!(amount);
            verdict(&with(base(), &[("/works/contract_price", json!(price)), ("/works/low_price", json!(low_price)), ("/products/0", line)]), today()).is_ok()
        };
        prop_assert!(accepted(least));
        prop_assert!(least == 1 || !accepted(least - 1));
    }

    #[test]
    fn reads_dates_in_every_form(after in 0..36_000_u64) {
        let date = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap() + Days::new(after);
        for typed in [date.to_string(), date.format("%Y/%m/%d").to_string(), wareki::format(date), text::narrow_digits(&date.to_string())] {
            let term = [("/works/term/from", json!(typed)), ("/works/term/to", json!(typed))];
            let application = verdict(&with(base(), &term), today()).unwrap();
            prop_assert_eq!((application.works.from, application.works.to), (date, date));
        }
    }
}

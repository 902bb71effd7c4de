//! Applications for the same works (rule 9, and each product only once).

use hosho_schema::messages::{BaseV1, MediumV1, ProductV1};
use serde_json::json;

use super::{
    OpenCommitment, advance, advanced, after, base, cases, changed, committed, interim, judged, otherwise,
    performance, set, today, with, with_amount,
};

cases! {
    products_empty = "products.empty" {
        kept "one": changed(&[]);
        broken "none": set("/products", json!([]));
    }
    products_duplicate = "products.duplicate" {
        kept "two different ones": set("/products", json!([advance(), performance()]));
        broken "the same twice": set("/products", json!([advance(), advance()]));
        broken "the same three times": set("/products", json!([performance(), performance(), performance()]));
    }
    product_already_applied = "product.already_applied" {
        kept "another product": after(&[committed(ProductV1::Performance, MediumV1::Electronic, 1, None)], &[]);
        broken "applied for": after(&[committed(ProductV1::AdvancePayment, MediumV1::Electronic, 1, None)], &[]);
        broken "issued": after(&[advanced(1)], &[]);
        kept "another number": after(&[otherwise(advanced(1), |commitment| commitment.works_number = Some("第2号".to_owned()))], &[]);
        broken "no number there": after(&[otherwise(advanced(1), |commitment| commitment.works_number = None)], &[]);
        broken "no number here": after(&[advanced(1)], &[("/works/number", serde_json::Value::Null)]);
        kept "another year": after(&[otherwise(advanced(1), |commitment| commitment.year = 2025)], &[]);
        broken "a performance guarantee for a later year of the contract": after(
            &[committed(ProductV1::Performance, MediumV1::Electronic, 1, None)],
            &[("/products/0", performance()), ("/works/term/to", json!("2028-03-31")), ("/works/fiscal_year", json!(2027))],
        );
    }
    interim_advance_works_only = "interim_advance.works_only" {
        kept "works": after(&[committed(ProductV1::AdvancePayment, MediumV1::Paper, 1, Some("31075-00001M"))], &[("/products/0", interim())]);
        broken "a design": after(
            &[committed(ProductV1::AdvancePayment, MediumV1::Paper, 1, Some("31075-00001M"))],
            &[("/products/0", interim()), ("/products/0/medium", json!("paper")), ("/works/kind", json!("design"))],
        );
    }
    interim_advance_differs_from_advance = "interim_advance.differs_from_advance" {
        kept "the same": after(&[advanced(1)], &[("/products/0", interim())]);
        broken "a base of this year there alone":
            after(&[otherwise(advanced(1), |commitment| commitment.base = BaseV1::ThisYearBase)], &[("/products/0", interim())]);
        broken "a base of this year here alone":
            after(&[advanced(1)], &[("/products/0", with(interim(), &[("/this_year_base", json!(10_000_000))]))]);
        broken "a low-price tender there alone":
            after(&[otherwise(advanced(1), |commitment| commitment.low_price = true)], &[("/products/0", interim())]);
        broken "a low-price tender here alone": after(&[advanced(1)], &[
            ("/products/0", with_amount(interim(), 1_000_000)),
            ("/works/low_price", json!(true)),
        ]);
    }
    interim_advance_no_advance_payment = "interim_advance.no_advance_payment" {
        kept "an issued advance": after(&[committed(ProductV1::AdvancePayment, MediumV1::Paper, 1, Some("31075-00001M"))], &[("/products/0", interim())]);
        broken "nothing": after(&[], &[("/products/0", interim())]);
        broken "a performance guarantee": after(&[committed(ProductV1::Performance, MediumV1::Paper, 1, Some("31075-00001M"))], &[("/products/0", interim())]);
        broken "an advance in the same application": after(&[], &[("/products", json!([advance(), interim()]))]);
    }
    interim_advance_advance_payment_not_issued = "interim_advance.advance_payment_not_issued" {
        kept "issued": after(&[committed(ProductV1::AdvancePayment, MediumV1::Paper, 1, Some("31075-00001M"))], &[("/products/0", interim())]);
        broken "applied for": after(&[committed(ProductV1::AdvancePayment, MediumV1::Paper, 1, None)], &[("/products/0", interim())]);
        broken "numbered, but not in the registry yet":
            after(&[OpenCommitment { issued: false, ..advanced(1) }], &[("/products/0", interim())]);
    }
}

#[test]
fn finds_the_same_works_in_every_spelling() {
    let key = |changes: &[(&str, serde_json::Value)]| judged(&with(base(), changes), today()).works_key();
    let same = key(&[]);
    assert!(same.is_some());
    for changes in [
        [("/works/name", json!("橋梁　補修工事 "))],
        [("/works/number", json!("第２号"))],
        [("/principal/name", json!("㈱　髙﨑土木"))],
        [("/principal/name", json!("（株）髙﨑土木"))],
        [("/works/contract_price", json!(1))],
        [("/works/term/to", json!("2028-01-01"))],
        [("/works/fiscal_year", json!(2026))],
        [("/id", json!("a-2"))],
    ] {
        assert_eq!(key(&changes), same, "{changes:?}");
    }
    for changes in [
        [("/works/name", json!("橋梁補修工事その２"))],
        [("/principal/name", json!("株式会社高崎土木"))],
        [("/works/term/from", json!("2026-03-31"))],
        [("/obligee", json!("signed"))],
    ] {
        assert_ne!(key(&changes), same, "{changes:?}");
    }
    let named = |name: &str| key(&[("/works/name", json!(name))]);
    assert_eq!(named("架空線　１１ 工区"), named("架空線11工区"));
    assert_ne!(named("架空線 1 1工区"), named("架空線 11工区"));
    for changes in
        [[("/works/name", json!(""))], [("/obligee", json!("closed"))], [("/works/term/from", json!("x"))]]
    {
        assert_eq!(key(&changes), None, "{changes:?}");
    }
}

#[test]
fn calculates_the_total_with_an_issued_advance() {
    let mut application = judged(&with(base(), &[("/products/0", interim())]), today());
    application.check_against(&[committed(
        ProductV1::AdvancePayment,
        MediumV1::Paper,
        4_000_000,
        Some("31075-00001M"),
    )]);
    let (_, calculations) = application.verdict();
    let total = calculations.iter().find(|calculation| calculation.code == "amount.exceeds_total").unwrap();
    assert_eq!(
        (total.kept, total.amount.0, total.limit.0, total.percentage.as_str()),
        (true, 6_000_000, 6_000_000, "60.0")
    );
}

#[test]
fn discloses_numbers_only_to_their_own_source() {
    let message = |source: &str| {
        let mut application = judged(&with(base(), &[("/source", json!(source))]), today());
        application.check_against(&[advanced(1)]);
        let violations = application.verdict().0.unwrap_err();
        format!("{} {}", violations[0].message_ja, violations[0].message_en)
    };
    assert!(message("portal").contains("31075-00001M"));
    assert!(!message("another").contains("31075") && message("another").contains("令和8年11月1日"));
}

use hosho_schema::{
    messages::{MediumV1, ProductV1},
    money::Yen,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::cases::{advance, base, codes, day, performance, today, verdict, with};

#[test]
fn unsigned_performance_guarantee_uses_the_day_of_receipt() {
    let early = with(
        base(),
        &[
            ("/obligee", json!("signed")),
            ("/works/contract_date", Value::Null),
            ("/products/0", performance()),
        ],
    );
    assert_eq!(codes(verdict(&early, today())), [""; 0]);
    assert_eq!(codes(verdict(&early, day(2026, 11, 19))), ["obligee.not_yet_electronic"]);
    // An advance needs a signed contract, so its date is missing.
    let both = with(early, &[("/products", json!([performance(), advance()]))]);
    assert_eq!(codes(verdict(&both, day(2026, 11, 19))), ["contract_date.required"]);
}

#[test]
fn reports_all_violations_in_form_order() {
    let value = with(
        base(),
        &[
            ("/id", json!("a b")),
            ("/branch", json!("99")),
            ("/obligee", json!("notified")),
            ("/works/name", json!("")),
            ("/works/term/to", json!("2026-01-01")),
            ("/principal/name", json!("a\u{b}")),
            ("/products/0/amount", json!("x")),
            ("/products/0/bank", Value::Null),
            ("/notification/mail_address", json!("x")),
            ("/contact", json!({ "name": "\u{200b}" })),
        ],
    );
    let first = value["products"][0].clone();
    let value = with(value, &[("/products", json!([first, performance(), performance(), performance()]))]);
    assert_eq!(
        codes(verdict(&value, today())),
        [
            "id.malformed",
            "branch.unknown",
            "text.required",
            "term.reversed",
            "obligee.date_missing",
            "text.control_character",
            "amount.malformed",
            "bank.required",
            "products.duplicate",
            "mail_address.malformed",
            "text.invisible_character",
        ]
    );
}

#[test]
fn normalises_accepted_applications() {
    let value = with(
        base(),
        &[
            ("/branch", json!("３１")),
            ("/works/contract_price", json!("１０，０００，０００")),
            ("/works/number", json!("　第１号 ")),
            ("/principal/name", json!("　株式会社　髙﨑 ﾄﾞﾎﾞｸ① ")),
            ("/products/0/bank", json!(" ｶｸｳ銀行 ﾎﾝﾃﾝ")),
            ("/contact", json!({ "telephone": "０３ー００００－１１１１", "department": "" })),
        ],
    );
    let application = verdict(&value, today()).unwrap();
    assert_eq!(application.branch, "31");
    assert_eq!(application.works.contract_price, Yen(10_000_000));
    assert_eq!(application.works.number.as_deref(), Some("第１号"));
    assert_eq!(application.principal.company.name, "株式会社　髙﨑 ﾄﾞﾎﾞｸ①");
    assert_eq!(application.products[0].bank.as_deref(), Some("カクウ銀行　ホンテン"));
    assert_eq!(application.products[0].redeposit, Some(false));
    assert_eq!(application.mail_address.as_deref(), Some("keiri@example.jp"));
    assert_eq!(application.contact.telephone.as_deref(), Some("03-0000-1111"));
    assert_eq!(application.contact.department, None);
}

#[test]
fn drops_fields_of_other_products() {
    let mut line = performance();
    line["bank"] = json!("\u{0}");
    line["redeposit"] = json!(true);
    line["this_year_base"] = json!("x");
    let application =
        verdict(&with(base(), &[("/products/0", line), ("/notification/wanted", json!(false))]), today())
            .unwrap();
    let line = &application.products[0];
    assert_eq!(
        (line.medium, &line.bank, line.redeposit, line.this_year_base),
        (MediumV1::Electronic, &None, None, None)
    );
    assert_eq!(application.mail_address, None);
}

#[test]
fn expires_with_the_term_or_fiscal_year() {
    let application = verdict(&base(), today()).unwrap();
    for (to, fiscal_year, expected) in [
        (day(2029, 2, 28), None, day(2029, 2, 28)),
        (day(2029, 2, 28), Some(2026), day(2027, 3, 31)),
        (day(2029, 2, 28), Some(2028), day(2029, 2, 28)),
        (day(2027, 3, 31), Some(2026), day(2027, 3, 31)),
        (day(2027, 3, 31), Some(i32::MAX), day(2027, 3, 31)),
    ] {
        let works = snapshots::Works { to, fiscal_year, ..application.works.clone() };
        assert_eq!(expires_on(ProductV1::AdvancePayment, &works), expected);
        assert_eq!(expires_on(ProductV1::Performance, &works), to);
    }
}

#[test]
fn answers_oversized_lists_briefly() {
    let many = with(base(), &[("/products", json!(vec![advance(); 5_000]))]);
    assert_eq!(codes(verdict(&many, today())), ["products.duplicate"]);
    let members = json!({
        "kind": "joint_venture", "name": "JV",
        "representative": { "name": "a", "address": "b", "representative": "c" },
        "members": vec![json!({ "name": "", "address": "", "representative": "" }); 5_000]
    });
    assert_eq!(codes(verdict(&with(base(), &[("/principal", members)]), today())).len(), 1 + 3 * 20);
    let name = json!("\u{0}".repeat(1_000_000));
    assert_eq!(codes(verdict(&with(base(), &[("/works/name", name)]), today())), ["text.too_long"]);
}

/// The message with the values that were accepted.
fn resend(application: &snapshots::Application, mut value: Value) -> Value {
    value["branch"] = json!(application.branch);
    value["works"]["name"] = json!(application.works.name);
    value["works"]["contract_price"] = json!(application.works.contract_price);
    value["products"][0]["bank"] = json!(application.products[0].bank);
    value["principal"]["name"] = json!(application.principal.company.name);
    value["contact"] =
        json!({ "telephone": application.contact.telephone, "remarks": application.contact.remarks });
    value
}

proptest! {
    #[test]
    fn normalising_never_panics_and_is_idempotent(
        name in ".*|\\PC{1,20}", bank in "[ｦ-ﾟ \\-a-zカハ銀行]{1,20}|.*", price in "[0-9０-９,，]{1,16}|.*", telephone in "[0-9０-９ー－-]*|.*", date in ".*|2026-1[01]-[0-3][0-9]"
    ) {
        let value = with(base(), &[
            ("/works/name", json!(name)), ("/principal/name", json!(name)), ("/works/contract_price", json!(price)),
            ("/products/0/bank", json!(bank)), ("/products/0/amount", json!(1)), ("/works/contract_date", json!(date)),
            ("/works/term/from", json!(date)), ("/contact", json!({ "telephone": telephone, "remarks": name })),
            ("/notification/mail_address", json!(format!("{name}@example.jp"))),
        ]);
        match verdict(&value, today()) {
            Ok(application) => prop_assert_eq!(verdict(&resend(&application, value), today()), Ok(application)),
            Err(violations) => {
                prop_assert!(!violations.is_empty());
                for violation in violations {
                    prop_assert!(!violation.message_ja.contains("@example.jp") && !violation.message_en.contains("@example.jp"));
                    prop_assert!(!violation.message_ja.chars().any(char::is_control));
                }
            }
        }
    }
}

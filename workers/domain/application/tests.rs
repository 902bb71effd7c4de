use std::collections::BTreeMap;

use hosho_schema::{
    messages::{MediumV1, ProductV1, WorksKindV1},
    snapshots::{Branch, Channel},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::obligee::{Acceptance, Basis, Obligee, Start, SubmissionRule};

fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

/// `open` takes everything, `paper` nothing, `signed` by 契約締結日 from 2026-11-20, `noticed` by 通知日 from 2026-04-01.
fn registry() -> Registry {
    let obligee = |code: &str, electronic: Vec<Acceptance>| Obligee {
        code: code.to_owned(),
        name: "X市".to_owned(),
        title: "X市長".to_owned(),
        electronic,
        submission: SubmissionRule { channel: Channel::Upload, department: None, mail_address: None, system: None, subject: None },
        submission_of: BTreeMap::new(),
    };
    let acceptance = |start| Acceptance {
        products: vec![ProductV1::AdvancePayment, ProductV1::InterimAdvancePayment, ProductV1::Performance],
        kinds: vec![WorksKindV1::Construction],
        start,
    };
    let signed = Start { on: day(2026, 11, 20), basis: Basis::ContractDate };
    let noticed = Start { on: day(2026, 4, 1), basis: Basis::Notified };
    Registry::new([
        obligee("open", vec![acceptance(None)]),
        obligee("paper", vec![]),
        obligee("signed", vec![acceptance(Some(signed))]),
        obligee("noticed", vec![acceptance(Some(noticed))]),
    ])
}

fn branches() -> Branches {
    let text = || "x".to_owned();
    Branches::new([Branch { code: "31".to_owned(), name: text(), address: text(), telephone: text(), fax: text(), mail_address: text() }])
}

fn base() -> Value {
    json!({
        "source": "portal", "id": "a-1", "branch": "31", "obligee": "open",
        "works": {
            "name": "橋梁補修工事", "kind": "construction", "contract_price": 10_000_000,
            "term": { "from": "2026-11-24", "to": "2027-03-19" }, "contract_date": "2026-11-20"
        },
        "principal": { "kind": "company", "name": "株式会社髙﨑土木", "address": "茨城県", "representative": "代表取締役 髙﨑 一郎" },
        "products": [advance()],
        "notification": { "wanted": true, "mail_address": "keiri@example.jp" }
    })
}

fn advance() -> Value {
    json!({
        "product": "advance_payment", "medium": "electronic", "amount": 4_000_000, "bank": "架空銀行 本店", "redeposit": false,
        "premium_payment": "一括納付", "bill_to": "請負契約者", "calculation_sheet": false
    })
}

fn performance() -> Value {
    json!({
        "product": "performance", "medium": "electronic", "amount": 1_000_000,
        "premium_payment": "一括納付", "bill_to": "請負契約者", "calculation_sheet": false
    })
}

fn judge(value: Value, received_on: NaiveDate) -> Result<snapshots::Application, Vec<Violation>> {
    let wire: ApplicationV1 = serde_json::from_value(value).unwrap();
    judge_wire(&wire, received_on)
}

fn judge_wire(wire: &ApplicationV1, received_on: NaiveDate) -> Result<snapshots::Application, Vec<Violation>> {
    let facts = Facts {
        obligees: &registry(),
        branches: &branches(),
        received_on,
        unprintable: &|text| text.chars().filter(|character| *character > '\u{2fa1f}').collect(),
        mail_address: &|text| text.split_once('@').is_some_and(|(user, domain)| !user.is_empty() && domain.contains('.')),
    };
    validate(wire, &facts)
}

/// Replaces the value at a JSON pointer; `null` removes it.
fn with(mut value: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, new) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match value.pointer_mut(parent).unwrap() {
            Value::Object(fields) if new.is_null() => drop(fields.remove(key)),
            Value::Object(fields) => drop(fields.insert(key.to_owned(), new.clone())),
            Value::Array(items) => items[key.parse::<usize>().unwrap()] = new.clone(),
            _ => panic!("{pointer}"),
        }
    }
    value
}

fn codes(result: Result<snapshots::Application, Vec<Violation>>) -> Vec<&'static str> {
    result.err().unwrap_or_default().iter().map(|violation| violation.code.as_str()).collect()
}

#[test]
fn each_rule_holds_up_to_its_bound() {
    let figures = |pointer: &'static str, values: &[(Value, &'static str)]| {
        values.iter().map(|(value, code)| (vec![(pointer, value.clone())], *code)).collect::<Vec<_>>()
    };
    let mut table: Vec<(Vec<(&str, Value)>, &str)> = vec![
        (vec![], ""),
        (vec![("/source", json!("a".repeat(64))), ("/id", json!("A.z_0:-"))], ""),
        (vec![("/source", json!("a".repeat(65)))], "source.malformed"),
        (vec![("/source", json!(""))], "source.malformed"),
        (vec![("/id", json!("あ"))], "id.malformed"),
        (vec![("/branch", json!(" ３１"))], ""),
        (vec![("/branch", json!("32"))], "branch.unknown"),
        (vec![("/obligee", json!("closed"))], "obligee.unknown"),
        (vec![("/works/name", json!("橋".repeat(120)))], ""),
        (vec![("/works/name", json!("橋".repeat(121)))], "text.too_long"),
        (vec![("/works/name", json!("\u{30000}"))], "text.unprintable"),
        (vec![("/principal/address", json!(""))], "text.required"),
        (vec![("/works/name", json!("<b>{{ works }}</b> 葛\u{e0100}"))], "text.unprintable"),
        (vec![("/works/name", json!("<b>{{ works }}</b>"))], ""),
        (vec![("/works/number", json!("  "))], ""),
        (vec![("/works/number", json!("1\u{2028}"))], "text.control_character"),
        (vec![("/works/contract_price", json!("１，０００，０００，０００，０００"))], ""),
        (vec![("/works/contract_price", json!("1,000,000,000,001"))], "amount.too_large"),
        (vec![("/works/contract_price", json!("9".repeat(60)))], "amount.too_large"),
        (vec![("/works/contract_price", json!(""))], "amount.malformed"),
        (vec![("/works/contract_price", json!("-"))], "amount.malformed"),
        (vec![("/works/term/to", json!("2026-11-24"))], ""),
        (vec![("/works/term/to", json!("2026-11-23"))], "term.reversed"),
        (vec![("/works/term/to", json!(""))], "text.required"),
        (vec![("/works/term/to", json!("２０２７－０３－１９"))], ""),
        (vec![("/works/term/to", json!("2027/03/19"))], "date.malformed"),
        (vec![("/works/term/to", json!("2099-12-31"))], ""),
        (vec![("/works/term/to", json!("2100-01-01"))], "date.implausible"),
        (vec![("/works/announced_on", json!("1999-12-31"))], "date.implausible"),
        (vec![("/works/fiscal_year", json!(2026))], ""),
        (vec![("/works/fiscal_year", json!(2027))], "fiscal_year.outside_term"),
        (vec![("/works/fiscal_year", json!(i32::MAX))], "fiscal_year.outside_term"),
        (vec![("/works/contract_date", json!(" "))], "contract_date.required"),
        (vec![("/works/contract_date", json!("x"))], "date.malformed"),
        (vec![("/works/contract_date", Value::Null), ("/products/0", performance())], ""),
        (vec![("/products/0/bank", json!("　"))], "bank.required"),
        (vec![("/products/0/bank", json!("\u{30000}銀行"))], "text.unprintable"),
        (vec![("/products/0/redeposit", Value::Null)], "redeposit.required"),
        (vec![("/products/0/bill_to", json!(""))], "text.required"),
        (vec![("/notification/wanted", json!(false)), ("/notification/mail_address", json!("none\r\n"))], ""),
        (vec![("/notification/mail_address", json!(" "))], "mail_address.required"),
        (vec![("/notification/mail_address", json!("鈴木@example.jp"))], "mail_address.malformed"),
        (vec![("/notification/mail_address", json!(format!("{}@example.jp", "a".repeat(244))))], "mail_address.malformed"),
        (vec![("/notification/mail_address", json!("a@example.jp\nBcc: b@example.jp"))], "text.control_character"),
        (vec![("/contact", json!({ "remarks": "一\r\n二\t三" }))], ""),
        (vec![("/contact", json!({ "remarks": "一\u{0}" }))], "text.control_character"),
        (vec![("/contact", json!({ "name": "山田\n太郎" }))], "text.control_character"),
        (vec![("/obligee", json!("paper"))], "obligee.not_electronic"),
        (vec![("/obligee", json!("paper")), ("/products/0/medium", json!("paper"))], ""),
        (vec![("/works/kind", json!("design"))], "obligee.kind_not_accepted"),
        (vec![("/works/kind", json!("design")), ("/products/0/medium", json!("paper"))], ""),
        (vec![("/obligee", json!("signed"))], ""),
        (vec![("/obligee", json!("signed")), ("/works/contract_date", json!("2026-11-19"))], "obligee.not_yet_electronic"),
        (vec![("/obligee", json!("noticed"))], "obligee.date_missing"),
        (vec![("/obligee", json!("noticed")), ("/works/notified_on", json!("2026-04-01"))], ""),
        (vec![("/obligee", json!("noticed")), ("/works/notified_on", json!("2026-03-31"))], "obligee.not_yet_electronic"),
        (vec![("/obligee", json!("noticed")), ("/works/notified_on", json!("x"))], "date.malformed"),
    ];
    table.extend(figures(
        "/products/0/amount",
        &[
            (json!(1), ""),
            (json!(0), "amount.not_positive"),
            (json!(i64::MIN), "amount.not_positive"),
            (json!(10_000_000), ""),
            (json!(10_000_001), "amount.exceeds_contract_price"),
            (json!("４，０００，０００"), ""),
            (json!("4000000円"), "amount.malformed"),
            (json!("−4"), "amount.not_positive"),
        ],
    ));
    table.extend(figures(
        "/products/0/this_year_base",
        &[(json!(10_000_000), ""), (json!(10_000_001), "this_year_base.exceeds_contract_price"), (json!("x"), "amount.malformed")],
    ));
    for (changes, code) in table {
        let expected: Vec<&str> = if code.is_empty() { vec![] } else { vec![code] };
        assert_eq!(codes(judge(with(base(), &changes), day(2026, 11, 20))), expected, "{changes:?}");
    }
}

#[test]
fn a_performance_guarantee_before_the_contract_counts_from_the_day_it_came_in() {
    let early = with(base(), &[("/obligee", json!("signed")), ("/works/contract_date", Value::Null), ("/products/0", performance())]);
    assert_eq!(codes(judge(early.clone(), day(2026, 11, 20))), [""; 0]);
    assert_eq!(codes(judge(early.clone(), day(2026, 11, 19))), ["obligee.not_yet_electronic"]);
    // With an advance beside it the contract is signed already, and its date is what is missing.
    let both = with(early, &[("/products", json!([performance(), advance()]))]);
    assert_eq!(codes(judge(both, day(2026, 11, 19))), ["contract_date.required"]);
}

#[test]
fn all_violations_are_told_in_the_order_of_the_form() {
    let value = with(
        base(),
        &[
            ("/id", json!("a b")),
            ("/branch", json!("99")),
            ("/obligee", json!("noticed")),
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
        codes(judge(value, day(2026, 11, 20))),
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
fn what_is_accepted_is_normal() {
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
    let application = judge(value, day(2026, 11, 20)).unwrap();
    assert_eq!(application.branch, "31");
    assert_eq!(application.works.contract_price, 10_000_000);
    assert_eq!(application.works.number.as_deref(), Some("第１号"));
    assert_eq!(application.principal.company.name, "株式会社　髙﨑 ﾄﾞﾎﾞｸ①");
    assert_eq!(application.products[0].bank.as_deref(), Some("カクウ銀行　ホンテン"));
    assert_eq!(application.products[0].redeposit, Some(false));
    assert_eq!(application.mail_address.as_deref(), Some("keiri@example.jp"));
    assert_eq!(application.contact.telephone.as_deref(), Some("03-0000-1111"));
    assert_eq!(application.contact.department, None);
}

#[test]
fn what_does_not_belong_to_a_product_is_dropped() {
    let mut line = performance();
    line["bank"] = json!("\u{0}");
    line["redeposit"] = json!(true);
    line["this_year_base"] = json!("x");
    let application = judge(with(base(), &[("/products/0", line), ("/notification/wanted", json!(false))]), day(2026, 11, 20)).unwrap();
    let line = &application.products[0];
    assert_eq!((line.medium, &line.bank, line.redeposit, line.this_year_base), (MediumV1::Electronic, &None, None, None));
    assert_eq!(application.mail_address, None);
}

#[test]
fn a_guarantee_ends_with_the_works_or_with_the_fiscal_year() {
    let application = judge(base(), day(2026, 11, 20)).unwrap();
    for (to, fiscal_year, expected) in [
        (day(2029, 2, 28), None, day(2029, 2, 28)),
        (day(2029, 2, 28), Some(2026), day(2027, 3, 31)),
        (day(2029, 2, 28), Some(2028), day(2029, 2, 28)),
        (day(2027, 3, 31), Some(2026), day(2027, 3, 31)),
        (day(2027, 3, 31), Some(i32::MAX), day(2027, 3, 31)),
    ] {
        let works = snapshots::Works { to, fiscal_year, ..application.works.clone() };
        assert_eq!(expires_on(&works), expected);
    }
}

#[test]
fn a_hostile_list_gets_a_short_answer() {
    let many = with(base(), &[("/products", json!(vec![advance(); 5_000]))]);
    assert_eq!(codes(judge(many, day(2026, 11, 20))), ["products.duplicate"]);
    let members = json!({
        "kind": "joint_venture", "name": "JV",
        "representative": { "name": "a", "address": "b", "representative": "c" },
        "members": vec![json!({ "name": "", "address": "", "representative": "" }); 5_000]
    });
    assert_eq!(codes(judge(with(base(), &[("/principal", members)]), day(2026, 11, 20))).len(), 1 + 3 * 20);
    let name = json!("\u{0}".repeat(1_000_000));
    assert_eq!(codes(judge(with(base(), &[("/works/name", name)]), day(2026, 11, 20))), ["text.too_long"]);
}

/// The application on the wire again, as a careful upstream would have sent it.
fn again(application: &snapshots::Application, mut value: Value) -> Value {
    value["branch"] = json!(application.branch);
    value["works"]["name"] = json!(application.works.name);
    value["works"]["contract_price"] = json!(application.works.contract_price);
    value["products"][0]["bank"] = json!(application.products[0].bank);
    value["principal"]["name"] = json!(application.principal.company.name);
    value["contact"] = json!({ "telephone": application.contact.telephone, "remarks": application.contact.remarks });
    value
}

proptest! {
    #[test]
    fn no_text_panics_and_normalising_is_idempotent(
        name in ".*|\\PC{1,20}", bank in "[ｦ-ﾟ \\-a-zカハ銀行]{1,20}|.*", price in "[0-9０-９,，]{1,16}|.*", telephone in "[0-9０-９ー－-]*|.*", date in ".*|2026-1[01]-[0-3][0-9]"
    ) {
        let value = with(base(), &[
            ("/works/name", json!(name)), ("/principal/name", json!(name)), ("/works/contract_price", json!(price)),
            ("/products/0/bank", json!(bank)), ("/products/0/amount", json!(1)), ("/works/contract_date", json!(date)),
            ("/works/term/from", json!(date)), ("/contact", json!({ "telephone": telephone, "remarks": name })),
            ("/notification/mail_address", json!(format!("{name}@example.jp"))),
        ]);
        match judge(value.clone(), day(2026, 11, 20)) {
            Ok(application) => prop_assert_eq!(judge(again(&application, value), day(2026, 11, 20)), Ok(application)),
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

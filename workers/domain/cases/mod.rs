//! Cases of every rule that keep or break it, on both sides of each boundary.
//!
//! Each rule has a test, named after its code. A case changes a valid application and compares the codes
//! reported. A case that keeps its rule breaks no other rule either. `every_code_has_cases` compares the
//! table with the list of codes.

mod amounts;
mod commitment;
mod contract;
mod dates;
mod guarantee_history;
mod media;
mod parties;
mod text;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use hosho_schema::{
    messages::{ApplicationV1, BaseV1, CalculationV1, MediumV1, ProductV1, WorksKindV1, decode},
    money::{Ratio, Yen},
    snapshots::{self, Branch, Channel},
};
use serde_json::{Value, json};

use crate::{
    application::{self, Judged, RuleContext},
    commitment::{Commitment, OpenCommitment},
    issuer::Branches,
    limits::{Limits, Timeline, default_limits},
    obligee::{Acceptance, Basis, Obligee, OlderContracts, Registry, Start, SubmissionRule},
    violation::{Breach, Code, Violation},
};

/// The codes that a case reports.
pub(super) type Codes = Vec<&'static str>;

pub(super) struct Rule {
    code: &'static str,
    cases: &'static [Case],
}

pub(super) struct Case {
    name: &'static str,
    keeps: bool,
    run: fn() -> Codes,
}

impl Rule {
    fn check(&self) {
        for Case { name, keeps, run } in self.cases {
            let expected: Codes = if *keeps { vec![] } else { vec![self.code] };
            assert_eq!(run(), expected, "{}: {name}", self.code);
        }
    }
}

/// Defines a test for each rule, and the list of the rules.
macro_rules! cases {
    (@keeps kept) => { true };
    (@keeps broken) => { false };
    ($($test:ident = $code:literal { $($verdict:ident $name:literal: $codes:expr;)* })*) => {
        pub(super) const RULES: &[super::Rule] = &[$(super::Rule {
            code: $code,
            cases: &[$(super::Case { name: $name, keeps: cases!(@keeps $verdict), run: || $codes }),*],
        }),*];

        $(#[test]
        fn $test() {
            assert_eq!($code.replace('.', "_"), stringify!($test), "the test has the name of its code");
            RULES.iter().find(|rule| rule.code == $code).unwrap().check();
        })*
    };
}
use cases;

const FAMILIES: [&[Rule]; 8] = [
    guarantee_history::RULES,
    contract::RULES,
    text::RULES,
    amounts::RULES,
    dates::RULES,
    parties::RULES,
    media::RULES,
    commitment::RULES,
];

#[test]
fn every_code_has_cases() {
    let mut missing = Vec::new();
    for code in Code::ALL {
        let rules: Vec<_> = FAMILIES
            .iter()
            .flat_map(|rules| rules.iter())
            .filter(|rule| rule.code == code.as_str())
            .collect();
        let [rule] = rules[..] else {
            missing.push(code.as_str());
            continue;
        };
        assert!(
            [true, false].iter().all(|keeps| rule.cases.iter().any(|case| case.keeps == *keeps)),
            "{code} needs a case that keeps it and one that breaks it"
        );
    }
    assert!(missing.is_empty(), "codes without exactly one rule in the table: {missing:?}");
}

pub(super) fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

/// The day the cases are received on.
pub(super) fn today() -> NaiveDate {
    day(2026, 11, 20)
}

pub(super) fn obligee(code: &str, start: Option<Start>) -> Obligee {
    Obligee {
        code: code.to_owned(),
        name: "X市".to_owned(),
        title: "X市長".to_owned(),
        electronic: vec![Acceptance {
            products: vec![
                ProductV1::AdvancePayment,
                ProductV1::InterimAdvancePayment,
                ProductV1::Performance,
            ],
            kinds: vec![WorksKindV1::Construction],
            start,
        }],
        limits: Timeline::always(default_limits()),
        limits_basis: Basis::OriginalContract,
        submission: SubmissionRule {
            channel: Channel::Mail,
            department: None,
            mail_address: Some("keiyaku@example.jp".to_owned()),
            system: None,
            subject: None,
        },
        submission_of: BTreeMap::new(),
    }
}

fn limited(code: &str, change: impl FnOnce(&mut Limits)) -> Obligee {
    let mut limits = default_limits();
    change(&mut limits);
    Obligee { limits: Timeline::always(limits), ..obligee(code, None) }
}

/// Obligees that differ in one setting each.
pub(super) fn registry() -> Registry {
    let start = |on, basis| Some(Start { on, basis, older_contracts: OlderContracts::Paper });
    let paper = Obligee { electronic: vec![], ..obligee("paper", None) };
    let mut performance_only = obligee("performance-only", None);
    performance_only.electronic[0].products = vec![ProductV1::Performance];
    let mut transitional = obligee("transitional", start(day(2026, 11, 20), Basis::ContractDate));
    transitional.electronic[0].start.as_mut().unwrap().older_contracts = OlderContracts::Electronic;
    // From 2026-11-20 on, by 公告日: 45 % instead of 40 %.
    let mut raised = default_limits();
    raised.advance.ratios.construction = Ratio::percent(45);
    let mut changed = Obligee { limits_basis: Basis::Announced, ..obligee("changed", None) };
    changed.limits.push(day(2026, 11, 20), raised).unwrap();
    Registry::new([
        obligee("open", None),
        paper,
        performance_only,
        transitional,
        changed,
        obligee("signed", start(day(2026, 11, 20), Basis::ContractDate)),
        obligee("announced", start(day(2026, 11, 20), Basis::Announced)),
        obligee("designated", start(day(2026, 11, 20), Basis::AnnouncedOrDesignated)),
        obligee("original", start(day(2026, 11, 20), Basis::OriginalContract)),
        obligee("notified", start(day(2026, 11, 20), Basis::Notified)),
        obligee("awarded", start(day(2026, 11, 20), Basis::Awarded)),
        limited("disaster", |limits| {
            limits.advance.ratios.construction = Ratio::percent(45);
            limits.advance.ratios.design = Ratio::percent(35);
        }),
        limited("coarse", |limits| {
            limits.advance.rounding_unit = Yen(100_000);
            limits.interim.rounding_unit = Yen(100_000);
        }),
        limited("from-1300000", |limits| limits.advance.minimum_contract_price = Some(Yen(1_300_000))),
        limited("at-most-3000000", |limits| {
            limits.advance.maximum = Some(Yen(3_000_000));
            limits.interim.maximum = Some(Yen(1_000_000));
        }),
    ])
}

pub(super) fn branches() -> Branches {
    let text = || "x".to_owned();
    Branches::new([Branch {
        code: "31".to_owned(),
        name: text(),
        address: text(),
        telephone: text(),
        fax: text(),
        mail_address: text(),
    }])
}

/// A valid application: 40 % of ten million yen.
pub(super) fn base() -> Value {
    json!({
        "source": "portal", "id": "a-1", "branch": "31", "obligee": "open",
        "works": {
            "name": "橋梁補修工事", "number": "第１号", "kind": "construction", "contract_price": 10_000_000,
            "term": { "from": "2026-11-24", "to": "2027-03-19" }, "contract_date": "2026-11-20"
        },
        "principal": { "kind": "company", "name": "株式会社髙﨑土木", "address": "茨城県", "representative": "代表取締役 髙﨑 一郎" },
        "products": [advance()],
        "notification": { "wanted": true, "mail_address": "keiri@example.jp" }
    })
}

pub(super) fn advance() -> Value {
    json!({
        "product": "advance_payment", "medium": "electronic", "amount": 4_000_000, "bank": "架空銀行 本店", "redeposit": false,
        "premium_payment": "一括納付", "bill_to": "請負契約者", "calculation_sheet": false
    })
}

pub(super) fn interim() -> Value {
    let mut line = advance();
    line["product"] = json!("interim_advance_payment");
    line["amount"] = json!(2_000_000);
    line
}

pub(super) fn performance() -> Value {
    json!({
        "product": "performance", "medium": "electronic", "amount": 1_000_000,
        "premium_payment": "一括納付", "bill_to": "請負契約者", "calculation_sheet": false
    })
}

fn with_amount(line: Value, amount: i64) -> Value {
    with(line, &[("/amount", json!(amount))])
}

/// Replaces the value at each JSON pointer; `null` removes it.
pub(super) fn with(mut value: Value, changes: &[(&str, Value)]) -> Value {
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

/// A simplified mail system: ASCII before the only `@`, at most 254 characters.
fn mail_address(text: &str) -> Option<String> {
    let (user, domain) = text.split_once('@')?;
    (user.is_ascii() && !domain.contains('@') && text.len() <= 254).then(|| text.to_owned())
}

pub(super) fn judged(value: &Value, received_on: NaiveDate) -> Judged {
    judged_wire(&decode(value.to_string().as_bytes()).unwrap(), received_on)
}

pub(super) fn judged_wire(wire: &ApplicationV1, received_on: NaiveDate) -> Judged {
    let context = RuleContext {
        obligees: &registry(),
        branches: &branches(),
        received_on,
        unprintable: &|text| text.chars().filter(|character| *character > '\u{2fa1f}').collect(),
        mail_address: &mail_address,
    };
    application::judge(wire, &context)
}

pub(super) fn verdict(
    value: &Value,
    received_on: NaiveDate,
) -> Result<snapshots::Application, Vec<Violation>> {
    judged(value, received_on).verdict().0
}

pub(super) fn codes(verdict: Result<snapshots::Application, Vec<Violation>>) -> Codes {
    verdict.err().unwrap_or_default().iter().map(|violation| violation.code.as_str()).collect()
}

/// The codes for the valid application with these changes.
fn changed(changes: &[(&str, Value)]) -> Codes {
    codes(verdict(&with(base(), changes), today()))
}

fn set(pointer: &str, value: Value) -> Codes {
    changed(&[(pointer, value)])
}

/// The codes for an application received on another day.
fn on(received_on: NaiveDate, changes: &[(&str, Value)]) -> Codes {
    codes(verdict(&with(base(), changes), received_on))
}

/// The codes for an application after open commitments for the same works.
fn after(open: &[OpenCommitment], changes: &[(&str, Value)]) -> Codes {
    let mut judged = judged(&with(base(), changes), today());
    judged.check_against(open);
    codes(judged.verdict().0)
}

/// The code of a breach, for rules that no application can break.
fn alone(breach: Option<Breach>) -> Codes {
    breach.map(|breach| breach.code().as_str()).into_iter().collect()
}

/// The calculation of a rule for the valid application with these changes.
fn calculation(code: &str, changes: &[(&str, Value)]) -> CalculationV1 {
    let (_, calculations) = judged(&with(base(), changes), today()).verdict();
    calculations.into_iter().find(|calculation| calculation.code == code).unwrap()
}

fn committed(product: ProductV1, medium: MediumV1, amount: i64, number: Option<&str>) -> OpenCommitment {
    let commitment = Commitment {
        line: 0,
        product,
        year: 2026,
        works_number: Some("第1号".to_owned()),
        medium,
        amount: Yen(amount),
        base: BaseV1::ContractPrice,
        low_price: false,
    };
    let number = number.map(str::to_owned);
    OpenCommitment {
        commitment,
        source: "portal".to_owned(),
        on: day(2026, 11, 1),
        issued: number.is_some(),
        number,
    }
}

/// An advance that was issued for the same works.
pub(super) fn advanced(amount: i64) -> OpenCommitment {
    committed(ProductV1::AdvancePayment, MediumV1::Electronic, amount, Some("31075-00001M"))
}

fn otherwise(mut open: OpenCommitment, change: impl FnOnce(&mut Commitment)) -> OpenCommitment {
    change(&mut open.commitment);
    open
}

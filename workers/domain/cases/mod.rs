//! Every rule by its code: what keeps it and what breaks it, on both sides of each boundary.
//!
//! A rule is one test, named after its code; a case is what is changed in a good application, and the codes that come of it.
//! What keeps a rule breaks no other one either. `every_code_has_its_cases` holds the table to the list of codes.

mod amounts;
mod changes;
mod contract;
mod dates;
mod engagement;
mod media;
mod parties;
mod text;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use hosho_schema::{
    messages::{ApplicationV1, BaseV1, CalculationV1, MediumV1, ProductV1, WorksKindV1, decode},
    snapshots::{self, Branch, Channel},
};
use serde_json::{Value, json};

use super::{
    application::{self, Facts, Judged},
    engagement::{Engaged, Engagement},
    issuer::Branches,
    limits::{Limits, Timeline, usual},
    money::{Ratio, Yen},
    obligee::{Acceptance, Basis, Obligee, OlderContracts, Registry, Start, SubmissionRule},
    violation::{Breach, Code, Violation},
};

/// The codes that a case is answered with.
pub(super) type Codes = Vec<&'static str>;

/// A rule with its cases: the code, and whether each of them keeps it.
pub(super) struct Rule {
    code: &'static str,
    cases: &'static [Case],
}

/// One case.
pub(super) struct Case {
    what: &'static str,
    keeps: bool,
    run: fn() -> Codes,
}

impl Rule {
    fn check(&self) {
        for Case { what, keeps, run } in self.cases {
            let expected: Codes = if *keeps { vec![] } else { vec![self.code] };
            assert_eq!(run(), expected, "{}: {what}", self.code);
        }
    }
}

/// Rules of one family: a test for each, and the list of them.
macro_rules! cases {
    (@keeps kept) => { true };
    (@keeps broken) => { false };
    ($($test:ident = $code:literal { $($verdict:ident $what:literal: $codes:expr;)* })*) => {
        pub(super) const RULES: &[super::Rule] = &[$(super::Rule {
            code: $code,
            cases: &[$(super::Case { what: $what, keeps: cases!(@keeps $verdict), run: || $codes }),*],
        }),*];

        $(#[test]
        fn $test() {
            assert_eq!($code.replace('.', "_"), stringify!($test), "a test is named after its code");
            RULES.iter().find(|rule| rule.code == $code).unwrap().check();
        })*
    };
}
use cases;

const FAMILIES: [&[Rule]; 8] = [
    changes::RULES,
    contract::RULES,
    text::RULES,
    amounts::RULES,
    dates::RULES,
    parties::RULES,
    media::RULES,
    engagement::RULES,
];

#[test]
fn every_code_has_its_cases() {
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
            "{code} needs both kinds"
        );
    }
    assert!(missing.is_empty(), "codes without a rule in the table, or with two: {missing:?}");
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
        limits: Timeline::always(usual()),
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
    let mut limits = usual();
    change(&mut limits);
    Obligee { limits: Timeline::always(limits), ..obligee(code, None) }
}

/// Obligees that differ in one thing each.
pub(super) fn registry() -> Registry {
    let start = |on, basis| Some(Start { on, basis, older_contracts: OlderContracts::Paper });
    let paper = Obligee { electronic: vec![], ..obligee("paper", None) };
    let mut performance_only = obligee("performance-only", None);
    performance_only.electronic[0].products = vec![ProductV1::Performance];
    let mut lenient = obligee("lenient", start(day(2026, 11, 20), Basis::ContractDate));
    lenient.electronic[0].start.as_mut().unwrap().older_contracts = OlderContracts::Electronic;
    // From 2026-11-20 on, by 公告日: 45 % in place of 40 %.
    let mut raised = usual();
    raised.advance.ratios.construction = Ratio::percent(45);
    let mut changed = Obligee { limits_basis: Basis::Announced, ..obligee("changed", None) };
    changed.limits.then(day(2026, 11, 20), raised).unwrap();
    Registry::new([
        obligee("open", None),
        paper,
        performance_only,
        lenient,
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

/// A good application: 40 % of ten million yen.
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

/// A simple form of the rule of the mail system: one `@` after ASCII, and at most 254 characters.
fn mail_address(text: &str) -> Option<String> {
    let (user, domain) = text.split_once('@')?;
    (user.is_ascii() && !domain.contains('@') && text.len() <= 254).then(|| text.to_owned())
}

/// Judges an application that came in on a day.
pub(super) fn judged(value: &Value, received_on: NaiveDate) -> Judged {
    judged_wire(&decode(value.to_string().as_bytes()).unwrap(), received_on)
}

pub(super) fn judged_wire(wire: &ApplicationV1, received_on: NaiveDate) -> Judged {
    let facts = Facts {
        obligees: &registry(),
        branches: &branches(),
        received_on,
        unprintable: &|text| text.chars().filter(|character| *character > '\u{2fa1f}').collect(),
        mail_address: &mail_address,
    };
    application::judge(wire, &facts)
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

/// The codes of the good application with these changes.
fn changed(changes: &[(&str, Value)]) -> Codes {
    codes(verdict(&with(base(), changes), today()))
}

/// The same for one change.
fn set(pointer: &str, value: Value) -> Codes {
    changed(&[(pointer, value)])
}

/// The same for an application that came in on another day.
fn on(received_on: NaiveDate, changes: &[(&str, Value)]) -> Codes {
    codes(verdict(&with(base(), changes), received_on))
}

/// The same after what earlier applications engaged for the same works.
fn after(engaged: &[Engaged], changes: &[(&str, Value)]) -> Codes {
    let mut judged = judged(&with(base(), changes), today());
    judged.against(engaged);
    codes(judged.verdict().0)
}

/// The code of a breach alone, for rules that no application can break.
fn alone(breach: Option<Breach>) -> Codes {
    breach.map(|breach| breach.code().as_str()).into_iter().collect()
}

/// How the good application with these changes was judged by a rule.
fn calculation(code: &str, changes: &[(&str, Value)]) -> CalculationV1 {
    let (_, calculations) = judged(&with(base(), changes), today()).verdict();
    calculations.into_iter().find(|calculation| calculation.code == code).unwrap()
}

fn engaged(product: ProductV1, medium: MediumV1, amount: i64, number: Option<&str>) -> Engaged {
    let engagement = Engagement {
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
    Engaged {
        engagement,
        source: "portal".to_owned(),
        on: day(2026, 11, 1),
        issued: number.is_some(),
        number,
    }
}

/// An advance that was issued for the same works.
pub(super) fn advanced(amount: i64) -> Engaged {
    engaged(ProductV1::AdvancePayment, MediumV1::Electronic, amount, Some("31075-00001M"))
}

/// The same engaged otherwise.
fn otherwise(mut engaged: Engaged, change: impl FnOnce(&mut Engagement)) -> Engaged {
    change(&mut engaged.engagement);
    engaged
}

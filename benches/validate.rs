//! Applications decoded and judged a second on one core: `make bench`.
//!
//! The part of the validate stage before its database query, with the facts of production: the built-in
//! obligees and branches, the glyphs of the installed fonts, the mail addresses that lettre accepts. 1,000
//! variants of the applications in `examples/`, each with its own names, numbers, amounts and dates, so that
//! no cache holds the answer. One thread, and the allocator of the program.
//!
//! | benchmark | measures |
//! |---|---|
//! | `decode` | JSON to `application.v1` |
//! | `judge` | normalising and all rules |
//! | `decode_judge` | both, to the verdict; target: 50,000 a second |
//! | `rejected` | both, for applications that break a rule each, messages in two languages included |
//! | `works_key` | the key of the works, for the rules across applications |
//! | `content` | decoding, and the hash that identifies a repeated application |

#![allow(clippy::unwrap_used, reason = "a failure aborts the benchmark")]

mod choices;

use std::hint::black_box;

use choices::Choices;
use chrono::{Days, NaiveDate};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hosho::{
    domain::{
        application::{Judged, RuleContext, judge},
        violation::Violation,
    },
    mail,
    pdf::{FontPaths, Fonts},
    reference::{obligees, surety},
    stages::validate::content_sha256,
};
use hosho_schema::messages::{ApplicationV1, decode};
use serde_json::Value;

/// Number of different applications.
const VARIANTS: usize = 1_000;

/// Some characters need Unicode tables or the second font.
const PLACES: [&str; 12] =
    ["架空", "髙﨑", "𠮷野", "信架", "東雲", "槗本", "濵田", "邊見", "花園", "葛\u{e0100}城", "ケ峰", "Ｎ区"];
const OBJECTS: [&str; 8] = ["市道", "橋梁", "配水管", "小学校", "ポンプ場", "河川", "公園", "センター"];
const WORKS: [&str; 6] =
    ["改良工事", "補修工事", "更新工事", "耐震補強工事", "舗装工事（その２）", "実施設計業務委託"];

/// Varies the lines of a file of examples.
fn variants(examples: &str, choices: &mut Choices) -> Vec<Vec<u8>> {
    let lines: Vec<Value> = examples.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let vary = |index: usize| {
        let mut application = lines[index % lines.len()].clone();
        let id = format!("{}-{index:06}", application["id"].as_str().unwrap());
        application["id"] = id.into();
        vary(&mut application, choices);
        application.to_string().into_bytes()
    };
    (0..VARIANTS).map(vary).collect()
}

/// Changes names, numbers, amounts and dates, and keeps their notation.
/// The verdict stays the same: one factor for all amounts, one offset for all dates.
fn vary(application: &mut Value, choices: &mut Choices) {
    let (factor, days) =
        (i64::try_from(1 + choices.below(89)).unwrap(), u64::try_from(choices.below(3)).unwrap());
    let kind = application["works"]["kind"].clone();
    walk(application, &mut |key, value| match (key, &*value) {
        ("contract_price" | "amount" | "this_year_base", Value::Number(_) | Value::String(_)) => {
            multiply(value, factor);
        }
        (_, Value::String(text)) => {
            let text = match key {
                "from"
                | "to"
                | "contract_date"
                | "original_contract_date"
                | "announced_on"
                | "awarded_on" => shift(text, days),
                "name" if !text.trim().is_empty() => {
                    format!(
                        "{text}{}{}{}",
                        choices.of(&PLACES),
                        choices.of(&OBJECTS),
                        if kind == "design" { WORKS[5] } else { choices.of(&WORKS) }
                    )
                }
                "address" => format!("{text}{}{}号", choices.of(&PLACES), choices.below(1_000)),
                "representative" => format!("{text}{}", choices.of(&PLACES)),
                "number" => format!("{text}の{}", choices.below(10_000)),
                "bank" => format!("{text} {}支店", choices.of(&PLACES)),
                "mail_address" => format!("u{}.{text}", choices.below(100_000)),
                "remarks" => format!("{text}\n{}へ", choices.of(&PLACES)),
                _ => return,
            };
            *value = text.into();
        }
        _ => {}
    });
}

/// Visits every text and number with its key.
fn walk(value: &mut Value, visit: &mut impl FnMut(&str, &mut Value)) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                visit(key, value);
                walk(value, visit);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

/// Multiplies an amount; keeps full-width digits and separators.
/// Does not change any other value.
fn multiply(value: &mut Value, factor: i64) {
    if let Some(number) = value.as_i64() {
        *value = number.checked_mul(factor).unwrap_or(number).into();
        return;
    }
    let Some(text) = value.as_str() else { return };
    let digits: String =
        text.chars().filter(|character| !matches!(character, ',' | '，')).map(narrow).collect();
    let Ok(number) = digits.parse::<i64>() else { return };
    let mut written = if text.contains([',', '，']) {
        hosho_schema::money::grouped(number * factor)
    } else {
        (number * factor).to_string()
    };
    if !text.is_ascii() {
        written = written.chars().map(wide).collect();
    }
    *value = written.into();
}

/// Shifts a date of the form `YYYY-MM-DD` in either width.
/// Does not change any other text.
fn shift(text: &str, days: u64) -> String {
    let narrow: String = text.chars().map(narrow).collect();
    let Some(moved) =
        narrow.parse::<NaiveDate>().ok().and_then(|date| date.checked_add_days(Days::new(days)))
    else {
        return text.into();
    };
    if text.is_ascii() { moved.to_string() } else { moved.to_string().chars().map(wide).collect() }
}

fn narrow(character: char) -> char {
    match character {
        '０'..='９' => char::from_u32(u32::from(character) - 0xfee0).unwrap(),
        '－' | 'ー' => '-',
        _ => character,
    }
}

fn wide(character: char) -> char {
    char::from_u32(u32::from(character) + 0xfee0).unwrap()
}

fn judged(payload: &[u8], facts: &RuleContext<'_>) -> Judged {
    match decode::<ApplicationV1>(payload) {
        Ok(application) => judge(&application, facts),
        Err(error) => Judged::unreadable(Violation::malformed::<ApplicationV1>(payload, &error)),
    }
}

fn validate(criterion: &mut Criterion) {
    let (obligees, branches) = (obligees::load(None).unwrap(), surety::load_branches(None).unwrap());
    let fonts = Fonts::load(&FontPaths::system().unwrap()).unwrap();
    let facts = RuleContext {
        obligees: &obligees,
        branches: &branches,
        received_on: NaiveDate::from_ymd_opt(2026, 12, 1).unwrap(),
        unprintable: &|text| fonts.missing(text),
        mail_address: &mail::normal_mail_address,
    };
    let choices = &mut Choices(3);
    let accepted = variants(include_str!("../examples/applications.jsonl"), choices);
    let rejected = variants(include_str!("../examples/rejected.jsonl"), choices);
    let applications: Vec<ApplicationV1> = accepted.iter().map(|payload| decode(payload).unwrap()).collect();
    let keyed: Vec<Judged> = applications.iter().map(|application| judge(application, &facts)).collect();
    for judged in &keyed {
        let (verdict, _) = judged.clone().verdict();
        assert!(verdict.is_ok(), "{:?}", verdict.err());
    }
    // Those accepted break only rules across applications, or another amount or date made them valid.
    let kept = rejected.iter().filter(|payload| judged(payload, &facts).is_accepted()).count();
    assert!(kept < VARIANTS / 10, "{kept} of those to be rejected are not");

    let mut group = criterion.benchmark_group("validate");
    group.throughput(Throughput::Elements(VARIANTS as u64));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| accepted.iter().for_each(|payload| _ = black_box(decode::<ApplicationV1>(payload))));
    });
    group.bench_function("judge", |bencher| {
        bencher.iter(|| {
            for application in &applications {
                _ = black_box(judge(application, &facts).verdict());
            }
        });
    });
    group.bench_function("decode_judge", |bencher| {
        bencher.iter(|| accepted.iter().for_each(|payload| _ = black_box(judged(payload, &facts).verdict())));
    });
    group.bench_function("rejected", |bencher| {
        bencher.iter(|| rejected.iter().for_each(|payload| _ = black_box(judged(payload, &facts).verdict())));
    });
    group.bench_function("works_key", |bencher| {
        bencher.iter(|| keyed.iter().for_each(|judged| _ = black_box(judged.works_key())));
    });
    group.bench_function("content", |bencher| {
        bencher.iter(|| accepted.iter().for_each(|payload| _ = black_box(content_sha256(payload))));
    });
    group.finish();
}

criterion_group!(benches, validate);
criterion_main!(benches);

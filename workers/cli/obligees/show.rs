//! `hosho obligees show`

use std::{collections::BTreeMap, process::ExitCode};

use chrono::NaiveDate;
use hosho_schema::{
    messages::{ProductV1, WorksKindV1},
    money::Yen,
    snapshots::{Channel, Works},
};
use serde::Serialize;

use super::{
    super::{name_of, output, print_table, print_text, table},
    Error, ShownAcceptance, kinds, print, printable, products,
};
use crate::{
    clock::Clock,
    domain::wareki::in_tokyo,
    reference::obligees::{
        Basis, LimitField, LimitValue, Obligee, Origin, Origins, Registry, SubmissionRule,
    },
};

/// Minimum similarity (Jaro-Winkler, 0 to 1) of a suggested code.
const ALIKE: f64 = 0.75;

pub(super) fn run(
    registry: &Registry,
    code: &str,
    on: Option<NaiveDate>,
    json: bool,
) -> Result<ExitCode, Error> {
    let (Some(obligee), Some(origins)) = (registry.get(code), registry.origins(code)) else {
        return Err(unknown(registry, code));
    };
    let on = on.unwrap_or_else(|| in_tokyo(Clock::system().now()).date_naive());
    let origins = origins.on(on);
    output(json, &shown(obligee, origins, on), |_| print_day(obligee, origins, on))
}

fn unknown(registry: &Registry, code: &str) -> Error {
    let likeness = |obligee: &Obligee| {
        let typed = code.trim();
        let is_named = !typed.is_empty() && (obligee.name.contains(typed) || obligee.title.contains(typed));
        if is_named { 1.0 } else { strsim::jaro_winkler(&obligee.code, &typed.to_lowercase()) }
    };
    let alike = registry.iter().map(|obligee| (likeness(obligee), obligee));
    let mut alike: Vec<_> = alike.filter(|(likeness, _)| *likeness >= ALIKE).collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0));
    let named = |(_, obligee): &(f64, &Obligee)| printable(&format!("{} ({})", obligee.code, obligee.name));
    let alike: Vec<_> = alike.iter().take(3).map(named).collect();
    let hint = if alike.is_empty() { String::new() } else { format!("use {}, or ", alike.join(" or ")) };
    Error::not_found(format!("there is no obligee {:?}", printable(code)))
        .hint(format!("{hint}run `hosho obligees list` for all codes"))
}

/// The rules of a day, with limits as in the files.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    code: &'a str,
    name: &'a str,
    title: &'a str,
    on: NaiveDate,
    electronic: Vec<ShownAcceptance>,
    limits: ShownLimits,
    submission: Vec<ShownSubmission<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownLimits {
    basis: Basis,
    /// First day of these values; `null` without one.
    since: Option<NaiveDate>,
    next_change: Option<NaiveDate>,
    values: BTreeMap<&'static str, BTreeMap<&'static str, ShownLimit>>,
}

#[derive(Debug, Serialize)]
struct ShownLimit {
    /// `"40%"`, `10000`, or `null` without such a bound.
    value: Option<serde_json::Value>,
    origin: Origin,
}

#[derive(Debug, Serialize)]
struct ShownSubmission<'a> {
    /// `null`: all without an entry of their own.
    products: Option<Vec<ProductV1>>,
    channel: Channel,
    department: Option<&'a str>,
    mail_address: Option<&'a str>,
    system: Option<&'a str>,
    subject: Option<String>,
}

fn shown<'a>(obligee: &'a Obligee, origins: &Origins, on: NaiveDate) -> Shown<'a> {
    let (since, limits) = obligee.limits.period(on);
    let mut values: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for field in LimitField::ALL {
        let (table, key) = field.name();
        let value = field.of(limits).map(|amount| match amount {
            LimitValue::Ratio(ratio) => ratio.to_string().into(),
            LimitValue::Yen(yen) => yen.0.into(),
        });
        let limit = ShownLimit { value, origin: origins.of(field) };
        values.entry(table).or_default().insert(key, limit);
    }
    let submission = |(products, rule): (Option<Vec<ProductV1>>, &'a SubmissionRule)| ShownSubmission {
        products,
        channel: rule.channel,
        department: rule.department.as_deref(),
        mail_address: rule.mail_address.as_deref(),
        system: rule.system.as_deref(),
        subject: subject(rule),
    };
    Shown {
        code: &obligee.code,
        name: &obligee.name,
        title: &obligee.title,
        on,
        electronic: ShownAcceptance::all(obligee, Some(on)),
        limits: ShownLimits {
            basis: obligee.limits_basis,
            since,
            next_change: obligee.limits.next_after(on).map(|(from, _)| from),
            values,
        },
        submission: submissions(obligee).into_iter().map(submission).collect(),
    }
}

/// The submission rules of products, equal ones together, and of the rest.
fn submissions(obligee: &Obligee) -> Vec<(Option<Vec<ProductV1>>, &SubmissionRule)> {
    let mut rules: Vec<(Option<Vec<ProductV1>>, &SubmissionRule)> = Vec::new();
    for (product, rule) in &obligee.submission_of {
        match rules.iter_mut().find(|(_, known)| *known == rule) {
            Some((products, _)) => products.get_or_insert_default().push(*product),
            None => rules.push((Some(vec![*product]), rule)),
        }
    }
    rules.push((None, &obligee.submission));
    rules
}

/// The required subject, its placeholders filled with themselves.
fn subject(rule: &SubmissionRule) -> Option<String> {
    let works = Works {
        name: "{name}".to_owned(),
        number: Some("{number}".to_owned()),
        kind: WorksKindV1::Construction,
        contract_price: Yen(0),
        from: NaiveDate::default(),
        to: NaiveDate::default(),
        contract_date: None,
        low_price: false,
        fiscal_year: None,
    };
    rule.subject.as_ref().map(|subject| subject.fill(&works))
}

fn print_day(obligee: &Obligee, origins: &Origins, on: NaiveDate) {
    print_text(printable(&format!("{} {}  職名 {}", obligee.code, obligee.name, obligee.title)));
    print_electronic(obligee, on);
    print_limits(obligee, origins, on);
    print("\nSubmission of the notice");
    let mut rows = table(["products", "by", "to", "subject"]);
    let rules = submissions(obligee);
    let rest = if rules.len() == 1 { "all" } else { "all others" };
    for (given, rule) in rules {
        let whom = [&rule.department, &rule.mail_address, &rule.system]
            .into_iter()
            .flatten()
            .map(|text| printable(text));
        rows.add_row([
            given.map_or_else(|| rest.to_owned(), |given| products(&given, "\n")),
            name_of(rule.channel),
            whom.collect::<Vec<_>>().join("\n"),
            subject(rule).map_or_else(|| "any".to_owned(), |subject| printable(&subject)),
        ]);
    }
    print_table(rows);
}

fn print_electronic(obligee: &Obligee, on: NaiveDate) {
    if obligee.electronic.is_empty() {
        print("\nElectronic (電子保証): nothing, paper only");
        return;
    }
    print("\nElectronic (電子保証); all else on paper");
    let mut rows =
        table(["products", "for", "from", "compared with", "older contracts", &format!("on {on}")]);
    for acceptance in &obligee.electronic {
        let [from, basis, older, begun] = match acceptance.start {
            None => ["no first day", "", "", "accepted"].map(str::to_owned),
            Some(start) => [
                start.on.to_string(),
                start.basis.ja().to_owned(),
                name_of(start.older_contracts),
                if start.on <= on { "begun" } else { "not begun" }.to_owned(),
            ],
        };
        let (products, kinds) = (products(&acceptance.products, "\n"), kinds(&acceptance.kinds, "\n"));
        rows.add_row([products, kinds, from, basis, older, begun]);
    }
    print_table(rows);
}

fn print_limits(obligee: &Obligee, origins: &Origins, on: NaiveDate) {
    let (since, limits) = obligee.limits.period(on);
    let basis = obligee.limits_basis;
    print(format!("\nLimits where the {} ({}) is {on}", basis.en(), basis.ja()));
    let value = |field: LimitField, limits| {
        field.of(limits).map_or_else(|| "none".to_owned(), |amount| amount.to_string())
    };
    let mut rows = table(["limit", "日本語", "value", "set by"]);
    for field in LimitField::ALL {
        let origin = match origins.of(field) {
            Origin::National => "national",
            Origin::DisasterArea => "national, disaster area",
            Origin::Own => "obligee",
        };
        rows.add_row([&field.to_string(), field.ja(), &value(field, limits), origin]);
    }
    if let Some(column) = rows.column_mut(2) {
        column.set_cell_alignment(comfy_table::CellAlignment::Right);
    }
    print_table(rows);
    if let Some(since) = since {
        print(format!("In force since {since}."));
    }
    let Some((from, next)) = obligee.limits.next_after(on) else {
        return print("No later change is configured.");
    };
    print(format!("They change on {from}:"));
    for field in LimitField::ALL.into_iter().filter(|field| field.of(next) != field.of(limits)) {
        print_text(format!("  {field}  {} → {}", value(field, limits), value(field, next)));
    }
}

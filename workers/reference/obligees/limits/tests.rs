use std::fs;

use hosho_schema::money::{Ratio, Yen};

use crate::reference::obligees::limits::*;
use crate::{
    domain::limits::fields::{LimitField, LimitValue},
    reference::obligees::{self, Basis, OlderContracts, Origin, Registry, RegistryError},
};

const OBLIGEE: &str = r#"code = "x"
name = "X市"
title = "X市長"
[[submission]]
channel = "mail"
department = "契約課"
"#;

const NATIONAL: &str = r#"[[limits]]
[limits.advance_payment]
construction = "40%"
design = "30%"
surveying = "30%"
machinery = "30%"
low_price = "20%"
rounding_unit = 10_000
[limits.disaster_area]
construction = "45%"
design = "35%"
surveying = "35%"
machinery = "35%"
[limits.interim_advance_payment]
ratio = "20%"
low_price_ratio = "10%"
total = "60%"
low_price_total = "30%"
rounding_unit = 10_000
[limits.performance]
minimum = "10%"
low_price_minimum = "30%"
"#;

/// National limits; from 2027-04-01 工事 50 % (disaster area 55 %), 低入札 25 %.
fn two_periods() -> String {
    let later = NATIONAL
        .replace("\"40%\"", "\"50%\"")
        .replace("\"45%\"", "\"55%\"")
        .replace("low_price = \"20%\"", "low_price = \"25%\"");
    let first = NATIONAL.replacen("[[limits]]", "[[limits]]\nuntil = 2027-03-31", 1);
    format!("{first}{}", later.replacen("[[limits]]", "[[limits]]\nfrom = 2027-04-01", 1))
}

fn load(national: Option<&str>, obligee: &str) -> Result<Registry, RegistryError> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("obligees")).unwrap();
    fs::write(folder.path().join("obligees/x.toml"), obligee).unwrap();
    if let Some(national) = national {
        fs::write(folder.path().join("national.toml"), national).unwrap();
    }
    obligees::load(Some(folder.path()))
}

/// The limits of [`NATIONAL`].
fn usual() -> Limits {
    load(Some(NATIONAL), OBLIGEE).unwrap().national().only().unwrap().clone()
}

/// File, line and text of every problem; none when all is accepted.
fn problems(national: Option<&str>, obligee: &str) -> Vec<(String, usize, String)> {
    match load(national, obligee) {
        Err(RegistryError::Invalid { problems }) => {
            let name = |file: &str| file.rsplit('/').next().unwrap().to_owned();
            problems.0.into_iter().map(|problem| (name(&problem.file), problem.line, problem.text)).collect()
        }
        Err(other) => panic!("{obligee}: {other:?}"),
        Ok(_) => Vec::new(),
    }
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// The days on which an amount changes, with the value and its origin.
fn history(registry: &Registry, field: LimitField) -> Vec<(String, String, Origin)> {
    let (limits, origins) = (&registry.get("x").unwrap().limits, registry.origins("x").unwrap());
    let days: BTreeSet<_> =
        limits.iter().map(|(from, _)| from).chain(origins.iter().map(|(from, _)| from)).collect();
    let reported = days.into_iter().map(|from| {
        // Before all days in these tests.
        let on = from.unwrap_or_else(|| day("1990-01-01"));
        let value = field.of(limits.on(on)).map_or_else(|| "none".to_owned(), |amount| amount.to_string());
        (from.map_or_else(String::new, |from| from.to_string()), value, origins.on(on).of(field))
    });
    let mut reported: Vec<_> = reported.collect();
    reported.dedup_by(|later, earlier| (&later.1, later.2) == (&earlier.1, earlier.2));
    reported
}

fn expected(rows: &[(&str, &str, Origin)]) -> Vec<(String, String, Origin)> {
    rows.iter().map(|(from, value, origin)| ((*from).to_owned(), (*value).to_owned(), *origin)).collect()
}

#[test]
fn built_in_national_limits_match_the_rules() {
    let registry = obligees::load(None).unwrap();
    assert_eq!(registry.national().only(), Some(&usual()));
    for obligee in registry.iter() {
        assert_eq!(obligee.limits.only(), Some(&usual()), "{}: no field is published", obligee.code);
        assert_eq!(obligee.limits_basis, Basis::OriginalContract);
        assert_eq!(registry.origins(&obligee.code).unwrap().only(), Some(&Origins::default()));
    }
    // The 45 % and 35 % of the same rule.
    let disaster = load(None, &format!("{OBLIGEE}[[limits]]\ndisaster_area = true\n")).unwrap();
    let ratios = disaster.get("x").unwrap().limits.only().unwrap().advance.ratios;
    assert_eq!((ratios.construction, ratios.machinery), (Ratio::percent(45), Ratio::percent(35)));
    assert_eq!((ratios.design, ratios.surveying), (Ratio::percent(35), Ratio::percent(35)));
}

#[test]
fn reads_every_amount_of_a_file() {
    for field in LimitField::ALL {
        let (table, key) = field.name();
        // Only low-price amounts could contradict the other national amounts, and these do not.
        let (written, amount) = match field {
            LimitField::AdvanceLowPrice | LimitField::InterimLowPriceRatio => {
                ("\"7.5%\"", LimitValue::Ratio(Ratio::new(3, 40).unwrap()))
            }
            LimitField::PerformanceMinimum | LimitField::InterimRatio => {
                ("\"1/8\"", LimitValue::Ratio(Ratio::new(1, 8).unwrap()))
            }
            LimitField::InterimLowPriceTotal => ("\"60%\"", LimitValue::Ratio(Ratio::percent(60))),
            _ if field.is_ratio() => ("\"100%\"", LimitValue::Ratio(Ratio::WHOLE)),
            _ if field.is_rounding_unit() => ("1_000", LimitValue::Yen(Yen(1_000))),
            _ => ("5_000_000", LimitValue::Yen(Yen(5_000_000))),
        };
        let registry =
            load(None, &format!("{OBLIGEE}[[limits]]\n[limits.{table}]\n{key} = {written}\n")).unwrap();
        let limits = registry.get("x").unwrap().limits.only().unwrap().clone();
        for other in LimitField::ALL {
            let expected = if other == field { Some(amount) } else { other.of(&usual()) };
            assert_eq!(other.of(&limits), expected, "{other} after {field}");
            let origin = registry.origins("x").unwrap().only().unwrap().of(other);
            assert_eq!(
                origin,
                if other == field { Origin::Own } else { Origin::National },
                "{other} after {field}"
            );
        }
    }
}

#[test]
fn periods_apply_on_their_days_over_national_limits() {
    let text = format!(
        "{OBLIGEE}[[limits]]\nfrom = 2026-10-01\nuntil = 2026-12-31\n[limits.advance_payment]\nmaximum = 5_000_000\n\
         [[limits]]\nfrom = 2027-01-01\nuntil = 2027-01-01\n\
         [[limits]]\nfrom = 2027-01-02\nuntil = 2027-01-02\n[limits.advance_payment]\nmaximum = 6_000_000\n\
         [[limits]]\nfrom = 2027-01-03\nuntil = 2028-02-29\n[limits.advance_payment]\nmaximum = 7_000_000\n"
    );
    let registry = load(None, &text).unwrap();
    let limits = &registry.get("x").unwrap().limits;
    for (on, maximum) in [
        ("2000-01-01", None),
        ("2026-09-30", None),
        ("2026-10-01", Some(5_000_000)),
        ("2026-12-31", Some(5_000_000)),
        ("2027-01-01", None),
        ("2027-01-02", Some(6_000_000)),
        ("2027-01-03", Some(7_000_000)),
        ("2028-02-29", Some(7_000_000)),
        ("2028-03-01", None),
        ("2099-01-01", None),
    ] {
        assert_eq!(limits.on(day(on)).advance.maximum, maximum.map(Yen), "{on}");
        let origin = registry.origins("x").unwrap().on(day(on)).of(LimitField::AdvanceMaximum);
        assert_eq!(origin == Origin::Own, maximum.is_some(), "{on}");
    }
    // Open on both sides, and in another order than in time.
    let open = format!(
        "{OBLIGEE}[[limits]]\nfrom = 2027-04-01\n[[limits]]\nuntil = 2027-03-31\n[limits.performance]\nminimum = \"20%\"\n"
    );
    let registry = load(None, &open).unwrap();
    assert_eq!(
        history(&registry, LimitField::PerformanceMinimum),
        expected(&[("", "20%", Origin::Own), ("2027-04-01", "10%", Origin::National)])
    );
}

#[test]
fn national_changes_apply_to_values_an_obligee_omits() {
    let text = format!(
        "{OBLIGEE}[[limits]]\nfrom = 2026-10-01\nuntil = 2027-09-30\n[limits.advance_payment]\ndesign = \"25%\"\n\
         [[limits]]\nfrom = 2027-10-01\nuntil = 2027-12-31\n[limits.advance_payment]\nconstruction = \"45%\"\n"
    );
    let registry = load(Some(&two_periods()), &text).unwrap();
    assert_eq!(
        history(&registry, LimitField::AdvanceConstruction),
        expected(&[
            ("", "40%", Origin::National),
            ("2027-04-01", "50%", Origin::National),
            ("2027-10-01", "45%", Origin::Own),
            ("2028-01-01", "50%", Origin::National),
        ])
    );
    assert_eq!(
        history(&registry, LimitField::AdvanceDesign),
        expected(&[
            ("", "30%", Origin::National),
            ("2026-10-01", "25%", Origin::Own),
            ("2027-10-01", "30%", Origin::National)
        ])
    );
    let national: Vec<_> =
        registry.national().iter().map(|(from, limits)| (from, limits.advance.low_price)).collect();
    assert_eq!(national, [(None, Ratio::percent(20)), (Some(day("2027-04-01")), Ratio::percent(25))]);

    let disaster = load(Some(&two_periods()), &format!("{OBLIGEE}[[limits]]\nfrom = 2026-10-01\nuntil = 2027-06-30\ndisaster_area = true\n[limits.advance_payment]\ndesign = \"33%\"\n[[limits]]\nfrom = 2027-07-01\ndisaster_area = false\n")).unwrap();
    assert_eq!(
        history(&disaster, LimitField::AdvanceConstruction),
        expected(&[
            ("", "40%", Origin::National),
            ("2026-10-01", "45%", Origin::DisasterArea),
            ("2027-04-01", "55%", Origin::DisasterArea),
            ("2027-07-01", "50%", Origin::National),
        ])
    );
    assert_eq!(
        history(&disaster, LimitField::AdvanceDesign),
        expected(&[
            ("", "30%", Origin::National),
            ("2026-10-01", "33%", Origin::Own),
            ("2027-07-01", "30%", Origin::National)
        ])
    );
}

#[test]
fn unchanged_values_need_no_date() {
    // A national change does not affect an obligee with its own amounts.
    let pinned = "[[limits]]\n[limits.advance_payment]\nconstruction = \"40%\"\nlow_price = \"20%\"\n";
    let registry = load(Some(&two_periods()), &format!("{OBLIGEE}{pinned}")).unwrap();
    assert_eq!(registry.get("x").unwrap().limits.only(), Some(&usual()));
    assert_eq!(registry.origins("x").unwrap().only().unwrap().of(LimitField::AdvanceLowPrice), Origin::Own);
    assert_eq!(registry.get("x").unwrap().limits_basis, Basis::OriginalContract);
    let basis = load(None, &OBLIGEE.replace("title", "limits_basis = \"announced\"\ntitle")).unwrap();
    assert_eq!(basis.get("x").unwrap().limits_basis, Basis::Announced);
}

#[test]
fn reads_limits_of_older_contracts() {
    let electronic = "[[electronic]]\nproducts = [\"performance\"]\nkinds = [\"design\"]\nfrom = 2026-04-01\nbasis = \"awarded\"\n";
    for (line, older) in [
        ("", OlderContracts::Paper),
        ("older_contracts = \"paper\"\n", OlderContracts::Paper),
        ("older_contracts = \"electronic\"\n", OlderContracts::Electronic),
    ] {
        let registry = load(None, &format!("{OBLIGEE}{electronic}{line}")).unwrap();
        assert_eq!(registry.get("x").unwrap().electronic[0].start.unwrap().older_contracts, older, "{line}");
    }
}

/// Each text has one problem: its line and a part of its text.
/// The text follows [`OBLIGEE`], so its first line is line 7.
#[track_caller]
fn assert_problem(cases: &[(&str, usize, &str)]) {
    let mut wrong = Vec::new();
    for (text, line, part) in cases {
        let reported = problems(None, &format!("{OBLIGEE}{text}\n"));
        if !matches!(&reported[..], [(file, found, problem)] if file == "x.toml" && found == line && problem.contains(part))
        {
            wrong.push(format!("{text}\n  {line} {part}\n  {reported:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} are wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn rejects_invalid_amounts_with_their_line() {
    assert_problem(&[
        (
            "[[limits]]\n[limits.advance_payment]\nconstruction = \"4O%\"",
            9,
            "advance_payment.construction is \"4O%\": a ratio is written",
        ),
        (
            "[[limits]]\n[limits.advance_payment]\nconstruction = 40",
            9,
            "advance_payment.construction is 40: a ratio is written",
        ),
        (
            "[[limits]]\n[limits.performance]\nminimum = 0.1",
            9,
            "performance.minimum is 0.1: a ratio is written",
        ),
        (
            "[[limits]]\n[limits.performance]\nminimum = \"0%\"",
            9,
            "performance.minimum is \"0%\": a ratio is more than 0%",
        ),
        ("[[limits]]\n[limits.performance]\nlow_price_minimum = \"100.1%\"", 9, "at most 100%"),
        ("[[limits]]\n[limits.performance]\nminimum = \"1/0\"", 9, "performance.minimum is \"1/0\""),
        (
            "[[limits]]\n[limits.interim_advance_payment]\n\nrounding_unit = 0",
            10,
            "interim_advance_payment.rounding_unit is 0: a rounding unit is 1, 10",
        ),
        (
            "[[limits]]\n[limits.advance_payment]\nrounding_unit = 50_000",
            9,
            "advance_payment.rounding_unit is 50000: a rounding unit",
        ),
        ("[[limits]]\n[limits.advance_payment]\nrounding_unit = 100_000_000", 9, "up to 10_000_000"),
        ("[[limits]]\n[limits.advance_payment]\nrounding_unit = -10", 9, "a rounding unit is"),
        (
            "[[limits]]\n[limits.advance_payment]\nminimum_contract_price = 0",
            9,
            "minimum_contract_price is 0: it is more than 0",
        ),
        (
            "[[limits]]\n[limits.interim_advance_payment]\nmaximum = -1",
            9,
            "interim_advance_payment.maximum is -1",
        ),
        (
            "[[limits]]\n[limits.advance_payment]\nmaximum = \"1億円\"",
            9,
            "advance_payment.maximum is \"1億円\": whole yen",
        ),
        ("[[limits]]\n[limits.advance_payment]\nmaximum = [1]", 9, "advance_payment.maximum is a list"),
        (
            "[[limits]]\n[limits.advance_payment]\nratio = \"40%\"",
            9,
            "advance_payment.ratio is unknown: construction, design",
        ),
        (
            "[[limits]]\n[limits.performance]\n\"a\\u001b[2J\" = \"40%\"",
            9,
            "unknown: minimum, low_price_minimum are known",
        ),
        ("[[limits]]\n[limits.performence]\nminimum = \"40%\"", 8, "unknown field `performence`"),
        ("[[limits]]\n[limits.disaster_area]\ndesign = \"40%\"", 8, "expected a boolean"),
        ("[limits]", 7, "expected a sequence"),
    ]);
}

#[test]
fn rejects_contradicting_amounts_with_a_line() {
    // Omitted values are national.
    assert_problem(&[
        (
            "[[limits]]\n[limits.advance_payment]\nlow_price = \"41%\"",
            9,
            "low_price is 41% and more than advance_payment.construction, which is 40% nationally",
        ),
        (
            "[[limits]]\n[limits.advance_payment]\nconstruction = \"19%\"",
            9,
            "low_price is 20% nationally and more than advance_payment.construction, which is 19%",
        ),
        (
            "[[limits]]\n[limits.advance_payment]\nlow_price = \"36%\"\nconstruction = \"35%\"",
            10,
            "which is 35%",
        ),
        (
            "[[limits]]\ndisaster_area = true\n[limits.advance_payment]\nlow_price = \"46%\"",
            10,
            "which is 45% nationally",
        ),
        (
            "[[limits]]\n[limits.interim_advance_payment]\nratio = \"61%\"",
            9,
            "ratio is 61% and more than interim_advance_payment.total, which is 60% nationally",
        ),
        (
            "[[limits]]\n[limits.interim_advance_payment]\ntotal = \"29%\"",
            9,
            "low_price_total is 30% nationally and more than interim_advance_payment.total, which is 29%",
        ),
        (
            "[[limits]]\n[limits.interim_advance_payment]\nlow_price_total = \"61%\"",
            9,
            "low_price_total is 61%",
        ),
        (
            "[[limits]]\n[limits.interim_advance_payment]\nlow_price_total = \"9%\"",
            9,
            "low_price_ratio is 10% nationally",
        ),
        (
            "[[limits]]\n[limits.interim_advance_payment]\nlow_price_ratio = \"21%\"",
            9,
            "low_price_ratio is 21% and more than interim_advance_payment.ratio",
        ),
        (
            "[[limits]]\n[limits.performance]\nlow_price_minimum = \"9%\"",
            9,
            "minimum is 10% nationally and more than performance.low_price_minimum, which is 9%",
        ),
        ("[[limits]]\n[limits.performance]\nminimum = \"31%\"", 9, "performance.minimum is 31%"),
        (
            "[[limits]]\n[limits.advance_payment]\nmaximum = 9_999",
            9,
            "rounding_unit is 10,000円 nationally and more than advance_payment.maximum, which is 9,999円",
        ),
        (
            "[[limits]]\n[limits.interim_advance_payment]\nmaximum = 9_999",
            9,
            "interim_advance_payment.maximum, which is 9,999円",
        ),
    ]);
}

#[test]
fn rejects_conflicting_periods_and_entries() {
    assert_problem(&[
        (
            "[[limits]]\nfrom = 2026-04-01\nuntil = 2026-03-31",
            9,
            "until 2026-03-31 is before from 2026-04-01",
        ),
        ("[[limits]]\nfrom = \"2026-04-01\"", 8, ""),
        ("[[limits]]\nfrom = 2026-04-01T00:00:00", 8, "from is not a day"),
        ("[[limits]]\nuntil = 2026-04-01T00:00:00", 8, "until is not a day"),
        ("[[limits]]\n[[limits]]", 8, "overlaps the one of line 7, which has no until"),
        (
            "[[limits]]\nuntil = 2026-04-01\n[[limits]]\nfrom = 2026-04-01",
            10,
            "overlaps the one of line 7, which holds until 2026-04-01",
        ),
        (
            "[[limits]]\nfrom = 2026-04-01\n[[limits]]\nfrom = 2027-04-01",
            10,
            "overlaps the one of line 8, which has no until",
        ),
        (
            "[[limits]]\nuntil = 2026-04-01\n[[limits]]\nuntil = 2026-05-01",
            9,
            "overlaps the one of line 7, which holds until 2026-04-01",
        ),
        (
            "[[limits]]\nfrom = 2026-01-01\nuntil = 2026-12-31\n[[limits]]\nfrom = 2027-01-02",
            11,
            "gap: no [[limits]] holds from 2027-01-01 until 2027-01-01; give these days a [[limits]] of their own, empty for the national limits",
        ),
        (
            "[[limits]]\nfrom = 2027-04-01\n[[limits]]\nuntil = 2026-12-31",
            8,
            "gap: no [[limits]] holds from 2027-01-01 until 2027-03-31",
        ),
        (
            "[[electronic]]\nproducts = [\"performance\"]\nkinds = [\"design\"]\nolder_contracts = \"paper\"",
            10,
            "older_contracts needs from",
        ),
        (
            "[[electronic]]\nproducts = [\"performance\"]\nkinds = [\"design\"]\nolder_contracts = \"none\"",
            10,
            "unknown variant `none`",
        ),
        (
            "[[electronic]]\nproducts = [\"performance\", \"advance_payment\"]\nkinds = [\"design\"]\n\
             [[electronic]]\nproducts = [\"performance\"]\nkinds = [\"surveying\", \"design\"]",
            11,
            "契約保証 for 設計・調査 is in the [[electronic]] of line 8 already",
        ),
    ]);
    let reported = problems(None, &OBLIGEE.replace("title", "limits_basis = \"signed\"\ntitle"));
    assert!(
        reported.len() == 1 && reported[0].1 == 3 && reported[0].2.contains("unknown variant `signed`"),
        "{reported:?}"
    );
}

#[test]
fn accepts_limits_that_meet_exactly() {
    for limits in [
        "[limits.advance_payment]\nlow_price = \"40%\"",
        "[limits.advance_payment]\nconstruction = \"20%\"",
        "[limits.advance_payment]\nconstruction = \"100%\"",
        "[limits.advance_payment]\nmaximum = 10_000",
        "[limits.advance_payment]\nminimum_contract_price = 1",
        "[limits.advance_payment]\nrounding_unit = 1",
        "[limits.advance_payment]\nrounding_unit = 10_000_000",
        "[limits.interim_advance_payment]\ntotal = \"30%\"",
        "[limits.interim_advance_payment]\nratio = \"60%\"",
        "[limits.interim_advance_payment]\nlow_price_ratio = \"20%\"",
        "[limits.interim_advance_payment]\nlow_price_total = \"10%\"",
        "[limits.interim_advance_payment]\nmaximum = 10_000",
        "[limits.performance]\nlow_price_minimum = \"10%\"",
        "[limits.performance]\nminimum = \"30%\"",
        "[limits.performance]\nminimum = \"0.1%\"",
    ] {
        load(None, &format!("{OBLIGEE}[[limits]]\n{limits}\n"))
            .unwrap_or_else(|error| panic!("{limits}: {error}"));
    }
}

#[test]
fn national_change_reports_an_impossible_amount_once() {
    let text = format!("{OBLIGEE}[[limits]]\n[limits.advance_payment]\nconstruction = \"22%\"\n");
    let reported = problems(Some(&two_periods()), &text);
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert_eq!((reported[0].0.as_str(), reported[0].1), ("x.toml", 9));
    assert!(reported[0].2.contains("low_price is 25% nationally since 2027-04-01 and more"), "{reported:?}");
    // Invalid before and after, by its own amounts: reported once.
    let text = format!(
        "{OBLIGEE}[[limits]]\n[limits.advance_payment]\nconstruction = \"22%\"\nlow_price = \"23%\"\n"
    );
    assert_eq!(problems(Some(&two_periods()), &text).len(), 1);
}

#[test]
fn rejects_each_problem_of_the_national_limits() {
    let two = two_periods();
    let mut wrong = Vec::new();
    for (text, line, part) in [
        (
            NATIONAL.replace("[[limits]]", "[[limits]]\nfrom = 2026-04-01"),
            2,
            "first national [[limits]] has no from",
        ),
        (
            NATIONAL.replace("[[limits]]", "[[limits]]\nuntil = 2026-04-01"),
            1,
            "last national [[limits]] has no until",
        ),
        (
            two.replace("from = 2027-04-01", "from = 2027-04-02"),
            25,
            "gap: no [[limits]] holds from 2027-04-01 until 2027-04-01",
        ),
        (two.replace("from = 2027-04-01", "from = 2027-03-31"), 25, "overlaps the one of line 1"),
        (two.replace("until = 2027-03-31\n", ""), 24, "overlaps the one of line 1, which has no until"),
        (
            NATIONAL.replace("design = \"30%\"\n", ""),
            2,
            "advance_payment.design is missing: national limits are whole",
        ),
        (NATIONAL.replace("design = \"35%\"\n", ""), 9, "disaster_area.design is missing"),
        (
            NATIONAL.replace("rounding_unit = 10_000\n[limits.perf", "[limits.perf"),
            14,
            "interim_advance_payment.rounding_unit is missing",
        ),
        (NATIONAL.replace("\"35%\"\nsurveying", "\"0%\"\nsurveying"), 11, "disaster_area.design is \"0%\""),
        (
            NATIONAL.replace("[limits.disaster_area]", "[limits.disaster_area]\nlow_price = \"20%\""),
            10,
            "disaster_area.low_price is unknown: construction, design, surveying, machinery are known",
        ),
        (
            NATIONAL.replace("low_price = \"20%\"", "low_price = \"43%\""),
            7,
            "low_price is 43% and more than advance_payment.construction, which is 40%",
        ),
        (NATIONAL.replace("construction = \"45%\"", "construction = \"19%\""), 10, "which is 19%"),
        (NATIONAL.replace("total = \"60%\"", "total = \"29%\""), 18, "low_price_total is 30%"),
        (NATIONAL.replace("[limits.disaster_area]", "[limits]"), 9, ""),
        ("limits = []".to_owned(), 1, "one [[limits]] is needed"),
        (String::new(), 1, "missing field `limits`"),
        (format!("{NATIONAL}[[electronic]]\n"), 23, "unknown field `electronic`"),
    ] {
        let reported = problems(Some(&text), OBLIGEE);
        if !matches!(&reported[..], [(file, found, problem)] if file == "national.toml" && *found == line && problem.contains(part))
        {
            wrong.push(format!("  {line} {part}\n  {reported:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} are wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn reports_problems_of_both_files_in_line_order() {
    let obligee = format!(
        "{}[[limits]]\n[limits.performance]\nminimum = 10\n[limits.advance_payment]\nmaximum = 0\nconstruction = \"1%\"\nab = 1\n",
        OBLIGEE.replace("X市長", "")
    );
    let reported =
        problems(Some(&NATIONAL.replace("design = \"30%\"\n", "").replace("10_000", "10_001")), &obligee);
    let places: Vec<_> = reported.iter().map(|(file, line, _)| (file.as_str(), *line)).collect();
    let national = ["national.toml"; 3].into_iter().zip([2, 7, 18]);
    // Line 12 is valid alone, and is checked against national limits only if there are any.
    let of_obligee = ["x.toml"; 4].into_iter().zip([3, 9, 11, 13]);
    assert_eq!(places, national.chain(of_obligee).collect::<Vec<_>>(), "{reported:?}");
}

#[test]
fn uses_built_in_national_limits_unless_link_dangles() {
    assert_eq!(load(None, OBLIGEE).unwrap().national().only(), Some(&usual()));
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("obligees")).unwrap();
    fs::write(folder.path().join("obligees/x.toml"), OBLIGEE).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("national.toml")).unwrap();
    assert!(matches!(obligees::load(Some(folder.path())), Err(RegistryError::ReadFile { .. })));
}

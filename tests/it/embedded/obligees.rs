//! `hosho obligees`: the rules of an obligee on a date, and errors in its files.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Answer, CliEnv, Transcript, answer};

/// An obligee with all optional fields, over the built-in national limits.
const OBLIGEE: &str = r#"code = "yamabuki"
name = "山吹町"
title = "山吹町長"
limits_basis = "announced"

[[electronic]]
products = ["performance", "advance_payment"]
kinds = ["construction"]
from = 2026-07-01
basis = "notified"
older_contracts = "electronic"

[[electronic]]
products = ["advance_payment", "interim_advance_payment", "performance"]
kinds = ["design"]

[[limits]]
from = 2026-04-01
until = 2027-03-31
disaster_area = true
[limits.advance_payment]
design = "12.5%"
rounding_unit = 100_000
maximum = 30_000_000

[[submission]]
channel = "mail"
department = "契約課"
mail_address = "keiyaku@example.jp"
subject = "【電子保証】{number} {name}"

[[submission]]
products = ["performance"]
channel = "upload"
system = "電子契約システム"
"#;

/// A folder `data` with these files.
fn data(env: &CliEnv, files: &[(&str, &str)]) -> PathBuf {
    std::fs::create_dir_all(env.path("data/obligees")).unwrap();
    for (name, text) in files {
        env.file(&format!("data/{name}"), text);
    }
    env.path("data")
}

/// Runs `hosho obligees` with that folder.
fn obligees(env: &CliEnv, arguments: &[&str]) -> Answer {
    let mut command = env.hosho([&["obligees"], arguments].concat());
    command.env("HOSHO__DATA__FOLDER", env.path("data"));
    answer(command)
}

fn json_of(answer: &Answer) -> Value {
    assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""));
    serde_json::from_str(&answer.out).unwrap_or_else(|error| panic!("{error}: {}", answer.out))
}

#[test]
fn lists_every_obligee_by_code() {
    let env = CliEnv::new();
    let built_in = json_of(&env.run(["obligees", "list", "--json"]));
    assert!(built_in.as_array().unwrap().iter().any(|obligee| obligee["code"] == "kwsa"), "{built_in}");

    let paper = "code = \"kagaribi\"\nname = \"篝火村\"\ntitle = \"篝火村長\"\n[[submission]]\nchannel = \"mail\"\ndepartment = \"総務課\"\n";
    let built_in = |code| {
        let path = format!("{}/config/obligees/{code}.toml", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    data(
        &env,
        &[
            ("obligees/yamabuki.toml", OBLIGEE),
            ("obligees/kwsa.toml", &built_in("kwsa")),
            ("obligees/kagaribi.toml", paper),
            ("obligees/mlit.toml", &built_in("mlit")),
        ],
    );
    let listed = json_of(&obligees(&env, &["list", "--json"]));
    let codes: Vec<&str> =
        listed.as_array().unwrap().iter().map(|obligee| obligee["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["kagaribi", "kwsa", "mlit", "yamabuki"]);
    let electronic = &listed[1]["electronic"][0];
    assert_eq!(
        (&electronic["from"], &electronic["basis"], &electronic["older_contracts"]),
        (&json!("2026-07-01"), &json!("awarded"), &json!("paper"))
    );
    assert_eq!(listed[2]["electronic"][0]["from"], Value::Null);
    insta::assert_snapshot!("obligees_list", obligees(&env, &["list"]).out);
    insta::assert_snapshot!(
        "obligees_show_of_paper_only",
        obligees(&env, &["show", "kagaribi", "--on", "2026-07-01"]).out
    );
}

#[test]
fn shows_the_limits_of_a_date() {
    let env = CliEnv::new();
    data(&env, &[("obligees/yamabuki.toml", OBLIGEE)]);
    let show = |on: &str| json_of(&obligees(&env, &["show", "yamabuki", "--on", on, "--json"]));
    for (on, begun, construction, design, maximum, since, next) in [
        (
            "2026-03-31",
            false,
            ("40%", "national"),
            ("30%", "national"),
            (Value::Null, "national"),
            Value::Null,
            json!("2026-04-01"),
        ),
        (
            "2026-04-01",
            false,
            ("45%", "disaster_area"),
            ("12.5%", "own"),
            (json!(30_000_000), "own"),
            json!("2026-04-01"),
            json!("2027-04-01"),
        ),
        (
            "2026-06-30",
            false,
            ("45%", "disaster_area"),
            ("12.5%", "own"),
            (json!(30_000_000), "own"),
            json!("2026-04-01"),
            json!("2027-04-01"),
        ),
        (
            "2026-07-01",
            true,
            ("45%", "disaster_area"),
            ("12.5%", "own"),
            (json!(30_000_000), "own"),
            json!("2026-04-01"),
            json!("2027-04-01"),
        ),
        (
            "2027-03-31",
            true,
            ("45%", "disaster_area"),
            ("12.5%", "own"),
            (json!(30_000_000), "own"),
            json!("2026-04-01"),
            json!("2027-04-01"),
        ),
        (
            "2027-04-01",
            true,
            ("40%", "national"),
            ("30%", "national"),
            (Value::Null, "national"),
            json!("2027-04-01"),
            Value::Null,
        ),
    ] {
        let shown = show(on);
        assert_eq!(shown["on"], on);
        assert_eq!(
            (&shown["electronic"][0]["begun"], &shown["electronic"][1]["begun"]),
            (&json!(begun), &json!(true)),
            "{on}"
        );
        let limits = &shown["limits"];
        assert_eq!(
            (&limits["basis"], &limits["since"], &limits["next_change"]),
            (&json!("announced"), &since, &next),
            "{on}"
        );
        let advance = &limits["values"]["advance_payment"];
        for (key, value, origin) in [
            ("construction", json!(construction.0), construction.1),
            ("design", json!(design.0), design.1),
            ("maximum", maximum.0, maximum.1),
            ("low_price", json!("20%"), "national"),
        ] {
            assert_eq!(advance[key], json!({"value": value, "origin": origin}), "{on} {key}");
        }
        assert_eq!(limits["values"]["interim_advance_payment"]["rounding_unit"]["value"], 10_000);
        assert_eq!(limits["values"]["performance"]["minimum"], json!({"value": "10%", "origin": "national"}));
    }
    let shown = show("2026-07-01");
    assert_eq!((&shown["name"], &shown["title"]), (&json!("山吹町"), &json!("山吹町長")));
    assert_eq!(shown["electronic"][0]["older_contracts"], "electronic");
    assert_eq!(
        shown["submission"],
        json!([
            {"products": ["performance"], "channel": "upload", "department": null, "mail_address": null, "system": "電子契約システム", "subject": null},
            {"products": null, "channel": "mail", "department": "契約課", "mail_address": "keiyaku@example.jp", "system": null, "subject": "【電子保証】{number} {name}"},
        ])
    );
}

#[test]
fn shows_aligned_tables() {
    let env = CliEnv::new();
    data(&env, &[("obligees/yamabuki.toml", OBLIGEE)]);
    let before = obligees(&env, &["show", "yamabuki", "--on", "2026-06-30"]);
    assert_eq!((before.code, before.err.as_str()), (Some(0), ""));
    insta::assert_snapshot!("obligees_show_before_the_start", before.out);
    insta::assert_snapshot!(
        "obligees_show_after_the_start",
        obligees(&env, &["show", "yamabuki", "--on", "2026-07-01"]).out
    );
    insta::assert_snapshot!(
        "obligees_show_without_changes",
        env.run(["obligees", "show", "hirakawa", "--on", "2026-07-01"]).out
    );
}

#[test]
fn the_date_is_today_in_tokyo_by_default() {
    let env = CliEnv::new();
    let today = || (hosho::clock::Clock::system().now() + chrono::TimeDelta::hours(9)).date().to_string();
    let before = today();
    let shown = json_of(&env.run(["obligees", "show", "mlit", "--json"]));
    // The date may change between the calls.
    assert!([before, today()].iter().any(|day| shown["on"] == day.as_str()), "{shown}");
    let mut texts = Transcript::new(&env);
    for wrong in
        ["2026-4-1", "2026/04/01", "20260401", "2026-02-29", "２０２６-04-01", "today", "+026-04-01", ""]
    {
        let rejected = texts.run(&["obligees", "show", "mlit", "--on", wrong]);
        assert_eq!((rejected.code, rejected.out.as_str()), (Some(2), ""), "{wrong}");
    }
    insta::assert_snapshot!(texts.text);
    assert_eq!(env.run(["obligees", "show", "mlit", "--on", "2028-02-29"]).code, Some(0));
}

#[test]
fn suggests_similar_obligees_for_an_unknown_code() {
    let env = CliEnv::new();
    let mut texts = Transcript::new(&env);
    for typed in ["hirakwa", "MLIT", "松本", "zzz", "", "a\u{1b}[2J"] {
        let rejected = texts.run(&["obligees", "show", typed]);
        assert_eq!((rejected.code, rejected.out.as_str()), (Some(1), ""), "{typed}");
        assert!(!rejected.err.contains('\u{1b}'), "{}", rejected.err);
    }
    insta::assert_snapshot!(texts.text.replace('\u{1b}', "\\u{1b}"));
}

#[test]
fn check_reports_every_problem_with_its_place() {
    let env = CliEnv::new();
    let mut texts = Transcript::new(&env);
    assert_eq!(texts.run(&["obligees", "check"]).code, Some(0));
    assert_eq!(json_of(&env.run(["obligees", "check", "--json"])), json!({"obligees": 7, "problems": []}));

    data(&env, &[("obligees/yamabuki.toml", OBLIGEE)]);
    let one = texts.run(&["obligees", "check", "data"]);
    assert_eq!(one.code, Some(0));
    assert_eq!(obligees(&env, &["check"]).out, one.out);

    let escape = "code = \"a\"\n\"\\u001b[2J\\u202e\" = 1\n";
    let broken = OBLIGEE.replace("12.5%", "0%").replace("100_000", "20_000");
    data(
        &env,
        &[
            ("obligees/yamabuki.toml", &broken),
            ("obligees/a.toml", escape),
            ("national.toml", "limits = 1\n"),
        ],
    );
    let text = texts.run(&["obligees", "check", "data"]);
    assert_eq!(text.code, Some(1));
    assert!(!text.out.contains(['\u{1b}', '\u{202e}']), "{}", text.out);

    let json = env.run(["obligees", "check", "data", "--json"]);
    assert_eq!(json.code, Some(1));
    let verdict: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&verdict["obligees"], verdict["problems"].as_array().unwrap().len()), (&Value::Null, 4));
    let places: Vec<(&Value, &Value)> = verdict["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| (&problem["file"], &problem["line"]))
        .collect();
    let expected = [
        (json!("data/national.toml"), json!(1)),
        (json!("data/obligees/a.toml"), json!(2)),
        (json!("data/obligees/yamabuki.toml"), json!(22)),
        (json!("data/obligees/yamabuki.toml"), json!(23)),
    ];
    assert_eq!(places, expected.each_ref().map(|(file, line)| (file, line)));

    // The other commands reject the same files.
    for arguments in [&["list"][..], &["show", "yamabuki"]] {
        let rejected = texts.with(&[("DATA__FOLDER", "data")], &[&["obligees"], arguments].concat());
        assert_eq!((rejected.code, rejected.out.as_str()), (Some(3), ""));
    }
    insta::assert_snapshot!(texts.text);
}

#[test]
fn check_rejects_folders_without_obligees() {
    let env = CliEnv::new();
    let mut texts = Transcript::new(&env);
    let check = ["obligees", "check", "data"];
    let missing = texts.run(&check);
    assert_eq!((missing.code, missing.out.as_str()), (Some(2), ""));
    data(&env, &[]);
    let empty = texts.run(&check);
    assert_eq!((empty.code, empty.out.as_str()), (Some(1), ""));
    std::fs::write(env.path("data/obligees/x.toml"), [0xff, 0xfe]).unwrap();
    assert_eq!(texts.run(&check).code, Some(1));
    std::fs::remove_file(env.path("data/obligees/x.toml")).unwrap();
    std::fs::create_dir(env.path("data/obligees/x.toml")).unwrap();
    assert_eq!(texts.run(&check).code, Some(1));
    // A wrong folder in the configuration is a configuration error.
    assert_eq!(texts.with(&[("DATA__FOLDER", "missing")], &["obligees", "list"]).code, Some(3));
    insta::assert_snapshot!(texts.text);
}

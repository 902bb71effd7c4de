//! `hosho obligees`: what it tells of an obligee on a day, and what it says of files that are wrong.

use std::{ffi::OsStr, path::PathBuf};

use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr as _;

use super::{Answer, CliEnv, answer};

/// An obligee with everything that differs from the others, over the national limits built in.
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

/// A folder of data with these files of obligees.
fn data(desk: &CliEnv, files: &[(&str, &str)]) -> PathBuf {
    std::fs::create_dir_all(desk.path("data/obligees")).unwrap();
    for (name, text) in files {
        desk.file(&format!("data/{name}"), text);
    }
    desk.path("data")
}

/// Runs `hosho obligees` with that folder in force.
fn obligees(desk: &CliEnv, arguments: &[&str]) -> Answer {
    let mut command = desk.hosho([&["obligees"], arguments].concat());
    command.env("HOSHO__DATA__FOLDER", desk.path("data"));
    answer(command)
}

fn json_of(answer: &Answer) -> Value {
    assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""));
    serde_json::from_str(&answer.out).unwrap_or_else(|error| panic!("{error}: {}", answer.out))
}

/// The rows of the table under a head, cut into cells where its columns begin; asserts that all columns are aligned and headed.
fn rows(out: &str, first_column: &str) -> Vec<Vec<String>> {
    let mut lines = out.lines().skip_while(|line| line.split_whitespace().next() != Some(first_column));
    let head = lines.next().unwrap_or_else(|| panic!("no column {first_column}: {out}"));
    let rule = lines.next().unwrap();
    assert!(rule.chars().all(|character| character == '─') && rule.width() == head.width(), "{out}");
    let body: Vec<&str> =
        lines.take_while(|line| line.width() == rule.width() && line.starts_with(' ')).collect();
    // A column ends where every line has three spaces; a cell is wide in columns of the terminal, not in characters.
    let cells = |line: &str| -> Vec<Option<char>> {
        line.chars()
            .flat_map(|character| {
                std::iter::once(Some(character)).chain((1..character.to_string().width()).map(|_| None))
            })
            .collect()
    };
    let grid: Vec<_> = std::iter::once(head).chain(body.iter().copied()).map(cells).collect();
    let blank = |at: usize| grid.iter().all(|line| line.get(at).is_none_or(|cell| *cell == Some(' ')));
    let width = rule.width();
    let cuts: Vec<usize> = (1..width.saturating_sub(1))
        .filter(|at| *at + 3 <= width && (*at..at + 3).all(blank) && !blank(at + 3))
        .collect();
    let mut table = grid.iter().map(|line| -> Vec<String> {
        let bounds =
            std::iter::once(0).chain(cuts.iter().map(|cut| cut + 3)).zip(cuts.iter().copied().chain([width]));
        bounds
            .map(|(from, to)| line[from..to].iter().flatten().collect::<String>().trim().to_owned())
            .collect()
    });
    assert!(table.next().unwrap().iter().all(|head| !head.is_empty()), "a column without a head: {out}");
    let table: Vec<Vec<String>> = table.collect();
    assert!(!table.is_empty(), "{out}");
    table
}

#[test]
fn list_shows_every_obligee_by_code() {
    let desk = CliEnv::new();
    let listed = json_of(&desk.run(["obligees", "list", "--json"]));
    let codes: Vec<&str> =
        listed.as_array().unwrap().iter().map(|obligee| obligee["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["hirakawa", "kwsa", "matsumoto", "mlit", "nasushiobara", "ryugasaki", "tochigi"]);
    assert_eq!(listed[1]["electronic"][0]["from"], "2026-07-01");
    assert_eq!(listed[1]["electronic"][0]["basis"], "awarded");
    assert_eq!(listed[1]["electronic"][0]["older_contracts"], "paper");
    assert_eq!(listed[3]["electronic"][0]["from"], Value::Null);

    let table = desk.run(["obligees", "list"]);
    assert_eq!((table.code, table.err.as_str()), (Some(0), ""));
    let rows = rows(&table.out, "code");
    assert_eq!(rows.len(), 7);
    assert_eq!(rows[0], ["hirakawa", "平川市", "all", "工事、設計・調査、測量", "2025-12-01 契約締結日"]);
    assert_eq!(
        rows[1],
        ["kwsa", "神奈川県内広域水道企業団", "all", "工事、設計・調査、測量", "2026-07-01 落札決定日"]
    );
    assert_eq!(rows[6], ["tochigi", "栃木県", "契約保証", "工事", "no first day"]);

    let paper = "code = \"kagaribi\"\nname = \"篝火村\"\ntitle = \"篝火村長\"\n[[submission]]\nchannel = \"mail\"\ndepartment = \"総務課\"\n";
    data(&desk, &[("obligees/yamabuki.toml", OBLIGEE), ("obligees/kagaribi.toml", paper)]);
    let rows = self::rows(&obligees(&desk, &["list"]).out, "code");
    assert_eq!(rows[0], ["kagaribi", "篝火村", "no: paper", "", ""]);
    assert_eq!(rows[1], ["yamabuki", "山吹町", "前払金保証、契約保証", "工事", "2026-07-01 通知日"]);
    assert_eq!(rows[2], ["", "", "all", "設計・調査", "no first day"]);
    assert!(obligees(&desk, &["show", "kagaribi"]).out.contains("paper only"));
}

#[test]
fn show_tells_what_holds_on_a_day() {
    let desk = CliEnv::new();
    data(&desk, &[("obligees/yamabuki.toml", OBLIGEE)]);
    let show = |on: &str| json_of(&obligees(&desk, &["show", "yamabuki", "--on", on, "--json"]));
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
fn show_prints_tables_that_are_aligned() {
    let desk = CliEnv::new();
    data(&desk, &[("obligees/yamabuki.toml", OBLIGEE)]);
    let shown = obligees(&desk, &["show", "yamabuki", "--on", "2026-06-30"]);
    assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""));
    assert!(shown.out.starts_with("yamabuki 山吹町  職名 山吹町長\n"), "{}", shown.out);
    let (electronic, rest) = shown.out.split_once("\nLimits ").unwrap();
    let (limits, handed_in) = rest.split_once("\nHow the notice").unwrap();
    let electronic = rows(electronic, "products");
    assert_eq!(electronic[0], ["前払金保証", "工事", "2026-07-01", "通知日", "electronic", "not begun"]);
    assert_eq!(electronic[1][0], "契約保証");
    assert_eq!(electronic[2], ["all", "設計・調査", "no first day", "", "", "accepted"]);
    assert!(
        obligees(&desk, &["show", "yamabuki", "--on", "2026-07-01"]).out.contains(" begun "),
        "{}",
        shown.out
    );

    assert!(limits.starts_with("where the date of the announcement (公告日) is 2026-06-30\n"), "{limits}");
    let table = rows(limits, "limit");
    assert_eq!(table.len(), 16, "{limits}");
    assert_eq!(
        table[0],
        ["advance_payment.construction", "前払金の上限（工事）", "45%", "national, disaster area"]
    );
    assert_eq!(table[1], ["advance_payment.design", "前払金の上限（設計・調査）", "12.5%", "obligee"]);
    assert_eq!(table[4], ["advance_payment.low_price", "前払金の上限（低入札）", "20%", "national"]);
    assert_eq!(table[5], ["advance_payment.rounding_unit", "前払金の端数切捨て単位", "100,000円", "obligee"]);
    assert_eq!(
        table[6],
        ["advance_payment.minimum_contract_price", "前払金の最低請負金額", "none", "national"]
    );
    let (_, changes) = limits.split_once("In force since 2026-04-01.\nThey change on 2027-04-01:\n").unwrap();
    let changes: Vec<&str> = changes.trim_end().lines().map(str::trim).collect();
    assert_eq!(changes.len(), 6, "{changes:?}");
    assert_eq!(changes[0], "advance_payment.construction  45% → 40%");
    assert_eq!(changes[5], "advance_payment.maximum  30,000,000円 → none");
    let handed_in = rows(handed_in, "products");
    assert_eq!(handed_in[0], ["契約保証", "upload", "電子契約システム", "any"]);
    assert_eq!(handed_in[1], ["all others", "mail", "契約課", "【電子保証】{number} {name}"]);
    assert_eq!(handed_in[2][2], "keiyaku@example.jp");

    let plain = desk.run(["obligees", "show", "hirakawa"]);
    assert!(
        plain.out.contains("No change is known.") && !plain.out.contains("In force since"),
        "{}",
        plain.out
    );
}

#[test]
fn the_day_is_today_in_tokyo_unless_given() {
    let desk = CliEnv::new();
    let today = || (hosho::clock::Clock::system().now() + chrono::TimeDelta::hours(9)).date().to_string();
    let before = today();
    let shown = json_of(&desk.run(["obligees", "show", "mlit", "--json"]));
    // Midnight may have passed in between.
    assert!([before, today()].iter().any(|day| shown["on"] == day.as_str()), "{shown}");
    for wrong in
        ["2026-4-1", "2026/04/01", "20260401", "2026-02-29", "２０２６-04-01", "today", "+026-04-01", ""]
    {
        let refused = desk.run(["obligees", "show", "mlit", "--on", wrong]);
        assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""), "{wrong}");
        assert!(refused.err.contains("YYYY-MM-DD"), "{}", refused.err);
    }
    assert_eq!(desk.run(["obligees", "show", "mlit", "--on", "2028-02-29"]).code, Some(0));
}

#[test]
fn an_unknown_code_is_told_with_those_like_it() {
    let desk = CliEnv::new();
    for (typed, meant) in [
        ("hirakwa", Some("hirakawa (平川市)")),
        ("MLIT", Some("mlit (国土交通省)")),
        ("松本", Some("matsumoto (松本市)")),
        ("zzz", None),
        ("", None),
    ] {
        let refused = desk.run(["obligees", "show", typed]);
        assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""), "{typed}");
        assert!(
            refused.err.starts_with("error: there is no obligee") && refused.err.contains("\n hint: "),
            "{}",
            refused.err
        );
        assert!(refused.err.contains("`hosho obligees list`"), "{}", refused.err);
        assert_eq!(refused.err.contains("did you mean"), meant.is_some(), "{}", refused.err);
        assert!(
            meant.is_none_or(|meant| refused.err.contains(&format!("did you mean {meant}"))),
            "{}",
            refused.err
        );
    }
    let hostile = desk.run(["obligees", "show", "a\u{1b}[2J"]);
    assert!(hostile.code == Some(1) && !hostile.err.contains('\u{1b}'), "{}", hostile.err);
}

#[test]
fn check_prints_every_problem_with_its_place_and_ends_with_code_1() {
    let desk = CliEnv::new();
    let good = desk.run(["obligees", "check"]);
    assert_eq!(
        (good.code, good.out.as_str(), good.err.as_str()),
        (Some(0), "7 obligees and the national limits are valid.\n", "")
    );
    assert_eq!(json_of(&desk.run(["obligees", "check", "--json"])), json!({"obligees": 7, "problems": []}));

    let folder = data(&desk, &[("obligees/yamabuki.toml", OBLIGEE)]);
    let one = desk.run([OsStr::new("obligees"), OsStr::new("check"), folder.as_os_str()]);
    assert_eq!((one.code, one.out.as_str()), (Some(0), "1 obligee and the national limits are valid.\n"));
    assert_eq!(obligees(&desk, &["check"]).out, one.out);

    let escape = "code = \"a\"\n\"\\u001b[2J\\u202e\" = 1\n";
    let broken = OBLIGEE.replace("12.5%", "0%").replace("100_000", "20_000");
    data(
        &desk,
        &[
            ("obligees/yamabuki.toml", &broken),
            ("obligees/a.toml", escape),
            ("national.toml", "limits = 1\n"),
        ],
    );
    let told = desk.run(["obligees", "check", "data"]);
    assert_eq!(told.code, Some(1));
    let lines: Vec<&str> = told.out.lines().collect();
    assert_eq!(lines.len(), 4, "{}", told.out);
    for (line, place, text) in [
        (lines[0], "data/national.toml:1: ", "expected a sequence"),
        (lines[1], "data/obligees/a.toml:2: ", "unknown field"),
        (lines[2], "data/obligees/yamabuki.toml:22: ", "advance_payment.design is \"0%\""),
        (lines[3], "data/obligees/yamabuki.toml:23: ", "advance_payment.rounding_unit is 20000"),
    ] {
        assert!(line.starts_with(place) && line.contains(text), "{line}");
    }
    assert!(!told.out.contains(['\u{1b}', '\u{202e}']), "{}", told.out);
    assert!(told.err.starts_with("error: 4 problems in 3 files\n hint: "), "{}", told.err);

    let told = desk.run(["obligees", "check", "data", "--json"]);
    assert_eq!(told.code, Some(1));
    let verdict: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((&verdict["obligees"], verdict["problems"].as_array().unwrap().len()), (&Value::Null, 4));
    assert_eq!(
        (&verdict["problems"][3]["line"], &verdict["problems"][3]["file"]),
        (&json!(23), &json!("data/obligees/yamabuki.toml"))
    );

    // What the check refuses is not used either.
    for arguments in [&["list"][..], &["show", "yamabuki"]] {
        let refused = obligees(&desk, arguments);
        assert_eq!((refused.code, refused.out.as_str()), (Some(3), ""));
        assert!(refused.err.contains("data/obligees/yamabuki.toml:22: "), "{}", refused.err);
    }
}

#[test]
fn check_of_what_is_no_folder_of_data_says_so() {
    let desk = CliEnv::new();
    let usage = desk.run(["obligees", "check", "missing"]);
    assert_eq!((usage.code, usage.out.as_str()), (Some(2), ""));
    assert!(usage.err.contains("missing/obligees") && usage.err.contains("\n hint: "), "{}", usage.err);
    let folder = data(&desk, &[]);
    let empty = desk.run([OsStr::new("obligees"), OsStr::new("check"), folder.as_os_str()]);
    assert_eq!((empty.code, empty.out.as_str()), (Some(1), ""));
    assert!(empty.err.contains("data/obligees holds no entry"), "{}", empty.err);
    std::fs::write(desk.path("data/obligees/x.toml"), [0xff, 0xfe]).unwrap();
    let unreadable = desk.run([OsStr::new("obligees"), OsStr::new("check"), folder.as_os_str()]);
    assert_eq!(unreadable.code, Some(1));
    assert!(unreadable.err.contains("data/obligees/x.toml"), "{}", unreadable.err);
    std::fs::remove_file(desk.path("data/obligees/x.toml")).unwrap();
    std::fs::create_dir(desk.path("data/obligees/x.toml")).unwrap();
    assert_eq!(desk.run([OsStr::new("obligees"), OsStr::new("check"), folder.as_os_str()]).code, Some(1));
    // A wrong folder of the configuration is a wrong configuration.
    let mut command = desk.hosho(["obligees", "list"]);
    command.env("HOSHO__DATA__FOLDER", "missing");
    assert_eq!(answer(command).code, Some(3));
}

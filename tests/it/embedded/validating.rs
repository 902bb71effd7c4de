//! `hosho validate`: the same answers as the pipeline, in three forms, at the right places; and nothing is left behind.
//!
//! Where a value stands is not taken from the program's word: the text at the place it names is read, and compared with what the
//! path leads to in the same text read by other means.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use super::{Answer, CliEnv, answer, applications, files_below};
use crate::harness::test_env::example;

/// A line for editors, taken apart.
#[derive(Debug, PartialEq)]
struct Told {
    file: String,
    line: usize,
    column: usize,
    message: String,
    code: String,
    path: String,
}

fn told(out: &str) -> Vec<Told> {
    let one = |text: &str| {
        let (place, rest) =
            text.split_once(": error: ").unwrap_or_else(|| panic!("not a line for editors: {text}"));
        let (rest, path) = rest.rsplit_once("] ").unwrap();
        let (message, code) = rest.rsplit_once(" [").unwrap();
        let mut place = place.rsplitn(3, ':');
        let mut number = || place.next().unwrap().parse().unwrap();
        let (column, line) = (number(), number());
        let [file, message, code, path] = [place.next().unwrap(), message, code, path].map(str::to_owned);
        Told { file, line, column, message, code, path }
    };
    out.lines().map(one).collect()
}

/// The text from a place on; lines and columns count from 1, columns in characters.
fn text_at(text: &str, line: usize, column: usize) -> &str {
    let line_start = text.split_inclusive('\n').take(line - 1).map(str::len).sum::<usize>();
    let text = &text[line_start..];
    &text[text.char_indices().nth(column - 1).map_or(text.len(), |(at, _)| at)..]
}

/// The JSON value that a text begins with.
fn value_at(text: &str) -> Value {
    serde_json::Deserializer::from_str(text)
        .into_iter()
        .next()
        .unwrap()
        .unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What a path leads to, or its nearest ancestor that is there.
fn nearest<'a>(mut value: &'a Value, path: &str) -> &'a Value {
    for step in path.trim_start_matches('$').split(['.', '[', ']']).filter(|step| !step.is_empty()) {
        let found = match value {
            Value::Array(elements) => elements.get(step.parse::<usize>().unwrap()),
            other => other.get(step),
        };
        let Some(found) = found else { break };
        value = found;
    }
    value
}

/// The code that the id of a rejected example names.
fn named(id: &str) -> String {
    let code = id.strip_prefix("rejected-").unwrap();
    code.chars().take_while(|character| character.is_ascii_lowercase() || "._".contains(*character)).collect()
}

fn rejected() -> Vec<Value> {
    let text = std::fs::read_to_string(example("rejected.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn lines(values: &[Value]) -> String {
    values.iter().map(Value::to_string).collect::<Vec<_>>().join("\n") + "\n"
}

/// `hosho validate` in the folder of the desk.
fn validate(desk: &CliEnv, arguments: &[&str]) -> Answer {
    desk.run([&["validate"], arguments].concat())
}

fn document(desk: &CliEnv, arguments: &[&str]) -> Value {
    let answer = validate(desk, &[arguments, &["--format", "json"]].concat());
    serde_json::from_str(&answer.out).unwrap_or_else(|error| panic!("{error}: {}{}", answer.out, answer.err))
}

/// The codes of every application of a document, in order.
fn codes(document: &Value) -> Vec<Vec<&str>> {
    let codes = |application: &'_ Value| application["violations"].as_array().unwrap().len();
    let applications = document["applications"].as_array().unwrap();
    assert!(
        applications.iter().all(|each| (codes(each) == 0) == (each["verdict"] == "accepted")),
        "{document:#}"
    );
    applications
        .iter()
        .map(|each| {
            each["violations"]
                .as_array()
                .unwrap()
                .iter()
                .map(|violation| violation["code"].as_str().unwrap())
                .collect()
        })
        .collect()
}

/// Every file below a folder with its content and the moment of its last change; not the files that SQLite keeps beside a
/// database while somebody has it open (this test, too, a moment ago).
fn contents(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let entry = |path: PathBuf| {
        let content = (std::fs::read(&path).unwrap(), std::fs::metadata(&path).unwrap().modified().unwrap());
        (path, content)
    };
    let is_kept = |path: &PathBuf| {
        !path.to_string_lossy().ends_with("-wal") && !path.to_string_lossy().ends_with("-shm")
    };
    files_below(folder).into_iter().filter(is_kept).map(entry).collect()
}

#[test]
fn every_rejected_example_is_told_at_the_offending_value_however_the_file_is_laid_out() {
    let desk = CliEnv::new();
    let examples = rejected();
    let pretty: Vec<String> = examples.iter().map(|value| format!("{value:#}")).collect();
    let layouts = [
        ("as-it-is.jsonl", std::fs::read_to_string(example("rejected.jsonl")).unwrap()),
        ("compact.jsonl", lines(&examples)),
        ("pretty.json", pretty.join("\n")),
        ("pretty-array.json", format!("{:#}", Value::Array(examples.clone()))),
        ("one-line-array.json", Value::Array(examples.clone()).to_string()),
        (
            "windows.json",
            format!("\u{feff}{}", pretty.join("\r\n").replace('\n', "\r\n").replace("\r\r", "\r")),
        ),
    ];
    for (name, text) in &layouts {
        desk.file(name, text);
        let answer = validate(&desk, &[name, "--format", "lines"]);
        assert_eq!(answer.code, Some(1), "{}", answer.err);
        let told = told(&answer.out);
        assert_eq!(told.len(), examples.len(), "{name}");
        let text = text.trim_start_matches('\u{feff}');
        for (told, example) in told.iter().zip(&examples) {
            assert_eq!(
                (told.file.as_str(), told.code.as_str()),
                (*name, named(example["id"].as_str().unwrap()).as_str()),
                "{told:?}"
            );
            assert_eq!(
                &value_at(text_at(text, told.line, told.column)),
                nearest(example, &told.path),
                "{name}: {told:?}"
            );
        }
    }
    // Some are at a value of their own, some at the nearest there is.
    let answer = validate(&desk, &["pretty.json", "--format", "lines", "--lang", "en"]);
    for (code, path, begins) in [
        ("branch.unknown", "$.branch", "\"99\""),
        ("bank.required", "$.products[0].bank", "{"),
        ("products.empty", "$.products", "[]"),
        ("contract_date.required", "$.works.contract_date", "{"),
    ] {
        let found = told(&answer.out).into_iter().find(|told| told.code == code).unwrap();
        let text = text_at(&layouts[2].1, found.line, found.column);
        assert!(
            found.path == path && text.starts_with(begins) && found.message.is_ascii(),
            "{found:?}: {text:.60}"
        );
    }
}

#[test]
fn the_answers_are_those_of_the_pipeline() {
    let desk = CliEnv::new();
    let file = example("rejected.jsonl");
    let (_, report) = desk.report(&file);
    let document = document(&desk, &[file.to_str().unwrap()]);
    let applications = document["applications"].as_array().unwrap();
    let stage = report["rejected"].as_array().unwrap();
    assert_eq!(applications.len(), stage.len());
    for (index, (ours, stage)) in applications.iter().zip(stage).enumerate() {
        let mut violations = ours["violations"].clone();
        for violation in violations.as_array_mut().unwrap() {
            let violation = violation.as_object_mut().unwrap();
            assert!(
                violation.remove("line") == Some((index + 1).into())
                    && violation.remove("column").unwrap().is_u64()
            );
        }
        assert_eq!(violations, stage["violations"]);
        assert_eq!(
            (&ours["source"], &ours["id"], &ours["line"]),
            (&stage["source"], &stage["id"], &(index + 1).into())
        );
        assert_eq!(
            (&ours["file"], &ours["repeats"], &ours["stored"]),
            (&file.to_str().unwrap().into(), &Value::Null, &false.into())
        );
    }
    let read = applications.len();
    let summary = json!({"applications": read, "accepted": 0, "rejected": read, "repeated": 0, "stored": 0, "unreadable": 0});
    assert_eq!((&document["summary"], &document["unreadable"]), (&summary, &json!([])));

    let cap = applications.iter().find(|each| each["id"] == "rejected-amount.exceeds_cap").unwrap();
    let sum = cap["calculations"]
        .as_array()
        .unwrap()
        .iter()
        .find(|each| each["code"] == "amount.exceeds_cap")
        .unwrap();
    assert_eq!(
        (&sum["kept"], &sum["base_amount"], &sum["limit"]),
        (&false.into(), &10_000_000.into(), &4_000_000.into())
    );
    assert_eq!(cap["products"][0], json!({"product": "advance_payment", "medium": "electronic"}));
}

#[test]
fn people_read_a_block_for_each_application_and_a_summary() {
    let desk = CliEnv::new();
    let (good, bad) = (example("applications.jsonl"), example("rejected.jsonl"));
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    let accepted = validate(&desk, &[good]);
    assert_eq!((accepted.code, accepted.err.as_str()), (Some(0), ""));
    assert_eq!(accepted.out, "10 applications: 10 accepted, 0 rejected\n");

    let answer = validate(&desk, &[good, bad]);
    let count = rejected().len();
    assert_eq!(answer.code, Some(1));
    assert!(
        answer.out.ends_with(&format!("\n\n{} applications: 10 accepted, {count} rejected\n", count + 10)),
        "{}",
        answer.out
    );
    let blocks: Vec<String> = answer
        .out
        .split("\n\n")
        .map(|block| block.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(blocks.len(), count + 1);
    for (index, (block, application)) in blocks.iter().zip(rejected()).enumerate() {
        let id = application["id"].as_str().unwrap();
        let source = application["source"].as_str().unwrap();
        let begins = format!("rejected {bad}:{} {source} {id} {} $", index + 1, named(id));
        assert!(block.replace(' ', "").starts_with(&begins.replace(' ', "")), "{begins}: {block}");
    }
    // The sum is told beside the rule, in both languages; of accepted ones when asked.
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    for (arguments, sum) in [
        (
            &[bad][..],
            "計算: 請負金額10,000,000円の40%（10,000円未満切捨て）＝4,000,000円以下に対し、保証金額4,000,001円（請負金額の40.0%）: 不適合",
        ),
        (
            &[bad, "--lang", "en"],
            "calculation: at most 40% of the contract price of 10,000,000 yen, rounded down to 10,000 yen = 4,000,000 yen; the amount is 4,000,001 yen (40.0% of the contract price): broken",
        ),
        (
            &[good, "-v"],
            "計算: 請負金額38,500,000円の40%（10,000円未満切捨て）＝15,400,000円以下に対し、保証金額15,400,000円（請負金額の40.0%）: 適合",
        ),
    ] {
        let answer = validate(&desk, arguments);
        assert!(squeezed(&answer.out).contains(&squeezed(sum)), "{}", answer.out);
    }
    // No line is wider than the terminal.
    for width in [40, 77, 130] {
        let mut command = desk.hosho(["validate", bad, good, "-v"]);
        command.env("COLUMNS", width.to_string());
        let out = super::answer(command).out;
        let widest = out.lines().map(UnicodeWidthStr::width).max().unwrap();
        assert!(widest <= width && widest > width - 4, "{width}: {widest}");
    }
}

#[test]
fn standard_input_is_a_file_like_any_other() {
    let desk = CliEnv::new();
    let application = format!("{:#}\n", rejected()[0]);
    desk.file("one.json", &application);
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$0\" validate - --format lines <one.json", env!("CARGO_BIN_EXE_hosho")])
        .current_dir(&desk.folder);
    let answer = answer(command);
    assert_eq!((answer.code, answer.err.as_str()), (Some(1), ""));
    let [told] = &told(&answer.out)[..] else { panic!("{}", answer.out) };
    assert_eq!((told.file.as_str(), told.code.as_str()), ("-", "message.malformed"));
    assert_eq!(&value_at(text_at(&application, told.line, told.column)), nearest(&rejected()[0], &told.path));
}

#[test]
fn what_is_not_json_is_told_at_its_place_and_harms_no_neighbour() {
    let desk = CliEnv::new();
    let good = applications();
    let mut broken_utf8 = good[1].to_string().into_bytes();
    let at = broken_utf8.windows(9).position(|bytes| bytes == "平川市".as_bytes()).unwrap();
    broken_utf8[at + 4] = 0xff;
    let column = 1 + String::from_utf8_lossy(&broken_utf8[..at]).chars().count() + 1;
    let whole = good[2].to_string();
    let half = &whole[..whole.find("\"works\"").unwrap()];
    let pretty = format!("{:#}", good[3]);
    let no_comma = pretty.replacen("\",\n", "\"\n", 1);
    assert_ne!(pretty, no_comma);

    let records: [&[u8]; 7] = [
        good[0].to_string().into_bytes().leak(),
        broken_utf8.leak(),
        half.as_bytes(),
        good[4].to_string().into_bytes().leak(),
        b"garbage",
        no_comma.as_bytes(),
        good[5].to_string().into_bytes().leak(),
    ];
    desk.file("mixed.jsonl", records.join(&b'\n'));
    let answer = validate(&desk, &["mixed.jsonl", "--format", "lines"]);
    assert_eq!(answer.code, Some(1));
    let told_of = told(&answer.out);
    let places: Vec<_> =
        told_of.iter().map(|told| (told.line, told.column, told.code.as_str(), told.path.as_str())).collect();
    // The pretty one lacks a comma behind its first field, and is told at the second.
    let second = 1 + no_comma.lines().nth(2).unwrap().find('"').unwrap();
    let expected = [(2, column), (3, half.chars().count()), (5, 1), (8, second)];
    assert_eq!(places, expected.map(|(line, column)| (line, column, "message.not_json", "$")));
    assert!(told_of[0].message.contains(&format!("2行{column}文字目")), "{}", told_of[0].message);
    let document = document(&desk, &["mixed.jsonl"]);
    assert_eq!(codes(&document).iter().filter(|codes| codes.is_empty()).count(), 3);
    // Who sent it is told as far as it can be read.
    let sources: Vec<&Value> = (0..3).map(|index| &document["applications"][index]["source"]).collect();
    assert_eq!(sources, [&"portal".into(), &"portal".into(), &Value::Null]);

    // In an array too, which the other commands refuse as a whole.
    let elements: Vec<String> =
        [&good[0].to_string(), &half.to_owned(), &good[1].to_string()].map(|text| format!("  {text}")).into();
    desk.file("array.json", format!("[\n{}\n]\n", elements.join(",\n")));
    let array = self::document(&desk, &["array.json"]);
    assert_eq!(codes(&array), [&[][..], &["message.not_json"], &[]]);
    desk.file("open.json", format!("[{}", good[0]));
    let open = self::document(&desk, &["open.json"]);
    assert_eq!(codes(&open), [&[][..], &["message.not_json"]]);
    assert_eq!(open["applications"][1]["violations"][0]["column"], good[0].to_string().chars().count() + 2);
}

#[test]
fn what_no_queue_takes_is_told() {
    let desk = CliEnv::new();
    desk.file("large.jsonl", lines(&applications()));
    let mut command = desk.hosho(["validate", "large.jsonl", "--format", "json"]);
    command.env("HOSHO__WORK__MAX_MESSAGE_BYTES", "1200");
    let document: Value = serde_json::from_str(&answer(command).out).unwrap();
    for (application, codes) in applications().iter().zip(codes(&document)) {
        let is_large = application.to_string().len() > 1_200;
        assert_eq!(codes, if is_large { &["message.too_large"][..] } else { &[] });
    }
    assert!(
        document["summary"]["rejected"].as_u64() > Some(0)
            && document["summary"]["accepted"].as_u64() > Some(0)
    );
}

#[test]
fn hostile_text_never_reaches_a_terminal() {
    let desk = CliEnv::new();
    let mut hostile = applications().swap_remove(1);
    for field in ["id", "source", "branch", "obligee"] {
        hostile[field] = "a\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{2066}\u{200f}\r".into();
    }
    hostile["works"]["term"]["to"] = "\u{1b}]0;owned\u{7}\u{9d}".into();
    hostile["principal"]["name"] = "株式会社\u{1b}]0;owned\u{7}\u{9d}".into();
    let name = "hostile\u{1b}[31m\u{9b}\u{202e}.jsonl";
    let mut bytes = hostile.to_string().into_bytes();
    bytes.extend(
        b"\n{\"source\":\"a\",\"id\":\"\x1b[31m\xff\"}\n\x1b[2J\n{\"source\":\"\xc2\x9b\",\"id\":\"\xe2\x80\xae\",\"\x7f\xc2\x9b\":1}\n",
    );
    desk.file(name, bytes);
    for arguments in [
        &["--format", "table"][..],
        &["-v", "--lang", "en"],
        &["--format", "json"],
        &["--format", "lines"],
        &["missing\u{1b}\u{9b}"],
    ] {
        let answer = validate(&desk, &[&[name], arguments].concat());
        assert_ne!(answer.code, Some(0));
        let obeyed = |character: &char| {
            (character.is_control() && *character != '\n') || "\u{202e}\u{2066}\u{200f}".contains(*character)
        };
        for output in [&answer.out, &answer.err] {
            assert_eq!(output.chars().find(obeyed), None, "{output:?}");
        }
        assert!(answer.out.len() > 200, "{}", answer.err);
    }
    // As JSON it is still the same text.
    assert_eq!(document(&desk, &[name])["applications"][0]["id"], hostile["id"]);
}

#[test]
fn applications_of_the_same_files_are_judged_in_their_order() {
    let desk = CliEnv::new();
    let first = applications().swap_remove(0);
    let with_id = |id: &str| {
        let mut application = first.clone();
        application["id"] = id.into();
        application
    };
    let interim: Value = serde_json::from_str(
        std::fs::read_to_string(example("interim.jsonl")).unwrap().lines().next().unwrap(),
    )
    .unwrap();
    let mut other = first.clone();
    other["contact"]["remarks"] = "別の内容".into();
    desk.file("first.jsonl", lines(&[first.clone(), with_id("twice")]));
    desk.file("second.json", format!("[{:#},\n{interim},{other},{:#}]", with_id("twice"), first));
    let answer =
        validate(&desk, &["first.jsonl", "second.json", "--format", "json", "--on", "令和8年12月1日"]);
    assert_eq!(answer.code, Some(1));
    let document: Value = serde_json::from_str(&answer.out).unwrap();
    let twice = ["product.already_applied", "product.already_applied"];
    assert_eq!(
        codes(&document),
        [
            &[][..],
            &twice,
            &twice,
            &["interim_advance.advance_payment_not_issued"],
            &["application.id_reused"],
            &[]
        ]
    );
    let applications = document["applications"].as_array().unwrap();
    // The day of the earlier application is the day that was given.
    assert!(
        applications[1]["violations"][0]["message_ja"].as_str().unwrap().contains("令和8年12月1日受付"),
        "{document:#}"
    );
    // A copy gets the answer of the first, and says where that is.
    assert_eq!(applications[1]["calculations"], applications[2]["calculations"]);
    assert_eq!(applications[0]["calculations"], applications[5]["calculations"]);
    let repeats: Vec<&Value> = applications.iter().map(|each| &each["repeats"]).collect();
    let place = |line: usize| json!({"file": "first.jsonl", "line": line});
    assert_eq!(repeats, [&Value::Null, &Value::Null, &place(2), &Value::Null, &place(1), &place(1)]);
    assert_eq!(
        document["summary"],
        json!({"applications": 6, "accepted": 2, "rejected": 4, "repeated": 3, "stored": 0, "unreadable": 0})
    );
    let table = validate(&desk, &["first.jsonl", "second.json"]);
    assert!(table.out.contains("repeated: first in first.jsonl:1"), "{}", table.out);
    assert!(table.out.ends_with("6 applications: 2 accepted, 4 rejected; 3 repeated\n"), "{}", table.out);

    // Twice the same and nothing else is no error; without an interim advance there is nothing to note.
    desk.file("copies.jsonl", lines(&[first.clone(), first]));
    let copies = validate(&desk, &["copies.jsonl", "--format", "lines"]);
    assert_eq!((copies.code, copies.out.as_str(), copies.err.as_str()), (Some(0), "", ""));
    let alone = validate(&desk, &[example("interim.jsonl").to_str().unwrap(), "--format", "lines"]);
    assert!(
        told(&alone.out).iter().all(|told| told.code == "interim_advance.no_advance_payment"),
        "{}",
        alone.out
    );
    assert!(alone.err.starts_with("note: without --database") && alone.code == Some(1), "{}", alone.err);
}

#[test]
fn with_a_database_what_is_stored_counts_and_nothing_is_written() {
    let desk = CliEnv::new();
    assert_eq!(desk.process(&example("applications.jsonl")).code, Some(0));
    let status = desk.statuses(&example("applications.jsonl")).remove(0);
    let interim = example("interim.jsonl");
    let mut again = applications().swap_remove(0);
    again["id"] = "again".into();
    let mut reused = applications().swap_remove(1);
    reused["works"]["name"] = "別の業務委託".into();
    desk.file("more.jsonl", lines(&[again, reused]));
    let before = contents(&desk.folder);

    let accepted = validate(&desk, &[interim.to_str().unwrap(), "--out", "out", "-v"]);
    assert_eq!((accepted.code, accepted.err.as_str()), (Some(0), ""), "{}", accepted.out);
    assert!(accepted.out.contains("amount.exceeds_total  $.products[0].amount"), "{}", accepted.out);

    let answer = validate(&desk, &["more.jsonl", "--out", "out", "--format", "lines"]);
    assert_eq!((answer.code, answer.err.as_str()), (Some(1), ""));
    let told = told(&answer.out);
    let codes: Vec<(usize, &str)> = told.iter().map(|told| (told.line, told.code.as_str())).collect();
    assert_eq!(
        codes,
        [(1, "product.already_applied"), (1, "product.already_applied"), (2, "application.id_reused")]
    );
    for (told, guarantee) in told.iter().zip(&status.guarantees) {
        assert!(told.message.contains(&guarantee.guarantee.number), "{told:?}");
    }

    // The configured database; what it knows is answered as it was.
    let mut command = desk.hosho([
        OsStr::new("validate"),
        example("applications.jsonl").as_os_str(),
        OsStr::new("--database"),
    ]);
    command.env("HOSHO__DATABASE__URL", "sqlite:out/hosho.sqlite");
    let known = super::answer(command);
    assert_eq!((known.code, known.err.as_str()), (Some(0), ""));
    assert!(
        known.out.contains("accepted  ")
            && known.out.ends_with("10 accepted, 0 rejected; 10 in the database\n"),
        "{}",
        known.out
    );

    assert!(contents(&desk.folder) == before, "something was written");
    let mut command = desk.hosho(["validate", "more.jsonl", "--database"]);
    command.env("HOSHO__DATABASE__URL", "sqlite:missing.sqlite");
    let missing = super::answer(command);
    assert_eq!((missing.code, missing.out.as_str()), (Some(4), ""));
    assert!(
        missing.err.contains("missing.sqlite") && !desk.path("missing.sqlite").exists(),
        "{}",
        missing.err
    );
}

#[test]
fn an_unreadable_file_is_named_and_the_others_are_checked() {
    let desk = CliEnv::new();
    desk.file("good.jsonl", lines(&applications()));
    desk.file("empty.jsonl", "");
    let before = contents(&desk.folder);
    let answer = validate(&desk, &["missing.jsonl", "good.jsonl", ".", "empty.jsonl"]);
    assert_eq!(answer.code, Some(4));
    assert!(
        answer.err.contains("cannot read missing.jsonl: No such file")
            && answer.err.contains("cannot read ."),
        "{}",
        answer.err
    );
    assert_eq!(answer.out, "10 applications: 10 accepted, 0 rejected; 2 files cannot be read\n");
    let document = document(&desk, &["good.jsonl", "missing.jsonl"]);
    assert_eq!(document["unreadable"][0]["file"], "missing.jsonl");
    assert_eq!(validate(&desk, &["empty.jsonl"]).out, "0 applications: 0 accepted, 0 rejected\n");

    for (arguments, code) in [
        (&[][..], 2),
        (&["good.jsonl", "--on", "2026-02-30"], 2),
        (&["good.jsonl", "--format", "xml"], 2),
        (&["good.jsonl", "--out", "nowhere"], 2),
        (&["good.jsonl", "--config", "missing.toml"], 3),
    ] {
        let answer = validate(&desk, arguments);
        assert_eq!((answer.code, answer.out.as_str()), (Some(code), ""), "{arguments:?}: {}", answer.err);
    }
    assert!(contents(&desk.folder) == before, "something was written");
}

#[test]
fn the_day_of_judging_can_be_given() {
    let desk = CliEnv::new();
    let file = example("applications.jsonl");
    // Without a contract the day of the application decides; 平川市 begins on 2025-12-01.
    for (day, accepted) in [("2025-11-30", false), ("令和7年12月1日", true)] {
        let document = document(&desk, &[file.to_str().unwrap(), "--on", day]);
        let application = &document["applications"][1];
        assert_eq!(application["id"], "2026-0002");
        assert_eq!(
            codes(&document)[1],
            if accepted { &[][..] } else { &["obligee.not_yet_electronic"] },
            "{day}: {application:#}"
        );
    }
}

#[test]
fn however_deep_a_message_is_nested_it_is_told() {
    let desk = CliEnv::new();
    let nested =
        |depth: usize| format!("{{\"source\": 5, \"x\": {}{}}}\n", "[".repeat(depth), "]".repeat(depth));
    desk.file("deep.jsonl", [100, 500, 100_000].map(nested).concat());
    let answer = validate(&desk, &["deep.jsonl", "--format", "lines"]);
    assert_eq!(answer.code, Some(1), "{}", answer.err);
    let told = told(&answer.out);
    assert!((1..=3).all(|line| told.iter().any(|told| told.line == line)), "{told:?}");
    assert!(told.iter().all(|told| told.code.starts_with("message.")), "{told:?}");
    let source = told.iter().find(|told| (told.line, told.path.as_str()) == (2, "$.source")).unwrap();
    assert_eq!(source.column, 12, "{told:?}");
}

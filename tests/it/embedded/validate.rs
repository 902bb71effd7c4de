//! `hosho validate`: results and places in the file, in three formats.
//!
//! The tests read the text at each reported place and compare it with the value at the reported path.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use super::{Answer, CliEnv, Transcript, answer, applications, files_below};
use crate::harness::test_env::example;

/// A parsed line of `--format lines`.
#[derive(Debug, PartialEq)]
struct Problem {
    file: String,
    line: usize,
    column: usize,
    message: String,
    code: String,
    path: String,
}

fn problems(out: &str) -> Vec<Problem> {
    let one = |text: &str| {
        let (place, rest) =
            text.split_once(": error: ").unwrap_or_else(|| panic!("not a line for editors: {text}"));
        let (rest, path) = rest.rsplit_once("] ").unwrap();
        let (message, code) = rest.rsplit_once(" [").unwrap();
        let mut place = place.rsplitn(3, ':');
        let mut number = || place.next().unwrap().parse().unwrap();
        let (column, line) = (number(), number());
        let [file, message, code, path] = [place.next().unwrap(), message, code, path].map(str::to_owned);
        Problem { file, line, column, message, code, path }
    };
    out.lines().map(one).collect()
}

/// The text from a place. Lines and columns count from 1; columns are characters.
fn text_at(text: &str, line: usize, column: usize) -> &str {
    let line_start = text.split_inclusive('\n').take(line - 1).map(str::len).sum::<usize>();
    let text = &text[line_start..];
    &text[text.char_indices().nth(column - 1).map_or(text.len(), |(at, _)| at)..]
}

/// The JSON value at the beginning of a text.
fn value_at(text: &str) -> Value {
    serde_json::Deserializer::from_str(text)
        .into_iter()
        .next()
        .unwrap()
        .unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The value at a path, or its nearest existing ancestor.
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

/// The code in the id of a rejected example.
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

fn validate(env: &CliEnv, arguments: &[&str]) -> Answer {
    env.run([&["validate"], arguments].concat())
}

fn document(env: &CliEnv, arguments: &[&str]) -> Value {
    let answer = validate(env, &[arguments, &["--format", "json"]].concat());
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

/// Content and modification time of every file, except temporary ones of SQLite.
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
fn reports_places_of_values_in_any_layout() {
    let env = CliEnv::new();
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
        env.file(name, text);
        let answer = validate(&env, &[name, "--format", "lines"]);
        assert_eq!(answer.code, Some(1), "{}", answer.err);
        let found = problems(&answer.out);
        assert_eq!(found.len(), examples.len(), "{name}");
        let text = text.trim_start_matches('\u{feff}');
        for (one, example) in found.iter().zip(&examples) {
            assert_eq!(
                (one.file.as_str(), one.code.as_str()),
                (*name, named(example["id"].as_str().unwrap()).as_str()),
                "{one:?}"
            );
            assert_eq!(
                &value_at(text_at(text, one.line, one.column)),
                nearest(example, &one.path),
                "{name}: {one:?}"
            );
        }
    }
    // A missing value is reported at its nearest ancestor.
    let answer = validate(&env, &["pretty.json", "--format", "lines", "--lang", "en"]);
    for (code, path, begins) in [
        ("branch.unknown", "$.branch", "\"99\""),
        ("bank.required", "$.products[0].bank", "{"),
        ("products.empty", "$.products", "[]"),
        ("contract_date.required", "$.works.contract_date", "{"),
    ] {
        let found = problems(&answer.out).into_iter().find(|one| one.code == code).unwrap();
        let text = text_at(&layouts[2].1, found.line, found.column);
        assert!(
            found.path == path && text.starts_with(begins) && found.message.is_ascii(),
            "{found:?}: {text:.60}"
        );
    }
}

#[test]
fn reports_the_violations_of_the_pipeline() {
    let env = CliEnv::new();
    let file = example("rejected.jsonl");
    let (_, report) = env.report(&file);
    let document = document(&env, &[file.to_str().unwrap()]);
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
fn prints_blocks_within_the_terminal_width() {
    let env = CliEnv::new();
    let (good, bad) = (example("applications.jsonl"), example("rejected.jsonl"));
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    let cap = rejected().into_iter().find(|one| one["id"] == "rejected-amount.exceeds_cap").unwrap();
    env.file("one.jsonl", lines(&[applications().swap_remove(0), cap, rejected().swap_remove(0)]));
    let mut texts = Transcript::new(&env);
    assert_eq!(texts.run(&["validate", good]).code, Some(0));
    for options in [&[][..], &["--lang", "en"], &["-v"]] {
        assert_eq!(texts.run(&[&["validate", "one.jsonl"], options].concat()).code, Some(1));
    }
    insta::assert_snapshot!(texts.redacted());
    let text = validate(&env, &[bad]).out;
    let blocks: Vec<&str> = text.split("\n\n").collect();
    assert_eq!(blocks.len(), rejected().len() + 1, "a block for each application and the summary");
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    for (application, block) in document(&env, &[bad])["applications"].as_array().unwrap().iter().zip(blocks)
    {
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        let head = format!(
            "rejected{bad}:{}{}{}",
            application["line"],
            word(&application["source"]),
            word(&application["id"])
        );
        assert!(squeezed(block).starts_with(&squeezed(&head)), "{head}: {block}");
        for violation in application["violations"].as_array().unwrap() {
            let [code, path, message] = ["code", "path", "message_ja"].map(|key| word(&violation[key]));
            assert!(
                squeezed(block).contains(&squeezed(&format!("{code}{path}{message}"))),
                "{violation}: {block}"
            );
        }
    }
    // No line is wider than the terminal.
    for width in [40, 77, 130] {
        let mut command = env.hosho(["validate", bad, good, "-v"]);
        command.env("COLUMNS", width.to_string());
        let out = super::answer(command).out;
        let widest = out.lines().map(UnicodeWidthStr::width).max().unwrap();
        assert!(widest <= width && widest > width - 4, "{width}: {widest}");
    }
}

#[test]
fn reads_standard_input() {
    let env = CliEnv::new();
    let application = format!("{:#}\n", rejected()[0]);
    env.file("one.json", &application);
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$0\" validate - --format lines <one.json", env!("CARGO_BIN_EXE_hosho")])
        .current_dir(&env.folder);
    let answer = answer(command);
    assert_eq!((answer.code, answer.err.as_str()), (Some(1), ""));
    let [found] = &problems(&answer.out)[..] else { panic!("{}", answer.out) };
    assert_eq!((found.file.as_str(), found.code.as_str()), ("-", "message.malformed"));
    assert_eq!(
        &value_at(text_at(&application, found.line, found.column)),
        nearest(&rejected()[0], &found.path)
    );
}

#[test]
fn reports_the_place_of_invalid_json() {
    let env = CliEnv::new();
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
    env.file("mixed.jsonl", records.join(&b'\n'));
    let answer = validate(&env, &["mixed.jsonl", "--format", "lines"]);
    assert_eq!(answer.code, Some(1));
    let found = problems(&answer.out);
    let places: Vec<_> =
        found.iter().map(|one| (one.line, one.column, one.code.as_str(), one.path.as_str())).collect();
    // The comma missing after the first field is reported at the second.
    let second = 1 + no_comma.lines().nth(2).unwrap().find('"').unwrap();
    let expected = [(2, column), (3, half.chars().count()), (5, 1), (8, second)];
    assert_eq!(places, expected.map(|(line, column)| (line, column, "message.not_json", "$")));
    assert!(found[0].message.contains(&format!("2行{column}文字目")), "{}", found[0].message);
    let document = document(&env, &["mixed.jsonl"]);
    assert_eq!(codes(&document).iter().filter(|codes| codes.is_empty()).count(), 3);
    // The source is reported if it can be read.
    let sources: Vec<&Value> = (0..3).map(|index| &document["applications"][index]["source"]).collect();
    assert_eq!(sources, [&"portal".into(), &"portal".into(), &Value::Null]);

    // In an array too, which the other commands reject as a whole.
    let elements: Vec<String> =
        [&good[0].to_string(), &half.to_owned(), &good[1].to_string()].map(|text| format!("  {text}")).into();
    env.file("array.json", format!("[\n{}\n]\n", elements.join(",\n")));
    let array = self::document(&env, &["array.json"]);
    assert_eq!(codes(&array), [&[][..], &["message.not_json"], &[]]);
    env.file("open.json", format!("[{}", good[0]));
    let open = self::document(&env, &["open.json"]);
    assert_eq!(codes(&open), [&[][..], &["message.not_json"]]);
    assert_eq!(open["applications"][1]["violations"][0]["column"], good[0].to_string().chars().count() + 2);
}

#[test]
fn reports_messages_too_large_for_a_queue() {
    let env = CliEnv::new();
    env.file("large.jsonl", lines(&applications()));
    let mut command = env.hosho(["validate", "large.jsonl", "--format", "json"]);
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
fn prints_no_terminal_control_characters() {
    let env = CliEnv::new();
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
    env.file(name, bytes);
    for arguments in [
        &["--format", "table"][..],
        &["-v", "--lang", "en"],
        &["--format", "json"],
        &["--format", "lines"],
        &["missing\u{1b}\u{9b}"],
    ] {
        let answer = validate(&env, &[&[name], arguments].concat());
        assert_ne!(answer.code, Some(0));
        let is_control = |character: &char| {
            (character.is_control() && *character != '\n') || "\u{202e}\u{2066}\u{200f}".contains(*character)
        };
        for output in [&answer.out, &answer.err] {
            assert_eq!(output.chars().find(is_control), None, "{output:?}");
        }
        assert!(answer.out.len() > 200, "{}", answer.err);
    }
    // JSON contains the same text, escaped.
    assert_eq!(document(&env, &[name])["applications"][0]["id"], hostile["id"]);
}

#[test]
fn judges_applications_in_the_order_of_the_files() {
    let env = CliEnv::new();
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
    env.file("first.jsonl", lines(&[first.clone(), with_id("twice")]));
    env.file("second.json", format!("[{:#},\n{interim},{other},{:#}]", with_id("twice"), first));
    let answer =
        validate(&env, &["first.jsonl", "second.json", "--format", "json", "--on", "令和8年12月1日"]);
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
    // The earlier application was received on the given date.
    assert!(
        applications[1]["violations"][0]["message_ja"].as_str().unwrap().contains("令和8年12月1日受付"),
        "{document:#}"
    );
    // A copy has the result and the place of the first.
    assert_eq!(applications[1]["calculations"], applications[2]["calculations"]);
    assert_eq!(applications[0]["calculations"], applications[5]["calculations"]);
    let repeats: Vec<&Value> = applications.iter().map(|each| &each["repeats"]).collect();
    let place = |line: usize| json!({"file": "first.jsonl", "line": line});
    assert_eq!(repeats, [&Value::Null, &Value::Null, &place(2), &Value::Null, &place(1), &place(1)]);
    assert_eq!(
        document["summary"],
        json!({"applications": 6, "accepted": 2, "rejected": 4, "repeated": 3, "stored": 0, "unreadable": 0})
    );
    let mut texts = Transcript::new(&env);
    texts.run(&["validate", "first.jsonl", "second.json", "--on", "令和8年12月1日"]);
    texts.run(&["validate", example("interim.jsonl").to_str().unwrap()]);
    insta::assert_snapshot!(texts.redacted());

    // Copies are accepted; the note is for interim advances only.
    env.file("copies.jsonl", lines(&[first.clone(), first]));
    let copies = validate(&env, &["copies.jsonl", "--format", "lines"]);
    assert_eq!((copies.code, copies.out.as_str(), copies.err.as_str()), (Some(0), "", ""));
    let alone = validate(&env, &[example("interim.jsonl").to_str().unwrap(), "--format", "lines"]);
    assert!(
        problems(&alone.out).iter().all(|one| one.code == "interim_advance.no_advance_payment"),
        "{}",
        alone.out
    );
    assert_eq!((alone.code, alone.err.is_empty()), (Some(1), false));
}

#[test]
fn reads_stored_applications_without_a_write() {
    let env = CliEnv::new();
    assert_eq!(env.process(&example("applications.jsonl")).code, Some(0));
    let status = env.statuses(&example("applications.jsonl")).remove(0);
    let interim = example("interim.jsonl");
    let mut again = applications().swap_remove(0);
    again["id"] = "again".into();
    let mut reused = applications().swap_remove(1);
    reused["works"]["name"] = "別の業務委託".into();
    env.file("more.jsonl", lines(&[again, reused]));
    let before = contents(&env.folder);

    let accepted = validate(&env, &[interim.to_str().unwrap(), "--out", "out", "--format", "json"]);
    assert_eq!((accepted.code, accepted.err.as_str()), (Some(0), ""), "{}", accepted.out);
    let accepted: Value = serde_json::from_str(&accepted.out).unwrap();
    let calculations = accepted["applications"][0]["calculations"].as_array().unwrap();
    assert!(
        calculations
            .iter()
            .any(|one| one["code"] == "amount.exceeds_total" && one["path"] == "$.products[0].amount"),
        "{accepted:#}"
    );

    let answer = validate(&env, &["more.jsonl", "--out", "out", "--format", "lines"]);
    assert_eq!((answer.code, answer.err.as_str()), (Some(1), ""));
    let found = problems(&answer.out);
    let codes: Vec<(usize, &str)> = found.iter().map(|one| (one.line, one.code.as_str())).collect();
    assert_eq!(
        codes,
        [(1, "product.already_applied"), (1, "product.already_applied"), (2, "application.id_reused")]
    );
    for (one, guarantee) in found.iter().zip(&status.guarantees) {
        assert!(one.message.contains(&guarantee.guarantee.number), "{one:?}");
    }

    // The configured database: a stored application has its stored result.
    let mut command = env.hosho([
        OsStr::new("validate"),
        example("applications.jsonl").as_os_str(),
        OsStr::new("--database"),
        OsStr::new("--format"),
        OsStr::new("json"),
    ]);
    command.env("HOSHO__DATABASE__URL", "sqlite:out/hosho.sqlite");
    let known = super::answer(command);
    assert_eq!((known.code, known.err.as_str()), (Some(0), ""));
    let known: Value = serde_json::from_str(&known.out).unwrap();
    assert_eq!(
        known["summary"],
        json!({"applications": 10, "accepted": 10, "rejected": 0, "repeated": 0, "stored": 10, "unreadable": 0})
    );

    assert!(contents(&env.folder) == before, "a file was written");
    let mut texts = Transcript::new(&env);
    env.file("stored.jsonl", lines(&applications()[..1]));
    texts.run(&["validate", "stored.jsonl", "--out", "out", "-v"]);
    let missing = [("DATABASE__URL", "sqlite:missing.sqlite")];
    assert_eq!(texts.with(&missing, &["validate", "more.jsonl", "--database"]).code, Some(4));
    assert!(!env.path("missing.sqlite").exists());
    insta::assert_snapshot!(texts.redacted());
}

#[test]
fn checks_the_other_files_of_an_unreadable_one() {
    let env = CliEnv::new();
    env.file("good.jsonl", lines(&applications()));
    env.file("empty.jsonl", "");
    let before = contents(&env.folder);
    let mut texts = Transcript::new(&env);
    assert_eq!(texts.run(&["validate", "missing.jsonl", "good.jsonl", ".", "empty.jsonl"]).code, Some(4));
    let document = document(&env, &["good.jsonl", "missing.jsonl"]);
    assert_eq!(document["unreadable"][0]["file"], "missing.jsonl");
    assert_eq!(document["summary"]["accepted"], 10);
    assert_eq!(texts.run(&["validate", "empty.jsonl"]).code, Some(0));
    insta::assert_snapshot!(texts.redacted());

    for (arguments, code) in [
        (&[][..], 2),
        (&["good.jsonl", "--on", "2026-02-30"], 2),
        (&["good.jsonl", "--format", "xml"], 2),
        (&["good.jsonl", "--out", "nowhere"], 2),
        (&["good.jsonl", "--config", "missing.toml"], 3),
    ] {
        let answer = validate(&env, arguments);
        assert_eq!((answer.code, answer.out.as_str()), (Some(code), ""), "{arguments:?}: {}", answer.err);
    }
    assert!(contents(&env.folder) == before, "a file was written");
}

#[test]
fn judges_on_a_given_date() {
    let env = CliEnv::new();
    let file = example("applications.jsonl");
    // Without a contract the date of the application is compared with the start of 平川市, 2025-12-01.
    for (day, accepted) in [("2025-11-30", false), ("令和7年12月1日", true)] {
        let document = document(&env, &[file.to_str().unwrap(), "--on", day]);
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
fn reports_deeply_nested_messages() {
    let env = CliEnv::new();
    let nested =
        |depth: usize| format!("{{\"source\": 5, \"x\": {}{}}}\n", "[".repeat(depth), "]".repeat(depth));
    env.file("deep.jsonl", [100, 500, 100_000].map(nested).concat());
    let answer = validate(&env, &["deep.jsonl", "--format", "lines"]);
    assert_eq!(answer.code, Some(1), "{}", answer.err);
    let found = problems(&answer.out);
    assert!((1..=3).all(|line| found.iter().any(|one| one.line == line)), "{found:?}");
    assert!(found.iter().all(|one| one.code.starts_with("message.")), "{found:?}");
    let source = found.iter().find(|one| (one.line, one.path.as_str()) == (2, "$.source")).unwrap();
    assert_eq!(source.column, 12, "{found:?}");
}

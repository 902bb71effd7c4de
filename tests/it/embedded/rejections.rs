//! Broken and hostile input: each line has its own result.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{CliEnv, Transcript, applications, squeezed, text_of};
use crate::harness::{smtp::parse, test_env::example};

/// The codes of every rejected application by id.
fn codes(report: &Value) -> BTreeMap<String, Vec<String>> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of_one = |rejected: &Value| {
        let violations = rejected["violations"].as_array().unwrap();
        (text(&rejected["id"]), violations.iter().map(|violation| text(&violation["code"])).collect())
    };
    report["rejected"].as_array().unwrap().iter().map(of_one).collect()
}

#[test]
fn rejects_each_example_with_its_code() {
    let env = CliEnv::new();
    let examples = example("rejected.jsonl");
    let (code, report) = env.report(&examples);
    assert_eq!(code, Some(1));
    let text = std::fs::read_to_string(&examples).unwrap();
    let ids = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned());
    let named = |id: &str| {
        let code = id.strip_prefix("rejected-").unwrap();
        code.chars()
            .take_while(|character| character.is_ascii_lowercase() || "._".contains(*character))
            .collect::<String>()
    };
    let expected: BTreeMap<_, _> = ids.map(|id| (id.clone(), vec![named(&id)])).collect();
    assert!(expected.len() > 40);
    assert_eq!(codes(&report), expected);
    let read = text.lines().count();
    assert_eq!(
        report["summary"],
        json!({"read": read, "issued": 0, "unchanged": 0, "changes": 0, "rejected": read, "failed": 0, "unfinished": 0, "resumed": 0})
    );
    for rejected in report["rejected"].as_array().unwrap() {
        let violation = &rejected["violations"][0];
        let [ja, en, path] =
            ["message_ja", "message_en", "path"].map(|field| violation[field].as_str().unwrap());
        assert!(!ja.is_ascii() && !en.is_empty() && path.starts_with('$'), "{violation}");
    }

    // The repeated result is the same, with places; no row changes.
    let rows = env.dump();
    let (code, again) = env.report(&examples);
    assert_eq!((code, codes(&again)), (Some(1), expected));
    for rejected in again["rejected"].as_array().unwrap() {
        let id = rejected["id"].as_str().unwrap();
        let line = text.lines().position(|line| line.contains(&format!("\"{id}\""))).unwrap() + 1;
        assert_eq!(rejected["place"], format!("{}:{line}", examples.display()));
    }
    assert!(env.dump() == rows);
}

#[test]
fn issues_good_lines_between_broken_ones() {
    let env = CliEnv::new();
    let good = applications();
    let rejected = std::fs::read_to_string(example("rejected.jsonl")).unwrap();
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let broken: [(&[u8], &str); 8] = [
        (b"{\"source\":\"portal\",\"id\":\"half\",", "message.undecodable"),
        (b"{\"half\":", "message.undecodable"),
        (b"garbage \x1b[31mred\xff\xfe", "message.undecodable"),
        (b"\"a string\"", "message.undecodable"),
        (b"{}", "message.undecodable"),
        (&[b'['; 200], "message.undecodable"),
        ("{\"source\":\"portal\",\"id\":\"\u{9b}31m\u{202e}\"}".as_bytes(), "message.undecodable"),
        (&vec![b'x'; 2 << 20], "message.too_large"),
    ];
    for (index, application) in good.iter().enumerate() {
        lines.push(application.to_string().into_bytes());
        lines.extend(broken.get(index).map(|(line, _)| line.to_vec()));
        lines.extend(rejected.lines().nth(index).map(|line| line.as_bytes().to_vec()));
    }
    let mixed = env.file("mixed.jsonl", lines.join(&b"\n"[..]));
    let (code, report) = env.report(&mixed);
    assert_eq!(code, Some(1));
    assert_eq!(
        report["summary"],
        json!({"read": 28, "issued": 16, "unchanged": 0, "changes": 0, "rejected": 10, "failed": 8, "unfinished": 0, "resumed": 0})
    );
    let failed: BTreeMap<String, &Value> = report["failed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failed| (failed["what"].as_str().unwrap().to_owned(), failed))
        .collect();
    let mut expected = BTreeMap::new();
    for (line, code) in broken {
        let place = lines.iter().position(|found| found == line).unwrap() + 1;
        expected.insert(format!("{}:{place}", mixed.display()), code.to_owned());
    }
    let found: BTreeMap<String, String> = failed
        .iter()
        .map(|(place, failed)| (place.clone(), failed["code"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(found, expected);
    // A cut-off line is not JSON.
    let texts = [2, 5].map(|place| failed[&format!("{}:{place}", mixed.display())]["text"].as_str().unwrap());
    insta::assert_snapshot!(texts.join("\n"), @r"
    the body is not JSON: EOF while parsing a value (line 1, column 31)
    the body is not JSON: EOF while parsing a value (line 1, column 8)
    ");

    // The printed text contains no control character of the lines.
    let again = env.process(&mixed);
    assert_eq!(again.code, Some(1));
    assert_harmless(&again.out);
    assert_harmless(&again.err);
    let (_, report) = env.report(&mixed);
    assert_eq!(
        report["summary"],
        json!({"read": 28, "issued": 0, "unchanged": 16, "changes": 0, "rejected": 10, "failed": 8, "unfinished": 0, "resumed": 0})
    );
}

#[test]
fn prints_each_kind_of_result() {
    let env = CliEnv::new();
    let rejected = std::fs::read_to_string(example("rejected.jsonl")).unwrap();
    let lines = [applications()[0].to_string(), rejected.lines().next().unwrap().to_owned(), "{}".to_owned()];
    env.file("mixed.jsonl", lines.join("\n"));
    env.file("good.jsonl", &lines[0]);
    let mut shown = Transcript::new(&env);
    for (file, code) in [("mixed.jsonl", 1), ("mixed.jsonl", 1), ("good.jsonl", 0)] {
        assert_eq!(shown.run(&["process", file, "--out", "out"]).code, Some(code));
    }
    insta::assert_snapshot!(shown.redacted());
}

#[track_caller]
fn assert_harmless(output: &str) {
    let is_control = |character: &char| {
        (character.is_control() && *character != '\n') || "\u{202e}\u{2066}\u{200f}".contains(*character)
    };
    assert_eq!(output.chars().find(is_control), None, "{output:?}");
}

#[test]
fn prints_no_terminal_control_characters() {
    let env = CliEnv::new();
    let mut hostile = applications().swap_remove(1);
    for field in ["id", "source", "branch", "obligee"] {
        hostile[field] = "a\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{2066}\u{200f}\r".into();
    }
    hostile["principal"]["name"] = "株式会社\u{1b}]0;owned\u{7}\u{9d}".into();
    let name = "hostile\u{1b}[31m\u{9b}\u{202e}.jsonl";
    let file = env.file(name, hostile.to_string());
    let hostile_id = hostile["id"].as_str().unwrap();
    for arguments in [
        vec!["process", name, "--out", "out"],
        vec!["process", name, "--out", "out", "--json"],
        vec!["process", name, "--out", "out", "--verbose"],
        vec!["process", "missing\u{1b}[31m\u{9b}.jsonl", "--out", "out"],
        vec!["status", hostile_id, "--out", "out"],
        vec!["status", hostile_id, "--out", "out", "--json"],
        vec!["status", "\u{1b}[31m", "--out", "out"],
    ] {
        let answer = env.run(&arguments);
        assert!(answer.code != Some(0) || arguments[0] == "status", "{arguments:?}");
        assert_harmless(&answer.out);
        assert_harmless(&answer.err);
        assert!(answer.out.len() + answer.err.len() > 20);
    }
    // JSON contains the same text, escaped.
    let (_, report) = env.report(&file);
    assert_eq!(report["rejected"][0]["id"], hostile["id"], "{report:#}");
}

#[test]
fn prints_markup_in_names_as_text() {
    const NAME: &str = "{{authentication_key}}<b>&amp;{{#each}}\"'工事";
    let env = CliEnv::new();
    let mut application = applications().swap_remove(5);
    application["works"]["name"] = NAME.into();
    application["principal"]["name"] = format!("株式会社{NAME}").into();
    let (code, report) = env.report(&env.file("markup.jsonl", application.to_string()));
    assert_eq!(code, Some(0), "{report:#}");
    let issued = &report["guarantees"][0];
    for kind in ["certificate", "notice"] {
        let text = squeezed(&text_of(&env.path(issued[kind].as_str().unwrap())));
        assert_eq!(text.matches(&squeezed(NAME)).count(), text.matches("<b>").count(), "{text}");
        assert!(
            text.contains(&format!("工事名{NAME}")) && text.contains(&format!("株式会社{NAME}")),
            "{text}"
        );
    }
    let mail = parse(&env.path(issued["mail_file"].as_str().unwrap()));
    assert!(mail.text.unwrap().contains(&format!("株式会社{NAME} 御中")));
    let html = mail.html.unwrap();
    assert!(
        html.contains("{{authentication_key}}&lt;b&gt;&amp;amp;{{#each}}") && !html.contains("<b>"),
        "{html}"
    );
}

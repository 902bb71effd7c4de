//! `hosho documents verify`: unchanged, changed and missing documents.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{Answer, CliEnv, Transcript, answer};
use crate::harness::{documents::StoredDocuments, process::run, test_env::example};

const CHANGE: &str = "
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as database:
    changed = database.execute(sys.argv[2]).rowcount
assert changed == 1, changed
";

/// Changes one row of the database without the program.
fn change(env: &CliEnv, statement: &str) {
    let mut python = Command::new("/usr/bin/python3");
    python.arg("-c").arg(CHANGE).arg(env.path("out/hosho.sqlite")).arg(statement);
    let output = run(python);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn verified(env: &CliEnv, arguments: &[&str], settings: &[(&str, &str)]) -> Answer {
    let mut command = env.hosho(["documents", "verify", "--out", "out", "--json"].iter().chain(arguments));
    command.envs(settings.iter().copied());
    answer(command)
}

fn error_code(answer: &Answer) -> Value {
    serde_json::from_str::<Value>(&answer.out).unwrap()["error"]["code"].take()
}

/// Exit code, counts and documents of a report.
fn report(answer: &Answer) -> (Option<i32>, Value, Vec<Value>) {
    let report: Value = serde_json::from_str(&answer.out)
        .unwrap_or_else(|error| panic!("{error}: {}{}", answer.out, answer.err));
    (answer.code, report["counts"].clone(), report["documents"].as_array().unwrap().clone())
}

/// The segment of a document of a guarantee, and where the PDF begins in it.
fn stored(env: &CliEnv, documents: &[Value], kind: &str) -> (PathBuf, usize) {
    let found = documents.iter().find(|document| document["document"] == kind).unwrap();
    let (segment, position) = found["location"].as_str().unwrap().split_once(" at ").unwrap();
    let (path, position) = (env.path("out/documents").join(segment), position.parse::<usize>().unwrap());
    let bytes = std::fs::read(&path).unwrap();
    let header = u32::from_le_bytes(bytes[position + 8..position + 12].try_into().unwrap());
    (path, position + 52 + header as usize)
}

/// Replaces a sealed segment.
fn replace(path: &Path, bytes: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn finds_every_changed_document_and_row() {
    let env = CliEnv::new();
    assert_eq!(env.process(&example("applications.jsonl")).code, Some(0));
    let (code, counts, named) = report(&verified(&env, &["--all"], &[]));
    let all = counts["same"].as_u64().unwrap();
    assert_eq!((code, counts.as_object().unwrap().len(), named.len()), (Some(0), 1, 0), "{counts}");
    assert_eq!(all, StoredDocuments::open(&env.path("out")).all().0.len() as u64);

    let name = super::files_below(&env.path("out/notices")).into_iter().next().unwrap();
    let number = name.file_stem().unwrap().to_str().unwrap().to_owned();
    let wide: String = number
        .chars()
        .map(|c| if c.is_ascii_digit() { char::from_u32(u32::from(c) + 0xFEE0).unwrap() } else { c })
        .collect();
    let (code, counts, named) = report(&verified(&env, &[&wide], &[]));
    assert_eq!((code, &counts, named.len()), (Some(0), &serde_json::json!({ "same": 2 }), 2));

    // Rendered with another URL or template, an unchanged file is `intact`.
    let certificates = u64::try_from(super::files_below(&env.path("out/certificates")).len()).unwrap();
    for setting in
        [("HOSHO__REGISTRY__URL", "https://other.example.jp/"), ("HOSHO__TEMPLATES__FOLDER", "templates")]
    {
        env.copy_of("templates");
        env.file("templates/notice/notice.hbs", "<page><p>{{number}} {{authentication_key}}</p></page>");
        let (code, counts, _) = report(&verified(&env, &["--all"], &[setting]));
        assert_eq!(
            (code, counts),
            (Some(0), serde_json::json!({ "same": certificates, "intact": all - certificates })),
            "{setting:?}"
        );
        assert_eq!(verified(&env, &["--all", "--strict"], &[setting]).code, Some(1));
    }

    let (path, body) = stored(&env, &named, "certificate");
    let bytes = std::fs::read(&path).unwrap();
    let mut changed = bytes.clone();
    changed[body + 100] ^= 1;
    replace(&path, &changed);
    let (code, counts, found) = report(&verified(&env, &["--all"], &[]));
    assert_eq!((code, counts), (Some(1), serde_json::json!({ "same": all - 1, "damaged": 1 })));
    assert_eq!(
        (&found[0]["number"], &found[0]["document"]),
        (&number.as_str().into(), &"certificate".into())
    );
    replace(&path, &bytes[..body]);
    assert_eq!(
        report(&verified(&env, &[&number], &[])).1["damaged"],
        2,
        "the notice follows the certificate"
    );
    std::fs::remove_file(&path).unwrap();
    assert_eq!(report(&verified(&env, &["--all"], &[])).1, serde_json::json!({ "missing": all }));
    std::fs::write(&path, &bytes).unwrap();

    // An amount changed in the row: the certificate differs.
    let guarantee = format!("(select id from guarantee where number = '{number}')");
    let changed = format!(
        "update revision set content = replace(content, '\"amount\":', '\"amount\":1') where guarantee_id = {guarantee}"
    );
    change(&env, &changed);
    let (code, counts, _) = report(&verified(&env, &[&number], &[]));
    assert_eq!(
        (code, counts),
        (Some(1), serde_json::json!({ "same": 1, "different": 1 })),
        "the notice states no amount"
    );
    change(&env, &format!("update revision set content = '{{}}' where guarantee_id = {guarantee}"));
    let (_, counts, found) = report(&verified(&env, &[&number], &[]));
    assert_eq!(counts, serde_json::json!({ "undrawable": 2 }));
    assert!(
        found.iter().all(|document| document["problem"]
            .as_str()
            .is_some_and(|problem| problem.contains("certificate"))),
        "{found:?}"
    );

    // A document without a row.
    let other = super::files_below(&env.path("out/notices")).into_iter().nth(1).unwrap();
    let other = other.file_stem().unwrap().to_str().unwrap().to_owned();
    let of_other = format!(
        "(select c.id from revision c join guarantee g on g.id = c.guarantee_id where g.number = '{other}')"
    );
    change(&env, &format!("delete from document where kind = 'notice' and revision_id = {of_other}"));
    let (code, counts, _) = report(&verified(&env, &[&other], &[]));
    assert_eq!((code, counts), (Some(1), serde_json::json!({ "same": 1, "unrecorded": 1 })));
}

#[test]
fn verifies_one_segment() {
    let env = CliEnv::new();
    assert_eq!(env.process(&example("applications.jsonl")).code, Some(0));
    let first = StoredDocuments::open(&env.path("out")).all().0;
    let segment = first[0].0.as_str();
    assert_eq!(env.process(&example("interim.jsonl")).code, Some(0));
    let (code, counts, _) = report(&verified(&env, &["--segment", segment], &[]));
    assert_eq!((code, counts), (Some(0), serde_json::json!({ "same": first.len() })));
    let unknown = verified(&env, &["--segment", "segments/2026-01-01/x.seg"], &[]);
    assert_eq!((unknown.code, error_code(&unknown)), (Some(1), "not_found".into()));
    assert_eq!(verified(&env, &["--segment", segment, "--all"], &[]).code, Some(2));
}

#[test]
fn reports_notices_as_undrawable_with_other_keys() {
    let env = CliEnv::new();
    assert_eq!(env.process(&example("applications.jsonl")).code, Some(0));
    let certificates = super::files_below(&env.path("out/certificates")).len();
    let notices = super::files_below(&env.path("out/notices")).len();
    std::fs::remove_file(env.path("out/hosho.keys")).unwrap();
    let other = CliEnv::new();
    assert_eq!(other.process(&example("applications.jsonl")).code, Some(0));
    std::fs::copy(other.path("out/hosho.keys"), env.path("out/hosho.keys")).unwrap();
    let (code, counts, found) = report(&verified(&env, &["--all"], &[]));
    assert_eq!((code, counts), (Some(1), serde_json::json!({ "same": certificates, "undrawable": notices })));
    assert!(found.iter().all(|document| document["problem"].is_string()), "{found:?}");
}

#[test]
fn rejects_unknown_numbers_and_missing_keys() {
    let env = CliEnv::new();
    assert_eq!(verified(&env, &["--all"], &[]).code, Some(2));
    assert_eq!(env.process(&example("applications.jsonl")).code, Some(0));
    let unknown = verified(&env, &["31074-99999M"], &[]);
    assert_eq!((unknown.code, error_code(&unknown)), (Some(1), "not_found".into()));
    assert_eq!(verified(&env, &[], &[]).code, Some(2));
    assert_eq!(verified(&env, &["--all", "31074-99999M"], &[]).code, Some(2));
    let mut shown = Transcript::new(&env);
    shown.run(&["documents", "verify", "31074-99999M", "--out", "out"]);
    shown.run(&["documents", "verify", "zz", "--out", "out"]);
    shown.run(&["verify-chain", "zz", "--out", "out"]);
    shown.run(&["verify-chain", "31074-99999M", "--out", "out"]);
    std::fs::remove_file(env.path("out/hosho.keys")).unwrap();
    let keyless = verified(&env, &["--all"], &[]);
    assert_eq!((keyless.code, error_code(&keyless)), (Some(3), "configuration".into()));
    shown.run(&["documents", "verify", "--all", "--out", "out"]);
    insta::assert_snapshot!(shown.redacted());
    assert!(!env.path("out/hosho.keys").exists());
}

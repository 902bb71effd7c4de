//! `hosho documents verify`: documents that are what was issued, and those that somebody or something changed.

use std::{path::PathBuf, process::Command};

use serde_json::Value;

use super::{Answer, CliEnv, answer};
use crate::harness::{process::run, test_env::example};

const CHANGE: &str = "
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as database:
    changed = database.execute(sys.argv[2]).rowcount
assert changed == 1, changed
";

/// Changes one row of the database, past the program.
fn change(desk: &CliEnv, statement: &str) {
    let mut python = Command::new("/usr/bin/python3");
    python.arg("-c").arg(CHANGE).arg(desk.path("out/hosho.sqlite")).arg(statement);
    let output = run(python);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn verified(desk: &CliEnv, arguments: &[&str], settings: &[(&str, &str)]) -> Answer {
    let mut command = desk.hosho(["documents", "verify", "--out", "out", "--json"].iter().chain(arguments));
    command.envs(settings.iter().copied());
    answer(command)
}

/// Exit code, counts and the documents named.
fn report(answer: &Answer) -> (Option<i32>, Value, Vec<Value>) {
    let report: Value = serde_json::from_str(&answer.out)
        .unwrap_or_else(|error| panic!("{error}: {}{}", answer.out, answer.err));
    (answer.code, report["counts"].clone(), report["documents"].as_array().unwrap().clone())
}

/// Where a document of a guarantee is stored.
fn stored(documents: &[Value], kind: &str) -> PathBuf {
    let found = documents.iter().find(|document| document["document"] == kind).unwrap();
    PathBuf::from("out/documents").join(found["location"].as_str().unwrap())
}

#[test]
fn documents_are_drawn_again_to_the_same_bytes_and_every_change_is_found() {
    let desk = CliEnv::new();
    assert_eq!(desk.process(&example("applications.jsonl")).code, Some(0));
    let (code, counts, named) = report(&verified(&desk, &["--all"], &[]));
    let all = counts["same"].as_u64().unwrap();
    assert_eq!((code, counts.as_object().unwrap().len(), named.len()), (Some(0), 1, 0), "{counts}");
    assert_eq!(all, u64::try_from(super::files_below(&desk.path("out/documents")).len()).unwrap());

    let name = super::files_below(&desk.path("out/notices")).into_iter().next().unwrap();
    let number = name.file_stem().unwrap().to_str().unwrap().to_owned();
    let wide: String = number
        .chars()
        .map(|c| if c.is_ascii_digit() { char::from_u32(u32::from(c) + 0xFEE0).unwrap() } else { c })
        .collect();
    let (code, counts, named) = report(&verified(&desk, &[&wide], &[]));
    assert_eq!((code, &counts, named.len()), (Some(0), &serde_json::json!({ "same": 2 }), 2));

    // Drawn with something else since: what differs by that alone is still what was issued.
    let certificates = u64::try_from(super::files_below(&desk.path("out/certificates")).len()).unwrap();
    for setting in
        [("HOSHO__REGISTRY__URL", "https://other.example.jp/"), ("HOSHO__TEMPLATES__FOLDER", "templates")]
    {
        desk.copy_of("templates");
        desk.file("templates/notice/notice.hbs", "<page><p>{{number}} {{authentication_key}}</p></page>");
        let (code, counts, _) = report(&verified(&desk, &["--all"], &[setting]));
        assert_eq!(
            (code, counts),
            (Some(0), serde_json::json!({ "same": certificates, "intact": all - certificates })),
            "{setting:?}"
        );
        assert_eq!(verified(&desk, &["--all", "--strict"], &[setting]).code, Some(1));
    }

    let path = desk.path(stored(&named, "certificate"));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&bytes[..bytes.len() - 7], b" %%EOF\n"].concat()).unwrap();
    assert_eq!(report(&verified(&desk, &[&number], &[])).1, serde_json::json!({ "same": 1, "damaged": 1 }));
    std::fs::remove_file(&path).unwrap();
    let (code, counts, found) = report(&verified(&desk, &["--all"], &[]));
    assert_eq!((code, counts), (Some(1), serde_json::json!({ "same": all - 1, "missing": 1 })));
    assert_eq!(
        (&found[0]["number"], &found[0]["document"]),
        (&number.as_str().into(), &"certificate".into())
    );
    std::fs::write(&path, &bytes).unwrap();

    // A figure changed past the program: both documents say something else now.
    let guarantee = format!("(select id from guarantee where number = '{number}')");
    let changed = format!(
        "update revision set content = replace(content, '\"amount\":', '\"amount\":1') where guarantee_id = {guarantee}"
    );
    change(&desk, &changed);
    let (code, counts, _) = report(&verified(&desk, &[&number], &[]));
    assert_eq!(
        (code, counts),
        (Some(1), serde_json::json!({ "same": 1, "different": 1 })),
        "the notice states no amount"
    );
    change(&desk, &format!("update revision set content = '{{}}' where guarantee_id = {guarantee}"));
    let (_, counts, found) = report(&verified(&desk, &[&number], &[]));
    assert_eq!(counts, serde_json::json!({ "undrawable": 2 }));
    assert!(
        found.iter().all(|document| document["problem"]
            .as_str()
            .is_some_and(|problem| problem.contains("certificate"))),
        "{found:?}"
    );

    // Forgotten by the database.
    let other = super::files_below(&desk.path("out/notices")).into_iter().nth(1).unwrap();
    let other = other.file_stem().unwrap().to_str().unwrap().to_owned();
    let of_other = format!(
        "(select c.id from revision c join guarantee g on g.id = c.guarantee_id where g.number = '{other}')"
    );
    change(&desk, &format!("delete from document where kind = 'notice' and revision_id = {of_other}"));
    let (code, counts, _) = report(&verified(&desk, &[&other], &[]));
    assert_eq!((code, counts), (Some(1), serde_json::json!({ "same": 1, "unrecorded": 1 })));
}

#[test]
fn another_key_ring_spoils_the_notices_and_says_so() {
    let desk = CliEnv::new();
    assert_eq!(desk.process(&example("applications.jsonl")).code, Some(0));
    let certificates = super::files_below(&desk.path("out/certificates")).len();
    let notices = super::files_below(&desk.path("out/notices")).len();
    std::fs::remove_file(desk.path("out/hosho.keys")).unwrap();
    let other = CliEnv::new();
    assert_eq!(other.process(&example("applications.jsonl")).code, Some(0));
    std::fs::copy(other.path("out/hosho.keys"), desk.path("out/hosho.keys")).unwrap();
    let (code, counts, found) = report(&verified(&desk, &["--all"], &[]));
    assert_eq!((code, counts), (Some(1), serde_json::json!({ "same": certificates, "undrawable": notices })));
    assert!(found.iter().all(|document| document["problem"].is_string()), "{found:?}");
}

#[test]
fn what_cannot_be_verified_is_told_and_nothing_is_made() {
    let desk = CliEnv::new();
    assert_eq!(verified(&desk, &["--all"], &[]).code, Some(2));
    assert_eq!(desk.process(&example("applications.jsonl")).code, Some(0));
    let unknown = verified(&desk, &["31074-99999M"], &[]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.out.contains("there is no guarantee 31074-99999M"), "{}", unknown.out);
    assert_eq!(verified(&desk, &[], &[]).code, Some(2));
    assert_eq!(verified(&desk, &["--all", "31074-99999M"], &[]).code, Some(2));
    std::fs::remove_file(desk.path("out/hosho.keys")).unwrap();
    let keyless = verified(&desk, &["--all"], &[]);
    assert_eq!(keyless.code, Some(3));
    assert!(keyless.out.contains("hosho.keys does not exist"), "{}", keyless.out);
    assert!(!desk.path("out/hosho.keys").exists());
}

//! Dead letters of `hosho process`: the same commands without a server.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::{Answer, CliEnv, Transcript, applications, files_below};
use crate::harness::documents::StoredDocuments;

/// Documents in the store.
fn count(env: &CliEnv) -> usize {
    StoredDocuments::open(&env.path("out")).all().0.len()
}

fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.out).unwrap_or_else(|error| panic!("{error}: {}{}", answer.out, answer.err))
}

#[test]
fn replays_an_edited_message_without_a_server() {
    let env = CliEnv::new();
    let whole = applications()[5].to_string();
    let file = env.file("half.jsonl", format!("{}\n{}\n", applications()[1], &whole[..40]));
    let (code, report) = env.report(&file);
    assert_eq!((code, report["summary"]["failed"].as_u64()), (Some(1), Some(1)), "{report:#}");
    let id = report["failed"][0]["message"].as_str().unwrap().to_owned();
    let failed = |arguments: &[&str]| env.run([&["failed"], arguments, &["--out", "out"]].concat());
    assert_eq!(json(&failed(&["list", "--json"]))["items"][0]["id"], id.as_str());
    assert_eq!(json(&failed(&["groups", "--json"]))["items"][0]["code"], "message.undecodable");

    env.file("whole.json", &whole);
    let editor = env.file("editor.sh", "#!/bin/sh\ncp whole.json \"$1\"\n");
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut edit = env
        .hosho(["failed", "edit", &id, "--reason", "cut off", "--actor", "hanako", "--out", "out", "--json"]);
    edit.env("EDITOR", &editor).env_remove("VISUAL");
    let edited = json(&super::answer(edit));
    let message = edited["message"].as_str().unwrap();
    let before = count(&env);
    let mut shown = Transcript::new(&env);
    let replay = ["failed", "replay", message, "--out", "out", "--actor", "hanako", "--reason"];
    assert_eq!(shown.run(&[&replay[..], &["fixed"]].concat()).code, Some(0));
    // The later stages process the following messages too.
    assert!(count(&env) > before);
    let status =
        json(&env.run(["status", applications()[5]["id"].as_str().unwrap(), "--out", "out", "--json"]));
    let steps = status[0]["guarantees"][0]["steps"].as_array().unwrap();
    assert_eq!(steps.last().unwrap()["stage"], "dispatch", "{status:#}");

    assert_eq!(shown.run(&[&replay[..], &["again"]].concat()).code, Some(1));
    let (rows, files) = (count(&env), files_below(&env.path("out/mail")).len());
    assert_eq!(shown.run(&[&replay[..], &["again", "--force"]].concat()).code, Some(0));
    assert_eq!((count(&env), files_below(&env.path("out/mail")).len()), (rows, files));

    let audit = json(&env.run(["audit", "--out", "out", "--subject", &id, "--json"]))["items"].take();
    assert_eq!(
        (audit[0]["action"].as_str(), audit[0]["actor"].as_str()),
        (Some("failed.edit"), Some("hanako"))
    );
    let doctor = env.run(["doctor", "--out", "out"]);
    assert_eq!(doctor.code, Some(0), "{}", doctor.out);
    shown.run(&["replay", "list", "--out", "out"]);
    insta::assert_snapshot!(shown.redacted());
    let replays = json(&env.run(["replay", "list", "--out", "out", "--json"]))["items"].take();
    assert_eq!((&replays[0]["state"], &replays[1]["state"]), (&"complete".into(), &"complete".into()));
    assert_eq!((&replays[1]["resolved"], &replays[1]["total"]), (&1.into(), &1.into()));
}

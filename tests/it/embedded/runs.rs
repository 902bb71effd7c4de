//! Runs with failures: dead letters, the report, and the replay.

use serde_json::Value;

use super::{Answer, CliEnv, Transcript, answer, files_below};
use crate::harness::{redact::redacted, smtp::parse, test_env::example};

fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.out).unwrap_or_else(|error| panic!("{error}: {}{}", answer.out, answer.err))
}

/// Without the pace, which depends on the machine.
fn without_pace(text: &str) -> String {
    let kept = |line: &str| {
        line.split(", after ").next().unwrap().split("pace ").next().unwrap().trim_end().to_owned()
    };
    text.lines().map(kept).collect::<Vec<_>>().join("\n")
}

/// Replaces the key ring, so that no key can be opened; returns the right one.
fn replace_keys(env: &CliEnv) -> Vec<u8> {
    let ring = std::fs::read(env.path("out/hosho.keys")).unwrap();
    std::fs::create_dir(env.path("other")).unwrap();
    assert_eq!(env.run(["process", "--out", "other", "/dev/null"]).code, Some(0));
    std::fs::copy(env.path("other/hosho.keys"), env.path("out/hosho.keys")).unwrap();
    ring
}

#[test]
fn failures_of_a_run_are_dead_letters() {
    let env = CliEnv::new();
    let first = env.process(&example("applications.jsonl"));
    assert_eq!((first.code, first.err.as_str()), (Some(0), ""));
    let mails = files_below(&env.path("out/mail")).len();
    let ring = replace_keys(&env);

    let mut command =
        env.hosho(["reissue", "--all", "--reason", "a trial", "--actor", "hanako", "--json", "--out", "out"]);
    command
        .env("HOSHO__BATCH__REPORT_FOLDER", env.path("elsewhere"))
        .env("HOSHO__BATCH__REPORT_TO", "watch@surety.example.jp");
    let reissued = answer(command);
    let run = json(&reissued);
    let count = |field: &str| run[field].as_i64().unwrap();
    assert_eq!((reissued.code, run["state"].as_str()), (Some(1), Some("complete_with_failures")), "{run}");
    // Paper needs no key.
    assert_eq!((count("total"), count("redrawn"), count("failed"), count("queued")), (16, 4, 12, 0), "{run}");
    let id = run["run"].as_str().unwrap();

    let failed = json(&env.run(["failed", "list", "--run", &id[..8], "--json", "--out", "out"]));
    let failed = failed["items"].as_array().unwrap();
    assert_eq!(failed.len(), 12);
    assert!(failed.iter().all(|one| one["code"] == "key.unusable" && one["stage"] == "render"), "{failed:?}");
    let shown = json(&env.run(["batch", "show", &id[..8], "--json", "--out", "out"]));
    assert_eq!((&shown["state"], &shown["run"]), (&run["state"], &run["run"]));
    assert_eq!(shown["failures"].as_array().unwrap().len(), 12, "{shown}");
    let mut texts = Transcript::new(&env);
    texts.run(&["batch", "show", &id[..8], "--out", "out"]);
    insta::assert_snapshot!("run_with_failures", without_pace(&texts.redacted()));

    assert!(!env.path("elsewhere").exists());
    let report = files_below(&env.path("out/reports"));
    let report = std::fs::read_to_string(report.first().expect("a report")).unwrap();
    let reports: Vec<_> = files_below(&env.path("out/mail"))
        .iter()
        .map(|file| parse(file))
        .filter(|mail| mail.header("To") == "watch@surety.example.jp")
        .collect();
    assert_eq!((reports.len(), files_below(&env.path("out/mail")).len()), (1, mails + 1));
    let text = format!("Subject: {}\n\n{report}", reports[0].header("Subject"));
    insta::assert_snapshot!("report_of_a_run", without_pace(&redacted(&text, &env.folder)));

    // Replayed after the fix, as any other dead letter.
    std::fs::write(env.path("out/hosho.keys"), ring).unwrap();
    let replayed =
        env.run(["failed", "replay", "--run", id, "--reason", "the keys are back", "--json", "--out", "out"]);
    assert_eq!(replayed.code, Some(0), "{}{}", replayed.out, replayed.err);
    let left = json(&env.run(["failed", "groups", "--json", "--out", "out"]));
    assert_eq!(left["total"], 0);
    let shown = json(&env.run(["batch", "show", id, "--json", "--out", "out"]));
    assert_eq!((shown["redrawn"].as_i64(), shown["failed"].as_i64()), (Some(16), Some(0)), "{shown}");
    let verify = env.run(["documents", "verify", "--all", "--out", "out"]);
    assert_eq!(verify.code, Some(0), "{}", verify.out);
}

#[test]
fn rejects_meaningless_selections_of_a_run() {
    let env = CliEnv::new();
    assert_eq!(env.process(&example("applications.jsonl")).code, Some(0));
    let mut shown = Transcript::new(&env);
    for (arguments, code) in [
        (&["reissue", "--reason", "x"][..], 2),
        (&["reissue", "--all", "--pending", "--reason", "x"], 2),
        (&["reissue", "--all"], 2),
        (&["reissue", "--guarantee", "3107", "--reason", "x"], 2),
        (&["reissue", "--obligee", "atlantis", "--reason", "x"], 1),
        (&["reissue", "--since", "yesterday", "--reason", "x"], 2),
        (&["batch", "show", "nothing"], 2),
        (&["batch", "start"], 2),
        (&["history", "3107"], 2),
        (&["history", "99999-99999Z"], 1),
        (&["reissue", "--guarantee", "99999-99999Z", "--reason", "x"], 1),
        (&["batch", "show", "abcdef"], 1),
    ] {
        assert_eq!(shown.run(&[arguments, &["--out", "out"]].concat()).code, Some(code), "{arguments:?}");
    }
    for (selection, count) in [
        (vec!["--all"], 16),
        (vec!["--guarantee", "３１０７５－００００１Ｍ"], 1),
        (vec!["--obligee", "hirakawa"], 2),
        (vec!["--since", "1h"], 16),
        (vec!["--pending"], 0),
    ] {
        let mut command = vec!["reissue", "--dry-run", "--json", "--out", "out"];
        command.extend(&selection);
        let selected = json(&env.run(command));
        assert_eq!(selected["guarantees"], count, "{selection:?}");
    }
    // No run was stored.
    let runs = json(&env.run(["batch", "list", "--json", "--out", "out"]));
    assert_eq!(runs, serde_json::json!({ "items": [], "total": 0, "next": null }));
    let database = ("DATABASE__URL", "sqlite:out/hosho.sqlite");
    assert_eq!(shown.with(&[database], &["reissue", "--all", "--reason", "x"]).code, Some(2));
    insta::assert_snapshot!(shown.redacted());
}

#[test]
fn counts_messages_replayed_after_a_run_as_done() {
    let env = CliEnv::new();
    assert_eq!(env.process(&example("applications.jsonl")).code, Some(0));
    let changed = env.process(&example("changes.jsonl"));
    assert_eq!(changed.code, Some(0));
    insta::assert_snapshot!("processed_changes", redacted(&changed.out, &env.folder));
    let ring = replace_keys(&env);
    let run = json(
        &env.run(["batch", "start", "--reason", "a trial", "--actor", "hanako", "--json", "--out", "out"]),
    );
    assert_eq!(run["state"], "complete_with_failures", "{run}");
    assert!(run["failed"].as_i64().unwrap() > 0, "{run}");
    let id = run["run"].as_str().unwrap();
    let finding = || {
        let findings = json(&env.run(["doctor", "--json", "--out", "out"]));
        let found = findings.as_array().unwrap().iter().find(|finding| finding["what"] == "nightly batch");
        redacted(&format!("{:#}", found.unwrap()).replace(&id[..8], "RUN"), &env.folder)
    };
    insta::assert_snapshot!("doctor_after_a_run_with_failures", finding());

    std::fs::write(env.path("out/hosho.keys"), ring).unwrap();
    let replayed =
        env.run(["failed", "replay", "--run", id, "--reason", "the keys are back", "--out", "out"]);
    assert_eq!(replayed.code, Some(0), "{}{}", replayed.out, replayed.err);
    let shown = json(&env.run(["batch", "show", id, "--json", "--out", "out"]));
    assert_eq!(
        (&shown["done"], &shown["failed"], &shown["queued"]),
        (&run["total"], &0.into(), &0.into()),
        "{shown}"
    );
    let mut texts = Transcript::new(&env);
    texts.run(&["batch", "show", id, "--out", "out"]);
    for action in ["pause", "resume", "cancel"] {
        let refused = env.run(["batch", action, id, "--dry-run", "--json", "--out", "out"]);
        assert_eq!(
            (refused.code, &json(&refused)["error"]["code"]),
            (Some(1), &"conflict".into()),
            "{action}"
        );
    }
    insta::assert_snapshot!("run_without_open_failures", without_pace(&texts.redacted()));
    insta::assert_snapshot!("doctor_after_the_replay", finding());
}

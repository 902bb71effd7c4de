//! Runs that are not all well: what fails is a dead letter of the run, and the operators are told in the morning.

use serde_json::Value;

use super::{CliEnv, answer, files_below};
use crate::harness::{process::run, test_env::example};

/// The examples with guarantees that fail to be drawn again: their authentication keys cannot be opened for a while.
#[test]
fn what_fails_is_a_dead_letter_of_the_run_and_the_rest_is_done() {
    let desk = CliEnv::new();
    let first = desk.process(&example("applications.jsonl"));
    assert_eq!((first.code, first.err.as_str()), (Some(0), ""));
    let mails = files_below(&desk.path("out/mail")).len();
    let ring = std::fs::read(desk.path("out/hosho.keys")).unwrap();
    let other = desk.path("other");
    std::fs::create_dir(&other).unwrap();
    assert_eq!(answer(desk.hosho(["process", "--out", "other", "/dev/null"])).code, Some(0));
    std::fs::copy(desk.path("other/hosho.keys"), desk.path("out/hosho.keys")).unwrap();

    let mut command = desk.hosho(["reissue", "--all", "--reason", "a trial", "--json", "--out", "out"]);
    command
        .env("HOSHO__BATCH__REPORT_FOLDER", desk.path("reports"))
        .env("HOSHO__BATCH__REPORT_TO", "watch@surety.example.jp");
    let reissued = answer(command);
    let told: Value =
        serde_json::from_str(&reissued.out).unwrap_or_else(|_| panic!("{}{}", reissued.out, reissued.err));
    let count = |field: &str| told[field].as_i64().unwrap();
    assert_eq!((reissued.code, told["state"].as_str()), (Some(1), Some("complete_with_failures")), "{told}");
    // Paper needs no key.
    assert_eq!(
        (count("total"), count("redrawn"), count("failed"), count("queued")),
        (16, 4, 12, 0),
        "{told}"
    );
    let id = told["run"].as_str().unwrap();

    let failed = desk.run(["failed", "list", "--run", &id[..8], "--json", "--out", "out"]);
    let failed: Value = serde_json::from_str(&failed.out).unwrap();
    let failed = failed["items"].as_array().unwrap();
    assert_eq!(failed.len(), 12);
    assert!(failed.iter().all(|one| one["code"] == "key.unusable" && one["stage"] == "render"), "{failed:?}");
    let shown = desk.run(["batch", "show", &id[..8], "--out", "out"]);
    assert!(
        shown.out.contains("complete with failures") && shown.out.contains("key.unusable"),
        "{}",
        shown.out
    );

    let report = files_below(&desk.path("reports"));
    let report = std::fs::read_to_string(report.first().expect("a report")).unwrap();
    for words in [
        "complete with failures",
        "drawn again    4",
        "failed         12",
        "key.unusable in render: 12 guarantees",
        "data key",
    ] {
        assert!(report.contains(words), "{words} is not in the report:\n{report}");
    }
    let letters: Vec<String> = files_below(&desk.path("out/mail"))
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap())
        .filter(|letter| letter.contains("watch@surety.example.jp"))
        .collect();
    assert_eq!((letters.len(), files_below(&desk.path("out/mail")).len()), (1, mails + 1));
    assert!(letters[0].contains("Subject: hosho re-issue"), "{}", letters[0]);

    // Mended and replayed like any other dead letter.
    std::fs::write(desk.path("out/hosho.keys"), ring).unwrap();
    let replayed = desk.run([
        "failed",
        "replay",
        "--run",
        id,
        "--reason",
        "the keys are back",
        "--json",
        "--out",
        "out",
    ]);
    assert_eq!(replayed.code, Some(0), "{}{}", replayed.out, replayed.err);
    let left = desk.run(["failed", "groups", "--json", "--out", "out"]);
    assert_eq!(serde_json::from_str::<Value>(&left.out).unwrap()["total"], 0);
    let shown = desk.run(["batch", "show", id, "--json", "--out", "out"]);
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!((shown["redrawn"].as_i64(), shown["failed"].as_i64()), (Some(16), Some(0)), "{shown}");
    let verify = desk.run(["documents", "verify", "--all", "--out", "out"]);
    assert_eq!(verify.code, Some(0), "{}", verify.out);
}

#[test]
fn a_run_is_asked_for_in_words_that_mean_something() {
    let desk = CliEnv::new();
    assert_eq!(desk.process(&example("applications.jsonl")).code, Some(0));
    for (arguments, words) in [
        (vec!["reissue", "--reason", "x"], "--guarantee"),
        (vec!["reissue", "--all", "--pending", "--reason", "x"], "cannot be used with"),
        (vec!["reissue", "--all"], "--reason"),
        (vec!["reissue", "--guarantee", "3107", "--reason", "x"], "31074-00001M"),
        (vec!["reissue", "--since", "yesterday", "--reason", "x"], "--since"),
        (vec!["batch", "show", "nothing"], "0 to 9, a to f"),
        (vec!["batch", "start"], "--reason"),
        (vec!["history", "3107"], "31074-00001M"),
    ] {
        let told = desk.run(arguments.iter().copied().chain(["--out", "out"]));
        assert!(
            told.code == Some(2) && told.err.contains(words),
            "{arguments:?}: {:?} {}{}",
            told.code,
            told.out,
            told.err
        );
    }
    let unknown = desk.run(["reissue", "--obligee", "atlantis", "--reason", "x", "--out", "out"]);
    assert!(
        unknown.code == Some(1) && unknown.err.contains("atlantis"),
        "{:?} {}",
        unknown.code,
        unknown.err
    );
    for (arguments, words) in [
        (["history", "99999-99999Z"].as_slice(), "99999-99999Z"),
        (&["batch", "show", "abcdef"], "hosho batch list"),
    ] {
        let unknown = desk.run(arguments.iter().copied().chain(["--out", "out"]));
        assert!(unknown.code == Some(1) && unknown.err.contains(words), "{}", unknown.err);
    }
    for (selection, count) in [
        (vec!["--all"], 16),
        (vec!["--guarantee", "３１０７５－００００１Ｍ"], 1),
        (vec!["--guarantee", "99999-99999Z"], 0),
        (vec!["--obligee", "hirakawa"], 2),
        (vec!["--since", "1h"], 16),
        (vec!["--pending"], 0),
    ] {
        let mut command = vec!["reissue", "--dry-run", "--json", "--out", "out"];
        command.extend(&selection);
        let told = desk.run(command);
        let told: Value =
            serde_json::from_str(&told.out).unwrap_or_else(|_| panic!("{}{}", told.out, told.err));
        assert_eq!(told["guarantees"], count, "{selection:?}");
    }
    // Nothing of that changed anything.
    let runs = desk.run(["batch", "list", "--json", "--out", "out"]);
    let none = serde_json::json!({ "items": [], "total": 0, "next": null });
    assert_eq!(serde_json::from_str::<Value>(&runs.out).unwrap(), none);
    let mut without = desk.hosho(["reissue", "--all", "--reason", "x"]);
    without.env("HOSHO__DATABASE__URL", format!("sqlite:{}", desk.path("out/hosho.sqlite").display()));
    let told = String::from_utf8(run(without).stderr).unwrap();
    assert!(told.contains("broker.url is memory"), "{told}");
}

/// A night whose changes fail: the authentication keys cannot be opened while it runs.
#[test]
fn what_went_through_after_the_end_of_a_run_counts_as_done() {
    let desk = CliEnv::new();
    assert_eq!(desk.process(&example("applications.jsonl")).code, Some(0));
    assert_eq!(desk.process(&example("changes.jsonl")).code, Some(0));
    let ring = std::fs::read(desk.path("out/hosho.keys")).unwrap();
    std::fs::create_dir(desk.path("other")).unwrap();
    assert_eq!(answer(desk.hosho(["process", "--out", "other", "/dev/null"])).code, Some(0));
    std::fs::copy(desk.path("other/hosho.keys"), desk.path("out/hosho.keys")).unwrap();
    let night = desk.run(["batch", "start", "--reason", "a trial", "--json", "--out", "out"]);
    let night: Value =
        serde_json::from_str(&night.out).unwrap_or_else(|_| panic!("{}{}", night.out, night.err));
    assert_eq!(night["state"], "complete_with_failures", "{night}");
    assert!(night["failed"].as_i64().unwrap() > 0, "{night}");
    let id = night["run"].as_str().unwrap();
    let doctor = desk.run(["doctor", "--out", "out"]);
    assert!(doctor.out.contains(&format!("hosho failed list --run {}", &id[..8])), "{}", doctor.out);

    std::fs::write(desk.path("out/hosho.keys"), ring).unwrap();
    let replayed =
        desk.run(["failed", "replay", "--run", id, "--reason", "the keys are back", "--out", "out"]);
    assert_eq!(replayed.code, Some(0), "{}{}", replayed.out, replayed.err);
    let shown = desk.run(["batch", "show", id, "--json", "--out", "out"]);
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(
        (&shown["done"], &shown["failed"], &shown["queued"]),
        (&night["total"], &0.into(), &0.into()),
        "{shown}"
    );
    let shown = desk.run(["batch", "show", id, "--out", "out"]);
    assert!(!shown.out.contains("key.unusable"), "{}", shown.out);
    let doctor = desk.run(["doctor", "--out", "out"]);
    assert!(doctor.out.contains(&format!("the last run, {}, ended", &id[..8])), "{}", doctor.out);
}

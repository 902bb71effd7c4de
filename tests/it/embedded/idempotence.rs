//! Processing the same applications again, in any form, changes nothing.

use std::{os::unix::fs::MetadataExt as _, process::Command};

use serde_json::{Value, json};

use super::{CliEnv, Transcript, answer, applications};
use crate::harness::test_env::example;

#[test]
fn changes_nothing_for_the_same_applications() {
    let env = CliEnv::new();
    let examples = example("applications.jsonl");
    let (code, first) = env.report(&examples);
    let counts = json!({"read": 10, "issued": 16, "unchanged": 0, "changes": 0, "rejected": 0, "failed": 0, "unfinished": 0, "resumed": 0});
    assert_eq!((code, &first["summary"]), (Some(0), &counts));
    let (rows, files) = (env.dump(), env.files());
    assert!(rows.lines().count() > 100 && files.len() > 36, "{} {}", rows.lines().count(), files.len());
    let database = std::fs::metadata(env.path("out/hosho.sqlite")).unwrap().ino();

    let array = env.file("applications.json", serde_json::to_string_pretty(&applications()).unwrap());
    // With byte order mark and CRLF.
    let text = std::fs::read_to_string(&examples).unwrap();
    let windows = env.file("windows.jsonl", format!("\u{feff}{}", text.replace('\n', "\r\n\r\n")));
    let (examples, array, windows) =
        (examples.to_str().unwrap(), array.to_str().unwrap(), windows.to_str().unwrap());
    for (files_given, read) in [(vec![examples], 10), (vec![examples, array], 20), (vec![windows], 10)] {
        let again =
            env.run(["process", "--out", "out", "--json"].into_iter().chain(files_given.iter().copied()));
        assert_eq!((again.code, again.err.as_str()), (Some(0), ""), "{}", again.out);
        let report: Value = serde_json::from_str(&again.out).unwrap();
        assert_eq!(
            (&report["summary"]["read"], &report["summary"]["unchanged"], &report["summary"]["issued"]),
            (&read.into(), &16.into(), &0.into())
        );
        let guarantees = report["guarantees"].as_array().unwrap();
        assert!(
            guarantees.len() == 16 && guarantees.iter().all(|one| one["result"] == "unchanged"),
            "{report:#}"
        );
        assert!(env.dump() == rows, "{files_given:?} changed the database");
        assert_eq!(env.files(), files, "{files_given:?}");
    }

    let mut piped = Command::new("sh");
    piped
        .args(["-c", "exec \"$0\" process - --json --out out <\"$1\"", env!("CARGO_BIN_EXE_hosho"), examples])
        .current_dir(&env.folder);
    let again = answer(piped);
    let report: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!(
        (again.code, &report["summary"]["unchanged"], &report["summary"]["issued"]),
        (Some(0), &16.into(), &0.into())
    );
    assert!(env.dump() == rows, "standard input changed the database");
    assert_eq!(env.files(), files);
    assert_eq!(std::fs::metadata(env.path("out/hosho.sqlite")).unwrap().ino(), database);
}

#[test]
fn rejects_other_content_with_a_used_id() {
    let env = CliEnv::new();
    let mut applications = applications();
    applications.truncate(2);
    let good = env.file("good.json", serde_json::to_string(&applications).unwrap());
    assert_eq!(env.process(&good).code, Some(0));
    let (rows, files) = (env.dump(), env.files());

    applications[0]["products"][1]["amount"] = 3_860_000.into();
    let changed = env.file("changed.json", serde_json::to_string(&applications).unwrap());
    let (code, report) = env.report(&changed);
    assert_eq!(code, Some(1), "{report:#}");
    let [rejected] = &report["rejected"].as_array().unwrap()[..] else { panic!("{report:#}") };
    assert_eq!(
        (&rejected["id"], &rejected["place"]),
        (&"2026-0001".into(), &format!("{}[0]", changed.display()).into())
    );
    assert_eq!(rejected["violations"][0]["code"], "application.id_reused");
    // The unchanged application is reported; the guarantees of the earlier content are not.
    assert_eq!(report["guarantees"].as_array().unwrap().len(), 1, "{report:#}");
    assert_eq!(
        (&report["guarantees"][0]["id"], &report["guarantees"][0]["result"]),
        (&"2026-0002".into(), &"unchanged".into())
    );
    assert!(env.dump() == rows);
    assert_eq!(env.files(), files);

    // Within one file the first application takes the id.
    let one_file = CliEnv::new();
    let both = [&applications[1], &applications[0], &applications[1]].map(ToString::to_string);
    let other = both[2].replace("2200000", "2300000").replace("2,200,000", "2,300,000");
    let twice = one_file.file("twice.jsonl", format!("{}\n{}\n{}\n", both[0], both[1], other));
    let (code, report) = one_file.report(&twice);
    assert_eq!(
        (code, &report["summary"]["issued"], &report["summary"]["rejected"]),
        (Some(1), &3.into(), &1.into()),
        "{report:#}"
    );
    assert_eq!(report["rejected"][0]["place"], format!("{}:3", twice.display()));
}

#[test]
fn rejects_a_database_without_its_key_file() {
    let env = CliEnv::new();
    let examples = example("applications.jsonl");
    assert_eq!(env.process(&examples).code, Some(0));
    let away = env.path("hosho.keys.away");
    std::fs::rename(env.path("out/hosho.keys"), &away).unwrap();
    let mut shown = Transcript::new(&env);
    assert_eq!(shown.run(&["process", examples.to_str().unwrap(), "--out", "out"]).code, Some(3));
    insta::assert_snapshot!(shown.redacted());
    assert!(!env.path("out/hosho.keys").exists());
    std::fs::rename(&away, env.path("out/hosho.keys")).unwrap();
    assert_eq!(env.process(&examples).code, Some(0));
}

//! Once is as good as twice: the same applications again, in any form, change nothing.

use std::{os::unix::fs::MetadataExt as _, process::Command};

use serde_json::Value;

use super::{CliEnv, answer, applications};
use crate::harness::test_env::example;

const NOTHING: &str = "Nothing was changed: all of it was stored before.";

#[test]
fn the_same_applications_again_change_nothing_and_it_is_said() {
    let desk = CliEnv::new();
    let examples = example("applications.jsonl");
    let first = desk.process(&examples);
    assert_eq!(first.code, Some(0), "{}{}", first.out, first.err);
    assert!(
        first.out.contains("10 applications read: 16 guarantees issued, 0 unchanged, 0 rejected, 0 failed"),
        "{}",
        first.out
    );
    assert!(!first.out.contains(NOTHING));
    let (rows, files) = (desk.dump(), desk.files());
    assert!(rows.lines().count() > 100 && files.len() > 60, "{} {}", rows.lines().count(), files.len());
    let database = std::fs::metadata(desk.path("out/hosho.sqlite")).unwrap().ino();

    let array = desk.file("applications.json", serde_json::to_string_pretty(&applications()).unwrap());
    // As spreadsheets and Windows write it.
    let text = std::fs::read_to_string(&examples).unwrap();
    let windows = desk.file("windows.jsonl", format!("\u{feff}{}", text.replace('\n', "\r\n\r\n")));
    let (examples, array, windows) =
        (examples.to_str().unwrap(), array.to_str().unwrap(), windows.to_str().unwrap());
    for (files_given, read) in [(vec![examples], 10), (vec![examples, array], 20), (vec![windows], 10)] {
        let again = desk.run(["process", "--out", "out"].into_iter().chain(files_given.iter().copied()));
        assert_eq!((again.code, again.err.as_str()), (Some(0), ""), "{}", again.out);
        let line = format!(
            "{read} applications read: 0 guarantees issued, 16 unchanged, 0 rejected, 0 failed. {NOTHING}"
        );
        assert_eq!(again.out.lines().last(), Some(line.as_str()), "{files_given:?}");
        assert_eq!(
            again.out.matches("unchanged \n").count() + again.out.matches("unchanged\n").count(),
            16,
            "{}",
            again.out
        );
        assert!(desk.dump() == rows, "{files_given:?} changed the database");
        assert_eq!(desk.files(), files, "{files_given:?}");
    }

    let mut piped = Command::new("sh");
    piped
        .args(["-c", "exec \"$0\" process - --json --out out <\"$1\"", env!("CARGO_BIN_EXE_hosho"), examples])
        .current_dir(&desk.folder);
    let again = answer(piped);
    let report: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!(
        (again.code, &report["summary"]["unchanged"], &report["summary"]["issued"]),
        (Some(0), &16.into(), &0.into())
    );
    assert!(desk.dump() == rows, "standard input changed the database");
    assert_eq!(desk.files(), files);
    assert_eq!(std::fs::metadata(desk.path("out/hosho.sqlite")).unwrap().ino(), database);
}

#[test]
fn other_content_under_a_used_id_is_refused_and_changes_nothing() {
    let desk = CliEnv::new();
    let mut applications = applications();
    applications.truncate(2);
    let good = desk.file("good.json", serde_json::to_string(&applications).unwrap());
    assert_eq!(desk.process(&good).code, Some(0));
    let (rows, files) = (desk.dump(), desk.files());

    applications[0]["products"][1]["amount"] = 3_860_000.into();
    let changed = desk.file("changed.json", serde_json::to_string(&applications).unwrap());
    let (code, report) = desk.report(&changed);
    assert_eq!(code, Some(1), "{report:#}");
    let [rejected] = &report["rejected"].as_array().unwrap()[..] else { panic!("{report:#}") };
    assert_eq!(
        (&rejected["id"], &rejected["place"]),
        (&"2026-0001".into(), &format!("{}[0]", changed.display()).into())
    );
    assert_eq!(rejected["violations"][0]["code"], "application.id_reused");
    // The neighbour, which is as before, is told as before; what the other application got is not told as if it were this one's.
    assert_eq!(report["guarantees"].as_array().unwrap().len(), 1, "{report:#}");
    assert_eq!(
        (&report["guarantees"][0]["id"], &report["guarantees"][0]["result"]),
        (&"2026-0002".into(), &"unchanged".into())
    );
    assert!(desk.dump() == rows);
    assert_eq!(desk.files(), files);
    assert!(desk.process(&changed).out.contains("application.id_reused"));

    // In one file as well, where neither was known before: the first one stands.
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
fn a_database_whose_key_file_is_gone_is_not_gone_on_with() {
    let desk = CliEnv::new();
    let examples = example("applications.jsonl");
    assert_eq!(desk.process(&examples).code, Some(0));
    let away = desk.path("hosho.keys.away");
    std::fs::rename(desk.path("out/hosho.keys"), &away).unwrap();
    let refused = desk.process(&examples);
    assert_eq!(refused.code, Some(3), "{}", refused.out);
    assert!(refused.err.contains("hosho.keys is gone") && refused.err.contains("hint: "), "{}", refused.err);
    assert!(!desk.path("out/hosho.keys").exists());
    std::fs::rename(&away, desk.path("out/hosho.keys")).unwrap();
    assert_eq!(desk.process(&examples).code, Some(0));
}

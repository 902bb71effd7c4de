//! The next run finishes an interrupted one without losses and duplicates.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use hosho_schema::{
    db::Pool,
    messages::MediumV1,
    models::{self, document::Kind, mail::State},
};

use super::{CliEnv, Transcript, applications, files_below, key_in};
use crate::harness::{
    documents::StoredDocuments,
    process::{Child, eventually, spawn},
};

const LIMIT: Duration = Duration::from_mins(3);

/// Writes `count` variants of the examples, each with its own id and works.
fn many(env: &CliEnv, count: usize) -> PathBuf {
    let examples = applications();
    let lines = (0..count).map(|number| {
        let mut application = examples[number % examples.len()].clone();
        application["id"] = format!("many-{number}").into();
        let name = format!("{}（{number}）", application["works"]["name"].as_str().unwrap());
        application["works"]["name"] = name.into();
        application.to_string() + "\n"
    });
    env.file("many.jsonl", lines.collect::<String>())
}

/// Starts `hosho process` with small batches.
fn start(env: &CliEnv, file: &Path) -> Child {
    start_with(env, file, "16")
}

/// With one mail written at a time.
fn start_with(env: &CliEnv, file: &Path, batch: &str) -> Child {
    let mut command = env.hosho(["process", file.to_str().unwrap(), "--out", "out"]);
    command.env("HOSHO__WORK__BATCH", batch).env("HOSHO__MAIL__CONNECTIONS", "1");
    spawn(command, &env.path("log"))
}

fn count(env: &CliEnv, folder: &str, end: &str) -> usize {
    files_below(&env.path(folder)).iter().filter(|path| path.to_string_lossy().ends_with(end)).count()
}

/// The number of rows of a table; 0 without a database.
fn rows(env: &CliEnv, table: &str) -> usize {
    let file = env.path("out/hosho.sqlite");
    let read = || {
        let counts =
            models::counts(&mut Pool::open(&format!("sqlite:{}", file.display()), 1).ok()?.get().ok()?)
                .ok()?;
        usize::try_from(counts.into_iter().find(|(name, _)| *name == table)?.1).ok()
    };
    if file.exists() { read().unwrap_or(0) } else { 0 }
}

/// One of each document, key and mail, and numbers without gaps.
fn assert_complete(env: &CliEnv, file: &Path) {
    let statuses = env.statuses(file);
    let mut sequences: BTreeMap<(String, String), BTreeSet<i64>> = BTreeMap::new();
    let mut documents = Vec::new();
    let (mut guarantees, mut keys, mut mails) = (0_i64, 0_i64, BTreeSet::new());
    for status in &statuses {
        assert_eq!(status.guarantees.len(), usize::try_from(status.application.lines).unwrap());
        for guarantee in &status.guarantees {
            let number = &guarantee.guarantee.number;
            guarantees += 1;
            let place = (guarantee.guarantee.branch.clone(), guarantee.guarantee.term.clone());
            assert!(
                sequences.entry(place).or_default().insert(guarantee.guarantee.sequence),
                "{number} is a duplicate"
            );
            let [revision] = &guarantee.revisions[..] else {
                panic!("{number} does not have one certificate")
            };
            assert!(revision.revision.completed_at.is_some(), "{number} is not complete");
            let electronic = guarantee.guarantee.medium == MediumV1::Electronic;
            assert_eq!(guarantee.key_minted_at.is_some(), electronic);
            keys += i64::from(electronic);
            let kinds: Vec<_> = revision.documents.iter().map(|document| document.kind).collect();
            assert_eq!(
                kinds,
                if electronic { vec![Kind::Certificate, Kind::Notice] } else { vec![Kind::Certificate] },
                "{number}"
            );
            documents.extend(revision.documents.iter().cloned());
            assert!(
                revision.mails.iter().all(|mail| mail.state == State::Accepted),
                "{number}: {:?}",
                revision.mails
            );
            mails.extend(
                revision.mails.iter().map(|mail| env.path(format!("out/mail/{}.eml", mail.message_id))),
            );
        }
    }
    for ((branch, term), sequences) in sequences {
        let last = i64::try_from(sequences.len()).unwrap();
        assert_eq!(
            sequences.into_iter().collect::<Vec<_>>(),
            (1..=last).collect::<Vec<_>>(),
            "branch {branch}, term {term}"
        );
    }
    let counts: BTreeMap<_, _> =
        models::counts(&mut env.database().get().unwrap()).unwrap().into_iter().collect();
    assert_eq!(counts["application"], i64::try_from(statuses.len()).unwrap());
    assert_eq!(
        (counts["guarantee"], counts["revision"], counts["authentication_key"]),
        (guarantees, guarantees, keys)
    );
    assert_eq!(
        (counts["document"], counts["mail"]),
        (guarantees + keys, i64::try_from(mails.len()).unwrap())
    );

    StoredDocuments::open(&env.path("out")).assert_are(&documents);
    assert_eq!(count(env, "out/certificates", ".pdf"), usize::try_from(guarantees).unwrap());
    assert_eq!(count(env, "out/notices", ".pdf"), usize::try_from(keys).unwrap());
    let files: BTreeSet<_> = files_below(&env.path("out/mail"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "eml"))
        .collect();
    assert_eq!(files, mails);
}

#[test]
fn finishes_after_kills_at_every_step_without_duplicates() {
    let env = CliEnv::new();
    let file = many(&env, 300);
    let mails = || count(&env, "out/mail", ".eml");
    // A draft exists while a mail is written; a large batch then has many mails in the state `sending`.
    let writing =
        || files_below(&env.path("out/mail")).iter().any(|path| path.to_string_lossy().contains(".draft-"));
    let moments: [(&str, &str, &dyn Fn() -> bool); 7] = [
        ("20 stored applications", "16", &|| rows(&env, "application") >= 20),
        ("40 guarantees with a number", "16", &|| rows(&env, "guarantee") >= 40),
        ("60 documents", "16", &|| rows(&env, "document") >= 60),
        ("10 mails", "16", &|| mails() >= 10),
        ("a draft among many mails", "256", &|| mails() >= 20 && writing()),
        ("400 documents", "16", &|| rows(&env, "document") >= 400),
        ("100 mails", "16", &|| mails() >= 100),
    ];
    let mut remains = Vec::new();
    for (moment, batch, is_reached) in moments {
        let mut child = start_with(&env, &file, batch);
        eventually(moment, LIMIT, || {
            let alive = child.is_alive();
            is_reached().then_some(()).or_else(|| {
                assert!(alive, "it ended before {moment}: {}", child.output());
                None
            })
        });
        child.kill9();
        for name in ["hosho.sqlite", "hosho.sqlite-wal"] {
            remains.extend(std::fs::read(env.path("out").join(name)).unwrap_or_default());
        }
    }
    assert!(count(&env, "out/mail", ".eml") < 270, "the last kill was after the end of the work");

    let (code, report) = env.report(&file);
    assert_eq!(code, Some(0), "{report:#}");
    assert!(report["summary"]["resumed"].as_u64().unwrap() > 0, "{:#}", report["summary"]);
    assert_complete(&env, &file);

    // No database of a killed process contains a key in the clear.
    for notice in files_below(&env.path("out/notices")).iter().step_by(7) {
        let key = key_in(notice);
        assert!(
            !remains.windows(key.len()).any(|window| window == key.as_bytes()),
            "the database contained the key of {}",
            notice.display()
        );
    }

    let (rows, files) = (env.dump(), env.files());
    let (code, again) = env.report(&file);
    let summary = &again["summary"];
    assert_eq!(
        (code, &summary["read"], &summary["issued"], &summary["unchanged"], &summary["resumed"]),
        (Some(0), &300.into(), &0.into(), &480.into(), &0.into())
    );
    assert!(env.dump() == rows);
    assert_eq!(env.files(), files);
}

#[test]
fn a_run_with_another_file_finishes_the_earlier() {
    let env = CliEnv::new();
    let file = many(&env, 60);
    let mut child = start(&env, &file);
    eventually("some guarantees have a number", LIMIT, || (rows(&env, "guarantee") >= 48).then_some(()));
    assert!(child.is_alive());
    child.kill9();
    let nothing = env.file("nothing.jsonl", "");
    let (code, report) = env.report(&nothing);
    assert_eq!(code, Some(0), "{report:#}");
    assert!(report["summary"]["resumed"].as_u64().unwrap() > 0, "{report:#}");
    assert_eq!(env.process(&file).code, Some(0));
    assert_complete(&env, &file);
}

#[test]
fn keeps_finished_work_after_a_signal() {
    let env = CliEnv::new();
    let file = many(&env, 120);
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let before = rows(&env, "document");
        let mut child = start(&env, &file);
        eventually("more documents", LIMIT, || (rows(&env, "document") > before + 8).then_some(()));
        child.signal(signal);
        let status = child.wait(LIMIT);
        assert_eq!(status.code(), Some(1), "{}", child.output());
    }
    insta::assert_snapshot!(std::fs::read_to_string(env.path("log")).unwrap(), @r"
    error: interrupted; finished work is kept
     hint: run the same command again to finish the rest
    error: interrupted; finished work is kept
     hint: run the same command again to finish the rest
    ");
    assert!(rows(&env, "document") < 120 * 28 / 10, "the signals were after the end of the work");
    assert_eq!(env.process(&file).code, Some(0));
    assert_complete(&env, &file);
}

#[test]
fn rejects_a_second_process_in_a_folder() {
    let env = CliEnv::new();
    let file = many(&env, 60);
    let mut first = start(&env, &file);
    eventually("a document of the first process", LIMIT, || (rows(&env, "document") > 0).then_some(()));
    first.signal(libc::SIGSTOP);
    let mut shown = Transcript::new(&env);
    assert_eq!(shown.run(&["process", "many.jsonl", "--out", "out"]).code, Some(4));
    insta::assert_snapshot!(shown.redacted());
    assert!(first.is_alive());
    first.signal(libc::SIGCONT);
    assert!(first.wait(LIMIT).success(), "{}", first.output());
    assert_complete(&env, &file);
}

#[test]
fn waits_for_a_removed_mail_folder() {
    let env = CliEnv::new();
    let file = many(&env, 30);
    let mut child = start(&env, &file);
    eventually("the mail folder", LIMIT, || {
        std::fs::rename(env.path("out/mail"), env.path("elsewhere")).ok()
    });
    eventually("a log line", LIMIT, || child.output().contains("batch held").then_some(()));
    assert!(child.is_alive());
    assert!(!child.output().contains("example.jp"), "{}", child.output());
    std::fs::rename(env.path("elsewhere"), env.path("out/mail")).unwrap();
    assert!(child.wait(LIMIT).success(), "{}", child.output());
    assert_complete(&env, &file);
}

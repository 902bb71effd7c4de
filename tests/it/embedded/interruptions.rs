//! Whatever ends a run, the next one finishes it: nothing is lost, nothing exists twice.

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

use super::{CliEnv, applications, files_below, key_in, sha256};
use crate::harness::process::{Child, eventually, spawn};

const LIMIT: Duration = Duration::from_mins(3);

/// Writes `count` applications made of the examples, each with an id and works of its own.
fn many(desk: &CliEnv, count: usize) -> PathBuf {
    let examples = applications();
    let lines = (0..count).map(|number| {
        let mut application = examples[number % examples.len()].clone();
        application["id"] = format!("many-{number}").into();
        let name = format!("{}（{number}）", application["works"]["name"].as_str().unwrap());
        application["works"]["name"] = name.into();
        application.to_string() + "\n"
    });
    desk.file("many.jsonl", lines.collect::<String>())
}

/// Starts `hosho process`; small batches give more moments to die at.
fn start(desk: &CliEnv, file: &Path) -> Child {
    start_with(desk, file, "16")
}

/// The same with batches of another size, and one mail written at a time.
fn start_with(desk: &CliEnv, file: &Path, batch: &str) -> Child {
    let mut command = desk.hosho(["process", file.to_str().unwrap(), "--out", "out"]);
    command.env("HOSHO__WORK__BATCH", batch).env("HOSHO__MAIL__CONNECTIONS", "1");
    spawn(command, &desk.path("log"))
}

fn count(desk: &CliEnv, folder: &str, end: &str) -> usize {
    files_below(&desk.path(folder)).iter().filter(|path| path.to_string_lossy().ends_with(end)).count()
}

/// Rows of a table; none while there is no database yet.
fn rows(desk: &CliEnv, table: &str) -> usize {
    let file = desk.path("out/hosho.sqlite");
    let read = || {
        let counts =
            models::counts(&mut Pool::open(&format!("sqlite:{}", file.display()), 1).ok()?.get().ok()?)
                .ok()?;
        usize::try_from(counts.into_iter().find(|(name, _)| *name == table)?.1).ok()
    };
    if file.exists() { read().unwrap_or(0) } else { 0 }
}

/// Exactly one of everything, and the numbers without gaps.
fn assert_complete(desk: &CliEnv, file: &Path) {
    let statuses = desk.statuses(file);
    let mut sequences: BTreeMap<(String, String), BTreeSet<i64>> = BTreeMap::new();
    let mut documents: BTreeMap<PathBuf, String> = BTreeMap::new();
    let (mut guarantees, mut keys, mut mails) = (0_i64, 0_i64, BTreeSet::new());
    for status in &statuses {
        assert_eq!(status.guarantees.len(), usize::try_from(status.application.lines).unwrap());
        for guarantee in &status.guarantees {
            let number = &guarantee.guarantee.number;
            guarantees += 1;
            let place = (guarantee.guarantee.branch.clone(), guarantee.guarantee.term.clone());
            assert!(
                sequences.entry(place).or_default().insert(guarantee.guarantee.sequence),
                "{number} was given twice"
            );
            let [revision] = &guarantee.revisions[..] else { panic!("{number} has not one certificate") };
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
            documents.extend(revision.documents.iter().map(|document| {
                (desk.path("out/documents").join(&document.location), document.sha256.clone())
            }));
            assert!(
                revision.mails.iter().all(|mail| mail.state == State::Accepted),
                "{number}: {:?}",
                revision.mails
            );
            mails.extend(
                revision.mails.iter().map(|mail| desk.path(format!("out/mail/{}.eml", mail.message_id))),
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
        models::counts(&mut desk.database().get().unwrap()).unwrap().into_iter().collect();
    assert_eq!(counts["application"], i64::try_from(statuses.len()).unwrap());
    assert_eq!(
        (counts["guarantee"], counts["revision"], counts["authentication_key"]),
        (guarantees, guarantees, keys)
    );
    assert_eq!(
        (counts["document"], counts["mail"]),
        (guarantees + keys, i64::try_from(mails.len()).unwrap())
    );

    // What is drawn again is the same bytes, so a document that was stored before its row was written is that of the row.
    let stored = files_below(&desk.path("out/documents"));
    let pdfs: BTreeSet<_> =
        stored.into_iter().filter(|path| path.extension().is_some_and(|end| end == "pdf")).collect();
    assert_eq!(pdfs, documents.keys().cloned().collect());
    for (path, hash) in documents {
        assert_eq!(sha256(&std::fs::read(&path).unwrap()), hash, "{}", path.display());
    }
    assert_eq!(count(desk, "out/certificates", ".pdf"), usize::try_from(guarantees).unwrap());
    assert_eq!(count(desk, "out/notices", ".pdf"), usize::try_from(keys).unwrap());
    let letters: BTreeSet<_> = files_below(&desk.path("out/mail"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "eml"))
        .collect();
    assert_eq!(letters, mails);
}

#[test]
fn killed_at_any_moment_it_finishes_later_and_nothing_exists_twice() {
    let desk = CliEnv::new();
    let file = many(&desk, 300);
    let mails = || count(&desk, "out/mail", ".eml");
    // A draft is there while a mail is being written: a large batch then has many more in the state `sending`.
    let writing =
        || files_below(&desk.path("out/mail")).iter().any(|path| path.to_string_lossy().contains(".draft-"));
    let moments: [(&str, &str, &dyn Fn() -> bool); 7] = [
        ("20 applications are stored", "16", &|| rows(&desk, "application") >= 20),
        ("40 guarantees have a number", "16", &|| rows(&desk, "guarantee") >= 40),
        ("60 documents are there", "16", &|| count(&desk, "out/documents", ".pdf") >= 60),
        ("10 mails are there", "16", &|| mails() >= 10),
        ("a mail of many is written", "256", &|| mails() >= 20 && writing()),
        ("400 documents are there", "16", &|| count(&desk, "out/documents", ".pdf") >= 400),
        ("100 mails are there", "16", &|| mails() >= 100),
    ];
    let mut remains = Vec::new();
    for (moment, batch, is_reached) in moments {
        let mut child = start_with(&desk, &file, batch);
        eventually(moment, LIMIT, || {
            let alive = child.is_alive();
            is_reached().then_some(()).or_else(|| {
                assert!(alive, "it ended before {moment}: {}", child.output());
                None
            })
        });
        child.kill9();
        for name in ["hosho.sqlite", "hosho.sqlite-wal"] {
            remains.extend(std::fs::read(desk.path("out").join(name)).unwrap_or_default());
        }
    }
    assert!(count(&desk, "out/mail", ".eml") < 270, "the last kill came after the work was done");

    let answer = desk.process(&file);
    assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""), "{}", answer.out);
    assert!(answer.out.contains("messages left by an earlier run were processed"), "{}", answer.out);
    assert_complete(&desk, &file);

    // A dead process leaves its database as it was in that moment: there too no key stood in the clear.
    for notice in files_below(&desk.path("out/notices")).iter().step_by(7) {
        let key = key_in(notice);
        assert!(
            !remains.windows(key.len()).any(|window| window == key.as_bytes()),
            "the key of {} stood in the database",
            notice.display()
        );
    }

    let (rows, files) = (desk.dump(), desk.files());
    let again = desk.process(&file);
    assert_eq!(again.code, Some(0));
    assert!(again.out.contains("300 applications read: 0 guarantees issued, 480 unchanged"), "{}", again.out);
    assert!(desk.dump() == rows);
    assert_eq!(desk.files(), files);
}

#[test]
fn what_was_left_is_finished_by_a_run_with_another_file() {
    let desk = CliEnv::new();
    let file = many(&desk, 60);
    let mut child = start(&desk, &file);
    eventually("some guarantees have a number", LIMIT, || (rows(&desk, "guarantee") >= 48).then_some(()));
    assert!(child.is_alive());
    child.kill9();
    let nothing = desk.file("nothing.jsonl", "");
    let (code, report) = desk.report(&nothing);
    assert_eq!(code, Some(0), "{report:#}");
    assert!(report["summary"]["resumed"].as_u64().unwrap() > 0, "{report:#}");
    assert_eq!(desk.process(&file).code, Some(0));
    assert_complete(&desk, &file);
}

#[test]
fn ctrl_c_is_answered_clearly_and_the_rest_is_done_later() {
    let desk = CliEnv::new();
    let file = many(&desk, 120);
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let before = count(&desk, "out/documents", ".pdf");
        let mut child = start(&desk, &file);
        eventually("more documents", LIMIT, || {
            (count(&desk, "out/documents", ".pdf") > before + 8).then_some(())
        });
        child.signal(signal);
        let status = child.wait(LIMIT);
        assert_eq!(status.code(), Some(1), "{}", child.output());
    }
    let told = std::fs::read_to_string(desk.path("log")).unwrap();
    let words =
        "error: interrupted; finished work is kept\n hint: run the same command again to finish the rest\n";
    assert_eq!(told, words.repeat(2));
    assert!(
        count(&desk, "out/documents", ".pdf") < 120 * 28 / 10,
        "the signals came after the work was done"
    );
    assert_eq!(desk.process(&file).code, Some(0));
    assert_complete(&desk, &file);
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let desk = CliEnv::new();
    let file = many(&desk, 60);
    let mut first = start(&desk, &file);
    eventually("the first is at work", LIMIT, || (count(&desk, "out/documents", ".pdf") > 0).then_some(()));
    first.signal(libc::SIGSTOP);
    let second = desk.process(&file);
    assert_eq!((second.code, second.out.as_str()), (Some(4), ""));
    assert_eq!(
        second.err,
        "error: another hosho process works in out\n hint: wait for it to end, or choose another --out\n"
    );
    assert!(first.is_alive());
    first.signal(libc::SIGCONT);
    assert!(first.wait(LIMIT).success(), "{}", first.output());
    assert_complete(&desk, &file);
}

#[test]
fn a_folder_that_goes_away_is_waited_for_and_it_is_said() {
    let desk = CliEnv::new();
    let file = many(&desk, 30);
    let mut child = start(&desk, &file);
    eventually("the mail folder", LIMIT, || {
        std::fs::rename(desk.path("out/mail"), desk.path("elsewhere")).ok()
    });
    eventually("a word about it", LIMIT, || child.output().contains("batch held").then_some(()));
    assert!(child.is_alive());
    assert!(!child.output().contains("example.jp"), "{}", child.output());
    std::fs::rename(desk.path("elsewhere"), desk.path("out/mail")).unwrap();
    assert!(child.wait(LIMIT).success(), "{}", child.output());
    assert_complete(&desk, &file);
}

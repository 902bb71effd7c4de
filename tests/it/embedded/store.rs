//! `hosho documents`: export, list, move and reclaim.

use std::{
    fs::{File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use hosho::clock::Clock;
use hosho_schema::models::document::{Document, Kind};
use serde_json::Value;

use super::{Answer, CliEnv, Transcript, alter, answer, files_below, sha256};
use crate::harness::{
    documents::StoredDocuments,
    evidence::{application, opened_keys},
    process::{eventually, run, spawn},
    s3::{self, S3Server},
    secrets::Needles,
    test_env::example,
};

fn processed() -> CliEnv {
    let env = CliEnv::new();
    assert_eq!(env.process(&example("applications.jsonl")).code, Some(0));
    env
}

fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.out).unwrap_or_else(|error| panic!("{error}: {}{}", answer.out, answer.err))
}

fn documents(env: &CliEnv) -> Vec<Document> {
    documents_of(env, &example("applications.jsonl"))
}

fn documents_of(env: &CliEnv, applications: &Path) -> Vec<Document> {
    let statuses = env.statuses(applications);
    let guarantees = statuses.into_iter().flat_map(|status| status.guarantees);
    guarantees.flat_map(|found| found.revisions).flat_map(|revision| revision.documents).collect()
}

/// A command on the folder, or with other settings for its documents.
fn with(env: &CliEnv, settings: &[(&str, String)], arguments: &[&str]) -> Command {
    let mut command = env.hosho(arguments);
    if settings.is_empty() {
        command.args(["--out", "out"]);
    } else {
        let file = |name: &str| env.path("out").join(name).display().to_string();
        command.env("HOSHO__DATABASE__URL", format!("sqlite:{}", file("hosho.sqlite")));
        command.env("HOSHO__KEYS__FILE", file("hosho.keys")).envs(settings.iter().cloned());
    }
    command
}

/// Every document verified, and identical.
fn assert_same(env: &CliEnv, settings: &[(&str, String)]) {
    let report = json(&answer(with(env, settings, &["documents", "verify", "--all", "--json"])));
    assert_eq!(report["counts"], serde_json::json!({ "same": documents(env).len() }), "{report}");
}

#[test]
fn exports_a_notice_with_an_audit_entry() {
    let env = processed();
    let notice = files_below(&env.path("out/notices")).into_iter().next().unwrap();
    let number = notice.file_stem().unwrap().to_str().unwrap();
    let mut shown = Transcript::new(&env);
    let export = ["documents", "export", number, "--kind", "notice", "--out", "out", "--actor", "hanako"];
    assert_eq!(shown.run(&export).code, Some(2), "a reason is required");
    let export = [&export[..], &["--reason", "ticket 4711"]].concat();
    assert_eq!(shown.run(&export).code, Some(0));
    let file = env.path(format!("{number}_notice.pdf"));
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(&notice).unwrap());
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let dry_run = shown.run(&[&export[..], &["--dry-run", "--to", "dry.pdf"]].concat());
    assert!(dry_run.code == Some(0) && !env.path("dry.pdf").exists());
    // It replaces no file.
    assert_eq!(shown.run(&export).code, Some(2));
    for (arguments, code) in [(&["31074-99999M"][..], 1), (&[number, "--kind", "cancellation"], 1)] {
        let export = [&["documents", "export"], arguments, &["--reason", "x", "--out", "out"]].concat();
        assert_eq!(shown.run(&export).code, Some(code));
    }
    let audit = json(&env.run(["audit", "--action", "documents.export", "--json", "--out", "out"]));
    let entries = audit["items"].as_array().unwrap();
    assert!(entries.iter().all(|entry| entry["reason"] == "ticket 4711" && entry["actor"] == "hanako"));
    assert_eq!(entries[0]["after"]["document"], "notice", "{audit}");
    insta::assert_snapshot!(shown.redacted());
}

#[test]
fn lists_documents_without_database_and_keys() {
    let env = processed();
    let documents = documents(&env);
    for name in ["hosho.sqlite", "hosho.keys"] {
        std::fs::remove_file(env.path("out").join(name)).unwrap();
    }
    let mut list = env.hosho(["documents", "list", "--json"]);
    list.env("HOSHO__DOCUMENTS__URL", format!("file:{}", env.path("out/documents").display()));
    let listed = json(&answer(list));
    let listed = listed["documents"].as_array().unwrap();
    assert_eq!(listed.len(), documents.len());
    for document in &documents {
        let found = listed.iter().find(|one| one["sha256"] == document.sha256.as_str());
        let found = found.unwrap_or_else(|| panic!("{} is not listed", document.location()));
        assert_eq!(found["kind"], document.kind.as_text());
        assert_eq!(found["position"], document.position);
    }
}

fn as_files(env: &CliEnv) {
    as_files_of(env, &example("applications.jsonl"));
}

/// As the version before segments stored them: a file each, notices in clear.
fn as_files_of(env: &CliEnv, applications: &Path) {
    let store = StoredDocuments::open(&env.path("out"));
    let mut sql = String::new();
    for document in documents_of(env, applications) {
        let (bytes, kind) = (store.read(&document), document.kind.as_text());
        let (hash, length) = (sha256(&bytes), bytes.len());
        let name = format!("{kind}/{}/{hash}.pdf", &hash[..2]);
        let file = env.path("out/documents").join(&name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, &bytes).unwrap();
        let statement = format!(
            "update document set segment = '{name}', position = 0, length = {length}, size = {length},
             sha256 = '{hash}' where revision_id = '{}' and kind = '{kind}';\n",
            document.revision_id
        );
        sql.push_str(&statement);
    }
    alter(env, &sql);
    std::fs::remove_dir_all(env.path("out/documents/segments")).unwrap();
}

#[test]
fn moves_files_to_segments_and_to_a_bucket() {
    let env = processed();
    let count = documents(&env).len();
    as_files(&env);
    assert_same(&env, &[]);
    let run = |settings: &[(&str, String)], arguments: &[&str]| {
        let answer = answer(with(&env, settings, &[&["documents", "move", "--json"], arguments].concat()));
        assert_eq!(answer.code, Some(0), "{}{}", answer.out, answer.err);
        json(&answer)
    };
    let moved = |moved: usize, present: usize| serde_json::json!({ "moved": moved, "present": present, "failed": [] });
    assert_eq!(run(&[], &["--dry-run"]), moved(count, 0));
    assert_eq!(run(&[], &["--reason", "segments"]), moved(count, 0));
    assert_eq!(run(&[], &["--reason", "again"]), moved(0, count));
    for kind in [Kind::Certificate, Kind::Notice] {
        std::fs::remove_dir_all(env.path("out/documents").join(kind.as_text())).unwrap();
    }
    assert_same(&env, &[]);

    let server = S3Server::start(s3::Kind::S3sFs);
    let bucket = |previous: bool| {
        let mut settings = vec![
            ("HOSHO__DOCUMENTS__URL", server.url("book")),
            ("HOSHO__DOCUMENTS__ACCESS_KEY_ID", s3::KEY_ID.to_owned()),
            ("HOSHO__DOCUMENTS__SECRET_ACCESS_KEY", s3::SECRET.to_owned()),
        ];
        let folder = format!("file:{}", env.path("out/documents").display());
        settings.extend(previous.then_some(("HOSHO__DOCUMENTS__PREVIOUS_URL", folder)));
        settings
    };
    // Before and after the move, each is read from where it is.
    assert_same(&env, &bucket(true));
    assert_eq!(run(&bucket(true), &["--reason", "a bucket"]), moved(count, 0));
    std::fs::remove_dir_all(env.path("out/documents")).unwrap();
    assert_same(&env, &bucket(false));
}

/// It is killed while it reads the last document: a pipe without a writer.
#[test]
fn move_may_be_killed_and_repeated() {
    let env = CliEnv::new();
    let applications: Vec<String> =
        (0..50).map(|number| application(&format!("M-{number}")).to_string()).collect();
    let file = env.file("applications.jsonl", applications.join("\n"));
    assert_eq!(env.process(&file).code, Some(0));
    as_files_of(&env, &file);
    let last = files_below(&env.path("out/documents/notice")).into_iter().next_back().unwrap();
    let bytes = std::fs::read(&last).unwrap();
    std::fs::remove_file(&last).unwrap();
    let mut pipe = Command::new("mkfifo");
    pipe.arg(&last);
    assert!(run(pipe).status.success());
    let arguments = ["documents", "move", "--reason", "x", "--json"];
    let in_segments = || {
        let documents = documents_of(&env, &file).into_iter();
        documents.filter(|document| document.segment.starts_with("segments/")).count()
    };
    let mut killed = spawn(with(&env, &[], &arguments), &env.path("killed.log"));
    eventually("the first documents", Duration::from_mins(1), || (in_segments() > 0).then_some(()));
    killed.kill9();
    let before = in_segments();
    assert_eq!(before, 64, "one portion");
    std::fs::remove_file(&last).unwrap();
    std::fs::write(&last, bytes).unwrap();
    let mut both = ["a.log", "b.log"].map(|log| spawn(with(&env, &[], &arguments), &env.path(log)));
    for child in &mut both {
        assert!(child.wait(Duration::from_mins(1)).success(), "{}", child.output());
    }
    let moved = ["a.log", "b.log"].map(|log| {
        let report: Value = serde_json::from_slice(&std::fs::read(env.path(log)).unwrap()).unwrap();
        let [moved, present] = ["moved", "present"].map(|key| report[key].as_u64().unwrap());
        assert_eq!(moved + present, 100, "{report}");
        moved
    });
    assert_eq!(moved[0] + moved[1], 36, "each is moved once");
    for kind in [Kind::Certificate, Kind::Notice] {
        std::fs::remove_dir_all(env.path("out/documents").join(kind.as_text())).unwrap();
    }
    let report = json(&answer(with(&env, &[], &["documents", "verify", "--all", "--json"])));
    assert_eq!(report["counts"], serde_json::json!({ "same": 100 }), "{report}");
}

/// An unmounted disk, or a mistyped name.
#[test]
fn another_store_has_no_missing_documents() {
    let env = processed();
    let another = |name: &str| [("HOSHO__DOCUMENTS__URL", format!("file:{}", env.path(name).display()))];
    std::fs::create_dir(env.path("empty")).unwrap();
    for name in ["documentz", "empty"] {
        let notice = files_below(&env.path("out/notices")).into_iter().next().unwrap();
        let number = notice.file_stem().unwrap().to_str().unwrap();
        for arguments in [
            &["verify", "--all"][..],
            &["export", number, "--reason", "x"],
            &["move", "--reason", "x"],
            &["move", "--reason", "x", "--dry-run"],
            &["reclaim", "--reason", "x"],
        ] {
            let refused = answer(with(&env, &another(name), &[&["documents"], arguments].concat()));
            assert_eq!(refused.code, Some(4), "{arguments:?}: {}{}", refused.out, refused.err);
        }
    }
    assert!(!env.path("documentz").exists());
    assert_eq!(files_below(&env.path("empty")).len(), 0);
    // The store before is checked too.
    let server = S3Server::start(s3::Kind::S3sFs);
    let settings = [
        ("HOSHO__DOCUMENTS__URL", server.url("book")),
        ("HOSHO__DOCUMENTS__ACCESS_KEY_ID", s3::KEY_ID.to_owned()),
        ("HOSHO__DOCUMENTS__SECRET_ACCESS_KEY", s3::SECRET.to_owned()),
        ("HOSHO__DOCUMENTS__PREVIOUS_URL", format!("file:{}", env.path("empty").display())),
    ];
    let refused = answer(with(&env, &settings, &["documents", "verify", "--all"]));
    assert_eq!(refused.code, Some(4), "{}{}", refused.out, refused.err);
}

/// In database, store, mails and logs.
#[test]
fn nothing_has_500_keys_in_clear() {
    let env = CliEnv::new();
    let applications: Vec<String> =
        (0..500).map(|number| application(&format!("K-{number}")).to_string()).collect();
    let file = env.file("applications.jsonl", applications.join("\n"));
    let mut process = env.hosho(["process", "--verbose", "--out", "out"]);
    process.arg(&file).env("HOSHO__LOG__LEVEL", "trace").env("HOSHO__LOG__FORMAT", "json");
    let answer = answer(process);
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    let statuses = env.statuses(&file);
    let keys = opened_keys(&mut env.database().get().unwrap(), &env.path("out/hosho.keys"), &statuses);
    assert_eq!(keys.len(), 500);
    let needles = Needles::new(keys.clone().into_values());
    let out = env.path("out");
    for (name, text) in [("log", &answer.err), ("output", &answer.out), ("dump", &env.dump())] {
        std::fs::write(out.join(name), text).unwrap();
    }
    assert_eq!(needles.files_with(&out), Vec::<String>::new());
    std::fs::write(out.join("planted"), format!("x{}", keys.values().next().unwrap())).unwrap();
    assert_eq!(needles.files_with(&out).len(), 1);
    // In a PDF a key is a list of glyphs: the notices are sealed.
    StoredDocuments::open(&out).assert_sealed();
}

#[test]
fn reclaims_what_no_row_names() {
    let env = processed();
    let reclaim = |arguments: &[&str]| {
        let command = ["documents", "reclaim", "--json", "--reason", "x", "--out", "out"];
        json(&env.run(command.iter().chain(arguments)))
    };
    // The worker of this copy was killed before its rows were committed.
    let segment = files_below(&env.path("out/documents/segments")).into_iter().next().unwrap();
    let copy = segment.with_file_name("0123456789abcdef-00001.seg");
    let whole = std::fs::read(&segment).unwrap();
    std::fs::write(&copy, &whole[..whole.len() - 60]).unwrap();
    std::fs::set_permissions(&copy, Permissions::from_mode(0o600)).unwrap();
    let nothing = reclaim(&[]);
    assert_eq!((&nothing["documents"], &nothing["segments"]), (&0.into(), &0.into()), "it is too new");

    let old = SystemTime::from(Clock::system().now().and_utc()) - Duration::from_hours(25);
    for file in [&segment, &copy] {
        File::open(file).unwrap().set_modified(old).unwrap();
    }
    let count = documents(&env).len();
    let found = reclaim(&["--dry-run"]);
    // The cut has left one document less.
    assert_eq!((&found["documents"], &found["segments"]), (&(count - 1).into(), &1.into()), "{found}");
    assert!(copy.exists());
    let done = reclaim(&[]);
    assert_eq!(
        (&done["documents"], &done["segments"], &done["moved"]),
        (&(count - 1).into(), &1.into(), &0.into())
    );
    assert!(!copy.exists() && segment.exists());
    // Two at once: what one has removed is nothing to the other.
    for _ in 0..4 {
        std::fs::write(&copy, &whole).unwrap();
        File::open(&copy).unwrap().set_modified(old).unwrap();
        let command = || env.hosho(["documents", "reclaim", "--reason", "x", "--out", "out"]);
        let mut both = ["a.log", "b.log"].map(|log| spawn(command(), &env.path(log)));
        for child in &mut both {
            assert!(child.wait(Duration::from_mins(1)).success(), "{}", child.output());
        }
        assert!(!copy.exists() && segment.exists());
    }
    assert_same(&env, &[]);

    // Most of one segment is not named any more: the rest is stored again, and the segment goes.
    std::fs::write(&copy, &whole).unwrap();
    alter(
        &env,
        "update document set segment = substr(segment, 1, 19) || '/0123456789abcdef-00001.seg' where kind = 'notice'",
    );
    let age = || {
        let files = files_below(&env.path("out/documents/segments"));
        for file in &files {
            File::open(file).unwrap().set_modified(old).unwrap();
        }
        files.len()
    };
    assert_eq!(age(), 2);
    let done = reclaim(&[]);
    let moved = usize::try_from(done["moved"].as_u64().unwrap()).unwrap();
    assert!(moved > 0 && moved < count && done["segments"] == 0, "{done}");
    // Readers, and copies of the database, may name the old places: it stays for a day.
    for file in files_below(&env.path("out/documents/segments")) {
        if file == segment || file == copy {
            File::open(&file).unwrap().set_modified(old).unwrap();
        }
    }
    assert_eq!(reclaim(&[])["segments"], 0);
    age();
    assert_eq!(reclaim(&[])["segments"], 1);
    assert_same(&env, &[]);

    // Of two copies the rows name the damaged one: the other stays.
    let named = files_below(&env.path("out/documents/segments")).into_iter().next().unwrap();
    std::fs::copy(&named, &copy).unwrap();
    let mut damaged = std::fs::read(&named).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::set_permissions(&named, Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&named, &damaged).unwrap();
    age();
    let kept = reclaim(&[]);
    assert!(kept["unknown"].as_u64().unwrap() > 0 && kept["segments"] == 0 && copy.exists(), "{kept}");
    damaged[middle] ^= 1;
    std::fs::write(&named, &damaged).unwrap();
    age();
    assert_eq!(reclaim(&[])["segments"], 1);
    assert_same(&env, &[]);

    // The database is an older copy: nothing is removed.
    age();
    let files = files_below(&env.path("out/documents/segments"));
    alter(&env, "delete from document");
    let refused = reclaim(&[]);
    assert_eq!((&refused["documents"], &refused["segments"]), (&0.into(), &0.into()), "{refused}");
    assert!(refused["unknown"].as_u64().unwrap() >= count as u64, "{refused}");
    assert_eq!(files_below(&env.path("out/documents/segments")), files);
}

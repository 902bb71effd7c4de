//! Dead letters of a folder: the same commands, and no server.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::{Answer, CliEnv, applications, files_below};

fn count(desk: &CliEnv, folder: &str, end: &str) -> usize {
    files_below(&desk.path(folder)).iter().filter(|path| path.to_string_lossy().ends_with(end)).count()
}

fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.out).unwrap_or_else(|error| panic!("{error}: {}{}", answer.out, answer.err))
}

#[test]
fn a_broken_line_is_mended_in_its_folder_and_replayed_there() {
    let desk = CliEnv::new();
    let whole = applications()[5].to_string();
    let file = desk.file("half.jsonl", format!("{}\n{}\n", applications()[1], &whole[..40]));
    let (code, report) = desk.report(&file);
    assert_eq!((code, report["summary"]["failed"].as_u64()), (Some(1), Some(1)), "{report:#}");
    let id = report["failed"][0]["message"].as_str().unwrap().to_owned();
    let failed = |arguments: &[&str]| desk.run([&["failed"], arguments, &["--out", "out"]].concat());
    assert_eq!(json(&failed(&["list", "--json"]))["items"][0]["id"], id.as_str());
    assert!(failed(&["groups"]).out.contains("message.undecodable"));

    desk.file("whole.json", &whole);
    let editor = desk.file("editor.sh", "#!/bin/sh\ncp whole.json \"$1\"\n");
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut edit = desk
        .hosho(["failed", "edit", &id, "--reason", "cut off", "--actor", "hanako", "--out", "out", "--json"]);
    edit.env("EDITOR", &editor).env_remove("VISUAL");
    let edited = json(&super::answer(edit));
    let message = edited["message"].as_str().unwrap();
    let before = count(&desk, "out/documents", ".pdf");
    let told = failed(&["replay", message, "--reason", "mended"]);
    assert_eq!(told.code, Some(0), "{}{}", told.out, told.err);
    assert!(told.out.contains("complete; 1 of 1 resolved"), "{}", told.out);
    // Not its own stage alone: what follows from it is worked off as well.
    assert!(count(&desk, "out/documents", ".pdf") > before);
    let status = desk.run(["status", applications()[5]["id"].as_str().unwrap(), "--out", "out"]);
    assert!(status.out.contains("complete"), "{}", status.out);

    let again = failed(&["replay", message, "--reason", "again"]);
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("nothing to replay"), "{}", again.err);
    let (rows, files) = (count(&desk, "out/documents", ".pdf"), count(&desk, "out/mail", ".eml"));
    assert_eq!(failed(&["replay", message, "--reason", "again", "--force"]).code, Some(0));
    assert_eq!((count(&desk, "out/documents", ".pdf"), count(&desk, "out/mail", ".eml")), (rows, files));

    let audit = json(&desk.run(["audit", "--out", "out", "--subject", &id, "--json"]))["items"].take();
    assert_eq!(
        (audit[0]["action"].as_str(), audit[0]["actor"].as_str()),
        (Some("failed.edit"), Some("hanako"))
    );
    let doctor = desk.run(["doctor", "--out", "out"]);
    assert_eq!(doctor.code, Some(0), "{}", doctor.out);
    assert!(desk.run(["replay", "list", "--out", "out"]).out.contains("complete"));
}

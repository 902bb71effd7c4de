//! Operators of a folder: what they ask wrongly is refused, what they see is written down, what they wrote is not lost.

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command, sync::OnceLock};

use hosho_schema::{
    db::Pool,
    models::mail::{self, State},
};
use serde_json::Value;

use super::{Answer, CliEnv, answer, applications};
use crate::harness::process::{at_exit, run};

const WHY: &[&str] = &["--reason", "a test", "--actor", "hanako"];

/// A desk with one application done and its mail sent, and three failed messages: two that are cut off, and one of the wrong shape,
/// the last.
fn troubled() -> (CliEnv, Vec<String>) {
    static MADE: OnceLock<(CliEnv, Vec<String>)> = OnceLock::new();
    let (made, ids) = MADE.get_or_init(|| {
        let desk = CliEnv::new();
        let folder = desk.folder.clone();
        at_exit(move || drop(CliEnv { folder }));
        let ids = make_trouble(&desk);
        (desk, ids)
    });
    let desk = CliEnv::new();
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(made.path("out")).arg(&desk.folder);
    assert!(run(copy).status.success());
    (desk, ids.clone())
}

fn make_trouble(desk: &CliEnv) -> Vec<String> {
    let applications = applications();
    let whole = applications[5].to_string();
    let mailed = applications
        .iter()
        .find(|one| one["notification"]["wanted"] == true && one["products"][0]["medium"] == "electronic");
    let lines = [
        mailed.unwrap().to_string(),
        whole[..40].to_owned(),
        whole[..50].to_owned(),
        r#"{"branch": "31"}"#.to_owned(),
    ];
    let file = desk.file("half.jsonl", lines.join("\n") + "\n");
    let (code, report) = desk.report(&file);
    assert_eq!((code, report["summary"]["failed"].as_u64()), (Some(1), Some(3)), "{report:#}");
    let rows = desk.items(&["failed", "list"]);
    let (mut shaped, mut cut): (Vec<&Value>, Vec<&Value>) =
        rows.as_array().unwrap().iter().partition(|row| !row["text"].as_str().unwrap().contains("not JSON"));
    cut.append(&mut shaped);
    let ids: Vec<String> = cut.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 3, "{rows:#}");
    ids
}

impl CliEnv {
    /// Runs a command on the folder.
    fn on_out(&self, arguments: &[&str]) -> Answer {
        self.run([arguments, &["--out", "out"]].concat())
    }

    /// The JSON that a command on the folder answers with; it must succeed.
    fn json(&self, arguments: &[&str]) -> Value {
        let answer = self.on_out(&[arguments, &["--json"]].concat());
        assert_eq!(answer.code, Some(0), "{arguments:?}: {}{}", answer.out, answer.err);
        serde_json::from_str(&answer.out)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", answer.out))
    }

    /// The items of the JSON page that a command on the folder answers with.
    fn items(&self, arguments: &[&str]) -> Value {
        self.json(arguments)["items"].take()
    }

    /// A program that is put in the place of an editor.
    fn editor(&self, script: &str) -> PathBuf {
        let editor = self.file("editor.sh", format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
        editor
    }

    /// `hosho failed edit` with an editor.
    fn edit(&self, id: &str, editor: &std::path::Path, arguments: &[&str]) -> Answer {
        let mut command = self.hosho([&["failed", "edit", id, "--out", "out"], arguments].concat());
        command.env("EDITOR", editor).env_remove("VISUAL").env("TMPDIR", &self.folder);
        answer(command)
    }

    /// The actions written down about a subject, the latest first.
    fn audited(&self, subject: &str) -> Vec<String> {
        let entries = self.items(&["audit", "--subject", subject]);
        entries.as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
    }

    /// Makes a mail one that the mail server refused.
    fn refuse_mail(&self, id: &str) {
        let pool = Pool::open(&format!("sqlite:{}", self.path("out/hosho.sqlite").display()), 1).unwrap();
        let now = "2026-12-01T00:00:00".parse().unwrap();
        assert!(
            mail::resolve(&mut pool.get().unwrap(), id, State::Accepted, State::Rejected, "550", now)
                .unwrap()
        );
    }

    fn states(&self) -> Vec<String> {
        let rows = self.items(&["failed", "list", "--all"]);
        let mut states: Vec<String> =
            rows.as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap().to_owned()).collect();
        states.sort_unstable();
        states
    }
}

#[test]
fn what_an_editor_shows_is_written_down() {
    let (desk, ids) = troubled();
    let editor = std::path::Path::new("true");
    let refused = desk.edit(&ids[0], editor, &["--dry-run"]);
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("--reason is missing"), "{}", refused.err);
    assert_eq!(desk.audited(&ids[0]), Vec::<String>::new());
    for arguments in [&[&["--dry-run"], WHY].concat(), &WHY.to_vec()] {
        let looked = desk.edit(&ids[0], editor, arguments);
        assert_eq!(looked.code, Some(1), "{}", looked.err);
        assert!(looked.err.contains("the same as before"), "{}", looked.err);
    }
    assert_eq!(desk.audited(&ids[0]), ["failed.reveal", "failed.reveal"]);
    // Whoever sets single values is shown nothing.
    assert_eq!(desk.edit(&ids[2], editor, &["--set", "branch=\"47\"", "--dry-run"]).code, Some(1));
    assert_eq!(desk.audited(&ids[2]), Vec::<String>::new());
}

#[test]
fn an_edit_that_is_refused_is_refused_dry_too_and_its_text_is_kept() {
    let (desk, ids) = troubled();
    desk.file("wrong.json", r#"{"source": "portal", "filiale": "架空"}"#);
    let editor = desk.editor("cp wrong.json \"$1\"");
    for arguments in [&[&["--dry-run"], WHY].concat(), &WHY.to_vec()] {
        let refused = desk.edit(&ids[0], &editor, arguments);
        assert_eq!(refused.code, Some(1), "{}", refused.err);
        assert!(
            refused.err.contains("is not an application.v1: ")
                && refused.err.contains("filiale: no such field"),
            "{}",
            refused.err
        );
        let kept = refused
            .err
            .split("kept in ")
            .nth(1)
            .and_then(|rest| rest.split(',').next())
            .expect("it says where the text is");
        assert!(std::fs::read_to_string(kept).unwrap().contains("架空"));
        std::fs::remove_file(kept).unwrap();
    }
    let dry = desk.on_out(&["failed", "edit", &ids[2], "--set", "branch=\"47\"", "--dry-run"]);
    assert_eq!(dry.code, Some(1), "{}", dry.out);
    assert!(dry.err.contains("$.source: missing") || dry.err.contains(".source: missing"), "{}", dry.err);
    // Given up: no editor is opened in vain.
    desk.on_out(&[&["failed", "discard", &ids[0]], WHY].concat());
    let editor = desk.editor("touch opened");
    let refused = desk.edit(&ids[0], &editor, WHY);
    assert_eq!((refused.code, desk.path("opened").exists()), (Some(1), false), "{}", refused.err);
    assert!(refused.err.contains("the message is discarded"), "{}", refused.err);
}

/// Runs its arguments on a terminal of their own and presses Enter whenever they ask for it.
const TERMINAL: &str = "
import os, pty, sys
child, screen = pty.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
shown, answered = b'', 0
while True:
    try:
        some = os.read(screen, 4096)
    except OSError:
        break
    if not some:
        break
    shown += some
    if shown.count(b'Enter opens the editor again') > answered:
        answered += 1
        os.write(screen, b'\\n')
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
";

#[test]
fn on_a_terminal_the_editor_is_opened_again_with_the_problem() {
    let (desk, ids) = troubled();
    desk.file("wrong.json", "{}");
    desk.file("right.json", applications()[5].to_string());
    let editor =
        desk.editor("if [ -e once ]; then cp right.json \"$1\"; else touch once; cp wrong.json \"$1\"; fi");
    let hosho = desk.hosho([&["failed", "edit", &ids[0], "--out", "out"], WHY].concat());
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", TERMINAL]).arg(hosho.get_program()).args(hosho.get_args()).current_dir(&desk.folder);
    command.env("EDITOR", editor).env_remove("VISUAL");
    let output = run(command);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("source: missing") && shown.contains("The message is now"), "{shown}");
    assert_eq!(desk.states(), ["discarded", "failed", "failed", "failed"]);
}

#[test]
fn nothing_and_patterns_mean_no_message() {
    let (desk, ids) = troubled();
    desk.on_out(&[&["failed", "discard", &ids[0]], WHY].concat());
    let before = desk.states();
    for arguments in [
        &["failed", "discard", ""][..],
        &["failed", "discard", "%"],
        &["failed", "discard", "--text", ""],
        &["failed", "discard", "--group", ""],
        &["failed", "discard", "--stage", ""],
        &["failed", "discard", "--code", " "],
        &["failed", "discard", "--run", "_"],
        &["failed", "restore", "%"],
        &["failed", "replay", ""],
        &["failed", "export", "%"],
        &["failed", "show", ""],
        &["failed", "edit", "%", "--set", "branch=\"47\""],
        &["failed", "note", "", "text"],
        &["replay", "status", ""],
        &["replay", "abort", "%"],
        &["replay", "resume", ""],
        &["mail", "resolve", "", "--outcome", "accepted"],
        &["mail", "resolve", "%", "--outcome", "rejected"],
        &["audit", "--subject", ""],
        &["audit", "--subject", "%"],
        &["audit", "--operation", "_"],
        &["audit", "--action", ""],
        &["audit", "--by", ""],
        &["batch", "show", ""],
        &["batch", "cancel", "%"],
    ] {
        let takes_reason =
            !matches!(arguments[..2], ["replay", "status"] | ["batch", "show"]) && arguments[0] != "audit";
        let answer = desk.on_out(&[arguments, if takes_reason { WHY } else { &[] }].concat());
        assert_eq!(answer.code, Some(2), "{arguments:?}: {}{}", answer.out, answer.err);
    }
    assert_eq!(desk.states(), before);
}

#[test]
fn a_new_field_of_an_edit_came_from_nothing() {
    let (desk, ids) = troubled();
    let mut application = applications()[5].clone();
    application["contact"] = serde_json::json!({});
    desk.file("right.json", application.to_string());
    let editor = desk.editor("cp right.json \"$1\"");
    assert_eq!(desk.edit(&ids[0], &editor, WHY).code, Some(0));
    let edited =
        desk.items(&["failed", "list", "--code", "message.edited"])[0]["id"].as_str().unwrap().to_owned();
    let told = desk.on_out(&["failed", "edit", &edited, "--set", "contact.remarks=急ぎ", "--dry-run"]);
    assert_eq!(told.out, "  $.contact.remarks: nothing → \"***\"\nNothing was changed.\n", "{}", told.err);
}

#[test]
fn what_was_named_and_left_out_is_told() {
    let (desk, ids) = troubled();
    let discard = |ids: &[&str], arguments: &[&str]| {
        desk.on_out(&[&["failed", "discard"], ids, arguments, WHY].concat())
    };
    assert_eq!(discard(&[&ids[0]], &[]).code, Some(0));
    for arguments in [&["--dry-run"][..], &[]] {
        let told = discard(&[&ids[0], &ids[1]], arguments);
        assert!(told.out.starts_with("1 message: discard."), "{}", told.out);
        assert!(
            told.err.contains(&format!("1 message left out, it is discarded: {}", &ids[0][..8])),
            "{}",
            told.err
        );
    }
    let json =
        desk.json(&[&["failed", "discard", &ids[0], &ids[2], "--code", "message.undecodable"], WHY].concat());
    assert_eq!(
        (json["messages"][0].as_str(), json["left_out"][0]["message"].as_str()),
        (Some(&*ids[2]), Some(&*ids[0]))
    );
    // Conditions are joined by "and".
    let json = desk.json(&["failed", "restore", &ids[0], "--code", "mail.refused", "--dry-run"]);
    assert_eq!(json["left_out"][0]["why"], "the other conditions do not match");
    let replay = desk.on_out(&[&["failed", "replay", &ids[0]], WHY].concat());
    assert!(replay.err.contains("left out, it is discarded"), "{}", replay.err);
}

#[test]
fn what_was_edited_is_not_taken_up_again_beside_its_edit() {
    let (desk, ids) = troubled();
    desk.file("right.json", applications()[5].to_string());
    let editor = desk.editor("cp right.json \"$1\"");
    assert_eq!(desk.edit(&ids[0], &editor, WHY).code, Some(0));
    desk.on_out(&[&["failed", "discard", &ids[1]], WHY].concat());
    for arguments in [&["--dry-run"][..], &[]] {
        let told = desk.on_out(&[&["failed", "restore", "--since", "1d"], arguments, WHY].concat());
        assert!(told.out.starts_with("1 message: restore."), "{}{}", told.out, told.err);
        assert!(told.err.contains("1 message left out, an edited message superseded it"), "{}", told.err);
    }
    assert_eq!(desk.states(), ["discarded", "failed", "failed", "failed"]);
}

#[test]
fn a_typing_error_is_no_good_news() {
    let (desk, _) = troubled();
    for command in ["groups", "list"] {
        let told = desk.on_out(&["failed", command, "--stage", "isue"]);
        assert_eq!(told.out, "No failed message matches; 3 open in all.\n");
        assert!(told.err.contains("there is no stage \"isue\""), "{}", told.err);
        let told = desk.on_out(&["failed", command, "--code", "mail.refsued"]);
        assert!(told.err.contains("there is no code \"mail.refsued\""), "{}", told.err);
        let told = desk.on_out(&["failed", command, "--stage", "issue", "--code", "mail.refused"]);
        assert_eq!(
            (told.out.as_str(), told.err.as_str()),
            ("No failed message matches; 3 open in all.\n", "")
        );
    }
    desk.on_out(&[&["failed", "discard", "--since", "1d"], WHY].concat());
    assert_eq!(desk.on_out(&["failed", "groups"]).out, "No failed messages.\n");
}

#[test]
fn every_command_answers_in_json() {
    let (desk, ids) = troubled();
    let group = desk.items(&["failed", "groups", "--limit", "1"])[0]["group"].as_str().unwrap().to_owned();
    desk.file("right.json", applications()[5].to_string());
    let editor = desk.editor("cp right.json \"$1\"");
    assert_eq!(desk.edit(&ids[0], &editor, WHY).code, Some(0));
    let edited =
        desk.items(&["failed", "list", "--code", "message.edited"])[0]["id"].as_str().unwrap().to_owned();
    let dry = desk.json(&["failed", "edit", &edited, "--set", "id=\"OTHER\"", "--dry-run"]);
    assert_eq!((dry["message"].is_null(), dry["changes"][0]["path"].as_str()), (true, Some("$.id")));
    let detached = desk.json(&[&["failed", "replay", &edited, "--detach"], WHY].concat());
    let replay = detached["id"].as_str().unwrap();
    let number = desk.items(&["mail", "list"])[0]["number"].as_str().unwrap().to_owned();
    desk.refuse_mail(desk.items(&["mail", "list"])[0]["id"].as_str().unwrap());
    for arguments in [
        &["failed", "groups", "--page", "1"][..],
        &["failed", "list"],
        &["failed", "show", &ids[1]],
        &["failed", "note", &group, "known", "--dry-run"],
        &["failed", "note", &group, "known"],
        &["failed", "replay", &edited, "--force", "--dry-run"],
        &["failed", "discard", &ids[1], "--dry-run"],
        &["failed", "discard", &ids[1]],
        &["failed", "restore", &ids[1]],
        &["failed", "export", "--dry-run"],
        &["replay", "list", "--limit", "1", "--page", "1"],
        &["replay", "status", replay],
        &["replay", "pause", replay, "--dry-run"],
        &["replay", "resume", replay, "--dry-run"],
        &["replay", "abort", replay, "--dry-run"],
        &["replay", "pause", replay],
        &["replay", "abort", replay],
        &["mail", "unknown"],
        &["mail", "list"],
        &["mail", "resolve", &number, "--outcome", "resend", "--dry-run"],
        &["mail", "resolve", &number, "--outcome", "resend"],
        &["batch", "list", "--limit", "1"],
        &["batch", "start", "--dry-run"],
        &["audit"],
        &["doctor"],
    ] {
        let takes_reason = matches!(
            arguments[1..].first(),
            Some(&("note" | "discard" | "restore" | "pause" | "abort" | "resume" | "resolve"))
        );
        let answer = desk.on_out(&[arguments, if takes_reason { WHY } else { &[] }, &["--json"]].concat());
        let is_json = serde_json::from_str::<Value>(&answer.out).is_ok();
        assert!(is_json, "{arguments:?} is not JSON: {}{}", answer.out, answer.err);
    }
    let exported = desk.on_out(&["failed", "export", "--json"]);
    assert!(
        exported.out.lines().all(|line| serde_json::from_str::<Value>(line).is_ok())
            && exported.code == Some(0)
    );
    for stage in ["pause", "resume"] {
        for dry in [&["--dry-run"][..], &[]] {
            let mut command = desk.hosho([&["stages", stage, "issue", "--json"], dry, WHY].concat());
            command.env("HOSHO__DATABASE__URL", "sqlite:out/hosho.sqlite");
            let told: Value = serde_json::from_str(&answer(command).out).unwrap();
            assert_eq!(
                (told["changed"].as_bool(), told["operation"].is_null()),
                (Some(true), !dry.is_empty()),
                "{told}"
            );
        }
    }
}

#[test]
fn a_replay_that_is_over_is_not_steered_in_a_dry_run_either() {
    let (desk, ids) = troubled();
    let replay = desk.json(&[&["failed", "replay", &ids[0], "--detach"], WHY].concat());
    let id = replay["id"].as_str().unwrap();
    for wish in ["pause", "abort"] {
        assert_eq!(desk.on_out(&["replay", wish, id, "--dry-run"]).code, Some(0));
    }
    assert_eq!(desk.on_out(&["replay", "resume", &id[..8]]).code, Some(2), "a reason is asked for");
    assert_eq!(desk.on_out(&[&["replay", "abort", &id[..8]], WHY].concat()).code, Some(0));
    for wish in ["pause", "abort", "resume"] {
        let told = desk.on_out(&["replay", wish, id, "--dry-run"]);
        assert_eq!(told.code, Some(1), "{wish}: {}", told.out);
        assert!(!told.out.contains("Nothing was changed"), "{wish}: {}", told.out);
    }
}

#[test]
fn whoever_goes_on_with_a_replay_that_nobody_drives_is_written_down() {
    let (desk, ids) = troubled();
    let replay = desk.json(&[&["failed", "replay", &ids[0], "--detach"], WHY].concat());
    let id = replay["id"].as_str().unwrap();
    let told = desk.on_out(&[&["replay", "resume", id], WHY].concat());
    assert_eq!(told.code, Some(1), "it is as broken as before: {}{}", told.out, told.err);
    let entries = desk.items(&["audit", "--subject", id, "--action", "replay.resume"]);
    assert_eq!(
        (entries[0]["actor"].as_str(), entries[0]["before"].as_str()),
        (Some("hanako"), Some("running, without a driver"))
    );
}

#[test]
fn the_audit_is_found_by_beginnings_and_names_the_operation() {
    let (desk, ids) = troubled();
    let told = desk.on_out(&[&["failed", "discard", &ids[0]], WHY].concat());
    let operation = told.out.trim().rsplit(' ').next().unwrap().to_owned();
    for arguments in [["--subject", &ids[0][..8]], ["--operation", &operation[..8]]] {
        let told = desk.on_out(&[&["audit"][..], &arguments].concat());
        assert!(
            told.out.contains("failed.discard")
                && told.out.contains(&format!("operation {operation}: failed → discarded")),
            "{}",
            told.out
        );
    }
    assert_eq!(desk.on_out(&["audit", "--subject", "ffffffff"]).out, "No entries.\n");
}

#[test]
fn a_mail_that_cannot_be_sent_stays_as_it_is() {
    let (desk, _) = troubled();
    let listed = desk.items(&["mail", "list"]);
    let id = listed[0]["id"].as_str().unwrap();
    desk.refuse_mail(id);
    let resend = |broker: &str| {
        let mut command = desk.hosho([&["mail", "resolve", id, "--outcome", "resend"], WHY].concat());
        command.env("HOSHO__DATABASE__URL", "sqlite:out/hosho.sqlite").env("HOSHO__BROKER__URL", broker);
        answer(command)
    };
    for (broker, code, says) in
        [("memory:", 2, "broker.url is memory"), ("amqp://127.0.0.1:1", 4, "nothing was changed")]
    {
        let refused = resend(broker);
        assert_eq!(refused.code, Some(code), "{}", refused.err);
        assert!(refused.err.contains(says), "{}", refused.err);
        assert_eq!(desk.items(&["mail", "list"])[0]["state"], "rejected");
        assert_eq!(desk.audited(id), Vec::<String>::new());
    }
    // In its folder it can.
    let sent = desk.on_out(&[&["mail", "resolve", id, "--outcome", "resend"], WHY].concat());
    assert_eq!(sent.code, Some(0), "{}", sent.err);
    assert_eq!(desk.items(&["mail", "list"])[0]["state"], "accepted");
}

#[test]
fn the_message_says_what_does_not_fit_it() {
    let (desk, ids) = troubled();
    let shown = desk.on_out(&["failed", "show", &ids[2]]);
    assert!(
        shown.out.contains("what does not fit\n") && shown.out.contains("source: missing"),
        "{}",
        shown.out
    );
    assert!(!desk.on_out(&["failed", "show", &ids[0]]).out.contains("what does not fit"), "its text tells");
    assert!(shown.out.contains("1 counted, 1 dead letter)"), "{}", shown.out);
    let dry = desk.on_out(&["failed", "show", &ids[2], "--reveal", "--dry-run"]);
    assert!(dry.err.contains("nothing is revealed with --dry-run"), "{}", dry.err);
}

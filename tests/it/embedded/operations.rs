//! Failed messages, replays, mails and their audit entries, without a server.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use hosho_schema::{
    db::Pool,
    models::mail::{self, State},
};
use serde_json::Value;

use super::{Answer, CliEnv, Transcript, answer, applications};
use crate::harness::{
    process::{at_exit, run},
    redact::redacted,
};

const WHY: &[&str] = &["--reason", "a test", "--actor", "hanako"];

/// One application with its mail, and three failed messages.
///
/// Two are cut off, the last has the wrong shape.
fn failed_messages() -> (CliEnv, Vec<String>) {
    static MADE: OnceLock<(CliEnv, Vec<String>)> = OnceLock::new();
    let (made, ids) = MADE.get_or_init(|| {
        let env = CliEnv::new();
        let folder = env.folder.clone();
        at_exit(move || drop(CliEnv { folder }));
        let ids = fail_messages(&env);
        (env, ids)
    });
    let env = CliEnv::new();
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(made.path("out")).arg(&env.folder);
    assert!(run(copy).status.success());
    (env, ids.clone())
}

fn fail_messages(env: &CliEnv) -> Vec<String> {
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
    let file = env.file("half.jsonl", lines.join("\n") + "\n");
    let (code, report) = env.report(&file);
    assert_eq!((code, report["summary"]["failed"].as_u64()), (Some(1), Some(3)), "{report:#}");
    let id_of = |line: usize| {
        let place = format!("{}:{line}", file.display());
        let failed = report["failed"].as_array().unwrap().iter().find(|failed| failed["what"] == *place);
        failed.unwrap()["message"].as_str().unwrap().to_owned()
    };
    [2, 3, 4].map(id_of).to_vec()
}

impl CliEnv {
    /// Runs a command on the folder `out`.
    fn on_out(&self, arguments: &[&str]) -> Answer {
        self.run([arguments, &["--out", "out"]].concat())
    }

    /// The JSON of a command on the folder. Panics unless it succeeds.
    fn json(&self, arguments: &[&str]) -> Value {
        let answer = self.on_out(&[arguments, &["--json"]].concat());
        assert_eq!(answer.code, Some(0), "{arguments:?}: {}{}", answer.out, answer.err);
        serde_json::from_str(&answer.out)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", answer.out))
    }

    /// The items of a JSON page.
    fn items(&self, arguments: &[&str]) -> Value {
        self.json(arguments)["items"].take()
    }

    /// A script for `$EDITOR`.
    fn editor(&self, script: &str) -> PathBuf {
        let editor = self.file("editor.sh", format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
        editor
    }

    /// `hosho failed edit` with an editor.
    fn edit(&self, id: &str, editor: &Path, arguments: &[&str]) -> Answer {
        answer(self.edit_command(id, editor, arguments))
    }

    fn edit_command(&self, id: &str, editor: &Path, arguments: &[&str]) -> Command {
        let mut command = self.hosho([&["failed", "edit", id, "--out", "out"], arguments].concat());
        command.env("EDITOR", editor).env_remove("VISUAL").env("TMPDIR", &self.folder);
        command
    }

    /// The actions of the audit entries about a subject, the latest first.
    fn audited(&self, subject: &str) -> Vec<String> {
        let entries = self.items(&["audit", "--subject", subject]);
        entries.as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
    }

    /// Sets a mail to rejected by the mail server.
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
fn audits_each_message_shown_in_an_editor() {
    let (env, ids) = failed_messages();
    let mut texts = Transcript::new(&env);
    let editor = Path::new("true");
    let without_reason = texts.add("EDITOR=true ", env.edit_command(&ids[0], editor, &["--dry-run"]));
    assert_eq!(without_reason.code, Some(2));
    assert_eq!(env.audited(&ids[0]), Vec::<String>::new());
    for arguments in [&[&["--dry-run"], WHY].concat(), &WHY.to_vec()] {
        assert_eq!(texts.add("EDITOR=true ", env.edit_command(&ids[0], editor, arguments)).code, Some(1));
    }
    assert_eq!(env.audited(&ids[0]), ["failed.reveal", "failed.reveal"]);
    // --set shows nothing.
    assert_eq!(env.edit(&ids[2], editor, &["--set", "branch=\"47\"", "--dry-run"]).code, Some(1));
    assert_eq!(env.audited(&ids[2]), Vec::<String>::new());
    insta::assert_snapshot!(texts.redacted());
}

#[test]
fn editor_gets_no_secret() {
    let (env, ids) = failed_messages();
    let editor = env.editor("env > seen");
    let mut command = env.edit_command(&ids[0], &editor, WHY);
    for name in ["HOSHO__MAIL__PASSWORD", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "TOKEN"] {
        command.env(name, "hunter2");
    }
    command.env("HOSHO__MAIL__USER", "u").env("LC_TIME", "C");
    answer(command);
    let seen = std::fs::read_to_string(env.path("seen")).unwrap();
    assert!(!seen.contains("hunter2") && seen.contains("PATH=") && seen.contains("LC_TIME=C"), "{seen}");
}

#[test]
fn keeps_the_text_of_a_rejected_edit() {
    let (env, ids) = failed_messages();
    let mut texts = Transcript::new(&env);
    env.file("wrong.json", r#"{"source": "portal", "filiale": "架空"}"#);
    let editor = env.editor("cp wrong.json \"$1\"");
    for arguments in [&[&["--dry-run"], WHY].concat(), &WHY.to_vec()] {
        let rejected = texts.add("EDITOR=… ", env.edit_command(&ids[0], &editor, arguments));
        assert_eq!(rejected.code, Some(1), "{}", rejected.err);
        let kept = super::files_below(&env.folder)
            .into_iter()
            .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("hosho-edit-"))
            .expect("a kept file");
        assert!(rejected.err.contains(kept.to_str().unwrap()), "{}", rejected.err);
        assert!(std::fs::read_to_string(&kept).unwrap().contains("架空"));
        texts.text = texts.text.replace(kept.to_str().unwrap(), "FILE");
        std::fs::remove_file(kept).unwrap();
    }
    let set = ["failed", "edit", &ids[2], "--set", "branch=\"47\"", "--dry-run", "--out", "out"];
    assert_eq!(texts.run(&set).code, Some(1));
    // No editor opens for a discarded message.
    env.on_out(&[&["failed", "discard", &ids[0]], WHY].concat());
    let editor = env.editor("touch opened");
    let rejected = texts.add("EDITOR=… ", env.edit_command(&ids[0], &editor, WHY));
    assert_eq!((rejected.code, env.path("opened").exists()), (Some(1), false), "{}", rejected.err);
    insta::assert_snapshot!(texts.redacted());
}

/// Runs its arguments on a terminal and presses Enter at each prompt.
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
fn opens_the_editor_again_on_a_terminal() {
    let (env, ids) = failed_messages();
    env.file("wrong.json", "{}");
    env.file("right.json", applications()[5].to_string());
    let editor =
        env.editor("if [ -e once ]; then cp right.json \"$1\"; else touch once; cp wrong.json \"$1\"; fi");
    let hosho = env.hosho([&["failed", "edit", &ids[0], "--out", "out"], WHY].concat());
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", TERMINAL]).arg(hosho.get_program()).args(hosho.get_args()).current_dir(&env.folder);
    command.env("EDITOR", editor).env_remove("VISUAL").env("COLUMNS", "250");
    let output = run(command);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}");
    let kept = shown.lines().find_map(|line| line.split_once("Ctrl-C keeps the text in ")).unwrap().1.trim();
    insta::assert_snapshot!(redacted(&shown.replace(kept, "FILE"), &env.folder));
    assert_eq!(env.states(), ["discarded", "failed", "failed", "failed"]);
}

#[test]
fn rejects_empty_and_pattern_selections() {
    let (env, ids) = failed_messages();
    env.on_out(&[&["failed", "discard", &ids[0]], WHY].concat());
    let before = env.states();
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
        let answer = env.on_out(&[arguments, if takes_reason { WHY } else { &[] }].concat());
        assert_eq!(answer.code, Some(2), "{arguments:?}: {}{}", answer.out, answer.err);
    }
    assert_eq!(env.states(), before);
}

#[test]
fn edits_a_new_field_from_nothing() {
    let (env, ids) = failed_messages();
    let mut application = applications()[5].clone();
    application["contact"] = serde_json::json!({});
    env.file("right.json", application.to_string());
    let editor = env.editor("cp right.json \"$1\"");
    assert_eq!(env.edit(&ids[0], &editor, WHY).code, Some(0));
    let edited =
        env.items(&["failed", "list", "--code", "message.edited"])[0]["id"].as_str().unwrap().to_owned();
    let edit = ["failed", "edit", &edited, "--set", "contact.remarks=急ぎ", "--dry-run"];
    let json = env.json(&edit);
    let change = serde_json::json!({"path": "$.contact.remarks", "before": null, "after": "***"});
    assert_eq!((&json["message"], &json["changes"]), (&Value::Null, &serde_json::json!([change])));
    let mut texts = Transcript::new(&env);
    texts.run(&[&edit[..], &["--out", "out"]].concat());
    insta::assert_snapshot!(texts.redacted());
}

#[test]
fn reports_messages_left_out_of_a_selection() {
    let (env, ids) = failed_messages();
    assert_eq!(env.on_out(&[&["failed", "discard", &ids[0]], WHY].concat()).code, Some(0));
    let mut texts = Transcript::new(&env);
    for arguments in [&["--dry-run"][..], &[]] {
        texts.run(&[&["failed", "discard", &ids[0], &ids[1], "--out", "out"], arguments, WHY].concat());
    }
    let json =
        env.json(&[&["failed", "discard", &ids[0], &ids[2], "--code", "message.undecodable"], WHY].concat());
    assert_eq!(
        (json["messages"][0].as_str(), json["left_out"][0]["message"].as_str()),
        (Some(&*ids[2]), Some(&*ids[0]))
    );
    // Conditions are joined by "and".
    let json = env.json(&["failed", "restore", &ids[0], "--code", "mail.refused", "--dry-run"]);
    assert_eq!(json["left_out"][0]["why"], "the other conditions do not match");
    texts.run(&[&["failed", "replay", &ids[0], "--out", "out"], WHY].concat());
    insta::assert_snapshot!(texts.redacted());
}

#[test]
fn restores_no_message_superseded_by_its_edit() {
    let (env, ids) = failed_messages();
    env.file("right.json", applications()[5].to_string());
    let editor = env.editor("cp right.json \"$1\"");
    assert_eq!(env.edit(&ids[0], &editor, WHY).code, Some(0));
    env.on_out(&[&["failed", "discard", &ids[1]], WHY].concat());
    for arguments in [&["--dry-run"][..], &[]] {
        let json = env.json(&[&["failed", "restore", "--since", "1d"], arguments, WHY].concat());
        assert_eq!(json["messages"], serde_json::json!([ids[1]]));
        let left = serde_json::json!([{"message": ids[0], "why": "an edited message superseded it"}]);
        assert_eq!(json["left_out"], left);
    }
    assert_eq!(env.states(), ["discarded", "failed", "failed", "failed"]);
}

#[test]
fn warns_of_unknown_stages_and_codes() {
    let (env, _) = failed_messages();
    let mut texts = Transcript::new(&env);
    for command in ["groups", "list"] {
        for conditions in [
            &["--stage", "isue"][..],
            &["--code", "mail.refsued"],
            &["--stage", "issue", "--code", "mail.refused"],
        ] {
            texts.run(&[&["failed", command, "--out", "out"], conditions].concat());
        }
    }
    env.on_out(&[&["failed", "discard", "--since", "1d"], WHY].concat());
    texts.run(&["failed", "groups", "--out", "out"]);
    insta::assert_snapshot!(texts.redacted());
}

#[test]
fn pages_continue_where_the_last_one_ended() {
    let (env, ids) = failed_messages();
    let id = |row: &Value| row.get("id").or(row.get("group")).or(row.get("operation")).unwrap().clone();
    let rows = |page: &Value| page["items"].as_array().unwrap().iter().map(id).collect::<Vec<_>>();
    for id in &ids[..2] {
        assert_eq!(env.on_out(&[&["failed", "discard", id], WHY].concat()).code, Some(0));
    }
    for list in [&["failed", "list", "--all"][..], &["failed", "groups", "--all"], &["audit"]] {
        let all = env.json(list);
        assert!(all["next"].is_null() && rows(&all).len() > 1, "{all:#}");
        let mut page = env.json(&[list, &["--limit", "1"]].concat());
        let mut seen = rows(&page);
        while let Some(next) = page["next"].as_str() {
            page = env.json(&[list, &["--limit", "1", "--after", next]].concat());
            assert_eq!(page["total"], all["total"]);
            seen.extend(rows(&page));
        }
        assert_eq!(seen, rows(&all), "{list:?}");
    }
    // A row that leaves the list shifts nothing.
    let page = env.json(&["failed", "list", "--state", "discarded", "--limit", "1"]);
    let [first, second] = [&ids[0], &ids[1]].map(|id| Value::from(id.as_str()));
    let (shown, other) = if rows(&page) == [first.clone()] { (first, second) } else { (second, first) };
    assert_eq!(env.on_out(&[&["failed", "restore", shown.as_str().unwrap()], WHY].concat()).code, Some(0));
    let next = page["next"].as_str().unwrap();
    let page = env.json(&["failed", "list", "--state", "discarded", "--limit", "1", "--after", next]);
    assert_eq!((rows(&page), &page["total"]), (vec![other], &1.into()));
    let mut texts = Transcript::new(&env);
    texts.run(&["failed", "groups", "--all", "--limit", "1", "--out", "out"]);
    texts.run(&["failed", "list", "--after", "1.z", "--out", "out"]);
    texts.run(&["failed", "list", "--after", "2", "--out", "out"]);
    insta::assert_snapshot!(texts.redacted());
}

#[test]
fn every_command_prints_json() {
    let (env, ids) = failed_messages();
    let group = env.items(&["failed", "groups", "--limit", "1"])[0]["group"].as_str().unwrap().to_owned();
    env.file("right.json", applications()[5].to_string());
    let editor = env.editor("cp right.json \"$1\"");
    assert_eq!(env.edit(&ids[0], &editor, WHY).code, Some(0));
    let edited =
        env.items(&["failed", "list", "--code", "message.edited"])[0]["id"].as_str().unwrap().to_owned();
    let dry = env.json(&["failed", "edit", &edited, "--set", "id=\"OTHER\"", "--dry-run"]);
    assert_eq!((dry["message"].is_null(), dry["changes"][0]["path"].as_str()), (true, Some("$.id")));
    let detached = env.json(&[&["failed", "replay", &edited, "--detach"], WHY].concat());
    let replay = detached["id"].as_str().unwrap();
    let number = env.items(&["mail", "list"])[0]["number"].as_str().unwrap().to_owned();
    env.refuse_mail(env.items(&["mail", "list"])[0]["id"].as_str().unwrap());
    for arguments in [
        &["failed", "groups", "--limit", "1"][..],
        &["failed", "list"],
        &["failed", "show", &ids[1]],
        &["failed", "note", &group, "known", "--dry-run"],
        &["failed", "note", &group, "known"],
        &["failed", "replay", &edited, "--force", "--dry-run"],
        &["failed", "discard", &ids[1], "--dry-run"],
        &["failed", "discard", &ids[1]],
        &["failed", "restore", &ids[1]],
        &["failed", "export", "--dry-run"],
        &["replay", "list", "--limit", "1"],
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
        let answer = env.on_out(&[arguments, if takes_reason { WHY } else { &[] }, &["--json"]].concat());
        let is_json = serde_json::from_str::<Value>(&answer.out).is_ok();
        assert!(is_json, "{arguments:?} is not JSON: {}{}", answer.out, answer.err);
    }
    let exported = env.on_out(&["failed", "export", "--json"]);
    assert!(
        exported.out.lines().all(|line| serde_json::from_str::<Value>(line).is_ok())
            && exported.code == Some(0)
    );
    let database = ("DATABASE__URL", "sqlite:out/hosho.sqlite");
    for stage in ["pause", "resume"] {
        for dry in [&["--dry-run"][..], &[]] {
            let mut command = env.hosho([&["stages", stage, "issue", "--json"], dry, WHY].concat());
            command.env(format!("HOSHO__{}", database.0), database.1);
            let json: Value = serde_json::from_str(&answer(command).out).unwrap();
            assert_eq!(
                (json["changed"].as_bool(), json["operation"].is_null()),
                (Some(true), !dry.is_empty()),
                "{json}"
            );
        }
    }
    let mut texts = Transcript::new(&env);
    for arguments in
        [&["pause", "issue", "--dry-run"][..], &["pause", "issue"], &["pause", "issue"], &["resume", "issue"]]
    {
        texts.with(&[database], &[&["stages"], arguments, WHY].concat());
    }
    insta::assert_snapshot!(texts.redacted());
}

#[test]
fn rejects_actions_on_an_ended_replay() {
    let (env, ids) = failed_messages();
    let replay = env.json(&[&["failed", "replay", &ids[0], "--detach"], WHY].concat());
    let id = replay["id"].as_str().unwrap();
    for action in ["pause", "abort"] {
        assert_eq!(env.on_out(&["replay", action, id, "--dry-run"]).code, Some(0));
    }
    assert_eq!(env.on_out(&["replay", "resume", &id[..8]]).code, Some(2), "a reason is required");
    assert_eq!(env.on_out(&[&["replay", "abort", &id[..8]], WHY].concat()).code, Some(0));
    for action in ["pause", "abort", "resume"] {
        let rejected = env.on_out(&["replay", action, id, "--dry-run", "--json"]);
        assert_eq!(rejected.code, Some(1), "{action}: {}", rejected.out);
        let json: Value = serde_json::from_str(&rejected.out).unwrap();
        assert_eq!(json["error"]["code"], "conflict", "{action}: {json}");
    }
}

#[test]
fn audits_who_resumes_a_replay_without_a_driver() {
    let (env, ids) = failed_messages();
    let replay = env.json(&[&["failed", "replay", &ids[0], "--detach"], WHY].concat());
    let id = replay["id"].as_str().unwrap();
    let resumed = env.on_out(&[&["replay", "resume", id], WHY].concat());
    assert_eq!(resumed.code, Some(1), "the message fails again: {}{}", resumed.out, resumed.err);
    let entries = env.items(&["audit", "--subject", id, "--action", "replay.resume"]);
    assert_eq!(
        (entries[0]["actor"].as_str(), entries[0]["before"].as_str()),
        (Some("hanako"), Some("running, without a driver"))
    );
}

#[test]
fn finds_audit_entries_by_short_identifiers() {
    let (env, ids) = failed_messages();
    let discarded = env.json(&[&["failed", "discard", &ids[0]], WHY].concat());
    let operation = discarded["operation"].as_str().unwrap();
    let mut texts = Transcript::new(&env);
    for (name, id) in [("--subject", &ids[0][..8]), ("--operation", &operation[..8])] {
        let entries = env.items(&["audit", name, id]);
        assert_eq!(
            (&entries[0]["action"], &entries[0]["operation"]),
            (&"failed.discard".into(), &operation.into())
        );
        assert_eq!((&entries[0]["before"], &entries[0]["after"]), (&"failed".into(), &"discarded".into()));
        texts.run(&["audit", name, id, "--out", "out"]);
    }
    texts.run(&["audit", "--subject", "ffffffff", "--out", "out"]);
    insta::assert_snapshot!(texts.redacted());
}

#[test]
fn keeps_the_state_of_an_unsent_mail() {
    let (env, _) = failed_messages();
    let listed = env.items(&["mail", "list"]);
    let id = listed[0]["id"].as_str().unwrap();
    env.refuse_mail(id);
    let mut texts = Transcript::new(&env);
    for (broker, code) in [("memory:", 2), ("amqp://127.0.0.1:1", 4)] {
        let settings = [("DATABASE__URL", "sqlite:out/hosho.sqlite"), ("BROKER__URL", broker)];
        let resend = [&["mail", "resolve", id, "--outcome", "resend"], WHY].concat();
        assert_eq!(texts.with(&settings, &resend).code, Some(code));
        assert_eq!(env.items(&["mail", "list"])[0]["state"], "rejected");
        assert_eq!(env.audited(id), Vec::<String>::new());
    }
    insta::assert_snapshot!(texts.redacted());
    // With --out it is sent at once.
    let sent = env.on_out(&[&["mail", "resolve", id, "--outcome", "resend"], WHY].concat());
    assert_eq!(sent.code, Some(0), "{}", sent.err);
    assert_eq!(env.items(&["mail", "list"])[0]["state"], "accepted");
}

#[test]
fn shows_messages_without_their_personal_data() {
    let (env, ids) = failed_messages();
    let misfits = |id: &str| env.json(&["failed", "show", id])["misfits"].as_array().unwrap().len();
    assert!(misfits(&ids[2]) > 0 && misfits(&ids[0]) == 0);
    let mut texts = Transcript::new(&env);
    texts.run(&["failed", "show", &ids[0], "--out", "out"]);
    texts.run(&["failed", "show", &ids[2], "--reveal", "--dry-run", "--out", "out"]);
    insta::assert_snapshot!(texts.redacted());
}

//! What an operator sees of failed messages, and what an edit leaves behind. Over the servers, as a morning goes.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::WHY;
use crate::harness::{
    evidence::application,
    process::{eventually, run},
    test_env::{LIMIT, TestEnv},
};

#[test]
fn a_dead_letter_is_mended_and_issues_its_certificate() {
    let mut env = TestEnv::new("mending");
    let client = env.client();
    let worker = env.work(&[]);
    // Cut off in the midst of a name: nobody can be answered.
    let whole = application("CUT").to_string();
    let cut = &whole[..whole.find("\"principal\"").unwrap() + 60];
    let cut = cut.trim_end_matches(|character: char| !character.is_ascii());
    let properties = crate::harness::amqp::properties(
        "cut-1",
        &[(
            "traceparent",
            crate::harness::amqp::text("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        )],
    );
    client.publish(&format!("{}work", env.prefix), "validate", cut.as_bytes(), properties);
    env.until_failed(1);

    let (_, rows) = env.items(&["failed", "list", "--code", "message.undecodable", "--since", "1h"]);
    let id = rows[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(env.items(&["failed", "list", "--until", "1h"]).1, Value::Array(Vec::new()));
    assert_eq!(env.items(&["failed", "list", "--text", "not JSON"]).1.as_array().unwrap().len(), 1);
    assert_eq!(env.items(&["failed", "list", "--text", "100%_"]).1, Value::Array(Vec::new()));

    // Nothing of it is shown, unless somebody asks, and then that is written down.
    let shown = env.succeed(&["failed", "show", &id[..8]]);
    assert!(
        shown.contains("not JSON; --reveal shows it") && shown.contains("4bf92f3577b34da6a3ce929d0e0e4736"),
        "{shown}"
    );
    assert!(!shown.contains("CUT"), "{shown}");
    assert_eq!(env.run(&["failed", "show", &id, "--reveal"]).status.code(), Some(2), "a reason is asked for");
    assert_eq!(env.items(&["audit", "--subject", &id]).1, Value::Array(Vec::new()));
    let revealed = env.succeed(&[&["failed", "show", &id, "--reveal"][..], WHY].concat());
    assert!(revealed.contains("\"CUT\""), "{revealed}");
    assert_eq!(env.items(&["audit", "--subject", &id]).1[0]["action"], "failed.reveal");

    // An editor that writes something else.
    let edit = |content: &str| {
        std::fs::write(env.path("content"), content).unwrap();
        let editor = env.path("editor.sh");
        std::fs::write(
            &editor,
            format!(
                "#!/bin/sh\ntest \"$(stat -c %a \"$1\")\" = 600 || exit 9\ncp '{}' \"$1\"\n",
                env.path("content").display()
            ),
        )
        .unwrap();
        std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = env.hosho(&[&["failed", "edit", &id][..], WHY].concat());
        command.env("EDITOR", &editor).env_remove("VISUAL").env("TMPDIR", env.folder.path());
        let output = run(command);
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, _, problem) = edit(cut);
    assert_eq!(code, Some(1), "{problem}");
    assert!(problem.contains("the same as before"), "{problem}");
    let (code, _, problem) = edit(&whole.replace("\"branch\":", "\"filiale\":"));
    assert_eq!(code, Some(1), "{problem}");
    assert!(
        problem.contains("not an application.v1")
            && problem.contains("branch: missing")
            && problem.contains("filiale: no such field"),
        "{problem}"
    );
    assert_eq!(env.rows("failed_message"), 1, "a refused edit changed something");
    let (code, told, problem) = edit(&whole);
    assert_eq!(code, Some(0), "{problem}");
    assert!(!told.contains("kanaria"), "personal data is shown: {told}");

    let (_, rows) = env.items(&["failed", "list"]);
    let edited = &rows[0];
    assert_eq!((rows.as_array().unwrap().len(), edited["code"].as_str()), (1, Some("message.edited")));
    assert_ne!(edited["message_id"], "cut-1");
    let told = env.succeed(&[&["failed", "replay", edited["id"].as_str().unwrap()][..], WHY].concat());
    assert!(told.contains("complete; 1 of 1 resolved, 0 failed again"), "{told}");
    eventually("its certificate", LIMIT, || super::is_complete(&env.status_of("CUT")).then_some(()));
    // The mail carries the trace that the cut message began.
    let raw = std::fs::read_to_string(&env.smtp.received()[0].file).unwrap();
    assert!(raw.contains("Trace-Id: 4bf92f3577b34da6a3ce929d0e0e4736"), "{raw}");

    let (_, audit) = env.items(&["audit", "--subject", &id]);
    let entry = audit.as_array().unwrap().iter().find(|entry| entry["action"] == "failed.edit").unwrap();
    assert_eq!((entry["actor"].as_str(), entry["reason"].as_str()), (Some("hanako"), Some("a test")));
    assert!(entry["at"].is_string() && entry["operation"].is_string());
    assert_eq!(entry["after"]["$"]["works"]["contract_price"], application("CUT")["works"]["contract_price"]);
    assert!(!audit.to_string().contains("kanaria"), "{audit}");
    assert!(env.drain(worker).is_empty());
}

#[test]
fn values_are_set_messages_given_up_and_taken_up_and_all_of_it_exported() {
    let mut env = TestEnv::new("values");
    let client = env.client();
    let work = format!("{}work", env.prefix);
    let nowhere = "6f1c1c3e-7f0b-5c53-9c7d-5b8a1d1f0a11";
    for line in 0..3 {
        let body = format!("{{\"application\":\"{nowhere}\",\"line\":{line}}}");
        client.publish(
            &work,
            "issue",
            body.as_bytes(),
            crate::harness::amqp::properties(&format!("m-{line}"), &[]),
        );
    }
    env.publish(&client, &application("RIGHT"));
    let worker = env.work(&[]);
    env.until_failed(3);
    let right = eventually("the application", LIMIT, || {
        Some(env.statuses(&[("portal".to_owned(), "RIGHT".to_owned())])).filter(|found| !found.is_empty())
    });
    let (_, rows) = env.items(&["failed", "list", "--stage", "issue"]);
    let ids: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();

    env.succeed(
        &[&["failed", "note", rows[0]["group"].as_str().unwrap(), "a script of the branch"][..], WHY]
            .concat(),
    );
    let (_, groups) = env.items(&["failed", "groups"]);
    assert_eq!(
        (groups[0]["count"].as_u64(), groups[0]["note"].as_str()),
        (Some(3), Some("a script of the branch"))
    );

    // Given up, taken up, given up; what is in another state is left alone.
    let discard = [&["failed", "discard", ids[0], ids[1]][..], WHY].concat();
    assert!(
        env.succeed(&["failed", "discard", ids[0], ids[1], "--dry-run"])
            .starts_with("2 messages: discard. Nothing")
    );
    assert!(env.succeed(&discard).starts_with("2 messages: discard."));
    assert!(env.run(&discard).status.code() == Some(1));
    assert!(
        env.succeed(&[&["failed", "restore", ids[0]][..], WHY].concat()).starts_with("1 message: restore.")
    );
    assert_eq!(env.failed(&[]), [("discarded".to_owned(), 1), ("failed".to_owned(), 2)].into());
    assert_eq!(
        env.run(&[&["failed", "discard"][..], WHY].concat()).status.code(),
        Some(2),
        "everything at once is nobody's wish"
    );
    // The same message once more: an operator who gave it up hears of it.
    let line = env.json(&["failed", "show", ids[1]]).1["payload"]["line"].clone();
    let body = format!("{{\"application\":\"{nowhere}\",\"line\":{line}}}");
    client.publish(
        &work,
        "issue",
        body.as_bytes(),
        crate::harness::amqp::properties(&format!("m-{line}"), &[]),
    );
    eventually("the message to be back", LIMIT, || {
        (env.failed(&[]) == [("failed".to_owned(), 3)].into()).then_some(())
    });
    assert_eq!(env.json(&["failed", "show", ids[1]]).1["letters"], 2);

    let set = format!("application={}", right[0].application.id);
    for wrong in [&["--set", "application=5"][..], &["--set", "nothing.here=1"], &["--unset", "line"]] {
        let output = env.run(&[&["failed", "edit", ids[2]], wrong, WHY].concat());
        assert_eq!(output.status.code(), Some(1), "{wrong:?}: {output:?}");
    }
    let told =
        env.succeed(&[&["failed", "edit", ids[2], "--set", &set, "--set", "line=0"][..], WHY].concat());
    assert!(
        told.contains(&format!("$.application: \"{nowhere}\" → \"{}\"", right[0].application.id)),
        "{told}"
    );
    env.succeed(&[&["failed", "replay", "--code", "message.edited"][..], WHY].concat());
    assert_eq!(env.rows("guarantee"), 1, "the message was one more for a guarantee that is there");

    let exported = env.succeed(&["failed", "export", "--all"]);
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert!(
        lines.iter().all(|line| line["payload"]["application"].is_string() && line["headers"].is_object()),
        "{exported}"
    );
    assert!(env.drain(worker).is_empty());
}

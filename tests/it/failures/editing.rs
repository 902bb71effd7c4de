//! Failed messages on real servers: shown, edited, discarded, restored, exported.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::WHY;
use crate::harness::{
    evidence::application,
    process::{eventually, run},
    test_env::{LIMIT, TestEnv},
};

#[test]
fn issues_the_certificate_of_an_edited_dead_letter() {
    let mut env = TestEnv::new("editing");
    let client = env.client();
    let worker = env.work(&[]);
    // Cut off within a name: no result event is possible.
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

    // The content is shown only with --reveal, which adds an audit entry.
    let (_, shown) = env.json(&["failed", "show", &id[..8]]);
    assert_eq!((&shown["payload"], &shown["payload_text"]), (&Value::Null, &Value::Null));
    assert!(shown.to_string().contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{shown}");
    assert!(!shown.to_string().contains("CUT"), "{shown}");
    assert_eq!(env.run(&["failed", "show", &id, "--reveal"]).status.code(), Some(2), "a reason is required");
    assert_eq!(env.items(&["audit", "--subject", &id]).1, Value::Array(Vec::new()));
    let (_, revealed) = env.json(&[&["failed", "show", &id, "--reveal"][..], WHY].concat());
    assert!(revealed["payload_text"].as_str().unwrap().contains("\"CUT\""), "{revealed}");
    assert_eq!(env.items(&["audit", "--subject", &id]).1[0]["action"], "failed.reveal");

    // An editor that replaces the content.
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
        let mut command = env.hosho(&[&["failed", "edit", &id, "--json"][..], WHY].concat());
        command.env("EDITOR", &editor).env_remove("VISUAL").env("TMPDIR", env.folder.path());
        let output = run(command);
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };
    for wrong in [cut, &whole.replace("\"branch\":", "\"filiale\":")] {
        let (code, answer) = edit(wrong);
        assert_eq!((code, &answer["error"]["code"]), (Some(1), &"conflict".into()), "{answer}");
    }
    assert_eq!(env.rows("failed_message"), 1, "a rejected edit stored a message");
    let (code, changes) = edit(&whole);
    assert_eq!(code, Some(0), "{changes}");
    assert!(!changes.to_string().contains("kanaria"), "personal data is shown: {changes}");

    let (_, rows) = env.items(&["failed", "list"]);
    let edited = &rows[0];
    assert_eq!((rows.as_array().unwrap().len(), edited["code"].as_str()), (1, Some("message.edited")));
    assert_ne!(edited["message_id"], "cut-1");
    let (code, replay) = env.json(&[&["failed", "replay", edited["id"].as_str().unwrap()][..], WHY].concat());
    assert_eq!(
        (code, &replay["state"], &replay["resolved"], &replay["failed_again"]),
        (Some(0), &"complete".into(), &1.into(), &0.into())
    );
    eventually("its certificate", LIMIT, || super::is_complete(&env.status_of("CUT")).then_some(()));
    // The mail has the trace of the original message.
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
fn sets_values_discards_restores_and_exports_messages() {
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

    // Messages in another state are left out.
    let discard = [&["failed", "discard", ids[0], ids[1]][..], WHY].concat();
    let (_, dry) = env.json(&["failed", "discard", ids[0], ids[1], "--dry-run"]);
    assert_eq!((dry["messages"].as_array().unwrap().len(), &dry["operation"]), (2, &Value::Null));
    assert_eq!(env.json(&discard).1["messages"].as_array().unwrap().len(), 2);
    assert_eq!(env.run(&discard).status.code(), Some(1));
    let (_, restored) = env.json(&[&["failed", "restore", ids[0]][..], WHY].concat());
    assert_eq!(restored["messages"], serde_json::json!([ids[0]]));
    assert_eq!(env.failed(&[]), [("discarded".to_owned(), 1), ("failed".to_owned(), 2)].into());
    assert_eq!(
        env.run(&[&["failed", "discard"][..], WHY].concat()).status.code(),
        Some(2),
        "all messages are discarded without a selection"
    );
    // The same message again: it is open again.
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
    let (_, row) = env.json(&["failed", "show", ids[1]]);
    assert_eq!(row["letters"], 2);

    let set = format!("application={}", right[0].application.id);
    for wrong in [&["--set", "application=5"][..], &["--set", "nothing.here=1"], &["--unset", "line"]] {
        let output = env.run(&[&["failed", "edit", ids[2]], wrong, WHY].concat());
        assert_eq!(output.status.code(), Some(1), "{wrong:?}: {output:?}");
    }
    let (_, edited) =
        env.json(&[&["failed", "edit", ids[2], "--set", &set, "--set", "line=0"][..], WHY].concat());
    let change = serde_json::json!({
        "path": "$.application", "before": nowhere, "after": right[0].application.id,
    });
    assert!(edited["changes"].as_array().unwrap().contains(&change), "{edited}");
    env.succeed(&[&["failed", "replay", "--code", "message.edited"][..], WHY].concat());
    assert_eq!(env.rows("guarantee"), 1, "the edited message issued a second guarantee");

    let exported = env.succeed(&["failed", "export", "--all"]);
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert!(
        lines.iter().all(|line| line["payload"]["application"].is_string() && line["headers"].is_object()),
        "{exported}"
    );
    env.until_idle();
    assert!(env.drain(worker).is_empty());
}

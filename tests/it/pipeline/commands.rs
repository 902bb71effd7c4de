//! Output and exit codes of commands on real servers.

use std::process::Output;

use serde_json::Value;

use crate::harness::{
    evidence::application,
    postgres,
    process::{eventually, run},
    rabbit,
    redact::redacted,
    test_env::{LIMIT, TestEnv, example, identities},
};

fn exit_and_text(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn enqueue_reports_refused_lines() {
    let env = TestEnv::new("refusing");
    let file = env.path("some.jsonl");
    // An empty line counts as a line, not as an application.
    std::fs::write(&file, format!("{}\n\n{}\n", application("FILE-1"), application("FILE-2"))).unwrap();
    let file = file.to_str().unwrap();
    let (code, out, err) = exit_and_text(&env.run(&["enqueue", file]));
    assert_eq!((code, out.as_str()), (Some(0), "2 read, 2 confirmed, 0 not confirmed\n"), "{err}");
    let report: Value = serde_json::from_str(&env.succeed(&["enqueue", file, "--json"])).unwrap();
    assert_eq!(report, serde_json::json!({"read": 2, "confirmed": 2, "unconfirmed": []}));
    assert_eq!(env.depths()["stage.validate"], 4);

    // An operator limits the queue, which then refuses messages.
    let pattern = format!("^{}$", format!("{}stage.validate", env.prefix).replace('.', "\\."));
    rabbit::shared().ctl(&["set_policy", "full", &pattern, "{\"max-length\": 1}", "--apply-to", "queues"]);
    let refused = eventually("a refusal", LIMIT, || {
        let output = env.run(&["enqueue", file]);
        (output.status.code() != Some(0)).then_some(output)
    });
    let (code, out, err) = exit_and_text(&refused);
    assert_eq!(code, Some(1), "{err}");
    insta::assert_snapshot!(redacted(&out, env.folder.path()));
    let (code, out, _) = exit_and_text(&env.run(&["enqueue", file, "--json"]));
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["read"], &report["confirmed"]), (Some(1), &2.into(), &0.into()));
    let places: Vec<&str> = report["unconfirmed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["place"].as_str().unwrap())
        .collect();
    assert_eq!(places, [format!("{file}:1"), format!("{file}:3")]);

    // The Python client reports the same lines.
    let mut python = std::process::Command::new("/usr/bin/python3");
    python.arg(example("enqueue.py")).args([file, "--url", env.broker(), "--prefix", &env.prefix]);
    let (code, _, err) = exit_and_text(&run(python));
    assert_eq!(code, Some(1));
    assert!(
        err.contains("line 1 was not accepted: NackError")
            && err.contains("line 3 was not accepted: NackError"),
        "{err}"
    );
    rabbit::shared().ctl(&["clear_policy", "full"]);
}

#[test]
fn compares_topology_and_migrations_with_exit_codes() {
    let env = TestEnv::new("comparing");
    let (code, out, _) = exit_and_text(&env.run(&["topology", "check"]));
    assert_eq!(code, Some(0), "{out}");
    env.client().delete_queue(&format!("{}stage.mint", env.prefix));
    for _ in 0..2 {
        let (code, out, _) = exit_and_text(&env.run(&["topology", "check", "--json"]));
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &report["missing"]), (Some(1), &serde_json::json!(["comparing.stage.mint"])));
    }
    let checked = exit_and_text(&env.run(&["topology", "check"])).1;
    let applied = env.succeed(&["topology", "apply"]);
    // The first line has the seconds that the new queue took.
    let queues = |text: &str| text.lines().skip(1).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!("topology", format!("check\n{}\napply\n{}", queues(&checked), queues(&applied)));
    env.succeed(&["topology", "check"]);

    assert_eq!(env.succeed(&["migrate", "--check"]), "The tables are up to date.\n");
    let empty = postgres::database("comparing_empty");
    let on_empty = |arguments: &[&str]| {
        let mut command = env.hosho(arguments);
        command.env("HOSHO__DATABASE__URL", &empty);
        exit_and_text(&run(command))
    };
    let (code, out, err) = on_empty(&["migrate", "--check"]);
    assert_eq!(
        (code, out.as_str()),
        (
            Some(1),
            "pending  0001_pipeline\npending  0002_failures\npending  0003_changes\npending  0004_revision\npending  0005_segments\n"
        ),
        "{err}"
    );
    let (code, _, err) = on_empty(&["work"]);
    assert_eq!(code, Some(4));
    insta::assert_snapshot!(
        "work_without_tables",
        err.lines().skip_while(|line| !line.starts_with("error: ")).collect::<Vec<_>>().join("\n")
    );
    assert_eq!(
        on_empty(&["migrate"]).1,
        "applied  0001_pipeline\napplied  0002_failures\napplied  0003_changes\napplied  0004_revision\napplied  0005_segments\n"
    );
    assert_eq!(on_empty(&["migrate", "--check"]).0, Some(0));

    // Unreachable servers: the error has a hint and no password.
    for (key, url, arguments) in [
        (
            "HOSHO__DATABASE__URL",
            "postgres://hosho:hunter2@127.0.0.1:9/none",
            ["migrate", "--check", "--json"],
        ),
        ("HOSHO__BROKER__URL", "amqp://hosho:hunter2@127.0.0.1:9/", ["topology", "check", "--json"]),
    ] {
        let mut command = env.hosho(&arguments);
        command.env(key, url);
        let (code, out, err) = exit_and_text(&run(command));
        assert_eq!(code, Some(4), "{out}{err}");
        let error = &serde_json::from_str::<Value>(&out).unwrap()["error"];
        assert!(error["hint"].is_string() && !format!("{out}{err}").contains("hunter2"), "{out}{err}");
    }
}

#[test]
fn status_reports_the_state_by_stage() {
    let mut env = TestEnv::new("status");
    let file = example("applications.jsonl");
    let (code, out, err) = exit_and_text(&env.run(&["status", "2026-0003"]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    insta::assert_snapshot!("status_of_none", err);

    env.enqueue_from_python(&file);
    env.enqueue_from_python(&example("rejected.jsonl"));
    let worker = env.work(&[]);
    let statuses = env.until_complete(&identities(&file), 16);
    let all = identities(&file).len() + identities(&example("rejected.jsonl")).len();
    eventually("every answer", LIMIT, || {
        (env.rows("application") == i64::try_from(all).unwrap()).then_some(())
    });
    drop(worker);

    let status = statuses.iter().find(|status| status.application.upstream_id == "2026-0003").unwrap();
    let [paper, electronic] = [0, 1].map(|line| status.guarantees[line].guarantee.number.clone());
    let wide: String = electronic
        .chars()
        .map(|c| if c == '-' { '－' } else { char::from_u32(u32::from(c) + 0xfee0).unwrap() })
        .collect();
    // By number in either width, by upstream id, by application id.
    let text = env.succeed(&["status", &electronic]);
    for key in [wide.as_str(), "2026-0003", &status.application.id] {
        assert_eq!(env.succeed(&["status", key]), text, "{key}");
    }
    let reply = status.guarantees[1].revisions[0].mails[0].reply.as_deref().unwrap();
    let text = text.replace(&paper, "PAPER").replace(&electronic, "ELECTRONIC").replace(reply, "REPLY");
    insta::assert_snapshot!("status", redacted(&text, env.folder.path()));
    let json: Value = serde_json::from_str(&env.succeed(&["status", "2026-0003", "--json"])).unwrap();
    let steps = |line: usize| -> Vec<(String, bool)> {
        let steps = json[0]["guarantees"][line]["steps"].as_array().unwrap();
        steps
            .iter()
            .map(|step| (step["stage"].as_str().unwrap().to_owned(), step["at"].is_string()))
            .collect()
    };
    let all = |stages: &[&str]| stages.iter().map(|stage| ((*stage).to_owned(), true)).collect::<Vec<_>>();
    assert_eq!(steps(0), all(&["issue", "mint", "render", "dispatch"]));
    assert_eq!(steps(1), all(&["issue", "mint", "render", "dispatch", "dispatch"]));
    assert_eq!(
        (&json[0]["guarantees"][1]["number"], &json[0]["awaiting_issue"]),
        (&electronic.as_str().into(), &0.into())
    );

    let text = env.succeed(&["status", "rejected-obligee.unknown"]);
    insta::assert_snapshot!("status_of_rejected", redacted(&text, env.folder.path()));
}

//! Pause, open circuit, recovery from the rows, and `hosho doctor`.

use serde_json::Value;

use super::WHY;
use crate::harness::{
    evidence::application,
    process::eventually,
    test_env::{LIMIT, TestEnv, example, identities},
};

fn stage<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == name).unwrap()
}

/// Waits until a condition holds for a stage in the report of `hosho stages`.
fn until_stage(env: &TestEnv, name: &str, what: &str, mut is_so: impl FnMut(&Value) -> bool) -> Value {
    eventually(&format!("{name}: {what}"), LIMIT, || {
        let (_, report) = env.json(&["stages"]);
        is_so(stage(&report, name)).then_some(report)
    })
}

#[test]
fn keeps_a_stage_paused_across_restarts_until_resumed() {
    let mut env = TestEnv::new("pausing");
    let worker = env.work(&[]);
    until_stage(&env, "dispatch", "consumers", |stage| stage["consumers"] == 2);
    env.succeed(&[&["stages", "pause", "dispatch"][..], WHY].concat());
    let (code, again) = env.json(&[&["stages", "pause", "dispatch"][..], WHY].concat());
    assert_eq!((code, &again["changed"]), (Some(0), &false.into()));
    until_stage(&env, "dispatch", "no consumer", |stage| stage["consumers"] == 0);
    env.enqueue_from_python(&example("applications.jsonl"));
    let report = until_stage(&env, "dispatch", "all 16 waiting", |stage| stage["ready"] == 16);
    let paused = &stage(&report, "dispatch")["paused"];
    assert_eq!((paused["reason"].as_str(), paused["actor"].as_str()), (Some("a test"), Some("hanako")));
    assert!(stage(&report, "dispatch")["oldest"].is_string(), "{report:#}");
    assert_eq!((env.json(&["stages"]).0, env.smtp.count()), (Some(1), 0));

    // A process that starts during the pause does not consume from the stage.
    env.drain(worker);
    let worker = env.work(&[]);
    until_stage(&env, "render", "consumers again", |stage| stage["consumers"] == 2);
    let report = until_stage(&env, "dispatch", "still paused", |stage| stage["paused"].is_object());
    assert_eq!(
        (&stage(&report, "dispatch")["ready"], &stage(&report, "dispatch")["consumers"]),
        (&16.into(), &0.into())
    );
    assert_eq!(env.smtp.count(), 0);
    insta::assert_snapshot!(
        env.notes_of("dispatch"),
        @"dispatch is paused since 0000-00-00 00:00:00 JST by hanako: a test"
    );

    env.succeed(&[&["stages", "resume", "dispatch"][..], WHY].concat());
    env.until_complete(&identities(&example("applications.jsonl")), 16);
    until_stage(&env, "dispatch", "nothing in flight", |stage| stage["unacked"] == 0 && stage["ready"] == 0);
    let (code, report) = env.json(&["stages"]);
    assert_eq!(code, Some(0), "{report:#}");
    until_stage(&env, "dispatch", "the rate of the last minute", |stage| {
        stage["per_minute"].as_i64() >= Some(16)
    });
    let (_, audit) = env.items(&["audit", "--action", "stage."]);
    let actions: Vec<(&str, &str)> = audit
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["action"].as_str().unwrap(), entry["after"].as_str().unwrap()))
        .collect();
    assert_eq!(actions, [("stage.resume", "running"), ("stage.pause", "paused")]);
    assert!(env.drain(worker).is_empty());
    let (_, report) = env.json(&["stages"]);
    assert_eq!(report["workers"], serde_json::json!([]), "a stopped process is still listed");
}

#[test]
fn requeues_messages_while_the_circuit_is_open() {
    let mut env = TestEnv::new("circuit");
    env.smtp.kill();
    let client = env.client();
    for id in ["OPEN-1", "OPEN-2", "OPEN-3"] {
        env.publish(&client, &application(id));
    }
    let worker = env.work(&[("WORK__HOLD_SECONDS", "2")]);
    let report = until_stage(&env, "dispatch", "open, with requeued messages", |stage| {
        stage["circuit"]["state"] == "open" && stage["ready"] == 3 && stage["consumers"].as_i64() < Some(2)
    });
    let circuit = &stage(&report, "dispatch")["circuit"];
    assert_eq!(circuit["code"], "mail.unavailable");
    assert!(circuit["since"].is_string() && circuit["next_probe"].is_string(), "{circuit}");
    assert_eq!(stage(&report, "render")["circuit"]["state"], "closed");
    env.until_logged("Dependency unavailable; batch requeued, probing until it recovers", 1);
    insta::assert_snapshot!(
        env.notes_of("dispatch"),
        @"dispatch waits since 0000-00-00 00:00:00 JST: the mail server cannot be used, connecting: Connection refused (os error 111); next probe at 0000-00-00 00:00:00 JST"
    );

    env.smtp.restart();
    for id in ["OPEN-1", "OPEN-2", "OPEN-3"] {
        eventually("its mail", LIMIT, || super::is_complete(&env.status_of(id)).then_some(()));
    }
    until_stage(&env, "dispatch", "closed", |stage| stage["circuit"]["state"] == "closed");
    let logs = env.logs();
    assert!(!logs.contains("delivery.attempt"), "the outage counted as an attempt");
    assert_eq!((env.rows("failed_message"), env.smtp.count()), (0, 3));
    assert!(env.drain(worker).is_empty());
}

#[test]
fn recovers_a_purged_queue_from_the_rows() {
    let mut env = TestEnv::new("purged");
    let file = example("applications.jsonl");
    env.enqueue_from_python(&file);
    let worker = env.work_on(&["validate", "issue", "mint"], &[]);
    eventually("all at render", LIMIT, || (env.depths()["stage.render"] == 16).then_some(()));
    env.drain(worker);
    assert_eq!(env.client().purge(&format!("{}stage.render", env.prefix)), 16);

    let dry_run = ["recover", "--older-than", "0s", "--dry-run"];
    assert_eq!(env.json(&dry_run).1["queued"], serde_json::json!({ "render": 16 }));
    insta::assert_snapshot!(env.succeed(&dry_run), @r"
          16  render
    16 pieces of work would be queued again; nothing was changed.
    ");
    assert_eq!(env.depths().values().sum::<u64>(), 0);
    assert_eq!(env.run(&["recover", "--older-than", "0s"]).status.code(), Some(2), "a reason is required");
    // Two operators recover it at the same time.
    for _ in 0..2 {
        env.succeed(&[&["recover", "--older-than", "0s"][..], WHY].concat());
    }
    assert_eq!(env.depths()["stage.render"], 32);
    let worker = env.work(&[]);
    let statuses = env.until_complete(&identities(&file), 16);
    env.until_idle();
    assert!(env.drain(worker).is_empty());
    assert_eq!((env.rows("revision"), env.rows("document")), (16, 28));
    assert_eq!(env.smtp.count(), env.mails(&statuses, hosho_schema::models::mail::State::Accepted));
    let (_, audit) = env.items(&["audit", "--action", "recover"]);
    assert_eq!(audit.as_array().unwrap().len(), 2, "{audit}");
    assert_eq!(env.json(&dry_run).1["queued"], serde_json::json!({}));
}

#[test]
fn doctor_reports_exactly_the_broken_parts() {
    let mut env = TestEnv::new("doctor");
    let worker = env.work(&[]);
    until_stage(&env, "dispatch", "consumers", |stage| stage["consumers"] == 2);
    let verdicts = |report: &Value| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        report
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| (text(&finding["what"]), text(&finding["verdict"])))
            .collect()
    };
    let (code, report) = env.json(&["doctor"]);
    assert!(verdicts(&report).iter().all(|(_, verdict)| verdict == "ok"), "{report:#}");
    assert_eq!(code, Some(0));
    let checked: Vec<String> = verdicts(&report).into_iter().map(|(what, _)| what).collect();
    for what in [
        "fonts",
        "templates",
        "data keys",
        "documents",
        "mail",
        "database",
        "database clock",
        "database pool",
        "migrations",
        "sealed keys",
        "failed messages",
        "broker",
        "capabilities",
        "alarms",
        "broker clock",
        "queues",
        "consumers",
        "depth",
        "dead letters",
        "paused",
        "workers",
        "stuck deliveries",
        "circuit",
    ] {
        assert!(checked.iter().any(|each| each == what), "{what} is not checked: {checked:?}");
    }

    // Many parts are broken at the same time.
    let client = env.client();
    env.succeed(&[&["stages", "pause", "mint"][..], WHY].concat());
    client.publish(
        &format!("{}work", env.prefix),
        "validate",
        b"{",
        crate::harness::amqp::properties("broken", &[]),
    );
    env.until_failed(1);
    until_stage(&env, "mint", "no consumer", |stage| stage["consumers"] == 0);
    env.drain(worker);
    client.delete_queue(&format!("{}stage.issue.bulk", env.prefix));
    std::fs::rename(env.path("documents"), env.path("elsewhere")).unwrap();
    env.smtp.kill();
    let mut command = env.hosho(&["doctor", "--json"]);
    command.env("HOSHO__KEYS__FILE", env.path("no-keys"));
    let output = crate::harness::process::run(command);
    assert_eq!(output.status.code(), Some(4));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = verdicts(&report);
    let is = |what: &str, verdict: &str| found.contains(&(what.to_owned(), verdict.to_owned()));
    for (what, verdict) in [
        ("data keys", "warning"),
        ("documents", "failure"),
        ("mail", "failure"),
        ("queues", "failure"),
        ("failed messages", "warning"),
        ("paused", "warning"),
        ("workers", "warning"),
        ("database", "ok"),
        ("broker", "ok"),
    ] {
        assert!(is(what, verdict), "{what} is not {verdict}: {report:#}");
    }
    assert!(
        report
            .as_array()
            .unwrap()
            .iter()
            .all(|finding| (finding["verdict"] == "ok") == finding["do"].is_null()),
        "{report:#}"
    );
    let queues = report.as_array().unwrap().iter().find(|finding| finding["what"] == "queues").unwrap();
    insta::assert_snapshot!(
        queues["do"].as_str().unwrap(),
        @"run `hosho topology apply` for missing queues; drain, delete and create those that differ"
    );
}

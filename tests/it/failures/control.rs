//! Stages under control: paused, waiting for something that is down, recovered from the rows, looked over.

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

/// Waits until `hosho stages` tells something of a stage.
fn until_stage(env: &TestEnv, name: &str, what: &str, mut is_so: impl FnMut(&Value) -> bool) -> Value {
    eventually(&format!("{name}: {what}"), LIMIT, || {
        let (_, report) = env.json(&["stages"]);
        is_so(stage(&report, name)).then_some(report)
    })
}

#[test]
fn a_paused_stage_takes_nothing_until_it_is_resumed_restarts_included() {
    let mut env = TestEnv::new("pausing");
    let worker = env.work(&[]);
    until_stage(&env, "dispatch", "consumers", |stage| stage["consumers"] == 2);
    env.succeed(&[&["stages", "pause", "dispatch"][..], WHY].concat());
    assert!(env.succeed(&[&["stages", "pause", "dispatch"][..], WHY].concat()).contains("paused already"));
    until_stage(&env, "dispatch", "no consumer", |stage| stage["consumers"] == 0);
    env.enqueue_from_python(&example("applications.jsonl"));
    let report = until_stage(&env, "dispatch", "all 16 waiting", |stage| stage["ready"] == 16);
    let paused = &stage(&report, "dispatch")["paused"];
    assert_eq!((paused["reason"].as_str(), paused["actor"].as_str()), (Some("a test"), Some("hanako")));
    assert!(stage(&report, "dispatch")["oldest"].is_string(), "{report:#}");
    assert_eq!((env.json(&["stages"]).0, env.smtp.count()), (Some(1), 0));

    // A process that starts while it is paused obeys from its first moment.
    env.drain(worker);
    let worker = env.work(&[]);
    until_stage(&env, "render", "consumers again", |stage| stage["consumers"] == 2);
    let report = until_stage(&env, "dispatch", "still paused", |stage| stage["paused"].is_object());
    assert_eq!(
        (&stage(&report, "dispatch")["ready"], &stage(&report, "dispatch")["consumers"]),
        (&16.into(), &0.into())
    );
    assert_eq!(env.smtp.count(), 0);
    let shown = String::from_utf8(env.run(&["stages"]).stdout).unwrap();
    assert!(shown.contains("dispatch is paused since") && shown.contains("by hanako: a test"), "{shown}");

    env.succeed(&[&["stages", "resume", "dispatch"][..], WHY].concat());
    env.until_complete(&identities(&example("applications.jsonl")), 16);
    until_stage(&env, "dispatch", "nothing in hand", |stage| stage["unacked"] == 0 && stage["ready"] == 0);
    let (code, report) = env.json(&["stages"]);
    assert_eq!(code, Some(0), "{report:#}");
    until_stage(&env, "dispatch", "what was done in the last minute", |stage| {
        stage["per_minute"].as_i64() >= Some(16)
    });
    let (_, audit) = env.items(&["audit", "--action", "stage."]);
    let told: Vec<(&str, &str)> = audit
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["action"].as_str().unwrap(), entry["after"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("stage.resume", "running"), ("stage.pause", "paused")]);
    assert!(env.drain(worker).is_empty());
    let (_, report) = env.json(&["stages"]);
    assert_eq!(report["workers"], serde_json::json!([]), "a process that stops leaves the list");
}

#[test]
fn what_is_down_for_long_is_waited_for_without_the_messages() {
    let mut env = TestEnv::new("circuit");
    env.smtp.kill();
    let client = env.client();
    for id in ["OPEN-1", "OPEN-2", "OPEN-3"] {
        env.publish(&client, &application(id));
    }
    let worker = env.work(&[("WORK__HOLD_SECONDS", "2")]);
    let report = until_stage(&env, "dispatch", "open, and the messages given back", |stage| {
        stage["circuit"]["state"] == "open" && stage["ready"] == 3 && stage["consumers"].as_i64() < Some(2)
    });
    let circuit = &stage(&report, "dispatch")["circuit"];
    assert_eq!(circuit["code"], "mail.unavailable");
    assert!(circuit["since"].is_string() && circuit["next_probe"].is_string(), "{circuit}");
    assert_eq!(stage(&report, "render")["circuit"]["state"], "closed");
    env.until_logged("Dependency unavailable; batch requeued, probing until it recovers", 1);
    let shown = String::from_utf8(env.run(&["stages"]).stdout).unwrap();
    assert!(shown.contains("mail.unavailable") && shown.contains("dispatch waits since"), "{shown}");

    env.smtp.restart();
    for id in ["OPEN-1", "OPEN-2", "OPEN-3"] {
        eventually("its mail", LIMIT, || super::is_complete(&env.status_of(id)).then_some(()));
    }
    until_stage(&env, "dispatch", "closed", |stage| stage["circuit"]["state"] == "closed");
    let logs = env.logs();
    assert!(!logs.contains("delivery.attempt"), "an outage counted as an attempt");
    assert_eq!((env.rows("failed_message"), env.smtp.count()), (0, 3));
    assert!(env.drain(worker).is_empty());
}

#[test]
fn a_queue_that_was_purged_by_mistake_is_filled_again_from_the_rows() {
    let mut env = TestEnv::new("purged");
    let file = example("applications.jsonl");
    env.enqueue_from_python(&file);
    let worker = env.work_on(&["validate", "issue", "mint"], &[]);
    eventually("all at render", LIMIT, || (env.depths()["stage.render"] == 16).then_some(()));
    env.drain(worker);
    assert_eq!(env.client().purge(&format!("{}stage.render", env.prefix)), 16);

    let told = env.succeed(&["recover", "--older-than", "0s", "--dry-run"]);
    assert!(told.contains("16  render") && told.contains("nothing was changed"), "{told}");
    assert_eq!(env.depths().values().sum::<u64>(), 0);
    assert_eq!(env.run(&["recover", "--older-than", "0s"]).status.code(), Some(2), "a reason is asked for");
    // Twice, by two operators who do not know of each other.
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
    assert!(env.succeed(&["recover", "--older-than", "0s", "--dry-run"]).starts_with("0 pieces of work"));
}

#[test]
fn doctor_finds_what_is_wrong_and_nothing_else() {
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
    let told: Vec<String> = verdicts(&report).into_iter().map(|(what, _)| what).collect();
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
        assert!(told.iter().any(|each| each == what), "{what} is not looked at: {told:?}");
    }

    // Everything that can be broken from here, at once.
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
    let told = verdicts(&report);
    let is = |what: &str, verdict: &str| told.iter().any(|(each, told)| each == what && told == verdict);
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
    assert!(output.stdout.windows(20).any(|window| window == b"`hosho topology appl"), "{report:#}");
}

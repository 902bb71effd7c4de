//! Replays: by group, after a crash, forced, of unroutable messages, held up.

use std::time::Duration;

use serde_json::{Value, json};

use super::WHY;
use crate::harness::{
    evidence::application,
    process::{eventually, spawn},
    test_env::{LIMIT, TestEnv},
};

/// The number of dead letters: `HOSHO_DRILL_DEAD`.
fn total() -> usize {
    std::env::var("HOSHO_DRILL_DEAD").map_or(300, |count| count.parse().unwrap())
}

const EFFECTS: [&str; 6] = ["application", "guarantee", "revision", "authentication_key", "document", "mail"];

/// The effects that a forced replay must not repeat.
fn effects(env: &TestEnv) -> (Vec<i64>, usize) {
    (EFFECTS.iter().map(|table| env.rows(table)).collect(), env.smtp.count())
}

#[test]
fn replays_the_group_of_one_fixed_cause() {
    let each = total() / 3;
    let mut env = TestEnv::new("causes");
    env.smtp.script(&[("rcpt", "550 5.1.1 no such user")]);
    let data = env.data();
    std::fs::remove_file(data.join("branches/35.toml")).unwrap();

    // Validated with branch 35, issued without its file.
    let client = env.client();
    let mut lines = Vec::new();
    for number in 0..each {
        let mut gone = application(&format!("GONE-{number}"));
        gone["branch"] = "35".into();
        gone["notification"] = json!({ "wanted": false });
        lines.push(gone.to_string());
        lines.push(application(&format!("REFUSED-{number}")).to_string());
    }
    let file = env.path("many.jsonl");
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    env.succeed(&["enqueue", file.to_str().unwrap()]);
    let validating = env.work_on(&["validate"], &[]);
    eventually("all applications", LIMIT, || {
        (env.rows("application") == i64::try_from(2 * each).unwrap()).then_some(())
    });
    env.drain(validating);
    for number in 0..each {
        let broken = format!("{{\"source\": \"portal\", \"id\": \"{number}\", ");
        client.publish(
            &format!("{}work", env.prefix),
            "validate",
            broken.as_bytes(),
            crate::harness::amqp::properties(&number.to_string(), &[]),
        );
    }
    let settings = [("DATA__FOLDER", data.to_str().unwrap()), ("MAIL__CONNECTIONS", "8")];
    let worker = env.work(&settings);
    env.until_failed(3 * each);
    env.until_idle();

    let (code, groups) = env.items(&["failed", "groups"]);
    assert_eq!(code, Some(0));
    let groups = groups.as_array().unwrap();
    let mut found: Vec<(&str, &str, u64)> = groups
        .iter()
        .map(|group| {
            (
                group["stage"].as_str().unwrap(),
                group["code"].as_str().unwrap(),
                group["count"].as_u64().unwrap(),
            )
        })
        .collect();
    found.sort_unstable();
    let count = each as u64;
    assert_eq!(
        found,
        [
            ("dispatch", "mail.refused", count),
            ("issue", "data.missing", count),
            ("validate", "message.undecodable", count)
        ],
        "{groups:#?}"
    );
    let group = |code: &str| {
        groups.iter().find(|group| group["code"] == code).unwrap()["group"].as_str().unwrap().to_owned()
    };
    let (missing, refused) = (group("data.missing"), group("mail.refused"));
    assert!(groups.iter().all(|group| group["advice"].is_string() && group["sample"].is_string()));

    // The cause is not fixed: the canary fails, and no other message is sent.
    let (code, stopped) = env.json(&[&["failed", "replay", "--group", &refused][..], WHY].concat());
    assert_eq!(
        (code, stopped["state"].as_str(), stopped["resolved"].as_i64()),
        (Some(1), Some("stopped"), Some(0)),
        "{stopped}"
    );
    let again = env.failed(&["--group", &refused]);
    assert!((1..=3).contains(&again["failed_again"]), "{again:?}");
    assert_eq!(again["failed"] + again["failed_again"], each, "{again:?}");
    // Without a canary the replay stops when more than 5 of the last 50 messages failed.
    let (code, stopped) =
        env.json(&[&["failed", "replay", "--group", &refused, "--canary", "0"][..], WHY].concat());
    assert_eq!((code, stopped["state"].as_str()), (Some(1), Some("stopped")), "{stopped}");
    assert!(stopped["note"].is_string(), "{stopped}");
    assert!(stopped["failed_again"].as_i64().unwrap() < 50, "{stopped}");

    // Fixed: a worker with the file.
    env.drain(worker);
    let worker = env.work(&[]);
    replay_with_crash(&env, &missing, each);
    assert_eq!(env.failed(&["--group", &missing]), [("resolved".to_owned(), each)].into());
    let others = env.failed(&["--group", &refused]);
    assert_eq!(others.values().sum::<usize>(), each);
    assert!(!others.contains_key("resolved"), "{others:?}");
    assert_eq!(env.failed(&["--code", "message.undecodable"]), [("failed".to_owned(), each)].into());
    eventually("every certificate", LIMIT, || {
        let complete = |number| super::is_complete(&env.status_of(&format!("GONE-{number}")));
        (0..each).all(complete).then_some(())
    });

    // A second replay is refused; a forced one has no effect.
    let before = effects(&env);
    let (code, again) = env.json(&[&["failed", "replay", "--group", &missing][..], WHY].concat());
    assert_eq!((code, &again["error"]["code"]), (Some(1), &"conflict".into()), "{again}");
    let (code, forced) = env
        .json(&[&["failed", "replay", "--group", &missing, "--force", "--rate", "1000"][..], WHY].concat());
    assert_eq!((code, forced["resolved"].as_u64()), (Some(0), Some(count)), "{forced}");
    env.until_idle();
    assert_eq!(env.drain(worker).values().sum::<u64>(), 0);
    assert_eq!(effects(&env), before);
    assert_eq!(env.rows("guarantee"), i64::try_from(2 * each).unwrap());
}

/// Replays a group; its driver is killed half-way, and another process resumes it.
fn replay_with_crash(env: &TestEnv, group: &str, each: usize) {
    let rate = (each / 5).max(10).to_string();
    let (_, plan) = env.json(&["failed", "replay", "--group", group, "--dry-run"]);
    assert_eq!(plan["messages"].as_u64(), Some(each as u64), "{plan}");
    let arguments = [&["failed", "replay", "--group", group, "--rate", &rate][..], WHY].concat();
    let mut driver = spawn(env.hosho(&arguments), &env.path("replay.log"));
    let replay = eventually("a replay half-way", LIMIT, || {
        let (_, replays) = env.items(&["replay", "list"]);
        let replay = replays.as_array()?.first()?.clone();
        let is_this = replay["state"] == "running" && replay["selection"]["group"][0] == group;
        (is_this && replay["resolved"].as_u64()? >= each as u64 / 4).then_some(replay)
    });
    driver.kill9();
    let id = replay["id"].as_str().unwrap();
    assert_eq!(replay["total"].as_u64(), Some(each as u64));
    let (_, left) = env.json(&["replay", "status", id]);
    assert!(left["waiting"].as_u64().unwrap() > 0, "the replay ended before the crash: {left}");

    // A message is in one replay at a time, and a replay has one driver.
    let output = env.run(&[&["failed", "replay", "--group", group][..], WHY].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    env.succeed(&[&["replay", "pause", id][..], WHY].concat());
    let output = env.run(&[&["replay", "pause", id][..], WHY].concat());
    assert_eq!(output.status.code(), Some(1), "paused twice: {output:?}");
    // The lease of the killed process expires after some seconds.
    let resumed = eventually("the replay to be resumed", LIMIT, || {
        let (code, answer) = env.json(&[&["replay", "resume", id][..], WHY].concat());
        if code == Some(0) {
            return Some(answer);
        }
        assert_eq!(answer["error"]["code"], "conflict", "{answer}");
        insta::allow_duplicates! {
            insta::assert_snapshot!(answer["error"]["message"].as_str().unwrap(), @"another process drives it");
        }
        None
    });
    assert_eq!(
        (resumed["state"].as_str(), resumed["resolved"].as_u64()),
        (Some("complete"), Some(each as u64)),
        "{resumed}"
    );
}

#[test]
fn replays_an_unroutable_message_to_its_edited_stage() {
    let mut env = TestEnv::new("unrouted");
    let client = env.client();
    let worker = env.work(&[]);
    let properties =
        lapin::BasicProperties::default().with_type("application.v1".into()).with_message_id("m-1".into());
    client.publish(
        &format!("{}work", env.prefix),
        "valiadte",
        application("LOST").to_string().as_bytes(),
        properties,
    );
    env.until_failed(1);
    let (_, rows) = env.items(&["failed", "list"]);
    let (id, row) = (rows[0]["id"].as_str().unwrap(), &rows[0]);
    assert_eq!(
        (row["origin"].as_str(), row["code"].as_str(), row["stage"].as_str()),
        (Some("unroutable"), Some("message.unroutable"), Some("valiadte"))
    );
    let (_, plan) = env.json(&["failed", "replay", id, "--dry-run"]);
    assert_eq!((&plan["messages"], &plan["for_no_stage"]), (&0.into(), &1.into()), "{plan}");
    let output = env.run(&[&["failed", "replay", id][..], WHY].concat());
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(
        String::from_utf8(output.stdout).unwrap(),
        @"1 message is for no stage: it is left out; `hosho failed edit ID --stage STAGE` sets the stage"
    );

    env.succeed(&[&["failed", "edit", id, "--stage", "validate"][..], WHY].concat());
    let (_, replay) = env.json(&[&["failed", "replay", "--code", "message.edited"][..], WHY].concat());
    assert_eq!(
        (&replay["state"], &replay["resolved"], &replay["total"]),
        (&"complete".into(), &1.into(), &1.into())
    );
    eventually("its certificate", LIMIT, || super::is_complete(&env.status_of("LOST")).then_some(()));
    // The original message is discarded, not deleted.
    assert_eq!(env.failed(&[]), [("discarded".to_owned(), 1), ("resolved".to_owned(), 1)].into());
    assert!(env.drain(worker).is_empty());
}

#[test]
fn resolves_a_message_that_its_sender_repeats() {
    let mut env = TestEnv::new("repeated");
    let client = env.client();
    let data = env.data();
    std::fs::remove_file(data.join("branches/31.toml")).unwrap();
    let mut document = application("REPEATED");
    document["branch"] = "31".into();
    env.publish(&client, &document);
    let validating = env.work_on(&["validate"], &[]);
    eventually("the application", LIMIT, || (env.rows("application") == 1).then_some(()));
    env.drain(validating);
    let worker = env.work(&[("DATA__FOLDER", data.to_str().unwrap())]);
    env.until_failed(1);
    assert_eq!(env.drain(worker).values().sum::<u64>(), 0);
    let issue = |report: Value| {
        report["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == "issue").unwrap().clone()
    };
    let stage = issue(env.json(&["stages"]).1);
    assert_eq!(
        (&stage["oldest"], &stage["oldest_is_known"], &stage["circuit"]["state"]),
        (&Value::Null, &true.into(), &"unknown".into()),
        "a dead letter is not in its stage, and no worker reports the circuit: {stage}"
    );

    // The status names the reason why a replay makes no progress.
    let (_, replay) = env.json(&[&["failed", "replay", "--stage", "issue", "--detach"][..], WHY].concat());
    let id = replay["id"].as_str().unwrap();
    let held_up = || env.json(&["replay", "status", id]).1["held_up"].clone();
    let reason = "no worker takes messages of issue: start `hosho work`";
    assert_eq!(held_up(), json!([reason]));
    // The driver prints it too when it has no terminal.
    let mut driver = spawn(env.hosho(&[&["replay", "resume", id][..], WHY].concat()), &env.path("held.log"));
    eventually("the driver to print the reason", LIMIT, || {
        std::fs::read_to_string(env.path("held.log")).ok().filter(|log| log.contains(reason))
    });
    driver.terminate();
    assert_eq!(driver.wait(Duration::from_secs(30)).code(), Some(1));
    env.succeed(&[&["stages", "pause", "issue"][..], WHY].concat());
    assert_eq!(held_up(), json!(["issue is paused by hanako: a test"]));
    env.succeed(&[&["stages", "resume", "issue"][..], WHY].concat());
    env.succeed(&[&["replay", "abort", id][..], WHY].concat());
    // The sender publishes it again after the fix: resolved without a replay.
    let worker = env.work(&[]);
    env.publish(&client, &document);
    eventually("the failed message to be resolved", Duration::from_mins(1), || {
        (env.failed(&[]) == [("resolved".to_owned(), 1)].into()).then_some(())
    });
    env.drain(worker);
}

//! Stopped workers and lost queues.

use hosho_schema::models::mail::State;

use crate::harness::{
    evidence::{STOP, application, lines},
    process::eventually,
    test_env::{LIMIT, TestEnv, example, identities},
};

fn until_ready(env: &TestEnv, stage: &str, count: u64) {
    let queue = format!("stage.{stage}");
    eventually(&format!("{count} messages in {queue}"), LIMIT, || {
        (env.depths()[&queue] == count).then_some(())
    });
}

/// Writes a file with some of the examples.
fn part(env: &TestEnv, name: &str, from: usize, to: usize) -> std::path::PathBuf {
    let text = std::fs::read_to_string(example("applications.jsonl")).unwrap();
    let part: Vec<&str> = text.lines().skip(from).take(to - from).collect();
    std::fs::write(env.path(name), part.join("\n") + "\n").unwrap();
    env.path(name)
}

#[test]
fn recovers_lost_messages_from_the_rows() {
    let mut env = TestEnv::new("recover");
    let tap = env.tap();
    let client = env.client();
    let mut lost = 0;
    // Process some applications up to a stage, then purge the queue of the next stage.
    let stages = hosho::stages::NAMES;
    for (next, (from, to)) in [(1, (0, 3)), (2, (3, 5)), (3, (5, 7)), (4, (7, 10))] {
        let file = part(&env, "part.jsonl", from, to);
        env.enqueue_from_python(&file);
        let worker = env.work_on(&stages[..next], &[]);
        let count = lines(&file).len();
        until_ready(&env, stages[next], count.try_into().unwrap());
        env.drain(worker);
        assert_eq!(
            client.purge(&format!("{}stage.{}", env.prefix, stages[next])),
            u32::try_from(count).unwrap()
        );
        lost += count;
    }
    let file = example("applications.jsonl");
    let lines = lines(&file);
    assert_eq!((lost, env.depths().values().sum::<u64>()), (lines.len(), 0));

    let worker = env.work(&[("SCHEDULE__RECOVER", "* * * * * *"), ("SCHEDULE__RECOVER_AFTER_SECONDS", "1")]);
    let statuses = env.until_complete(&identities(&file), lines.len());
    eventually("a settled pipeline", LIMIT, || tap.is_settled(lost).then_some(()));
    env.drain(worker);
    // Recovery runs every second here and may have published duplicates: process them.
    let worker = env.work(&[]);
    env.until_idle();
    assert_eq!(env.settle_and_drain(&tap, worker, lost), 0);

    let (keys, received) = (env.keys(&statuses), env.smtp.received());
    for line in &lines {
        super::assert_complete(&env, line, super::guarantee_of(&statuses, line), &keys, &received);
    }
    super::assert_no_gaps(&statuses);
    assert_eq!(
        (received.len(), tap.dead().len()),
        (lines.iter().filter(|line| line.mail.is_some()).count(), 0)
    );
    for message in ["guarantee.issued", "application.accepted"] {
        let mut ids: Vec<String> =
            tap.events(message).iter().map(|event| event.message_id().to_owned()).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), if message == "guarantee.issued" { lines.len() } else { 10 });
    }
}

#[test]
fn single_stage_does_only_its_own_work() {
    let mut env = TestEnv::new("alone");
    let tap = env.tap();
    let file = example("applications.jsonl");
    let lines = lines(&file);
    let all = u64::try_from(lines.len()).unwrap();
    env.enqueue_from_python(&file);
    assert_eq!(env.depths()["stage.validate"], 10);
    let stages = hosho::stages::NAMES;
    for (index, counts) in
        [[16, 16, 0, 0, 0], [16, 16, 12, 0, 0], [16, 16, 12, 28, 0]].into_iter().enumerate()
    {
        let (done, next) = if index == 0 {
            (&stages[..2], stages[2])
        } else {
            (&stages[index + 1..index + 2], stages[index + 2])
        };
        let mut worker = env.work_on(done, &[]);
        until_ready(&env, next, all);
        assert!(worker.is_alive());
        // SIGTERM stops the worker cleanly (see `drain`); only work of the next stage remains.
        assert_eq!(env.drain(worker).into_iter().collect::<Vec<_>>(), [(format!("stage.{next}"), all)]);
        let tables = ["guarantee", "revision", "authentication_key", "document", "mail"];
        assert_eq!(tables.map(|table| env.rows(table)), counts, "after {done:?}");
    }
    let worker = env.work_on(&["dispatch"], &[]);
    let statuses = env.until_complete(&identities(&file), lines.len());
    assert_eq!(env.settle_and_drain(&tap, worker, 0), 0);
    assert_eq!(env.keys(&statuses).len(), 12);
    assert_eq!(tap.events("guarantee.issued").len(), lines.len());
    let consuming = env.until_logged("Consumer started", 0);
    let of_render: Vec<_> = consuming.iter().filter(|line| line["stage"] == "render").collect();
    assert_eq!(
        of_render.len(),
        2,
        "one worker consumed the live and the bulk queue of render: {of_render:?}"
    );
}

#[test]
fn sigterm_loses_and_duplicates_nothing() {
    let mut env = TestEnv::new("sigterm");
    let tap = env.tap();
    let file = env.path("many.jsonl");
    let many: Vec<String> =
        (0..60).map(|number| application(&format!("TERM-{number}")).to_string()).collect();
    std::fs::write(&file, many.join("\n") + "\n").unwrap();
    let (applications, lines) = (identities(&file), lines(&file));
    env.enqueue_from_python(&file);
    // During the start, then at the first new row of each table.
    for table in [
        None,
        Some("application"),
        Some("revision"),
        Some("authentication_key"),
        Some("document"),
        Some("mail"),
    ] {
        let before = table.map(|table| (table, env.rows(table)));
        let mut worker = env.work(&[]);
        match before {
            None => drop(env.until_logged("Configuration loaded", 1)),
            Some((table, before)) => {
                eventually(&format!("rows of {table}"), LIMIT, || {
                    (env.rows(table) > before || env.rows("mail") == 60).then_some(())
                });
            }
        }
        worker.terminate();
        let status = worker.wait(STOP);
        assert!(status.success(), "{table:?}: {status}: {}", worker.output());
    }
    let worker = env.work(&[]);
    let statuses = env.until_complete(&applications, lines.len());
    tap.until_events("guarantee.issued", lines.len());
    assert_eq!(env.settle_and_drain(&tap, worker, 0), 0);
    let (keys, received) = (env.keys(&statuses), env.smtp.received());
    for line in lines.iter().step_by(7) {
        super::assert_complete(&env, line, super::guarantee_of(&statuses, line), &keys, &received);
    }
    super::assert_no_gaps(&statuses);
    assert_eq!(
        (keys.len(), env.rows("guarantee"), received.len(), env.mails(&statuses, State::Accepted)),
        (60, 60, 60, 60)
    );
}

//! The broker deletes queues, or cancels a consumer that does not acknowledge.

use std::time::Instant;

use super::{
    LIMIT, acquire_permit,
    applications::{Totals, throw},
    assert_all_mails_accepted_once, dice, setting, wait_out,
    worker_pool::{OF_A_COPY, Progress, WorkerPool},
};
use crate::harness::{process::eventually, rabbit::Rabbit, test_env::TestEnv};

/// Deletes queues of a paused stage, of applications, of a stage with consumers.
/// Until a worker declares a deleted queue again, messages for it are unroutable.
#[test]
fn deleted_stage_queue_loses_no_certificate() {
    let _permit = acquire_permit();
    let mut dice = dice();
    let applications = throw(&mut dice, setting("DELETED").unwrap_or(150));
    let totals = Totals::of(&applications);
    let (first, second) = applications.split_at(applications.len() / 2);
    let mut pool = WorkerPool::new(TestEnv::new("deleted"), applications.len());
    pool.failures = None;
    let client = pool.env.client();
    let delete =
        |pool: &WorkerPool, stage: &str| client.delete_queue(&format!("{}stage.{stage}", pool.env.prefix));

    pool.set_paused("validate", true);
    pool.set_paused("render", true);
    pool.start(&[]);
    pool.enqueue(second, 1);
    let of_validate = delete(&pool, "validate");
    pool.set_paused("validate", false);
    wait_for_queues(&mut pool);
    pool.enqueue(first, 1);
    let before_render = Totals::of(first).guarantees;
    eventually("all work is queued for render", LIMIT, || {
        pool.assert_alive();
        (pool.env.depths()["stage.render"] == before_render as u64).then_some(())
    });
    // No worker publishes to this queue now: RabbitMQ 3.10 may close a connection that does (541), and a
    // worker that reconnects declares all queues.
    let of_render = delete(&pool, "render");
    assert_eq!((of_validate as usize, of_render as usize), (second.len(), before_render), "lost");
    // Applications lost before validation are not in the database; their senders send them again. A worker
    // does not notice the deleted queue of a paused stage.
    pool.enqueue(second, 1);
    eventually("unroutable messages", LIMIT, || {
        pool.assert_alive();
        (pool.number("select count(*) from failed_message where stage = 'render' and state = 'failed'") > 0)
            .then_some(())
    });
    let busy = ["issue", "mint"][dice.below(2)];
    let of_busy = delete(&pool, busy);
    let at = pool.progress(Progress::Rows("guarantee"));
    eprintln!(
        "lost: {of_validate} of validate, {of_render} of render, {of_busy} of {busy} and those in flight, at {at} guarantees"
    );
    pool.set_paused("render", false);
    wait_for_queues(&mut pool);
    pool.drain();
    assert!(pool.progress(Progress::Completed) < totals.guarantees, "nothing was lost");

    // If a message was published twice, one copy may have been routed.
    let failed = pool.number("select count(*) from failed_message where state = 'failed'");
    let kinds = pool.texts("select origin || ' ' || code from failed_message");
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["unroutable message.unroutable"]);
    pool.start(&[]);
    let replayed = pool.env.succeed(&[
        "failed",
        "replay",
        "--code",
        "message.unroutable",
        "--reason",
        "queues restored",
        "--json",
    ]);
    let replayed: serde_json::Value =
        serde_json::from_str(&replayed).unwrap_or_else(|error| panic!("{error}: {replayed}"));
    assert_eq!(
        (replayed["state"].as_str(), replayed["resolved"].as_u64()),
        (Some("complete"), Some(failed as u64)),
        "{replayed}"
    );
    let recovered =
        pool.env.succeed(&["recover", "--older-than", "0s", "--reason", "queues were deleted", "--json"]);
    let recovered: serde_json::Value = serde_json::from_str(&recovered).unwrap();
    let queued: u64 =
        recovered["queued"].as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum();
    assert!(queued >= u64::from(of_render) && recovered["left_to_failed"] == 0, "{recovered}");
    pool.failures = Some(pool.number("select count(*) from failed_message"));
    pool.finish(&totals);
    eprintln!("{failed} unroutable messages; recovered: {}", recovered["queued"]);
    assert_eq!(pool.number("select count(*) from failed_message where state <> 'resolved'"), 0);
    // Recovery published all incomplete work again, including the messages of the replay in flight.
    assert_eq!(pool.attempts_except(&[OF_A_COPY]), Vec::<String>::new());
    assert_all_mails_accepted_once(&mut pool, &applications);
}

/// Waits until the workers have declared the queues again.
fn wait_for_queues(pool: &mut WorkerPool) {
    eventually("declared queues", LIMIT, || {
        pool.assert_alive();
        pool.env.measured().ok()
    });
}

/// The mail server replies later than the acknowledgement timeout of the broker
/// (half an hour in production).
#[test]
fn restarts_consumer_after_delivery_timeout() {
    let _permit = acquire_permit();
    let mut dice = dice();
    let applications = throw(&mut dice, setting("GIVEN_UP").unwrap_or(100));
    let totals = Totals::of(&applications);
    let rabbit = Rabbit::start();
    // Each new channel reads these settings; no worker has opened one yet.
    rabbit.ctl(&["eval", "application:set_env(rabbit, consumer_timeout, 3000), application:set_env(rabbit, channel_tick_interval, 500)."]);
    let database = crate::harness::postgres::database("given_up");
    let mut pool = WorkerPool::new(TestEnv::on("given-up", &rabbit.url(), &database), applications.len());
    // Small batches, so that no other stage reaches the timeout.
    pool.start(&[
        ("WORK__BATCH", "8"),
        ("MAIL__REPLY_TIMEOUT_SECONDS", "60"),
        ("WORK__MAIL_ORPHAN_SECONDS", "120"),
    ]);
    let timeouts = |rabbit: &Rabbit| rabbit.log().matches("timed out waiting for").count();
    for round in 1..=2 {
        pool.env.smtp.script(&[("after_dot", "hold")]);
        if round == 1 {
            pool.enqueue(&applications, 1);
        }
        let began = Instant::now();
        let (before, restarts) = (timeouts(&rabbit), pool.count_logged("Broker failed; consumer restarts"));
        eventually("delivery timeouts of both workers", LIMIT, || {
            pool.assert_alive();
            (timeouts(&rabbit) >= before + 2).then_some(())
        });
        wait_out(&mut pool, began, "GIVEN_UP");
        assert!(
            pool.progress(Progress::Completed) < totals.guarantees,
            "all work was complete before the outage"
        );
        pool.env.smtp.script(&[]);
        // Workers notice when they acknowledge.
        pool.until_logged("Broker failed; consumer restarts", restarts + 2);
    }
    pool.finish(&totals);
    assert_eq!(
        pool.attempts_except(&[OF_A_COPY]),
        Vec::<String>::new(),
        "a delivery timeout counted as an attempt"
    );
    assert_all_mails_accepted_once(&mut pool, &applications);
}

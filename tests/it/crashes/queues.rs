//! The broker takes something away: a stage queue with all that is in it, a consumer that was silent for too long.

use std::time::Instant;

use super::{
    LIMIT,
    applications::{Totals, throw},
    dice, everything_is_accepted_once, outlast, place, setting,
    worker_pool::{Mark, OF_A_COPY, WorkerPool},
};
use crate::harness::{process::eventually, rabbit::Rabbit, test_env::TestEnv};

/// Three losses: a queue in which work waits, the queue of the applications themselves, which no database knows yet, and a queue
/// in the midst of its consumers. Between a loss and the moment when a worker has declared the queue again, messages find none.
#[test]
fn a_stage_queue_that_is_deleted_costs_time_and_no_certificate() {
    let _place = place();
    let mut dice = dice();
    let applications = throw(&mut dice, setting("DELETED").unwrap_or(150));
    let totals = Totals::of(&applications);
    let (first, second) = applications.split_at(applications.len() / 2);
    let mut pool = WorkerPool::new(TestEnv::new("deleted"), applications.len());
    pool.failures = None;
    let client = pool.env.client();
    let delete =
        |pool: &WorkerPool, stage: &str| client.delete_queue(&format!("{}stage.{stage}", pool.env.prefix));

    pool.pause("validate", true);
    pool.pause("render", true);
    pool.start(&[]);
    pool.enqueue(second, 1);
    let of_validate = delete(&pool, "validate");
    pool.pause("validate", false);
    declared_again(&mut pool);
    pool.enqueue(first, 1);
    let before_render = Totals::of(first).guarantees;
    eventually("all of it waits for render", LIMIT, || {
        pool.assert_alive();
        (pool.env.depths()["stage.render"] == before_render as u64).then_some(())
    });
    // While nobody publishes to it: RabbitMQ 3.10 may end a connection that does (541), and a worker that connects anew declares
    // all queues.
    let of_render = delete(&pool, "render");
    assert_eq!((of_validate as usize, of_render as usize), (second.len(), before_render), "lost");
    // What was lost before it was validated is in no database: its senders send it again. Nobody misses the queue of a stage
    // that is paused.
    pool.enqueue(second, 1);
    eventually("messages that found no queue", LIMIT, || {
        pool.assert_alive();
        (pool.number("select count(*) from failed_message where stage = 'render' and state = 'failed'") > 0)
            .then_some(())
    });
    let busy = ["issue", "mint"][dice.below(2)];
    let of_busy = delete(&pool, busy);
    let at = pool.progress(Mark::Rows("guarantee"));
    eprintln!(
        "lost: {of_validate} of validate, {of_render} of render, {of_busy} of {busy} beside what workers held at {at} guarantees"
    );
    pool.pause("render", false);
    declared_again(&mut pool);
    pool.settle();
    assert!(pool.progress(Mark::Completed) < totals.guarantees, "nothing was lost");

    // Of a message that was offered to the broker twice one copy may have found its queue.
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
        "queues are back",
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
    eprintln!("{failed} messages found no queue; queued again: {}", recovered["queued"]);
    assert_eq!(pool.number("select count(*) from failed_message where state <> 'resolved'"), 0);
    // Recovery asked for everything that was not complete, and so for what the replay had on its way.
    assert_eq!(pool.attempts_but_for(&[OF_A_COPY]), Vec::<String>::new());
    everything_is_accepted_once(&mut pool, &applications);
}

/// Waits until workers have declared the queues again.
fn declared_again(pool: &mut WorkerPool) {
    eventually("queues that are declared again", LIMIT, || {
        pool.assert_alive();
        pool.env.measured().ok()
    });
}

/// The mail server thinks for longer than the broker waits for an acknowledgement (half an hour in production).
#[test]
fn a_consumer_that_the_broker_gives_up_starts_anew() {
    let _place = place();
    let mut dice = dice();
    let applications = throw(&mut dice, setting("GIVEN_UP").unwrap_or(100));
    let totals = Totals::of(&applications);
    let rabbit = Rabbit::start();
    // Read by each channel when it is opened, which no worker has done yet.
    rabbit.ctl(&["eval", "application:set_env(rabbit, consumer_timeout, 3000), application:set_env(rabbit, channel_tick_interval, 500)."]);
    let database = crate::harness::postgres::database("given_up");
    let mut pool = WorkerPool::new(TestEnv::on("given-up", &rabbit.url(), &database), applications.len());
    // Small batches: nothing else may take so long that the broker gives it up.
    pool.start(&[
        ("WORK__BATCH", "8"),
        ("MAIL__REPLY_TIMEOUT_SECONDS", "60"),
        ("WORK__MAIL_ORPHAN_SECONDS", "120"),
    ]);
    let given_up = |rabbit: &Rabbit| rabbit.log().matches("timed out waiting for").count();
    for round in 1..=2 {
        pool.env.smtp.script(&[("after_dot", "hold")]);
        if round == 1 {
            pool.enqueue(&applications, 1);
        }
        let began = Instant::now();
        let (before, said) = (given_up(&rabbit), pool.says("Broker failed; consumer restarts"));
        eventually("consumers of both workers that are given up", LIMIT, || {
            pool.assert_alive();
            (given_up(&rabbit) >= before + 2).then_some(())
        });
        outlast(&mut pool, began, "GIVEN_UP");
        assert!(pool.progress(Mark::Completed) < totals.guarantees, "everything was done before");
        pool.env.smtp.script(&[]);
        // They find out when they acknowledge.
        pool.until_said("Broker failed; consumer restarts", said + 2);
    }
    pool.finish(&totals);
    assert_eq!(
        pool.attempts_but_for(&[OF_A_COPY]),
        Vec::<String>::new(),
        "what the broker gave up counted as an attempt"
    );
    everything_is_accepted_once(&mut pool, &applications);
}

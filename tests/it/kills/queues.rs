//! The broker takes something away: a stage queue with all that is in it, a consumer that was silent for too long.

use std::time::Instant;

use super::{
    LIMIT,
    applications::{Totals, throw},
    crew::{Mark, OF_A_COPY, WorkerPool},
    dice, everything_is_accepted_once, outlast, place, setting,
};
use crate::harness::{house::TestEnv, process::eventually, rabbit::Rabbit};

/// Three losses: a queue in which work waits, the queue of the applications themselves, which no database knows yet, and a queue
/// in the midst of its consumers. Between a loss and the moment when a worker has declared the queue again, messages find none.
#[test]
fn a_stage_queue_that_is_deleted_costs_time_and_no_certificate() {
    let _place = place();
    let mut dice = dice();
    let applications = throw(&mut dice, setting("DELETED").unwrap_or(300));
    let totals = Totals::of(&applications);
    let (first, second) = applications.split_at(applications.len() / 2);
    let mut crew = WorkerPool::new(TestEnv::new("deleted"), applications.len());
    crew.failures = None;
    let client = crew.house.client();
    let delete =
        |crew: &WorkerPool, stage: &str| client.delete_queue(&format!("{}stage.{stage}", crew.house.prefix));

    crew.pause("validate", true);
    crew.pause("render", true);
    crew.start(&[]);
    crew.enqueue(second, 1);
    let of_validate = delete(&crew, "validate");
    crew.pause("validate", false);
    declared_again(&mut crew);
    crew.enqueue(first, 1);
    let before_render = Totals::of(first).guarantees;
    eventually("all of it waits for render", LIMIT, || {
        crew.assert_alive();
        (crew.house.depths()["stage.render"] == before_render as u64).then_some(())
    });
    // While nobody publishes to it: RabbitMQ 3.10 may end a connection that does (541), and a worker that connects anew declares
    // all queues.
    let of_render = delete(&crew, "render");
    assert_eq!((of_validate as usize, of_render as usize), (second.len(), before_render), "lost");
    // What was lost before it was validated is in no database: its senders send it again. Nobody misses the queue of a stage
    // that is paused.
    crew.enqueue(second, 1);
    eventually("messages that found no queue", LIMIT, || {
        crew.assert_alive();
        (crew.number("select count(*) from failed_message where stage = 'render' and state = 'failed'") > 0)
            .then_some(())
    });
    let busy = ["issue", "mint"][dice.below(2)];
    let of_busy = delete(&crew, busy);
    let at = crew.progress(Mark::Rows("guarantee"));
    eprintln!(
        "lost: {of_validate} of validate, {of_render} of render, {of_busy} of {busy} beside what workers held at {at} guarantees"
    );
    crew.pause("render", false);
    declared_again(&mut crew);
    crew.settle();
    assert!(crew.progress(Mark::Completed) < totals.guarantees, "nothing was lost");

    // Of a message that was offered to the broker twice one copy may have found its queue.
    let failed = crew.number("select count(*) from failed_message where state = 'failed'");
    let kinds = crew.texts("select origin || ' ' || code from failed_message");
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["unroutable message.unroutable"]);
    crew.start(&[]);
    let replayed = crew.house.succeed(&[
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
        crew.house.succeed(&["recover", "--older-than", "0s", "--reason", "queues were deleted", "--json"]);
    let recovered: serde_json::Value = serde_json::from_str(&recovered).unwrap();
    let queued: u64 =
        recovered["queued"].as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum();
    assert!(queued >= u64::from(of_render) && recovered["left_to_failed"] == 0, "{recovered}");
    crew.failures = Some(crew.number("select count(*) from failed_message"));
    crew.finish(&totals);
    eprintln!("{failed} messages found no queue; queued again: {}", recovered["queued"]);
    assert_eq!(crew.number("select count(*) from failed_message where state <> 'resolved'"), 0);
    // Recovery asked for everything that was not complete, and so for what the replay had on its way.
    assert_eq!(crew.attempts_but_for(&[OF_A_COPY]), Vec::<String>::new());
    everything_is_accepted_once(&mut crew, &applications);
}

/// Waits until workers have declared the queues again.
fn declared_again(crew: &mut WorkerPool) {
    eventually("queues that are declared again", LIMIT, || {
        crew.assert_alive();
        crew.house.measured().ok()
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
    let mut crew = WorkerPool::new(TestEnv::on("given-up", &rabbit.url(), &database), applications.len());
    // Small batches: nothing else may take so long that the broker gives it up.
    crew.start(&[
        ("WORK__BATCH", "8"),
        ("MAIL__REPLY_TIMEOUT_SECONDS", "60"),
        ("WORK__MAIL_ORPHAN_SECONDS", "120"),
    ]);
    let given_up = |rabbit: &Rabbit| rabbit.log().matches("timed out waiting for").count();
    for round in 1..=2 {
        crew.house.smtp.script(&[("after_dot", "hold")]);
        if round == 1 {
            crew.enqueue(&applications, 1);
        }
        let began = Instant::now();
        let (before, said) = (given_up(&rabbit), crew.says("Broker failed; consumer restarts"));
        eventually("consumers of both workers that are given up", LIMIT, || {
            crew.assert_alive();
            (given_up(&rabbit) >= before + 2).then_some(())
        });
        outlast(&mut crew, began, "GIVEN_UP");
        assert!(crew.progress(Mark::Completed) < totals.guarantees, "everything was done before");
        crew.house.smtp.script(&[]);
        // They find out when they acknowledge.
        crew.until_said("Broker failed; consumer restarts", said + 2);
    }
    crew.finish(&totals);
    assert_eq!(
        crew.attempts_but_for(&[OF_A_COPY]),
        Vec::<String>::new(),
        "what the broker gave up counted as an attempt"
    );
    everything_is_accepted_once(&mut crew, &applications);
}

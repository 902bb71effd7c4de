//! Drills: workers, broker or database are killed under load.
//!
//! Afterwards every row, file and mail is checked.
//!
//! - this file: killed processes, lost messages, duplicate messages.
//! - [`nights`]: the nightly run and its workers; [`growth`]: its duration.
//! - [`outages`]: mail server, document store, memory alarm of the broker.
//! - [`queues`]: queues deleted and consumers cancelled by the broker.
//! - [`poison`]: a message that kills its worker.
//!
//! A fault is injected at a progress (rows of a table, mails sent), never at a time, so that the speed of the
//! machine does not matter. The seed is printed; `HOSHO_DRILL_SEED` repeats its choices,
//! `HOSHO_DRILL_APPLICATIONS` and `HOSHO_DRILL_KILLS` set the size (`make soak`). Two drills run at a time.

pub mod applications;
mod assertions;
mod growth;
mod nights;
mod outages;
mod poison;
mod queues;
mod worker_pool;

use std::{
    collections::BTreeSet,
    str::FromStr,
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hosho::{
    broker::{Lane, Source},
    stages::NAMES,
};
use hosho_schema::models::mail::State;

use self::{
    applications::{Application, Dice, Totals, throw},
    assertions::{Received, check_results, compare_mails},
    worker_pool::{CONNECTIONS, Progress, WorkerPool},
};
use crate::harness::{postgres::Postgres, process::eventually, rabbit::Rabbit, test_env::TestEnv};

/// Deadline for one step of a drill.
const LIMIT: Duration = Duration::from_mins(2);

/// Drills in parallel: each spends most of its time waiting for timeouts.
const PARALLEL: usize = 2;

/// One of [`PARALLEL`] permits to run a drill, released on drop.
struct DrillPermit;

static RUNNING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

fn acquire_permit() -> DrillPermit {
    let running = RUNNING.0.lock().unwrap_or_else(PoisonError::into_inner);
    *RUNNING.1.wait_while(running, |running| *running >= PARALLEL).unwrap_or_else(PoisonError::into_inner) +=
        1;
    DrillPermit
}

impl Drop for DrillPermit {
    fn drop(&mut self) {
        *RUNNING.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        RUNNING.1.notify_one();
    }
}

/// A setting of the drills, from the environment.
pub fn setting<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(format!("HOSHO_DRILL_{name}")).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("HOSHO_DRILL_{name} is {text:?}")))
}

/// For `make test`; `make soak` chooses random seeds.
const SEED: u64 = 20_261_130;

/// Prints the seed of a drill; the test runner shows it if the drill fails.
#[expect(clippy::print_stderr, reason = "needed to repeat a failed drill")]
pub fn seed() -> u64 {
    let seed = setting("SEED").unwrap_or(SEED);
    eprintln!("HOSHO_DRILL_SEED={seed}");
    seed
}

fn dice() -> Dice {
    Dice::new(seed())
}

/// The progress at which to inject the next fault, if `left` more faults follow.
fn next_fault(
    pool: &mut WorkerPool,
    dice: &mut Dice,
    totals: &Totals,
    left: usize,
    candidates: &[Progress],
) -> (Progress, usize) {
    let mut marks: Vec<(Progress, usize)> =
        candidates.iter().map(|mark| (*mark, pool.progress(*mark))).collect();
    marks.retain(|(mark, now)| now + left + 1 < mark.end(totals));
    assert!(!marks.is_empty(), "all work is complete: too few applications for this number of faults");
    let (mark, now) = marks[dice.below(marks.len())];
    (mark, now + 1 + dice.below((mark.end(totals) - now) / (left + 2)))
}

/// Waits until the outage has lasted as long as its setting (default: 0 seconds).
fn wait_out(pool: &mut WorkerPool, began: Instant, name: &str) {
    let length = Duration::from_secs(setting(&format!("{name}_SECONDS")).unwrap_or(0));
    eventually("the end of an outage", length + LIMIT, || {
        pool.assert_alive();
        (began.elapsed() >= length).then_some(())
    });
}

/// Checks the results of a drill in which every mail is accepted once.
fn assert_all_mails_accepted_once(pool: &mut WorkerPool, applications: &[Application]) {
    let mails = Totals::of(applications).mails;
    let results = check_results(pool, applications);
    let received = compare_mails(pool, &results);
    assert_eq!(results.mails_in(State::Accepted).len(), mails);
    assert_eq!((pool.env.smtp.count(), received.repeated()), (mails, 0));
}

/// Resends unknown mails.
/// Those that the server had stored then exist twice, and the ledger has two attempts.
fn resend_unknown(
    pool: &mut WorkerPool,
    applications: &[Application],
    unknown: &BTreeSet<String>,
    before: &Received,
) {
    let totals = Totals::of(applications);
    let stored = unknown.iter().filter(|mail| before.copies(mail) > 0).count();
    pool.start(&[("WORK__MAIL_RESEND_SECONDS", "1"), ("SCHEDULE__RESEND", "* * * * * *")]);
    eventually("the second attempts", LIMIT, || {
        pool.assert_alive();
        (pool.number("select count(*) from mail where state not in ('accepted', 'rejected')") == 0)
            .then_some(())
    });
    pool.finish(&totals);
    let results = check_results(pool, applications);
    let received = compare_mails(pool, &results);
    assert_eq!(pool.texts("select id from mail where attempts = 2"), *unknown);
    assert_eq!(received.repeated(), stored);
}

/// Kills workers at random progress, some while the mail server withholds a reply.
#[test]
fn killed_workers_lose_and_repeat_nothing() {
    let _permit = acquire_permit();
    let mut dice = dice();
    let applications = throw(&mut dice, setting("APPLICATIONS").unwrap_or(400));
    let kills = setting("KILLS").unwrap_or(4);
    let totals = Totals::of(&applications);
    let mut pool = WorkerPool::new(TestEnv::new("kills"), applications.len());
    let began = Instant::now();
    pool.start(&[]);
    pool.enqueue(&applications, 1);

    // Mails in flight at a kill. No other mail may have an unknown state afterwards.
    let mut in_flight = BTreeSet::new();
    for kill in 0..kills {
        let during_mail = kill % 3 == 1;
        let candidates = if during_mail { &[Progress::Mails][..] } else { &Progress::ALL };
        let (mark, at) = next_fault(&mut pool, &mut dice, &totals, kills - kill - 1, candidates);
        pool.until(mark, at);
        let victims: &[usize] = if during_mail {
            withhold_reply(&pool);
            &[0, 1]
        } else {
            [&[0][..], &[1], &[0, 1]][dice.below(3)]
        };
        // Mails of earlier kills remain `sending` until they are old enough to become unknown.
        let sending: BTreeSet<String> = pool.kill(victims).difference(&in_flight).cloned().collect();
        eprintln!(
            "kill {}: {victims:?} when {mark:?} reached {at}, reply withheld: {during_mail}; {} in flight",
            kill + 1,
            sending.len()
        );
        assert!(sending.len() <= 2 * CONNECTIONS, "{} mails are in flight", sending.len());
        assert!(!during_mail || !sending.is_empty());
        in_flight.extend(sending);
        pool.env.smtp.script(&[]);
        pool.start(&[]);
    }
    pool.finish(&totals);
    eprintln!(
        "{} applications, {kills} kills: complete after {:.1} s",
        applications.len(),
        began.elapsed().as_secs_f64()
    );

    let results = check_results(&mut pool, &applications);
    let received = compare_mails(&pool, &results);
    let unknown = results.mails_in(State::Unknown);
    let stored = unknown.iter().filter(|mail| received.copies(mail) > 0).count();
    eprintln!(
        "{} mails: {} were in flight, {} are unknown, {stored} of them stored",
        totals.mails,
        in_flight.len(),
        unknown.len()
    );
    eprintln!("{} segments with an unfinished end", results.unfinished_segments);
    let unexplained: Vec<_> =
        unknown.iter().filter(|mail| !in_flight.contains(*mail) && !received.is_unanswered(mail)).collect();
    assert!(
        unexplained.is_empty(),
        "unknown, but neither in flight at a kill nor without a reply: {unexplained:?}"
    );
    assert!(unknown.len() <= kills * 2 * CONNECTIONS);
    assert_eq!(received.repeated(), 0, "a mail was resent too early");

    resend_unknown(&mut pool, &applications, &unknown, &received);
}

/// Lets the mail server store mails without a reply, and waits for the first.
fn withhold_reply(pool: &WorkerPool) {
    let before = unanswered(pool);
    pool.env.smtp.script(&[("after_dot", "hang")]);
    eventually("a mail stored without a reply", LIMIT, || (unanswered(pool) > before).then_some(()));
}

/// Number of mails that the server stored without a reply.
fn unanswered(pool: &WorkerPool) -> usize {
    pool.env.smtp.received().iter().filter(|mail| !mail.replied).count()
}

/// As if every worker of each stage were killed between commit and publish.
#[test]
fn republishes_lost_messages_when_application_is_resent() {
    let _permit = acquire_permit();
    let applications = throw(&mut dice(), setting("LOST").unwrap_or(60));
    let totals = Totals::of(&applications);
    let mut pool = WorkerPool::new(TestEnv::new("lost"), applications.len());
    // The stages of an application; the stages of changes follow `dispatch` in the list.
    let stages = &NAMES[..=NAMES.iter().position(|stage| *stage == "dispatch").unwrap()];
    for last in 0..stages.len() {
        let next = stages.get(last + 1);
        pool.enqueue(&applications, 1);
        pool.run_stages(&stages[..=last], |pool| match next {
            Some(next) => pool.env.depths()[&format!("stage.{next}")] == totals.guarantees as u64,
            None => pool.progress(Progress::Completed) == totals.guarantees,
        });
        if let Some(next) = next {
            assert_eq!(pool.env.lose(Source::Stage(next, Lane::Live)), totals.guarantees, "before {next}");
        }
    }
    // Events too: an upstream system that lost them sends the applications again.
    let listener = pool.env.listen();
    pool.start(&[]);
    pool.enqueue(&applications, 1);
    let events = listener.take(totals.applications + totals.guarantees, LIMIT);
    let issued = events.iter().filter(|event| event.as_str() == "guarantee.issued").count();
    assert_eq!((events.len() - issued, issued), (totals.applications, totals.guarantees));
    pool.finish(&totals);
    let results = check_results(&mut pool, &applications);
    compare_mails(&pool, &results);
    assert_eq!(
        (results.mails_in(State::Accepted).len(), pool.env.smtp.count()),
        (totals.mails, totals.mails)
    );
}

#[test]
fn applies_triplicate_messages_once() {
    let _permit = acquire_permit();
    let applications = throw(&mut dice(), setting("COPIED").unwrap_or(100));
    let totals = Totals::of(&applications);
    let mut pool = WorkerPool::new(TestEnv::new("copies"), applications.len());
    pool.start(&[]);
    pool.enqueue(&applications, 3);
    pool.finish(&totals);
    let results = check_results(&mut pool, &applications);
    let received = compare_mails(&pool, &results);
    assert_eq!(results.mails_in(State::Accepted).len(), totals.mails);
    assert_eq!((pool.env.smtp.count(), received.repeated()), (totals.mails, 0));
}

#[test]
fn reconnects_after_repeated_broker_kills() {
    let _permit = acquire_permit();
    let mut dice = dice();
    let applications = throw(&mut dice, setting("OUTAGE").unwrap_or(150));
    let kills = setting("BROKER_KILLS").unwrap_or(2);
    let totals = Totals::of(&applications);
    let rabbit = Rabbit::start();
    let database = crate::harness::postgres::database("broker_killed");
    // Declare the queues early: RabbitMQ 3.10 may lose a queue if killed within a second of the declaration.
    let mut pool =
        WorkerPool::new(TestEnv::on("broker-killed", &rabbit.url(), &database), applications.len());
    pool.start(&[]);
    pool.until_started();
    pool.enqueue(&applications, 1);
    // A frozen broker receives messages and confirms none; the kill loses all of them. Workers notice late.
    let freeze = dice.below(2 * kills);
    for kill in 0..kills {
        let (mark, at) = next_fault(
            &mut pool,
            &mut dice,
            &totals,
            kills - kill - 1,
            &[Progress::Rows("guarantee"), Progress::Rows("document"), Progress::Mails],
        );
        pool.until(mark, at);
        // A starting worker has no consumer yet and logs another message.
        let noticed = |log: &String| {
            ["The broker failed", "Broker failed", "Broker unavailable"]
                .map(|text| log.matches(text).count())
                .iter()
                .sum::<usize>()
        };
        let before: Vec<usize> = pool.logs().iter().map(noticed).collect();
        if kill == freeze {
            rabbit.freeze();
        } else {
            rabbit.kill9();
        }
        eprintln!("kill {}: when {mark:?} reached {at}; frozen first: {}", kill + 1, kill == freeze);
        eventually("both workers notice", LIMIT, || {
            pool.assert_alive();
            pool.logs().iter().map(noticed).zip(&before).all(|(now, before)| now > *before).then_some(())
        });
        assert!(
            pool.progress(Progress::Completed) < totals.guarantees,
            "all work was complete before the outage"
        );
        if kill == freeze {
            rabbit.kill9();
        }
        rabbit.restart();
    }
    pool.finish(&totals);
    // No worker exited, so every reply of the mail server is recorded.
    assert_all_mails_accepted_once(&mut pool, &applications);
}

#[test]
fn waits_for_unavailable_database() {
    let _permit = acquire_permit();
    let mut dice = dice();
    let applications = throw(&mut dice, setting("OUTAGE").unwrap_or(150));
    let totals = Totals::of(&applications);
    let mut postgres = Postgres::new();
    let database = postgres.database("away");
    let mut pool =
        WorkerPool::new(TestEnv::on("database-away", &rabbit_url(), &database), applications.len());
    // A mail whose reply cannot be recorded yet must not count as orphaned.
    pool.start(&[("WORK__MAIL_ORPHAN_SECONDS", "120")]);
    pool.until_started();
    pool.enqueue(&applications, 1);
    for (outage, stop) in [Postgres::stop, Postgres::kill].into_iter().enumerate() {
        let mark = [
            [Progress::Rows("guarantee"), Progress::Rows("document")],
            [Progress::Rows("mail"), Progress::Mails],
        ][outage][dice.below(2)];
        let now = pool.progress(mark);
        let at = now + 1 + dice.below((mark.end(&totals) - now) / 3);
        pool.until(mark, at);
        if outage == 1 {
            delay_reply(&mut pool);
        }
        let before = pool.count_logged("batch held");
        stop(&mut postgres);
        let began = Instant::now();
        // The mail server replies while no worker can record it.
        pool.env.smtp.script(&[]);
        eprintln!("outage {}: the database was stopped when {mark:?} reached {at}", outage + 1);
        pool.until_logged("batch held", before + 4);
        wait_out(&mut pool, began, "DATABASE_AWAY");
        postgres.start();
        pool.sql = crate::harness::postgres::Session::connect(&pool.env.database);
    }
    pool.finish(&totals);
    assert_eq!(pool.attempts_except(&[]), Vec::<String>::new(), "an outage counted as an attempt");
    assert_all_mails_accepted_once(&mut pool, &applications);
}

/// Lets the mail server delay its replies, and waits until a worker waits for one.
fn delay_reply(pool: &mut WorkerPool) {
    pool.env.smtp.script(&[("after_dot", "hold")]);
    eventually("a delayed reply", LIMIT, || {
        let sending = pool.texts("select '<' || message_id || '>' from mail where state = 'sending'");
        let stored = pool.env.smtp.received();
        stored
            .iter()
            .any(|mail| mail.message_id.as_ref().is_some_and(|id| sending.contains(id)))
            .then_some(())
    });
}

fn rabbit_url() -> String {
    crate::harness::rabbit::shared().url()
}

//! The drills: workers, broker and database die in the midst of the work, and the books balance all the same.
//!
//! - here: whole processes die, messages are lost, or come several times.
//! - [`nights`]: the nightly batch and its workers; [`growth`]: how long it takes.
//! - [`outages`]: mail server, document store and memory of the broker.
//! - [`queues`]: queues and consumers that the broker takes away.
//! - [`poison`]: a message that kills whoever works on it.
//!
//! Moments are chosen by what has been achieved so far (so many rows of a table, so many mails), never by time: the machine
//! may be fast or slow. The seed is printed; `HOSHO_DRILL_SEED` repeats its choices, `HOSHO_DRILL_APPLICATIONS` and
//! `HOSHO_DRILL_KILLS` set the size (`make soak`). Two drills run at a time.

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
    assertions::{Received, balance, compare_mails},
    worker_pool::{CONNECTIONS, Mark, WorkerPool},
};
use crate::harness::{postgres::Postgres, process::eventually, rabbit::Rabbit, test_env::TestEnv};

/// Longest wait for a sign of life.
const LIMIT: Duration = Duration::from_mins(2);

/// Drills at the same time: each spends most of it waiting for something to time out.
const AT_ONCE: usize = 2;

/// A place among the drills that run, given back when it is dropped.
struct Place;

static PLACES: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// Waits for a place.
fn place() -> Place {
    let taken = PLACES.0.lock().unwrap_or_else(PoisonError::into_inner);
    *PLACES.1.wait_while(taken, |taken| *taken >= AT_ONCE).unwrap_or_else(PoisonError::into_inner) += 1;
    Place
}

impl Drop for Place {
    fn drop(&mut self) {
        *PLACES.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        PLACES.1.notify_one();
    }
}

/// A setting of the drills, from the environment.
pub fn setting<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(format!("HOSHO_DRILL_{name}")).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("HOSHO_DRILL_{name} is {text:?}")))
}

/// The seed of `make test`. `make soak` chooses random seeds.
const SEED: u64 = 20_261_130;

/// The seed of a drill, printed when it fails.
#[expect(clippy::print_stderr, reason = "repeats the choices of a failed drill")]
pub fn seed() -> u64 {
    let seed = setting("SEED").unwrap_or(SEED);
    eprintln!("HOSHO_DRILL_SEED={seed}");
    seed
}

fn dice() -> Dice {
    Dice::new(seed())
}

/// A moment to break something: a sign of progress and where it then is. `left` more moments are still to come after it.
fn moment(
    pool: &mut WorkerPool,
    dice: &mut Dice,
    totals: &Totals,
    left: usize,
    of: &[Mark],
) -> (Mark, usize) {
    let mut marks: Vec<(Mark, usize)> = of.iter().map(|mark| (*mark, pool.progress(*mark))).collect();
    marks.retain(|(mark, now)| now + left + 1 < mark.end(totals));
    assert!(!marks.is_empty(), "everything is done already: too few applications for so many moments");
    let (mark, now) = marks[dice.below(marks.len())];
    (mark, now + 1 + dice.below((mark.end(totals) - now) / (left + 2)))
}

/// Lets an outage last for as many seconds as its setting says; without one it is over once it was noticed.
fn outlast(pool: &mut WorkerPool, began: Instant, name: &str) {
    let length = Duration::from_secs(setting(&format!("{name}_SECONDS")).unwrap_or(0));
    eventually("the end of an outage", length + LIMIT, || {
        pool.assert_alive();
        (began.elapsed() >= length).then_some(())
    });
}

/// Balances the books of a drill in which every mail is accepted, and none twice.
fn everything_is_accepted_once(pool: &mut WorkerPool, applications: &[Application]) {
    let mails = Totals::of(applications).mails;
    let books = balance(pool, applications);
    let received = compare_mails(pool, &books);
    assert_eq!(books.mails_in(State::Accepted).len(), mails);
    assert_eq!((pool.env.smtp.count(), received.repeated()), (mails, 0));
}

/// What is in doubt is sent once more; what was stored before is then there twice, and the ledger says so.
fn send_again(
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
    let books = balance(pool, applications);
    let received = compare_mails(pool, &books);
    assert_eq!(pool.texts("select id from mail where attempts = 2"), *unknown);
    assert_eq!(received.repeated(), stored);
}

/// The drill of the drills: whole processes die at random moments, some of them while the mail server holds a mail it has
/// not answered for.
#[test]
fn workers_that_are_killed_lose_nothing_and_do_nothing_twice() {
    let _place = place();
    let mut dice = dice();
    let applications = throw(&mut dice, setting("APPLICATIONS").unwrap_or(400));
    let kills = setting("KILLS").unwrap_or(4);
    let totals = Totals::of(&applications);
    let mut pool = WorkerPool::new(TestEnv::new("kills"), applications.len());
    let began = Instant::now();
    pool.start(&[]);
    pool.enqueue(&applications, 1);

    // What was in flight at the mail server when a worker died: no other mail may be in doubt afterwards.
    let mut in_flight = BTreeSet::new();
    for kill in 0..kills {
        let amid_mail = kill % 3 == 1;
        let of = if amid_mail { &[Mark::Mails][..] } else { &Mark::ALL };
        let (mark, at) = moment(&mut pool, &mut dice, &totals, kills - kill - 1, of);
        pool.until(mark, at);
        let who: &[usize] = if amid_mail {
            keep_silent(&pool);
            &[0, 1]
        } else {
            [&[0][..], &[1], &[0, 1]][dice.below(3)]
        };
        // Those of earlier kills stand there until they are old enough to count as unknown.
        let sending: BTreeSet<String> = pool.kill(who).difference(&in_flight).cloned().collect();
        eprintln!(
            "kill {}: {who:?} when {mark:?} reached {at}, mails held: {amid_mail}; {} in flight",
            kill + 1,
            sending.len()
        );
        assert!(sending.len() <= 2 * CONNECTIONS, "{} mails are said to be in flight", sending.len());
        assert!(!amid_mail || !sending.is_empty());
        in_flight.extend(sending);
        pool.env.smtp.script(&[]);
        pool.start(&[]);
    }
    pool.finish(&totals);
    eprintln!(
        "{} applications, {kills} kills: done after {:.1} s",
        applications.len(),
        began.elapsed().as_secs_f64()
    );

    let books = balance(&mut pool, &applications);
    let received = compare_mails(&pool, &books);
    let unknown = books.mails_in(State::Unknown);
    let stored = unknown.iter().filter(|mail| received.copies(mail) > 0).count();
    eprintln!(
        "{} mails: {} were in flight, {} are unknown, {stored} of them stored",
        totals.mails,
        in_flight.len(),
        unknown.len()
    );
    eprintln!("{} files left half written", books.torn);
    let unexplained: Vec<_> =
        unknown.iter().filter(|mail| !in_flight.contains(*mail) && !received.is_unanswered(mail)).collect();
    assert!(
        unexplained.is_empty(),
        "unknown, and neither in flight at a kill nor left without an answer: {unexplained:?}"
    );
    assert!(unknown.len() <= kills * 2 * CONNECTIONS);
    assert_eq!(received.repeated(), 0, "nothing was sent again yet");

    send_again(&mut pool, &applications, &unknown, &received);
}

/// Makes the mail server take mails without a word, and waits until it has done so.
fn keep_silent(pool: &WorkerPool) {
    let before = unanswered(pool);
    pool.env.smtp.script(&[("after_dot", "hang")]);
    eventually("a mail that is taken and not answered for", LIMIT, || {
        (unanswered(pool) > before).then_some(())
    });
}

/// Mails that the mail server took without answering for them.
fn unanswered(pool: &WorkerPool) -> usize {
    pool.env.smtp.received().iter().filter(|mail| !mail.replied).count()
}

/// Every stage finds its own rows and no message that follows from them: as after a death between commit and publish, for each
/// application and each stage.
#[test]
fn what_was_lost_behind_a_stage_is_published_again_when_the_application_comes_again() {
    let _place = place();
    let applications = throw(&mut dice(), setting("LOST").unwrap_or(60));
    let totals = Totals::of(&applications);
    let mut pool = WorkerPool::new(TestEnv::new("lost"), applications.len());
    // Those that an application goes through; changes have stages of their own behind them.
    let stages = &NAMES[..=NAMES.iter().position(|stage| *stage == "dispatch").unwrap()];
    for last in 0..stages.len() {
        let next = stages.get(last + 1);
        pool.enqueue(&applications, 1);
        pool.run_stages(&stages[..=last], |pool| match next {
            Some(next) => pool.env.depths()[&format!("stage.{next}")] == totals.guarantees as u64,
            None => pool.progress(Mark::Completed) == totals.guarantees,
        });
        if let Some(next) = next {
            assert_eq!(pool.env.lose(Source::Stage(next, Lane::Live)), totals.guarantees, "before {next}");
        }
    }
    // The results, too: an upstream system that lost its answers asks again.
    let listener = pool.env.listen();
    pool.start(&[]);
    pool.enqueue(&applications, 1);
    let events = listener.take(totals.applications + totals.guarantees, LIMIT);
    let issued = events.iter().filter(|event| event.as_str() == "guarantee.issued").count();
    assert_eq!((events.len() - issued, issued), (totals.applications, totals.guarantees));
    pool.finish(&totals);
    let books = balance(&mut pool, &applications);
    compare_mails(&pool, &books);
    assert_eq!((books.mails_in(State::Accepted).len(), pool.env.smtp.count()), (totals.mails, totals.mails));
}

#[test]
fn messages_that_come_three_times_at_once_have_their_effect_once() {
    let _place = place();
    let applications = throw(&mut dice(), setting("COPIED").unwrap_or(100));
    let totals = Totals::of(&applications);
    let mut pool = WorkerPool::new(TestEnv::new("copies"), applications.len());
    pool.start(&[]);
    pool.enqueue(&applications, 3);
    pool.finish(&totals);
    let books = balance(&mut pool, &applications);
    let received = compare_mails(&pool, &books);
    assert_eq!(books.mails_in(State::Accepted).len(), totals.mails);
    assert_eq!((pool.env.smtp.count(), received.repeated()), (totals.mails, 0));
}

#[test]
fn workers_outlive_a_broker_that_is_killed_again_and_again() {
    let _place = place();
    let mut dice = dice();
    let applications = throw(&mut dice, setting("OUTAGE").unwrap_or(150));
    let kills = setting("BROKER_KILLS").unwrap_or(2);
    let totals = Totals::of(&applications);
    let rabbit = Rabbit::start();
    let database = crate::harness::postgres::database("broker_killed");
    // Its topology is applied, and has settled: RabbitMQ 3.10 may lose a queue that is killed within a second of its birth.
    let mut pool =
        WorkerPool::new(TestEnv::on("broker-killed", &rabbit.url(), &database), applications.len());
    pool.start(&[]);
    pool.until_at_work();
    pool.enqueue(&applications, 1);
    // A frozen broker takes what is published and confirms nothing; all of that is lost when it is killed. Noticing it takes long.
    let freeze = dice.below(2 * kills);
    for kill in 0..kills {
        let (mark, at) = moment(
            &mut pool,
            &mut dice,
            &totals,
            kills - kill - 1,
            &[Mark::Rows("guarantee"), Mark::Rows("document"), Mark::Mails],
        );
        pool.until(mark, at);
        // A worker that was still starting has not consumed yet: it says so in other words.
        let noticed = |log: &String| {
            log.matches("The broker failed").count() + log.matches("Broker unavailable").count()
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
        assert!(pool.progress(Mark::Completed) < totals.guarantees, "everything was done before");
        if kill == freeze {
            rabbit.kill9();
        }
        rabbit.restart();
    }
    pool.finish(&totals);
    // The workers lived on and heard what the mail server said.
    everything_is_accepted_once(&mut pool, &applications);
}

#[test]
fn workers_wait_for_a_database_that_is_away() {
    let _place = place();
    let mut dice = dice();
    let applications = throw(&mut dice, setting("OUTAGE").unwrap_or(150));
    let totals = Totals::of(&applications);
    let mut postgres = Postgres::new();
    let database = postgres.database("away");
    let mut pool =
        WorkerPool::new(TestEnv::on("database-away", &rabbit_url(), &database), applications.len());
    // A mail whose answer cannot be written down yet is not one whose worker died.
    pool.start(&[("WORK__MAIL_ORPHAN_SECONDS", "120")]);
    pool.until_at_work();
    pool.enqueue(&applications, 1);
    for (outage, cut) in [Postgres::stop, Postgres::kill].into_iter().enumerate() {
        let mark = [[Mark::Rows("guarantee"), Mark::Rows("document")], [Mark::Rows("mail"), Mark::Mails]]
            [outage][dice.below(2)];
        let now = pool.progress(mark);
        let at = now + 1 + dice.below((mark.end(&totals) - now) / 3);
        pool.until(mark, at);
        if outage == 1 {
            hold_answers(&mut pool);
        }
        let before = pool.says("batch held");
        cut(&mut postgres);
        let began = Instant::now();
        // The mail server answers while nobody can write it down.
        pool.env.smtp.script(&[]);
        eprintln!("outage {}: the database was cut when {mark:?} reached {at}", outage + 1);
        pool.until_said("batch held", before + 4);
        outlast(&mut pool, began, "DATABASE_AWAY");
        postgres.start();
        pool.sql = crate::harness::postgres::Session::connect(&pool.env.database);
    }
    pool.finish(&totals);
    assert_eq!(pool.attempts_but_for(&[]), Vec::<String>::new(), "an outage counted as an attempt");
    everything_is_accepted_once(&mut pool, &applications);
}

/// Makes the mail server hold its answers back, and waits until a worker waits for one.
fn hold_answers(pool: &mut WorkerPool) {
    pool.env.smtp.script(&[("after_dot", "hold")]);
    eventually("an answer that is held back", LIMIT, || {
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

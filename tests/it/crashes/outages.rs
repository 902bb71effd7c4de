//! What a worker needs is in trouble for a while: the mail server, the document store, the broker's memory.
//!
//! The workers live on. What is down for all costs no message an attempt, and afterwards the books balance.

use std::{ffi::CString, os::unix::ffi::OsStrExt as _, path::Path, time::Instant};

use hosho_schema::models::mail::State;

use super::{
    LIMIT,
    applications::{Application, Totals, throw},
    assertions::{balance, compare_mails},
    dice, everything_is_accepted_once, outlast, place, send_again, setting, unanswered,
    worker_pool::{CONNECTIONS, Mark, OF_A_COPY, WorkerPool},
};
use crate::harness::{process::eventually, rabbit::Rabbit, test_env::TestEnv};

/// Makes the mail server refuse the mailboxes that it is to refuse, and misbehave as told besides.
fn misbehave(pool: &WorkerPool, more: &[(&str, &str)]) {
    let refusal =
        |address: &String| (format!("rcpt {address}"), format!("550 5.1.1 <{address}>: no such user"));
    let refusals: Vec<(String, String)> = pool.refused.iter().map(refusal).collect();
    let refusals = refusals.iter().map(|(key, reply)| (key.as_str(), reply.as_str()));
    pool.env.smtp.script(&refusals.chain(more.iter().copied()).collect::<Vec<_>>());
}

/// Away, then turning everybody away, then every mail, then each for now, then silent, then hanging up; some mailboxes never exist.
#[test]
fn a_mail_server_in_trouble_delays_mails_and_loses_none() {
    let _place = place();
    let mut dice = dice();
    let applications = throw(&mut dice, setting("MAIL").unwrap_or(150));
    let totals = Totals::of(&applications);
    let mut pool = WorkerPool::new(TestEnv::new("mail_trouble"), applications.len());
    let with_mail: Vec<&Application> =
        applications.iter().filter(|application| application.mails() > 0).collect();
    let refused: Vec<&Application> = with_mail.into_iter().skip(dice.below(10)).step_by(20).collect();
    pool.refused = refused.iter().filter_map(|application| application.mail_address.clone()).collect();
    let refusals: usize = refused.iter().map(|application| application.mails()).sum();
    pool.failures = Some(refusals);

    misbehave(&pool, &[]);
    pool.start(&[("WORK__HOLD_SECONDS", "3"), ("MAIL__REPLY_TIMEOUT_SECONDS", "3")]);
    pool.until_at_work();
    pool.enqueue(&applications, 1);
    let at = 1 + dice.below(totals.mails / 4);
    pool.until(Mark::Mails, at);
    pool.env.smtp.kill();
    let began = Instant::now();
    eprintln!("the mail server was killed when it had {at} mails");
    pool.until_said("Dependency unavailable; batch requeued", 1);
    outlast(&mut pool, began, "MAIL_AWAY");
    assert!(pool.progress(Mark::Completed) < totals.guarantees, "everything was done before");
    misbehave(&pool, &[("greeting", "421 4.3.0 too many connections")]);
    pool.env.smtp.restart();
    eventually("operators are told what the mail server says", LIMIT, || {
        pool.assert_alive();
        pool.texts("select fault_text from worker_stage where fault_code = 'mail.unavailable'")
            .iter()
            .any(|text| text.contains("421 4.3.0"))
            .then_some(())
    });
    assert_eq!(
        pool.attempts_but_for(&["mail.refused"]),
        Vec::<String>::new(),
        "an outage counted as an attempt"
    );

    // One letter each: the server is well, and the stage goes on with the others.
    for reply in ["421 4.3.2 shutting down", "450 4.2.1 mailbox busy"] {
        misbehave(&pool, &[("rcpt", reply)]);
        pool.until_said(reply, 1);
    }
    for silence in ["hang", "close"] {
        let before = unanswered(&pool);
        misbehave(&pool, &[("after_dot", silence)]);
        eventually("a mail that is taken and not answered for", LIMIT, || {
            pool.assert_alive();
            (unanswered(&pool) > before).then_some(())
        });
    }
    misbehave(&pool, &[]);
    pool.finish(&totals);
    assert_eq!(pool.attempts_but_for(&["mail.refused", "mail.deferred"]), Vec::<String>::new());

    let books = balance(&mut pool, &applications);
    let received = compare_mails(&pool, &books);
    assert_eq!(received.repeated(), 0, "nothing was sent again yet");
    assert_eq!(books.mails_in(State::Rejected).len(), refusals);
    let failed =
        pool.texts("select origin || ' ' || stage || ' ' || code || ' ' || state from failed_message");
    assert_eq!(failed.into_iter().collect::<Vec<_>>(), ["handler dispatch mail.refused failed"]);
    assert_eq!(pool.number("select count(distinct correlation_id) from failed_message"), refused.len());
    let unknown = books.mails_in(State::Unknown);
    let unexplained = unknown.iter().filter(|mail| !received.is_unanswered(mail)).count();
    assert!(
        !unknown.is_empty() && unexplained <= 2 * CONNECTIONS,
        "{unexplained} mails are unknown that were not in flight at the kill"
    );
    send_again(&mut pool, &applications, &unknown, &received);
}

#[test]
fn stages_wait_for_a_document_store_that_cannot_be_written() {
    let _place = place();
    let mut dice = dice();
    let applications = throw(&mut dice, setting("OUTAGE").unwrap_or(150));
    let totals = Totals::of(&applications);
    let mut pool = WorkerPool::new(TestEnv::new("store_away"), applications.len());
    let (store, plug) = (pool.env.path("documents"), pool.env.path("plug"));
    std::fs::write(&plug, "a file where a folder belongs").unwrap();
    pool.start(&[]);
    pool.until_at_work();
    pool.enqueue(&applications, 1);
    let mark = [Mark::Rows("document"), Mark::Arrived, Mark::Mails][dice.below(3)];
    let at = 1 + dice.below(mark.end(&totals) / 4);
    pool.until(mark, at);
    swap(&store, &plug);
    let began = Instant::now();
    eprintln!("the document store went when {mark:?} reached {at}");
    pool.until_said("\"fault.code\":\"documents.unavailable\"", 4);
    outlast(&mut pool, began, "DOCUMENTS_AWAY");
    assert!(pool.progress(Mark::Completed) < totals.guarantees, "everything was done before");
    assert!(store.is_file(), "a worker made the folder anew");
    swap(&store, &plug);
    pool.finish(&totals);
    assert_eq!(pool.attempts_but_for(&[]), Vec::<String>::new(), "an outage counted as an attempt");
    everything_is_accepted_once(&mut pool, &applications);
}

/// Lets two paths change places in one step: there is no moment at which a worker could make the folder anew.
fn swap(one: &Path, other: &Path) {
    let [one, other] = [one, other].map(|path| CString::new(path.as_os_str().as_bytes()).unwrap());
    #[expect(unsafe_code, reason = "renameat2(2) reads two texts that outlive the call")]
    let outcome = unsafe {
        libc::renameat2(libc::AT_FDCWD, one.as_ptr(), libc::AT_FDCWD, other.as_ptr(), libc::RENAME_EXCHANGE)
    };
    assert_eq!(outcome, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_memory_alarm_of_the_broker_holds_up_publishers_and_gives_nothing_back() {
    let _place = place();
    let mut dice = dice();
    let applications = throw(&mut dice, setting("OUTAGE").unwrap_or(150));
    let totals = Totals::of(&applications);
    let rabbit = Rabbit::start();
    let database = crate::harness::postgres::database("alarm");
    let mut pool = WorkerPool::new(TestEnv::on("alarm", &rabbit.url(), &database), applications.len());
    // Everything comes before one stage, so that there is something to publish once the alarm is on.
    let stage = ["issue", "mint", "render", "dispatch"][dice.below(4)];
    pool.pause(stage, true);
    pool.start(&[("BROKER__CONFIRM_TIMEOUT_SECONDS", "1")]);
    pool.until_at_work();
    pool.enqueue(&applications, 1);
    eventually("all work waits", LIMIT, || {
        pool.assert_alive();
        (pool.env.depths()[&format!("stage.{stage}")] == totals.guarantees as u64).then_some(())
    });
    rabbit.ctl(&["set_vm_memory_high_watermark", "0.00001"]);
    pool.pause(stage, false);
    eprintln!("the alarm came when all work waited for {stage}");
    let began = Instant::now();
    let given_back = "Broker failed; consumer restarts";
    // Long enough for a new channel to be asked for in vain, too.
    eventually("publishers that are held up", LIMIT, || {
        pool.assert_alive();
        let held_up = |log: &String| {
            log.contains("Messages not confirmed; publishing them again")
                && log.contains("Publisher channel refused")
        };
        (pool.says(given_back) > 0 || pool.logs().iter().all(held_up)).then_some(())
    });
    outlast(&mut pool, began, "ALARM");
    assert_eq!(pool.says(given_back), 0, "deliveries were given back, which counts for their delivery limit");
    assert!(pool.env.depths()[&format!("stage.{stage}")] > 0, "everything was done before");
    rabbit.ctl(&["set_vm_memory_high_watermark", "0.4"]);
    pool.finish(&totals);
    // What the broker had taken and not confirmed was offered again.
    assert_eq!(pool.attempts_but_for(&[OF_A_COPY]), Vec::<String>::new());
    everything_is_accepted_once(&mut pool, &applications);
}

//! Outages of the mail server, the document store and the memory of the broker.
//!
//! No worker exits, and an outage counts no attempt of any message.

use std::{ffi::CString, os::unix::ffi::OsStrExt as _, path::Path, time::Instant};

use hosho_schema::models::mail::State;

use super::{
    LIMIT, acquire_permit,
    applications::{Application, Totals, throw},
    assert_all_mails_accepted_once,
    assertions::{check_results, compare_mails},
    dice, resend_unknown, setting, unanswered, wait_out,
    worker_pool::{CONNECTIONS, OF_A_COPY, Progress, WorkerPool},
};
use crate::harness::{process::eventually, rabbit::Rabbit, test_env::TestEnv};

/// Makes the mail server reject the mailboxes of `pool.refused`.
/// It also fails as scripted in `faults`.
fn script_faults(pool: &WorkerPool, faults: &[(&str, &str)]) {
    let refusal =
        |address: &String| (format!("rcpt {address}"), format!("550 5.1.1 <{address}>: no such user"));
    let refusals: Vec<(String, String)> = pool.refused.iter().map(refusal).collect();
    let refusals = refusals.iter().map(|(key, reply)| (key.as_str(), reply.as_str()));
    pool.env.smtp.script(&refusals.chain(faults.iter().copied()).collect::<Vec<_>>());
}

/// The server is down, refuses, defers, withholds replies or hangs up.
#[test]
fn failing_mail_server_delays_mails_and_loses_none() {
    let _permit = acquire_permit();
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

    script_faults(&pool, &[]);
    pool.start(&[("WORK__HOLD_SECONDS", "3"), ("MAIL__REPLY_TIMEOUT_SECONDS", "3")]);
    pool.until_started();
    pool.enqueue(&applications, 1);
    let at = 1 + dice.below(totals.mails / 4);
    pool.until(Progress::Mails, at);
    pool.env.smtp.kill();
    let began = Instant::now();
    eprintln!("the mail server was killed after {at} mails");
    pool.until_logged("Dependency unavailable; batch requeued", 1);
    wait_out(&mut pool, began, "MAIL_AWAY");
    assert!(
        pool.progress(Progress::Completed) < totals.guarantees,
        "all work was complete before the outage"
    );
    script_faults(&pool, &[("greeting", "421 4.3.0 too many connections")]);
    pool.env.smtp.restart();
    eventually("the stage status has the reply of the mail server", LIMIT, || {
        pool.assert_alive();
        pool.texts("select fault_text from worker_stage where fault_code = 'mail.unavailable'")
            .iter()
            .any(|text| text.contains("421 4.3.0"))
            .then_some(())
    });
    assert_eq!(
        pool.attempts_except(&["mail.refused"]),
        Vec::<String>::new(),
        "an outage counted as an attempt"
    );

    // Faults of single mails: the server is available, and the stage continues.
    for reply in ["421 4.3.2 shutting down", "450 4.2.1 mailbox busy"] {
        script_faults(&pool, &[("rcpt", reply)]);
        pool.until_logged(reply, 1);
    }
    for silence in ["hang", "close"] {
        let before = unanswered(&pool);
        script_faults(&pool, &[("after_dot", silence)]);
        eventually("a mail stored without a reply", LIMIT, || {
            pool.assert_alive();
            (unanswered(&pool) > before).then_some(())
        });
    }
    script_faults(&pool, &[]);
    pool.finish(&totals);
    assert_eq!(pool.attempts_except(&["mail.refused", "mail.deferred"]), Vec::<String>::new());

    let results = check_results(&mut pool, &applications);
    let received = compare_mails(&pool, &results);
    assert_eq!(received.repeated(), 0, "a mail was resent too early");
    assert_eq!(results.mails_in(State::Rejected).len(), refusals);
    let failed =
        pool.texts("select origin || ' ' || stage || ' ' || code || ' ' || state from failed_message");
    assert_eq!(failed.into_iter().collect::<Vec<_>>(), ["handler dispatch mail.refused failed"]);
    assert_eq!(pool.number("select count(distinct correlation_id) from failed_message"), refused.len());
    let unknown = results.mails_in(State::Unknown);
    let unexplained = unknown.iter().filter(|mail| !received.is_unanswered(mail)).count();
    assert!(
        !unknown.is_empty() && unexplained <= 2 * CONNECTIONS,
        "{unexplained} unknown mails were not in flight at the kill"
    );
    resend_unknown(&mut pool, &applications, &unknown, &received);
}

#[test]
fn waits_for_unwritable_document_store() {
    let _permit = acquire_permit();
    let mut dice = dice();
    let applications = throw(&mut dice, setting("OUTAGE").unwrap_or(150));
    let totals = Totals::of(&applications);
    let mut pool = WorkerPool::new(TestEnv::new("store_away"), applications.len());
    let (store, plug) = (pool.env.path("documents"), pool.env.path("plug"));
    std::fs::write(&plug, "a file instead of a folder").unwrap();
    pool.start(&[]);
    pool.until_started();
    pool.enqueue(&applications, 1);
    let mark = [Progress::Rows("document"), Progress::Arrived, Progress::Mails][dice.below(3)];
    let at = 1 + dice.below(mark.end(&totals) / 4);
    pool.until(mark, at);
    swap(&store, &plug);
    let began = Instant::now();
    eprintln!("the document store was replaced when {mark:?} reached {at}");
    pool.until_logged("\"fault.code\":\"documents.unavailable\"", 4);
    wait_out(&mut pool, began, "DOCUMENTS_AWAY");
    assert!(
        pool.progress(Progress::Completed) < totals.guarantees,
        "all work was complete before the outage"
    );
    assert!(store.is_file(), "a worker created the folder");
    swap(&store, &plug);
    pool.finish(&totals);
    assert_eq!(pool.attempts_except(&[]), Vec::<String>::new(), "an outage counted as an attempt");
    assert_all_mails_accepted_once(&mut pool, &applications);
}

/// Exchanges two paths atomically.
/// No worker can create the folder in between.
fn swap(one: &Path, other: &Path) {
    let [one, other] = [one, other].map(|path| CString::new(path.as_os_str().as_bytes()).unwrap());
    #[expect(unsafe_code, reason = "renameat2(2) reads two strings that outlive the call")]
    let outcome = unsafe {
        libc::renameat2(libc::AT_FDCWD, one.as_ptr(), libc::AT_FDCWD, other.as_ptr(), libc::RENAME_EXCHANGE)
    };
    assert_eq!(outcome, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn memory_alarm_blocks_publishers_without_requeueing() {
    let _permit = acquire_permit();
    let mut dice = dice();
    let applications = throw(&mut dice, setting("OUTAGE").unwrap_or(150));
    let totals = Totals::of(&applications);
    let rabbit = Rabbit::start();
    let database = crate::harness::postgres::database("alarm");
    let mut pool = WorkerPool::new(TestEnv::on("alarm", &rabbit.url(), &database), applications.len());
    // Collect all work before one stage, which then publishes during the alarm.
    let stage = ["issue", "mint", "render", "dispatch"][dice.below(4)];
    pool.set_paused(stage, true);
    pool.start(&[("BROKER__CONFIRM_TIMEOUT_SECONDS", "1")]);
    pool.until_started();
    pool.enqueue(&applications, 1);
    eventually("all work is queued", LIMIT, || {
        pool.assert_alive();
        (pool.env.depths()[&format!("stage.{stage}")] == totals.guarantees as u64).then_some(())
    });
    rabbit.ctl(&["set_vm_memory_high_watermark", "0.00001"]);
    pool.set_paused(stage, false);
    eprintln!("memory alarm when all work was queued for {stage}");
    let began = Instant::now();
    let requeued = "Broker failed; consumer restarts";
    // Long enough for an attempt to open a new channel.
    eventually("blocked publishers", LIMIT, || {
        pool.assert_alive();
        let is_blocked = |log: &String| {
            log.contains("Messages not confirmed; publishing them again")
                && log.contains("Publisher channel refused")
        };
        (pool.count_logged(requeued) > 0 || pool.logs().iter().all(is_blocked)).then_some(())
    });
    wait_out(&mut pool, began, "ALARM");
    assert_eq!(
        pool.count_logged(requeued),
        0,
        "deliveries were requeued, which counts towards their delivery limit"
    );
    assert!(pool.env.depths()[&format!("stage.{stage}")] > 0, "all work was complete before the outage");
    rabbit.ctl(&["set_vm_memory_high_watermark", "0.4"]);
    pool.finish(&totals);
    // Messages that the broker had received and not confirmed were published again.
    assert_eq!(pool.attempts_except(&[OF_A_COPY]), Vec::<String>::new());
    assert_all_mails_accepted_once(&mut pool, &applications);
}

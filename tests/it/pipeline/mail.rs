//! Mails of the pipeline: login, refused and deferred mailboxes, unknown results.

use hosho_schema::models::mail::State;
use serde_json::Value;

use crate::harness::{
    amqp::Message,
    evidence::application,
    process::eventually,
    redact::redacted,
    smtp::{Mode, SmtpServer, ca_file},
    test_env::{LIMIT, TestEnv},
};

/// State, attempts and server reply of the one mail of an application.
fn ledger(env: &TestEnv, id: &str) -> (State, i64, Option<String>) {
    let status = env.status_of(id);
    let mails = &status.guarantees[0].revisions[0].mails;
    assert_eq!(mails.len(), 1, "{id}");
    (mails[0].state, mails[0].attempts, mails[0].reply.clone())
}

fn is_complete(env: &TestEnv, id: &str) -> bool {
    let status = env.status_of(id);
    status
        .guarantees
        .iter()
        .flat_map(|found| &found.revisions)
        .any(|revision| revision.revision.completed_at.is_some())
}

/// Received copies of a mail: Message-ID, and whether the server replied.
fn copies(env: &TestEnv, id: &str) -> Vec<(String, bool)> {
    let to = format!("{}@kanaria.example.jp", id.to_lowercase());
    let mails = env.smtp.received().into_iter().filter(|mail| mail.to == [to.clone()]);
    mails.map(|mail| (mail.message_id.unwrap(), mail.replied)).collect()
}

/// The mail states in the events of an application, in order.
fn mail_states(events: &[Message], id: &str) -> Vec<String> {
    let events = events.iter().map(Message::json).filter(|event| event["id"] == id);
    events.map(|event| event["mail"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn sends_held_mails_after_password_is_corrected() {
    let mut env = TestEnv::new("login");
    env.smtp = SmtpServer::start(Mode::StartTls, Some(("hosho", "correct horse battery")));
    let (right, wrong, ca) = (env.path("right"), env.path("wrong"), ca_file());
    std::fs::write(&right, "correct horse battery\n").unwrap();
    std::fs::write(&wrong, "incorrect zebra\n").unwrap();
    let settings = |password: &'static str| {
        let file = if password == "right" { &right } else { &wrong };
        [
            ("MAIL__HOST", "localhost".to_owned()),
            ("MAIL__SECURITY", "starttls".to_owned()),
            ("MAIL__CA_FILE", ca.display().to_string()),
            ("MAIL__USER", "hosho".to_owned()),
            ("MAIL__PASSWORD_FILE", file.display().to_string()),
        ]
    };
    let tap = env.tap();
    let client = env.client();
    let mut quiet = application("QUIET");
    quiet["notification"] = serde_json::json!({"wanted": false});
    for application in [application("LOGIN-1"), quiet, application("LOGIN-2")] {
        env.publish(&client, &application);
    }

    let wrong = settings("wrong");
    let worker = env.work(&wrong.each_ref().map(|(key, value)| (*key, value.as_str())));
    let waits = env.until_logged("Dependency unavailable; batch held", 2);
    assert!(waits.iter().all(|line| line["fault.code"] == "mail.unavailable"), "{waits:?}");
    let error = waits[0]["error"].as_str().unwrap();
    assert!(error.contains("535"), "{error}");
    eventually("a released mail", LIMIT, || {
        (ledger(&env, "LOGIN-1") == (State::Pending, 0, None)).then_some(())
    });
    assert!(!is_complete(&env, "LOGIN-1") && !is_complete(&env, "LOGIN-2"));
    let shown: Value = serde_json::from_str(&env.succeed(&["status", "LOGIN-1", "--json"])).unwrap();
    let steps = shown[0]["guarantees"][0]["steps"].as_array().unwrap();
    let steps: Vec<(&str, bool)> =
        steps.iter().map(|step| (step["what"].as_str().unwrap(), step["at"].is_string())).collect();
    assert_eq!(&steps[3..], [("mail pending", false), ("complete", false)]);
    let left = env.drain(worker);
    assert_eq!(left.into_keys().collect::<Vec<_>>(), ["stage.dispatch"], "the mails remain in their queue");
    let requeued = tap
        .messages()
        .into_iter()
        .filter(|message| message.exchange == "dead" || message.exchange.starts_with("wait."));
    assert_eq!((requeued.count(), env.smtp.received().len()), (0, 0), "no attempt is counted");

    let right = settings("right");
    let worker = env.work(&right.each_ref().map(|(key, value)| (*key, value.as_str())));
    eventually("the application without a mail", LIMIT, || is_complete(&env, "QUIET").then_some(()));
    for id in ["LOGIN-1", "LOGIN-2"] {
        eventually("a complete guarantee", LIMIT, || is_complete(&env, id).then_some(()));
        assert_eq!((ledger(&env, id).0, ledger(&env, id).1), (State::Accepted, 1));
        assert_eq!(copies(&env, id).len(), 1);
    }
    assert_eq!(env.settle_and_drain(&tap, worker, 0), 0);
    assert_eq!((env.smtp.received().len(), tap.dead().len()), (2, 0));
    let logs = env.logs();
    assert!(!logs.contains("correct horse battery") && !logs.contains("zebra"));
}

#[test]
fn busy_or_unknown_mailbox_affects_no_other() {
    let mut env = TestEnv::new("mailboxes");
    env.smtp.script(&[
        ("rcpt busy@kanaria.example.jp", "1x 450 4.2.1 mailbox busy"),
        ("rcpt full@kanaria.example.jp", "452 4.2.2 mailbox full"),
        ("rcpt absent@kanaria.example.jp", "550 5.1.1 <absent@kanaria.example.jp>: no such user"),
    ]);
    let tap = env.tap();
    let worker = env.work(&[("WORK__RETRY_SECONDS", "1,1")]);
    let client = env.client();
    for id in ["FINE-1", "BUSY", "FULL", "ABSENT", "FINE-2"] {
        env.publish(&client, &application(id));
    }
    let done = tap.until_events("guarantee.issued", 4);
    // The guarantee is issued; the refused mail is a dead letter for an operator.
    assert_eq!(mail_states(&done, "ABSENT"), ["refused"]);
    for id in ["FINE-1", "BUSY", "FINE-2"] {
        assert_eq!(mail_states(&done, id), ["accepted"], "{id}");
        assert_eq!(
            (ledger(&env, id).0, ledger(&env, id).1, copies(&env, id).len()),
            (State::Accepted, 1, 1),
            "{id}"
        );
    }
    let dead = eventually("two dead letters", LIMIT, || Some(tap.dead()).filter(|dead| dead.len() >= 2));
    let dead_letter = |id: &str| {
        let ours = hosho_schema::ids::application("portal", id);
        let found: Vec<&Message> = dead.iter().filter(|message| message.correlation_id() == ours).collect();
        let [message] = found.as_slice() else { panic!("{id}: {} dead letters", found.len()) };
        assert_eq!(
            (message.routing_key.as_str(), message.properties.kind().as_ref().unwrap().as_str()),
            ("dispatch", "dispatch.v1")
        );
        assert!(message.header("hosho-first-failed-at").is_some() && message.header("traceparent").is_some());
        let header = |name| message.header(name).unwrap();
        (header("hosho-fault-code"), header("hosho-attempt"), header("hosho-fault"))
    };
    let (code, attempts, text) = dead_letter("ABSENT");
    assert_eq!((code.as_str(), attempts.as_str()), ("mail.refused", "1"));
    assert!(text.contains("550") && !text.contains("absent@"), "{text}");
    let (code, attempts, text) = dead_letter("FULL");
    // The third attempt is the last: there are two retry delays.
    assert_eq!((code.as_str(), attempts.as_str()), ("mail.deferred", "3"));
    assert!(text.contains("452"), "{text}");

    // Each retry counts its attempt in a header.
    let waits: Vec<_> =
        tap.messages().into_iter().filter(|message| message.exchange.starts_with("wait.")).collect();
    for (id, attempts) in [("BUSY", vec!["1"]), ("FULL", vec!["1", "2"]), ("ABSENT", vec![])] {
        let ours = hosho_schema::ids::application("portal", id);
        let of_this: Vec<_> = waits.iter().filter(|wait| wait.correlation_id() == ours).collect();
        assert_eq!(
            of_this.iter().map(|wait| wait.header("hosho-attempt").unwrap()).collect::<Vec<_>>(),
            attempts,
            "{id}"
        );
        assert!(
            of_this.iter().all(|wait| wait.header("hosho-fault-code").as_deref() == Some("mail.deferred")
                && wait.routing_key == "dispatch")
        );
    }

    assert_eq!(ledger(&env, "FULL"), (State::Pending, 0, None));
    let (state, attempts, reply) = ledger(&env, "ABSENT");
    assert_eq!((state, attempts), (State::Rejected, 1));
    assert!(
        reply.as_deref().is_some_and(|reply| reply.contains("550") && !reply.contains("absent@")),
        "{reply:?}"
    );
    assert!(!is_complete(&env, "FULL") && is_complete(&env, "ABSENT"));
    insta::assert_snapshot!(
        "status_of_refused",
        redacted(&env.succeed(&["status", "ABSENT"]), env.folder.path())
    );

    assert_eq!((env.settle_and_drain(&tap, worker, 0), env.smtp.received().len()), (2, 3));
}

#[test]
fn resends_unknown_mail_once_with_same_id() {
    let mut env = TestEnv::new("unknown");
    let after_dot = |id: &str| format!("after_dot {id}@kanaria.example.jp");
    env.smtp.script(&[
        (&after_dot("once"), "1x close"),
        (&after_dot("twice"), "close"),
        (&after_dot("later"), "1x close"),
    ]);
    let tap = env.tap();
    let worker = env.work(&[("WORK__MAIL_RESEND_SECONDS", "1"), ("SCHEDULE__RESEND", "* * * * * *")]);
    let client = env.client();
    for id in ["ONCE", "FINE", "TWICE"] {
        env.publish(&client, &application(id));
    }
    let accepted_later = |id: &str| {
        eventually(&format!("a second attempt for {id}"), LIMIT, || {
            let events = tap.events("guarantee.issued");
            (mail_states(&events, id) == ["unknown", "accepted"]).then_some(())
        });
        assert_eq!((ledger(&env, id).0, ledger(&env, id).1), (State::Accepted, 2), "{id}");
        let copies = copies(&env, id);
        assert_eq!(copies.iter().map(|(_, replied)| *replied).collect::<Vec<_>>(), [false, true], "{id}");
        assert_eq!(copies[0].0, copies[1].0, "{id}");
    };
    accepted_later("ONCE");
    eventually("the second attempt for TWICE", LIMIT, || {
        (ledger(&env, "TWICE").1 == 2 && copies(&env, "TWICE").len() == 2).then_some(())
    });
    eventually("the final state of TWICE", LIMIT, || {
        (ledger(&env, "TWICE").0 == State::Unknown).then_some(())
    });
    assert!(is_complete(&env, "TWICE"), "an unknown mail does not delay completion");
    insta::assert_snapshot!(
        "status_of_unknown",
        redacted(&env.succeed(&["status", "TWICE"]), env.folder.path())
    );

    // LATER becomes unknown after TWICE: a run of `resend` that sends it would have sent TWICE again too.
    env.publish(&client, &application("LATER"));
    accepted_later("LATER");
    assert_eq!(copies(&env, "TWICE").len(), 2, "an unknown mail is resent once, then an operator decides");
    assert_eq!(copies(&env, "FINE").iter().map(|(_, replied)| *replied).collect::<Vec<_>>(), [true]);

    assert_eq!(env.settle_and_drain(&tap, worker, 0), 0);
    let events = tap.events("guarantee.issued");
    assert_eq!(mail_states(&events, "FINE"), ["accepted"]);
    assert!(mail_states(&events, "TWICE").iter().all(|mail| mail == "unknown"));
    assert_eq!((env.smtp.received().len(), tap.dead().len()), (7, 0));
}

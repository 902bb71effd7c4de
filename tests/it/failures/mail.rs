//! The ledger of mails in the hands of an operator.

use hosho_schema::models::mail::State;
use serde_json::Value;

use super::WHY;
use crate::harness::{
    evidence::application,
    process::eventually,
    test_env::{LIMIT, TestEnv},
};

fn mail(env: &TestEnv, id: &str) -> (String, State, i64) {
    let status = env.status_of(id);
    let mail = status.guarantees[0].revisions[0].mails[0].clone();
    (status.guarantees[0].guarantee.number.clone(), mail.state, mail.attempts)
}

#[test]
fn a_mail_in_doubt_is_settled_by_whoever_knows() {
    let mut env = TestEnv::new("in_doubt");
    env.smtp.script(&[
        ("after_dot there@kanaria.example.jp", "close"),
        ("after_dot lost@kanaria.example.jp", "close"),
        ("rcpt nobody@kanaria.example.jp", "550 5.1.1 no such user"),
    ]);
    let client = env.client();
    for id in ["THERE", "LOST", "NOBODY"] {
        env.publish(&client, &application(id));
    }
    let worker = env.work(&[("WORK__MAIL_RESEND_SECONDS", "1"), ("SCHEDULE__RESEND", "* * * * * *")]);
    for id in ["THERE", "LOST"] {
        eventually("a mail that was sent twice", LIMIT, || {
            let status = env.statuses(&[("portal".to_owned(), id.to_owned())]);
            let mails = status.first()?.guarantees.first()?.revisions.first()?.mails.clone();
            mails.first().filter(|mail| mail.state == State::Unknown && mail.attempts == 2).map(drop)
        });
    }
    env.until_failed(1);
    let (_, unknown) = env.items(&["mail", "unknown"]);
    assert_eq!(unknown.as_array().unwrap().len(), 2, "{unknown}");
    assert!(!unknown.to_string().contains("kanaria"), "an address is shown: {unknown}");

    // The relay's log has one of them, and no trace of the other; and the third address is right by now.
    let (there, _, _) = mail(&env, "THERE");
    let (lost, _, _) = mail(&env, "LOST");
    let (nobody, _, _) = mail(&env, "NOBODY");
    env.succeed(&[&["mail", "resolve", &there, "--outcome", "accepted"][..], WHY].concat());
    assert_eq!(mail(&env, "THERE").1, State::Accepted);
    let output = env.run(&[&["mail", "resolve", &there, "--outcome", "resend"][..], WHY].concat());
    assert_eq!(output.status.code(), Some(1), "what was accepted is not sent again: {output:?}");

    env.smtp.script(&[]);
    let dry = env.succeed(&["mail", "resolve", &lost, "--outcome", "resend", "--dry-run"]);
    assert!(dry.contains("unknown → pending"), "{dry}");
    for number in [&lost, &nobody] {
        env.succeed(&[&["mail", "resolve", number, "--outcome", "resend"][..], WHY].concat());
    }
    for id in ["LOST", "NOBODY"] {
        eventually("the mail to be accepted", LIMIT, || (mail(&env, id).1 == State::Accepted).then_some(()));
    }
    // The refusal was a dead letter; that its mail went through resolves it.
    eventually("the dead letter to be resolved", LIMIT, || {
        (env.failed(&[]) == [("resolved".to_owned(), 1)].into()).then_some(())
    });
    let copies = |address: &str| {
        env.smtp.received().into_iter().filter(|mail| mail.to == [address]).collect::<Vec<_>>()
    };
    let lost = copies("lost@kanaria.example.jp");
    assert_eq!(lost.iter().map(|copy| copy.replied).collect::<Vec<_>>(), [false, false, true]);
    assert!(
        lost.iter().all(|copy| copy.message_id == lost[0].message_id),
        "the Message-ID changed: {lost:?}"
    );
    assert_eq!((copies("there@kanaria.example.jp").len(), copies("nobody@kanaria.example.jp").len()), (2, 1));
    assert_eq!(env.items(&["mail", "unknown", "--all"]).1, Value::Array(Vec::new()));
    let (_, audit) = env.items(&["audit", "--action", "mail."]);
    let told: Vec<String> = audit
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| format!("{} {}", entry["before"].as_str().unwrap(), entry["after"].as_str().unwrap()))
        .collect();
    assert_eq!(told, ["rejected pending", "unknown pending", "unknown accepted"]);
    assert!(env.drain(worker).is_empty());
}

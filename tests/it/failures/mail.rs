//! `hosho mail`: an operator resolves mails in the ledger.

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
fn resolves_mails_with_an_unknown_result() {
    let mut env = TestEnv::new("in_doubt");
    env.smtp.script(&[
        ("after_dot there@kanaria.example.jp", "close"),
        ("after_dot lost@kanaria.example.jp", "close"),
        ("rcpt refused@kanaria.example.jp", "550 5.1.1 no such user"),
    ]);
    let client = env.client();
    for id in ["THERE", "LOST", "REFUSED"] {
        env.publish(&client, &application(id));
    }
    let worker = env.work(&[("WORK__MAIL_RESEND_SECONDS", "1"), ("SCHEDULE__RESEND", "* * * * * *")]);
    for id in ["THERE", "LOST"] {
        eventually("a mail sent twice", LIMIT, || {
            let status = env.statuses(&[("portal".to_owned(), id.to_owned())]);
            let mails = status.first()?.guarantees.first()?.revisions.first()?.mails.clone();
            mails.first().filter(|mail| mail.state == State::Unknown && mail.attempts == 2).map(drop)
        });
    }
    env.until_failed(1);
    let (_, unknown) = env.items(&["mail", "unknown"]);
    assert_eq!(unknown.as_array().unwrap().len(), 2, "{unknown}");
    assert!(!unknown.to_string().contains("kanaria"), "an address is shown: {unknown}");

    // The relay's log contains one mail and not the other; the third address is corrected.
    let (there, _, _) = mail(&env, "THERE");
    let (lost, _, _) = mail(&env, "LOST");
    let (refused, _, _) = mail(&env, "REFUSED");
    env.succeed(&[&["mail", "resolve", &there, "--outcome", "accepted"][..], WHY].concat());
    assert_eq!(mail(&env, "THERE").1, State::Accepted);
    let output = env.run(&[&["mail", "resolve", &there, "--outcome", "resend"][..], WHY].concat());
    assert_eq!(output.status.code(), Some(1), "an accepted mail is resent: {output:?}");

    env.smtp.script(&[]);
    let (_, dry) = env.json(&["mail", "resolve", &lost, "--outcome", "resend", "--dry-run"]);
    assert_eq!((&dry["before"], &dry["after"]), (&"unknown".into(), &"pending".into()), "{dry}");
    for number in [&lost, &refused] {
        env.succeed(&[&["mail", "resolve", number, "--outcome", "resend"][..], WHY].concat());
    }
    for id in ["LOST", "REFUSED"] {
        eventually("the mail to be accepted", LIMIT, || (mail(&env, id).1 == State::Accepted).then_some(()));
    }
    // The accepted mail resolves the dead letter of its refusal.
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
    assert_eq!(
        (copies("there@kanaria.example.jp").len(), copies("refused@kanaria.example.jp").len()),
        (2, 1)
    );
    assert_eq!(env.items(&["mail", "unknown", "--all"]).1, Value::Array(Vec::new()));
    let (_, audit) = env.items(&["audit", "--action", "mail."]);
    let changes: Vec<String> = audit
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| format!("{} {}", entry["before"].as_str().unwrap(), entry["after"].as_str().unwrap()))
        .collect();
    assert_eq!(changes, ["rejected pending", "unknown pending", "unknown accepted"]);
    assert!(env.drain(worker).is_empty());
}

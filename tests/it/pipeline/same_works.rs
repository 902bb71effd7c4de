//! Concurrent applications for the same works.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{
    evidence::{application, assert_events_keep_the_contract},
    process::eventually,
    test_env::{LIMIT, TestEnv, example, identities},
};

/// Number of works, and of concurrent applications for each.
const WORKS: usize = 12;
const RIVALS: usize = 6;

/// An application for works with its own id.
/// Some differ in spelling or medium, or lack the number of the works.
fn rival(works: usize, number: usize) -> Value {
    let mut rival = application(&format!("works-{works}-{number}"));
    let space = if number.is_multiple_of(2) { "" } else { "　" };
    rival["works"]["name"] = format!("架空第{works}号橋{space}補修工事").into();
    if number.is_multiple_of(3) {
        rival["works"].as_object_mut().unwrap().remove("number");
    }
    if number >= RIVALS / 2 {
        rival["products"][0]["medium"] = "paper".into();
    }
    rival
}

#[test]
fn accepts_one_of_concurrent_applications_for_same_works() {
    let mut env = TestEnv::new("rivals");
    let tap = env.tap();
    let client = env.client();
    // Small batches and several consumers, so that concurrent transactions decide applications for the same
    // works.
    let settings = [("WORK__BATCH", "3"), ("WORK__CONCURRENCY", "3")];
    for number in 0..RIVALS {
        for works in 0..WORKS {
            env.publish(&client, &rival(works, number));
        }
    }
    let other = env.work_on(&["validate"], &settings);
    let worker = env.work(&settings);
    let accepted = tap.until_events("application.accepted", WORKS);
    let rejected = tap.until_events("application.rejected", WORKS * (RIVALS - 1));
    tap.until_events("guarantee.issued", WORKS);
    env.drain(other);
    assert_eq!(env.settle_and_drain(&tap, worker, 0), 0);

    let mut winners: BTreeMap<String, usize> = BTreeMap::new();
    for event in &accepted {
        let id = event.json()["id"].as_str().unwrap().to_owned();
        *winners.entry(id.rsplit_once('-').unwrap().0.to_owned()).or_default() += 1;
    }
    assert_eq!((winners.len(), winners.values().max()), (WORKS, Some(&1)), "{winners:?}");
    for event in &rejected {
        let event = event.json();
        let [violation] = &event["violations"].as_array().unwrap()[..] else { panic!("{event:#}") };
        match violation["code"].as_str().unwrap() {
            "product.already_applied" => assert_eq!(violation["path"], "$.products[0].product"),
            "medium.fixed" => assert_eq!(violation["path"], "$.products[0].medium"),
            other => panic!("{other}: {event:#}"),
        }
        let calculation = &event["calculations"][0];
        assert_eq!(
            (&calculation["code"], &calculation["kept"]),
            (&json!("amount.exceeds_cap"), &json!(true)),
            "{event:#}"
        );
    }
    assert_eq!(
        (env.rows("engagement"), env.rows("guarantee")),
        (WORKS.try_into().unwrap(), WORKS.try_into().unwrap())
    );
    assert_events_keep_the_contract(&tap);
}

#[test]
fn accepts_interim_advance_after_advance_is_issued() {
    let mut env = TestEnv::new("interim");
    let tap = env.tap();
    let worker = env.work(&[]);
    let advances = identities(&example("applications.jsonl"));
    env.enqueue_from_python(&example("interim.jsonl"));
    let early = tap.until_events("application.rejected", 2);
    for event in early {
        assert_eq!(
            event.json()["violations"][0]["code"],
            "interim_advance.no_advance_payment",
            "{}",
            event.all_text()
        );
    }
    env.enqueue_from_python(&example("applications.jsonl"));
    env.until_complete(&advances, 16);

    let client = env.client();
    for (number, line) in std::fs::read_to_string(example("interim.jsonl")).unwrap().lines().enumerate() {
        let mut again: Value = serde_json::from_str(line).unwrap();
        again["id"] = format!("interim-{number}").into();
        env.publish(&client, &again);
    }
    eventually("the interim guarantees", LIMIT, || {
        (tap.events("guarantee.issued").len() == 18).then_some(())
    });
    let total = tap
        .events("application.accepted")
        .iter()
        .flat_map(|event| event.json()["calculations"].as_array().unwrap().clone())
        .filter(|calculation| calculation["code"] == "amount.exceeds_total")
        .map(|calculation| {
            (calculation["amount"].clone(), calculation["limit"].clone(), calculation["percentage"].clone())
        })
        .collect::<Vec<_>>();
    assert!(total.contains(&(json!(23_100_000), json!(23_100_000), json!("60.0"))), "{total:?}");
    assert!(total.contains(&(json!(9_900_000), json!(9_900_000), json!("60.0"))), "{total:?}");
    assert_eq!(env.settle_and_drain(&tap, worker, 0), 0);
    assert_events_keep_the_contract(&tap);
}

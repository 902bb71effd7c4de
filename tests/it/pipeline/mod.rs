//! The pipeline on real servers, from a foreign AMQP client to the received mail.
//!
//! `examples/enqueue.py` or a plain AMQP client publishes the applications of `examples/`, not the product's
//! own publisher (except in tests of `hosho enqueue`). Results are checked with foreign tools: PDFs with
//! pdftotext, mails with Python's parser, events with the committed schemas, the database with pg_dump.

mod commands;
mod mail;
mod moving;
mod plans;
mod recovery;
mod runs;
mod same_works;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};

use hosho_schema::{
    models::{document::Kind, mail::State},
    queries::status::{ApplicationStatus, GuaranteeStatus},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::harness::{
    amqp::Message,
    documents::assert_size,
    evidence::{Line, assert_events_keep_the_contract, lines},
    smtp::{self, Received},
    test_env::{TestEnv, example, identities},
};

/// The guarantee of a line of an application.
fn guarantee_of<'a>(statuses: &'a [ApplicationStatus], line: &Line) -> &'a GuaranteeStatus {
    let of_line = |status: &&ApplicationStatus| {
        status.application.source == line.source && status.application.upstream_id == line.id
    };
    let status = statuses.iter().find(of_line).unwrap_or_else(|| panic!("no application {}", line.id));
    let mut guarantees = status.guarantees.iter().filter(|found| found.guarantee.line == line.index);
    let guarantee =
        guarantees.next().unwrap_or_else(|| panic!("no guarantee for {} line {}", line.id, line.index));
    assert!(guarantees.next().is_none(), "two guarantees for {} line {}", line.id, line.index);
    guarantee
}

fn wire(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

/// Certificate, key, documents and mail of a line exist once and match each other.
fn assert_complete(
    env: &TestEnv,
    line: &Line,
    status: &GuaranteeStatus,
    keys: &BTreeMap<String, String>,
    received: &[Received],
) {
    let (guarantee, context) = (&status.guarantee, format!("{} line {}", line.id, line.index));
    assert_eq!(
        (wire(guarantee.product), wire(guarantee.medium)),
        (line.product.clone(), line.medium.clone()),
        "{context}"
    );
    let [revision] = status.revisions.as_slice() else {
        panic!("{context}: {} certificates", status.revisions.len())
    };
    let certificate = &revision.revision;
    assert!(
        certificate.arrived_at.is_some() && certificate.completed_at >= certificate.arrived_at,
        "{context}"
    );

    let key = keys.get(&guarantee.number);
    assert_eq!(
        (key.is_some(), status.key_minted_at.is_some()),
        (line.medium == "electronic", line.medium == "electronic"),
        "{context}"
    );
    let kinds: Vec<Kind> = revision.documents.iter().map(|document| document.kind).collect();
    assert_eq!(
        kinds,
        if key.is_some() { vec![Kind::Certificate, Kind::Notice] } else { vec![Kind::Certificate] },
        "{context}"
    );
    for document in &revision.documents {
        let bytes = env.document(document);
        assert_size(document, &bytes);
        let text = env.pdf_text(document);
        assert!(text.contains(&guarantee.number), "{context}: {:?} lacks its number: {text}", document.kind);
        let others = keys.values().filter(|other| Some(*other) != key || document.kind == Kind::Certificate);
        for foreign in others {
            assert!(
                !text.contains(foreign.as_str()),
                "{context}: {:?} contains the key of another guarantee",
                document.kind
            );
        }
        if let (Kind::Notice, Some(key)) = (document.kind, key) {
            assert!(text.contains(key.as_str()), "{context}: the notice lacks the key: {text}");
        }
    }

    let mails: Vec<_> =
        revision.mails.iter().map(|mail| (mail.recipient.clone(), mail.state, mail.attempts)).collect();
    assert_eq!(
        mails,
        line.mail.iter().map(|to| (to.clone(), State::Accepted, 1)).collect::<Vec<_>>(),
        "{context}"
    );
    for ledger in &revision.mails {
        let with_id =
            |mail: &&Received| mail.message_id.as_deref() == Some(&format!("<{}>", ledger.message_id));
        let copies: Vec<&Received> = received.iter().filter(with_id).collect();
        let [mail] = copies.as_slice() else { panic!("{context}: received {} times", copies.len()) };
        assert_eq!(mail.to, std::slice::from_ref(&ledger.recipient), "{context}");
        let parsed = smtp::parse(&mail.file);
        let [attachment] = parsed.attachments.as_slice() else {
            panic!("{context}: {:?}", parsed.attachments)
        };
        assert_eq!(
            attachment.sha256,
            hex::encode(Sha256::digest(env.document(&revision.documents[1]))),
            "{context}: the attachment is not the stored notice"
        );
        assert_eq!(
            (attachment.name.as_str(), attachment.media_type.as_str()),
            (&*format!("{}_notice.pdf", guarantee.number), "application/pdf")
        );
        for text in
            [parsed.header("subject"), parsed.text.as_deref().unwrap(), parsed.html.as_deref().unwrap()]
        {
            assert!(text.contains(&guarantee.number), "{context}: {text}");
        }
        assert_eq!((parsed.header("to"), parsed.defects.len()), (ledger.recipient.as_str(), 0), "{context}");
    }
}

/// Numbers of a branch and term run from 1 without a gap.
fn assert_no_gaps(statuses: &[ApplicationStatus]) {
    let mut sequences: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
    for guarantee in statuses.iter().flat_map(|status| &status.guarantees).map(|found| &found.guarantee) {
        let (series, sequence) = guarantee.number.split_once('-').unwrap();
        let sequence: i64 =
            sequence.trim_end_matches(|suffix: char| suffix.is_ascii_alphabetic()).parse().unwrap();
        assert_eq!(sequence, guarantee.sequence);
        assert!(sequences.entry(series).or_default().insert(sequence), "{} twice", guarantee.number);
    }
    for (series, used) in sequences {
        assert!(used.iter().copied().eq(1..=i64::try_from(used.len()).unwrap()), "{series}: {used:?}");
    }
}

#[test]
fn issues_every_example_exactly_once() {
    let mut env = TestEnv::new("examples");
    let tap = env.tap();
    let mut worker = env.work(&[]);
    let file = example("applications.jsonl");
    let (applications, lines) = (identities(&file), lines(&file));
    let python_events = env.enqueue_and_listen(&file, applications.len() + lines.len());
    let statuses = env.until_complete(&applications, lines.len());

    // Every result exists once and is correct.
    let (keys, received) = (env.keys(&statuses), env.smtp.received());
    for line in &lines {
        assert_complete(&env, line, guarantee_of(&statuses, line), &keys, &received);
    }
    assert_no_gaps(&statuses);
    assert_eq!(received.len(), lines.iter().filter(|line| line.mail.is_some()).count());
    let electronic = lines.iter().filter(|line| line.medium == "electronic").count();
    assert_eq!(keys.values().collect::<BTreeSet<_>>().len(), electronic, "two guarantees have the same key");
    let rows = ["application", "guarantee", "revision", "authentication_key", "document", "mail"]
        .map(|table| env.rows(table));
    assert_eq!(
        rows.map(|count| usize::try_from(count).unwrap()),
        [10, 16, 16, electronic, 16 + electronic, received.len()]
    );

    // The Python client and the Rust client receive the same events.
    let mut rust_events: Vec<Value> = ["application.accepted", "guarantee.issued"]
        .into_iter()
        .flat_map(|key| {
            tap.events(key)
                .into_iter()
                .map(move |event| serde_json::json!({"event": key, "result": event.json()}))
        })
        .collect();
    let mut python_events = python_events;
    for events in [&mut rust_events, &mut python_events] {
        events.sort_by_key(ToString::to_string);
    }
    assert_eq!(python_events, rust_events);
    assert_eq!(tap.events("application.accepted").len(), applications.len());
    for line in &lines {
        let status = guarantee_of(&statuses, line);
        let events = tap.events("guarantee.issued").into_iter().map(|event| event.json());
        let events: Vec<Value> =
            events.filter(|event| event["id"] == line.id.as_str() && event["line"] == line.index).collect();
        let [event] = events.as_slice() else { panic!("{} line {}: {events:?}", line.id, line.index) };
        let mail = if line.mail.is_some() { "accepted" } else { "not_wanted" };
        let fields = ["number", "product", "medium", "mail", "certificate_sha256"]
            .map(|key| event[key].as_str().unwrap());
        let sha256 = status.revisions[0].documents[0].sha256.as_str();
        assert_eq!(fields, [status.guarantee.number.as_str(), &line.product, &line.medium, mail, sha256]);
    }

    // Publish the same applications again with each client, and one with other white space.
    let before = env.evidence();
    env.enqueue_from_python(&file);
    assert_eq!(
        env.succeed(&["enqueue", file.to_str().unwrap()]).trim(),
        "10 read, 10 confirmed, 0 not confirmed"
    );
    let text = std::fs::read_to_string(&file).unwrap();
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let client = env.client();
    let work = format!("{}work", env.prefix);
    client.publish(
        &work,
        "validate",
        serde_json::to_string_pretty(&first).unwrap().as_bytes(),
        lapin::BasicProperties::default(),
    );
    let accepted = tap.until_events("application.accepted", 31);
    let issued = tap.until_events("guarantee.issued", 50);
    before.assert_same(&env.evidence());
    for events in [accepted, issued] {
        let mut by_id: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for event in events {
            by_id.entry(event.message_id().to_owned()).or_default().insert(event.body);
        }
        assert!([applications.len(), lines.len()].contains(&by_id.len()), "{} message ids", by_id.len());
        assert!(by_id.values().all(|bodies| bodies.len() == 1), "one message id with two contents");
    }

    // Another content with a used id is rejected and changes nothing.
    let mut other = first;
    other["works"]["contract_price"] = "38,500,001".into();
    env.publish(&client, &other);
    let rejected = tap.until_events("application.rejected", 1).remove(0).json();
    assert_eq!(
        (rejected["id"].as_str(), rejected["violations"][0]["code"].as_str()),
        (Some("2026-0001"), Some("application.id_reused"))
    );
    assert_eq!(
        (rejected["violations"][0]["path"].as_str(), rejected["violations"].as_array().unwrap().len()),
        (Some("$.id"), 1)
    );

    assert!(worker.is_alive());
    assert_eq!(env.settle_and_drain(&tap, worker, 0), 0);
    before.assert_same(&env.evidence());
    let totals =
        ["application.accepted", "guarantee.issued", "application.rejected"].map(|key| tap.events(key).len());
    assert_eq!((totals, tap.dead().len()), ([31, 50, 1], 0));
    assert_events_keep_the_contract(&tap);
}

#[test]
fn rejects_each_invalid_example_with_its_code() {
    let mut env = TestEnv::new("rejected");
    let tap = env.tap();
    let worker = env.work(&[]);
    let file = example("rejected.jsonl");
    env.succeed(&["enqueue", file.to_str().unwrap()]);
    let applications = identities(&file);
    let events = tap.until_events("application.rejected", applications.len());
    for (source, id) in &applications {
        let answers: Vec<Value> = events
            .iter()
            .map(Message::json)
            .filter(|event| {
                (&event["source"], &event["id"]) == (&source.as_str().into(), &id.as_str().into())
            })
            .collect();
        let [answer] = answers.as_slice() else { panic!("{id} has {} answers", answers.len()) };
        // Ids are `rejected-<code>`, followed by `:` and a variant if there are several.
        let code = id.strip_prefix("rejected-").unwrap().split([':', '#']).next().unwrap();
        let codes: Vec<&str> = answer["violations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|violation| violation["code"].as_str().unwrap())
            .collect();
        assert!(codes.contains(&code), "{id}: {codes:?}");
    }
    assert_eq!(env.settle_and_drain(&tap, worker, 0), 0);
    assert_eq!((env.rows("guarantee"), env.smtp.received().len(), tap.dead().len()), (0, 0, 0));
    assert_eq!(tap.messages().len(), applications.len() * 2, "one event for each message");
    assert_events_keep_the_contract(&tap);
}

//! RabbitMQ alone: network failures, topology changes, foreign clients, TLS.

use std::{error::Error, time::Duration};

use hosho::broker::{
    Broker, BrokerError, Destination, Lane, Source,
    rabbit::{Rabbit, RabbitOptions, topology},
};
use lapin::{
    BasicProperties, Connection, ConnectionProperties, ExchangeKind,
    options::{
        BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
        QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};

use super::{LIMIT, LIVE, STAGES, TO_LIVE, bodies, connect, message, numbered, ready, soon, take};
use crate::harness::{self, process::becomes};

/// Connects a client without the product's code.
async fn foreign() -> Connection {
    Connection::connect(&harness::rabbit::shared().url(), ConnectionProperties::default()).await.unwrap()
}

fn arguments(pairs: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in pairs {
        table.insert((*key).into(), value.clone());
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applies_topology_once_and_reports_differences() {
    let rabbit = connect("topology");
    let nothing = topology::check(&rabbit).await.unwrap();
    assert_eq!((nothing.present, nothing.created.len(), nothing.is_good()), (0, 0, false));
    let all = nothing.missing.len();

    let first = topology::apply(&rabbit).await.unwrap();
    assert_eq!((first.created.len(), first.present, first.waited_s), (all, 0, 3));
    assert_eq!(first.created, nothing.missing);
    let again = topology::apply(&rabbit).await.unwrap();
    assert_eq!((again.created.len(), again.present, again.waited_s), (0, all, 0));
    let good = topology::check(&rabbit).await.unwrap();
    assert!(good.is_good() && good.present == all, "{good}");

    let channel = foreign().await.create_channel().await.unwrap();
    channel.queue_delete("topology.stage.issue".into(), QueueDeleteOptions::default()).await.unwrap();
    channel
        .exchange_delete("topology.events".into(), lapin::options::ExchangeDeleteOptions::default())
        .await
        .unwrap();
    // Twice, because a check must not create anything.
    for _ in 0..2 {
        let report = topology::check(&rabbit).await.unwrap();
        assert_eq!(report.missing, ["exchange topology.events", "topology.stage.issue"]);
        assert!(!report.is_good());
    }
    let repaired = topology::apply(&rabbit).await.unwrap();
    assert_eq!(repaired.created, ["exchange topology.events", "topology.stage.issue"]);
    // The binding is restored too.
    rabbit.publisher().await.unwrap().publish(numbered(&TO_LIVE, 0..1)).await.unwrap();
    ready(&rabbit, "stage.issue", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_queues_with_other_settings() {
    let channel = foreign().await.create_channel().await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    let other = arguments(&[("x-queue-type", text("quorum")), ("x-delivery-limit", AMQPValue::LongInt(3))]);
    channel.queue_declare("other.stage.issue".into(), durable, other).await.unwrap();
    channel
        .exchange_declare(
            "other.dead".into(),
            ExchangeKind::Topic,
            ExchangeDeclareOptions { durable: true, ..Default::default() },
            FieldTable::default(),
        )
        .await
        .unwrap();

    let rabbit = connect("other");
    let report = topology::check(&rabbit).await.unwrap();
    assert_eq!(report.different.len(), 2, "{report}");
    assert!(report.different.iter().all(|text| text.starts_with("PRECONDITION_FAILED")), "{report}");
    let error = topology::apply(&rabbit).await.unwrap_err();
    let BrokerError::Topology(text) = &error else { panic!("{error:?}") };
    for word in ["'other.stage.issue'", "x-", "'other.dead'", "'type'"] {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_or_restores_missing_queue() {
    let without_topology = connect("missing");
    let error = without_topology.consume(LIVE, 1).await.map(|_| ()).unwrap_err();
    assert!(
        matches!(&error, BrokerError::Topology(text) if text.contains("'missing.stage.issue'")),
        "{error}"
    );
    let error =
        without_topology.publisher().await.unwrap().publish(numbered(&TO_LIVE, 0..2)).await.unwrap_err();
    assert!(
        matches!(&error, BrokerError::NotConfirmed { unconfirmed, total: 2, problem } if unconfirmed == &[0, 1] && problem.contains("missing.work")),
        "{error:?}"
    );

    // A client that has applied the topology restores it.
    let worker = connect("missing");
    topology::apply(&worker).await.unwrap();
    let mut consumer = worker.consume(LIVE, 1).await.unwrap();
    let connection = foreign().await;
    let channel = connection.create_channel().await.unwrap();
    channel.queue_delete("missing.stage.issue".into(), QueueDeleteOptions::default()).await.unwrap();
    let ended = soon(consumer.next_batch(1)).await.unwrap_err();
    assert!(matches!(ended, BrokerError::Unavailable { .. }), "{ended:?}");
    let mut consumer = worker.consume(LIVE, 1).await.unwrap();
    let mut publisher = worker.publisher().await.unwrap();
    publisher.publish(numbered(&TO_LIVE, 0..1)).await.unwrap();
    assert_eq!(bodies(&take(&mut consumer, 1).await), ["0"]);

    channel
        .exchange_delete("missing.work".into(), lapin::options::ExchangeDeleteOptions::default())
        .await
        .unwrap();
    assert!(publisher.publish(numbered(&TO_LIVE, 1..2)).await.is_err());
    worker.publisher().await.unwrap().publish(numbered(&TO_LIVE, 2..3)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepts_messages_of_foreign_clients() {
    let rabbit = connect("foreign");
    topology::apply(&rabbit).await.unwrap();
    let channel = foreign().await.create_channel().await.unwrap();
    let weird = arguments(&[
        ("hosho-attempt", text("not a number")),
        ("hosho-fault", AMQPValue::LongString(vec![0xff, 0xfe].into())),
        ("hosho-first-failed-at", AMQPValue::Double(0.5)),
        ("traceparent", AMQPValue::FieldTable(FieldTable::default())),
        ("x-death", text("forged")),
    ]);
    let properties = [
        BasicProperties::default(),
        BasicProperties::default().with_headers(weird).with_message_id("申込".into()),
    ];
    for (body, properties) in [&b""[..], &[0xff; 3][..]].into_iter().zip(properties) {
        channel
            .basic_publish(
                "foreign.work".into(),
                "issue".into(),
                BasicPublishOptions::default(),
                body,
                properties,
            )
            .await
            .unwrap();
    }
    let mut consumer = rabbit.consume(LIVE, 1).await.unwrap();
    let plain = take(&mut consumer, 1).await.remove(0);
    consumer.ack(plain.tag).await.unwrap();
    let weird = take(&mut consumer, 1).await.remove(0);
    assert_eq!(
        (plain.envelope.message_id, plain.envelope.message_type, plain.envelope.payload.len()),
        (None, None, 0)
    );
    assert_eq!((weird.envelope.message_id.as_deref(), weird.envelope.payload.len()), (Some("申込"), 3));
    assert_eq!((plain.envelope.history, weird.envelope.history), Default::default());
    assert_eq!(weird.envelope.traceparent, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_messages_refused_by_full_queue() {
    let channel = foreign().await.create_channel().await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    // Like a policy of an operator, but exact.
    let small = arguments(&[("x-max-length", AMQPValue::LongInt(2)), ("x-overflow", text("reject-publish"))]);
    channel
        .exchange_declare(
            "full.work".into(),
            ExchangeKind::Direct,
            ExchangeDeclareOptions::default(),
            FieldTable::default(),
        )
        .await
        .unwrap();
    channel.queue_declare("full.stage.issue".into(), durable, small).await.unwrap();
    channel
        .queue_bind(
            "full.stage.issue".into(),
            "full.work".into(),
            "issue".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
        .unwrap();

    let rabbit = connect("full");
    let mut messages = numbered(&TO_LIVE, 0..5);
    // Unroutable messages are confirmed, because this exchange has no alternate.
    messages.push(message(Destination::Stage("unknown", Lane::Live), ""));
    let error = rabbit.publisher().await.unwrap().publish(messages).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "3 of 6 messages were not confirmed: full.work refused it: the queue behind it is full or unavailable"
    );
    assert!(
        matches!(&error, BrokerError::NotConfirmed { unconfirmed, .. } if unconfirmed == &[2, 3, 4]),
        "{error:?}"
    );

    let mut long = message(Destination::Stage("unknown", Lane::Live), "");
    long.envelope.message_id = Some("x".repeat(256));
    let error = rabbit
        .publisher()
        .await
        .unwrap()
        .publish(vec![message(Destination::Stage("unknown", Lane::Live), ""), long])
        .await
        .unwrap_err();
    assert!(
        matches!(&error, BrokerError::NotConfirmed { unconfirmed, .. } if unconfirmed == &[1]),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trusts_private_ca_only_if_configured() {
    let server = harness::rabbit::shared();
    let options = || RabbitOptions {
        prefix: "tls.".to_owned(),
        ..RabbitOptions::new(server.tls_url(), STAGES.to_vec())
    };
    let trusting = Rabbit::new(RabbitOptions { ca_file: Some(server.ca_file()), ..options() }).unwrap();
    assert!(!topology::check(&trusting).await.unwrap().missing.is_empty());
    let error = topology::check(&Rabbit::new(options()).unwrap()).await.unwrap_err();
    assert!(chain(&error).contains("certificate"), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_error_omits_the_password() {
    let url = harness::rabbit::shared().url().replace("guest:guest", "guest:hunter2");
    let rabbit = Rabbit::new(RabbitOptions::new(url, STAGES.to_vec())).unwrap();
    let error = rabbit.consume(LIVE, 1).await.map(|_| ()).unwrap_err();
    assert!(
        chain(&error).contains("Login was refused") && !chain(&error).contains("hunter2"),
        "{}",
        chain(&error)
    );
}

fn chain(error: &dyn Error) -> String {
    std::iter::successors(Some(error), |error| (*error).source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// RabbitMQ forwards properties that crash lapin.
/// It parses headers recursively in a small stack and requires UTF-8.
/// Published with pika, because lapin cannot send them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn survives_hostile_properties() {
    const SCRIPT: &str = "
import pika, sys
deep = {}
for _ in range(300):
    deep = {'n': deep}
with pika.BlockingConnection(pika.URLParameters(sys.argv[1])) as connection:
    channel = connection.channel()
    channel.confirm_delivery()
    send = lambda body, **properties: channel.basic_publish('hostile.work', 'issue', body, pika.BasicProperties(**properties))
    send('deep', headers=deep, message_id='m', type='issue.v1')
    send('not UTF-8', message_id=b'\\xff\\xfe', type='issue.v1')
    send('neighbour', message_id='m', type='issue.v1', headers={'x-death': [{'count': 1}]})
";
    let rabbit = connect("hostile");
    topology::apply(&rabbit).await.unwrap();
    let mut command = std::process::Command::new("/usr/bin/python3");
    command.args(["-c", SCRIPT, &harness::rabbit::shared().url()]);
    let output = tokio::task::spawn_blocking(|| harness::process::run(command)).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut consumer = rabbit.consume(LIVE, 10).await.unwrap();
    for (body, id) in [("deep", None), ("not UTF-8", None), ("neighbour", Some("m"))] {
        let taken = take(&mut consumer, 1).await;
        assert_eq!(
            (bodies(&taken), taken[0].envelope.message_id.as_deref(), taken[0].redelivered),
            (vec![body.to_owned()], id, false)
        );
        consumer.ack(taken[0].tag).await.unwrap();
    }
}

/// Runs the example for developers of upstream systems.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_example_enqueues_and_listens() {
    let rabbit = connect("python");
    topology::apply(&rabbit).await.unwrap();
    let server = harness::rabbit::shared();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("applications.jsonl");
    std::fs::write(&file, "{\"works\": \"橋梁補修\"}\n\n{\"works\": \"髙﨑線\"}\n").unwrap();
    let run = |prefix: &str, url: String, more: &[String]| {
        let mut command = std::process::Command::new("/usr/bin/python3");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/enqueue.py"));
        command.arg(&file).args(["--prefix", prefix, "--timeout", "60", "--url", &url]).args(more);
        async move { tokio::task::spawn_blocking(|| harness::process::run(command)).await.unwrap() }
    };
    let ca = [
        "--ca-file".to_owned(),
        server.ca_file().display().to_string(),
        "--listen".to_owned(),
        "2".to_owned(),
    ];
    let answer = async {
        let mut consumer = rabbit.consume(Source::Stage("validate", Lane::Live), 1).await.unwrap();
        let mut publisher = rabbit.publisher().await.unwrap();
        let mut ids = Vec::new();
        for works in ["橋梁補修", "髙﨑線"] {
            let taken = take(&mut consumer, 1).await.remove(0);
            assert_eq!(
                String::from_utf8(taken.envelope.payload).unwrap(),
                format!("{{\"works\": \"{works}\"}}")
            );
            assert_eq!(taken.envelope.message_type.as_deref(), Some("application.v1"));
            ids.push(taken.envelope.message_id.unwrap());
            publisher
                .publish(vec![message(
                    Destination::Event("guarantee.issued"),
                    format!("{{\"works\":\"{works}\"}}"),
                )])
                .await
                .unwrap();
            consumer.ack(taken.tag).await.unwrap();
        }
        assert_ne!(ids[0], ids[1]);
    };
    let (output, ()) = tokio::join!(run("python.", server.tls_url(), &ca), answer);
    let outcome = |output: &std::process::Output| {
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let expected = ["橋梁補修", "髙﨑線"].map(|works| {
        format!("{{\"event\": \"guarantee.issued\", \"result\": {{\"works\": \"{works}\"}}}}\n")
    });
    assert_eq!(outcome(&output), (Some(0), expected.concat(), String::new()));

    let (code, _, error) = outcome(&run("unknown.", server.url(), &[]).await);
    assert_eq!(code, Some(1), "{error}");
    let (code, _, error) = outcome(&run("python.", "amqp://127.0.0.1:1/".to_owned(), &[]).await);
    assert_eq!(code, Some(2), "{error}");
}

/// The client notices a restarted, killed or frozen broker, and consumes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconnects_after_each_broker_failure() {
    let server = tokio::task::spawn_blocking(harness::rabbit::Rabbit::start).await.unwrap();
    let mut options = RabbitOptions::new(server.url(), STAGES.to_vec());
    options.heartbeat = Duration::from_secs(1);
    options.confirm_timeout = Duration::from_secs(1);
    let rabbit = Rabbit::new(options).unwrap();
    // Prepares each round, without the short timeouts.
    let unhurried = Rabbit::new(RabbitOptions::new(server.url(), STAGES.to_vec())).unwrap();
    topology::apply(&unhurried).await.unwrap();

    for (number, fault) in ["restart", "kill -9", "freeze"].into_iter().enumerate() {
        let mut publisher = rabbit.publisher().await.unwrap();
        unhurried.publisher().await.unwrap().publish(vec![message(TO_LIVE, fault)]).await.unwrap();
        let mut consumer = rabbit.consume(LIVE, 10).await.unwrap();
        let held = take(&mut consumer, 1).await;
        assert_eq!(bodies(&held), [fault]);
        tokio::task::block_in_place(|| match fault {
            "restart" => server.restart(),
            "kill -9" => server.kill9(),
            _ => server.freeze(),
        });
        if fault == "freeze" {
            let error = publisher.publish(numbered(&TO_LIVE, 0..3)).await.unwrap_err();
            assert_eq!(error.to_string(), "3 of 3 messages were not confirmed: no confirm within 1 s");
        } else {
            assert!(publisher.publish(numbered(&TO_LIVE, 0..1)).await.is_err());
        }
        let ended = soon(consumer.next_batch(1)).await.map(|batch| bodies(&batch)).unwrap_err();
        assert!(matches!(ended, BrokerError::Unavailable { .. }), "{ended:?}");
        assert!(
            matches!(consumer.ack(held[0].tag).await, Err(BrokerError::Unavailable { .. })),
            "a stale acknowledgement succeeded"
        );
        // Closing a broken consumer is no error.
        consumer.close().await.unwrap();
        tokio::task::block_in_place(|| match fault {
            "kill -9" => server.restart(),
            "freeze" => server.thaw(),
            _ => {}
        });
        let mut consumer = again(&rabbit, LIVE).await;
        let taken = take(&mut consumer, 1).await;
        assert_eq!((bodies(&taken), taken[0].redelivered), (vec![fault.to_owned()], true), "round {number}");
        consumer.ack(taken[0].tag).await.unwrap();
        // Messages that the frozen broker received and did not confirm may be delivered: at least once.
        if fault == "freeze" {
            continue;
        }
        consumer.close().await.unwrap();
        ready(&rabbit, "stage.issue", 0).await;
    }
}

/// Retries until a consumer opens, like the runner.
async fn again(rabbit: &Rabbit, source: Source) -> Box<dyn hosho::broker::Consumer> {
    becomes("a consumer", LIMIT, async || rabbit.consume(source, 10).await.ok()).await
}

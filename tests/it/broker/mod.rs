//! Conformance suite of the `Broker` trait, run against both brokers.
//!
//! Each function becomes two tests, `memory::…` and `rabbit::…`. A difference is an ignored test with a
//! reason. Tests of RabbitMQ alone (network, topology, foreign clients) are in [`rabbit_only`].

mod rabbit_only;

use std::{future::Future, time::Duration};

use futures_util::future::join_all;
use hosho::broker::{
    Broker, BrokerError, Consumer, Delivery, Destination, Envelope, History, Lane, Outgoing, Publisher,
    RetryDelay, Source, Tag,
    memory::Memory,
    rabbit::{Rabbit, RabbitOptions, topology},
};
use tokio::time::{Instant, timeout};

use crate::harness::{self, process::becomes};

const STAGES: [&str; 2] = ["validate", "issue"];
const LIVE: Source = Source::Stage("issue", Lane::Live);
const BULK: Source = Source::Stage("issue", Lane::Bulk);
const TO_LIVE: Destination = Destination::Stage("issue", Lane::Live);

/// Deadline for an expected delivery.
const LIMIT: Duration = Duration::from_mins(1);

/// Time without a delivery that counts as none.
const QUIET: Duration = Duration::from_millis(250);

macro_rules! conformance {
    ($($(#[memory($skip:meta)])? $test:ident),* $(,)?) => {
        /// Test names, used as prefixes of the queues.
        const TESTS: &[&str] = &[$(stringify!($test)),*];

        mod memory {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                $(#[$skip])?
                async fn $test() {
                    super::$test(&super::Memory::new(&super::STAGES)).await;
                }
            )*
        }

        mod rabbit {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let rabbit = super::over_rabbit(stringify!($test)).await;
                    super::$test(&rabbit).await;
                    super::Broker::close(&rabbit).await;
                }
            )*
        }
    };
}

conformance!(
    delivers_in_order,
    takes_available_messages_only,
    requeues_when_consumer_is_dropped,
    requeues_when_consumer_is_closed,
    acknowledges_all_up_to_a_delivery,
    rejects_acknowledgement_of_unknown_tag,
    respects_prefetch,
    #[memory(ignore = "no slow start in memory: a message that kills the process destroys the queue")]
    starts_slowly,
    delays_retries,
    keeps_stage_and_history_of_a_dead_letter,
    carries_every_property,
    sends_events_to_all_consumers,
    keeps_unroutable_messages,
    separates_lanes,
    carries_a_large_body,
    dead_letters_only_the_poison_message,
    counts_messages_by_queue,
    shares_work_among_consumers,
    ends_consumers_when_closed,
);

/// Connects to the shared server with a prefix, and applies the topology.
async fn over_rabbit(prefix: &str) -> Rabbit {
    // New queues take seconds to settle: declare all of them at once.
    static PREPARED: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    PREPARED
        .get_or_init(|| async {
            join_all(TESTS.iter().map(|test| async move {
                let rabbit = connect(test);
                topology::apply(&rabbit).await.unwrap();
                rabbit.close().await;
            }))
            .await;
        })
        .await;
    let rabbit = connect(prefix);
    topology::apply(&rabbit).await.unwrap();
    rabbit
}

fn connect(prefix: &str) -> Rabbit {
    let mut options = RabbitOptions::new(harness::rabbit::shared().url(), STAGES.to_vec());
    options.prefix = format!("{prefix}.");
    Rabbit::new(options).unwrap()
}

fn message(destination: Destination, body: impl Into<Vec<u8>>) -> Outgoing {
    let envelope = Envelope {
        message_id: None,
        message_type: None,
        correlation_id: None,
        traceparent: None,
        history: History::default(),
        payload: body.into(),
    };
    Outgoing { destination, envelope }
}

fn numbered(destination: &Destination, range: std::ops::Range<u32>) -> Vec<Outgoing> {
    range.map(|number| message(destination.clone(), number.to_string())).collect()
}

fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    deliveries
        .iter()
        .map(|delivery| String::from_utf8_lossy(&delivery.envelope.payload).into_owned())
        .collect()
}

fn words(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.expect("not in time")
}

/// Receives `count` deliveries and acknowledges none.
async fn take(consumer: &mut Box<dyn Consumer>, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.extend(soon(consumer.next_batch(count - taken.len())).await.unwrap());
    }
    taken
}

async fn nothing_comes(consumer: &mut Box<dyn Consumer>) {
    let more = timeout(QUIET, consumer.next_batch(10)).await.map(|batch| bodies(&batch.unwrap()));
    assert!(more.is_err(), "unexpected: {more:?}");
}

/// Opens a consumer of [`LIVE`] and completes its slow start.
async fn warm(broker: &dyn Broker, publisher: &mut Box<dyn Publisher>, prefetch: u16) -> Box<dyn Consumer> {
    let mut consumer = broker.consume(LIVE, prefetch).await.unwrap();
    for _ in 0..=prefetch.ilog2() + 1 {
        publisher.publish(vec![message(TO_LIVE, "warm up")]).await.unwrap();
        let taken = take(&mut consumer, 1).await;
        consumer.ack(taken[0].tag).await.unwrap();
    }
    consumer
}

/// Waits until a queue has `count` ready messages.
async fn ready(broker: &dyn Broker, queue_ends_with: &str, count: u64) {
    becomes(&format!("{count} messages in {queue_ends_with}"), LIMIT, async || {
        let depths = broker.depths().await.unwrap();
        let depth =
            depths.iter().find(|depth| depth.queue.ends_with(queue_ends_with)).expect("the queue exists");
        (depth.ready == count).then_some(())
    })
    .await;
}

async fn delivers_in_order(broker: &dyn Broker) {
    let mut publisher = broker.publisher().await.unwrap();
    publisher.publish(Vec::new()).await.unwrap();
    publisher.publish(numbered(&TO_LIVE, 0..600)).await.unwrap();
    for number in 600..620 {
        publisher.publish(numbered(&TO_LIVE, number..number + 1)).await.unwrap();
    }
    // Includes all steps of the slow start.
    let mut consumer = broker.consume(LIVE, 64).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 620 {
        let batch = soon(consumer.next_batch(16)).await.unwrap();
        assert!((1..=16).contains(&batch.len()));
        assert!(batch.is_sorted_by(|a, b| a.tag < b.tag));
        assert!(batch.iter().all(|delivery| !delivery.redelivered && delivery.routing_key == "issue"));
        seen.extend(bodies(&batch));
        consumer.ack(batch.last().unwrap().tag).await.unwrap();
    }
    assert_eq!(seen, words(0..620));
    nothing_comes(&mut consumer).await;
}

async fn takes_available_messages_only(broker: &dyn Broker) {
    let mut publisher = broker.publisher().await.unwrap();
    let mut consumer = warm(broker, &mut publisher, 32).await;
    nothing_comes(&mut consumer).await; // cancelling the wait loses nothing
    publisher.publish(numbered(&TO_LIVE, 0..20)).await.unwrap();
    let mut sizes = Vec::new();
    let mut seen = Vec::new();
    while seen.len() < 20 {
        let batch = soon(consumer.next_batch(7)).await.unwrap();
        sizes.push(batch.len());
        seen.extend(bodies(&batch));
        consumer.ack(batch.last().unwrap().tag).await.unwrap();
    }
    assert_eq!(seen, words(0..20));
    assert!(
        sizes.iter().all(|size| (1..=7).contains(size)) && sizes.iter().any(|size| *size > 1),
        "{sizes:?}"
    );
}

/// Ends a consumer with unacknowledged messages, and expects them again.
async fn assert_requeued(broker: &dyn Broker, end: impl AsyncFnOnce(Box<dyn Consumer>)) {
    let mut publisher = broker.publisher().await.unwrap();
    let mut consumer = warm(broker, &mut publisher, 16).await;
    publisher.publish(numbered(&TO_LIVE, 0..6)).await.unwrap();
    let taken = take(&mut consumer, 5).await;
    consumer.ack(taken[1].tag).await.unwrap();
    end(consumer).await;
    ready(broker, "stage.issue", 4).await;
    let mut consumer = broker.consume(LIVE, 16).await.unwrap();
    let mut back = Vec::new();
    while back.len() < 4 {
        let batch = soon(consumer.next_batch(10)).await.unwrap();
        consumer.ack(batch.last().unwrap().tag).await.unwrap();
        back.extend(batch);
    }
    assert_eq!(bodies(&back), words(2..6));
    assert!(back[..3].iter().all(|delivery| delivery.redelivered));
    publisher.publish(numbered(&TO_LIVE, 6..7)).await.unwrap();
    let next = take(&mut consumer, 1).await;
    assert_eq!((bodies(&next), next[0].redelivered), (words(6..7), false));
}

async fn requeues_when_consumer_is_dropped(broker: &dyn Broker) {
    assert_requeued(broker, async |consumer| drop(consumer)).await;
}

async fn requeues_when_consumer_is_closed(broker: &dyn Broker) {
    assert_requeued(broker, async |consumer| consumer.close().await.unwrap()).await;
}

async fn acknowledges_all_up_to_a_delivery(broker: &dyn Broker) {
    let mut publisher = broker.publisher().await.unwrap();
    let mut consumer = warm(broker, &mut publisher, 16).await;
    publisher.publish(numbered(&TO_LIVE, 0..10)).await.unwrap();
    let taken = take(&mut consumer, 10).await;
    consumer.ack(taken[9].tag).await.unwrap();
    consumer.close().await.unwrap();
    let mut consumer = broker.consume(LIVE, 16).await.unwrap();
    nothing_comes(&mut consumer).await;
    ready(broker, "stage.issue", 0).await;
}

async fn rejects_acknowledgement_of_unknown_tag(broker: &dyn Broker) {
    let mut publisher = broker.publisher().await.unwrap();
    publisher.publish(numbered(&TO_LIVE, 0..1)).await.unwrap();
    let mut consumer = broker.consume(LIVE, 1).await.unwrap();
    let taken = take(&mut consumer, 1).await;
    consumer.ack(taken[0].tag).await.unwrap();
    for tag in [taken[0].tag, Tag(taken[0].tag.0 + 100)] {
        let error = consumer.ack(tag).await.unwrap_err();
        assert!(matches!(error, BrokerError::Unavailable { .. }), "{error:?}");
    }
}

async fn respects_prefetch(broker: &dyn Broker) {
    let mut publisher = broker.publisher().await.unwrap();
    let mut consumer = warm(broker, &mut publisher, 3).await;
    publisher.publish(numbered(&TO_LIVE, 0..10)).await.unwrap();
    let taken = take(&mut consumer, 3).await;
    nothing_comes(&mut consumer).await;
    ready(broker, "stage.issue", 7).await;
    consumer.ack(taken[0].tag).await.unwrap();
    assert_eq!(bodies(&take(&mut consumer, 1).await), ["3"]);
    nothing_comes(&mut consumer).await;
}

/// Each acknowledgement doubles the messages that a crash could affect.
async fn starts_slowly(broker: &dyn Broker) {
    let mut publisher = broker.publisher().await.unwrap();
    publisher.publish(numbered(&TO_LIVE, 0..100)).await.unwrap();
    let mut consumer = broker.consume(LIVE, 20).await.unwrap();
    let (mut left, mut next) = (100, 0);
    for out in [1_u32, 2, 4, 8, 16, 20, 20] {
        left -= u64::from(out);
        ready(broker, "stage.issue", left).await;
        let taken = take(&mut consumer, out as usize).await;
        assert_eq!(bodies(&taken), words(next..next + out));
        next += out;
        consumer.ack(taken.last().unwrap().tag).await.unwrap();
    }
}

async fn delays_retries(broker: &dyn Broker) {
    let mut publisher = broker.publisher().await.unwrap();
    let mut live = broker.consume(LIVE, 1).await.unwrap();
    let mut bulk = broker.consume(BULK, 1).await.unwrap();
    let start = Instant::now();
    let mut messages = numbered(&Destination::Wait("issue", Lane::Live, RetryDelay::S1), 0..3);
    messages.push(message(Destination::Wait("issue", Lane::Bulk, RetryDelay::S1), "bulk"));
    messages.push(message(Destination::Wait("issue", Lane::Live, RetryDelay::M60), "much later"));
    publisher.publish(messages).await.unwrap();
    ready(broker, "wait.60m", 1).await;
    for number in 0..3 {
        let taken = take(&mut live, 1).await;
        assert!(start.elapsed() >= Duration::from_millis(990), "after {:?}", start.elapsed());
        assert_eq!(
            (bodies(&taken), taken[0].redelivered, taken[0].routing_key.as_str()),
            (words(number..number + 1), false, "issue")
        );
        live.ack(taken[0].tag).await.unwrap();
    }
    assert_eq!(bodies(&take(&mut bulk, 1).await), ["bulk"]);
    nothing_comes(&mut live).await;
    ready(broker, "wait.1s", 0).await;
}

fn history() -> History {
    History {
        attempts: 6,
        first_failed_at: "2026-07-01T09:30:00.123456".parse().ok(),
        failed_at: "2026-07-01T10:30:00.654321".parse().ok(),
        code: Some("mail.refused".to_owned()),
        text: Some("550 from the relay — 宛先不明".to_owned()),
        earlier: vec![("2026-07-01T09:30:00.123456".parse().unwrap(), "mail.deferred".to_owned())],
        replay: Some("a replay".to_owned()),
    }
}

async fn keeps_stage_and_history_of_a_dead_letter(broker: &dyn Broker) {
    let mut dead_letter = message(Destination::Dead("issue"), "body");
    dead_letter.envelope.history = history();
    let mut publisher = broker.publisher().await.unwrap();
    publisher.publish(vec![dead_letter]).await.unwrap();
    let taken = take(&mut broker.consume(Source::Dead, 10).await.unwrap(), 1).await;
    assert_eq!(
        (taken[0].routing_key.as_str(), &taken[0].envelope.history, taken[0].redelivered),
        ("issue", &history(), false)
    );
}

async fn carries_every_property(broker: &dyn Broker) {
    let envelope = Envelope {
        message_id: Some("6f1c1c3e-7f0b-5c53-9c7d-5b8a1d1f0a11".to_owned()),
        message_type: Some("issue.v1".to_owned()),
        correlation_id: Some("申込-0001".to_owned()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        history: history(),
        payload: vec![0, 255, 10, 13],
    };
    let mut publisher = broker.publisher().await.unwrap();
    let mut consumer = broker.consume(LIVE, 1).await.unwrap();
    // Directly, and after a retry delay: headers that the broker adds are ignored.
    for destination in [TO_LIVE, Destination::Wait("issue", Lane::Live, RetryDelay::S1)] {
        publisher.publish(vec![Outgoing { destination, envelope: envelope.clone() }]).await.unwrap();
        let taken = take(&mut consumer, 1).await;
        assert!(taken[0].envelope == envelope, "{:?}", taken[0]);
        consumer.ack(taken[0].tag).await.unwrap();
    }
}

async fn sends_events_to_all_consumers(broker: &dyn Broker) {
    let mut publisher = broker.publisher().await.unwrap();
    let event = |body: &str| vec![message(Destination::Event("guarantee.issued"), body)];
    publisher.publish(event("too early")).await.unwrap();
    let mut first = broker.consume(Source::Events, 10).await.unwrap();
    let mut second = broker.consume(Source::Events, 10).await.unwrap();
    publisher.publish(event("a")).await.unwrap();
    for listener in [&mut first, &mut second] {
        let taken = take(listener, 1).await;
        assert_eq!(
            (bodies(&taken), taken[0].routing_key.as_str()),
            (vec!["a".to_owned()], "guarantee.issued")
        );
        listener.ack(taken[0].tag).await.unwrap();
    }
    drop(first);
    publisher.publish(event("b")).await.unwrap();
    assert_eq!(bodies(&take(&mut second, 1).await), ["b"]);
    nothing_comes(&mut second).await;
}

async fn keeps_unroutable_messages(broker: &dyn Broker) {
    let [a, c] = [(Lane::Live, "a"), (Lane::Bulk, "c")]
        .map(|(lane, body)| message(Destination::Stage("unknown", lane), body));
    broker.publisher().await.unwrap().publish(vec![a, message(TO_LIVE, "b"), c]).await.unwrap();
    let mut unrouted = broker.consume(Source::Unrouted, 10).await.unwrap();
    let mut taken = take(&mut unrouted, 1).await;
    unrouted.ack(taken[0].tag).await.unwrap();
    taken.extend(take(&mut unrouted, 1).await);
    assert_eq!(
        (bodies(&taken), taken.iter().all(|each| each.routing_key == "unknown")),
        (vec!["a".to_owned(), "c".to_owned()], true)
    );
    nothing_comes(&mut unrouted).await;
    let mut live = broker.consume(LIVE, 10).await.unwrap();
    assert_eq!(bodies(&take(&mut live, 1).await), ["b"]);
}

async fn separates_lanes(broker: &dyn Broker) {
    let mut publisher = broker.publisher().await.unwrap();
    let mut messages = numbered(&Destination::Stage("issue", Lane::Bulk), 0..50);
    messages.push(message(TO_LIVE, "live"));
    publisher.publish(messages).await.unwrap();
    let mut live = broker.consume(LIVE, 1).await.unwrap();
    assert_eq!(bodies(&take(&mut live, 1).await), ["live"]);
    nothing_comes(&mut live).await;
    let mut bulk = broker.consume(BULK, 1).await.unwrap();
    let taken = take(&mut bulk, 1).await;
    assert_eq!((bodies(&taken), taken[0].routing_key.as_str()), (words(0..1), "issue.bulk"));
}

async fn carries_a_large_body(broker: &dyn Broker) {
    let body: Vec<u8> = (0..1_u32 << 20).map(|at| (at % 251) as u8).collect();
    let mut publisher = broker.publisher().await.unwrap();
    publisher.publish(vec![message(TO_LIVE, body.clone()), message(TO_LIVE, "")]).await.unwrap();
    let mut consumer = broker.consume(LIVE, 1).await.unwrap();
    let taken = take(&mut consumer, 1).await;
    assert!(taken[0].envelope.payload == body);
    consumer.ack(taken[0].tag).await.unwrap();
    assert!(take(&mut consumer, 1).await[0].envelope.payload.is_empty());
}

async fn dead_letters_only_the_poison_message(broker: &dyn Broker) {
    let mut publisher = broker.publisher().await.unwrap();
    let to_bulk = Destination::Stage("issue", Lane::Bulk);
    publisher.publish(vec![message(to_bulk.clone(), "poison"), message(to_bulk, "neighbour")]).await.unwrap();
    let mut crashes = 0;
    let mut consumer = loop {
        let mut consumer = broker.consume(BULK, 100).await.unwrap();
        let taken = soon(consumer.next_batch(1)).await.unwrap();
        if bodies(&taken) == ["neighbour"] {
            assert!(!taken[0].redelivered, "the neighbour was delivered before");
            consumer.ack(taken[0].tag).await.unwrap();
            break consumer;
        }
        assert_eq!(taken[0].redelivered, crashes > 0);
        drop(consumer); // as if the worker crashed
        crashes += 1;
        ready(broker, "stage.issue.bulk", if crashes == 31 { 1 } else { 2 }).await;
    };
    assert_eq!(crashes, 31);
    nothing_comes(&mut consumer).await;
    let taken = take(&mut broker.consume(Source::Dead, 1).await.unwrap(), 1).await;
    assert_eq!((bodies(&taken), taken[0].routing_key.as_str()), (vec!["poison".to_owned()], "issue"));
}

async fn counts_messages_by_queue(broker: &dyn Broker) {
    let mut publisher = broker.publisher().await.unwrap();
    let mut messages = numbered(&TO_LIVE, 0..3);
    messages.extend(numbered(&Destination::Stage("issue", Lane::Bulk), 0..2));
    messages.extend(numbered(&Destination::Wait("issue", Lane::Live, RetryDelay::M30), 0..1));
    messages.extend(numbered(&Destination::Dead("issue"), 0..4));
    publisher.publish(messages).await.unwrap();
    let _consumer = broker.consume(Source::Stage("validate", Lane::Live), 1).await.unwrap();
    ready(broker, "stage.issue", 3).await;
    ready(broker, "stage.issue.bulk", 2).await;
    ready(broker, "wait.30m", 1).await;
    ready(broker, ".dead", 4).await;
    let depths = broker.depths().await.unwrap();
    let names: Vec<_> = depths.iter().map(|depth| depth.queue.split_once('.').unwrap().1).collect();
    let delays = RetryDelay::ALL.map(|delay| format!("wait.{}", delay.name()));
    let mut expected = vec!["stage.validate", "stage.validate.bulk", "stage.issue", "stage.issue.bulk"];
    expected.extend(delays.iter().map(String::as_str));
    expected.extend(["dead", "unrouted"]);
    assert_eq!(names, expected);
    let consumers: Vec<_> = depths
        .iter()
        .filter(|depth| depth.consumers > 0)
        .map(|depth| (depth.queue.as_str(), depth.consumers))
        .collect();
    assert_eq!(consumers, [(depths[0].queue.as_str(), 1)]);
}

async fn shares_work_among_consumers(broker: &dyn Broker) {
    let publish = async |from: u32| {
        let mut publisher = broker.publisher().await.unwrap();
        for start in (from..from + 100).step_by(20) {
            publisher.publish(numbered(&TO_LIVE, start..start + 20)).await.unwrap();
        }
    };
    let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
    let consume = async || {
        let mut consumer = broker.consume(LIVE, 8).await.unwrap();
        loop {
            let batch = soon(consumer.next_batch(8)).await.unwrap();
            consumer.ack(batch.last().unwrap().tag).await.unwrap();
            for body in bodies(&batch) {
                sender.send(body).unwrap();
            }
        }
    };
    let collect = async {
        let mut seen = Vec::new();
        while seen.len() < 300 {
            seen.push(soon(received.recv()).await.unwrap().parse::<u32>().unwrap());
        }
        seen.sort_unstable();
        seen
    };
    tokio::join!(publish(0), publish(100), publish(200));
    let seen = tokio::select! {
        seen = collect => seen,
        _ = consume() => unreachable!(),
        _ = consume() => unreachable!(),
    };
    assert_eq!(seen, (0..300).collect::<Vec<_>>());
}

async fn ends_consumers_when_closed(broker: &dyn Broker) {
    let mut consumer = broker.consume(LIVE, 1).await.unwrap();
    let mut publisher = broker.publisher().await.unwrap();
    let (ended, ()) = tokio::join!(soon(consumer.next_batch(1)), broker.close());
    assert!(matches!(ended.unwrap_err(), BrokerError::Unavailable { .. } | BrokerError::Closed));
    assert!(publisher.publish(numbered(&TO_LIVE, 0..1)).await.is_err());
    assert!(matches!(broker.consume(LIVE, 1).await.map(|_| ()), Err(BrokerError::Closed)));
    assert!(matches!(broker.publisher().await.map(|_| ()), Err(BrokerError::Closed)));
}

//! The broker of the embedded mode, with the guarantees of RabbitMQ.
//!
//! It has order, at-least-once delivery, redelivery of unacknowledged messages (in order, flagged, at the
//! front), the delivery limit, retry delays, dead letters, unrouted messages, and events for the consumers of
//! the moment.
//!
//! It differs on purpose:
//! - Messages are lost when the process ends. At the next start, unfinished rows of the database are queued
//!   again.
//! - No slow start, which protects from messages that kill the process: here the queue is lost with it.
//! - A consumer takes messages on request, not ahead; a message that no consumer took does not count as
//!   delivered.
//! - Queues are not bounded. The embedded mode reads a file of applications at the pace of its first stage.
//! - A confirm is immediate, so a publish fails only after the broker is closed.
//!
//! One lock guards all state. It is held only while messages move between queues, never across an `await`.

mod consumer;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use futures_util::future::BoxFuture;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};

use super::{
    Broker, BrokerError, Consumer, Death, Depth, Destination, Envelope, Lane, Outgoing, Publisher,
    RetryDelay, Source,
    names::{Names, drop_lane, stage_key},
};
use consumer::MemoryConsumer;

/// An in-process [`Broker`]. Clones are the same broker.
#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

struct Shared {
    names: Names,
    state: Mutex<State>,
    /// Messages of stages that are ready, unacknowledged or waiting.
    in_flight: watch::Sender<usize>,
    /// Dead letters and unrouted messages that are not acknowledged.
    dead: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<Key, Queue>,
    waiting: BTreeMap<RetryDelay, VecDeque<(Instant, String, Item)>>,
    next_listener: u64,
    closed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// By routing key, such as `issue.bulk`.
    Stage(String),
    Dead,
    Unrouted,
    Events(u64),
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<Item>,
    consumers: u64,
    arrived: Arc<Notify>,
}

struct Item {
    returned: u32,
    routing_key: String,
    /// Set when it exceeded the delivery limit.
    death: Option<Death>,
    envelope: Envelope,
}

impl Item {
    fn new(routing_key: String, envelope: Envelope) -> Self {
        Self { returned: 0, routing_key, death: None, envelope }
    }

    /// The headers that RabbitMQ would deliver with a dead letter.
    fn headers(&self) -> serde_json::Map<String, serde_json::Value> {
        let history = &self.envelope.history;
        let code = history.code.as_ref().map(|code| ("hosho-fault-code".to_owned(), code.as_str().into()));
        let attempts = (history.attempts > 0).then(|| ("hosho-attempt".to_owned(), history.attempts.into()));
        let trace =
            self.envelope.traceparent.as_ref().map(|trace| ("traceparent".to_owned(), trace.as_str().into()));
        code.into_iter().chain(attempts).chain(trace).collect()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("stages", &self.shared.names.stages).finish_non_exhaustive()
    }
}

impl Memory {
    pub fn new(stages: &[&'static str]) -> Self {
        let mut state = State::default();
        for stage in stages {
            for lane in [Lane::Live, Lane::Bulk] {
                state.queues.insert(Key::Stage(stage_key(stage, lane)), Queue::default());
            }
        }
        state.queues.insert(Key::Dead, Queue::default());
        state.queues.insert(Key::Unrouted, Queue::default());
        let shared = Shared {
            names: Names::new("hosho.", stages),
            state: Mutex::new(state),
            in_flight: watch::Sender::new(0),
            dead: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Resolves when no message is ready, unacknowledged or waiting for any stage.
    /// Dead letters, unrouted messages and events do not count.
    pub fn idle(&self) -> impl Future<Output = ()> + Send + 'static {
        self.at_most(0)
    }

    /// Resolves when [`Memory::idle`] would count at most `most` messages.
    pub fn at_most(&self, most: usize) -> impl Future<Output = ()> + Send + 'static {
        let mut in_flight = self.shared.in_flight.subscribe();
        async move {
            // An error means that the broker is dropped with all its messages.
            let _ = in_flight.wait_for(|count| *count <= most).await;
        }
    }

    /// Resolves when every dead letter and unrouted message is acknowledged.
    pub fn without_dead_letters(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut dead = self.shared.dead.subscribe();
        async move {
            let _ = dead.wait_for(|count| *count == 0).await;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two related changes, so a poisoned state is a consistent one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn began(&self, count: usize) {
        self.in_flight.send_modify(|in_flight| *in_flight += count);
    }

    fn ended(&self, count: usize) {
        self.in_flight.send_modify(|in_flight| *in_flight = in_flight.saturating_sub(count));
    }

    /// Queues a dead letter or an unrouted message for the ingester.
    fn queue_for_ingester(&self, state: &mut State, key: &Key, item: Item) {
        self.dead.send_modify(|count| *count += 1);
        state.push(key, item);
    }

    fn taken_in(&self, count: usize) {
        self.dead.send_modify(|dead| *dead = dead.saturating_sub(count));
    }

    /// Queues a message for its stage, or as unrouted.
    /// It is counted already.
    fn route(&self, state: &mut State, key: String, mut item: Item) {
        let wanted = Key::Stage(key);
        if state.queues.contains_key(&wanted) {
            state.push(&wanted, item);
        } else {
            drop_lane(&mut item.routing_key);
            self.queue_for_ingester(state, &Key::Unrouted, item);
            self.ended(1);
        }
    }

    /// Accepts one message; returns its delay, if any.
    fn accept(&self, state: &mut State, message: Outgoing, now: Instant) -> Option<RetryDelay> {
        let (_, key) = self.names.destination(&message.destination);
        let item = Item::new(key.clone(), message.envelope);
        match message.destination {
            Destination::Stage(..) => {
                self.began(1);
                self.route(state, key, item);
            }
            Destination::Wait(_, _, delay) => {
                self.began(1);
                state.waiting.entry(delay).or_default().push_back((now + delay.delay(), key, item));
                return Some(delay);
            }
            Destination::Dead(_) => self.queue_for_ingester(state, &Key::Dead, item),
            Destination::Event(_) => {
                let listeners: Vec<Key> =
                    state.queues.keys().filter(|key| matches!(key, Key::Events(_))).cloned().collect();
                for listener in listeners {
                    let copy = Item::new(item.routing_key.clone(), item.envelope.clone());
                    state.push(&listener, copy);
                }
            }
        }
        None
    }

    /// Sends due messages back to their stages. Messages of one delay are due in order.
    fn release(&self, delay: RetryDelay) {
        let mut state = self.lock();
        let now = Instant::now();
        while let Some(waiting) = state.waiting.get_mut(&delay)
            && waiting.front().is_some_and(|(due, ..)| *due <= now)
            && let Some((_, key, item)) = waiting.pop_front()
        {
            self.route(&mut state, key, item);
        }
    }
}

impl State {
    fn push(&mut self, key: &Key, item: Item) {
        if let Some(queue) = self.queues.get_mut(key) {
            queue.ready.push_back(item);
            queue.arrived.notify_waiters();
        }
    }
}

impl Broker for Memory {
    fn in_process(&self) -> bool {
        true
    }

    fn consume(
        &self,
        source: Source,
        prefetch: u16,
    ) -> BoxFuture<'_, Result<Box<dyn Consumer>, BrokerError>> {
        Box::pin(async move {
            let mut state = self.shared.lock();
            if state.closed {
                return Err(BrokerError::Closed);
            }
            let key = match source {
                Source::Stage(name, lane) => Key::Stage(stage_key(name, lane)),
                Source::Dead => Key::Dead,
                Source::Unrouted => Key::Unrouted,
                Source::Events => {
                    state.next_listener += 1;
                    let key = Key::Events(state.next_listener);
                    state.queues.insert(key.clone(), Queue::default());
                    key
                }
            };
            let Some(queue) = state.queues.get_mut(&key) else {
                return Err(BrokerError::Topology(format!(
                    "no queue '{}'",
                    self.shared.names.source(source)
                )));
            };
            queue.consumers += 1;
            let arrived = Arc::clone(&queue.arrived);
            let consumer = MemoryConsumer::new(Arc::clone(&self.shared), key, arrived, prefetch);
            Ok(Box::new(consumer) as Box<dyn Consumer>)
        })
    }

    fn publisher(&self) -> BoxFuture<'_, Result<Box<dyn Publisher>, BrokerError>> {
        Box::pin(async move {
            if self.shared.lock().closed {
                return Err(BrokerError::Closed);
            }
            Ok(Box::new(MemoryPublisher { shared: Arc::clone(&self.shared) }) as Box<dyn Publisher>)
        })
    }

    fn depths(&self) -> BoxFuture<'_, Result<Vec<Depth>, BrokerError>> {
        Box::pin(async move {
            let state = self.shared.lock();
            let names = &self.shared.names;
            let count = |name: String, key: &Key| {
                let queue = state.queues.get(key);
                let (ready, consumers) =
                    queue.map_or((0, 0), |queue| (queue.ready.len() as u64, queue.consumers));
                Depth { queue: name, ready, consumers }
            };
            let lanes = [Lane::Live, Lane::Bulk];
            let stages = names.stages.iter().flat_map(|stage| lanes.map(|lane| (*stage, lane)));
            let mut depths: Vec<Depth> = stages
                .map(|(stage, lane)| {
                    count(names.source(Source::Stage(stage, lane)), &Key::Stage(stage_key(stage, lane)))
                })
                .collect();
            for delay in RetryDelay::ALL {
                let ready = state.waiting.get(&delay).map_or(0, VecDeque::len) as u64;
                depths.push(Depth { queue: names.wait(delay), ready, consumers: 0 });
            }
            depths.push(count(names.source(Source::Dead), &Key::Dead));
            depths.push(count(names.source(Source::Unrouted), &Key::Unrouted));
            Ok(depths)
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut state = self.shared.lock();
            state.closed = true;
            for queue in state.queues.values() {
                queue.arrived.notify_waiters();
            }
        })
    }
}

struct MemoryPublisher {
    shared: Arc<Shared>,
}

impl Publisher for MemoryPublisher {
    fn publish(&mut self, messages: Vec<Outgoing>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            let now = Instant::now();
            let mut delays: Vec<RetryDelay> = {
                let mut state = self.shared.lock();
                if state.closed {
                    return Err(BrokerError::Closed);
                }
                messages
                    .into_iter()
                    .filter_map(|message| self.shared.accept(&mut state, message, now))
                    .collect()
            };
            delays.sort_unstable();
            delays.dedup();
            for delay in delays {
                // A timer does not keep the broker alive.
                let shared: Weak<Shared> = Arc::downgrade(&self.shared);
                tokio::spawn(async move {
                    sleep_until(now + delay.delay()).await;
                    if let Some(shared) = shared.upgrade() {
                        shared.release(delay);
                    }
                });
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;
    use crate::broker::{History, names::DELIVERY_LIMIT};

    const LIVE: Source = Source::Stage("issue", Lane::Live);

    fn message(destination: Destination, body: &str) -> Outgoing {
        let envelope = Envelope {
            message_id: None,
            message_type: None,
            correlation_id: None,
            traceparent: None,
            history: History::default(),
            payload: body.as_bytes().to_vec(),
        };
        Outgoing { destination, envelope }
    }

    #[tokio::test]
    async fn idle_ignores_dead_letters_only() {
        let broker = Memory::new(&["issue"]);
        let is_idle = |broker: &Memory| broker.idle().now_or_never().is_some();
        assert!(is_idle(&broker));
        let mut publisher = broker.publisher().await.unwrap();
        publisher
            .publish(vec![
                message(Destination::Dead("issue"), "d"),
                message(Destination::Stage("unknown", Lane::Live), "u"),
                message(Destination::Event("e"), "e"),
            ])
            .await
            .unwrap();
        assert!(is_idle(&broker));

        publisher.publish(vec![message(Destination::Stage("issue", Lane::Live), "a")]).await.unwrap();
        assert!(!is_idle(&broker), "ready");
        assert!(broker.at_most(1).now_or_never().is_some() && broker.at_most(0).now_or_never().is_none());
        let mut consumer = broker.consume(LIVE, 1).await.unwrap();
        let taken = consumer.next_batch(1).await.unwrap();
        assert!(!is_idle(&broker), "unacknowledged");
        // As a stage does: the successor is there before the acknowledgement.
        publisher
            .publish(vec![message(Destination::Wait("issue", Lane::Live, RetryDelay::S1), "b")])
            .await
            .unwrap();
        consumer.ack(taken[0].tag).await.unwrap();
        assert!(!is_idle(&broker), "waiting");
        let idle = tokio::spawn(broker.idle());
        let taken = consumer.next_batch(1).await.unwrap();
        assert!(!idle.is_finished(), "released");
        consumer.ack(taken[0].tag).await.unwrap();
        tokio::time::timeout(Duration::from_secs(5), idle).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn dead_letter_makes_the_broker_idle() {
        let broker = Memory::new(&["issue"]);
        broker
            .publisher()
            .await
            .unwrap()
            .publish(vec![message(Destination::Stage("issue", Lane::Bulk), "a")])
            .await
            .unwrap();
        for _ in 0..=DELIVERY_LIMIT {
            let mut consumer = broker.consume(Source::Stage("issue", Lane::Bulk), 1).await.unwrap();
            assert_eq!(consumer.next_batch(1).await.unwrap().len(), 1);
        }
        broker.idle().now_or_never().expect("idle");
        let dead = broker.consume(Source::Dead, 1).await.unwrap().next_batch(1).await.unwrap();
        assert_eq!((dead[0].routing_key.as_str(), dead[0].redelivered), ("issue", false));
    }

    #[tokio::test]
    async fn closing_wakes_waiting_consumers() {
        let broker = Memory::new(&["issue"]);
        let mut consumer = broker.consume(LIVE, 1).await.unwrap();
        let waiting = tokio::spawn(async move { consumer.next_batch(1).await.map(|_| ()) });
        tokio::task::yield_now().await;
        broker.close().await;
        assert!(matches!(waiting.await.unwrap(), Err(BrokerError::Closed)));
        assert!(matches!(broker.publisher().await, Err(BrokerError::Closed)));
        assert!(matches!(broker.consume(LIVE, 1).await, Err(BrokerError::Closed)));
    }

    #[tokio::test]
    async fn rejects_consuming_an_unknown_stage() {
        let error = Memory::new(&["issue"])
            .consume(Source::Stage("unknown", Lane::Live), 1)
            .await
            .map(|_| ())
            .unwrap_err();
        assert_eq!(error.to_string(), "topology differs: no queue 'hosho.stage.unknown'");
    }
}

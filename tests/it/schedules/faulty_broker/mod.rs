//! A broker with random order, delays, duplicates and process failures.
//!
//! Its only guarantee: an unacknowledged message is delivered again. Messages overtake each other, wait and
//! are delivered twice. The process is killed, disconnected or stopped at any call of the
//! [runner](hosho::pipeline::runner) to the broker. One consumer has a batch at a time and all choices are
//! random numbers of one generator, so a seed repeats a schedule.
//!
//! A kill is complete: the runner's call does not return, and the driver of the schedule drops the whole
//! process. So no backoff delays a schedule, and the clock of the runtime is not advanced.

mod consumer;
mod publisher;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::BoxFuture;
use hosho::{
    broker::{
        Broker, BrokerError, Consumer, Depth, Destination, Envelope, Lane, Outgoing, Publisher, Source,
    },
    stages::NAMES,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::{consumer::FaultyConsumer, publisher::FaultyPublisher};
use crate::crashes::applications::Dice;

/// Largest number of messages of a batch.
pub const BATCH: usize = 8;

/// Largest delay of a message in rounds.
const DELAY: usize = 25;

/// A schedule with more rounds publishes without end.
const ENDLESS: usize = 5_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Queue {
    /// The index of the stage, and whether it is the bulk lane.
    Stage(usize, bool),
    Dead,
    Unrouted,
}

impl Queue {
    pub fn of(stage: &str, lane: Lane) -> Self {
        Self::Stage(NAMES.iter().position(|name| *name == stage).unwrap(), lane == Lane::Bulk)
    }

    fn is_of(self, stage: &str) -> bool {
        matches!(self, Self::Stage(number, _) if NAMES[number] == stage)
    }

    fn routing_key(self) -> String {
        match self {
            Self::Stage(number, false) => NAMES[number].to_owned(),
            Self::Stage(number, true) => format!("{}.bulk", NAMES[number]),
            Self::Dead => "dead".to_owned(),
            Self::Unrouted => "unrouted".to_owned(),
        }
    }
}

/// A failure of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// It is killed.
    Kill,
    /// Its connection breaks: the current call fails, and the process restarts.
    Disconnect,
    /// It receives a stop, and ends cleanly.
    Stop,
}

/// The time of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The batch is delivered.
    Taken,
    /// The rows are committed, and nothing is published.
    Recorded,
    /// Some or all messages are published, without a confirmation.
    Published,
    /// All messages are confirmed, and the batch is not acknowledged.
    Confirmed,
}

/// Chances in percent, and largest numbers, so that a schedule ends.
struct Rates {
    copies: (usize, usize),
    delays: (usize, usize),
    failures: (usize, usize),
}

fn happens((percent, left): &mut (usize, usize), dice: &mut Dice) -> bool {
    let happens = *left > 0 && dice.chance(*percent);
    *left -= usize::from(happens);
    happens
}

/// A message in a queue.
#[derive(Clone)]
struct Message {
    envelope: Envelope,
    routing_key: String,
    returned: bool,
    /// The first round in which it may be delivered.
    due: usize,
}

/// The state of the round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Between,
    Granted(Queue),
    Working(Queue),
    Over {
        /// False if the process must be replaced.
        can_continue: bool,
    },
}

struct State {
    dice: Dice,
    rates: Rates,
    queues: BTreeMap<Queue, Vec<Message>>,
    round: usize,
    phase: Phase,
    /// For the consumer of the round.
    batch: Vec<Message>,
    failure: Option<(Moment, Failure)>,
    /// Bodies delivered to a consumer of validate whose rows are not committed yet.
    undecided: Option<(Queue, Vec<Vec<u8>>)>,
    record: Record,
    stop: CancellationToken,
}

/// The events of a schedule.
#[derive(Clone, Default)]
pub struct Record {
    /// The bodies that validate decided, in the order of their commits.
    pub decided: Vec<Vec<u8>>,
    /// The result events with their routing keys.
    pub events: Vec<(&'static str, Envelope)>,
    /// Rounds, failures, copies.
    pub counts: [usize; 3],
    /// One line or more for each round.
    pub log: Vec<String>,
}

struct Shared {
    state: Mutex<State>,
    granted: Notify,
    over: Notify,
}

/// Clones share their state.
#[derive(Clone)]
pub struct FaultyBroker {
    shared: Arc<Shared>,
}

impl fmt::Debug for FaultyBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyBroker")
    }
}

impl FaultyBroker {
    pub fn new(mut dice: Dice) -> Self {
        let mut one_of = |choices: [usize; 4], most: usize| (choices[dice.below(4)], most);
        let rates = Rates {
            copies: one_of([0, 10, 25, 50], 25),
            delays: one_of([0, 15, 30, 60], 300),
            failures: one_of([0, 10, 30, 60], 25),
        };
        let state = State {
            dice,
            rates,
            queues: BTreeMap::new(),
            round: 0,
            phase: Phase::Between,
            batch: Vec::new(),
            failure: None,
            undecided: None,
            record: Record::default(),
            stop: CancellationToken::new(),
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                granted: Notify::new(),
                over: Notify::new(),
            }),
        }
    }

    /// Publishes a message to a queue; `routing_key` if it is not that of the queue.
    pub fn send(&self, queue: Queue, envelope: Envelope, routing_key: Option<String>) {
        self.shared.lock().accept(queue, envelope, routing_key.unwrap_or_else(|| queue.routing_key()));
    }

    /// The stop token of a new process.
    pub fn begin(&self) -> CancellationToken {
        let mut state = self.shared.lock();
        state.stop = CancellationToken::new();
        state.stop.clone()
    }

    /// Begins a round: grants a batch to one consumer. False if no message is left.
    pub fn grant(&self) -> bool {
        let granted = self.shared.lock().grant();
        self.shared.granted.notify_waiters();
        granted
    }

    /// Waits for the end of the round; false if the process must be replaced.
    pub async fn over(&self) -> bool {
        loop {
            if let Phase::Over { can_continue } = self.shared.lock().phase {
                return can_continue;
            }
            self.shared.over.notified().await;
        }
    }

    /// Whether the process received a stop.
    pub fn has_stopped(&self) -> bool {
        self.shared.lock().stop.is_cancelled()
    }

    pub fn record(&self) -> Record {
        self.shared.lock().record.clone()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the round without returning: the driver of the schedule drops the process.
    async fn kill(&self) -> ! {
        self.lock().phase = Phase::Over { can_continue: false };
        self.over.notify_one();
        std::future::pending().await
    }
}

fn broken(operation: &str) -> BrokerError {
    BrokerError::Unavailable { operation: operation.to_owned(), source: "the connection broke".into() }
}

impl State {
    fn accept(&mut self, queue: Queue, envelope: Envelope, routing_key: String) {
        let message = Message { envelope, routing_key, returned: false, due: 0 };
        self.put(queue, message);
    }

    fn put(&mut self, queue: Queue, mut message: Message) {
        let late = happens(&mut self.rates.delays, &mut self.dice);
        message.due = self.round + if late { 2 + self.dice.below(DELAY) } else { 1 };
        self.queues.entry(queue).or_default().push(message);
    }

    fn grant(&mut self) -> bool {
        self.queues.retain(|_, messages| !messages.is_empty());
        let Some(first_due) = self.queues.values().flatten().map(|message| message.due).min() else {
            return false;
        };
        self.round = first_due.max(self.round + 1);
        self.record.counts[0] += 1;
        assert!(self.record.counts[0] < ENDLESS, "the schedule publishes without end");
        let round = self.round;
        let places: Vec<Queue> = self
            .queues
            .iter()
            .filter(|(_, messages)| messages.iter().any(|message| message.due <= round))
            .map(|(queue, _)| *queue)
            .collect();
        let queue = places[self.dice.below(places.len())];
        let (mut ready, later): (Vec<_>, Vec<_>) = self
            .queues
            .remove(&queue)
            .unwrap_or_default()
            .into_iter()
            .partition(|message| message.due <= round);
        self.queues.insert(queue, later);
        let size = 1 + self.dice.below(ready.len().min(BATCH));
        self.batch = (0..size).map(|_| ready.remove(self.dice.below(ready.len()))).collect();
        self.queues.entry(queue).or_default().extend(ready);
        for copy in self.batch.clone() {
            if happens(&mut self.rates.copies, &mut self.dice) {
                self.record.counts[2] += 1;
                self.put(queue, copy);
            }
        }
        self.failure = happens(&mut self.rates.failures, &mut self.dice).then(|| {
            self.record.counts[1] += 1;
            // The ingester publishes nothing.
            let moments = match queue {
                Queue::Stage(..) => {
                    &[Moment::Taken, Moment::Recorded, Moment::Published, Moment::Confirmed][..]
                }
                Queue::Dead | Queue::Unrouted => &[Moment::Taken, Moment::Confirmed],
            };
            let fates = [Failure::Kill, Failure::Kill, Failure::Disconnect, Failure::Stop];
            (moments[self.dice.below(moments.len())], fates[self.dice.below(fates.len())])
        });
        let ids: Vec<&str> =
            self.batch.iter().map(|message| message.envelope.message_id.as_deref().unwrap_or("-")).collect();
        self.record.log.push(format!(
            "round {round}: {} gets {}; {:?}",
            queue.routing_key(),
            ids.join(" "),
            self.failure
        ));
        self.phase = Phase::Granted(queue);
        true
    }

    /// Takes the failure of the round if it is planned for one of these moments.
    fn failure_at(&mut self, moments: &[Moment]) -> Option<(Moment, Failure)> {
        self.failure.take_if(|(moment, _)| moments.contains(moment))
    }

    /// The rows of the batch are committed: the runner publishes or acknowledges.
    fn committed(&mut self) {
        self.record.decided.extend(self.undecided.take().into_iter().flat_map(|(_, bodies)| bodies));
    }

    fn publish(&mut self, message: Outgoing) {
        let (queue, key) = match message.destination {
            Destination::Stage(stage, lane) | Destination::Wait(stage, lane, _) => {
                let queue = Queue::of(stage, lane);
                (queue, queue.routing_key())
            }
            Destination::Dead(stage) => (Queue::Dead, stage.to_owned()),
            Destination::Event(key) => {
                self.record.events.push((key, message.envelope));
                return;
            }
        };
        self.accept(queue, message.envelope, key);
    }
}

impl Broker for FaultyBroker {
    fn consume(&self, source: Source, _: u16) -> BoxFuture<'_, Result<Box<dyn Consumer>, BrokerError>> {
        let queue = match source {
            Source::Stage(stage, lane) => Queue::of(stage, lane),
            Source::Dead => Queue::Dead,
            Source::Unrouted => Queue::Unrouted,
            Source::Events => {
                return Box::pin(async { Err(BrokerError::Topology("no consumer of events".to_owned())) });
            }
        };
        let consumer = FaultyConsumer::new(Arc::clone(&self.shared), queue);
        Box::pin(async { Ok(Box::new(consumer) as Box<dyn Consumer>) })
    }

    fn publisher(&self) -> BoxFuture<'_, Result<Box<dyn Publisher>, BrokerError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async { Ok(Box::new(FaultyPublisher { shared }) as Box<dyn Publisher>) })
    }

    fn depths(&self) -> BoxFuture<'_, Result<Vec<Depth>, BrokerError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

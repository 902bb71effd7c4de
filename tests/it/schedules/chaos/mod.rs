//! A broker that does whatever a broker may do, one batch at a time, as the dice fall.
//!
//! It keeps the one promise there is: what is not acknowledged comes again. All else it breaks: messages overtake each other, wait, come
//! twice, and the process that works on them dies, loses its connection or is asked to stop at any of the moments at which the
//! [runner](hosho::pipeline::runner) talks to it. Only one consumer holds a batch at a time and everything is decided by the dice, so a seed
//! repeats a schedule.
//!
//! A death is one: the runner's call does not come back, and whoever drives the schedule drops the whole process. So no back-off is ever
//! waited for, and no clock of the runtime has to be turned.

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

use self::{consumer::Holder, publisher::Writer};
use crate::crashes::applications::Dice;

/// Messages of a batch at most.
pub const BATCH: usize = 8;

/// Turns that a message is held back at most.
const DELAY: usize = 25;

/// Turns after which a schedule is taken to have no end: the messages breed.
const ENDLESS: usize = 5_000;

/// A queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Of a stage (its place in the pipeline), and whether it is the bulk lane's.
    Stage(usize, bool),
    /// Dead letters.
    Dead,
    /// What no queue wanted.
    Unrouted,
}

impl Place {
    /// The queue of a stage.
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

/// What befalls a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It dies on the spot.
    Death,
    /// Its connection breaks: the call it is in fails, and it starts anew.
    Break,
    /// It is asked to stop, and ends by itself.
    Stop,
}

/// When.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The batch is handed out, and nothing is done about it yet.
    Taken,
    /// The rows are committed, and nothing that follows from them is published.
    Recorded,
    /// A part of what follows is published, or all of it, and the process does not learn so.
    Published,
    /// Everything is published and confirmed, and the batch not acknowledged.
    Confirmed,
}

/// How wild a schedule is: chances in percent, and how often at most, so that it comes to an end.
struct Weather {
    copies: (usize, usize),
    delays: (usize, usize),
    mishaps: (usize, usize),
}

fn strikes((percent, left): &mut (usize, usize), dice: &mut Dice) -> bool {
    let strikes = *left > 0 && dice.chance(*percent);
    *left -= usize::from(strikes);
    strikes
}

/// A message in a queue.
#[derive(Clone)]
struct Message {
    envelope: Envelope,
    routing_key: String,
    returned: bool,
    /// The turn from which it may be delivered.
    due: usize,
}

/// Where the turn is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Between,
    Granted(Place),
    Working(Place),
    /// Whether the consumer waits for its next batch, or the process has to be replaced.
    Over {
        well: bool,
    },
}

struct State {
    dice: Dice,
    weather: Weather,
    queues: BTreeMap<Place, Vec<Message>>,
    turn: usize,
    phase: Phase,
    /// What the consumer that has the turn will get.
    batch: Vec<Message>,
    mishap: Option<(Moment, Fate)>,
    /// Bodies in the hands of a consumer of validate whose rows are not committed yet.
    undecided: Option<(Place, Vec<Vec<u8>>)>,
    record: Record,
    stop: CancellationToken,
}

/// What happened.
#[derive(Clone, Default)]
pub struct Record {
    /// The bodies that validate has taken, in the order in which their rows were committed.
    pub decided: Vec<Vec<u8>>,
    /// The result events with their routing keys.
    pub events: Vec<(&'static str, Envelope)>,
    /// Turns, mishaps, copies.
    pub counts: [usize; 3],
    /// Every turn in words.
    pub log: Vec<String>,
}

struct Shared {
    state: Mutex<State>,
    granted: Notify,
    over: Notify,
}

/// The broker. Clones are the same one.
#[derive(Clone)]
pub struct Chaos {
    shared: Arc<Shared>,
}

impl fmt::Debug for Chaos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chaos")
    }
}

impl Chaos {
    /// A broker with empty queues.
    pub fn new(mut dice: Dice) -> Self {
        let mut one_of = |choices: [usize; 4], most: usize| (choices[dice.below(4)], most);
        let weather = Weather {
            copies: one_of([0, 10, 25, 50], 25),
            delays: one_of([0, 15, 30, 60], 300),
            mishaps: one_of([0, 10, 30, 60], 25),
        };
        let state = State {
            dice,
            weather,
            queues: BTreeMap::new(),
            turn: 0,
            phase: Phase::Between,
            batch: Vec::new(),
            mishap: None,
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

    /// Puts a message into a queue, as its sender does. `routing_key` where it is not the queue's own.
    pub fn send(&self, place: Place, envelope: Envelope, routing_key: Option<String>) {
        self.shared.lock().accept(place, envelope, routing_key.unwrap_or_else(|| place.routing_key()));
    }

    /// What a new process is asked to stop with.
    pub fn begin(&self) -> CancellationToken {
        let mut state = self.shared.lock();
        state.stop = CancellationToken::new();
        state.stop.clone()
    }

    /// Gives one consumer its turn; false when there is no message left.
    pub fn grant(&self) -> bool {
        let granted = self.shared.lock().grant();
        self.shared.granted.notify_waiters();
        granted
    }

    /// Resolves when the turn is over: whether the process is well, or has to be replaced.
    pub async fn over(&self) -> bool {
        loop {
            if let Phase::Over { well } = self.shared.lock().phase {
                return well;
            }
            self.shared.over.notified().await;
        }
    }

    /// Whether the process was asked to stop.
    pub fn has_asked_to_stop(&self) -> bool {
        self.shared.lock().stop.is_cancelled()
    }

    /// What happened so far.
    pub fn record(&self) -> Record {
        self.shared.lock().record.clone()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process is dead: whoever drives the schedule drops it.
    async fn die(&self) -> ! {
        self.lock().phase = Phase::Over { well: false };
        self.over.notify_one();
        std::future::pending().await
    }
}

fn broken(operation: &str) -> BrokerError {
    BrokerError::Unavailable { operation: operation.to_owned(), source: "the connection broke".into() }
}

impl State {
    fn accept(&mut self, place: Place, envelope: Envelope, routing_key: String) {
        let message = Message { envelope, routing_key, returned: false, due: 0 };
        self.put(place, message);
    }

    fn put(&mut self, place: Place, mut message: Message) {
        let late = strikes(&mut self.weather.delays, &mut self.dice);
        message.due = self.turn + if late { 2 + self.dice.below(DELAY) } else { 1 };
        self.queues.entry(place).or_default().push(message);
    }

    fn grant(&mut self) -> bool {
        self.queues.retain(|_, messages| !messages.is_empty());
        let Some(first_due) = self.queues.values().flatten().map(|message| message.due).min() else {
            return false;
        };
        self.turn = first_due.max(self.turn + 1);
        self.record.counts[0] += 1;
        assert!(self.record.counts[0] < ENDLESS, "there is no end to the messages");
        let turn = self.turn;
        let places: Vec<Place> = self
            .queues
            .iter()
            .filter(|(_, messages)| messages.iter().any(|message| message.due <= turn))
            .map(|(place, _)| *place)
            .collect();
        let place = places[self.dice.below(places.len())];
        let (mut ready, later): (Vec<_>, Vec<_>) = self
            .queues
            .remove(&place)
            .unwrap_or_default()
            .into_iter()
            .partition(|message| message.due <= turn);
        self.queues.insert(place, later);
        let size = 1 + self.dice.below(ready.len().min(BATCH));
        self.batch = (0..size).map(|_| ready.remove(self.dice.below(ready.len()))).collect();
        self.queues.entry(place).or_default().extend(ready);
        for copy in self.batch.clone() {
            if strikes(&mut self.weather.copies, &mut self.dice) {
                self.record.counts[2] += 1;
                self.put(place, copy);
            }
        }
        self.mishap = strikes(&mut self.weather.mishaps, &mut self.dice).then(|| {
            self.record.counts[1] += 1;
            // Letters are taken in by somebody who publishes nothing.
            let moments = match place {
                Place::Stage(..) => {
                    &[Moment::Taken, Moment::Recorded, Moment::Published, Moment::Confirmed][..]
                }
                Place::Dead | Place::Unrouted => &[Moment::Taken, Moment::Confirmed],
            };
            let fates = [Fate::Death, Fate::Death, Fate::Break, Fate::Stop];
            (moments[self.dice.below(moments.len())], fates[self.dice.below(fates.len())])
        });
        let ids: Vec<&str> =
            self.batch.iter().map(|message| message.envelope.message_id.as_deref().unwrap_or("-")).collect();
        self.record.log.push(format!(
            "turn {turn}: {} gets {}; {:?}",
            place.routing_key(),
            ids.join(" "),
            self.mishap
        ));
        self.phase = Phase::Granted(place);
        true
    }

    /// What befalls the process at one of these moments.
    fn befalls(&mut self, moments: &[Moment]) -> Option<(Moment, Fate)> {
        self.mishap.take_if(|(moment, _)| moments.contains(moment))
    }

    /// The rows of the batch in hand are committed: the runner publishes or acknowledges.
    fn committed(&mut self) {
        self.record.decided.extend(self.undecided.take().into_iter().flat_map(|(_, bodies)| bodies));
    }

    fn publish(&mut self, message: Outgoing) {
        let (place, key) = match message.destination {
            Destination::Stage(stage, lane) | Destination::Wait(stage, lane, _) => {
                let place = Place::of(stage, lane);
                (place, place.routing_key())
            }
            Destination::Dead(stage) => (Place::Dead, stage.to_owned()),
            Destination::Event(key) => {
                self.record.events.push((key, message.envelope));
                return;
            }
        };
        self.accept(place, message.envelope, key);
    }
}

impl Broker for Chaos {
    fn consume(&self, source: Source, _: u16) -> BoxFuture<'_, Result<Box<dyn Consumer>, BrokerError>> {
        let place = match source {
            Source::Stage(stage, lane) => Place::of(stage, lane),
            Source::Dead => Place::Dead,
            Source::Unrouted => Place::Unrouted,
            Source::Events => {
                return Box::pin(async { Err(BrokerError::Topology("nobody listens here".to_owned())) });
            }
        };
        let holder = Holder::new(Arc::clone(&self.shared), place);
        Box::pin(async { Ok(Box::new(holder) as Box<dyn Consumer>) })
    }

    fn publisher(&self) -> BoxFuture<'_, Result<Box<dyn Publisher>, BrokerError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async { Ok(Box::new(Writer { shared }) as Box<dyn Publisher>) })
    }

    fn depths(&self) -> BoxFuture<'_, Result<Vec<Depth>, BrokerError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

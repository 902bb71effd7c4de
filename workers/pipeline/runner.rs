//! Runs a stage on a queue: collect a batch → decode → load → decide → act → record → publish → confirm → acknowledge.
//!
//! The only caller of [`Consumer::ack`](crate::broker::Consumer::ack). A delivery is acknowledged when everything that
//! follows from it is with the broker, and not before; a process that dies earlier leaves the delivery to somebody else.
//! What each fault becomes is decided here and only here, from the class of its reason:
//!
//! - permanent: to the dead letters, at once;
//! - transient: to the next rung of the retry ladder, then to the dead letters;
//! - ambiguous: nowhere; the stage has written down what is in doubt, and what it says all the same is published;
//! - unavailable: nowhere. No attempt is counted. The batch is kept and tried again after 1, 2, 4 … seconds; what is not back
//!   after [`Settings::hold`] is waited for without it: the batch is given back, the consumer closed, and what is down is asked
//!   every 5 to 30 seconds whether it is there again ([`Probe`]). Keeping a batch for longer would run into the broker's limit
//!   for acknowledgements (half an hour), and each time that counts as one more delivery of innocent messages.
//!
//! An operator may pause a stage: its runners finish what they have in hand, give back the rest and take nothing until they may
//! ([`Heartbeat`]). Whatever a runner does, and why it waits, its [`ConsumerStats`] tells.
//!
//! A message that had failed before and now goes through is marked as resolved in the transaction that holds its result.
//!
//! A probe is believed until what it says is disproved: where the stage gives up again and has acknowledged nothing since, whatever is
//! down answers probes and does no work. Each such round is one more delivery of innocent messages, so they become rare (`distrust`).
//!
//! Whether *everything* is down or only one item meets an obstacle is for the stage to find out before it says
//! "unavailable": one odd letter must not hold back all others.
//!
//! A batch never waits to fill up: it takes what is there. Under load batches grow by themselves; when idle a lone
//! message is not held back. One bad row must not fail its neighbours: what the database refuses is rolled back and tried
//! item by item, and so is what stays contended after the quick tries: the item that is in another's way climbs the ladder alone. Only
//! an outcome that is the sole memory of an effect that cannot be repeated, such as a mail, is recorded again for as long as it takes.

use std::{
    collections::BTreeSet,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use hosho_schema::db::Pool;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::{
    broker::{Broker, BrokerError, Lane, Outgoing, Publisher, RetryDelay, Source},
    clock::Clock,
    fault::{Fault, Reason, chain},
    pipeline::{
        heartbeat::{ConsumerStats, Heartbeat},
        priority::Priority,
        stage::Stage,
    },
    telemetry::place_of_panic,
};

/// Settings of every runner of a process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Deliveries per batch at most.
    pub batch: u16,
    /// Bodies larger than this many bytes are dead letters.
    pub max_message_bytes: usize,
    /// The retry ladder.
    pub rungs: Vec<RetryDelay>,
    /// How long a batch is kept while something it needs is down.
    pub hold: Duration,
}

/// Finds out whether what a reason says is down is there again.
pub type Probe = Arc<dyn Fn(Reason) -> BoxFuture<'static, Result<(), Fault>> + Send + Sync>;

/// What a runner needs. Cheap to clone: one per consumer.
#[derive(Clone)]
pub struct Runner {
    /// The queue.
    pub broker: Arc<dyn Broker>,
    /// The tables.
    pub pool: Pool,
    /// The time.
    pub clock: Clock,
    /// The settings.
    pub settings: Settings,
    /// Becomes true when the process is asked to stop.
    pub stop: watch::Receiver<bool>,
    /// What operators are told, and what they want paused.
    pub pulse: Heartbeat,
    /// Asks what is down.
    pub probe: Probe,
    /// Which lane goes first.
    pub precedence: Priority,
}

/// How much smaller a bulk batch is than a live one.
const BULK: u16 = 4;

/// How long confirms may take once the process was asked to stop: far less than it has to finish.
const LAST_CONFIRMS: Duration = Duration::from_secs(5);

/// Why a session ended.
pub(super) enum End {
    /// The process was asked to stop; everything unacknowledged was given back.
    Stopped,
    /// An operator paused the stage, or a batch took too long to be kept; everything unacknowledged was given back.
    Paused,
    /// Something the stage needs is down for long; everything unacknowledged was given back.
    Down(Fault),
    /// The broker failed; a new session is due.
    Broken(BrokerError),
}

impl From<BrokerError> for End {
    fn from(error: BrokerError) -> Self {
        Self::Broken(error)
    }
}

/// A runner with its place: what its methods need beyond [`Runner`].
pub(super) struct ConsumerTask {
    pub(super) runner: Runner,
    pub(super) gauge: ConsumerStats,
    pub(super) paused: watch::Receiver<BTreeSet<String>>,
    pub(super) stage: &'static str,
    pub(super) lane: Lane,
    /// Whether nothing was acknowledged since a probe told that what was down is back.
    pub(super) unproved: bool,
    /// How often in a row a probe was wrong.
    pub(super) wrong_probes: u32,
    /// Since when bulk work has not rested.
    pub(super) rested: Mutex<Instant>,
}

impl std::ops::Deref for ConsumerTask {
    type Target = Runner;

    fn deref(&self) -> &Runner {
        &self.runner
    }
}

impl Runner {
    /// Runs one consumer of a stage until the process is asked to stop. Survives every failure of the broker, and its own
    /// panics: the deliveries in hand go back, and a new session begins.
    pub async fn run<S: Stage>(self, stage: Arc<S>, lane: Lane) {
        let (gauge, paused) = (self.pulse.gauge(S::NAME, lane), self.pulse.paused());
        ConsumerTask {
            runner: self,
            gauge,
            paused,
            stage: S::NAME,
            lane,
            unproved: false,
            wrong_probes: 0,
            rested: Mutex::new(Instant::now()),
        }
        .run(stage, lane)
        .await;
    }
}

impl ConsumerTask {
    async fn run<S: Stage>(mut self, stage: Arc<S>, lane: Lane) {
        let mut backoff = Backoff::default();
        loop {
            if self.until_allowed().await {
                return;
            }
            let ended = AssertUnwindSafe(self.session(&stage, lane, &mut backoff)).catch_unwind().await;
            self.gauge.consumes(false);
            let wait = match ended {
                Ok(End::Stopped) => return,
                Ok(End::Paused) => continue,
                Ok(End::Down(fault)) => {
                    self.wrong_probes = if self.unproved { self.wrong_probes.saturating_add(1) } else { 0 };
                    if self.until_back(lane, fault).await {
                        return;
                    }
                    continue;
                }
                Ok(End::Broken(failure)) => {
                    let wait = backoff.next();
                    warn!(
                        stage = S::NAME,
                        lane = ?lane,
                        error = chain(&failure),
                        retry_in_ms = wait.as_millis(),
                        "The broker failed; the consumer starts anew"
                    );
                    wait
                }
                Err(_) => {
                    let wait = backoff.next();
                    error!(
                        stage = S::NAME,
                        lane = ?lane,
                        panic.place = place_of_panic(),
                        retry_in_ms = wait.as_millis(),
                        "The runner panicked; the consumer starts anew"
                    );
                    wait
                }
            };
            if self.wait(wait).await {
                return;
            }
        }
    }

    async fn session<S: Stage>(&mut self, stage: &Arc<S>, lane: Lane, backoff: &mut Backoff) -> End {
        match self.try_session(stage, lane, backoff).await {
            Ok(end) | Err(end) => end,
        }
    }

    async fn try_session<S: Stage>(
        &mut self,
        stage: &Arc<S>,
        lane: Lane,
        backoff: &mut Backoff,
    ) -> Result<End, End> {
        let batch = match lane {
            Lane::Live => self.settings.batch,
            // So that a live message waits for short transactions only.
            Lane::Bulk => (self.settings.batch / BULK).max(1),
        };
        let prefetch = batch.saturating_mul(2);
        let batch = usize::from(batch);
        // First, and with patience: a broker short of memory gives no channel on a connection that publishes, and a consumer that ends for
        // want of a publisher gives back what it was sent already.
        let mut publisher = self.publisher_after(Duration::ZERO, backoff).await?;
        let mut consumer = self.broker.consume(Source::Stage(S::NAME, lane), prefetch).await?;
        self.gauge.consumes(true);
        info!(stage = S::NAME, lane = ?lane, prefetch, "Consuming");
        let end = loop {
            let deliveries = tokio::select! {
                biased;
                () = stopped(&mut self.runner.stop) => break End::Stopped,
                () = pause(&mut self.paused, self.stage) => break End::Paused,
                batch = consumer.next_batch(batch) => batch?,
            };
            let (Some(first), Some(last)) = (deliveries.first(), deliveries.last()) else { continue };
            let (count, last) = (deliveries.len(), last.tag);
            self.gauge.began(consumer.held(), first.published_at);
            *self.rested.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            match self.batch(stage, lane, deliveries, &mut publisher).await {
                Ok(()) => {
                    consumer.ack(last).await?;
                    self.unproved = false;
                }
                Err(broken @ End::Broken(_)) => return Err(broken),
                Err(end) => break end,
            }
            self.gauge.ended(count, consumer.held());
            self.give_way().await;
            backoff.reset();
        };
        consumer.close().await?;
        Ok(end)
    }

    /// Waits while the stage is paused; true when the process was asked to stop meanwhile.
    async fn until_allowed(&mut self) -> bool {
        let (stage, stop, paused) = (self.stage, &mut self.runner.stop, &mut self.paused);
        if paused.borrow().contains(stage) {
            info!(stage, "The stage is paused");
        }
        tokio::select! {
            biased;
            () = stopped(stop) => true,
            // Whoever could pause it is gone, and with it the pause.
            _ = paused.wait_for(|paused| !paused.contains(stage)) => false,
        }
    }

    /// Waits until what a fault says is down is there again; true when the process was asked to stop meanwhile.
    async fn until_back(&mut self, lane: Lane, mut fault: Fault) -> bool {
        warn!(
            stage = self.stage,
            lane = ?lane,
            fault.code = fault.reason.code(),
            error = fault.text,
            "Something the stage needs is down for long; the messages are given back, and it is asked now and then"
        );
        let mut backoff = Backoff::patient();
        let mut at_least = distrust(self.wrong_probes);
        loop {
            let wait = backoff.next().max(std::mem::take(&mut at_least));
            self.gauge.opened(&fault, wait);
            if self.wait(wait).await {
                return true;
            }
            match (self.probe)(fault.reason).await {
                Ok(()) => break,
                Err(still) => fault = Fault { reason: fault.reason, ..still },
            }
        }
        self.unproved = true;
        self.gauge.closed();
        info!(stage = self.stage, lane = ?lane, fault.code = fault.reason.code(), "It is back; the stage goes on");
        false
    }

    /// Publishes all and returns when the broker has taken all of it. What it does not take (a full queue, an alarm, a
    /// lost connection) is offered again through a new publisher: giving the deliveries back instead would count as one
    /// more delivery of each, and in the end bury innocent messages.
    pub(super) async fn publish(
        &mut self,
        publisher: &mut Box<dyn Publisher>,
        mut messages: Vec<Outgoing>,
    ) -> Result<(), End> {
        let mut backoff = Backoff::default();
        while !messages.is_empty() {
            let outcome = tokio::select! {
                biased;
                outcome = publisher.publish(messages.clone()) => outcome,
                // What is not confirmed follows once more from the deliveries, which go back.
                () = async { stopped(&mut self.runner.stop).await; tokio::time::sleep(LAST_CONFIRMS).await } => return Err(End::Stopped),
            };
            let (unconfirmed, problem) = match outcome {
                Ok(()) => return Ok(()),
                Err(BrokerError::NotConfirmed { unconfirmed, problem, .. }) => (unconfirmed, problem),
                Err(broken) => return Err(broken.into()),
            };
            messages = unconfirmed.into_iter().filter_map(|index| messages.get(index).cloned()).collect();
            let wait = backoff.next();
            warn!(
                messages = messages.len(),
                error = problem,
                retry_in_ms = wait.as_millis(),
                "The broker has not taken all; offering it again"
            );
            *publisher = self.publisher_after(wait, &mut backoff).await?;
        }
        Ok(())
    }

    /// Waits, and opens a publisher, however long that takes: a broker short of memory answers nothing at all on a connection
    /// that publishes, not even that, and is no reason to give the deliveries back.
    async fn publisher_after(
        &mut self,
        mut wait: Duration,
        backoff: &mut Backoff,
    ) -> Result<Box<dyn Publisher>, End> {
        loop {
            if self.wait(wait).await {
                return Err(End::Stopped);
            }
            match self.broker.publisher().await {
                Ok(publisher) => return Ok(publisher),
                Err(closed @ BrokerError::Closed) => return Err(closed.into()),
                Err(error) => {
                    wait = backoff.next();
                    warn!(
                        error = chain(&error),
                        retry_in_ms = wait.as_millis(),
                        "The broker gives no channel to publish on; asking again"
                    );
                }
            }
        }
    }

    /// Waits; true when the process was asked to stop meanwhile.
    pub(super) async fn wait(&mut self, time: Duration) -> bool {
        tokio::select! {
            () = stopped(&mut self.runner.stop) => true,
            () = tokio::time::sleep(time) => false,
        }
    }

    /// Waits with a batch in hand; why it is to be given back, if it is.
    pub(super) async fn hold(&mut self, time: Duration) -> Option<End> {
        tokio::select! {
            biased;
            () = stopped(&mut self.runner.stop) => Some(End::Stopped),
            () = pause(&mut self.paused, self.stage) => Some(End::Paused),
            () = tokio::time::sleep(time) => None,
        }
    }
}

/// How long to wait at least when a probe was wrong so often in a row: 30 s, 1, 2, 4, 8, 15, 15 … minutes. So the broker's limit of
/// deliveries lasts for hours.
pub(super) fn distrust(wrong_probes: u32) -> Duration {
    let doublings = wrong_probes.checked_sub(1);
    let wait = doublings.map_or(0, |doublings| 30_u64.checked_shl(doublings.min(10)).unwrap_or(u64::MAX));
    Duration::from_secs(wait.min(15 * 60))
}

/// Resolves when a stage is paused; never, when whoever could pause it is gone.
async fn pause(paused: &mut watch::Receiver<BTreeSet<String>>, stage: &str) {
    if paused.wait_for(|paused| paused.contains(stage)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Resolves when the process is asked to stop, also when whoever could ask is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        warn!("Nobody can ask this runner to stop any more; it stops");
    }
}

/// 1, 2, 4, 8, 16, 30, 30 … seconds.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    least: u64,
}

impl Backoff {
    /// 5, 5, 5, 8, 16, 30, 30 … seconds.
    pub(super) fn patient() -> Self {
        Self { failures: 0, least: 5 }
    }

    pub(super) fn next(&mut self) -> Duration {
        let seconds = 1_u64.checked_shl(self.failures).unwrap_or(u64::MAX).clamp(self.least, 30);
        self.failures = self.failures.saturating_add(1);
        Duration::from_secs(seconds)
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

//! Runs a stage on a queue: collect a batch → decode → load → decide → act → record → publish → confirm → acknowledge.
//!
//! The only caller of [`Consumer::ack`](crate::broker::Consumer::ack). A delivery is acknowledged when everything that
//! follows from it is with the broker, and not before; a process that dies earlier leaves the delivery to somebody else.
//! What each fault becomes is decided here and only here, from the class of its reason:
//!
//! - permanent: to the dead letters, at once;
//! - transient: to the next rung of the retry ladder, then to the dead letters;
//! - unavailable: nowhere. The batch is kept, no attempt is counted, and the runner tries again after 1, 2, 4 … 30
//!   seconds, until it succeeds or the process stops (which gives the batch back).
//!
//! Whether *everything* is down or only one item meets an obstacle is for the stage to find out before it says
//! "unavailable": one odd letter must not hold back all others.
//!
//! A batch never waits to fill up: it takes what is there. Under load batches grow by themselves; when idle a lone
//! message is not held back. One bad row must not fail its neighbours: what the database refuses is rolled back and tried
//! item by item. What it cannot take at the moment (not reachable, contended) is recorded again as it is, because an
//! outcome may be the only memory of an effect that cannot be repeated, such as a mail.

mod batch;
mod faults;
#[cfg(test)]
mod tests;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use hosho_schema::db::Pool;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::{
    broker::{Broker, BrokerError, Lane, Outgoing, Publisher, Rung, Source},
    clock::Clock,
    stage::{Stage, chain},
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
    pub rungs: Vec<Rung>,
}

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
}

/// Why a session ended.
enum End {
    /// The process was asked to stop; everything unacknowledged was given back.
    Stopped,
    /// The broker failed; a new session is due.
    Broken(BrokerError),
}

impl From<BrokerError> for End {
    fn from(error: BrokerError) -> Self {
        Self::Broken(error)
    }
}

impl Runner {
    /// Runs one consumer of a stage until the process is asked to stop. Survives every failure of the broker, and its own
    /// panics: the deliveries in hand go back, and a new session begins.
    pub async fn run<S: Stage>(mut self, stage: Arc<S>, lane: Lane) {
        let mut backoff = Backoff::default();
        loop {
            let wait = match AssertUnwindSafe(self.session(&stage, lane, &mut backoff)).catch_unwind().await {
                Ok(End::Stopped) => return,
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
            Ok(()) => End::Stopped,
            Err(end) => end,
        }
    }

    async fn try_session<S: Stage>(&mut self, stage: &Arc<S>, lane: Lane, backoff: &mut Backoff) -> Result<(), End> {
        let prefetch = self.settings.batch.saturating_mul(2);
        let mut consumer = self.broker.consume(Source::Stage(S::NAME, lane), prefetch).await?;
        let mut publisher = self.broker.publisher().await?;
        info!(stage = S::NAME, lane = ?lane, prefetch, "Consuming");
        loop {
            let deliveries = tokio::select! {
                biased;
                () = stopped(&mut self.stop) => break,
                batch = consumer.next_batch(usize::from(self.settings.batch)) => batch?,
            };
            let Some(last) = deliveries.last().map(|delivery| delivery.tag) else { continue };
            match self.batch(stage, lane, deliveries, &mut publisher).await {
                Ok(()) => consumer.ack(last).await?,
                Err(End::Stopped) => break,
                Err(broken) => return Err(broken),
            }
            backoff.reset();
        }
        consumer.close().await?;
        Ok(())
    }

    /// Publishes all and returns when the broker has taken all of it. What it does not take (a full queue, an alarm, a
    /// lost connection) is offered again through a new publisher: giving the deliveries back instead would count as one
    /// more delivery of each, and in the end bury innocent messages.
    async fn publish(&mut self, publisher: &mut Box<dyn Publisher>, mut messages: Vec<Outgoing>) -> Result<(), End> {
        let mut backoff = Backoff::default();
        while !messages.is_empty() {
            let (unconfirmed, problem) = match publisher.publish(messages.clone()).await {
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
            if self.wait(wait).await {
                return Err(End::Stopped);
            }
            *publisher = self.broker.publisher().await?;
        }
        Ok(())
    }

    /// Waits; true when the process was asked to stop meanwhile.
    async fn wait(&mut self, time: Duration) -> bool {
        tokio::select! {
            () = stopped(&mut self.stop) => true,
            () = tokio::time::sleep(time) => false,
        }
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
struct Backoff {
    failures: u32,
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let seconds = 1_u64.checked_shl(self.failures).unwrap_or(u64::MAX).min(30);
        self.failures = self.failures.saturating_add(1);
        Duration::from_secs(seconds)
    }

    fn reset(&mut self) {
        self.failures = 0;
    }
}

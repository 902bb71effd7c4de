//! Runs a stage on a queue.
//! A batch passes decode → load → decide → act → record → publish → confirm → acknowledge.
//!
//! A delivery is acknowledged when the broker has confirmed everything that follows from it, and not before;
//! if the process is killed earlier, another worker gets the delivery. The class of a fault's reason decides
//! what happens to its message:
//!
//! - permanent: a dead letter at once;
//! - transient: to the next wait queue, after the last attempt a dead letter;
//! - unavailable: nowhere. No attempt is counted. The batch is held and retried after 1, 2, 4 … seconds.
//!   After [`Settings::hold`] the circuit opens: the batch is requeued, the consumer closed, and the
//!   dependency probed every 5 to 30 seconds ([`Probe`]). Holding a batch for longer would exceed the
//!   broker's limit for acknowledgements (half an hour), and each time that counts as one more delivery of
//!   innocent messages.
//!
//! A [verdict](super::stage::Verdict) in doubt is neither retried nor a dead letter: the stage has recorded
//! it.
//!
//! A stage says "unavailable" only for a dependency that fails for all messages: one odd message must not
//! block the others.
//!
//! An operator may pause a stage: its runners finish the batch in flight, requeue the rest and consume
//! nothing until the stage is resumed ([`Heartbeat`](super::heartbeat::Heartbeat)).
//!
//! A probe counts as right until the stage opens the circuit again without having acknowledged anything: then
//! the dependency answers probes and does no work. Each such round is one more delivery of innocent messages,
//! so the probes become rare (`probe_backoff`).
//!
//! A batch never waits to fill up: it takes the deliveries at hand. Under load batches grow; a lone message
//! is not delayed.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tracing::{error, info, warn};

pub use super::consumer::{Probe, Runner, Settings};
use super::{
    consumer::{ConsumerTask, End, paused},
    stage::Stage,
};
use crate::{
    backoff::Backoff,
    broker::{Lane, Source},
    fault::{Fault, chain},
    telemetry::place_of_panic,
};

/// How much smaller a bulk batch is than a live one.
const BULK: u16 = 4;

impl Runner {
    /// Runs one consumer of a stage until the process is requested to stop.
    /// After a failure of the broker, or a panic, the deliveries in flight are requeued and a new session
    /// begins.
    pub async fn run<S: Stage>(self, stage: Arc<S>, lane: Lane) {
        let (stats, paused) = (self.heartbeat.stats(S::NAME, lane), self.heartbeat.paused());
        let task = ConsumerTask {
            runner: self,
            stats,
            paused,
            stage: S::NAME,
            lane,
            unconfirmed: false,
            wrong_probes: 0,
            throttled_at: Mutex::new(Instant::now()),
        };
        task.run(stage).await;
    }
}

impl ConsumerTask {
    async fn run<S: Stage>(mut self, stage: Arc<S>) {
        let mut backoff = Backoff::default();
        loop {
            if self.until_resumed().await {
                return;
            }
            let ended = AssertUnwindSafe(self.session(&stage, &mut backoff)).catch_unwind().await;
            self.stats.set_consuming(false);
            let pause = match ended {
                Ok(Ok(End::Stopped) | Err(End::Stopped)) => return,
                Ok(Ok(End::Paused) | Err(End::Paused)) => continue,
                Ok(Ok(End::Unavailable(fault)) | Err(End::Unavailable(fault))) => {
                    self.wrong_probes =
                        if self.unconfirmed { self.wrong_probes.saturating_add(1) } else { 0 };
                    if self.until_recovered(fault).await {
                        return;
                    }
                    continue;
                }
                Ok(Ok(End::Broken(failure)) | Err(End::Broken(failure))) => {
                    let pause = backoff.next_pause();
                    warn!(
                        stage = S::NAME,
                        lane = ?self.lane,
                        error = chain(&failure),
                        retry_in_ms = pause.as_millis(),
                        "Broker failed; consumer restarts"
                    );
                    pause
                }
                Err(_) => {
                    let pause = backoff.next_pause();
                    error!(
                        stage = S::NAME,
                        lane = ?self.lane,
                        panic.place = place_of_panic(),
                        retry_in_ms = pause.as_millis(),
                        "Runner panicked; consumer restarts"
                    );
                    pause
                }
            };
            if self.wait(pause).await {
                return;
            }
        }
    }

    async fn session<S: Stage>(&mut self, stage: &Arc<S>, backoff: &mut Backoff) -> Result<End, End> {
        let lane = self.lane;
        let batch = match lane {
            Lane::Live => self.settings.batch,
            // So that a live message waits for short transactions only.
            Lane::Bulk => (self.settings.batch / BULK).max(1),
        };
        let prefetch = batch.saturating_mul(2);
        let batch = usize::from(batch);
        // Before the consumer, and with retries: a broker short of memory opens no channel on a connection
        // that publishes, and a consumer closed for want of a publisher would requeue what was delivered
        // already.
        let mut publisher = self.publisher_after(Duration::ZERO, backoff).await?;
        let mut consumer = self.broker.consume(Source::Stage(S::NAME, lane), prefetch).await?;
        self.stats.set_consuming(true);
        info!(stage = S::NAME, lane = ?lane, prefetch, "Consumer started");
        let end = loop {
            let deliveries = tokio::select! {
                biased;
                () = self.runner.stop.cancelled() => break End::Stopped,
                () = paused(&mut self.paused, self.stage) => break End::Paused,
                batch = consumer.next_batch(batch) => batch?,
            };
            let (Some(first), Some(last)) = (deliveries.first(), deliveries.last()) else { continue };
            let (count, last) = (deliveries.len(), last.tag);
            self.stats.batch_began(consumer.held(), first.published_at);
            self.restart_throttle();
            match self.batch(stage, deliveries, &mut publisher).await {
                Ok(()) => {
                    consumer.ack(last).await?;
                    self.unconfirmed = false;
                }
                Err(broken @ End::Broken(_)) => return Err(broken),
                Err(end) => break end,
            }
            self.stats.batch_ended(count, consumer.held());
            self.give_way().await;
            backoff.reset();
        };
        consumer.close().await?;
        Ok(end)
    }

    /// Waits while the stage is paused; true after a stop request.
    async fn until_resumed(&mut self) -> bool {
        if self.is_paused() {
            info!(stage = self.stage, "Stage paused");
        }
        let (stage, paused) = (self.stage, &mut self.paused);
        tokio::select! {
            biased;
            () = self.runner.stop.cancelled() => true,
            // Without a heartbeat no stage is paused.
            _ = paused.wait_for(|paused| !paused.contains(stage)) => false,
        }
    }

    /// Probes the dependency until it recovers; true after a stop request.
    async fn until_recovered(&mut self, mut fault: Fault) -> bool {
        warn!(
            stage = self.stage,
            lane = ?self.lane,
            fault.code = fault.reason.code(),
            error = fault.text,
            "Dependency unavailable; batch requeued, probing until it recovers"
        );
        let mut backoff = Backoff::at_least(5);
        let mut at_least = probe_backoff(self.wrong_probes);
        loop {
            let pause = backoff.next_pause().max(std::mem::take(&mut at_least));
            self.stats.circuit_opened(&fault, pause);
            if self.wait(pause).await {
                return true;
            }
            match (self.probe)(fault.reason).await {
                Ok(()) => break,
                Err(still) => fault = Fault { reason: fault.reason, ..still },
            }
        }
        self.unconfirmed = true;
        self.stats.circuit_closed();
        info!(
            stage = self.stage,
            lane = ?self.lane,
            fault.code = fault.reason.code(),
            "Dependency recovered; stage resumed"
        );
        false
    }
}

/// The least pause after wrong probes in a row: 30 s, 1, 2, 4, 8, 15, 15 … minutes.
/// So the broker's limit of deliveries lasts for hours.
pub(super) fn probe_backoff(wrong_probes: u32) -> Duration {
    let doublings = wrong_probes.checked_sub(1);
    let pause = doublings.map_or(0, |doublings| 30_u64.checked_shl(doublings.min(10)).unwrap_or(u64::MAX));
    Duration::from_secs(pause.min(15 * 60))
}

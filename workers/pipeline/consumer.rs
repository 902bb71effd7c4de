//! One consumer of a stage: its state, its waits, and publishing with confirms.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    heartbeat::{ConsumerStats, Heartbeat},
    priority::Priority,
};
use crate::{
    backoff::Backoff,
    broker::{Broker, BrokerError, Lane, Outgoing, Publisher, RetryDelay},
    clock::Clock,
    db::Db,
    fault::{Fault, Reason, chain},
    permit::Permit,
};

/// How long confirms may take after a stop request.
/// Far less than `work.drain_seconds`.
const LAST_CONFIRMS: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub struct Settings {
    pub batch: u16,
    /// Larger bodies are dead letters.
    pub max_message_bytes: usize,
    pub retry_delays: Vec<RetryDelay>,
    /// How long a batch is held while a dependency is unavailable.
    pub hold: Duration,
}

/// Checks whether the dependency behind a reason has recovered.
pub type Probe = Arc<dyn Fn(Reason) -> BoxFuture<'static, Result<(), Fault>> + Send + Sync>;

#[derive(Clone)]
pub struct Runner {
    pub broker: Arc<dyn Broker>,
    pub db: Db,
    pub clock: Clock,
    pub settings: Settings,
    pub stop: CancellationToken,
    pub heartbeat: Heartbeat,
    pub probe: Probe,
    pub priority: Priority,
}

/// Why a session ended. Everything unacknowledged was requeued.
pub(super) enum End {
    Stopped,
    /// The stage is paused, or a batch was held too long.
    Paused,
    Unavailable(Fault),
    /// The broker failed; a new session is due.
    Broken(BrokerError),
}

impl From<BrokerError> for End {
    fn from(error: BrokerError) -> Self {
        Self::Broken(error)
    }
}

/// A [`Runner`] at work on one lane of one stage.
pub(super) struct ConsumerTask {
    pub(super) runner: Runner,
    pub(super) stats: ConsumerStats,
    pub(super) paused: watch::Receiver<BTreeSet<String>>,
    pub(super) stage: &'static str,
    pub(super) lane: Lane,
    /// Whether nothing was acknowledged since a probe succeeded.
    pub(super) unconfirmed: bool,
    /// Probes in a row that succeeded although the dependency was still unavailable.
    pub(super) wrong_probes: u32,
    pub(super) throttled_at: Mutex<Instant>,
}

impl std::ops::Deref for ConsumerTask {
    type Target = Runner;

    fn deref(&self) -> &Runner {
        &self.runner
    }
}

impl ConsumerTask {
    /// Publishes all, and returns when the broker has confirmed all.
    /// What it does not confirm (a full queue, an alarm, a lost connection) is published again through a new
    /// publisher: requeuing the deliveries instead would count one more delivery of each, and in the end
    /// dead-letter innocent messages.
    pub(super) async fn publish(
        &mut self,
        publisher: &mut Box<dyn Publisher>,
        mut messages: Vec<Outgoing>,
    ) -> Result<(), End> {
        let mut backoff = Backoff::default();
        while !messages.is_empty() {
            let stopped = async {
                self.stop.cancelled().await;
                tokio::time::sleep(LAST_CONFIRMS).await;
            };
            let outcome = tokio::select! {
                biased;
                outcome = publisher.publish(messages.clone()) => outcome,
                // Unconfirmed messages follow again from the deliveries, which are requeued.
                () = stopped => return Err(End::Stopped),
            };
            let (unconfirmed, problem) = match outcome {
                Ok(()) => return Ok(()),
                Err(BrokerError::NotConfirmed { unconfirmed, problem, .. }) => (unconfirmed, problem),
                Err(broken) => return Err(broken.into()),
            };
            messages = unconfirmed.into_iter().filter_map(|index| messages.get(index).cloned()).collect();
            let pause = backoff.next_pause();
            warn!(
                messages = messages.len(),
                error = problem,
                retry_in_ms = pause.as_millis(),
                "Messages not confirmed; publishing them again"
            );
            *publisher = self.publisher_after(pause, &mut backoff).await?;
        }
        Ok(())
    }

    /// Opens a publisher after a pause, with unlimited retries.
    /// A broker short of memory opens no channel on a connection that publishes, which is no reason to
    /// requeue the deliveries.
    pub(super) async fn publisher_after(
        &mut self,
        mut pause: Duration,
        backoff: &mut Backoff,
    ) -> Result<Box<dyn Publisher>, End> {
        loop {
            if self.wait(pause).await {
                return Err(End::Stopped);
            }
            match self.broker.publisher().await {
                Ok(publisher) => return Ok(publisher),
                Err(closed @ BrokerError::Closed) => return Err(closed.into()),
                Err(error) => {
                    pause = backoff.next_pause();
                    warn!(
                        error = chain(&error),
                        retry_in_ms = pause.as_millis(),
                        "Publisher channel refused; retry scheduled"
                    );
                }
            }
        }
    }

    /// Waits; true when the process was requested to stop meanwhile.
    pub(super) async fn wait(&self, time: Duration) -> bool {
        self.stop.run_until_cancelled(tokio::time::sleep(time)).await.is_none()
    }

    /// Waits with a batch in flight; returns the reason to requeue it, if there is one.
    pub(super) async fn hold(&mut self, time: Duration) -> Option<End> {
        tokio::select! {
            biased;
            () = self.runner.stop.cancelled() => Some(End::Stopped),
            () = paused(&mut self.paused, self.stage) => Some(End::Paused),
            () = tokio::time::sleep(time) => None,
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.borrow().contains(self.stage)
    }

    /// Lets live batches go first if this is the bulk lane.
    pub(super) async fn give_way(&self) {
        if self.lane == Lane::Bulk {
            let throttled_at = *self.throttled_at.lock().unwrap_or_else(PoisonError::into_inner);
            self.priority.give_way(throttled_at.elapsed()).await;
            self.restart_throttle();
        }
    }

    /// Bulk work counts from here on.
    pub(super) fn restart_throttle(&self) {
        *self.throttled_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// A permit for the effects of the batch that begins now.
    pub(super) fn permit(&self) -> Permit {
        let (stop, paused, stage) = (self.stop.clone(), self.paused.clone(), self.stage);
        let (began, hold) = (Instant::now(), self.settings.hold);
        Permit::until(move || {
            if stop.is_cancelled() {
                Some("the process was requested to stop")
            } else if paused.borrow().contains(stage) {
                Some("the stage is paused")
            } else {
                (began.elapsed() > hold).then_some("the batch was held too long")
            }
        })
    }
}

/// Resolves when the stage is paused; never after the heartbeat has ended.
pub(super) async fn paused(paused: &mut watch::Receiver<BTreeSet<String>>, stage: &str) {
    if paused.wait_for(|paused| paused.contains(stage)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

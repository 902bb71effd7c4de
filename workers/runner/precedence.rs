//! Live work goes first.
//!
//! The lanes have queues and consumers of their own, and share the processor: a night that is driven faster than the machine can follow
//! keeps it busy, and a live application would wait its turn at every stage. So before each portion of a bulk batch a runner gives way
//! to the live batches that are under way in its process; not for long, so that a busy day does not keep a run from ending.

use std::time::Duration;

use tokio::sync::watch;

/// Longest that a portion of bulk work waits.
const PATIENCE: Duration = Duration::from_millis(250);

/// How many live batches are under way in this process. Clones share it.
#[derive(Debug, Clone)]
pub struct Precedence {
    live: watch::Sender<usize>,
}

impl Default for Precedence {
    fn default() -> Self {
        Self { live: watch::channel(0).0 }
    }
}

/// A live batch under way, until it is dropped.
pub(super) struct Live(watch::Sender<usize>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.send_modify(|live| *live -= 1);
    }
}

impl Precedence {
    /// A live batch begins.
    pub(super) fn take(&self) -> Live {
        self.live.send_modify(|live| *live += 1);
        Live(self.live.clone())
    }

    /// Waits until no live batch is under way, or for as long as bulk work is patient.
    pub(super) async fn give_way(&self) {
        let mut live = self.live.subscribe();
        let _ = tokio::time::timeout(PATIENCE, live.wait_for(|live| *live == 0)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn bulk_work_waits_for_live_batches_and_not_for_ever() {
        let precedence = Precedence::default();
        assert_eq!(precedence.give_way().now_or_never(), Some(()));
        let (first, second) = (precedence.take(), precedence.clone().take());
        let mut waiting = Box::pin(precedence.give_way());
        assert_eq!((&mut waiting).now_or_never(), None);
        drop(first);
        assert_eq!((&mut waiting).now_or_never(), None);
        drop(second);
        assert_eq!(waiting.now_or_never(), Some(()));
        let _third = precedence.take();
        let began = Instant::now();
        precedence.give_way().await;
        assert!(began.elapsed() >= PATIENCE);
    }
}

//! Where a message goes that failed, for good or for now.

use sha2::{Digest, Sha256};
use tracing::{error, warn};

use super::runner::ConsumerTask;
use crate::{
    broker::{Delivery, Destination, Lane, Outgoing, RetryDelay},
    fault::{Class, Fault, Reason},
    redact::scrub,
    telemetry::place_of_panic,
};

/// Longest text of a fault in a header, in characters.
const FAULT_TEXT: usize = 1_000;

impl ConsumerTask {
    /// The message that takes the place of a delivery that failed. The payload moves; the delivery is done with.
    pub(super) fn reroute(
        &self,
        stage: &'static str,
        lane: Lane,
        delivery: &mut Delivery,
        fault: &Fault,
    ) -> Outgoing {
        let payload = std::mem::take(&mut delivery.envelope.payload);
        let mut envelope = delivery.envelope.clone();
        envelope.payload = payload;
        let history = &mut envelope.history;
        history.add(self.clock.now(), fault.reason.code(), fault.text.chars().take(FAULT_TEXT).collect());
        let next = (fault.reason.class() == Class::Transient)
            .then(|| {
                ladder(
                    &self.settings.rungs,
                    history.attempts,
                    envelope.message_id.as_deref().unwrap_or_default(),
                )
            })
            .flatten();
        // Whoever sent it chose it.
        let id = scrub(envelope.message_id.as_deref().unwrap_or_default());
        let destination = match next {
            Some(rung) => {
                warn!(
                    stage,
                    message.id = id,
                    fault.code = fault.reason.code(),
                    error = fault.text,
                    delivery.attempt = history.attempts,
                    retry_in = rung.name(),
                    "A message failed for now and waits"
                );
                self.gauge.waits(rung);
                Destination::Wait(stage, lane, rung)
            }
            None => {
                error!(
                    stage,
                    message.id = id,
                    fault.code = fault.reason.code(),
                    error = fault.text,
                    delivery.attempt = history.attempts,
                    "A message failed for good and is a dead letter"
                );
                Destination::Dead(stage)
            }
        };
        Outgoing { destination, envelope }
    }
}

/// The rung for attempt `attempt` (from 1), or a neighbour of it: messages that failed together come back apart.
/// `None` when the ladder is used up.
fn ladder(rungs: &[RetryDelay], attempt: u32, message_id: &str) -> Option<RetryDelay> {
    let rung = *rungs.get(usize::try_from(attempt).ok()?.checked_sub(1)?)?;
    let at = RetryDelay::ALL.iter().position(|each| *each == rung)?;
    let jitter = usize::from(Sha256::digest(format!("{message_id}:{attempt}"))[0] % 2);
    Some(RetryDelay::ALL.get(at + jitter).copied().unwrap_or(rung))
}

/// A stage that gave fewer verdicts than it had items.
pub(super) fn no_verdict() -> Fault {
    Fault::new(Reason::Panicked, "the stage gave no verdict on this item")
}

/// A panic caught on this thread. Its text is not used: it may quote personal data.
pub(super) fn panicked() -> Fault {
    let place = place_of_panic().unwrap_or_else(|| "a place told in the log".to_owned());
    Fault::new(Reason::Panicked, format!("panic at {place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_ends() {
        let rungs = [RetryDelay::S3, RetryDelay::M60];
        assert!(matches!(ladder(&rungs, 1, "a"), Some(RetryDelay::S3 | RetryDelay::S8)));
        assert_eq!(ladder(&rungs, 2, "a"), Some(RetryDelay::M60));
        for attempt in [0, 3, u32::MAX] {
            assert_eq!(ladder(&rungs, attempt, "a"), None);
        }
    }

    #[test]
    fn messages_that_failed_together_come_back_apart() {
        let rungs = [RetryDelay::S20];
        let chosen: std::collections::HashSet<_> =
            (0..50).filter_map(|id| ladder(&rungs, 1, &id.to_string())).collect();
        assert_eq!(chosen.len(), 2);
    }
}

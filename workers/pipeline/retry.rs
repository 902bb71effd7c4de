//! Where a failed message goes: to a wait queue or to the dead letters.

use sha2::{Digest, Sha256};
use tracing::{error, warn};

use super::consumer::ConsumerTask;
use crate::{
    broker::{Delivery, Destination, Outgoing, RetryDelay},
    fault::{Class, Fault, Reason},
    redact::redact_addresses,
    telemetry::place_of_panic,
};

/// Longest text of a fault in a header, in characters.
const FAULT_TEXT: usize = 1_000;

impl ConsumerTask {
    /// The message that replaces a failed delivery.
    /// Takes the payload out of the delivery.
    pub(super) fn reroute(&self, delivery: &mut Delivery, fault: &Fault) -> Outgoing {
        let (stage, lane) = (self.stage, self.lane);
        let payload = std::mem::take(&mut delivery.envelope.payload);
        let mut envelope = delivery.envelope.clone();
        envelope.payload = payload;
        let history = &mut envelope.history;
        history.add(self.clock.now(), fault.reason.code(), fault.text.chars().take(FAULT_TEXT).collect());
        let next = (fault.reason.class() == Class::Transient)
            .then(|| {
                retry_delay(
                    &self.settings.retry_delays,
                    history.attempts,
                    envelope.message_id.as_deref().unwrap_or_default(),
                )
            })
            .flatten();
        // The sender chose the id.
        let id = redact_addresses(envelope.message_id.as_deref().unwrap_or_default());
        let destination = match next {
            Some(delay) => {
                warn!(
                    stage,
                    message.id = id,
                    fault.code = fault.reason.code(),
                    error = fault.text,
                    delivery.attempt = history.attempts,
                    retry_in = delay.name(),
                    "Message failed; retry scheduled"
                );
                self.stats.retry_scheduled(delay);
                Destination::Wait(stage, lane, delay)
            }
            None => {
                error!(
                    stage,
                    message.id = id,
                    fault.code = fault.reason.code(),
                    error = fault.text,
                    delivery.attempt = history.attempts,
                    "Message dead-lettered"
                );
                Destination::Dead(stage)
            }
        };
        Outgoing { destination, envelope }
    }
}

/// The delay after attempt `attempt` (from 1), or the next longer one.
/// So messages that failed together are spread out. `None` after the last attempt.
fn retry_delay(delays: &[RetryDelay], attempt: u32, message_id: &str) -> Option<RetryDelay> {
    let delay = *delays.get(usize::try_from(attempt).ok()?.checked_sub(1)?)?;
    let at = RetryDelay::ALL.iter().position(|each| *each == delay)?;
    let jitter = usize::from(Sha256::digest(format!("{message_id}:{attempt}"))[0] % 2);
    Some(RetryDelay::ALL.get(at + jitter).copied().unwrap_or(delay))
}

/// The fault of an item for which the stage returned no verdict.
pub(super) fn no_verdict() -> Fault {
    Fault::new(Reason::Panicked, "the stage gave no verdict on this item")
}

/// A panic caught on this thread. Without its text, which may quote personal data.
pub(super) fn panicked() -> Fault {
    let place = place_of_panic().unwrap_or_else(|| "a place named in the log".to_owned());
    Fault::new(Reason::Panicked, format!("panic at {place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_after_the_last_delay() {
        let delays = [RetryDelay::S3, RetryDelay::M60];
        assert!(matches!(retry_delay(&delays, 1, "a"), Some(RetryDelay::S3 | RetryDelay::S8)));
        assert_eq!(retry_delay(&delays, 2, "a"), Some(RetryDelay::M60));
        for attempt in [0, 3, u32::MAX] {
            assert_eq!(retry_delay(&delays, attempt, "a"), None);
        }
    }

    #[test]
    fn spreads_messages_that_failed_together() {
        let delays = [RetryDelay::S20];
        let chosen: std::collections::HashSet<_> =
            (0..50).filter_map(|id| retry_delay(&delays, 1, &id.to_string())).collect();
        assert_eq!(chosen.len(), 2);
    }
}

//! A publisher: accepts a publication, or a part of it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use hosho::broker::{BrokerError, Outgoing, Publisher};

use super::{Failure, Moment, Shared, broken};

/// A publisher with a random failure of its process.
pub(super) struct FaultyPublisher {
    pub(super) shared: Arc<Shared>,
}

impl FaultyPublisher {
    /// The indices of messages that are not published, and the failure of the process.
    fn take(&self, messages: Vec<Outgoing>) -> (Vec<usize>, Option<Failure>) {
        let mut state = self.shared.lock();
        state.committed();
        let Some((moment, failure)) = state.failure_at(&[Moment::Recorded, Moment::Published]) else {
            for message in messages {
                state.publish(message);
            }
            return (Vec::new(), None);
        };
        let taken = if moment == Moment::Recorded { 0 } else { 1 + state.dice.below(messages.len()) };
        let note = format!("         {taken} of {} are published", messages.len());
        state.record.log.push(note);
        let lost = (taken..messages.len()).collect();
        messages.into_iter().take(taken).for_each(|message| state.publish(message));
        if failure == Failure::Stop {
            state.stop.cancel();
        }
        (lost, Some(failure))
    }
}

impl Publisher for FaultyPublisher {
    fn publish(&mut self, messages: Vec<Outgoing>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            let total = messages.len();
            let (unconfirmed, failure) = self.take(messages);
            match failure {
                None => Ok(()),
                Some(Failure::Kill) => self.shared.kill().await,
                Some(Failure::Disconnect) => Err(broken("publish")),
                Some(Failure::Stop) => Err(BrokerError::NotConfirmed {
                    unconfirmed,
                    total,
                    problem: "the queue is full".to_owned(),
                }),
            }
        })
    }
}

//! Taking what is published, or a part of it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use hosho::broker::{BrokerError, Outgoing, Publisher};

use super::{Fate, Moment, Shared, broken};

/// A publisher; its process dies, breaks off or stops in it when the dice say so.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
}

impl Writer {
    /// Takes what the dice let it take: the places of what it does not, and what befalls the process.
    fn take(&self, messages: Vec<Outgoing>) -> (Vec<usize>, Option<Fate>) {
        let mut state = self.shared.lock();
        state.committed();
        let Some((moment, fate)) = state.befalls(&[Moment::Recorded, Moment::Published]) else {
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
        if fate == Fate::Stop {
            state.stop.cancel();
        }
        (lost, Some(fate))
    }
}

impl Publisher for Writer {
    fn publish(&mut self, messages: Vec<Outgoing>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            let total = messages.len();
            let (unconfirmed, fate) = self.take(messages);
            match fate {
                None => Ok(()),
                Some(Fate::Death) => self.shared.die().await,
                Some(Fate::Break) => Err(broken("publish")),
                Some(Fate::Stop) => Err(BrokerError::NotConfirmed {
                    unconfirmed,
                    total,
                    problem: "the queue is full".to_owned(),
                }),
            }
        })
    }
}

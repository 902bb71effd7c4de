//! A consumer: takes the granted batch, and requeues what it has not acknowledged.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;
use hosho::{
    broker::{BrokerError, Consumer, Delivery, Tag},
    stages::validate,
};

use super::{Failure, Message, Moment, Phase, Queue, Shared, broken};

/// A consumer with its unacknowledged messages.
pub(super) struct FaultyConsumer {
    shared: Arc<Shared>,
    queue: Queue,
    last: u64,
    held: BTreeMap<u64, Message>,
}

impl FaultyConsumer {
    pub(super) fn new(shared: Arc<Shared>, queue: Queue) -> Self {
        Self { shared, queue, last: 0, held: BTreeMap::new() }
    }

    /// The batch, if this consumer is granted one.
    fn take(&mut self) -> Option<Vec<Delivery>> {
        let mut state = self.shared.lock();
        if state.phase == Phase::Working(self.queue) {
            state.phase = Phase::Over { can_continue: true };
            self.shared.over.notify_one();
        }
        if state.phase != Phase::Granted(self.queue) {
            return None;
        }
        state.phase = Phase::Working(self.queue);
        let batch = std::mem::take(&mut state.batch);
        if self.queue.is_of(validate::NAME) {
            let bodies = batch.iter().map(|message| message.envelope.payload.clone()).collect();
            state.undecided = Some((self.queue, bodies));
        }
        drop(state);
        let deliver = |message: Message| {
            self.last += 1;
            let delivery = Delivery {
                tag: Tag(self.last),
                redelivered: message.returned,
                routing_key: message.routing_key.clone(),
                published_at: None,
                death: None,
                headers: serde_json::Map::new(),
                envelope: message.envelope.clone(),
            };
            self.held.insert(self.last, message);
            delivery
        };
        Some(batch.into_iter().map(deliver).collect())
    }
}

impl Consumer for FaultyConsumer {
    fn next_batch(&mut self, _: usize) -> BoxFuture<'_, Result<Vec<Delivery>, BrokerError>> {
        Box::pin(async move {
            let shared = Arc::clone(&self.shared);
            let batch = loop {
                // Created before `take`, so a batch that is granted after `take` wakes it.
                let granted = shared.granted.notified();
                match self.take() {
                    Some(batch) => break batch,
                    None => granted.await,
                }
            };
            let failure = shared.lock().failure_at(&[Moment::Taken]);
            match failure {
                Some((_, Failure::Kill)) => shared.kill().await,
                Some((_, Failure::Disconnect)) => return Err(broken("consume")),
                Some((_, Failure::Stop)) => shared.lock().stop.cancel(),
                None => {}
            }
            Ok(batch)
        })
    }

    fn ack(&mut self, last: Tag) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            let failure = {
                let mut state = self.shared.lock();
                state.committed();
                state.failure_at(&[Moment::Confirmed])
            };
            match failure {
                Some((_, Failure::Kill)) => self.shared.kill().await,
                Some((_, Failure::Disconnect)) => return Err(broken("acknowledge")),
                Some((_, Failure::Stop)) => self.shared.lock().stop.cancel(),
                None => {}
            }
            if !self.held.contains_key(&last.0) {
                return Err(broken("acknowledge what is not held"));
            }
            self.held = self.held.split_off(&(last.0 + 1));
            Ok(())
        })
    }

    fn held(&self) -> usize {
        self.held.len()
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        drop(self);
        Box::pin(async { Ok(()) })
    }
}

impl Drop for FaultyConsumer {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        for message in std::mem::take(&mut self.held).into_values() {
            state.put(self.queue, Message { returned: true, ..message });
        }
        state.undecided.take_if(|(queue, _)| *queue == self.queue);
        if state.phase == Phase::Working(self.queue) {
            state.phase = Phase::Over { can_continue: false };
            self.shared.over.notify_one();
        }
    }
}

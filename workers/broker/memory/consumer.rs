//! The consumer of an in-process queue.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::{Item, Key, Shared};
use crate::broker::{
    BrokerError, Consumer, Death, Delivery, Tag,
    names::{DELIVERY_LIMIT, drop_lane},
};

pub(super) struct MemoryConsumer {
    shared: Arc<Shared>,
    key: Key,
    arrived: Arc<Notify>,
    prefetch: usize,
    last: u64,
    unacknowledged: BTreeMap<u64, Item>,
    open: bool,
}

impl MemoryConsumer {
    /// A consumer of a queue that counts it among its consumers already.
    pub(super) fn new(shared: Arc<Shared>, key: Key, arrived: Arc<Notify>, prefetch: u16) -> Self {
        Self {
            shared,
            key,
            arrived,
            prefetch: usize::from(prefetch.max(1)),
            last: 0,
            unacknowledged: BTreeMap::new(),
            open: true,
        }
    }

    /// Takes up to `max` messages, as far as the prefetch allows.
    fn take(&mut self, max: usize) -> Result<Vec<Delivery>, BrokerError> {
        let mut state = self.shared.lock();
        if state.closed {
            return Err(BrokerError::Closed);
        }
        let mut batch = Vec::new();
        let Some(queue) = state.queues.get_mut(&self.key) else { return Err(BrokerError::Closed) };
        while batch.len() < max
            && self.unacknowledged.len() < self.prefetch
            && let Some(item) = queue.ready.pop_front()
        {
            self.last += 1;
            batch.push(Delivery {
                tag: Tag(self.last),
                redelivered: item.returned > 0,
                routing_key: item.routing_key.clone(),
                published_at: None,
                death: item.death.clone(),
                headers: item.headers(),
                envelope: item.envelope.clone(),
            });
            self.unacknowledged.insert(self.last, item);
        }
        Ok(batch)
    }

    /// Requeues all unacknowledged messages at the front, in order.
    /// A message beyond the delivery limit becomes a dead letter, under the name of its stage.
    fn requeue(&mut self) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let mut state = self.shared.lock();
        if matches!(self.key, Key::Events(_)) {
            state.queues.remove(&self.key);
            return;
        }
        let mut dead = Vec::new();
        if let Some(queue) = state.queues.get_mut(&self.key) {
            queue.consumers = queue.consumers.saturating_sub(1);
            for (_, mut item) in std::mem::take(&mut self.unacknowledged).into_iter().rev() {
                item.returned += 1;
                if matches!(self.key, Key::Stage(_)) && item.returned > DELIVERY_LIMIT {
                    drop_lane(&mut item.routing_key);
                    item.returned = 0;
                    item.death = Some(Death { reason: "delivery_limit".to_owned(), at: None });
                    dead.push(item);
                } else {
                    queue.ready.push_front(item);
                }
            }
            queue.arrived.notify_waiters();
        }
        self.shared.ended(dead.len());
        for item in dead.into_iter().rev() {
            self.shared.queue_for_ingester(&mut state, &Key::Dead, item);
        }
    }
}

impl Consumer for MemoryConsumer {
    fn next_batch(&mut self, max: usize) -> BoxFuture<'_, Result<Vec<Delivery>, BrokerError>> {
        Box::pin(async move {
            loop {
                let arrived = Arc::clone(&self.arrived);
                // Created before the check: a message that arrives after the check still wakes it.
                let news = arrived.notified();
                let batch = self.take(max.max(1))?;
                if !batch.is_empty() {
                    return Ok(batch);
                }
                news.await;
            }
        })
    }

    fn ack(&mut self, last: Tag) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            if self.shared.lock().closed {
                return Err(BrokerError::Closed);
            }
            if !self.unacknowledged.contains_key(&last.0) {
                return Err(BrokerError::Unavailable {
                    operation: format!("acknowledge delivery {}", last.0),
                    source: "no such delivery is waiting for its acknowledgement".into(),
                });
            }
            let later = self.unacknowledged.split_off(&(last.0 + 1));
            let acknowledged = std::mem::replace(&mut self.unacknowledged, later).len();
            match self.key {
                Key::Stage(_) => self.shared.ended(acknowledged),
                Key::Dead | Key::Unrouted => self.shared.taken_in(acknowledged),
                Key::Events(_) => {}
            }
            Ok(())
        })
    }

    fn held(&self) -> usize {
        self.unacknowledged.len()
    }

    fn close(mut self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(async move {
            self.requeue();
            Ok(())
        })
    }
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        self.requeue();
    }
}

//! Taking the batch when it is this consumer's turn, and giving it back.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;
use hosho::{
    broker::{BrokerError, Consumer, Delivery, Tag},
    stages::validate,
};

use super::{Fate, Message, Moment, Phase, Place, Shared, broken};

/// A consumer, and what it has not acknowledged.
pub(super) struct Holder {
    shared: Arc<Shared>,
    place: Place,
    last: u64,
    held: BTreeMap<u64, Message>,
}

impl Holder {
    pub(super) fn new(shared: Arc<Shared>, place: Place) -> Self {
        Self { shared, place, last: 0, held: BTreeMap::new() }
    }

    /// The batch, when it is this consumer's turn.
    fn take(&mut self) -> Option<Vec<Delivery>> {
        let mut state = self.shared.lock();
        if state.phase == Phase::Working(self.place) {
            state.phase = Phase::Over { well: true };
            self.shared.over.notify_one();
        }
        if state.phase != Phase::Granted(self.place) {
            return None;
        }
        state.phase = Phase::Working(self.place);
        let batch = std::mem::take(&mut state.batch);
        if self.place.is_of(validate::NAME) {
            let bodies = batch.iter().map(|message| message.envelope.payload.clone()).collect();
            state.undecided = Some((self.place, bodies));
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

impl Consumer for Holder {
    fn next_batch(&mut self, _: usize) -> BoxFuture<'_, Result<Vec<Delivery>, BrokerError>> {
        Box::pin(async move {
            let shared = Arc::clone(&self.shared);
            let batch = loop {
                // Made before looking: a turn that is given after the look still wakes it.
                let news = shared.granted.notified();
                match self.take() {
                    Some(batch) => break batch,
                    None => news.await,
                }
            };
            let mishap = shared.lock().befalls(&[Moment::Taken]);
            match mishap {
                Some((_, Fate::Death)) => shared.die().await,
                Some((_, Fate::Break)) => return Err(broken("consume")),
                Some((_, Fate::Stop)) => shared.lock().stop.cancel(),
                None => {}
            }
            Ok(batch)
        })
    }

    fn ack(&mut self, last: Tag) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            let mishap = {
                let mut state = self.shared.lock();
                state.committed();
                state.befalls(&[Moment::Confirmed])
            };
            match mishap {
                Some((_, Fate::Death)) => self.shared.die().await,
                Some((_, Fate::Break)) => return Err(broken("acknowledge")),
                Some((_, Fate::Stop)) => self.shared.lock().stop.cancel(),
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

impl Drop for Holder {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        for message in std::mem::take(&mut self.held).into_values() {
            state.put(self.place, Message { returned: true, ..message });
        }
        state.undecided.take_if(|(place, _)| *place == self.place);
        if state.phase == Phase::Working(self.place) {
            state.phase = Phase::Over { well: false };
            self.shared.over.notify_one();
        }
    }
}

//! One channel with one consumer on it.
//!
//! **Slow start.** The prefetch is the blast radius of a poison message: when a worker is killed, every
//! prefetched message counts as delivered once more, and innocent messages reach the delivery limit together
//! with the poison message. So a consumer begins with a prefetch of 1, and doubles it with each
//! acknowledgement up to the requested one. Measured on 3.10.8: a larger `basic.qos` leaves a running
//! consumer of a quorum queue at its old prefetch, and the channel-wide kind is ignored by a running one and
//! refused for a new one (540, which closes the connection). Holding back in the client would limit nothing,
//! since a delivery counts when it is sent. So growing means: cancel, acknowledge, set the prefetch, consume
//! again, on the same channel, where delivery tags continue and unacknowledged deliveries remain with the
//! consumer. The cancel comes first: no message is sent to the old consumer in between, and order is kept.
//! Nine steps lead to 512 and took 45 to 170 ms together (unoptimised build, 2 cores).
//!
//! Adding a second consumer instead of replacing the first would save the pause, but the two overtake each
//! other: 205 of 400 deliveries of a channel with two consumers came out of order.

use std::{collections::VecDeque, sync::Arc};

use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use lapin::{
    Acker, Channel,
    message::Delivery as Received,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
        QueueBindOptions,
    },
    types::{FieldTable, ShortString},
};

use super::{
    answers::{answer, short, temporary_queue, unavailable},
    wire,
};
use crate::broker::{
    BrokerError, Consumer, Delivery, Source, Tag,
    names::{Names, drop_lane},
};

/// The stream of deliveries ended: the queue was deleted or its leader moved.
const CANCELLED: &str = "the broker cancelled the consumer";

/// The broker delivers it again.
const STALE: &str = "the delivery belongs to a closed channel";

pub(super) struct RabbitConsumer {
    channel: Channel,
    queue: ShortString,
    operation: String,
    /// `None` after a failed step of growing: then this consumer is unusable.
    stream: Option<lapin::Consumer>,
    /// Counts the consumers started on this channel; names the newest.
    generation: u32,
    /// Prefetch now, and the one to reach.
    prefetch: u16,
    requested: u16,
    /// Deliveries received and not handed out yet: older than what the stream holds.
    kept: VecDeque<Received>,
    /// Handed out and not acknowledged, oldest first.
    unacknowledged: VecDeque<(u64, Acker)>,
    /// Dead letters or unrouted messages.
    is_failures: bool,
}

impl RabbitConsumer {
    pub(super) async fn open(
        channel: Channel,
        names: &Arc<Names>,
        source: Source,
        prefetch: u16,
    ) -> Result<Self, BrokerError> {
        let operation = format!("consume {}", names.source(source));
        let requested = prefetch.max(1);
        let (queue, first) = if source == Source::Events {
            // The queue goes away with its last consumer, so this one is never replaced.
            let queue = temporary_queue(&channel, &operation, &[]).await?;
            let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
            let exchange = short(&names.events());
            answer(&operation, channel.queue_bind(queue.clone(), exchange, short("#"), options, arguments))
                .await?;
            (queue, requested)
        } else {
            (short(&names.source(source)), 1)
        };
        let mut consumer = Self {
            channel,
            queue,
            operation,
            stream: None,
            generation: 0,
            prefetch: first,
            requested,
            kept: VecDeque::new(),
            unacknowledged: VecDeque::new(),
            is_failures: matches!(source, Source::Dead | Source::Unrouted),
        };
        consumer.start().await?;
        Ok(consumer)
    }

    async fn start(&mut self) -> Result<(), BrokerError> {
        answer(&self.operation, self.channel.basic_qos(self.prefetch, BasicQosOptions::default())).await?;
        self.generation += 1;
        // Tags that sort by age: when the channel closes, a quorum queue requeues consumer by consumer in
        // this order.
        let tag = short(&format!("hosho-{:05}", self.generation));
        let consuming = self.channel.basic_consume(
            self.queue.clone(),
            tag,
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        self.stream = Some(answer(&self.operation, consuming).await?);
        Ok(())
    }

    /// Cancels the consumer and keeps what was sent to it already.
    async fn stop(&mut self) -> Result<(), BrokerError> {
        let Some(mut stream) = self.stream.take() else { return Err(self.lost(CANCELLED)) };
        answer(&self.operation, self.channel.basic_cancel(stream.tag(), BasicCancelOptions::default()))
            .await?;
        // The answer to a cancel ends the stream, so this does not wait.
        while let Some(received) = stream.next().await {
            self.kept.push_back(received.map_err(|error| unavailable(&self.operation, error))?);
        }
        Ok(())
    }

    async fn acknowledge(&mut self, last: Tag) -> Result<(), BrokerError> {
        let Some(at) = self.unacknowledged.iter().position(|(tag, _)| *tag == last.0) else {
            return Err(self.lost("no such delivery is waiting for its acknowledgement"));
        };
        let grows = self.prefetch < self.requested;
        if grows {
            self.stop().await?;
        }
        let acker = self.unacknowledged[at].1.clone();
        if !answer(&self.operation, acker.ack(BasicAckOptions { multiple: true })).await? {
            return Err(self.lost(STALE));
        }
        self.unacknowledged.drain(..=at);
        if grows {
            self.prefetch = self.prefetch.saturating_mul(2).min(self.requested);
            // The acknowledgement is valid; the next call for deliveries reports the failure.
            if let Err(error) = self.start().await {
                tracing::debug!(broker.queue = %self.queue, error = &error as &dyn std::error::Error, "Could not consume again with a larger prefetch");
            }
        }
        Ok(())
    }

    /// Fails if the channel is closed: the broker will deliver the message again.
    fn take(&mut self, received: Received) -> Result<Delivery, BrokerError> {
        if !received.acker.usable() {
            return Err(self.lost(STALE));
        }
        self.unacknowledged.push_back((received.delivery_tag, received.acker.clone()));
        let mut delivery = wire::delivery(received, self.is_failures);
        if self.is_failures {
            drop_lane(&mut delivery.routing_key);
        }
        Ok(delivery)
    }

    fn lost(&self, how: &str) -> BrokerError {
        unavailable(&self.operation, how)
    }
}

impl Consumer for RabbitConsumer {
    fn next_batch(&mut self, max: usize) -> BoxFuture<'_, Result<Vec<Delivery>, BrokerError>> {
        Box::pin(async move {
            let Some(stream) = self.stream.as_mut() else { return Err(self.lost(CANCELLED)) };
            loop {
                // The only wait, and only while no delivery is buffered: dropping this future loses none.
                // Deliveries beyond `max` are buffered here rather than within the stream, so that they can
                // be counted.
                let next = if self.kept.is_empty() {
                    stream.next().await
                } else {
                    match stream.next().now_or_never() {
                        Some(next) => next,
                        None => break,
                    }
                };
                match next {
                    Some(Ok(next)) => self.kept.push_back(next),
                    Some(Err(error)) => return Err(unavailable(&self.operation, error)),
                    None => return Err(self.lost(CANCELLED)),
                }
            }
            let count = self.kept.len().min(max.max(1));
            let received: Vec<Received> = self.kept.drain(..count).collect();
            received.into_iter().map(|received| self.take(received)).collect()
        })
    }

    fn ack(&mut self, last: Tag) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(self.acknowledge(last))
    }

    fn held(&self) -> usize {
        self.unacknowledged.len() + self.kept.len()
    }

    fn close(mut self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(async move {
            if !self.channel.status().connected() {
                // The broker has requeued everything already.
                return Ok(());
            }
            if let Some(stream) = self.stream.take() {
                answer(
                    &self.operation,
                    self.channel.basic_cancel(stream.tag(), BasicCancelOptions::default()),
                )
                .await?;
            }
            // Tag 0 with `multiple`: all of them, also those that are still on their way to us.
            let everything = BasicNackOptions { multiple: true, requeue: true };
            answer(&self.operation, self.channel.basic_nack(0, everything)).await?;
            answer(&self.operation, self.channel.close(200, short("OK"))).await
        })
    }
}

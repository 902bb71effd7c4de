//! One channel with publisher confirms.
//!
//! All messages of a call are sent before the first confirm is awaited, and by one task: several tasks on one
//! channel were measured to receive each other's confirms. Messages are not published as mandatory: lapin
//! attributes a returned message to the wrong publish when they are pipelined, and what no queue wants is
//! kept by the alternate exchange.

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use lapin::{
    Channel, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use tokio::time::sleep;

use super::{
    Rabbit,
    answers::{NOT_FOUND, answer, short, topology_fault},
    wire,
};
use crate::broker::{BrokerError, Outgoing, Publisher};

pub(super) struct RabbitPublisher {
    channel: Channel,
    rabbit: Rabbit,
}

impl RabbitPublisher {
    pub(super) async fn open(channel: Channel, rabbit: Rabbit) -> Result<Self, BrokerError> {
        answer("publish with confirms", channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(Self { channel, rabbit })
    }

    /// Publishes one message and waits for its confirm; the reason when there is none.
    async fn send(&self, message: Outgoing) -> Result<(), String> {
        let (exchange, key) = self.rabbit.inner.names.destination(&message.destination);
        let now = self.rabbit.inner.clock.now();
        let properties = wire::properties(&message.envelope, now)
            .map_err(|error| format!("an identifier of the message: {error}"))?;
        let publishing = self.channel.basic_publish(
            short(&exchange),
            short(&key),
            BasicPublishOptions::default(),
            &message.envelope.payload,
            properties,
        );
        let confirmation = async { publishing.await?.await }.await;
        match confirmation {
            Ok(Confirmation::Ack(_)) => Ok(()),
            Ok(Confirmation::Nack(_)) => {
                Err(format!("{exchange} refused it: the queue behind it is full or unavailable"))
            }
            Ok(Confirmation::NotRequested) => Err("the channel does not confirm".to_owned()),
            Err(error) => {
                if topology_fault(&error).is_some_and(|(code, _)| code == NOT_FOUND) {
                    self.rabbit.note_missing();
                }
                Err(error.to_string())
            }
        }
    }
}

impl Publisher for RabbitPublisher {
    fn publish(&mut self, messages: Vec<Outgoing>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            let total = messages.len();
            let limit = self.rabbit.inner.confirm_timeout;
            let mut confirmed = vec![false; total];
            let mut first: Option<(usize, String)> = None;
            let this = &*self;
            // First polled in the order they are added, so the broker sees the order of the call.
            let mut sending: FuturesUnordered<_> = messages
                .into_iter()
                .enumerate()
                .map(|(index, message)| async move { (index, this.send(message).await) })
                .collect();
            let deadline = sleep(limit);
            tokio::pin!(deadline);
            loop {
                tokio::select! {
                    biased;
                    sent = sending.next() => match sent {
                        Some((index, Ok(()))) => confirmed[index] = true,
                        Some((index, Err(problem))) => {
                            if first.as_ref().is_none_or(|(earlier, _)| index < *earlier) {
                                first = Some((index, problem));
                            }
                        }
                        None => break,
                    },
                    () = &mut deadline => break,
                }
            }
            drop(sending);
            let unconfirmed: Vec<usize> = (0..total).filter(|index| !confirmed[*index]).collect();
            match unconfirmed.first() {
                None => Ok(()),
                Some(earliest) => {
                    let problem = match first {
                        Some((index, problem)) if index == *earliest => problem,
                        _ => format!("no confirm within {} s", limit.as_secs()),
                    };
                    Err(BrokerError::NotConfirmed { unconfirmed, total, problem })
                }
            }
        })
    }
}

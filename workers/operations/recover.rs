//! Queues unfinished work again, for queues that were lost, purged or restored.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use hosho_schema::models::audit;
use serde::Serialize;

use super::Error;
use crate::{
    app::BrokerClient,
    audit::Operation,
    broker::{BrokerError, Destination, Outgoing},
    clock::Clock,
    config::Config,
    db::Db,
    jobs::recover,
};

/// Messages published before their confirms are awaited.
const CHUNK: usize = 1_000;

#[derive(Debug, Serialize)]
pub struct Report {
    pub queued: BTreeMap<&'static str, usize>,
    /// Unfinished work that is among the dead letters.
    pub left_to_failed: usize,
}

pub struct Unfinished {
    messages: Vec<Outgoing>,
    pub report: Report,
}

/// `after`: how long ago it began; by default `schedule.recover_after_seconds`.
pub async fn find(db: &Db, config: &Config, after: Option<TimeDelta>) -> Result<Unfinished, Error> {
    let seconds = i64::try_from(config.schedule.recover_after_seconds).unwrap_or(i64::from(u32::MAX));
    let after = after.unwrap_or(TimeDelta::seconds(seconds));
    let begun_before = Clock::system().now() - after;
    let (messages, left_to_failed) = db.call(move |db| recover::all(db, begun_before)).await?;
    let mut queued = BTreeMap::new();
    for message in &messages {
        if let Destination::Stage(stage, _) = message.destination {
            *queued.entry(stage).or_default() += 1;
        }
    }
    Ok(Unfinished { messages, report: Report { queued, left_to_failed } })
}

impl Unfinished {
    /// Writes the audit entry first: a message queued twice has no second effect.
    pub async fn queue(self, db: &Db, operation: Operation, client: &BrokerClient) -> Result<Report, Error> {
        let Self { messages, report } = self;
        if messages.is_empty() {
            return Ok(report);
        }
        let summary = serde_json::to_string(&report).map_err(Error::unavailable)?;
        let entry = operation.entry("pipeline", "recover", None, Some(summary));
        db.transaction(move |db| audit::write(db, &[entry])).await?;
        let published = publish(client, messages).await;
        client.broker().close().await;
        published.map_err(|error| {
            Error::unavailable(error)
                .hint("run it again: messages that are queued twice have no second effect")
        })?;
        Ok(report)
    }
}

async fn publish(client: &BrokerClient, messages: Vec<Outgoing>) -> Result<(), BrokerError> {
    let mut publisher = client.broker().publisher().await?;
    for chunk in messages.chunks(CHUNK) {
        publisher.publish(chunk.to_vec()).await?;
    }
    Ok(())
}

//! Publishes applications and changes: to RabbitMQ, or to the embedded pipeline.

pub mod report;

use std::{path::Path, sync::Arc, time::Duration};

use hosho_schema::messages::{self, ApplicationAcceptedV1, contract};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use self::report::Report;
use super::{Error, input::Record};
use crate::{
    app::{self, App},
    broker::{
        Broker, BrokerError, Consumer, Destination, Envelope, History, Lane, Outgoing, Source, memory::Memory,
    },
    config::Config,
    fault::chain,
    jobs::recover,
    stages::{self, amend, validate},
    worker::Embedded,
};

/// Messages published before their confirms are awaited.
const CHUNK: usize = 1_000;

/// Applications published to the embedded pipeline at once, at most.
const MAX_PORTION: usize = 2_000;

/// The first portion; each is twice as large as the one before.
/// Stages process what is queued as one batch: a small first one gives a result soon.
const FIRST_PORTION: usize = 16;

/// How long messages without progress, such as those in retry, delay a portion.
const MAX_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize)]
pub struct Published {
    pub read: usize,
    pub confirmed: usize,
    pub unconfirmed: Vec<Unconfirmed>,
}

#[derive(Debug, Serialize)]
pub struct Unconfirmed {
    pub place: String,
    pub problem: String,
}

/// Awaits every confirm of RabbitMQ; `progress` gets the size of each chunk.
pub async fn publish(
    config: &Config,
    records: &[Record],
    progress: impl Fn(usize),
) -> Result<Published, Error> {
    let client = app::broker_client(config, stages::NAMES)?;
    if client.in_process() {
        return Err(Error::invalid("broker.url is memory: nothing would read the queue")
            .hint("set HOSHO__BROKER__URL=amqp://…, or use `hosho process`"));
    }
    let broker = client.broker();
    let mut publisher = broker.publisher().await?;
    let mut result = Published { read: records.len(), confirmed: 0, unconfirmed: Vec::new() };
    for chunk in records.chunks(CHUNK) {
        let (unconfirmed, problem) = match publisher.publish(chunk.iter().map(message).collect()).await {
            Ok(()) => (Vec::new(), String::new()),
            Err(BrokerError::NotConfirmed { unconfirmed, problem, .. }) => (unconfirmed, problem),
            Err(error) => ((0..chunk.len()).collect(), chain(&error)),
        };
        result.confirmed += chunk.len() - unconfirmed.len();
        progress(chunk.len());
        if !unconfirmed.is_empty() {
            // Its channel may be closed; the next chunk needs an open one.
            publisher = broker.publisher().await.unwrap_or(publisher);
        }
        let places = unconfirmed.into_iter().filter_map(|index| Some(chunk.get(index)?.place.clone()));
        result.unconfirmed.extend(places.map(|place| Unconfirmed { place, problem: problem.clone() }));
    }
    drop(publisher);
    broker.close().await;
    Ok(result)
}

/// Its id is a hash of the bytes: publishing a file twice sends the same messages.
pub fn message(record: &Record) -> Outgoing {
    // The validate stage answers what is neither an application nor a change.
    let stage = if record.is_change() { amend::NAME } else { validate::NAME };
    let kind = contract::of_stage(stage, &record.payload).map(|kind| kind.name.to_owned());
    Outgoing {
        destination: Destination::Stage(stage, Lane::Live),
        envelope: Envelope {
            message_id: Some(format!("sha256:{}", hex::encode(Sha256::digest(&record.payload)))),
            message_type: kind,
            correlation_id: None,
            traceparent: None,
            history: History::default(),
            payload: record.payload.clone(),
        },
    }
}

/// A step of [`process`].
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// A result event.
    Answered,
    /// An accepted application, to which this many guarantees belong.
    Accepted(usize),
}

/// Processes records in this process, in a folder. `None` when stopped first.
pub async fn process(
    out: &Path,
    config: &Config,
    records: &[Record],
    progress: impl Fn(Step) + Send + 'static,
) -> Result<Option<Report>, Error> {
    let mut embedded = Embedded::open(out, config).await?;
    let app = Arc::clone(&embedded.app);
    let (before, began) = (report::known(&app, records).await?, app.clock.now());
    embedded.start(config, &[Lane::Live]);
    let events = embedded.broker.consume(Source::Events, u16::MAX).await?;
    let counter = tokio::spawn(count(events, progress));
    let resumed = feed_all(&embedded, records).await?;
    embedded.end().await;
    counter.abort();
    let Some(resumed) = resumed else { return Ok(None) };
    report::gather(&app, records, &before, began, resumed, out).await.map(Some)
}

async fn count(mut events: Box<dyn Consumer>, progress: impl Fn(Step)) {
    while let Ok(batch) = events.next_batch(1_000).await {
        for event in &batch {
            progress(Step::Answered);
            if let Ok(accepted) = messages::decode::<ApplicationAcceptedV1>(&event.envelope.payload) {
                progress(Step::Accepted(accepted.products.len()));
            }
        }
        let Some(last) = batch.last() else { continue };
        if events.ack(last.tag).await.is_err() {
            return;
        }
    }
}

/// Feeds records to the embedded pipeline, changes after applications.
/// Returns the number of messages that an earlier run had left, or `None` when stopped first.
async fn feed_all(embedded: &Embedded, records: &[Record]) -> Result<Option<usize>, Error> {
    let resumed = resume(&embedded.app, embedded.broker.as_ref()).await?;
    let (changes, applications): (Vec<Record>, Vec<Record>) =
        records.iter().cloned().partition(Record::is_change);
    for (place, portion) in [applications, changes].iter().enumerate() {
        if place > 0 && portion.is_empty() {
            break;
        }
        let stopped = tokio::select! {
            fed = feed(portion, &embedded.memory) => { fed?; false }
            () = embedded.stop.cancelled() => true,
        };
        // A guarantee must be issued before it is changed.
        if stopped || embedded.until_idle().await {
            return Ok(None);
        }
    }
    Ok(Some(resumed))
}

/// Publishes what an earlier run left between two stages, as the database has it.
async fn resume(app: &App, broker: &dyn Broker) -> Result<usize, Error> {
    let now = app.clock.now();
    let messages = app.db.call(move |db| recover::everything(db, now)).await?;
    let count = messages.len();
    broker.publisher().await?.publish(messages).await?;
    Ok(count)
}

/// Publishes records in portions: the next when half of the last one is done.
async fn feed(records: &[Record], memory: &Memory) -> Result<(), Error> {
    let mut publisher = memory.publisher().await?;
    let (mut left, mut size) = (records, FIRST_PORTION);
    while !left.is_empty() {
        let (next, rest) = left.split_at(left.len().min(size));
        publisher.publish(next.iter().map(message).collect()).await?;
        // A brake, not a barrier.
        let _ = tokio::time::timeout(MAX_WAIT, memory.at_most(size / 2)).await;
        (left, size) = (rest, MAX_PORTION.min(size * 2));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn doubles_the_portions_from_a_small_first_one() {
        let memory = Memory::new(&[validate::NAME]);
        let mut stage = memory.consume(Source::Stage(validate::NAME, Lane::Live), u16::MAX).await.unwrap();
        let record =
            |number: usize| Record { place: format!("some.jsonl:{number}"), payload: b"{}".to_vec() };
        let records: Vec<Record> = (0..100).map(record).collect();
        let feeding = tokio::spawn(async move { feed(&records, &memory).await.is_ok() });
        let mut portions = Vec::new();
        while portions.iter().sum::<usize>() < 100 {
            let portion = stage.next_batch(1_000).await.unwrap();
            portions.push(portion.len());
            stage.ack(portion.last().unwrap().tag).await.unwrap();
        }
        assert_eq!(portions, [16, 32, 52]);
        assert!(feeding.await.unwrap());
    }
}

//! `hosho enqueue`

use std::{path::PathBuf, process::ExitCode};

use hosho_schema::messages::contract;

use super::{Error, input, print, print_json};
use crate::{
    app,
    broker::{BrokerError, Destination, Envelope, History, Lane, Outgoing},
    config::Config,
    hex::hex,
    stages::{self, amend, validate},
};

/// Publish applications and changes to RabbitMQ, each confirmed by the broker
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho enqueue examples/applications.jsonl
  hosho enqueue examples/changes.jsonl
  generate | hosho enqueue - --json

A change is told from an application by its kind. A line that was not confirmed may be enqueued again safely: source and id
decide what is the same message.
Exchanges and queues must be there (`hosho topology apply`, or any worker); this command declares nothing.")]
pub(super) struct Args {
    /// JSON Lines, a JSON array, or JSON objects; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Counts and unconfirmed lines as JSON
    #[arg(long)]
    json: bool,
}

/// Messages published before their confirms are awaited.
const CHUNK: usize = 1_000;

#[derive(serde::Serialize)]
struct Report {
    read: usize,
    confirmed: usize,
    unconfirmed: Vec<Unconfirmed>,
}

#[derive(serde::Serialize)]
struct Unconfirmed {
    place: String,
    problem: String,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let records = input::read(&args.files)?;
    let broker = app::broker(&config, stages::NAMES)?;
    if broker.in_process() {
        return Err(Error::invalid("broker.url is memory: nothing would read the queue")
            .hint("set HOSHO__BROKER__URL=amqp://…, or use `hosho process`"));
    }
    let unavailable = |error| Error::unavailable(error).hint("is broker.url right and the broker up?");
    let queue = broker.queue();
    let mut publisher = queue.publisher().await.map_err(unavailable)?;
    let bar = super::process::bar(records.len() as u64, "confirmed");
    let mut report = Report { read: records.len(), confirmed: 0, unconfirmed: Vec::new() };
    for chunk in records.chunks(CHUNK) {
        let (unconfirmed, problem) = match publisher.publish(chunk.iter().map(message).collect()).await {
            Ok(()) => (Vec::new(), String::new()),
            Err(BrokerError::NotConfirmed { unconfirmed, problem, .. }) => (unconfirmed, problem),
            Err(error) => ((0..chunk.len()).collect(), crate::fault::chain(&error)),
        };
        report.confirmed += chunk.len() - unconfirmed.len();
        bar.inc(chunk.len() as u64);
        if !unconfirmed.is_empty() {
            // Its channel may be gone with what it did not confirm; the next chunk gets a new one.
            publisher = queue.publisher().await.unwrap_or(publisher);
        }
        let places = unconfirmed.into_iter().filter_map(|index| Some(chunk.get(index)?.place.clone()));
        report.unconfirmed.extend(places.map(|place| Unconfirmed { place, problem: problem.clone() }));
    }
    bar.finish_and_clear();
    drop(publisher);
    queue.close().await;
    if args.json {
        print_json(&report)?;
    } else {
        print(format!(
            "{} read, {} confirmed, {} not confirmed",
            report.read,
            report.confirmed,
            report.unconfirmed.len()
        ));
        for line in &report.unconfirmed {
            print(format!("  {}: {}", line.place, line.problem));
        }
    }
    Ok(ExitCode::from(u8::from(!report.unconfirmed.is_empty())))
}

/// The message of a record. Its id is derived from the bytes, so that enqueuing a file twice sends the same messages.
pub(super) fn message(record: &input::Record) -> Outgoing {
    use sha2::Digest as _;
    // What is neither goes where applications go, and is answered there.
    let stage = if record.is_change() { amend::NAME } else { validate::NAME };
    let kind = contract::of_stage(stage, &record.payload).map(|kind| kind.name.to_owned());
    Outgoing {
        destination: Destination::Stage(stage, Lane::Live),
        envelope: Envelope {
            message_id: Some(format!("sha256:{}", hex(&sha2::Sha256::digest(&record.payload)))),
            message_type: kind,
            correlation_id: None,
            traceparent: None,
            history: History::default(),
            payload: record.payload.clone(),
        },
    }
}

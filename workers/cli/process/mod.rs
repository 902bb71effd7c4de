//! `hosho process`: the whole pipeline in this process, on SQLite, the in-process queue and folders.

mod report;

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use hosho_schema::messages::{self, ApplicationAcceptedV1};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::{Error, embedded::Embedded, enqueue, input};
use crate::{
    app::App,
    broker::{Broker, Consumer, Lane, Source, memory::Memory},
    config::Config,
    jobs::recover,
};

/// Take applications and changes through all stages in this process; no server needed
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho process examples/applications.jsonl
  hosho process march.jsonl april.jsonl --out results
  generate | hosho process - --json
  hosho process examples/applications.jsonl examples/changes.jsonl

Changes that are not urgent wait for the night; `hosho batch start --out FOLDER` brings it about.
Running it again on the same file changes nothing. Interrupted and run again, it finishes what was left.")]
pub(super) struct Args {
    /// JSON Lines, a JSON array, or JSON objects; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder for the database, the PDFs, the mails and the data keys
    #[arg(long, default_value = "hosho-out", value_name = "FOLDER")]
    out: PathBuf,
    /// The result as JSON
    #[arg(long)]
    json: bool,
    /// Log every step to standard error
    #[arg(long, short)]
    verbose: bool,
}

/// Applications given to the pipeline at a time, at most.
const PART: usize = 2_000;

/// Applications given to it at first. The stages take what is there as one batch, and a large one is long in each of them: so few go
/// first, and somebody has a result at once; then twice as many each time.
const FIRST: usize = 16;

/// How long messages that get nowhere, such as those that wait to be tried again, hold up the next.
const PATIENCE: Duration = Duration::from_secs(5);

impl Args {
    /// The settings of the embedded mode.
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Error> {
        embedded(&self.out, self.verbose)
    }
}

/// The settings of the embedded mode, on a folder.
pub(super) fn embedded(out: &Path, verbose: bool) -> Result<Vec<(&'static str, String)>, Error> {
    let out = out.to_str().ok_or_else(|| Error::invalid("--out must be valid UTF-8"))?;
    let mut overrides = vec![
        ("broker.url", "memory:".to_owned()),
        ("database.url", format!("sqlite:{out}/hosho.sqlite")),
        ("documents.url", format!("file:{out}/documents")),
        ("keys.file", format!("{out}/hosho.keys")),
        ("keys.create", "true".to_owned()),
        ("mail.transport", "folder".to_owned()),
        ("mail.folder", format!("{out}/mail")),
    ];
    if !verbose {
        // Warnings too: a full disk is waited for, and whoever waits must know.
        overrides.push(("log.level", "warn".to_owned()));
    }
    Ok(overrides)
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let records = input::read(&args.files)?;
    let mut embedded = Embedded::open(&args.out, &config).await?;
    let services = Arc::clone(&embedded.services);
    let (before, began) = (report::known(&services, &records).await?, services.clock.now());

    embedded.start(&config, &[Lane::Live]);
    let broker = Arc::clone(&embedded.broker);
    let events = broker.consume(Source::Events, u16::MAX).await.map_err(Error::unavailable)?;
    let bar = bar(records.len() as u64, "answers and guarantees");
    let counter = tokio::spawn(count(events, bar.clone()));

    let resumed = resume(&services, broker.as_ref()).await?;
    let (changes, applications): (Vec<input::Record>, Vec<input::Record>) =
        records.iter().cloned().partition(input::Record::is_change);
    let interrupted = tokio::select! {
        fed = feed(&applications, &embedded.memory) => { fed?; false }
        () = stopped(embedded.stop.clone()) => true,
    };
    let mut interrupted = interrupted || embedded.until_idle().await;
    if !changes.is_empty() && !interrupted {
        // A guarantee is issued before it is changed.
        interrupted = tokio::select! {
            fed = feed(&changes, &embedded.memory) => { fed?; false }
            () = stopped(embedded.stop.clone()) => true,
        };
        interrupted = interrupted || embedded.until_idle().await;
    }
    embedded.end().await;
    counter.abort();
    bar.finish_and_clear();
    if interrupted {
        return Err(Error::conflict(anyhow::anyhow!("interrupted; what was begun is kept"))
            .hint("run the same command again to finish what is left"));
    }
    let report = report::gather(&services, &records, &before, began, resumed, &args.out).await?;
    report.print(args.json)
}

/// Queues what an earlier run left between two stages; the database remembers it.
async fn resume(services: &Arc<App>, broker: &dyn Broker) -> Result<usize, Error> {
    let from = Arc::clone(services);
    let messages = tokio::task::spawn_blocking(move || recover::everything(&from))
        .await
        .map_err(Error::unavailable)?
        .map_err(|fault| Error::unavailable(anyhow::anyhow!(fault.to_string())))?;
    let count = messages.len();
    let mut publisher = broker.publisher().await.map_err(Error::unavailable)?;
    publisher.publish(messages).await.map_err(Error::unavailable)?;
    Ok(count)
}

/// Gives all records to the pipeline, a part at a time: the next when half of what is under way is done.
async fn feed(records: &[input::Record], memory: &Memory) -> Result<(), Error> {
    let mut publisher = memory.publisher().await.map_err(Error::unavailable)?;
    let (mut left, mut part) = (records, FIRST);
    while !left.is_empty() {
        let (next, rest) = left.split_at(left.len().min(part));
        publisher.publish(next.iter().map(enqueue::message).collect()).await.map_err(Error::unavailable)?;
        // A brake, not a barrier.
        let _ = tokio::time::timeout(PATIENCE, memory.at_most(part / 2)).await;
        (left, part) = (rest, PART.min(part * 2));
    }
    Ok(())
}

/// Counts answers. The bar grows by every guarantee that an accepted application promises.
async fn count(mut events: Box<dyn Consumer>, bar: ProgressBar) {
    while let Ok(batch) = events.next_batch(1_000).await {
        for event in &batch {
            bar.inc(1);
            if let Ok(accepted) = messages::decode::<ApplicationAcceptedV1>(&event.envelope.payload) {
                bar.inc_length(accepted.products.len() as u64);
            }
        }
        let Some(last) = batch.last() else { continue };
        if events.ack(last.tag).await.is_err() {
            return;
        }
    }
}

async fn stopped(stop: CancellationToken) {
    stop.cancelled().await;
}

/// A progress bar on standard error; silent when that is not a terminal.
pub(super) fn bar(total: u64, what: &'static str) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(10)
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} {msg} {per_sec} {eta}") {
        bar.set_style(style);
    }
    bar.with_message(what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::validate;

    #[tokio::test]
    async fn few_applications_go_first_and_then_twice_as_many_each_time() {
        let memory = Memory::new(&[validate::NAME]);
        let mut stage = memory.consume(Source::Stage(validate::NAME, Lane::Live), u16::MAX).await.unwrap();
        let record =
            |number: usize| input::Record { place: format!("some.jsonl:{number}"), payload: b"{}".to_vec() };
        let records: Vec<input::Record> = (0..100).map(record).collect();
        let feeding = tokio::spawn(async move { feed(&records, &memory).await.is_ok() });
        let mut parts = Vec::new();
        while parts.iter().sum::<usize>() < 100 {
            let part = stage.next_batch(1_000).await.unwrap();
            parts.push(part.len());
            stage.ack(part.last().unwrap().tag).await.unwrap();
        }
        assert_eq!(parts, [16, 32, 52]);
        assert!(feeding.await.unwrap());
    }
}

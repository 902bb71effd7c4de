//! `hosho enqueue`

use std::{path::PathBuf, process::ExitCode};

use super::{Error, exit_code, output, print, print_text, printable, progress_bar};
use crate::{
    config::Config,
    operations::{
        input,
        intake::{self, Published},
    },
};

/// Publish applications and changes to RabbitMQ, each confirmed by the broker
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho enqueue examples/applications.jsonl
  hosho enqueue examples/changes.jsonl
  generate | hosho enqueue - --json

A change is distinguished from an application by its kind. An unconfirmed line
may be enqueued again: source and id identify the same message.
Exchanges and queues must exist (`hosho topology apply`, or any worker); this
command declares nothing.")]
pub(super) struct Args {
    /// JSON Lines, a JSON array, or JSON objects; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Counts and unconfirmed lines as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let records = input::read(&args.files)?;
    let bar = progress_bar(records.len() as u64, "confirmed");
    let published = intake::publish(&config, &records, |count| bar.inc(count as u64)).await;
    bar.finish_and_clear();
    let published = published?;
    output(args.json, &published, |Published { read, confirmed, unconfirmed }| {
        print(format!("{read} read, {confirmed} confirmed, {} not confirmed", unconfirmed.len()));
        for line in unconfirmed {
            print_text(format!("  {}: {}", printable(&line.place), printable(&line.problem)));
        }
    })?;
    Ok(exit_code(!published.unconfirmed.is_empty()))
}

//! `hosho work`

use std::process::ExitCode;

use super::Error;
use crate::{
    config::Config,
    stages,
    worker::{self, Ended},
};

/// Run the workers until SIGTERM or Ctrl-C
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho work                                 all stages
  hosho work --stage render --concurrency 2  a host that draws documents only

SIGTERM stops consuming, finishes the batches in flight, requeues the rest and
exits with 0; with 1 when that took longer than work.drain_seconds.")]
pub(super) struct Args {
    /// Stages to run; all when left out
    #[arg(long = "stage", value_name = "STAGE", value_parser = clap::builder::PossibleValuesParser::new(stages::NAMES))]
    stages: Vec<String>,
    /// Consumers per stage and lane; work.concurrency when left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: Option<u16>,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let concurrency = args.concurrency.map_or(config.work.concurrency, usize::from);
    let ended = worker::run(&config, &args.stages, concurrency).await?;
    Ok(ExitCode::from(u8::from(ended == Ended::TimedOut)))
}

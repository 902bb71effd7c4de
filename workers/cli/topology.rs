//! `hosho topology check|apply`

use std::process::ExitCode;

use clap::Subcommand;

use super::{Error, exit_code, output, print_text};
use crate::{config::Config, operations::topology};

/// Check or declare the exchanges and queues of RabbitMQ
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  HOSHO__BROKER__URL=amqp://localhost hosho topology apply
  hosho topology check --json    exit code 1 when one is missing or differs")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Report missing and different ones; change nothing
    Check(ReportArgs),
    /// Declare missing ones; a different queue is reported, never replaced
    Apply(ReportArgs),
}

#[derive(Debug, clap::Args)]
struct ReportArgs {
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let (report, json) = match args.command {
        Sub::Check(ReportArgs { json }) => (topology::check(&config).await?, json),
        Sub::Apply(ReportArgs { json }) => (topology::apply(&config).await?, json),
    };
    output(json, &report, |report| print_text(report.to_string()))?;
    Ok(exit_code(!report.is_good()))
}

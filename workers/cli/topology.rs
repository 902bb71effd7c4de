//! `hosho topology check|apply`

use std::process::ExitCode;

use clap::Subcommand;

use super::{Error, print, print_json};
use crate::{app, broker::BrokerError, config::Config, stages};

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
    Check {
        /// The report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Declare missing ones; a different queue is reported, never replaced
    Apply {
        /// The report as JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let client = app::broker_client(&config, stages::NAMES)?;
    if client.in_process() {
        return Err(Error::invalid("broker.url is memory: it has no topology")
            .hint("set HOSHO__BROKER__URL=amqp://…"));
    }
    let (result, json) = match args.command {
        Sub::Check { json } => (client.check_topology().await, json),
        Sub::Apply { json } => (client.apply_topology().await, json),
    };
    client.broker().close().await;
    let report = result.map_err(|error| match error {
        BrokerError::Topology(_) => Error::conflict(error).hint(
            "the settings of a queue cannot be changed: drain it, delete it, and run `hosho topology apply`",
        ),
        error => error.into(),
    })?;
    if json {
        print_json(&report)?;
    } else {
        print(&report);
    }
    Ok(ExitCode::from(u8::from(!report.is_good())))
}

//! `hosho topology check|apply`

use std::process::ExitCode;

use clap::Subcommand;

use super::{Error, print, print_json};
use crate::{app, broker::BrokerError, config::Config, stages};

/// Compare exchanges and queues of RabbitMQ with what they should be, or declare them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  HOSHO__BROKER__URL=amqp://localhost hosho topology apply
  hosho topology check --json        exit code 1 when something is missing or differs")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Change nothing; tell what is missing or differs
    Check {
        /// The report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Declare what is missing; a queue that differs is told, never replaced
    Apply {
        /// The report as JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let broker = app::broker(&config, stages::NAMES)?;
    if broker.in_process() {
        return Err(Error::invalid("broker.url is memory: it has no topology")
            .hint("set HOSHO__BROKER__URL=amqp://…"));
    }
    let (result, json) = match args.command {
        Sub::Check { json } => (broker.check_topology().await, json),
        Sub::Apply { json } => (broker.apply_topology().await, json),
    };
    broker.queue().close().await;
    let report = result.map_err(|error| match error {
        BrokerError::Topology(_) => Error::conflict(error).hint(
            "the settings of a queue cannot be changed: drain it, delete it, and run `hosho topology apply`",
        ),
        error => Error::unavailable(error).hint("is broker.url right and the broker up?"),
    })?;
    if json {
        print_json(&report)?;
    } else {
        print(&report);
    }
    Ok(ExitCode::from(u8::from(!report.is_good())))
}

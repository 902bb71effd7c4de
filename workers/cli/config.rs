//! `hosho config check|show`

use std::process::ExitCode;

use clap::Subcommand;

use super::{Error, output, print, print_json};
use crate::{
    config::Config,
    operations::configuration::{self, Counts},
};

/// Check or show the configuration
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho config check --config /etc/hosho/hosho.toml
  HOSHO__MAIL__HOST=smtp.example.jp hosho config show")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Check every setting and file it names; open no connection, create nothing
    Check {
        /// Counts as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print every setting, secrets masked
    Show {
        /// JSON instead of TOML
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &Args, config: &Config) -> Result<ExitCode, Error> {
    match args.command {
        Sub::Check { json } => {
            output(json, &configuration::check(config)?, |Counts { branches, obligees, templates }| {
                print(format!(
                    "The configuration is valid: {obligees} obligees, {branches} branches, {templates} templates."
                ));
            })?;
        }
        Sub::Show { json: true } => print_json(config)?,
        Sub::Show { json: false } => print(toml::to_string(config).map_err(Error::unavailable)?.trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}

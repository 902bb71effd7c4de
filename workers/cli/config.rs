//! `hosho config check|show`

use std::process::ExitCode;

use clap::Subcommand;

use super::{Error, print, print_json};
use crate::{app, config::Config, stages};

/// Check the configuration, or show what is in force
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
    /// Check every setting, obligee, branch, template, font and key; open no connection and create nothing
    Check,
    /// Print every setting in force, secrets masked
    Show {
        /// JSON instead of TOML
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &Args, config: &Config) -> Result<ExitCode, Error> {
    match args.command {
        Sub::Check => {
            let data = app::check(config, stages::NAMES)?;
            print(format!(
                "The configuration is valid: {} obligees, {} branches, {} templates.",
                data.obligees.iter().count(),
                data.branches.iter().count(),
                crate::documents::templates::TEMPLATES.len()
            ));
        }
        Sub::Show { json: true } => print_json(config)?,
        Sub::Show { json: false } => print(toml::to_string(config).map_err(Error::unavailable)?.trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}

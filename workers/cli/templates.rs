//! `hosho templates check`

use std::process::ExitCode;

use clap::Subcommand;

use super::{Failure, print, print_json};
use crate::{assembly, config::Config, proofs};

/// Check the templates of notices, certificates and mails
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho templates check
  HOSHO__TEMPLATES__FOLDER=./templates hosho templates check --json")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Render every template with every sample, and draw every document; exit code 1 when one fails
    Check {
        /// The results as JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &Args, config: &Config) -> Result<ExitCode, Failure> {
    let Sub::Check { json } = args.command;
    let templates = assembly::templates(config)?;
    let fonts = assembly::fonts(&config.fonts)?;
    let results = proofs::all(&templates, &fonts);
    let failed = results.iter().filter(|result| result.problem.is_some()).count();
    if json {
        print_json(&results)?;
    } else {
        let mut table = super::table(["template", "sample", "result"]);
        for result in &results {
            table.add_row([result.template, result.sample, result.problem.as_deref().unwrap_or("ok")]);
        }
        print(table);
        print(format!("\n{} rendered, {failed} failed", results.len()));
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}

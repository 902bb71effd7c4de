//! `hosho migrate`

use std::process::ExitCode;

use super::{Error, exit_code, output, print};
use crate::{
    config::Config,
    operations::migrations::{self, Migrations},
};

/// Migrate the database to this version
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  HOSHO__DATABASE__URL=postgres://hosho@localhost/hosho hosho migrate
  hosho migrate --check    exit code 1 when migrations are pending")]
pub(super) struct Args {
    /// List pending migrations; change nothing
    #[arg(long)]
    check: bool,
    /// Names as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let migrations =
        if args.check { migrations::pending(&config).await? } else { migrations::migrate(&config).await? };
    output(args.json, &migrations, |Migrations { applied, pending }| {
        applied.iter().map(|name| format!("applied  {name}")).for_each(print);
        pending.iter().map(|name| format!("pending  {name}")).for_each(print);
        if applied.is_empty() && pending.is_empty() {
            print("The tables are up to date.");
        }
    })?;
    Ok(exit_code(!migrations.pending.is_empty()))
}

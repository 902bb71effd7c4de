//! `hosho migrate`

use std::process::ExitCode;

use hosho_schema::db;

use super::{Error, existing, exit_code, output, print};
use crate::{app, config::Config, db::Db};

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
    if args.check {
        existing(&config)?;
    }
    let database = Db::new(app::pool(&config)?);
    let migrated = database.call(move |connection| {
        let applied = if args.check { Vec::new() } else { db::migrate(connection)? };
        Ok::<_, db::DbError>((applied, db::pending(connection)?))
    });
    let (applied, pending) = migrated.await?;
    output(args.json, &serde_json::json!({ "applied": applied, "pending": pending }), |_| {
        applied.iter().map(|name| format!("applied  {name}")).for_each(print);
        pending.iter().map(|name| format!("pending  {name}")).for_each(print);
        if applied.is_empty() && pending.is_empty() {
            print("The tables are up to date.");
        }
    })?;
    Ok(exit_code(!pending.is_empty()))
}

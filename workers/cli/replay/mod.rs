//! `hosho replay …`; `hosho failed replay` begins one (`begin`).

mod begin;
mod drive;

use std::{path::Path, process::ExitCode};

use clap::Subcommand;

use super::{
    Error, print, print_json, printable,
    selection::{AuditArgs, Database, DatabaseArgs, PageArgs, beginning, short},
    text::table,
    time::stacked,
};
use crate::{
    config::Config,
    jobs::replay::Action,
    operations::{
        broker,
        identifier::{self, Kind},
        replays::{self, Replay},
    },
};
pub(super) use begin::{BeginArgs, begin};
use drive::drive;

/// List, pause, resume or abort replays
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho replay list
  hosho replay status 5b1d2c3e
  hosho replay pause 5b1d2c3e --reason \"the mail server is being restarted\"
  hosho replay resume 5b1d2c3e --reason \"it is back\"
  hosho replay abort 5b1d2c3e --reason \"wrong group\"

`hosho failed replay` begins one.")]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    /// As JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// The latest replays
    List {
        #[command(flatten)]
        page: PageArgs,
    },
    /// The progress of a replay, and what delays it
    Status {
        /// Its identifier, or the beginning
        #[arg(value_parser = beginning)]
        id: String,
    },
    /// Send nothing more for now; its driver ends
    Pause(ActionArgs),
    /// Continue a replay that was paused, or whose process was killed; drives it until it is over
    Resume(ActionArgs),
    /// End it; messages that are not settled can be replayed again
    Abort(ActionArgs),
}

#[derive(Debug, clap::Args)]
struct ActionArgs {
    /// Its identifier, or the beginning
    #[arg(value_parser = beginning)]
    id: String,
    #[command(flatten)]
    audit: AuditArgs,
}

impl Args {
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Error> {
        self.database.overrides()
    }
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let (out, json) = (args.database.out.clone(), args.json);
    let database = DatabaseArgs::database(&config).await?;
    let context = Context { database: &database, out: out.as_deref() };
    match args.command {
        Sub::List { page } => list(&database, page, json).await?,
        Sub::Status { id } => {
            let id = context.complete(&id).await?;
            print_replay(&context.show(&id).await?, json)?;
        }
        Sub::Pause(args) => set_state(&context, &args, Action::Pause, json).await?,
        Sub::Abort(args) => set_state(&context, &args, Action::Abort, json).await?,
        Sub::Resume(args) => return resume(&context, args, &config, json).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// The rows of a replay, and who does its work.
struct Context<'a> {
    database: &'a Database,
    /// The folder in which this process does the work; otherwise workers do.
    out: Option<&'a Path>,
}

impl Context<'_> {
    async fn complete(&self, beginning: &str) -> Result<String, Error> {
        identifier::complete(&self.database.db(), Kind::Replay, beginning).await
    }

    async fn show(&self, id: &str) -> Result<Replay, Error> {
        replays::show(&self.database.db(), id, self.database.clock.now(), self.out.is_none()).await
    }
}

fn print_replay(replay: &Replay, json: bool) -> Result<(), Error> {
    if json {
        return print_json(replay);
    }
    print(format!(
        "replay {}: {}; {} of {} resolved, {} failed again, {} under way, {} waiting",
        replay.id,
        replay.state.as_text(),
        replay.resolved,
        replay.total,
        replay.failed_again,
        replay.in_flight,
        replay.waiting
    ));
    print(format!("  by {}: {}", printable(&replay.actor), printable(&replay.reason)));
    if let Some(note) = &replay.note {
        print(format!("  {}", printable(note)));
    }
    if let Some(driver) = &replay.driven_by {
        print(format!("  driven by {}", printable(driver)));
    }
    for delay in &replay.held_up {
        print(format!("  held up: {}", printable(delay)));
    }
    Ok(())
}

async fn list(database: &Database, page: PageArgs, json: bool) -> Result<(), Error> {
    let replays = replays::list(&database.db(), page.request()).await?;
    if json {
        return print_json(&replays);
    }
    if replays.total == 0 {
        print("No replays.");
        return Ok(());
    }
    if !replays.items.is_empty() {
        let mut rows = table(["replay", "state", "resolved", "failed\nagain", "begun", "by, reason"]);
        for replay in &replays.items {
            rows.add_row([
                short(&replay.id).to_owned(),
                replay.state.as_text().to_owned(),
                format!("{}/{}", replay.resolved, replay.total),
                replay.failed_again.to_string(),
                stacked(Some(replay.created_at)),
                format!("{}\n{}", printable(&replay.actor), printable(&replay.reason)),
            ]);
        }
        print(rows);
    }
    if let Some(position) = page.position(&replays) {
        print(position);
    }
    Ok(())
}

async fn set_state(
    context: &Context<'_>,
    args: &ActionArgs,
    action: Action,
    json: bool,
) -> Result<(), Error> {
    let operation = args.audit.operation(&context.database.clock, action.name())?;
    let id = context.complete(&args.id).await?;
    let dry_run = args.audit.dry_run;
    replays::set_state(&context.database.db(), operation, &id, action, dry_run).await?;
    print_replay(&context.show(&id).await?, json)?;
    if dry_run && !json {
        print(format!("It would {}. Nothing was changed.", action.verb()));
    }
    Ok(())
}

async fn resume(
    context: &Context<'_>,
    args: ActionArgs,
    config: &Config,
    json: bool,
) -> Result<ExitCode, Error> {
    let operation = args.audit.operation(&context.database.clock, Action::Resume.name())?;
    let id = context.complete(&args.id).await?;
    broker::require(context.out, config)?;
    replays::resume(&context.database.db(), operation, &id, args.audit.dry_run).await?;
    if args.audit.dry_run {
        print_replay(&context.show(&id).await?, json)?;
        if !json {
            print("It would resume. Nothing was changed.");
        }
        return Ok(ExitCode::SUCCESS);
    }
    drive(id, context, config, json).await
}

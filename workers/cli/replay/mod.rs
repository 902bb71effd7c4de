//! `hosho replay …`; `hosho failed replay` begins one (`begin`).

mod begin;
mod drive;

use std::{path::Path, process::ExitCode};

use clap::Subcommand;

use super::{
    Error, output, print, print_table, print_text, printable,
    selection::{AuditArgs, DatabaseArgs, PageArgs, beginning, open_database, print_page, short},
    text::{stacked, table},
};
use crate::{
    clock::Clock,
    config::Config,
    db::Db,
    jobs::replay::Action,
    operations::{
        broker,
        identifier::{Kind, complete},
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
    pub(super) database: DatabaseArgs,
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
    /// Continue a replay that was paused, or whose process was killed;
    /// drives it until it is over
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

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let (out, json) = (args.database.out.clone(), args.json);
    let db = open_database(&config).await?;
    let context = Context { db: &db, out: out.as_deref() };
    match args.command {
        Sub::List { page } => {
            let replays = replays::list(&db, page.request()).await?;
            output(json, &replays, |replays| print_page(replays, "No replays.", print_list))
        }
        Sub::Status { id } => {
            let id = complete(&db, Kind::Replay, &id).await?;
            output(json, &context.show(&id).await?, print_replay)
        }
        Sub::Pause(args) => set_state(&context, &args, Action::Pause, &config, json).await,
        Sub::Abort(args) => set_state(&context, &args, Action::Abort, &config, json).await,
        Sub::Resume(args) => set_state(&context, &args, Action::Resume, &config, json).await,
    }
}

/// The rows of a replay, and who does its work.
struct Context<'a> {
    db: &'a Db,
    /// The folder in which this process does the work; otherwise workers do.
    out: Option<&'a Path>,
}

impl Context<'_> {
    async fn show(&self, id: &str) -> Result<Replay, Error> {
        replays::show(self.db, id, Clock::system().now(), self.out.is_none()).await
    }
}

fn print_replay(replay: &Replay) {
    print_text(format!(
        "replay {}: {}; {} of {} resolved, {} failed again, {} in flight, {} waiting",
        replay.id,
        replay.state,
        replay.resolved,
        replay.total,
        replay.failed_again,
        replay.in_flight,
        replay.waiting
    ));
    print_text(format!("  by {}: {}", printable(&replay.actor), printable(&replay.reason)));
    if let Some(note) = &replay.note {
        print_text(format!("  {}", printable(note)));
    }
    if let Some(driver) = &replay.driven_by {
        print_text(format!("  driven by {}", printable(driver)));
    }
    for delay in &replay.held_up {
        print_text(format!("  held up: {}", printable(delay)));
    }
}

fn print_list(replays: &[Replay]) {
    let mut rows = table(["replay", "state", "resolved", "failed\nagain", "begun (JST)", "by, reason"]);
    for replay in replays {
        rows.add_row([
            short(&replay.id).to_owned(),
            replay.state.to_owned(),
            format!("{}/{}", replay.resolved, replay.total),
            replay.failed_again.to_string(),
            stacked(Some(replay.created_at)),
            format!("{}\n{}", printable(&replay.actor), printable(&replay.reason)),
        ]);
    }
    print_table(rows);
}

/// Pauses, resumes or aborts a replay; a resumed one is driven to its end.
async fn set_state(
    context: &Context<'_>,
    args: &ActionArgs,
    action: Action,
    config: &Config,
    json: bool,
) -> Result<ExitCode, Error> {
    let operation = args.audit.operation(action.name())?;
    let id = complete(context.db, Kind::Replay, &args.id).await?;
    let dry_run = args.audit.dry_run;
    if action == Action::Resume {
        broker::require(context.out, config)?;
        replays::resume(context.db, operation, &id, dry_run).await?;
        if !dry_run {
            return drive(id, context, config, json).await;
        }
    } else {
        replays::set_state(context.db, operation, &id, action, dry_run).await?;
    }
    output(json, &context.show(&id).await?, |replay| {
        print_replay(replay);
        if dry_run {
            print(format!("It would {}. Nothing was changed.", action.verb()));
        }
    })
}

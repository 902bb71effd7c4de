//! `hosho failed …`

mod change;
mod edit;
mod list;
mod show;

pub(super) use change::print_left_out;

use std::process::ExitCode;

use super::{
    Error, replay,
    selection::{DatabaseArgs, open_database},
};
use crate::{config::Config, operations::dead_letters::Direction};
use clap::Subcommand;

/// Failed messages: group them by cause, show, edit, replay or discard them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho failed groups                  causes, and what to do about each
  hosho failed list --group 3f2a       the messages of one cause
  hosho failed show 5b1d               one message; personal data is masked
  hosho failed replay --group 3f2a --reason \"template corrected\"
  hosho failed edit 5b1d --set works.contract_price=38500000 \\
    --reason \"confirmed by the branch on the phone\"
  hosho failed discard 5b1d --reason \"a test message\"

Every change requires --reason and is kept in the audit (`hosho audit`).
With --dry-run, it only prints what it would change.")]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Failed messages by cause, the largest group first
    Groups(list::Args),
    /// Failed messages, the latest first
    List(list::Args),
    Show(show::Args),
    Edit(edit::Args),
    Note(change::NoteArgs),
    Replay(replay::BeginArgs),
    /// Discard failed messages; `restore` reverses it
    Discard(change::Args),
    /// Restore discarded messages
    Restore(change::Args),
    Export(list::ExportArgs),
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let db = open_database(&config).await?;
    match args.command {
        Sub::Groups(args) => list::groups(args, &db).await,
        Sub::List(args) => list::messages(args, &db).await,
        Sub::Show(args) => show::run(args, &db).await,
        Sub::Edit(args) => edit::run(args, &db).await,
        Sub::Note(args) => change::note(args, &db).await,
        Sub::Replay(begin) => replay::begin(begin, args.database.out.as_deref(), &db, &config).await,
        Sub::Discard(args) => change::change(args, &db, Direction::Discard).await,
        Sub::Restore(args) => change::change(args, &db, Direction::Restore).await,
        Sub::Export(args) => list::export(args, &db).await,
    }
}

//! `hosho failed …`

mod change;
mod edit;
mod groups;
mod list;
mod show;

pub(super) use change::print_left_out;

use std::process::ExitCode;

use clap::Subcommand;
use hosho_schema::models::failed_message::{OPEN, State};

use super::{
    Error, print, replay,
    selection::{Database, DatabaseArgs, PageArgs},
};
use crate::{
    config::Config,
    operations::{Page, dead_letters},
};

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
    database: DatabaseArgs,
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    Groups(groups::Args),
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

impl Args {
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Error> {
        self.database.overrides()
    }
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let database = DatabaseArgs::database(&config).await?;
    match args.command {
        Sub::Groups(args) => groups::run(args, &database).await,
        Sub::List(args) => list::run(args, &database).await,
        Sub::Show(args) => show::run(args, &database).await,
        Sub::Edit(args) => edit::run(args, &database).await,
        Sub::Note(args) => change::note(args, &database).await,
        Sub::Replay(begin) => replay::begin(begin, args.database.out.as_deref(), &database, &config).await,
        Sub::Discard(args) => change::discard(args, &database).await,
        Sub::Restore(args) => change::restore(args, &database).await,
        Sub::Export(args) => list::export(args, &database).await,
    }
}

#[derive(Debug, Clone, Default, clap::Args)]
struct StateArgs {
    /// In this state; by default open or being replayed
    #[arg(long, value_name = "STATE", value_parser = clap::builder::PossibleValuesParser::new(State::ALL.iter().map(|state| state.as_text())))]
    state: Vec<String>,
    /// In any state
    #[arg(long)]
    all: bool,
}

impl StateArgs {
    fn is_given(&self) -> bool {
        self.all || !self.state.is_empty()
    }

    /// An empty list means every state.
    fn wanted(&self) -> Vec<State> {
        if self.all {
            return Vec::new();
        }
        if self.state.is_empty() {
            return OPEN.into_iter().chain([State::Replaying]).collect();
        }
        let is_wanted = |state: &State| self.state.iter().any(|wanted| wanted == state.as_text());
        State::ALL.iter().copied().filter(is_wanted).collect()
    }
}

/// Prints that a page is empty, and which rows there are elsewhere.
async fn print_empty<T>(
    page: &Page<T>,
    args: PageArgs,
    is_narrowed: bool,
    database: &Database,
) -> Result<(), Error> {
    print(match args.position(page) {
        Some(position) if page.total > 0 => position,
        _ if is_narrowed => {
            format!(
                "No failed message matches; {} open in all.",
                dead_letters::open_count(&database.db()).await?
            )
        }
        _ => "No failed messages.".to_owned(),
    });
    Ok(())
}

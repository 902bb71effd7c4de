//! `hosho failed …`: dead letters, for the operator who finds them in the morning.

mod change;
mod edit;
mod groups;
mod list;
mod show;

pub(super) use change::{Kept, tell_left};

use std::process::ExitCode;

use clap::Subcommand;
use hosho_schema::models::failed_message::{FailedMessage, OPEN, State};
use serde::Serialize;

use super::{
    Error,
    moment::utc,
    replay,
    selection::{Database, DatabaseArgs},
};
use crate::{config::Config, dead_letters::masked_word};

/// Failed messages: group them by cause, look inside, mend, replay, discard
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho failed groups                              what failed, by cause, and what to do about each
  hosho failed list --group 3f2a                   the messages of one cause
  hosho failed show 5b1d                           everything about one; personal data is masked
  hosho failed replay --group 3f2a --reason \"template mended\"
  hosho failed edit 5b1d --set works.contract_price=38500000 --reason \"as told by the branch on the phone\"
  hosho failed discard 5b1d --reason \"a test message\"

What changes something asks for --reason, tells with --dry-run what it would do, and is kept in the audit (`hosho audit`).")]
pub(super) struct Args {
    #[command(flatten)]
    place: DatabaseArgs,
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
    /// Give failed messages up; `restore` takes them up again
    Discard(change::Args),
    /// Take messages up again that were given up
    Restore(change::Args),
    Export(list::ExportArgs),
}

impl Args {
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Error> {
        self.place.overrides()
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
        Sub::Replay(begin) => replay::begin(begin, args.place.out.as_deref(), &database, &config).await,
        Sub::Discard(args) => change::discard(args, &database).await,
        Sub::Restore(args) => change::restore(args, &database).await,
        Sub::Export(args) => list::export(args, &database).await,
    }
}

/// Which states are meant.
#[derive(Debug, Clone, Default, clap::Args)]
struct States {
    /// In this state; those that wait for somebody, and those being replayed, when left out
    #[arg(long, value_name = "STATE", value_parser = clap::builder::PossibleValuesParser::new(State::ALL.iter().map(|state| state.as_text())))]
    state: Vec<String>,
    /// In any state
    #[arg(long)]
    all: bool,
}

impl States {
    /// Whether any was asked for.
    fn is_given(&self) -> bool {
        self.all || !self.state.is_empty()
    }

    fn wanted(&self) -> Vec<State> {
        if self.all {
            return Vec::new();
        }
        if self.state.is_empty() {
            return OPEN.into_iter().chain([State::Replaying]).collect();
        }
        State::ALL
            .iter()
            .copied()
            .filter(|state| self.state.iter().any(|wanted| wanted == state.as_text()))
            .collect()
    }
}

/// A failed message as programs read it.
#[derive(Serialize)]
struct Shown {
    id: String,
    stage: String,
    state: &'static str,
    code: String,
    text: String,
    group: String,
    origin: &'static str,
    attempts: i64,
    letters: i64,
    first_failed_at: String,
    last_failed_at: String,
    state_since: String,
    message_id: String,
    message_type: Option<String>,
    application: Option<String>,
    replay: Option<String>,
    superseded_by: Option<String>,
}

impl Shown {
    /// What may be shown of a row; what its sender wrote as identifiers is masked where it looks like none.
    fn of(row: &FailedMessage, reveal: bool) -> Self {
        let word = |text: &String| if reveal { text.clone() } else { masked_word(text) };
        Self {
            id: row.id.clone(),
            stage: row.stage.clone(),
            state: row.state.as_text(),
            code: row.code.clone(),
            text: row.text.clone(),
            group: row.fingerprint.clone(),
            origin: row.origin.as_text(),
            attempts: row.attempts,
            letters: row.letters,
            first_failed_at: utc(row.first_failed_at),
            last_failed_at: utc(row.last_failed_at),
            state_since: utc(row.changed_at),
            message_id: word(&row.message_id),
            message_type: row.message_type.as_ref().map(word),
            application: row.correlation_id.as_ref().map(word),
            replay: row.replay_id.as_ref().map(word),
            superseded_by: row.superseded_by.clone(),
        }
    }
}

/// Reads failed messages, all of which must exist.
async fn read(database: &Database, ids: Vec<String>) -> Result<Vec<FailedMessage>, Error> {
    use hosho_schema::{db::DbError, models::failed_message};
    let rows = database
        .ask(move |db| {
            failed_message::by_ids(db, &ids.iter().map(String::as_str).collect::<Vec<_>>())
                .map_err(|error: DbError| error)
        })
        .await?;
    Ok(rows.into_iter().flatten().collect())
}

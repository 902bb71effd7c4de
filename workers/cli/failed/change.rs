//! `hosho failed discard|restore|note`

use std::process::ExitCode;

use hosho_schema::{
    db::Connection,
    models::failed_message::{self, Filter, OPEN, State},
};

use super::super::{
    Failure, print, print_json,
    selection::{Database, Selection, Who},
};
use crate::failures::{self, Operation, OperationError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    who: Who,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Write down what is known of a cause, for everybody who looks at the groups
#[derive(Debug, clap::Args)]
pub(super) struct NoteArgs {
    /// The group; the first characters will do
    group: String,
    /// What is known
    text: String,
    #[command(flatten)]
    who: Who,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What was changed, or would be.
#[derive(serde::Serialize)]
struct Changed {
    operation: Option<String>,
    messages: Vec<String>,
}

type Change = fn(&mut Connection, &Operation, &Filter) -> Result<Vec<(String, State)>, OperationError>;

pub(super) async fn discard(args: Args, database: &Database) -> Result<ExitCode, Failure> {
    change(&args, database, ("failed.discard", &OPEN, failures::discard)).await
}

pub(super) async fn restore(args: Args, database: &Database) -> Result<ExitCode, Failure> {
    change(&args, database, ("failed.restore", &[State::Discarded], failures::restore)).await
}

async fn change(
    Args { selection, who, json }: &Args,
    database: &Database,
    (action, from, change): (&'static str, &[State], Change),
) -> Result<ExitCode, Failure> {
    let operation = who.operation(&database.clock, action)?;
    if selection.is_empty() {
        return Err(Failure::usage("nothing was selected").hint("give identifiers, --group, --stage, --code, --since, --until or --text"));
    }
    let filter = selection.filter(database, from).await?;
    let verb = action.rsplit('.').next().unwrap_or_default();
    let id = operation.id.clone();
    let changed = if who.dry_run {
        database.ask(move |db| failed_message::select(db, &filter)).await?
    } else {
        database.ask(move |db| change(db, &operation, &filter)).await?
    };
    let count = changed.len();
    if *json {
        let messages = changed.into_iter().map(|(id, _)| id).collect();
        print_json(&Changed { operation: (!who.dry_run).then_some(id), messages })?;
    } else if who.dry_run {
        print(format!("{count} messages: {verb}. Nothing was changed."));
    } else {
        print(format!("{count} messages: {verb}. Operation {id}"));
    }
    Ok(ExitCode::from(u8::from(count == 0 && !who.dry_run)))
}

pub(super) async fn note(args: NoteArgs, database: &Database) -> Result<ExitCode, Failure> {
    let (text, group) = (args.text.trim().to_owned(), args.group.clone());
    // What is written down is its own reason.
    let operation = args.who.operation_or(&database.clock, "failed.note", &text)?;
    if text.is_empty() {
        return Err(Failure::usage("the note is empty"));
    }
    let groups = database.ask(move |db| failed_message::groups_by_prefix(db, &group)).await?;
    let [fingerprint] = groups.as_slice() else {
        return Err(Failure::usage(format!("{:?} is not the beginning of one group", args.group)).hint("`hosho failed groups` shows them"));
    };
    let fingerprint = fingerprint.clone();
    if args.who.dry_run {
        print(format!("The group {fingerprint} would get this note. Nothing was changed."));
        return Ok(ExitCode::SUCCESS);
    }
    let (noted, note) = (fingerprint.clone(), text.clone());
    database.ask(move |db| failures::note(db, &operation, &noted, &note)).await?;
    if args.json {
        print_json(&serde_json::json!({ "group": fingerprint, "note": text }))?;
    } else {
        print(format!("Noted with the group {fingerprint}."));
    }
    Ok(ExitCode::SUCCESS)
}

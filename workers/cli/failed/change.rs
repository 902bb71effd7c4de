//! `hosho failed discard|restore|note`

use std::process::ExitCode;

use hosho_schema::{
    db::Connection,
    models::failed_message::{self, Filter, OPEN, State},
};

use super::super::{
    Error, print, print_json, remark,
    selection::{AuditArgs, Database, Selection, beginning, short},
    wording::counted,
};
use crate::audit::Operation;
use crate::dead_letters::{self, Left, LeftOut, Moved, OperationError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    who: AuditArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Write down what is known of a cause, for everybody who looks at the groups
#[derive(Debug, clap::Args)]
pub(super) struct NoteArgs {
    /// The group; the first characters will do
    #[arg(value_parser = beginning)]
    group: String,
    /// What is known
    text: String,
    #[command(flatten)]
    who: AuditArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What was changed, or would be.
#[derive(serde::Serialize)]
struct Changed {
    operation: Option<String>,
    messages: Vec<String>,
    left_out: Vec<Kept>,
}

/// A message that was named and is left out.
#[derive(serde::Serialize)]
pub(in crate::cli) struct Kept {
    message: String,
    why: String,
}

impl Kept {
    pub(in crate::cli) fn of(left: &Left) -> Self {
        Self { message: left.id.clone(), why: left.why.to_string() }
    }
}

type Change = fn(&mut Connection, &Operation, &Filter) -> Result<Moved, OperationError>;

pub(super) async fn discard(args: Args, database: &Database) -> Result<ExitCode, Error> {
    change(&args, database, ("failed.discard", &OPEN, dead_letters::discard)).await
}

pub(super) async fn restore(args: Args, database: &Database) -> Result<ExitCode, Error> {
    change(&args, database, ("failed.restore", &[State::Discarded], dead_letters::restore)).await
}

async fn change(
    Args { selection, who, json }: &Args,
    database: &Database,
    (action, from, change): (&'static str, &[State], Change),
) -> Result<ExitCode, Error> {
    let operation = who.operation(&database.clock, action)?;
    selection.require()?;
    let filter = selection.filter(database, from).await?;
    let verb = action.rsplit('.').next().unwrap_or_default();
    let id = operation.id.clone();
    let from = from.to_vec();
    let Moved { messages, left } = if who.dry_run {
        database.ask(move |db| dead_letters::planned(db, &filter, &from)).await?
    } else {
        database.ask(move |db| change(db, &operation, &filter)).await?
    };
    let count = messages.len();
    if *json {
        let messages = messages.into_iter().map(|(id, _)| id).collect();
        let left_out = left.iter().map(Kept::of).collect();
        print_json(&Changed { operation: (!who.dry_run).then_some(id), messages, left_out })?;
    } else {
        let outcome = if who.dry_run { "Nothing was changed.".to_owned() } else { format!("Operation {id}") };
        print(format!("{}: {verb}. {outcome}", counted(count, "message")));
        tell_left(&left);
    }
    Ok(ExitCode::from(u8::from(count == 0 && !who.dry_run)))
}

/// Messages left out that are told one by one for each reason.
const NAMED: usize = 10;

/// Tells which messages were left out, and why.
pub(in crate::cli) fn tell_left(left: &[Left]) {
    let mut reasons: Vec<LeftOut> = Vec::new();
    for one in left {
        if !reasons.contains(&one.why) {
            reasons.push(one.why);
        }
    }
    for why in reasons {
        let ids: Vec<&str> = left.iter().filter(|one| one.why == why).map(|one| short(&one.id)).collect();
        let more = if ids.len() > NAMED { " …" } else { "" };
        let named = ids.iter().take(NAMED).copied().collect::<Vec<_>>().join(" ");
        remark(format!("{} left out, {why}: {named}{more}", counted(ids.len(), "message")));
    }
}

pub(super) async fn note(args: NoteArgs, database: &Database) -> Result<ExitCode, Error> {
    let (text, group) = (args.text.trim().to_owned(), args.group.clone());
    // What is written down is its own reason.
    let operation = args.who.operation_or(&database.clock, "failed.note", &text)?;
    if text.is_empty() {
        return Err(Error::invalid("the note is empty"));
    }
    let groups = database.ask(move |db| failed_message::groups_by_prefix(db, &group)).await?;
    let [fingerprint] = groups.as_slice() else {
        return Err(Error::invalid(format!("{:?} is not the beginning of one group", args.group))
            .hint("`hosho failed groups` shows them"));
    };
    let fingerprint = fingerprint.clone();
    if args.who.dry_run {
        if args.json {
            print_json(&serde_json::json!({ "group": fingerprint, "note": text }))?;
        } else {
            print(format!("The group {fingerprint} would get this note. Nothing was changed."));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (noted, note) = (fingerprint.clone(), text.clone());
    database.ask(move |db| dead_letters::note(db, &operation, &noted, &note)).await?;
    if args.json {
        print_json(&serde_json::json!({ "group": fingerprint, "note": text }))?;
    } else {
        print(format!("Noted with the group {fingerprint}."));
    }
    Ok(ExitCode::SUCCESS)
}

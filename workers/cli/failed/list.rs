//! `hosho failed list` and `hosho failed export`

use std::process::ExitCode;

use super::{
    super::{
        Error, harmless_json, print, print_json, printable,
        selection::{AuditArgs, Database, PageArgs, SelectionArgs, filter, short},
        text::{counted, cut, table},
        time::stacked,
    },
    StateArgs, print_empty,
};
use crate::operations::dead_letters::{self, Selection};

/// Failed messages, the latest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    states: StateArgs,
    #[command(flatten)]
    page: PageArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, database: &Database) -> Result<ExitCode, Error> {
    let selection = Selection::from(args.selection);
    let is_narrowed = !selection.is_empty() || args.states.is_given();
    let filter = filter(selection, database, &args.states.wanted()).await?;
    let messages = dead_letters::list(&database.db(), filter, args.page.request()).await?;
    if args.json {
        print_json(&messages)?;
        return Ok(ExitCode::SUCCESS);
    }
    if messages.items.is_empty() {
        print_empty(&messages, args.page, is_narrowed, database).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(["id", "stage, code", "state", "last failed", "group, text"]);
    for message in &messages.items {
        let text = cut(&printable(&message.text), TEXT);
        rows.add_row([
            short(&message.id).to_owned(),
            format!("{}\n{}", printable(&message.stage), printable(&message.code)),
            format!("{}\n{}", message.state, counted(message.attempts, "attempt")),
            stacked(Some(message.last_failed_at)),
            format!("{}\n{text}", message.group),
        ]);
    }
    print(rows);
    if let Some(position) = args.page.position(&messages) {
        print(position);
    }
    Ok(ExitCode::SUCCESS)
}

/// Characters of a text in the table.
const TEXT: usize = 60;

/// Failed messages with their payloads, one JSON object a line
///
/// Personal data is masked in payloads and headers. --reveal shows it, which is kept in the audit. A payload
/// that is not JSON is printed as hexadecimal digits.
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    states: StateArgs,
    /// With personal data
    #[arg(long)]
    reveal: bool,
    #[command(flatten)]
    audit: AuditArgs,
    /// As JSON, which is the default; with --dry-run, the count
    #[arg(long)]
    json: bool,
}

/// Messages read at a time.
const CHUNK: usize = 500;

pub(super) async fn export(args: ExportArgs, database: &Database) -> Result<ExitCode, Error> {
    let is_revealed = args.reveal && !args.audit.dry_run;
    let reveal = is_revealed.then(|| args.audit.operation(&database.clock, "failed.export")).transpose()?;
    let filter = filter(args.selection.into(), database, &args.states.wanted()).await?;
    let db = database.db();
    let ids = dead_letters::export_ids(&db, filter, reveal).await?;
    if args.audit.dry_run {
        if args.json {
            print_json(&serde_json::json!({ "messages": ids.len() }))?;
        } else {
            print(format!("{} would be exported", counted(ids.len(), "message")));
        }
        return Ok(ExitCode::SUCCESS);
    }
    for chunk in ids.chunks(CHUNK) {
        for message in dead_letters::export(&db, chunk.to_vec(), is_revealed).await? {
            let line = serde_json::to_string(&message).map_err(Error::unavailable)?;
            print(harmless_json(&line));
        }
    }
    Ok(ExitCode::SUCCESS)
}

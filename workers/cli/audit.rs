//! `hosho audit`

use std::process::ExitCode;

use hosho_schema::models::audit::Filter;
use serde_json::Value;

use super::{
    Error, harmless_json, output, print_text, printable,
    selection::{DatabaseArgs, PageArgs, beginning, filled, name, open_database, print_page},
    text::{cut, options, shown},
};
use crate::{
    clock::Clock,
    config::Config,
    operations::{
        audit::{self, Entry},
        time,
    },
};

/// List who changed what, when and why, the latest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho audit --since 1d
  hosho audit --subject 6f1c1c3e
  hosho audit --action failed. --json")]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    /// About this subject (a failed message, a replay, a stage, a mail),
    /// or the beginning of its identifier
    #[arg(long, value_name = "ID", value_parser = subject)]
    subject: Option<String>,
    /// Of this operation, or the beginning of its identifier
    #[arg(long, value_name = "ID", value_parser = beginning)]
    operation: Option<String>,
    /// Beginning of the action, such as failed. or stage.pause
    #[arg(long, value_name = "ACTION", value_parser = filled)]
    action: Option<String>,
    /// By this actor
    #[arg(long, value_name = "NAME", value_parser = filled)]
    by: Option<String>,
    /// At or after this time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    #[command(flatten)]
    page: PageArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Reads the beginning of an identifier, or a name such as that of a stage.
fn subject(text: &str) -> Result<String, String> {
    let problem = "a subject is an identifier, or a name such as that of a stage";
    name(text, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'-' | b'_'), problem)
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let db = open_database(&config).await?;
    let now = Clock::system().now();
    let filter = Filter {
        subject: args.subject,
        operation_id: args.operation,
        action: args.action,
        actor: args.by,
        since: args.since.as_deref().map(|text| time::parse("--since", text, now)).transpose()?,
    };
    let entries = audit::list(&db, filter, args.page.request()).await?;
    let print_rows = |entries: &[Entry]| entries.iter().for_each(|entry| print_text(lines(entry)));
    output(args.json, &entries, |entries| print_page(entries, "No entries.", print_rows))
}

pub(super) fn lines(entry: &Entry) -> String {
    let change = match (&entry.before, &entry.after) {
        (None, None) => String::new(),
        (before, after) => format!(": {} → {}", side(entry, before.as_ref()), side(entry, after.as_ref())),
    };
    let reason =
        if entry.reason.is_empty() { String::new() } else { format!("  \"{}\"", printable(&entry.reason)) };
    let (actor, subject) = (printable(&entry.actor), printable(&entry.subject));
    format!(
        "  {}  {actor}  {}  {} {subject}{reason}\n    operation {}{change}",
        shown(entry.at),
        entry.action,
        entry.kind,
        entry.operation
    )
}

/// Characters of one side of a change; `--json` prints all of it.
const LONGEST: usize = 200;

fn side(entry: &Entry, value: Option<&Value>) -> String {
    match value {
        // The selection of a run or replay.
        Some(value @ Value::Object(_)) if matches!(entry.kind.as_str(), "job_run" | "replay") => {
            cut(&printable(&options(value)), LONGEST)
        }
        Some(Value::String(text)) => cut(&printable(text), LONGEST),
        Some(value) => cut(&harmless_json(&value.to_string()), LONGEST),
        None => "-".to_owned(),
    }
}

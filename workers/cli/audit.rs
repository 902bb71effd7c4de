//! `hosho audit`

use std::process::ExitCode;

use hosho_schema::models::audit::{self, Entry, Filter};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Error, harmless_json,
    moment::{moment, shown, utc},
    print, print_json, printable,
    selection::{DatabaseArgs, Page, filled},
    wording::cut,
};
use crate::{
    config::Config,
    dead_letters::{masked_path, masked_text},
};

/// Who changed what, when and why, the latest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho audit --since 1d
  hosho audit --subject 6f1c1c3e
  hosho audit --action failed. --json")]
pub(super) struct Args {
    #[command(flatten)]
    place: DatabaseArgs,
    /// About this subject: a failed message, a replay, a stage, a mail; the first characters will do
    #[arg(long, value_name = "ID", value_parser = subject)]
    subject: Option<String>,
    /// Of this operation; the first characters will do
    #[arg(long, value_name = "ID", value_parser = super::selection::beginning)]
    operation: Option<String>,
    /// Beginning of the action, such as failed. or stage.pause
    #[arg(long, value_name = "ACTION", value_parser = filled)]
    action: Option<String>,
    /// By whom
    #[arg(long, value_name = "NAME", value_parser = filled)]
    by: Option<String>,
    /// At or after this moment
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    #[command(flatten)]
    page: Page,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Error> {
        self.place.overrides()
    }
}

/// Reads the beginning of a subject: an identifier, or a name such as that of a stage.
fn subject(text: &str) -> Result<String, String> {
    let is_one =
        !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'-' | b'_'));
    if is_one {
        Ok(text.to_owned())
    } else {
        Err("a subject is an identifier, or a name such as that of a stage".to_owned())
    }
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let database = DatabaseArgs::database(&config).await?;
    let now = database.clock.now();
    let filter = Filter {
        subject: args.subject,
        operation_id: args.operation,
        action: args.action,
        actor: args.by,
        since: args.since.as_deref().map(|text| moment("--since", text, now)).transpose()?,
    };
    let page = args.page;
    let mut entries = database.ask(move |db| audit::list(db, &filter, page.probing(), page.offset())).await?;
    let more = page.trimmed(&mut entries);
    let shown: Vec<Shown> = entries.iter().map(|entry| Shown::of(entry, false)).collect();
    if args.json {
        print_json(&shown)?;
    } else if shown.is_empty() {
        print("Nothing.");
    } else {
        for entry in &shown {
            print(entry.line());
        }
        if let Some(more) = more {
            print(more);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An entry as it is shown.
#[derive(Serialize)]
pub(super) struct Shown {
    at: String,
    #[serde(skip)]
    local: String,
    actor: String,
    action: String,
    kind: String,
    subject: String,
    operation: String,
    reason: String,
    before: Option<Value>,
    after: Option<Value>,
}

impl Shown {
    /// What may be shown of an entry.
    pub(super) fn of(entry: &Entry, reveal: bool) -> Self {
        let side = |text: &Option<String>| text.as_deref().map(|text| side(text, reveal));
        Self {
            at: utc(entry.at),
            local: shown(entry.at),
            actor: entry.actor.clone(),
            action: entry.action.clone(),
            kind: entry.kind.clone(),
            subject: entry.subject.clone(),
            operation: entry.operation_id.clone(),
            reason: entry.reason.clone(),
            before: side(&entry.before),
            after: side(&entry.after),
        }
    }

    /// Two lines for people.
    pub(super) fn line(&self) -> String {
        let what = match (&self.before, &self.after) {
            (None, None) => String::new(),
            (before, after) => {
                let text = |side: &Option<Value>| match side {
                    Some(Value::String(text)) => cut(&printable(text), LONGEST),
                    Some(value) => cut(&harmless_json(&value.to_string()), LONGEST),
                    None => "-".to_owned(),
                };
                format!(": {} → {}", text(before), text(after))
            }
        };
        let reason =
            if self.reason.is_empty() { String::new() } else { format!("  \"{}\"", printable(&self.reason)) };
        let (actor, subject) = (printable(&self.actor), printable(&self.subject));
        format!(
            "  {}  {actor}  {}  {} {subject}{reason}\n    operation {}{what}",
            self.local, self.action, self.kind, self.operation
        )
    }
}

/// Characters of one side of a change that a line holds; `--json` gives all of it.
const LONGEST: usize = 200;

/// One side of a change: values by their JSON paths are masked, plain words are not.
fn side(text: &str, reveal: bool) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Object(values)) if !reveal && values.keys().all(|path| path.starts_with('$')) => {
            let masked: Map<String, Value> =
                values.iter().map(|(path, value)| (masked_path(path), masked_text(path, value))).collect();
            Value::Object(masked)
        }
        Ok(value @ Value::Object(_)) => value,
        _ => text.into(),
    }
}

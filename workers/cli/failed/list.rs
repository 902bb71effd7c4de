//! `hosho failed list`, `groups` and `export`

use std::process::ExitCode;

use hosho_schema::models::failed_message::{OPEN, State};
use serde::Serialize;

use super::super::{
    Error, harmless_json, output, print, print_table, printable,
    selection::{AuditArgs, PageArgs, SelectionArgs, filter, print_page, short},
    text::{counted, cut, labelled, shown, stacked, table},
};
use crate::{
    db::Db,
    operations::{
        Page,
        dead_letters::{self, Group, Selection, Summary},
    },
};

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

impl Args {
    /// Prints a page; an empty one says which rows there are elsewhere.
    async fn print<T: Serialize>(
        &self,
        page: &Page<T>,
        db: &Db,
        print_rows: impl FnOnce(&[T]),
    ) -> Result<ExitCode, Error> {
        let is_narrowed = !Selection::from(self.selection.clone()).is_empty() || self.states.is_given();
        let none = if is_narrowed && page.total == 0 && !self.json {
            let open = dead_letters::open_count(db).await?;
            format!("No failed message matches; {open} open in all.")
        } else {
            "No failed messages.".to_owned()
        };
        output(self.json, page, |page| print_page(page, &none, print_rows))
    }
}

const TEXT: usize = 60;

pub(super) async fn messages(args: Args, db: &Db) -> Result<ExitCode, Error> {
    let filter = filter(args.selection.clone().into(), db, &args.states.wanted()).await?;
    let messages = dead_letters::list(db, filter, args.page.request()).await?;
    let print_rows = |messages: &[Summary]| {
        let mut rows = table(["id", "stage, code", "state", "last failed\n(JST)", "group, text"]);
        for message in messages {
            let text = cut(&printable(&message.text), TEXT);
            rows.add_row([
                short(&message.id).to_owned(),
                format!("{}\n{}", printable(&message.stage), printable(&message.code)),
                format!("{}\n{}", message.state, counted(message.attempts, "attempt")),
                stacked(Some(message.last_failed_at)),
                format!("{}\n{text}", message.group),
            ]);
        }
        print_table(rows);
    };
    args.print(&messages, db, print_rows).await
}

pub(super) async fn groups(args: Args, db: &Db) -> Result<ExitCode, Error> {
    let filter = filter(args.selection.clone().into(), db, &args.states.wanted()).await?;
    let groups = dead_letters::groups(db, filter, args.page.request()).await?;
    let print_rows = |items: &[Group]| {
        print_groups(items);
        if groups.next.is_some() {
            print("");
        }
    };
    args.print(&groups, db, print_rows).await
}

fn print_groups(groups: &[Group]) {
    let mut rows = table(["group", "count", "stage", "sample", "code"]);
    for group in groups {
        rows.add_row([
            group.group.clone(),
            counts(group),
            printable(&group.stage),
            short(&group.sample).to_owned(),
            printable(&group.code),
        ]);
    }
    print_table(rows);
    for group in groups {
        let failed = format!("first {}, last {}", shown(group.first_failed_at), shown(group.last_failed_at));
        let lines = [
            (group.group.as_str(), Some(printable(&group.text))),
            ("failed", Some(failed)),
            ("what to do", group.advice.map(str::to_owned)),
            ("note", group.note.as_deref().map(printable)),
        ];
        let lines = lines.into_iter().filter_map(|(label, text)| Some((label, text?)));
        print(format!("\n{}", labelled(lines)));
    }
}

/// The count, and the states unless all are `failed`.
fn counts(group: &Group) -> String {
    if group.states.keys().eq([&"failed"]) {
        return group.count.to_string();
    }
    let states: Vec<String> = group.states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    format!("{}\n({})", group.count, states.join(", "))
}

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

pub(super) async fn export(args: ExportArgs, db: &Db) -> Result<ExitCode, Error> {
    let is_revealed = args.reveal && !args.audit.dry_run;
    let reveal = is_revealed.then(|| args.audit.operation("failed.export")).transpose()?;
    let filter = filter(args.selection.into(), db, &args.states.wanted()).await?;
    let ids = dead_letters::export_ids(db, filter, reveal).await?;
    if args.audit.dry_run {
        return output(args.json, &serde_json::json!({ "messages": ids.len() }), |_| {
            print(format!("{} would be exported", counted(ids.len(), "message")));
        });
    }
    for chunk in ids.chunks(CHUNK) {
        for message in dead_letters::export(db, chunk.to_vec(), is_revealed).await? {
            let line = serde_json::to_string(&message).map_err(Error::unavailable)?;
            print(harmless_json(&line));
        }
    }
    Ok(ExitCode::SUCCESS)
}

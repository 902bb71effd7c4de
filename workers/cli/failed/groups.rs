//! `hosho failed groups`

use std::process::ExitCode;

use super::{
    super::{
        Error, print, print_json, printable,
        selection::{Database, PageArgs, SelectionArgs, filter, short},
        text::{labelled, table},
        time::shown,
    },
    StateArgs, print_empty,
};
use crate::operations::dead_letters::{self, Group, Selection};

/// Failed messages by cause, the largest group first
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
    let groups = dead_letters::groups(&database.db(), filter, args.page.request()).await?;
    if args.json {
        print_json(&groups)?;
        return Ok(ExitCode::SUCCESS);
    }
    if groups.items.is_empty() {
        print_empty(&groups, args.page, is_narrowed, database).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(["group", "count", "stage", "sample", "code"]);
    for group in &groups.items {
        rows.add_row([
            group.group.clone(),
            counts(group),
            printable(&group.stage),
            short(&group.sample).to_owned(),
            printable(&group.code),
        ]);
    }
    print(rows);
    for group in &groups.items {
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
    if let Some(position) = args.page.position(&groups) {
        print(format!("\n{position}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The count, and the states unless all are `failed`.
fn counts(group: &Group) -> String {
    if group.states.keys().eq([&"failed"]) {
        return group.count.to_string();
    }
    let states: Vec<String> = group.states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    format!("{}\n({})", group.count, states.join(", "))
}

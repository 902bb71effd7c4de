//! `hosho failed groups`

use std::process::ExitCode;

use hosho_schema::{
    db::DbError,
    models::{
        failed_message::{self, Group, State},
        failure_note,
    },
};
use serde::Serialize;

use super::{
    super::{
        Error,
        moment::{shown, utc},
        print, print_json, printable,
        selection::{Database, Page, Selection, nothing, short},
        table,
    },
    States,
};
use crate::dead_letters::advice;

/// What failed, by cause, the largest group first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    states: States,
    #[command(flatten)]
    page: Page,
    /// The groups as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown {
    group: String,
    stage: String,
    code: String,
    text: String,
    count: i64,
    states: std::collections::BTreeMap<&'static str, i64>,
    first_failed_at: String,
    last_failed_at: String,
    sample: String,
    note: Option<String>,
    advice: Option<&'static str>,
}

pub(super) async fn run(args: Args, database: &Database) -> Result<ExitCode, Error> {
    let filter = args.selection.filter(database, &args.states.wanted()).await?;
    let (page, narrowed) = (args.page, !args.selection.is_empty() || args.states.is_given());
    let (groups, all, notes) = database
        .ask(move |db| {
            let all = failed_message::groups(db, &filter)?;
            let count = i64::try_from(all.len()).unwrap_or(i64::MAX);
            let groups = page.of(all);
            let fingerprints: Vec<&str> = groups.iter().map(|group| group.fingerprint.as_str()).collect();
            let notes = failure_note::by_fingerprints(db, &fingerprints)?;
            Ok::<_, DbError>((groups, count, notes))
        })
        .await?;
    let note = |group: &Group| notes.get(&group.fingerprint).map(|note| note.note.clone());
    if args.json {
        let shown: Vec<Shown> = groups
            .iter()
            .map(|group| Shown {
                group: group.fingerprint.clone(),
                stage: group.stage.clone(),
                code: group.code.clone(),
                text: group.text.clone(),
                count: group.count(),
                states: group.states.iter().map(|(state, count)| (state.as_text(), *count)).collect(),
                first_failed_at: utc(group.first_failed_at),
                last_failed_at: utc(group.last_failed_at),
                sample: group.sample.clone(),
                note: note(group),
                advice: advice(&group.code),
            })
            .collect();
        print_json(&shown)?;
        return Ok(ExitCode::SUCCESS);
    }
    if groups.is_empty() {
        print(if all == 0 {
            nothing(database, narrowed).await?
        } else {
            format!("Nothing on this page; {all} on earlier ones.")
        });
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(["group", "count", "stage", "code", "first", "last", "sample"]);
    for group in &groups {
        rows.add_row([
            group.fingerprint.clone(),
            counts(group),
            printable(&group.stage),
            printable(&group.code),
            shown(group.first_failed_at),
            shown(group.last_failed_at),
            short(&group.sample).to_owned(),
        ]);
    }
    print(rows);
    for group in &groups {
        print(format!("\n{}  {}", group.fingerprint, printable(&group.text)));
        if let Some(advice) = advice(&group.code) {
            print(format!("  what to do  {advice}"));
        }
        if let Some(note) = note(group) {
            print(format!("  note        {}", printable(&note)));
        }
    }
    if let Some(told) = page.told(groups.len(), all) {
        print(format!("\n{told}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// How many there are; in which states, when it is not one alone that waits.
fn counts(group: &Group) -> String {
    let states: Vec<String> =
        group.states.iter().map(|(state, count)| format!("{count} {}", state.as_text())).collect();
    match group.states.keys().collect::<Vec<_>>().as_slice() {
        [State::Failed] => group.count().to_string(),
        _ => format!("{}\n({})", group.count(), states.join(", ")),
    }
}

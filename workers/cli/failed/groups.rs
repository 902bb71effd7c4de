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
        Failure, print, print_json, printable,
        selection::{Database, Selection, short, shown},
        table,
    },
    States, utc,
};
use crate::stage::Reason;

/// What failed, by cause, the largest group first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    states: States,
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

/// What to do about a code; those of letters that the broker or others made are told here.
pub(in crate::cli) fn advice(code: &str) -> Option<&'static str> {
    Reason::of_code(code).map(Reason::advice).or(match code {
        "delivery.limit" => Some(
            "look for workers that die (their logs, the kernel's); if one message is the culprit, the others of the group were bystanders: replay with the canary, and discard the culprit",
        ),
        "delivery.rejected" | "message.foreign" => {
            Some("somebody else works on our queues: find the consumer (`rabbitmqctl list_consumers`) or the publisher")
        }
        "delivery.expired" | "delivery.overflow" => Some("a policy of the broker takes messages away: `rabbitmqctl list_policies`; then replay"),
        "message.unroutable" => Some(
            "a queue was missing (`hosho topology check`) or the sender's routing key is wrong: it is `validate` for applications; replay, or `hosho failed edit --stage`",
        ),
        "message.edited" => Some("edited and not replayed yet: replay"),
        _ => None,
    })
}

pub(super) async fn run(args: Args, database: &Database) -> Result<ExitCode, Failure> {
    let filter = args.selection.filter(database, &args.states.wanted()).await?;
    let (groups, notes) = database
        .ask(move |db| {
            let groups = failed_message::groups(db, &filter)?;
            let fingerprints: Vec<&str> = groups.iter().map(|group| group.fingerprint.as_str()).collect();
            let notes = failure_note::by_fingerprints(db, &fingerprints)?;
            Ok::<_, DbError>((groups, notes))
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
        print("Nothing: no message waits for anybody.");
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
    Ok(ExitCode::SUCCESS)
}

/// How many there are; in which states, when it is not one alone that waits.
fn counts(group: &Group) -> String {
    let states: Vec<String> = group.states.iter().map(|(state, count)| format!("{count} {}", state.as_text())).collect();
    match group.states.keys().collect::<Vec<_>>().as_slice() {
        [State::Failed] => group.count().to_string(),
        _ => format!("{}\n({})", group.count(), states.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_advice() {
        for reason in Reason::ALL {
            assert!(advice(reason.code()).is_some());
        }
        for code in
            ["delivery.limit", "delivery.rejected", "delivery.expired", "delivery.overflow", "message.foreign", "message.unroutable"]
        {
            assert!(advice(code).is_some(), "{code}");
        }
    }
}

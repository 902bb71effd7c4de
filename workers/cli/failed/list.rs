//! `hosho failed list` and `hosho failed export`

use std::process::ExitCode;

use hosho_schema::models::failed_message::{self, FailedMessage};

use super::{
    super::{
        Failure, harmless_json, print, print_json, printable,
        selection::{Database, Page, Selection, Who, short, shown},
        table,
    },
    Shown, States,
};
use crate::{
    failures::{self, masked},
    hex::hex,
};

/// Failed messages, the latest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    states: States,
    #[command(flatten)]
    page: Page,
    /// The messages as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, database: &Database) -> Result<ExitCode, Failure> {
    let filter = args.selection.filter(database, &args.states.wanted()).await?;
    let page = args.page;
    let (rows, all) = database
        .ask(move |db| {
            let rows = failed_message::list(db, &filter, page.limit(), page.offset())?;
            let all: i64 = failed_message::counts(db, &filter)?.values().sum();
            Ok::<_, hosho_schema::db::DbError>((rows, all))
        })
        .await?;
    if args.json {
        print_json(&rows.iter().map(Shown::of).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    if rows.is_empty() {
        print(if all == 0 { "Nothing." } else { "Nothing on this page." });
        return Ok(ExitCode::SUCCESS);
    }
    let mut shown_rows = table(["id", "stage", "code", "state", "attempts", "last failed", "group", "text"]);
    for row in &rows {
        let text: String = printable(&row.text).chars().take(60).collect();
        shown_rows.add_row([
            short(&row.id).to_owned(),
            printable(&row.stage),
            printable(&row.code),
            row.state.as_text().to_owned(),
            row.attempts.to_string(),
            shown(row.last_failed_at),
            row.fingerprint.clone(),
            text,
        ]);
    }
    print(shown_rows);
    let (first, last) = (page.offset() + 1, page.offset() + i64::try_from(rows.len()).unwrap_or(0));
    if last - first + 1 < all {
        print(format!("{first} to {last} of {all}; more with --page"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Failed messages with their payloads, one JSON object a line
///
/// Personal data is masked, unless --reveal asks for it, which is kept in the audit. A payload that is not JSON is told by its
/// hexadecimal digits.
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    states: States,
    /// With personal data
    #[arg(long)]
    reveal: bool,
    #[command(flatten)]
    who: Who,
}

#[derive(serde::Serialize)]
struct Exported {
    #[serde(flatten)]
    message: Shown,
    headers: serde_json::Value,
    traceparent: Option<String>,
    payload_sha256: String,
    payload: Option<serde_json::Value>,
    payload_hex: Option<String>,
}

/// Messages read at a time.
const CHUNK: usize = 500;

pub(super) async fn export(args: ExportArgs, database: &Database) -> Result<ExitCode, Failure> {
    let filter = args.selection.filter(database, &args.states.wanted()).await?;
    let ids: Vec<String> = database.ask(move |db| failed_message::select(db, &filter)).await?.into_iter().map(|(id, _)| id).collect();
    if args.who.dry_run {
        print(format!("{} messages would be exported", ids.len()));
        return Ok(ExitCode::SUCCESS);
    }
    if args.reveal {
        let operation = args.who.operation(&database.clock, "failed.export")?;
        let revealed = ids.clone();
        database.ask(move |db| failures::reveal(db, &operation, &revealed.iter().map(String::as_str).collect::<Vec<_>>())).await?;
    }
    for chunk in ids.chunks(CHUNK) {
        for row in super::read(database, chunk.to_vec()).await? {
            let line = serde_json::to_string(&exported(&row, args.reveal)).map_err(Failure::internal)?;
            print(harmless_json(&line));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn exported(row: &FailedMessage, reveal: bool) -> Exported {
    let payload: Option<serde_json::Value> = serde_json::from_slice(&row.payload).ok();
    let payload_hex = (payload.is_none() && reveal).then(|| hex(&row.payload));
    Exported {
        message: Shown::of(row),
        headers: serde_json::from_str(&row.headers).unwrap_or_default(),
        traceparent: row.traceparent.clone(),
        payload_sha256: row.payload_sha256.clone(),
        payload: payload.map(|payload| if reveal { payload } else { masked(&payload) }),
        payload_hex,
    }
}

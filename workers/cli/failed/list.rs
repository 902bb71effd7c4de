//! `hosho failed list` and `hosho failed export`

use std::process::ExitCode;

use hosho_schema::models::failed_message::{self, FailedMessage};

use super::{
    super::{
        Error, harmless_json,
        moment::shown,
        print, print_json, printable,
        selection::{AuditArgs, Database, Page, Selection, nothing, short},
        table,
        wording::{counted, cut},
    },
    Shown, States,
};
use crate::{
    dead_letters::{self, masked, masked_headers, masked_word},
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

pub(super) async fn run(args: Args, database: &Database) -> Result<ExitCode, Error> {
    let filter = args.selection.filter(database, &args.states.wanted()).await?;
    let (page, narrowed) = (args.page, !args.selection.is_empty() || args.states.is_given());
    let (rows, all) = database
        .ask(move |db| {
            let rows = failed_message::list(db, &filter, page.limit(), page.offset())?;
            let all: i64 = failed_message::counts(db, &filter)?.values().sum();
            Ok::<_, hosho_schema::db::DbError>((rows, all))
        })
        .await?;
    if args.json {
        print_json(&rows.iter().map(|row| Shown::of(row, false)).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    if rows.is_empty() {
        print(if all == 0 {
            nothing(database, narrowed).await?
        } else {
            format!("Nothing on this page; {all} on earlier ones.")
        });
        return Ok(ExitCode::SUCCESS);
    }
    let mut shown_rows = table(["id", "stage", "code", "state", "attempts", "last failed", "group", "text"]);
    for row in &rows {
        shown_rows.add_row([
            short(&row.id).to_owned(),
            printable(&row.stage),
            printable(&row.code),
            row.state.as_text().to_owned(),
            row.attempts.to_string(),
            shown(row.last_failed_at),
            row.fingerprint.clone(),
            cut(&printable(&row.text), TEXT),
        ]);
    }
    print(shown_rows);
    if let Some(told) = page.told(rows.len(), all) {
        print(told);
    }
    Ok(ExitCode::SUCCESS)
}

/// Characters of a text in the table.
const TEXT: usize = 60;

/// Failed messages with their payloads, one JSON object a line
///
/// Personal data is masked, in payloads and headers, unless --reveal asks for it, which is kept in the audit. A payload that is not JSON is told by its
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
    who: AuditArgs,
    /// As JSON, which it is anyway; with --dry-run, the count
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Exported {
    #[serde(flatten)]
    message: Shown,
    headers: serde_json::Map<String, serde_json::Value>,
    traceparent: Option<String>,
    payload_sha256: String,
    payload: Option<serde_json::Value>,
    payload_hex: Option<String>,
}

/// Messages read at a time.
const CHUNK: usize = 500;

pub(super) async fn export(args: ExportArgs, database: &Database) -> Result<ExitCode, Error> {
    let filter = args.selection.filter(database, &args.states.wanted()).await?;
    let ids: Vec<String> = database
        .ask(move |db| failed_message::select(db, &filter))
        .await?
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    if args.who.dry_run {
        if args.json {
            print_json(&serde_json::json!({ "messages": ids.len() }))?;
        } else {
            print(format!("{} would be exported", counted(ids.len(), "message")));
        }
        return Ok(ExitCode::SUCCESS);
    }
    if args.reveal {
        let operation = args.who.operation(&database.clock, "failed.export")?;
        let revealed = ids.clone();
        database
            .ask(move |db| {
                dead_letters::reveal(db, &operation, &revealed.iter().map(String::as_str).collect::<Vec<_>>())
            })
            .await?;
    }
    for chunk in ids.chunks(CHUNK) {
        for row in super::read(database, chunk.to_vec()).await? {
            let line = serde_json::to_string(&exported(&row, args.reveal)).map_err(Error::unavailable)?;
            print(harmless_json(&line));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn exported(row: &FailedMessage, reveal: bool) -> Exported {
    let payload: Option<serde_json::Value> = serde_json::from_slice(&row.payload).ok();
    let headers: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&row.headers).unwrap_or_default();
    let payload_hex = (payload.is_none() && reveal).then(|| hex(&row.payload));
    Exported {
        message: Shown::of(row, reveal),
        headers: if reveal { headers } else { masked_headers(&headers) },
        traceparent: row
            .traceparent
            .as_ref()
            .map(|trace| if reveal { trace.clone() } else { masked_word(trace) }),
        payload_sha256: row.payload_sha256.clone(),
        payload: payload.map(|payload| if reveal { payload } else { masked(&payload) }),
        payload_hex,
    }
}

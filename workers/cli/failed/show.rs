//! `hosho failed show`

use std::process::ExitCode;

use hosho_schema::{
    db::DbError,
    messages::{FieldError, FieldFault, contract},
    models::{
        audit::{self, Entry},
        failed_message::{self, Attempt, FailedMessage},
        failure_note,
    },
};
use serde::Serialize;
use serde_json::Value;

use super::{
    super::{
        Error, audit as audit_command, harmless_json,
        moment::{local, utc},
        print, print_json, printable, remark,
        selection::{AuditArgs, Database, beginning, complete_one},
        wording::counted,
    },
    Shown,
};
use crate::{
    dead_letters::{self, advice, masked, masked_headers},
    fault::Reason,
};

/// Everything about one failed message: why it failed, what it holds, what was done about it
///
/// Personal data is masked, in payload and headers, unless --reveal asks for it, which is kept in the audit.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its identifier; the first characters will do
    #[arg(value_parser = beginning)]
    id: String,
    /// With personal data
    #[arg(long)]
    reveal: bool,
    #[command(flatten)]
    who: AuditArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Entries of the audit that are shown.
const ENTRIES: i64 = 100;

#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    message: Shown,
    advice: Option<&'static str>,
    note: Option<String>,
    /// Where the payload is not what its stage takes; only when that is why it failed.
    misfits: Vec<String>,
    headers: serde_json::Map<String, Value>,
    history: Vec<Tried>,
    payload_bytes: usize,
    payload_sha256: String,
    /// `null` when it is not JSON.
    payload: Option<Value>,
    /// Only when it is not JSON, and only when revealed.
    payload_text: Option<String>,
    audit: Vec<audit_command::Shown>,
}

#[derive(Serialize)]
struct Tried {
    at: String,
    code: String,
    text: Option<String>,
}

pub(super) async fn run(args: Args, database: &Database) -> Result<ExitCode, Error> {
    let id = complete_one(database, &args.id).await?;
    if args.reveal && !args.who.dry_run {
        let (operation, id) = (args.who.operation(&database.clock, "failed.reveal")?, id.clone());
        database.ask(move |db| dead_letters::reveal(db, &operation, &[&id])).await?;
    }
    let reveal = args.reveal && !args.who.dry_run;
    if args.reveal && !reveal {
        remark("warning: nothing is revealed with --dry-run");
    }
    let found = database
        .ask(move |db| {
            let row = failed_message::by_ids(db, &[&id])?.pop().flatten();
            let attempts = failed_message::attempts(db, &[&id])?.pop().unwrap_or_default();
            let filter = audit::Filter { subject: Some(id), ..audit::Filter::default() };
            let entries = audit::list(db, &filter, ENTRIES, 0)?;
            let note = match &row {
                Some(row) => failure_note::by_fingerprints(db, &[&row.fingerprint])?.remove(&row.fingerprint),
                None => None,
            };
            Ok::<_, DbError>((row, attempts, entries, note.map(|note| note.note)))
        })
        .await?;
    let (Some(row), attempts, entries, note) = found else {
        return Err(Error::conflict(anyhow::anyhow!("it is gone")));
    };
    let told = told(&row, attempts, &entries, note, reveal);
    if args.json {
        print_json(&told)?;
    } else {
        tell(&told);
    }
    Ok(ExitCode::SUCCESS)
}

fn told(
    row: &FailedMessage,
    attempts: Vec<Attempt>,
    entries: &[Entry],
    note: Option<String>,
    reveal: bool,
) -> Told {
    let payload: Option<Value> = serde_json::from_slice(&row.payload).ok();
    let headers: serde_json::Map<String, Value> = serde_json::from_str(&row.headers).unwrap_or_default();
    let payload_text =
        (payload.is_none() && reveal).then(|| String::from_utf8_lossy(&row.payload).into_owned());
    Told {
        message: Shown::of(row, reveal),
        advice: advice(&row.code),
        note,
        misfits: misfits(row),
        headers: if reveal { headers } else { masked_headers(&headers) },
        history: attempts
            .into_iter()
            .map(|attempt| Tried { at: utc(attempt.at), code: attempt.code, text: attempt.text })
            .collect(),
        payload_bytes: row.payload.len(),
        payload_sha256: row.payload_sha256.clone(),
        payload: payload.map(|payload| if reveal { payload } else { masked(&payload) }),
        payload_text,
        audit: entries.iter().map(|entry| audit_command::Shown::of(entry, reveal)).collect(),
    }
}

/// Everything that keeps an undecodable payload from being what its stage takes.
fn misfits(row: &FailedMessage) -> Vec<String> {
    // What is not JSON at all is told by the text of the fault.
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&row.payload).is_ok();
    if row.code != Reason::Undecodable.code() || !is_json {
        return Vec::new();
    }
    let misfits = contract::of_stage(&row.stage, &row.payload)
        .map(|kind| kind.decode_errors(&row.payload))
        .unwrap_or_default();
    let text = |misfit: &FieldError| match misfit.fault {
        // The words of a parser may repeat a value.
        FieldFault::Other(_) => format!("{}: does not fit", misfit.path),
        _ => dead_letters::misfit_text(misfit),
    };
    misfits.iter().map(text).collect()
}

fn tell(told: &Told) {
    let message = &told.message;
    let line = |name: &str, value: &str| print(format!("{name:<14}{}", printable(value)));
    line("message", &message.id);
    line("stage", &message.stage);
    line("state", &format!("{} since {}", message.state, local(&message.state_since)));
    line("code", &format!("{} ({})", message.code, message.origin));
    line("text", &message.text);
    if let Some(advice) = told.advice {
        line("what to do", advice);
    }
    line("group", &message.group);
    if let Some(note) = &told.note {
        line("note", note);
    }
    line(
        "failed",
        &format!("first {}, last {}", local(&message.first_failed_at), local(&message.last_failed_at)),
    );
    line("message id", &message.message_id);
    if let Some(kind) = &message.message_type {
        line("type", kind);
    }
    if let Some(application) = &message.application {
        line("application", &format!("{application}   (`hosho status {application}`)"));
    }
    if let Some(replay) = &message.replay {
        line("replay", replay);
    }
    if let Some(edited) = &message.superseded_by {
        line("edited as", edited);
    }
    if !told.misfits.is_empty() {
        print("\nwhat does not fit");
        for misfit in &told.misfits {
            print(format!("  {}", printable(misfit)));
        }
    }
    print(format!("\nattempts ({} counted, {})", message.attempts, counted(message.letters, "dead letter")));
    for attempt in &told.history {
        let text = attempt.text.as_deref().map(|text| format!("  {}", printable(text))).unwrap_or_default();
        print(format!("  {}  {}{text}", local(&attempt.at), printable(&attempt.code)));
    }
    if !told.headers.is_empty() {
        print("\nheaders");
        for (name, value) in &told.headers {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            print(format!("  {}: {}", printable(name), printable(&value)));
        }
    }
    print(format!("\npayload ({} bytes, sha256 {})", told.payload_bytes, told.payload_sha256));
    match (&told.payload, &told.payload_text) {
        (Some(payload), _) => print(harmless_json(&format!("{payload:#}"))),
        (None, Some(text)) => print(super::super::printable_lines(text)),
        (None, None) => print("  not JSON; --reveal shows it"),
    }
    if !told.audit.is_empty() {
        print("\naudit, the latest first");
        for entry in &told.audit {
            print(entry.line());
        }
    }
}

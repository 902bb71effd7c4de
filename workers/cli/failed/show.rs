//! `hosho failed show`

use std::process::ExitCode;

use super::super::{
    Error, audit, harmless_json, output, print, print_beside, print_text, printable, printable_lines,
    remark_beside,
    selection::{AuditArgs, beginning},
    text::{counted, shown},
};
use crate::{
    db::Db,
    operations::dead_letters::{self, Details},
};

/// One failed message: why it failed, its payload, and the operations on it
///
/// Personal data is masked in payload and headers. --reveal shows it, which is kept in the audit.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its identifier, or the beginning
    #[arg(value_parser = beginning)]
    id: String,
    /// With personal data
    #[arg(long)]
    reveal: bool,
    #[command(flatten)]
    audit: AuditArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, db: &Db) -> Result<ExitCode, Error> {
    let is_revealed = args.reveal && !args.audit.dry_run;
    if args.reveal && !is_revealed {
        remark_beside("warning: ", "nothing is revealed with --dry-run");
    }
    let reveal = is_revealed.then(|| args.audit.operation("failed.reveal")).transpose()?;
    let details = dead_letters::show(db, &args.id, reveal).await?;
    output(args.json, &details, print_details)
}

fn print_details(details: &Details) {
    let message = &details.message;
    let line = |name: &str, value: &str| print_beside(&format!("{name:<14}"), printable(value));
    let optional = |name: &str, value: Option<&str>| value.iter().for_each(|value| line(name, value));
    line("message", &message.id);
    line("stage", &message.stage);
    line("state", &format!("{} since {}", message.state, shown(message.state_since)));
    line("code", &format!("{} ({})", message.code, message.origin));
    line("text", &message.text);
    optional("what to do", details.advice);
    line("group", &message.group);
    optional("note", details.note.as_deref());
    let (first, last) = (shown(message.first_failed_at), shown(message.last_failed_at));
    line("failed", &format!("first {first}, last {last}"));
    line("message id", &message.message_id);
    optional("type", message.message_type.as_deref());
    if let Some(application) = &message.application {
        line("application", application);
        line("", &format!("(`hosho status {application}`)"));
    }
    optional("replay", message.replay.as_deref());
    optional("edited as", message.superseded_by.as_deref());
    if !details.decode_errors.is_empty() {
        print("\nwhat does not fit");
        for error in &details.decode_errors {
            print_text(format!("  {}", printable(error)));
        }
    }
    let arrivals = counted(message.arrivals, "dead letter");
    print(format!("\nattempts ({} counted, {arrivals})", message.attempts));
    for attempt in &details.history {
        let text = attempt.text.as_deref().map(|text| format!("  {}", printable(text))).unwrap_or_default();
        print_text(format!("  {}  {}{text}", shown(attempt.at), printable(&attempt.code)));
    }
    if !details.headers.is_empty() {
        print("\nheaders");
        for (name, value) in &details.headers {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            print_text(format!("  {}: {}", printable(name), printable(&value)));
        }
    }
    print_text(format!("\npayload ({} bytes, sha256 {})", details.payload_bytes, details.payload_sha256));
    match (&details.payload, &details.payload_text) {
        (Some(payload), _) => print(harmless_json(&format!("{payload:#}"))),
        (None, Some(text)) => print(printable_lines(text)),
        (None, None) => print("  not JSON; --reveal shows it"),
    }
    if !details.audit.is_empty() {
        print("\naudit, the latest first");
        for entry in &details.audit {
            print_text(audit::lines(entry));
        }
    }
}

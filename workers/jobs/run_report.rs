//! For operators: re-issued and failed guarantees, reasons and duration.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use hosho_schema::{
    db::{Connection, DbError},
    models::{
        job_run::{Run, State},
        run_item::{self, Counts, Failed},
    },
};

use crate::{
    dead_letters,
    domain::wareki::in_tokyo,
    fault::chain,
    mail::{MailMessage, delivery::MailDelivery},
    text::{counted, zoned},
};

const FAILED: i64 = 100;

#[derive(Debug, Clone, Default)]
pub struct Addresses {
    pub folder: Option<PathBuf>,
    pub to: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Such as "hosho re-issue of 2026-12-02 01:30 JST: 3 of 120 failed".
    pub subject: String,
    pub text: String,
}

pub fn write(db: &mut Connection, run: &Run) -> Result<Report, DbError> {
    let counts = run_item::counts(db, &run.id)?;
    let failed = run_item::failed(db, &run.id, FAILED)?;
    Ok(Report { subject: subject(run, &counts), text: text(run, &counts, &failed) })
}

fn subject(run: &Run, counts: &Counts) -> String {
    let total = counts.done + counts.failed + counts.queued;
    let result = match run.state {
        State::Complete => format!("complete, {}", counted(total, "guarantee")),
        State::CompleteWithFailures => format!("{} of {total} failed", counts.failed),
        state => format!("{}, {} of {total} failed", state_text(state), counts.failed),
    };
    let origin = if run.scheduled_for.is_some() { "" } else { "manual " };
    format!("hosho {origin}re-issue of {} JST: {result}", in_tokyo(run.created_at).format("%Y-%m-%d %H:%M"))
}

fn state_text(state: State) -> String {
    state.as_text().replace('_', " ")
}

fn text(run: &Run, counts: &Counts, failed: &[Failed]) -> String {
    let mut text = String::new();
    let title =
        run.scheduled_for.as_ref().map_or("Manual re-issue".to_owned(), |slot| format!("Re-issue {slot}"));
    // Writing to a text cannot fail.
    let _ = writeln!(text, "{title}: {}\n", state_text(run.state));
    let _ = writeln!(text, "Run       {}", run.id);
    let _ = writeln!(text, "Reason    {} ({})", run.reason, run.actor);
    let _ = writeln!(text, "Began     {}", zoned(run.created_at));
    if let Some(finished_at) = run.finished_at {
        let took = finished_at - run.created_at;
        let seconds = took.num_seconds().max(0);
        let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let rate = counts.done + counts.failed;
        let _ = writeln!(
            text,
            "Ended     {}, after {hours}:{minutes:02}:{rest:02}, {} a second",
            zoned(finished_at),
            rate / seconds.max(1)
        );
    }
    if run.takeovers > 1 {
        let _ = writeln!(text, "Taken over {} from workers that ended", counted(run.takeovers - 1, "time"));
    }
    if let Some(note) = &run.note {
        let _ = writeln!(text, "Note      {note}");
    }
    let _ = writeln!(text, "\nGuarantees       {}", counts.done + counts.failed + counts.queued);
    let _ = writeln!(text, "  re-issued      {}", counts.reissued);
    let _ = writeln!(text, "  drawn again    {}", counts.redrawn);
    let _ = writeln!(text, "  nothing to do  {}", counts.unchanged);
    let _ = writeln!(text, "  failed         {}", counts.failed);
    if counts.queued > 0 {
        let _ = writeln!(text, "  not finished   {}", counts.queued);
    }
    if failed.is_empty() {
        return text;
    }
    let mut by_cause: BTreeMap<(&str, &str), Vec<&Failed>> = BTreeMap::new();
    for one in failed {
        by_cause.entry((&one.stage, &one.code)).or_default().push(one);
    }
    let _ = writeln!(text, "\nFailures and what to do");
    for ((stage, code), all) in by_cause {
        let advice = dead_letters::advice(code).unwrap_or("run `hosho failed list`");
        let _ = writeln!(text, "\n{code} in {stage}: {}\n  {advice}", counted(all.len(), "guarantee"));
        for one in all {
            let id = one.failed_id.get(..8).unwrap_or(&one.failed_id);
            let _ = writeln!(text, "  {}  {}  (hosho failed show {id})", one.number, one.text);
        }
    }
    let named = i64::try_from(failed.len()).unwrap_or(i64::MAX);
    if counts.failed > named {
        let _ = writeln!(text, "\n… and {} more: hosho failed list --run {}", counts.failed - named, run.id);
    }
    text
}

/// Delivers as a file, then as mails.
/// An error lists all failed deliveries; the others succeeded.
pub async fn deliver(
    addresses: &Addresses,
    delivery: &MailDelivery,
    run: &Run,
    report: &Report,
) -> Result<(), String> {
    let mut problems = Vec::new();
    if let Some(folder) = &addresses.folder {
        let file = folder.join(format!("{}-{}.txt", run.job, run.created_at.format("%Y%m%dT%H%M%SZ")));
        let written = async {
            tokio::fs::create_dir_all(folder).await?;
            tokio::fs::write(&file, &report.text).await
        };
        if let Err(error) = written.await {
            problems.push(format!("the file: {error}"));
        }
    }
    for (place, to) in addresses.to.iter().enumerate() {
        let domain = delivery.from.address.expose().rsplit('@').next().unwrap_or_default().to_owned();
        let message = MailMessage {
            message_id: format!("report-{}-{place}@{domain}", run.id),
            date: run.finished_at.unwrap_or(run.created_at),
            from: delivery.from.clone(),
            to: to.as_str().into(),
            subject: report.subject.clone(),
            text: report.text.clone(),
            html: format!(
                "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"></head><body><pre>{}</pre></body></html>",
                escaped(&report.text)
            ),
            attachments: Vec::new(),
            trace_id: None,
        };
        if let Err(error) = delivery.mailer.send(&message).await {
            problems.push(format!("the mail to entry {} of batch.report_to: {}", place + 1, chain(&error)));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

//! The morning report of a run: what was re-issued, what failed and why, how long it took. For operators, in English.

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
};

/// Failures named one by one at most.
const NAMED: i64 = 100;

/// Where reports go.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    /// A folder, as files.
    pub folder: Option<PathBuf>,
    /// Mail addresses.
    pub to: Vec<String>,
}

/// Writes the report of a run.
pub fn write(db: &mut Connection, run: &Run) -> Result<String, DbError> {
    let counts = run_item::counts(db, &run.id)?;
    let failed = run_item::failed(db, &run.id, NAMED)?;
    Ok(text(run, &counts, &failed))
}

/// What a run is called.
pub(super) fn name(run: &Run) -> String {
    run.scheduled_for
        .clone()
        .unwrap_or_else(|| run.created_at.format("by-hand-%Y-%m-%dT%H:%M:%S").to_string())
}

fn text(run: &Run, counts: &Counts, failed: &[Failed]) -> String {
    let mut text = String::new();
    let time = |at| in_tokyo(at).format("%Y-%m-%d %H:%M:%S").to_string();
    let state = match run.state {
        State::Complete => "complete",
        State::CompleteWithFailures => "complete with failures",
        State::Cancelled => "cancelled",
        State::Skipped => "skipped",
        State::Running => "running",
        State::Paused => "paused",
    };
    // Writing to a text cannot fail.
    let _ = writeln!(text, "Re-issue {}: {state}\n", name(run));
    let _ = writeln!(text, "Run       {}", run.id);
    let _ = writeln!(text, "Reason    {} ({})", run.reason, run.actor);
    let _ = writeln!(text, "Began     {} (Asia/Tokyo)", time(run.created_at));
    if let Some(finished_at) = run.finished_at {
        let took = finished_at - run.created_at;
        let seconds = took.num_seconds().max(0);
        let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let rate = counts.done + counts.failed;
        let _ = writeln!(
            text,
            "Ended     {} (Asia/Tokyo), after {hours}:{minutes:02}:{rest:02}, {} a second",
            time(finished_at),
            rate / seconds.max(1)
        );
    }
    if run.takeovers > 1 {
        let _ = writeln!(text, "Taken over {} times from workers that were gone", run.takeovers - 1);
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
    let _ = writeln!(text, "\nWhat failed, and what to do");
    for ((stage, code), all) in by_cause {
        let advice = dead_letters::advice(code).unwrap_or("run `hosho failed list`");
        let _ = writeln!(text, "\n{code} in {stage}: {} guarantees\n  {advice}", all.len());
        for one in all {
            let _ = writeln!(
                text,
                "  {}  {}  (hosho failed show {})",
                one.number,
                one.text,
                &one.failed_id[..8.min(one.failed_id.len())]
            );
        }
    }
    let named = i64::try_from(failed.len()).unwrap_or(i64::MAX);
    if counts.failed > named {
        let _ = writeln!(text, "\n… and {} more: hosho failed list --run {}", counts.failed - named, run.id);
    }
    text
}

/// Delivers a report: the file, then the mails. Says what went wrong; what could be delivered was.
pub async fn deliver(
    addresses: &Addresses,
    post: &MailDelivery,
    run: &Run,
    text: &str,
) -> Result<(), String> {
    let mut problems = Vec::new();
    if let Some(folder) = &addresses.folder {
        let file = folder.join(format!("{}-{}.txt", run.job, name(run).replace(':', "")));
        let (folder, text) = (folder.clone(), text.to_owned());
        let written = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, text))
        })
        .await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => problems.push(format!("the file: {error}")),
            Err(error) => problems.push(format!("the file: {error}")),
        }
    }
    for (place, to) in addresses.to.iter().enumerate() {
        let domain = post.from.address.expose().rsplit('@').next().unwrap_or_default().to_owned();
        let state = if run.state == State::Complete { "complete" } else { "look at it" };
        let letter = MailMessage {
            message_id: format!("report-{}-{place}@{domain}", run.id),
            date: run.finished_at.unwrap_or(run.created_at),
            from: post.from.clone(),
            to: to.as_str().into(),
            subject: format!("hosho re-issue {}: {state}", name(run)),
            text: text.to_owned(),
            html: format!(
                "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"></head><body><pre>{}</pre></body></html>",
                escaped(text)
            ),
            attachments: Vec::new(),
            trace_id: None,
        };
        if let Err(error) = post.mailer.send(&letter).await {
            problems.push(format!("the mail to entry {} of batch.report_to: {}", place + 1, chain(&error)));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

//! `hosho batch`

use std::{path::Path, process::ExitCode};

use hosho_schema::{models::run_item::Failed, queries::run_selection::Selection};
use indicatif::ProgressBar;
use tokio_util::sync::CancellationToken;

use super::{
    Error, exit_code, output, print, print_beside, print_table, print_text, printable, progress_bar,
    selection::{AuditArgs, DatabaseArgs, PageArgs, beginning, open_database, print_page, short},
    text::{counted, cut, options, shown, stacked, table},
};
use crate::{
    audit::Operation,
    config::Config,
    jobs::run::Order,
    operations::{
        broker,
        identifier::{Kind, complete},
        runs::{self, Action, RunProgress, Runs},
    },
    worker,
};

/// List, start, pause and cancel runs that re-issue guarantees
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho batch list
  hosho batch show 3f9c01aa
  hosho batch start --reason \"the night was missed\"
  hosho batch pause 3f9c01aa --reason \"the relay is slow\"
  hosho failed list --run 3f9c01aa    the failed messages of a run

Workers drive a run: `hosho work` must run somewhere, or --out names a folder
of `hosho process`. RUN may be the first characters.")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Sub,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// The latest runs
    List {
        #[command(flatten)]
        page: PageArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// One run: its progress, its driver and its first failures
    Show {
        /// The run
        #[arg(value_name = "RUN", value_parser = beginning)]
        run: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Let every pending change take effect now
    Start {
        #[command(flatten)]
        run: RunArgs,
        #[command(flatten)]
        audit: AuditArgs,
    },
    /// Pause a run; queued guarantees are still processed
    Pause(ActionArgs),
    /// Resume a paused run
    Resume(ActionArgs),
    /// Cancel a run; queued guarantees are still processed
    Cancel(ActionArgs),
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct RunArgs {
    /// Guarantees a second at most; batch.rate when left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// Start it without waiting for its end
    #[arg(long)]
    detach: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ActionArgs {
    /// The run
    #[arg(value_name = "RUN", value_parser = beginning)]
    run: String,
    #[command(flatten)]
    audit: AuditArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Characters of a selection that are shown.
const LONGEST: usize = 200;

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let db = open_database(&config).await?;
    let runs = Runs::new(db.clone(), &config)?;
    let (action, args) = match args.command {
        Sub::List { page, json } => {
            return output(json, &runs.list(page.request()).await?, |runs| {
                print_page(runs, "No runs.", print_list);
            });
        }
        Sub::Show { run, json } => {
            let id = complete(&db, Kind::Run, &run).await?;
            print_run(&runs, &id, json).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Sub::Start { run, audit } => {
            let operation = audit.operation("batch.start")?;
            let out = args.database.out.as_deref();
            return begin(&runs, Selection::Pending, operation, audit.dry_run, &run, out, &config).await;
        }
        Sub::Pause(args) => (Action::Pause, args),
        Sub::Resume(args) => (Action::Resume, args),
        Sub::Cancel(args) => (Action::Cancel, args),
    };
    let operation = args.audit.operation(action.audited_as())?;
    let id = complete(&db, Kind::Run, &args.run).await?;
    runs.set_state(operation, &id, action, args.audit.dry_run).await?;
    print_run(&runs, &id, args.json).await?;
    if args.audit.dry_run && !args.json {
        print(format!("Dry run of {}: nothing was changed.", action.verb()));
    }
    Ok(ExitCode::SUCCESS)
}

fn print_list(runs: &[RunProgress]) {
    let mut rows = table(["run", "scheduled", "began", "state", "reason"]);
    for run in runs {
        rows.add_row([
            short(&run.run).to_owned(),
            run.scheduled_for.map_or_else(|| "manually".to_owned(), |at| stacked(Some(at))),
            stacked(Some(run.created_at)),
            format!(
                "{}\n{} of {} done\n{} failed\n{} a second",
                run.state.replace('_', " "),
                run.done,
                run.total,
                run.failed,
                run.pace
            ),
            printable(run.note.as_ref().unwrap_or(&run.reason)),
        ]);
    }
    print_table(rows);
    print("Times are JST.");
}

/// Begins a run and waits for its end, unless it is a dry run or detached.
pub(super) async fn begin(
    runs: &Runs,
    selection: Selection,
    operation: Operation,
    dry_run: bool,
    args: &RunArgs,
    out: Option<&Path>,
    config: &Config,
) -> Result<ExitCode, Error> {
    if dry_run {
        let count = runs.count(&selection, operation.at).await?;
        return output(args.json, &serde_json::json!({ "guarantees": count }), |_| {
            print(format!("{}. Nothing was changed.", counted(count, "guarantee")));
        });
    }
    broker::require(out, config)?;
    let order = Order { selection, rate: args.rate.unwrap_or(config.batch.rate), slot: None };
    if let Some(out) = out {
        let bar = progress_bar(0, "guarantees");
        let moving = bar.clone();
        let progress = move |progress: &RunProgress| set_position(&moving, progress);
        let run = runs.drive(out, &operation, &order, config, progress).await;
        bar.finish_and_clear();
        let Some(run) = run? else { return nothing_to_do(args.json) };
        return end(runs, &run.id, args).await;
    }
    let Some(run) = runs.begin(&operation, &order).await? else { return nothing_to_do(args.json) };
    if args.detach {
        return output(args.json, &serde_json::json!({ "run": run.id }), |_| {
            let id = &run.id;
            print_text(format!("run {id} has begun; `hosho batch show {}` shows its progress", short(id)));
        });
    }
    follow(runs, &run.id, args, worker::stop_on_signal().map_err(Error::unavailable)?).await
}

/// As a run, without an identifier.
fn nothing_to_do(json: bool) -> Result<ExitCode, Error> {
    let nothing = serde_json::json!({ "run": null, "total": 0, "done": 0, "failed": 0 });
    output(json, &nothing, |_| print("There is nothing to do."))
}

/// Watches a run that workers drive. An interrupt ends the watching, not the run.
async fn follow(runs: &Runs, id: &str, args: &RunArgs, stop: CancellationToken) -> Result<ExitCode, Error> {
    let bar = progress_bar(0, "guarantees");
    loop {
        let progress = runs.show(id).await?.progress;
        set_position(&bar, &progress);
        if progress.is_halted() {
            break;
        }
        tokio::select! {
            () = stop.cancelled() => {
                bar.finish_and_clear();
                print_text(format!("The run continues; `hosho batch show {}` shows its progress", short(id)));
                return Ok(ExitCode::SUCCESS);
            }
            () = tokio::time::sleep(runs::POLL) => {}
        }
    }
    bar.finish_and_clear();
    end(runs, id, args).await
}

fn set_position(bar: &ProgressBar, progress: &RunProgress) {
    bar.set_length(progress.total.try_into().unwrap_or_default());
    bar.set_position((progress.done + progress.failed).try_into().unwrap_or_default());
}

async fn end(runs: &Runs, id: &str, args: &RunArgs) -> Result<ExitCode, Error> {
    let progress = print_run(runs, id, args.json).await?;
    Ok(exit_code(!progress.is_complete()))
}

async fn print_run(runs: &Runs, id: &str, json: bool) -> Result<RunProgress, Error> {
    let run = runs.show(id).await?;
    output(json, &run, |run| print_progress(&run.progress, &run.failures))?;
    Ok(run.progress)
}

fn print_progress(run: &RunProgress, failed: &[Failed]) {
    let origin = run
        .scheduled_for
        .map_or_else(|| ", started manually".to_owned(), |at| format!(" scheduled for {}", shown(at)));
    let line = |label: &str, text: String| print_beside(&format!("  {label:<11}"), text);
    print_text(format!("run {}  {}{origin}: {}", run.run, run.job, run.state.replace('_', " ")));
    print_text(format!("  {} ({})", printable(&run.reason), printable(&run.actor)));
    line("began", shown(run.created_at));
    if let Some(finished_at) = run.finished_at {
        line("ended", shown(finished_at));
    }
    line("selection", cut(&printable(&options(&run.selection)), LONGEST));
    line("total", format!("{}, selected {}, in progress {}", run.total, run.selected, run.queued));
    line(
        "done",
        format!(
            "{} ({} re-issued, {} drawn again, {} with nothing to do)",
            run.done, run.reissued, run.redrawn, run.unchanged
        ),
    );
    line("failed", run.failed.to_string());
    let left = run
        .left_seconds
        .map(|left| format!(", about {}:{:02}:{:02} left", left / 3_600, left / 60 % 60, left % 60));
    line("pace", format!("{} a second, at most {}{}", run.pace, run.rate, left.unwrap_or_default()));
    line("checkpoint", if run.checkpoint.is_empty() { "-".to_owned() } else { run.checkpoint.clone() });
    let driver = run.driver.as_deref().map_or_else(|| "-".to_owned(), printable);
    line("driver", format!("{driver}, taken over {}", counted(run.takeovers, "time")));
    if let Some(note) = &run.note {
        line("note", printable(note));
    }
    if failed.is_empty() {
        return;
    }
    let mut rows = table(["number", "stage", "code", "message", "text"]);
    for one in failed {
        rows.add_row([
            one.number.clone(),
            one.stage.clone(),
            one.code.clone(),
            short(&one.failed_id).to_owned(),
            printable(&one.text),
        ]);
    }
    print_table(rows);
    let more = usize::try_from(run.failed).unwrap_or(0).saturating_sub(failed.len());
    if more > 0 {
        print_text(format!("… and {more} more: `hosho failed list --run {}`", short(&run.run)));
    }
}

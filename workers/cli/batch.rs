//! `hosho batch`: runs of the nightly batch and those started by hand.

use std::{path::Path, process::ExitCode, time::Duration};

use chrono::NaiveDateTime;
use hosho_schema::{
    db::{Connection, DbError},
    models::{
        audit,
        job_run::{self, Begun, Run, State},
        run_item::{self, Counts, Failed},
    },
    queries::run_selection::Selection,
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{
    Error,
    embedded::Embedded,
    moment::shown,
    print, print_json, printable, process,
    selection::{AuditArgs, Database, DatabaseArgs, Page, beginning, complete_run, short},
    shared, table,
    wording::counted,
    work,
};
use crate::{
    audit::Operation,
    broker::Lane,
    config::Config,
    jobs::run::{self, Order},
};

/// Look at runs of the nightly batch and those by hand, start, hold and end them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho batch list
  hosho batch show 3f9c01aa
  hosho batch start --reason \"the night was missed\"     what waits takes effect now
  hosho batch pause 3f9c01aa --reason \"the relay is slow\"
  hosho failed list --run 3f9c01aa                      what failed in it

Workers drive a run: `hosho work` must run somewhere, or --out names a folder of `hosho process`. RUN may be the first characters.")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Sub,
    #[command(flatten)]
    place: DatabaseArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// The latest runs
    List {
        #[command(flatten)]
        page: Page,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// One run: how far it is, who drives it, what failed
    Show {
        /// The run
        #[arg(value_name = "RUN", value_parser = beginning)]
        run: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Let everything that waits take effect now, as the night would
    Start(StartArgs),
    /// Hold a run back; what is queued is still worked off
    Pause(SteerArgs),
    /// Let a run that was paused go on
    Resume(SteerArgs),
    /// End a run; what is queued is still worked off, the rest waits for the next
    Cancel(SteerArgs),
}

#[derive(Debug, clap::Args)]
struct StartArgs {
    #[command(flatten)]
    how: RunArgs,
    #[command(flatten)]
    who: AuditArgs,
}

/// How a run is made.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RunArgs {
    /// Guarantees a second at most; batch.rate when left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// Start it, and do not wait for its end
    #[arg(long)]
    detach: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct SteerArgs {
    /// The run
    #[arg(value_name = "RUN", value_parser = beginning)]
    run: String,
    #[command(flatten)]
    who: AuditArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Error> {
        self.place.overrides()
    }
}

/// A run as operators see it.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    run: String,
    job: String,
    /// The slot of the schedule.
    scheduled_for: Option<String>,
    pub(super) state: &'static str,
    selection: serde_json::Value,
    reason: String,
    actor: String,
    total: i64,
    selected: i64,
    queued: i64,
    done: i64,
    failed: i64,
    reissued: i64,
    redrawn: i64,
    unchanged: i64,
    /// Guarantees a second at most.
    rate: i64,
    /// Guarantees a second so far.
    pace: f64,
    /// Seconds left at that pace.
    left_seconds: Option<i64>,
    checkpoint: String,
    driver: Option<String>,
    takeovers: i64,
    created_at: NaiveDateTime,
    finished_at: Option<NaiveDateTime>,
    note: Option<String>,
}

impl Shown {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a pace and an estimate for people"
    )]
    fn of(run: Run, counts: &Counts, now: NaiveDateTime) -> Self {
        let settled = counts.done + counts.failed;
        let seconds =
            (run.finished_at.unwrap_or(now) - run.created_at).num_milliseconds().max(1) as f64 / 1_000.0;
        let pace = settled as f64 / seconds;
        let left = run.total.max(run.selected) - settled;
        Self {
            run: run.id,
            job: run.job,
            scheduled_for: run.scheduled_for,
            state: run.state.as_text(),
            selection: serde_json::from_str(&run.selection).unwrap_or_default(),
            reason: run.reason,
            actor: run.actor,
            total: run.total,
            selected: run.selected,
            queued: counts.queued,
            done: counts.done,
            failed: counts.failed,
            reissued: counts.reissued,
            redrawn: counts.redrawn,
            unchanged: counts.unchanged,
            rate: run.rate,
            pace: (pace * 10.0).round() / 10.0,
            left_seconds: (run.state == State::Running && settled > 0).then(|| (left as f64 / pace) as i64),
            checkpoint: run.checkpoint,
            driver: run.driver,
            takeovers: (run.takeovers - 1).max(0),
            created_at: run.created_at,
            finished_at: run.finished_at,
            note: run.note,
        }
    }

    fn tell(&self, failed: &[Failed]) {
        let what = self
            .scheduled_for
            .as_ref()
            .map_or_else(|| "by hand".to_owned(), |slot| format!("turn of {slot}"));
        print(format!("run {}  {} {what}: {}", self.run, self.job, self.state.replace('_', " ")));
        print(format!("  {} ({})", printable(&self.reason), printable(&self.actor)));
        print(format!("  began      {} (Asia/Tokyo)", shown(self.created_at)));
        if let Some(finished_at) = self.finished_at {
            print(format!("  ended      {}", shown(finished_at)));
        }
        print(format!("  selection  {}", printable(&self.selection.to_string())));
        print(format!("  total      {}, selected {}, under way {}", self.total, self.selected, self.queued));
        print(format!(
            "  done       {} ({} re-issued, {} drawn again, {} with nothing to do)",
            self.done, self.reissued, self.redrawn, self.unchanged
        ));
        print(format!("  failed     {}", self.failed));
        let left = self
            .left_seconds
            .map(|left| format!(", about {}:{:02}:{:02} left", left / 3_600, left / 60 % 60, left % 60));
        print(format!(
            "  pace       {} a second, at most {}{}",
            self.pace,
            self.rate,
            left.unwrap_or_default()
        ));
        print(format!("  checkpoint {}", if self.checkpoint.is_empty() { "-" } else { &self.checkpoint }));
        print(format!(
            "  driven by  {}, taken over {}",
            self.driver.as_deref().map_or_else(|| "nobody".to_owned(), printable),
            counted(self.takeovers, "time")
        ));
        if let Some(note) = &self.note {
            print(format!("  note       {}", printable(note)));
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
        print(rows);
    }
}

/// Failures shown one by one at most.
const NAMED: i64 = 20;

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let out = args.place.out.clone();
    let database = DatabaseArgs::database(&config).await?;
    match args.command {
        Sub::List { page, json } => list(&database, page, json).await,
        Sub::Show { run, json } => {
            let id = complete_run(&database, &run).await?;
            let (shown, failed) = look(&database, &id).await?;
            if json {
                print_json(&shown)?;
            } else {
                shown.tell(&failed);
            }
            Ok(ExitCode::SUCCESS)
        }
        Sub::Start(start) => {
            begin(
                Selection::Pending,
                "batch.start",
                &start.how,
                &start.who,
                &database,
                out.as_deref(),
                &config,
            )
            .await
        }
        Sub::Pause(steer) => steered(&database, steer, Action::Pause).await,
        Sub::Resume(steer) => steered(&database, steer, Action::Resume).await,
        Sub::Cancel(steer) => steered(&database, steer, Action::Cancel).await,
    }
}

async fn list(database: &Database, page: Page, json: bool) -> Result<ExitCode, Error> {
    let now = database.clock.now();
    let mut runs = database
        .ask(move |db| {
            let runs = job_run::list(db, page.probing(), page.offset())?;
            runs.into_iter()
                .map(|run| Ok(Shown::of(run.clone(), &run_item::counts(db, &run.id)?, now)))
                .collect::<Result<Vec<_>, DbError>>()
        })
        .await?;
    let more = page.trimmed(&mut runs);
    if json {
        print_json(&runs)?;
        return Ok(ExitCode::SUCCESS);
    }
    if runs.is_empty() {
        print(if page.offset() == 0 { "There was no run yet." } else { "Nothing on this page." });
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table([
        "run",
        "turn",
        "state",
        "total",
        "done",
        "failed",
        "a second",
        "began (Asia/Tokyo)",
        "reason",
    ]);
    for run in &runs {
        rows.add_row([
            short(&run.run).to_owned(),
            run.scheduled_for.clone().unwrap_or_else(|| "by hand".to_owned()),
            run.state.replace('_', " "),
            run.total.to_string(),
            run.done.to_string(),
            run.failed.to_string(),
            run.pace.to_string(),
            shown(run.created_at),
            printable(run.note.as_ref().unwrap_or(&run.reason)),
        ]);
    }
    print(rows);
    if let Some(more) = more {
        print(more);
    }
    Ok(ExitCode::SUCCESS)
}

async fn look(database: &Database, id: &str) -> Result<(Shown, Vec<Failed>), Error> {
    let (id, now) = (id.to_owned(), database.clock.now());
    let found = database
        .ask(move |db| {
            let Some(run) = job_run::by_id(db, &id)? else { return Ok::<_, DbError>(None) };
            let counts = run_item::counts(db, &id)?;
            Ok(Some((Shown::of(run, &counts, now), run_item::failed(db, &id, NAMED)?)))
        })
        .await?;
    found.ok_or_else(|| Error::conflict(anyhow::anyhow!("the run is gone")))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Pause,
    Resume,
    Cancel,
}

async fn steered(database: &Database, args: SteerArgs, wish: Action) -> Result<ExitCode, Error> {
    let (action, verb) = match wish {
        Action::Pause => ("batch.pause", "pause"),
        Action::Resume => ("batch.resume", "resume"),
        Action::Cancel => ("batch.cancel", "cancel"),
    };
    let operation = args.who.operation(&database.clock, action)?;
    let id = complete_run(database, &args.run).await?;
    if args.who.dry_run {
        let (shown, failed) = look(database, &id).await?;
        if args.json {
            print_json(&shown)?;
        } else {
            shown.tell(&failed);
            print(format!("It would be asked to {verb}. Nothing was changed."));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let of = id.clone();
    let done = database.ask(move |db| steer(db, &operation, &of, wish)).await?;
    let (shown, failed) = look(database, &id).await?;
    if args.json {
        print_json(&shown)?;
    } else {
        shown.tell(&failed);
    }
    if !done {
        return Err(Error::conflict(anyhow::anyhow!(
            "it is {}: there is nothing to {verb}",
            shown.state.replace('_', " ")
        )));
    }
    Ok(ExitCode::SUCCESS)
}

fn steer(db: &mut Connection, operation: &Operation, id: &str, wish: Action) -> Result<bool, DbError> {
    db.transaction(|db| {
        let before = job_run::by_id(db, id)?.map(|run| run.state.as_text().to_owned());
        let note = Some(operation.reason.as_str());
        let (done, after) = match wish {
            Action::Pause => (job_run::set_paused(db, id, true, note)?, State::Paused),
            Action::Resume => (job_run::set_paused(db, id, false, None)?, State::Running),
            Action::Cancel => {
                (job_run::finish(db, id, State::Cancelled, note, operation.at)?, State::Cancelled)
            }
        };
        if done {
            audit::write(db, &[operation.entry("job_run", id, before, Some(after.as_text().to_owned()))])?;
        }
        Ok(done)
    })
}

/// Begins a run and waits for its end, as asked.
pub(super) async fn begin(
    selection: Selection,
    action: &'static str,
    how: &RunArgs,
    who: &AuditArgs,
    database: &Database,
    out: Option<&Path>,
    config: &Config,
) -> Result<ExitCode, Error> {
    let operation = who.operation(&database.clock, action)?;
    let (of, cutoff) = (selection.clone(), operation.at);
    let count = database.ask(move |db| hosho_schema::queries::run_selection::count(db, &of, cutoff)).await?;
    if who.dry_run {
        if how.json {
            print_json(&serde_json::json!({ "guarantees": count }))?;
        } else {
            print(format!("{}. Nothing was changed.", counted(count, "guarantee")));
        }
        return Ok(ExitCode::SUCCESS);
    }
    shared::require(out, config)?;
    if count == 0 {
        print(if how.json { "null" } else { "There is nothing to do." });
        return Ok(ExitCode::SUCCESS);
    }
    let order = Order { selection, rate: how.rate.unwrap_or(config.batch.rate), slot: None };
    let begun = match out {
        Some(_) => None,
        None => Some(start(database, &operation, &order).await?),
    };
    match (out, begun) {
        (Some(out), _) => here(out, &operation, &order, how, config).await,
        (None, Some(run)) if how.detach => {
            print(if how.json {
                format!("{:?}", run.id)
            } else {
                format!("run {} has begun; `hosho batch show {}`", run.id, short(&run.id))
            });
            Ok(ExitCode::SUCCESS)
        }
        (None, Some(run)) => {
            let stop = CancellationToken::new();
            work::stop_on_signal(stop.clone())?;
            follow(database, &run.id, how, stop).await
        }
        (None, None) => Ok(ExitCode::SUCCESS),
    }
}

async fn start(database: &Database, operation: &Operation, order: &Order) -> Result<Run, Error> {
    let (operation, order) = (operation.clone(), order.clone());
    match database.ask(move |db| run::begin(db, &operation, &order)).await? {
        Begun::Ours(run) => Ok(*run),
        Begun::Busy(other) => {
            Err(Error::conflict(anyhow::anyhow!("the run {} is under way", short(&other.id)))
                .hint("one at a time: wait for it, or `hosho batch cancel` it"))
        }
        Begun::Taken => Err(Error::conflict(anyhow::anyhow!("another run has just ended: try again"))),
    }
}

/// Drives a run in this process, on the folder of `hosho process`.
async fn here(
    out: &Path,
    operation: &Operation,
    order: &Order,
    how: &RunArgs,
    config: &Config,
) -> Result<ExitCode, Error> {
    let mut embedded = Embedded::open(out, config).await?;
    let services = std::sync::Arc::clone(&embedded.services);
    let database = Database { pool: services.pool.clone(), clock: services.clock.clone() };
    let run = match start(&database, operation, order).await {
        Ok(run) => run,
        Err(failure) => {
            embedded.end().await;
            return Err(failure);
        }
    };
    embedded.start(config, &[Lane::Live, Lane::Bulk]);
    let mut driver = work::nightly(
        config,
        &services,
        std::sync::Arc::clone(&embedded.broker),
        embedded.stop.clone(),
        false,
    )?;
    let bar = process::bar(run.total.try_into().unwrap_or_default(), "guarantees");
    let done = {
        let (drawing, watched, id) = (bar.clone(), database.clone(), run.id.clone());
        let drawn = tokio::spawn(async move {
            loop {
                if let Ok((shown, _)) = look(&watched, &id).await {
                    drawing.set_position((shown.done + shown.failed).try_into().unwrap_or_default());
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        let done = driver.until_done(&run.id).await && !embedded.until_idle().await;
        drawn.abort();
        done
    };
    bar.finish_and_clear();
    embedded.end().await;
    if !done {
        return Err(Error::conflict(anyhow::anyhow!("interrupted; what was begun is kept"))
            .hint("`hosho batch start` or the same command goes on"));
    }
    end(&database, &run.id, how).await
}

/// Watches a run that the workers drive. Being interrupted ends the watching, not the run.
async fn follow(
    database: &Database,
    id: &str,
    how: &RunArgs,
    stop: CancellationToken,
) -> Result<ExitCode, Error> {
    let (first, _) = look(database, id).await?;
    let bar = process::bar(first.total.try_into().unwrap_or_default(), "guarantees");
    loop {
        let (shown, _) = look(database, id).await?;
        bar.set_position((shown.done + shown.failed).try_into().unwrap_or_default());
        if shown.finished_at.is_some() || shown.state == State::Paused.as_text() {
            break;
        }
        tokio::select! {
            () = stop.cancelled() => {
                bar.finish_and_clear();
                print(format!("The run goes on; `hosho batch show {}`", short(id)));
                return Ok(ExitCode::SUCCESS);
            }
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
    }
    bar.finish_and_clear();
    end(database, id, how).await
}

async fn end(database: &Database, id: &str, how: &RunArgs) -> Result<ExitCode, Error> {
    let (shown, failed) = look(database, id).await?;
    if how.json {
        print_json(&shown)?;
    } else {
        shown.tell(&failed);
    }
    Ok(ExitCode::from(u8::from(shown.state != State::Complete.as_text())))
}

//! `hosho replay …`; what begins one is `hosho failed replay` (`begin`).

mod begin;
mod drive;
mod hold;

use std::{path::Path, process::ExitCode};

use chrono::NaiveDateTime;
use clap::Subcommand;
use hosho_schema::{
    db::DbError,
    models::{
        failed_message::{self, Progress},
        replay::{self, Replay},
    },
};
use serde::Serialize;

use super::{
    Error,
    moment::{local, utc},
    print, print_json, printable,
    selection::{AuditArgs, Database, DatabaseArgs, Page, beginning, complete_replay, short},
    shared, table,
};
use crate::{config::Config, dead_letters, jobs::replay as replay_job, jobs::replay::Action};
pub(super) use begin::{BeginArgs, begin};
use drive::{drive, driven};

/// Replays of failed messages: how they stand, and hold on, go on, give up
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho replay list
  hosho replay status 5b1d2c3e
  hosho replay pause 5b1d2c3e --reason \"the mail server is being restarted\"
  hosho replay resume 5b1d2c3e --reason \"it is back\"
  hosho replay abort 5b1d2c3e --reason \"wrong group\"

`hosho failed replay` begins one.")]
pub(super) struct Args {
    #[command(flatten)]
    place: DatabaseArgs,
    /// As JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// The latest replays
    List {
        #[command(flatten)]
        page: Page,
    },
    /// How one stands, and what holds it up
    Status {
        /// Its identifier; the first characters will do
        #[arg(value_parser = beginning)]
        id: String,
    },
    /// Send nothing more for now; whoever drives it ends
    Pause(SteerArgs),
    /// Go on with one that was paused, or whose process died; drives it until it is over
    Resume(SteerArgs),
    /// End it; what is not settled can be replayed anew
    Abort(SteerArgs),
}

#[derive(Debug, clap::Args)]
struct SteerArgs {
    /// Its identifier; the first characters will do
    #[arg(value_parser = beginning)]
    id: String,
    #[command(flatten)]
    who: AuditArgs,
}

impl Args {
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Error> {
        self.place.overrides()
    }
}

#[derive(Serialize)]
struct Shown {
    id: String,
    state: &'static str,
    total: i64,
    waiting: i64,
    under_way: i64,
    resolved: i64,
    failed_again: i64,
    canary: i64,
    rate: i64,
    selection: serde_json::Value,
    reason: String,
    actor: String,
    created_at: String,
    finished_at: Option<String>,
    note: Option<String>,
    driven_by: Option<String>,
    /// What holds it up: paused stages, missing workers.
    held_up: Vec<String>,
    /// Whether a process gives signs of life that it drives it.
    #[serde(skip)]
    is_driven: bool,
}

impl Shown {
    fn of(replay: &Replay, progress: Progress, now: NaiveDateTime) -> Self {
        let is_over = replay.finished_at.is_some();
        Self {
            id: replay.id.clone(),
            state: replay.state.as_text(),
            total: replay.total,
            waiting: if is_over { 0 } else { progress.waiting },
            under_way: if is_over { 0 } else { progress.under_way },
            resolved: replay.resolved.unwrap_or(progress.resolved),
            failed_again: replay.failed_again.unwrap_or(progress.failed_again),
            canary: replay.canary,
            rate: replay.rate,
            selection: serde_json::from_str(&replay.selection).unwrap_or_default(),
            reason: replay.reason.clone(),
            actor: replay.actor.clone(),
            created_at: utc(replay.created_at),
            finished_at: replay.finished_at.map(utc),
            note: replay.note.clone(),
            driven_by: replay.driver.clone(),
            held_up: Vec::new(),
            is_driven: replay.driver.is_some() && replay.leased_until.is_some_and(|until| until >= now),
        }
    }

    fn is(&self, state: replay::State) -> bool {
        self.state == state.as_text()
    }

    fn tell(&self) {
        let counts = format!(
            "{} of {} resolved, {} failed again, {} under way, {} waiting",
            self.resolved, self.total, self.failed_again, self.under_way, self.waiting
        );
        print(format!("replay {}: {}; {counts}", self.id, self.state));
        print(format!("  by {}: {}", printable(&self.actor), printable(&self.reason)));
        if let Some(note) = &self.note {
            print(format!("  {}", printable(note)));
        }
        if let Some(driver) = &self.driven_by {
            print(format!("  driven by {}", printable(driver)));
        }
        for hold in &self.held_up {
            print(format!("  held up: {}", printable(hold)));
        }
    }
}

fn tell(shown: &Shown, json: bool) -> Result<(), Error> {
    if json {
        return print_json(shown);
    }
    shown.tell();
    Ok(())
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let (out, json) = (args.place.out.clone(), args.json);
    let database = DatabaseArgs::database(&config).await?;
    let place = Where { database: &database, out: out.as_deref() };
    match args.command {
        Sub::List { page } => list(&database, page, json).await,
        Sub::Status { id } => {
            let id = complete_replay(&database, &id).await?;
            tell(&place.look(&id).await?, json)?;
            Ok(ExitCode::SUCCESS)
        }
        Sub::Pause(args) => steer(&place, &args, Action::Pause, json).await,
        Sub::Abort(args) => steer(&place, &args, Action::Abort, json).await,
        Sub::Resume(args) => resume(&place, args, &config, json).await,
    }
}

async fn list(database: &Database, page: Page, json: bool) -> Result<ExitCode, Error> {
    let now = database.clock.now();
    let mut replays = database
        .ask(move |db| {
            let replays = replay::list(db, page.probing(), page.offset())?;
            replays
                .iter()
                .map(|replay| Ok(Shown::of(replay, failed_message::progress(db, &replay.id)?, now)))
                .collect::<Result<Vec<_>, DbError>>()
        })
        .await?;
    let more = page.trimmed(&mut replays);
    if json {
        print_json(&replays)?;
        return Ok(ExitCode::SUCCESS);
    }
    if replays.is_empty() {
        print(if page.offset() == 0 { "Nothing was replayed yet." } else { "Nothing on this page." });
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(["replay", "state", "total", "resolved", "failed again", "begun", "by", "reason"]);
    for replay in &replays {
        rows.add_row([
            short(&replay.id).to_owned(),
            replay.state.to_owned(),
            replay.total.to_string(),
            replay.resolved.to_string(),
            replay.failed_again.to_string(),
            local(&replay.created_at),
            printable(&replay.actor),
            printable(&replay.reason),
        ]);
    }
    print(rows);
    if let Some(more) = more {
        print(more);
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a replay is: its rows, and who works its messages off.
struct Where<'a> {
    database: &'a Database,
    /// The folder in which this process works them off; otherwise workers do.
    out: Option<&'a Path>,
}

impl Where<'_> {
    /// How a replay stands.
    async fn look(&self, id: &str) -> Result<Shown, Error> {
        let (id, now, has_workers) = (id.to_owned(), self.database.clock.now(), self.out.is_none());
        let found = self
            .database
            .ask(move |db| {
                let progress = failed_message::progress(db, &id)?;
                let Some(replay) = replay::by_id(db, &id)? else { return Ok::<_, DbError>(None) };
                let held_up = if has_workers && replay.finished_at.is_none() {
                    hold::look(db, &id, now)?
                } else {
                    Vec::new()
                };
                Ok(Some(Shown { held_up, ..Shown::of(&replay, progress, now) }))
            })
            .await?;
        found.ok_or_else(|| Error::conflict(anyhow::anyhow!("it is gone")))
    }
}

async fn steer(place: &Where<'_>, args: &SteerArgs, wish: Action, json: bool) -> Result<ExitCode, Error> {
    let (action, verb) = match wish {
        Action::Pause => ("replay.pause", "pause"),
        Action::Resume => ("replay.resume", "resume"),
        Action::Abort => ("replay.abort", "abort"),
    };
    let operation = args.who.operation(&place.database.clock, action)?;
    let id = complete_replay(place.database, &args.id).await?;
    let done = if args.who.dry_run {
        let now = place.look(&id).await?;
        now.is(replay::State::Running) || (wish == Action::Abort && now.is(replay::State::Paused))
    } else {
        let steered = id.clone();
        place.database.ask(move |db| replay_job::steer(db, &operation, &steered, wish)).await?
    };
    let now = place.look(&id).await?;
    tell(&now, json)?;
    if !done {
        return Err(Error::conflict(anyhow::anyhow!("it is {}: there is nothing to {verb}", now.state)));
    }
    if args.who.dry_run && !json {
        print(format!("It would be asked to {verb}. Nothing was changed."));
    }
    Ok(ExitCode::SUCCESS)
}

async fn resume(place: &Where<'_>, args: SteerArgs, config: &Config, json: bool) -> Result<ExitCode, Error> {
    let operation = args.who.operation(&place.database.clock, "replay.resume")?;
    let id = complete_replay(place.database, &args.id).await?;
    let now = place.look(&id).await?;
    if !now.is(replay::State::Paused) && !now.is(replay::State::Running) {
        tell(&now, json)?;
        return Err(
            Error::conflict(anyhow::anyhow!("it is over")).hint("`hosho failed replay` begins a new one")
        );
    }
    shared::require(place.out, config)?;
    if now.is(replay::State::Running) && now.is_driven {
        return Err(driven());
    }
    if args.who.dry_run {
        tell(&now, json)?;
        if !json {
            print("It would go on. Nothing was changed.");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (of, is_paused) = (id.clone(), now.is(replay::State::Paused));
    let done = place
        .database
        .ask(move |db| {
            if is_paused {
                replay_job::steer(db, &operation, &of, Action::Resume)
            } else {
                dead_letters::take_over(db, &operation, &of)
            }
        })
        .await?;
    if !done {
        return Err(Error::conflict(anyhow::anyhow!("somebody else steered it just now"))
            .hint("`hosho replay status` tells how it stands"));
    }
    drive(id, place, config, json).await
}

//! `hosho failed replay` and `hosho replay …`

use std::{path::Path, process::ExitCode, sync::Arc};

use clap::Subcommand;
use hosho_schema::{
    db::{DbError, Pool},
    ids,
    models::{
        failed_message::{self, Filter, OPEN, Progress, State},
        replay::{self, Replay},
    },
};
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::sync::watch;

use super::{
    Failure,
    embedded::Embedded,
    failed::utc,
    print, print_json, printable, process,
    selection::{Database, Place, Selection, Who, short, shown},
    table, work,
};
use crate::{
    assembly,
    broker::{Broker, Lane},
    clock::Clock,
    config::Config,
    failures::{self, DEFAULT_CANARY, DEFAULT_RATE, Driver, Ended, Order, Wish},
    pulse, stages,
};

/// Work failed messages off once more: a few first, then faster; it stops by itself when they fail again
///
/// The selection is frozen: nothing that fails later is in it. What went through is told by the stage that worked it off.
/// Ctrl-C leaves the replay as it is; `hosho replay resume` goes on.
#[derive(Debug, clap::Args)]
pub(super) struct BeginArgs {
    #[command(flatten)]
    selection: Selection,
    /// Messages that must all go through before any other is sent
    #[arg(long, default_value_t = DEFAULT_CANARY, value_name = "N")]
    canary: u32,
    /// Messages a second, at most
    #[arg(long, default_value_t = DEFAULT_RATE, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Also what went through already; it has no second effect
    #[arg(long)]
    force: bool,
    /// Freeze the selection and leave it to `hosho replay resume`
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    who: Who,
    /// The outcome as JSON
    #[arg(long)]
    json: bool,
}

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
    place: Place,
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// The latest replays
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// How one stands
    Status {
        /// Its identifier; the first characters will do
        id: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Send nothing more for now; whoever drives it ends
    Pause(SteerArgs),
    /// Go on with one that was paused, or whose process died; drives it until it is over
    Resume(ResumeArgs),
    /// End it; what is not settled can be replayed anew
    Abort(SteerArgs),
}

#[derive(Debug, clap::Args)]
struct SteerArgs {
    /// Its identifier; the first characters will do
    id: String,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, clap::Args)]
struct ResumeArgs {
    /// Its identifier; the first characters will do
    id: String,
    #[command(flatten)]
    who: Who,
    /// The outcome as JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        self.place.overrides()
    }
}

/// Replays shown by `list`, and looked through for the beginning of an identifier.
const LATEST: i64 = 100;

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
}

impl Shown {
    fn of(replay: &Replay, progress: Progress) -> Self {
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
        }
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
    }
}

fn tell(shown: &Shown, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(shown);
    }
    shown.tell();
    Ok(())
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Failure> {
    let out = args.place.out.clone();
    let database = Place::database(&config).await?;
    match args.command {
        Sub::List { json } => list(&database, json).await,
        Sub::Status { id, json } => {
            let id = find(&database, &id).await?;
            let shown = look(&database, &id).await?;
            tell(&shown, json)?;
            Ok(ExitCode::SUCCESS)
        }
        Sub::Pause(args) => steer(&database, &args.id, &args.who, Wish::Pause).await,
        Sub::Abort(args) => steer(&database, &args.id, &args.who, Wish::Abort).await,
        Sub::Resume(args) => resume(args, &database, out.as_deref(), config).await,
    }
}

async fn list(database: &Database, json: bool) -> Result<ExitCode, Failure> {
    let replays = database
        .ask(|db| {
            let replays = replay::list(db, LATEST)?;
            replays
                .iter()
                .map(|replay| Ok(Shown::of(replay, failed_message::progress(db, &replay.id)?)))
                .collect::<Result<Vec<_>, DbError>>()
        })
        .await?;
    if json {
        print_json(&replays)?;
        return Ok(ExitCode::SUCCESS);
    }
    if replays.is_empty() {
        print("Nothing was replayed yet.");
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
            replay.created_at.trim_end_matches('Z').parse().map_or_else(|_| replay.created_at.clone(), shown),
            printable(&replay.actor),
            printable(&replay.reason),
        ]);
    }
    print(rows);
    Ok(ExitCode::SUCCESS)
}

/// Completes the beginning of an identifier.
async fn find(database: &Database, beginning: &str) -> Result<String, Failure> {
    let replays = database.ask(|db| replay::list(db, LATEST)).await?;
    let mut found: Vec<String> = replays.into_iter().map(|replay| replay.id).filter(|id| id.starts_with(beginning)).collect();
    match (found.pop(), found.is_empty()) {
        (Some(id), true) if !beginning.is_empty() => Ok(id),
        (None, _) => Err(Failure::usage(format!("there is no replay {beginning:?}")).hint("`hosho replay list` shows them")),
        _ => Err(Failure::usage(format!("{beginning:?} is the beginning of several: give more of it"))),
    }
}

async fn look(database: &Database, id: &str) -> Result<Shown, Failure> {
    let id = id.to_owned();
    let found = database
        .ask(move |db| {
            let progress = failed_message::progress(db, &id)?;
            Ok::<_, DbError>(replay::by_id(db, &id)?.map(|replay| Shown::of(&replay, progress)))
        })
        .await?;
    found.ok_or_else(|| Failure::found(anyhow::anyhow!("it is gone")))
}

async fn steer(database: &Database, beginning: &str, who: &Who, wish: Wish) -> Result<ExitCode, Failure> {
    let (action, verb) = match wish {
        Wish::Pause => ("replay.pause", "pause"),
        Wish::Resume => ("replay.resume", "resume"),
        Wish::Abort => ("replay.abort", "abort"),
    };
    let operation = who.operation(&database.clock, action)?;
    let id = find(database, beginning).await?;
    if !who.dry_run {
        let steered = id.clone();
        let done = database.ask(move |db| failures::steer(db, &operation, &steered, wish)).await?;
        let now = look(database, &id).await?;
        now.tell();
        if !done {
            return Err(Failure::found(anyhow::anyhow!("it is {}: there is nothing to {verb}", now.state)));
        }
        return Ok(ExitCode::SUCCESS);
    }
    look(database, &id).await?.tell();
    print(format!("It would be asked to {verb}. Nothing was changed."));
    Ok(ExitCode::SUCCESS)
}

async fn resume(args: ResumeArgs, database: &Database, out: Option<&Path>, config: Config) -> Result<ExitCode, Failure> {
    let id = find(database, &args.id).await?;
    let now = look(database, &id).await?;
    if args.who.dry_run {
        now.tell();
        print("It would go on. Nothing was changed.");
        return Ok(ExitCode::SUCCESS);
    }
    if now.state == replay::State::Paused.as_text() {
        let (operation, id) = (args.who.operation(&database.clock, "replay.resume")?, id.clone());
        database.ask(move |db| failures::steer(db, &operation, &id, Wish::Resume)).await?;
    } else if now.state != replay::State::Running.as_text() {
        now.tell();
        return Err(Failure::found(anyhow::anyhow!("it is over")).hint("`hosho failed replay` begins a new one"));
    }
    drive(id, out, &config, args.json).await
}

/// `hosho failed replay`
pub(super) async fn begin(args: BeginArgs, out: Option<&Path>, database: &Database, config: &Config) -> Result<ExitCode, Failure> {
    let operation = args.who.operation(&database.clock, "failed.replay")?;
    if args.selection.is_empty() {
        return Err(Failure::usage("nothing was selected").hint("give identifiers, --group, --stage, --code, --since, --until or --text"));
    }
    let filter = args.selection.filter(database, &[]).await?;
    let (found, foreign) = count(database, filter.clone(), args.force).await?;
    if foreign > 0 && !args.json {
        print(format!("{foreign} messages are for no stage: `hosho failed edit ID --stage STAGE` says which; they are left out"));
    }
    if args.who.dry_run {
        print(format!("{found} messages would be replayed. Nothing was changed."));
        return Ok(ExitCode::SUCCESS);
    }
    if !args.detach && out.is_none() && assembly::broker(config)?.in_process() {
        return Err(Failure::usage("broker.url is memory: no worker would get the messages")
            .hint("set HOSHO__BROKER__URL=amqp://…, or name the folder of `hosho process` with --out"));
    }
    let order = Order { filter, selection: args.selection.to_json(), canary: args.canary, rate: args.rate, force: args.force };
    let frozen = database.ask(move |db| failures::begin(db, &operation, &order)).await?;
    let Some(replay) = frozen else {
        return Err(Failure::found(anyhow::anyhow!("nothing to replay: no message of this selection waits for anybody"))
            .hint("`hosho failed list --all` tells what became of them; --force sends again what went through, to no second effect"));
    };
    let begun = format!("replay {}: {} messages, the first {} alone", replay.id, replay.total, replay.canary.min(replay.total));
    if args.detach {
        let shown = look(database, &replay.id).await?;
        if args.json {
            print_json(&shown)?;
        } else {
            print(format!("{begun}\n`hosho replay resume {}` begins to send", short(&replay.id)));
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !args.json {
        print(begun);
    }
    drive(replay.id, out, config, args.json).await
}

/// How many messages would be replayed, and how many are for no stage of ours.
async fn count(database: &Database, filter: Filter, force: bool) -> Result<(i64, i64), Failure> {
    let mut states = OPEN.to_vec();
    if force {
        states.push(State::Resolved);
    }
    let counts = database.ask(move |db| failed_message::counts(db, &Filter { states, ..filter })).await?;
    let mut sums = (0, 0);
    for ((stage, _), count) in counts {
        *if stages::NAMES.contains(&stage.as_str()) { &mut sums.0 } else { &mut sums.1 } += count;
    }
    Ok(sums)
}

/// Drives a replay to its end: with the workers there are, or, on a folder of `hosho process`, by working it off here.
async fn drive(id: String, out: Option<&Path>, config: &Config, json: bool) -> Result<ExitCode, Failure> {
    let ended = match out {
        None => {
            let (ask, stop) = watch::channel(false);
            work::stop_on_signal(ask)?;
            let queue = assembly::broker(config)?;
            if queue.in_process() {
                return Err(Failure::usage("broker.url is memory: no worker would get the messages").hint("name the folder with --out"));
            }
            let ended = watched(driver(&id, assembly::pool(config)?, queue.queue(), stop)).await;
            queue.queue().close().await;
            ended
        }
        Some(out) => {
            let mut embedded = Embedded::open(out, config).await?;
            embedded.start(config, &[Lane::Live, Lane::Bulk]);
            let (pool, broker, stop) = (embedded.services.pool.clone(), Arc::clone(&embedded.broker), embedded.stop.clone());
            let ended = watched(driver(&id, pool, broker, stop)).await;
            // What follows from the messages is worked off too.
            embedded.until_idle().await;
            embedded.end().await;
            ended
        }
    };
    let database = Place::database(config).await?;
    let now = look(&database, &id).await?;
    tell(&now, json)?;
    match ended {
        Ended::Complete => Ok(ExitCode::from(u8::from(now.failed_again > 0))),
        Ended::Stopped(why) => Err(Failure::found(anyhow::anyhow!("the replay stopped by itself: {why}"))
            .hint("what was not sent is as it was; `hosho failed groups` tells what failed again")),
        Ended::ByOthers => Err(Failure::found(anyhow::anyhow!("somebody else decided: the replay is {}", now.state))),
        Ended::Driven => Err(Failure::found(anyhow::anyhow!("another process drives it"))
            .hint("if that died, try again in a few seconds; `hosho replay status` tells how it goes")),
        Ended::Interrupted => {
            Err(Failure::found(anyhow::anyhow!("interrupted; the replay goes on with `hosho replay resume {}`", short(&id))))
        }
    }
}

fn driver(id: &str, pool: Pool, broker: Arc<dyn Broker>, stop: watch::Receiver<bool>) -> Driver {
    let clock = Clock::system();
    let name = format!("{} {}", pulse::host(), std::process::id());
    let name = format!("{name} {}", short(&ids::worker(&name, std::process::id(), &clock.now().to_string())));
    Driver { pool, broker, clock, id: id.to_owned(), name, stop }
}

/// Drives with a progress bar.
async fn watched(driver: Driver) -> Ended {
    let mut bar: Option<ProgressBar> = None;
    let ended = driver
        .drive(|replay, progress| {
            let bar = bar.get_or_insert_with(|| process::bar(replay.total.cast_unsigned(), ""));
            bar.set_position((progress.resolved + progress.failed_again).cast_unsigned());
            bar.set_message(format!(
                "sent {}, resolved {}, failed again {}",
                replay.total - progress.waiting,
                progress.resolved,
                progress.failed_again
            ));
        })
        .await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    ended
}

//! `hosho stages [pause|resume]`

use std::{collections::BTreeMap, process::ExitCode};

use chrono::NaiveDateTime;
use clap::Subcommand;
use hosho_schema::{
    db::DbError,
    models::{
        failed_message::{self, Filter, OPEN},
        stage_control::{self, StageControl},
        worker::{self, Worker, WorkerStage},
    },
};
use serde::Serialize;

use super::{
    Error,
    moment::{local, utc},
    print, print_json, printable,
    selection::{AuditArgs, Database, DatabaseArgs},
    shared, table,
    wording::counted,
};
use crate::{
    app,
    broker::{Depth, RetryDelay},
    config::Config,
    dead_letters,
    fault::chain,
    jobs::recover,
    pipeline::heartbeat::{GONE_AFTER, Waiting},
    stages::NAMES,
};

/// How every stage stands: what waits, who works, what holds it up; and hold one
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho stages
  hosho stages pause dispatch --reason \"the mail server is being replaced\"
  hosho stages resume dispatch --reason \"done\"

Exit code 1 when a stage waits for something that is down, is paused, or has work and nobody to do it.")]
pub(super) struct Args {
    /// As JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Let every worker finish what it has in hand and take nothing more; holds until it is resumed, restarts included
    Pause(SetArgs),
    /// Let the workers go on
    Resume(SetArgs),
}

#[derive(Debug, clap::Args)]
struct SetArgs {
    /// The stage
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(NAMES))]
    stage: String,
    #[command(flatten)]
    who: AuditArgs,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let database = DatabaseArgs::database(&config).await?;
    match args.command {
        Some(Sub::Pause(wanted)) => steer(wanted, &database, true, args.json).await,
        Some(Sub::Resume(wanted)) => steer(wanted, &database, false, args.json).await,
        None => show(&database, &config, args.json).await,
    }
}

/// What was asked of a stage, and whether that changed, or would change, anything.
#[derive(Serialize)]
struct Set {
    stage: String,
    paused: bool,
    changed: bool,
    /// `null` when nothing was changed.
    operation: Option<String>,
}

async fn steer(wanted: SetArgs, database: &Database, paused: bool, json: bool) -> Result<ExitCode, Error> {
    let (action, outcome) = if paused { ("stage.pause", "paused") } else { ("stage.resume", "running") };
    let operation = wanted.who.operation(&database.clock, action)?;
    let (stage, id) = (wanted.stage.clone(), operation.id.clone());
    let dry_run = wanted.who.dry_run;
    let changed = database
        .ask(move |db| {
            if dry_run {
                let is_paused =
                    stage_control::all(db)?.iter().any(|control| control.stage == stage && control.paused);
                return Ok(is_paused != paused);
            }
            dead_letters::set_stage(db, &operation, &stage, paused)
        })
        .await?;
    if json {
        print_json(&Set {
            stage: wanted.stage,
            paused,
            changed,
            operation: (changed && !dry_run).then_some(id),
        })?;
    } else if dry_run {
        print(format!(
            "{} {} {outcome}. Nothing was changed.",
            wanted.stage,
            if changed { "would be" } else { "is already" }
        ));
    } else if changed {
        print(format!("{} is {outcome}; every worker obeys within seconds.", wanted.stage));
    } else {
        print(format!("{} was {outcome} already.", wanted.stage));
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct Report {
    stages: Vec<Stage>,
    /// Messages waiting for their next attempt, of all stages, by rung, as the broker tells.
    waiting: BTreeMap<&'static str, u64>,
    /// Letters not taken in yet.
    dead: Option<u64>,
    unrouted: Option<u64>,
    workers: Vec<Process>,
    /// Why the broker could not be asked.
    broker: Option<String>,
}

#[derive(Serialize)]
struct Stage {
    #[serde(rename = "stage")]
    name: &'static str,
    ready: Option<u64>,
    bulk: Option<u64>,
    unacked: i64,
    /// By rung, as the workers tell that sent them there.
    waiting: BTreeMap<&'static str, u64>,
    failed: i64,
    consumers: i64,
    per_minute: i64,
    oldest: Option<String>,
    /// Whether `oldest` could be found out.
    oldest_is_known: bool,
    #[serde(skip)]
    oldest_at: Option<NaiveDateTime>,
    circuit: Circuit,
    paused: Option<Paused>,
}

#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Circuit {
    /// No worker of the stage is there to tell.
    Unknown,
    Closed,
    Open {
        code: String,
        text: String,
        since: String,
        next_probe: Option<String>,
    },
}

#[derive(Serialize)]
struct Paused {
    reason: String,
    actor: String,
    since: String,
}

#[derive(Serialize)]
struct Process {
    host: String,
    pid: i64,
    version: String,
    started_at: String,
    seen_at: String,
    is_gone: bool,
}

/// Everything the database tells.
struct Told {
    workers: Vec<(Worker, Vec<WorkerStage>)>,
    controls: Vec<StageControl>,
    failed: BTreeMap<String, i64>,
    oldest: recover::Oldest,
}

/// Pieces of unfinished work looked at, the oldest, to find out since when each stage has had work.
const UNFINISHED: i64 = 5_000;

async fn show(database: &Database, config: &Config, json: bool) -> Result<ExitCode, Error> {
    let now = database.clock.now();
    let told = database.ask(move |db| tell_from(db, now)).await?;
    let queue = app::broker_client(config, NAMES)?;
    let depths = if queue.in_process() {
        Err(shared::IN_PROCESS.to_owned())
    } else {
        let depths = queue.broker().depths().await.map_err(|error| chain(&error));
        queue.broker().close().await;
        depths
    };
    let report = report(&told, &depths, &config.broker.prefix, now);
    let troubled = report.stages.iter().any(Stage::is_troubled) || report.broker.is_some();
    if json {
        print_json(&report)?;
    } else {
        report.tell(now);
    }
    Ok(ExitCode::from(u8::from(troubled)))
}

fn tell_from(db: &mut hosho_schema::db::Connection, now: NaiveDateTime) -> Result<Told, DbError> {
    let mut failed: BTreeMap<String, i64> = BTreeMap::new();
    for ((stage, _), count) in
        failed_message::counts(db, &Filter { states: OPEN.to_vec(), ..Filter::default() })?
    {
        *failed.entry(stage).or_default() += count;
    }
    let oldest = recover::oldest(db, now, UNFINISHED)?;
    Ok(Told { workers: worker::all(db)?, controls: stage_control::all(db)?, failed, oldest })
}

fn report(told: &Told, depths: &Result<Vec<Depth>, String>, prefix: &str, now: NaiveDateTime) -> Report {
    let ready = |name: &str| {
        let queue = format!("{prefix}{name}");
        depths.as_ref().ok()?.iter().find(|depth| depth.queue == queue).map(|depth| depth.ready)
    };
    let living: Vec<&WorkerStage> = told
        .workers
        .iter()
        .filter(|(worker, _)| worker.seen_at >= now - GONE_AFTER)
        .flat_map(|(_, stages)| stages)
        .collect();
    let stages = NAMES.iter().map(|stage| {
        let own: Vec<&&WorkerStage> = living.iter().filter(|row| row.stage == *stage).collect();
        let mut waiting: BTreeMap<&'static str, u64> = BTreeMap::new();
        // What a dead worker sent to wait waits all the same.
        for row in told.workers.iter().flat_map(|(_, stages)| stages).filter(|row| row.stage == *stage) {
            for (rung, count) in Waiting::parse(&row.waiting).at(now) {
                *waiting.entry(rung.name()).or_default() += count;
            }
        }
        let open = own.iter().filter(|row| row.open_since.is_some()).min_by_key(|row| row.open_since);
        // The oldest that the rows know of; before there are rows, what the workers took last.
        let has_work = ready(&format!("stage.{stage}")).is_some_and(|ready| ready > 0)
            || own.iter().any(|row| row.held > 0);
        let taken = own.iter().filter(|_| has_work).filter_map(|row| row.taken_from).min();
        let oldest_at = told.oldest.by_stage.get(stage).copied().or(taken);
        let waits = [ready(&format!("stage.{stage}")), ready(&format!("stage.{stage}.bulk"))];
        let oldest_is_known =
            oldest_at.is_some() || (told.oldest.is_all && waits.iter().all(|waits| *waits == Some(0)));
        Stage {
            name: stage,
            ready: ready(&format!("stage.{stage}")),
            bulk: ready(&format!("stage.{stage}.bulk")),
            unacked: own.iter().map(|row| row.held).sum(),
            waiting,
            failed: told.failed.get(*stage).copied().unwrap_or(0),
            consumers: own.iter().map(|row| row.consumers).sum(),
            per_minute: own.iter().map(|row| row.per_minute).sum(),
            oldest: oldest_at.map(utc),
            oldest_is_known,
            oldest_at,
            circuit: open.map_or(if own.is_empty() { Circuit::Unknown } else { Circuit::Closed }, |row| {
                Circuit::Open {
                    code: row.fault_code.clone().unwrap_or_default(),
                    text: row.fault_text.clone().unwrap_or_default(),
                    since: row.open_since.map(utc).unwrap_or_default(),
                    next_probe: row.next_probe.map(utc),
                }
            }),
            paused: told.controls.iter().find(|control| control.stage == *stage && control.paused).map(
                |control| Paused {
                    reason: control.reason.clone(),
                    actor: control.actor.clone(),
                    since: utc(control.changed_at),
                },
            ),
        }
    });
    Report {
        stages: stages.collect(),
        waiting: RetryDelay::ALL
            .iter()
            .filter_map(|rung| Some((rung.name(), ready(&format!("wait.{}", rung.name()))?)))
            .collect(),
        dead: ready("dead"),
        unrouted: ready("unrouted"),
        workers: told
            .workers
            .iter()
            .map(|(worker, _)| Process {
                host: worker.host.clone(),
                pid: worker.pid,
                version: worker.version.clone(),
                started_at: utc(worker.started_at),
                seen_at: utc(worker.seen_at),
                is_gone: worker.seen_at < now - GONE_AFTER,
            })
            .collect(),
        broker: depths.as_ref().err().cloned(),
    }
}

impl Stage {
    fn is_troubled(&self) -> bool {
        let idle_with_work = self.consumers == 0 && self.ready.unwrap_or(0) + self.bulk.unwrap_or(0) > 0;
        matches!(self.circuit, Circuit::Open { .. }) || self.paused.is_some() || idle_with_work
    }
}

impl Report {
    fn tell(&self, now: NaiveDateTime) {
        let number = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
        let mut rows = table([
            "stage",
            "ready",
            "unacked",
            "bulk",
            "waiting",
            "failed",
            "consumers",
            "a minute",
            "oldest",
            "circuit",
        ]);
        for stage in &self.stages {
            let waiting: Vec<String> =
                stage.waiting.iter().map(|(rung, count)| format!("{rung}:{count}")).collect();
            let circuit = match (&stage.paused, &stage.circuit) {
                (Some(_), _) => "paused".to_owned(),
                (None, Circuit::Open { code, .. }) => format!("open: {code}"),
                (None, Circuit::Closed) => "closed".to_owned(),
                (None, Circuit::Unknown) => "?".to_owned(),
            };
            rows.add_row([
                stage.name.to_owned(),
                number(stage.ready),
                stage.unacked.to_string(),
                number(stage.bulk),
                if waiting.is_empty() { "0".to_owned() } else { waiting.join(" ") },
                stage.failed.to_string(),
                stage.consumers.to_string(),
                stage.per_minute.to_string(),
                stage.oldest_at.map_or_else(
                    || if stage.oldest_is_known { "-" } else { "?" }.to_owned(),
                    |at| age(now, at),
                ),
                circuit,
            ]);
        }
        print(rows);
        for stage in &self.stages {
            if let Some(paused) = &stage.paused {
                print(format!(
                    "{} is paused since {} by {}: {}",
                    stage.name,
                    local(&paused.since),
                    printable(&paused.actor),
                    printable(&paused.reason)
                ));
            }
            if let Circuit::Open { text, since, next_probe, .. } = &stage.circuit {
                let next = next_probe
                    .as_deref()
                    .map(|at| format!("; it looks again at {}", local(at)))
                    .unwrap_or_default();
                print(format!("{} waits since {}: {}{next}", stage.name, local(since), printable(text)));
            }
            if stage.consumers == 0
                && stage.ready.unwrap_or(0) + stage.bulk.unwrap_or(0) > 0
                && stage.paused.is_none()
            {
                print(format!("{} has work and no consumer: is a worker running?", stage.name));
            }
        }
        let waiting: Vec<String> = self
            .waiting
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(rung, count)| format!("{rung}:{count}"))
            .collect();
        if !waiting.is_empty() {
            print(format!("waiting for their next attempt, all stages together: {}", waiting.join(" ")));
        }
        for (what, count) in [("dead letter", self.dead), ("unrouted message", self.unrouted)] {
            if let Some(count) = count.filter(|count| *count > 0) {
                print(format!("{} not taken in yet", counted(count, what)));
            }
        }
        if let Some(problem) = &self.broker {
            print(format!("the broker could not be asked: {}", printable(problem)));
        }
        let gone = self.workers.iter().filter(|worker| worker.is_gone).count();
        print(format!(
            "{}{}",
            counted(self.workers.len() - gone, "worker"),
            if gone > 0 { format!(", {gone} more gave no sign of life lately") } else { String::new() }
        ));
    }
}

/// How long ago, in the largest unit that fits.
fn age(now: NaiveDateTime, at: NaiveDateTime) -> String {
    let seconds = (now - at).num_seconds().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

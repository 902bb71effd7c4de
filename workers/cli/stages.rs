//! `hosho stages [pause|resume]`

use std::{collections::BTreeMap, process::ExitCode};

use chrono::{DateTime, Utc};
use clap::Subcommand;

use super::{
    Error, exit_code, output, print, print_table, print_text, printable,
    selection::{AuditArgs, open_configured},
    text::{counted, shown, table},
};
use crate::{
    clock::Clock,
    config::Config,
    db::Db,
    operations::stages::{self, Change, Circuit, Report, Stage},
    stages::NAMES,
};

/// List the state of every stage; pause or resume one
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho stages
  hosho stages pause dispatch --reason \"the mail server is being replaced\"
  hosho stages resume dispatch --reason \"done\"

Exit code 1 when the circuit of a stage is open, a stage is paused,
or messages are ready and no consumer takes them.")]
pub(super) struct Args {
    /// As JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Finish the batches in flight and take no more, until it is resumed;
    /// also after restarts
    Pause(SetArgs),
    /// Take messages again
    Resume(SetArgs),
}

#[derive(Debug, clap::Args)]
struct SetArgs {
    /// The stage
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(NAMES))]
    stage: String,
    #[command(flatten)]
    audit: AuditArgs,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let db = open_configured(&config).await?;
    match args.command {
        Some(Sub::Pause(set)) => set_paused(set, &db, true, args.json).await,
        Some(Sub::Resume(set)) => set_paused(set, &db, false, args.json).await,
        None => show(&db, &config, args.json).await,
    }
}

async fn set_paused(args: SetArgs, db: &Db, paused: bool, json: bool) -> Result<ExitCode, Error> {
    let (action, outcome) = if paused { ("stage.pause", "paused") } else { ("stage.resume", "running") };
    let operation = args.audit.operation(action)?;
    let dry_run = args.audit.dry_run;
    let change = stages::set_paused(db, operation, &args.stage, paused, dry_run).await?;
    output(json, &change, |Change { stage, changed, .. }| {
        print(match (dry_run, changed) {
            (true, true) => format!("{stage} would be {outcome}. Nothing was changed."),
            (true, false) => format!("{stage} is already {outcome}. Nothing was changed."),
            (false, true) => format!("{stage} is {outcome}; every worker applies it within seconds."),
            (false, false) => format!("{stage} was {outcome} already."),
        });
    })
}

async fn show(db: &Db, config: &Config, json: bool) -> Result<ExitCode, Error> {
    let now = Clock::system().now();
    let report = stages::report(db, config, now).await?;
    output(json, &report, |report| print_report(report, now.and_utc()))?;
    Ok(exit_code(report.has_problem()))
}

fn print_report(report: &Report, now: DateTime<Utc>) {
    let number = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    let mut rows = table([
        "stage",
        "ready\nbulk",
        "unacked\nwaiting",
        "failed",
        "consumers\na minute",
        "oldest",
        "circuit",
    ]);
    for stage in &report.stages {
        let health = &stage.health;
        let circuit = match (&health.paused, &health.circuit) {
            (Some(_), _) => "paused".to_owned(),
            (None, Circuit::Open { code, .. }) => format!("open: {code}"),
            (None, Circuit::Closed) => "closed".to_owned(),
            (None, Circuit::Unknown) => "?".to_owned(),
        };
        rows.add_row([
            health.name.to_owned(),
            format!("{}\n{}", number(stage.ready), number(stage.bulk)),
            format!("{}\n{}", health.held, delays(&stage.waiting).unwrap_or_else(|| "0".to_owned())),
            stage.failed.to_string(),
            format!("{}\n{}", health.consumers, health.per_minute),
            oldest(stage, now),
            circuit,
        ]);
    }
    print_table(rows);
    for stage in &report.stages {
        print_problems(stage);
    }
    if let Some(waiting) = delays(&report.waiting) {
        print_text(format!("waiting for their next attempt, all stages together: {waiting}"));
    }
    for (what, count) in [("dead letter", report.dead), ("unrouted message", report.unrouted)] {
        if let Some(count) = count.filter(|count| *count > 0) {
            print(format!("{} not recorded yet", counted(count, what)));
        }
    }
    if let Some(problem) = &report.broker {
        print_text(format!("the queues could not be counted: {}", printable(problem)));
    }
    let running = report.workers.iter().filter(|worker| !worker.is_gone).count();
    print(counted(running, "worker"));
    for worker in report.workers.iter().filter(|worker| worker.is_gone) {
        print_text(format!(
            "process {} on {}: no heartbeat since {}{}",
            worker.pid,
            printable(&worker.host),
            shown(worker.seen_at),
            worker.removed_at.map(|at| format!("; listed until {}", shown(at))).unwrap_or_default()
        ));
    }
}

fn print_problems(stage: &Stage) {
    let name = stage.health.name;
    if let Some(paused) = &stage.health.paused {
        print_text(format!(
            "{name} is paused since {} by {}: {}",
            shown(paused.since),
            printable(&paused.actor),
            printable(&paused.reason)
        ));
    }
    if let Circuit::Open { text, since, next_probe, .. } = &stage.health.circuit {
        let next = next_probe.map(|at| format!("; next probe at {}", shown(at))).unwrap_or_default();
        print_text(format!("{name} waits since {}: {}{next}", shown(*since), printable(text)));
    }
    if stage.lacks_consumers() && stage.health.paused.is_none() {
        print_text(format!("{name} has messages and no consumer: start `hosho work`"));
    }
}

/// The delays at which messages wait; `None` where none does.
fn delays(waiting: &BTreeMap<&'static str, u64>) -> Option<String> {
    let waiting = waiting.iter().filter(|(_, count)| **count > 0);
    let texts: Vec<String> = waiting.map(|(delay, count)| format!("{delay}:{count}")).collect();
    (!texts.is_empty()).then(|| texts.join(" "))
}

/// The age of the oldest piece of work, in the largest unit that fits.
fn oldest(stage: &Stage, now: DateTime<Utc>) -> String {
    let Some(oldest) = stage.oldest else {
        return if stage.oldest_is_known { "-" } else { "?" }.to_owned();
    };
    let seconds = (now - oldest).num_seconds().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

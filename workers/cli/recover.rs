//! `hosho recover`

use std::{collections::BTreeMap, process::ExitCode, sync::Arc};

use chrono::TimeDelta;
use hosho_schema::models::audit;

use super::{
    Error,
    moment::span,
    print, print_json,
    selection::{AuditArgs, DatabaseArgs},
    shared,
};
use crate::{
    app::{self, App},
    broker::{BrokerError, Destination, Outgoing},
    config::Config,
    jobs::recover,
};

/// Queue again what the database says was left between two stages
///
/// For queues that were lost, purged or restored from a backup. Every stage finds its own rows, so nothing is done twice; what is
/// a dead letter waits for `hosho failed` and is left out. Applications that were lost before they were validated are in no
/// database: their senders send them again. Workers do the same on a schedule (schedule.recover).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho recover --dry-run
  hosho recover --older-than 10m --reason \"hosho.stage.render was purged by mistake\"")]
pub(super) struct Args {
    /// Begun longer ago than this: 45s, 10m, 2h; schedule.recover_after_seconds when left out
    #[arg(long, value_name = "TIME")]
    older_than: Option<String>,
    #[command(flatten)]
    who: AuditArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Messages published before their confirms are awaited.
const CHUNK: usize = 1_000;

#[derive(serde::Serialize)]
struct Report {
    queued: BTreeMap<&'static str, usize>,
    left_to_failed: usize,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let after = match &args.older_than {
        None => TimeDelta::seconds(
            i64::try_from(config.schedule.recover_after_seconds).unwrap_or(i64::from(u32::MAX)),
        ),
        Some(text) => span(text).ok_or_else(|| {
            Error::invalid(format!("--older-than: {text:?} is no time")).hint("write 45s, 10m or 2h")
        })?,
    };
    let database = DatabaseArgs::database(&config).await?;
    let operation = args.who.operation(&database.clock, "recover")?;
    let queue = shared::queue(&config).map_err(|failure| {
        failure.hint(
            "`hosho process` takes up by itself what it left: run it again on the same --out; workers: set HOSHO__BROKER__URL=amqp://…",
        )
    })?;
    let services = Arc::new(App::open(&config, tokio_util::sync::CancellationToken::new())?);
    let from = Arc::clone(&services);
    let found =
        tokio::task::spawn_blocking(move || recover::all(&from, after)).await.map_err(Error::unavailable)?;
    let (messages, left_to_failed) =
        found.map_err(|fault| Error::unavailable(anyhow::anyhow!(fault.to_string())))?;
    let report = Report { queued: by_stage(&messages), left_to_failed };
    if !args.who.dry_run && !messages.is_empty() {
        let summary = serde_json::to_string(&report).map_err(Error::unavailable)?;
        database
            .ask(move |db| audit::write(db, &[operation.entry("pipeline", "recover", None, Some(summary))]))
            .await?;
        let published = publish(&queue, messages).await;
        queue.broker().close().await;
        published
            .map_err(|error| Error::unavailable(error).hint("what was queued does no harm; run it again"))?;
    }
    if args.json {
        print_json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (stage, count) in &report.queued {
        print(format!("{count:>8}  {stage}"));
    }
    let verb = if args.who.dry_run { "would be queued again; nothing was changed" } else { "queued again" };
    print(format!("{} pieces of work {verb}.", report.queued.values().sum::<usize>()));
    if left_to_failed > 0 {
        print(format!("{left_to_failed} more are dead letters: `hosho failed groups`"));
    }
    Ok(ExitCode::SUCCESS)
}

fn by_stage(messages: &[Outgoing]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for message in messages {
        if let Destination::Stage(stage, _) = message.destination {
            *counts.entry(stage).or_default() += 1;
        }
    }
    counts
}

async fn publish(queue: &app::BrokerClient, messages: Vec<Outgoing>) -> Result<(), BrokerError> {
    let mut publisher = queue.broker().publisher().await?;
    for chunk in messages.chunks(CHUNK) {
        publisher.publish(chunk.to_vec()).await?;
    }
    Ok(())
}

//! `hosho recover`

use std::process::ExitCode;

use super::{
    Error, output, print, print_text,
    selection::{AuditArgs, open_configured},
};
use crate::{
    config::Config,
    operations::{broker, recover, time},
};

/// Queue the unfinished work in the database again
///
/// For queues that were lost, purged or restored from a backup. Every stage finds its own rows, so that
/// nothing is done twice. Dead letters are left out: see `hosho failed`. Applications that were lost before
/// they were validated are in no database: their senders send them again. Workers do the same on a schedule
/// (schedule.recover).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho recover --dry-run
  hosho recover --older-than 10m --reason \"hosho.stage.render was purged\"")]
pub(super) struct Args {
    /// Begun longer ago than this: 45s, 10m, 2h;
    /// by default schedule.recover_after_seconds
    #[arg(long, value_name = "TIME")]
    older_than: Option<String>,
    #[command(flatten)]
    audit: AuditArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let span = |text: &String| {
        time::parse_span(text).ok_or_else(|| {
            Error::invalid(format!("--older-than: {text:?} is not a span of time"))
                .hint("write 45s, 10m or 2h")
        })
    };
    let after = args.older_than.as_ref().map(span).transpose()?;
    let db = open_configured(&config).await?;
    let operation = args.audit.operation("recover")?;
    let client = broker::shared(&config).map_err(|error| {
        error.hint(
            "run `hosho process` again on the same --out: it resumes automatically; for workers, set \
             HOSHO__BROKER__URL=amqp://…",
        )
    })?;
    let found = recover::find(&db, &config, after).await?;
    let report = if args.audit.dry_run { found.report } else { found.queue(&db, operation, &client).await? };
    let verb = if args.audit.dry_run { "would be queued again; nothing was changed" } else { "queued again" };
    output(args.json, &report, |report| {
        for (stage, count) in &report.queued {
            print(format!("{count:>8}  {stage}"));
        }
        print(format!("{} pieces of work {verb}.", report.queued.values().sum::<usize>()));
        if report.left_to_failed > 0 {
            print_text(format!("{} more are dead letters: `hosho failed groups`", report.left_to_failed));
        }
    })
}

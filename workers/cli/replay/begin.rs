//! `hosho failed replay`

use std::{path::Path, process::ExitCode};

use super::{
    super::{
        Error,
        failed::print_left_out,
        output, print_json, print_text,
        selection::{AuditArgs, SelectionArgs, filter, short},
        text::counted,
    },
    Context, drive,
};
use crate::{
    config::Config,
    db::Db,
    jobs::replay::{DEFAULT_CANARY, DEFAULT_RATE, Order},
    operations::{broker, dead_letters::Selection, replays},
};

/// Replay failed messages: a few first, then faster; stops when they fail again
///
/// The selection is frozen: later failures are not part of it. The stage that processes a message marks it
/// resolved. Ctrl-C interrupts the replay; `hosho replay resume` continues it.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BeginArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Messages that must all be resolved before any other is sent
    #[arg(long, default_value_t = DEFAULT_CANARY, value_name = "N")]
    canary: u32,
    /// Messages a second, at most
    #[arg(long, default_value_t = DEFAULT_RATE, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Also resolved messages, without a second effect
    #[arg(long)]
    force: bool,
    /// Freeze the selection; `hosho replay resume` sends it
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    audit: AuditArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn begin(
    args: BeginArgs,
    out: Option<&Path>,
    db: &Db,
    config: &Config,
) -> Result<ExitCode, Error> {
    let operation = args.audit.operation("failed.replay")?;
    let selection = Selection::from(args.selection);
    selection.require()?;
    let record = selection.to_json();
    let filter = filter(selection, db, &[]).await?;
    let plan = replays::plan(db, filter.clone(), args.force).await?;
    if args.audit.dry_run && args.json {
        print_json(&plan)?;
        return Ok(ExitCode::SUCCESS);
    }
    if plan.for_no_stage > 0 && !args.json {
        let (are, they) = if plan.for_no_stage == 1 { ("is", "it is") } else { ("are", "they are") };
        print_text(format!(
            "{} {are} for no stage: {they} left out; `hosho failed edit ID --stage STAGE` sets the stage",
            counted(plan.for_no_stage, "message")
        ));
    }
    print_left_out(&plan.left_out);
    if args.audit.dry_run {
        print_text(format!("{} would be replayed. Nothing was changed.", counted(plan.messages, "message")));
        return Ok(ExitCode::SUCCESS);
    }
    if !args.detach {
        broker::require(out, config)?;
    }
    let order = Order { filter, selection: record, canary: args.canary, rate: args.rate, force: args.force };
    let replay = replays::begin(db, operation, order).await?;
    let first = replay.canary.min(replay.total);
    let canary =
        if first > 0 && first < replay.total { format!(", the first {first} alone") } else { String::new() };
    let begun = format!("replay {}: {}{canary}", replay.id, counted(replay.total, "message"));
    let context = Context { db, out };
    if args.detach {
        return output(args.json, &context.show(&replay.id).await?, |replay| {
            print_text(format!(
                "{begun}\n`hosho replay resume {} --reason …` begins to send",
                short(&replay.id)
            ));
        });
    }
    if !args.json {
        print_text(begun);
    }
    drive(replay.id, &context, config, args.json).await
}

//! `hosho failed replay`

use std::{path::Path, process::ExitCode};

use hosho_schema::{
    db::DbError,
    models::failed_message::{self, Filter, OPEN, State},
};

use super::{
    super::{
        Error,
        failed::{Kept, tell_left},
        print, print_json,
        selection::{AuditArgs, Database, Selection, short},
        shared,
        wording::counted,
    },
    Where, drive,
};
use crate::{
    config::Config,
    dead_letters::{self, Left},
    jobs::replay as replay_job,
    jobs::replay::{DEFAULT_CANARY, DEFAULT_RATE, Order},
    stages,
};

/// Work failed messages off once more: a few first, then faster; it stops by itself when they fail again
///
/// The selection is frozen: nothing that fails later is in it. What went through is told by the stage that worked it off.
/// Ctrl-C leaves the replay as it is; `hosho replay resume` goes on.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BeginArgs {
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
    who: AuditArgs,
    /// The outcome as JSON
    #[arg(long)]
    json: bool,
}

/// `hosho failed replay`
pub(in crate::cli) async fn begin(
    args: BeginArgs,
    out: Option<&Path>,
    database: &Database,
    config: &Config,
) -> Result<ExitCode, Error> {
    let operation = args.who.operation(&database.clock, "failed.replay")?;
    args.selection.require()?;
    let filter = args.selection.filter(database, &[]).await?;
    let Counted { found, foreign, left } = count(database, filter.clone(), args.force).await?;
    if args.who.dry_run && args.json {
        let left_out: Vec<Kept> = left.iter().map(Kept::of).collect();
        print_json(&serde_json::json!({ "messages": found, "for_no_stage": foreign, "left_out": left_out }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if foreign > 0 && !args.json {
        let (are, they) = if foreign == 1 { ("is", "it is") } else { ("are", "they are") };
        print(format!(
            "{} {are} for no stage: `hosho failed edit ID --stage STAGE` says which; {they} left out",
            counted(foreign, "message")
        ));
    }
    tell_left(&left);
    if args.who.dry_run {
        print(format!("{} would be replayed. Nothing was changed.", counted(found, "message")));
        return Ok(ExitCode::SUCCESS);
    }
    if !args.detach {
        shared::require(out, config)?;
    }
    let order = Order {
        filter,
        selection: args.selection.to_json(),
        canary: args.canary,
        rate: args.rate,
        force: args.force,
    };
    let frozen = database.ask(move |db| replay_job::begin(db, &operation, &order)).await?;
    let Some(replay) = frozen else {
        return Err(Error::conflict(anyhow::anyhow!("nothing to replay: no message of this selection waits for anybody"))
            .hint("`hosho failed list --all` tells what became of them; --force sends again what went through, to no second effect"));
    };
    let first = replay.canary.min(replay.total);
    let alone =
        if first > 0 && first < replay.total { format!(", the first {first} alone") } else { String::new() };
    let begun = format!("replay {}: {}{alone}", replay.id, counted(replay.total, "message"));
    let place = Where { database, out };
    if args.detach {
        let shown = place.look(&replay.id).await?;
        if args.json {
            print_json(&shown)?;
        } else {
            print(format!("{begun}\n`hosho replay resume {} --reason …` begins to send", short(&replay.id)));
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !args.json {
        print(begun);
    }
    drive(replay.id, &place, config, args.json).await
}

/// What a selection comes to.
struct Counted {
    found: i64,
    /// Messages for no stage of ours.
    foreign: i64,
    /// Messages that were named, and are in no state to be replayed.
    left: Vec<Left>,
}

async fn count(database: &Database, filter: Filter, force: bool) -> Result<Counted, Error> {
    let mut states = OPEN.to_vec();
    if force {
        states.push(State::Resolved);
    }
    let filter = Filter { states, free: true, ..filter };
    let (counts, left) = database
        .ask(move |db| {
            let counts = failed_message::counts(db, &filter)?;
            let named = !filter.ids.is_empty();
            let found = if named { failed_message::select(db, &filter)? } else { Vec::new() };
            Ok::<_, DbError>((counts, dead_letters::left_out(db, &filter, &filter.states, &found)?))
        })
        .await?;
    let (mut found, mut foreign) = (0, 0);
    for ((stage, _), count) in counts {
        *if stages::NAMES.contains(&stage.as_str()) { &mut found } else { &mut foreign } += count;
    }
    Ok(Counted { found, foreign, left })
}

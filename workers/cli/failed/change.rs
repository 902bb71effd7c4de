//! `hosho failed discard|restore|note`

use std::process::ExitCode;

use super::super::{
    Error, exit_code, output, print_text, remark,
    selection::{AuditArgs, SelectionArgs, beginning, filter, short},
    text::counted,
};
use crate::{
    db::Db,
    dead_letters::{LeftOut, LeftOutReason},
    operations::dead_letters::{self, Direction, Noted, Selection},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    audit: AuditArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Write a note about a cause, which `groups` and `show` print
#[derive(Debug, clap::Args)]
pub(super) struct NoteArgs {
    /// The group, or its beginning
    #[arg(value_parser = beginning)]
    group: String,
    /// The note
    text: String,
    #[command(flatten)]
    audit: AuditArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn change(
    Args { selection, audit, json }: Args,
    db: &Db,
    direction: Direction,
) -> Result<ExitCode, Error> {
    let operation = audit.operation(direction.action())?;
    let selection = Selection::from(selection);
    selection.require()?;
    let filter = filter(selection, db, direction.from()).await?;
    let changed = dead_letters::change(db, operation, direction, filter, audit.dry_run).await?;
    let count = changed.messages.len();
    output(json, &changed, |changed| {
        let verb = match direction {
            Direction::Discard => "discard",
            Direction::Restore => "restore",
        };
        let outcome = match &changed.operation {
            Some(id) => format!("Operation {id}"),
            None => "Nothing was changed.".to_owned(),
        };
        print_text(format!("{}: {verb}. {outcome}", counted(count, "message")));
        print_left_out(&changed.left_out);
    })?;
    Ok(exit_code(count == 0 && !audit.dry_run))
}

/// Messages left out that are named for each reason.
const NAMED: usize = 10;

pub(in crate::cli) fn print_left_out(left_out: &[LeftOut]) {
    let mut reasons: Vec<LeftOutReason> = Vec::new();
    for one in left_out {
        if !reasons.contains(&one.why) {
            reasons.push(one.why);
        }
    }
    for why in reasons {
        let ids: Vec<&str> = left_out.iter().filter(|one| one.why == why).map(|one| short(&one.id)).collect();
        let more = if ids.len() > NAMED { " …" } else { "" };
        let named = ids.iter().take(NAMED).copied().collect::<Vec<_>>().join(" ");
        remark(format!("{} left out, {why}: {named}{more}", counted(ids.len(), "message")));
    }
}

pub(super) async fn note(args: NoteArgs, db: &Db) -> Result<ExitCode, Error> {
    let text = args.text.trim().to_owned();
    // The note is its own reason.
    let operation = args.audit.operation_or("failed.note", &text)?;
    if text.is_empty() {
        return Err(Error::invalid("the note is empty"));
    }
    let dry_run = args.audit.dry_run;
    let noted = dead_letters::note(db, operation, &args.group, text, dry_run).await?;
    output(args.json, &noted, |Noted { group, .. }| {
        print_text(if dry_run {
            format!("The group {group} would get this note. Nothing was changed.")
        } else {
            format!("Note written about the group {group}.")
        });
    })
}

//! `hosho failed edit`

use std::{io::Write as _, path::Path, process::ExitCode};

use serde_json::Value;

use super::super::{
    Failure, harmless_json, print, print_json, printable,
    selection::{Database, Who, complete_one, short},
};
use crate::failures::{self, Change, EditError, Edits, OperationError, assignment, diff, masked_path, masked_text};

/// Mend the payload of a failed message; then replay it
///
/// Opens the payload in $VISUAL or $EDITOR, or sets single values. The result must be what its stage takes. It becomes a new
/// message, with an id of its own, in the place of the old one, which is kept.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its identifier; the first characters will do
    id: String,
    /// Set a value, such as works.contract_price=38500000 or products[0].amount=100; JSON, or else text
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Take a field or an item away
    #[arg(long, value_name = "PATH")]
    unset: Vec<String>,
    /// For this stage instead of the one that gave up: for messages that no queue wanted
    #[arg(long, value_name = "STAGE", value_parser = clap::builder::PossibleValuesParser::new(crate::stages::NAMES))]
    stage: Option<String>,
    #[command(flatten)]
    who: Who,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What was changed, or would be; personal data masked.
#[derive(serde::Serialize)]
struct Edited {
    message: Option<String>,
    changes: Vec<Shown>,
}

#[derive(serde::Serialize)]
struct Shown {
    path: String,
    before: Value,
    after: Value,
}

pub(super) async fn run(args: Args, database: &Database) -> Result<ExitCode, Failure> {
    let operation = args.who.operation(&database.clock, "failed.edit")?;
    let id = complete_one(database, &args.id).await?;
    let row = super::read(database, vec![id]).await?.pop().ok_or_else(|| Failure::found(anyhow::anyhow!("it is gone")))?;
    let stage = args.stage.clone().unwrap_or_else(|| row.stage.clone());
    let payload = if args.set.is_empty() && args.unset.is_empty() && args.stage.is_none() {
        in_editor(&row.payload)?
    } else if args.set.is_empty() && args.unset.is_empty() {
        row.payload.clone()
    } else {
        let set = args.set.iter().map(|text| assignment(text)).collect::<Result<_, _>>().map_err(refused)?;
        Edits { set, unset: args.unset.clone() }.apply(&row.payload).map_err(refused)?
    };
    let changes = diff(&row.payload, &payload);
    let message =
        if args.who.dry_run { None } else { Some(database.ask(move |db| failures::edit(db, &operation, &row, &stage, payload)).await?.id) };
    if args.json {
        let shown = |change: &Change| Shown {
            path: masked_path(&change.path),
            before: masked_text(&change.path, &change.before),
            after: masked_text(&change.path, &change.after),
        };
        print_json(&Edited { message, changes: changes.iter().map(shown).collect() })?;
        return Ok(ExitCode::SUCCESS);
    }
    tell(&changes);
    print(message.map_or_else(
        || "Nothing was changed.".to_owned(),
        |id| format!("The message is now {id}: `hosho failed replay {} --reason …`", short(&id)),
    ));
    Ok(ExitCode::SUCCESS)
}

impl From<OperationError> for Failure {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Database(error) => error.into(),
            OperationError::Edit(error) => refused(error),
            error @ OperationError::State { .. } => Self::found(error).hint("`hosho failed show` tells what became of it"),
        }
    }
}

fn refused(error: EditError) -> Failure {
    match error {
        EditError::Assignment(_) | EditError::Path { .. } => Failure::usage(error.to_string()),
        error => Failure::found(error).hint("nothing was changed"),
    }
}

fn tell(changes: &[Change]) {
    for change in changes {
        let side = |value: &Value| harmless_json(&masked_text(&change.path, value).to_string());
        print(format!("  {}: {} → {}", printable(&masked_path(&change.path)), side(&change.before), side(&change.after)));
    }
}

/// Lets the operator edit a payload: JSON is laid out for reading. The file is only theirs, and gone afterwards.
fn in_editor(payload: &[u8]) -> Result<Vec<u8>, Failure> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let Some(editor) = variable("VISUAL").or_else(|| variable("EDITOR")) else {
        return Err(Failure::usage("neither $VISUAL nor $EDITOR is set").hint("set one, or give --set PATH=VALUE"));
    };
    let unusable = |error: std::io::Error| Failure::unavailable(anyhow::Error::new(error).context("cannot make a file to edit"));
    let mut file = tempfile::Builder::new().prefix("hosho-edit-").suffix(".json").tempfile().map_err(unusable)?;
    let laid_out = serde_json::from_slice::<Value>(payload).map(|value| format!("{value:#}\n").into_bytes());
    let shown = laid_out.unwrap_or_else(|_| payload.to_vec());
    file.write_all(&shown).and_then(|()| file.flush()).map_err(unusable)?;
    let edited = edit_file(&editor, file.path())?;
    if edited == shown {
        return Err(refused(EditError::Unchanged));
    }
    // As it was written where only the layout is ours.
    Ok(match serde_json::from_slice::<Value>(&edited) {
        Ok(value) => value.to_string().into_bytes(),
        Err(_) => edited,
    })
}

fn edit_file(editor: &str, file: &Path) -> Result<Vec<u8>, Failure> {
    // The variable may hold arguments, as in "code --wait".
    let status = std::process::Command::new("sh").args(["-c", &format!("{editor} \"$1\""), "sh"]).arg(file).status();
    match status {
        Ok(status) if status.success() => {
            std::fs::read(file).map_err(|error| Failure::unavailable(anyhow::Error::new(error).context("cannot read the edited file")))
        }
        Ok(status) => Err(Failure::found(anyhow::anyhow!("the editor ended with {status}")).hint("nothing was changed")),
        Err(error) => Err(Failure::unavailable(anyhow::Error::new(error).context("cannot start the editor"))),
    }
}

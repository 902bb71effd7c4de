//! `hosho failed edit`

use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
};

use hosho_schema::models::failed_message::FailedMessage;
use serde_json::Value;
use tempfile::NamedTempFile;

use super::super::{
    Error, harmless_json, print, print_json, printable, remark,
    selection::{AuditArgs, Database, beginning, complete_one, short},
};
use crate::audit::Operation;
use crate::dead_letters::{
    self, Change, EditError, Edits, OperationError, assignment, check_edit, diff, masked_path, masked_text,
};

/// Mend the payload of a failed message; then replay it
///
/// Opens the payload in $VISUAL or $EDITOR, or sets single values. The result must be what its stage takes. It becomes a new
/// message, with an id of its own, in the place of the old one, which is kept. The editor shows personal data, which asks for
/// --reason and is kept in the audit, with --dry-run too.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its identifier; the first characters will do
    #[arg(value_parser = beginning)]
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
    who: AuditArgs,
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

pub(super) async fn run(args: Args, database: &Database) -> Result<ExitCode, Error> {
    let opens_editor = args.set.is_empty() && args.unset.is_empty() && args.stage.is_none();
    let reveal =
        if opens_editor { Some(args.who.certainly(&database.clock, "failed.reveal")?) } else { None };
    let operation = args.who.operation(&database.clock, "failed.edit")?;
    let id = complete_one(database, &args.id).await?;
    let row = super::read(database, vec![id])
        .await?
        .pop()
        .ok_or_else(|| Error::conflict(anyhow::anyhow!("it is gone")))?;
    dead_letters::editable(&row)?;
    let stage = args.stage.clone().unwrap_or_else(|| row.stage.clone());
    let (payload, draft) = match reveal {
        Some(reveal) => {
            let (payload, draft) = in_editor(&row, &stage, reveal, database).await?;
            (payload, Some(draft))
        }
        None if args.set.is_empty() && args.unset.is_empty() => (row.payload.clone(), None),
        None => {
            let set = args.set.iter().map(|text| assignment(text)).collect::<Result<_, _>>()?;
            (Edits { set, unset: args.unset.clone() }.apply(&row.payload)?, None)
        }
    };
    let changes = diff(&row.payload, &payload);
    let message = if args.who.dry_run {
        check_edit(&row, &stage, payload)?;
        None
    } else {
        let edited = database.ask(move |db| dead_letters::edit(db, &operation, &row, &stage, payload)).await;
        match (edited, draft) {
            (Ok(edited), _) => Some(edited.id),
            (Err(failure), Some(draft)) => return Err(draft.keep(failure)),
            (Err(failure), None) => return Err(failure),
        }
    };
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

fn tell(changes: &[Change]) {
    for change in changes {
        let side = |value: &Value| match value {
            Value::Null => "nothing".to_owned(),
            value => harmless_json(&masked_text(&change.path, value).to_string()),
        };
        print(format!(
            "  {}: {} → {}",
            printable(&masked_path(&change.path)),
            side(&change.before),
            side(&change.after)
        ));
    }
}

/// Lets the operator edit a payload until its stage takes it, or they give up; that they see all of it is written down first.
async fn in_editor(
    row: &FailedMessage,
    stage: &str,
    reveal: Operation,
    database: &Database,
) -> Result<(Vec<u8>, Draft), Error> {
    let draft = Draft::of(&row.payload)?;
    let id = row.id.clone();
    database.ask(move |db| dead_letters::reveal(db, &reveal, &[&id])).await?;
    loop {
        let payload = draft.edited()?;
        match check_edit(row, stage, payload.clone()) {
            Ok(_) => return Ok((payload, draft)),
            Err(error @ OperationError::Edit(EditError::Misfits { .. }))
                if std::io::stdin().is_terminal() =>
            {
                remark(format!(
                    "{error}\nEnter opens the editor again; Ctrl-C leaves the text in {}",
                    draft.file.path().display()
                ));
                let mut line = String::new();
                if !std::io::stdin().read_line(&mut line).is_ok_and(|read| read > 0) {
                    return Err(draft.keep(error.into()));
                }
            }
            Err(error) => return Err(draft.keep(error.into())),
        }
    }
}

/// A payload in an editor: JSON is laid out for reading. The file is only its operator's, and gone afterwards, unless it is kept.
struct Draft {
    editor: String,
    file: NamedTempFile,
    shown: Vec<u8>,
}

impl Draft {
    fn of(payload: &[u8]) -> Result<Self, Error> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let Some(editor) = variable("VISUAL").or_else(|| variable("EDITOR")) else {
            return Err(Error::invalid("neither $VISUAL nor $EDITOR is set")
                .hint("set one, or give --set PATH=VALUE"));
        };
        let unusable = |error: std::io::Error| {
            Error::unavailable(anyhow::Error::new(error).context("cannot make a file to edit"))
        };
        let mut file =
            tempfile::Builder::new().prefix("hosho-edit-").suffix(".json").tempfile().map_err(unusable)?;
        let laid_out =
            serde_json::from_slice::<Value>(payload).map(|value| format!("{value:#}\n").into_bytes());
        let shown = laid_out.unwrap_or_else(|_| payload.to_vec());
        file.write_all(&shown).and_then(|()| file.flush()).map_err(unusable)?;
        Ok(Self { editor, file, shown })
    }

    /// Opens the editor, and returns what it left.
    fn edited(&self) -> Result<Vec<u8>, Error> {
        // The variable may hold arguments, as in "code --wait".
        let mut editor = std::process::Command::new("sh");
        let status =
            editor.args(["-c", &format!("{} \"$1\"", self.editor), "sh"]).arg(self.file.path()).status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => {
                return Err(Error::conflict(anyhow::anyhow!("the editor ended with {status}"))
                    .hint("nothing was changed"));
            }
            Err(error) => {
                return Err(Error::unavailable(anyhow::Error::new(error).context("cannot start the editor")));
            }
        }
        let edited = std::fs::read(self.file.path()).map_err(|error| {
            Error::unavailable(anyhow::Error::new(error).context("cannot read the edited file"))
        })?;
        if edited == self.shown {
            return Err(EditError::Unchanged.into());
        }
        // As it was written where only the layout is ours.
        Ok(match serde_json::from_slice::<Value>(&edited) {
            Ok(value) => value.to_string().into_bytes(),
            Err(_) => edited,
        })
    }

    /// Leaves the text where it is, and says so with what went wrong: the work of an operator is not thrown away.
    fn keep(self, failure: Error) -> Error {
        match self.file.keep() {
            Ok((_, path)) => failure.hint(format!(
                "nothing was changed; your text is kept in {}, with its personal data",
                path.display()
            )),
            Err(error) => failure.hint(format!("nothing was changed; your text could not be kept: {error}")),
        }
    }
}

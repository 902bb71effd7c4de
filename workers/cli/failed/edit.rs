//! `hosho failed edit`

use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
};

use hosho_schema::models::failed_message::FailedMessage;
use serde_json::Value;
use tempfile::NamedTempFile;

use super::super::{
    Error, harmless_json, output, print, print_text, printable, remark,
    selection::{AuditArgs, beginning, short},
};
use crate::{
    audit::Operation,
    db::Db,
    dead_letters::{EditError, Edits, OperationError, assignment, check_edit},
    operations::dead_letters::{self, Edited, ValueChange},
};

/// Correct the payload of a failed message; then replay it
///
/// Opens the payload in $VISUAL or $EDITOR, or sets single values. The result must be a message of its stage.
/// It becomes a new message, with an id of its own, that supersedes the old one, which is kept. The editor
/// shows personal data, which requires --reason and is kept in the audit, with --dry-run too.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its identifier, or the beginning
    #[arg(value_parser = beginning)]
    id: String,
    /// Set a value, such as works.contract_price=38500000 or products[0].amount=100;
    /// JSON, or else text
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Remove a field or an item
    #[arg(long, value_name = "PATH")]
    unset: Vec<String>,
    /// For this stage, if the message was unroutable
    #[arg(long, value_name = "STAGE", value_parser = clap::builder::PossibleValuesParser::new(crate::stages::NAMES))]
    stage: Option<String>,
    #[command(flatten)]
    audit: AuditArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, db: &Db) -> Result<ExitCode, Error> {
    let opens_editor = args.set.is_empty() && args.unset.is_empty() && args.stage.is_none();
    let reveal = if opens_editor { Some(args.audit.revealing("failed.reveal")?) } else { None };
    let operation = args.audit.operation("failed.edit")?;
    let row = dead_letters::find(db, &args.id).await?;
    let stage = args.stage.clone().unwrap_or_else(|| row.stage.clone());
    let (payload, draft) = match reveal {
        Some(reveal) => {
            let (payload, draft) = in_editor(&row, &stage, reveal, db).await?;
            (payload, Some(draft))
        }
        None if args.set.is_empty() && args.unset.is_empty() => (row.payload.clone(), None),
        None => {
            let set = args.set.iter().map(|text| assignment(text)).collect::<Result<_, _>>()?;
            (Edits { set, unset: args.unset.clone() }.apply(&row.payload)?, None)
        }
    };
    let edited = dead_letters::edit(db, operation, row, stage, payload, args.audit.dry_run).await;
    let edited = match (edited, draft) {
        (Err(error), Some(draft)) => return Err(draft.keep(error)),
        (edited, _) => edited?,
    };
    output(args.json, &edited, |Edited { message, changes }| {
        for ValueChange { path, before, after } in changes {
            print(format!("  {}: {} → {}", printable(path), side(before), side(after)));
        }
        print_text(match message {
            None => "Nothing was changed.".to_owned(),
            Some(id) => format!("The message is now {id}: `hosho failed replay {} --reason …`", short(id)),
        });
    })
}

fn side(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        value => harmless_json(&value.to_string()),
    }
}

/// Opens the editor until the payload is a message of the stage.
/// The audit entry that the operator sees all of it is written first.
async fn in_editor(
    row: &FailedMessage,
    stage: &str,
    reveal: Operation,
    db: &Db,
) -> Result<(Vec<u8>, Draft), Error> {
    let draft = Draft::of(&row.payload)?;
    dead_letters::reveal(db, reveal, &row.id).await?;
    loop {
        let payload = draft.edited()?;
        match check_edit(row, stage, payload.clone()) {
            Ok(_) => return Ok((payload, draft)),
            Err(error @ OperationError::Edit(EditError::Undecodable { .. }))
                if std::io::stdin().is_terminal() =>
            {
                remark(format!(
                    "{error}\nEnter opens the editor again; Ctrl-C keeps the text in {}",
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

/// A payload in an editor; JSON is indented.
/// Only its operator can read the file, which is removed unless it is kept.
struct Draft {
    editor: String,
    file: NamedTempFile,
    shown: Vec<u8>,
}

/// Whether a variable concerns terminal, language or home.
/// No secret is among these.
fn is_for_editor(name: &str) -> bool {
    const NAMES: [&str; 18] = [
        "COLORTERM",
        "DBUS_SESSION_BUS_ADDRESS",
        "DISPLAY",
        "EDITOR",
        "HOME",
        "LANG",
        "LANGUAGE",
        "LINES",
        "LOGNAME",
        "PATH",
        "SHELL",
        "TERM",
        "TERMINFO",
        "TMPDIR",
        "USER",
        "VISUAL",
        "WAYLAND_DISPLAY",
        "XAUTHORITY",
    ];
    NAMES.contains(&name) || ["LC_", "XDG_"].iter().any(|prefix| name.starts_with(prefix))
}

impl Draft {
    fn of(payload: &[u8]) -> Result<Self, Error> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let Some(editor) = variable("VISUAL").or_else(|| variable("EDITOR")) else {
            return Err(Error::invalid("neither $VISUAL nor $EDITOR is set")
                .hint("set one, or give --set PATH=VALUE"));
        };
        let unusable =
            |error: std::io::Error| Error::unavailable(error).context("cannot make a file to edit");
        let mut file =
            tempfile::Builder::new().prefix("hosho-edit-").suffix(".json").tempfile().map_err(unusable)?;
        let indented =
            serde_json::from_slice::<Value>(payload).map(|value| format!("{value:#}\n").into_bytes());
        let shown = indented.unwrap_or_else(|_| payload.to_vec());
        file.write_all(&shown).and_then(|()| file.flush()).map_err(unusable)?;
        Ok(Self { editor, file, shown })
    }

    fn edited(&self) -> Result<Vec<u8>, Error> {
        // The variable may hold arguments, as in "code --wait".
        let mut editor = std::process::Command::new("sh");
        // Ours has secrets, which an editor may write to its history or pass to its plugins.
        let passed = std::env::vars_os().filter(|(name, _)| is_for_editor(&name.to_string_lossy()));
        editor.env_clear().envs(passed);
        let status =
            editor.args(["-c", &format!("{} \"$1\"", self.editor), "sh"]).arg(self.file.path()).status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => {
                return Err(Error::conflict(format!("the editor ended with {status}"))
                    .hint("run the command again: nothing was changed"));
            }
            Err(error) => return Err(Error::unavailable(error).context("cannot start the editor")),
        }
        let edited = std::fs::read(self.file.path())
            .map_err(|error| Error::unavailable(error).context("cannot read the edited file"))?;
        if edited == self.shown {
            return Err(EditError::Unchanged.into());
        }
        // JSON loses the indentation of the draft; other payloads stay as they were typed.
        Ok(match serde_json::from_slice::<Value>(&edited) {
            Ok(value) => value.to_string().into_bytes(),
            Err(_) => edited,
        })
    }

    /// Keeps the file with the work of the operator, and names it in the error.
    fn keep(self, failure: Error) -> Error {
        match self.file.keep() {
            Ok((_, path)) => failure.hint(format!(
                "take your text from {}, where it is kept with its personal data; nothing was changed",
                path.display()
            )),
            Err(error) => failure.hint(format!(
                "run the command again: nothing was changed, and your text could not be kept: {error}"
            )),
        }
    }
}

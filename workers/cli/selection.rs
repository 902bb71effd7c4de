//! Arguments that several commands share: database, dead letters, pages, audit.

use std::path::PathBuf;

use hosho_schema::models::failed_message::{Filter, State};

use super::{Error, print, remark_beside};
pub(super) use crate::operations::database::{open_configured, open_database};
use crate::{
    audit::Operation,
    clock::Clock,
    db::Db,
    operations::{
        Cursor, Page, PageRequest,
        configuration::{self, Overrides},
        dead_letters::{Resolved, Selection},
    },
};

/// The database that a command reads.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DatabaseArgs {
    /// Use the folder of `hosho process` instead of the configured database
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(super) out: Option<PathBuf>,
}

impl DatabaseArgs {
    pub(super) fn overrides(&self) -> Result<Overrides, Error> {
        self.out.as_deref().map_or(Ok(Vec::new()), configuration::reopened)
    }
}

/// Reads a name. An empty one would mean every row, and a pattern any.
pub(super) fn name(text: &str, is_allowed: impl Fn(u8) -> bool, problem: &str) -> Result<String, String> {
    let is_one = !text.is_empty() && text.bytes().all(is_allowed);
    if is_one { Ok(text.to_owned()) } else { Err(problem.to_owned()) }
}

/// Reads an identifier or its beginning.
pub(super) fn beginning(text: &str) -> Result<String, String> {
    let problem = "an identifier, or its beginning, consists of 0 to 9, a to f and hyphens";
    name(text, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'), problem)
}

/// Reads the value of a filter. An empty one would mean every message.
pub(super) fn filled(text: &str) -> Result<String, String> {
    let problem = "it is empty: omit the option to mean every value";
    if text.trim().is_empty() { Err(problem.to_owned()) } else { Ok(text.to_owned()) }
}

const WHICH: &str = "Which messages (all conditions must match; of several values of one, any)";

#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct SelectionArgs {
    /// Identifiers of failed messages, or their beginnings
    #[arg(help_heading = WHICH, value_name = "ID", value_parser = beginning)]
    ids: Vec<String>,
    /// Of this group (`hosho failed groups`), or its beginning
    #[arg(long, help_heading = WHICH, value_name = "GROUP", value_parser = beginning)]
    group: Vec<String>,
    /// Of this stage
    #[arg(long, help_heading = WHICH, value_name = "STAGE", value_parser = filled)]
    stage: Vec<String>,
    /// With this code, such as mail.refused
    #[arg(long, help_heading = WHICH, value_name = "CODE", value_parser = filled)]
    code: Vec<String>,
    /// Failed last at or after this time:
    /// 2026-12-01, "2026-12-01 09:00" (Asia/Tokyo), or 90m, 2h, 3d ago
    #[arg(long, help_heading = WHICH, value_name = "TIME")]
    since: Option<String>,
    /// Failed last before this time
    #[arg(long, help_heading = WHICH, value_name = "TIME")]
    until: Option<String>,
    /// With this in the text of its fault
    #[arg(long, help_heading = WHICH, value_name = "TEXT", value_parser = filled)]
    text: Option<String>,
    /// A guarantee of this run (`hosho batch list`), or its beginning
    #[arg(long, help_heading = WHICH, value_name = "RUN", value_parser = beginning)]
    run: Option<String>,
}

impl From<SelectionArgs> for Selection {
    fn from(SelectionArgs { ids, group, stage, code, since, until, text, run }: SelectionArgs) -> Self {
        Self { ids, group, stage, code, since, until, text, run }
    }
}

/// The filter that a selection means. Prints warnings about likely typing errors.
pub(super) async fn filter(selection: Selection, db: &Db, states: &[State]) -> Result<Filter, Error> {
    let Resolved { filter, warnings } = selection.resolve(db, states.to_vec(), Clock::system().now()).await?;
    for warning in warnings {
        remark_beside("warning: ", &warning);
    }
    Ok(filter)
}

/// Which page of a list.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct PageArgs {
    /// Rows to show at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=100_000), value_name = "N")]
    limit: i64,
    /// Show the rows after this place: `next` of the page before
    #[arg(long, value_name = "CURSOR")]
    after: Option<Cursor>,
}

impl PageArgs {
    pub(super) fn request(&self) -> PageRequest {
        PageRequest { limit: self.limit, after: self.after.clone() }
    }
}

/// Prints a page, or `none` where there is no row.
pub(super) fn print_page<T>(page: &Page<T>, none: &str, print_rows: impl FnOnce(&[T])) {
    match page.items.as_slice() {
        [] if page.total == 0 => print(none),
        [] => print(format!("No more rows; {} on earlier pages.", page.total)),
        rows => print_rows(rows),
    }
    if let Some(next) = &page.next {
        print(format!("{} of {}; more with\n  --after {next}", page.items.len(), page.total));
    }
}

/// Who changes something, and why; both are kept in the audit.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct AuditArgs {
    /// Why (kept in the audit)
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Who; by default the user who is logged in
    #[arg(long, env = "HOSHO_ACTOR", value_name = "NAME")]
    actor: Option<String>,
    /// Change nothing; print what would change
    #[arg(long)]
    pub(super) dry_run: bool,
}

impl AuditArgs {
    /// The operation that begins now. Requires a reason, unless it changes nothing.
    pub(super) fn operation(&self, action: &'static str) -> Result<Operation, Error> {
        let reason = self.reason.as_deref().unwrap_or_default().trim();
        if reason.is_empty() && !self.dry_run {
            return Err(Error::invalid("--reason is missing")
                .hint("give the reason in a few words; it is kept in the audit"));
        }
        Ok(Operation::new(&Clock::system(), action, &self.name(), reason))
    }

    /// Requires a reason for a dry run too, because personal data is shown.
    pub(super) fn revealing(&self, action: &'static str) -> Result<Operation, Error> {
        Self { dry_run: false, ..self.clone() }.operation(action)
    }

    /// As [`AuditArgs::operation`], with a default reason.
    pub(super) fn operation_or(&self, action: &'static str, reason: &str) -> Result<Operation, Error> {
        Self { reason: self.reason.clone().or_else(|| Some(reason.to_owned())), ..self.clone() }
            .operation(action)
    }

    fn name(&self) -> String {
        let variable = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let name = self.actor.clone().filter(|name| !name.trim().is_empty());
        name.or_else(|| ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(variable))
            .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
    }
}

/// The beginning of an identifier, long enough to name it.
pub(super) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_patterns_and_empty_values() {
        assert_eq!(beginning("5b1d2c3e-5c1d").as_deref(), Ok("5b1d2c3e-5c1d"));
        for text in ["", " ", "%", "_", "5b1d%", "5B1D", "../x", "髙"] {
            assert!(beginning(text).is_err(), "{text}");
        }
        assert!(filled("").is_err() && filled(" ").is_err() && filled("no such user").is_ok());
    }
}

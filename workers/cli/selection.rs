//! Arguments that several commands share: the database, the dead letters meant, pages, who and why.

use std::path::PathBuf;

use hosho_schema::{
    db::Pool,
    models::failed_message::{Filter, State},
};

use super::{Error, existing, remark};
use crate::{
    app,
    audit::Operation,
    clock::Clock,
    config::Config,
    db::Db,
    operations::{
        PageRequest,
        dead_letters::{Resolved, Selection},
        identifier::{self, Kind},
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
    /// The settings that select the folder.
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Error> {
        let Some(out) = &self.out else { return Ok(Vec::new()) };
        super::database_of(out)?;
        super::process::embedded(out, false)
    }

    /// Opens the database, which must exist and be up to date.
    pub(super) async fn database(config: &Config) -> Result<Database, Error> {
        existing(config)?;
        let database = Database { pool: app::pool(config)?, clock: Clock::system() };
        let pending = database.db().call(hosho_schema::db::pending).await?;
        match pending.first() {
            None => Ok(database),
            Some(first) => {
                Err(app::AppError::Unmigrated { count: pending.len(), first: first.clone() }.into())
            }
        }
    }
}

/// The tables, for commands that need nothing else.
#[derive(Clone)]
pub(super) struct Database {
    pub(super) pool: Pool,
    pub(super) clock: Clock,
}

impl Database {
    pub(super) fn db(&self) -> Db {
        Db::new(self.pool.clone())
    }
}

/// Reads an identifier or its beginning. An empty one would mean every message, and a pattern any.
pub(super) fn beginning(text: &str) -> Result<String, String> {
    let is_one =
        !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    if is_one {
        Ok(text.to_owned())
    } else {
        Err("an identifier, or its beginning, consists of 0 to 9, a to f and hyphens".to_owned())
    }
}

/// Reads the value of a filter. An empty one would mean every message.
pub(super) fn filled(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        Err("it is empty: omit the option to mean every value".to_owned())
    } else {
        Ok(text.to_owned())
    }
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
    /// Failed last at or after this time: 2026-12-01, "2026-12-01 09:00" (Asia/Tokyo), or 90m, 2h, 3d ago
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
pub(super) async fn filter(
    selection: Selection,
    database: &Database,
    states: &[State],
) -> Result<Filter, Error> {
    let Resolved { filter, warnings } =
        selection.resolve(&database.db(), states.to_vec(), database.clock.now()).await?;
    for warning in warnings {
        remark(format!("warning: {warning}"));
    }
    Ok(filter)
}

/// Completes the beginning of a run's identifier.
pub(super) async fn complete_run(database: &Database, beginning: &str) -> Result<String, Error> {
    identifier::complete(&database.db(), Kind::Run, beginning).await
}

/// Which page of a list.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct PageArgs {
    /// Rows to show at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=100_000), value_name = "N")]
    limit: i64,
    /// Page of so many rows, from 1
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..=1_000_000), value_name = "N")]
    page: i64,
    /// Continue after so many rows: `next` of the JSON before
    #[arg(long, conflicts_with = "page", value_parser = clap::value_parser!(i64).range(0..=100_000_000_000), value_name = "N")]
    after: Option<i64>,
}

/// The name that `batch` uses.
pub(super) type Page = PageArgs;

impl PageArgs {
    pub(super) const fn offset(self) -> i64 {
        match self.after {
            Some(after) => after,
            None => (self.page - 1) * self.limit,
        }
    }

    pub(super) const fn request(self) -> PageRequest {
        PageRequest { limit: self.limit, offset: self.offset() }
    }

    /// Which rows these are, where they are not all.
    pub(super) fn position<T>(self, page: &crate::operations::Page<T>) -> Option<String> {
        let rows = i64::try_from(page.items.len()).unwrap_or(i64::MAX);
        let (first, last) = (self.offset() + 1, self.offset() + rows);
        let more = match page.next {
            Some(next) if self.after.is_some() => format!("; more with --after {next}"),
            Some(_) => format!("; more with --page {}", self.page + 1),
            None => String::new(),
        };
        (first > 1 || page.next.is_some()).then(|| match rows {
            0 => format!("Nothing on this page; {} on earlier ones.", page.total),
            _ => format!("{first} to {last} of {}{more}", page.total),
        })
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
    pub(super) fn operation(&self, clock: &Clock, action: &'static str) -> Result<Operation, Error> {
        let reason = self.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
        match reason {
            Some(reason) => Ok(Operation::new(clock, action, &self.name(), reason)),
            None if self.dry_run => Ok(Operation::new(clock, action, &self.name(), "")),
            None => Err(Error::invalid("--reason is missing")
                .hint("give the reason in a few words; it is kept in the audit")),
        }
    }

    /// As [`AuditArgs::operation`]; requires a reason for a dry run too, because personal data is shown.
    pub(super) fn revealing(&self, clock: &Clock, action: &'static str) -> Result<Operation, Error> {
        Self { dry_run: false, ..self.clone() }.operation(clock, action)
    }

    /// As [`AuditArgs::operation`], with a default reason.
    pub(super) fn operation_or(
        &self,
        clock: &Clock,
        action: &'static str,
        reason: &str,
    ) -> Result<Operation, Error> {
        Self { reason: self.reason.clone().or_else(|| Some(reason.to_owned())), ..self.clone() }
            .operation(clock, action)
    }

    fn name(&self) -> String {
        actor(self.actor.as_deref())
    }
}

/// The actor: as given, or the user who is logged in.
pub(super) fn actor(given: Option<&str>) -> String {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let name = given.map(str::to_owned).filter(|name| !name.trim().is_empty());
    name.or_else(|| variable("SUDO_USER"))
        .or_else(|| variable("USER"))
        .or_else(|| variable("LOGNAME"))
        .unwrap_or_else(|| {
            use std::os::unix::fs::MetadataExt as _;
            std::fs::metadata("/proc/self")
                .map_or_else(|_| "unknown".to_owned(), |data| format!("uid {}", data.uid()))
        })
}

/// The beginning of an identifier, long enough to name it.
pub(super) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations;

    #[test]
    fn rejects_patterns_and_empty_values() {
        assert_eq!(beginning("5b1d2c3e-5c1d").as_deref(), Ok("5b1d2c3e-5c1d"));
        for text in ["", " ", "%", "_", "5b1d%", "5B1D", "../x", "髙"] {
            assert!(beginning(text).is_err(), "{text}");
        }
        assert!(filled("").is_err() && filled(" ").is_err() && filled("no such user").is_ok());
    }

    #[test]
    fn page_names_the_next_one() {
        let args = |page, after| PageArgs { limit: 2, page, after };
        let position =
            |args: PageArgs| args.position(&operations::Page::of(vec![1, 2, 3, 4, 5], args.request()));
        assert_eq!(position(args(1, None)).unwrap(), "1 to 2 of 5; more with --page 2");
        assert_eq!(position(args(1, Some(1))).unwrap(), "2 to 3 of 5; more with --after 3");
        assert_eq!(position(args(3, None)).unwrap(), "5 to 5 of 5");
        assert_eq!(position(args(4, None)).unwrap(), "Nothing on this page; 5 on earlier ones.");
        let whole = PageArgs { limit: 5, page: 1, after: None };
        assert_eq!(position(whole), None);
    }
}

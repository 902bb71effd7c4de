//! What several commands for operators ask for: which database, which messages, who and why.

use std::path::PathBuf;

use hosho_schema::{
    db::{Connection, DbError, Pool},
    models::{
        failed_message::{self, Filter, OPEN, State},
        job_run, replay,
    },
};

use super::{Error, existing, moment::moment, remark};
use crate::{app, audit::Operation, clock::Clock, config::Config, dead_letters, stages};

/// Where the failed messages are.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DatabaseArgs {
    /// Folder of `hosho process` to look into, instead of the configured database
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(super) out: Option<PathBuf>,
}

impl DatabaseArgs {
    /// The settings it stands for.
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Error> {
        let Some(out) = &self.out else { return Ok(Vec::new()) };
        super::database_of(out)?;
        super::process::embedded(out, false)
    }

    /// Opens the database, which must be there and up to date.
    pub(super) async fn database(config: &Config) -> Result<Database, Error> {
        existing(config)?;
        let database = Database { pool: app::pool(config)?, clock: Clock::system() };
        let pending = database.ask(hosho_schema::db::pending).await?;
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
    /// Works on the tables, on a thread that may block.
    pub(super) async fn ask<T: Send + 'static, E: Into<Error> + From<DbError> + Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Error> {
        let pool = self.pool.clone();
        let done =
            tokio::task::spawn_blocking(move || work(&mut pool.get()?)).await.map_err(Error::unavailable)?;
        done.map_err(Into::into)
    }
}

/// Reads an identifier or its beginning; an empty one would mean every message, and a pattern any.
pub(super) fn beginning(text: &str) -> Result<String, String> {
    let is_one =
        !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    if is_one {
        Ok(text.to_owned())
    } else {
        Err("an identifier, or its beginning, is made of 0 to 9, a to f and hyphens".to_owned())
    }
}

/// Reads the value of a filter; an empty one would mean every message.
pub(super) fn filled(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        Err("it is empty: leave the option out to mean every one".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// How the conditions of a selection are joined.
const WHICH: &str = "Which messages (each condition must fit; of several values of one, any)";

/// Which messages are meant.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Selection {
    /// Identifiers of failed messages; the first characters will do
    #[arg(help_heading = WHICH, value_name = "ID", value_parser = beginning)]
    ids: Vec<String>,
    /// Of this group (`hosho failed groups`); the first characters will do
    #[arg(long, help_heading = WHICH, value_name = "GROUP", value_parser = beginning)]
    group: Vec<String>,
    /// Of this stage
    #[arg(long, help_heading = WHICH, value_name = "STAGE", value_parser = filled)]
    stage: Vec<String>,
    /// With this code, such as mail.refused
    #[arg(long, help_heading = WHICH, value_name = "CODE", value_parser = filled)]
    code: Vec<String>,
    /// Failed last at or after this: 2026-12-01, "2026-12-01 09:00" (Asia/Tokyo), or 90m, 2h, 3d ago
    #[arg(long, help_heading = WHICH, value_name = "TIME")]
    since: Option<String>,
    /// Failed last before this
    #[arg(long, help_heading = WHICH, value_name = "TIME")]
    until: Option<String>,
    /// With this in the text of its fault
    #[arg(long, help_heading = WHICH, value_name = "TEXT", value_parser = filled)]
    text: Option<String>,
    /// A guarantee of this run (`hosho batch list`); the first characters will do
    #[arg(long, help_heading = WHICH, value_name = "RUN", value_parser = beginning)]
    run: Option<String>,
}

impl Selection {
    /// Whether nothing was asked for.
    pub(super) fn is_empty(&self) -> bool {
        let Self { ids, group, stage, code, since, until, text, run } = self;
        let lists = [ids, group, stage, code].iter().all(|list| list.is_empty());
        lists && [since, until, text, run].iter().all(|given| given.is_none())
    }

    /// Refuses a selection of everything: that is nobody's wish.
    pub(super) fn require(&self) -> Result<(), Error> {
        if self.is_empty() {
            return Err(Error::invalid("nothing was selected")
                .hint("give identifiers, --group, --stage, --code, --since, --until, --text or --run"));
        }
        Ok(())
    }

    /// What was asked for, for the record.
    pub(super) fn to_json(&self) -> String {
        let Self { ids, group, stage, code, since, until, text, run } = self;
        let all = serde_json::json!({
            "ids": ids, "group": group, "stage": stage, "code": code, "since": since, "until": until, "text": text, "run": run,
        });
        let mut asked = all.as_object().cloned().unwrap_or_default();
        asked.retain(|_, value| !(value.is_null() || value.as_array().is_some_and(Vec::is_empty)));
        serde_json::Value::Object(asked).to_string()
    }

    /// The filter it means, with every beginning completed.
    pub(super) async fn filter(&self, database: &Database, states: &[State]) -> Result<Filter, Error> {
        let now = database.clock.now();
        let (ids, groups, run): (_, _, Vec<String>) =
            (self.ids.clone(), self.group.clone(), self.run.iter().cloned().collect());
        let (named, codes) = (self.stage.clone(), self.code.clone());
        let (ids, groups, run, unknown) = database
            .ask(move |db| {
                let unknown = unknown(db, &named, &codes)?;
                let ids = complete(db, &ids, "failed message", failed_message::by_prefix)?;
                let groups = complete(db, &groups, "group", failed_message::groups_by_prefix)?;
                let run = complete(db, &run, "run", job_run::by_prefix)?.pop();
                Ok::<_, Error>((ids, groups, run, unknown))
            })
            .await?;
        for what in unknown {
            remark(format!("warning: {what}"));
        }
        Ok(Filter {
            ids,
            groups,
            stages: self.stage.clone(),
            codes: self.code.clone(),
            states: states.to_vec(),
            since: self.since.as_deref().map(|text| moment("--since", text, now)).transpose()?,
            until: self.until.as_deref().map(|text| moment("--until", text, now)).transpose()?,
            text: self.text.clone(),
            correlation_id: None,
            replay_id: None,
            run_id: run,
            free: false,
        })
    }
}

/// Names of stages and codes that are none of ours and of no failed message: likely typing errors.
fn unknown(db: &mut Connection, stages: &[String], codes: &[String]) -> Result<Vec<String>, DbError> {
    let mut unknown = Vec::new();
    for stage in stages.iter().filter(|stage| !stages::NAMES.contains(&stage.as_str())) {
        if failed_message::counts(db, &Filter { stages: vec![stage.clone()], ..Filter::default() })?
            .is_empty()
        {
            unknown.push(format!("there is no stage {stage:?}: {}", stages::NAMES.join(", ")));
        }
    }
    for code in codes.iter().filter(|code| dead_letters::advice(code).is_none()) {
        if failed_message::counts(db, &Filter { codes: vec![code.clone()], ..Filter::default() })?.is_empty()
        {
            unknown
                .push(format!("there is no code {code:?}: `hosho failed groups` shows those that were met"));
        }
    }
    Ok(unknown)
}

/// What is told where nothing was found: with conditions, that is no good news.
pub(super) async fn nothing(database: &Database, narrowed: bool) -> Result<String, Error> {
    if !narrowed {
        return Ok("Nothing: no message waits for anybody.".to_owned());
    }
    let open = Filter { states: OPEN.to_vec(), ..Filter::default() };
    let waiting: i64 = database.ask(move |db| failed_message::counts(db, &open)).await?.values().sum();
    Ok(format!("Nothing matches; {waiting} {} in all.", if waiting == 1 { "waits" } else { "wait" }))
}

/// Completes beginnings of identifiers; one that means nothing, or several things, is told.
fn complete(
    db: &mut Connection,
    beginnings: &[String],
    what: &str,
    find: fn(&mut Connection, &str) -> Result<Vec<String>, DbError>,
) -> Result<Vec<String>, Error> {
    let one = |beginning: &String| match find(db, beginning)?.as_slice() {
        [id] => Ok(id.clone()),
        [] => {
            let hint = match what {
                "run" => "`hosho batch list` shows them",
                "replay" => "`hosho replay list` shows them",
                _ => "`hosho failed list` and `hosho failed groups` show them",
            };
            Err(Error::invalid(format!("there is no {what} {beginning:?}")).hint(hint))
        }
        _ => {
            Err(Error::invalid(format!("{beginning:?} is the beginning of several: give more of the {what}")))
        }
    };
    beginnings.iter().map(one).collect()
}

/// Completes the beginning of a run's identifier.
pub(super) async fn complete_run(database: &Database, beginning: &str) -> Result<String, Error> {
    single(database, beginning, "run", job_run::by_prefix).await
}

/// Completes the beginning of a replay's identifier.
pub(super) async fn complete_replay(database: &Database, beginning: &str) -> Result<String, Error> {
    single(database, beginning, "replay", replay::by_prefix).await
}

/// Completes the beginning of a failed message's identifier.
pub(super) async fn complete_one(database: &Database, beginning: &str) -> Result<String, Error> {
    single(database, beginning, "failed message", failed_message::by_prefix).await
}

async fn single(
    database: &Database,
    beginning: &str,
    what: &'static str,
    find: fn(&mut Connection, &str) -> Result<Vec<String>, DbError>,
) -> Result<String, Error> {
    let beginnings = vec![beginning.to_owned()];
    let mut ids = database.ask(move |db| complete(db, &beginnings, what, find)).await?;
    ids.pop().ok_or_else(|| Error::invalid("an identifier is missing"))
}

/// Which page of a long list.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Page {
    /// Rows to show at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=100_000), value_name = "N")]
    limit: i64,
    /// Which page of so many rows, from 1
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..=1_000_000), value_name = "N")]
    page: i64,
}

impl Page {
    pub(super) const fn limit(self) -> i64 {
        self.limit
    }

    pub(super) const fn offset(self) -> i64 {
        (self.page - 1) * self.limit
    }

    /// The rows of this page, of all of them.
    pub(super) fn of<T>(self, all: Vec<T>) -> Vec<T> {
        let amount = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        all.into_iter().skip(amount(self.offset())).take(amount(self.limit)).collect()
    }

    /// Which rows of how many these are, where they are not all.
    pub(super) fn told(self, rows: usize, all: i64) -> Option<String> {
        let (first, last) = (self.offset() + 1, self.offset() + i64::try_from(rows).unwrap_or(0));
        let more = if last < all { format!("; more with --page {}", self.page + 1) } else { String::new() };
        (first > 1 || last < all).then(|| format!("{first} to {last} of {all}{more}"))
    }

    /// One row more than a page holds: whether there is another page.
    pub(super) const fn probing(self) -> i64 {
        self.limit + 1
    }

    /// Takes the row of [`Page::probing`] off, and tells of further pages.
    pub(super) fn trimmed<T>(self, rows: &mut Vec<T>) -> Option<String> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        more.then(|| format!("more with --page {}", self.page + 1))
    }
}

/// Who changes something, and why.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct AuditArgs {
    /// Why; kept in the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Who; the name of the user who is logged in when left out
    #[arg(long, env = "HOSHO_ACTOR", value_name = "NAME")]
    actor: Option<String>,
    /// Change nothing; tell what would be changed
    #[arg(long)]
    pub(super) dry_run: bool,
}

impl AuditArgs {
    /// The operation this is; a reason must be given.
    pub(super) fn operation(&self, clock: &Clock, action: &'static str) -> Result<Operation, Error> {
        let reason = self.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
        match reason {
            Some(reason) => Ok(Operation::new(clock, action, &self.name(), reason)),
            // What changes nothing needs no reason.
            None if self.dry_run => Ok(Operation::new(clock, action, &self.name(), "")),
            None => {
                Err(Error::invalid("--reason is missing")
                    .hint("say in a few words why; it is kept in the audit"))
            }
        }
    }

    /// The operation this is; a reason must be given even for a dry run: something is shown, or done, all the same.
    pub(super) fn certainly(&self, clock: &Clock, action: &'static str) -> Result<Operation, Error> {
        Self { dry_run: false, ..self.clone() }.operation(clock, action)
    }

    /// As [`AuditArgs::operation`], with a reason where none is given.
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

/// The name of whoever acts: as given, or the user who is logged in.
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

/// The first characters of an identifier: enough to name it.
pub(super) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_of_a_selection_names_what_was_asked_for() {
        let selection =
            Selection { group: vec!["a1".to_owned()], since: Some("2h".to_owned()), ..Selection::default() };
        assert_eq!(selection.to_json(), r#"{"group":["a1"],"since":"2h"}"#);
        assert!(Selection::default().is_empty() && !selection.is_empty());
    }

    #[test]
    fn an_identifier_is_no_pattern_and_never_empty() {
        assert_eq!(beginning("5b1d2c3e-5c1d").as_deref(), Ok("5b1d2c3e-5c1d"));
        for text in ["", " ", "%", "_", "5b1d%", "5B1D", "../x", "髙"] {
            assert!(beginning(text).is_err(), "{text}");
        }
        assert!(filled("").is_err() && filled(" ").is_err() && filled("no such user").is_ok());
    }

    #[test]
    fn a_page_tells_of_the_next_but_not_on_the_last() {
        let page = |page| Page { limit: 2, page };
        assert_eq!(page(1).told(2, 5).unwrap(), "1 to 2 of 5; more with --page 2");
        assert_eq!(page(3).told(1, 5).unwrap(), "5 to 5 of 5");
        assert_eq!(page(1).told(2, 2), None);
        assert_eq!(page(2).of(vec![1, 2, 3]), [3]);
        let mut rows = vec![1, 2, 3];
        assert_eq!((page(1).trimmed(&mut rows).unwrap().as_str(), rows.len()), ("more with --page 2", 2));
        assert_eq!(page(1).trimmed(&mut rows), None);
    }
}

//! What several commands for operators ask for: which database, which messages, who and why.

use std::path::PathBuf;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};
use hosho_schema::{
    db::{Connection, DbError, Pool},
    models::{
        failed_message::{self, Filter, State},
        job_run,
    },
};

use super::{Failure, existing};
use crate::{assembly, clock::Clock, config::Config, domain::wareki::TOKYO, failures::Operation};

/// Where the failed messages are.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Place {
    /// Folder of `hosho process` to look into, instead of the configured database
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(super) out: Option<PathBuf>,
}

impl Place {
    /// The settings it stands for.
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        let Some(out) = &self.out else { return Ok(Vec::new()) };
        super::database_of(out)?;
        super::process::embedded(out, false)
    }

    /// Opens the database, which must be there and up to date.
    pub(super) async fn database(config: &Config) -> Result<Database, Failure> {
        existing(config)?;
        let database = Database { pool: assembly::pool(config)?, clock: Clock::system() };
        let pending = database.ask(hosho_schema::db::pending).await?;
        match pending.first() {
            None => Ok(database),
            Some(first) => Err(assembly::AssemblyError::Unmigrated { count: pending.len(), first: first.clone() }.into()),
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
    pub(super) async fn ask<T: Send + 'static, E: Into<Failure> + From<DbError> + Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Failure> {
        let pool = self.pool.clone();
        let done = tokio::task::spawn_blocking(move || work(&mut pool.get()?)).await.map_err(Failure::internal)?;
        done.map_err(Into::into)
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        let hint = if error.is_contention() {
            "somebody else changed the same just now: try again"
        } else {
            "is database.url right and the server up?"
        };
        Self::unavailable(error).hint(hint)
    }
}

/// Which messages are meant.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Selection {
    /// Identifiers of failed messages; the first characters will do
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Of this group (`hosho failed groups`); the first characters will do
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// Of this stage
    #[arg(long, value_name = "STAGE")]
    stage: Vec<String>,
    /// With this code, such as mail.refused
    #[arg(long, value_name = "CODE")]
    code: Vec<String>,
    /// Failed last at or after this: 2026-12-01, "2026-12-01 09:00" (Asia/Tokyo), or 90m, 2h, 3d ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Failed last before this
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// With this in the text of its fault
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// A guarantee of this run (`hosho batch list`)
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
}

impl Selection {
    /// Whether nothing was asked for.
    pub(super) fn is_empty(&self) -> bool {
        let Self { ids, group, stage, code, since, until, text, run } = self;
        let lists = [ids, group, stage, code].iter().all(|list| list.is_empty());
        lists && [since, until, text, run].iter().all(|given| given.is_none())
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
    pub(super) async fn filter(&self, database: &Database, states: &[State]) -> Result<Filter, Failure> {
        let now = database.clock.now();
        let (ids, groups, run): (_, _, Vec<String>) = (self.ids.clone(), self.group.clone(), self.run.iter().cloned().collect());
        let (ids, groups, run) = database
            .ask(move |db| {
                let ids = complete(db, &ids, "failed message", failed_message::by_prefix)?;
                let groups = complete(db, &groups, "group", failed_message::groups_by_prefix)?;
                let run = complete(db, &run, "run", job_run::by_prefix)?.pop();
                Ok::<_, Failure>((ids, groups, run))
            })
            .await?;
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
        })
    }
}

/// Completes beginnings of identifiers; one that means nothing, or several things, is told.
fn complete(
    db: &mut Connection,
    beginnings: &[String],
    what: &str,
    find: fn(&mut Connection, &str) -> Result<Vec<String>, DbError>,
) -> Result<Vec<String>, Failure> {
    let one = |beginning: &String| match find(db, beginning)?.as_slice() {
        [id] => Ok(id.clone()),
        [] => {
            let hint =
                if what == "run" { "`hosho batch list` shows them" } else { "`hosho failed list` and `hosho failed groups` show them" };
            Err(Failure::usage(format!("there is no {what} {beginning:?}")).hint(hint))
        }
        _ => Err(Failure::usage(format!("{beginning:?} is the beginning of several: give more of the {what}"))),
    };
    beginnings.iter().map(one).collect()
}

/// Completes the beginning of a run's identifier.
pub(super) async fn complete_run(database: &Database, beginning: &str) -> Result<String, Failure> {
    let beginnings = vec![beginning.to_owned()];
    let mut ids = database.ask(move |db| complete(db, &beginnings, "run", job_run::by_prefix)).await?;
    ids.pop().ok_or_else(|| Failure::usage("an identifier is missing"))
}

/// Completes one beginning.
pub(super) async fn complete_one(database: &Database, beginning: &str) -> Result<String, Failure> {
    let beginnings = vec![beginning.to_owned()];
    let mut ids = database.ask(move |db| complete(db, &beginnings, "failed message", failed_message::by_prefix)).await?;
    ids.pop().ok_or_else(|| Failure::usage("an identifier is missing"))
}

/// Reads a moment: a day, a day with a time (both in Tokyo), or how long ago.
pub(super) fn moment(option: &str, text: &str, now: NaiveDateTime) -> Result<NaiveDateTime, Failure> {
    let tokyo = |local: NaiveDateTime| TOKYO.from_local_datetime(&local).single().map(|moment| moment.naive_utc());
    let day = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|day| tokyo(day.and_time(NaiveTime::MIN)));
    let with_time = |text: &str| {
        let text = text.replace('T', " ");
        let formats = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"];
        formats.iter().find_map(|format| NaiveDateTime::parse_from_str(&text, format).ok()).and_then(tokyo)
    };
    let ago = |text: &str| span(text).and_then(|span| now.checked_sub_signed(span));
    day(text).or_else(|| with_time(text)).or_else(|| ago(text)).ok_or_else(|| {
        Failure::usage(format!("{option}: {text:?} is no moment"))
            .hint("write 2026-12-01 or \"2026-12-01 09:00\" (Asia/Tokyo), or how long ago: 90m, 2h, 3d")
    })
}

/// Reads a length of time such as 45s, 90m, 2h or 3d.
pub(super) fn span(text: &str) -> Option<TimeDelta> {
    let at = text.char_indices().last()?.0;
    let (number, unit) = text.split_at(at);
    let number: i64 = number.parse().ok().filter(|number| (0..1_000_000).contains(number))?;
    match unit {
        "s" => TimeDelta::try_seconds(number),
        "m" => TimeDelta::try_minutes(number),
        "h" => TimeDelta::try_hours(number),
        "d" => TimeDelta::try_days(number),
        _ => None,
    }
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
}

/// Who changes something, and why.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Who {
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

impl Who {
    /// The operation this is; a reason must be given.
    pub(super) fn operation(&self, clock: &Clock, action: &'static str) -> Result<Operation, Failure> {
        let reason = self.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
        match reason {
            Some(reason) => Ok(Operation::new(clock, action, &self.name(), reason)),
            // What changes nothing needs no reason.
            None if self.dry_run => Ok(Operation::new(clock, action, &self.name(), "")),
            None => Err(Failure::usage("--reason is missing").hint("say in a few words why; it is kept in the audit")),
        }
    }

    /// As [`Who::operation`], with a reason where none is given.
    pub(super) fn operation_or(&self, clock: &Clock, action: &'static str, reason: &str) -> Result<Operation, Failure> {
        Self { reason: self.reason.clone().or_else(|| Some(reason.to_owned())), ..self.clone() }.operation(clock, action)
    }

    fn name(&self) -> String {
        actor(self.actor.as_deref())
    }
}

/// The name of whoever acts: as given, or the user who is logged in.
pub(super) fn actor(given: Option<&str>) -> String {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let name = given.map(str::to_owned).filter(|name| !name.trim().is_empty());
    name.or_else(|| variable("SUDO_USER")).or_else(|| variable("USER")).or_else(|| variable("LOGNAME")).unwrap_or_else(|| {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata("/proc/self").map_or_else(|_| "unknown".to_owned(), |data| format!("uid {}", data.uid()))
    })
}

/// A moment as operators read it.
pub(super) fn shown(at: NaiveDateTime) -> String {
    crate::domain::wareki::in_tokyo(at).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// The first characters of an identifier: enough to name it.
pub(super) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let now: NaiveDateTime = "2026-12-01T03:00:00".parse().unwrap();
        for (text, utc) in [
            ("2026-12-01", "2026-11-30 15:00:00"),
            ("2026-12-01 09:00", "2026-12-01 00:00:00"),
            ("2026-12-01T09:00:30", "2026-12-01 00:00:30"),
            ("90m", "2026-12-01 01:30:00"),
            ("2h", "2026-12-01 01:00:00"),
            ("3d", "2026-11-28 03:00:00"),
        ] {
            assert_eq!(moment("--since", text, now).unwrap().to_string(), utc, "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "h", "-2h", "5", "99999999999h", "2時間"] {
            assert!(moment("--since", text, now).unwrap_err().to_string().contains("--since"), "{text}");
        }
    }

    #[test]
    fn the_record_of_a_selection_names_what_was_asked_for() {
        let selection = Selection { group: vec!["a1".to_owned()], since: Some("2h".to_owned()), ..Selection::default() };
        assert_eq!(selection.to_json(), r#"{"group":["a1"],"since":"2h"}"#);
        assert!(Selection::default().is_empty() && !selection.is_empty());
    }
}

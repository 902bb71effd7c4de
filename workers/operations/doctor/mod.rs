//! Examines what the program needs, and says what to do about each problem.

mod broker;
mod database;
mod documents;
mod keys;
mod mail;
mod reference;
mod runs;
mod work;

use chrono::NaiveDateTime;
use serde::Serialize;

use crate::{app, clock::Clock, config::Config, db::Db, fault::chain};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Ok,
    Warning,
    Failure,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The subject; stable.
    #[serde(rename = "what")]
    pub code: &'static str,
    #[serde(rename = "verdict")]
    pub severity: Severity,
    #[serde(rename = "found")]
    pub text: String,
    #[serde(rename = "do")]
    pub hint: Option<String>,
}

impl Finding {
    fn ok(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, severity: Severity::Ok, text: text.into(), hint: None }
    }

    fn warning(code: &'static str, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, severity: Severity::Warning, text: text.into(), hint: Some(hint.into()) }
    }

    fn failure(code: &'static str, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { severity: Severity::Failure, ..Self::warning(code, text, hint) }
    }

    /// Ok with a text, or a failure with a problem and the hint.
    fn of(code: &'static str, found: Result<impl Into<String>, String>, hint: &str) -> Self {
        match found {
            Ok(text) => Self::ok(code, text),
            Err(problem) => Self::failure(code, problem, hint),
        }
    }
}

/// Runs every check; `found` receives the findings of each as soon as it ends.
pub async fn run(config: &Config, mut found: impl FnMut(Vec<Finding>)) {
    found(vec![reference::obligees(config)]);
    found(vec![reference::fonts(config)]);
    found(vec![reference::templates(config)]);
    found(vec![documents::check(config).await]);
    found(vec![mail::check(config).await]);
    let clock = Clock::system();
    let existing = super::database::existing_or_folder(config).map_err(|error| error.message());
    let db = existing.and_then(|()| app::pool(config).map_err(|error| chain(&error))).map(Db::new);
    let rows = match db {
        Ok(db) => {
            let (findings, rows) = database::check(&db, config, &clock).await;
            found(findings);
            rows
        }
        Err(problem) => {
            found(vec![Finding::failure(
                "database",
                problem,
                "correct database.url (`hosho config show` prints it)",
            )]);
            None
        }
    };
    if let Some(rows) = &rows {
        let has_workers =
            app::broker_client(config, crate::stages::NAMES).is_ok_and(|client| !client.in_process());
        found(work::check(rows, has_workers));
    }
    found(keys::check(config, rows.as_ref().map(|rows| rows.data_keys.as_slice())));
    found(broker::check(config, rows.is_some()).await);
}

/// Tolerated difference of clocks in seconds: retries and leases count in minutes.
const SKEW: i64 = 5;

/// Compares another clock, precise to `grain` seconds, with that of this host.
fn skew(code: &'static str, other: NaiveDateTime, here: NaiveDateTime, grain: i64) -> Finding {
    let apart = (other - here).num_seconds();
    if apart.abs() <= SKEW + grain {
        return Finding::ok(code, format!("within {} s of the clock of this host", SKEW + grain));
    }
    let (ahead, apart) = (if apart > 0 { "ahead of" } else { "behind" }, apart.abs());
    Finding::warning(
        code,
        format!("{apart} s {ahead} the clock of this host"),
        "synchronise the clocks of all hosts by NTP: schedules, leases and mail dates depend on them",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The findings of a code: severity and text.
    pub(super) fn of<'a>(findings: &'a [Finding], code: &str) -> Vec<(Severity, &'a str)> {
        let named = findings.iter().filter(|finding| finding.code == code);
        named.map(|finding| (finding.severity, finding.text.as_str())).collect()
    }

    #[test]
    fn clocks_may_differ_a_little() {
        let here: NaiveDateTime = "2026-12-01T00:00:00".parse().unwrap();
        let found = |seconds: i64, grain: i64| {
            let finding = skew("clock", here + chrono::TimeDelta::seconds(seconds), here, grain);
            (finding.severity, finding.text)
        };
        assert_eq!(found(5, 0).0, Severity::Ok);
        assert_eq!(found(-6, 1).0, Severity::Ok);
        assert_eq!(found(6, 0), (Severity::Warning, "6 s ahead of the clock of this host".to_owned()));
        assert_eq!(found(-7, 1), (Severity::Warning, "7 s behind the clock of this host".to_owned()));
    }
}

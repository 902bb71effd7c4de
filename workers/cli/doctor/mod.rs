//! `hosho doctor`

mod broker;
mod database;
mod house;

use std::process::ExitCode;

use serde::Serialize;

use super::{
    Error, print, print_json, printable,
    selection::{Database, DatabaseArgs},
    wording::counted,
};
use crate::{app, clock::Clock, config::Config};

/// Look over everything hosho needs; tell what is not as it should be, and what to do
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho doctor
  hosho doctor --json
  hosho doctor --out demo-out        a folder of `hosho process`

Changes nothing but one small file in the document store. Exit codes: 0 all is well, 1 there are warnings, 4 there are failures.")]
pub(super) struct Args {
    #[command(flatten)]
    place: DatabaseArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Error> {
        self.place.overrides()
    }
}

/// How something was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warning,
    Error,
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
    found: String,
    #[serde(rename = "do")]
    advice: Option<String>,
}

/// The report, told as it grows.
struct Report {
    findings: Vec<Finding>,
    json: bool,
}

impl Report {
    fn ok(&mut self, what: &'static str, found: impl Into<String>) {
        self.add(Finding { what, verdict: Verdict::Ok, found: found.into(), advice: None });
    }

    fn warning(&mut self, what: &'static str, found: impl Into<String>, advice: impl Into<String>) {
        self.add(Finding {
            what,
            verdict: Verdict::Warning,
            found: found.into(),
            advice: Some(advice.into()),
        });
    }

    fn failure(&mut self, what: &'static str, found: impl Into<String>, advice: impl Into<String>) {
        self.add(Finding { what, verdict: Verdict::Error, found: found.into(), advice: Some(advice.into()) });
    }

    fn add(&mut self, finding: Finding) {
        if !self.json {
            let word = match finding.verdict {
                Verdict::Ok => "ok     ",
                Verdict::Warning => "warning",
                Verdict::Error => "failure",
            };
            print(format!("{word}  {:<18}  {}", finding.what, printable(&finding.found)));
            if let Some(advice) = &finding.advice {
                print(format!("         {:<18}  → {}", "", printable(advice)));
            }
        }
        self.findings.push(finding);
    }
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let mut report = Report { findings: Vec::new(), json: args.json };
    house::look(&mut report, &config).await;
    let database = super::existing(&config)
        .map_err(|failure| failure.message())
        .and_then(|()| app::pool(&config).map_err(|error| crate::fault::chain(&error)))
        .map(|pool| Database { pool, clock: Clock::system() });
    let told = match database {
        Ok(database) => database::look(&mut report, &database, &config).await,
        Err(problem) => {
            report.failure("database", problem, "is database.url right?");
            None
        }
    };
    house::keys(&mut report, &config, told.as_ref().map(|told| told.data_keys.as_slice()));
    broker::look(&mut report, &config, told.is_some()).await;
    let worst = report.findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
    if args.json {
        print_json(&report.findings)?;
    } else {
        let count = |verdict| report.findings.iter().filter(|finding| finding.verdict == verdict).count();
        let (warnings, failures) =
            (counted(count(Verdict::Warning), "warning"), counted(count(Verdict::Error), "failure"));
        print(format!("{} ok, {warnings}, {failures}", count(Verdict::Ok)));
    }
    Ok(ExitCode::from(match worst {
        Verdict::Ok => 0,
        Verdict::Warning => 1,
        Verdict::Error => 4,
    }))
}

/// How far two clocks may be apart before it is told, in seconds: retries, leases and resends count in minutes.
const SKEW: i64 = 5;

/// Compares another clock with this host's; `grain` is how exact the other one is, in seconds.
fn skew(
    report: &mut Report,
    what: &'static str,
    other: chrono::NaiveDateTime,
    here: chrono::NaiveDateTime,
    grain: i64,
) {
    let apart = (other - here).num_seconds();
    if apart.abs() <= SKEW + grain {
        report.ok(what, format!("within {} s of this host's", SKEW + grain));
    } else {
        let (ahead, apart) = (if apart > 0 { "ahead of" } else { "behind" }, apart.abs());
        report.warning(
            what,
            format!("{apart} s {ahead} this host's"),
            "set the clocks by NTP on every host: schedules, leases and mail dates go by them",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Report {
        pub(super) fn silent() -> Self {
            Self { findings: Vec::new(), json: true }
        }

        /// What was found under a name: verdict and text.
        pub(super) fn of(&self, what: &str) -> Vec<(Verdict, &str)> {
            self.findings
                .iter()
                .filter(|finding| finding.what == what)
                .map(|finding| (finding.verdict, finding.found.as_str()))
                .collect()
        }
    }

    #[test]
    fn clocks_may_differ_a_little() {
        let here: chrono::NaiveDateTime = "2026-12-01T00:00:00".parse().unwrap();
        let found = |seconds: i64, grain: i64| {
            let mut report = Report::silent();
            skew(&mut report, "clock", here + chrono::TimeDelta::seconds(seconds), here, grain);
            (report.findings[0].verdict, report.findings[0].found.clone())
        };
        assert_eq!(found(5, 0).0, Verdict::Ok);
        assert_eq!(found(-6, 1).0, Verdict::Ok);
        assert_eq!(found(6, 0), (Verdict::Warning, "6 s ahead of this host's".to_owned()));
        assert_eq!(found(-7, 1), (Verdict::Warning, "7 s behind this host's".to_owned()));
    }
}

//! `hosho doctor`

use std::process::ExitCode;

use super::{
    Error, name_of, output, print, print_beside, printable_lines, selection::DatabaseArgs, text::counted,
};
use crate::{
    config::Config,
    operations::doctor::{self, Finding, Severity},
};

/// Examine everything that hosho needs, and print what to do about each problem
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho doctor
  hosho doctor --json
  hosho doctor --out demo-out        a folder of `hosho process`

Changes nothing but one small file in the document store.
Exit codes: 0 no problem, 1 warnings, 4 failures.")]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let mut findings: Vec<Finding> = Vec::new();
    doctor::run(&config, |found| {
        if !args.json {
            found.iter().for_each(print_finding);
        }
        findings.extend(found);
    })
    .await;
    output(args.json, &findings, |findings| {
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let (warnings, failures) =
            (counted(count(Severity::Warning), "warning"), counted(count(Severity::Failure), "failure"));
        print(format!("{} ok, {warnings}, {failures}", count(Severity::Ok)));
    })?;
    let worst = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok);
    Ok(ExitCode::from(match worst {
        Severity::Ok => 0,
        Severity::Warning => 1,
        Severity::Failure => 4,
    }))
}

fn print_finding(finding: &Finding) {
    let severity = name_of(finding.severity);
    print_beside(&format!("{severity:<7}  {:<18}  ", finding.code), printable_lines(&finding.text));
    if let Some(hint) = &finding.hint {
        print_beside(&format!("         {:<18}  → ", ""), printable_lines(hint));
    }
}

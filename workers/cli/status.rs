//! `hosho status`

use std::process::ExitCode;

use super::{
    Error, output, print, print_beside, print_text, printable, printable_lines,
    selection::{open_database, short},
    text::{counted, shown},
};
use crate::{
    config::Config,
    domain::labels,
    operations::applications::{self, ApplicationProgress, Step},
};

/// Show how far a guarantee or application is, with times (Asia/Tokyo)
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho status 31075-00001M            by 保証契約番号 (full-width is fine)
  hosho status A-2026-000123 --json    by the upstream's id, or hosho's
  hosho status 31075-00001M --out hosho-out
                                       in a folder of `hosho process`")]
pub(super) struct Args {
    /// 保証契約番号, the upstream's id of the application, or hosho's
    #[arg(value_name = "NUMBER|APPLICATION-ID")]
    key: String,
    /// A folder of `hosho process` instead of database.url
    #[arg(long, value_name = "FOLDER")]
    pub(super) out: Option<std::path::PathBuf>,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let found = applications::progress(&open_database(&config).await?, &args.key).await?;
    output(args.json, &found, |found| found.iter().for_each(print_progress))
}

fn print_progress(progress: &ApplicationProgress) {
    print_text(format!(
        "application {} of {}: {} ({})",
        printable(&progress.id),
        printable(&progress.source),
        progress.status,
        progress.application
    ));
    progress.steps.iter().for_each(print_step);
    for guarantee in &progress.guarantees {
        let product = format!("{} {}", labels::product(guarantee.product), labels::medium(guarantee.medium));
        print_text(format!("\n{} {}  {product}", guarantee.number, guarantee.target));
        guarantee.steps.iter().for_each(print_step);
    }
    if progress.awaiting_issue > 0 {
        let lines = counted(progress.awaiting_issue, "product line");
        print(format!("{lines} not issued yet"));
    }
    for failed in &progress.failed.items {
        let (stage, text) = (printable(&failed.stage), printable(&failed.text));
        print_text(format!(
            "{} in {stage}: {}  {text}  (`hosho failed show {}`)",
            failed.state,
            printable(&failed.code),
            short(&failed.message)
        ));
    }
    let shown = i64::try_from(progress.failed.items.len()).unwrap_or(i64::MAX);
    if progress.failed.total > shown {
        print(format!("and {} more failed messages", progress.failed.total - shown));
    }
    for violation in &progress.violations {
        print_text(format!(
            "  {}  {}  {}",
            violation.code,
            printable(&violation.path),
            printable(&violation.message_ja)
        ));
    }
}

fn print_step(step: &Step) {
    let at = step.at.map_or_else(|| "waiting".to_owned(), shown);
    print_beside(&format!("  {at:<23}  {:<8}  ", step.stage), printable_lines(&step.what));
}

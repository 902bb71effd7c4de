//! `hosho documents verify`

use std::{process::ExitCode, sync::OnceLock};

use super::{
    Error, exit_code, name_of, output, print_table, print_text, printable, progress_bar,
    selection::open_database, table,
};
use crate::{
    config::Config,
    operations::verify_documents::{self, Report},
};

/// Verify stored documents
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho documents verify 31075-00001M
  hosho documents verify --all --json")]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Sub,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Sub {
    /// Read documents back, draw them again and compare byte for byte
    #[command(after_help = "Examples:
  hosho documents verify 31075-00001M
  hosho documents verify --all --json
  hosho documents verify --all --out hosho-out   a folder of `hosho process`

Results:
  same        stored as drawn, and drawn again to the same bytes
  intact      stored as drawn; drawn again it differs, which is allowed because
              another program, other fonts, templates or settings drew it
              (--strict makes it a failure)
  different   stored as drawn, but the database gives another document now
  damaged     the stored bytes are not those that were drawn
  missing     the document store has no such file
  unrecorded  the certificate has arrived, but this document is not recorded
  undrawable  it cannot be drawn again

Exit code 1 when a document is neither `same` nor `intact`.")]
    Verify {
        /// 保証契約番号 (full-width is fine)
        #[arg(value_name = "NUMBER", required_unless_present = "all", conflicts_with = "all")]
        numbers: Vec<String>,
        /// Every document
        #[arg(long)]
        all: bool,
        /// A folder of `hosho process` instead of database.url, documents.url and keys.file
        #[arg(long, value_name = "FOLDER")]
        out: Option<std::path::PathBuf>,
        /// Exit code 1 also for `intact`
        #[arg(long)]
        strict: bool,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let Sub::Verify { numbers, strict, json, .. } = args.command;
    let db = open_database(&config).await?;
    let bar = OnceLock::new();
    let progress = |total: i64, done: usize| {
        bar.get_or_init(|| progress_bar(u64::try_from(total).unwrap_or(0), "certificates")).inc(done as u64);
    };
    let report = verify_documents::verify_documents(&db, &config, &numbers, progress).await?;
    if let Some(bar) = bar.into_inner() {
        bar.finish_and_clear();
    }
    output(json, &report, print_report)?;
    Ok(exit_code(report.has_faults(strict)))
}

fn print_report(report: &Report) {
    if !report.documents.is_empty() {
        let mut rows = table(["number", "revision", "document", "result", "location or problem"]);
        for finding in &report.documents {
            let more = finding.problem.as_deref().or(finding.location.as_deref()).unwrap_or_default();
            rows.add_row([
                &finding.number,
                &finding.revision.to_string(),
                finding.document,
                &name_of(finding.verdict),
                &printable(more),
            ]);
        }
        print_table(rows);
    }
    let counts: Vec<String> =
        report.counts.iter().map(|(verdict, count)| format!("{count} {}", name_of(verdict))).collect();
    print_text(match report.total() {
        0 => "there are no documents".to_owned(),
        1 if report.all_same() => "1 document verified, identical".to_owned(),
        total if report.all_same() => format!("{total} documents verified, all identical"),
        total => format!("{total} documents verified: {}", counts.join(", ")),
    });
}

//! `hosho process`

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{
    Error, exit_code, output, print_beside, print_table, print_text, printable, progress_bar, table,
    text::counted,
};
use crate::{
    config::Config,
    domain::labels,
    operations::{
        input,
        intake::{
            self, Step,
            report::{Report, Summary},
        },
    },
};

/// Take applications and changes through all stages in this process
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho process examples/applications.jsonl
  hosho process march.jsonl april.jsonl --out results
  generate | hosho process - --json
  hosho process examples/applications.jsonl examples/changes.jsonl

It needs no server. Changes that are not urgent are pending until the night;
`hosho batch start --out FOLDER` applies them now.
Running it again on the same file changes nothing. After an interrupt, running
it again finishes the rest.")]
pub(super) struct Args {
    /// JSON Lines, a JSON array, or JSON objects; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder for the database, the PDFs, the mails and the data keys
    #[arg(long, default_value = "hosho-out", value_name = "FOLDER")]
    pub(super) out: PathBuf,
    /// The result as JSON
    #[arg(long)]
    json: bool,
    /// Log every step to standard error
    #[arg(long, short)]
    pub(super) verbose: bool,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let records = input::read(&args.files)?;
    let bar = progress_bar(records.len() as u64, "answers and guarantees");
    let moving = bar.clone();
    let progress = move |step| match step {
        Step::Answered => moving.inc(1),
        Step::Accepted(guarantees) => moving.inc_length(guarantees as u64),
    };
    let report = intake::process(&args.out, &config, &records, progress).await;
    bar.finish_and_clear();
    let Some(report) = report? else {
        return Err(Error::conflict("interrupted; finished work is kept")
            .hint("run the same command again to finish the rest"));
    };
    output(args.json, &report, print_report)?;
    Ok(exit_code(!report.is_good()))
}

fn print_report(report: &Report) {
    if !report.guarantees.is_empty() {
        let mut rows = table(["application", "product", "number, notice", "mail", ""]);
        for line in &report.guarantees {
            let product = format!("{} {}", labels::product(line.product), labels::medium(line.medium));
            rows.add_row([
                printable(&line.id),
                product,
                format!("{}\n{}", line.number, path_or_dash(line.notice.as_deref())),
                line.mail.to_owned(),
                line.result.to_owned(),
            ]);
        }
        print_table(rows);
    }
    if !report.changes.is_empty() {
        let mut rows = table(["change", "version", "what", "state", "number, certificate"]);
        for line in &report.changes {
            let state = if line.state == "pending" { "pending until the night" } else { line.state };
            rows.add_row([
                printable(&line.id),
                line.version.to_string(),
                line.what.clone(),
                state.to_owned(),
                format!("{}\n{}", line.number, path_or_dash(line.certificate.as_deref())),
            ]);
        }
        print_table(rows);
    }
    for rejected in &report.rejected {
        print_text(format!("\nrejected  {} ({})", printable(&rejected.id), printable(&rejected.place)));
        for violation in &rejected.violations {
            print_text(format!("  {}  {}", violation.code, printable(&violation.path)));
            print_beside("    ", printable(&violation.message_ja));
            print_beside("    ", printable(&violation.message_en));
        }
    }
    for failed in &report.failed {
        print_text(format!(
            "\nfailed in {}  {}  {}\n  {}",
            failed.stage,
            printable(&failed.what),
            failed.code,
            printable(&failed.text)
        ));
    }
    print_text(summary_line(&report.summary));
}

fn path_or_dash(path: Option<&Path>) -> String {
    path.map_or_else(|| "-".to_owned(), |path| path.display().to_string())
}

fn summary_line(summary: &Summary) -> String {
    let what = if summary.changes > 0 { "message" } else { "application" };
    let mut line = format!(
        "\n{} read: {} issued, {} unchanged, {} rejected, {} failed",
        counted(summary.read, what),
        counted(summary.issued, "guarantee"),
        summary.unchanged,
        summary.rejected,
        summary.failed
    );
    if summary.changes > 0 {
        let _ = write!(line, ", {} accepted", counted(summary.changes, "change"));
    }
    if summary.unfinished > 0 {
        let _ = write!(line, ", {} unfinished (run again)", summary.unfinished);
    }
    if summary.resumed > 0 {
        let _ = write!(line, "; {} left by an earlier run processed", counted(summary.resumed, "message"));
    }
    let is_stored = summary.unchanged + summary.rejected > 0
        && summary.issued + summary.failed + summary.unfinished + summary.resumed == 0;
    if is_stored && !summary.fresh {
        line.push_str(". Nothing was changed: all of it was stored before.");
    }
    line
}

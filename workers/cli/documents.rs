//! `hosho documents`: verify, export, list, move and reclaim stored documents

use std::{
    io::Write as _, os::unix::fs::OpenOptionsExt as _, path::PathBuf, process::ExitCode, sync::OnceLock,
};

use hosho_schema::models::document::Kind;

use super::{
    Error, exit_code, name_of, output, print_table, print_text, printable, progress_bar,
    selection::{AuditArgs, DatabaseArgs, open_database},
    table,
};
use crate::{
    config::Config,
    documents::store::Listed,
    operations::{
        stored_documents::{self, Entry, Exported, Inventory},
        verify_documents::{self, Report, Scope},
    },
    text::counted,
};

/// Verify, export, list, move and reclaim stored documents
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho documents verify 31075-00001M
  hosho documents export 31075-00001M --kind notice --reason \"ticket 4711\"
  hosho documents list --json")]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
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
  missing     the document store does not have it
  unrecorded  the certificate has arrived, but this document is not recorded
  undrawable  it cannot be drawn again

Exit code 1 when a document is neither `same` nor `intact`, or a segment is
damaged.")]
    Verify {
        /// 保証契約番号 (full-width is fine)
        #[arg(value_name = "NUMBER", required_unless_present_any = ["all", "segment"], conflicts_with_all = ["all", "segment"])]
        numbers: Vec<String>,
        /// Every document
        #[arg(long, conflicts_with = "segment")]
        all: bool,
        /// The documents of one segment of the store
        #[arg(long, value_name = "SEGMENT")]
        segment: Option<String>,
        /// Exit code 1 also for `intact`
        #[arg(long)]
        strict: bool,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Write a document to a file; an audit entry records who and why
    #[command(after_help = "Examples:
  hosho documents export 31075-00001M --reason \"the contractor lost it\"
  hosho documents export 31075-00001M --kind notice --revision 0 \\
    --to notice.pdf --reason \"ticket 4711\"")]
    Export {
        /// 保証契約番号 (full-width is fine)
        #[arg(value_name = "NUMBER")]
        number: String,
        /// certificate, notice (holds the authentication key) or cancellation
        #[arg(long, value_enum, default_value_t = KindArg::Certificate)]
        kind: KindArg,
        /// By default the last revision with such a document
        #[arg(long, value_name = "NUMBER")]
        revision: Option<i64>,
        /// File to create; by default NUMBER_KIND.pdf
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        #[command(flatten)]
        audit: AuditArgs,
    },
    /// List every document in the store, without database and keys
    ///
    /// Exit code 1 when a segment is damaged; what is whole in it is listed.
    List {
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Move all documents into the store of documents.url
    ///
    /// From documents.previous_url, and from files of their own, as they were stored before segments. Each is
    /// verified. It may be interrupted and repeated, while workers run. The old documents stay where they
    /// are.
    Move {
        #[command(flatten)]
        audit: AuditArgs,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Remove stored documents that no row names
    ///
    /// Workers that were killed leave them. Only segments are touched that have not changed for a day.
    Reclaim {
        #[command(flatten)]
        audit: AuditArgs,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum KindArg {
    Certificate,
    Notice,
    Cancellation,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    match args.command {
        Sub::Verify { numbers, segment, strict, json, .. } => {
            let scope = match segment {
                Some(segment) => Scope::Segment(segment),
                None if numbers.is_empty() => Scope::All,
                None => Scope::Numbers(numbers),
            };
            verify(&config, scope, strict, json).await
        }
        Sub::Export { number, kind, revision, to, audit } => {
            let db = open_database(&config).await?;
            let operation = audit.revealing("documents.export")?;
            let kind = match kind {
                KindArg::Certificate => Kind::Certificate,
                KindArg::Notice => Kind::Notice,
                KindArg::Cancellation => Kind::Cancellation,
            };
            let exported =
                stored_documents::export(&db, &config, operation, &number, revision, kind, audit.dry_run);
            write(&exported.await?, to)
        }
        Sub::List { json } => {
            let inventory = stored_documents::list(&config).await?;
            output(json, &inventory, print_list)?;
            Ok(exit_code(!inventory.damaged.is_empty()))
        }
        Sub::Move { audit, json } => {
            let db = open_database(&config).await?;
            let operation = audit.operation("documents.move")?;
            let bar = OnceLock::new();
            let progress = |total: i64, done: usize| {
                let new = || progress_bar(u64::try_from(total).unwrap_or(0), "documents");
                bar.get_or_init(new).inc(done as u64);
            };
            let moved = stored_documents::move_all(&db, &config, operation, audit.dry_run, progress).await?;
            if let Some(bar) = bar.into_inner() {
                bar.finish_and_clear();
            }
            output(json, &moved, |moved| {
                let verb = if audit.dry_run { "would be moved" } else { "moved" };
                print_text(format!(
                    "{} {verb}, {} there already",
                    counted(moved.moved, "document"),
                    moved.present
                ));
                for failed in &moved.failed {
                    print_text(format!("cannot be read, left where it is: {}", printable(failed)));
                }
            })?;
            Ok(exit_code(!moved.failed.is_empty()))
        }
        Sub::Reclaim { audit, json } => {
            let db = open_database(&config).await?;
            let operation = audit.operation("documents.reclaim")?;
            let reclaimed = stored_documents::reclaim(&db, &config, operation, audit.dry_run).await?;
            output(json, &reclaimed, |reclaimed| {
                let verb = if audit.dry_run { "would be removed" } else { "removed" };
                print_text(format!(
                    "{} that no row names ({} bytes); {} {verb}, {} stored again",
                    counted(reclaimed.documents, "document"),
                    reclaimed.bytes,
                    counted(reclaimed.segments, "segment"),
                    counted(reclaimed.moved, "document"),
                ));
                for segment in &reclaimed.damaged {
                    print_text(format!("damaged, left alone: {}", printable(segment)));
                }
                if reclaimed.unknown > 0 {
                    let documents = counted(reclaimed.unknown, "document");
                    print_text(format!(
                        "{documents} unknown to this database, left alone: it may be an older copy, or another one"
                    ));
                }
            })?;
            Ok(exit_code(reclaimed.unknown > 0 || !reclaimed.damaged.is_empty()))
        }
    }
}

/// Creates the file, which only its owner can read.
fn write(exported: &Exported, to: Option<PathBuf>) -> Result<ExitCode, Error> {
    let file =
        to.unwrap_or_else(|| PathBuf::from(format!("{}_{}.pdf", exported.number, exported.kind.as_text())));
    if let Some(bytes) = &exported.bytes {
        let created = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file);
        let mut created = created.map_err(|error| {
            Error::invalid(format!("cannot create {}: {error}", file.display()))
                .hint("name another file with --to")
        })?;
        created.write_all(bytes).and_then(|()| created.sync_all()).map_err(|error| {
            // A part of a document is none.
            let _ = std::fs::remove_file(&file);
            Error::unavailable(error).context(format!("cannot write {}", file.display()))
        })?;
    }
    let verb = if exported.bytes.is_some() { "" } else { "would be written: " };
    print_text(format!(
        "{verb}{} of {}, revision {}: {}",
        exported.kind.as_text(),
        exported.number,
        exported.revision,
        file.display()
    ));
    Ok(ExitCode::SUCCESS)
}

fn print_list(inventory: &Inventory) {
    for Entry { segment, document: Listed { position, header, .. } } in &inventory.documents {
        print_text(format!(
            "{} {} {} {segment} at {position}",
            printable(&header.number),
            header.revision,
            header.kind.as_text()
        ));
    }
    print_text(counted(inventory.documents.len(), "document"));
    for (segment, problem) in &inventory.damaged {
        print_text(format!("damaged: {}: {}", printable(segment), printable(problem)));
    }
}

async fn verify(config: &Config, scope: Scope, strict: bool, json: bool) -> Result<ExitCode, Error> {
    let db = open_database(config).await?;
    let bar = OnceLock::new();
    let progress = |total: i64, done: usize| {
        bar.get_or_init(|| progress_bar(u64::try_from(total).unwrap_or(0), "")).inc(done as u64);
    };
    let report = verify_documents::verify_documents(&db, config, scope, progress).await?;
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
    if let Some(problem) = &report.segment_problem {
        print_text(format!("the segment is damaged: {}", printable(problem)));
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

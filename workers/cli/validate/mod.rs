//! `hosho validate`: checks files of applications; nothing is issued, nothing is written.
//!
//! What it answers is what the validate stage would answer if the applications came to it one after the other, in the order of the
//! files. So it is made of the same parts: each application is judged by itself ([`alone`], on all cores), then in order against
//! what came before ([`history`]), as [`crate::stages::validate::decide`] does it under the lock of the works. The difference is where "before" is
//! kept: here in memory, and read from the database only when asked (`--database`). An application that would be a dead letter
//! (no JSON, too large, no readable `source`) is told as rejected: whoever has the file can correct it.
//!
//! A file is taken apart by [`input`](super::input) and judged in portions, each told before the next is judged, so that what is
//! held is the file and what later applications may be measured by: identifiers, and what the accepted ones engage.
//!
//! Three forms of the answer ([`report`]): for people, for programs, and for editors. The last points at the offending
//! value in the text; how its place is found is told in [`places`].
//!
//! Rejected: running the pipeline on a database in memory and rolling it back. It needs keys, a document store and a mail folder, and would judge
//! on one core; and nothing that ends in `issue` should be one mistake away from a check.

mod alone;
mod history;
mod places;
mod report;
mod words;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use chrono::NaiveDate;
use hosho_schema::messages::ProductV1;
use rayon::prelude::*;

use self::{
    alone::{Alone, Judge},
    history::{History, Place},
    report::{Checked, Report, Unreadable},
    words::Language,
};
use super::{Error, existing, input, printable_lines};
use crate::{app, clock::Clock, config::Config, domain::wareki};

/// Check applications in files; issues nothing and writes nothing
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho validate examples/applications.jsonl examples/rejected.jsonl
  hosho validate march.jsonl --verbose             how every amount was judged, of accepted ones too
  hosho validate march.json --format lines         FILE:LINE:COLUMN: error: … for editors and CI
  generate | hosho validate - --format json | jq '.applications[] | select(.verdict == \"rejected\")'
  hosho validate march.jsonl --on 2027-04-01       as if they came in on that day (Asia/Tokyo)
  hosho validate interim.jsonl --out hosho-out     with what `hosho process` has stored in that folder
  HOSHO__DATABASE__URL=postgres://… hosho validate interim.jsonl --database

Applications are judged in the order of the files, each as if the accepted ones before it had been stored. With --database
(or --out) also against what is stored; the database is only read.

--format json, one document:
  applications[]  file, line (from 1), source, id (null where they cannot be read), verdict (accepted, rejected),
                  repeats (null, or file and line of the application with the same source and id), stored (whether the
                  database knows it), products[] (product, medium), calculations[] (as in application.accepted.v1)
    .violations[] code, path, message_ja, message_en, line, column (of the value; characters, from 1)
  unreadable[]    file, problem
  summary         applications, accepted, rejected, repeated, stored, unreadable

Exit codes:
  0  all accepted
  1  something is rejected
  2  wrong usage
  3  the configuration is not valid
  4  a file cannot be read (the others are checked), or the fonts or the database are not available")]
pub(super) struct Args {
    /// JSON Lines, a JSON array, or JSON objects; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How to answer
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Language of the messages in table and lines
    #[arg(long, value_enum, default_value_t = Language::Ja)]
    lang: Language,
    /// Judge as of this day instead of today: YYYY-MM-DD or 令和8年7月1日
    #[arg(long, value_name = "DAY", value_parser = day)]
    on: Option<NaiveDate>,
    /// Judge against what the configured database holds, too; it is only read
    #[arg(long)]
    database: bool,
    /// The same with the database in a folder of `hosho process`
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Show how every amount was judged (table)
    #[arg(long, short)]
    verbose: bool,
}

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Table,
    /// One JSON document
    Json,
    /// One line per violation
    Lines,
}

/// Applications judged at a time.
const PORTION: usize = 2_000;

fn day(text: &str) -> Result<NaiveDate, String> {
    wareki::parse(text).map_err(|error| error.to_string())
}

impl Args {
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Error> {
        self.out.as_deref().map_or(Ok(Vec::new()), super::database_of)
    }
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    tokio::task::spawn_blocking(move || check(&args, &config)).await.map_err(Error::unavailable)?
}

fn check(args: &Args, config: &Config) -> Result<ExitCode, Error> {
    let today = args.on.unwrap_or_else(|| wareki::in_tokyo(Clock::system().now()).date_naive());
    let looks_back = args.database || args.out.is_some();
    let judge = Judge {
        data: app::data(config)?,
        fonts: app::fonts(&config.fonts)?,
        received_on: today,
        max_bytes: config.work.max_message_bytes,
    };
    let mut history = History::new(today, if looks_back { Some(database(config)?) } else { None });
    let mut report = Report::new(args.format, args.lang, args.verbose);
    let mut asks_interim = false;
    report.begin();
    for file in &args.files {
        match input::slurp(file) {
            Ok(bytes) => asks_interim |= check_file(file, &bytes, &judge, &mut history, &mut report)?,
            Err(error) => {
                let failure =
                    Error::unavailable(anyhow::anyhow!("cannot read {}: {error}", input::name(file))).hint(
                        "give files of JSON Lines, JSON arrays or JSON objects, or - for standard input",
                    );
                tell(&failure);
                report.unreadable(Unreadable { file: shown(file), problem: error.to_string() });
            }
        }
    }
    report.end()?;
    if asks_interim && !looks_back {
        tell(
            &"note: without --database only these files are looked at. An advance payment guarantee issued before is not known here,\n      \
            so an interim advance is refused (interim_advance.…) that may well be accepted",
        );
    }
    Ok(ExitCode::from(report.summary().exit_code()))
}

/// Checks one file; tells whether any application asks for an interim advance.
fn check_file(
    file: &Path,
    bytes: &[u8],
    judge: &Judge,
    history: &mut History,
    report: &mut Report,
) -> Result<bool, Error> {
    let name: Arc<str> = shown(file).into();
    let mut asks_interim = false;
    for portion in input::pieces(bytes).chunks(PORTION) {
        let alone: Vec<Alone> =
            portion.par_iter().map(|piece| judge.judge(&bytes[piece.bytes.clone()], piece)).collect();
        asks_interim |= alone
            .iter()
            .flat_map(|alone| &alone.about.products)
            .any(|line| line.product == ProductV1::InterimAdvancePayment);
        let stored = history.look_up(&alone).map_err(unreachable_database)?;
        let decided = alone
            .into_iter()
            .zip(portion)
            .map(|(alone, piece)| {
                history.decide(alone, &stored, &Place { file: Arc::clone(&name), line: piece.at.line })
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(Error::unavailable)?;
        let checked: Vec<Checked> = decided
            .into_par_iter()
            .zip(portion)
            .map(|(decided, piece)| Checked::new(&name, piece, &bytes[piece.bytes.clone()], decided))
            .collect();
        report.add(&checked)?;
    }
    Ok(asks_interim)
}

/// The file as the caller named it.
fn shown(file: &Path) -> String {
    file.display().to_string()
}

/// Opens the database, and makes sure of it before anything is told.
fn database(config: &Config) -> Result<hosho_schema::db::Connection, Error> {
    existing(config)?;
    let mut connection = app::pool(config)?.get().map_err(unreachable_database)?;
    history::probe(&mut connection).map_err(unreachable_database)?;
    Ok(connection)
}

fn unreachable_database(error: hosho_schema::db::DbError) -> Error {
    Error::unavailable(error).hint(
        "is database.url right, the server up, and are the tables up to date (`hosho migrate --check`)?",
    )
}

#[expect(clippy::print_stderr, reason = "for the person at the terminal; standard output is the answer")]
fn tell(text: &dyn std::fmt::Display) {
    eprintln!("{}", printable_lines(&text.to_string()));
}

//! `hosho validate`

mod output;
mod text;

use std::{path::PathBuf, process::ExitCode};

use chrono::NaiveDate;

use self::{output::Report, text::Language};
use super::{Error, remark_beside, remark_error};
use crate::{
    config::Config,
    domain::wareki,
    operations::{
        check::{Checker, Unreadable},
        input,
    },
};

/// Check applications in files; issues nothing and writes nothing
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho validate examples/applications.jsonl examples/rejected.jsonl
  hosho validate march.jsonl --verbose          with every calculation
  hosho validate march.json --format lines      for editors and CI:
                                                FILE:LINE:COLUMN: error: …
  generate | hosho validate - --json | jq .summary
  hosho validate march.jsonl --on 2027-04-01    as if received on that day
  hosho validate interim.jsonl --out hosho-out  with a folder of `hosho process`
  HOSHO__DATABASE__URL=postgres://… hosho validate interim.jsonl --database

Applications are judged in the order of the files, each as if the accepted ones
before it had been stored. With --database (or --out) also against stored ones;
the database is only read.

--json (or --format json), one document:
  applications[]  file, line (from 1), source, id (null where they cannot be
                  read), verdict (accepted, rejected), repeats (null, or file
                  and line of the application with the same source and id),
                  stored (whether it is in the database), products[] (product,
                  medium), calculations[] (as in application.accepted.v1)
    .violations[] code, path, message_ja, message_en, line, column (of the
                  value; characters, from 1)
  unreadable[]    file, problem
  summary         applications, accepted, rejected, repeated, stored, unreadable

Exit codes:
  0  all accepted
  1  something is rejected
  2  wrong usage
  3  the configuration is not valid
  4  a file cannot be read (the others are checked), or the fonts or the
     database are not available")]
pub(super) struct Args {
    /// JSON Lines, a JSON array, or JSON objects; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Format of the answer
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Language of the messages in table and lines
    #[arg(long, value_enum, default_value_t = Language::Ja)]
    lang: Language,
    /// Judge as of this day instead of today: YYYY-MM-DD or 令和8年7月1日
    #[arg(long, value_name = "DAY", value_parser = day)]
    on: Option<NaiveDate>,
    /// Judge against stored applications too; the database is only read
    #[arg(long)]
    database: bool,
    /// The same with the database in a folder of `hosho process`
    #[arg(long, value_name = "FOLDER")]
    pub(super) out: Option<PathBuf>,
    /// Show every calculation (table)
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Table,
    /// One JSON document
    Json,
    /// One line per violation
    Lines,
}

fn day(text: &str) -> Result<NaiveDate, String> {
    wareki::parse(text).map_err(|error| error.to_string())
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    tokio::task::spawn_blocking(move || check(&args, &config)).await.map_err(Error::unavailable)?
}

fn check(args: &Args, config: &Config) -> Result<ExitCode, Error> {
    let database = args.database || args.out.is_some();
    let mut checker = Checker::open(config, args.on, database)?;
    let format = if args.json { Format::Json } else { args.format };
    let mut report = Report::new(format, args.lang, args.verbose);
    report.begin();
    for file in &args.files {
        let name = file.display().to_string();
        match input::read_file(file) {
            Ok(bytes) => checker.check(&name, &bytes, |checked| report.add(checked))?,
            Err(error) => {
                let text = format!("cannot read {}: {error}", input::name(file));
                let hint = "give files of JSON Lines, JSON arrays or JSON objects, or - for standard input";
                remark_error(&Error::unavailable(anyhow::anyhow!(text)).hint(hint));
                report.unreadable(Unreadable { file: name, problem: error.to_string() });
            }
        }
    }
    report.end()?;
    if report.has_interim && !database {
        remark_beside(
            "note: ",
            "without --database only these files are read. An advance payment guarantee issued before is not \
             among them, so an interim advance may be refused here (interim_advance.…) and still be accepted",
        );
    }
    Ok(ExitCode::from(report.summary.exit_code()))
}

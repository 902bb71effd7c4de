//! `hosho obligees list|show|check`

mod show;

use std::{path::PathBuf, process::ExitCode};

use chrono::NaiveDate;
use clap::Subcommand;
use hosho_schema::messages::{ProductV1, WorksKindV1};

use super::{Error, output, print, print_table, print_text, printable, table, text::counted};
use crate::{
    config::Config,
    domain::labels,
    operations::obligees::{self, Checked, Summary},
};

/// Show the obligees and their rules on a day, or check their files
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho obligees list
  hosho obligees show hirakawa                     today (Asia/Tokyo)
  hosho obligees show hirakawa --on 2026-04-01     on a day
  hosho obligees check                             the files in force
  hosho obligees check ./data                      a folder with obligees/")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Every obligee, and since when it accepts which products electronically
    List {
        /// JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// All rules of an obligee on a day
    Show {
        /// Code of the obligee, as in `hosho obligees list`
        code: String,
        /// The day, YYYY-MM-DD; today in Tokyo when left out
        #[arg(long, value_name = "DATE", value_parser = day)]
        on: Option<NaiveDate>,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Read all files of obligees and the national limits;
    /// exit code 1 when one is not valid
    Check {
        /// Folder with obligees/ and perhaps national.toml; data.folder when left out
        folder: Option<PathBuf>,
        /// The problems as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Strict, so that a day is unambiguous.
fn day(text: &str) -> Result<NaiveDate, String> {
    let shape = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| shape);
    day.ok_or_else(|| "a day is written YYYY-MM-DD, such as 2026-04-01".to_owned())
}

pub(super) fn run(args: Args, config: &Config) -> Result<ExitCode, Error> {
    match args.command {
        Sub::List { json } => output(json, &obligees::list(config)?, |obligees| print_list(obligees)),
        Sub::Show { code, on, json } => output(json, &obligees::show(config, &code, on)?, show::print_rules),
        Sub::Check { folder, json } => {
            let checked = obligees::check(config, folder.as_deref())?;
            let done = output(json, &checked, print_checked)?;
            checked.result().map(|()| done)
        }
    }
}

fn print_list(obligees: &[Summary]) {
    let mut table = table(["code", "name", "electronic", "for", "since"]);
    for obligee in obligees {
        let (code, name) = (printable(&obligee.code), printable(&obligee.name));
        if obligee.electronic.is_empty() {
            table.add_row([code.as_str(), name.as_str(), "no: paper", "", ""]);
        }
        for (index, acceptance) in obligee.electronic.iter().enumerate() {
            let (code, name) = if index == 0 { (code.as_str(), name.as_str()) } else { ("", "") };
            let since = acceptance.from.zip(acceptance.basis);
            let since = since
                .map_or_else(|| "no first day".to_owned(), |(from, basis)| format!("{from} {}", basis.ja()));
            let (products, kinds) = (products(&acceptance.products, "、"), kinds(&acceptance.kinds, "、"));
            table.add_row([code, name, &products, &kinds, &since]);
        }
    }
    print_table(table);
}

fn print_checked(Checked { obligees, problems }: &Checked) {
    match obligees {
        Some(count) => print(format!("{} and the national limits are valid.", counted(*count, "obligee"))),
        None => problems.iter().for_each(|problem| print_text(printable(&problem.to_string()))),
    }
}

/// `all` when none is missing.
fn products(products: &[ProductV1], between: &str) -> String {
    named(ProductV1::ALL, products, labels::product, between)
}

/// `all` when none is missing.
fn kinds(kinds: &[WorksKindV1], between: &str) -> String {
    const ALL: [WorksKindV1; 4] =
        [WorksKindV1::Construction, WorksKindV1::Design, WorksKindV1::Surveying, WorksKindV1::Machinery];
    named(&ALL, kinds, labels::kind, between)
}

fn named<T: PartialEq + Copy>(
    all: &[T],
    some: &[T],
    name: impl Fn(T) -> &'static str,
    between: &str,
) -> String {
    if all.iter().all(|one| some.contains(one)) {
        return "all".to_owned();
    }
    all.iter().filter(|one| some.contains(one)).map(|one| name(*one)).collect::<Vec<_>>().join(between)
}

//! `hosho obligees list|show|check`

mod list;
mod show;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
};

use chrono::NaiveDate;
use clap::Subcommand;
use hosho_schema::messages::{ProductV1, WorksKindV1};
use serde::Serialize;

use super::{Failure, print, print_json, printable, wording::counted};
use crate::{
    assembly,
    config::Config,
    domain::labels,
    obligees::{self, Acceptance, Basis, OlderContracts, Problem, RegistryError},
};

/// Show the obligees and what holds for them on a day, or check their files
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho obligees list
  hosho obligees show hirakawa                     what holds today (Asia/Tokyo)
  hosho obligees show hirakawa --on 2026-04-01     what holds on a day
  hosho obligees check                             the files in force
  hosho obligees check ./data                      those of a folder with obligees/, before it goes into force")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Every obligee, and what it takes electronically since when
    List {
        /// JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Everything that holds for an obligee on a day
    Show {
        /// Code of the obligee, as `hosho obligees list` has it
        code: String,
        /// The day, YYYY-MM-DD; today in Tokyo unless given
        #[arg(long, value_name = "DATE", value_parser = day)]
        on: Option<NaiveDate>,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Read all files of obligees and the national limits; exit code 1 with a line per problem when one is wrong
    Check {
        /// Folder with obligees/ and perhaps national.toml; data.folder unless given
        folder: Option<PathBuf>,
        /// The problems as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Strict, so that a day can be read in one way only.
fn day(text: &str) -> Result<NaiveDate, String> {
    let shape = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| shape);
    day.ok_or_else(|| "a day is written YYYY-MM-DD, such as 2026-04-01".to_owned())
}

pub(super) fn run(args: Args, config: &Config) -> Result<ExitCode, Failure> {
    match args.command {
        Sub::List { json } => list::run(&assembly::obligees(config)?, json),
        Sub::Show { code, on, json } => show::run(&assembly::obligees(config)?, &code, on, json),
        Sub::Check { folder, json } => check(folder.as_deref(), config, json),
    }
}

/// What `check --json` tells.
#[derive(Debug, Serialize)]
struct Verdict {
    /// How many are sound; `null` when something is wrong.
    obligees: Option<usize>,
    problems: Vec<ShownProblem>,
}

#[derive(Debug, Serialize)]
struct ShownProblem {
    file: String,
    line: usize,
    text: String,
}

fn check(folder: Option<&Path>, config: &Config, json: bool) -> Result<ExitCode, Failure> {
    let (count, problems) = match obligees::load(folder.or(config.data.folder.as_deref())) {
        Ok(registry) => (Some(registry.iter().count()), Vec::new()),
        Err(RegistryError::Invalid { problems }) => (None, problems.0),
        Err(error @ RegistryError::ListFolder { .. }) if folder.is_some() => {
            let error = Failure::usage(format!("{:#}", anyhow::Error::new(error)));
            return Err(error.hint("give the folder that holds obligees/, as data.folder would name it"));
        }
        Err(error) => {
            return Err(Failure::found(error).hint(
                "a folder of data holds obligees/*.toml, UTF-8; see data.folder in config/default.toml",
            ));
        }
    };
    let wrong = !problems.is_empty();
    let files = problems.iter().map(|problem| &problem.file).collect::<BTreeSet<_>>().len();
    let told = format!("{} in {}", counted(problems.len(), "problem"), counted(files, "file"));
    if json {
        let shown = |Problem { file, line, text }| ShownProblem { file, line, text };
        print_json(&Verdict { obligees: count, problems: problems.into_iter().map(shown).collect() })?;
    } else if let Some(count) = count {
        print(format!("{} and the national limits are valid.", counted(count, "obligee")));
    } else {
        for problem in &problems {
            print(printable(&problem.to_string()));
        }
    }
    if wrong {
        return Err(Failure::found(anyhow::anyhow!(told))
            .hint("config/obligees/hirakawa.toml and config/national.toml explain every key"));
    }
    Ok(ExitCode::SUCCESS)
}

/// An [`Acceptance`] as JSON.
#[derive(Debug, Serialize)]
struct ShownAcceptance {
    products: Vec<ProductV1>,
    kinds: Vec<WorksKindV1>,
    /// `null`: no first day, every contract counts.
    from: Option<NaiveDate>,
    basis: Option<Basis>,
    older_contracts: Option<OlderContracts>,
    /// Whether the first day has come on the day asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    begun: Option<bool>,
}

impl ShownAcceptance {
    fn new(acceptance: &Acceptance, on: Option<NaiveDate>) -> Self {
        let start = acceptance.start;
        Self {
            products: acceptance.products.clone(),
            kinds: acceptance.kinds.clone(),
            from: start.map(|start| start.on),
            basis: start.map(|start| start.basis),
            older_contracts: start.map(|start| start.older_contracts),
            begun: on.map(|on| start.is_none_or(|start| start.on <= on)),
        }
    }
}

/// Products, short: `all` when none is missing.
fn products(products: &[ProductV1], between: &str) -> String {
    const ALL: [ProductV1; 3] =
        [ProductV1::AdvancePayment, ProductV1::InterimAdvancePayment, ProductV1::Performance];
    named(&ALL, products, labels::product, between)
}

/// Kinds of works, short: `all` when none is missing.
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

//! `hosho obligees list|show|check`

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

use super::{Error, output, print, print_table, print_text, printable, table, text::counted};
use crate::{
    app,
    config::Config,
    domain::labels,
    operations::ErrorKind,
    reference::obligees::{self, Acceptance, Basis, Obligee, OlderContracts, Registry, RegistryError},
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
        Sub::List { json } => list(&app::obligees(config)?, json),
        Sub::Show { code, on, json } => show::run(&app::obligees(config)?, &code, on, json),
        Sub::Check { folder, json } => check(folder.as_deref(), config, json),
    }
}

#[derive(Debug, Serialize)]
struct Listed<'a> {
    code: &'a str,
    name: &'a str,
    title: &'a str,
    electronic: Vec<ShownAcceptance>,
}

fn list(registry: &Registry, json: bool) -> Result<ExitCode, Error> {
    let shown = registry.iter().map(|obligee| Listed {
        code: &obligee.code,
        name: &obligee.name,
        title: &obligee.title,
        electronic: ShownAcceptance::all(obligee, None),
    });
    output(json, &shown.collect::<Vec<_>>(), |_| print_list(registry))
}

fn print_list(registry: &Registry) {
    let mut table = table(["code", "name", "electronic", "for", "since"]);
    for obligee in registry.iter() {
        let (code, name) = (printable(&obligee.code), printable(&obligee.name));
        if obligee.electronic.is_empty() {
            table.add_row([code.as_str(), name.as_str(), "no: paper", "", ""]);
        }
        for (index, acceptance) in obligee.electronic.iter().enumerate() {
            let (code, name) = if index == 0 { (code.as_str(), name.as_str()) } else { ("", "") };
            let since = acceptance.start.map_or_else(
                || "no first day".to_owned(),
                |start| format!("{} {}", start.on, start.basis.ja()),
            );
            let (products, kinds) = (products(&acceptance.products, "、"), kinds(&acceptance.kinds, "、"));
            table.add_row([code, name, &products, &kinds, &since]);
        }
    }
    print_table(table);
}

fn check(folder: Option<&Path>, config: &Config, json: bool) -> Result<ExitCode, Error> {
    let (count, problems) = match obligees::load(folder.or(config.data.folder.as_deref())) {
        Ok(registry) => (Some(registry.iter().count()), Vec::new()),
        Err(RegistryError::Invalid { problems }) => (None, problems.0),
        Err(error @ RegistryError::ListFolder { .. }) if folder.is_some() => {
            let error = Error::invalid(format!("{:#}", anyhow::Error::new(error)));
            return Err(error.hint("give the folder that holds obligees/, as data.folder would name it"));
        }
        Err(error) => {
            return Err(Error::new(ErrorKind::Conflict, error).hint(
                "name a folder that holds obligees/*.toml in UTF-8; see data.folder in config/default.toml",
            ));
        }
    };
    let done =
        output(json, &serde_json::json!({ "obligees": count, "problems": problems }), |_| match count {
            Some(count) => print(format!("{} and the national limits are valid.", counted(count, "obligee"))),
            None => problems.iter().for_each(|problem| print_text(printable(&problem.to_string()))),
        })?;
    if problems.is_empty() {
        return Ok(done);
    }
    let files = problems.iter().map(|problem| &problem.file).collect::<BTreeSet<_>>().len();
    let summary = format!("{} in {}", counted(problems.len(), "problem"), counted(files, "file"));
    Err(Error::conflict(summary)
        .hint("read config/obligees/hirakawa.toml and config/national.toml, which explain every key"))
}

#[derive(Debug, Serialize)]
struct ShownAcceptance {
    products: Vec<ProductV1>,
    kinds: Vec<WorksKindV1>,
    /// `null`: no first day, all contracts.
    from: Option<NaiveDate>,
    basis: Option<Basis>,
    older_contracts: Option<OlderContracts>,
    /// Whether the first day is not after the given day.
    #[serde(skip_serializing_if = "Option::is_none")]
    begun: Option<bool>,
}

impl ShownAcceptance {
    fn all(obligee: &Obligee, on: Option<NaiveDate>) -> Vec<Self> {
        let shown = |Acceptance { products, kinds, start }: &Acceptance| Self {
            products: products.clone(),
            kinds: kinds.clone(),
            from: start.map(|start| start.on),
            basis: start.map(|start| start.basis),
            older_contracts: start.map(|start| start.older_contracts),
            begun: on.map(|on| start.is_none_or(|start| start.on <= on)),
        };
        obligee.electronic.iter().map(shown).collect()
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

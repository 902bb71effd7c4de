//! The obligees, their rules on a day, and the check of their files.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use chrono::NaiveDate;
use hosho_schema::{
    messages::{ProductV1, WorksKindV1},
    money::Yen,
    snapshots::{Channel, Works},
};
use serde::{Serialize, Serializer};

use super::{Error, ErrorKind, counted};
use crate::{
    app,
    clock::Clock,
    config::Config,
    domain::wareki::in_tokyo,
    reference::obligees::{
        self, Basis, LimitField, LimitValue, Obligee, OlderContracts, Origin, Problem, Registry,
        RegistryError, SubmissionRule,
    },
};

/// Minimum similarity (Jaro-Winkler, 0 to 1) of a suggested code.
const SIMILAR: f64 = 0.75;

#[derive(Debug, Serialize)]
pub struct Summary {
    pub code: String,
    pub name: String,
    pub title: String,
    pub electronic: Vec<Acceptance>,
}

#[derive(Debug, Serialize)]
pub struct Acceptance {
    pub products: Vec<ProductV1>,
    pub kinds: Vec<WorksKindV1>,
    /// `null`: no first day, all contracts.
    pub from: Option<NaiveDate>,
    pub basis: Option<Basis>,
    pub older_contracts: Option<OlderContracts>,
    /// Whether the first day is not after the given day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begun: Option<bool>,
}

/// The rules of a day, with limits as in the files.
#[derive(Debug, Serialize)]
pub struct Rules {
    pub code: String,
    pub name: String,
    pub title: String,
    pub on: NaiveDate,
    pub electronic: Vec<Acceptance>,
    pub limits: Limits,
    pub submission: Vec<Submission>,
}

#[derive(Debug, Serialize)]
pub struct Limits {
    pub basis: Basis,
    /// First day of these values; `null` without one.
    pub since: Option<NaiveDate>,
    pub next_change: Option<NaiveDate>,
    #[serde(serialize_with = "by_table")]
    pub values: Vec<Limit>,
}

#[derive(Debug, Serialize)]
pub struct Limit {
    #[serde(skip)]
    pub field: LimitField,
    /// `"40%"`, `10000`, or `null` without such a bound.
    pub value: Option<LimitValue>,
    pub origin: Origin,
    /// The value from the next change on.
    #[serde(skip)]
    pub next: Option<LimitValue>,
}

#[derive(Debug, Serialize)]
pub struct Submission {
    /// `null`: all without an entry of their own.
    pub products: Option<Vec<ProductV1>>,
    pub channel: Channel,
    pub department: Option<String>,
    pub mail_address: Option<String>,
    pub system: Option<String>,
    pub subject: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Checked {
    /// `null` when a file has a problem.
    pub obligees: Option<usize>,
    pub problems: Vec<Problem>,
}

pub fn list(config: &Config) -> Result<Vec<Summary>, Error> {
    let summary = |obligee: &Obligee| Summary {
        code: obligee.code.clone(),
        name: obligee.name.clone(),
        title: obligee.title.clone(),
        electronic: acceptances(obligee, None),
    };
    Ok(app::obligees(config)?.iter().map(summary).collect())
}

/// Without a day: today in Tokyo.
pub fn show(config: &Config, code: &str, on: Option<NaiveDate>) -> Result<Rules, Error> {
    let registry = app::obligees(config)?;
    let (Some(obligee), Some(origins)) = (registry.get(code), registry.origins(code)) else {
        return Err(unknown(&registry, code));
    };
    let on = on.unwrap_or_else(|| in_tokyo(Clock::system().now()).date_naive());
    let (since, limits) = obligee.limits.period(on);
    let (next_change, next) = obligee.limits.next_after(on).unzip();
    let limit = |field: LimitField| Limit {
        field,
        value: field.of(limits),
        origin: origins.on(on).of(field),
        next: field.of(next.unwrap_or(limits)),
    };
    Ok(Rules {
        code: obligee.code.clone(),
        name: obligee.name.clone(),
        title: obligee.title.clone(),
        on,
        electronic: acceptances(obligee, Some(on)),
        limits: Limits {
            basis: obligee.limits_basis,
            since,
            next_change,
            values: LimitField::ALL.into_iter().map(limit).collect(),
        },
        submission: submissions(obligee),
    })
}

/// Reads the files in `folder`, or those in force.
pub fn check(config: &Config, folder: Option<&Path>) -> Result<Checked, Error> {
    match obligees::load(folder.or(config.data.folder.as_deref())) {
        Ok(registry) => Ok(Checked { obligees: Some(registry.iter().count()), problems: Vec::new() }),
        Err(RegistryError::Invalid { problems }) => Ok(Checked { obligees: None, problems: problems.0 }),
        Err(error @ RegistryError::ListFolder { .. }) if folder.is_some() => {
            Err(Error::new(ErrorKind::Invalid, error)
                .hint("give the folder that holds obligees/, as data.folder would name it"))
        }
        Err(error) => Err(Error::new(ErrorKind::Conflict, error).hint(
            "name a folder that holds obligees/*.toml in UTF-8; see data.folder in config/default.toml",
        )),
    }
}

impl Checked {
    /// Fails if there are problems; counts them.
    pub fn result(&self) -> Result<(), Error> {
        if self.problems.is_empty() {
            return Ok(());
        }
        let files: BTreeSet<_> = self.problems.iter().map(|problem| &problem.file).collect();
        let (problems, files) = (counted(self.problems.len(), "problem"), counted(files.len(), "file"));
        Err(Error::conflict(format!("{problems} in {files}"))
            .hint("read config/obligees/hirakawa.toml and config/national.toml, which explain every key"))
    }
}

fn unknown(registry: &Registry, code: &str) -> Error {
    let similarity = |obligee: &Obligee| {
        let typed = code.trim();
        let is_named = !typed.is_empty() && (obligee.name.contains(typed) || obligee.title.contains(typed));
        if is_named { 1.0 } else { strsim::jaro_winkler(&obligee.code, &typed.to_lowercase()) }
    };
    let similar = registry.iter().map(|obligee| (similarity(obligee), obligee));
    let mut similar: Vec<_> = similar.filter(|(similarity, _)| *similarity >= SIMILAR).collect();
    similar.sort_by(|a, b| b.0.total_cmp(&a.0));
    let named = |(_, obligee): &(f64, &Obligee)| format!("{} ({})", obligee.code, obligee.name);
    let similar: Vec<_> = similar.iter().take(3).map(named).collect();
    let hint = if similar.is_empty() { String::new() } else { format!("use {}, or ", similar.join(" or ")) };
    Error::not_found(format!("there is no obligee \"{code}\""))
        .hint(format!("{hint}run `hosho obligees list` for all codes"))
}

fn acceptances(obligee: &Obligee, on: Option<NaiveDate>) -> Vec<Acceptance> {
    let acceptance = |obligees::Acceptance { products, kinds, start }: &_| Acceptance {
        products: products.clone(),
        kinds: kinds.clone(),
        from: start.map(|start| start.on),
        basis: start.map(|start| start.basis),
        older_contracts: start.map(|start| start.older_contracts),
        begun: on.map(|on| start.is_none_or(|start| start.on <= on)),
    };
    obligee.electronic.iter().map(acceptance).collect()
}

/// The submission rules of products, equal ones together, and of the rest.
fn submissions(obligee: &Obligee) -> Vec<Submission> {
    let mut rules: Vec<(Option<Vec<ProductV1>>, &SubmissionRule)> = Vec::new();
    for (product, rule) in &obligee.submission_of {
        match rules.iter_mut().find(|(_, known)| *known == rule) {
            Some((products, _)) => products.get_or_insert_default().push(*product),
            None => rules.push((Some(vec![*product]), rule)),
        }
    }
    rules.push((None, &obligee.submission));
    let submission = |(products, rule): (_, &SubmissionRule)| Submission {
        products,
        channel: rule.channel,
        department: rule.department.clone(),
        mail_address: rule.mail_address.clone(),
        system: rule.system.clone(),
        subject: subject(rule),
    };
    rules.into_iter().map(submission).collect()
}

/// The required subject, its placeholders filled with themselves.
fn subject(rule: &SubmissionRule) -> Option<String> {
    let works = Works {
        name: "{name}".to_owned(),
        number: Some("{number}".to_owned()),
        kind: WorksKindV1::Construction,
        contract_price: Yen(0),
        from: NaiveDate::default(),
        to: NaiveDate::default(),
        contract_date: None,
        low_price: false,
        fiscal_year: None,
    };
    rule.subject.as_ref().map(|subject| subject.fill(&works))
}

/// Maps tables of the files to their keys.
fn by_table<S: Serializer>(limits: &[Limit], serializer: S) -> Result<S::Ok, S::Error> {
    let mut tables: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for limit in limits {
        let (table, key) = limit.field.name();
        tables.entry(table).or_default().insert(key, limit);
    }
    tables.serialize(serializer)
}

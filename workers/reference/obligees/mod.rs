//! The registry of obligees: one TOML file each, embedded or in a folder.
//!
//! An obligee is data and never code: the folder `config/obligees/` is the only list, and adding an obligee
//! is adding a file. The types and rules are in `crate::domain::obligee`; this module reads the files and
//! rejects, with file and line, everything that would otherwise fail when a guarantee is due. It reads every
//! file before it reports a problem.
//!
//! The common values of nearly all obligees are in `config/national.toml` (`national`). An obligee's file has
//! only the differences (`limits`); an omitted value is the national one of the same day, also after a
//! national change. Rejected: copying the national values into every file. A change of the law would be an
//! edit of every file, and the files would not show the obligee's own decisions.

mod contradictions;
mod limits;
mod national;
mod periods;
mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use hosho_schema::{
    messages::{ProductV1, WorksKindV1},
    snapshots::Channel,
};
use serde::Deserialize;
use toml::{Spanned, value::Datetime};

use self::{national::National, table::LimitsTable};
use crate::{
    domain::labels,
    reference::toml_file::{self, FileDiagnostics},
};
pub use crate::{
    domain::{
        limits::{
            Limits, Timeline,
            fields::{LimitField, LimitValue, Origin, Origins},
        },
        mail_subject::MailSubject,
        obligee::{Acceptance, Basis, Obligee, OlderContracts, Registry, Start, SubmissionRule},
    },
    reference::toml_file::{Problem, Problems, RegistryError},
};

/// `config/obligees/<code>.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    code: Spanned<String>,
    name: Spanned<String>,
    title: Spanned<String>,
    limits_basis: Option<Basis>,
    #[serde(default)]
    electronic: Vec<Electronic>,
    #[serde(default)]
    limits: Vec<Spanned<LimitsTable<bool>>>,
    submission: Spanned<Vec<Spanned<Submission>>>,
}

/// `[[electronic]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Electronic {
    products: Spanned<Vec<ProductV1>>,
    kinds: Spanned<Vec<WorksKindV1>>,
    from: Option<Spanned<Datetime>>,
    basis: Option<Spanned<Basis>>,
    older_contracts: Option<Spanned<OlderContracts>>,
}

/// `[[submission]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submission {
    products: Option<Spanned<Vec<ProductV1>>>,
    channel: Channel,
    department: Option<Spanned<String>>,
    mail_address: Option<Spanned<String>>,
    system: Option<Spanned<String>>,
    subject: Option<Spanned<String>>,
}

/// Reads every obligee and the national limits; reports all problems together.
/// Without `folder`: those built in. With it: its `obligees/` and `national.toml`, or the national limits
/// built in where it has none.
pub fn load(folder: Option<&Path>) -> Result<Registry, RegistryError> {
    let sources = toml_file::read_folder(
        folder.map(|folder| folder.join("obligees")).as_deref(),
        toml_file::OBLIGEES,
        "config/obligees",
    )?;
    let mut problems = Problems::default();
    let national = toml_file::judge(&national::source(folder)?, &mut problems, national::read)
        .filter(|_| problems.0.is_empty());
    let obligees: Vec<_> = sources
        .iter()
        .filter_map(|source| toml_file::judge(source, &mut problems, |page| obligee(page, national.as_ref())))
        .collect();
    match national {
        Some(national) => problems
            .none_or(Registry::with_national(national.map(|national| national.limits.clone()), obligees)),
        None => Err(RegistryError::Invalid { problems }),
    }
}
/// Reads an obligee, and the origin of each of its limits.
/// Without valid national limits it only reports problems.
fn obligee(
    page: &mut FileDiagnostics<'_>,
    national: Option<&Timeline<National>>,
) -> Option<(Obligee, Timeline<Origins>)> {
    let file: File = page.parse()?;
    let code = page.code(&file.code);
    if code.is_empty()
        || !code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    {
        page.problem(file.code.span(), "a code is made of a-z, 0-9 and hyphens");
    }
    let name = page.text("name", &file.name);
    let title = page.text("title", &file.title);
    let electronic = acceptances(page, &file.electronic);
    let (submission, submission_of) = submissions(page, &file.submission);
    let (limits, origins) = limits::read(page, &file.limits, national)?;
    let limits_basis = file.limits_basis.unwrap_or(Basis::OriginalContract);
    let submission = submission?;
    Some((
        Obligee { code, name, title, electronic, limits, limits_basis, submission, submission_of },
        origins,
    ))
}

fn submissions(
    page: &mut FileDiagnostics<'_>,
    tables: &Spanned<Vec<Spanned<Submission>>>,
) -> (Option<SubmissionRule>, BTreeMap<ProductV1, SubmissionRule>) {
    let (mut general, mut single) = (None, BTreeMap::new());
    for table in tables.get_ref() {
        let rule = submission(page, table);
        match &table.get_ref().products {
            None => {
                if general.replace(rule).is_some() {
                    page.problem(
                        table.span(),
                        "a second [[submission]] without products: name the products it is for",
                    );
                }
            }
            Some(products) => {
                set(page, "products", products);
                for product in products.get_ref() {
                    if single.insert(*product, rule.clone()).is_some() {
                        page.problem(products.span(), "a product of this [[submission]] has one already");
                    }
                }
            }
        }
    }
    if general.is_none() {
        page.problem(
            tables.span(),
            "one [[submission]] without products is needed, for all products without one of their own",
        );
    }
    (general, single)
}

/// Reads what is taken electronically; for a product and a kind one entry decides.
fn acceptances(page: &mut FileDiagnostics<'_>, tables: &[Electronic]) -> Vec<Acceptance> {
    let mut lines = BTreeMap::new();
    for table in tables {
        let pairs: BTreeSet<_> = table
            .products
            .get_ref()
            .iter()
            .flat_map(|product| table.kinds.get_ref().iter().map(|kind| (*product, *kind)))
            .collect();
        if let Some(((product, kind), line)) = pairs.iter().find_map(|pair| Some((pair, lines.get(pair)?))) {
            let (product, kind) = (labels::product(*product), labels::kind(*kind));
            page.problem(
                table.products.span(),
                format!("{product} for {kind} is in the [[electronic]] of line {line} already: one decides"),
            );
        }
        let line = page.line(&table.products.span());
        for pair in pairs {
            lines.entry(pair).or_insert(line);
        }
    }
    tables.iter().map(|table| acceptance(page, table)).collect()
}

fn acceptance(page: &mut FileDiagnostics<'_>, table: &Electronic) -> Acceptance {
    set(page, "products", &table.products);
    set(page, "kinds", &table.kinds);
    let older_contracts = table.older_contracts.as_ref().map(|older| *older.get_ref()).unwrap_or_default();
    if let (Some(older), None) = (&table.older_contracts, &table.from) {
        page.problem(older.span(), "older_contracts needs from: older than which day");
    }
    let start = match (&table.from, &table.basis) {
        (Some(from), Some(basis)) => {
            page.day("from", from).map(|on| Start { on, basis: *basis.get_ref(), older_contracts })
        }
        (Some(from), None) => {
            page.problem(from.span(), "from needs a basis: which date of the works is compared with it");
            None
        }
        (None, Some(basis)) => {
            page.problem(basis.span(), "basis needs from: the first day of electronic guarantees");
            None
        }
        (None, None) => None,
    };
    Acceptance { products: table.products.get_ref().clone(), kinds: table.kinds.get_ref().clone(), start }
}

/// Reports a list that is empty or names something twice.
fn set<T: Ord + Copy>(page: &mut FileDiagnostics<'_>, name: &str, list: &Spanned<Vec<T>>) {
    let values = list.get_ref();
    if values.is_empty() {
        page.problem(list.span(), format!("{name} is empty"));
    } else if values.iter().copied().collect::<BTreeSet<_>>().len() < values.len() {
        page.problem(list.span(), format!("{name} names one of its values twice"));
    }
}

fn submission(page: &mut FileDiagnostics<'_>, spanned: &Spanned<Submission>) -> SubmissionRule {
    let table = spanned.get_ref();
    let department = page.optional("department", table.department.as_ref());
    let mail_address = table.mail_address.as_ref().map(|address| page.mail_address("mail_address", address));
    let system = page.optional("system", table.system.as_ref());
    let subject = table.subject.as_ref().and_then(|template| {
        MailSubject::parse(template.get_ref())
            .map_err(|error| page.problem(template.span(), error.to_string()))
            .ok()
    });
    match table.channel {
        Channel::Mail => {
            if mail_address.is_none() && department.is_none() {
                page.problem(
                    spanned.span(),
                    "channel mail needs a mail_address, or a department to ask for it",
                );
            }
            if let Some(system) = &table.system {
                page.problem(system.span(), "system belongs to channel upload");
            }
        }
        Channel::Upload => {
            if system.is_none() {
                page.problem(
                    spanned.span(),
                    "channel upload needs a system: the name of the contract system",
                );
            }
            if let Some(address) = &table.mail_address {
                page.problem(address.span(), "mail_address belongs to channel mail");
            }
        }
    }
    SubmissionRule { channel: table.channel, department, mail_address, system, subject }
}

#[cfg(test)]
mod tests;

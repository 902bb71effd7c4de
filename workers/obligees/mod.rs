//! The registry of obligees: one TOML file each, embedded in the binary or read from a configured folder.
//!
//! An obligee is data and never code: the folder `config/obligees/` is the only list, and adding an obligee is adding a
//! file. The types and rules are `crate::domain::obligee`; this module turns files into them and refuses, with file and
//! line, whatever would be found out only when a guarantee is due. Every file is read before the first problem is told.

use std::{collections::BTreeSet, path::Path};

use hosho_schema::{
    messages::{ProductV1, WorksKindV1},
    snapshots::Channel,
};
use serde::Deserialize;
use toml::{Spanned, value::Datetime};

use crate::entries::{self, Page};
pub use crate::{
    domain::{
        obligee::{Acceptance, Basis, Obligee, Registry, Start, SubmissionRule},
        subject::Subject,
    },
    entries::{Problem, Problems, RegistryError},
};

/// `config/obligees/<code>.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    code: Spanned<String>,
    name: Spanned<String>,
    title: Spanned<String>,
    #[serde(default)]
    electronic: Vec<Electronic>,
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

impl Registry {
    /// Reads every obligee: those built in, or those of `folder`. All problems of all files are told together.
    pub fn load(folder: Option<&Path>) -> Result<Self, RegistryError> {
        let sources = entries::read_folder(folder, entries::OBLIGEES, "config/obligees")?;
        let mut problems = Problems::default();
        let obligees: Vec<_> = sources.iter().filter_map(|source| obligee(&mut Page::new(source, &mut problems))).collect();
        problems.none_or(Self::new(obligees))
    }
}

fn obligee(page: &mut Page<'_>) -> Option<Obligee> {
    let file: File = page.parse()?;
    let code = page.code(&file.code);
    if code.is_empty() || !code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        page.problem(file.code.span(), "a code is made of a-z, 0-9 and hyphens");
    }
    let electronic = file.electronic.iter().map(|table| acceptance(page, table)).collect();
    let mut obligee = Obligee {
        code,
        name: page.text("name", &file.name),
        title: page.text("title", &file.title),
        electronic,
        submission: SubmissionRule { channel: Channel::Upload, department: None, mail_address: None, system: None, subject: None },
        submission_of: std::collections::BTreeMap::new(),
    };
    let mut general = 0;
    for table in file.submission.get_ref() {
        let rule = submission(page, table);
        match &table.get_ref().products {
            None => {
                general += 1;
                if general > 1 {
                    page.problem(table.span(), "a second [[submission]] without products: name the products it is for");
                }
                obligee.submission = rule;
            }
            Some(products) => {
                set(page, "products", products);
                for product in products.get_ref() {
                    if obligee.submission_of.insert(*product, rule.clone()).is_some() {
                        page.problem(products.span(), "a product of this [[submission]] has one already");
                    }
                }
            }
        }
    }
    if general == 0 {
        page.problem(file.submission.span(), "one [[submission]] without products is needed, for all products without one of their own");
    }
    Some(obligee)
}

fn acceptance(page: &mut Page<'_>, table: &Electronic) -> Acceptance {
    set(page, "products", &table.products);
    set(page, "kinds", &table.kinds);
    let start = match (&table.from, &table.basis) {
        (Some(from), Some(basis)) => page.day("from", from).map(|on| Start { on, basis: *basis.get_ref() }),
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
fn set<T: Ord + Copy>(page: &mut Page<'_>, name: &str, list: &Spanned<Vec<T>>) {
    let values = list.get_ref();
    if values.is_empty() {
        page.problem(list.span(), format!("{name} is empty"));
    } else if values.iter().copied().collect::<BTreeSet<_>>().len() < values.len() {
        page.problem(list.span(), format!("{name} names one of its values twice"));
    }
}

fn submission(page: &mut Page<'_>, spanned: &Spanned<Submission>) -> SubmissionRule {
    let table = spanned.get_ref();
    let department = page.optional("department", table.department.as_ref());
    let mail_address = table.mail_address.as_ref().map(|address| page.mail_address("mail_address", address));
    let system = page.optional("system", table.system.as_ref());
    let subject = table
        .subject
        .as_ref()
        .and_then(|template| Subject::parse(template.get_ref()).map_err(|error| page.problem(template.span(), error.to_string())).ok());
    match table.channel {
        Channel::Mail => {
            if mail_address.is_none() && department.is_none() {
                page.problem(spanned.span(), "channel mail needs a mail_address, or a department to ask for it");
            }
            if let Some(system) = &table.system {
                page.problem(system.span(), "system belongs to channel upload");
            }
        }
        Channel::Upload => {
            if system.is_none() {
                page.problem(spanned.span(), "channel upload needs a system: the name of the contract system");
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

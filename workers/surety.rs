//! Who issues: `config/surety.toml` (the surety, dated) and `config/branches/<code>.toml` (取扱箇所, one file each).
//!
//! The types and rules are `crate::domain::issuer`. Both are embedded in the binary and can be replaced by a file and a folder of an operator.

use std::{collections::BTreeSet, path::Path};

use hosho_schema::snapshots;
use serde::Deserialize;
use toml::{Spanned, value::Datetime};

pub use crate::{
    domain::issuer::{Branches, NoSurety, Sureties, SuretyEntry},
    entries::{Problem, Problems, RegistryError},
};
use crate::{
    domain::number,
    entries::{self, Page, Source},
};

/// The embedded `config/surety.toml`.
const SURETY: &str = include_str!("../config/surety.toml");

/// `config/surety.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    surety: Spanned<Vec<Entry>>,
}

/// `[[surety]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    from: Spanned<Datetime>,
    name: Spanned<String>,
    address: Spanned<String>,
    president: Spanned<String>,
    terms_version: Spanned<String>,
    number_suffix: Spanned<char>,
}

/// `config/branches/<code>.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BranchFile {
    code: Spanned<String>,
    name: Spanned<String>,
    address: Spanned<String>,
    telephone: Spanned<String>,
    fax: Spanned<String>,
    mail_address: Spanned<String>,
}

impl Sureties {
    /// Reads the surety's entries: those built in, or those of `file`.
    pub fn load(file: Option<&Path>) -> Result<Self, RegistryError> {
        let source = match file {
            None => Source { file: "config/surety.toml".to_owned(), stem: "surety".to_owned(), text: SURETY.to_owned() },
            Some(file) => entries::read_file(file)?,
        };
        let mut problems = Problems::default();
        let entries = sureties(&mut Page::new(&source, &mut problems));
        problems.none_or(())?;
        Self::new(entries).ok_or(RegistryError::Empty { place: source.file })
    }
}

fn sureties(page: &mut Page<'_>) -> Vec<SuretyEntry> {
    let Some(file) = page.parse::<File>() else { return Vec::new() };
    if file.surety.get_ref().is_empty() {
        page.problem(file.surety.span(), "one [[surety]] is needed");
    }
    let mut days = BTreeSet::new();
    let mut entries = Vec::new();
    for entry in file.surety.get_ref() {
        let number_suffix = *entry.number_suffix.get_ref();
        if !number::is_suffix(number_suffix) {
            page.problem(entry.number_suffix.span(), "number_suffix is one of 0-9 or A-Z");
        }
        let surety = snapshots::Surety {
            name: page.text("name", &entry.name),
            address: page.text("address", &entry.address),
            president: page.text("president", &entry.president),
            terms_version: page.text("terms_version", &entry.terms_version),
        };
        let Some(from) = page.day("from", &entry.from) else { continue };
        if !days.insert(from) {
            page.problem(entry.from.span(), format!("a second [[surety]] begins on {from}"));
        }
        entries.push(SuretyEntry { from, surety, number_suffix });
    }
    entries
}

impl Branches {
    /// Reads every branch: those built in, or those of `folder`.
    pub fn load(folder: Option<&Path>) -> Result<Self, RegistryError> {
        let sources = entries::read_folder(folder, entries::BRANCHES, "config/branches")?;
        let mut problems = Problems::default();
        let branches: Vec<_> = sources.iter().filter_map(|source| branch(&mut Page::new(source, &mut problems))).collect();
        problems.none_or(Self::new(branches))
    }
}

fn branch(page: &mut Page<'_>) -> Option<snapshots::Branch> {
    let file: BranchFile = page.parse()?;
    let code = page.code(&file.code);
    if code.len() != 2 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        page.problem(file.code.span(), "the code of a branch is two digits: it begins its guarantee numbers");
    }
    Some(snapshots::Branch {
        code,
        name: page.text("name", &file.name),
        address: page.text("address", &file.address),
        telephone: telephone(page, "telephone", &file.telephone),
        fax: telephone(page, "fax", &file.fax),
        mail_address: page.mail_address("mail_address", &file.mail_address),
    })
}

fn telephone(page: &mut Page<'_>, name: &str, value: &Spanned<String>) -> String {
    let number = page.text(name, value);
    if !number.is_empty() && !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        page.problem(value.span(), format!("{name} is made of digits and hyphens, such as 03-0000-0000"));
    }
    number
}

#[cfg(test)]
mod tests {
    use std::fs;

    use chrono::NaiveDate;

    use super::*;

    #[test]
    fn what_is_built_in_is_sound() {
        let sureties = Sureties::load(None).unwrap();
        let entry = sureties.on(NaiveDate::from_ymd_opt(2026, 11, 20).unwrap()).unwrap();
        assert_eq!(entry.number_suffix, 'M');
        let branches = Branches::load(None).unwrap();
        for code in ["07", "31", "35"] {
            assert_eq!(branches.get(code).unwrap().code, code);
        }
    }

    fn problems_of(result: Result<impl Sized, RegistryError>) -> Vec<(usize, String)> {
        match result {
            Err(RegistryError::Invalid { problems }) => problems.0.into_iter().map(|problem| (problem.line, problem.text)).collect(),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("accepted"),
        }
    }

    const ENTRY: &str =
        "[[surety]]\nfrom = 2026-04-01\nname = \"a\"\naddress = \"b\"\npresident = \"c\"\nterms_version = \"d\"\nnumber_suffix = \"M\"\n";

    #[test]
    fn a_broken_surety_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("surety.toml");
        for (text, line, part) in [
            (ENTRY.replace("\"c\"", "\" \""), 5, "president is empty"),
            (ENTRY.replace("\"M\"", "\"m\""), 7, "0-9 or A-Z"),
            (ENTRY.replace("\"M\"", "\"MM\""), 7, "expected a character"),
            (ENTRY.replace("2026-04-01", "2026-04-01T00:00:00"), 2, "not a day"),
            (format!("{ENTRY}{ENTRY}"), 9, "second [[surety]]"),
            (format!("{ENTRY}fax = \"1\"\n"), 8, "unknown field `fax`"),
            ("surety = []".to_owned(), 1, "one [[surety]]"),
            (ENTRY.replace("name = \"a\"\n", ""), 1, "missing field `name`"),
            (ENTRY.replace("\"d\"", "\"d"), 6, ""),
        ] {
            fs::write(&file, &text).unwrap();
            let problems = problems_of(Sureties::load(Some(&file)));
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(problems[0].0 == line && problems[0].1.contains(part), "{text}: {problems:?}");
        }
        fs::write(&file, ENTRY).unwrap();
        assert!(Sureties::load(Some(&file)).is_ok());
        assert!(matches!(Sureties::load(Some(&folder.path().join("x.toml"))), Err(RegistryError::ReadFile { .. })));
    }

    #[test]
    fn all_problems_of_all_branches_are_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("1.toml"),
            "code = \"01\"\nname = \"\"\naddress = \"b\"\ntelephone = \"０３\"\nfax = \"03-1\"\nmail_address = \"x\"\n",
        )
        .unwrap();
        fs::write(folder.path().join("2.toml"), "code = 2\n").unwrap();
        let problems = problems_of(Branches::load(Some(folder.path())));
        assert_eq!(problems.iter().map(|problem| problem.0).collect::<Vec<_>>(), [1, 2, 4, 6, 1], "{problems:?}");
    }
}

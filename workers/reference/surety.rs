//! The dated surety (`config/surety.toml`) and its branches.
//! Each branch (取扱箇所) has its own file, `config/branches/<code>.toml`.
//!
//! The types and rules are `crate::domain::issuer`. Both are embedded in the binary and can be replaced by a
//! file and a folder of an operator.
//!
//! A seal (印影) is a PNG beside the file of the surety. A certificate names it by the SHA-256 of its bytes
//! and not by the name of its file: what is drawn years later shows the seal of its day, or is refused, but
//! never another seal. So the file of an old entry must stay where it is, as the entry itself.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{Arc, LazyLock},
};

use hosho_schema::snapshots;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use toml::{Spanned, value::Datetime};

pub use crate::{
    domain::issuer::{Branches, NoSurety, Sureties, SuretyEntry},
    reference::toml_file::{Problem, Problems, RegistryError},
};
use crate::{
    domain::number,
    pdf::{Picture, Pictures},
    reference::toml_file::{self, FileDiagnostics, Source},
};

const SURETY: &str = include_str!("../../config/surety.toml");

/// The embedded seal, by the name of its file.
const SEAL: (&str, &[u8]) = ("seal.png", include_bytes!("../../config/seal.png"));

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
    seal: Option<Spanned<String>>,
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

/// The surety's dated entries, and the seals of all entries by SHA-256.
pub struct Surety {
    pub entries: Sureties,
    pub seals: Pictures,
}

impl Surety {
    /// Reads the surety's entries and their seals.
    /// They are those built in, or those of `file` and the PNG files beside it.
    pub fn load(file: Option<&Path>) -> Result<Self, RegistryError> {
        let source = match file {
            None => Source::new("config/surety.toml".to_owned(), SURETY.to_owned()),
            Some(file) => toml_file::read_file(file)?,
        };
        let mut problems = Problems::default();
        let mut seals = Pictures::new();
        let folder = file.map(|file| file.parent().unwrap_or(Path::new("")));
        let entries = sureties(&mut FileDiagnostics::new(&source, &mut problems), &mut |name| {
            let (sha256, picture) = picture(&seal_file(folder, name)?)?;
            seals.insert(sha256.clone(), picture);
            Ok(sha256)
        });
        problems.none_or(())?;
        let entries = Sureties::new(entries).ok_or(RegistryError::Empty { place: source.file })?;
        Ok(Self { entries, seals })
    }

    /// The seal that is built in, by its SHA-256: that of the samples.
    pub fn sample_seal() -> Option<(String, Arc<Picture>)> {
        // Each sample needs it: reading a picture takes 25 ms, and took most of the time before the first
        // certificate.
        static READ: LazyLock<Option<(String, Arc<Picture>)>> = LazyLock::new(|| picture(SEAL.1).ok());
        READ.clone()
    }
}

/// The bytes of a seal's file, or why there are none.
fn seal_file(folder: Option<&Path>, name: &str) -> Result<Vec<u8>, String> {
    match folder {
        None if name == SEAL.0 => Ok(SEAL.1.to_vec()),
        None => Err(format!("seal names a file that is not built in: the only one is {}", SEAL.0)),
        Some(_) if name.contains(['/', '\\']) => {
            Err("seal is the name of a PNG beside this file, without folders".to_owned())
        }
        Some(folder) => fs::read(folder.join(name))
            .map_err(|error| format!("seal names a file that cannot be read beside this file: {error}")),
    }
}

/// A seal by its SHA-256, or why it is none.
fn picture(png: &[u8]) -> Result<(String, Arc<Picture>), String> {
    let picture = Picture::png(png).map_err(|error| format!("seal cannot be used: {error}"))?;
    let (width, height) = picture.size();
    // A tall one would push the page apart, a flat one is no seal.
    if u64::from(width.max(height)) * 4 > u64::from(width.min(height)) * 5 {
        return Err(format!(
            "seal has {width} × {height} pixels: one side may be at most a quarter longer than the other"
        ));
    }
    Ok((hex::encode(Sha256::digest(png)), Arc::new(picture)))
}

/// `seal` reads a seal by its file name and returns its SHA-256 or the problem.
fn sureties(
    page: &mut FileDiagnostics<'_>,
    seal: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Vec<SuretyEntry> {
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
        let seal = entry.seal.as_ref().and_then(|name| match seal(name.get_ref()) {
            Ok(sha256) => Some(sha256),
            Err(problem) => {
                page.problem(name.span(), problem);
                None
            }
        });
        let surety = snapshots::Surety {
            name: page.text("name", &entry.name),
            address: page.text("address", &entry.address),
            president: page.text("president", &entry.president),
            terms_version: page.text("terms_version", &entry.terms_version),
            seal,
        };
        let Some(from) = page.day("from", &entry.from) else { continue };
        if !days.insert(from) {
            page.problem(entry.from.span(), format!("a second [[surety]] begins on {from}"));
        }
        entries.push(SuretyEntry { from, surety, number_suffix });
    }
    entries
}

/// Reads every branch: those built in, or those of `folder`.
pub fn load_branches(folder: Option<&Path>) -> Result<Branches, RegistryError> {
    let sources = toml_file::read_folder(folder, toml_file::BRANCHES, "config/branches")?;
    let mut problems = Problems::default();
    let branches: Vec<_> = sources
        .iter()
        .filter_map(|source| branch(&mut FileDiagnostics::new(source, &mut problems)))
        .collect();
    problems.none_or(Branches::new(branches))
}

fn branch(page: &mut FileDiagnostics<'_>) -> Option<snapshots::Branch> {
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

fn telephone(page: &mut FileDiagnostics<'_>, name: &str, value: &Spanned<String>) -> String {
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
    fn built_in_surety_is_valid() {
        let sureties = Surety::load(None).unwrap().entries;
        let entry = sureties.on(NaiveDate::from_ymd_opt(2026, 11, 20).unwrap()).unwrap();
        assert_eq!(entry.number_suffix, 'M');
        let (seal, _) = Surety::sample_seal().unwrap();
        assert_eq!(entry.surety.seal.as_ref(), Some(&seal));
        assert_eq!(Surety::load(None).unwrap().seals.keys().collect::<Vec<_>>(), [&seal]);
        let branches = load_branches(None).unwrap();
        for code in ["07", "31", "35"] {
            assert_eq!(branches.get(code).unwrap().code, code);
        }
    }

    fn problems_of(result: Result<impl Sized, RegistryError>) -> Vec<(usize, String)> {
        match result {
            Err(RegistryError::Invalid { problems }) => {
                problems.0.into_iter().map(|problem| (problem.line, problem.text)).collect()
            }
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("accepted"),
        }
    }

    const ENTRY: &str = "[[surety]]\nfrom = 2026-04-01\nname = \"a\"\naddress = \"b\"\npresident = \"c\"\nterms_version = \"d\"\nnumber_suffix = \"M\"\n";

    #[test]
    fn rejects_a_broken_surety_with_its_line() {
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
            let problems = problems_of(Surety::load(Some(&file)));
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(problems[0].0 == line && problems[0].1.contains(part), "{text}: {problems:?}");
        }
        fs::write(&file, ENTRY).unwrap();
        assert!(Surety::load(Some(&file)).is_ok());
        assert!(matches!(
            Surety::load(Some(&folder.path().join("x.toml"))),
            Err(RegistryError::ReadFile { .. })
        ));
    }

    /// A grey PNG of 2 × 1 pixels.
    const FLAT: &[u8] =
        b"\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x02\x00\x00\x00\x01\
        \x08\x00\x00\x00\x00\xd1\x49\x20\x56\x00\x00\x00\x0e\x49\x44\x41\x54\x78\x01\x01\x03\x00\xfc\xff\
        \x00\x10\x20\x00\x43\x00\x31\x3e\x53\x75\x0d\x00\x00\x00\x00\x49\x45\x4e\x44\xae\x42\x60\x82";

    #[test]
    fn seals_are_named_by_their_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("surety.toml");
        let later = ENTRY.replace("2026-04-01", "2027-04-01");
        fs::write(&file, format!("{ENTRY}seal = \"old.png\"\n{later}seal = \"new.png\"\n")).unwrap();
        for name in ["old.png", "new.png"] {
            fs::write(folder.path().join(name), SEAL.1).unwrap();
        }
        let Surety { entries, seals } = Surety::load(Some(&file)).unwrap();
        let (sha256, _) = Surety::sample_seal().unwrap();
        assert!(entries.iter().all(|entry| entry.surety.seal.as_ref() == Some(&sha256)));
        assert_eq!(seals.keys().collect::<Vec<_>>(), [&sha256]);
        fs::write(folder.path().join("new.png"), "not a picture").unwrap();
        // 2 × 1 pixels.
        fs::write(folder.path().join("flat.png"), FLAT).unwrap();
        for (seal, part) in [
            ("flat.png", "seal has 2 × 1 pixels: one side may be at most a quarter longer"),
            ("new.png", "seal cannot be used"),
            ("gone.png", "cannot be read beside this file"),
            ("../seal.png", "without folders"),
            ("", "cannot be read beside this file"),
        ] {
            fs::write(&file, format!("{ENTRY}seal = \"{seal}\"\n")).unwrap();
            let problems = problems_of(Surety::load(Some(&file)));
            assert!(
                problems.len() == 1 && problems[0].0 == 8 && problems[0].1.contains(part),
                "{seal}: {problems:?}"
            );
        }
    }

    #[test]
    fn reports_all_problems_of_all_branches() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("1.toml"),
            "code = \"01\"\nname = \"\"\naddress = \"b\"\ntelephone = \"０３\"\nfax = \"03-1\"\nmail_address = \"x\"\n",
        )
        .unwrap();
        fs::write(folder.path().join("2.toml"), "code = 2\n").unwrap();
        let problems = problems_of(load_branches(Some(folder.path())));
        assert_eq!(
            problems.iter().map(|problem| problem.0).collect::<Vec<_>>(),
            [1, 2, 4, 6, 1],
            "{problems:?}"
        );
    }
}

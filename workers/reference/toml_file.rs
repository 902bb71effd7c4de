//! Reads TOML files of operators; reports every problem with file and line.
//!
//! Obligees, branches and the surety are data of the same kind: small files, embedded in the binary or read
//! from a configured place, all of them judged before anything is opened. A problem names what is wrong and
//! what would be right, and no file hides the problems of the next one.

use std::{fmt, fs, io, ops::Range, path::Path};

use chrono::NaiveDate;
use serde::de::DeserializeOwned;
use toml::{Spanned, value::Datetime};

use crate::domain::text;

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("cannot list the folder {folder}")]
    ListFolder { folder: String, source: io::Error },
    #[error("cannot read {file}")]
    ReadFile { file: String, source: io::Error },
    #[error("{place} holds no entry: add a .toml file")]
    Empty { place: String },
    #[error("cannot use {problems}")]
    Invalid { problems: Problems },
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

/// Every problem found, one per line when written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))
    }
}

impl Problems {
    pub(crate) fn none_or<T>(self, value: T) -> Result<T, RegistryError> {
        if self.0.is_empty() { Ok(value) } else { Err(RegistryError::Invalid { problems: self }) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) file: String,
    /// Name without `.toml`.
    pub(crate) stem: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(file: String, text: String) -> Self {
        let stem = Path::new(&file).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self { file, stem, text }
    }
}

/// Reads every `.toml` file of a folder in order of name.
/// Without a folder, those embedded from `embedded_folder`.
pub(crate) fn read_folder(
    folder: Option<&Path>,
    embedded: &[(&str, &str)],
    embedded_folder: &str,
) -> Result<Vec<Source>, RegistryError> {
    let mut sources = Vec::new();
    match folder {
        None => sources.extend(
            embedded
                .iter()
                .map(|(name, text)| Source::new(format!("{embedded_folder}/{name}"), (*text).to_owned())),
        ),
        Some(folder) => {
            let list = |source| RegistryError::ListFolder { folder: folder.display().to_string(), source };
            for entry in fs::read_dir(folder).map_err(list)? {
                let path = entry.map_err(list)?.path();
                if path.extension().is_some_and(|extension| extension == "toml") {
                    sources.push(read_file(&path)?);
                }
            }
            sources.sort_by(|a, b| a.file.cmp(&b.file));
        }
    }
    if sources.is_empty() {
        let place = folder.map_or_else(|| embedded_folder.to_owned(), |folder| folder.display().to_string());
        return Err(RegistryError::Empty { place });
    }
    Ok(sources)
}

pub(crate) fn read_file(path: &Path) -> Result<Source, RegistryError> {
    let file = path.display().to_string();
    let text =
        fs::read_to_string(path).map_err(|source| RegistryError::ReadFile { file: file.clone(), source })?;
    Ok(Source::new(file, text))
}

/// Reads a file with `read`.
/// Problems are in the order of the file, without duplicates.
pub(crate) fn judge<T>(
    source: &Source,
    problems: &mut Problems,
    read: impl FnOnce(&mut FileDiagnostics<'_>) -> T,
) -> T {
    let mut found = Problems::default();
    let value = read(&mut FileDiagnostics::new(source, &mut found));
    found.0.sort_by(|a, b| (a.line, &a.text).cmp(&(b.line, &b.text)));
    found.0.dedup();
    problems.0.append(&mut found.0);
    value
}

pub(crate) struct FileDiagnostics<'a> {
    source: &'a Source,
    problems: &'a mut Problems,
}

impl<'a> FileDiagnostics<'a> {
    pub(crate) fn new(source: &'a Source, problems: &'a mut Problems) -> Self {
        Self { source, problems }
    }

    /// Reads the file's shape. What TOML or the shape refuses is a problem, and `None`.
    pub(crate) fn parse<T: DeserializeOwned>(&mut self) -> Option<T> {
        match toml::from_str(&self.source.text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(error.span().unwrap_or(0..0), error.message().replace('\n', "; "));
                None
            }
        }
    }

    /// Reports a problem at a place of the file (bytes).
    pub(crate) fn problem(&mut self, at: Range<usize>, text: impl Into<String>) {
        let line = self.line(&at);
        self.problems.0.push(Problem { file: self.source.file.clone(), line, text: text.into() });
    }

    /// The line of a place of the file, from 1.
    pub(crate) fn line(&self, at: &Range<usize>) -> usize {
        self.source.text.get(..at.start).unwrap_or_default().matches('\n').count() + 1
    }

    /// A text that is neither empty nor holds a character no document can show.
    pub(crate) fn text(&mut self, name: &str, value: &Spanned<String>) -> String {
        let text = text::trim(value.get_ref());
        if text.is_empty() {
            self.problem(value.span(), format!("{name} is empty"));
        } else if let Some(found) = text::find_invalid(text, text::Lines::One) {
            let code_point = text::code_point(found.character);
            self.problem(
                value.span(),
                format!("{name} holds {code_point} as its character {}: take it out", found.position),
            );
        }
        text.to_owned()
    }

    pub(crate) fn optional(&mut self, name: &str, value: Option<&Spanned<String>>) -> Option<String> {
        value.map(|value| self.text(name, value))
    }

    /// A mail address, as far as one can be judged without a mail system.
    pub(crate) fn mail_address(&mut self, name: &str, value: &Spanned<String>) -> String {
        let address = self.text(name, value);
        let fits = address.split_once('@').is_some_and(|(user, domain)| {
            let plain = |part: &str| {
                !part.is_empty()
                    && part
                        .bytes()
                        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'@' | b'<' | b'>' | b','))
            };
            plain(user) && plain(domain) && domain.contains('.')
        });
        if !fits && !address.is_empty() {
            self.problem(value.span(), format!("{name} is not a mail address such as keiyaku@example.jp"));
        }
        address
    }

    /// A code, which the file's name must repeat.
    pub(crate) fn code(&mut self, value: &Spanned<String>) -> String {
        let stem = &self.source.stem;
        if value.get_ref() != stem {
            self.problem(
                value.span(),
                format!("code {:?} differs from the name of the file: it must be {stem:?}", value.get_ref()),
            );
        }
        value.get_ref().clone()
    }

    /// A day written without time: `2026-04-01`.
    pub(crate) fn day(&mut self, name: &str, value: &Spanned<Datetime>) -> Option<NaiveDate> {
        let Datetime { date, time, offset } = value.get_ref();
        let day = date.filter(|_| time.is_none() && offset.is_none()).and_then(|date| {
            NaiveDate::from_ymd_opt(i32::from(date.year), u32::from(date.month), u32::from(date.day))
        });
        if day.is_none() {
            self.problem(value.span(), format!("{name} is not a day such as 2026-04-01"));
        }
        day
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_files_match_the_folder() {
        for (embedded, folder) in [(OBLIGEES, "config/obligees"), (BRANCHES, "config/branches")] {
            let on_disk =
                read_folder(Some(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)), &[], folder).unwrap();
            let on_disk: Vec<_> = on_disk.into_iter().map(|source| (source.stem, source.text)).collect();
            let built_in = read_folder(None, embedded, folder).unwrap();
            let built_in: Vec<_> = built_in.into_iter().map(|source| (source.stem, source.text)).collect();
            assert_eq!(built_in, on_disk);
        }
    }

    #[test]
    fn rejects_missing_and_empty_folders() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read_folder(Some(folder.path()), OBLIGEES, ""), Err(RegistryError::Empty { .. })));
        assert!(matches!(
            read_folder(Some(&folder.path().join("x")), OBLIGEES, ""),
            Err(RegistryError::ListFolder { .. })
        ));
        fs::write(folder.path().join("a.toml"), [0xff]).unwrap();
        assert!(matches!(
            read_folder(Some(folder.path()), OBLIGEES, ""),
            Err(RegistryError::ReadFile { .. })
        ));
    }
}

//! Loads and checks the configuration, also that of a folder of `hosho process`.

use std::path::Path;

use serde::Serialize;

use super::Error;
use crate::{app, config::Config, documents::templates::TEMPLATES, stages};

/// Settings that override those of the configuration file.
pub type Overrides = Vec<(&'static str, String)>;

/// Counts of a valid configuration.
#[derive(Debug, Serialize)]
pub struct Counts {
    pub branches: usize,
    pub obligees: usize,
    pub templates: usize,
}

pub fn load(file: Option<&Path>, overrides: &[(&'static str, String)]) -> Result<Config, Error> {
    Config::load(file, overrides).map_err(|error| {
        Error::configuration(error)
            .hint("correct it, then run `hosho config check`; config/default.toml explains every setting")
    })
}

/// Checks every setting and file it names; opens no connection, creates nothing.
pub fn check(config: &Config) -> Result<Counts, Error> {
    let data = app::check(config, stages::NAMES)?;
    Ok(Counts {
        branches: data.branches.iter().count(),
        obligees: data.obligees.iter().count(),
        templates: TEMPLATES.len(),
    })
}

/// Database, documents and keys of an existing folder.
pub fn stored(out: &Path) -> Result<Overrides, Error> {
    let file = out.join("hosho.sqlite");
    if !file.is_file() {
        return Err(Error::invalid(format!(
            "{} is not a folder of `hosho process`: it has no hosho.sqlite",
            out.display()
        ))
        .hint("give the --out folder of `hosho process`"));
    }
    Ok(vec![
        ("database.url", format!("sqlite:{}", file.display())),
        ("documents.url", format!("file:{}", out.join("documents").display())),
        ("keys.file", out.join("hosho.keys").display().to_string()),
    ])
}

/// All settings of a folder, which may be new.
pub fn embedded(out: &Path, verbose: bool) -> Result<Overrides, Error> {
    let out = out.to_str().ok_or_else(|| Error::invalid("--out must be valid UTF-8"))?;
    let mut overrides = vec![
        ("broker.url", "memory:".to_owned()),
        ("database.url", format!("sqlite:{out}/hosho.sqlite")),
        ("documents.url", format!("file:{out}/documents")),
        ("keys.file", format!("{out}/hosho.keys")),
        ("keys.create", "true".to_owned()),
        ("mail.transport", "folder".to_owned()),
        ("mail.folder", format!("{out}/mail")),
    ];
    if !verbose {
        // Not only errors: with a full disk the stages wait, and the reason is a warning.
        overrides.push(("log.level", "warn".to_owned()));
    }
    Ok(overrides)
}

/// All settings of an existing folder.
pub fn reopened(out: &Path) -> Result<Overrides, Error> {
    stored(out)?;
    let mut overrides = embedded(out, false)?;
    // A new key ring would hide that everything sealed with the old one is lost.
    overrides.push(("keys.create", "false".to_owned()));
    Ok(overrides)
}

//! Loads and checks the configuration, also that of a folder of `hosho process`.

use std::path::Path;

use serde::Serialize;

use super::Error;
use crate::{app, config::Config, documents::templates::TEMPLATES, stages};

/// Settings of the command line, which override environment and file.
/// `None` unsets one.
pub type Overrides = Vec<(&'static str, Option<String>)>;

/// Counts of a valid configuration.
#[derive(Debug, Serialize)]
pub struct Counts {
    pub branches: usize,
    pub obligees: usize,
    pub templates: usize,
}

pub fn load(file: Option<&Path>, overrides: &[(&'static str, Option<String>)]) -> Result<Config, Error> {
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

/// The settings of an existing folder.
pub fn stored(out: &Path) -> Result<Overrides, Error> {
    let file = out.join("hosho.sqlite");
    if !file.is_file() {
        return Err(Error::invalid(format!(
            "{} is not a folder of `hosho process`: it has no hosho.sqlite",
            out.display()
        ))
        .hint("give the --out folder of `hosho process`"));
    }
    within(out)
}

/// Everything that a process reads or writes besides its input is in this folder.
/// No other database, store, broker, mail server or key ring of the configuration is used.
fn within(out: &Path) -> Result<Overrides, Error> {
    let out = out.to_str().ok_or_else(|| Error::invalid("--out must be valid UTF-8"))?;
    let set = |text: String| Some(text);
    Ok(vec![
        ("broker.url", set("memory:".to_owned())),
        ("database.url", set(format!("sqlite:{out}/hosho.sqlite"))),
        ("documents.url", set(format!("file:{out}/documents"))),
        ("documents.previous_url", None),
        ("documents.access_key_id", None),
        ("documents.secret_access_key", None),
        ("documents.secret_access_key_file", None),
        ("keys.file", set(format!("{out}/hosho.keys"))),
        ("mail.transport", set("folder".to_owned())),
        ("mail.folder", set(format!("{out}/mail"))),
        ("batch.report_folder", set(format!("{out}/reports"))),
    ])
}

/// The settings of a folder, which may be new.
pub fn embedded(out: &Path, verbose: bool) -> Result<Overrides, Error> {
    let mut overrides = within(out)?;
    overrides.push(("keys.create", Some("true".to_owned())));
    if !verbose {
        // Not only errors: with a full disk the stages wait, and the reason is a warning.
        overrides.push(("log.level", Some("warn".to_owned())));
    }
    Ok(overrides)
}

/// All settings of an existing folder.
pub fn reopened(out: &Path) -> Result<Overrides, Error> {
    stored(out)?;
    let mut overrides = embedded(out, false)?;
    // A new key ring would hide that everything sealed with the old one is lost.
    overrides.push(("keys.create", Some("false".to_owned())));
    Ok(overrides)
}

//! Opens the database of a query or a change.

use std::path::Path;

use super::Error;
use crate::{
    app::{self, AppError},
    config::Config,
    db::Db,
};

/// Rejects a missing SQLite file: opening would create an empty one.
pub fn existing(config: &Config) -> Result<(), Error> {
    let path = config.database.url.expose().strip_prefix("sqlite:");
    match path.map(|path| path.strip_prefix("//").unwrap_or(path)) {
        Some(path) if !Path::new(path).exists() => {
            Err(Error::unavailable(anyhow::anyhow!("there is no database {path}"))
                .hint("correct database.url, or create it with `hosho migrate`"))
        }
        _ => Ok(()),
    }
}

/// As [`existing`], where a folder of `hosho process` may be named instead.
pub fn existing_or_folder(config: &Config) -> Result<(), Error> {
    let hint = "correct database.url, or name a folder of `hosho process` with --out";
    existing(config).map_err(|error| error.hint(hint))
}

/// Opens the database, which must exist and be up to date.
/// A folder of `hosho process` may be named instead.
pub async fn open_database(config: &Config) -> Result<Db, Error> {
    existing_or_folder(config)?;
    let hint =
        "start the database server, correct database.url, or name a folder of `hosho process` with --out";
    open(config, hint).await
}

/// As [`open_database`], where no folder can be named.
pub async fn open_configured(config: &Config) -> Result<Db, Error> {
    existing(config)?;
    open(config, "start the database server or correct database.url, then run `hosho doctor`").await
}

async fn open(config: &Config, hint: &str) -> Result<Db, Error> {
    let db = Db::new(app::pool(config)?);
    let pending = db.call(hosho_schema::db::pending).await;
    let pending = pending.map_err(|error| Error::unavailable(error).hint(hint))?;
    match pending.first() {
        None => Ok(db),
        Some(first) => Err(AppError::Unmigrated { count: pending.len(), first: first.clone() }.into()),
    }
}

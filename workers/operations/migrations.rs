//! Migrates the database.

use hosho_schema::db::{self, DbError};
use serde::Serialize;

use super::{Error, database};
use crate::{app, config::Config, db::Db};

/// Names of migrations.
#[derive(Debug, Serialize)]
pub struct Migrations {
    pub applied: Vec<String>,
    pub pending: Vec<String>,
}

pub async fn migrate(config: &Config) -> Result<Migrations, Error> {
    Ok(Db::new(app::pool(config)?)
        .call(|db| Ok::<_, DbError>(Migrations { applied: db::migrate(db)?, pending: db::pending(db)? }))
        .await?)
}

/// Changes nothing; the database must exist.
pub async fn pending(config: &Config) -> Result<Migrations, Error> {
    database::existing(config)?;
    let pending = Db::new(app::pool(config)?).call(db::pending).await?;
    Ok(Migrations { applied: Vec::new(), pending })
}

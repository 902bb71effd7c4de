//! The migrations, embedded in the program.
//! `migrations/postgres` and `migrations/sqlite` have the same names.

use diesel::backend::Backend;
use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::migration::MigrationSource;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Connection, DbError, Result};

const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");
const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

const READING: &str = "reading what is applied";

/// Key of the advisory lock that keeps two migrating programs apart on PostgreSQL.
const LOCK: i64 = 0x686f_7368_6f00;

/// Applies every missing migration and returns their names in order.
/// Several programs may do so at once.
pub fn migrate(db: &mut Connection) -> Result<Vec<String>> {
    alone(db, |db| match db {
        Connection::Postgres(c) => apply(&mut **c, POSTGRES),
        Connection::Sqlite(c) => apply(&mut **c, SQLITE),
    })
}

/// Reverts every applied migration, latest first. **All data is lost.**
/// Returns their names.
pub fn revert_all(db: &mut Connection) -> Result<Vec<String>> {
    alone(db, |db| match db {
        Connection::Postgres(c) => revert(&mut **c, &POSTGRES),
        Connection::Sqlite(c) => revert(&mut **c, &SQLITE),
    })
}

/// The missing migrations.
/// Creates nothing: it is for a role without DDL rights, and for a standby, too.
pub fn pending(db: &mut Connection) -> Result<Vec<String>> {
    let applied = applied(db)?;
    let names = match db {
        Connection::Postgres(_) => names::<Pg>(&POSTGRES),
        Connection::Sqlite(_) => names::<Sqlite>(&SQLITE),
    };
    Ok(names?.into_iter().filter(|(version, _)| !applied.contains(version)).map(|(_, name)| name).collect())
}

/// The versions in diesel's table, which the first migration creates.
fn applied(db: &mut Connection) -> Result<Vec<String>> {
    const VERSIONS: &str = "select version from __diesel_schema_migrations";
    #[derive(QueryableByName)]
    struct Version {
        #[diesel(sql_type = Text)]
        version: String,
    }
    let exists: bool = match db {
        Connection::Postgres(c) => {
            diesel::select(sql::<Bool>("to_regclass('__diesel_schema_migrations') is not null"))
                .get_result(&mut **c)
        }
        Connection::Sqlite(c) => diesel::select(sql::<Bool>(
            "exists (select 1 from sqlite_master where name = '__diesel_schema_migrations')",
        ))
        .get_result(&mut **c),
    }
    .map_err(failed(READING))?;
    if !exists {
        return Ok(Vec::new());
    }
    let versions: Vec<Version> = match db {
        Connection::Postgres(c) => diesel::sql_query(VERSIONS).load(&mut **c),
        Connection::Sqlite(c) => diesel::sql_query(VERSIONS).load(&mut **c),
    }
    .map_err(failed(READING))?;
    Ok(versions.into_iter().map(|row| row.version).collect())
}

/// Version and name of each migration, in order.
fn names<DB: Backend>(source: &EmbeddedMigrations) -> Result<Vec<(String, String)>> {
    let migrations = MigrationSource::<DB>::migrations(source)
        .map_err(|source| DbError::Migrate { step: "reading the migrations".to_owned(), source })?;
    let mut names: Vec<(String, String)> = migrations
        .iter()
        .map(|migration| (migration.name().version().to_string(), migration.name().to_string()))
        .collect();
    names.sort();
    Ok(names)
}

/// Runs `work` while no other program migrates.
/// PostgreSQL takes a lock of the session, not of a transaction: some migrations must run outside of one
/// (`create index concurrently`). SQLite takes its write lock.
fn alone<T>(db: &mut Connection, work: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
    let Connection::Postgres(c) = db else {
        return db.transaction(work);
    };
    // Another program may be migrating for longer than a lock is usually waited for.
    c.batch_execute(&format!(
        "set lock_timeout = 0; select pg_advisory_lock({LOCK}); set lock_timeout = '10s'"
    ))
    .map_err(failed("waiting for another migration"))?;
    let result = work(db);
    if let Connection::Postgres(c) = db {
        let released = c
            .batch_execute(&format!("select pg_advisory_unlock({LOCK})"))
            .map_err(failed("releasing the lock"));
        return result.and_then(|value| released.map(|()| value));
    }
    result
}

fn apply<DB: Backend, C: MigrationHarness<DB>>(c: &mut C, source: EmbeddedMigrations) -> Result<Vec<String>> {
    let migrations = c
        .pending_migrations(source)
        .map_err(|source| DbError::Migrate { step: READING.to_owned(), source })?;
    let mut names = Vec::new();
    for migration in &migrations {
        let name = migration.name().to_string();
        c.run_migration(migration).map_err(|source| DbError::Migrate { step: name.clone(), source })?;
        names.push(name);
    }
    Ok(names)
}

fn revert<DB: Backend, C: MigrationHarness<DB>>(
    c: &mut C,
    source: &EmbeddedMigrations,
) -> Result<Vec<String>> {
    let step = |step: &str| {
        let step = step.to_owned();
        move |source| DbError::Migrate { step, source }
    };
    let applied: Vec<String> =
        c.applied_migrations().map_err(step(READING))?.iter().map(std::string::ToString::to_string).collect();
    let mut migrations = MigrationSource::<DB>::migrations(source).map_err(step("reading the migrations"))?;
    migrations.retain(|migration| applied.contains(&migration.name().version().to_string()));
    migrations.sort_by_key(|migration| std::cmp::Reverse(migration.name().version().to_string()));
    let mut names = Vec::new();
    for migration in &migrations {
        let name = migration.name().to_string();
        c.revert_migration(migration).map_err(step(&name))?;
        names.push(name);
    }
    Ok(names)
}

fn failed(step: &'static str) -> impl FnOnce(diesel::result::Error) -> DbError {
    move |source| DbError::Migrate { step: step.to_owned(), source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    #[test]
    fn databases_have_the_same_reversible_migrations() {
        let names = |backend: &str| -> BTreeMap<String, Vec<String>> {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(backend);
            let list = |folder: &Path| {
                let mut names: Vec<_> = std::fs::read_dir(folder)
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .collect();
                names.sort();
                names
            };
            list(&folder).into_iter().map(|name| (name.clone(), list(&folder.join(name)))).collect()
        };
        let postgres = names("postgres");
        assert_eq!(postgres, names("sqlite"));
        assert!(!postgres.is_empty() && postgres.values().all(|files| files == &["down.sql", "up.sql"]));
    }
}

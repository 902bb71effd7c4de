//! The database: version, clock, connections, tables.

use hosho_schema::{
    db::{self, Backend, Connection, DbError, Server},
    models::{
        authentication_key,
        failed_message::{self, Filter, OPEN},
        job_run::{self, Run, State},
        mail, run_item,
    },
};

use super::{Finding, skew};
use crate::{clock::Clock, config::Config, db::Db, fault::chain, operations::stages::Fleet};

/// Runs that are read: those of a week, and some by hand.
const RUNS: i64 = 10;

pub(super) struct Rows {
    pub(super) fleet: Fleet,
    pub(super) failed: i64,
    pub(super) in_doubt: i64,
    /// The latest runs, newest first, each with the number of its failed guarantees.
    pub(super) runs: Vec<(Run, i64)>,
    pub(super) data_keys: Vec<String>,
}

/// Without rows, the tables cannot be read.
pub(super) async fn check(db: &Db, config: &Config, clock: &Clock) -> (Vec<Finding>, Option<Rows>) {
    let server = match db.call(db::server).await {
        Ok(server) => server,
        Err(error) => {
            let hint = "start the database, or correct database.url: every stage waits for it";
            return (vec![Finding::failure("database", chain(&error), hint)], None);
        }
    };
    let mut findings = vec![version(db, &server)];
    findings.extend(server.clock.map(|there| skew("database clock", there, clock.now(), 0)));
    if db.pool().backend() == Backend::Postgres {
        findings.push(pool(db, &server, config).await);
    }
    let problem = match db.call(db::pending).await {
        Ok(pending) => {
            let first = pending.first();
            first.map(|first| format!("{} are pending, the first is {first}", pending.len()))
        }
        Err(error) => Some(chain(&error)),
    };
    if let Some(problem) = problem {
        findings.push(Finding::failure("migrations", problem, "run `hosho migrate`"));
        return (findings, None);
    }
    findings.push(Finding::ok("migrations", "the tables are up to date"));
    let now = clock.now();
    match db.call(move |db| read(db, now)).await {
        Ok(rows) => (findings, Some(rows)),
        Err(error) => {
            findings.push(Finding::failure("tables", chain(&error), "read the log of the database"));
            (findings, None)
        }
    }
}

fn version(db: &Db, server: &Server) -> Finding {
    let (name, oldest) = match db.pool().backend() {
        Backend::Postgres => ("PostgreSQL", 14),
        Backend::Sqlite => ("SQLite", 3),
    };
    let named = format!("{name} {}", server.version);
    let major: u32 = server.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if server.is_read_only {
        let hint = "set database.url to the primary: this server is a standby";
        Finding::failure("database", format!("{named} takes no writes"), hint)
    } else if major < oldest {
        let hint = format!("update to {name} {oldest} or newer: hosho is tested with those");
        Finding::warning("database", named, hint)
    } else {
        Finding::ok("database", named)
    }
}

async fn pool(db: &Db, server: &Server, config: &Config) -> Finding {
    let (pool, wanted) = (db.pool().clone(), config.database.connections);
    let opened = tokio::task::spawn_blocking(move || {
        let opened: Result<Vec<Connection>, DbError> = (0..wanted).map(|_| pool.get()).collect();
        opened.map(|opened| opened.len())
    });
    let counts = format!("{} of {} in use", server.connections, server.connections_allowed);
    match opened.await {
        Ok(Ok(count)) => Finding::ok("database pool", format!("{count} connections opened; {counts}")),
        Ok(Err(error)) => Finding::warning(
            "database pool",
            format!("{}; {counts}", chain(&error)),
            "raise max_connections, or lower database.connections times the number of workers",
        ),
        Err(error) => Finding::failure("database pool", error.to_string(), "read the log"),
    }
}

fn read(db: &mut Connection, now: chrono::NaiveDateTime) -> Result<Rows, DbError> {
    let open = Filter { states: OPEN.to_vec(), ..Filter::default() };
    let mut runs = Vec::new();
    for run in job_run::list(db, RUNS, None)? {
        let has_failures = run.state == State::CompleteWithFailures;
        let failed = if has_failures { run_item::counts(db, &run.id)?.failed } else { 0 };
        runs.push((run, failed));
    }
    Ok(Rows {
        fleet: Fleet::read(db, now)?,
        failed: failed_message::counts(db, &open)?.values().sum(),
        in_doubt: mail::count(db, &mail::Filter { states: Vec::new(), given_up: true })?,
        runs,
        data_keys: authentication_key::data_keys(db)?,
    })
}

//! The database, and what it tells of the work.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use hosho_schema::{
    db::{self, Backend, Connection, DbError, Server},
    models::{
        authentication_key,
        failed_message::{self, Filter, OPEN},
        mail,
        stage_control::{self, StageControl},
        worker::{self, Worker, WorkerStage},
    },
};

use super::{super::selection::Database, Report, house, skew};
use crate::{config::Config, pulse::GONE_AFTER, stage::chain};

/// A batch in hand for longer than this is stuck: the longest dialogue with a mail server is shorter.
const STUCK: TimeDelta = TimeDelta::minutes(15);

/// What the rows tell.
pub(super) struct Told {
    workers: Vec<(Worker, Vec<WorkerStage>)>,
    controls: Vec<StageControl>,
    failed: i64,
    in_doubt: usize,
    data_keys: Vec<String>,
}

pub(super) async fn look(report: &mut Report, database: &Database, config: &Config) -> Option<Told> {
    let server = database.ask(db::server).await;
    let server = match server {
        Ok(server) => server,
        Err(failure) => {
            report.failure("database", failure.text(), "bring it back, or correct database.url: every stage waits for it");
            return None;
        }
    };
    tell_server(report, database, &server, config).await;
    match database.ask(db::pending).await {
        Ok(pending) if pending.is_empty() => report.ok("migrations", "the tables are up to date"),
        Ok(pending) => {
            report.failure("migrations", format!("{} are pending, the first is {}", pending.len(), pending[0]), "`hosho migrate`");
            return None;
        }
        Err(failure) => {
            report.failure("migrations", failure.text(), "`hosho migrate`");
            return None;
        }
    }
    match database.ask(tell_from).await {
        Ok(told) => {
            tell_work(report, &told, config, database.clock.now());
            Some(told)
        }
        Err(failure) => {
            report.failure("tables", failure.text(), "the log of the database tells more");
            None
        }
    }
}

async fn tell_server(report: &mut Report, database: &Database, server: &Server, config: &Config) {
    let here = database.clock.now();
    let (name, oldest) = match database.pool.backend() {
        Backend::Postgres => ("PostgreSQL", 14),
        Backend::Sqlite => ("SQLite", 3),
    };
    let major: u32 = server.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if server.is_read_only {
        report.failure(
            "database",
            format!("{name} {} takes no writes", server.version),
            "it is a standby: point database.url at the primary",
        );
    } else if major < oldest {
        report.warning("database", format!("{name} {}", server.version), format!("hosho is tested with {name} {oldest} and newer"));
    } else {
        report.ok("database", format!("{name} {}", server.version));
    }
    if let Some(clock) = server.clock {
        skew(report, "database clock", clock, here, 0);
    }
    if database.pool.backend() == Backend::Postgres {
        pool(report, database, server, config).await;
    }
}

/// Opens as many connections as one worker would.
async fn pool(report: &mut Report, database: &Database, server: &Server, config: &Config) {
    let (pool, wanted) = (database.pool.clone(), config.database.connections);
    let opened = tokio::task::spawn_blocking(move || {
        let held: Result<Vec<Connection>, DbError> = (0..wanted).map(|_| pool.get()).collect();
        held.map(|held| held.len())
    });
    let counts = format!("{} of {} in use", server.connections, server.connections_allowed);
    match opened.await {
        Ok(Ok(count)) => report.ok("database pool", format!("{count} connections opened; {counts}")),
        Ok(Err(error)) => report.warning(
            "database pool",
            format!("{}; {counts}", chain(&error)),
            "raise max_connections, or lower database.connections times the number of workers",
        ),
        Err(error) => report.failure("database pool", error.to_string(), "the log tells more"),
    }
}

fn tell_from(connection: &mut Connection) -> Result<Told, DbError> {
    let failed = failed_message::counts(connection, &Filter { states: OPEN.to_vec(), ..Filter::default() })?.values().sum();
    let in_doubt = mail::list(connection, &mail::Filter { states: Vec::new(), given_up: true }, 1_000, 0)?.len();
    Ok(Told {
        workers: worker::all(connection)?,
        controls: stage_control::all(connection)?,
        failed,
        in_doubt,
        data_keys: authentication_key::data_keys(connection)?,
    })
}

fn tell_work(report: &mut Report, told: &Told, config: &Config, now: chrono::NaiveDateTime) {
    if let Ok(ring) = house::load_keys(config) {
        let missing: Vec<&str> = told.data_keys.iter().map(String::as_str).filter(|id| !ring.holds(id)).collect();
        if missing.is_empty() {
            report.ok("sealed keys", format!("every data key in use is there ({})", told.data_keys.len()));
        } else {
            report.failure(
                "sealed keys",
                format!("sealed with data keys that are not there: {}", missing.join(" ")),
                "put their lines back into keys.file",
            );
        }
    }
    if told.failed == 0 {
        report.ok("failed messages", "none waits for anybody");
    } else {
        report.warning("failed messages", format!("{} wait for somebody", told.failed), "`hosho failed groups`");
    }
    if told.in_doubt == 0 {
        report.ok("mails in doubt", "none waits for anybody");
    } else {
        report.warning("mails in doubt", format!("{} were sent twice without an answer", told.in_doubt), "`hosho mail unknown`");
    }
    for control in told.controls.iter().filter(|control| control.paused) {
        report.warning(
            "paused",
            format!("{} by {}: {}", control.stage, control.actor, control.reason),
            format!("`hosho stages resume {}`", control.stage),
        );
    }
    let living: Vec<&(Worker, Vec<WorkerStage>)> = told.workers.iter().filter(|(worker, _)| worker.seen_at >= now - GONE_AFTER).collect();
    for (worker, _) in told.workers.iter().filter(|(worker, _)| worker.seen_at < now - GONE_AFTER) {
        report.warning(
            "workers",
            format!("process {} on {} gave no sign of life lately", worker.pid, worker.host),
            "if it was not stopped on purpose, look at its log; its row goes after a day",
        );
    }
    let stages = living.iter().flat_map(|(worker, stages)| stages.iter().map(move |stage| (worker, stage)));
    let mut open: BTreeMap<String, String> = BTreeMap::new();
    for (worker, row) in stages {
        if let Some(busy) = row.busy_since.filter(|since| *since < now - STUCK) {
            report.warning(
                "stuck deliveries",
                format!(
                    "{} ({}) on {}, process {}: {} messages in hand for {} min",
                    row.stage,
                    row.lane,
                    worker.host,
                    worker.pid,
                    row.held,
                    (now - busy).num_minutes()
                ),
                "look at its log; stopping the process gives them to others",
            );
        }
        if let Some(code) = &row.fault_code {
            open.insert(row.stage.clone(), format!("{code}: {}", row.fault_text.clone().unwrap_or_default()));
        }
    }
    for (stage, why) in open {
        report.warning("circuit", format!("{stage} waits ({why})"), "it goes on by itself once that is back");
    }
}

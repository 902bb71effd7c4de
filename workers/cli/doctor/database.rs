//! The database, and what it tells of the work.

use std::collections::BTreeMap;

use chrono::{NaiveDateTime, TimeDelta};
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

use super::{
    super::{selection::Database, wording::counted},
    Report, skew,
};
use crate::{assembly, config::Config, pulse::GONE_AFTER, stage::chain};

/// A batch in hand for longer than this is stuck: the longest dialogue with a mail server is shorter.
const STUCK: TimeDelta = TimeDelta::minutes(15);

/// What the rows tell.
pub(super) struct Told {
    workers: Vec<(Worker, Vec<WorkerStage>)>,
    controls: Vec<StageControl>,
    failed: i64,
    in_doubt: usize,
    pub(super) data_keys: Vec<String>,
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
            tell_work(report, &told, assembly::broker(config).is_ok_and(|queue| !queue.in_process()), database.clock.now());
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

/// `has_workers`: the messages are worked off by processes of their own.
fn tell_work(report: &mut Report, told: &Told, has_workers: bool, now: NaiveDateTime) {
    let wait = |count: i64| if count == 1 { "waits" } else { "wait" };
    if told.failed == 0 {
        report.ok("failed messages", "none waits for anybody");
    } else {
        report.warning("failed messages", format!("{} {} for somebody", told.failed, wait(told.failed)), "`hosho failed groups`");
    }
    if told.in_doubt == 0 {
        report.ok("mails in doubt", "none waits for anybody");
    } else {
        report.warning("mails in doubt", format!("{} sent twice without an answer", told.in_doubt), "`hosho mail unknown`");
    }
    let mut paused = told.controls.iter().filter(|control| control.paused).peekable();
    if paused.peek().is_none() {
        report.ok("paused", "no stage");
    }
    for control in paused {
        report.warning(
            "paused",
            format!("{} by {}: {}", control.stage, control.actor, control.reason),
            format!("`hosho stages resume {} --reason …`", control.stage),
        );
    }
    let is_living = |worker: &Worker| worker.seen_at >= now - GONE_AFTER;
    let (living, gone): (Vec<_>, Vec<_>) = told.workers.iter().partition(|(worker, _)| is_living(worker));
    if !has_workers && living.is_empty() {
        report.ok("workers", "none, and none is needed: broker.url is memory");
    } else if living.is_empty() {
        report.warning("workers", "none gives a sign of life", "start `hosho work`");
    } else {
        let processes = if living.len() == 1 { "process" } else { "processes" };
        report.ok("workers", format!("{} {processes} at work", living.len()));
    }
    for (worker, _) in gone {
        report.warning(
            "workers",
            format!("process {} on {} gave no sign of life lately", worker.pid, worker.host),
            "if it was not stopped on purpose, look at its log; its row goes after a day",
        );
    }
    let rows: Vec<(&Worker, &WorkerStage)> =
        living.iter().flat_map(|(worker, stages)| stages.iter().map(move |stage| (worker, stage))).collect();
    stuck(report, &rows, now);
    circuits(report, &rows);
}

fn stuck(report: &mut Report, rows: &[(&Worker, &WorkerStage)], now: NaiveDateTime) {
    let mut is_well = true;
    for (worker, row) in rows {
        let Some(busy) = row.busy_since.filter(|since| *since < now - STUCK) else { continue };
        is_well = false;
        report.warning(
            "stuck deliveries",
            format!(
                "{} ({}) on {}, process {}: {} in hand for {} min",
                row.stage,
                row.lane,
                worker.host,
                worker.pid,
                counted(row.held, "message"),
                (now - busy).num_minutes()
            ),
            "look at its log; stopping the process gives them to others",
        );
    }
    if is_well {
        report.ok("stuck deliveries", format!("none: no worker has a batch in hand for longer than {} min", STUCK.num_minutes()));
    }
}

fn circuits(report: &mut Report, rows: &[(&Worker, &WorkerStage)]) {
    let mut open: BTreeMap<&str, String> = BTreeMap::new();
    for (_, row) in rows {
        if let Some(code) = &row.fault_code {
            open.insert(&row.stage, format!("{code}: {}", row.fault_text.as_deref().unwrap_or_default()));
        }
    }
    if open.is_empty() {
        report.ok("circuit", "no stage waits for something that is down");
    }
    for (stage, why) in open {
        report.warning("circuit", format!("{stage} waits ({why})"), "it goes on by itself once that is back");
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    fn now() -> NaiveDateTime {
        "2026-12-01T00:00:00".parse().unwrap()
    }

    fn working(seen: TimeDelta, change: impl FnOnce(&mut WorkerStage)) -> (Worker, Vec<WorkerStage>) {
        let worker =
            Worker { id: "w".to_owned(), host: "a".to_owned(), pid: 7, version: "1".to_owned(), started_at: now(), seen_at: now() - seen };
        let mut row = WorkerStage {
            worker_id: "w".to_owned(),
            stage: "dispatch".to_owned(),
            lane: "live".to_owned(),
            consumers: 1,
            held: 1,
            done: 0,
            per_minute: 0,
            busy_since: None,
            taken_from: None,
            fault_code: None,
            fault_text: None,
            open_since: None,
            next_probe: None,
            waiting: String::new(),
        };
        change(&mut row);
        (worker, vec![row])
    }

    fn told(workers: Vec<(Worker, Vec<WorkerStage>)>) -> Told {
        Told { workers, controls: Vec::new(), failed: 0, in_doubt: 0, data_keys: Vec::new() }
    }

    fn report(told: &Told, has_workers: bool) -> Report {
        let mut report = Report::silent();
        tell_work(&mut report, told, has_workers, now());
        report
    }

    const LINES: [&str; 6] = ["failed messages", "mails in doubt", "paused", "workers", "stuck deliveries", "circuit"];

    #[test]
    fn what_is_well_is_said_in_one_line_each() {
        let report = report(&told(vec![working(TimeDelta::zero(), |_| {})]), true);
        for what in LINES {
            assert!(matches!(report.of(what)[..], [(Verdict::Ok, _)]), "{what}: {:?}", report.of(what));
        }
    }

    #[test]
    fn a_house_without_workers_is_told_of_where_it_needs_some() {
        assert!(matches!(report(&told(Vec::new()), true).of("workers")[..], [(Verdict::Warning, _)]));
        assert!(matches!(report(&told(Vec::new()), false).of("workers")[..], [(Verdict::Ok, _)]));
    }

    #[test]
    fn what_is_not_well_is_told_with_its_place() {
        let stuck = working(TimeDelta::zero(), |row| row.busy_since = Some(now() - TimeDelta::minutes(20)));
        let waiting = working(TimeDelta::zero(), |row| row.fault_code = Some("mail.unavailable".to_owned()));
        let gone = working(TimeDelta::hours(1), |row| row.busy_since = Some(now() - TimeDelta::hours(2)));
        let control = StageControl {
            stage: "mint".to_owned(),
            paused: true,
            reason: "keys".to_owned(),
            actor: "hanako".to_owned(),
            changed_at: now(),
        };
        let told = Told { controls: vec![control], failed: 1, in_doubt: 2, ..told(vec![stuck, waiting, gone]) };
        let report = report(&told, true);
        assert_eq!(report.of("failed messages"), [(Verdict::Warning, "1 waits for somebody")]);
        assert_eq!(report.of("paused"), [(Verdict::Warning, "mint by hanako: keys")]);
        assert_eq!(report.of("stuck deliveries"), [(Verdict::Warning, "dispatch (live) on a, process 7: 1 message in hand for 20 min")]);
        assert_eq!(report.of("workers").len(), 2, "{:?}", report.of("workers"));
        assert!(report.of("circuit")[0].1.contains("mail.unavailable"));
    }
}

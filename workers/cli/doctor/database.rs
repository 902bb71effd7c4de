//! The database, and what it tells of the work.

use std::collections::BTreeMap;

use chrono::{NaiveDateTime, TimeDelta};
use hosho_schema::{
    db::{self, Backend, Connection, DbError, Server},
    models::{
        authentication_key,
        failed_message::{self, Filter, OPEN},
        job_run::{self, Run, State},
        mail, run_item,
        stage_control::{self, StageControl},
        worker::{self, Worker, WorkerStage},
    },
};

use super::{
    super::{
        moment::shown,
        selection::{Database, short},
        wording::counted,
    },
    Report, skew,
};
use crate::{app, config::Config, fault::chain, pipeline::heartbeat::GONE_AFTER, stages};

/// A batch in hand for longer than this is stuck: the longest dialogue with a mail server is shorter.
const STUCK: TimeDelta = TimeDelta::minutes(15);

/// Runs looked at: those of a week, and some by hand.
const RUNS: i64 = 10;

/// What the rows tell.
pub(super) struct Told {
    workers: Vec<(Worker, Vec<WorkerStage>)>,
    controls: Vec<StageControl>,
    failed: i64,
    in_doubt: usize,
    /// The latest runs of the nightly batch and those by hand, newest first, with the guarantees of each that failed.
    runs: Vec<(Run, i64)>,
    pub(super) data_keys: Vec<String>,
}

pub(super) async fn look(report: &mut Report, database: &Database, config: &Config) -> Option<Told> {
    let server = database.ask(db::server).await;
    let server = match server {
        Ok(server) => server,
        Err(failure) => {
            report.failure(
                "database",
                failure.message(),
                "bring it back, or correct database.url: every stage waits for it",
            );
            return None;
        }
    };
    tell_server(report, database, &server, config).await;
    match database.ask(db::pending).await {
        Ok(pending) if pending.is_empty() => report.ok("migrations", "the tables are up to date"),
        Ok(pending) => {
            report.failure(
                "migrations",
                format!("{} are pending, the first is {}", pending.len(), pending[0]),
                "`hosho migrate`",
            );
            return None;
        }
        Err(failure) => {
            report.failure("migrations", failure.message(), "`hosho migrate`");
            return None;
        }
    }
    match database.ask(tell_from).await {
        Ok(told) => {
            tell_work(
                report,
                &told,
                app::broker_client(config, stages::NAMES).is_ok_and(|queue| !queue.in_process()),
                database.clock.now(),
            );
            Some(told)
        }
        Err(failure) => {
            report.failure("tables", failure.message(), "the log of the database tells more");
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
        report.warning(
            "database",
            format!("{name} {}", server.version),
            format!("hosho is tested with {name} {oldest} and newer"),
        );
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
    let failed = failed_message::counts(connection, &Filter { states: OPEN.to_vec(), ..Filter::default() })?
        .values()
        .sum();
    let in_doubt =
        mail::list(connection, &mail::Filter { states: Vec::new(), given_up: true }, 1_000, 0)?.len();
    let mut runs = Vec::new();
    for run in job_run::list(connection, RUNS, 0)? {
        let failed = if run.state == State::CompleteWithFailures {
            run_item::counts(connection, &run.id)?.failed
        } else {
            0
        };
        runs.push((run, failed));
    }
    Ok(Told {
        runs,
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
        report.warning(
            "failed messages",
            format!("{} {} for somebody", told.failed, wait(told.failed)),
            "`hosho failed groups`",
        );
    }
    if told.in_doubt == 0 {
        report.ok("mails in doubt", "none waits for anybody");
    } else {
        report.warning(
            "mails in doubt",
            format!("{} sent twice without an answer", told.in_doubt),
            "`hosho mail unknown`",
        );
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
    tell_runs(report, &told.runs, now);
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
        report.ok(
            "stuck deliveries",
            format!("none: no worker has a batch in hand for longer than {} min", STUCK.num_minutes()),
        );
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

/// Tells how the latest run ended, of one that nobody drives, and of turns that passed since without one.
fn tell_runs(report: &mut Report, runs: &[(Run, i64)], now: NaiveDateTime) {
    const WHAT: &str = "nightly batch";
    let passed = runs.iter().take_while(|(run, _)| run.state == State::Skipped).count();
    if let Some((run, _)) = runs.first().filter(|_| passed > 0) {
        let turn = run.scheduled_for.as_deref().unwrap_or_default();
        report.warning(
            WHAT,
            format!("{} passed without a run, the last {turn}", counted(passed, "turn")),
            "`hosho batch start --reason …` makes up for it; `hosho batch list` tells why",
        );
    }
    let Some((run, failed)) = runs.get(passed) else {
        if passed == 0 {
            report.ok(WHAT, "there was no run yet");
        }
        return;
    };
    let id = short(&run.id);
    let is_driven = run.driver.is_some() && run.leased_until.is_some_and(|until| until >= now);
    match run.state {
        State::Running if !is_driven => {
            report.warning(
                WHAT,
                format!("nobody drives the run {id}"),
                "start `hosho work` on some host: it goes on from its checkpoint",
            );
        }
        State::Running => {
            report.ok(WHAT, format!("the run {id} is under way: {} of {} selected", run.selected, run.total))
        }
        State::Paused => report.warning(
            WHAT,
            format!("the run {id} is paused: {}", run.note.as_deref().unwrap_or("no reason is known")),
            format!("`hosho batch resume {id} --reason …`"),
        ),
        State::CompleteWithFailures if *failed > 0 => report.warning(
            WHAT,
            format!("{} of the run {id} failed", counted(*failed, "guarantee")),
            format!("`hosho failed list --run {id}`"),
        ),
        State::Complete | State::CompleteWithFailures | State::Cancelled | State::Skipped => {
            let ended = run.finished_at.map_or_else(|| "-".to_owned(), shown);
            report.ok(
                WHAT,
                format!("the last run, {id}, ended {ended}: {}", run.state.as_text().replace('_', " ")),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    fn now() -> NaiveDateTime {
        "2026-12-01T00:00:00".parse().unwrap()
    }

    fn working(seen: TimeDelta, change: impl FnOnce(&mut WorkerStage)) -> (Worker, Vec<WorkerStage>) {
        let worker = Worker {
            id: "w".to_owned(),
            host: "a".to_owned(),
            pid: 7,
            version: "1".to_owned(),
            started_at: now(),
            seen_at: now() - seen,
        };
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
        Told {
            workers,
            controls: Vec::new(),
            failed: 0,
            in_doubt: 0,
            runs: Vec::new(),
            data_keys: Vec::new(),
        }
    }

    fn report(told: &Told, has_workers: bool) -> Report {
        let mut report = Report::silent();
        tell_work(&mut report, told, has_workers, now());
        report
    }

    const LINES: [&str; 7] = [
        "failed messages",
        "mails in doubt",
        "paused",
        "nightly batch",
        "workers",
        "stuck deliveries",
        "circuit",
    ];

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
        let told =
            Told { controls: vec![control], failed: 1, in_doubt: 2, ..told(vec![stuck, waiting, gone]) };
        let report = report(&told, true);
        assert_eq!(report.of("failed messages"), [(Verdict::Warning, "1 waits for somebody")]);
        assert_eq!(report.of("paused"), [(Verdict::Warning, "mint by hanako: keys")]);
        assert_eq!(
            report.of("stuck deliveries"),
            [(Verdict::Warning, "dispatch (live) on a, process 7: 1 message in hand for 20 min")]
        );
        assert_eq!(report.of("workers").len(), 2, "{:?}", report.of("workers"));
        assert!(report.of("circuit")[0].1.contains("mail.unavailable"));
    }

    fn a_run(id: &str, state: State) -> (Run, i64) {
        let run = Run {
            id: id.repeat(8),
            job: "reissue".to_owned(),
            scheduled_for: Some(format!("2026-12-01T01:30:0{id}")),
            state,
            selection: "{}".to_owned(),
            cutoff: now(),
            rate: 400,
            total: 9,
            selected: 4,
            checkpoint: String::new(),
            exhausted: false,
            reason: "night".to_owned(),
            actor: "schedule".to_owned(),
            driver: Some("w".to_owned()),
            leased_until: Some(now()),
            takeovers: 1,
            note: Some("slow relay".to_owned()),
            created_at: now(),
            finished_at: state.is_over().then(now),
            reported_at: None,
        };
        (run, 0)
    }

    #[test]
    fn nights_that_need_somebody_are_told() {
        use Verdict::{Ok, Warning};
        let found = |runs: &[(Run, i64)]| -> Vec<(Verdict, String)> {
            let mut report = Report::silent();
            tell_runs(&mut report, runs, now());
            report.of("nightly batch").into_iter().map(|(verdict, text)| (verdict, text.to_owned())).collect()
        };
        let one = |run: (Run, i64)| found(&[run]).remove(0);
        assert_eq!(
            one(a_run("1", State::Running)),
            (Ok, "the run 11111111 is under way: 4 of 9 selected".to_owned())
        );
        for (driver, leased_until) in
            [(None, Some(now())), (Some("w".to_owned()), Some(now() - TimeDelta::seconds(1)))]
        {
            let (run, _) = a_run("1", State::Running);
            let left = Run { driver, leased_until, ..run };
            assert_eq!(one((left, 0)), (Warning, "nobody drives the run 11111111".to_owned()));
        }
        assert_eq!(
            one(a_run("1", State::Paused)),
            (Warning, "the run 11111111 is paused: slow relay".to_owned())
        );
        let (run, _) = a_run("1", State::CompleteWithFailures);
        assert_eq!(one((run, 2)), (Warning, "2 guarantees of the run 11111111 failed".to_owned()));
        let replayed = one(a_run("1", State::CompleteWithFailures));
        assert!(replayed.0 == Ok && replayed.1.ends_with("complete with failures"), "{replayed:?}");
        assert_eq!(one(a_run("1", State::Cancelled)).0, Ok);
        // Turns that passed since the last run, and none before it.
        let skipped = [
            a_run("3", State::Skipped),
            a_run("2", State::Skipped),
            a_run("1", State::Complete),
            a_run("0", State::Skipped),
        ];
        let told = found(&skipped);
        assert_eq!(
            told[0],
            (Warning, "2 turns passed without a run, the last 2026-12-01T01:30:03".to_owned())
        );
        assert_eq!((told.len(), told[1].0), (2, Ok));
        assert_eq!(found(&skipped[..2]).len(), 1);
    }
}

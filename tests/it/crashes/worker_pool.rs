//! Two worker processes that a drill starts, kills and stops.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::applications::{Application, Totals, json_lines};
use crate::harness::{
    postgres::Session,
    process::{Child, eventually},
    test_env::TestEnv,
};

/// Mails that one worker may have in flight (`mail.connections`).
pub const CONNECTIONS: usize = 4;

/// Another worker is sending the mail of a duplicate; the retry finds it sent.
pub const OF_A_COPY: &str = "mail.claimed";

/// Short waits keep a drill short. No `recover`: it would hide a lost message.
const SETTINGS: &str = "
[mail]
connections = 4
timeout_seconds = 5
reply_timeout_seconds = 6

[broker]
confirm_timeout_seconds = 5

[work]
retry_seconds = [1, 3, 3, 3, 3, 3, 8, 8, 20]
mail_orphan_seconds = 12

[schedule]
recover_after_seconds = 1000000
";

pub struct WorkerPool {
    pub env: TestEnv,

    pub sql: Session,
    /// Expected number of failed messages; `None` allows any number.
    pub failures: Option<usize>,
    /// Mailboxes that the mail server rejects.
    pub refused: BTreeSet<String>,
    /// Deadline for one step.
    limit: Duration,
    settings: Vec<(String, String)>,
    workers: Vec<Worker>,
}

struct Worker {
    /// The `application_name` of its database connections.
    name: String,
    process: Child,
}

/// A measure of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Rows of a table.
    Rows(&'static str),
    /// Certificates whose documents are stored.
    Arrived,
    /// Complete certificates.
    Completed,
    /// Mails at the mail server.
    Mails,
}

impl Progress {
    pub const ALL: [Self; 8] = [
        Self::Rows("application"),
        Self::Rows("guarantee"),
        Self::Rows("authentication_key"),
        Self::Rows("document"),
        Self::Rows("mail"),
        Self::Arrived,
        Self::Completed,
        Self::Mails,
    ];

    /// The value when all work is complete.
    pub fn end(self, totals: &Totals) -> usize {
        match self {
            Self::Rows("application") => totals.applications,
            Self::Rows("guarantee") | Self::Arrived | Self::Completed => totals.guarantees,
            Self::Rows("authentication_key") => totals.keys,
            Self::Rows("document") => totals.documents,
            Self::Rows(_) | Self::Mails => totals.mails,
        }
    }
}

impl WorkerPool {
    /// Starts no worker yet.
    pub fn new(env: TestEnv, applications: usize) -> Self {
        std::fs::write(env.path("drill.toml"), SETTINGS).unwrap();
        let sql = Session::connect(&env.database);
        let limit =
            Duration::from_mins(3) + Duration::from_millis(150) * u32::try_from(applications).unwrap();
        Self {
            env,
            sql,
            failures: Some(0),
            refused: BTreeSet::new(),
            limit,
            settings: Vec::new(),
            workers: Vec::new(),
        }
    }

    /// Runs some stages until `done`, and stops them.
    pub fn run_stages(&mut self, stages: &[&str], mut done: impl FnMut(&mut Self) -> bool) {
        let config = self.env.path("drill.toml").display().to_string();
        let mut arguments = vec!["--config", &config, "work"];
        arguments.extend(stages.iter().flat_map(|stage| ["--stage", stage]));
        let mut worker = self.env.start(&arguments, &[]);
        eventually(&format!("the end of {stages:?}"), self.limit, || {
            assert!(worker.is_alive(), "the worker exited:\n{}", tail(&worker.output()));
            done(self).then_some(())
        });
        worker.terminate();
        let status = worker.wait(Duration::from_secs(40));
        assert!(status.success(), "the worker did not stop cleanly: {status}\n{}", tail(&worker.output()));
    }

    /// Publishes applications `copies` times in parallel.
    pub fn enqueue(&self, applications: &[Application], copies: usize) {
        let file = self.env.path("applications.jsonl");
        std::fs::write(&file, json_lines(applications)).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..copies {
                scope.spawn(|| self.env.succeed(&["enqueue", file.to_str().unwrap()]));
            }
        });
    }

    /// Starts workers until there are two.
    /// The settings also apply to all later workers.
    pub fn start(&mut self, settings: &[(&str, &str)]) {
        self.settings.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let config = self.env.path("drill.toml").display().to_string();
        while self.workers.len() < 2 {
            static STARTED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
            let name = format!("drill-{}", STARTED.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            let database = format!("{}?application_name={name}", self.env.database);
            let mut settings = vec![("DATABASE__URL", database.as_str())];
            settings.extend(self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            let process = self.env.start(&["--config", &config, "work"], &settings);
            self.workers.push(Worker { name, process });
        }
    }

    /// A worker exits if the database or the store is unavailable before this.
    pub fn until_started(&mut self) {
        eventually("workers started", self.limit, || {
            self.assert_alive();
            self.logs().iter().all(|log| log.contains("Workers started")).then_some(())
        });
    }

    pub fn progress(&mut self, mark: Progress) -> usize {
        let sql = match mark {
            Progress::Rows(table) => format!("select count(*) from {table}"),
            Progress::Arrived => "select count(*) from revision where arrived_at is not null".to_owned(),
            Progress::Completed => "select count(*) from revision where completed_at is not null".to_owned(),
            Progress::Mails => return self.env.smtp.count(),
        };
        self.number(&sql)
    }

    /// Runs a query that returns one number.
    pub fn number(&mut self, sql: &str) -> usize {
        self.sql.query(sql)[0][0].as_deref().unwrap().parse().unwrap()
    }

    /// Runs a query and returns its first column.
    pub fn texts(&mut self, sql: &str) -> BTreeSet<String> {
        self.sql.query(sql).into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
    }

    /// Waits for a progress; fails if a worker exits.
    pub fn until(&mut self, mark: Progress, at: usize) {
        let limit = self.limit;
        eventually(&format!("{mark:?} at {at}"), limit, || {
            self.assert_alive();
            (self.progress(mark) >= at).then_some(())
        });
    }

    pub fn assert_alive(&mut self) {
        for worker in &mut self.workers {
            assert!(worker.process.is_alive(), "a worker exited:\n{}", tail(&worker.process.output()));
        }
    }

    /// The logs of the running workers.
    pub fn logs(&self) -> Vec<String> {
        self.workers.iter().map(|worker| worker.process.output()).collect()
    }

    /// Kills workers by index with SIGKILL.
    /// Returns all mails then in flight, those of the other worker included.
    pub fn kill(&mut self, victims: &[usize]) -> BTreeSet<String> {
        let mut killed = Vec::new();
        for index in victims {
            self.workers[*index].process.kill9();
            killed.push(format!("'{}'", self.workers[*index].name));
        }
        let mut index = 0;
        self.workers.retain(|_| {
            index += 1;
            !victims.contains(&(index - 1))
        });
        // The database still executes the statements it has received, commits included.
        let names = killed.join(", ");
        eventually(
            "the database has closed the connections of the killed workers",
            Duration::from_mins(1),
            || {
                (self.number(&format!(
                    "select count(*) from pg_stat_activity where application_name in ({names})"
                )) == 0)
                    .then_some(())
            },
        );
        self.texts("select id from mail where state = 'sending'")
    }

    /// Waits for all work, stops the workers, checks the number of failed messages.
    pub fn finish(&mut self, totals: &Totals) {
        self.until(Progress::Completed, totals.guarantees);
        self.drain();
        let failed = usize::try_from(self.env.rows("failed_message")).unwrap();
        assert_eq!(Some(failed), self.failures, "failed messages:\n{}", warnings(&self.env.logs()));
    }

    /// Waits until the queues are empty and stops the workers with SIGTERM.
    /// Repeats while a stopped worker requeues messages.
    pub fn drain(&mut self) {
        let deadline = Instant::now() + self.limit;
        loop {
            eventually("empty queues", self.limit, || {
                self.assert_alive();
                let depths = self.env.depths();
                let failed = depths["dead"]
                    + depths["unrouted"]
                    + u64::try_from(self.env.rows("failed_message")).unwrap();
                let may_fail = self.failures.is_none_or(|failures| failed <= failures as u64);
                assert!(may_fail, "{failed} messages failed:\n{}", warnings(&self.env.logs()));
                depths.values().all(|ready| *ready == 0).then_some(())
            });
            for worker in &self.workers {
                worker.process.terminate();
            }
            for mut worker in std::mem::take(&mut self.workers) {
                let status = worker.process.wait(Duration::from_secs(40));
                assert!(
                    status.success(),
                    "a worker did not stop cleanly: {status}\n{}",
                    tail(&worker.process.output())
                );
            }
            let depths = self.env.depths();
            if depths.values().all(|ready| *ready == 0) {
                return;
            }
            assert!(Instant::now() < deadline, "the queues do not stay empty: {depths:?}");
            self.start(&[]);
        }
    }

    /// Pauses or resumes a stage.
    pub fn set_paused(&self, stage: &str, paused: bool) {
        self.env.succeed(&["stages", if paused { "pause" } else { "resume" }, stage, "--reason", "drill"]);
    }

    /// Counts a text in the logs of the running workers.
    pub fn count_logged(&self, text: &str) -> usize {
        self.logs().iter().map(|log| log.matches(text).count()).sum()
    }

    /// Waits until the workers have logged a text this often; fails if one exits.
    pub fn until_logged(&mut self, text: &str, times: usize) {
        eventually(&format!("{times} × {text:?}"), self.limit, || {
            self.assert_alive();
            (self.count_logged(text) >= times).then_some(())
        });
    }

    /// All log lines so far that count an attempt, without these fault codes.
    pub fn attempts_except(&self, codes: &[&str]) -> Vec<String> {
        let logs = self.env.logs();
        let is_excluded =
            |line: &&str| codes.iter().any(|code| line.contains(&format!("\"fault.code\":\"{code}\"")));
        logs.lines()
            .filter(|line| line.contains("\"delivery.attempt\""))
            .filter(|line| !is_excluded(line))
            .map(str::to_owned)
            .collect()
    }
}

/// The last warnings and errors of a log.
fn warnings(log: &str) -> String {
    tail(
        &log.lines()
            .filter(|line| line.contains("\"ERROR\"") || line.contains("\"WARN\""))
            .collect::<Vec<_>>()
            .join("\n"),
    )
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

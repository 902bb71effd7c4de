//! Two worker processes, their deaths, and what was in flight at each.

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

/// Mails that one process may have in flight (`mail.connections`).
pub const CONNECTIONS: usize = 4;

/// The attempt of a message whose mail another worker is just sending for a copy of it: it waits, and finds the mail sent.
pub const OF_A_COPY: &str = "mail.claimed";

/// Short waits, so that a drill ends; and no net but the queue: `recover` would hide a lost message.
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

/// Two workers on a env.
pub struct WorkerPool {
    pub env: TestEnv,
    /// Questions to the database.
    pub sql: Session,
    /// How many messages may fail for good, and are to; `None` while a drill lets any fail.
    pub failures: Option<usize>,
    /// Mailboxes that the mail server refuses.
    pub refused: BTreeSet<String>,
    /// How long anything may take.
    limit: Duration,
    more: Vec<(String, String)>,
    workers: Vec<Worker>,
}

struct Worker {
    /// Shown by the database as the name of the application.
    name: String,
    process: Child,
}

/// A sign of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Rows of a table.
    Rows(&'static str),
    /// Certificates whose documents are stored.
    Arrived,
    /// Certificates with everything done.
    Completed,
    /// Mails at the mail server.
    Mails,
}

impl Mark {
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

    /// Where it ends.
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
    /// Sets up; nobody works yet.
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
            more: Vec::new(),
            workers: Vec::new(),
        }
    }

    /// Runs some stages only, until `done`, and ends them.
    pub fn run_stages(&mut self, stages: &[&str], mut done: impl FnMut(&mut Self) -> bool) {
        let config = self.env.path("drill.toml").display().to_string();
        let mut arguments = vec!["--config", &config, "work"];
        arguments.extend(stages.iter().flat_map(|stage| ["--stage", stage]));
        let mut worker = self.env.start(&arguments, &[]);
        eventually(&format!("the end of {stages:?}"), self.limit, || {
            assert!(worker.is_alive(), "the worker ended by itself:\n{}", tail(&worker.output()));
            done(self).then_some(())
        });
        worker.terminate();
        let status = worker.wait(Duration::from_secs(40));
        assert!(status.success(), "the worker did not stop cleanly: {status}\n{}", tail(&worker.output()));
    }

    /// Publishes applications, `copies` times at the same time.
    pub fn enqueue(&self, applications: &[Application], copies: usize) {
        let file = self.env.path("applications.jsonl");
        std::fs::write(&file, json_lines(applications)).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..copies {
                scope.spawn(|| self.env.succeed(&["enqueue", file.to_str().unwrap()]));
            }
        });
    }

    /// Starts workers until there are two. `more` settings hold from now on.
    pub fn start(&mut self, more: &[(&str, &str)]) {
        self.more.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let config = self.env.path("drill.toml").display().to_string();
        while self.workers.len() < 2 {
            static STARTED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
            let name = format!("drill-{}", STARTED.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            let database = format!("{}?application_name={name}", self.env.database);
            let mut settings = vec![("DATABASE__URL", database.as_str())];
            settings.extend(self.more.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            let process = self.env.start(&["--config", &config, "work"], &settings);
            self.workers.push(Worker { name, process });
        }
    }

    /// Waits until every worker is at work. One that is still starting ends when the database, or the folder of documents, is away.
    pub fn until_at_work(&mut self) {
        eventually("workers at work", self.limit, || {
            self.assert_alive();
            self.logs().iter().all(|log| log.contains("Workers started")).then_some(())
        });
    }

    /// How far a sign of progress has come.
    pub fn progress(&mut self, mark: Mark) -> usize {
        let sql = match mark {
            Mark::Rows(table) => format!("select count(*) from {table}"),
            Mark::Arrived => "select count(*) from revision where arrived_at is not null".to_owned(),
            Mark::Completed => "select count(*) from revision where completed_at is not null".to_owned(),
            Mark::Mails => return self.env.smtp.count(),
        };
        self.number(&sql)
    }

    /// The one number that a question is answered with.
    pub fn number(&mut self, sql: &str) -> usize {
        self.sql.query(sql)[0][0].as_deref().unwrap().parse().unwrap()
    }

    /// The first column of an answer.
    pub fn texts(&mut self, sql: &str) -> BTreeSet<String> {
        self.sql.query(sql).into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
    }

    /// Waits until a sign of progress has come so far; nobody may die meanwhile.
    pub fn until(&mut self, mark: Mark, at: usize) {
        let limit = self.limit;
        eventually(&format!("{mark:?} at {at}"), limit, || {
            self.assert_alive();
            (self.progress(mark) >= at).then_some(())
        });
    }

    pub fn assert_alive(&mut self) {
        for worker in &mut self.workers {
            assert!(
                worker.process.is_alive(),
                "a worker ended by itself:\n{}",
                tail(&worker.process.output())
            );
        }
    }

    /// What the workers that run now have logged.
    pub fn logs(&self) -> Vec<String> {
        self.workers.iter().map(|worker| worker.process.output()).collect()
    }

    /// Kills the workers with these indexes (`kill -9`) and returns the mails that are in flight once they are dead: theirs,
    /// and those of a worker that lives on.
    pub fn kill(&mut self, which: &[usize]) -> BTreeSet<String> {
        let mut dead = Vec::new();
        for index in which {
            self.workers[*index].process.kill9();
            dead.push(format!("'{}'", self.workers[*index].name));
        }
        let mut index = 0;
        self.workers.retain(|_| {
            index += 1;
            !which.contains(&(index - 1))
        });
        // What they had sent to the database is carried out still, a commit among it.
        let names = dead.join(", ");
        eventually("the dead workers' connections to the database are gone", Duration::from_mins(1), || {
            (self.number(&format!(
                "select count(*) from pg_stat_activity where application_name in ({names})"
            )) == 0)
                .then_some(())
        });
        self.texts("select id from mail where state = 'sending'")
    }

    /// Waits until everything is done, and settles; then exactly what was to fail has failed.
    pub fn finish(&mut self, totals: &Totals) {
        self.until(Mark::Completed, totals.guarantees);
        self.settle();
        let failed = usize::try_from(self.env.rows("failed_message")).unwrap();
        assert_eq!(Some(failed), self.failures, "failed messages:\n{}", faults(&self.env.logs()));
    }

    /// Waits until the queues have run empty, ends the workers with SIGTERM, and sees that no message came back: one that a
    /// worker held just then would.
    pub fn settle(&mut self) {
        let deadline = Instant::now() + self.limit;
        loop {
            eventually("queues that are empty", self.limit, || {
                self.assert_alive();
                let depths = self.env.depths();
                let failed = depths["dead"]
                    + depths["unrouted"]
                    + u64::try_from(self.env.rows("failed_message")).unwrap();
                let may_fail = self.failures.is_none_or(|failures| failed <= failures as u64);
                assert!(may_fail, "{failed} messages failed:\n{}", faults(&self.env.logs()));
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
            assert!(Instant::now() < deadline, "the queues never stay empty: {depths:?}");
            self.start(&[]);
        }
    }

    /// Lets all workers finish what they have of a stage and take nothing more of it, now and later, or lets them go on.
    pub fn pause(&self, stage: &str, paused: bool) {
        self.env.succeed(&["stages", if paused { "pause" } else { "resume" }, stage, "--reason", "a drill"]);
    }

    /// How often the workers that run now have said this.
    pub fn says(&self, words: &str) -> usize {
        self.logs().iter().map(|log| log.matches(words).count()).sum()
    }

    /// Waits until the workers that run now have said this so often; nobody may die meanwhile.
    pub fn until_said(&mut self, words: &str, times: usize) {
        eventually(&format!("{times} × {words:?}"), self.limit, || {
            self.assert_alive();
            (self.says(words) >= times).then_some(())
        });
    }

    /// The lines of all workers so far that count an attempt, but for these codes of faults.
    pub fn attempts_but_for(&self, codes: &[&str]) -> Vec<String> {
        let logs = self.env.logs();
        let is_meant =
            |line: &&str| codes.iter().any(|code| line.contains(&format!("\"fault.code\":\"{code}\"")));
        logs.lines()
            .filter(|line| line.contains("\"delivery.attempt\""))
            .filter(|line| !is_meant(line))
            .map(str::to_owned)
            .collect()
    }
}

/// The lines of a log that tell of trouble.
pub fn faults(log: &str) -> String {
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

//! Private servers, and `hosho` processes that use them.
//!
//! PostgreSQL and RabbitMQ run as in the tests, but sync every commit and every quorum queue to disk, as
//! production does. The mail server is Postfix's `smtp-sink`, which accepts mails and discards them.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use hosho::config::Config;

use crate::{
    harness::{
        postgres::{Postgres, Session},
        process::{Child, eventually, free_port, run, spawn},
        rabbit::Rabbit,
    },
    processes::Group,
};

pub(crate) struct Servers {
    pub(crate) postgres: Postgres,
    pub(crate) rabbit: Rabbit,
    sink: Child,
    smtp: u16,
    folder: tempfile::TempDir,
    envs: usize,
}

/// A separate database, queue prefix and document store on the servers.
pub(crate) struct TestEnv {
    pub(crate) settings: Vec<(&'static str, String)>,
    pub(crate) prefix: String,
    pub(crate) broker: String,
    pub(crate) documents: PathBuf,
    pub(crate) sql: Session,
    folder: PathBuf,
    workers: Vec<Child>,
}

/// How long ext4 without a journal skips recently deleted inodes for each new file.
/// Six minutes (`recently_deleted` in fs/ext4/ialloc.c of Linux). Skipping would dominate the time to store a
/// document, so files are deleted at the end, or this long before a measurement.
const INODES_RECENTLY_DELETED: Duration = Duration::from_mins(6);

/// Each branch has 99,999 guarantee numbers per fiscal year.
pub(crate) const BRANCHES: [&str; 8] = ["07", "31", "35", "41", "42", "43", "44", "45"];

/// Copies the built-in data folder and adds all [`BRANCHES`].
pub(crate) fn data(folder: &Path) -> PathBuf {
    let data = folder.join("data");
    let mut copy = Command::new("cp");
    copy.args(["-r", concat!(env!("CARGO_MANIFEST_DIR"), "/config")]).arg(&data);
    assert!(run(copy).status.success());
    let branches = data.join("branches");
    let pattern = std::fs::read_to_string(branches.join("31.toml")).unwrap();
    for code in BRANCHES {
        let branch = branches.join(format!("{code}.toml"));
        if !branch.exists() {
            std::fs::write(branch, pattern.replace("code = \"31\"", &format!("code = \"{code}\""))).unwrap();
        }
    }
    data
}

/// The program to measure: this build, or `BENCH_HOSHO` for a comparison.
pub(crate) fn program() -> String {
    std::env::var("BENCH_HOSHO").unwrap_or_else(|_| env!("CARGO_BIN_EXE_hosho").to_owned())
}

impl Servers {
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("hosho-bench-").tempdir().unwrap();
        let smtp = free_port();
        let mut sink = Command::new("/usr/sbin/smtp-sink");
        // smtp-sink refuses to run as root, and only root may change the user.
        if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
            sink.args(["-u", "nobody"]);
        }
        sink.args(["-m", "400", &format!("127.0.0.1:{smtp}"), "1000"]);
        let sink = spawn(sink, &folder.path().join("smtp.log"));
        eventually("smtp-sink listens", Duration::from_secs(20), || {
            std::net::TcpStream::connect(("127.0.0.1", smtp)).ok()
        });
        Self { postgres: Postgres::durable(), rabbit: Rabbit::start(), sink, smtp, folder, envs: 0 }
    }

    /// The processes to measure, with these workers.
    pub(crate) fn groups(&self, workers: &[u32]) -> Vec<Group> {
        vec![
            ("worker", workers.to_vec()),
            ("RabbitMQ", vec![self.rabbit.pid()]),
            ("PostgreSQL", vec![self.postgres.pid()]),
            ("SMTP", vec![self.sink.pid()]),
        ]
    }

    /// Creates an environment with empty tables and queues.
    pub(crate) fn env(&mut self) -> TestEnv {
        self.envs += 1;
        let folder = self.folder.path().join(format!("env-{}", self.envs));
        std::fs::create_dir(&folder).unwrap();
        let prefix = format!("bench{}.", self.envs);
        let (broker, database) = (self.rabbit.url(), self.postgres.database("bench"));
        let documents = folder.join("documents");
        let settings = vec![
            ("broker.url", broker.clone()),
            ("broker.prefix", prefix.clone()),
            ("database.url", database.clone()),
            ("documents.url", format!("file:{}", documents.display())),
            ("data.folder", data(&folder).display().to_string()),
            ("keys.file", folder.join("hosho.keys").display().to_string()),
            ("keys.create", "true".to_owned()),
            ("mail.transport", "smtp".to_owned()),
            ("mail.host", "127.0.0.1".to_owned()),
            ("mail.port", self.smtp.to_string()),
            ("mail.security", "none".to_owned()),
            ("log.format", "json".to_owned()),
        ];
        let mut sql = Session::connect(&database);
        // `pipeline::until` queries unfinished revisions twice a second. A bitmap scan of the partial index
        // visits every row unfinished since the last vacuum; a plain index scan marks dead entries and skips
        // them.
        sql.query("set enable_bitmapscan = off");
        let env = TestEnv { settings, prefix, broker, documents, sql, folder, workers: Vec::new() };
        env.succeed(&["migrate"]);
        env.succeed(&["topology", "apply"]);
        env
    }
}

impl TestEnv {
    /// The configuration, for code that runs in this process.
    pub(crate) fn config(&self) -> Config {
        let settings: Vec<_> = self.settings.iter().map(|(key, value)| (*key, Some(value.clone()))).collect();
        Config::load(None, &settings).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn hosho(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments);
        for (key, value) in &self.settings {
            command.env(format!("HOSHO__{}", key.replace('.', "__").to_uppercase()), value);
        }
        command
    }

    /// Runs `hosho`, which must succeed, and returns its output.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = run(self.hosho(arguments));
        assert!(output.status.success(), "hosho {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts workers until there are `count`, and returns their process ids.
    pub(crate) fn workers(&mut self, count: usize) -> Vec<u32> {
        while self.workers.len() < count {
            let log = self.path(&format!("worker-{}.log", self.workers.len()));
            self.workers.push(spawn(self.hosho(&["work"]), &log));
        }
        self.workers.iter().map(Child::pid).collect()
    }

    pub(crate) fn stop_workers(&mut self) {
        for worker in &self.workers {
            worker.terminate();
        }
        for mut worker in self.workers.drain(..) {
            assert!(
                worker.wait(Duration::from_secs(40)).success(),
                "a worker did not stop cleanly: {}",
                worker.output()
            );
        }
    }

    /// Panics with its log if a worker has exited.
    pub(crate) fn assert_alive(&mut self) {
        for worker in &mut self.workers {
            assert!(worker.is_alive(), "a worker exited: {}", worker.output());
        }
    }

    /// Runs a query that returns one number.
    pub(crate) fn number(&mut self, sql: &str) -> i64 {
        self.sql.query(sql)[0][0].as_deref().unwrap().parse().unwrap()
    }

    /// Sizes of the database and of the documents, in bytes.
    pub(crate) fn bytes(&mut self) -> (u64, u64) {
        let tables = self.number("select pg_database_size(current_database())");
        let mut command = Command::new("du");
        command.arg("-sb").arg(&self.documents);
        let documents = String::from_utf8(run(command).stdout).unwrap();
        (
            tables.unsigned_abs(),
            documents.split_whitespace().next().and_then(|size| size.parse().ok()).unwrap_or(0),
        )
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        // The servers delete their folder, and with it the documents.
        self.workers.clear();
    }
}

/// Deletes documents and waits until the file system reuses their inodes.
pub(crate) fn delete_documents(envs: &[&TestEnv]) {
    for env in envs {
        std::fs::remove_dir_all(&env.documents).unwrap();
    }
    std::thread::sleep(INODES_RECENTLY_DELETED);
}

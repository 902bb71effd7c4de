//! Private servers as production has them, and `hosho` on them.
//!
//! PostgreSQL and RabbitMQ as the tests start theirs, but on the disk as in production: every commit and every quorum queue is synced.
//! The mail server is Postfix's `smtp-sink`: it speaks SMTP, takes a mail and forgets it.

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

/// Everything `hosho` needs.
pub(crate) struct Servers {
    pub(crate) postgres: Postgres,
    pub(crate) rabbit: Rabbit,
    sink: Child,
    smtp: u16,
    folder: tempfile::TempDir,
    houses: usize,
}

/// A database, a queue prefix and a document store of their own on the servers.
pub(crate) struct TestEnv {
    pub(crate) settings: Vec<(&'static str, String)>,
    pub(crate) prefix: String,
    pub(crate) broker: String,
    pub(crate) documents: PathBuf,
    pub(crate) sql: Session,
    folder: PathBuf,
    workers: Vec<Child>,
}

/// How long ext4 without a journal passes over the places of files that were deleted, one after the other, for each new file: six
/// minutes (`recently_deleted` in Linux' fs/ext4/ialloc.c). That would be most of what storing a document takes, so nothing is deleted
/// before the end, or this long before something is measured.
const FORGETS: Duration = Duration::from_mins(6);

/// Branches that take applications by turns: each has numbers for 99,999 guarantees of a fiscal year.
pub(crate) const BRANCHES: [&str; 8] = ["07", "31", "35", "41", "42", "43", "44", "45"];

/// A data folder like the one built in, with all [`BRANCHES`].
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

/// The program that is measured: this version's, or another build of it, to be compared.
pub(crate) fn program() -> String {
    std::env::var("BENCH_HOSHO").unwrap_or_else(|_| env!("CARGO_BIN_EXE_hosho").to_owned())
}

impl Servers {
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("hosho-bench-").tempdir().unwrap();
        let smtp = free_port();
        let mut sink = Command::new("/usr/sbin/smtp-sink");
        // It refuses to run as root, and to change its user as anybody else.
        if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
            sink.args(["-u", "nobody"]);
        }
        sink.args(["-m", "400", &format!("127.0.0.1:{smtp}"), "1000"]);
        let sink = spawn(sink, &folder.path().join("smtp.log"));
        eventually("smtp-sink listens", Duration::from_secs(20), || {
            std::net::TcpStream::connect(("127.0.0.1", smtp)).ok()
        });
        Self { postgres: Postgres::durable(), rabbit: Rabbit::start(), sink, smtp, folder, houses: 0 }
    }

    /// What is measured, with some workers.
    pub(crate) fn groups(&self, workers: &[u32]) -> Vec<Group> {
        vec![
            ("worker", workers.to_vec()),
            ("RabbitMQ", vec![self.rabbit.pid()]),
            ("PostgreSQL", vec![self.postgres.pid()]),
            ("SMTP", vec![self.sink.pid()]),
        ]
    }

    /// A env with empty tables and queues.
    pub(crate) fn env(&mut self) -> TestEnv {
        self.houses += 1;
        let folder = self.folder.path().join(format!("env-{}", self.houses));
        std::fs::create_dir(&folder).unwrap();
        let prefix = format!("bench{}.", self.houses);
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
        // What is open is asked twice a second. A bitmap of a partial index leads to every row that was ever open since the last vacuum; a
        // plain scan of the index leaves dead entries out once they have been met.
        sql.query("set enable_bitmapscan = off");
        let env = TestEnv { settings, prefix, broker, documents, sql, folder, workers: Vec::new() };
        env.succeed(&["migrate"]);
        env.succeed(&["topology", "apply"]);
        env
    }
}

impl TestEnv {
    /// The configuration, for what runs in this process.
    pub(crate) fn config(&self) -> Config {
        Config::load(None, &self.settings).unwrap()
    }

    /// A path in its folder.
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

    /// Runs `hosho`, which must succeed, and returns what it printed.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = run(self.hosho(arguments));
        assert!(output.status.success(), "hosho {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts worker processes until there are `count`, and returns their ids.
    pub(crate) fn workers(&mut self, count: usize) -> Vec<u32> {
        while self.workers.len() < count {
            let log = self.path(&format!("worker-{}.log", self.workers.len()));
            self.workers.push(spawn(self.hosho(&["work"]), &log));
        }
        self.workers.iter().map(Child::pid).collect()
    }

    /// Ends every worker.
    pub(crate) fn rest(&mut self) {
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

    /// Panics with its log when a worker ended by itself.
    pub(crate) fn assert_alive(&mut self) {
        for worker in &mut self.workers {
            assert!(worker.is_alive(), "a worker ended by itself: {}", worker.output());
        }
    }

    /// The number that is asked for.
    pub(crate) fn number(&mut self, sql: &str) -> i64 {
        self.sql.query(sql)[0][0].as_deref().unwrap().parse().unwrap()
    }

    /// Bytes of the tables and of the documents.
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
        // What it stored goes with the servers' folder.
        self.workers.clear();
    }
}

/// Deletes the documents of houses, of which a hundred thousand are some gigabytes, and waits until the file system has forgotten them.
pub(crate) fn make_room(houses: &[&TestEnv]) {
    for env in houses {
        std::fs::remove_dir_all(&env.documents).unwrap();
    }
    std::thread::sleep(FORGETS);
}

//! The whole system on private servers, with the `hosho` binary.
//! It has RabbitMQ, PostgreSQL, a mail server and folders.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use hosho::broker::{
    Broker, BrokerError, Consumer, Source,
    rabbit::{Rabbit, RabbitOptions},
};
use hosho_schema::{
    db::Pool,
    models::{self, mail::State},
    queries,
};

use super::{
    postgres,
    process::{Child, eventually, run, spawn},
    rabbit,
    smtp::{Mode, SmtpServer},
};

/// Longest wait of a test.
pub const LIMIT: Duration = Duration::from_mins(4);

/// Private servers with a configuration for `hosho`.
pub struct TestEnv {
    pub folder: tempfile::TempDir,
    pub smtp: SmtpServer,
    /// Of queues and exchanges.
    pub prefix: String,
    /// URL.
    pub database: String,
    broker: String,
    pool: Pool,
    workers: usize,
}

impl TestEnv {
    /// With a database, queues and a mail server. `name` is unique to the test.
    pub fn new(name: &str) -> Self {
        Self::on(name, &rabbit::shared().url(), &postgres::database(name))
    }

    /// As [`TestEnv::new`], with a given broker and an empty database.
    pub fn on(name: &str, broker: &str, database: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let env = Self {
            smtp: SmtpServer::start(Mode::Plain, None),
            prefix: format!("{name}."),
            broker: broker.to_owned(),
            pool: Pool::open(database, 2).unwrap(),
            database: database.to_owned(),
            folder,
            workers: 0,
        };
        let keys = hosho::keys::KeyRing::generate().unwrap();
        write_private(&env.path("hosho.keys"), keys.as_bytes());
        env.succeed(&["migrate"]);
        env.succeed(&["topology", "apply"]);
        env
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// URL.
    pub fn broker(&self) -> &str {
        &self.broker
    }

    /// `hosho` with the configuration of this env.
    pub fn hosho(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hosho"));
        command.args(arguments);
        for (key, value) in [
            ("BROKER__URL", self.broker.clone()),
            ("BROKER__PREFIX", self.prefix.clone()),
            ("DATABASE__URL", self.database.clone()),
            ("DOCUMENTS__URL", format!("file:{}", self.path("documents").display())),
            ("KEYS__FILE", self.path("hosho.keys").display().to_string()),
            ("MAIL__TRANSPORT", "smtp".to_owned()),
            ("MAIL__HOST", "127.0.0.1".to_owned()),
            ("MAIL__PORT", self.smtp.port.to_string()),
            ("MAIL__SECURITY", "none".to_owned()),
            ("LOG__FORMAT", "json".to_owned()),
            ("LOG__LEVEL", "hosho=debug,info,lapin=off".to_owned()),
        ] {
            command.env(format!("HOSHO__{key}"), value);
        }
        command.env("COLUMNS", "250");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        run(self.hosho(arguments))
    }

    /// The standard output of `hosho`. Panics unless it succeeds.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "hosho {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts `hosho work` with additional settings (key, value).
    pub fn work(&mut self, settings: &[(&str, &str)]) -> Child {
        self.start(&["work"], settings)
    }

    /// Starts `hosho work` on these stages.
    pub fn work_on(&mut self, stages: &[&str], settings: &[(&str, &str)]) -> Child {
        let arguments: Vec<&str> =
            ["work"].into_iter().chain(stages.iter().flat_map(|stage| ["--stage", *stage])).collect();
        self.start(&arguments, settings)
    }

    /// Starts `hosho` with these arguments; [`TestEnv::logs`] includes its log.
    pub fn start(&mut self, arguments: &[&str], settings: &[(&str, &str)]) -> Child {
        self.workers += 1;
        let mut command = self.hosho(arguments);
        for (key, value) in settings {
            command.env(format!("HOSHO__{key}"), value);
        }
        spawn(command, &self.path(&format!("worker-{}.log", self.workers)))
    }

    /// Every log line of every worker so far.
    pub fn logs(&self) -> String {
        (1..=self.workers)
            .map(|worker| {
                std::fs::read_to_string(self.path(&format!("worker-{worker}.log"))).unwrap_or_default()
            })
            .collect()
    }

    /// Publishes a file with `examples/enqueue.py`: no code of the program.
    pub fn enqueue_from_python(&self, file: &Path) {
        let mut command = Command::new("/usr/bin/python3");
        command.arg(example("enqueue.py")).arg(file).args(["--prefix", &self.prefix]);
        command.env("AMQP_URL", &self.broker);
        let output = run(command);
        assert!(output.status.success(), "enqueue.py: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The number of rows of a table.
    pub fn rows(&self, table: &str) -> i64 {
        let counts = models::counts(&mut self.pool.get().unwrap()).unwrap();
        counts.into_iter().find(|(name, _)| *name == table).unwrap_or_else(|| panic!("no table {table}")).1
    }

    pub fn with_database<T>(&self, work: impl FnOnce(&mut hosho_schema::db::Connection) -> T) -> T {
        work(&mut self.pool.get().unwrap())
    }

    /// The stored applications among these (source, id).
    pub fn statuses(&self, keys: &[(String, String)]) -> Vec<queries::status::ApplicationStatus> {
        let ids: Vec<String> =
            keys.iter().map(|(source, id)| hosho_schema::ids::application(source, id)).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        self.with_database(|db| queries::status::status(db, &ids)).unwrap().into_iter().flatten().collect()
    }

    /// Waits until `certificates` certificates are complete.
    pub fn until_complete(
        &self,
        keys: &[(String, String)],
        certificates: usize,
    ) -> Vec<queries::status::ApplicationStatus> {
        eventually(&format!("{certificates} complete certificates"), LIMIT, || {
            let statuses = self.statuses(keys);
            let complete = statuses
                .iter()
                .flat_map(|status| &status.guarantees)
                .flat_map(|guarantee| &guarantee.revisions)
                .filter(|revision| revision.revision.completed_at.is_some())
                .count();
            (complete == certificates).then_some(statuses)
        })
    }

    /// Messages ready in every queue, by its name without the prefix.
    pub fn depths(&self) -> BTreeMap<String, u64> {
        self.measured().unwrap()
    }

    /// As [`TestEnv::depths`]; an error when a queue does not exist.
    pub fn measured(&self) -> Result<BTreeMap<String, u64>, BrokerError> {
        let options = RabbitOptions {
            prefix: self.prefix.clone(),
            ..RabbitOptions::new(&self.broker, hosho::stages::NAMES.to_vec())
        };
        let depths = tokio::runtime::Runtime::new().unwrap().block_on(async {
            let rabbit = Rabbit::new(options).unwrap();
            let depths = rabbit.depths().await;
            rabbit.close().await;
            depths
        })?;
        Ok(depths
            .into_iter()
            .map(|depth| (depth.queue.trim_start_matches(&self.prefix).to_owned(), depth.ready))
            .collect())
    }

    /// Waits for empty queues without messages in flight, on the shared broker only.
    ///
    /// Depths do not include messages in flight, which return to their queue when the worker is drained.
    pub fn until_idle(&self) {
        eventually("empty queues and no message in flight", LIMIT, || {
            let listed =
                rabbit::shared().ctl(&["list_queues", "--quiet", "--no-table-headers", "name", "messages"]);
            let queues: BTreeMap<&str, &str> = listed
                .lines()
                .filter_map(|line| line.split_once('\t'))
                .filter(|(name, _)| name.starts_with(&self.prefix))
                .collect();
            assert!(!queues.is_empty(), "no queue of {} among\n{listed}", self.prefix);
            queues.values().all(|messages| *messages == "0").then_some(())
        });
    }

    pub fn listen(&self) -> Listener {
        let options = RabbitOptions {
            prefix: self.prefix.clone(),
            ..RabbitOptions::new(&self.broker, hosho::stages::NAMES.to_vec())
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let rabbit = Rabbit::new(options).unwrap();
        let consumer = runtime.block_on(rabbit.consume(Source::Events, 256)).unwrap();
        Listener { runtime, rabbit, consumer }
    }

    /// Removes every message of a queue and returns their number.
    pub fn lose(&self, source: Source) -> usize {
        let options = RabbitOptions {
            prefix: self.prefix.clone(),
            ..RabbitOptions::new(&self.broker, hosho::stages::NAMES.to_vec())
        };
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let rabbit = Rabbit::new(options).unwrap();
            let mut consumer = rabbit.consume(source, 256).await.unwrap();
            let mut lost = 0;
            // A queue is empty if no batch arrives for a second.
            while let Ok(batch) = tokio::time::timeout(Duration::from_secs(1), consumer.next_batch(256)).await
            {
                let batch = batch.unwrap();
                lost += batch.len();
                consumer.ack(batch.last().unwrap().tag).await.unwrap();
            }
            rabbit.close().await;
            lost
        })
    }

    /// Stops a worker with SIGTERM and returns the depths of queues not empty.
    ///
    /// The worker requeues its messages in flight.
    pub fn drain(&self, mut worker: Child) -> BTreeMap<String, u64> {
        worker.terminate();
        let status = worker.wait(Duration::from_secs(30));
        assert!(status.success(), "the worker did not stop cleanly: {status}\n{}", worker.output());
        self.depths().into_iter().filter(|(_, ready)| *ready > 0).collect()
    }

    /// Counts mails by their state in the ledger.
    #[expect(clippy::unused_self, reason = "reads like the other counts of an env")]
    pub fn mails(&self, statuses: &[queries::status::ApplicationStatus], state: State) -> usize {
        statuses
            .iter()
            .flat_map(|status| &status.guarantees)
            .flat_map(|guarantee| &guarantee.revisions)
            .flat_map(|revision| &revision.mails)
            .filter(|mail| mail.state == state)
            .count()
    }
}

/// A consumer of result events, started before they are published.
pub struct Listener {
    runtime: tokio::runtime::Runtime,
    rabbit: Rabbit,
    consumer: Box<dyn Consumer>,
}

impl Listener {
    /// The routing keys of the first `count` events; panics after `limit`.
    pub fn take(mut self, count: usize, limit: Duration) -> Vec<String> {
        let mut keys = Vec::new();
        self.runtime.block_on(async {
            let all = async {
                while keys.len() < count {
                    let batch = self.consumer.next_batch(256).await.unwrap();
                    self.consumer.ack(batch.last().unwrap().tag).await.unwrap();
                    keys.extend(batch.into_iter().map(|event| event.routing_key));
                }
            };
            let in_time = tokio::time::timeout(limit, all).await;
            assert!(in_time.is_ok(), "{} of {count} events came within {limit:?}", keys.len());
            self.rabbit.close().await;
        });
        keys
    }
}

/// A file of `examples/`.
pub fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// The (source, id) of every line of a JSON Lines file.
pub fn identities(file: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(file).unwrap();
    let identity = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        Some((value["source"].as_str()?.to_owned(), value["id"].as_str()?.to_owned()))
    };
    text.lines().filter_map(identity).collect()
}

fn write_private(path: &Path, bytes: &[u8]) {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

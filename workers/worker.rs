//! One worker process: stages, ingester, jobs, heartbeat and signals.
//! It runs over RabbitMQ, or embedded in a command.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hosho_schema::db::DbError;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    app::{self, App, AppError, BrokerClient},
    audit,
    backoff::Backoff,
    broker::{Broker, Lane, Source, memory::Memory},
    config::Config,
    dead_letters::Ingester,
    fault,
    jobs::{
        self,
        driver::Driver,
        run::Settings,
        run_driver::{Housekeeping, RunDriver},
    },
    pipeline::{
        heartbeat::Heartbeat,
        priority::Priority,
        runner::{self, Runner},
    },
    schedule::ScheduleError,
    stages,
};

/// The reason why workers cannot start, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    App(#[from] AppError),
    #[error("broker.url is memory: no other process could publish to these workers")]
    InProcess,
    #[error("cannot start a thread or a signal handler")]
    System(#[from] io::Error),
    #[error("cannot read which stages are paused")]
    Paused(#[source] DbError),
    #[error("the schedule is not valid")]
    Schedule(#[from] ScheduleError),
    #[error("a worker task ended early")]
    EndedEarly,
    #[error("cannot use the folder {}", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error("another hosho process works in {}", .0.display())]
    Locked(PathBuf),
    #[error("{} is gone, and the database beside it needs it", .0.display())]
    KeysGone(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every batch in flight was finished.
    Drained,
    /// `work.drain_seconds` passed first; the broker redelivers the rest.
    TimedOut,
}

/// Runs these stages (all when empty) with RabbitMQ until a signal stops them.
pub async fn run(config: &Config, only: &[String], concurrency: usize) -> Result<Ended, WorkerError> {
    let client = app::broker_client(config, stages::NAMES)?;
    if client.in_process() {
        return Err(WorkerError::InProcess);
    }
    // First of all: a process that is stopped while it starts must end as cleanly as a running one.
    let stop = stop_on_signal()?;
    let app = Arc::new(App::open(config, stop.clone())?);
    app.require_migrated().await?;
    app.identify_store().await?;
    if stop.run_until_cancelled(connect(&client)).await.is_none() {
        return Ok(Ended::Drained);
    }

    let broker = client.broker();
    let heartbeat = Heartbeat::new(&app.clock);
    // A paused stage must not consume a single message.
    heartbeat.refresh_paused(&app.db).await.map_err(WorkerError::Paused)?;
    let runner =
        runner(config, &app, Arc::clone(&broker), stop.clone(), heartbeat.clone(), Priority::with_threads()?);
    // Not a `TaskTracker`, which does not report that one task has ended.
    let mut tasks = JoinSet::new();
    for name in stages::NAMES.iter().filter(|name| only.is_empty() || only.iter().any(|one| one == *name)) {
        stages::start(name, &app, &runner, &[Lane::Live, Lane::Bulk], concurrency, &mut tasks);
    }
    ingest(&app, &broker, &stop, &mut tasks);
    tasks.spawn(heartbeat.run(app.db.clone(), stop.clone()));
    tasks.spawn(run_driver(config, &app, Arc::clone(&broker), stop.clone(), true)?.run());
    tasks.spawn(jobs::run(Arc::clone(&app), Arc::clone(&broker), config.schedule.clone(), stop.clone()));
    tasks.spawn(jobs::reclaim::run(Arc::clone(&app), config.schedule.reclaim.clone(), stop.clone()));
    let names = if only.is_empty() { "all".to_owned() } else { only.join(" ") };
    info!(stages = names, concurrency, "Workers started");

    let ended_early = tokio::select! {
        biased;
        () = stop.cancelled() => false,
        // A runner may have ended because of a signal that came a moment ago.
        _ = tasks.join_next() => !stop.is_cancelled(),
    };
    if ended_early {
        // A process that continues without one of its runners looks healthy and is not.
        return Err(WorkerError::EndedEarly);
    }
    info!("Stop signal received; finishing batches in flight");
    let drained = tokio::time::timeout(Duration::from_secs(config.work.drain_seconds), async {
        while let Some(ended) = tasks.join_next().await {
            if ended.is_err() {
                warn!("Worker task panicked");
            }
        }
        broker.close().await;
    });
    if drained.await.is_err() {
        warn!(seconds = config.work.drain_seconds, "Drain timed out; the broker redelivers the rest");
        return Ok(Ended::TimedOut);
    }
    app.mail_delivery.mailer.close().await;
    app.documents.close().await;
    info!("Workers stopped");
    Ok(Ended::Drained)
}

/// The whole pipeline in this process, over a folder of `hosho process`.
pub struct Embedded {
    pub app: Arc<App>,
    pub memory: Memory,
    pub broker: Arc<dyn Broker>,
    /// Cancelled by a stop signal and by [`Embedded::end`].
    pub stop: CancellationToken,
    tasks: JoinSet<()>,
    _lock: File,
}

impl Embedded {
    /// Opens the folder, which the configuration names too. Starts no stage.
    /// Creates and migrates what is missing.
    pub async fn open(folder: &Path, config: &Config) -> Result<Self, WorkerError> {
        let lock = lock(folder)?;
        if folder.join("hosho.sqlite").exists() && !config.keys.file.exists() && config.keys.ring.is_none() {
            // A new ring would hide that everything sealed with the old keys is lost.
            return Err(WorkerError::KeysGone(config.keys.file.clone()));
        }
        let stop = CancellationToken::new();
        let app = Arc::new(App::open(config, stop.clone())?);
        app.migrate().await?;
        app.identify_store().await?;
        let memory = Memory::new(stages::NAMES);
        let broker: Arc<dyn Broker> = Arc::new(memory.clone());
        cancel_on_signal(stop.clone())?;
        Ok(Self { app, memory, broker, stop, tasks: JoinSet::new(), _lock: lock })
    }

    /// Starts the stages on these lanes, and the ingester of dead letters.
    pub fn start(&mut self, config: &Config, lanes: &[Lane]) {
        // Not run: no other process reads it, and a stage paused in production is not paused in this folder.
        let heartbeat = Heartbeat::new(&self.app.clock);
        let broker = Arc::clone(&self.broker);
        let runner = runner(config, &self.app, broker, self.stop.clone(), heartbeat, Priority::default());
        for name in stages::NAMES {
            stages::start(name, &self.app, &runner, lanes, config.work.concurrency, &mut self.tasks);
        }
        ingest(&self.app, &self.broker, &self.stop, &mut self.tasks);
    }

    /// Drives runs of this folder; starts none on a schedule.
    pub fn run_driver(&self, config: &Config) -> Result<RunDriver, WorkerError> {
        run_driver(config, &self.app, Arc::clone(&self.broker), self.stop.clone(), false)
    }

    /// Waits until no message is in flight and every dead letter is stored.
    /// True when stopped first.
    pub async fn until_idle(&self) -> bool {
        let idle = async {
            self.memory.idle().await;
            self.memory.without_dead_letters().await;
        };
        self.stop.run_until_cancelled(idle).await.is_none()
    }

    pub async fn end(mut self) -> Arc<App> {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.app.documents.close().await;
        self.app
    }
}

fn ingest(app: &App, broker: &Arc<dyn Broker>, stop: &CancellationToken, tasks: &mut JoinSet<()>) {
    let ingester = Ingester {
        broker: Arc::clone(broker),
        db: app.db.clone(),
        clock: app.clock.clone(),
        stop: stop.clone(),
    };
    for source in [Source::Dead, Source::Unrouted] {
        tasks.spawn(ingester.clone().run(source));
    }
}

/// Drives runs; with `scheduled` it also starts those of the schedule.
fn run_driver(
    config: &Config,
    app: &App,
    broker: Arc<dyn Broker>,
    stop: CancellationToken,
    scheduled: bool,
) -> Result<RunDriver, WorkerError> {
    let name = format!("{}:{}:{}", audit::host(), std::process::id(), app.clock.now());
    Ok(RunDriver {
        driver: Driver { db: app.db.clone(), broker, clock: app.clock.clone(), name, stop },
        mail_delivery: app.mail_delivery.clone(),
        settings: Settings::new(config)?,
        scheduled,
        housekeeping: Housekeeping::default(),
    })
}

/// The runner that every consumer of this process clones.
fn runner(
    config: &Config,
    app: &App,
    broker: Arc<dyn Broker>,
    stop: CancellationToken,
    heartbeat: Heartbeat,
    priority: Priority,
) -> Runner {
    Runner {
        broker,
        db: app.db.clone(),
        clock: app.clock.clone(),
        settings: runner::Settings {
            batch: config.work.batch,
            max_message_bytes: config.work.max_message_bytes,
            retry_delays: config.retry_delays(),
            hold: Duration::from_secs(config.work.hold_seconds),
        },
        stop,
        heartbeat,
        probe: app.probe(),
        priority,
    }
}

/// Declares the topology; retries until the broker is available.
async fn connect(client: &BrokerClient) {
    let mut backoff = Backoff::default();
    while let Err(error) = client.apply_topology().await {
        let pause = backoff.next_pause();
        warn!(error = fault::chain(&error), retry_in_ms = pause.as_millis(), "Broker unavailable");
        tokio::time::sleep(pause).await;
    }
}

/// Cancelled by the first SIGTERM or SIGINT; a second one ends the process at once.
pub fn stop_on_signal() -> io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    cancel_on_signal(stop.clone())?;
    Ok(stop)
}

fn cancel_on_signal(stop: CancellationToken) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        for is_first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if is_first {
                stop.cancel();
            } else {
                std::process::exit(130);
            }
        }
    });
    Ok(())
}

/// The lock on the folder ends with the process, however that ends.
fn lock(folder: &Path) -> Result<File, WorkerError> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let unusable = |source| WorkerError::Folder { folder: folder.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unusable)?;
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    // A link there would create a file elsewhere.
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    let file = options.open(folder.join("hosho.lock")).map_err(unusable)?;
    file.try_lock().map_err(|_| WorkerError::Locked(folder.to_owned()))?;
    Ok(file)
}

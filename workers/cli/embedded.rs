//! The whole pipeline in this process, over the folder of `hosho process`: for that command, and for whoever works off once more
//! what it left.

use std::{fs::File, path::Path, sync::Arc};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Error, work};
use crate::{
    app::App,
    broker::{Broker, Lane, memory::Memory},
    config::Config,
    pipeline::heartbeat::Heartbeat,
    stages,
};

/// Everything opened; the stages run once [`Embedded::start`] was called.
pub(super) struct Embedded {
    pub(super) services: Arc<App>,
    pub(super) memory: Memory,
    pub(super) broker: Arc<dyn Broker>,
    /// Becomes true when the process is asked to stop.
    pub(super) stop: CancellationToken,
    tasks: JoinSet<()>,
    _lock: File,
}

impl Embedded {
    /// Opens the folder `out`, which the configuration names too; makes it and its tables where they are missing.
    pub(super) async fn open(out: &Path, config: &Config) -> Result<Self, Error> {
        let lock = lock(out)?;
        if out.join("hosho.sqlite").exists() && !config.keys.file.exists() && config.keys.ring.is_none() {
            // A new ring would let everything go on, and leave the old keys sealed for good.
            return Err(Error::configuration(anyhow::anyhow!(
                "{} is gone, and the database beside it needs it",
                config.keys.file.display()
            ))
            .hint("put the file back, or begin in another folder with --out"));
        }
        let stop = CancellationToken::new();
        let services = Arc::new(App::open(config, stop.clone())?);
        services.migrate().await?;
        let memory = Memory::new(stages::NAMES);
        let broker: Arc<dyn Broker> = Arc::new(memory.clone());
        work::stop_on_signal(stop.clone())?;
        Ok(Self { services, memory, broker, stop, tasks: JoinSet::new(), _lock: lock })
    }

    /// Starts the stages on these lanes, and takes in what becomes a dead letter.
    pub(super) fn start(&mut self, config: &Config, lanes: &[Lane]) {
        // Nobody else is here to be told, and a stage that is paused in production is no matter of this folder.
        let pulse = Heartbeat::new(&self.services.clock);
        let runner = work::runner(
            config,
            &self.services,
            Arc::clone(&self.broker),
            self.stop.clone(),
            pulse,
            crate::pipeline::priority::Priority::default(),
        );
        for name in stages::NAMES {
            stages::start(name, &self.services, &runner, lanes, config.work.concurrency, &mut self.tasks);
        }
        work::ingest(&self.services, &self.broker, &self.stop, &mut self.tasks);
    }

    /// Waits until nothing is under way and every dead letter is taken in; true when the process was asked to stop first.
    pub(super) async fn until_idle(&self) -> bool {
        tokio::select! {
            () = self.memory.idle() => {}
            () = self.stop.cancelled() => return true,
        }
        tokio::select! {
            () = self.memory.without_letters() => false,
            () = self.stop.cancelled() => true,
        }
    }

    /// Ends everything.
    pub(super) async fn end(mut self) -> Arc<App> {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.services
    }
}

/// One process works in a folder at a time: the lock ends with the process, however it ends.
fn lock(out: &Path) -> Result<File, Error> {
    use std::os::unix::fs::DirBuilderExt;
    let unusable = |error: std::io::Error| {
        let error = anyhow::Error::new(error).context(format!("cannot use the folder {}", out.display()));
        Error::unavailable(error).hint("--out names a folder that this user may write")
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(out).map_err(unusable)?;
    let file = File::create(out.join("hosho.lock")).map_err(unusable)?;
    file.try_lock().map_err(|_| {
        Error::unavailable(anyhow::anyhow!("another hosho process works in {}", out.display()))
            .hint("wait for it to end, or choose another --out")
    })?;
    Ok(file)
}

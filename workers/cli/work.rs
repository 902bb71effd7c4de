//! `hosho work`

use std::{process::ExitCode, sync::Arc, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Error;
use crate::{
    app::{self, App},
    audit,
    broker::{Broker, Lane, Source},
    config::Config,
    dead_letters::Ingester,
    jobs::{
        self,
        run::Settings,
        run_driver::{Housekeeping, RunDriver},
    },
    pipeline::{
        heartbeat::Heartbeat,
        priority::Priority,
        runner::{self, Runner},
    },
    stages,
};

/// Run the workers until SIGTERM or Ctrl-C
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho work                                 all stages
  hosho work --stage render --concurrency 2  a host that draws documents only

SIGTERM stops consuming, finishes the batches in hand, gives back the rest and exits with 0; with 1 when that was
not done within work.drain_seconds.")]
pub(super) struct Args {
    /// Stages to run; all when left out
    #[arg(long = "stage", value_name = "STAGE", value_parser = clap::builder::PossibleValuesParser::new(stages::NAMES))]
    stages: Vec<String>,
    /// Consumers per stage and lane; work.concurrency when left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: Option<u16>,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let broker = app::broker(&config, stages::NAMES)?;
    if broker.in_process() {
        return Err(Error::invalid("broker.url is memory: no other process could give these workers work")
            .hint("set HOSHO__BROKER__URL=amqp://…, or use `hosho process`"));
    }
    // First of all: a process that is stopped while it starts ends as cleanly as one that is at work.
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    let services = Arc::new(App::open(&config, stop.clone())?);
    services.require_migrated().await?;
    tokio::select! {
        () = connect(&broker) => {}
        () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
    }

    let pulse = Heartbeat::new(&services.clock);
    // A stage that is paused is so from the first message on.
    let (learning, pool) = (pulse.clone(), services.pool.clone());
    tokio::task::spawn_blocking(move || learning.refresh_paused(&pool))
        .await
        .map_err(Error::unavailable)?
        .map_err(|error| Error::unavailable(error).hint("is database.url right and the server up?"))?;
    let precedence = Priority::with_threads().map_err(Error::unavailable)?;
    let runner = runner(&config, &services, broker.queue(), stop.clone(), pulse.clone(), precedence);
    let concurrency = args.concurrency.map_or(config.work.concurrency, usize::from);
    let mut tasks = JoinSet::new();
    for name in stages::NAMES
        .iter()
        .filter(|name| args.stages.is_empty() || args.stages.iter().any(|asked| asked == *name))
    {
        stages::start(name, &services, &runner, &[Lane::Live, Lane::Bulk], concurrency, &mut tasks);
    }
    ingest(&services, &broker.queue(), &stop, &mut tasks);
    tasks.spawn(pulse.run(services.pool.clone(), stop.clone()));
    tasks.spawn(nightly(&config, &services, broker.queue(), stop.clone(), true)?.run());
    tasks.spawn(jobs::run(Arc::clone(&services), broker.queue(), config.schedule.clone(), stop.clone()));
    info!(
        stages = if args.stages.is_empty() { "all".to_owned() } else { args.stages.join(" ") },
        concurrency, "The workers run"
    );

    let ended_early = tokio::select! {
        biased;
        () = stop.cancelled() => false,
        // Asked to stop a moment ago, runners may have ended already.
        _ = tasks.join_next() => !stop.is_cancelled(),
    };
    if ended_early {
        // Runners end only when they are asked to. A process that goes on without one looks healthy and is not.
        return Err(Error::unavailable(anyhow::anyhow!("a worker ended by itself"))
            .hint("the log tells why; start the process again"));
    }
    info!("Asked to stop: finishing what is in hand");
    let drained = tokio::time::timeout(Duration::from_secs(config.work.drain_seconds), async {
        while let Some(ended) = tasks.join_next().await {
            if ended.is_err() {
                warn!("A worker ended by panic");
            }
        }
        broker.queue().close().await;
    });
    if drained.await.is_err() {
        warn!(
            seconds = config.work.drain_seconds,
            "Not everything was finished in time; the broker gives the rest to others"
        );
        return Ok(ExitCode::from(1));
    }
    services.mail_delivery.mailer.close().await;
    info!("Stopped");
    Ok(ExitCode::SUCCESS)
}

/// Takes in dead letters and unrouted messages.
pub(super) fn ingest(
    services: &App,
    broker: &Arc<dyn Broker>,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) {
    let ingester = Ingester {
        broker: Arc::clone(broker),
        pool: services.pool.clone(),
        clock: services.clock.clone(),
        stop: stop.clone(),
    };
    for source in [Source::Dead, Source::Unrouted] {
        tasks.spawn(ingester.clone().run(source));
    }
}

/// Looks after the nightly batch, or only after runs that are there.
pub(super) fn nightly(
    config: &Config,
    services: &App,
    broker: Arc<dyn Broker>,
    stop: CancellationToken,
    scheduled: bool,
) -> Result<RunDriver, Error> {
    Ok(RunDriver {
        pool: services.pool.clone(),
        broker,
        clock: services.clock.clone(),
        mail_delivery: services.mail_delivery.clone(),
        settings: Settings::new(config).map_err(Error::configuration)?,
        name: format!("{}:{}:{}", audit::host(), std::process::id(), services.clock.now()),
        scheduled,
        stop,
        housekeeping: Housekeeping::default(),
    })
}

/// The runner every consumer of this process is a clone of.
pub(super) fn runner(
    config: &Config,
    services: &App,
    broker: Arc<dyn Broker>,
    stop: CancellationToken,
    pulse: Heartbeat,
    precedence: Priority,
) -> Runner {
    Runner {
        broker,
        pool: services.pool.clone(),
        clock: services.clock.clone(),
        settings: runner::Settings {
            batch: config.work.batch,
            max_message_bytes: config.work.max_message_bytes,
            rungs: config.rungs(),
            hold: Duration::from_secs(config.work.hold_seconds),
        },
        stop,
        heartbeat: pulse,
        probe: services.probe(),
        priority: precedence,
    }
}

/// Declares the topology; waits for a broker that is not up yet.
async fn connect(broker: &app::BrokerClient) {
    let mut wait = Duration::from_secs(1);
    while let Err(error) = broker.apply_topology().await {
        warn!(error = crate::fault::chain(&error), retry_in_ms = wait.as_millis(), "The broker is not ready");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(30));
    }
}

/// SIGTERM and SIGINT ask once; a second one ends the process at once.
pub(super) fn stop_on_signal(stop: CancellationToken) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::unavailable)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::unavailable)?;
    tokio::spawn(async move {
        for asked in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if asked {
                stop.cancel();
            } else {
                std::process::exit(130);
            }
        }
    });
    Ok(())
}

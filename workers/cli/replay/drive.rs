//! Drives a replay, and tells how it goes.

use std::{
    io::IsTerminal as _,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hosho_schema::{db::Pool, ids};
use indicatif::ProgressBar;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        Error, printable, remark,
        selection::{Database, short},
        shared,
    },
    Where, hold, tell,
};
use crate::{
    app, audit,
    broker::{Broker, Lane},
    clock::Clock,
    config::Config,
    jobs::replay as replay_job,
    jobs::replay::{Driver, Ended},
    worker::{self, Embedded},
};

/// Drives a replay to its end: with the workers there are, or, on a folder of `hosho process`, by working it off here.
pub(super) async fn drive(
    id: String,
    place: &Where<'_>,
    config: &Config,
    json: bool,
) -> Result<ExitCode, Error> {
    let ended = match place.out {
        None => {
            let stop = worker::stop_on_signal().map_err(Error::unavailable)?;
            let queue = shared::queue(config)?.broker();
            let ended = watched(
                driver(&id, config, app::pool(config)?, Arc::clone(&queue), stop),
                Some(place.database.clone()),
            )
            .await;
            queue.close().await;
            ended
        }
        Some(out) => {
            let mut embedded = Embedded::open(out, config).await?;
            embedded.start(config, &[Lane::Live, Lane::Bulk]);
            let (pool, broker, stop) =
                (embedded.app.pool.clone(), Arc::clone(&embedded.broker), embedded.stop.clone());
            let ended = watched(driver(&id, config, pool, broker, stop), None).await;
            // What follows from the messages is worked off too.
            embedded.until_idle().await;
            embedded.end().await;
            ended
        }
    };
    let now = place.look(&id).await?;
    tell(&now, json)?;
    match ended {
        Ended::Complete => Ok(ExitCode::from(u8::from(now.failed_again > 0))),
        Ended::Stopped(why) => Err(Error::conflict(anyhow::anyhow!("the replay stopped by itself: {why}"))
            .hint("what was not sent is as it was; `hosho failed groups` tells what failed again")),
        Ended::ByOthers => {
            Err(Error::conflict(anyhow::anyhow!("somebody else decided: the replay is {}", now.state)))
        }
        Ended::Driven => Err(driven()),
        Ended::Interrupted => Err(Error::conflict(anyhow::anyhow!(
            "interrupted; the replay goes on with `hosho replay resume {} --reason …`",
            short(&id)
        ))),
    }
}

/// Says that a replay has its driver.
pub(super) fn driven() -> Error {
    Error::conflict(anyhow::anyhow!("another process drives it"))
        .hint("if that died, try again in a few seconds; `hosho replay status` tells how it goes")
}

fn driver(id: &str, config: &Config, pool: Pool, broker: Arc<dyn Broker>, stop: CancellationToken) -> Driver {
    let clock = Clock::system();
    let name = format!("{} {}", audit::host(), std::process::id());
    let name = format!("{name} {}", short(&ids::worker(&name, std::process::id(), &clock.now().to_string())));
    Driver {
        pool,
        broker,
        clock,
        id: id.to_owned(),
        name,
        lost_after: replay_job::lost_after(&config.retry_delays()),
        stop,
    }
}

/// How often somebody who has no progress bar is told.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// How often it is looked what holds the replay up.
const HOLD_EVERY: Duration = Duration::from_secs(3);

/// Drives with a progress bar, or a line now and then where there is no terminal. `workers` tells what holds up those who work the
/// messages off, where they are other processes.
async fn watched(driver: Driver, workers: Option<Database>) -> Ended {
    let held = Arc::new(Mutex::new(Vec::new()));
    let looking = workers.map(|database| {
        let (id, held) = (driver.id.clone(), Arc::clone(&held));
        tokio::spawn(async move {
            loop {
                let (of, now) = (id.clone(), database.clock.now());
                if let Ok(found) = database.ask(move |db| hold::look(db, &of, now)).await {
                    *held.lock().unwrap_or_else(PoisonError::into_inner) = found;
                }
                tokio::time::sleep(HOLD_EVERY).await;
            }
        })
    });
    let mut bar: Option<ProgressBar> = None;
    let mut lines = Lines { last: Instant::now(), held: Vec::new() };
    let has_bar = std::io::stderr().is_terminal();
    let ended = driver
        .drive(|replay, progress| {
            let bar = bar.get_or_insert_with(|| super::super::progress_bar(replay.total.cast_unsigned(), ""));
            bar.set_position((progress.resolved + progress.failed_again).cast_unsigned());
            let counts = format!(
                "sent {}, resolved {}, failed again {}",
                replay.total - progress.waiting,
                progress.resolved,
                progress.failed_again
            );
            let held = held.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let is_due = lines.is_due(Instant::now(), &held);
            if is_due && has_bar {
                for hold in &held {
                    bar.println(printable(hold));
                }
            } else if is_due {
                let settled =
                    format!("{} of {}: {counts}", progress.resolved + progress.failed_again, replay.total);
                remark(std::iter::once(settled).chain(held).collect::<Vec<_>>().join("; "));
            }
            bar.set_message(counts);
        })
        .await;
    if let Some(looking) = looking {
        looking.abort();
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    ended
}

/// When the next line is due: now and then, and as soon as something else holds the replay up.
struct Lines {
    last: Instant,
    held: Vec<String>,
}

impl Lines {
    fn is_due(&mut self, now: Instant, held: &[String]) -> bool {
        let is_new = !held.is_empty() && self.held != held;
        self.held = held.to_vec();
        let is_due = is_new || now.duration_since(self.last) >= TOLD_EVERY;
        if is_due {
            self.last = now;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_now_and_then_and_when_something_holds_it_up() {
        let start = Instant::now();
        let mut lines = Lines { last: start, held: Vec::new() };
        let (paused, seconds) = (["dispatch is paused".to_owned()], Duration::from_secs);
        assert!(!lines.is_due(start + seconds(9), &[]));
        assert!(lines.is_due(start + seconds(10), &[]));
        assert!(lines.is_due(start + seconds(11), &paused));
        assert!(!lines.is_due(start + seconds(12), &paused));
        assert!(!lines.is_due(start + seconds(13), &[]));
        assert!(lines.is_due(start + seconds(21), &[]));
    }
}

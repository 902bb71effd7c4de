//! Drives a replay, and prints its progress.

use std::{
    io::IsTerminal as _,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use indicatif::ProgressBar;
use tokio::time::Instant;

use super::{
    super::{Error, printable, progress_bar, remark, selection::Database},
    Context, print_replay,
};
use crate::{
    app,
    broker::Lane,
    config::Config,
    jobs::{driver::Ended, replay::ReplayDriver},
    operations::{broker, replays},
    worker::{self, Embedded},
};

/// Drives a replay to its end. Workers do the work, or this process does, on a folder of `hosho process`.
pub(super) async fn drive(
    id: String,
    context: &Context<'_>,
    config: &Config,
    json: bool,
) -> Result<ExitCode, Error> {
    let ended = match context.out {
        None => {
            let stop = worker::stop_on_signal().map_err(Error::unavailable)?;
            let broker = broker::shared(config)?.broker();
            let driver = replays::driver(&id, config, app::pool(config)?, Arc::clone(&broker), stop);
            let ended = watched(driver, Some(context.database.clone())).await;
            broker.close().await;
            ended
        }
        Some(out) => {
            let mut embedded = Embedded::open(out, config).await?;
            embedded.start(config, &[Lane::Live, Lane::Bulk]);
            let (pool, broker, stop) =
                (embedded.app.pool.clone(), Arc::clone(&embedded.broker), embedded.stop.clone());
            let ended = watched(replays::driver(&id, config, pool, broker, stop), None).await;
            // The messages that follow are processed too.
            embedded.until_idle().await;
            embedded.end().await;
            ended
        }
    };
    let replay = context.show(&id).await?;
    let is_driven_elsewhere = ended == Ended::Driven;
    let error = replays::unfinished(ended, &replay);
    if is_driven_elsewhere {
        return error.map_or(Ok(ExitCode::SUCCESS), Err);
    }
    print_replay(&replay, json)?;
    match error {
        None => Ok(ExitCode::from(u8::from(replay.failed_again > 0))),
        // The replay is the JSON of this command; the error is not a second document beside it.
        Some(error) if json => {
            remark(error.to_string());
            Ok(error.exit_code())
        }
        Some(error) => Err(error),
    }
}

/// Pause between two lines of progress where there is no progress bar.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Pause between two looks at what delays the replay.
const DELAY_INTERVAL: Duration = Duration::from_secs(3);

/// Drives with a progress bar, or prints lines where there is no terminal. With `workers`, also prints what
/// delays the workers in other processes.
async fn watched(driver: ReplayDriver, workers: Option<Database>) -> Ended {
    let delays = Arc::new(Mutex::new(Vec::new()));
    let watching = workers.map(|database| {
        let (id, delays) = (driver.id.clone(), Arc::clone(&delays));
        tokio::spawn(async move {
            loop {
                if let Ok(found) = replays::held_up(&database.db(), &id, database.clock.now()).await {
                    *delays.lock().unwrap_or_else(PoisonError::into_inner) = found;
                }
                tokio::time::sleep(DELAY_INTERVAL).await;
            }
        })
    });
    let mut bar: Option<ProgressBar> = None;
    let mut lines = Lines { last: Instant::now(), delays: Vec::new() };
    let has_bar = std::io::stderr().is_terminal();
    let ended = driver
        .drive(|replay, progress| {
            let settled = progress.resolved + progress.failed_again;
            let bar = bar.get_or_insert_with(|| progress_bar(replay.total.cast_unsigned(), ""));
            bar.set_position(settled.cast_unsigned());
            let counts = format!(
                "sent {}, resolved {}, failed again {}",
                replay.total - progress.waiting,
                progress.resolved,
                progress.failed_again
            );
            let delays = delays.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let is_due = lines.is_due(Instant::now(), &delays);
            if is_due && has_bar {
                for delay in &delays {
                    bar.println(printable(delay));
                }
            } else if is_due {
                let line = format!("{settled} of {}: {counts}", replay.total);
                remark(std::iter::once(line).chain(delays).collect::<Vec<_>>().join("; "));
            }
            bar.set_message(counts);
        })
        .await;
    if let Some(watching) = watching {
        watching.abort();
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    ended
}

/// When the next line is due: after an interval, and as soon as something else delays the replay.
struct Lines {
    last: Instant,
    delays: Vec<String>,
}

impl Lines {
    fn is_due(&mut self, now: Instant, delays: &[String]) -> bool {
        let is_new = !delays.is_empty() && self.delays != delays;
        self.delays = delays.to_vec();
        let is_due = is_new || now.duration_since(self.last) >= REPORT_INTERVAL;
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
    fn a_line_is_due_after_an_interval_or_a_new_delay() {
        let start = Instant::now();
        let mut lines = Lines { last: start, delays: Vec::new() };
        let (paused, seconds) = (["dispatch is paused".to_owned()], Duration::from_secs);
        assert!(!lines.is_due(start + seconds(9), &[]));
        assert!(lines.is_due(start + seconds(10), &[]));
        assert!(lines.is_due(start + seconds(11), &paused));
        assert!(!lines.is_due(start + seconds(12), &paused));
        assert!(!lines.is_due(start + seconds(13), &[]));
        assert!(lines.is_due(start + seconds(21), &[]));
    }
}

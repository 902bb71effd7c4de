//! Drives a replay, and prints its progress.

use std::{io::IsTerminal as _, process::ExitCode, time::Duration};

use indicatif::ProgressBar;
use tokio::{sync::watch, time::Instant};

use super::{
    super::{Error, exit_code, output, printable, progress_bar, remark, remark_error},
    Context, print_replay,
};
use crate::{
    clock::Clock,
    config::Config,
    db::Db,
    jobs::{driver::Ended, replay::ReplayDriver},
    operations::replays,
};

/// Drives a replay to its end; the stages run in workers, or here on a folder.
pub(super) async fn drive(
    id: String,
    context: &Context<'_>,
    config: &Config,
    json: bool,
) -> Result<ExitCode, Error> {
    let workers = context.out.is_none().then(|| context.db.clone());
    let ended =
        replays::drive(&id, context.db, context.out, config, |driver| watched(driver, workers)).await?;
    if ended == Ended::DrivenElsewhere {
        return Err(replays::driven());
    }
    let replay = context.show(&id).await?;
    output(json, &replay, print_replay)?;
    match replays::unfinished(ended, &replay) {
        None => Ok(exit_code(replay.failed_again > 0)),
        // The replay is the JSON of this command; the error is not a second document beside it.
        Some(error) if json => {
            remark_error(&error);
            Ok(error.exit_code())
        }
        Some(error) => Err(error),
    }
}

/// Pause between two lines of progress where there is no progress bar.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

const DELAY_INTERVAL: Duration = Duration::from_secs(3);

/// Drives with a progress bar, or prints lines where there is no terminal.
/// With `workers`, also prints what delays the workers in other processes.
async fn watched(driver: ReplayDriver, workers: Option<Db>) -> Ended {
    let (sender, delays) = watch::channel(Vec::new());
    let watching = workers.map(|db| {
        let id = driver.id.clone();
        tokio::spawn(async move {
            loop {
                if let Ok(replay) = replays::show(&db, &id, Clock::system().now(), true).await {
                    sender.send_replace(replay.held_up);
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
            let delays = delays.borrow().clone();
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

/// A line is due after an interval, and as soon as something else causes a delay.
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
    fn line_is_due_after_interval_or_new_delay() {
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

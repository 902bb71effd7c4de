//! What runs on a clock instead of on a message.
//!
//! Every worker process runs the whole schedule. The jobs of this file need no lease: they queue messages again whose stages are
//! safe to run twice, and what one instance takes up (`recover`) or has claimed (`resend`) the others leave alone.
//!
//! [`reissue`] (driven by [`nightly`]) is of another kind: one run at a time, on whichever instance wins it, with a lease.
//!
//! Zone Asia/Tokyo, stated: a host's zone is nobody's decision.

pub mod recover;
pub mod replay;
pub mod resend;
pub mod run;
pub mod run_driver;
pub mod run_report;

use std::{sync::Arc, time::Duration};

use chrono::NaiveDateTime;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    app::App,
    broker::{Broker, Outgoing},
    clock::Clock,
    config,
    fault::{Fault, Reason, chain},
    schedule::CronSchedule,
};

/// A job of the schedule.
#[derive(Debug, Clone, Copy)]
enum Job {
    Resend,
    Recover,
}

/// Runs the schedule until the process is asked to stop.
pub async fn run(
    services: Arc<App>,
    broker: Arc<dyn Broker>,
    schedule: config::Schedule,
    stop: CancellationToken,
) {
    let jobs = [(Job::Resend, &schedule.resend), (Job::Recover, &schedule.recover)];
    let jobs: Vec<(Job, CronSchedule)> = jobs
        .into_iter()
        .filter_map(|(job, text)| Some((job, CronSchedule::new(text, "Asia/Tokyo").ok()?)))
        .collect();
    let after =
        chrono::TimeDelta::seconds(i64::try_from(schedule.recover_after_seconds).unwrap_or(i64::MAX / 1_000));
    let mut from = services.clock.now();
    loop {
        let due = jobs
            .iter()
            .filter_map(|(job, cron)| Some((cron.next_moment(from)?, *job)))
            .min_by_key(|(moment, _)| *moment);
        let Some((moment, job)) = due else {
            // Nothing is due ever again; the process still has this task.
            return stop.cancelled().await;
        };
        if asleep_until(moment, &services.clock, &stop).await {
            return;
        }
        // What was missed while the host slept is not made up for: one turn does the work of all.
        from = moment.max(services.clock.now());
        let services = Arc::clone(&services);
        let found = tokio::task::spawn_blocking(move || match job {
            Job::Resend => resend::due(&services),
            Job::Recover => recover::overdue(&services, after),
        });
        let found = found.await.unwrap_or_else(|error| Err(Fault::from_error(Reason::Panicked, &error)));
        match found {
            Ok(messages) => queue_again(broker.as_ref(), job, messages).await,
            Err(fault) => {
                warn!(job = ?job, fault.code = fault.reason.code(), error = fault.text, "A scheduled job failed; its next turn tries again");
            }
        }
    }
}

async fn queue_again(broker: &dyn Broker, job: Job, messages: Vec<Outgoing>) {
    if messages.is_empty() {
        return;
    }
    let count = messages.len();
    let published = async { broker.publisher().await?.publish(messages).await };
    match published.await {
        Ok(()) => info!(job = ?job, messages = count, "Work left behind is queued again"),
        Err(error) => {
            warn!(job = ?job, error = chain(&error), "Work left behind could not be queued again; the next turn tries")
        }
    }
}

/// Waits for a moment; true when the process was asked to stop first. Looks at the clock at least once a minute, so
/// that a clock that was set does not strand the schedule.
async fn asleep_until(moment: NaiveDateTime, clock: &Clock, stop: &CancellationToken) -> bool {
    loop {
        let left = (moment - clock.now()).to_std().unwrap_or(Duration::ZERO);
        if left.is_zero() {
            return stop.is_cancelled();
        }
        let sleep = tokio::time::sleep(left.min(Duration::from_mins(1)));
        if stop.run_until_cancelled(sleep).await.is_none() {
            return true;
        }
    }
}

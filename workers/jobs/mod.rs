//! Jobs that a clock starts instead of a message.
//!
//! Every worker process runs the whole schedule. The jobs of this file need no lease: they publish messages
//! of idempotent stages, and one instance skips what another has taken (`recover`) or claimed (`resend`).
//!
//! The nightly run ([`mod@run`], driven by [`run_driver`]) differs: one at a time, on one instance, with a
//! lease.
//!
//! The zone of these jobs is Asia/Tokyo and that of the nightly run `schedule.zone`, never that of the host.

pub mod driver;
pub mod reclaim;
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
    clock::{Clock, seconds},
    config,
    fault::chain,
    schedule::CronSchedule,
};

#[derive(Debug, Clone, Copy)]
enum Job {
    Resend,
    Recover,
}

/// Runs the schedule until the process is requested to stop.
pub async fn run(
    app: Arc<App>,
    broker: Arc<dyn Broker>,
    schedule: config::Schedule,
    stop: CancellationToken,
) {
    // Reading the configuration has rejected wrong expressions.
    let jobs = [(Job::Resend, &schedule.resend), (Job::Recover, &schedule.recover)];
    let jobs: Vec<(Job, CronSchedule)> = jobs
        .into_iter()
        .filter_map(|(job, text)| Some((job, CronSchedule::new(text, "Asia/Tokyo").ok()?)))
        .collect();
    let after = seconds(schedule.recover_after_seconds);
    let mut from = app.clock.now();
    loop {
        let due = jobs
            .iter()
            .filter_map(|(job, cron)| Some((cron.next_moment(from)?, *job)))
            .min_by_key(|(moment, _)| *moment);
        let Some((moment, job)) = due else {
            // No job is due ever again, but a worker must not end early.
            return stop.cancelled().await;
        };
        if sleep_until(moment, &app.clock, &stop).await {
            return;
        }
        // Runs missed while the host slept are not repeated: one does the work of all.
        from = moment.max(app.clock.now());
        let (now, delivery) = (app.clock.now(), app.mail_delivery.clone());
        let found = app.db.call(move |db| match job {
            Job::Resend => resend::due(db, now, &delivery),
            Job::Recover => recover::overdue(db, now, after),
        });
        match found.await {
            Ok(messages) => publish(broker.as_ref(), job, messages).await,
            Err(fault) => warn!(
                job = ?job,
                fault.code = fault.reason.code(),
                error = fault.text,
                "Scheduled job failed; retried at its next time"
            ),
        }
    }
}

async fn publish(broker: &dyn Broker, job: Job, messages: Vec<Outgoing>) {
    if messages.is_empty() {
        return;
    }
    let count = messages.len();
    let published = async { broker.publisher().await?.publish(messages).await };
    match published.await {
        Ok(()) => info!(job = ?job, messages = count, "Unfinished work queued again"),
        Err(error) => {
            warn!(job = ?job, error = chain(&error), "Unfinished work not queued; retried at the next time");
        }
    }
}

/// Waits for a moment; true when the process was requested to stop first.
/// Reads the clock at least once a minute, so that setting the clock does not stall the schedule.
async fn sleep_until(moment: NaiveDateTime, clock: &Clock, stop: &CancellationToken) -> bool {
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

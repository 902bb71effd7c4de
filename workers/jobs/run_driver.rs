//! Drives runs: publishes guarantees to the reissue stage, page by page.
//!
//! Each worker starts [scheduled runs](mod@super::run); the one that holds the lease of a run drives it:
//!
//! - *select*: a page of guarantees by key, their outbox rows and the checkpoint in one transaction;
//! - *relay*: the outbox rows go to the bulk queue, confirmed, no faster than the rate; then they are
//!   deleted;
//! - *settle*: records which guarantees are done and which became dead letters; for a day also those of a
//!   cancelled run.
//!
//! All state is in the tables. If a process is killed, another takes over the expired lease, publishes the
//! rest of the outbox (some of it again: stages are idempotent), and continues behind the checkpoint. No more
//! guarantees are in flight than the window allows, so that settling stays cheap and a harmful run can be
//! stopped.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use chrono::{NaiveDateTime, TimeDelta};
use hosho_schema::{
    db::{Connection, DbError},
    models::{
        failed_message,
        job_run::{self, Run, State},
        outbox::{self, Outbound},
        run_item,
    },
    queries::run_selection::{self, Selection},
    snapshots,
};
use serde::Deserialize;
use tracing::{info, warn};

use super::{
    driver::{Driver, Ended},
    run::{JOB, Settings, begin_due, message, outgoing},
    run_report,
};
use crate::{
    broker::{BrokerError, Publisher},
    fault::chain,
    mail::delivery::MailDelivery,
};

const PAGE: i64 = 1_000;

/// Pause between two ticks, and while a run has nothing to publish.
const TICK: Duration = Duration::from_millis(500);

/// Settling takes at most a twentieth of the time of one connection.
/// It happens this often at least.
const SETTLING: u32 = 20;
const SETTLED_EVERY: Duration = Duration::from_secs(3);

/// Pause before an undelivered report is retried.
const REPORT_AGAIN: Duration = Duration::from_mins(5);

/// How often, and how long, the messages of a cancelled run are still settled.
/// Meanwhile they pass the stages and their retries.
const CANCELLED_EVERY: Duration = Duration::from_mins(1);
const CANCELLED_FOR: TimeDelta = TimeDelta::days(1);

const DEAD_LETTERS: i64 = 1_000;

/// After so long without progress, a run publishes its messages again.
/// Longer than all retries of a message take.
const STALLED: TimeDelta = TimeDelta::hours(2);

/// Starts scheduled runs, and drives runs whose lease it gets.
pub struct RunDriver {
    pub driver: Driver,
    pub mail_delivery: MailDelivery,
    pub settings: Settings,
    /// Whether scheduled runs are started; otherwise only existing runs are driven.
    pub scheduled: bool,
    pub housekeeping: Housekeeping,
}

/// Work beside driving: reports, and the messages of cancelled runs.
#[derive(Default)]
pub struct Housekeeping {
    /// No report is retried before.
    report_again: Option<Instant>,
    /// By id of the cancelled run.
    cancelled: HashMap<String, DeadLetterCursor>,
    /// Cancelled runs are not settled before.
    settle_cancelled_again: Option<Instant>,
}

#[derive(Debug, thiserror::Error)]
enum DriverError {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl RunDriver {
    pub async fn run(mut self) {
        while !self.is_interrupted().await && !self.driver.pause(TICK).await {}
    }

    /// One tick; true when the process was requested to stop meanwhile.
    async fn is_interrupted(&mut self) -> bool {
        match self.tick().await {
            Ok(ended) => ended == Ended::Interrupted,
            Err(error) => {
                warn!(job = JOB, error = chain(&error), "Run interrupted; retried");
                false
            }
        }
    }

    /// Drives one run until it is over.
    /// `false` when the process was requested to stop, or the run was paused.
    pub async fn until_done(&mut self, id: &str) -> bool {
        loop {
            if self.is_interrupted().await {
                return false;
            }
            let id = id.to_owned();
            match self.driver.database(move |db| job_run::by_id(db, &id)).await {
                Ok(Some(run)) if run.state == State::Running => {}
                Ok(Some(run)) => return run.state != State::Paused,
                Ok(None) => return true,
                Err(_) => {}
            }
            if self.driver.pause(TICK).await {
                return false;
            }
        }
    }

    async fn tick(&mut self) -> Result<Ended, DriverError> {
        if self.scheduled {
            let (settings, clock) = (self.settings.clone(), self.driver.clock.clone());
            if let Some(run) = self.driver.database(move |db| begin_due(db, &settings, &clock)).await? {
                info!(
                    job = JOB,
                    run.id = run.id,
                    slot = run.scheduled_for,
                    run.total = run.total,
                    "Run started"
                );
            }
        }
        self.report().await?;
        self.settle_cancelled().await?;
        let Some(run) = self.driver.database(|db| job_run::active(db, JOB)).await? else {
            return Ok(Ended::ChangedElsewhere);
        };
        match self.lease(&run.id).await? {
            Some(run) => self.drive(run).await,
            None => Ok(Ended::ChangedElsewhere),
        }
    }

    async fn lease(&self, id: &str) -> Result<Option<Run>, DbError> {
        self.driver.lease(job_run::lease, id, self.settings.lease).await
    }

    async fn drive(&mut self, mut run: Run) -> Result<Ended, DriverError> {
        info!(job = JOB, run.id = run.id, run.selected = run.selected, run.total = run.total, "Run leased");
        let selection: Selection = snapshots::read(&run.selection).map_err(|_| DbError::Damaged {
            what: format!("the selection of the run {} cannot be read", run.id),
        })?;
        let mut publisher = self.driver.broker.publisher().await?;
        let mut cursor = DeadLetterCursor::at_start_of(&run);
        let mut moved = self.driver.clock.now();
        let mut settlings = 0_u64;
        let mut settles = Instant::now();
        loop {
            let began = Instant::now();
            match self.lease(&run.id).await? {
                Some(kept) => run = kept,
                None => return Ok(Ended::ChangedElsewhere),
            }
            let queued = self.select(&run, &selection).await?;
            let sent = self.relay(&run, &mut publisher).await?;
            let mut settled = 0;
            if Instant::now() >= settles {
                let settling_began = Instant::now();
                settled = self.settle(&run, &mut cursor, settlings.is_multiple_of(20)).await?;
                settlings += 1;
                settles = Instant::now() + (settling_began.elapsed() * SETTLING).min(SETTLED_EVERY);
            }
            if sent + settled > 0 {
                moved = self.driver.clock.now();
            }
            if self.is_over(&run, queued, sent).await? {
                self.finish(&run).await?;
                return Ok(Ended::Complete);
            }
            if self.driver.clock.now() - moved > STALLED {
                self.queue_again(&run, &selection, &mut publisher).await?;
                moved = self.driver.clock.now();
            }
            let millis = u64::try_from(sent).unwrap_or(u64::MAX).saturating_mul(1_000)
                / u64::try_from(run.rate).unwrap_or(1).max(1);
            // Driving a run takes a tenth of the time at most, also if a full window admits few guarantees at
            // a time.
            let pause = (began.elapsed() * 10).min(TICK);
            let due = Duration::from_millis(millis).max(if sent == 0 { TICK } else { pause });
            if self.driver.pause(due.saturating_sub(began.elapsed())).await {
                self.driver.unlease(job_run::unlease, &run.id).await?;
                return Ok(Ended::Interrupted);
            }
        }
    }

    /// Adds the next page, as far as the window and the rate allow.
    /// Returns the guarantees in flight.
    async fn select(&self, run: &Run, selection: &Selection) -> Result<i64, DriverError> {
        let (run, selection, name, in_flight) =
            (run.clone(), selection.clone(), self.driver.name.clone(), self.settings.in_flight);
        let work = move |db: &mut Connection| {
            let queued = run_item::queued(db, &run.id)?;
            let room = (in_flight - queued).min(page_of(&run));
            if run.exhausted || room <= 0 {
                return Ok(queued);
            }
            let page = run_selection::page(db, &selection, run.cutoff, &run.checkpoint, room)?;
            let messages: Vec<Outbound> = page
                .iter()
                .zip(run.selected..)
                .map(|((guarantee, application), seq)| message(&run, &selection, guarantee, application, seq))
                .collect();
            let guarantees: Vec<&str> = page.iter().map(|(guarantee, _)| guarantee.as_str()).collect();
            let exhausted = i64::try_from(page.len()).unwrap_or(i64::MAX) < room;
            job_run::advance(db, &run, &name, &guarantees, &messages, exhausted)?;
            Ok(queued + i64::try_from(page.len()).unwrap_or(0))
        };
        Ok(self.driver.database(work).await?)
    }

    /// Publishes the next rows of the outbox, half a second's worth at most.
    /// Returns their number.
    async fn relay(&self, run: &Run, publisher: &mut Box<dyn Publisher>) -> Result<usize, DriverError> {
        let (id, limit) = (run.id.clone(), page_of(run));
        let rows = self.driver.database(move |db| outbox::next(db, &id, limit)).await?;
        let Some(last) = rows.last().map(|row| row.seq) else { return Ok(0) };
        let count = rows.len();
        publisher.publish(rows.into_iter().map(outgoing).collect()).await?;
        let id = run.id.clone();
        self.driver.database(move |db| outbox::sent(db, &id, last)).await?;
        Ok(count)
    }

    /// Settles guarantees in flight that are complete or dead letters.
    /// Returns their number.
    async fn settle(
        &self,
        run: &Run,
        cursor: &mut DeadLetterCursor,
        thorough: bool,
    ) -> Result<usize, DriverError> {
        let (id, now) = (run.id.clone(), self.driver.clock.now());
        let mut moved = std::mem::replace(cursor, DeadLetterCursor::at_start_of(run));
        let (settled, moved) = self
            .driver
            .database(move |db| {
                let mut settled = run_item::settle_completed(db, &id, false, now)?;
                if thorough {
                    settled += run_item::settle_completed(db, &id, true, now)?;
                }
                settled += moved.mark(db, &id, now)?;
                Ok((settled, moved))
            })
            .await?;
        *cursor = moved;
        Ok(settled)
    }

    /// Whether all guarantees are selected, published and settled.
    async fn is_over(&self, run: &Run, queued: i64, sent: usize) -> Result<bool, DriverError> {
        if !run.exhausted || sent > 0 || queued > 0 {
            return Ok(false);
        }
        let id = run.id.clone();
        let work = move |db: &mut Connection| {
            Ok(run_item::queued(db, &id)? == 0 && outbox::next(db, &id, 1)?.is_empty())
        };
        Ok(self.driver.database(work).await?)
    }

    async fn finish(&mut self, run: &Run) -> Result<(), DriverError> {
        let (id, now) = (run.id.clone(), self.driver.clock.now());
        let counts = self
            .driver
            .database(move |db| {
                run_item::settle_completed(db, &id, true, now)?;
                let counts = run_item::counts(db, &id)?;
                let state = if counts.failed > 0 { State::CompleteWithFailures } else { State::Complete };
                job_run::finish(db, &id, state, None, now)?;
                Ok(counts)
            })
            .await?;
        info!(job = JOB, run.id = run.id, run.done = counts.done, run.failed = counts.failed, "Run finished");
        self.report().await
    }

    /// Publishes messages again that the reissue stage has not processed for long.
    /// A queue may have been lost.
    async fn queue_again(
        &self,
        run: &Run,
        selection: &Selection,
        publisher: &mut Box<dyn Publisher>,
    ) -> Result<(), DriverError> {
        let mut after = String::new();
        loop {
            let (id, from) = (run.id.clone(), after.clone());
            let page = self.driver.database(move |db| run_item::untouched(db, &id, &from, PAGE)).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after.clone_from(last);
            warn!(
                job = JOB,
                run.id = run.id,
                messages = page.len(),
                "Messages without progress; published again"
            );
            let again = page
                .iter()
                .map(|(guarantee, application)| outgoing(message(run, selection, guarantee, application, 0)));
            publisher.publish(again.collect()).await?;
        }
    }

    /// Settles the messages of cancelled runs. Needs no lease: settling is idempotent.
    async fn settle_cancelled(&mut self) -> Result<(), DriverError> {
        if self.housekeeping.settle_cancelled_again.is_some_and(|then| Instant::now() < then) {
            return Ok(());
        }
        self.housekeeping.settle_cancelled_again = Some(Instant::now() + CANCELLED_EVERY);
        let since = self.driver.clock.now() - CANCELLED_FOR;
        let runs = self.driver.database(move |db| job_run::cancelled(db, JOB, since)).await?;
        let mut before = std::mem::take(&mut self.housekeeping.cancelled);
        for run in runs {
            let mut cursor = before.remove(&run.id).unwrap_or_else(|| DeadLetterCursor::at_start_of(&run));
            self.settle(&run, &mut cursor, true).await?;
            self.housekeeping.cancelled.insert(run.id, cursor);
        }
        Ok(())
    }

    async fn report(&mut self) -> Result<(), DriverError> {
        if self.housekeeping.report_again.is_some_and(|then| Instant::now() < then) {
            return Ok(());
        }
        for run in self.driver.database(|db| job_run::unreported(db, JOB)).await? {
            let (id, now) = (run.id.clone(), self.driver.clock.now());
            if !self.driver.database(move |db| job_run::set_reported(db, &id, now)).await? {
                continue;
            }
            let of = run.clone();
            let text = self.driver.database(move |db| run_report::write(db, &of)).await?;
            if let Err(problem) =
                run_report::deliver(&self.settings.report, &self.mail_delivery, &run, &text).await
            {
                warn!(
                    job = JOB,
                    run.id = run.id,
                    error = problem,
                    "Run report not delivered; retry scheduled"
                );
                let id = run.id.clone();
                self.driver.database(move |db| job_run::unset_reported(db, &id)).await?;
                self.housekeeping.report_again = Some(Instant::now() + REPORT_AGAIN);
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Guarantees of a page of a run: half a second's worth, for an even rate.
fn page_of(run: &Run) -> i64 {
    (run.rate / 2).clamp(1, PAGE)
}

/// How far the dead letters have been searched for messages of a run.
struct DeadLetterCursor {
    since: NaiveDateTime,
    /// Dead letters of exactly that moment: more of them may follow.
    seen: HashMap<String, NaiveDateTime>,
}

impl DeadLetterCursor {
    fn at_start_of(run: &Run) -> Self {
        Self { since: run.created_at, seen: HashMap::new() }
    }

    /// Marks guarantees of the run whose message became a dead letter.
    fn mark(&mut self, db: &mut Connection, run: &str, now: NaiveDateTime) -> Result<usize, DbError> {
        let found = failed_message::since(db, self.since, DEAD_LETTERS)?;
        let fresh: Vec<_> = found
            .iter()
            .filter(|dead_letter| self.seen.get(&dead_letter.id) != Some(&dead_letter.last_failed_at))
            .collect();
        let Some(latest) = found.last().map(|dead_letter| dead_letter.last_failed_at) else { return Ok(0) };
        let subjects: Vec<(Subject, &str)> = fresh
            .iter()
            .filter_map(|dead_letter| {
                Some((serde_json::from_slice::<Subject>(&dead_letter.payload).ok()?, dead_letter.id.as_str()))
            })
            .filter(|(subject, _)| subject.run.as_deref().is_none_or(|of| of == run))
            .collect();
        let guarantees: Vec<&str> = subjects.iter().map(|(subject, _)| subject.guarantee.as_str()).collect();
        let under_way: HashMap<String, run_item::RunItem> = run_item::under_way(db, run, &guarantees)?
            .into_iter()
            .map(|item| (item.guarantee_id.clone(), item))
            .collect();
        let failed: Vec<(&str, &str)> = subjects
            .iter()
            .filter(|(subject, _)| {
                under_way.get(&subject.guarantee).is_some_and(|item| match subject.revision {
                    // Another revision is not the run's.
                    Some(revision) if subject.run.is_none() => {
                        item.first_revision <= Some(revision) && Some(revision) <= item.last_revision
                    }
                    _ => subject.run.is_some(),
                })
            })
            .map(|(subject, dead_letter)| (subject.guarantee.as_str(), *dead_letter))
            .collect();
        let marked = run_item::set_failed(db, run, &failed, now)?;
        self.since = latest;
        self.seen = found
            .iter()
            .filter(|dead_letter| dead_letter.last_failed_at == latest)
            .map(|dead_letter| (dead_letter.id.clone(), latest))
            .collect();
        Ok(marked)
    }
}

#[derive(Deserialize)]
struct Subject {
    guarantee: String,
    revision: Option<i64>,
    run: Option<String>,
}

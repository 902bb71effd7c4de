//! Drives runs: guarantees, page by page, to the [reissue stage](crate::stages::reissue).
//!
//! Every worker process looks after the [schedule](super::run); the one that holds the lease of a run drives it:
//!
//! - *select*: a page of guarantees by key, the outbox rows for them and the checkpoint behind them in one transaction;
//! - *relay*: what is in the outbox goes to the bulk queue, confirmed, no faster than the rate; then it is deleted;
//! - *settle*: which of them are done, and which became dead letters; also, for a day, those that a cancelled run had published.
//!
//! A process that dies leaves all of that in the tables. Another takes the lease over when it runs out, sends what is left in the
//! outbox (some of it again: the stages are made for that), and goes on behind the checkpoint. No more guarantees are under way than
//! the window allows, so that what a worker must look up stays small and a run that does harm can be stopped.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{NaiveDateTime, TimeDelta};
use hosho_schema::{
    db::{Connection, DbError, Pool},
    models::{
        failed_message,
        job_run::{self, Run, State},
        outbox::{self, Outbound},
        run_item,
    },
    queries::run_selection::{self as selecting, Selection},
    snapshots,
};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    run::{JOB, Settings, message, outgoing, turn},
    run_report,
};
use crate::{
    broker::{Broker, BrokerError, Publisher},
    clock::Clock,
    fault::chain,
    mail::delivery::MailDelivery,
};

/// Guarantees of a page at most.
const PAGE: i64 = 1_000;

/// Pause between two looks at the schedule, and at a run that has nothing to publish.
const TICK: Duration = Duration::from_millis(500);

/// Finding out what became of what is under way is a twentieth of one connection's time at most, and done this often at least.
const SETTLING: u32 = 20;
const SETTLED_EVERY: Duration = Duration::from_secs(3);

/// How long after a report could not be delivered it is tried again.
const TELL_AGAIN: Duration = Duration::from_mins(5);

/// How often, and for how long after it was cancelled, a run is looked after: what it had published goes its way, up the retry ladder, too.
const CANCELLED_EVERY: Duration = Duration::from_mins(1);
const CANCELLED_FOR: TimeDelta = TimeDelta::days(1);

/// Dead letters looked at in one turn.
const LETTERS: i64 = 1_000;

/// How long nothing may happen to a run before what was queued is queued again: longer than the retry ladder keeps a message.
const STALLED: TimeDelta = TimeDelta::hours(2);

/// Looks after the schedule, and drives runs whose lease it gets.
pub struct RunDriver {
    /// The tables.
    pub pool: Pool,
    /// The queue.
    pub broker: Arc<dyn Broker>,
    /// The time.
    pub clock: Clock,
    /// For the reports.
    pub mail_delivery: MailDelivery,
    /// The settings.
    pub settings: Settings,
    /// Who drives: another name for every process.
    pub name: String,
    /// Whether the schedule is looked after; else only runs that are there are driven.
    pub scheduled: bool,
    /// Becomes true when the process is asked to stop.
    pub stop: CancellationToken,
    /// What is done beside driving.
    pub beside: Housekeeping,
}

/// What is done beside driving, now and then.
#[derive(Default)]
pub struct Housekeeping {
    /// Until when reports are not tried again.
    told_again: Option<Instant>,
    /// Where looking for dead letters of cancelled runs has got to, by run.
    cancelled: HashMap<String, Letters>,
    /// Until when cancelled runs are not looked after.
    looked_again: Option<Instant>,
}

/// Why driving ended.
enum Ended {
    /// Nothing is left to do.
    Complete,
    /// Paused or cancelled, or somebody else drives it.
    ByOthers,
    /// The process was asked to stop.
    Stopped,
}

/// What kept a run from going on for now.
#[derive(Debug, thiserror::Error)]
enum DriverError {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("the work broke off")]
    Panicked,
}

impl RunDriver {
    /// Runs until the process is asked to stop.
    pub async fn run(mut self) {
        loop {
            match self.look().await {
                Ok(Ended::Stopped) => return,
                Ok(Ended::Complete | Ended::ByOthers) => {}
                Err(trouble) => warn!(
                    job = JOB,
                    error = chain(&trouble),
                    "The batch cannot go on for now; it is looked after again"
                ),
            }
            if self.pause(TICK).await {
                return;
            }
        }
    }

    /// Drives what there is to drive until it is over; for a process that lives only for that. `false` when it was asked to stop, or
    /// the run was paused.
    pub async fn until_done(&mut self, id: &str) -> bool {
        loop {
            match self.look().await {
                Ok(Ended::Stopped) => return false,
                Ok(Ended::Complete | Ended::ByOthers) => {}
                Err(trouble) => warn!(
                    job = JOB,
                    error = chain(&trouble),
                    "The batch cannot go on for now; it is looked after again"
                ),
            }
            let id = id.to_owned();
            match self.database(move |db| job_run::by_id(db, &id)).await {
                Ok(Some(run)) if run.state == State::Running => {}
                Ok(Some(run)) => return run.state != State::Paused,
                Ok(None) => return true,
                Err(_) => {}
            }
            if self.pause(TICK).await {
                return false;
            }
        }
    }

    async fn look(&mut self) -> Result<Ended, DriverError> {
        if self.scheduled {
            let (settings, clock) = (self.settings.clone(), self.clock.clone());
            if let Some(run) = self.database(move |db| turn(db, &settings, &clock)).await? {
                info!(
                    job = JOB,
                    run.id = run.id,
                    slot = run.scheduled_for,
                    run.total = run.total,
                    "A run begins"
                );
            }
        }
        self.report().await?;
        self.look_after_cancelled().await?;
        let Some(run) = self.database(|db| job_run::active(db, JOB)).await? else {
            return Ok(Ended::ByOthers);
        };
        match self.lease(&run.id).await? {
            Some(run) => self.drive(run).await,
            None => Ok(Ended::ByOthers),
        }
    }

    async fn lease(&self, id: &str) -> Result<Option<Run>, DriverError> {
        let (id, name, now, until) =
            (id.to_owned(), self.name.clone(), self.clock.now(), self.clock.now() + self.settings.lease);
        self.database(move |db| job_run::lease(db, &id, &name, now, until)).await
    }

    async fn drive(&mut self, mut run: Run) -> Result<Ended, DriverError> {
        info!(
            job = JOB,
            run.id = run.id,
            run.selected = run.selected,
            run.total = run.total,
            "This process drives the run"
        );
        let selection: Selection = snapshots::read(&run.selection).map_err(|_| DbError::Damaged {
            what: format!("the selection of the run {} cannot be read", run.id),
        })?;
        let mut publisher = self.broker.publisher().await?;
        let mut letters = Letters::of(&run);
        let mut moved = self.clock.now();
        let mut settlings = 0_u64;
        let mut settles = Instant::now();
        loop {
            let began = Instant::now();
            match self.lease(&run.id).await? {
                Some(kept) => run = kept,
                None => return Ok(Ended::ByOthers),
            }
            let queued = self.select(&run, &selection).await?;
            let sent = self.relay(&run, &mut publisher).await?;
            let mut settled = 0;
            if Instant::now() >= settles {
                let asked = Instant::now();
                settled = self.settle(&run, &mut letters, settlings.is_multiple_of(20)).await?;
                settlings += 1;
                settles = Instant::now() + (asked.elapsed() * SETTLING).min(SETTLED_EVERY);
            }
            if sent + settled > 0 {
                moved = self.clock.now();
            }
            if self.is_over(&run, queued, sent).await? {
                self.finish(&run).await?;
                return Ok(Ended::Complete);
            }
            if self.clock.now() - moved > STALLED {
                self.queue_again(&run, &selection, &mut publisher).await?;
                moved = self.clock.now();
            }
            let millis = u64::try_from(sent).unwrap_or(u64::MAX).saturating_mul(1_000)
                / u64::try_from(run.rate).unwrap_or(1).max(1);
            // Looking after a run is a tenth of its work at most, also where a full window lets a few guarantees follow at a time.
            let rest = (began.elapsed() * 10).min(TICK);
            let due = Duration::from_millis(millis).max(if sent == 0 { TICK } else { rest });
            if self.pause(due.saturating_sub(began.elapsed())).await {
                let (id, name) = (run.id.clone(), self.name.clone());
                self.database(move |db| job_run::unlease(db, &id, &name)).await?;
                return Ok(Ended::Stopped);
            }
        }
    }

    /// Adds the next page, as far as the window and the rate allow; returns how many are under way.
    async fn select(&self, run: &Run, selection: &Selection) -> Result<i64, DriverError> {
        let (run, selection, name, in_flight) =
            (run.clone(), selection.clone(), self.name.clone(), self.settings.in_flight);
        let work = move |db: &mut Connection| {
            let queued = run_item::queued(db, &run.id)?;
            let room = (in_flight - queued).min(page_of(&run));
            if run.exhausted || room <= 0 {
                return Ok(queued);
            }
            let page = selecting::page(db, &selection, run.cutoff, &run.checkpoint, room)?;
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
        self.database(work).await
    }

    /// Publishes what is next in the outbox, a second's worth at most, and returns how many that were.
    async fn relay(&self, run: &Run, publisher: &mut Box<dyn Publisher>) -> Result<usize, DriverError> {
        let (id, limit) = (run.id.clone(), page_of(run));
        let rows = self.database(move |db| outbox::next(db, &id, limit)).await?;
        let Some(last) = rows.last().map(|row| row.seq) else { return Ok(0) };
        let count = rows.len();
        publisher.publish(rows.into_iter().map(outgoing).collect()).await?;
        let id = run.id.clone();
        self.database(move |db| outbox::sent(db, &id, last)).await?;
        Ok(count)
    }

    /// Finds out what became of what is under way, and returns how many were settled.
    async fn settle(&self, run: &Run, letters: &mut Letters, thorough: bool) -> Result<usize, DriverError> {
        let (id, now) = (run.id.clone(), self.clock.now());
        let mut looking = std::mem::replace(letters, Letters::of(run));
        let (settled, looked) = self
            .database(move |db| {
                let mut settled = run_item::settle_completed(db, &id, false, now)?;
                if thorough {
                    settled += run_item::settle_completed(db, &id, true, now)?;
                }
                settled += looking.mark(db, &id, now)?;
                Ok((settled, looking))
            })
            .await?;
        *letters = looked;
        Ok(settled)
    }

    /// Whether nothing is left to select, publish or wait for.
    async fn is_over(&self, run: &Run, queued: i64, sent: usize) -> Result<bool, DriverError> {
        if !run.exhausted || sent > 0 || queued > 0 {
            return Ok(false);
        }
        let id = run.id.clone();
        self.database(move |db| Ok(run_item::queued(db, &id)? == 0 && outbox::next(db, &id, 1)?.is_empty()))
            .await
    }

    async fn finish(&mut self, run: &Run) -> Result<(), DriverError> {
        let (id, now) = (run.id.clone(), self.clock.now());
        let counts = self
            .database(move |db| {
                run_item::settle_completed(db, &id, true, now)?;
                let counts = run_item::counts(db, &id)?;
                let state = if counts.failed > 0 { State::CompleteWithFailures } else { State::Complete };
                job_run::finish(db, &id, state, None, now)?;
                Ok(counts)
            })
            .await?;
        info!(
            job = JOB,
            run.id = run.id,
            run.done = counts.done,
            run.failed = counts.failed,
            "The run is over"
        );
        self.report().await
    }

    /// Queues again what the reissue stage has not had for long: a queue may have been lost.
    async fn queue_again(
        &self,
        run: &Run,
        selection: &Selection,
        publisher: &mut Box<dyn Publisher>,
    ) -> Result<(), DriverError> {
        let mut after = String::new();
        loop {
            let (id, from) = (run.id.clone(), after.clone());
            let page = self.database(move |db| run_item::untouched(db, &id, &from, PAGE)).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after.clone_from(last);
            warn!(
                job = JOB,
                run.id = run.id,
                messages = page.len(),
                "Nothing has happened to these for long; they are queued again"
            );
            let again = page
                .iter()
                .map(|(guarantee, application)| outgoing(message(run, selection, guarantee, application, 0)));
            publisher.publish(again.collect()).await?;
        }
    }

    /// Finds out what became of what cancelled runs had published. Whoever does it, and how many: what is settled stays so.
    async fn look_after_cancelled(&mut self) -> Result<(), DriverError> {
        if self.beside.looked_again.is_some_and(|then| Instant::now() < then) {
            return Ok(());
        }
        self.beside.looked_again = Some(Instant::now() + CANCELLED_EVERY);
        let since = self.clock.now() - CANCELLED_FOR;
        let runs = self.database(move |db| job_run::cancelled(db, JOB, since)).await?;
        let mut before = std::mem::take(&mut self.beside.cancelled);
        for run in runs {
            let mut letters = before.remove(&run.id).unwrap_or_else(|| Letters::of(&run));
            self.settle(&run, &mut letters, true).await?;
            self.beside.cancelled.insert(run.id, letters);
        }
        Ok(())
    }

    /// Tells the operators of runs that are over.
    async fn report(&mut self) -> Result<(), DriverError> {
        if self.beside.told_again.is_some_and(|then| Instant::now() < then) {
            return Ok(());
        }
        for run in self.database(|db| job_run::unreported(db, JOB)).await? {
            let (id, now) = (run.id.clone(), self.clock.now());
            if !self.database(move |db| job_run::set_reported(db, &id, now)).await? {
                continue;
            }
            let of = run.clone();
            let text = self.database(move |db| run_report::write(db, &of)).await?;
            if let Err(problem) =
                run_report::deliver(&self.settings.report, &self.mail_delivery, &run, &text).await
            {
                warn!(
                    job = JOB,
                    run.id = run.id,
                    error = problem,
                    "The report of the run could not be delivered; it is tried again"
                );
                let id = run.id.clone();
                self.database(move |db| job_run::unset_reported(db, &id)).await?;
                self.beside.told_again = Some(Instant::now() + TELL_AGAIN);
                return Ok(());
            }
        }
        Ok(())
    }

    async fn database<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DriverError> {
        let pool = self.pool.clone();
        let done = tokio::task::spawn_blocking(move || work(&mut pool.get()?)).await;
        Ok(done.map_err(|_| DriverError::Panicked)??)
    }

    /// Waits; true when the process was asked to stop meanwhile.
    async fn pause(&mut self, time: Duration) -> bool {
        self.stop.run_until_cancelled(tokio::time::sleep(time)).await.is_none()
    }
}

/// Guarantees of a page of a run: what is due in half a second, so that they come evenly.
fn page_of(run: &Run) -> i64 {
    (run.rate / 2).clamp(1, PAGE)
}

/// Where looking for dead letters of a run has got to.
struct Letters {
    since: NaiveDateTime,
    /// Those of the very moment, which may get company.
    seen: HashMap<String, NaiveDateTime>,
}

impl Letters {
    /// From the beginning of a run on.
    fn of(run: &Run) -> Self {
        Self { since: run.created_at, seen: HashMap::new() }
    }

    /// Marks guarantees of the run whose message became a dead letter.
    fn mark(&mut self, db: &mut Connection, run: &str, now: NaiveDateTime) -> Result<usize, DbError> {
        let found = failed_message::since(db, self.since, LETTERS)?;
        let fresh: Vec<_> =
            found.iter().filter(|letter| self.seen.get(&letter.id) != Some(&letter.last_failed_at)).collect();
        let Some(latest) = found.last().map(|letter| letter.last_failed_at) else { return Ok(0) };
        let subjects: Vec<(Subject, &str)> = fresh
            .iter()
            .filter_map(|letter| {
                Some((serde_json::from_slice::<Subject>(&letter.payload).ok()?, letter.id.as_str()))
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
                    // Of another revision: not the run's.
                    Some(revision) if subject.run.is_none() => {
                        item.first_revision <= Some(revision) && Some(revision) <= item.last_revision
                    }
                    _ => subject.run.is_some(),
                })
            })
            .map(|(subject, letter)| (subject.guarantee.as_str(), *letter))
            .collect();
        let marked = run_item::set_failed(db, run, &failed, now)?;
        self.since = latest;
        self.seen = found
            .iter()
            .filter(|letter| letter.last_failed_at == latest)
            .map(|letter| (letter.id.clone(), latest))
            .collect();
        Ok(marked)
    }
}

/// What a message between the stages is about.
#[derive(Deserialize)]
struct Subject {
    guarantee: String,
    revision: Option<i64>,
    run: Option<String>,
}

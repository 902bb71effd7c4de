//! One batch, from decoding to the confirms.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt,
    stream::{self, StreamExt},
};
use hosho_schema::{db::Connection, ids, models::failed_message};
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span, warn};

use super::{
    consumer::{ConsumerTask, End},
    priority::LiveBatch,
    retry::{no_verdict, panicked},
    stage::{Item, Stage, Verdict},
};
use crate::{
    backoff::Backoff,
    broker::{Delivery, Lane, Publisher},
    fault::{Class, Fault, Reason, Result},
    telemetry::Traceparent,
};

/// Pauses before a contended transaction is retried in this process.
/// After them each of its messages is retried alone, and waits in the broker.
const QUICK_RETRIES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

/// The result of a step for each of its items, in order.
type Each<T> = Vec<Result<T>>;

type Items<S> = Arc<Vec<Item<<S as Stage>::Job>>>;

/// An outcome that is not recorded yet.
struct Pending<O> {
    index: usize,
    outcome: O,
}

struct Attempt<O> {
    index: usize,
    /// To be recorded again. `None` after a panic outside the stage.
    outcome: Option<O>,
    /// The verdict, or why the transaction was rolled back.
    recorded: Result<Verdict>,
}

impl ConsumerTask {
    /// Processes a batch.
    /// After `Ok` everything that follows from the batch is confirmed; after an error nothing of it may be
    /// acknowledged.
    pub(super) async fn batch<S: Stage>(
        &mut self,
        stage: &Arc<S>,
        deliveries: Vec<Delivery>,
        publisher: &mut Box<dyn Publisher>,
    ) -> Result<(), End> {
        let span = info_span!("batch", stage = S::NAME, lane = ?self.lane, batch.size = deliveries.len());
        self.process(stage, deliveries, publisher).instrument(span).await
    }

    async fn process<S: Stage>(
        &mut self,
        stage: &Arc<S>,
        mut deliveries: Vec<Delivery>,
        publisher: &mut Box<dyn Publisher>,
    ) -> Result<(), End> {
        let started = Instant::now();
        debug!("Batch started");
        let _live = self.begin_live_batch().await;
        let mut messages = Vec::new();
        let mut items = Vec::new();
        // The delivery of each item.
        let mut places = Vec::new();
        for (place, delivery) in deliveries.iter_mut().enumerate() {
            match self.decode(stage, delivery) {
                Ok(item) => {
                    places.push(place);
                    items.push(item);
                }
                Err(fault) => messages.push(self.reroute(delivery, &fault)),
            }
        }
        let mut failed = messages.len();
        let items = Arc::new(items);
        let mut open: Vec<usize> = (0..items.len()).collect();
        let mut backoff = Backoff::default();
        loop {
            let mut unavailable: Option<Fault> = None;
            let mut still_open = Vec::new();
            for (index, verdict) in self.pass(stage, &items, &open).await {
                match verdict {
                    Verdict::Done { publish } => messages.extend(publish),
                    Verdict::InDoubt { fault, publish } => {
                        warn!(
                            fault.code = fault.reason.code(),
                            error = fault.text,
                            "Message done; effect in doubt"
                        );
                        messages.extend(publish);
                    }
                    Verdict::Failed { fault, .. } if fault.reason.class() == Class::Unavailable => {
                        still_open.push(index);
                        unavailable = Some(fault);
                    }
                    Verdict::Failed { fault, publish } => {
                        failed += 1;
                        messages.extend(publish);
                        messages.push(self.reroute(&mut deliveries[places[index]], &fault));
                    }
                }
            }
            self.publish(publisher, std::mem::take(&mut messages)).await?;
            open = still_open;
            let Some(fault) = unavailable else { break };
            if self.stop.is_cancelled() {
                return Err(End::Stopped);
            }
            // Also effects not begun because the batch was held too long: they follow in other, smaller
            // batches.
            if self.is_paused() || fault.reason == Reason::Stopping {
                return Err(End::Paused);
            }
            let pause = backoff.next_pause();
            if started.elapsed() + pause > self.settings.hold {
                return Err(End::Unavailable(fault));
            }
            self.stats.circuit_opened(&fault, pause);
            warn!(
                fault.code = fault.reason.code(),
                error = fault.text,
                batch.waiting = open.len(),
                retry_in_ms = pause.as_millis(),
                "Dependency unavailable; batch held"
            );
            if let Some(end) = self.hold(pause).await {
                return Err(end);
            }
        }
        debug!(duration_ms = started.elapsed().as_millis(), batch.failed = failed, "Batch done");
        Ok(())
    }

    fn decode<S: Stage>(&self, stage: &Arc<S>, delivery: &mut Delivery) -> Result<Item<S::Job>> {
        let envelope = &mut delivery.envelope;
        // A foreign client may omit the message id; the hash of the body replaces it, the same on every
        // redelivery.
        let seed = envelope
            .message_id
            .get_or_insert_with(|| format!("sha256:{}", hex::encode(Sha256::digest(&envelope.payload))));
        let trace = Traceparent::of(envelope.traceparent.as_deref(), seed);
        let (size, limit) = (envelope.payload.len(), self.settings.max_message_bytes);
        if size > limit {
            return Err(Fault::new(
                Reason::TooLarge,
                format!("the body has {size} bytes; the limit is {limit}"),
            ));
        }
        let job = catch_unwind(AssertUnwindSafe(|| stage.decode(&envelope.payload)))
            .unwrap_or_else(|_| Err(panicked()))?;
        Ok(Item {
            job,
            lane: self.lane,
            correlation_id: envelope.correlation_id.clone(),
            trace,
            failed_id: Some(ids::failed_message(
                S::NAME,
                seed,
                &hex::encode(Sha256::digest(&envelope.payload)),
            )),
            replayed: envelope.history.replay.is_some(),
        })
    }

    /// Load, decide, act, record, for the items at `open`: a verdict on each.
    async fn pass<S: Stage>(
        &mut self,
        stage: &Arc<S>,
        items: &Items<S>,
        open: &[usize],
    ) -> BTreeMap<usize, Verdict> {
        let mut verdicts: BTreeMap<usize, Verdict> =
            open.iter().map(|index| (*index, no_verdict().into())).collect();
        if open.is_empty() {
            return verdicts;
        }
        let facts = self.load(stage, items, open).await;
        let mut pending = Vec::new();
        for (index, outcome) in open.iter().zip(self.decide_and_act(stage, items, open, facts).await) {
            match outcome {
                Ok(outcome) => pending.push(Pending { index: *index, outcome }),
                Err(fault) => drop(verdicts.insert(*index, fault.into())),
            }
        }
        verdicts.extend(self.record(stage, items, pending).await);
        verdicts
    }

    /// Decides and acts on items in chunks. The next chunk is decided while one acts.
    async fn decide_and_act<S: Stage>(
        &self,
        stage: &Arc<S>,
        items: &Items<S>,
        open: &[usize],
        facts: Each<S::Facts>,
    ) -> Each<S::Outcome> {
        let permit = &self.permit();
        let mut facts = facts.into_iter();
        let chunks: Vec<(Vec<usize>, Each<S::Facts>)> = open
            .chunks(S::CHUNK_SIZE)
            .map(|open| (open.to_vec(), facts.by_ref().take(open.len()).collect()))
            .collect();
        let chunk = |(open, facts): (Vec<usize>, Each<S::Facts>)| async move {
            self.give_way().await;
            let mut outcomes = Vec::with_capacity(open.len());
            let mut faults = Vec::with_capacity(open.len());
            for decided in self.decide(stage, items, open, facts).await {
                faults.push(decided.map(|outcome| outcomes.push(outcome)).err());
            }
            let expected = outcomes.len();
            let acted = AssertUnwindSafe(stage.act(outcomes, permit)).catch_unwind().await;
            let mut acted = acted.unwrap_or_else(|_| each(expected, &panicked())).into_iter();
            let result = |fault: Option<Fault>| match fault {
                Some(fault) => Err(fault),
                None => acted.next().unwrap_or_else(|| Err(no_verdict())),
            };
            faults.into_iter().map(result).collect::<Each<S::Outcome>>()
        };
        let done: Vec<Each<S::Outcome>> = stream::iter(chunks).map(chunk).buffered(2).collect().await;
        done.into_iter().flatten().collect()
    }

    async fn decide<S: Stage>(
        &self,
        stage: &Arc<S>,
        items: &Items<S>,
        open: Vec<usize>,
        facts: Each<S::Facts>,
    ) -> Each<S::Outcome> {
        let (stage, items) = (Arc::clone(stage), Arc::clone(items));
        let (priority, lane, count) = (self.priority.clone(), self.lane, open.len());
        let _permit = self.priority.permit(lane).await;
        let decide = move |index: usize, facts: Result<S::Facts>| {
            let facts = facts?;
            catch_unwind(AssertUnwindSafe(|| stage.decide(&items[index], facts)))
                .unwrap_or_else(|_| Err(panicked()))
        };
        let task = tokio::task::spawn_blocking(move || {
            if count == 1 {
                return open.into_iter().zip(facts).map(|(index, facts)| decide(index, facts)).collect();
            }
            priority.run_parallel(lane, || {
                open.into_par_iter().zip(facts).map(|(index, facts)| decide(index, facts)).collect()
            })
        });
        task.await.unwrap_or_else(|_| each(count, &panicked()))
    }

    /// A live batch is in flight until the guard is dropped. A bulk batch gives way.
    async fn begin_live_batch(&self) -> Option<LiveBatch> {
        if self.lane == Lane::Live {
            return Some(self.priority.begin_live_batch());
        }
        self.give_way().await;
        None
    }

    async fn load<S: Stage>(&mut self, stage: &Arc<S>, items: &Items<S>, open: &[usize]) -> Each<S::Facts> {
        let mut quick_retries = QUICK_RETRIES.into_iter();
        let mut one_by_one = false;
        loop {
            let (stage, items, open, stop) =
                (Arc::clone(stage), Arc::clone(items), open.to_vec(), self.stop.clone());
            let count = open.len();
            let work = move |db: &mut Connection, ()| {
                let items: Vec<&Item<S::Job>> = open.iter().map(|index| &items[*index]).collect();
                ((), transact(db, &items, one_by_one, &stop, |db, items| stage.load(db, items)))
            };
            match self.with_connection((), work).await.1 {
                Ok(each) => return each.into_iter().map(Result::flatten).collect(),
                Err(fault) if fault.reason.class() == Class::Transient && !one_by_one => {
                    match quick_retries.next() {
                        Some(pause) if self.wait(pause).await => return each(count, &fault),
                        Some(_) => {}
                        None => one_by_one = true,
                    }
                }
                Err(fault) => return each(count, &fault),
            }
        }
    }

    /// Records outcomes.
    /// While the database is unavailable they are kept as long as the batch may be held; contended ones are
    /// retried quickly, then one by one, and then wait in the broker. An outcome that [must be
    /// recorded](Stage::must_record) is retried until the process is requested to stop.
    async fn record<S: Stage>(
        &mut self,
        stage: &Arc<S>,
        items: &Items<S>,
        mut pending: Vec<Pending<S::Outcome>>,
    ) -> Vec<(usize, Verdict)> {
        let mut verdicts = Vec::new();
        let (mut backoff, mut quick_retries) = (Backoff::default(), QUICK_RETRIES.into_iter());
        let (began, mut one_by_one) = (Instant::now(), false);
        while !pending.is_empty() {
            let (mut rolled_back, mut must_record) = (None::<Fault>, false);
            let mut kept = Vec::new();
            for Attempt { index, outcome, recorded } in
                self.try_to_record(stage, items, pending, one_by_one).await
            {
                match (recorded, outcome) {
                    (Err(fault), Some(outcome))
                        if is_retried(&fault, one_by_one, stage.must_record(&outcome)) =>
                    {
                        must_record |= stage.must_record(&outcome);
                        rolled_back = Some(fault);
                        kept.push(Pending { index, outcome });
                    }
                    (recorded, _) => verdicts.push((index, recorded.unwrap_or_else(Verdict::from))),
                }
            }
            pending = kept;
            let Some(fault) = rolled_back else { break };
            let pause = match fault.reason.class() {
                Class::Transient if !one_by_one => quick_retries.next(),
                _ => Some(backoff.next_pause()),
            };
            let stopping = || Fault::new(Reason::Stopping, fault.text.clone());
            let given_up = match pause {
                _ if self.stop.is_cancelled() => Some(stopping()),
                None => None,
                Some(pause) if !must_record && began.elapsed() + pause > self.settings.hold => {
                    Some(fault.clone())
                }
                Some(pause) => {
                    warn!(
                        fault.code = fault.reason.code(),
                        error = fault.text,
                        batch.size = pending.len(),
                        retry_in_ms = pause.as_millis(),
                        "Results not recorded; batch held"
                    );
                    self.stats.circuit_opened(&fault, pause);
                    let ended =
                        if must_record { self.wait(pause).await } else { self.hold(pause).await.is_some() };
                    ended.then(stopping)
                }
            };
            one_by_one |= pause.is_none();
            if let Some(fault) = given_up {
                verdicts.extend(pending.iter().map(|row| (row.index, fault.clone().into())));
                break;
            }
        }
        verdicts
    }

    /// Tries once to record outcomes, and returns each of them.
    async fn try_to_record<S: Stage>(
        &mut self,
        stage: &Arc<S>,
        items: &Items<S>,
        pending: Vec<Pending<S::Outcome>>,
        one_by_one: bool,
    ) -> Vec<Attempt<S::Outcome>> {
        let (stage, items, stop, now) =
            (Arc::clone(stage), Arc::clone(items), self.stop.clone(), self.clock.now());
        let (indexes, outcomes): (Vec<usize>, Vec<S::Outcome>) =
            pending.into_iter().map(|pending| (pending.index, pending.outcome)).unzip();
        let of_items = indexes.clone();
        let (outcomes, recorded) = self
            .with_connection(outcomes, move |db, outcomes| {
                let rows: Vec<(&Item<S::Job>, S::Outcome)> =
                    of_items.iter().map(|index| &items[*index]).zip(outcomes).collect();
                let recorded = transact(db, &rows, one_by_one, &stop, |db, rows| {
                    let verdicts = stage.record(db, rows)?;
                    resolve(db, rows.iter().map(|(item, _)| *item).zip(&verdicts), now)?;
                    Ok(verdicts)
                });
                (rows.into_iter().map(|(_, outcome)| outcome).collect(), recorded)
            })
            .await;
        let mut recorded = recorded.unwrap_or_else(|fault| each(indexes.len(), &fault)).into_iter();
        let mut outcomes = outcomes.into_iter().flatten();
        let attempt = |index| Attempt {
            index,
            outcome: outcomes.next(),
            recorded: recorded.next().unwrap_or_else(|| Ok(no_verdict().into())),
        };
        indexes.into_iter().map(attempt).collect()
    }

    /// Runs database work on a blocking thread.
    /// Returns `input` also without a connection; only a panic outside the stage loses it.
    async fn with_connection<I: Send + 'static, T: Send + 'static>(
        &self,
        input: I,
        work: impl FnOnce(&mut Connection, I) -> (I, Result<T>) + Send + 'static,
    ) -> (Option<I>, Result<T>) {
        let _permit = self.priority.permit(self.lane).await;
        let (pool, span) = (self.db.pool().clone(), tracing::Span::current());
        let task = tokio::task::spawn_blocking(move || {
            span.in_scope(|| match pool.get() {
                Ok(mut db) => work(&mut db, input),
                Err(error) => (input, Err(Fault::from(error))),
            })
        });
        match task.await {
            Ok((input, result)) => (Some(input), result),
            Err(_) => (None, Err(panicked())),
        }
    }
}

/// Whether a rolled back outcome is recorded again here.
/// Not after a fault that would repeat, nor for an item that is contended even alone, unless it must be
/// recorded.
fn is_retried(fault: &Fault, one_by_one: bool, must_record: bool) -> bool {
    match fault.reason.class() {
        Class::Unavailable => true,
        Class::Transient => !one_by_one || must_record,
        Class::Permanent | Class::Ambiguous => false,
    }
}

/// Runs one transaction for all rows.
/// If it is refused or panics, or if `one_by_one`, runs one for each row. An unavailable database is not
/// retried one by one: that would not help.
///
/// Returns the result of each row, or why its own transaction was rolled back; a single fault if only the
/// common one was tried.
fn transact<R, T>(
    db: &mut Connection,
    rows: &[R],
    one_by_one: bool,
    stop: &CancellationToken,
    transaction: impl Fn(&mut Connection, &[R]) -> Result<Vec<T>>,
) -> Result<Each<T>> {
    let transact = |db: &mut Connection, rows: &[R]| {
        db.transaction(|db| {
            catch_unwind(AssertUnwindSafe(|| transaction(db, rows))).unwrap_or_else(|_| Err(panicked()))
        })
    };
    if !one_by_one {
        match transact(db, rows) {
            Err(fault) if fault.reason.class() == Class::Permanent && rows.len() > 1 => {
                warn!(
                    fault.code = fault.reason.code(),
                    error = fault.text,
                    "Batch rolled back; items retried one by one"
                );
            }
            all => return all.map(|each| each.into_iter().map(Ok).collect()),
        }
    }
    let alone = |row: &[R]| {
        if stop.is_cancelled() {
            return Err(Fault::new(Reason::Stopping, "the process was requested to stop"));
        }
        transact(db, row)?.pop().ok_or_else(no_verdict)
    };
    Ok(rows.chunks(1).map(alone).collect())
}

/// Resolves earlier failures of finished messages, in the same transaction.
fn resolve<'a, J: 'a>(
    db: &mut Connection,
    items: impl Iterator<Item = (&'a Item<J>, &'a Verdict)>,
    now: chrono::NaiveDateTime,
) -> Result<()> {
    let finished: Vec<&str> = items
        .filter(|(_, verdict)| verdict.is_finished())
        .filter_map(|(item, _)| item.failed_id.as_deref())
        .collect();
    if finished.is_empty() {
        return Ok(());
    }
    let resolved = failed_message::resolve(db, &finished, now)?;
    if resolved > 0 {
        info!(messages = resolved, "Failed messages resolved");
    }
    Ok(())
}

fn each<T>(count: usize, fault: &Fault) -> Each<T> {
    (0..count).map(|_| Err(fault.clone())).collect()
}

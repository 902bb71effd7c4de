//! One batch, from decoding to the confirms.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt,
    stream::{self, StreamExt},
};
use hosho_schema::{db::Connection, ids, models::failed_message};
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tracing::{Instrument, debug, info, info_span, warn};

use super::{
    priority::Live,
    retry::{no_verdict, panicked},
    runner::{Backoff, ConsumerTask, End},
};
use crate::{
    broker::{Delivery, Lane, Outgoing, Publisher},
    fault::{Class, Fault, Reason},
    hex::hex,
    pipeline::stage::{Item, Permit, Stage, Verdicts},
    telemetry::Traceparent,
};

/// Pauses before a contended transaction is tried again in this process; then each of its messages is tried alone, and climbs the ladder.
const QUICK_TRIES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

/// What a database step gave for each of its items.
type Each<T> = Vec<Result<T, Fault>>;

impl ConsumerTask {
    /// Works a batch off. When it returns without an error, everything that follows from the batch is confirmed; after an
    /// error nothing of it may be acknowledged.
    pub(super) async fn batch<S: Stage>(
        &mut self,
        stage: &Arc<S>,
        lane: Lane,
        deliveries: Vec<Delivery>,
        publisher: &mut Box<dyn Publisher>,
    ) -> Result<(), End> {
        let span = info_span!("batch", stage = S::NAME, lane = ?lane, batch.size = deliveries.len());
        self.work_off(stage, lane, deliveries, publisher).instrument(span).await
    }

    async fn work_off<S: Stage>(
        &mut self,
        stage: &Arc<S>,
        lane: Lane,
        mut deliveries: Vec<Delivery>,
        publisher: &mut Box<dyn Publisher>,
    ) -> Result<(), End> {
        let started = Instant::now();
        debug!("Batch begins");
        let _live = self.goes_first(lane).await;
        let mut messages = Vec::new();
        let (mut places, mut items) = (Vec::new(), Vec::new());
        for (place, delivery) in deliveries.iter_mut().enumerate() {
            match self.decode(stage, lane, delivery) {
                Ok(item) => {
                    places.push(place);
                    items.push(item);
                }
                Err(fault) => messages.push(self.reroute(S::NAME, lane, delivery, &fault)),
            }
        }
        let mut failed = messages.len();
        let items = Arc::new(items);
        let mut open: Vec<usize> = (0..items.len()).collect();
        let mut backoff = Backoff::default();
        loop {
            let verdicts = self.pass(stage, &items, &open).await;
            let mut waiting: Option<Fault> = None;
            let mut still_open = Vec::new();
            for (index, verdict) in open.into_iter().zip(verdicts) {
                match verdict {
                    Ok(successors) => messages.extend(successors),
                    Err(fault) if fault.reason.class() == Class::Unavailable => {
                        still_open.push(index);
                        waiting = Some(fault);
                    }
                    Err(fault) if fault.reason.class() == Class::Ambiguous => {
                        warn!(
                            fault.code = fault.reason.code(),
                            error = fault.text,
                            "A message is done, and its effect in doubt"
                        );
                        messages.extend(fault.aside);
                    }
                    Err(mut fault) => {
                        failed += 1;
                        messages.append(&mut fault.aside);
                        messages.push(self.reroute(S::NAME, lane, &mut deliveries[places[index]], &fault));
                    }
                }
            }
            self.publish(publisher, std::mem::take(&mut messages)).await?;
            open = still_open;
            let Some(fault) = waiting else { break };
            if *self.stop.borrow() {
                return Err(End::Stopped);
            }
            // Also what took too long to be begun: the rest is worked off by whoever takes it, in smaller batches.
            if self.paused.borrow().contains(self.stage) || fault.reason == Reason::Stopping {
                return Err(End::Paused);
            }
            let wait = backoff.next();
            if started.elapsed() + wait > self.settings.hold {
                return Err(End::Down(fault));
            }
            self.gauge.opened(&fault, wait);
            warn!(
                fault.code = fault.reason.code(),
                error = fault.text,
                batch.waiting = open.len(),
                retry_in_ms = wait.as_millis(),
                "Something the stage needs is down; it waits and tries again"
            );
            if let Some(end) = self.hold(wait).await {
                return Err(end);
            }
        }
        debug!(duration_ms = started.elapsed().as_millis(), batch.failed = failed, "Batch done");
        Ok(())
    }

    fn decode<S: Stage>(
        &self,
        stage: &Arc<S>,
        lane: Lane,
        delivery: &mut Delivery,
    ) -> Result<Item<S::Job>, Fault> {
        let envelope = &mut delivery.envelope;
        // A foreign client may leave the message id out; its body then names it, the same on every redelivery.
        let seed = envelope
            .message_id
            .get_or_insert_with(|| format!("sha256:{}", hex(&Sha256::digest(&envelope.payload))));
        let trace = envelope
            .traceparent
            .as_deref()
            .and_then(Traceparent::parse)
            .unwrap_or_else(|| Traceparent::derived(seed));
        let (size, limit) = (envelope.payload.len(), self.settings.max_message_bytes);
        if size > limit {
            return Err(Fault::new(
                Reason::TooLarge,
                format!("the body has {size} bytes; the limit is {limit}"),
            ));
        }
        let job = catch_unwind(AssertUnwindSafe(|| stage.decode(&envelope.payload)))
            .unwrap_or_else(|_| Err(panicked()))?;
        let failed_id = Some(ids::failed_message(S::NAME, seed, &hex(&Sha256::digest(&envelope.payload))));
        let replayed = envelope.history.replay.is_some();
        Ok(Item { job, lane, correlation_id: envelope.correlation_id.clone(), trace, failed_id, replayed })
    }

    /// Load, decide, act, record, for the items at `open`: one verdict each, in order.
    async fn pass<S: Stage>(
        &mut self,
        stage: &Arc<S>,
        items: &Arc<Vec<Item<S::Job>>>,
        open: &[usize],
    ) -> Verdicts {
        if open.is_empty() {
            return Vec::new();
        }
        let mut verdicts: Vec<Option<Result<Vec<Outgoing>, Fault>>> = open.iter().map(|_| None).collect();
        let facts = self.load(stage, items, open).await;
        let (mut recorded, mut rows) = (Vec::new(), Vec::new());
        for (place, outcome) in self.decide_and_act(stage, items, open, facts).await.into_iter().enumerate() {
            match outcome {
                Ok(outcome) => {
                    recorded.push(place);
                    rows.push((open[place], outcome));
                }
                Err(fault) => verdicts[place] = Some(Err(fault)),
            }
        }
        for (place, verdict) in recorded.into_iter().zip(self.record(stage, items, rows).await) {
            verdicts[place] = Some(verdict);
        }
        verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(|| Err(no_verdict()))).collect()
    }

    /// Decides items and has their effects, so many at a time as the stage wants together ([`Stage::TOGETHER`]); while some have their
    /// effects, the next are decided.
    async fn decide_and_act<S: Stage>(
        &self,
        stage: &Arc<S>,
        items: &Arc<Vec<Item<S::Job>>>,
        open: &[usize],
        facts: Each<S::Facts>,
    ) -> Each<S::Outcome> {
        let leave = self.leave();
        let mut facts = facts.into_iter();
        let portions: Vec<(&[usize], Each<S::Facts>)> =
            open.chunks(S::TOGETHER).map(|open| (open, facts.by_ref().take(open.len()).collect())).collect();
        let leave = &leave;
        let portion = |(open, facts): (&[usize], Each<S::Facts>)| {
            let open = open.to_vec();
            async move {
                self.give_way().await;
                let (mut faults, mut outcomes) =
                    (Vec::with_capacity(open.len()), Vec::with_capacity(open.len()));
                for decided in self.decide(stage, items, open, facts).await {
                    match decided {
                        Ok(outcome) => {
                            outcomes.push(outcome);
                            faults.push(None);
                        }
                        Err(fault) => faults.push(Some(fault)),
                    }
                }
                let expected = outcomes.len();
                let acted = match AssertUnwindSafe(stage.act(outcomes, leave)).catch_unwind().await {
                    Ok(acted) => acted,
                    Err(_) => each(expected, &panicked()),
                };
                let mut acted = acted.into_iter();
                let outcome = |fault: Option<Fault>| {
                    fault.map_or_else(|| acted.next().unwrap_or_else(|| Err(no_verdict())), Err)
                };
                faults.into_iter().map(outcome).collect::<Each<S::Outcome>>()
            }
        };
        let done: Vec<Each<S::Outcome>> = stream::iter(portions).map(portion).buffered(2).collect().await;
        done.into_iter().flatten().collect()
    }

    async fn decide<S: Stage>(
        &self,
        stage: &Arc<S>,
        items: &Arc<Vec<Item<S::Job>>>,
        open: Vec<usize>,
        facts: Each<S::Facts>,
    ) -> Each<S::Outcome> {
        let (stage, items) = (Arc::clone(stage), Arc::clone(items));
        let (precedence, lane) = (&self.precedence, self.lane);
        let count = open.len();
        let _hand = precedence.hand(lane).await;
        let precedence = precedence.clone();
        let one = move |index: usize, facts: Result<S::Facts, Fault>| {
            let facts = facts?;
            catch_unwind(AssertUnwindSafe(|| stage.decide(&items[index], facts)))
                .unwrap_or_else(|_| Err(panicked()))
        };
        let task = tokio::task::spawn_blocking(move || {
            if open.len() == 1 {
                return open.into_iter().zip(facts).map(|(index, facts)| one(index, facts)).collect();
            }
            precedence.reckon(lane, || {
                open.into_par_iter().zip(facts).map(|(index, facts)| one(index, facts)).collect()
            })
        });
        task.await.unwrap_or_else(|_| each(count, &panicked()))
    }

    /// Takes precedence for a live batch, until what is returned is dropped; lets those go first where it is a bulk one.
    async fn goes_first(&self, lane: Lane) -> Option<Live> {
        if lane == Lane::Live {
            return Some(self.precedence.take());
        }
        self.give_way().await;
        None
    }

    /// Lets live work go first, if this is bulk work.
    pub(super) async fn give_way(&self) {
        if self.lane == Lane::Bulk {
            let rested = *self.rested.lock().unwrap_or_else(PoisonError::into_inner);
            self.precedence.give_way(rested.elapsed()).await;
            *self.rested.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }

    /// Leave to begin effects now, until the batch has been held for long.
    fn leave(&self) -> Permit {
        let (stop, paused, stage) = (self.stop.clone(), self.paused.clone(), self.stage);
        let (began, hold) = (Instant::now(), self.settings.hold);
        Permit::until(move || {
            if *stop.borrow() {
                Some("the process was asked to stop")
            } else if paused.borrow().contains(stage) {
                Some("the stage is paused")
            } else {
                (began.elapsed() > hold).then_some("the batch has been held for long")
            }
        })
    }

    async fn load<S: Stage>(
        &mut self,
        stage: &Arc<S>,
        items: &Arc<Vec<Item<S::Job>>>,
        open: &[usize],
    ) -> Each<S::Facts> {
        let mut quick_tries = QUICK_TRIES.into_iter();
        let mut apart = false;
        loop {
            let (stage, items, open, stop) =
                (Arc::clone(stage), Arc::clone(items), open.to_vec(), self.stop.clone());
            let count = open.len();
            let loaded = self
                .blocking(move |db| {
                    let items: Vec<&Item<S::Job>> = open.iter().map(|index| &items[*index]).collect();
                    transact(db, &items, apart, &stop, |db, items| stage.load(db, items))
                })
                .await;
            match loaded {
                Ok(each) => return each.into_iter().map(Result::flatten).collect(),
                Err(fault) if fault.reason.class() == Class::Transient && !apart => {
                    match quick_tries.next() {
                        Some(pause) if self.wait(pause).await => return each(count, &fault),
                        Some(_) => {}
                        None => apart = true,
                    }
                }
                Err(fault) => return each(count, &fault),
            }
        }
    }

    /// Records outcomes. While the database is away they are kept, as long as a batch may be; what is contended is tried item by item
    /// after the quick tries, and then climbs the ladder. An outcome that is the only memory of an effect is recorded until the database
    /// takes it or the process is asked to stop.
    async fn record<S: Stage>(
        &mut self,
        stage: &Arc<S>,
        items: &Arc<Vec<Item<S::Job>>>,
        rows: Vec<(usize, S::Outcome)>,
    ) -> Verdicts {
        let mut verdicts: Vec<Option<Result<Vec<Outgoing>, Fault>>> = rows.iter().map(|_| None).collect();
        let mut kept: Vec<Pending<S::Outcome>> =
            rows.into_iter().enumerate().map(|(place, (at, outcome))| (place, at, outcome)).collect();
        let (began, mut backoff, mut quick_tries, mut apart) =
            (Instant::now(), Backoff::default(), QUICK_TRIES.into_iter(), false);
        while !kept.is_empty() {
            let places: Vec<usize> = kept.iter().map(|(place, ..)| *place).collect();
            let (rows, recorded) = self.try_to_record(stage, items, kept, apart).await;
            let (mut still, mut trouble) = (Vec::new(), None::<Fault>);
            let mut rows = rows.map(Vec::into_iter);
            for (place, recorded) in places.into_iter().zip(recorded) {
                let row = rows.as_mut().and_then(Iterator::next);
                let row = row.map(|row| (stage.is_only_memory(&row.2), row));
                match (recorded, row) {
                    (Err(fault), Some((only_memory, row))) if is_kept(&fault, apart, only_memory) => {
                        trouble = Some(fault);
                        still.push((only_memory, row));
                    }
                    (verdict, _) => verdicts[place] = Some(verdict.flatten()),
                }
            }
            let Some(fault) = trouble else { break };
            let needed = still.iter().any(|(only_memory, _)| *only_memory);
            let wait = match fault.reason.class() {
                Class::Transient if !apart => quick_tries.next(),
                _ => Some(backoff.next()),
            };
            let given_up = match wait {
                _ if *self.stop.borrow() => Some(Fault::new(Reason::Stopping, fault.text.clone())),
                None => None,
                Some(wait) if !needed && began.elapsed() + wait > self.settings.hold => Some(fault.clone()),
                Some(wait) => {
                    warn!(
                        fault.code = fault.reason.code(),
                        error = fault.text,
                        batch.size = still.len(),
                        retry_in_ms = wait.as_millis(),
                        "The database cannot take the results: the stage keeps them; it waits and tries again"
                    );
                    self.gauge.opened(&fault, wait);
                    let ended = if needed { self.wait(wait).await } else { self.hold(wait).await.is_some() };
                    ended.then(|| Fault::new(Reason::Stopping, fault.text.clone()))
                }
            };
            apart |= wait.is_none();
            if let Some(fault) = given_up {
                for (_, (place, ..)) in still {
                    verdicts[place] = Some(Err(fault.clone()));
                }
                break;
            }
            kept = still.into_iter().map(|(_, row)| row).collect();
        }
        verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(|| Err(no_verdict()))).collect()
    }

    /// Tries once to record rows, and hands them back; for each its verdict, or why it was rolled back.
    async fn try_to_record<S: Stage>(
        &mut self,
        stage: &Arc<S>,
        items: &Arc<Vec<Item<S::Job>>>,
        kept: Vec<Pending<S::Outcome>>,
        apart: bool,
    ) -> (Option<Vec<Pending<S::Outcome>>>, Each<Result<Vec<Outgoing>, Fault>>) {
        let (stage, items, stop, now) =
            (Arc::clone(stage), Arc::clone(items), self.stop.clone(), self.clock.now());
        let count = kept.len();
        let (rows, recorded) = self
            .lending(kept, move |db, rows: Vec<Pending<S::Outcome>>| {
                let (at, outcomes): (Vec<(usize, usize)>, Vec<S::Outcome>) =
                    rows.into_iter().map(|(place, at, outcome)| ((place, at), outcome)).unzip();
                let lent: Vec<(&Item<S::Job>, S::Outcome)> =
                    at.iter().map(|(_, at)| &items[*at]).zip(outcomes).collect();
                let recorded = transact(db, &lent, apart, &stop, |db, rows| {
                    let verdicts = stage.record(db, rows)?;
                    resolve(db, rows.iter().map(|(item, _)| *item).zip(&verdicts), now)?;
                    Ok(verdicts)
                });
                let rows = at.into_iter().zip(lent).map(|((place, at), (_, outcome))| (place, at, outcome));
                (rows.collect(), recorded)
            })
            .await;
        (rows, recorded.unwrap_or_else(|fault| each(count, &fault)))
    }

    /// Runs database work on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.lending((), move |db, ()| ((), work(db))).await.1
    }

    /// Runs database work that hands back what it was lent, also when there is no connection to be had; only a panic
    /// outside of the stage loses it.
    async fn lending<L: Send + 'static, T: Send + 'static>(
        &self,
        lent: L,
        work: impl FnOnce(&mut Connection, L) -> (L, Result<T, Fault>) + Send + 'static,
    ) -> (Option<L>, Result<T, Fault>) {
        let _hand = self.precedence.hand(self.lane).await;
        let pool = self.pool.clone();
        let span = tracing::Span::current();
        let task = tokio::task::spawn_blocking(move || {
            span.in_scope(|| match pool.get() {
                Ok(mut db) => work(&mut db, lent),
                Err(error) => (lent, Err(Fault::from(error))),
            })
        });
        match task.await {
            Ok((lent, result)) => (Some(lent), result),
            Err(_) => (None, Err(panicked())),
        }
    }
}

/// An outcome that is not recorded yet: its place among the verdicts, that of its item, and itself.
type Pending<O> = (usize, usize, O);

/// Whether what was rolled back is tried again here: not what would fail again, and not an item that stays in another's way by itself,
/// unless it must not be forgotten.
fn is_kept(fault: &Fault, apart: bool, only_memory: bool) -> bool {
    match fault.reason.class() {
        Class::Unavailable => true,
        Class::Transient => !apart || only_memory,
        Class::Permanent | Class::Ambiguous => false,
    }
}

/// Runs a transaction for all rows together; where that is refused, or panics, or where asked, for each row in its own. Only what says
/// something about the rows is tried apart: a database that is away is no better for one of them.
///
/// For each row what came of it, or why its transaction was rolled back; one fault where none of them was tried alone.
fn transact<R, T>(
    db: &mut Connection,
    rows: &[R],
    apart: bool,
    stop: &watch::Receiver<bool>,
    transaction: impl Fn(&mut Connection, &[R]) -> Result<Vec<Result<T, Fault>>, Fault>,
) -> Result<Each<Result<T, Fault>>, Fault> {
    let transact = |db: &mut Connection, rows: &[R]| {
        db.transaction(|db| {
            catch_unwind(AssertUnwindSafe(|| transaction(db, rows))).unwrap_or_else(|_| Err(panicked()))
        })
    };
    if !apart {
        match transact(db, rows) {
            Err(fault) if fault.reason.class() == Class::Permanent && rows.len() > 1 => {
                warn!(
                    fault.code = fault.reason.code(),
                    error = fault.text,
                    "The batch was rolled back; its items are tried one by one"
                );
            }
            together => return together.map(|each| each.into_iter().map(Ok).collect()),
        }
    }
    let alone = |row: &[R]| {
        if *stop.borrow() {
            return Err(Fault::new(Reason::Stopping, "the process was asked to stop"));
        }
        transact(db, row).map(|mut each| each.pop().unwrap_or_else(|| Err(no_verdict())))
    };
    Ok(rows.chunks(1).map(alone).collect())
}

/// Whoever works a message off that had failed before says so, in the same transaction.
fn resolve<'a, J: 'a>(
    db: &mut Connection,
    items: impl Iterator<Item = (&'a Item<J>, &'a Result<Vec<Outgoing>, Fault>)>,
    now: chrono::NaiveDateTime,
) -> Result<(), Fault> {
    let is_done = |verdict: &Result<Vec<Outgoing>, Fault>| match verdict {
        Ok(_) => true,
        Err(fault) => fault.reason.class() == Class::Ambiguous,
    };
    let done: Vec<&str> = items
        .filter(|(_, verdict)| is_done(verdict))
        .filter_map(|(item, _)| item.failed_id.as_deref())
        .collect();
    if done.is_empty() {
        return Ok(());
    }
    let resolved = failed_message::resolve(db, &done, now)?;
    if resolved > 0 {
        info!(messages = resolved, "Messages that had failed before went through");
    }
    Ok(())
}

/// The same fault for each.
fn each<T>(count: usize, fault: &Fault) -> Each<T> {
    (0..count).map(|_| Err(fault.clone())).collect()
}

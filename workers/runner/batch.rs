//! One batch, from decoding to the confirms.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use hosho_schema::{db::Connection, ids, models::failed_message};
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tracing::{Instrument, debug, info, info_span, warn};

use super::{
    Backoff, End, Shift,
    faults::{no_verdict, panicked},
};
use crate::{
    broker::{Delivery, Lane, Outgoing, Publisher},
    hex::hex,
    stage::{Class, Fault, Item, Reason, Stage, Verdicts},
    telemetry::Traceparent,
};

/// Pauses before a contended transaction is tried again in this process; then its messages climb the ladder.
const QUICK_TRIES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

/// What a database step gave for each of its items.
type Each<T> = Vec<Result<T, Fault>>;

impl Shift {
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
                        warn!(fault.code = fault.reason.code(), error = fault.text, "A message is done, and its effect in doubt");
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

    fn decode<S: Stage>(&self, stage: &Arc<S>, lane: Lane, delivery: &mut Delivery) -> Result<Item<S::Job>, Fault> {
        let envelope = &mut delivery.envelope;
        // A foreign client may leave the message id out; its body then names it, the same on every redelivery.
        let seed = envelope.message_id.get_or_insert_with(|| format!("sha256:{}", hex(&Sha256::digest(&envelope.payload))));
        let trace = envelope.traceparent.as_deref().and_then(Traceparent::parse).unwrap_or_else(|| Traceparent::derived(seed));
        let (size, limit) = (envelope.payload.len(), self.settings.max_message_bytes);
        if size > limit {
            return Err(Fault::new(Reason::TooLarge, format!("the body has {size} bytes; the limit is {limit}")));
        }
        let job = catch_unwind(AssertUnwindSafe(|| stage.decode(&envelope.payload))).unwrap_or_else(|_| Err(panicked()))?;
        let failed_id = Some(ids::failed_message(S::NAME, seed, &hex(&Sha256::digest(&envelope.payload))));
        let replayed = envelope.history.replay.is_some();
        Ok(Item { job, lane, correlation_id: envelope.correlation_id.clone(), trace, failed_id, replayed })
    }

    /// Load, decide, act, record, for the items at `open`: one verdict each, in order.
    async fn pass<S: Stage>(&mut self, stage: &Arc<S>, items: &Arc<Vec<Item<S::Job>>>, open: &[usize]) -> Verdicts {
        if open.is_empty() {
            return Vec::new();
        }
        let mut verdicts: Vec<Option<Result<Vec<Outgoing>, Fault>>> = open.iter().map(|_| None).collect();
        let facts = self.load(stage, items, open).await;
        let decided = decide(stage, items, open, facts).await;

        let (mut places, mut outcomes) = (Vec::new(), Vec::new());
        for (place, outcome) in decided.into_iter().enumerate() {
            match outcome {
                Ok(outcome) => {
                    places.push(place);
                    outcomes.push(outcome);
                }
                Err(fault) => verdicts[place] = Some(Err(fault)),
            }
        }
        let expected = outcomes.len();
        let acted = match AssertUnwindSafe(stage.act(outcomes)).catch_unwind().await {
            Ok(acted) => acted,
            Err(_) => each(expected, &panicked()),
        };
        let (mut recorded, mut rows) = (Vec::new(), Vec::new());
        for (place, outcome) in places.into_iter().zip(acted) {
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

    async fn load<S: Stage>(&mut self, stage: &Arc<S>, items: &Arc<Vec<Item<S::Job>>>, open: &[usize]) -> Each<S::Facts> {
        let mut quick_tries = QUICK_TRIES.into_iter();
        loop {
            let (stage, items, open, stop) = (Arc::clone(stage), Arc::clone(items), open.to_vec(), self.stop.clone());
            let count = open.len();
            let loaded = self
                .blocking(move |db| {
                    let items: Vec<&Item<S::Job>> = open.iter().map(|index| &items[*index]).collect();
                    together_or_apart(db, &items, &stop, |db, items| stage.load(db, items))
                })
                .await;
            match loaded {
                Ok(each) => return each,
                Err(fault) if fault.reason.class() == Class::Transient => match quick_tries.next() {
                    Some(pause) if !self.wait(pause).await => {}
                    _ => return each(count, &fault),
                },
                Err(fault) => return each(count, &fault),
            }
        }
    }

    /// Records outcomes until the database takes them or the process is asked to stop: `act` is not run again for them.
    async fn record<S: Stage>(&mut self, stage: &Arc<S>, items: &Arc<Vec<Item<S::Job>>>, rows: Vec<(usize, S::Outcome)>) -> Verdicts {
        let count = rows.len();
        let mut kept = Some(rows);
        let mut backoff = Backoff::default();
        let mut quick_tries = QUICK_TRIES.into_iter();
        while let Some(rows) = kept.take().filter(|rows| !rows.is_empty()) {
            let (stage, items, stop, now) = (Arc::clone(stage), Arc::clone(items), self.stop.clone(), self.clock.now());
            let (rows, recorded) = self
                .lending(rows, move |db, rows: Vec<(usize, S::Outcome)>| {
                    let (at, outcomes): (Vec<usize>, Vec<S::Outcome>) = rows.into_iter().unzip();
                    let lent: Vec<(&Item<S::Job>, S::Outcome)> = at.iter().map(|index| &items[*index]).zip(outcomes).collect();
                    let recorded = together_or_apart(db, &lent, &stop, |db, rows| {
                        let verdicts = stage.record(db, rows)?;
                        resolve(db, rows.iter().map(|(item, _)| *item).zip(&verdicts), now)?;
                        Ok(verdicts)
                    });
                    (at.into_iter().zip(lent.into_iter().map(|(_, outcome)| outcome)).collect(), recorded)
                })
                .await;
            let fault = match recorded {
                Ok(verdicts) => return verdicts,
                Err(fault) => fault,
            };
            let wait = match fault.reason.class() {
                Class::Unavailable => backoff.next(),
                Class::Transient => quick_tries.next().unwrap_or_else(|| backoff.next()),
                Class::Permanent | Class::Ambiguous => return each(count, &fault),
            };
            if *self.stop.borrow() {
                return each(count, &Fault::new(Reason::Stopping, fault.text));
            }
            warn!(
                fault.code = fault.reason.code(),
                error = fault.text,
                batch.size = count,
                retry_in_ms = wait.as_millis(),
                "The database cannot take the results: the stage keeps them; it waits and tries again"
            );
            self.gauge.opened(&fault, wait);
            if self.wait(wait).await {
                return each(count, &Fault::new(Reason::Stopping, fault.text));
            }
            kept = rows;
        }
        each(count, &no_verdict())
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

/// Runs a transaction for all rows together; where that is refused, or panics, for each row in its own. Only what says
/// something about the rows is tried apart: a database that is away or contended is no better for one of them.
fn together_or_apart<R, T>(
    db: &mut Connection,
    rows: &[R],
    stop: &watch::Receiver<bool>,
    transaction: impl Fn(&mut Connection, &[R]) -> Result<Vec<Result<T, Fault>>, Fault>,
) -> Result<Vec<Result<T, Fault>>, Fault> {
    let transact = |db: &mut Connection, rows: &[R]| {
        db.transaction(|db| catch_unwind(AssertUnwindSafe(|| transaction(db, rows))).unwrap_or_else(|_| Err(panicked())))
    };
    let refused = match transact(db, rows) {
        Err(fault) if fault.reason.class() == Class::Permanent && rows.len() > 1 => fault,
        other => return other,
    };
    warn!(fault.code = refused.reason.code(), error = refused.text, "The batch was rolled back; its items are tried one by one");
    let alone = |row: &[R]| {
        if *stop.borrow() {
            return Err(Fault::new(Reason::Stopping, "the process was asked to stop"));
        }
        transact(db, row)?.pop().unwrap_or_else(|| Err(no_verdict()))
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
    let done: Vec<&str> = items.filter(|(_, verdict)| is_done(verdict)).filter_map(|(item, _)| item.failed_id.as_deref()).collect();
    if done.is_empty() {
        return Ok(());
    }
    let resolved = failed_message::resolve(db, &done, now)?;
    if resolved > 0 {
        info!(messages = resolved, "Messages that had failed before went through");
    }
    Ok(())
}

async fn decide<S: Stage>(stage: &Arc<S>, items: &Arc<Vec<Item<S::Job>>>, open: &[usize], facts: Each<S::Facts>) -> Each<S::Outcome> {
    let (stage, items, open) = (Arc::clone(stage), Arc::clone(items), open.to_vec());
    let count = open.len();
    let one = move |index: usize, facts: Result<S::Facts, Fault>| {
        let facts = facts?;
        catch_unwind(AssertUnwindSafe(|| stage.decide(&items[index], facts))).unwrap_or_else(|_| Err(panicked()))
    };
    let task = tokio::task::spawn_blocking(move || {
        if open.len() == 1 {
            return open.into_iter().zip(facts).map(|(index, facts)| one(index, facts)).collect();
        }
        open.into_par_iter().zip(facts).map(|(index, facts)| one(index, facts)).collect()
    });
    task.await.unwrap_or_else(|_| each(count, &panicked()))
}

/// The same fault for each.
fn each<T>(count: usize, fault: &Fault) -> Each<T> {
    (0..count).map(|_| Err(fault.clone())).collect()
}

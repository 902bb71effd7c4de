//! Reports the state of this process every two seconds, and reads pauses.
//!
//! Operators run commands on other hosts, so the state of a runner must be where they can read it: the tables
//! `worker` and `worker_stage`. Nothing waits for this report: a process without a database keeps the last
//! known pauses and disappears from the list. The counters of RabbitMQ did not suffice: without plugins it
//! reports only the ready messages and consumers of a queue.
//!
//! Each runner has a [`ConsumerStats`], which it alone writes. It costs a message one uncontended lock.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{NaiveDateTime, TimeDelta};
use hosho_schema::{
    db::DbError,
    ids,
    models::{
        stage_control,
        worker::{self, Worker, WorkerStage},
    },
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::{
    audit,
    broker::{Lane, RetryDelay},
    clock::Clock,
    db::Db,
    fault::Fault,
};

const INTERVAL: Duration = Duration::from_secs(2);

/// A process without a heartbeat for this long counts as gone.
/// Its rows are deleted after a day.
pub const GONE_AFTER: TimeDelta = TimeDelta::seconds(20);

pub const fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Live => "live",
        Lane::Bulk => "bulk",
    }
}

/// An open circuit: an unavailable dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Open {
    code: &'static str,
    text: String,
    since: NaiveDateTime,
    next_probe: NaiveDateTime,
}

#[derive(Default)]
struct Readings {
    consumes: bool,
    held: usize,
    done: u64,
    busy_since: Option<NaiveDateTime>,
    taken_from: Option<NaiveDateTime>,
    open: Option<Open>,
    /// Messages in wait queues, by the second they are due and their delay.
    waiting: BTreeMap<(i64, RetryDelay), u64>,
}

/// The state of one runner. Clones share it.
#[derive(Clone)]
pub struct ConsumerStats {
    readings: Arc<Mutex<Readings>>,
    clock: Clock,
}

impl ConsumerStats {
    fn lock(&self) -> MutexGuard<'_, Readings> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A consumer was opened or closed. Opening it closes the circuit.
    pub fn set_consuming(&self, consumes: bool) {
        let mut readings = self.lock();
        readings.consumes = consumes;
        readings.held = 0;
        readings.busy_since = None;
        if consumes {
            readings.open = None;
        }
    }

    /// `held` deliveries are in flight.
    /// The first of the batch was published at `taken_from`.
    pub fn batch_began(&self, held: usize, taken_from: Option<NaiveDateTime>) {
        let now = self.clock.now();
        let mut readings = self.lock();
        readings.held = held;
        readings.busy_since = Some(now);
        readings.taken_from = taken_from;
    }

    pub fn batch_ended(&self, count: usize, held: usize) {
        let mut readings = self.lock();
        readings.done += count as u64;
        readings.held = held;
        readings.busy_since = None;
        readings.open = None;
    }

    /// A dependency is unavailable; the next retry or probe follows after `pause`.
    pub fn circuit_opened(&self, fault: &Fault, pause: Duration) {
        let now = self.clock.now();
        let mut readings = self.lock();
        let since = readings.open.as_ref().map_or(now, |open| open.since);
        let next_probe = now + TimeDelta::from_std(pause).unwrap_or_default();
        readings.open = Some(Open { code: fault.reason.code(), text: fault.text.clone(), since, next_probe });
    }

    pub fn circuit_closed(&self) {
        self.lock().open = None;
    }

    /// A message was published to a wait queue.
    pub fn retry_scheduled(&self, delay: RetryDelay) {
        let now = self.clock.now().and_utc().timestamp();
        let mut readings = self.lock();
        readings.waiting = readings.waiting.split_off(&(now, RetryDelay::S1));
        // Rounded to a twentieth of the delay, so that the list stays short.
        let seconds = i64::try_from(delay.delay().as_secs()).unwrap_or(0);
        let grain = (seconds / 20).max(1);
        *readings.waiting.entry(((now + seconds) / grain * grain, delay)).or_default() += 1;
    }
}

/// The heartbeat of this process. Clones share it.
#[derive(Clone)]
pub struct Heartbeat {
    inner: Arc<Inner>,
}

type StatsByLane = Vec<((&'static str, Lane), ConsumerStats)>;

/// Messages done since the process began, by stage and lane.
type Totals = BTreeMap<(&'static str, &'static str), u64>;

struct Inner {
    clock: Clock,
    process: Worker,
    consumers: Mutex<StatsByLane>,
    past: Mutex<VecDeque<(NaiveDateTime, Totals)>>,
    paused: watch::Sender<BTreeSet<String>>,
}

impl Heartbeat {
    /// A process that starts now, with no stage paused.
    pub fn new(clock: &Clock) -> Self {
        let (now, pid) = (clock.now(), std::process::id());
        let host = audit::host();
        let process = Worker {
            id: ids::worker(&host, pid, &now.to_string()),
            host,
            pid: i64::from(pid),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: now,
            seen_at: now,
        };
        let inner = Inner {
            clock: clock.clone(),
            process,
            consumers: Mutex::default(),
            past: Mutex::default(),
            paused: watch::Sender::new(BTreeSet::new()),
        };
        Self { inner: Arc::new(inner) }
    }

    pub fn id(&self) -> &str {
        &self.inner.process.id
    }

    pub fn stats(&self, stage: &'static str, lane: Lane) -> ConsumerStats {
        let stats = ConsumerStats { readings: Arc::default(), clock: self.inner.clock.clone() };
        self.inner
            .consumers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(((stage, lane), stats.clone()));
        stats
    }

    pub fn paused(&self) -> watch::Receiver<BTreeSet<String>> {
        self.inner.paused.subscribe()
    }

    /// Reads which stages are paused.
    /// Called before the first message is consumed, so that pauses survive a restart.
    pub async fn refresh_paused(&self, db: &Db) -> Result<(), DbError> {
        let controls = db.call(stage_control::all).await?;
        let now: BTreeSet<String> =
            controls.into_iter().filter(|control| control.paused).map(|control| control.stage).collect();
        self.inner.paused.send_if_modified(|before| {
            let changed = *before != now;
            if changed {
                info!(
                    stages.paused = now.iter().cloned().collect::<Vec<_>>().join(" "),
                    "Paused stages changed"
                );
                *before = now;
            }
            changed
        });
        Ok(())
    }

    pub async fn send_heartbeat(&self, db: &Db) -> Result<(), DbError> {
        let now = self.inner.clock.now();
        let process = Worker { seen_at: now, ..self.inner.process.clone() };
        let rows = self.rows(now);
        db.call(move |db| worker::heartbeat(db, &process, &rows, now - TimeDelta::days(1))).await
    }

    /// Sends heartbeats until a stop request, then removes the process from the list.
    pub async fn run(self, db: Db, stop: CancellationToken) {
        let log = |sent: Result<(), DbError>| {
            if let Err(error) = sent {
                debug!(error = crate::fault::chain(&error), "Heartbeat not sent");
            }
        };
        loop {
            log(async {
                self.refresh_paused(&db).await?;
                self.send_heartbeat(&db).await
            }
            .await);
            if stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
                break;
            }
        }
        let id = self.id().to_owned();
        log(db.call(move |db| worker::remove(db, &id)).await);
    }

    fn rows(&self, now: NaiveDateTime) -> Vec<WorkerStage> {
        let consumers = self.inner.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows: BTreeMap<(&'static str, &'static str), WorkerStage> = BTreeMap::new();
        let mut waiting: BTreeMap<(&'static str, &'static str), Waiting> = BTreeMap::new();
        for ((stage, lane), stats) in consumers.iter() {
            let (key, readings) = ((*stage, lane_name(*lane)), stats.lock());
            let row = rows.entry(key).or_insert_with(|| empty(self.id(), key));
            row.consumers += i64::from(readings.consumes);
            row.held += i64::try_from(readings.held).unwrap_or(i64::MAX);
            row.done += i64::try_from(readings.done).unwrap_or(i64::MAX);
            row.busy_since = [row.busy_since, readings.busy_since].into_iter().flatten().min();
            row.taken_from = [row.taken_from, readings.taken_from].into_iter().flatten().min();
            if let Some(open) = &readings.open
                && row.open_since.is_none_or(|since| open.since < since)
            {
                row.fault_code = Some(open.code.to_owned());
                row.fault_text = Some(open.text.clone());
                row.open_since = Some(open.since);
                row.next_probe = Some(open.next_probe);
            }
            for ((due, delay), count) in &readings.waiting {
                *waiting.entry(key).or_default().0.entry((*delay, *due)).or_default() += count;
            }
        }
        drop(consumers);
        for (key, waiting) in waiting {
            if let Some(row) = rows.get_mut(&key) {
                row.waiting = waiting.to_json();
            }
        }
        self.add_rates(now, &mut rows);
        rows.into_values().collect()
    }

    /// Messages of the last minute: the total now minus the total then.
    fn add_rates(&self, now: NaiveDateTime, rows: &mut BTreeMap<(&'static str, &'static str), WorkerStage>) {
        let done = rows.iter().map(|(key, row)| (*key, u64::try_from(row.done).unwrap_or(0))).collect();
        let mut past = self.inner.past.lock().unwrap_or_else(PoisonError::into_inner);
        past.push_back((now, done));
        while past.len() > 1 && past.front().is_some_and(|(at, _)| *at < now - TimeDelta::seconds(60)) {
            past.pop_front();
        }
        if let Some((_, then)) = past.front() {
            for (key, row) in rows {
                row.per_minute = row.done - i64::try_from(then.get(key).copied().unwrap_or(0)).unwrap_or(0);
            }
        }
    }
}

fn empty(worker_id: &str, (stage, lane): (&str, &str)) -> WorkerStage {
    WorkerStage {
        worker_id: worker_id.to_owned(),
        stage: stage.to_owned(),
        lane: lane.to_owned(),
        consumers: 0,
        held: 0,
        done: 0,
        per_minute: 0,
        busy_since: None,
        taken_from: None,
        fault_code: None,
        fault_text: None,
        open_since: None,
        next_probe: None,
        waiting: "[]".to_owned(),
    }
}

/// Messages in wait queues, by delay and by the second (since 1970) they are due.
/// RabbitMQ has one queue per delay for all stages, and does not count per stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting(pub BTreeMap<(RetryDelay, i64), u64>);

impl Waiting {
    fn to_json(&self) -> String {
        let entries: Vec<_> =
            self.0.iter().map(|((delay, due), count)| (delay.name(), *due, *count)).collect();
        serde_json::to_string(&entries).unwrap_or_else(|_| "[]".to_owned())
    }

    /// Parses [`WorkerStage::waiting`].
    pub fn parse(json: &str) -> Self {
        let entries: Vec<(String, i64, u64)> = serde_json::from_str(json).unwrap_or_default();
        let delay = |name: &str| RetryDelay::ALL.into_iter().find(|delay| delay.name() == name);
        Self(
            entries
                .into_iter()
                .filter_map(|(name, due, count)| Some(((delay(&name)?, due), count)))
                .collect(),
        )
    }

    /// Messages that still wait at a moment, by delay.
    pub fn at(&self, now: NaiveDateTime) -> BTreeMap<RetryDelay, u64> {
        let now = now.and_utc().timestamp();
        let mut counts = BTreeMap::new();
        for ((delay, due), count) in &self.0 {
            if *due > now {
                *counts.entry(*delay).or_default() += count;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Reason;

    fn heartbeat() -> (Heartbeat, Clock) {
        let clock = Clock::fixed("2026-12-01T00:00:00".parse().unwrap());
        (Heartbeat::new(&clock), clock)
    }

    #[test]
    fn adds_up_the_consumers_of_a_lane() {
        let (heartbeat, clock) = heartbeat();
        let (one, two) = (heartbeat.stats("issue", Lane::Live), heartbeat.stats("issue", Lane::Live));
        one.set_consuming(true);
        two.set_consuming(true);
        one.batch_began(10, Some(clock.now() - TimeDelta::seconds(7)));
        clock.advance(TimeDelta::seconds(5));
        two.batch_began(3, None);
        let rows = heartbeat.rows(clock.now());
        assert_eq!((rows.len(), rows[0].consumers, rows[0].held, rows[0].done), (1, 2, 13, 0));
        assert_eq!(rows[0].busy_since, Some(clock.now() - TimeDelta::seconds(5)));
        assert_eq!(rows[0].taken_from, Some(clock.now() - TimeDelta::seconds(12)));
        one.batch_ended(10, 0);
        clock.advance(TimeDelta::seconds(5));
        assert_eq!(
            (heartbeat.rows(clock.now())[0].done, heartbeat.rows(clock.now())[0].per_minute),
            (10, 10)
        );
        clock.advance(TimeDelta::seconds(90));
        assert_eq!(heartbeat.rows(clock.now())[0].per_minute, 0);
    }

    #[test]
    fn reports_an_open_circuit_since_its_first_fault() {
        let (heartbeat, clock) = heartbeat();
        let stats = heartbeat.stats("dispatch", Lane::Live);
        let began = clock.now();
        stats.circuit_opened(&Fault::new(Reason::MailUnavailable, "refused"), Duration::from_secs(1));
        clock.advance(TimeDelta::seconds(1));
        stats.circuit_opened(&Fault::new(Reason::MailUnavailable, "refused"), Duration::from_secs(2));
        let row = heartbeat.rows(clock.now()).remove(0);
        assert_eq!((row.fault_code.as_deref(), row.open_since), (Some("mail.unavailable"), Some(began)));
        assert_eq!(row.next_probe, Some(clock.now() + TimeDelta::seconds(2)));
        stats.circuit_closed();
        assert_eq!(heartbeat.rows(clock.now())[0].fault_code, None);
        stats.circuit_opened(&Fault::new(Reason::MailUnavailable, "refused"), Duration::from_secs(1));
        stats.set_consuming(false);
        assert_eq!(heartbeat.rows(clock.now())[0].fault_code.as_deref(), Some("mail.unavailable"));
        stats.set_consuming(true);
        assert_eq!(heartbeat.rows(clock.now())[0].fault_code, None, "it consumes again");
    }

    #[test]
    fn counts_waiting_messages_until_they_are_due() {
        let (heartbeat, clock) = heartbeat();
        let stats = heartbeat.stats("issue", Lane::Live);
        for delay in [RetryDelay::S3, RetryDelay::S3, RetryDelay::M2] {
            stats.retry_scheduled(delay);
        }
        let waiting = Waiting::parse(&heartbeat.rows(clock.now())[0].waiting);
        assert_eq!(waiting.at(clock.now()), BTreeMap::from([(RetryDelay::S3, 2), (RetryDelay::M2, 1)]));
        clock.advance(TimeDelta::seconds(10));
        assert_eq!(waiting.at(clock.now()), BTreeMap::from([(RetryDelay::M2, 1)]));
    }

    #[test]
    fn removes_due_messages_before_longer_delays() {
        let (heartbeat, clock) = heartbeat();
        let stats = heartbeat.stats("issue", Lane::Live);
        stats.retry_scheduled(RetryDelay::M60);
        for _ in 0..100 {
            stats.retry_scheduled(RetryDelay::S3);
            stats.retry_scheduled(RetryDelay::S3);
            clock.advance(TimeDelta::seconds(10));
        }
        assert_eq!(stats.lock().waiting.len(), 2);
        let waiting = Waiting::parse(&heartbeat.rows(clock.now())[0].waiting);
        assert_eq!(waiting.at(clock.now()), BTreeMap::from([(RetryDelay::M60, 1)]));
    }
}

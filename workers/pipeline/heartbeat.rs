//! What a worker process tells the database about itself every two seconds, and what it learns there: which stages are paused.
//!
//! Operators ask from other hosts, at commands that end at once, so what a runner knows must be where they can read it: the
//! tables `worker` and `worker_stage`. It is a report, and nothing waits for it: a process that cannot reach the database goes on,
//! keeps to what it learnt last, and is missing from the list. RabbitMQ's own figures were not enough: without plugins it tells
//! nothing but the messages ready and the consumers of a queue.
//!
//! Each runner has a [`ConsumerStats`], which it alone writes. Nothing here is on the way of a message: a gauge is a lock that is free, and
//! a few numbers.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{NaiveDateTime, TimeDelta};
use hosho_schema::{
    db::{DbError, Pool},
    ids,
    models::{
        stage_control,
        worker::{self, Worker, WorkerStage},
    },
};
use tokio::sync::watch;
use tracing::{debug, info};

use crate::{
    audit,
    broker::{Lane, RetryDelay},
    clock::Clock,
    fault::Fault,
};

/// Pause between two signs of life.
const BEAT: Duration = Duration::from_secs(2);

/// A process that gave no sign of life for so long is not there any more, for [`Heartbeat`]'s readers; its rows go after a day.
pub const GONE_AFTER: TimeDelta = TimeDelta::seconds(20);

/// The name of a lane in the tables.
pub const fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Live => "live",
        Lane::Bulk => "bulk",
    }
}

/// Why a stage waits.
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
    /// How many were sent to wait, by the second they are due and their rung.
    waiting: BTreeMap<(i64, RetryDelay), u64>,
}

/// What one runner tells. Clones are the same gauge.
#[derive(Clone)]
pub struct ConsumerStats {
    readings: Arc<Mutex<Readings>>,
    clock: Clock,
}

impl ConsumerStats {
    fn lock(&self) -> MutexGuard<'_, Readings> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A consumer was opened or closed. Whoever consumes waits for nothing.
    pub fn consumes(&self, consumes: bool) {
        let mut readings = self.lock();
        readings.consumes = consumes;
        readings.held = 0;
        readings.busy_since = None;
        if consumes {
            readings.open = None;
        }
    }

    /// A batch was taken; `held` deliveries are in hand, the first of it was published at `taken_from`.
    pub fn began(&self, held: usize, taken_from: Option<NaiveDateTime>) {
        let now = self.clock.now();
        let mut readings = self.lock();
        readings.held = held;
        readings.busy_since = Some(now);
        readings.taken_from = taken_from;
    }

    /// A batch of `count` messages is done.
    pub fn ended(&self, count: usize, held: usize) {
        let mut readings = self.lock();
        readings.done += count as u64;
        readings.held = held;
        readings.busy_since = None;
        readings.open = None;
    }

    /// Something the stage needs is down; it looks again after `wait`.
    pub fn opened(&self, fault: &Fault, wait: Duration) {
        let now = self.clock.now();
        let mut readings = self.lock();
        let since = readings.open.as_ref().map_or(now, |open| open.since);
        let next_probe = now + TimeDelta::from_std(wait).unwrap_or_default();
        readings.open = Some(Open { code: fault.reason.code(), text: fault.text.clone(), since, next_probe });
    }

    /// It is there again.
    pub fn closed(&self) {
        self.lock().open = None;
    }

    /// A message was sent to wait for its next attempt.
    pub fn waits(&self, rung: RetryDelay) {
        let now = self.clock.now().and_utc().timestamp();
        let mut readings = self.lock();
        readings.waiting = readings.waiting.split_off(&(now, RetryDelay::S1));
        // To a twentieth of the delay: an hour's worth of them stays a short list.
        let delay = i64::try_from(rung.delay().as_secs()).unwrap_or(0);
        let grain = (delay / 20).max(1);
        *readings.waiting.entry(((now + delay) / grain * grain, rung)).or_default() += 1;
    }
}

/// What a process tells and learns. Clones share it.
#[derive(Clone)]
pub struct Heartbeat {
    inner: Arc<Inner>,
}

type Gauges = Vec<((&'static str, Lane), ConsumerStats)>;

/// Messages worked off since the process began, by stage and lane.
type Totals = BTreeMap<(&'static str, &'static str), u64>;

struct Inner {
    clock: Clock,
    process: Worker,
    gauges: Mutex<Gauges>,
    /// Totals of the last minute.
    past: Mutex<VecDeque<(NaiveDateTime, Totals)>>,
    paused: watch::Sender<BTreeSet<String>>,
}

impl Heartbeat {
    /// A process that begins now, with nothing paused.
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
            gauges: Mutex::default(),
            past: Mutex::default(),
            paused: watch::Sender::new(BTreeSet::new()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Our identifier of the process.
    pub fn id(&self) -> &str {
        &self.inner.process.id
    }

    /// A gauge for one more runner of a stage.
    pub fn gauge(&self, stage: &'static str, lane: Lane) -> ConsumerStats {
        let gauge = ConsumerStats { readings: Arc::default(), clock: self.inner.clock.clone() };
        self.inner.gauges.lock().unwrap_or_else(PoisonError::into_inner).push(((stage, lane), gauge.clone()));
        gauge
    }

    /// The stages that are paused, as far as this process has learnt.
    pub fn paused(&self) -> watch::Receiver<BTreeSet<String>> {
        self.inner.paused.subscribe()
    }

    /// Learns which stages are paused. Before the first message is taken, so that a restart obeys too.
    pub fn learn(&self, pool: &Pool) -> Result<(), DbError> {
        let controls = stage_control::all(&mut pool.get()?)?;
        let now: BTreeSet<String> =
            controls.into_iter().filter(|control| control.paused).map(|control| control.stage).collect();
        self.inner.paused.send_if_modified(|before| {
            let changed = *before != now;
            if changed {
                info!(
                    stages.paused = now.iter().cloned().collect::<Vec<_>>().join(" "),
                    "Operators changed which stages are paused"
                );
                *before = now;
            }
            changed
        });
        Ok(())
    }

    /// Gives one sign of life.
    pub fn beat(&self, pool: &Pool) -> Result<(), DbError> {
        let now = self.inner.clock.now();
        let process = Worker { seen_at: now, ..self.inner.process.clone() };
        worker::heartbeat(&mut pool.get()?, &process, &self.rows(now), now - TimeDelta::days(1))
    }

    /// Tells and learns every two seconds, until the process is asked to stop; then it leaves the list.
    pub async fn run(self, pool: Pool, mut stop: watch::Receiver<bool>) {
        let on_thread = async |work: fn(&Self, &Pool) -> Result<(), DbError>| {
            let (pulse, pool) = (self.clone(), pool.clone());
            let done = tokio::task::spawn_blocking(move || work(&pulse, &pool)).await;
            if let Ok(Err(error)) = done {
                debug!(
                    error = crate::fault::chain(&error),
                    "No sign of life: the database cannot be reached"
                );
            }
        };
        loop {
            on_thread(|pulse, pool| pulse.learn(pool).and_then(|()| pulse.beat(pool))).await;
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = tokio::time::sleep(BEAT) => {}
            }
        }
        on_thread(|pulse, pool| worker::remove(&mut pool.get()?, pulse.id())).await;
    }

    fn rows(&self, now: NaiveDateTime) -> Vec<WorkerStage> {
        let gauges = self.inner.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows: BTreeMap<(&'static str, &'static str), WorkerStage> = BTreeMap::new();
        let mut waiting: BTreeMap<(&'static str, &'static str), Waiting> = BTreeMap::new();
        for ((stage, lane), gauge) in gauges.iter() {
            let (key, readings) = ((*stage, lane_name(*lane)), gauge.lock());
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
            for ((due, rung), count) in &readings.waiting {
                *waiting.entry(key).or_default().0.entry((*rung, *due)).or_default() += count;
            }
        }
        drop(gauges);
        for (key, waiting) in waiting {
            if let Some(row) = rows.get_mut(&key) {
                row.waiting = waiting.to_json();
            }
        }
        self.add_rates(now, &mut rows);
        rows.into_values().collect()
    }

    /// Messages of the last minute: what is done now less what was done then.
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

/// Messages sent to wait: by rung and by the second (since 1970) they are due, how many. RabbitMQ has one queue per rung for all
/// stages, and cannot tell them apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting(pub BTreeMap<(RetryDelay, i64), u64>);

impl Waiting {
    fn to_json(&self) -> String {
        let entries: Vec<_> = self.0.iter().map(|((rung, due), count)| (rung.name(), *due, *count)).collect();
        serde_json::to_string(&entries).unwrap_or_else(|_| "[]".to_owned())
    }

    /// What [`WorkerStage::waiting`] tells.
    pub fn parse(json: &str) -> Self {
        let entries: Vec<(String, i64, u64)> = serde_json::from_str(json).unwrap_or_default();
        let rung = |name: &str| RetryDelay::ALL.into_iter().find(|rung| rung.name() == name);
        Self(
            entries.into_iter().filter_map(|(name, due, count)| Some(((rung(&name)?, due), count))).collect(),
        )
    }

    /// How many still wait at a moment, by rung.
    pub fn at(&self, now: NaiveDateTime) -> BTreeMap<RetryDelay, u64> {
        let now = now.and_utc().timestamp();
        let mut counts = BTreeMap::new();
        for ((rung, due), count) in &self.0 {
            if *due > now {
                *counts.entry(*rung).or_default() += count;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Reason;

    fn pulse() -> (Heartbeat, Clock) {
        let clock = Clock::fixed("2026-12-01T00:00:00".parse().unwrap());
        (Heartbeat::new(&clock), clock)
    }

    #[test]
    fn gauges_of_one_lane_are_added_up() {
        let (pulse, clock) = pulse();
        let (one, two) = (pulse.gauge("issue", Lane::Live), pulse.gauge("issue", Lane::Live));
        one.consumes(true);
        two.consumes(true);
        one.began(10, Some(clock.now() - TimeDelta::seconds(7)));
        clock.advance(TimeDelta::seconds(5));
        two.began(3, None);
        let rows = pulse.rows(clock.now());
        assert_eq!((rows.len(), rows[0].consumers, rows[0].held, rows[0].done), (1, 2, 13, 0));
        assert_eq!(rows[0].busy_since, Some(clock.now() - TimeDelta::seconds(5)));
        assert_eq!(rows[0].taken_from, Some(clock.now() - TimeDelta::seconds(12)));
        one.ended(10, 0);
        clock.advance(TimeDelta::seconds(5));
        assert_eq!((pulse.rows(clock.now())[0].done, pulse.rows(clock.now())[0].per_minute), (10, 10));
        clock.advance(TimeDelta::seconds(90));
        assert_eq!(pulse.rows(clock.now())[0].per_minute, 0);
    }

    #[test]
    fn why_a_stage_waits_is_told_from_when_it_began() {
        let (pulse, clock) = pulse();
        let gauge = pulse.gauge("dispatch", Lane::Live);
        let began = clock.now();
        gauge.opened(&Fault::new(Reason::MailUnavailable, "refused"), Duration::from_secs(1));
        clock.advance(TimeDelta::seconds(1));
        gauge.opened(&Fault::new(Reason::MailUnavailable, "refused"), Duration::from_secs(2));
        let row = pulse.rows(clock.now()).remove(0);
        assert_eq!((row.fault_code.as_deref(), row.open_since), (Some("mail.unavailable"), Some(began)));
        assert_eq!(row.next_probe, Some(clock.now() + TimeDelta::seconds(2)));
        gauge.closed();
        assert_eq!(pulse.rows(clock.now())[0].fault_code, None);
        gauge.opened(&Fault::new(Reason::MailUnavailable, "refused"), Duration::from_secs(1));
        gauge.consumes(false);
        assert_eq!(pulse.rows(clock.now())[0].fault_code.as_deref(), Some("mail.unavailable"));
        gauge.consumes(true);
        assert_eq!(pulse.rows(clock.now())[0].fault_code, None, "it consumes again");
    }

    #[test]
    fn what_waits_is_counted_until_it_is_due() {
        let (pulse, clock) = pulse();
        let gauge = pulse.gauge("issue", Lane::Live);
        for rung in [RetryDelay::S3, RetryDelay::S3, RetryDelay::M2] {
            gauge.waits(rung);
        }
        let waiting = Waiting::parse(&pulse.rows(clock.now())[0].waiting);
        assert_eq!(waiting.at(clock.now()), BTreeMap::from([(RetryDelay::S3, 2), (RetryDelay::M2, 1)]));
        clock.advance(TimeDelta::seconds(10));
        assert_eq!(waiting.at(clock.now()), BTreeMap::from([(RetryDelay::M2, 1)]));
    }

    #[test]
    fn what_is_due_is_forgotten_whatever_waits_for_longer() {
        let (pulse, clock) = pulse();
        let gauge = pulse.gauge("issue", Lane::Live);
        gauge.waits(RetryDelay::M60);
        for _ in 0..100 {
            gauge.waits(RetryDelay::S3);
            gauge.waits(RetryDelay::S3);
            clock.advance(TimeDelta::seconds(10));
        }
        assert_eq!(gauge.lock().waiting.len(), 2);
        let waiting = Waiting::parse(&pulse.rows(clock.now())[0].waiting);
        assert_eq!(waiting.at(clock.now()), BTreeMap::from([(RetryDelay::M60, 1)]));
    }
}

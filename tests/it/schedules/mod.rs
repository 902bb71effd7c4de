//! Thousands of schedules of the pipeline, with random deliveries and failures.
//!
//! The drills in `crashes/` use real servers and hit few moments, by chance. The schedules use the real
//! runners, stages, ingesters, SQLite and folders with a broker of the test ([`faulty_broker`]). It delivers
//! in any order, late and twice. It kills, disconnects or stops the process before a batch, before, during
//! and after its publication, and before its acknowledgement. The expected result is computed from the
//! documents alone ([`model`]).
//!
//! Each schedule has its own seed. `HOSHO_DRILL_SCHEDULES` is their number. The first seed is printed; the
//! seed of a failed schedule repeats it alone. A broker cannot cause crashes between an effect outside the
//! database and its row; the drills cover them.

mod assertions;
mod faulty_broker;
mod model;
mod senders;

use std::{
    num::NonZero,
    panic::{AssertUnwindSafe, resume_unwind},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};
use futures_util::FutureExt as _;
use hosho::{
    app::App,
    broker::{Broker, Lane, Source},
    clock::Clock,
    config::Config,
    dead_letters::Ingester,
    pipeline::{
        heartbeat::Heartbeat,
        runner::{Runner, Settings},
    },
    stages::{self, NAMES},
};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use self::{
    assertions::Totals,
    faulty_broker::{BATCH, FaultyBroker, Record},
};
use crate::crashes::{applications::Dice, seed, setting};

/// Longest time of a round, and of a stop.
const LIMIT: Duration = Duration::from_mins(1);

/// Rounds printed of a failed schedule.
const PRINTED: usize = 60;

/// The time at which every schedule begins.
fn beginning() -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2026, 12, 1).unwrap().and_hms_opt(3, 0, 0).unwrap()
}

/// The stores and settings of the pipeline, for all schedules of a thread.
struct System {
    folder: tempfile::TempDir,
    config: Config,
    app: App,
    totals: Totals,
}

impl System {
    async fn new() -> Self {
        // In memory if possible: no test here cuts the power, and writing to disk would take most of the
        // time.
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let overrides = [
            ("database.url", format!("sqlite:{}", path("hosho.sqlite"))),
            ("documents.url", format!("file:{}", path("documents"))),
            ("keys.file", path("hosho.keys")),
            ("keys.create", true.to_string()),
            ("mail.transport", "folder".to_owned()),
            ("mail.folder", path("mail")),
        ];
        let config = Config::load(None, &overrides.map(|(key, value)| (key, Some(value)))).unwrap();
        let mut app = App::open(&config, CancellationToken::new()).unwrap();
        app.clock = Clock::fixed(beginning());
        app.mail_delivery.clock = app.clock.clone();
        app.migrate().await.unwrap();
        Self { folder, config, app, totals: Totals::default() }
    }

    /// Starts the tasks of `hosho work` without scheduled runs.
    fn start(&mut self, broker: &FaultyBroker) -> JoinSet<()> {
        let stop = broker.begin();
        self.app.mail_delivery.stop = stop.clone();
        let app = &self.app;
        let runner = Runner {
            broker: Arc::new(broker.clone()),
            db: app.db.clone(),
            clock: app.clock.clone(),
            settings: Settings {
                batch: u16::try_from(BATCH).unwrap(),
                max_message_bytes: self.config.work.max_message_bytes,
                retry_delays: self.config.retry_delays(),
                hold: Duration::from_secs(self.config.work.hold_seconds),
            },
            stop: stop.clone(),
            heartbeat: Heartbeat::new(&app.clock),
            probe: app.probe(),
            priority: hosho::pipeline::priority::Priority::default(),
        };
        let mut tasks = JoinSet::new();
        for name in NAMES {
            assert!(stages::start(name, app, &runner, &[Lane::Live, Lane::Bulk], 1, &mut tasks));
        }
        let broker: Arc<dyn Broker> = Arc::new(broker.clone());
        for source in [Source::Dead, Source::Unrouted] {
            let (db, clock) = (app.db.clone(), app.clock.clone());
            tasks.spawn(Ingester { broker: Arc::clone(&broker), db, clock, stop: stop.clone() }.run(source));
        }
        tasks
    }

    /// Runs one schedule and compares its results with the model.
    async fn run(&mut self, broker: &FaultyBroker, mut dice: Dice, seed: u64) -> Record {
        let clock = self.app.clock.clone();
        clock.advance(beginning() - clock.now());
        let sent = senders::send(broker, &mut dice, seed);
        let mut process = self.start(broker);
        while broker.grant() {
            clock.advance(TimeDelta::seconds(1));
            let can_continue = timeout(LIMIT, broker.over()).await.expect("the batch ends in time");
            if !can_continue {
                end(process, broker).await;
                process = self.start(broker);
            }
        }
        process.shutdown().await;
        let record = broker.record();
        let source = senders::source(seed);
        self.totals.check(&self.app, self.folder.path(), &source, &sent, &record);
        record
    }
}

/// Waits for a process that received a stop; kills any other.
async fn end(mut process: JoinSet<()>, broker: &FaultyBroker) {
    if broker.has_stopped() {
        let all = async { while process.join_next().await.is_some() {} };
        timeout(LIMIT, all).await.expect("the process stops in time");
    } else {
        process.shutdown().await;
    }
}

/// Schedules, batches, failures, copies.
type Counts = [usize; 4];

/// Runs every `threads`-th schedule; the first failed one ends all threads.
async fn work(first: u64, thread: u64, threads: u64, count: u64, failed: &AtomicBool) -> Counts {
    let mut system = System::new().await;
    let mut counts = [0; 4];
    for number in (thread..count).step_by(usize::try_from(threads).unwrap()) {
        if failed.load(Ordering::Relaxed) {
            break;
        }
        let seed = first.wrapping_add(number);
        let mut dice = Dice::new(seed);
        let broker = FaultyBroker::new(Dice::new(dice.roll()));
        match AssertUnwindSafe(system.run(&broker, dice, seed)).catch_unwind().await {
            Ok(record) => counts
                .iter_mut()
                .zip([1].into_iter().chain(record.counts))
                .for_each(|(sum, count)| *sum += count),
            Err(panic) => {
                failed.store(true, Ordering::Relaxed);
                let problem = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref().copied());
                let log = broker.record().log;
                panic!(
                    "schedule {} of {count} failed; HOSHO_DRILL_SEED={seed} HOSHO_DRILL_SCHEDULES=1 repeats it alone\n{}\n{}",
                    number + 1,
                    problem.unwrap_or("the reason is printed above"),
                    log[log.len().saturating_sub(PRINTED)..].join("\n")
                );
            }
        }
    }
    counts
}

#[test]
fn loses_and_doubles_nothing_in_random_schedules() {
    let first = seed();
    let count: u64 = setting("SCHEDULES").unwrap_or(200);
    let began = Instant::now();
    let failed = AtomicBool::new(false);
    let threads = std::thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(usize::try_from(count).unwrap()) as u64;
    let counts: Vec<Counts> = std::thread::scope(|scope| {
        let one = |thread| {
            let failed = &failed;
            // With one thread per runtime the seed determines the order.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            scope.spawn(move || runtime.block_on(work(first, thread, threads, count, failed)))
        };
        let all: Vec<_> = (0..threads).map(one).collect();
        all.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let [schedules, batches, failures, copies] =
        counts.iter().fold([0; 4], |sum, more| std::array::from_fn(|at| sum[at] + more[at]));
    let seconds = began.elapsed().as_secs_f64();
    eprintln!(
        "{schedules} schedules, {batches} batches, {failures} failures, {copies} copies: {seconds:.1} s"
    );
    assert_eq!(schedules as u64, count);
}

//! Thousands of schedules: the whole pipeline under every order of events that a broker and dying processes may bring about.
//!
//! What the drills (`kills.rs`) do with real servers a few times, at moments that hit by chance, is done here at each of the moments
//! that matter, and often: the real runners, stages, ingesters, SQLite and folders, over a broker of the test that delivers in any order,
//! late and twice, and lets the process die, break off or stop before a batch is begun, before, amid and after its publication, and
//! before its acknowledgement ([`chaos`]). What must be there afterwards is worked out from the documents alone ([`model`]).
//!
//! Each schedule has a seed of its own. `HOSHO_DRILL_SCHEDULES` says how many there are; the seed of the first is printed, and that of a
//! schedule that fails repeats it alone. Crashes between an effect outside the database and its row are not among them: a broker cannot
//! see those moments, the drills hit them.

mod assertions;
mod chaos;
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
    assertions::Books,
    chaos::{BATCH, Chaos, Record},
};
use crate::crashes::{applications::Dice, seed, setting};

/// How long one turn may take, or the end of a process.
const LIMIT: Duration = Duration::from_mins(1);

/// Turns told of a schedule that failed.
const TOLD: usize = 60;

/// When every schedule begins.
fn beginning() -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2026, 12, 1).unwrap().and_hms_opt(3, 0, 0).unwrap()
}

/// Where the pipeline works, for all schedules.
struct Premises {
    folder: tempfile::TempDir,
    config: Config,
    services: App,
    books: Books,
}

impl Premises {
    async fn new() -> Self {
        // In memory where that can be: nothing here depends on what survives a power cut, and waiting for disks would take most of
        // the time.
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
        let config = Config::load(None, &overrides).unwrap();
        let mut services = App::open(&config, CancellationToken::new()).unwrap();
        services.clock = Clock::fixed(beginning());
        services.mail_delivery.clock = services.clock.clone();
        services.migrate().await.unwrap();
        Self { folder, config, services, books: Books::default() }
    }

    /// Starts everything that `hosho work` starts, but for its schedule.
    fn start(&mut self, broker: &Chaos) -> JoinSet<()> {
        let stop = broker.begin();
        self.services.mail_delivery.stop = stop.clone();
        let services = &self.services;
        let runner = Runner {
            broker: Arc::new(broker.clone()),
            pool: services.pool.clone(),
            clock: services.clock.clone(),
            settings: Settings {
                batch: u16::try_from(BATCH).unwrap(),
                max_message_bytes: self.config.work.max_message_bytes,
                rungs: self.config.retry_delays(),
                hold: Duration::from_secs(self.config.work.hold_seconds),
            },
            stop: stop.clone(),
            heartbeat: Heartbeat::new(&services.clock),
            probe: services.probe(),
            priority: hosho::pipeline::priority::Priority::default(),
        };
        let mut tasks = JoinSet::new();
        for name in NAMES {
            assert!(stages::start(name, services, &runner, &[Lane::Live, Lane::Bulk], 1, &mut tasks));
        }
        let broker: Arc<dyn Broker> = Arc::new(broker.clone());
        for source in [Source::Dead, Source::Unrouted] {
            let (pool, clock) = (services.pool.clone(), services.clock.clone());
            tasks
                .spawn(Ingester { broker: Arc::clone(&broker), pool, clock, stop: stop.clone() }.run(source));
        }
        tasks
    }

    /// Runs one schedule and compares what it left behind with the model.
    async fn run(&mut self, broker: &Chaos, mut dice: Dice, seed: u64) -> Record {
        let clock = self.services.clock.clone();
        clock.advance(beginning() - clock.now());
        let sent = senders::send(broker, &mut dice, seed);
        let mut process = self.start(broker);
        while broker.grant() {
            clock.advance(TimeDelta::seconds(1));
            let well = timeout(LIMIT, broker.over()).await.expect("a batch is worked off");
            if !well {
                end(process, broker).await;
                process = self.start(broker);
            }
        }
        process.shutdown().await;
        let record = broker.record();
        let source = senders::source(seed);
        self.books.balance(&self.services, self.folder.path(), &source, &sent, &record);
        record
    }
}

/// Waits for a process that was asked to stop; any other is dead.
async fn end(mut process: JoinSet<()>, broker: &Chaos) {
    if broker.has_asked_to_stop() {
        let all = async { while process.join_next().await.is_some() {} };
        timeout(LIMIT, all).await.expect("a process that is asked to stop ends");
    } else {
        process.shutdown().await;
    }
}

/// What a hand has worked off: schedules, batches, mishaps, copies.
type Figures = [usize; 4];

/// Runs every `hands`-th schedule on premises of its own; the first that fails ends all.
async fn work(first: u64, hand: u64, hands: u64, count: u64, failed: &AtomicBool) -> Figures {
    let mut premises = Premises::new().await;
    let mut figures = [0; 4];
    for number in (hand..count).step_by(usize::try_from(hands).unwrap()) {
        if failed.load(Ordering::Relaxed) {
            break;
        }
        let seed = first.wrapping_add(number);
        let mut dice = Dice::new(seed);
        let broker = Chaos::new(Dice::new(dice.roll()));
        match AssertUnwindSafe(premises.run(&broker, dice, seed)).catch_unwind().await {
            Ok(record) => figures
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
                    problem.unwrap_or("the reason stands above"),
                    log[log.len().saturating_sub(TOLD)..].join("\n")
                );
            }
        }
    }
    figures
}

#[test]
fn no_order_of_events_loses_or_doubles_anything() {
    let first = seed();
    let count: u64 = setting("SCHEDULES").unwrap_or(300);
    let began = Instant::now();
    let failed = AtomicBool::new(false);
    let hands = std::thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(usize::try_from(count).unwrap()) as u64;
    let figures: Vec<Figures> = std::thread::scope(|scope| {
        let one = |hand| {
            let failed = &failed;
            // Of one thread, so that the dice alone decide what comes first.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            scope.spawn(move || runtime.block_on(work(first, hand, hands, count, failed)))
        };
        let all: Vec<_> = (0..hands).map(one).collect();
        all.into_iter().map(|hand| hand.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let [schedules, batches, mishaps, copies] =
        figures.iter().fold([0; 4], |sum, more| std::array::from_fn(|at| sum[at] + more[at]));
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("{schedules} schedules, {batches} batches, {mishaps} mishaps, {copies} copies: {seconds:.1} s");
    assert_eq!(schedules as u64, count);
}

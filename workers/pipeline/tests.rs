//! The runner over the in-process queue, with a stage that does as its message says.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use chrono::{NaiveDateTime, TimeDelta};
use futures_util::future::BoxFuture;
use hosho_schema::{
    db::{Connection, Pool},
    models::{
        stage_control::{self, StageControl},
        worker,
    },
};

use tokio_util::sync::CancellationToken;

use super::{
    heartbeat::Heartbeat,
    runner::{Runner, Settings, probe_backoff},
    stage::{Item, Stage, Verdict},
};
use crate::{
    broker::{
        Broker, BrokerError, Consumer, Delivery, Depth, Destination, Envelope, History, Lane, Outgoing,
        Publisher, RetryDelay, Source, memory::Memory,
    },
    clock::Clock,
    fault::{Fault, Reason},
    permit::Permit,
};

/// What the stage has recorded, and how often each step was run.
#[derive(Default)]
struct Puppet {
    recorded: Mutex<Vec<String>>,
    records: AtomicU32,
    acts: AtomicU32,
    outages: AtomicU32,
}

impl Stage for Puppet {
    const NAME: &'static str = "puppet";
    type Job = String;
    type Facts = ();
    type Outcome = String;

    fn decode(&self, payload: &[u8]) -> Result<String, Fault> {
        String::from_utf8(payload.to_vec()).map_err(|_| Fault::new(Reason::Undecodable, "not text"))
    }

    fn load(&self, _: &mut Connection, items: &[&Item<String>]) -> Result<Vec<Result<(), Fault>>, Fault> {
        Ok(items
            .iter()
            .map(|item| {
                if item.job == "missing" {
                    Err(Fault::new(Reason::ReferenceMissing, "no such row"))
                } else {
                    Ok(())
                }
            })
            .collect())
    }

    fn decide(&self, item: &Item<String>, (): ()) -> Result<String, Fault> {
        assert!(item.job != "panic", "as asked: taro@example.com");
        Ok(item.job.clone())
    }

    async fn act(&self, outcomes: Vec<String>, permit: &Permit) -> Vec<Result<String, Fault>> {
        let act = |outcome: String| match outcome.as_str() {
            "deferred" => Err(Fault::new(Reason::MailDeferred, "450 later")),
            "outage for ever" => Err(Fault::new(Reason::MailUnavailable, "452 no space")),
            "outage" if self.outages.fetch_add(1, Ordering::SeqCst) < 1 => {
                Err(Fault::new(Reason::MailUnavailable, "connection refused"))
            }
            _ => Ok(outcome),
        };
        self.acts.fetch_add(1, Ordering::SeqCst);
        while outcomes.iter().any(|outcome| outcome == "as long as it may") {
            if let Err(fault) = permit.check() {
                return outcomes.into_iter().map(|_| Err(fault.clone())).collect();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        outcomes.into_iter().map(act).collect()
    }

    fn must_record(&self, outcome: &String) -> bool {
        outcome == "precious"
    }

    fn record(&self, _: &mut Connection, items: &[(&Item<String>, String)]) -> Result<Vec<Verdict>, Fault> {
        let before = self.records.fetch_add(1, Ordering::SeqCst);
        let locked = |job: &str| job == "locked" || job == "precious" && before < 6;
        if items.iter().any(|(item, _)| locked(&item.job)) {
            return Err(Fault::new(Reason::DatabaseContention, "lock timeout"));
        }
        if items.iter().any(|(item, _)| item.job == "away for ever") {
            return Err(Fault::new(Reason::DatabaseUnavailable, "connection refused"));
        }
        assert!(!items.iter().any(|(item, _)| item.job == "bad panic"), "as asked");
        let away = items.iter().find_map(|(item, _)| match item.job.as_str() {
            "database away" => Some(Reason::DatabaseUnavailable),
            "contended" => Some(Reason::DatabaseContention),
            _ => None,
        });
        if let Some(reason) = away.filter(|_| before == 0) {
            return Err(Fault::new(reason, "not now"));
        }
        if items.iter().any(|(item, _)| item.job == "bad row") {
            return Err(Fault::new(Reason::DatabaseRefused, "a constraint"));
        }
        let mut recorded = self.recorded.lock().unwrap();
        Ok(items
            .iter()
            .map(|(item, _)| {
                recorded.push(item.job.clone());
                Verdict::done(vec![message(Destination::Event("puppet.done"), &item.job)])
            })
            .collect())
    }
}

struct Theatre {
    broker: Memory,
    puppet: Arc<Puppet>,
    stop: CancellationToken,
    pool: Pool,
    heartbeat: Heartbeat,
    running: tokio::task::JoinHandle<()>,
    events: Box<dyn Consumer>,
    dead: Box<dyn Consumer>,
    _folder: tempfile::TempDir,
}

fn message(destination: Destination, body: &str) -> Outgoing {
    let envelope = Envelope {
        message_id: Some(body.to_owned()),
        message_type: None,
        correlation_id: None,
        traceparent: None,
        history: History::default(),
        payload: body.as_bytes().to_vec(),
    };
    Outgoing { destination, envelope }
}

impl Theatre {
    /// Publishes the bodies first, so that they make one batch, and then starts the runner.
    async fn open(bodies: &[&[u8]]) -> Self {
        Self::open_on(bodies, Duration::from_mins(1), |memory| Arc::new(memory)).await
    }

    async fn open_on(
        bodies: &[&[u8]],
        hold: Duration,
        queue: impl FnOnce(Memory) -> Arc<dyn Broker>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = Memory::new(&[Puppet::NAME]);
        let stop = CancellationToken::new();
        let (events, dead) = (
            broker.consume(Source::Events, 100).await.unwrap(),
            broker.consume(Source::Dead, 100).await.unwrap(),
        );
        let work = bodies.iter().map(|body| {
            let mut outgoing =
                message(Destination::Stage(Puppet::NAME, Lane::Live), &String::from_utf8_lossy(body));
            outgoing.envelope.payload = body.to_vec();
            outgoing
        });
        broker.publisher().await.unwrap().publish(work.collect()).await.unwrap();
        let clock = Clock::system();
        let pool =
            Pool::open(&format!("sqlite:{}", folder.path().join("hosho.sqlite").display()), 1).unwrap();
        hosho_schema::db::migrate(&mut pool.get().unwrap()).unwrap();
        let heartbeat = Heartbeat::new(&clock);
        let runner = Runner {
            broker: queue(broker.clone()),
            pool: pool.clone(),
            heartbeat: heartbeat.clone(),
            clock,
            settings: Settings { batch: 100, max_message_bytes: 1_000, rungs: vec![RetryDelay::S1], hold },
            stop: stop.clone(),
            probe: Arc::new(|_| Box::pin(std::future::ready(Ok(())))),
            priority: super::priority::Priority::default(),
        };
        let puppet = Arc::new(Puppet::default());
        let running = tokio::spawn(runner.run(Arc::clone(&puppet), Lane::Live));
        Self { broker, puppet, stop, pool, heartbeat, running, events, dead, _folder: folder }
    }

    async fn letters(&mut self, count: usize) -> Vec<Delivery> {
        take(self.dead.as_mut(), count).await
    }

    async fn done(&mut self, count: usize) -> Vec<String> {
        take(self.events.as_mut(), count)
            .await
            .into_iter()
            .map(|event| String::from_utf8(event.envelope.payload).unwrap())
            .collect()
    }

    /// Pauses the stage, as an operator does.
    fn pause(&self) {
        let control = StageControl {
            stage: Puppet::NAME.to_owned(),
            paused: true,
            reason: "a test".to_owned(),
            actor: "hanako".to_owned(),
            changed_at: NaiveDateTime::default(),
        };
        stage_control::set(&mut self.pool.get().unwrap(), &control).unwrap();
        self.heartbeat.refresh_paused(&self.pool).unwrap();
    }

    /// What is ready to be taken.
    async fn ready(&self) -> u64 {
        self.broker
            .depths()
            .await
            .unwrap()
            .iter()
            .filter(|depth| depth.queue.contains("stage"))
            .map(|depth| depth.ready)
            .sum()
    }

    /// Waits until so much is ready.
    async fn until_ready(&self, count: u64) {
        let looking = async {
            while self.ready().await != count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), looking).await.expect("given back");
    }

    /// Waits until something is so.
    async fn until(&self, is_so: impl Fn() -> bool) {
        let looking = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), looking).await.expect("in time");
    }

    /// Waits until the stage has begun to do something.
    async fn until_begun(&self, what: &AtomicU32) {
        self.until(|| what.load(Ordering::SeqCst) > 0).await;
    }

    /// Asks the runner to stop, and returns what it gave back.
    async fn close(self) -> u64 {
        self.stop.cancel();
        let Self { running, broker, .. } = self;
        tokio::time::timeout(Duration::from_secs(20), running).await.expect("the runner stops").unwrap();
        broker
            .depths()
            .await
            .unwrap()
            .iter()
            .filter(|depth| depth.queue.contains("stage"))
            .map(|depth| depth.ready)
            .sum()
    }
}

/// A queue that confirms nothing that is published by the runner.
#[derive(Debug)]
struct Silent(Memory);

impl Broker for Silent {
    fn consume(
        &self,
        source: Source,
        prefetch: u16,
    ) -> BoxFuture<'_, Result<Box<dyn Consumer>, BrokerError>> {
        self.0.consume(source, prefetch)
    }

    fn publisher(&self) -> BoxFuture<'_, Result<Box<dyn Publisher>, BrokerError>> {
        Box::pin(async { Ok(Box::new(Self(self.0.clone())) as Box<dyn Publisher>) })
    }

    fn depths(&self) -> BoxFuture<'_, Result<Vec<Depth>, BrokerError>> {
        self.0.depths()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.0.close()
    }
}

impl Publisher for Silent {
    fn publish(&mut self, _: Vec<Outgoing>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(std::future::pending())
    }
}

async fn take(consumer: &mut dyn Consumer, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(30), consumer.next_batch(count - taken.len()));
        taken.extend(next.await.unwrap_or_else(|_| panic!("{} of {count} came", taken.len())).unwrap());
    }
    taken
}

fn codes(letters: &[Delivery]) -> Vec<(&str, &str)> {
    let code = |letter: &Delivery| letter.envelope.history.code.clone().unwrap();
    let mut codes: Vec<_> =
        letters.iter().map(|letter| (letter.envelope.message_id.as_deref().unwrap(), code(letter))).collect();
    codes.sort();
    codes
        .into_iter()
        .map(|(id, code)| (id, Reason::ALL.iter().find(|reason| reason.code() == code).unwrap().code()))
        .collect()
}

#[tokio::test]
async fn what_is_permanent_is_a_dead_letter_at_once_and_harms_no_neighbour() {
    let long = vec![b'x'; 1_001];
    let mut theatre = Theatre::open(&[b"a", b"panic", b"missing", &[0xff], &long, b"b"]).await;
    let letters = theatre.letters(4).await;
    let long = String::from_utf8(long).unwrap();
    assert_eq!(
        codes(&letters),
        [
            ("missing", "reference.missing"),
            ("panic", "stage.panicked"),
            (long.as_str(), "message.too_large"),
            ("\u{fffd}", "message.undecodable"),
        ]
    );
    for letter in &letters {
        assert_eq!((letter.routing_key.as_str(), letter.envelope.history.attempts), ("puppet", 1));
        // A panic's text may quote personal data.
        assert!(!letter.envelope.history.text.as_ref().unwrap().contains('@'));
    }
    assert_eq!(theatre.done(2).await, ["a", "b"]);
    assert_eq!(theatre.close().await, 0);
}

#[tokio::test]
async fn a_row_the_database_refuses_fails_alone() {
    let mut theatre = Theatre::open(&[b"a", b"bad row", b"b"]).await;
    assert_eq!(codes(&theatre.letters(1).await), [("bad row", "database.refused")]);
    assert_eq!(theatre.done(2).await, ["a", "b"]);
    // Once together, then one by one.
    assert_eq!(theatre.puppet.records.load(Ordering::SeqCst), 4);
    assert_eq!(theatre.close().await, 0);
}

#[tokio::test]
async fn a_row_that_panics_fails_alone() {
    let mut theatre = Theatre::open(&[b"a", b"bad panic", b"b"]).await;
    assert_eq!(codes(&theatre.letters(1).await), [("bad panic", "stage.panicked")]);
    assert_eq!(theatre.done(2).await, ["a", "b"]);
    assert_eq!(theatre.close().await, 0);
}

#[tokio::test]
async fn results_the_database_cannot_take_are_kept_and_nothing_is_done_twice() {
    for trouble in ["database away", "contended"] {
        let mut theatre = Theatre::open(&[b"a", trouble.as_bytes()]).await;
        assert_eq!(theatre.done(2).await, ["a", trouble]);
        assert_eq!(
            (theatre.puppet.acts.load(Ordering::SeqCst), theatre.puppet.records.load(Ordering::SeqCst)),
            (1, 2),
            "{trouble}"
        );
        assert_eq!(theatre.close().await, 0);
    }
}

#[tokio::test]
async fn a_forged_count_of_attempts_is_only_a_number() {
    let mut theatre = Theatre::open(&[]).await;
    let mut forged = message(Destination::Stage(Puppet::NAME, Lane::Live), "missing");
    forged.envelope.history.attempts = u32::MAX;
    let honest = message(Destination::Stage(Puppet::NAME, Lane::Live), "a");
    theatre.broker.publisher().await.unwrap().publish(vec![forged, honest]).await.unwrap();
    assert_eq!(theatre.letters(1).await[0].envelope.history.attempts, u32::MAX);
    assert_eq!(theatre.done(1).await, ["a"]);
    assert_eq!(theatre.close().await, 0);
}

#[tokio::test]
async fn what_is_transient_climbs_the_ladder_and_then_dies() {
    let mut theatre = Theatre::open(&[b"deferred", b"a"]).await;
    assert_eq!(theatre.done(1).await, ["a"]);
    let letters = theatre.letters(1).await;
    let history = &letters[0].envelope.history;
    assert_eq!(
        (history.attempts, history.code.as_deref(), history.text.as_deref()),
        (2, Some("mail.deferred"), Some("450 later"))
    );
    assert!(history.first_failed_at.is_some());
    assert_eq!(theatre.close().await, 0);
}

#[tokio::test]
async fn an_outage_costs_no_attempt_and_holds_only_its_own() {
    let mut theatre = Theatre::open(&[b"outage", b"a"]).await;
    assert_eq!(theatre.done(2).await, ["a", "outage"]);
    assert_eq!(*theatre.puppet.recorded.lock().unwrap(), ["a", "outage"]);
    assert_eq!(theatre.close().await, 0);
}

#[tokio::test]
async fn stopping_during_an_outage_gives_everything_back() {
    let mut theatre = Theatre::open(&[b"outage", b"a"]).await;
    assert_eq!(theatre.done(1).await, ["a"]);
    theatre.stop.cancel();
    // Both: nothing of a batch is acknowledged before all of it is done.
    assert_eq!(theatre.close().await, 2);
}

#[tokio::test]
async fn an_item_that_stays_locked_climbs_the_ladder_alone() {
    let mut theatre = Theatre::open(&[b"a", b"locked", b"b"]).await;
    assert_eq!(theatre.done(2).await, ["a", "b"]);
    let letters = theatre.letters(1).await;
    assert_eq!(codes(&letters), [("locked", "database.contention")]);
    assert_eq!(letters[0].envelope.history.attempts, 2);
    assert_eq!(theatre.close().await, 0);
}

#[tokio::test]
async fn the_only_memory_of_an_effect_is_recorded_however_long_that_takes() {
    let mut theatre = Theatre::open(&[b"precious", b"a"]).await;
    theatre.until_begun(&theatre.puppet.records).await;
    theatre.pause();
    let mut done = theatre.done(2).await;
    done.sort();
    assert_eq!(
        (done, theatre.puppet.acts.load(Ordering::SeqCst)),
        (vec!["a".to_owned(), "precious".to_owned()], 1)
    );
    assert_eq!(theatre.close().await, 0);
}

#[tokio::test]
async fn a_pause_is_obeyed_with_results_that_the_database_cannot_take() {
    let theatre = Theatre::open(&[b"away for ever", b"a"]).await;
    theatre.until_begun(&theatre.puppet.records).await;
    theatre.pause();
    theatre.until_ready(2).await;
    assert_eq!(theatre.close().await, 2);
}

#[tokio::test]
async fn results_that_the_database_cannot_take_are_not_kept_for_ever() {
    let theatre =
        Theatre::open_on(&[b"away for ever", b"a"], Duration::from_secs(1), |memory| Arc::new(memory)).await;
    theatre.until_begun(&theatre.puppet.records).await;
    theatre.until_ready(2).await;
    assert_eq!(theatre.close().await, 2);
}

#[tokio::test]
async fn effects_are_begun_until_the_stage_is_paused_or_the_batch_was_held_for_long() {
    let theatre = Theatre::open(&[b"as long as it may"]).await;
    theatre.until_begun(&theatre.puppet.acts).await;
    theatre.pause();
    theatre.until_ready(1).await;
    assert_eq!(theatre.close().await, 1);

    let theatre =
        Theatre::open_on(&[b"as long as it may"], Duration::from_millis(200), |memory| Arc::new(memory))
            .await;
    // Given back, and taken anew.
    theatre.until(|| theatre.puppet.acts.load(Ordering::SeqCst) > 1).await;
    assert_eq!(theatre.close().await, 1);
}

#[tokio::test]
async fn a_probe_that_was_wrong_is_asked_less_often() {
    let theatre = Theatre::open_on(&[b"outage for ever"], Duration::ZERO, |memory| Arc::new(memory)).await;
    let waits = || {
        theatre.heartbeat.send_heartbeat(&theatre.pool).unwrap();
        let rows = worker::all(&mut theatre.pool.get().unwrap()).unwrap();
        let row = rows.into_iter().flat_map(|(_, stages)| stages).next()?;
        Some(row.next_probe? - row.open_since?)
    };
    let acts = || theatre.puppet.acts.load(Ordering::SeqCst);
    theatre.until(|| acts() > 1 && waits().is_some()).await;
    assert!(waits().unwrap() >= TimeDelta::seconds(29), "{:?}", waits());
    let puppet = Arc::clone(&theatre.puppet);
    assert_eq!((theatre.close().await, puppet.acts.load(Ordering::SeqCst)), (1, 2));
}

#[test]
fn the_limit_of_deliveries_lasts_for_hours_of_wrong_probes() {
    let seconds: Vec<u64> = (0..8).map(|wrong| probe_backoff(wrong).as_secs()).collect();
    assert_eq!(seconds, [0, 30, 60, 120, 240, 480, 900, 900]);
    assert!((0..30).map(probe_backoff).sum::<Duration>() > Duration::from_hours(6));
    assert_eq!(probe_backoff(u32::MAX), Duration::from_mins(15));
}

#[tokio::test]
async fn stopping_waits_for_no_broker_that_confirms_nothing() {
    let theatre = Theatre::open_on(&[b"a"], Duration::from_mins(1), |memory| Arc::new(Silent(memory))).await;
    theatre.until_begun(&theatre.puppet.records).await;
    assert_eq!(theatre.close().await, 1);
}

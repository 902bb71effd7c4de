//! The runner over the in-process queue, with a stage controlled by its messages.

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
    db::Db,
    fault::{Fault, Reason},
    permit::Permit,
};

/// Counts its steps.
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
        assert!(item.job != "panic", "panic of the test: taro@example.com");
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
        while outcomes.iter().any(|outcome| outcome == "while permitted") {
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
        assert!(!items.iter().any(|(item, _)| item.job == "bad panic"), "panic of the test");
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

struct Env {
    broker: Memory,
    puppet: Arc<Puppet>,
    stop: CancellationToken,
    db: Db,
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

impl Env {
    /// Publishes the bodies before it starts the runner, so that they make one batch.
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
        let url = format!("sqlite:{}", folder.path().join("hosho.sqlite").display());
        let db = Db::new(Pool::open(&url, 1).unwrap());
        hosho_schema::db::migrate(&mut db.pool().get().unwrap()).unwrap();
        let heartbeat = Heartbeat::new(&clock);
        let runner = Runner {
            broker: queue(broker.clone()),
            db: db.clone(),
            heartbeat: heartbeat.clone(),
            clock,
            settings: Settings {
                batch: 100,
                max_message_bytes: 1_000,
                retry_delays: vec![RetryDelay::S1],
                hold,
            },
            stop: stop.clone(),
            probe: Arc::new(|_| Box::pin(std::future::ready(Ok(())))),
            priority: super::priority::Priority::default(),
        };
        let puppet = Arc::new(Puppet::default());
        let running = tokio::spawn(runner.run(Arc::clone(&puppet), Lane::Live));
        Self { broker, puppet, stop, db, heartbeat, running, events, dead, _folder: folder }
    }

    async fn dead_letters(&mut self, count: usize) -> Vec<Delivery> {
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
    async fn pause(&self) {
        let control = StageControl {
            stage: Puppet::NAME.to_owned(),
            paused: true,
            reason: "a test".to_owned(),
            actor: "hanako".to_owned(),
            changed_at: NaiveDateTime::default(),
        };
        stage_control::set(&mut self.db.pool().get().unwrap(), &control).unwrap();
        self.heartbeat.refresh_paused(&self.db).await.unwrap();
    }

    /// Messages ready in the queue of the stage.
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

    async fn until_ready(&self, count: u64) {
        let looking = async {
            while self.ready().await != count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), looking).await.expect("requeued");
    }

    async fn until(&self, is_so: impl Fn() -> bool) {
        let looking = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), looking).await.expect("in time");
    }

    async fn until_begun(&self, what: &AtomicU32) {
        self.until(|| what.load(Ordering::SeqCst) > 0).await;
    }

    /// Stops the runner, and returns the number of requeued messages.
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

fn codes(dead_letters: &[Delivery]) -> Vec<(&str, &str)> {
    let code = |dead_letter: &Delivery| dead_letter.envelope.history.code.clone().unwrap();
    let mut codes: Vec<_> = dead_letters
        .iter()
        .map(|dead_letter| (dead_letter.envelope.message_id.as_deref().unwrap(), code(dead_letter)))
        .collect();
    codes.sort();
    codes
        .into_iter()
        .map(|(id, code)| (id, Reason::ALL.iter().find(|reason| reason.code() == code).unwrap().code()))
        .collect()
}

#[tokio::test]
async fn dead_letters_permanent_faults_at_once() {
    let long = vec![b'x'; 1_001];
    let mut env = Env::open(&[b"a", b"panic", b"missing", &[0xff], &long, b"b"]).await;
    let dead_letters = env.dead_letters(4).await;
    let long = String::from_utf8(long).unwrap();
    assert_eq!(
        codes(&dead_letters),
        [
            ("missing", "reference.missing"),
            ("panic", "stage.panicked"),
            (long.as_str(), "message.too_large"),
            ("\u{fffd}", "message.undecodable"),
        ]
    );
    for dead_letter in &dead_letters {
        assert_eq!((dead_letter.routing_key.as_str(), dead_letter.envelope.history.attempts), ("puppet", 1));
        // A panic's text may quote personal data.
        assert!(!dead_letter.envelope.history.text.as_ref().unwrap().contains('@'));
    }
    assert_eq!(env.done(2).await, ["a", "b"]);
    assert_eq!(env.close().await, 0);
}

#[tokio::test]
async fn rejected_row_fails_alone() {
    let mut env = Env::open(&[b"a", b"bad row", b"b"]).await;
    assert_eq!(codes(&env.dead_letters(1).await), [("bad row", "database.refused")]);
    assert_eq!(env.done(2).await, ["a", "b"]);
    // Once as a batch, then one by one.
    assert_eq!(env.puppet.records.load(Ordering::SeqCst), 4);
    assert_eq!(env.close().await, 0);
}

#[tokio::test]
async fn panicking_row_fails_alone() {
    let mut env = Env::open(&[b"a", b"bad panic", b"b"]).await;
    assert_eq!(codes(&env.dead_letters(1).await), [("bad panic", "stage.panicked")]);
    assert_eq!(env.done(2).await, ["a", "b"]);
    assert_eq!(env.close().await, 0);
}

#[tokio::test]
async fn keeps_unrecorded_results_and_repeats_no_effect() {
    for trouble in ["database away", "contended"] {
        let mut env = Env::open(&[b"a", trouble.as_bytes()]).await;
        assert_eq!(env.done(2).await, ["a", trouble]);
        assert_eq!(
            (env.puppet.acts.load(Ordering::SeqCst), env.puppet.records.load(Ordering::SeqCst)),
            (1, 2),
            "{trouble}"
        );
        assert_eq!(env.close().await, 0);
    }
}

#[tokio::test]
async fn survives_a_forged_count_of_attempts() {
    let mut env = Env::open(&[]).await;
    let mut forged = message(Destination::Stage(Puppet::NAME, Lane::Live), "missing");
    forged.envelope.history.attempts = u32::MAX;
    let honest = message(Destination::Stage(Puppet::NAME, Lane::Live), "a");
    env.broker.publisher().await.unwrap().publish(vec![forged, honest]).await.unwrap();
    assert_eq!(env.dead_letters(1).await[0].envelope.history.attempts, u32::MAX);
    assert_eq!(env.done(1).await, ["a"]);
    assert_eq!(env.close().await, 0);
}

#[tokio::test]
async fn retries_transient_faults_then_dead_letters() {
    let mut env = Env::open(&[b"deferred", b"a"]).await;
    assert_eq!(env.done(1).await, ["a"]);
    let dead_letters = env.dead_letters(1).await;
    let history = &dead_letters[0].envelope.history;
    assert_eq!(
        (history.attempts, history.code.as_deref(), history.text.as_deref()),
        (2, Some("mail.deferred"), Some("450 later"))
    );
    assert!(history.first_failed_at.is_some());
    assert_eq!(env.close().await, 0);
}

#[tokio::test]
async fn outage_counts_no_attempt() {
    let mut env = Env::open(&[b"outage", b"a"]).await;
    assert_eq!(env.done(2).await, ["a", "outage"]);
    assert_eq!(*env.puppet.recorded.lock().unwrap(), ["a", "outage"]);
    assert_eq!(env.close().await, 0);
}

#[tokio::test]
async fn stopping_during_an_outage_requeues_the_batch() {
    let mut env = Env::open(&[b"outage", b"a"]).await;
    assert_eq!(env.done(1).await, ["a"]);
    env.stop.cancel();
    // Both: nothing of a batch is acknowledged before all of it is done.
    assert_eq!(env.close().await, 2);
}

#[tokio::test]
async fn locked_item_is_retried_alone() {
    let mut env = Env::open(&[b"a", b"locked", b"b"]).await;
    assert_eq!(env.done(2).await, ["a", "b"]);
    let dead_letters = env.dead_letters(1).await;
    assert_eq!(codes(&dead_letters), [("locked", "database.contention")]);
    assert_eq!(dead_letters[0].envelope.history.attempts, 2);
    assert_eq!(env.close().await, 0);
}

#[tokio::test]
async fn records_must_record_outcomes_without_limit() {
    let mut env = Env::open(&[b"precious", b"a"]).await;
    env.until_begun(&env.puppet.records).await;
    env.pause().await;
    let mut done = env.done(2).await;
    done.sort();
    assert_eq!(
        (done, env.puppet.acts.load(Ordering::SeqCst)),
        (vec!["a".to_owned(), "precious".to_owned()], 1)
    );
    assert_eq!(env.close().await, 0);
}

#[tokio::test]
async fn pauses_with_unrecorded_results() {
    let env = Env::open(&[b"away for ever", b"a"]).await;
    env.until_begun(&env.puppet.records).await;
    env.pause().await;
    env.until_ready(2).await;
    assert_eq!(env.close().await, 2);
}

#[tokio::test]
async fn requeues_unrecorded_results_after_the_hold() {
    let env =
        Env::open_on(&[b"away for ever", b"a"], Duration::from_secs(1), |memory| Arc::new(memory)).await;
    env.until_begun(&env.puppet.records).await;
    env.until_ready(2).await;
    assert_eq!(env.close().await, 2);
}

#[tokio::test]
async fn permits_end_with_a_pause_or_the_hold() {
    let env = Env::open(&[b"while permitted"]).await;
    env.until_begun(&env.puppet.acts).await;
    env.pause().await;
    env.until_ready(1).await;
    assert_eq!(env.close().await, 1);

    let env =
        Env::open_on(&[b"while permitted"], Duration::from_millis(200), |memory| Arc::new(memory)).await;
    // Requeued, and consumed again.
    env.until(|| env.puppet.acts.load(Ordering::SeqCst) > 1).await;
    assert_eq!(env.close().await, 1);
}

#[tokio::test]
async fn false_probes_become_rare() {
    let env = Env::open_on(&[b"outage for ever"], Duration::ZERO, |memory| Arc::new(memory)).await;
    let waits = async || {
        env.heartbeat.send_heartbeat(&env.db).await.unwrap();
        let rows = env.db.call(worker::all).await.unwrap();
        let row = rows.into_iter().flat_map(|(_, stages)| stages).next()?;
        Some(row.next_probe? - row.open_since?)
    };
    let acts = || env.puppet.acts.load(Ordering::SeqCst);
    env.until(|| acts() > 1).await;
    let waiting = async {
        loop {
            match waits().await {
                Some(wait) => return wait,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let wait = tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("in time");
    assert!(wait >= TimeDelta::seconds(29), "{wait:?}");
    let puppet = Arc::clone(&env.puppet);
    assert_eq!((env.close().await, puppet.acts.load(Ordering::SeqCst)), (1, 2));
}

#[test]
fn false_probes_do_not_reach_the_delivery_limit() {
    let seconds: Vec<u64> = (0..8).map(|wrong| probe_backoff(wrong).as_secs()).collect();
    assert_eq!(seconds, [0, 30, 60, 120, 240, 480, 900, 900]);
    assert!((0..30).map(probe_backoff).sum::<Duration>() > Duration::from_hours(6));
    assert_eq!(probe_backoff(u32::MAX), Duration::from_mins(15));
}

#[tokio::test]
async fn stops_without_confirms_of_a_silent_broker() {
    let env = Env::open_on(&[b"a"], Duration::from_mins(1), |memory| Arc::new(Silent(memory))).await;
    env.until_begun(&env.puppet.records).await;
    assert_eq!(env.close().await, 1);
}

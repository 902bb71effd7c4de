//! The next step, and a driver on queues that lose, refuse or delay messages.

use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use hosho_schema::{
    db::{self, Pool},
    models::failed_message::{DeadLetter, Origin},
};

use crate::broker::{Broker, Consumer, Depth, Source, memory::Memory};
use crate::clock::Clock;
use crate::db::Db;
use crate::jobs::replay::*;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

fn state(progress: Progress, settled: &[(&str, usize)]) -> Snapshot {
    let replay = Replay {
        id: "r".to_owned(),
        state: replay::State::Running,
        selection: String::new(),
        total: 1_000,
        cutoff: chrono::NaiveDateTime::default(),
        canary: 3,
        rate: 100,
        reason: String::new(),
        actor: String::new(),
        created_at: chrono::NaiveDateTime::default(),
        driver: None,
        leased_until: None,
        note: None,
        resolved: None,
        failed_again: None,
        finished_at: None,
    };
    let settled = settled.iter().flat_map(|(cause, count)| {
        std::iter::repeat_n((!cause.is_empty()).then(|| (*cause).to_owned()), *count)
    });
    Snapshot { replay, progress, settled: settled.collect() }
}

fn step(waiting: i64, under_way: i64, resolved: i64, failed_again: i64, settled: &[(&str, usize)]) -> Step {
    next_step(&state(Progress { waiting, under_way, resolved, failed_again, taken_out: 0 }, settled))
}

#[test]
fn sends_the_canary_first_and_alone() {
    assert_eq!(step(1_000, 0, 0, 0, &[]), Step::Send(3));
    assert_eq!(step(997, 3, 0, 0, &[]), Step::Send(0));
    assert_eq!(step(997, 1, 2, 0, &[("", 2)]), Step::Send(0));
    assert!(matches!(step(997, 0, 2, 1, &[("", 2), ("a", 1)]), Step::Stop(_)));
    assert_eq!(step(997, 0, 3, 0, &[("", 3)]), Step::Send(10));
}

#[test]
fn speeds_up_with_resolved_messages_to_its_rate() {
    assert_eq!(step(987, 0, 13, 0, &[("", 13)]), Step::Send(20));
    assert_eq!(step(900, 50, 50, 0, &[("", 50)]), Step::Send(7));
    assert_eq!(step(500, 0, 500, 0, &[("", 50)]), Step::Send(100));
    assert_eq!(step(4, 0, 996, 0, &[("", 50)]), Step::Send(4));
}

#[test]
fn stops_when_a_tenth_fail_for_one_reason() {
    assert_eq!(step(500, 0, 495, 5, &[("", 45), ("a", 5)]), Step::Send(100));
    assert_eq!(step(500, 0, 490, 10, &[("", 40), ("a", 5), ("b", 5)]), Step::Send(100));
    let Step::Stop(why) = step(500, 0, 494, 6, &[("", 44), ("a", 6)]) else { panic!("not stopped") };
    assert_eq!(why, "6 of the last 50 failed again for the same reason (group a)");
}

#[test]
fn completes_when_no_message_is_left() {
    assert_eq!(step(0, 1, 999, 0, &[("", 50)]), Step::Send(0));
    assert_eq!(step(0, 0, 999, 1, &[("", 49), ("a", 1)]), Step::Complete);
}

#[test]
fn removed_messages_count_as_no_result() {
    let taken_out = |resolved, taken_out| {
        let waiting = 1_000 - resolved - taken_out;
        next_step(&state(Progress { waiting, under_way: 0, resolved, failed_again: 0, taken_out }, &[]))
    };
    assert_eq!(taken_out(0, 3), Step::Send(3));
    assert_eq!(taken_out(2, 3), Step::Send(1));
    assert_eq!(taken_out(1, 998), Step::Send(1));
    assert_eq!(taken_out(2, 998), Step::Complete);
}

#[test]
fn messages_with_retries_left_are_not_lost() {
    let minutes = |delays: &[RetryDelay]| lost_after(delays).num_minutes();
    assert_eq!(minutes(&[]), 30);
    assert_eq!(minutes(&[RetryDelay::M2, RetryDelay::M60]), 30 + 5 + 60);
}

/// An in-memory queue that may claim to be remote.
/// Its publisher refuses messages or waits for a permit.
#[derive(Debug, Clone)]
struct Stub {
    memory: Memory,
    in_process: bool,
    /// Refuse the first message of each call.
    refuses_first: bool,
    may_publish: watch::Receiver<bool>,
    /// Number of messages in each call.
    calls: Arc<Mutex<Vec<usize>>>,
}

impl Broker for Stub {
    fn in_process(&self) -> bool {
        self.in_process
    }

    fn consume(
        &self,
        source: Source,
        prefetch: u16,
    ) -> BoxFuture<'_, Result<Box<dyn Consumer>, BrokerError>> {
        self.memory.consume(source, prefetch)
    }

    fn publisher(&self) -> BoxFuture<'_, Result<Box<dyn Publisher>, BrokerError>> {
        Box::pin(async { Ok(Box::new(self.clone()) as Box<dyn Publisher>) })
    }

    fn depths(&self) -> BoxFuture<'_, Result<Vec<Depth>, BrokerError>> {
        self.memory.depths()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.memory.close()
    }
}

impl Publisher for Stub {
    fn publish(&mut self, mut messages: Vec<Outgoing>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            let total = messages.len();
            self.calls.lock().unwrap().push(total);
            self.may_publish.wait_for(|may| *may).await.unwrap();
            if self.refuses_first {
                messages.remove(0);
            }
            self.memory.publisher().await?.publish(messages).await?;
            if !self.refuses_first {
                return Ok(());
            }
            Err(BrokerError::NotConfirmed { unconfirmed: vec![0], total, problem: "refused".to_owned() })
        })
    }
}

/// A running driver.
struct Driving {
    task: tokio::task::JoinHandle<Ended>,
    stop: CancellationToken,
}

impl Driving {
    async fn stop(self) {
        self.stop.cancel();
        assert_eq!(self.task.await.unwrap(), Ended::Interrupted);
    }
}

/// A replay of failed messages, and its driver.
struct TestEnv {
    pool: Pool,
    clock: Clock,
    id: String,
    may_publish: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

impl TestEnv {
    fn new(messages: usize, canary: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pool =
            Pool::open(&format!("sqlite:{}", folder.path().join("hosho.sqlite").display()), 1).unwrap();
        let clock = Clock::fixed("2026-12-01T00:00:00".parse().unwrap());
        let mut connection = pool.get().unwrap();
        db::migrate(&mut connection).unwrap();
        let failed = |number: usize| clock.now() - TimeDelta::seconds(60 - i64::try_from(number).unwrap());
        let dead_letters: Vec<DeadLetter> =
            (0..messages).map(|number| dead_letter(&number.to_string(), failed(number))).collect();
        failed_message::record(&mut connection, &dead_letters, clock.now()).unwrap();
        clock.advance(TimeDelta::seconds(1));
        let operation = Operation::new(&clock, "failed.replay", "hanako", "a test");
        let order =
            Order { filter: Filter::default(), selection: "{}".to_owned(), canary, rate: 100, force: false };
        let id = begin(&mut connection, &operation, &order).unwrap().unwrap().id;
        drop(connection);
        Self { pool, clock, id, may_publish: watch::Sender::new(true), _folder: folder }
    }

    fn stub(&self) -> Stub {
        let may_publish = self.may_publish.subscribe();
        Stub {
            memory: Memory::new(stages::NAMES),
            in_process: true,
            refuses_first: false,
            may_publish,
            calls: Arc::default(),
        }
    }

    fn drive(&self, broker: &Stub) -> Driving {
        let stop = CancellationToken::new();
        let driver = Driver {
            db: Db::new(self.pool.clone()),
            broker: Arc::new(broker.clone()),
            clock: self.clock.clone(),
            name: "a driver".to_owned(),
            stop: stop.clone(),
        };
        let driver = ReplayDriver { driver, id: self.id.clone(), lost_after: TimeDelta::hours(2) };
        Driving { task: tokio::spawn(driver.drive(|_, _| {})), stop }
    }

    fn progress(&self) -> Progress {
        failed_message::progress(&mut self.pool.get().unwrap(), &self.id).unwrap()
    }

    async fn until_under_way(&self, count: i64) {
        until(|| (self.progress().under_way == count).then_some(())).await;
    }
}

fn dead_letter(message_id: &str, at: chrono::NaiveDateTime) -> DeadLetter {
    DeadLetter {
        stage: "issue".to_owned(),
        message_id: message_id.to_owned(),
        message_type: None,
        correlation_id: None,
        traceparent: None,
        payload: b"{}".to_vec(),
        payload_sha256: "ab".to_owned(),
        headers: "{}".to_owned(),
        origin: Origin::Handler,
        code: "data.missing".to_owned(),
        text: String::new(),
        fingerprint: "x".to_owned(),
        attempts: 1,
        first_failed_at: at,
        failed_at: at,
        earlier: Vec::new(),
        replay_id: None,
        is_copy: false,
    }
}

/// Polls until there is a result.
async fn until<T>(mut answer: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(answer) = answer() {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looking).await.expect("in time")
}

async fn arrived(broker: &Stub, count: usize) -> Vec<String> {
    let mut consumer = broker.consume(Source::Stage("issue", Lane::Bulk), 100).await.unwrap();
    let mut ids = Vec::new();
    while ids.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(30), consumer.next_batch(100)).await;
        let batch = next.unwrap_or_else(|_| panic!("{} of {count} came", ids.len())).unwrap();
        ids.extend(batch.into_iter().filter_map(|delivery| delivery.envelope.message_id));
    }
    ids
}

#[tokio::test]
async fn sends_again_after_the_queue_is_lost() {
    let env = TestEnv::new(5, 3);
    let first = env.stub();
    let driving = env.drive(&first);
    assert_eq!(arrived(&first, 3).await, ["0", "1", "2"]);
    env.until_under_way(3).await;
    // Killed: the queue is gone, and what it held with it.
    driving.task.abort();
    let second = env.stub();
    env.clock.advance(LEASE + LEASE);
    let driving = env.drive(&second);
    assert_eq!(arrived(&second, 3).await, ["0", "1", "2"]);
    env.until_under_way(3).await;
    driving.stop().await;
}

#[tokio::test]
async fn sends_purged_messages_again_after_their_retries() {
    let env = TestEnv::new(2, 0);
    let purged = Stub { in_process: false, ..env.stub() };
    let driving = env.drive(&purged);
    env.until_under_way(2).await;
    driving.stop().await;
    // Another process continues; messages in flight are not sent again.
    let broker = Stub { in_process: false, ..env.stub() };
    let driving = env.drive(&broker);
    let held = || replay::by_id(&mut env.pool.get().unwrap(), &env.id).unwrap().unwrap().driver;
    until(held).await;
    assert_eq!((env.progress().under_way, broker.calls.lock().unwrap().len()), (2, 0));
    env.clock.advance(TimeDelta::hours(2) + TimeDelta::seconds(1));
    assert_eq!(arrived(&broker, 2).await, ["0", "1"]);
    env.until_under_way(2).await;
    driving.stop().await;
    assert_eq!(*broker.calls.lock().unwrap(), [2]);
}

#[tokio::test]
async fn publishes_only_refused_messages_again() {
    let env = TestEnv::new(5, 0);
    let broker = Stub { refuses_first: true, ..env.stub() };
    let driving = env.drive(&broker);
    env.until_under_way(4).await;
    let before = broker.calls.lock().unwrap().len();
    let after = || Some(broker.calls.lock().unwrap()[before..].to_vec()).filter(|calls| !calls.is_empty());
    assert_eq!(until(after).await, [1]);
    driving.stop().await;
    assert_eq!((env.progress().waiting, env.progress().under_way), (1, 4));
}

#[tokio::test]
async fn renews_its_lease_while_publishing() {
    let env = TestEnv::new(1, 0);
    let broker = env.stub();
    env.may_publish.send_replace(false);
    let driving = env.drive(&broker);
    until(|| (!broker.calls.lock().unwrap().is_empty()).then_some(())).await;
    env.clock.advance(LEASE + TimeDelta::seconds(1));
    let leased = || replay::by_id(&mut env.pool.get().unwrap(), &env.id).unwrap().unwrap().leased_until;
    until(|| leased().filter(|until| *until > env.clock.now())).await;
    env.may_publish.send_replace(true);
    assert_eq!(arrived(&broker, 1).await, ["0"]);
    env.until_under_way(1).await;
    driving.stop().await;
}

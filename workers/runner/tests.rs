//! The runner over the in-process queue, with a stage that does as its message says.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use hosho_schema::db::{Connection, Pool};

use super::*;
use crate::{
    broker::{Consumer, Delivery, Destination, Envelope, History, Outgoing, memory::Memory},
    stage::{Fault, Item, Reason, Verdicts},
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
            .map(|item| if item.job == "missing" { Err(Fault::new(Reason::ReferenceMissing, "no such row")) } else { Ok(()) })
            .collect())
    }

    fn decide(&self, item: &Item<String>, (): ()) -> Result<String, Fault> {
        assert!(item.job != "panic", "as asked: taro@example.com");
        Ok(item.job.clone())
    }

    async fn act(&self, outcomes: Vec<String>) -> Vec<Result<String, Fault>> {
        let act = |outcome: String| match outcome.as_str() {
            "deferred" => Err(Fault::new(Reason::MailDeferred, "450 later")),
            "outage" if self.outages.fetch_add(1, Ordering::SeqCst) < 1 => Err(Fault::new(Reason::MailUnavailable, "connection refused")),
            _ => Ok(outcome),
        };
        self.acts.fetch_add(1, Ordering::SeqCst);
        outcomes.into_iter().map(act).collect()
    }

    fn record(&self, _: &mut Connection, items: &[(&Item<String>, String)]) -> Result<Verdicts, Fault> {
        let before = self.records.fetch_add(1, Ordering::SeqCst);
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
                Ok(vec![message(Destination::Event("puppet.done"), &item.job)])
            })
            .collect())
    }
}

struct Theatre {
    broker: Memory,
    puppet: Arc<Puppet>,
    ask: watch::Sender<bool>,
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
        let folder = tempfile::tempdir().unwrap();
        let broker = Memory::new(&[Puppet::NAME]);
        let (ask, stop) = watch::channel(false);
        let (events, dead) = (broker.consume(Source::Events, 100).await.unwrap(), broker.consume(Source::Dead, 100).await.unwrap());
        let work = bodies.iter().map(|body| {
            let mut outgoing = message(Destination::Stage(Puppet::NAME, Lane::Live), &String::from_utf8_lossy(body));
            outgoing.envelope.payload = body.to_vec();
            outgoing
        });
        broker.publisher().await.unwrap().publish(work.collect()).await.unwrap();
        let clock = Clock::system();
        let pool = Pool::open(&format!("sqlite:{}", folder.path().join("hosho.sqlite").display()), 1).unwrap();
        hosho_schema::db::migrate(&mut pool.get().unwrap()).unwrap();
        let runner = Runner {
            broker: Arc::new(broker.clone()),
            pool,
            pulse: Pulse::new(&clock),
            clock,
            settings: Settings { batch: 100, max_message_bytes: 1_000, rungs: vec![Rung::S1], hold: Duration::from_mins(1) },
            stop,
            probe: Arc::new(|_| Box::pin(std::future::ready(Ok(())))),
        };
        let puppet = Arc::new(Puppet::default());
        let running = tokio::spawn(runner.run(Arc::clone(&puppet), Lane::Live));
        Self { broker, puppet, ask, running, events, dead, _folder: folder }
    }

    async fn letters(&mut self, count: usize) -> Vec<Delivery> {
        take(self.dead.as_mut(), count).await
    }

    async fn done(&mut self, count: usize) -> Vec<String> {
        take(self.events.as_mut(), count).await.into_iter().map(|event| String::from_utf8(event.envelope.payload).unwrap()).collect()
    }

    /// Asks the runner to stop, and returns what it gave back.
    async fn close(self) -> u64 {
        self.ask.send_replace(true);
        tokio::time::timeout(Duration::from_secs(20), self.running).await.expect("the runner stops").unwrap();
        self.broker.depths().await.unwrap().iter().filter(|depth| depth.queue.contains("stage")).map(|depth| depth.ready).sum()
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
    let mut codes: Vec<_> = letters.iter().map(|letter| (letter.envelope.message_id.as_deref().unwrap(), code(letter))).collect();
    codes.sort();
    codes.into_iter().map(|(id, code)| (id, Reason::ALL.iter().find(|reason| reason.code() == code).unwrap().code())).collect()
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
        assert_eq!((theatre.puppet.acts.load(Ordering::SeqCst), theatre.puppet.records.load(Ordering::SeqCst)), (1, 2), "{trouble}");
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
    assert_eq!((history.attempts, history.code.as_deref(), history.text.as_deref()), (2, Some("mail.deferred"), Some("450 later")));
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
    theatre.ask.send_replace(true);
    // Both: nothing of a batch is acknowledged before all of it is done.
    assert_eq!(theatre.close().await, 2);
}

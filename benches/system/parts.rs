//! What the machine can do at most: each part of the work alone, with all cores to itself.
//!
//! - *rows, documents, mails*: the stages' own code, stage by stage, with nothing in between: `load` and `record` of batches on as
//!   many connections as there are cores ×2, `decide` and `act` of render, `act` of dispatch (which keeps its ledger in the tables).
//!   What is left, decoding and deciding in the other stages, is `rest`.
//! - *messages*: the same number of messages, of the same sizes, from stage to stage: published, confirmed, consumed, acknowledged.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use hosho::{
    app::App,
    broker::{
        Broker, Destination, Envelope, Lane, Outgoing, Source,
        rabbit::{Rabbit, RabbitOptions},
    },
    fault::Fault,
    permit::Permit,
    pipeline::stage::{Item, Stage, Verdict},
    stages::{self, Visitor},
    telemetry::Traceparent,
};
use rayon::prelude::*;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::{applications::Application, harness::upstream, servers::TestEnv};

/// Items of a batch, as `work.batch`.
const BATCH: usize = 256;

/// Items that go through a stage together.
const ROUND: usize = 2_048;

/// Items that are decided and have their effects together: finished documents are kept that long.
const CHUNK_SIZE: usize = 128;

/// The stages of an application.
pub(crate) const STAGES: [&str; 5] = ["validate", "issue", "mint", "render", "dispatch"];

/// Seconds that each part of the work took.
#[derive(Debug, Default, Clone, Copy, serde::Serialize)]
pub(crate) struct Spent {
    pub(crate) messages: f64,
    pub(crate) rows: f64,
    pub(crate) documents: f64,
    pub(crate) mails: f64,
    pub(crate) rest: f64,
}

/// A batch of rows to be recorded.
type Rows<'a, S> = Vec<(&'a Item<<S as Stage>::Job>, <S as Stage>::Outcome)>;

/// For each stage, what each of its messages led to.
type Flow = Vec<Vec<Vec<Outgoing>>>;

/// An application as its sender publishes it.
pub(crate) fn message(application: &Application) -> Outgoing {
    upstream::application(&application.id, application.payload.clone())
}

/// The broker of a env.
pub(crate) fn rabbit(env: &TestEnv) -> Rabbit {
    let options = RabbitOptions::new(env.broker.clone(), stages::NAMES.to_vec());
    Rabbit::new(RabbitOptions { prefix: env.prefix.clone(), ..options }).unwrap()
}

/// Measures every part with these applications.
pub(crate) fn measure(env: &TestEnv, applications: &[Application]) -> Spent {
    let runtime = Runtime::new().unwrap();
    let services = runtime.block_on(async { App::open(&env.config(), CancellationToken::new()).unwrap() });
    let mut spent = Spent::default();
    let first: Vec<Outgoing> = applications.iter().map(message).collect();
    let mut flow: Flow = Vec::new();
    let mut incoming = first.clone();
    for stage in STAGES {
        let walk = Walk { services: &services, runtime: &runtime, incoming: &incoming, spent: &mut spent };
        let led_to = stages::visit(stage, &services, walk).unwrap();
        let to_stages =
            led_to.iter().flatten().filter(|outgoing| matches!(outgoing.destination, Destination::Stage(..)));
        incoming = to_stages.cloned().collect();
        flow.push(led_to);
    }
    assert!(incoming.is_empty(), "the last stage has a successor");
    spent.messages = relay(env, &runtime, &first, flow).as_secs_f64();
    runtime.block_on(services.mail_delivery.mailer.close());
    spent
}

/// Takes messages through one stage, and notes what took how long.
struct Walk<'a> {
    services: &'a App,
    runtime: &'a Runtime,
    incoming: &'a [Outgoing],
    spent: &'a mut Spent,
}

/// Runs work on batches of the database, on several connections at once.
fn on_connections<I: Send, O: Send>(
    services: &App,
    batches: Vec<I>,
    work: impl Fn(&mut hosho_schema::db::Connection, I) -> O + Sync,
) -> Vec<O> {
    let threads = 2 * std::thread::available_parallelism().unwrap().get();
    let batches = Mutex::new(batches.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut connection = services.pool.get().unwrap();
                loop {
                    let next = batches.lock().unwrap().next();
                    let Some((place, batch)) = next else { return };
                    let made = work(&mut connection, batch);
                    done.lock().unwrap().push((place, made));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, made)| made).collect()
}

impl Visitor for Walk<'_> {
    type Output = Vec<Vec<Outgoing>>;

    fn visit<S: Stage>(self, stage: S) -> Self::Output {
        let Walk { services, runtime, incoming, spent } = self;
        let (is_render, is_dispatch) = (S::NAME == "render", S::NAME == "dispatch");
        let mut led_to = Vec::with_capacity(incoming.len());
        for round in incoming.chunks(ROUND) {
            let began = Instant::now();
            let items: Vec<Item<S::Job>> =
                round.par_iter().map(|outgoing| item(&stage, &outgoing.envelope)).collect();
            spent.rest += began.elapsed().as_secs_f64();

            let began = Instant::now();
            let facts = on_connections(services, items.chunks(BATCH).collect(), |db, items| {
                let items: Vec<&Item<S::Job>> = items.iter().collect();
                db.transaction(|db| stage.load(db, &items))
                    .unwrap_or_else(|fault: Fault| panic!("{}: {}", S::NAME, fault.text))
            });
            spent.rows += began.elapsed().as_secs_f64();

            let began = Instant::now();
            let mut facts = facts.into_iter().flatten().map(Result::unwrap);
            let mut outcomes: Vec<S::Outcome> = Vec::with_capacity(items.len());
            let permit = Permit::unlimited();
            let (mut deciding, mut acting) = (0.0, 0.0);
            // The mails of several batches go out together, as from several processes.
            for items in items.chunks(if is_dispatch { ROUND } else { CHUNK_SIZE }) {
                let began = Instant::now();
                let facts: Vec<S::Facts> = facts.by_ref().take(items.len()).collect();
                let decided =
                    items.par_iter().zip(facts).map(|(item, facts)| stage.decide(item, facts).unwrap());
                let decided: Vec<S::Outcome> = decided.collect();
                deciding += began.elapsed().as_secs_f64();
                let began = Instant::now();
                let acted = runtime.block_on(stage.act(decided, &permit));
                outcomes.extend(acted.into_iter().map(Result::unwrap));
                acting += began.elapsed().as_secs_f64();
            }
            if is_render {
                spent.documents += began.elapsed().as_secs_f64();
            } else {
                spent.rest += deciding;
                *(if is_dispatch { &mut spent.mails } else { &mut spent.rest }) += acting;
            }

            let began = Instant::now();
            let mut rows = items.iter().zip(outcomes);
            let mut batches: Vec<Rows<'_, S>> = Vec::new();
            while let Some(first) = rows.next() {
                batches.push(std::iter::once(first).chain(rows.by_ref().take(BATCH - 1)).collect());
            }
            let verdicts: Vec<Vec<Verdict>> = on_connections(services, batches, |db, rows| {
                db.transaction(|db| stage.record(db, &rows))
                    .unwrap_or_else(|fault: Fault| panic!("{}: {}", S::NAME, fault.text))
            });
            led_to.extend(verdicts.into_iter().flatten().map(|verdict| match verdict {
                Verdict::Done { publish } => publish,
                other => panic!("{}: {other:?}", S::NAME),
            }));
            spent.rows += began.elapsed().as_secs_f64();
        }
        led_to
    }
}

fn item<S: Stage>(stage: &S, envelope: &Envelope) -> Item<S::Job> {
    let seed = envelope.message_id.as_deref().unwrap();
    Item {
        job: stage.decode(&envelope.payload).unwrap_or_else(|fault| panic!("{}: {}", S::NAME, fault.text)),
        lane: Lane::Live,
        correlation_id: envelope.correlation_id.clone(),
        trace: envelope
            .traceparent
            .as_deref()
            .and_then(Traceparent::parse)
            .unwrap_or_else(|| Traceparent::derived(seed)),
        failed_id: None,
        replayed: false,
    }
}

/// Lets messages pass through the queues of all stages, as the runner does, without any work.
fn relay(env: &TestEnv, runtime: &Runtime, first: &[Outgoing], flow: Flow) -> Duration {
    let rabbit = Arc::new(rabbit(env));
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for (stage, led_to) in STAGES.into_iter().zip(flow) {
            let mut consumer = rabbit
                .consume(Source::Stage(stage, Lane::Live), 2 * u16::try_from(BATCH).unwrap())
                .await
                .unwrap();
            let mut publisher = rabbit.publisher().await.unwrap();
            tasks.spawn(async move {
                let (mut left, mut led_to) = (led_to.len(), led_to.into_iter());
                while left > 0 {
                    let batch = consumer.next_batch(BATCH).await.unwrap();
                    let outgoing = led_to.by_ref().take(batch.len()).flatten().collect();
                    publisher.publish(outgoing).await.unwrap();
                    consumer.ack(batch.last().unwrap().tag).await.unwrap();
                    left = left.saturating_sub(batch.len());
                }
            });
        }
        let mut publisher = rabbit.publisher().await.unwrap();
        let began = Instant::now();
        for batch in first.chunks(BATCH) {
            publisher.publish(batch.to_vec()).await.unwrap();
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        let took = began.elapsed();
        rabbit.close().await;
        took
    })
}

//! Upper bounds: each part of the work alone, with all cores.
//!
//! - *rows, documents, mails*: the code of the stages, one stage after another: `load` and `record` of
//!   batches on two connections per core, `decide` and `act` of render, `act` of dispatch (with its ledger in
//!   the tables). The remainder, decoding and deciding in the other stages, is `rest`.
//! - *messages*: the same messages from stage to stage: published, confirmed, consumed, acknowledged.

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

/// Items of a batch, like `work.batch`.
const BATCH: usize = 256;

/// Items that pass a stage together.
const ROUND: usize = 2_048;

/// Items decided before their effects: bounds the documents in memory.
const CHUNK_SIZE: usize = 128;

/// The stages of an application.
pub(crate) const STAGES: [&str; 5] = ["validate", "issue", "mint", "render", "dispatch"];

/// Seconds of each part.
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

/// By stage and message, the messages to publish.
type Flow = Vec<Vec<Vec<Outgoing>>>;

/// The message that a sender publishes for an application.
pub(crate) fn message(application: &Application) -> Outgoing {
    upstream::application(&application.id, application.payload.clone())
}

/// Connects to the broker of an environment.
pub(crate) fn rabbit(env: &TestEnv) -> Rabbit {
    let options = RabbitOptions::new(env.broker.clone(), stages::NAMES.to_vec());
    Rabbit::new(RabbitOptions { prefix: env.prefix.clone(), ..options }).unwrap()
}

/// Measures every part with these applications.
pub(crate) fn measure(env: &TestEnv, applications: &[Application]) -> Spent {
    let runtime = Runtime::new().unwrap();
    let app = runtime.block_on(async { App::open(&env.config(), CancellationToken::new()).unwrap() });
    let mut spent = Spent::default();
    let first: Vec<Outgoing> = applications.iter().map(message).collect();
    let mut flow: Flow = Vec::new();
    let mut incoming = first.clone();
    for stage in STAGES {
        let measure = MeasureStage { app: &app, runtime: &runtime, incoming: &incoming, spent: &mut spent };
        let published = stages::visit(stage, &app, measure).unwrap();
        let to_stages = published
            .iter()
            .flatten()
            .filter(|outgoing| matches!(outgoing.destination, Destination::Stage(..)));
        incoming = to_stages.cloned().collect();
        flow.push(published);
    }
    assert!(incoming.is_empty(), "the last stage has a successor");
    spent.messages = relay(env, &runtime, &first, flow).as_secs_f64();
    runtime.block_on(app.mail_delivery.mailer.close());
    spent
}

/// Runs messages through one stage and measures its parts.
struct MeasureStage<'a> {
    app: &'a App,
    runtime: &'a Runtime,
    incoming: &'a [Outgoing],
    spent: &'a mut Spent,
}

/// Runs `work` on batches, on several database connections at once.
fn on_connections<I: Send, O: Send>(
    app: &App,
    batches: Vec<I>,
    work: impl Fn(&mut hosho_schema::db::Connection, I) -> O + Sync,
) -> Vec<O> {
    let threads = 2 * std::thread::available_parallelism().unwrap().get();
    let batches = Mutex::new(batches.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut connection = app.db.pool().get().unwrap();
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

impl Visitor for MeasureStage<'_> {
    type Output = Vec<Vec<Outgoing>>;

    fn visit<S: Stage>(self, stage: S) -> Self::Output {
        let MeasureStage { app, runtime, incoming, spent } = self;
        let (is_render, is_dispatch) = (S::NAME == "render", S::NAME == "dispatch");
        let mut published = Vec::with_capacity(incoming.len());
        for round in incoming.chunks(ROUND) {
            let began = Instant::now();
            let items: Vec<Item<S::Job>> =
                round.par_iter().map(|outgoing| item(&stage, &outgoing.envelope)).collect();
            spent.rest += began.elapsed().as_secs_f64();

            let began = Instant::now();
            let facts = on_connections(app, items.chunks(BATCH).collect(), |db, items| {
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
            // Send the mails of several batches together, like several processes.
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
            let verdicts: Vec<Vec<Verdict>> = on_connections(app, batches, |db, rows| {
                db.transaction(|db| stage.record(db, &rows))
                    .unwrap_or_else(|fault: Fault| panic!("{}: {}", S::NAME, fault.text))
            });
            published.extend(verdicts.into_iter().flatten().map(|verdict| match verdict {
                Verdict::Done { publish } => publish,
                other => panic!("{}: {other:?}", S::NAME),
            }));
            spent.rows += began.elapsed().as_secs_f64();
        }
        published
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

/// Passes messages through all stage queues like the runner, without any work.
fn relay(env: &TestEnv, runtime: &Runtime, first: &[Outgoing], flow: Flow) -> Duration {
    let rabbit = Arc::new(rabbit(env));
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for (stage, messages) in STAGES.into_iter().zip(flow) {
            let mut consumer = rabbit
                .consume(Source::Stage(stage, Lane::Live), 2 * u16::try_from(BATCH).unwrap())
                .await
                .unwrap();
            let mut publisher = rabbit.publisher().await.unwrap();
            tasks.spawn(async move {
                let (mut remaining, mut messages) = (messages.len(), messages.into_iter());
                while remaining > 0 {
                    let batch = consumer.next_batch(BATCH).await.unwrap();
                    let outgoing = messages.by_ref().take(batch.len()).flatten().collect();
                    publisher.publish(outgoing).await.unwrap();
                    consumer.ack(batch.last().unwrap().tag).await.unwrap();
                    remaining = remaining.saturating_sub(batch.len());
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

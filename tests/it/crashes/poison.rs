//! Only the message that kills its worker becomes a dead letter.
//!
//! The worker is this test binary, started for one test, which runs the product's runner with a stage of the
//! drill: no message is known to kill a stage of the product.

use std::{
    collections::BTreeMap, os::unix::process::ExitStatusExt as _, process::Command, sync::Arc, time::Duration,
};

use hosho::{
    broker::{
        Broker as _, Destination, Envelope, History, Lane, Outgoing, RetryDelay,
        rabbit::{Rabbit, RabbitOptions},
    },
    clock::Clock,
    db::Db,
    fault::{Fault, Reason},
    pipeline::{
        heartbeat::Heartbeat,
        runner::{Runner, Settings},
        stage::{Item, Stage, Verdict},
    },
    stages::NAMES,
};
use hosho_schema::db::{Connection, Pool};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::{LIMIT, acquire_permit, dice};
use crate::harness::{
    amqp::properties,
    postgres::Session,
    process::{Child, eventually, spawn},
    test_env::TestEnv,
};

/// Broker, prefix and database, one a line; set in the helper process only.
const WORKER_ENV: &str = "HOSHO_DRILL_POISON_WORKER";

/// Printed by the worker when its signal handler is installed.
const READY: &str = "Signal handler installed";

/// The payload that aborts the worker.
const POISON: &str = "poison";

/// Harmless messages around the poison.
const NEIGHBOURS: usize = 60;

/// The delivery limit of a message (`broker/names.rs`) plus one.
const ABORTS: usize = 31;

/// A stage that inserts each message into a table, and aborts on the poison.
struct AbortingStage {
    database: String,
}

impl Stage for AbortingStage {
    const NAME: &'static str = "issue";
    type Job = String;
    type Facts = ();
    type Outcome = String;

    fn decode(&self, payload: &[u8]) -> Result<String, Fault> {
        String::from_utf8(payload.to_vec()).map_err(|_| Fault::new(Reason::Undecodable, "not text"))
    }

    fn load(&self, _: &mut Connection, items: &[&Item<String>]) -> Result<Vec<Result<(), Fault>>, Fault> {
        Ok(items.iter().map(|_| Ok(())).collect())
    }

    fn decide(&self, item: &Item<String>, (): ()) -> Result<String, Fault> {
        if item.job == POISON {
            std::process::abort();
        }
        Ok(item.job.clone())
    }

    fn record(&self, _: &mut Connection, items: &[(&Item<String>, String)]) -> Result<Vec<Verdict>, Fault> {
        let mut session = Session::connect(&self.database);
        for (_, body) in items {
            session.query(&format!("insert into processed values ('{body}')"));
        }
        Ok(items.iter().map(|(_, body)| Verdict::done(vec![event(body)])).collect())
    }
}

fn event(body: &str) -> Outgoing {
    let envelope = Envelope {
        message_id: Some(body.to_owned()),
        message_type: None,
        correlation_id: None,
        traceparent: None,
        history: History::default(),
        payload: body.as_bytes().to_vec(),
    };
    Outgoing { destination: Destination::Event("guarantee.issued"), envelope }
}

/// The worker process of the drill below; passes at once in any other run.
#[test]
fn helper_process_that_aborts() {
    let Ok(env) = std::env::var(WORKER_ENV) else { return };
    let [broker, prefix, database] = env.split('\n').collect::<Vec<_>>()[..] else {
        panic!("{WORKER_ENV} is {env:?}")
    };
    let options = RabbitOptions { prefix: prefix.to_owned(), ..RabbitOptions::new(broker, NAMES.to_vec()) };
    Runtime::new().unwrap().block_on(async {
        let mut terminate = signal(SignalKind::terminate()).unwrap();
        println!("{READY}");
        let stop = CancellationToken::new();
        let rabbit = Rabbit::new(options).unwrap();
        let clock = Clock::system();
        let runner = Runner {
            broker: Arc::new(rabbit.clone()),
            db: Db::new(Pool::open(database, 2).unwrap()),
            heartbeat: Heartbeat::new(&clock),
            clock,
            settings: Settings {
                batch: 256,
                max_message_bytes: 1_000,
                retry_delays: vec![RetryDelay::S1],
                hold: Duration::from_mins(1),
            },
            stop: stop.clone(),
            probe: Arc::new(|_| Box::pin(std::future::ready(Ok(())))),
            priority: hosho::pipeline::priority::Priority::default(),
        };
        let running =
            tokio::spawn(runner.run(Arc::new(AbortingStage { database: database.to_owned() }), Lane::Live));
        terminate.recv().await;
        stop.cancel();
        running.await.unwrap();
        rabbit.close().await;
    });
}

/// Starts the worker again after `aborts` aborts.
fn start(env: &TestEnv, aborts: usize) -> Child {
    let (_, module) = module_path!().split_once("::").unwrap();
    // Disable core dumps.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c 0; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("{module}::helper_process_that_aborts"), "--nocapture"]);
    command.env(WORKER_ENV, [env.broker(), &env.prefix, &env.database].join("\n"));
    spawn(command, &env.path(&format!("worker-{aborts}.log")))
}

#[test]
fn dead_letters_only_the_message_that_aborts() {
    let _permit = acquire_permit();
    let mut dice = dice();
    let mut env = TestEnv::new("poison");
    let mut sql = Session::connect(&env.database);
    sql.query("create table processed (body text not null)");
    let (tap, client) = (env.tap(), env.client());
    let mut bodies: Vec<String> = (0..NEIGHBOURS).map(|number| format!("neighbour {number}")).collect();
    let position = dice.below(NEIGHBOURS + 1);
    bodies.insert(position, POISON.to_owned());
    for body in &bodies {
        client.publish(
            &format!("{}work", env.prefix),
            "issue",
            body.as_bytes(),
            properties(body, &[]).with_delivery_mode(2),
        );
    }

    // Ingests dead letters; runs another stage.
    let ingester = env.work_on(&["dispatch"], &[]);
    let mut aborts = 0;
    let mut worker = start(&env, 0);
    eventually("every message is processed or a dead letter", LIMIT, || {
        if let Some(status) = worker.ended_within(Duration::ZERO) {
            assert_eq!(
                status.signal(),
                Some(libc::SIGABRT),
                "unexpected exit: {status}\n{}",
                worker.output()
            );
            aborts += 1;
            worker = start(&env, aborts);
        }
        let processed = sql.query("select count(*) from processed").remove(0).remove(0);
        (processed.unwrap().parse::<usize>().unwrap() >= NEIGHBOURS && env.rows("failed_message") > 0)
            .then_some(())
    });
    eprintln!("poison at {position} of {NEIGHBOURS}; {aborts} aborts");
    assert_eq!(aborts, ABORTS);
    eventually("the last worker is ready", LIMIT, || worker.output().contains(READY).then_some(()));
    // Neither requeues a message on exit.
    assert_eq!(env.drain(worker), BTreeMap::new());
    assert_eq!(env.drain(ingester), BTreeMap::new());

    let neighbours: Vec<String> = bodies.iter().filter(|body| *body != POISON).cloned().collect();
    let sorted = |mut bodies: Vec<String>| {
        bodies.sort();
        bodies
    };
    let processed =
        sql.query("select body from processed").into_iter().map(|mut row| row.remove(0).unwrap()).collect();
    assert_eq!(sorted(processed), sorted(neighbours.clone()), "each neighbour once");
    let events = tap
        .events("guarantee.issued")
        .into_iter()
        .map(|event| String::from_utf8(event.body).unwrap())
        .collect();
    assert_eq!(sorted(events), sorted(neighbours), "one event for each neighbour");
    let dead: Vec<Vec<u8>> = tap.dead().into_iter().map(|message| message.body).collect();
    assert_eq!(dead, [POISON.as_bytes()]);
    let rows = sql.query("select stage, message_id, origin, code, state, attempts, convert_from(payload, 'UTF8') from failed_message");
    let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.into_iter().flatten().collect()).collect();
    assert_eq!(rows, [["issue", POISON, "delivery_limit", "delivery.limit", "failed", "0", POISON]]);
}

//! A message that kills whoever works on it: it is buried alone.
//!
//! The process that dies is this test binary itself, started again for one test, which runs the program's own runner with a
//! stage of the drill. No message kills the program's own stages that anybody knows of.

use std::{
    collections::BTreeMap, os::unix::process::ExitStatusExt as _, process::Command, sync::Arc, time::Duration,
};

use hosho::{
    broker::{
        Broker as _, Destination, Envelope, History, Lane, Outgoing, RetryDelay,
        rabbit::{Rabbit, RabbitOptions},
    },
    clock::Clock,
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

use super::{LIMIT, dice, place};
use crate::harness::{
    amqp::properties,
    postgres::Session,
    process::{Child, eventually, spawn},
    test_env::TestEnv,
};

/// Tells a process that it is the one to die, and where it works: broker, prefix, database, one a line.
const HOUSE: &str = "HOSHO_DRILL_POISONED_HOUSE";

/// Said by that process once it can be asked to stop.
const LISTENS: &str = "It can be asked to stop.";

/// What must never be worked on.
const POISON: &str = "poison";

/// Messages before and behind it.
const NEIGHBOURS: usize = 60;

/// Deliveries that a message may have (`broker/names.rs`), and the one that is too many.
const DEATHS: usize = 31;

/// Writes each message down, and dies of one.
struct Victim {
    database: String,
}

impl Stage for Victim {
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
            session.query(&format!("insert into worked_off values ('{body}')"));
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

/// No test of its own: the process of the drill below.
#[test]
fn the_process_that_dies() {
    let Ok(env) = std::env::var(HOUSE) else { return };
    let [broker, prefix, database] = env.split('\n').collect::<Vec<_>>()[..] else {
        panic!("{HOUSE} is {env:?}")
    };
    let options = RabbitOptions { prefix: prefix.to_owned(), ..RabbitOptions::new(broker, NAMES.to_vec()) };
    Runtime::new().unwrap().block_on(async {
        let mut terminate = signal(SignalKind::terminate()).unwrap();
        println!("{LISTENS}");
        let stop = CancellationToken::new();
        let rabbit = Rabbit::new(options).unwrap();
        let clock = Clock::system();
        let runner = Runner {
            broker: Arc::new(rabbit.clone()),
            pool: Pool::open(database, 2).unwrap(),
            heartbeat: Heartbeat::new(&clock),
            clock,
            settings: Settings {
                batch: 256,
                max_message_bytes: 1_000,
                rungs: vec![RetryDelay::S1],
                hold: Duration::from_mins(1),
            },
            stop: stop.clone(),
            probe: Arc::new(|_| Box::pin(std::future::ready(Ok(())))),
            priority: hosho::pipeline::priority::Priority::default(),
        };
        let running =
            tokio::spawn(runner.run(Arc::new(Victim { database: database.to_owned() }), Lane::Live));
        terminate.recv().await;
        stop.cancel();
        running.await.unwrap();
        rabbit.close().await;
    });
}

/// Starts the process that is to die, for the so manieth time.
fn start(env: &TestEnv, life: usize) -> Child {
    let (_, room) = module_path!().split_once("::").unwrap();
    // Without an image of its memory for each death.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c 0; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("{room}::the_process_that_dies"), "--nocapture"]);
    command.env(HOUSE, [env.broker(), &env.prefix, &env.database].join("\n"));
    spawn(command, &env.path(&format!("victim-{life}.log")))
}

#[test]
fn a_message_that_kills_its_process_is_buried_alone() {
    let _place = place();
    let mut dice = dice();
    let mut env = TestEnv::new("poison");
    let mut sql = Session::connect(&env.database);
    sql.query("create table worked_off (body text not null)");
    let (tap, client) = (env.tap(), env.client());
    let mut bodies: Vec<String> = (0..NEIGHBOURS).map(|number| format!("neighbour {number}")).collect();
    let place = dice.below(NEIGHBOURS + 1);
    bodies.insert(place, POISON.to_owned());
    for body in &bodies {
        client.publish(
            &format!("{}work", env.prefix),
            "issue",
            body.as_bytes(),
            properties(body, &[]).with_delivery_mode(2),
        );
    }

    // Takes in the dead letters; has no hand in the stage.
    let program = env.work_on(&["dispatch"], &[]);
    let mut deaths = 0;
    let mut victim = start(&env, 0);
    eventually("all is worked off or buried", LIMIT, || {
        if let Some(status) = victim.ended_within(Duration::ZERO) {
            assert_eq!(
                status.signal(),
                Some(libc::SIGABRT),
                "it ended otherwise: {status}\n{}",
                victim.output()
            );
            deaths += 1;
            victim = start(&env, deaths);
        }
        let worked_off = sql.query("select count(*) from worked_off").remove(0).remove(0);
        (worked_off.unwrap().parse::<usize>().unwrap() >= NEIGHBOURS && env.rows("failed_message") > 0)
            .then_some(())
    });
    eprintln!("place {place} of {NEIGHBOURS}; {deaths} deaths");
    assert_eq!(deaths, DEATHS);
    eventually("the last one listens", LIMIT, || victim.output().contains(LISTENS).then_some(()));
    // Both give back what they hold: nothing.
    assert_eq!(env.drain(victim), BTreeMap::new());
    assert_eq!(env.drain(program), BTreeMap::new());

    let neighbours: Vec<String> = bodies.iter().filter(|body| *body != POISON).cloned().collect();
    let sorted = |mut bodies: Vec<String>| {
        bodies.sort();
        bodies
    };
    let worked_off =
        sql.query("select body from worked_off").into_iter().map(|mut row| row.remove(0).unwrap()).collect();
    assert_eq!(sorted(worked_off), sorted(neighbours.clone()), "each neighbour once");
    let events = tap
        .events("guarantee.issued")
        .into_iter()
        .map(|event| String::from_utf8(event.body).unwrap())
        .collect();
    assert_eq!(sorted(events), sorted(neighbours), "each neighbour is told of once");
    let letters: Vec<Vec<u8>> = tap.dead().into_iter().map(|letter| letter.body).collect();
    assert_eq!(letters, [POISON.as_bytes()]);
    let rows = sql.query("select stage, message_id, origin, code, state, attempts, convert_from(payload, 'UTF8') from failed_message");
    let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.into_iter().flatten().collect()).collect();
    assert_eq!(rows, [["issue", POISON, "delivery_limit", "delivery.limit", "failed", "0", POISON]]);
}

//! Throughput with a million stored guarantees (a national year), and re-issuing.

use std::{
    collections::BTreeMap,
    ops::Range,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::json;

use crate::{
    applications::{Applications, SOURCE},
    harness::dataset,
    pipeline::{self, Sent},
    processes::{self, MemorySampler},
    servers::{Servers, TestEnv},
};

/// A nightly run of re-issues, alone or beside live applications.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Night {
    pub(crate) stored: i64,
    pub(crate) reissued: usize,
    pub(crate) workers: usize,
    /// `batch.rate`: guarantees a second at most.
    pub(crate) rate: usize,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// Processor time a guarantee in ms, by process, live applications included.
    pub(crate) cpu_ms: BTreeMap<&'static str, f64>,
    pub(crate) memory: BTreeMap<&'static str, u64>,
    /// Live applications a second, which have priority over bulk work; 0 for none.
    pub(crate) live_per_second: u32,
    /// p50, p95 and p99 of live applications in ms; empty if there are none.
    pub(crate) live_before_ms: BTreeMap<&'static str, [f64; 3]>,
    pub(crate) live_meanwhile_ms: BTreeMap<&'static str, [f64; 3]>,
}

/// Issues one guarantee and copies its rows; returns the id of its application.
pub(crate) fn store(env: &mut TestEnv, count: usize) -> String {
    let examples = include_str!("../../examples/applications.jsonl");
    let mut application: serde_json::Value = serde_json::from_str(examples.lines().next().unwrap()).unwrap();
    application["products"].as_array_mut().unwrap().truncate(1);
    application["source"] = SOURCE.into();
    application["notification"] = json!({ "wanted": false });
    let file = env.path("one.json");
    std::fs::write(&file, application.to_string()).unwrap();
    let before = pipeline::issued(env);
    env.workers(1);
    env.succeed(&["enqueue", file.to_str().unwrap()]);
    pipeline::until(env, before + 1, Duration::from_mins(2));
    let id = hosho_schema::ids::application(SOURCE, application["id"].as_str().unwrap());
    dataset::copy(&mut env.sql, &id, count);
    env.sql.query("checkpoint");
    id
}

/// Live applications measured before the run.
const BEFORE: usize = 100;

/// Longer than bulk work waits after a live application.
const LIVE_PRIORITY: Duration = Duration::from_secs(62);

/// Re-issues stored guarantees while live applications arrive at a rate.
#[expect(clippy::cast_precision_loss, reason = "approximate figures")]
pub(crate) fn night(
    servers: &Servers,
    env: &mut TestEnv,
    applications: &mut Applications,
    copies: &str,
    among: Range<usize>,
    rate: usize,
    live: u32,
) -> Night {
    let (workers, count) = (crate::setting("NIGHT_WORKERS", 1), among.len());
    dataset::amend(&mut env.sql, SOURCE, copies, among.start, count);
    env.sql.query("analyze change");
    let groups = servers.groups(&env.workers(workers));
    let stored = env.number("select count(*) from guarantee");
    let few = applications.next(if live == 0 { 0 } else { BEFORE });
    let before = pipeline::issued(env);
    let sent = pipeline::publish_at_rate(env, &few, f64::from(live));
    pipeline::until(env, before + pipeline::guarantees(&few), Duration::from_mins(2));
    let live_before_ms = pipeline::times(env, &sent);
    if live == 0 {
        std::thread::sleep(LIVE_PRIORITY);
    }

    let cpu = processes::seconds(&groups);
    let sampler = MemorySampler::start(&groups);
    let began = Instant::now();
    env.succeed(&["batch", "start", "--reason", "benchmark", "--detach", "--rate", &rate.to_string()]);
    let mut meanwhile = Sent::new();
    let longest = Duration::from_mins(5) + Duration::from_millis(40) * u32::try_from(count).unwrap();
    loop {
        env.assert_alive();
        assert!(began.elapsed() < longest, "the run does not end");
        if live == 0 {
            std::thread::sleep(Duration::from_millis(500));
        }
        meanwhile.extend(pipeline::publish_at_rate(
            env,
            &applications.next(2 * live as usize),
            f64::from(live),
        ));
        if env.number("select count(*) from job_run where finished_at is null") == 0 {
            break;
        }
    }
    let sql = "select extract(epoch from finished_at - created_at)::text, state from job_run order by created_at desc limit 1";
    let run = env.sql.query(sql).remove(0);
    assert_eq!(run[1].as_deref(), Some("complete"));
    let seconds: f64 = run[0].as_deref().unwrap().parse().unwrap();
    let (cpu_after, memory) = (processes::seconds(&groups), sampler.stop());
    // Live applications may still be in flight.
    pipeline::until(env, 0, Duration::from_mins(2));
    assert_eq!(
        env.number("select count(*) from revision where revision = 1"),
        i64::try_from(among.end).unwrap()
    );
    Night {
        stored,
        reissued: count,
        workers,
        rate,
        seconds,
        per_second: count as f64 / seconds,
        cpu_ms: cpu
            .into_iter()
            .map(|(name, before)| (name, (cpu_after[name] - before) * 1_000.0 / count as f64))
            .collect(),
        memory,
        live_per_second: live,
        live_before_ms,
        live_meanwhile_ms: pipeline::times(env, &meanwhile),
    }
}

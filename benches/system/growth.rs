//! A whole country's yearly book: applications beside a million guarantees, and re-issuing by night.

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
    processes::{self, Watch},
    servers::{Servers, TestEnv},
};

/// Re-issuing, alone or with live applications coming in.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Night {
    pub(crate) stored: i64,
    pub(crate) reissued: usize,
    pub(crate) workers: usize,
    /// Guarantees a second at most, as `batch.rate`.
    pub(crate) rate: usize,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// Milliseconds of processor time for each guarantee, by process, live applications included.
    pub(crate) cpu_ms: BTreeMap<&'static str, f64>,
    pub(crate) memory: BTreeMap<&'static str, u64>,
    /// Live applications a second: bulk work gives way to them. None, and it has the whole machine.
    pub(crate) live_per_second: u32,
    /// p50, p95 and p99 of live applications, by stage and the whole way, in milliseconds, before and meanwhile; empty without.
    pub(crate) live_before_ms: BTreeMap<&'static str, [f64; 3]>,
    pub(crate) live_meanwhile_ms: BTreeMap<&'static str, [f64; 3]>,
}

/// Copies one guarantee of the program's own until there are `count` more; returns the application that was copied.
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

/// Live applications that are measured before the night.
const BEFORE: usize = 100;

/// For how long after a live application bulk work gives way, and a little more.
const REMEMBERED: Duration = Duration::from_secs(62);

/// Re-issues guarantees of those stored, while applications come at a rate.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
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
    let sent = pipeline::trickle(env, &few, f64::from(live));
    pipeline::until(env, before + pipeline::guarantees(&few), Duration::from_mins(2));
    let live_before_ms = pipeline::times(env, &sent);
    if live == 0 {
        std::thread::sleep(REMEMBERED);
    }

    let cpu = processes::seconds(&groups);
    let watch = Watch::begin(&groups);
    let began = Instant::now();
    env.succeed(&["batch", "start", "--reason", "a measurement", "--detach", "--rate", &rate.to_string()]);
    let mut meanwhile = Sent::new();
    let longest = Duration::from_mins(5) + Duration::from_millis(40) * u32::try_from(count).unwrap();
    loop {
        env.assert_alive();
        assert!(began.elapsed() < longest, "the run does not end");
        if live == 0 {
            std::thread::sleep(Duration::from_millis(500));
        }
        meanwhile.extend(pipeline::trickle(env, &applications.next(2 * live as usize), f64::from(live)));
        if env.number("select count(*) from job_run where finished_at is null") == 0 {
            break;
        }
    }
    let sql = "select extract(epoch from finished_at - created_at)::text, state from job_run order by created_at desc limit 1";
    let run = env.sql.query(sql).remove(0);
    assert_eq!(run[1].as_deref(), Some("complete"));
    let seconds: f64 = run[0].as_deref().unwrap().parse().unwrap();
    let (cpu_after, memory) = (processes::seconds(&groups), watch.end());
    // The newest may still be on their way.
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

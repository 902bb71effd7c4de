//! The whole pipeline: worker processes on private servers.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chrono::NaiveDateTime;
use hosho::{broker::Broker, clock::Clock};
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::{
    applications::{Application, Applications},
    parts,
    processes::{self, MemorySampler},
    servers::{Servers, TestEnv},
};

/// A run, from the first application enqueued to the last mail accepted.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    pub(crate) applications: usize,
    pub(crate) guarantees: usize,
    pub(crate) workers: usize,
    /// Guarantees stored before the run.
    pub(crate) stored: i64,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// Milliseconds of processor time for each application, by process.
    pub(crate) cpu_ms: BTreeMap<&'static str, f64>,
    /// Peak memory (PSS) in bytes, by process.
    pub(crate) memory: BTreeMap<&'static str, u64>,
    /// Memory of the workers after the run, in bytes.
    pub(crate) memory_after: u64,
    /// Bytes of the tables and of the documents for each application.
    pub(crate) table_bytes: u64,
    pub(crate) document_bytes: u64,
}

/// Latency of applications that arrive at a rate, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Latency {
    /// Share of the measured throughput of the pipeline.
    pub(crate) load: f64,
    pub(crate) per_second: f64,
    pub(crate) applications: usize,
    /// p50, p95, p99 of each stage and in total.
    pub(crate) stages: BTreeMap<&'static str, [f64; 3]>,
}

/// Deadline for a number of applications.
pub(crate) fn deadline(applications: usize) -> Duration {
    Duration::from_mins(3) + Duration::from_millis(40) * u32::try_from(applications).unwrap()
}

/// Guarantees issued so far.
/// Sums a few rows: a query that scans a table would distort the measurement.
pub(crate) fn issued(env: &mut TestEnv) -> i64 {
    env.number("select coalesce(sum(last), 0)::bigint from guarantee_sequence")
}

/// Polls twice a second until `count` guarantees are issued and all are complete.
pub(crate) fn until(env: &mut TestEnv, count: i64, longest: Duration) {
    let began = Instant::now();
    // The second query uses a partial index.
    while issued(env) < count || env.number("select count(*) from revision where completed_at is null") > 0 {
        env.assert_alive();
        assert!(began.elapsed() < longest, "not within {longest:?}: {count} guarantees");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Processes some applications, so that connections are open and caches warm.
pub(crate) fn warm_up(env: &mut TestEnv, applications: &mut Applications, count: usize) {
    let before = issued(env);
    let batch = applications.next(count);
    enqueue(env, &batch);
    until(env, before + guarantees(&batch), deadline(count));
}

pub(crate) fn guarantees(applications: &[Application]) -> i64 {
    i64::try_from(applications.iter().map(|application| application.guarantees).sum::<usize>()).unwrap()
}

fn enqueue(env: &TestEnv, applications: &[Application]) {
    let runtime = Runtime::new().unwrap();
    let rabbit = parts::rabbit(env);
    runtime.block_on(async {
        let mut publisher = rabbit.publisher().await.unwrap();
        for batch in applications.chunks(256) {
            publisher.publish(batch.iter().map(parts::message).collect()).await.unwrap();
        }
        rabbit.close().await;
    });
}

/// Processes `count` applications with `workers` processes.
#[expect(clippy::cast_precision_loss, reason = "approximate figures")]
pub(crate) fn run(
    servers: &Servers,
    env: &mut TestEnv,
    applications: &mut Applications,
    count: usize,
    workers: usize,
) -> Run {
    let groups = servers.groups(&env.workers(workers));
    let batch = applications.next(count);
    let stored = env.number("select count(*) from guarantee");
    let before = issued(env);
    let (tables, documents) = env.bytes();
    let cpu = processes::seconds(&groups);
    let sampler = MemorySampler::start(&groups);
    let first = Clock::system().now();
    enqueue(env, &batch);
    until(env, before + guarantees(&batch), deadline(count));
    let cpu_after = processes::seconds(&groups);
    let memory = sampler.stop();
    let memory_after = processes::memory(&groups[0].1);
    let sql = format!("select extract(epoch from max(settled_at) - timestamp '{first}')::text from mail");
    let seconds: f64 = env.sql.query(&sql)[0][0].as_deref().unwrap().parse().unwrap();
    assert_eq!(env.number("select count(*) from failed_message"), 0, "messages failed");
    assert_eq!(
        env.number("select count(*) from mail where state <> 'accepted'"),
        0,
        "mails were not accepted"
    );
    let (tables_after, documents_after) = env.bytes();
    let each = count as f64;
    Run {
        applications: count,
        guarantees: guarantees(&batch).try_into().unwrap(),
        workers,
        stored,
        seconds,
        per_second: each / seconds,
        cpu_ms: cpu
            .into_iter()
            .map(|(name, before)| (name, (cpu_after[name] - before) * 1_000.0 / each))
            .collect(),
        memory,
        memory_after,
        table_bytes: tables_after.saturating_sub(tables) / count as u64,
        document_bytes: documents_after.saturating_sub(documents) / count as u64,
    }
}

/// Publishes applications one by one at a rate, and measures their latency.
pub(crate) fn latency(
    env: &mut TestEnv,
    applications: &mut Applications,
    load: f64,
    per_second: f64,
    seconds: f64,
) -> Latency {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of applications")]
    let count = (per_second * seconds).ceil() as usize;
    let batch = applications.next(count);
    let before = issued(env);
    let sent = publish_at_rate(env, &batch, per_second);
    until(env, before + guarantees(&batch), deadline(count));
    Latency { load, per_second, applications: count, stages: times(env, &sent) }
}

/// The time of publishing by application id.
pub(crate) type Sent = BTreeMap<String, NaiveDateTime>;

/// Publishes applications at a rate.
pub(crate) fn publish_at_rate(env: &TestEnv, applications: &[Application], per_second: f64) -> Sent {
    if applications.is_empty() {
        return Sent::new();
    }
    let runtime = Runtime::new().unwrap();
    let rabbit = parts::rabbit(env);
    runtime.block_on(async {
        let mut publisher = rabbit.publisher().await.unwrap();
        let mut sent = Sent::new();
        let began = Instant::now();
        let mut at = 0;
        while at < applications.len() {
            // Publish all that are due: several, if a confirm takes longer than the interval.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count of applications"
            )]
            let due = ((began.elapsed().as_secs_f64() * per_second) as usize + 1).min(applications.len());
            if due > at {
                let now = Clock::system().now();
                publisher.publish(applications[at..due].iter().map(parts::message).collect()).await.unwrap();
                sent.extend(applications[at..due].iter().map(|application| (application.id.clone(), now)));
                at = due;
            } else {
                tokio::time::sleep(Duration::from_secs_f64(0.2 / per_second)).await;
            }
        }
        rabbit.close().await;
        sent
    })
}

/// p50, p95 and p99 of each stage and in total, in milliseconds.
pub(crate) fn times(env: &mut TestEnv, sent: &Sent) -> BTreeMap<&'static str, [f64; 3]> {
    let Some(first) = sent.values().min() else { return BTreeMap::new() };
    let rows = env.sql.query(&format!(
        "select a.upstream_id, a.decided_at, g.issued_at, k.minted_at, c.arrived_at, m.settled_at, c.completed_at
         from application a join guarantee g on g.application_id = a.id join revision c on c.guarantee_id = g.id and c.revision = 0
         join authentication_key k on k.guarantee_id = g.id join mail m on m.revision_id = c.id
         where a.decided_at >= timestamp '{first}'"
    ));
    let mut found: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    for row in rows {
        let row: Vec<String> = row.into_iter().flatten().collect();
        let Some(sent) = sent.get(&row[0]) else { continue };
        let stamps: Vec<NaiveDateTime> =
            row[1..].iter().map(|text| text.replace(' ', "T").parse().unwrap()).collect();
        let mut last = *sent;
        for (stage, stamp) in parts::STAGES.into_iter().zip(stamps[..4].iter().chain(&stamps[5..])) {
            found.entry(stage).or_default().push(millis(*stamp - last));
            last = *stamp;
        }
        found.entry("whole").or_default().push(millis(stamps[4] - *sent));
    }
    found.into_iter().map(|(stage, times)| (stage, percentiles(times))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds")]
fn millis(time: chrono::TimeDelta) -> f64 {
    time.num_microseconds().unwrap_or(i64::MAX) as f64 / 1_000.0
}

/// p50, p95, p99.
pub(crate) fn percentiles(mut times: Vec<f64>) -> [f64; 3] {
    times.sort_by(f64::total_cmp);
    [50, 95, 99].map(|percent| {
        times.get((times.len() * percent).div_ceil(100).max(1) - 1).copied().unwrap_or(f64::NAN)
    })
}

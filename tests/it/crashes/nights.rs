//! A nightly run re-issues all guarantees although driver and workers are killed.
//!
//! `HOSHO_DRILL_NIGHT` is the number of applications (36,000 have some 50,000 guarantees),
//! `HOSHO_DRILL_NIGHT_KILLS` the number of kills, `HOSHO_DRILL_NIGHT_RATE` the guarantees a second at most.
//! `HOSHO_DRILL_NIGHT_LIVE` live applications are published before the run and as many during it; their
//! latency is printed, not checked.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    time::{Duration, Instant},
};

use hosho::broker::{
    Broker,
    rabbit::{Rabbit, RabbitOptions},
};
use serde_json::{Value, json};

use super::{
    acquire_permit,
    applications::{Application, SOURCE, Totals, throw},
    dice, setting,
    worker_pool::{Progress, WorkerPool},
};
use crate::harness::{process::eventually, test_env::TestEnv, upstream};

/// Deadline for the whole run.
fn deadline(applications: usize) -> Duration {
    Duration::from_mins(5) + Duration::from_millis(200) * u32::try_from(applications).unwrap()
}

/// One amendment per guarantee: the contractor has a new representative.
fn amendments(application: &Application, numbers: &[String]) -> Vec<Value> {
    let document = application.document();
    let mut principal = document["principal"].clone();
    let representative = match principal["kind"].as_str() {
        Some("company") => &mut principal["representative"],
        _ => &mut principal["representative"]["representative"],
    };
    *representative = json!(format!("{}　改", representative.as_str().unwrap()));
    let lines = document["products"].as_array().unwrap();
    let amendment = |(line, number): (&Value, &String)| {
        let mut product = line.clone();
        product.as_object_mut().unwrap().retain(|field, _| {
            ["medium", "amount", "this_year_base", "bank", "redeposit"].contains(&field.as_str())
        });
        json!({
            "kind": "amendment", "source": SOURCE, "id": format!("c-{number}"), "guarantee": number, "version": 1,
            "after": { "works": document["works"], "principal": principal, "product": product },
        })
    };
    lines.iter().zip(numbers).map(amendment).collect()
}

/// Publishes applications one after another.
/// Returns the time from publishing to completion of each.
fn publish_one_by_one(pool: &mut WorkerPool, applications: &[Application]) -> Vec<Duration> {
    let options = RabbitOptions {
        prefix: pool.env.prefix.clone(),
        ..RabbitOptions::new(pool.env.broker(), hosho::stages::NAMES.to_vec())
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let rabbit = Rabbit::new(options).unwrap();
    let mut publisher = runtime.block_on(rabbit.publisher()).unwrap();
    let mut times = Vec::new();
    for application in applications {
        let id = hosho_schema::ids::application(SOURCE, &application.id);
        let message = upstream::application(&application.id, application.document().to_string().into_bytes());
        let began = Instant::now();
        runtime.block_on(publisher.publish(vec![message])).unwrap();
        let done = format!(
            "select count(*) from guarantee g join revision c on c.guarantee_id = g.id
             where g.application_id = '{id}' and c.completed_at is not null"
        );
        eventually("a live application", Duration::from_mins(2), || {
            (pool.number(&done) == application.lines.len()).then_some(())
        });
        times.push(began.elapsed());
    }
    runtime.block_on(rabbit.close());
    times
}

/// p95 of each stage, measured from the stage before, in milliseconds.
fn p95_by_stage(pool: &mut WorkerPool, applications: &[Application]) -> String {
    let ids: Vec<String> = applications
        .iter()
        .map(|at| format!("'{}'", hosho_schema::ids::application(SOURCE, &at.id)))
        .collect();
    let stages = [
        ("issue", "g.issued_at - a.decided_at"),
        ("mint", "k.minted_at - g.issued_at"),
        ("render", "c.arrived_at - k.minted_at"),
        ("mail", "m.settled_at - c.arrived_at"),
        ("dispatch", "c.completed_at - coalesce(m.settled_at, c.arrived_at)"),
    ];
    let columns = stages.map(|(_, took)| {
        format!("coalesce(round(percentile_cont(0.95) within group (order by extract(epoch from {took}) * 1000))::text, '-')")
    });
    let rows = pool.sql.query(&format!(
        "select {} from application a join guarantee g on g.application_id = a.id
         join revision c on c.guarantee_id = g.id and c.revision = 0 join authentication_key k on k.guarantee_id = g.id
         left join mail m on m.revision_id = c.id where a.id in ({})",
        columns.join(", "),
        ids.join(", ")
    ));
    stages
        .iter()
        .zip(&rows[0])
        .map(|((stage, _), time)| format!("{stage} {}", time.as_deref().unwrap()))
        .collect::<Vec<_>>()
        .join(", ")
}

fn p95(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[(times.len() * 95).div_ceil(100) - 1]
}

#[test]
#[expect(clippy::too_many_lines, reason = "one scenario")]
fn reissues_each_guarantee_once_despite_killed_workers() {
    let _permit = acquire_permit();
    let mut dice = dice();
    let size = setting("NIGHT").unwrap_or(150);
    // Measured before and during the run.
    let live_each = setting("NIGHT_LIVE").unwrap_or(15);
    let kills: usize = setting("NIGHT_KILLS").unwrap_or(3);
    let applications = throw(&mut dice, size + 2 * live_each);
    let (live, applications) = applications.split_at(2 * live_each);
    let totals = Totals::of(applications);
    let mut pool = WorkerPool::new(TestEnv::new("nights"), size);
    pool.start(&[
        ("BATCH__LEASE_SECONDS", "5"),
        ("DATABASE__CONNECTIONS", "40"),
        ("BATCH__REPORT_FOLDER", &pool.env.path("reports").display().to_string()),
    ]);
    pool.enqueue(applications, 1);
    pool.until(Progress::Completed, totals.guarantees);

    // By day, every guarantee gets an amendment, which stays pending.
    let ids: Vec<(String, String)> =
        applications.iter().map(|application| (SOURCE.to_owned(), application.id.clone())).collect();
    let mut lines = String::new();
    for (application, status) in applications.iter().zip(pool.env.statuses(&ids)) {
        let numbers: Vec<String> =
            status.guarantees.iter().map(|found| found.guarantee.number.clone()).collect();
        for amendment in amendments(application, &numbers) {
            writeln!(lines, "{amendment}").unwrap();
        }
    }
    let file = pool.env.path("changes.jsonl");
    std::fs::write(&file, lines).unwrap();
    pool.env.enqueue_from_python(&file);
    eventually("every amendment is decided", deadline(size), || {
        pool.assert_alive();
        (pool.number("select count(*) from change") == totals.guarantees).then_some(())
    });
    assert_eq!(pool.number("select count(*) from change where state <> 'pending'"), 0);
    assert_eq!(pool.number("select count(*) from revision where revision > 0"), 0);
    let keys = pool
        .sql
        .query("select guarantee_id, encode(sealed, 'hex') from authentication_key order by guarantee_id");
    // Production has planner statistics after a day.
    pool.sql.query("analyze");
    let (first, second) = live.split_at(live_each);
    let idle = publish_one_by_one(&mut pool, first);

    // The nightly run.
    let began = Instant::now();
    // By default slow enough for the kills.
    let rate = setting("NIGHT_RATE").unwrap_or_else(|| (totals.guarantees / 20).clamp(5, 400)).to_string();
    pool.env.succeed(&["batch", "start", "--reason", "drill", "--detach", "--rate", &rate]);
    let busy = publish_one_by_one(&mut pool, second);
    // A query that scans a table would add load.
    let done = "select coalesce(max(selected), 0) from job_run";
    let mut in_flight: BTreeSet<String> = BTreeSet::new();
    let so_far = pool.number(done);
    assert!(so_far < totals.guarantees, "the run ended before the first kill: too few guarantees");
    for kill in 0..kills {
        let at = so_far + (kill + 1) * (totals.guarantees - so_far) / (kills + 2);
        eventually(&format!("{at} selected"), deadline(size), || {
            pool.assert_alive();
            (pool.number(done) >= at).then_some(())
        });
        // The first kill hits both workers, and so the driver of the run.
        let victims: &[usize] = if kill == 0 { &[0, 1] } else { [&[0][..], &[1], &[0, 1]][dice.below(3)] };
        in_flight.extend(pool.kill(victims));
        eprintln!("kill {}: {victims:?} at {at} selected or more", kill + 1);
        pool.start(&[]);
    }
    eventually("the end of the run", deadline(size), || {
        pool.assert_alive();
        (pool.number("select count(*) from job_run where state in ('complete', 'complete_with_failures')")
            == 1)
            .then_some(())
    });
    let took = began.elapsed();
    let run = pool.sql.query("select state, total, selected, takeovers from job_run").remove(0);
    let run: Vec<String> = run.into_iter().flatten().collect();
    eprintln!(
        "{} guarantees re-issued in {:.1} s with {kills} kills, {} a second; driven by {} processes",
        totals.guarantees,
        took.as_secs_f64(),
        u128::try_from(totals.guarantees).unwrap() * 1_000 / took.as_millis().max(1),
        run[3]
    );
    for (when, applications) in [("before", first), ("during the run", second)] {
        eprintln!("live applications {when}, p95 in ms: {}", p95_by_stage(&mut pool, applications));
    }
    let (idle, busy) = (p95(&idle), p95(&busy));
    eprintln!(
        "live applications, p95: {idle:?} before, {busy:?} during the run, ratio {:.2}",
        busy.as_secs_f64() / idle.as_secs_f64()
    );

    let guarantees = totals.guarantees.to_string();
    assert_eq!(run[..3], ["complete", &guarantees, &guarantees]);
    assert!(run[3].parse::<usize>().unwrap() > 1, "the driver of the run was never killed");
    pool.drain();
    // Each guarantee is re-issued once, with its documents and its old key.
    let live_guarantees: usize = live.iter().map(|application| application.lines.len()).sum();
    for (sql, expected) in [
        ("select count(*) from revision where revision = 1", totals.guarantees),
        ("select count(*) from revision", 2 * totals.guarantees + live_guarantees),
        ("select count(*) from revision where completed_at is null", 0),
        ("select count(*) from change where state = 'effective' and revision = 1", totals.guarantees),
        ("select count(*) from run_item where state = 'done' and outcome = 'reissued'", totals.guarantees),
        ("select count(*) from run_item", totals.guarantees),
        ("select count(*) from outbox", 0),
        ("select count(*) from guarantee where current_revision = 1", totals.guarantees),
        (
            "select count(*) from document d join revision c on c.id = d.revision_id where c.revision = 1",
            totals.documents,
        ),
        (
            "select count(*) from mail m join revision c on c.id = m.revision_id where c.revision = 1",
            totals.mails,
        ),
        ("select count(*) from mail where state not in ('accepted', 'unknown')", 0),
        ("select count(*) from failed_message", 0),
    ] {
        assert_eq!(pool.number(sql), expected, "{sql}");
    }
    let now = pool
        .sql
        .query("select guarantee_id, encode(sealed, 'hex') from authentication_key order by guarantee_id");
    assert!(keys.iter().all(|key| now.contains(key)), "a key was replaced");
    let unknown = pool.texts("select id from mail where state = 'unknown'");
    assert!(unknown.len() <= in_flight.len() + kills * 8, "{} mails are unknown", unknown.len());
    pool.env.succeed(&["verify-chain"]);
    let report = std::fs::read_dir(pool.env.path("reports")).unwrap().next().unwrap().unwrap().path();
    let report = std::fs::read_to_string(report).unwrap();
    assert!(
        report.contains(": complete\n") && report.contains(&format!("re-issued      {guarantees}")),
        "{report}"
    );
}

//! Duration of re-issuing by run size and database size.
//!
//! The durations are printed as a table; only the number of re-issues is checked.
//!
//! `HOSHO_DRILL_STORED` is the number of guarantees in the database, `HOSHO_DRILL_REISSUED` the size of each
//! run (`1000,10000,100000`). Stored guarantees are SQL copies of one that a worker issued, with their own
//! numbers, ids and hashes. They have no key, so a re-issue also mints one. None has a mail.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{acquire_permit, applications::SOURCE, setting, worker_pool::WorkerPool};
use crate::harness::{
    dataset,
    process::eventually,
    test_env::{TestEnv, example},
};

#[test]
fn reissues_each_guarantee_once_in_every_run_size() {
    let _permit = acquire_permit();
    let stored: usize = setting("STORED").unwrap_or(2_000);
    let sizes: String = setting("REISSUED").unwrap_or_else(|| "100,400".to_owned());
    let sizes: Vec<usize> = sizes.split(',').map(|size| size.parse().unwrap()).collect();
    assert!(sizes.iter().sum::<usize>() <= stored, "more re-issues than stored guarantees");
    let mut pool = WorkerPool::new(TestEnv::new("growth"), stored);
    pool.start(&[("BATCH__RATE", "100000"), ("BATCH__IN_FLIGHT", "8000")]);
    let mut application: Value = serde_json::from_str(
        std::fs::read_to_string(example("applications.jsonl")).unwrap().lines().next().unwrap(),
    )
    .unwrap();
    application["products"].as_array_mut().unwrap().truncate(1);
    application["source"] = SOURCE.into();
    application["notification"] = json!({ "wanted": false });
    let file = pool.env.path("one.json");
    std::fs::write(&file, application.to_string()).unwrap();
    pool.env.succeed(&["enqueue", file.to_str().unwrap()]);
    eventually("the first guarantee", Duration::from_mins(2), || {
        (pool.number("select count(*) from revision where completed_at is not null") == 1).then_some(())
    });
    let id = hosho_schema::ids::application(SOURCE, application["id"].as_str().unwrap());
    let began = Instant::now();
    dataset::copy(&mut pool.sql, &id, stored);
    eprintln!("{stored} guarantees stored in {:.0} s", began.elapsed().as_secs_f64());

    let mut from = 0;
    eprintln!("| re-issued | s | a second | ms each |\n|---|---|---|---|");
    for size in sizes {
        dataset::amend(&mut pool.sql, SOURCE, &id, from, size);
        from += size;
        let began = Instant::now();
        pool.env.succeed(&["batch", "start", "--reason", "drill", "--detach"]);
        eventually(
            "the end of the run",
            Duration::from_mins(2) + Duration::from_millis(100) * u32::try_from(size).unwrap(),
            || {
                pool.assert_alive();
                (pool.number("select count(*) from job_run where finished_at is null") == 0).then_some(())
            },
        );
        let seconds = began.elapsed().as_secs_f64();
        let each = seconds / f64::from(u32::try_from(size).unwrap());
        eprintln!("| {size} | {seconds:.1} | {:.0} | {:.2} |", 1.0 / each, 1_000.0 * each);
        assert_eq!(
            pool.number("select count(*) from revision where revision = 1 and completed_at is not null"),
            from
        );
        assert_eq!(pool.number("select count(*) from job_run where state <> 'complete'"), 0);
    }
    assert_eq!(pool.number("select count(*) from revision where revision > 1"), 0);
    pool.drain();
}

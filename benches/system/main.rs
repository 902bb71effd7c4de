//! Speed of the whole system: `make bench`.
//!
//! Starts private servers and worker processes, and measures in one run: the parts alone, the throughput of
//! the pipeline, latency under load, more workers, cost with many stored guarantees, the nightly run, and
//! embedded. `BENCH_…` sets the sizes (see [`Sizes`]); `BENCH_ONLY=parts,pipeline` selects sections;
//! `BENCH_HOSHO` is the path of another build of the program. Writes `RESULTS.md`, `results.json` and
//! `results.svg` into `target/bench`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failure aborts the benchmark"
)]
#![allow(unreachable_pub, reason = "a binary exports nothing")]

mod applications;
#[path = "../choices.rs"]
mod choices;
mod embedded;
mod growth;
mod harness;
mod parts;
mod pipeline;
mod plot;
mod processes;
mod report;
mod servers;

use applications::Applications;
use report::{Grown, Results};
use servers::Servers;

struct Sizes {
    /// Applications in a run: `BENCH_APPLICATIONS`.
    applications: usize,
    /// Applications in each run alternating between two databases: `BENCH_GROWTH`.
    growth: Vec<usize>,
    /// Guarantees copied into one of these databases: `BENCH_STORED`.
    stored: usize,
    /// Guarantees of the nightly run without live applications: `BENCH_REISSUED`.
    reissued: usize,
    /// Guarantees of the nightly run beside live applications: `BENCH_BESIDE`.
    beside: usize,
    /// Live applications a second in that run: `BENCH_LIVE`.
    /// One is fifty times the national rate by day.
    live: u32,
    /// Re-issues a second at most: `BENCH_RATE`.
    rate: usize,
    /// Seconds measured at each load: `BENCH_SECONDS`.
    seconds: f64,
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    let Ok(text) = std::env::var(format!("BENCH_{name}")) else { return default };
    text.parse().unwrap_or_else(|_| panic!("BENCH_{name}={text:?} is invalid"))
}

#[expect(clippy::too_many_lines, reason = "one block per section")]
fn main() {
    // `cargo test --benches` and `cargo bench -- --list` call `main` too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let growth = setting("GROWTH", "1000,10000,100000".to_owned());
    let sizes = Sizes {
        applications: setting("APPLICATIONS", 20_000),
        growth: growth
            .split(',')
            .map(|size| size.parse().expect("BENCH_GROWTH is a list of numbers with commas"))
            .collect(),
        stored: setting("STORED", 1_000_000),
        reissued: setting("REISSUED", 220_000),
        beside: setting("BESIDE", 20_000),
        live: setting("LIVE", 1),
        rate: setting("RATE", 500),
        seconds: setting("SECONDS", 20.0),
    };
    let only = setting("ONLY", String::new());
    let wanted = |section: &str| only.is_empty() || only.split(',').any(|name| name == section);
    let mut results = Results::new();
    let mut servers = Servers::start();
    let mut made = Applications::new(&servers::BRANCHES);

    if wanted("parts") {
        eprintln!("parts alone, {} applications …", sizes.applications);
        let env = servers.env();
        let batch = made.next(sizes.applications);
        results.parts = Some((batch.len(), parts::measure(&env, &batch)));
        save(&results);
    }
    if wanted("pipeline") {
        eprintln!("pipeline, {} applications …", sizes.applications);
        let mut env = servers.env();
        env.workers(1);
        pipeline::warm_up(&mut env, &mut made, 1_000);
        let run = pipeline::run(&servers, &mut env, &mut made, sizes.applications, 1);
        let reached = run.per_second;
        results.pipeline.push(run);
        if wanted("latency") {
            for load in [0.25, 0.5, 0.8] {
                eprintln!("latency at {:.0} % of that rate …", 100.0 * load);
                results.latency.push(pipeline::latency(
                    &mut env,
                    &mut made,
                    load,
                    load * reached,
                    sizes.seconds,
                ));
            }
        }
        env.stop_workers();
        save(&results);
    }
    if wanted("workers") {
        for count in [2, 4] {
            eprintln!("{count} worker processes …");
            let mut env = servers.env();
            env.workers(count);
            pipeline::warm_up(&mut env, &mut made, 1_000);
            results.pipeline.push(pipeline::run(&servers, &mut env, &mut made, sizes.applications, count));
            env.stop_workers();
        }
        save(&results);
    }
    if wanted("growth") || wanted("night") {
        let mut many = servers.env();
        many.workers(1);
        pipeline::warm_up(&mut many, &mut made, 1_000);
        eprintln!("copying {} guarantees …", sizes.stored);
        let application = growth::store(&mut many, sizes.stored);
        if wanted("growth") {
            let mut few = servers.env();
            few.workers(1);
            pipeline::warm_up(&mut few, &mut made, 1_000);
            let runs = sizes.growth.iter().flat_map(|size| (0..repeats(*size)).map(move |_| *size));
            for (run, size) in runs.enumerate() {
                eprintln!("growth: {size} applications with few guarantees stored, then with many …");
                let mut envs = [(false, &mut few), (true, &mut many)];
                // Alternate: PostgreSQL's maintenance slows the next run.
                if run % 2 == 1 {
                    envs.reverse();
                }
                for (is_among_many, env) in envs {
                    let run = pipeline::run(&servers, env, &mut made, size, 1);
                    results.growth.push(Grown { is_among_many, run });
                }
                save(&results);
            }
            few.stop_workers();
            let applications: usize = sizes.growth.iter().map(|size| 2 * size * repeats(*size)).sum();
            if wanted("night") && applications > MANY {
                eprintln!("deleting documents before the nightly run …");
                servers::delete_documents(&[&few, &many]);
            }
        }
        if wanted("night") {
            let nights =
                [(0..sizes.reissued, 0), (sizes.reissued..sizes.reissued + sizes.beside, sizes.live)];
            for (among, live) in nights {
                eprintln!("nightly run, {} guarantees, {live} live applications a second …", among.len());
                results.nights.push(growth::night(
                    &servers,
                    &mut many,
                    &mut made,
                    &application,
                    among,
                    sizes.rate,
                    live,
                ));
                save(&results);
            }
        }
        many.stop_workers();
    }
    if wanted("embedded") {
        eprintln!("embedded, {} applications …", sizes.applications);
        results.embedded = Some(embedded::run(&mut made, sizes.applications));
    }
    save(&results);
    results.print();
}

/// Applications whose documents are some gigabytes.
const MANY: usize = 100_000;

/// Repetitions by size: small runs vary more.
fn repeats(applications: usize) -> usize {
    (30_000 / applications).clamp(1, 5)
}

/// Writes all results after each section, so that an aborted run keeps them.
fn save(results: &Results) {
    results.write();
    plot::draw(results, &report::folder().join("results.svg"));
}

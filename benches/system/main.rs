//! How fast the whole system is: `make bench`.
//!
//! Private servers, worker processes as production runs them, and one table in which every line was measured in the same run: what the
//! parts could do alone, what the pipeline does, how long an application takes under load, what it costs among many, with more
//! workers, by night, and embedded. `BENCH_…` changes the sizes (see [`Sizes`]); `BENCH_ONLY=parts,pipeline` leaves the rest out,
//! `BENCH_HOSHO` names another build of the program.
//! Writes `target/bench/results.json` and `target/bench/results.svg`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what is measured is known to be right"
)]
#![allow(unreachable_pub, reason = "nothing outside of a program can reach anything")]

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

/// How much is measured.
struct Sizes {
    /// Applications of a run: `BENCH_APPLICATIONS`.
    applications: usize,
    /// Applications of the runs by turns in two houses: `BENCH_GROWTH`.
    growth: Vec<usize>,
    /// Guarantees that are copied into one of these houses: `BENCH_STORED`.
    stored: usize,
    /// Guarantees of the night: `BENCH_REISSUED`, and of one with live applications.
    reissued: usize,
    /// See `reissued`: `BENCH_BESIDE`.
    beside: usize,
    /// Live applications a second in that one: `BENCH_LIVE`. One is fifty times what a whole country has by day.
    live: u32,
    /// Of them a second at most: `BENCH_RATE`.
    rate: usize,
    /// How long applications come at each load: `BENCH_SECONDS`.
    seconds: f64,
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    let Ok(text) = std::env::var(format!("BENCH_{name}")) else { return default };
    text.parse().unwrap_or_else(|_| panic!("BENCH_{name}={text:?} cannot be used"))
}

fn main() {
    // `cargo test --benches` and `cargo bench -- --list` run this too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let growth = setting("GROWTH", "1000,10000,100000".to_owned());
    let sizes = Sizes {
        applications: setting("APPLICATIONS", 20_000),
        growth: growth
            .split(',')
            .map(|size| size.parse().expect("BENCH_GROWTH are numbers with commas"))
            .collect(),
        stored: setting("STORED", 1_000_000),
        reissued: setting("REISSUED", 220_000),
        beside: setting("BESIDE", 20_000),
        live: setting("LIVE", 1),
        rate: setting("RATE", 500),
        seconds: setting("SECONDS", 20.0),
    };
    let only = setting("ONLY", String::new());
    let wanted = |what: &str| only.is_empty() || only.split(',').any(|name| name == what);
    let mut results = Results::new();
    let mut servers = Servers::start();
    let mut made = Applications::new(&servers::BRANCHES);

    if wanted("parts") {
        eprintln!("the parts alone, {} applications …", sizes.applications);
        let env = servers.env();
        let batch = made.next(sizes.applications);
        results.parts = Some((batch.len(), parts::measure(&env, &batch)));
        keep(&results);
    }
    if wanted("pipeline") {
        eprintln!("the pipeline, {} applications …", sizes.applications);
        let mut env = servers.env();
        env.workers(1);
        pipeline::warm_up(&mut env, &mut made, 1_000);
        let run = pipeline::run(&servers, &mut env, &mut made, sizes.applications, 1);
        let reached = run.per_second;
        results.pipeline.push(run);
        if wanted("latency") {
            for load in [0.25, 0.5, 0.8] {
                eprintln!("latency at {:.0} % of that …", 100.0 * load);
                results.latency.push(pipeline::latency(
                    &mut env,
                    &mut made,
                    load,
                    load * reached,
                    sizes.seconds,
                ));
            }
        }
        env.rest();
        keep(&results);
    }
    if wanted("workers") {
        for count in [2, 4] {
            eprintln!("{count} worker processes …");
            let mut env = servers.env();
            env.workers(count);
            pipeline::warm_up(&mut env, &mut made, 1_000);
            results.pipeline.push(pipeline::run(&servers, &mut env, &mut made, sizes.applications, count));
            env.rest();
        }
        keep(&results);
    }
    if wanted("growth") || wanted("night") {
        let mut many = servers.env();
        many.workers(1);
        pipeline::warm_up(&mut many, &mut made, 1_000);
        eprintln!("{} guarantees are stored …", sizes.stored);
        let application = growth::store(&mut many, sizes.stored);
        if wanted("growth") {
            let mut few = servers.env();
            few.workers(1);
            pipeline::warm_up(&mut few, &mut made, 1_000);
            let turns = sizes.growth.iter().flat_map(|size| (0..repeats(*size)).map(move |_| *size));
            for (turn, size) in turns.enumerate() {
                eprintln!("growth: {size} applications among few, and among many …");
                let mut houses = [(false, &mut few), (true, &mut many)];
                // PostgreSQL's upkeep falls on whoever comes next.
                if turn % 2 == 1 {
                    houses.reverse();
                }
                for (is_among_many, env) in houses {
                    let run = pipeline::run(&servers, env, &mut made, size, 1);
                    results.growth.push(Grown { is_among_many, run });
                }
                keep(&results);
            }
            few.rest();
            let applications: usize = sizes.growth.iter().map(|size| 2 * size * repeats(*size)).sum();
            if wanted("night") && applications > MANY {
                eprintln!("room is made for the documents of the night …");
                servers::make_room(&[&few, &many]);
            }
        }
        if wanted("night") {
            let nights =
                [(0..sizes.reissued, 0), (sizes.reissued..sizes.reissued + sizes.beside, sizes.live)];
            for (among, live) in nights {
                eprintln!("the night, {} guarantees, {live} live applications a second …", among.len());
                results.nights.push(growth::night(
                    &servers,
                    &mut many,
                    &mut made,
                    &application,
                    among,
                    sizes.rate,
                    live,
                ));
                keep(&results);
            }
        }
        many.rest();
    }
    if wanted("embedded") {
        eprintln!("embedded, {} applications …", sizes.applications);
        results.embedded = Some(embedded::run(&mut made, sizes.applications));
    }
    keep(&results);
    results.print();
}

/// Applications whose documents are some gigabytes.
const MANY: usize = 100_000;

/// How often so many applications are taken through: the fewer, the more a run differs from the next.
fn repeats(applications: usize) -> usize {
    (30_000 / applications).clamp(1, 5)
}

/// Writes tables, figures and plot after each section, so that an aborted run keeps its results.
fn keep(results: &Results) {
    results.write();
    plot::draw(results, &report::folder().join("results.svg"));
}

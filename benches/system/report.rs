//! The results as Markdown and JSON.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Serialize;

use crate::{
    embedded::Embedded,
    growth::Night,
    parts::{STAGES, Spent},
    pipeline::{Latency, Run},
    servers::program,
};

#[derive(Debug, Default, Serialize)]
pub(crate) struct Results {
    pub(crate) machine: BTreeMap<&'static str, String>,
    /// Number of applications, and seconds of each part.
    pub(crate) parts: Option<(usize, Spent)>,
    pub(crate) pipeline: Vec<Run>,
    pub(crate) latency: Vec<Latency>,
    pub(crate) growth: Vec<Grown>,
    pub(crate) nights: Vec<Night>,
    pub(crate) embedded: Option<Embedded>,
}

struct Target {
    name: &'static str,
    wanted: &'static str,
    reached: String,
    kept: bool,
}

/// A run in one of the two databases of the growth section.
#[derive(Debug, Serialize)]
pub(crate) struct Grown {
    /// In the database with many guarantees.
    pub(crate) is_among_many: bool,
    #[serde(flatten)]
    pub(crate) run: Run,
}

/// Runs of one size in one database, the cheapest first; never empty.
pub(crate) struct OfSize<'a> {
    pub(crate) is_among_many: bool,
    pub(crate) applications: usize,
    runs: Vec<&'a Run>,
}

impl OfSize<'_> {
    /// The run of median cost; the upper median for an even number.
    fn median(&self) -> &Run {
        self.runs[self.runs.len() / 2]
    }

    /// Processor time an application in the median run, in milliseconds.
    pub(crate) fn cost(&self) -> f64 {
        cost(self.median())
    }
}

/// Processor time of all processes an application, in milliseconds.
fn cost(run: &Run) -> f64 {
    run.cpu_ms.values().sum()
}

const MIB: f64 = 1_048_576.0;

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench")
}

impl Results {
    pub(crate) fn new() -> Self {
        Self { machine: machine(), ..Self::default() }
    }

    /// Writes `RESULTS.md` and `results.json`.
    pub(crate) fn write(&self) {
        let text = self.markdown();
        let folder = folder();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("RESULTS.md"), text).unwrap();
        std::fs::write(folder.join("results.json"), serde_json::to_string_pretty(self).unwrap() + "\n")
            .unwrap();
    }

    pub(crate) fn print(&self) {
        println!("{}", self.markdown());
        eprintln!("written: target/bench/RESULTS.md, results.json, results.svg");
    }

    fn markdown(&self) -> String {
        let mut text = String::from(
            "# Speed of the whole system\n\nMeasured by `make bench` in one run; docs/bench.md explains the figures.\n\n",
        );
        for (name, value) in &self.machine {
            let _ = writeln!(text, "- {name}: {value}");
        }
        let targets = self.targets();
        if !targets.is_empty() {
            text += "\n| target | wanted | reached | |\n|---|---|---|---|\n";
            for target in targets {
                let kept = if target.kept { "kept" } else { "**not kept**" };
                let _ =
                    writeln!(text, "| {} | {} | {} | {kept} |", target.name, target.wanted, target.reached);
            }
        }
        self.write_parts(&mut text);
        self.write_pipeline(&mut text);
        self.write_latency(&mut text);
        self.write_growth(&mut text);
        self.write_nights(&mut text);
        if let Some(embedded) = &self.embedded {
            let _ = writeln!(
                text,
                "\n## Embedded\n\n`hosho process`, {} applications: {:.1} s, **{:.0} a second**; the first mail after {:.2} s.",
                embedded.applications, embedded.seconds, embedded.per_second, embedded.first_result_seconds
            );
        }
        text
    }

    /// Applications a second if the parts ran one after another without overhead.
    #[expect(clippy::cast_precision_loss, reason = "approximate figures")]
    fn limit(&self) -> Option<f64> {
        let (count, spent) = self.parts.as_ref()?;
        Some(*count as f64 / (spent.messages + spent.rows + spent.documents + spent.mails))
    }

    fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        let mut add = |name, wanted, reached, kept| targets.push(Target { name, wanted, reached, kept });
        let one = self.pipeline.first();
        if let (Some(run), Some(limit)) = (one, self.limit()) {
            let share = run.per_second / limit;
            add("pipeline against its parts", "60 %", format!("{:.0} %", 100.0 * share), share >= 0.6);
        }
        if let Some(run) = one {
            add("applications a second", "500", format!("{:.0}", run.per_second), run.per_second >= 500.0);
        }
        for night in &self.nights {
            let alone = night.live_meanwhile_ms.is_empty();
            let name =
                if alone { "guarantees re-issued a second" } else { "the same, beside live applications" };
            add(name, "367", format!("{:.0}", night.per_second), night.per_second >= 367.0);
            if !alone {
                let ratio = night.live_meanwhile_ms["whole"][1] / night.live_before_ms["whole"][1];
                add("live p95 meanwhile", "2.0 times", format!("{ratio:.2} times"), ratio <= 2.0);
            }
        }
        if let Some(ratio) = self.cost_among_many() {
            add("cost among 1,000,000", "1.15 times", format!("{ratio:.2} times"), ratio <= 1.15);
        }
        let nights = self.nights.iter().map(|night| &night.memory);
        if let Some(peak) = self
            .growth
            .iter()
            .map(|grown| &grown.run.memory)
            .chain(nights)
            .filter_map(|memory| memory.get("worker"))
            .max()
        {
            let peak = megabytes(*peak);
            add("memory of the worker, MiB", "250", format!("{peak:.0}"), peak < 250.0);
        }
        if let (Some(embedded), Some(run)) = (&self.embedded, one) {
            let ratio = embedded.per_second / run.per_second;
            add("embedded against the pipeline", "1.0 times", format!("{ratio:.2} times"), ratio >= 1.0);
            let first = embedded.first_result_seconds;
            add("first result embedded, s", "1.0", format!("{first:.2}"), first <= 1.0);
        }
        if let Some(latency) = self.latency.first() {
            let p95 = latency.stages["whole"][1];
            add("p95 at a quarter of the load, ms", "500", format!("{p95:.0}"), p95 < 500.0);
        }
        targets
    }

    /// The runs by size, first with few stored guarantees, then with many.
    pub(crate) fn by_size(&self) -> Vec<OfSize<'_>> {
        let mut sizes: BTreeMap<(bool, usize), Vec<&Run>> = BTreeMap::new();
        for Grown { is_among_many, run } in &self.growth {
            sizes.entry((*is_among_many, run.applications)).or_default().push(run);
        }
        for runs in sizes.values_mut() {
            runs.sort_by(|one, other| cost(one).total_cmp(&cost(other)));
        }
        sizes
            .into_iter()
            .map(|((is_among_many, applications), runs)| OfSize { is_among_many, applications, runs })
            .collect()
    }

    /// Cost with many stored guarantees divided by cost with few, of median runs.
    /// The maximum over all sizes of runs.
    fn cost_among_many(&self) -> Option<f64> {
        let sizes = self.by_size();
        let few = |many: &OfSize| {
            sizes
                .iter()
                .find(|few| !few.is_among_many && few.applications == many.applications)
                .map(OfSize::cost)
        };
        sizes
            .iter()
            .filter(|size| size.is_among_many)
            .filter_map(|many| Some(many.cost() / few(many)?))
            .reduce(f64::max)
    }

    #[expect(clippy::cast_precision_loss, reason = "approximate figures")]
    fn write_parts(&self, text: &mut String) {
        let Some((count, spent)) = &self.parts else { return };
        let _ =
            writeln!(text, "\n## Parts alone\n\n{count} applications, each part with all cores to itself.\n");
        *text += "| part | s | applications a second |\n|---|---|---|\n";
        let rows = [
            ("messages", spent.messages),
            ("database rows", spent.rows),
            ("documents", spent.documents),
            ("mails", spent.mails),
        ];
        for (name, seconds) in rows {
            let _ = writeln!(text, "| {name} | {seconds:.1} | {:.0} |", *count as f64 / seconds);
        }
        let limit = self.limit().unwrap_or_default();
        let _ = writeln!(
            text,
            "| **all, one after the other** | {:.1} | **{limit:.0}** |",
            *count as f64 / limit
        );
        let _ = writeln!(
            text,
            "| decoding and deciding in other stages | {:.1} | {:.0} |",
            spent.rest,
            *count as f64 / spent.rest
        );
    }

    fn write_pipeline(&self, text: &mut String) {
        if self.pipeline.is_empty() {
            return;
        }
        *text += "\n## Pipeline\n\nFrom the first application enqueued to the last mail accepted.\n\n";
        *text += HEAD;
        for run in &self.pipeline {
            row(text, run);
        }
        *text += "\nProcessor time of each, milliseconds an application, and the most memory, MiB:\n\n";
        *text += "| workers | worker | RabbitMQ | PostgreSQL | SMTP | memory: workers | RabbitMQ | PostgreSQL | SMTP |\n";
        *text += "|---|---|---|---|---|---|---|---|---|\n";
        for run in &self.pipeline {
            let _ = write!(text, "| {} |", run.workers);
            for name in GROUPS {
                let _ = write!(text, " {:.2} |", run.cpu_ms[name]);
            }
            for name in GROUPS {
                let _ = write!(text, " {:.0} |", megabytes(run.memory[name]));
            }
            *text += "\n";
        }
        let run = &self.pipeline[0];
        let _ = writeln!(
            text,
            "\nFor each application {} bytes of tables and {} bytes of documents.",
            run.table_bytes, run.document_bytes
        );
    }

    fn write_latency(&self, text: &mut String) {
        if self.latency.is_empty() {
            return;
        }
        *text += "\n## Latency\n\nApplications one by one, at a share of the rate above; p50 / p95 / p99 in milliseconds.\n\n";
        *text += "| load | a second |";
        stage_names(text);
        *text += "|---|---|---|---|---|---|---|---|\n";
        for latency in &self.latency {
            let _ = write!(text, "| {:.0} % | {:.0} |", 100.0 * latency.load, latency.per_second);
            stage_times(text, &latency.stages);
        }
    }

    fn write_growth(&self, text: &mut String) {
        if self.growth.is_empty() {
            return;
        }
        *text += "\n## Growth\n\nTwo databases in alternation, one with few guarantees and one with many, each with one worker process that is never\nrestarted. The figures are those of the run of median cost.\n\n";
        *text += "| guarantees stored before | applications | runs | s | a second | processor ms each | least and most | worker MiB at most | and after |\n";
        *text += "|---|---|---|---|---|---|---|---|---|\n";
        for size in self.by_size() {
            let median = size.median();
            let (least, most) = (cost(size.runs[0]), cost(size.runs[size.runs.len() - 1]));
            let most_of = |memory: fn(&Run) -> u64| {
                megabytes(size.runs.iter().map(|run| memory(run)).max().unwrap_or_default())
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {:.1} | {:.0} | {:.2} | {least:.2} to {most:.2} | {:.0} | {:.0} |",
                median.stored,
                size.applications,
                size.runs.len(),
                median.seconds,
                median.per_second,
                cost(median),
                most_of(|run| run.memory["worker"]),
                most_of(|run| run.memory_after),
            );
        }
    }

    fn write_nights(&self, text: &mut String) {
        for night in &self.nights {
            let live = night.live_per_second;
            let title = if live == 0 {
                "Nightly run".to_owned()
            } else {
                format!("Nightly run, {live} live applications a second")
            };
            let _ = writeln!(
                text,
                "\n## {title}\n\n{} guarantees of {} re-issued with their documents by {} worker processes, at most {} a second: {:.0} s, **{:.0} a second**; {:.2} ms of\nprocessor time each ({}); the worker had {:.0} MiB at most.",
                night.reissued,
                night.stored,
                night.workers,
                night.rate,
                night.seconds,
                night.per_second,
                night.cpu_ms.values().sum::<f64>(),
                GROUPS.map(|name| format!("{name} {:.2}", night.cpu_ms[name])).join(", "),
                megabytes(night.memory["worker"]),
            );
            if live == 0 {
                continue;
            }
            *text += "\n| live applications; p50 / p95 / p99 in milliseconds |";
            stage_names(text);
            *text += "|---|---|---|---|---|---|---|\n";
            for (when, stages) in [("before", &night.live_before_ms), ("meanwhile", &night.live_meanwhile_ms)]
            {
                let _ = write!(text, "| {when} |");
                stage_times(text, stages);
            }
        }
    }
}

const GROUPS: [&str; 4] = ["worker", "RabbitMQ", "PostgreSQL", "SMTP"];

fn stage_names(text: &mut String) {
    for stage in STAGES.iter().chain(&["whole"]) {
        let _ = write!(text, " {stage} |");
    }
    *text += "\n";
}

fn stage_times(text: &mut String, stages: &BTreeMap<&'static str, [f64; 3]>) {
    for stage in STAGES.iter().chain(&["whole"]) {
        let [p50, p95, p99] = stages[stage];
        let _ = write!(text, " {p50:.0} / {p95:.0} / {p99:.0} |");
    }
    *text += "\n";
}

const HEAD: &str =
    "| worker processes | applications | guarantees | s | applications a second |\n|---|---|---|---|---|\n";

fn row(text: &mut String, run: &Run) {
    let _ = writeln!(
        text,
        "| {} | {} | {} | {:.1} | **{:.0}** |",
        run.workers, run.applications, run.guarantees, run.seconds, run.per_second
    );
}

#[expect(clippy::cast_precision_loss, reason = "approximate figures")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

/// The machine and the versions of the programs.
fn machine() -> BTreeMap<&'static str, String> {
    let first_line = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        String::from_utf8(output.stdout)
            .ok()
            .map(|text| text.lines().next().unwrap_or_default().trim().to_owned())
    };
    let file = |path: &str, name: &str| {
        let text = std::fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_once([':', '=']).map(|(_, value)| value.trim().trim_matches('"').to_owned())
    };
    let package = |name: &str| {
        first_line("dpkg-query", &["-W", "-f", "${Version}", name]).unwrap_or_else(|| "?".to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let version = first_line(&program(), &["--version"]).unwrap_or_default();
    BTreeMap::from([
        (
            "processor",
            format!("{cores} cores of {}", file("/proc/cpuinfo", "model name").unwrap_or_default()),
        ),
        ("memory", file("/proc/meminfo", "MemTotal").unwrap_or_default()),
        ("system", file("/etc/os-release", "PRETTY_NAME").unwrap_or_default()),
        ("program", version),
        ("compiler", first_line("rustc", &["--version"]).unwrap_or_default()),
        (
            "servers",
            format!(
                "RabbitMQ {}, PostgreSQL {}, Postfix's smtp-sink {}",
                package("rabbitmq-server"),
                package("postgresql"),
                package("postfix")
            ),
        ),
    ])
}

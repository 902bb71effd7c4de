//! Imports make no cycle between files, and go from the rooms above to the rooms below.

mod graph;
mod knots;
#[cfg(test)]
mod tests;

use crate::{Finding, tree::Tree};
use graph::Graph;

/// The rooms from top to bottom. A file imports from its own room and from those below it.
/// A room is a file `x.rs` or a folder `x/`.
const ROOMS: &[(&str, &[&str], &str)] = &[
    ("main", &["workers/main", "workers/lib"], "starts the program; nothing imports it"),
    ("cli", &["workers/cli"], "arguments and printing only"),
    ("web", &["workers/web"], "pages; shares operations with the command line, and nothing else"),
    ("operations", &["workers/operations"], "queries and commands that return data, for any front"),
    ("worker", &["workers/worker"], "one process: puts stages, jobs and the ingester together"),
    ("jobs", &["workers/jobs"], "what a clock starts; may publish what stages take"),
    ("stages", &["workers/stages"], "one step of a guarantee each; leaves of the pipeline"),
    ("app", &["workers/app"], "opens everything from the configuration, without a list of stages"),
    ("dead_letters", &["workers/dead_letters"], "works on stored messages of any stage"),
    ("pipeline", &["workers/pipeline"], "runs any stage; names none"),
    ("config", &["workers/config"], "reads settings; types of settings may live below"),
    ("mail", &["workers/mail"], "sends what documents wrote"),
    ("documents", &["workers/documents"], "fills templates and draws them"),
    ("reference", &["workers/reference"], "what an operator edits: obligees, the company"),
    ("broker", &["workers/broker"], "queues; messages are bytes to it"),
    (
        "leaves",
        &[
            "workers/audit",
            "workers/backoff",
            "workers/db",
            "workers/fault",
            "workers/hex",
            "workers/schedule",
            "workers/keys",
            "workers/telemetry",
            "workers/clock",
            "workers/permit",
            "workers/redact",
            "workers/secret",
        ],
        "small parts that anything may use",
    ),
    ("pdf", &["workers/pdf"], "pages, fonts and PDF files; no word of the business"),
    ("domain", &["workers/domain"], "the rules; no time, no storage, no vendor"),
    ("schema", &["schema"], "tables and messages; outlives the program"),
];

/// Rooms beside each other: neither imports the other.
const APART: &[(&str, &str)] = &[("cli", "web")];

/// The place of a file in the order.
fn room(file: &str) -> Option<usize> {
    let is_in =
        |place: &str| file.strip_prefix(place).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'));
    ROOMS.iter().position(|(_, places, _)| places.iter().any(|place| is_in(place)))
}

/// Reads the tree once for both: that takes a few seconds.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let graph = Graph::read(tree);
    let mut findings = knots::cycles(&graph.edges);
    findings.extend(arrows(&graph));
    findings
}

fn arrows(graph: &Graph) -> Vec<Finding> {
    let ours = |file: &str| file.starts_with("workers/") || file.starts_with("schema/");
    let mut findings: Vec<Finding> = graph
        .files
        .iter()
        .filter(|file| ours(file) && room(file).is_none())
        .map(|file| Finding { group: "no room".into(), text: format!("{file}: is in no room of the order") })
        .collect();
    for ((from, to), edge) in &graph.edges {
        let (Some(above), Some(below)) = (room(from), room(to)) else { continue };
        let names = (ROOMS[above].0, ROOMS[below].0);
        if above > below || APART.iter().any(|pair| *pair == names || (pair.1, pair.0) == names) {
            findings.push(Finding {
                group: format!("{} → {}", names.0, names.1),
                text: format!("{from}:{}: uses {} of {to} ({} → {})", edge.line, edge.uses, names.0, names.1),
            });
        }
    }
    findings
}

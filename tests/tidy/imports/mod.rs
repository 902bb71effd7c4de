//! Imports form no cycle between files, and go from higher layers to lower ones.

mod cycles;
mod graph;

#[cfg(test)]
mod tests;

use crate::{Finding, tree::Tree};
use graph::Graph;

/// The layers from top to bottom.
/// A file imports from its own layer and from lower ones.
/// A layer consists of files `x.rs` and folders `x/`.
const LAYERS: &[(&str, &[&str], &str)] = &[
    ("main", &["workers/main", "workers/lib"], "starts the program; nothing imports it"),
    ("cli", &["workers/cli"], "arguments and printing only"),
    ("web", &["workers/web"], "pages; shares operations with the command line, and nothing else"),
    ("operations", &["workers/operations"], "queries and commands that return data, for any interface"),
    ("worker", &["workers/worker"], "one process: composes stages, jobs and the ingester"),
    ("jobs", &["workers/jobs"], "scheduled work; may publish messages for stages"),
    ("stages", &["workers/stages"], "one step of a guarantee each; leaves of the pipeline"),
    ("app", &["workers/app"], "opens everything from the configuration, without a list of stages"),
    ("dead_letters", &["workers/dead_letters"], "stored messages of any stage"),
    ("pipeline", &["workers/pipeline"], "runs any stage; names no stage"),
    ("config", &["workers/config"], "reads settings; types of settings may be in lower layers"),
    ("mail", &["workers/mail"], "sends mails"),
    ("documents", &["workers/documents"], "fills and renders templates"),
    ("reference", &["workers/reference"], "data that operators edit: obligees, the company"),
    ("broker", &["workers/broker"], "queues of opaque messages"),
    (
        "leaves",
        &[
            "workers/audit",
            "workers/backoff",
            "workers/db",
            "workers/fault",
            "workers/schedule",
            "workers/keys",
            "workers/telemetry",
            "workers/text",
            "workers/clock",
            "workers/permit",
            "workers/redact",
            "workers/secret",
        ],
        "small parts for all layers above",
    ),
    ("pdf", &["workers/pdf"], "pages, fonts and PDF files; independent of the domain"),
    ("domain", &["workers/domain"], "the rules; no time, no storage, no vendor"),
    ("schema", &["schema"], "tables and messages"),
];

/// Independent layers: neither imports the other.
const INDEPENDENT: &[(&str, &str)] = &[("cli", "web")];

/// The index of a file's layer.
fn layer(file: &str) -> Option<usize> {
    let is_in =
        |place: &str| file.strip_prefix(place).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'));
    LAYERS.iter().position(|(_, places, _)| places.iter().any(|place| is_in(place)))
}

/// One pass for both checks, because reading the tree takes a few seconds.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let graph = Graph::read(tree);
    let mut findings = cycles::find(&graph.edges);
    findings.extend(arrows(&graph));
    findings
}

fn arrows(graph: &Graph) -> Vec<Finding> {
    let ours = |file: &str| file.starts_with("workers/") || file.starts_with("schema/");
    let mut findings: Vec<Finding> = graph
        .files
        .iter()
        .filter(|file| ours(file) && layer(file).is_none())
        .map(|file| Finding { group: "no layer".into(), text: format!("{file}: is in no layer") })
        .collect();
    for ((from, to), edge) in &graph.edges {
        let (Some(above), Some(below)) = (layer(from), layer(to)) else { continue };
        let names = (LAYERS[above].0, LAYERS[below].0);
        if above > below || INDEPENDENT.iter().any(|pair| *pair == names || (pair.1, pair.0) == names) {
            findings.push(Finding {
                group: format!("{} → {}", names.0, names.1),
                text: format!("{from}:{}: uses {} of {to} ({} → {})", edge.line, edge.uses, names.0, names.1),
            });
        }
    }
    findings
}

//! Cycles in the graph of files.
//!
//! A module may use items of its ancestors (`super::Error`), and they use it: for other modules, a folder
//! with its `mod.rs` is a unit. Such an edge closes no cycle.

use super::graph::{Edge, Edges};
use crate::Finding;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Chains printed for one component, the shortest first.
const SHOWN: usize = 12;

/// One finding for each strongly connected component.
pub fn find(edges: &Edges) -> Vec<Finding> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in edges.iter().filter(|(_, edge)| !edge.to_ancestor).map(|(files, _)| files) {
        next.entry(from).or_default().push(to);
    }
    let reach: BTreeMap<&str, BTreeMap<&str, &str>> =
        next.keys().map(|file| (*file, walk(&next, file))).collect();
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for (file, reached) in &reach {
        let back = |other: &&&str| reach.get(**other).is_some_and(|reached| reached.contains_key(file));
        let component: BTreeSet<&str> = reached.keys().filter(back).copied().collect();
        if component.contains(file) && seen.insert(component.clone()) {
            let chains = chains(&component, &next, &reach);
            let shown: Vec<String> = chains.iter().take(SHOWN).map(|chain| describe(chain, edges)).collect();
            let more = chains.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!("\n    … and {more} more") } else { String::new() };
            let files: Vec<&str> = component.iter().copied().collect();
            let text = format!(": cycle of {}\n    {}{more}", files.join(", "), shown.join("\n    "));
            findings.push(Finding {
                group: format!("cycle of {} files", component.len()),
                text: format!("{file}{text}"),
            });
        }
    }
    findings
}

/// All files reachable from `start` (itself only through a cycle).
/// Each has its predecessor on the shortest path.
fn walk<'a>(next: &BTreeMap<&'a str, Vec<&'a str>>, start: &'a str) -> BTreeMap<&'a str, &'a str> {
    let mut before = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for other in next.get(file).into_iter().flatten() {
            if !before.contains_key(other) {
                before.insert(*other, file);
                queue.push_back(other);
            }
        }
    }
    before
}

/// The shortest cycle through each edge of a component, from its first file.
fn chains<'a>(
    component: &BTreeSet<&'a str>,
    next: &BTreeMap<&'a str, Vec<&'a str>>,
    reach: &BTreeMap<&'a str, BTreeMap<&'a str, &'a str>>,
) -> Vec<Vec<&'a str>> {
    let mut chains = BTreeSet::new();
    for from in component {
        for to in next[from].iter().filter(|to| component.contains(*to)) {
            let mut chain = vec![*from];
            while chain[chain.len() - 1] != *to {
                chain.push(reach[to][chain[chain.len() - 1]]);
            }
            chain.reverse();
            let least = (0..chain.len()).min_by_key(|at| chain[*at]).unwrap_or_default();
            chain.rotate_left(least);
            chains.insert((chain.len(), chain));
        }
    }
    chains.into_iter().map(|(_, chain)| chain).collect()
}

fn describe(chain: &[&str], edges: &Edges) -> String {
    let steps = chain.iter().zip(chain.iter().cycle().skip(1)).map(|(from, to)| {
        let Edge { line, uses, .. } = &edges[&((*from).to_owned(), (*to).to_owned())];
        format!(" → {to} (line {line}, uses {uses})")
    });
    chain[0].to_owned() + &steps.collect::<Vec<_>>().concat()
}

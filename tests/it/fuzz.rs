//! The invariants of the fuzzer (`make fuzz`, docs/fuzz.md).
//! They are checked with its seeds and its past findings.

#[path = "../fuzz/invariants/mod.rs"]
mod invariants;

use std::{collections::BTreeSet, fs, path::Path};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
}

#[test]
fn keeps_every_invariant_for_the_seeds() {
    let mut outcomes = BTreeSet::new();
    for file in ["applications", "interim", "rejected"] {
        for line in fs::read_to_string(root().join(format!("examples/{file}.jsonl"))).unwrap().lines() {
            let became = invariants::hold(line.as_bytes());
            assert!(!became.is_empty());
            outcomes.extend(became);
        }
    }
    // The seeds must cover many results, or the fuzzer begins far from them.
    assert!(outcomes.contains("accepted") && outcomes.len() > 45, "{outcomes:?}");
}

#[test]
fn keeps_every_invariant_for_past_findings() {
    let found = files("tests/fuzz/regressions");
    assert!(!found.is_empty());
    for (file, payload) in found {
        std::panic::catch_unwind(|| invariants::hold(&payload))
            .unwrap_or_else(|_| panic!("{file} breaks an invariant again"));
    }
}

//! What the fuzzer holds every input to (`make fuzz`, docs/fuzz.md), asked of its seeds and of everything it ever found.

#[path = "../fuzz/invariants/mod.rs"]
mod invariants;

use std::{collections::BTreeSet, fs, path::Path};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder, in order.
fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
}

#[test]
fn the_seeds_hold_every_invariant_and_come_to_what_they_show() {
    let mut outcomes = BTreeSet::new();
    for file in ["applications", "interim", "rejected"] {
        for line in fs::read_to_string(root().join(format!("examples/{file}.jsonl"))).unwrap().lines() {
            let became = invariants::hold(line.as_bytes());
            assert!(!became.is_empty());
            outcomes.extend(became);
        }
    }
    // Otherwise the fuzzer would begin far from what it shall find.
    assert!(outcomes.contains("accepted") && outcomes.len() > 45, "{outcomes:?}");
}

#[test]
fn what_the_fuzzer_found_stays_mended() {
    let found = files("tests/fuzz/regressions");
    assert!(!found.is_empty());
    for (file, payload) in found {
        std::panic::catch_unwind(|| invariants::hold(&payload))
            .unwrap_or_else(|_| panic!("{file} breaks an invariant again"));
    }
}

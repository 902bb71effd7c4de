//! The house rules that no compiler checks: who may name a vendor, how long a file may be, what may not stand in it.

use std::{collections::BTreeMap, path::Path};

/// Every vendor and the only places that may name it.
const VENDORS: [(&str, &[&str]); 14] = [
    ("lapin", &["workers/broker/rabbit"]),
    ("diesel", &["schema/db", "schema/models"]),
    ("lettre", &["workers/mail"]),
    ("printpdf", &["workers/pdf"]),
    ("lopdf", &["workers/pdf"]),
    ("ttf_parser", &["workers/pdf"]),
    ("kurbo", &["workers/pdf"]),
    ("roxmltree", &["workers/pdf"]),
    ("qrcodegen", &["workers/pdf"]),
    ("handlebars", &["workers/documents/templates.rs"]),
    ("cron", &["workers/batches"]),
    ("chacha20poly1305", &["workers/keys.rs"]),
    ("clap", &["workers/cli"]),
    ("jsonschema", &["schema/messages/misfits.rs"]),
];

/// Longest file, in lines.
const LONGEST: usize = 800;

/// Every Rust file of the tree with its text, by its path from the root.
fn sources() -> BTreeMap<String, String> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    for folder in ["workers", "schema", "tests"] {
        walk(root, &root.join(folder), &mut found);
    }
    assert!(found.len() > 50, "the tree was not found");
    found
}

/// Whether code (not a comment) uses a crate: `name::…`, or `use name…`.
fn names(text: &str, vendor: &str) -> bool {
    text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")).any(|line| {
        line.match_indices(&format!("{vendor}::")).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|before| {
                before.is_alphanumeric() || before == '_' || before == ':' || before == '.'
            })
        })
    })
}

#[test]
fn each_vendor_is_named_in_one_room() {
    for (vendor, rooms) in VENDORS {
        for (path, text) in sources().iter().filter(|(path, _)| !path.starts_with("tests/")) {
            let allowed = rooms.iter().any(|room| path.starts_with(room));
            assert!(allowed || !names(text, vendor), "{path} names {vendor}, which belongs to {rooms:?}");
        }
        assert!(
            sources().iter().any(|(path, text)| path.starts_with(rooms[0]) && names(text, vendor)),
            "{vendor} is named nowhere"
        );
    }
}

#[test]
fn the_rules_and_the_stage_contract_know_no_vendor() {
    for (path, text) in sources()
        .iter()
        .filter(|(path, _)| path.starts_with("workers/domain/") || *path == "workers/pipeline/stage.rs")
    {
        for vendor in VENDORS.iter().map(|(vendor, _)| *vendor).chain(["tokio", "toml", "reqwest"]) {
            assert!(!names(text, vendor), "{path} names {vendor}");
        }
    }
}

/// Money is whole yen and ratios are fractions: no rule computes with a floating point. (Tests draw any JSON number.)
#[test]
fn no_rule_knows_a_floating_point() {
    for (path, text) in
        sources().iter().filter(|(path, _)| path.starts_with("workers/domain/") || *path == "schema/money.rs")
    {
        let rules = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for line in rules.lines().filter(|_| !path.ends_with("/properties.rs")) {
            let words = |line: &str| {
                line.split(|c: char| !c.is_alphanumeric()).any(|word| matches!(word, "f32" | "f64"))
            };
            assert!(!words(line), "{path}: {line}");
        }
    }
}

#[test]
fn files_stay_readable() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= LONGEST, "{path} has {lines} lines; is it still one idea?");
    }
}

#[test]
fn nothing_unfinished_and_no_sleeping_tests() {
    // Put together here, so that this file does not find itself.
    let marks = [
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("FIX", "ME"),
        concat!("#[ign", "ore"),
    ];
    let sleeps = [concat!("thread::", "sleep"), concat!("time::", "sleep")];
    for (path, text) in sources() {
        for mark in marks {
            assert!(!text.contains(mark), "{path}: {mark}");
        }
        // The one place that polls, with a deadline.
        if path.starts_with("tests/") && path != "tests/it/harness/process.rs" {
            for sleep in sleeps {
                assert!(!text.contains(sleep), "{path}: {sleep}; poll a condition with a deadline");
            }
        }
    }
}

#[test]
fn a_name_within_another_is_not_the_vendor() {
    assert!(names("use lapin::Channel;", "lapin"));
    assert!(names("    let x: lapin::Error;", "lapin"));
    assert!(!names("// lapin::Error", "lapin"));
    assert!(!names("crate::diesel_like::x", "diesel"));
    assert!(!names("my_diesel::x", "diesel"));
    assert!(!names("crate::cron::x", "cron"));
}

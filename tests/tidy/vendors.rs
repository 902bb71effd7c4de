//! Every vendor has one room; the rules and the stage contract have none.

use crate::{Finding, tree::Tree};

/// A vendor and the only places that may name it.
const VENDORS: &[(&str, &[&str])] = &[
    ("lapin", &["workers/broker/rabbit/"]),
    ("diesel", &["schema/"]),
    ("jsonschema", &["schema/messages/"]),
    ("lettre", &["workers/mail/"]),
    ("printpdf", &["workers/pdf/"]),
    ("lopdf", &["workers/pdf/"]),
    ("ttf_parser", &["workers/pdf/"]),
    ("skrifa", &["workers/pdf/"]),
    ("read_fonts", &["workers/pdf/"]),
    ("kurbo", &["workers/pdf/"]),
    ("roxmltree", &["workers/pdf/"]),
    ("qrcodegen", &["workers/pdf/"]),
    ("handlebars", &["workers/documents/templates.rs", "workers/documents/templates/"]),
    ("cron", &["workers/schedule.rs"]),
    ("chacha20poly1305", &["workers/keys.rs"]),
    ("clap", &["workers/cli/"]),
];

/// Files that name no vendor at all, nor these.
const VENDOR_FREE: [&str; 2] = ["workers/domain/", "workers/pipeline/stage.rs"];
const ALSO: [&str; 3] = ["tokio", "toml", "reqwest"];

/// Whether code (not a comment) uses a crate: `name::…`.
fn names(text: &str, vendor: &str) -> bool {
    text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")).any(|line| {
        line.match_indices(&format!("{vendor}::")).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '.'))
        })
    })
}

pub fn misplaced(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (vendor, rooms) in VENDORS {
        let users: Vec<&str> = tree
            .rust(&["workers/", "schema/"])
            .filter(|(_, text)| names(text, vendor))
            .map(|(path, _)| path)
            .collect();
        for path in users.iter().filter(|path| !rooms.iter().any(|room| path.starts_with(room))) {
            findings.push(Finding::at(path, format!(": names {vendor}, which belongs to {rooms:?}")));
        }
        let package = format!("\n{} = ", vendor.replace('_', "-"));
        if users.is_empty()
            && tree.0.iter().any(|(path, text)| path.ends_with("Cargo.toml") && text.contains(&package))
        {
            findings.push(Finding::at("Cargo.toml", format!(": no file names {vendor}")));
        }
    }
    findings
}

pub fn named_by_rules(tree: &Tree) -> Vec<Finding> {
    let vendors = || VENDORS.iter().map(|(vendor, _)| *vendor).chain(ALSO);
    tree.rust(&VENDOR_FREE)
        .flat_map(|(path, text)| {
            vendors().filter(|vendor| names(text, vendor)).map(move |vendor| (path, vendor))
        })
        .map(|(path, vendor)| Finding::at(path, format!(": names {vendor}")))
        .collect()
}

#[test]
fn a_longer_name_is_another_vendor() {
    assert!(names("use lapin::Channel;", "lapin"));
    assert!(names("    let x: lapin::Error;", "lapin"));
    assert!(!names("// lapin::Error", "lapin"));
    assert!(!names("crate::diesel_like::x", "diesel"));
    assert!(!names("my_diesel::x", "diesel"));
    assert!(!names("crate::cron::x", "cron"));
}

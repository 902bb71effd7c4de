//! Each vendor crate is used in one module; the rules and the stage trait use none.

use crate::{Finding, tree::Tree};

/// A vendor crate and the only paths that may use it.
const VENDORS: &[(&str, &[&str])] = &[
    ("lapin", &["workers/broker/rabbit/"]),
    ("diesel", &["schema/"]),
    ("jsonschema", &["schema/messages/"]),
    ("lettre", &["workers/mail/"]),
    ("printpdf", &["workers/pdf/"]),
    ("lopdf", &["workers/pdf/"]),
    ("ttf_parser", &["workers/pdf/"]),
    ("kurbo", &["workers/pdf/"]),
    ("roxmltree", &["workers/pdf/"]),
    ("qrcodegen", &["workers/pdf/"]),
    ("handlebars", &["workers/documents/templates.rs"]),
    ("cron", &["workers/schedule.rs"]),
    ("chacha20poly1305", &["workers/keys.rs"]),
    ("clap", &["workers/cli/"]),
];

/// Files that use no vendor crate and none of [`ALSO_FORBIDDEN`].
const VENDOR_FREE: [&str; 2] = ["workers/domain/", "workers/pipeline/stage.rs"];
const ALSO_FORBIDDEN: [&str; 3] = ["tokio", "toml", "reqwest"];

/// Whether code outside comments uses a crate: `name::…`.
fn uses(text: &str, vendor: &str) -> bool {
    text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")).any(|line| {
        line.match_indices(&format!("{vendor}::")).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '.'))
        })
    })
}

pub fn misplaced(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (vendor, places) in VENDORS {
        let users: Vec<&str> = tree
            .rust(&["workers/", "schema/"])
            .filter(|(_, text)| uses(text, vendor))
            .map(|(path, _)| path)
            .collect();
        for path in users.iter().filter(|path| !places.iter().any(|place| path.starts_with(place))) {
            findings.push(Finding::at(path, format!(": uses {vendor}, which is for {places:?}")));
        }
        let package = format!("\n{} = ", vendor.replace('_', "-"));
        if users.is_empty()
            && tree.0.iter().any(|(path, text)| path.ends_with("Cargo.toml") && text.contains(&package))
        {
            findings.push(Finding::at("Cargo.toml", format!(": no file uses {vendor}")));
        }
    }
    findings
}

pub fn named_by_rules(tree: &Tree) -> Vec<Finding> {
    let vendors = || VENDORS.iter().map(|(vendor, _)| *vendor).chain(ALSO_FORBIDDEN);
    tree.rust(&VENDOR_FREE)
        .flat_map(|(path, text)| {
            vendors().filter(|vendor| uses(text, vendor)).map(move |vendor| (path, vendor))
        })
        .map(|(path, vendor)| Finding::at(path, format!(": uses {vendor}")))
        .collect()
}

#[test]
fn ignores_longer_names_and_comments() {
    assert!(uses("use lapin::Channel;", "lapin"));
    assert!(uses("    let x: lapin::Error;", "lapin"));
    assert!(!uses("// lapin::Error", "lapin"));
    assert!(!uses("crate::diesel_like::x", "diesel"));
    assert!(!uses("my_diesel::x", "diesel"));
    assert!(!uses("crate::cron::x", "cron"));
}

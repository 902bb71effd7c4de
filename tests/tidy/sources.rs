//! Rules for single files.

use crate::{Finding, tree::Tree};
use unicode_width::UnicodeWidthStr;

const LONGEST_FILE: usize = 800;
const WIDEST_COMMENT: usize = 110;
const WIDEST_FIRST_LINE: usize = 80;

/// Money is whole yen and ratios are fractions.
/// Property tests generate any JSON number.
pub fn floats(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust(&["workers/domain/", "schema/money.rs"]) {
        if path.ends_with("/properties.rs") || path.ends_with("/tests.rs") {
            continue;
        }
        let rules = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for (line, number) in rules.lines().zip(1..) {
            if line.split(|c: char| !c.is_alphanumeric()).any(|word| matches!(word, "f32" | "f64")) {
                findings.push(Finding::at(path, format!(":{number}: floating point")));
            }
        }
    }
    findings
}

pub fn long_files(tree: &Tree) -> Vec<Finding> {
    tree.rust(&[""])
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(path, lines)| Finding::at(path, format!(": {lines} lines, at most {LONGEST_FILE}")))
        .collect()
}

fn marks(tree: &Tree, folders: &[&str], marks: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust(folders) {
        for (line, number) in text.lines().zip(1..) {
            for mark in marks.iter().filter(|mark| line.contains(*mark)) {
                findings.push(Finding::at(path, format!(":{number}: {mark}")));
            }
        }
    }
    findings
}

/// `concat!`, so that the check does not find this file.
pub fn unfinished(tree: &Tree) -> Vec<Finding> {
    let unfinished = [
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("FIX", "ME"),
        concat!("#[ign", "ore"),
    ];
    marks(tree, &[""], &unfinished)
}

/// Only `eventually` polls, with a deadline.
pub fn sleeps(tree: &Tree) -> Vec<Finding> {
    let sleeps = [concat!("thread::", "sleep"), concat!("time::", "sleep")];
    let mut findings = marks(tree, &["tests/"], &sleeps);
    findings.retain(|finding| !finding.text.starts_with("tests/it/harness/process.rs:"));
    findings
}

/// `rustfmt` limits the width of code, not of comments.
pub fn wide_comments(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust(&[""]) {
        for (line, number) in text.lines().zip(1..) {
            let comment = line.trim_start().starts_with("//") || line.contains(" // ");
            if comment && line.width() > WIDEST_COMMENT {
                findings.push(Finding::at(path, format!(":{number}: comment of {} columns", line.width())));
            }
        }
    }
    findings
}

/// The first line of a doc comment is its summary: short enough for a list.
pub fn long_summaries(tree: &Tree) -> Vec<Finding> {
    let doc = |line: &str| {
        let line = line.trim_start();
        line.strip_prefix("///").or(line.strip_prefix("//!")).map(|text| text.trim().chars().count())
    };
    let mut findings = Vec::new();
    for (path, text) in tree.rust(&[""]) {
        let mut before = None;
        for (line, number) in text.lines().zip(1..) {
            let width = doc(line);
            if let (None, Some(width)) = (before, width)
                && width > WIDEST_FIRST_LINE
            {
                findings.push(Finding::at(path, format!(":{number}: first doc line of {width} characters")));
            }
            before = width;
        }
    }
    findings
}

/// `x/mod.rs`, never `x.rs` beside a folder `x`.
pub fn module_style(tree: &Tree) -> Vec<Finding> {
    tree.rust(&[""])
        .filter(|(path, _)| {
            let folder = path.replace(".rs", "/");
            tree.rust(&[folder.as_str()]).next().is_some()
        })
        .map(|(path, _)| Finding::at(path, format!(": should be {}", path.replace(".rs", "/mod.rs"))))
        .collect()
}

/// The root has the folders of README.md's map, and the usual files.
pub fn root(tree: &Tree) -> Vec<Finding> {
    const FILES: [&str; 6] =
        ["CHANGELOG.md", "Cargo.lock", "Cargo.toml", "Makefile", "README.md", "SECURITY.md"];
    let is_documented = |name: &str, is_folder: bool| {
        let row = format!("| `{name}/` |");
        if is_folder {
            return name.starts_with('.')
                || ["target", "demo-out"].contains(&name)
                || tree.0["README.md"].contains(&row);
        }
        name.starts_with('.') || name.starts_with("LICENSE") || FILES.contains(&name)
    };
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.read_dir()
        .expect("root is readable")
        .map(|entry| entry.expect("entry is readable").path())
        .map(|path| (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path.is_dir()))
        .filter(|(name, is_folder)| !is_documented(name, *is_folder))
        .map(|(name, _)| Finding::at(&name, ": not in README.md's map"))
        .collect()
}

/// Every package is a member of the workspace once, except separate workspaces.
pub fn members(tree: &Tree) -> Vec<Finding> {
    let root = &tree.0["Cargo.toml"];
    let list =
        root.split_once("members = [").and_then(|(_, rest)| rest.split_once(']')).unwrap_or_default().0;
    let mut listed: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    let mut found: Vec<&str> = tree
        .0
        .iter()
        .filter(|(_, text)| !text.contains("\n[workspace]") && !text.starts_with("[workspace]"))
        .filter_map(|(path, _)| path.strip_suffix("/Cargo.toml"))
        .collect();
    listed.sort_unstable();
    found.sort_unstable();
    if listed == found {
        return Vec::new();
    }
    vec![Finding::at("Cargo.toml", format!(": members are {listed:?}, packages are {found:?}"))]
}

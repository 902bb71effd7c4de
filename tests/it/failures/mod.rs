//! Dead letters on real servers: list, edit, replay and resolve them.

mod control;
mod editing;
mod guide;
mod mail;
mod outage;
mod replaying;

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use hosho_schema::queries::status::ApplicationStatus;
use serde_json::Value;

use crate::harness::{
    process::{eventually, run},
    redact::redacted,
    test_env::{LIMIT, TestEnv},
};

/// For the audit entry.
const WHY: &[&str] = &["--reason", "a test", "--actor", "hanako"];

impl TestEnv {
    /// Exit code and JSON document of `hosho`.
    fn json(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = self.run(&[arguments, &["--json"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let value = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{arguments:?}: {error}: {text}{}", String::from_utf8_lossy(&output.stderr))
        });
        (output.status.code(), value)
    }

    /// Exit code and items of a JSON page of `hosho`.
    fn items(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let (code, mut page) = self.json(arguments);
        (code, page["items"].take())
    }

    /// Lines of `hosho stages` about a stage below the table.
    fn notes_of(&self, stage: &str) -> String {
        let text = String::from_utf8(self.run(&["stages"]).stdout).unwrap();
        let notes: Vec<&str> = text.lines().filter(|line| line.starts_with(stage)).collect();
        redacted(&notes.join("\n"), self.folder.path())
    }

    /// The number of failed messages by state.
    fn failed(&self, arguments: &[&str]) -> BTreeMap<String, usize> {
        let (_, rows) = self.items(&[&["failed", "list", "--all", "--limit", "100000"], arguments].concat());
        let mut counts = BTreeMap::new();
        for row in rows.as_array().unwrap() {
            *counts.entry(row["state"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        counts
    }

    /// Waits for `count` failed messages.
    fn until_failed(&self, count: usize) {
        eventually(&format!("{count} failed messages"), LIMIT, || {
            (self.rows("failed_message") == i64::try_from(count).unwrap()).then_some(())
        });
    }

    /// A copy of `config/` to edit.
    fn data(&self) -> PathBuf {
        let mut copy = Command::new("cp");
        copy.args(["-r", concat!(env!("CARGO_MANIFEST_DIR"), "/config")]).arg(self.path("data"));
        assert!(run(copy).status.success());
        self.path("data")
    }
}

fn is_complete(status: &ApplicationStatus) -> bool {
    let mut certificates = status.guarantees.iter().flat_map(|guarantee| &guarantee.revisions).peekable();
    certificates.peek().is_some() && certificates.all(|revision| revision.revision.completed_at.is_some())
}

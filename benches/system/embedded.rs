//! `hosho process`: one process, SQLite, folders.

use std::{
    fmt::Write as _,
    process::Command,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    applications::Applications,
    harness::process::spawn,
    servers::{data, program},
};

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Embedded {
    pub(crate) applications: usize,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// From the start of the process to the first mail.
    pub(crate) first_result_seconds: f64,
}

#[expect(clippy::cast_precision_loss, reason = "approximate figures")]
pub(crate) fn run(applications: &mut Applications, count: usize) -> Embedded {
    let folder = tempfile::Builder::new().prefix("hosho-bench-embedded-").tempdir().unwrap();
    let mut lines = String::new();
    for application in applications.next(count) {
        writeln!(lines, "{}", String::from_utf8(application.payload).unwrap()).unwrap();
    }
    let (file, mails) = (folder.path().join("applications.jsonl"), folder.path().join("out/mail"));
    std::fs::write(&file, lines).unwrap();
    let mut command = Command::new(program());
    command.current_dir(folder.path()).args(["process", "applications.jsonl", "--out", "out"]);
    command.env("HOSHO__DATA__FOLDER", data(folder.path()));
    let began = Instant::now();
    let mut process = spawn(command, &folder.path().join("log"));
    let mut first = None;
    let status = loop {
        if first.is_none() && std::fs::read_dir(&mails).is_ok_and(|mut files| files.next().is_some()) {
            first = Some(began.elapsed());
        }
        if let Some(status) = process.ended_within(Duration::from_millis(5)) {
            break status;
        }
    };
    let seconds = began.elapsed().as_secs_f64();
    assert!(status.success(), "hosho process: {}", process.output());
    Embedded {
        applications: count,
        seconds,
        per_second: count as f64 / seconds,
        first_result_seconds: first.map_or(f64::NAN, |first| first.as_secs_f64()),
    }
}

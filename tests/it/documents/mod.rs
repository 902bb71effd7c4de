//! Documents, judged from outside: by the tools that others read them with, and by their bytes.

mod conformance;
mod faces;
mod full_disk;
mod hostile;
mod memory;
mod round_trip;
mod same_bytes;
mod texts;

use std::{
    io::Write as _,
    process::Command,
    sync::{Arc, LazyLock},
};

use chrono::{NaiveDate, NaiveDateTime};
use hosho::{
    documents::{renderer::DocumentRenderer, templates::Templates},
    pdf::{FontPaths, Fonts, Pictures},
};
use hosho_schema::snapshots::Certificate;

use crate::harness::process::run;

/// The registry's page.
const REGISTRY: &str = "https://registry.example.jp/certificates";

/// A key that opens nothing.
const KEY: &str = "Hk7mPq3RwXy9";

/// Templates, fonts, and what documents share, prepared once.
fn press() -> &'static DocumentRenderer {
    static PRESS: LazyLock<DocumentRenderer> = LazyLock::new(new_press);
    &PRESS
}

fn new_press() -> DocumentRenderer {
    let fonts = Fonts::load(&FontPaths::system().unwrap()).unwrap();
    DocumentRenderer::new(Arc::new(Templates::load(None).unwrap()), Arc::new(fonts), Pictures::new())
}

/// The date in documents.
fn created() -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2026, 7, 1).unwrap().and_hms_opt(3, 4, 5).unwrap()
}

/// A content that tests vary.
fn certificate() -> Certificate {
    serde_json::from_str(include_str!("../../../benches/certificate.json")).unwrap()
}

/// Runs a tool of others on a document, `FILE` among its arguments.
fn tool(program: &str, arguments: &[&str], pdf: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pdf).unwrap();
    let path = file.path().to_str().unwrap();
    let mut command = Command::new(program);
    command.args(arguments.iter().map(|argument| if *argument == "FILE" { path } else { argument }));
    let output = run(command);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && complaint.is_empty(), "{program}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether qpdf reads a document without an error or a warning.
fn is_sound(pdf: &[u8]) -> bool {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pdf).unwrap();
    let mut command = Command::new("qpdf");
    command.arg("--check").arg(file.path());
    run(command).status.success()
}

/// How many cases or documents a test takes, unless the environment says.
fn size(variable: &str, usual: u32) -> u32 {
    std::env::var(variable)
        .map_or(usual, |size| size.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

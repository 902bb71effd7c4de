//! Documents, checked with foreign tools and by their bytes.

mod conformance;
mod faces;
mod full_disk;
mod hostile;
mod memory;
mod round_trip;
mod same_bytes;
mod store;
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

const REGISTRY: &str = "https://registry.example.jp/certificates";

/// A well-formed key of no guarantee.
const KEY: &str = "Hk7mPq3RwXy9";

/// The renderer shared by all tests.
fn renderer() -> &'static DocumentRenderer {
    static RENDERER: LazyLock<DocumentRenderer> = LazyLock::new(new_renderer);
    &RENDERER
}

fn new_renderer() -> DocumentRenderer {
    let fonts = Fonts::load(&FontPaths::system().unwrap()).unwrap();
    DocumentRenderer::new(Arc::new(Templates::load(None).unwrap()), Arc::new(fonts), Pictures::new())
}

/// The creation date of documents.
fn created() -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2026, 7, 1).unwrap().and_hms_opt(3, 4, 5).unwrap()
}

/// The content that tests modify.
fn certificate() -> Certificate {
    serde_json::from_str(include_str!("../../../benches/certificate.json")).unwrap()
}

/// Runs a tool on a document; `FILE` among the arguments is its path.
fn tool(program: &str, arguments: &[&str], pdf: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pdf).unwrap();
    let path = file.path().to_str().unwrap();
    let mut command = Command::new(program);
    command.args(arguments.iter().map(|argument| if *argument == "FILE" { path } else { argument }));
    let output = run(command);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && errors.is_empty(), "{program}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether qpdf reports no error or warning.
fn is_sound(pdf: &[u8]) -> bool {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pdf).unwrap();
    let mut command = Command::new("qpdf");
    command.arg("--check").arg(file.path());
    run(command).status.success()
}

/// Number of cases or documents, from the environment or the default.
fn size(variable: &str, default: u32) -> u32 {
    std::env::var(variable)
        .map_or(default, |size| size.parse().unwrap_or_else(|_| panic!("{variable} is not a number")))
}

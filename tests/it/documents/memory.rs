//! Rendering a hundred thousand documents leaks no memory (docs/soak.md).

use std::process::Command;

use hosho_schema::snapshots::Certificate;

use super::{KEY, REGISTRY, certificate, created, renderer, size, texts::drawable};
use crate::harness::process::run;

/// Number of documents; set in the child process that renders.
const CHILD: &str = "HOSHO_MEMORY_DOCUMENTS";

/// Allowed growth in KiB for arenas and caches.
/// A leak of one page a document would be 400 MB in the full drill.
const ALLOWED: u64 = 24 * 1024;

/// Resident memory of this process, KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A content unique to a number, with characters from all parts of the standards.
fn content(number: usize) -> Certificate {
    let mut content = certificate();
    let characters = drawable();
    let character = |step: usize| characters[(number * 7919 + step * 104_729) % characters.len()].as_str();
    content.number = format!("31075-{:05}M", number % 100_000);
    content.works.name = (0..10 + number % 60).map(character).collect();
    content.principal.company.name = (100..110).map(character).collect();
    content.principal.company.address = (200..230).map(character).collect();
    content
}

fn render(number: usize) {
    let content = content(number);
    let length = renderer().notice(&content, KEY, REGISTRY, created()).unwrap().len()
        + renderer()
            .certificate(&content, &hosho_schema::snapshots::canonical(&content), created())
            .unwrap()
            .len();
    assert!(length > 20_000);
}

#[test]
fn rendering_does_not_leak_memory() {
    if let Ok(documents) = std::env::var(CHILD) {
        let documents: usize = documents.parse().unwrap();
        let warm = (documents / 20).clamp(300, 2000);
        (0..warm / 2).for_each(render);
        let before = resident();
        let mut most = before;
        for number in warm / 2..warm / 2 + documents / 2 {
            render(number);
            if number % 64 == 0 {
                most = most.max(resident());
            }
        }
        println!("memory before {before} most {most} after {}", resident());
        return;
    }
    let documents = size("HOSHO_DRILL_DOCUMENTS", 3000);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "documents::memory::rendering_does_not_leak_memory", "--nocapture"])
        .env(CHILD, documents.to_string());
    let output = run(command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    let figures = text
        .lines()
        .find_map(|line| line.split_once("memory before "))
        .map(|(_, figures)| figures.to_owned())
        .unwrap();
    let figures: Vec<u64> = figures.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [before, most, after] = figures[..] else { panic!("{text}") };
    println!(
        "{documents} documents: {before} KiB resident after warming up, {most} KiB at most, {after} KiB at the end"
    );
    assert!(most <= before + ALLOWED, "{before} KiB became {most} KiB over {documents} documents");
}

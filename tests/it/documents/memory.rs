//! Drawing takes no more memory after a hundred thousand documents than after the first ones (docs/soak.md).

use std::process::Command;

use hosho_schema::snapshots::Certificate;

use super::{KEY, REGISTRY, certificate, created, press, size, texts::drawable};
use crate::harness::process::run;

/// Says to a process of this test that it is the one that draws.
const DRAWS: &str = "HOSHO_MEMORY_DRAWS";

/// Growth that is no leak: arenas and caches settle as they like. A leak of one page a document would be 400 MB in the full drill.
const ALLOWED: u64 = 24 * 1024;

/// Resident memory of this process, KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A content that no other number has, with letters from all over the standards.
fn content(number: usize) -> Certificate {
    let mut content = certificate();
    let letters = drawable();
    let letter = |step: usize| letters[(number * 7919 + step * 104_729) % letters.len()].as_str();
    content.number = format!("31075-{:05}M", number % 100_000);
    content.works.name = (0..10 + number % 60).map(letter).collect();
    content.principal.company.name = (100..110).map(letter).collect();
    content.principal.company.address = (200..230).map(letter).collect();
    content
}

fn draw(number: usize) {
    let content = content(number);
    let length = press().notice(&content, KEY, REGISTRY, created()).unwrap().len()
        + press()
            .certificate(&content, &hosho_schema::snapshots::canonical(&content), created())
            .unwrap()
            .len();
    assert!(length > 20_000);
}

#[test]
fn memory_is_flat() {
    if let Ok(documents) = std::env::var(DRAWS) {
        let documents: usize = documents.parse().unwrap();
        let warm = (documents / 20).clamp(300, 2000);
        (0..warm / 2).for_each(draw);
        let before = resident();
        let mut most = before;
        for number in warm / 2..warm / 2 + documents / 2 {
            draw(number);
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
        .args(["--exact", "documents::memory::memory_is_flat", "--nocapture"])
        .env(DRAWS, documents.to_string());
    let output = run(command);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let figures = said
        .lines()
        .find_map(|line| line.split_once("memory before "))
        .map(|(_, figures)| figures.to_owned())
        .unwrap();
    let figures: Vec<u64> = figures.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [before, most, after] = figures[..] else { panic!("{said}") };
    println!(
        "{documents} documents: {before} KiB resident after warming up, {most} KiB at most, {after} KiB at the end"
    );
    assert!(most <= before + ALLOWED, "{before} KiB became {most} KiB over {documents} documents");
}

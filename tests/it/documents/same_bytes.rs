//! Rendering is reproducible: across processes, times, orders and threads.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use hosho::{clock::Clock, documents::renderer::DocumentRenderer};
use hosho_schema::{messages::ProductV1, snapshots::Certificate};
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::{KEY, REGISTRY, certificate, created, new_renderer, renderer};
use crate::harness::process::run;

/// The time of the first rendering; set in the child process.
const CHILD: &str = "HOSHO_SAME_BYTES_AFTER";

/// Contents that share some characters.
fn contents() -> Vec<Certificate> {
    let products = [ProductV1::AdvancePayment, ProductV1::InterimAdvancePayment, ProductV1::Performance];
    let names = [
        "市道若葉１２号線道路改良工事",
        "髙﨑𠮷野橋補修工事（その２）",
        "ポンプ場更新 Ｎ区",
        "槗本小学校ほか２校",
        "永",
    ];
    let content = |(product, name): (ProductV1, &str)| {
        let mut content = certificate();
        content.product = product;
        name.clone_into(&mut content.works.name);
        content.revision = name.len().cast_signed() as i64 % 3;
        content
    };
    products.into_iter().flat_map(|product| names.map(|name| (product, name))).map(content).collect()
}

fn digests(renderer: &DocumentRenderer, content: &Certificate) -> [String; 2] {
    let notice = renderer.notice(content, KEY, REGISTRY, created()).unwrap();
    let certificate =
        renderer.certificate(content, &hosho_schema::snapshots::canonical(content), created()).unwrap();
    [notice, certificate].map(|bytes| hex::encode(Sha256::digest(&bytes)))
}

fn in_order(renderer: &DocumentRenderer) -> Vec<[String; 2]> {
    contents().iter().map(|content| digests(renderer, content)).collect()
}

/// Unix time.
fn unix_time() -> i64 {
    Clock::system().now().and_utc().timestamp()
}

#[test]
fn another_process_renders_the_same_bytes() {
    if let Ok(before) = std::env::var(CHILD) {
        let before: i64 = before.parse().unwrap();
        // Render other documents first, until the clock has advanced.
        let renderer = new_renderer();
        let mut others = contents();
        for content in &mut others {
            content.works.name.insert_str(0, "先に描いた別の工事");
        }
        for content in others.iter().cycle() {
            digests(&renderer, content);
            if unix_time() > before + 1 {
                break;
            }
        }
        for digests in in_order(&renderer) {
            println!("digests {}", digests.join(" "));
        }
        return;
    }
    let first = in_order(renderer());
    let distinct: BTreeSet<_> = first.iter().flatten().collect();
    assert_eq!(distinct.len(), 2 * first.len(), "different contents have the same bytes");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "documents::same_bytes::another_process_renders_the_same_bytes", "--nocapture"]);
    command
        .env(CHILD, unix_time().to_string())
        .env("TZ", "Pacific/Kiritimati")
        .env("LC_ALL", "C")
        .env("RAYON_NUM_THREADS", "1");
    let output = run(command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    let other: Vec<[String; 2]> = text
        .lines()
        .filter_map(|line| line.split_once("digests ")?.1.split_once(' '))
        .map(|(notice, certificate)| [notice.to_owned(), certificate.to_owned()])
        .collect();
    assert_eq!(other, first);
}

#[test]
fn threads_and_order_do_not_change_bytes() {
    let first = in_order(renderer());
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let numbered: Vec<(usize, Certificate)> = contents().into_iter().enumerate().collect();
        // In reverse order, each twice, in parallel.
        let drawn: BTreeMap<usize, [String; 2]> = pool.install(|| {
            let twice = numbered.par_iter().rev().map(|(number, content)| {
                let digests = [digests(renderer(), content), digests(renderer(), content)];
                assert_eq!(digests[0], digests[1]);
                (*number, digests[0].clone())
            });
            twice.collect()
        });
        assert_eq!(drawn.into_values().collect::<Vec<_>>(), first, "{threads} threads");
    }
}

#[test]
fn content_key_or_date_changes_bytes() {
    let content = certificate();
    let first = digests(renderer(), &content);
    let later =
        renderer().notice(&content, KEY, REGISTRY, created() + chrono::TimeDelta::seconds(1)).unwrap();
    assert_ne!(hex::encode(Sha256::digest(&later)), first[0]);
    let other = renderer().notice(&content, "Hk7mPq3RwXy7", REGISTRY, created()).unwrap();
    assert_ne!(hex::encode(Sha256::digest(&other)), first[0]);
    let mut changed = content;
    changed.amount.0 += 1;
    assert_ne!(digests(renderer(), &changed)[1], first[1]);
}

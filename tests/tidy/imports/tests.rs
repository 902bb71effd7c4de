//! The import checks, on small trees.

use super::{Graph, arrows, cycles};
use crate::{Finding, tree::Tree};

const MANIFEST: &str = "[package]\nname = \"hosho\"\n[lib]\npath = \"workers/lib.rs\"\n";

fn graph(files: &[(&str, &str)]) -> Graph {
    graph_of(MANIFEST, files)
}

fn graph_of(manifest: &str, files: &[(&str, &str)]) -> Graph {
    let manifest = [("Cargo.toml", manifest)];
    Graph::read(&Tree(
        manifest.iter().chain(files).map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect(),
    ))
}

fn texts(findings: Vec<Finding>) -> Vec<String> {
    findings.into_iter().map(|finding| finding.text).collect()
}

/// The cycles in a library with files `a` and `b`.
fn cycles_of(root: &str, a: &str, b: &str) -> Vec<String> {
    texts(cycles::find(&graph(&[("workers/lib.rs", root), ("workers/a.rs", a), ("workers/b.rs", b)]).edges))
}

const USED_BY_B: &str = "use crate::a::A; pub struct B(A); pub fn run() {}";

#[test]
fn reports_each_import_of_a_cycle() {
    let found = cycles_of("mod a; mod b;", "// first\nuse crate::b::B;\npub struct A(B);", USED_BY_B);
    let chain =
        "workers/a.rs → workers/b.rs (line 2, uses crate::b::B) → workers/a.rs (line 1, uses crate::a::A)";
    assert_eq!(found, [format!("workers/a.rs: cycle of workers/a.rs, workers/b.rs\n    {chain}")]);
}

#[test]
fn reads_tests_and_benches() {
    let targets = "[[test]]\nname = \"it\"\npath = \"tests/it/main.rs\"\n[[bench]]\nname = \"speed\"\nharness = false\n";
    let root = "mod a; mod b;";
    let found = graph_of(
        &format!("{MANIFEST}{targets}"),
        &[
            ("workers/lib.rs", ""),
            ("tests/it/main.rs", root),
            ("tests/it/a.rs", "pub struct A(crate::b::B);"),
            ("tests/it/b.rs", USED_BY_B),
            ("benches/speed.rs", "#[path = \"x.rs\"] mod a; #[path = \"y.rs\"] mod b;"),
            ("benches/x.rs", "pub struct A(crate::b::B);"),
            ("benches/y.rs", USED_BY_B),
        ],
    );
    assert_eq!(cycles::find(&found.edges).len(), 2);
}

#[test]
fn follows_every_kind_of_path() {
    for a in [
        "use super::b::B; pub struct A(B);",
        "pub struct A(crate::b::B);",
        "pub struct A(super::b::B);",
        "use crate::b; pub struct A(b::B);",
        "use crate::{b as other}; pub struct A(other::B);",
        "use crate::b::*; pub struct A(B);",
        "pub use crate::b::B; pub struct A(B);",
        "pub struct A; fn f() { use crate::b::B; }",
        "pub struct A; fn f() { format!(\"{}\", crate::b::B::new()); }",
        "macro_rules! m { () => { $crate::b::B }; } pub struct A;",
        "#[serde(with = \"crate::b::B\")] pub struct A;",
        "pub struct A; mod inner { type C = super::super::b::B; }",
        "pub struct A(crate::B);",
        "pub use crate::b::run; pub struct A; fn f() { run() }",
    ] {
        let root = "mod a; mod b; pub use b::B;";
        assert_eq!(cycles_of(root, a, USED_BY_B).len(), 1, "{a}");
    }
}

#[test]
fn ignores_modules_reexports_and_tests() {
    for a in [
        "use crate::b; pub struct A;",
        "pub use crate::b::B; pub struct A;",
        "pub struct A; #[cfg(test)] mod tests { use crate::b::B; }",
        "pub struct A; #[cfg(test)] use crate::b::B;",
        "pub struct A; impl A { #[cfg(test)] fn f() -> crate::b::B {} }",
        "/// [`crate::b::B`]\npub struct A;",
        "pub struct A; fn f(b: u8) { g(b.B) }",
        "pub use crate::b::run; pub struct A; fn f(run: u8) { g(run) }",
    ] {
        assert!(cycles_of("mod a; mod b;", a, USED_BY_B).is_empty(), "{a}");
    }
}

#[test]
fn allows_imports_from_ancestors() {
    let files = [
        ("workers/lib.rs", "mod a;"),
        ("workers/a/mod.rs", "mod inner; mod other; pub struct Error; fn f() { inner::run() }"),
        ("workers/a/inner.rs", "use super::Error; pub fn run() -> Error { super::other::run() }"),
        ("workers/a/other.rs", "pub fn run() {}"),
    ];
    assert!(cycles::find(&graph(&files).edges).is_empty());
    let mut files = files;
    files[3].1 = "pub fn run() { super::inner::run() }";
    assert_eq!(cycles::find(&graph(&files).edges).len(), 1);
}

#[test]
fn reports_imports_from_higher_layers() {
    let files = [
        ("workers/lib.rs", "pub mod broker; pub mod cli; pub mod clock; pub mod web; mod x;"),
        (
            "workers/broker/mod.rs",
            "pub use crate::clock::Clock; pub struct Queue; fn f() { crate::cli::print() }",
        ),
        ("workers/cli.rs", "use crate::broker::{Clock, Queue}; pub fn print() {}"),
        ("workers/clock.rs", "pub struct Clock;"),
        ("workers/web.rs", "use super::cli::print;"),
        ("workers/x.rs", ""),
    ];
    let expected = [
        "workers/x.rs: is in no layer",
        "workers/broker/mod.rs:1: uses crate::cli::print of workers/cli.rs (broker → cli)",
        "workers/web.rs:1: uses super::cli::print of workers/cli.rs (web → cli)",
    ];
    assert_eq!(texts(arrows(&graph(&files))), expected);
}

#[test]
fn follows_paths_into_member_crates() {
    let files = [
        ("workers/lib.rs", "pub mod clock; pub use hosho_domain as domain;"),
        ("workers/clock.rs", "pub struct Clock(crate::domain::rule::Rule, hosho_domain::Yen);"),
        ("workers/domain/Cargo.toml", "[package]\nname = \"hosho-domain\"\n[lib]\npath = \"lib.rs\"\n"),
        ("workers/domain/lib.rs", "pub mod rule; pub struct Yen;"),
        ("workers/domain/rule.rs", "pub struct Rule(crate::Yen);"),
    ];
    let graph = graph(&files);
    let edges: Vec<String> = graph.edges.keys().map(|(from, to)| format!("{from} {to}")).collect();
    let expected = [
        "workers/clock.rs workers/domain/lib.rs",
        "workers/clock.rs workers/domain/rule.rs",
        "workers/domain/rule.rs workers/domain/lib.rs",
    ];
    assert_eq!(edges, expected);
}

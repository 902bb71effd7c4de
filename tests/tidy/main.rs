//! Checks of the tree's own text, built without the program. `cargo test -p hosho-tidy` fails on any finding;
//! `cargo run -p hosho-tidy -- [check] [path]` prints the findings of the checks whose name begins with `check`
//! (`imports`, `words`, …) about files whose path contains `path`, and counts them.

#![expect(clippy::print_stdout, reason = "the findings are the output")]
#![allow(unreachable_pub, reason = "nothing outside a binary can reach anything")]

mod imports;
mod sources;
mod tree;
mod vendors;
mod words;

use std::collections::BTreeMap;
use tree::Tree;

/// A place that breaks a rule.
pub struct Finding {
    /// Findings of one group are counted together.
    pub group: String,
    /// Begins with a path.
    pub text: String,
}

impl Finding {
    /// Grouped by the folder: `workers/cli` for `workers/cli/doctor/mod.rs`.
    pub fn at(path: &str, rest: impl std::fmt::Display) -> Self {
        let mut parts: Vec<&str> = path.split('/').collect();
        parts.truncate(parts.len().saturating_sub(1).clamp(1, 2));
        Self { group: parts.join("/"), text: format!("{path}{rest}") }
    }
}

/// One list for the tests and for the program.
macro_rules! checks {
    ($($name:ident: $check:path;)*) => {
        const CHECKS: &[(&str, fn(&Tree) -> Vec<Finding>)] = &[$((stringify!($name), $check)),*];

        #[cfg(test)]
        mod tests {
            use super::*;

            $(#[test]
            fn $name() {
                let findings = $check(&Tree::read());
                let texts: Vec<&str> = findings.iter().map(|finding| finding.text.as_str()).collect();
                assert!(texts.is_empty(), "{} findings:\n{}", texts.len(), texts.join("\n"));
            })*
        }
    };
}

checks! {
    imports_go_one_way: imports::check;
    vendors_stay_in_their_room: vendors::misplaced;
    vendors_are_unknown_to_rules: vendors::named_by_rules;
    sources_have_no_floating_rules: sources::floats;
    sources_are_short: sources::long_files;
    sources_are_finished: sources::unfinished;
    sources_never_sleep_in_tests: sources::sleeps;
    sources_have_narrow_comments: sources::wide_comments;
    sources_have_one_module_style: sources::module_style;
    sources_list_members_once: sources::members;
    words_are_plain: words::banned;
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (wanted, place) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    let tree = Tree::read();
    let pending: (&str, fn(&Tree) -> Vec<Finding>) = ("pending_words", words::pending);
    for (name, check) in CHECKS.iter().chain([&pending]).filter(|(name, _)| name.starts_with(&wanted)) {
        let mut groups: BTreeMap<String, usize> = BTreeMap::new();
        for finding in check(&tree).into_iter().filter(|finding| finding.text.contains(&place)) {
            println!("{}", finding.text);
            *groups.entry(finding.group).or_default() += 1;
        }
        println!("{name}: {} findings", groups.values().sum::<usize>());
        for (group, count) in groups {
            println!("{count:7}  {group}");
        }
    }
}

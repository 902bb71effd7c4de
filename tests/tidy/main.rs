//! Checks of the source text.
//!
//! `cargo test -p hosho-tidy` fails on any finding. `cargo run -p hosho-tidy -- [check] [path]` prints and
//! counts the findings of the checks whose name begins with `check` (`imports`, `words`, …) in files whose
//! path contains `path`.

#![expect(clippy::print_stdout, reason = "the findings are the output")]
#![allow(unreachable_pub, reason = "a binary exports nothing")]

mod imports;
mod names;
mod sources;
mod tree;
mod vendors;
mod words;

use std::collections::BTreeMap;
use tree::Tree;

/// A violation of a rule.
pub struct Finding {
    /// Findings of one group are counted together.
    pub group: String,
    /// Begins with the path of the file.
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

/// Declares the list for the program, and a test for each check.
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
    names_are_short: names::long;
    vendors_are_used_in_their_module_only: vendors::misplaced;
    vendors_are_not_used_by_rules: vendors::named_by_rules;
    sources_compute_without_floats: sources::floats;
    sources_are_short: sources::long_files;
    sources_are_finished: sources::unfinished;
    sources_do_not_sleep_in_tests: sources::sleeps;
    sources_have_narrow_comments: sources::wide_comments;
    sources_have_short_summaries: sources::long_summaries;
    sources_have_one_module_style: sources::module_style;
    sources_are_workspace_members: sources::members;
    root_is_as_documented: sources::root;
    words_are_plain: words::banned;
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (check_prefix, path_part) =
        (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    let tree = Tree::read();
    for (name, check) in CHECKS.iter().filter(|(name, _)| name.starts_with(&check_prefix)) {
        let mut groups: BTreeMap<String, usize> = BTreeMap::new();
        for finding in check(&tree).into_iter().filter(|finding| finding.text.contains(&path_part)) {
            println!("{}", finding.text);
            *groups.entry(finding.group).or_default() += 1;
        }
        println!("{name}: {} findings", groups.values().sum::<usize>());
        for (group, count) in groups {
            println!("{count:7}  {group}");
        }
    }
}

//! Names of functions, tests above all, have at most eight words.

use crate::{Finding, tree::Tree};

const MAXIMUM_WORDS: usize = 8;

pub fn long(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust(&[""]) {
        for (line, number) in text.lines().zip(1..) {
            let Some(name) = function(line) else { continue };
            let words = name.split('_').filter(|word| !word.is_empty()).count();
            if words > MAXIMUM_WORDS {
                findings.push(Finding::at(path, format!(":{number}: {name} has {words} words")));
            }
        }
    }
    findings
}

/// The name of the function declared on a line.
/// By line instead of `syn`, because macros make tests of functions in their tokens.
fn function(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("fn ")?;
    let is_declaration =
        (before.is_empty() || before.ends_with(' ')) && !before.contains('"') && !before.contains("//");
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    is_declaration.then(|| &rest[..end])
}

#[test]
fn finds_long_names_of_functions_and_macros() {
    let found = |text: &str| -> Vec<String> {
        let tree = Tree([("a.rs".to_owned(), text.to_owned())].into());
        long(&tree).into_iter().map(|finding| finding.text).collect()
    };
    assert_eq!(
        found(
            "on_both! {\n    async fn a_b_c_d_e_f_g_h_i(database: &Database) {}\n}\nfn a_b_c_d_e_f_g_h() {}"
        ),
        ["a.rs:2: a_b_c_d_e_f_g_h_i has 9 words"]
    );
    assert_eq!(found("// fn a_b_c_d_e_f_g_h_i()\nlet x: fn (u8) = |_| ();"), [""; 0]);
}

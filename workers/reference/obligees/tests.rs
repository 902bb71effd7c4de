use std::fs;

use crate::reference::obligees::*;

#[test]
fn built_in_obligees_are_valid() {
    let registry = super::load(None).unwrap();
    for code in ["hirakawa", "kwsa", "matsumoto", "mlit", "nasushiobara", "ryugasaki", "tochigi"] {
        assert!(registry.get(code).is_some(), "{code}");
    }
    let start = |code: &str| {
        registry.get(code).unwrap().electronic[0].start.map(|start| (start.on.to_string(), start.basis))
    };
    assert_eq!(start("hirakawa"), Some(("2025-12-01".to_owned(), Basis::ContractDate)));
    assert_eq!(start("matsumoto"), Some(("2026-03-01".to_owned(), Basis::ContractDate)));
    assert_eq!(start("kwsa"), Some(("2026-07-01".to_owned(), Basis::Awarded)));
    assert_eq!(start("ryugasaki"), None);
    assert_eq!(registry.get("kwsa").unwrap().submission.mail_address.as_deref(), Some("keiyaku@kwsa.or.jp"));
    assert_eq!(registry.get("mlit").unwrap().submission.channel, Channel::Upload);
    assert!(registry.get("atlantis").is_none());
}

const GOOD: &str = r#"code = "x"
name = "X市"
title = "X市長"

[[electronic]]
products = ["performance"]
kinds = ["construction"]
from = 2026-04-01
basis = "announced_or_designated"

[[submission]]
channel = "mail"
mail_address = "keiyaku@example.jp"
subject = "【電子保証】{number} {name}"
"#;

fn load(text: &str) -> Result<Registry, RegistryError> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("obligees")).unwrap();
    fs::write(folder.path().join("obligees/x.toml"), text).unwrap();
    super::load(Some(folder.path()))
}

#[test]
fn folder_replaces_the_built_in_obligees() {
    let registry = load(GOOD).unwrap();
    assert_eq!(registry.iter().count(), 1);
    assert_eq!(registry.get("x").unwrap().electronic[0].start.unwrap().basis, Basis::AnnouncedOrDesignated);
}

#[test]
fn reports_each_problem_with_its_line() {
    let own = "\n[[submission]]\nproducts = [\"performance\"]\nchannel = \"upload\"\nsystem = \"s\"\n";
    for (text, line, part) in [
        (GOOD.replace("code = \"x\"", "code = \"y\""), 1, "it must be \"x\""),
        (GOOD.replace("\"X市\"", "\"　\""), 2, "name is empty"),
        (GOOD.replace("\"X市長\"", "\"X\\n長\""), 3, "U+000A"),
        (GOOD.replace("[\"performance\"]", "[]"), 6, "products is empty"),
        (GOOD.replace("[\"construction\"]", "[\"design\", \"design\"]"), 7, "twice"),
        (GOOD.replace("[\"construction\"]", "[\"roads\"]"), 7, "unknown variant `roads`"),
        (GOOD.replace("from = 2026-04-01\n", ""), 8, "basis needs from"),
        (GOOD.replace("basis = \"announced_or_designated\"\n", ""), 8, "from needs a basis"),
        (GOOD.replace("2026-04-01", "2026-04-01T09:00:00Z"), 8, "not a day"),
        (GOOD.replace("announced_or_designated", "signed"), 9, "unknown variant `signed`"),
        (GOOD.replace("mail_address = \"keiyaku@example.jp\"\n", ""), 11, "needs a mail_address"),
        (
            GOOD.replace("channel = \"mail\"", "channel = \"mail\"\nsystem = \"s\""),
            13,
            "belongs to channel upload",
        ),
        (GOOD.replace("channel = \"mail\"", "channel = \"fax\""), 12, "unknown variant `fax`"),
        (
            GOOD.replace("channel = \"mail\"\nmail_address = \"keiyaku@example.jp\"", "channel = \"upload\""),
            11,
            "needs a system",
        ),
        (
            GOOD.replace("channel = \"mail\"", "channel = \"upload\"\nsystem = \"s\""),
            14,
            "belongs to channel mail",
        ),
        (GOOD.replace("keiyaku@example.jp", "keiyaku"), 13, "not a mail address"),
        (GOOD.replace("{number}", "{nummer}"), 14, "unknown placeholder"),
        (GOOD.replace("title =", "titel ="), 3, "unknown field `titel`"),
        (GOOD.replace("title = \"X市長\"\n", ""), 1, "missing field `title`"),
        (
            GOOD.replace("[[submission]]", "[[submission]]\nproducts = [\"performance\"]"),
            11,
            "without products is needed",
        ),
        (format!("{GOOD}{own}{own}"), 22, "has one already"),
        (format!("{GOOD}{}", own.replace("products = [\"performance\"]\n", "")), 16, "second [[submission]]"),
        (GOOD.replace("name = \"X市\"", "name = X市"), 2, ""),
    ] {
        let problems = match load(&text) {
            Err(RegistryError::Invalid { problems }) => problems,
            Err(other) => panic!("{text}: {other:?}"),
            Ok(_) => panic!("accepted: {text}"),
        };
        assert_eq!(problems.0.len(), 1, "{text}\n{problems}");
        let problem = &problems.0[0];
        assert!(
            problem.line == line && problem.text.contains(part) && problem.file.ends_with("/x.toml"),
            "{text}\n{problem}"
        );
    }
}

#[test]
fn no_file_hides_the_problems_of_another() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("obligees")).unwrap();
    fs::write(folder.path().join("obligees/a.toml"), "code = \"a\"").unwrap();
    fs::write(
        folder.path().join("obligees/x.toml"),
        GOOD.replace("\"X市\"", "\"\"").replace("\"X市長\"", "\"\""),
    )
    .unwrap();
    let reported = super::load(Some(folder.path())).unwrap_err().to_string();
    let lines: Vec<_> = reported.lines().collect();
    assert_eq!(lines.len(), 3, "{reported}");
    assert!(
        lines[0].contains("a.toml:1: missing field")
            && lines[1].contains("x.toml:2:")
            && lines[2].contains("x.toml:3:"),
        "{reported}"
    );
}

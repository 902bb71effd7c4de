//! Runs docs/operations.md on real servers and compares every command's output.
//!
//! Comments before a block contain its commands; `SAMPLE-OF code` and `GROUP-OF code` in them are replaced by
//! the sample and the group of that code. The block shows the commands as typed, with their output.
//! `HOSHO_BLESS=1` writes all blocks and the table of codes. Times and identifiers of operations are
//! normalised.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::Value;

use crate::harness::{
    evidence::application,
    process::{Child, eventually, run},
    test_env::{LIMIT, TestEnv},
};

const MISSING: usize = 180;
const REFUSED: usize = 90;
const BROKEN: usize = 30;

fn guide() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")
}

/// An env with 300 failed messages of three causes, and its worker.
fn morning() -> (TestEnv, Child) {
    let mut env = TestEnv::new("morning");
    env.smtp.script(&[("rcpt", "550 5.1.2 domain unknown here")]);
    let data = env.data();
    std::fs::remove_file(data.join("branches/35.toml")).unwrap();
    let client = env.client();
    let mut lines = Vec::new();
    for number in 0..MISSING + REFUSED {
        let mut document = application(&format!("2026-{number:04}"));
        if number < MISSING {
            document["branch"] = "35".into();
            document["notification"] = serde_json::json!({ "wanted": false });
        }
        lines.push(document.to_string());
    }
    std::fs::write(env.path("evening.jsonl"), lines.join("\n") + "\n").unwrap();
    env.succeed(&["enqueue", env.path("evening.jsonl").to_str().unwrap()]);
    for number in 0..BROKEN {
        let broken = format!("{{\"source\": \"branch-31\", \"id\": \"{number:02}\", \"branch\": 31");
        let properties = crate::harness::amqp::properties(&format!("script-{number}"), &[]);
        client.publish(&format!("{}work", env.prefix), "validate", broken.as_bytes(), properties);
    }
    // One worker validates everything: a delivery to a worker that has just stopped would count as an
    // attempt.
    let validating = env.work_on(&["validate"], &[]);
    eventually("all applications", LIMIT, || {
        (env.rows("application") == i64::try_from(MISSING + REFUSED).unwrap()).then_some(())
    });
    env.until_failed(BROKEN);
    env.drain(validating);
    let worker = env.work(&[("DATA__FOLDER", data.to_str().unwrap()), ("MAIL__CONNECTIONS", "8")]);
    env.until_failed(MISSING + REFUSED + BROKEN);
    (env, worker)
}

/// Normalises the output of two runs.
#[derive(Default)]
struct Normalizer {
    /// Identifiers of operations, in order of appearance.
    operations: Vec<String>,
}

impl Normalizer {
    fn text(&mut self, text: &str, env: &TestEnv) -> String {
        let text = text
            .replace(&env.prefix, "hosho.")
            .replace(&format!("'{}'", hosho::audit::host()), "'hosho-1'")
            .replace(&env.path("data").display().to_string(), "/etc/hosho/data");
        let mut equal = String::new();
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let (length, instead) = if is_moment(rest, 19, "%Y-%m-%d %H:%M:%S") {
                (19, "2026-12-01 09:03:12".to_owned())
            } else if is_moment(rest, 27, "%Y-%m-%dT%H:%M:%S%.6fZ") {
                (27, "2026-12-01T00:03:12.000000Z".to_owned())
            } else if is_date(rest) {
                (10, "2026-12-01".to_owned())
            } else if is_time_of_day(rest) {
                (8, "09:03:12".to_owned())
            } else if let Some(id) = operation(rest, &equal) {
                let at =
                    self.operations.iter().position(|known| known.starts_with(id)).unwrap_or_else(|| {
                        self.operations.push(id.to_owned());
                        self.operations.len() - 1
                    });
                let sample = format!("{:08x}-5c1d-5f42-9b57-e1f420c683da", 0x5b1d_2c30 + at);
                (id.len(), sample[..id.len()].to_owned())
            } else {
                (first.len_utf8(), first.to_string())
            };
            equal.push_str(&instead);
            rest = &rest[length..];
        }
        // Identifiers of different length make columns of different width.
        equal.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }
}

fn is_moment(text: &str, length: usize, format: &str) -> bool {
    // The parser skips leading blanks.
    text.get(..length)
        .filter(|moment| moment.starts_with('2'))
        .is_some_and(|moment| chrono::NaiveDateTime::parse_from_str(moment, format).is_ok())
}

/// The date of a time that a narrow column shows on two lines.
fn is_date(text: &str) -> bool {
    let date = text.get(..10).filter(|date| date.starts_with('2'));
    date.is_some_and(|date| chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").is_ok())
}

/// The second line of such a time.
fn is_time_of_day(text: &str) -> bool {
    let time = text.get(..8).filter(|time| time.as_bytes()[2] == b':' && time.as_bytes()[5] == b':');
    time.is_some_and(|time| chrono::NaiveTime::parse_from_str(time, "%H:%M:%S").is_ok())
}

/// The identifier of a replay or an operation at the start of `text`.
fn operation<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let named =
        ["replay ", "Operation ", "operation ", "replay        "].iter().any(|name| before.ends_with(name));
    let listed = before.ends_with("\n ") || before.ends_with("─\n ");
    [36, 8].into_iter().find_map(|length| {
        let id = text.get(..length).filter(|id| is_hex(id))?;
        let ends = text[length..].chars().next().is_none_or(|next| !next.is_alphanumeric() && next != '-');
        (ends && (named || (listed && length == 8 && text[length..].trim_start().starts_with("complete"))))
            .then_some(id)
    })
}

/// Around the table of codes.
const CODES: &str = "<!-- codes -->";
const CODES_END: &str = "<!-- end of codes -->";

fn table_of_codes() -> String {
    let row = |(code, advice): (&str, &str)| format!("| `{code}` | {} |\n", advice.replace('|', "\\|"));
    let rows: String = hosho::dead_letters::codes().map(row).collect();
    format!("| code | what to do |\n|---|---|\n{rows}")
}

/// A step that is not a command.
fn take(step: &str, env: &mut TestEnv, worker: &mut Option<Child>) {
    match step {
        "walk: the branch is put back" => {
            env.drain(worker.take().unwrap());
            *worker = Some(env.work(&[("MAIL__CONNECTIONS", "8")]));
        }
        "walk: the mail server is corrected" => env.smtp.script(&[]),
        other => panic!("unknown step: {other}"),
    }
}

/// The output of a command. Panics unless it succeeds.
fn printed(env: &TestEnv, command: &str) -> String {
    let words = shlex::split(command).unwrap();
    assert_eq!(words[0], "hosho");
    let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    let mut hosho = env.hosho(&arguments);
    hosho.env("COLUMNS", "80");
    let output = run(hosho);
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn prints_what_the_operations_guide_shows() {
    let (mut env, worker) = morning();
    let mut worker = Some(worker);
    let (_, groups) = env.items(&["failed", "groups"]);
    let of: BTreeMap<String, Value> = groups
        .as_array()
        .unwrap()
        .iter()
        .map(|group| (group["code"].as_str().unwrap().to_owned(), group.clone()))
        .collect();
    assert_eq!(of.len(), 3, "{groups:#}");
    let written = std::fs::read_to_string(guide()).unwrap();
    let mut walked = String::new();
    let mut normalizer = Normalizer::default();
    let (mut commands, mut within) = (Vec::new(), false);
    let mut lines = written.lines();
    while let Some(line) = lines.next() {
        if line == CODES {
            walked.extend([CODES, "\n", &table_of_codes(), CODES_END, "\n"]);
            assert!(lines.any(|line| line == CODES_END), "the table of codes has no end");
            continue;
        }
        if let Some(comment) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) {
            match comment.strip_prefix("$ ") {
                Some(command) => commands.push(command.to_owned()),
                None => take(comment, &mut env, &mut worker),
            }
        }
        if !within || line == "```" {
            walked.push_str(line);
            walked.push('\n');
            within = line == "```console";
            for command in if within { std::mem::take(&mut commands) } else { Vec::new() } {
                let command = of.iter().fold(command, |command, (code, group)| {
                    let sample = &group["sample"].as_str().unwrap()[..8];
                    let command = command.replace(&format!("SAMPLE-OF {code}"), sample);
                    command.replace(&format!("GROUP-OF {code}"), group["group"].as_str().unwrap())
                });
                let shown = normalizer.text(&printed(&env, &command), &env);
                let has_effect = command.starts_with("hosho failed groups")
                    || !shown.lines().any(|line| line.starts_with("Nothing"));
                assert!(has_effect, "{command} has no effect");
                walked.extend(["$ ", &command, "\n", &shown, "\n"]);
            }
        }
    }
    let left = env.failed(&[]);
    assert_eq!(left, [("discarded".to_owned(), BROKEN), ("resolved".to_owned(), MISSING + REFUSED)].into());
    eventually("every mail", LIMIT, || (env.smtp.count() == REFUSED).then_some(()));
    env.until_idle();
    assert_eq!(env.drain(worker.unwrap()), BTreeMap::new());
    if std::env::var_os("HOSHO_BLESS").is_some() {
        std::fs::write(guide(), &walked).unwrap();
    }
    assert_eq!(
        walked, written,
        "docs/operations.md differs from the output of its commands: HOSHO_BLESS=1 rewrites it"
    );
}

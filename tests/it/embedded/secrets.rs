//! No keys outside the notices, no personal data in logs.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{CliEnv, applications, files_below, keys, processed};
use crate::harness::test_env::example;

/// Every text of the applications that names or addresses a person or a company.
fn personal(applications: &[Value]) -> BTreeSet<String> {
    fn gather(value: &Value, texts: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => {
                // Each part of a name identifies a person, without the title.
                texts.extend(
                    text.split(['　', ' ', '\n']).filter(|part| part.chars().count() > 2).map(str::to_owned),
                );
                texts.insert(text.clone());
            }
            Value::Array(values) => values.iter().for_each(|value| gather(value, texts)),
            Value::Object(fields) => {
                fields.iter().filter(|(name, _)| *name != "kind").for_each(|(_, value)| gather(value, texts));
            }
            _ => {}
        }
    }
    let mut texts = BTreeSet::new();
    for application in applications {
        gather(&application["principal"], &mut texts);
        gather(&application["contact"], &mut texts);
        gather(&application["notification"]["mail_address"], &mut texts);
        gather(&application["works"]["name"], &mut texts);
        texts.extend(
            application["products"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|line| line["bank"].as_str().map(str::to_owned)),
        );
    }
    texts
}

#[test]
fn trace_logs_contain_no_names_and_no_keys() {
    let env = CliEnv::new();
    let examples = [example("applications.jsonl"), example("rejected.jsonl")];
    let mut personal = personal(&applications());
    personal.extend(
        ["ｋｅｉｒｉ", "keiri", "takasaki", "髙", "𠮷", "﨑", "@example", "example.com"].map(str::to_owned),
    );
    assert!(personal.len() > 60 && personal.contains("jv-jimusho@sakiyama.example.jp"), "{personal:?}");
    for format in ["text", "json"] {
        for level in ["info", "trace"] {
            let out = format!("out-{format}-{level}");
            let mut command = env.hosho(["process", "--verbose", "--out", &out]);
            command.args(&examples).env("HOSHO__LOG__FORMAT", format).env("HOSHO__LOG__LEVEL", level);
            let answer = super::answer(command);
            assert_eq!(answer.code, Some(1));
            assert!(answer.err.contains("Certificate arrived in the registry"), "{}", answer.err);
            assert!(level == "info" || answer.err.contains("Batch done"), "{}", answer.err);
            for text in &personal {
                let found = answer.err.lines().find(|line| line.contains(text.as_str()));
                assert_eq!(found, None, "the log contains {text:?}");
            }
            std::fs::rename(env.path(&out), env.path("out")).unwrap();
            let keys = keys(&env);
            assert_eq!(keys.len(), 12);
            for key in keys.values() {
                assert!(!answer.err.contains(key) && !answer.out.contains(key), "the output contains a key");
            }
            std::fs::rename(env.path("out"), env.path(out)).unwrap();
        }
    }
}

#[test]
fn only_the_notice_contains_the_key() {
    let env = processed();
    let keys = keys(env);
    assert_eq!(keys.len(), 12);
    let dump = env.dump();
    assert!(keys.keys().all(|number| dump.contains(number)), "the dump is not of this database");
    let (_, report) = env.report(&example("applications.jsonl"));
    let report = report.to_string();
    let status: String =
        keys.keys().map(|number| env.run(["status", number, "--out", "out", "--json"]).out).collect();
    let mut files: Vec<_> = files_below(&env.path("out"))
        .into_iter()
        .map(|path| (path.display().to_string(), std::fs::read(path).unwrap()))
        .collect();
    files.push(("the rows of the database".to_owned(), dump.into_bytes()));
    files.push(("the report".to_owned(), report.into_bytes()));
    files.push(("the status".to_owned(), status.into_bytes()));
    for (number, key) in &keys {
        let forms =
            [key.clone(), hex::encode(key.as_bytes()), key.chars().rev().collect(), key.to_lowercase()];
        for (name, bytes) in &files {
            for form in &forms {
                // The text of a notice is compressed, so its file does not contain the key in the clear.
                assert!(
                    !bytes.windows(form.len()).any(|window| window == form.as_bytes()),
                    "{name} contains the key of {number}"
                );
            }
        }
    }
    let names: String = files.iter().map(|(name, _)| name.as_str()).collect();
    assert!(keys.values().all(|key| !names.contains(key.as_str())), "a file name contains a key");
}

//! Help, usage, configuration, templates and status: exit codes, JSON and texts.

use std::{
    io::pipe,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{Answer, CliEnv, Transcript, answer, processed};
use crate::harness::test_env::example;

fn with(env: &CliEnv, settings: &[(&str, &str)], arguments: &[&str]) -> Answer {
    let mut command = env.hosho(arguments);
    command.envs(settings.iter().map(|(key, value)| (format!("HOSHO__{key}"), value)));
    answer(command)
}

#[test]
fn help_of_every_command_shows_examples() {
    let env = CliEnv::new();
    let mut shown = Transcript::new(&env);
    let help = shown.run(&["--help"]);
    insta::assert_snapshot!(shown.redacted());
    let (_, listed) = help.out.split_once("Commands:\n").unwrap();
    let commands = listed
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help");
    for command in commands {
        let help = env.run([command, "--help"]);
        assert_eq!(help.code, Some(0));
        let (_, examples) =
            help.out.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{command} shows no example"));
        assert!(examples.contains(&format!("hosho {command}")), "{examples}");
    }
}

#[test]
fn returns_2_for_wrong_usage() {
    let env = CliEnv::new();
    assert_eq!(env.run([""; 0]).code, Some(2));
    let mut shown = Transcript::new(&env);
    env.file("empty.jsonl", "");
    for arguments in [
        &["nonsense"][..],
        &["process"],
        &["process", "a.jsonl", "--nonsense"],
        &["status"],
        &["work", "--stage", "nonsense"],
        &["process", "missing.jsonl"],
        &["enqueue", "missing.jsonl"],
        &["status", "x", "--out", "missing"],
        &["enqueue", "empty.jsonl"],
        &["work"],
        &["topology", "check"],
    ] {
        let answer = shown.run(arguments);
        assert_eq!((answer.code, answer.out.as_str()), (Some(2), ""), "{arguments:?}");
    }
    insta::assert_snapshot!(shown.redacted());
    assert_eq!(super::files_below(&env.folder).len(), 1, "a rejected command created files");
}

#[test]
fn returns_3_for_a_wrong_configuration() {
    let env = CliEnv::new();
    env.file("hosho.toml", "[mail]\nhots = \"smtp.example.jp\"\n");
    let mut shown = Transcript::new(&env);
    for (settings, arguments) in [
        (&[][..], &["config", "check", "--config", "hosho.toml"][..]),
        (&[], &["process", "a.jsonl", "--config", "hosho.toml"]),
        (&[("MAIL__HOTS", "smtp.example.jp")], &["config", "check"]),
        (&[("MAIL__PORT", "many")], &["config", "check"]),
        (&[("SCHEDULE__RESEND", "often")], &["config", "check"]),
        (&[], &["config", "check", "--config", "missing.toml"]),
        (&[("MAIL__PASSWORD_FILE", "/missing/secret"), ("MAIL__USER", "u")], &["config", "check"]),
        // `process` creates the key file; a production system does not.
        (&[], &["config", "check"]),
    ] {
        let answer = shown.with(settings, arguments);
        assert_eq!((answer.code, answer.out.as_str()), (Some(3), ""), "{arguments:?}");
    }
    let good = shown.with(&[("KEYS__CREATE", "true")], &["config", "check"]);
    assert_eq!(good.code, Some(0));
    insta::assert_snapshot!(shown.redacted());
}

#[test]
fn returns_4_for_unavailable_parts() {
    let env = CliEnv::new();
    let unreachable = [
        ("BROKER__URL", "amqp://hosho:open-sesame@127.0.0.1:1/v"),
        ("DATABASE__URL", "postgres://hosho:open-sesame@127.0.0.1:1/d"),
    ];
    env.file("empty.jsonl", "");
    env.file("fonts.toml", "[fonts]\nmincho = [\"/missing/font.ttf\"]\n");
    let mut shown = Transcript::new(&env);
    for (settings, arguments) in [
        (&unreachable[..], &["status", "x"][..]),
        (&unreachable, &["migrate"]),
        (&unreachable, &["topology", "check"]),
        (&unreachable, &["enqueue", "empty.jsonl"]),
        (&[], &["templates", "check", "--config", "fonts.toml"]),
        (&[], &["process", "empty.jsonl", "--out", "empty.jsonl"]),
        // A query creates no database.
        (&[], &["status", "31075-00001M"]),
        // These have no --out.
        (&[], &["migrate", "--check"]),
        (&[], &["stages"]),
        (&unreachable, &["recover", "--dry-run"]),
    ] {
        let answer = shown.with(settings, arguments);
        assert_eq!((answer.code, answer.out.as_str()), (Some(4), ""), "{arguments:?}");
        assert!(!answer.err.contains("open-sesame"), "{}", answer.err);
    }
    insta::assert_snapshot!(shown.redacted());
    assert!(!env.path("hosho.sqlite").exists());
}

#[test]
fn config_show_masks_secrets_in_both_forms() {
    let env = CliEnv::new();
    let secret = env.file("secret", "word-in-file\n");
    let settings = [
        ("BROKER__URL", "amqps://hosho:word-one@mq.example.jp/v"),
        (
            "DATABASE__URL",
            "postgres://hosho:word%2Dtwo@db.example.jp/d?sslmode=require&sslpassword=word-three",
        ),
        ("MAIL__USER", "relay-user"),
        ("MAIL__PASSWORD", "word-four"),
    ];
    let from_file = [("MAIL__USER", "relay-user"), ("MAIL__PASSWORD_FILE", secret.to_str().unwrap())];
    for settings in [&settings[..], &from_file] {
        let [text, json] = [&["config", "show"][..], &["config", "show", "--json"]].map(|arguments| {
            let answer = with(&env, settings, arguments);
            assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""));
            assert!(!answer.out.contains("word-") && !answer.out.contains("word%2D"), "{}", answer.out);
            answer.out
        });
        let text: toml::Table = text.parse().unwrap();
        let json: Value = serde_json::from_str(&json).unwrap();
        for (table, key) in [("broker", "url"), ("database", "url"), ("mail", "user"), ("mail", "password")] {
            assert_eq!(text[table].get(key).and_then(toml::Value::as_str), json[table][key].as_str());
        }
        assert_eq!((&json["mail"]["user"], &json["mail"]["password"]), (&"relay-user".into(), &"***".into()));
        if settings.len() == 4 {
            assert_eq!(json["broker"]["url"], "amqps://hosho:***@mq.example.jp/v");
            assert_eq!(json["database"]["url"], "postgres://hosho:***@db.example.jp/d?***");
        }
    }
    // The output is a valid configuration with every section.
    let shown = env.run(["config", "show"]).out;
    let file = env.file("shown.toml", &shown);
    let again = env.run(["config", "show", "--config", file.to_str().unwrap()]);
    assert_eq!((again.code, again.out.as_str()), (Some(0), shown.as_str()), "{}", again.err);
}

#[test]
fn config_check_names_the_line_of_an_obligee() {
    let env = CliEnv::new();
    let data = env.copy_of("config");
    let settings = [("DATA__FOLDER", "config"), ("KEYS__CREATE", "true")];
    assert_eq!(with(&env, &settings, &["config", "check"]).code, Some(0));
    let file = data.join("obligees/hirakawa.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut shown = Transcript::new(&env);
    for broken in [
        text.replacen("\ntitle", "\ntitel", 1),
        text.replacen("\ntitle = \"", "\ntitle = ", 1),
        text.replacen("\ntitle = \"", "\ntitle = \"\u{7}", 1),
    ] {
        assert_ne!(broken, text);
        std::fs::write(&file, broken).unwrap();
        assert_eq!(shown.with(&settings, &["config", "check"]).code, Some(3));
    }
    insta::assert_snapshot!(shown.redacted());
    std::fs::write(&file, &text).unwrap();
    assert_eq!(with(&env, &settings, &["config", "check"]).code, Some(0));
}

#[test]
fn rejects_templates_with_unknown_fields() {
    let env = CliEnv::new();
    let mut shown = Transcript::new(&env);
    let good = shown.run(&["templates", "check"]);
    assert_eq!(good.code, Some(0));

    let folder = env.copy_of("templates");
    let settings = [("TEMPLATES__FOLDER", "templates")];
    assert_eq!(with(&env, &settings, &["templates", "check"]).out, good.out);
    let file = folder.join("mail/issued/subject.hbs");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("{{number}}", "{{nummer}}")).unwrap();
    let json = with(&env, &settings, &["templates", "check", "--json"]);
    assert_eq!(json.code, Some(1));
    let checks: Vec<Value> = serde_json::from_str(&json.out).unwrap();
    for check in &checks {
        let names_the_field = check["problem"].as_str().is_some_and(|problem| problem.contains("nummer"));
        assert_eq!(names_the_field, check["template"] == "mail/issued/subject", "{check}");
        assert_eq!(check["problem"].is_string(), names_the_field, "{check}");
    }
    assert!(checks.len() > 30);
    assert_eq!(shown.with(&settings, &["templates", "check"]).code, Some(1));

    // The other commands reject the same templates.
    env.file("empty.jsonl", "");
    for arguments in [&["config", "check"][..], &["process", "empty.jsonl"]] {
        assert_eq!(shown.with(&settings, arguments).code, Some(3));
    }
    std::fs::write(&file, "{{#if number}}").unwrap();
    for command in ["templates", "config"] {
        assert_eq!(shown.with(&settings, &[command, "check"]).code, Some(3));
    }
    insta::assert_snapshot!(shown.redacted());
}

#[test]
fn status_finds_an_application_by_every_identifier() {
    let env = processed();
    // Its number contains the date of issue.
    let number = env.statuses(&example("applications.jsonl")).remove(0).guarantees.remove(0).guarantee.number;
    let by_number = env.run(["status", &number, "--out", "out", "--json"]);
    assert_eq!((by_number.code, by_number.err.as_str()), (Some(0), ""));
    let found: Value = serde_json::from_str(&by_number.out).unwrap();
    let application = &found[0];
    assert_eq!(
        (&application["source"], &application["id"], &application["status"]),
        (&"portal".into(), &"2026-0001".into(), &"accepted".into())
    );
    let ours = application["application"].as_str().unwrap();
    let wide: String = number.chars().map(|one| char::from_u32(u32::from(one) + 0xfee0).unwrap()).collect();
    let typed = number.replace('-', "ー").to_lowercase();
    for name in [wide.as_str(), &typed, "2026-0001", ours] {
        let other = env.run(["status", name, "--out", "out", "--json"]);
        assert_eq!((other.code, &other.out), (Some(0), &by_number.out), "{name}: {}", other.err);
    }
    let stages = |guarantee: &Value| -> Vec<String> {
        let steps = guarantee["steps"].as_array().unwrap();
        assert!(steps.iter().all(|step| step["at"].is_string()), "{guarantee}");
        let mut stages: Vec<String> =
            steps.iter().map(|step| step["stage"].as_str().unwrap().to_owned()).collect();
        stages.dedup();
        stages
    };
    let guarantees = application["guarantees"].as_array().unwrap();
    assert_eq!(guarantees.len(), 2);
    assert!(guarantees.iter().all(|guarantee| stages(guarantee) == ["issue", "mint", "render", "dispatch"]));

    let mut shown = Transcript::new(env);
    let table = shown.run(&["status", "2026-0007", "--out", "out"]);
    assert_eq!(table.code, Some(0));
    let all = format!("{}{}", by_number.out, table.out);
    assert!(!["株式会社", "髙", "takasaki", "keiri"].iter().any(|name| all.contains(name)), "{all}");

    for unknown in ["31075-99999M", "2026-9999", "", "'; drop table guarantee; --", "%"] {
        assert_eq!(shown.run(&["status", unknown, "--out", "out"]).code, Some(1));
    }
    insta::assert_snapshot!(shown.redacted());
}

#[test]
fn succeeds_when_the_reader_closes_its_pipe() {
    let env = processed();
    for arguments in [
        &["config", "show"][..],
        &["templates", "check"],
        &["status", "2026-0001", "--out", "out"],
        &["config", "show", "--json"],
    ] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let output = env.hosho(arguments).stdin(Stdio::null()).stdout(writer).output().unwrap();
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" config show >/dev/full", env!("CARGO_BIN_EXE_hosho")]);
    command.current_dir(&env.folder);
    let full = answer(command);
    assert_eq!(full.code, Some(4));
    insta::assert_snapshot!(full.err, @"error: cannot write to standard output: No space left on device (os error 28)");
}

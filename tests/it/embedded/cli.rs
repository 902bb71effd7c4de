//! The command line: help, exit codes, hints, secrets, and what each small command says.

use std::{
    io::pipe,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{Answer, CliEnv, answer, processed};
use crate::harness::test_env::example;

/// Runs a command with settings given as environment variables.
fn with(desk: &CliEnv, settings: &[(&str, &str)], arguments: &[&str]) -> Answer {
    let mut command = desk.hosho(arguments);
    for (key, value) in settings {
        command.env(format!("HOSHO__{key}"), value);
    }
    answer(command)
}

/// An error: exit code, what it names, and a hint.
#[track_caller]
fn assert_refused(answer: &Answer, code: i32, named: &[&str]) {
    assert_eq!((answer.code, answer.out.as_str()), (Some(code), ""), "{}", answer.err);
    assert!(answer.err.starts_with("error: "), "{}", answer.err);
    assert_eq!(answer.err.matches("\n hint: ").count(), 1, "no hint: {}", answer.err);
    for name in named {
        assert!(answer.err.contains(name), "{name} is not named: {}", answer.err);
    }
}

#[test]
fn help_of_every_command_shows_examples_and_the_exit_codes_are_told() {
    let desk = CliEnv::new();
    let help = desk.run(["--help"]);
    assert_eq!(help.code, Some(0));
    for code in
        ["  0  done", "  1  not found", "  2  wrong usage", "  3  the configuration", "  4  database, broker"]
    {
        assert!(help.out.contains(code), "{}", help.out);
    }
    let (_, listed) = help.out.split_once("Commands:\n").unwrap();
    let commands: Vec<&str> = listed
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    let all = "process validate work enqueue migrate topology config templates obligees documents status history verify-chain reissue \
               batch failed replay stages recover mail audit doctor";
    assert_eq!(commands.join(" "), all);
    for command in commands {
        let help = desk.run([command, "--help"]);
        assert_eq!(help.code, Some(0));
        let (_, examples) =
            help.out.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{command} shows no example"));
        assert!(examples.contains(&format!("hosho {command}")), "{examples}");
    }
}

#[test]
fn wrong_usage_is_told_with_code_2() {
    let desk = CliEnv::new();
    for arguments in [
        &[][..],
        &["nonsense"],
        &["process"],
        &["process", "a.jsonl", "--nonsense"],
        &["status"],
        &["work", "--stage", "nonsense"],
    ] {
        let answer = desk.run(arguments);
        assert_eq!((answer.code, answer.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(answer.err.contains("Usage: hosho") || answer.err.contains("try '--help'"), "{}", answer.err);
    }
    assert_refused(&desk.run(["process", "missing.jsonl"]), 2, &["missing.jsonl", "No such file"]);
    assert_refused(&desk.run(["enqueue", "missing.jsonl"]), 2, &["missing.jsonl"]);
    assert_refused(&desk.run(["status", "x", "--out", "missing"]), 2, &["missing", "hosho.sqlite"]);
    let empty = desk.file("empty.jsonl", "");
    assert_refused(&desk.run(["enqueue", empty.to_str().unwrap()]), 2, &["memory:"]);
    assert_refused(&desk.run(["work"]), 2, &["memory:"]);
    assert_refused(&desk.run(["topology", "check"]), 2, &["memory:"]);
    assert_eq!(super::files_below(&desk.folder).len(), 1, "a refused command left files behind");
}

#[test]
fn a_wrong_configuration_is_told_with_code_3_and_names_the_key() {
    let desk = CliEnv::new();
    let file = desk.file("hosho.toml", "[mail]\nhots = \"smtp.example.jp\"\n");
    assert_refused(
        &desk.run(["config", "check", "--config", file.to_str().unwrap()]),
        3,
        &["mail.hots: unknown key"],
    );
    assert_refused(&desk.run(["process", "a.jsonl", "--config", file.to_str().unwrap()]), 3, &["mail.hots"]);
    assert_refused(
        &with(&desk, &[("MAIL__HOTS", "smtp.example.jp")], &["config", "check"]),
        3,
        &["mail.hots: unknown key"],
    );
    assert_refused(&with(&desk, &[("MAIL__PORT", "many")], &["config", "check"]), 3, &["mail.port"]);
    assert_refused(
        &with(&desk, &[("SCHEDULE__RESEND", "often")], &["config", "check"]),
        3,
        &["schedule.resend"],
    );
    assert_refused(&desk.run(["config", "check", "--config", "missing.toml"]), 3, &["missing.toml"]);
    assert_refused(
        &with(
            &desk,
            &[("MAIL__PASSWORD_FILE", "/missing/secret"), ("MAIL__USER", "u")],
            &["config", "check"],
        ),
        3,
        &["/missing/secret"],
    );
    // Embedded, the key file is made at the first run; a production host without one is told so.
    assert_refused(&desk.run(["config", "check"]), 3, &["hosho.keys"]);
    let good = with(&desk, &[("KEYS__CREATE", "true")], &["config", "check"]);
    assert_eq!((good.code, good.err.as_str()), (Some(0), ""));
    assert!(good.out.starts_with("The configuration is valid: 7 obligees, 3 branches"), "{}", good.out);
}

#[test]
fn what_is_not_there_is_told_with_code_4() {
    let desk = CliEnv::new();
    let unreachable = [
        ("BROKER__URL", "amqp://hosho:open-sesame@127.0.0.1:1/v"),
        ("DATABASE__URL", "postgres://hosho:open-sesame@127.0.0.1:1/d"),
    ];
    let file = desk.file("empty.jsonl", "");
    for arguments in
        [&["status", "x"][..], &["migrate"], &["topology", "check"], &["enqueue", file.to_str().unwrap()]]
    {
        let answer = with(&desk, &unreachable, arguments);
        assert_refused(&answer, 4, &["127.0.0.1"]);
        assert!(!answer.err.contains("open-sesame"), "{}", answer.err);
    }
    let fonts = desk.file("fonts.toml", "[fonts]\nmincho = [\"/missing/font.ttf\"]\n");
    assert_refused(
        &desk.run(["templates", "check", "--config", fonts.to_str().unwrap()]),
        4,
        &["/missing/font.ttf"],
    );
    assert_refused(
        &desk.run(["process", file.to_str().unwrap(), "--out", "empty.jsonl"]),
        4,
        &["empty.jsonl"],
    );

    // Looking at a database makes none.
    assert_refused(&desk.run(["status", "31075-00001M"]), 4, &["hosho.sqlite"]);
    assert!(!desk.path("hosho.sqlite").exists());
}

#[test]
fn config_show_tells_everything_but_secrets() {
    let desk = CliEnv::new();
    let secret = desk.file("secret", "word-in-file\n");
    let settings = [
        ("BROKER__URL", "amqp://hosho:word-one@mq.example.jp/v"),
        ("DATABASE__URL", "postgres://hosho:word%2Dtwo@db.example.jp/d?sslpassword=word-three"),
        ("MAIL__USER", "relay-user"),
        ("MAIL__PASSWORD", "word-four"),
    ];
    let from_file = [("MAIL__USER", "relay-user"), ("MAIL__PASSWORD_FILE", secret.to_str().unwrap())];
    for (settings, arguments) in [
        (&settings[..], &["config", "show"][..]),
        (&settings, &["config", "show", "--json"]),
        (&from_file, &["config", "show"]),
        (&from_file, &["config", "show", "--json"]),
    ] {
        let answer = with(&desk, settings, arguments);
        assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""));
        assert!(!answer.out.contains("word-") && !answer.out.contains("word%2D"), "{}", answer.out);
        assert!(answer.out.contains("***") && answer.out.contains("relay-user"), "{}", answer.out);
        if settings.len() == 4 {
            assert!(
                answer.out.contains("mq.example.jp") && answer.out.contains("db.example.jp"),
                "{}",
                answer.out
            );
        }
    }
    // What is shown is a configuration again: every section, and no key the program does not know.
    let shown = desk.run(["config", "show"]).out;
    let file = desk.file("shown.toml", &shown);
    let again = desk.run(["config", "show", "--config", file.to_str().unwrap()]);
    assert_eq!((again.code, again.out.as_str()), (Some(0), shown.as_str()), "{}", again.err);
}

#[test]
fn config_check_names_file_and_line_of_a_broken_obligee() {
    let desk = CliEnv::new();
    let data = desk.copy_of("config");
    let settings = [("DATA__FOLDER", data.to_str().unwrap()), ("KEYS__CREATE", "true")];
    assert_eq!(with(&desk, &settings, &["config", "check"]).code, Some(0));
    let file = data.join("obligees/hirakawa.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let line = 1 + text.lines().position(|line| line.starts_with("title")).unwrap();
    for (broken, problem) in [
        (text.replacen("\ntitle", "\ntitel", 1), "titel"),
        (text.replacen("\ntitle = \"", "\ntitle = ", 1), ""),
        (text.replacen("\ntitle = \"", "\ntitle = \"\u{7}", 1), ""),
    ] {
        assert_ne!(broken, text);
        std::fs::write(&file, broken).unwrap();
        assert_refused(
            &with(&desk, &settings, &["config", "check"]),
            3,
            &[&format!("obligees/hirakawa.toml:{line}"), problem],
        );
    }
    std::fs::write(&file, &text).unwrap();
    assert_eq!(with(&desk, &settings, &["config", "check"]).code, Some(0));
}

#[test]
fn templates_are_checked_before_anybody_gets_to_see_them() {
    let desk = CliEnv::new();
    let good = desk.run(["templates", "check"]);
    assert_eq!((good.code, good.err.as_str()), (Some(0), ""));
    for template in [
        "notice/notice",
        "certificate/advance_payment",
        "certificate/performance",
        "mail/issued/subject",
        "mail/issued/body.html",
    ] {
        assert!(
            good.out.lines().any(|line| line.trim().starts_with(template) && line.trim().ends_with("ok")),
            "{}",
            good.out
        );
    }
    assert!(good.out.trim_end().ends_with(" rendered, 0 failed"));

    let folder = desk.copy_of("templates");
    let settings = [("TEMPLATES__FOLDER", folder.to_str().unwrap())];
    assert_eq!(with(&desk, &settings, &["templates", "check"]).out, good.out);
    let file = folder.join("mail/issued/subject.hbs");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("{{number}}", "{{nummer}}")).unwrap();

    let broken = with(&desk, &settings, &["templates", "check"]);
    assert_eq!((broken.code, broken.err.as_str()), (Some(1), ""));
    assert!(broken.out.contains("nummer") && !broken.out.contains(" 0 failed"), "{}", broken.out);
    let json = with(&desk, &settings, &["templates", "check", "--json"]);
    assert_eq!(json.code, Some(1));
    let proofs: Vec<Value> = serde_json::from_str(&json.out).unwrap();
    for proof in &proofs {
        let is_broken = proof["template"] == "mail/issued/subject";
        assert_eq!(
            proof["problem"].as_str().is_some_and(|problem| problem.contains("nummer")),
            is_broken,
            "{proof}"
        );
        assert!(is_broken || proof["problem"].is_null(), "{proof}");
    }
    assert!(proofs.len() > 30);

    // What `templates check` refuses, nothing else accepts: neither the check of the configuration nor a run.
    assert_refused(&with(&desk, &settings, &["config", "check"]), 3, &["mail/issued/subject", "nummer"]);
    let empty = desk.file("empty.jsonl", "");
    assert_refused(
        &with(&desk, &settings, &["process", empty.to_str().unwrap()]),
        3,
        &["mail/issued/subject", "templates check"],
    );
    std::fs::write(&file, "{{#if number}}").unwrap();
    assert_refused(&with(&desk, &settings, &["templates", "check"]), 3, &["mail/issued/subject"]);
    assert_refused(&with(&desk, &settings, &["config", "check"]), 3, &["mail/issued/subject"]);
}

#[test]
fn status_finds_a_guarantee_by_every_name_it_has() {
    let desk = processed();
    // The term in a number is that of the day of issue.
    let number =
        desk.statuses(&example("applications.jsonl")).remove(0).guarantees.remove(0).guarantee.number;
    let by_number = desk.run(["status", &number, "--out", "out", "--json"]);
    assert_eq!((by_number.code, by_number.err.as_str()), (Some(0), ""));
    let found: Value = serde_json::from_str(&by_number.out).unwrap();
    let application = &found[0];
    assert_eq!(
        (&application["source"], &application["id"], &application["status"]),
        (&"portal".into(), &"2026-0001".into(), &"accepted".into())
    );
    let ours = application["application"].as_str().unwrap();
    let wide: String =
        number.chars().map(|letter| char::from_u32(u32::from(letter) + 0xfee0).unwrap()).collect();
    let typed = number.replace('-', "ー").to_lowercase();
    for name in [wide.as_str(), &typed, "2026-0001", ours] {
        let other = desk.run(["status", name, "--out", "out", "--json"]);
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

    let table = desk.run(["status", "2026-0007", "--out", "out"]);
    assert_eq!((table.code, table.err.as_str()), (Some(0), ""));
    for word in ["2026-0007", "契約保証 紙", "no key: paper", "certificate/", "complete"] {
        assert!(table.out.contains(word), "{word}: {}", table.out);
    }
    // Whoever asks learns where it stands, not whose it is.
    let all = format!("{}{}", by_number.out, table.out);
    assert!(!["株式会社", "髙", "takasaki", "keiri"].iter().any(|name| all.contains(name)), "{all}");

    for unknown in ["31075-99999M", "2026-9999", "", "'; drop table guarantee; --", "%"] {
        assert_refused(
            &desk.run(["status", unknown, "--out", "out"]),
            1,
            &["there is no application or guarantee"],
        );
    }
}

#[test]
fn a_reader_who_has_seen_enough_is_no_error() {
    let desk = processed();
    for arguments in [
        &["config", "show"][..],
        &["templates", "check"],
        &["status", "2026-0001", "--out", "out"],
        &["config", "show", "--json"],
    ] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let output = desk.hosho(arguments).stdin(Stdio::null()).stdout(writer).output().unwrap();
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
    // A result that cannot be written is one.
    if Path::new("/dev/full").exists() {
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec \"$0\" config show >/dev/full", env!("CARGO_BIN_EXE_hosho")])
            .current_dir(&desk.folder);
        let output = answer(command);
        assert_eq!(output.code, Some(4));
        assert!(output.err.contains("cannot write to standard output"), "{}", output.err);
    }
}

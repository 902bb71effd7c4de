//! With `--out`, a hostile configuration file leads nowhere else.

use std::{
    net::TcpListener,
    path::Path,
    process::{Command, Output},
};

use crate::harness::{process::run, test_env::example};

/// Whether a process has connected since.
fn was_reached(listener: &TcpListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    listener.accept().is_ok()
}

fn hosho(folder: &Path, config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hosho"));
    command.arg("--config").arg(config).args(arguments).current_dir(folder);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("USER", "hanako");
    run(command)
}

/// The commands whose help lists `--out FOLDER`, with arguments that do something.
const COMMANDS: &[(&str, &[&[&str]])] = &[
    ("process", &[&["APPLICATIONS"]]),
    ("validate", &[&["APPLICATIONS"]]),
    ("status", &[&["NUMBER"]]),
    ("history", &[&["NUMBER"]]),
    ("verify-chain", &[&[]]),
    ("reissue", &[&["--template-changed", "--reason", "x"]]),
    ("batch", &[&["list"], &["start", "--reason", "x"]]),
    ("failed", &[&["list"], &["groups"]]),
    ("replay", &[&["list"]]),
    ("mail", &[&["list"]]),
    (
        "documents",
        &[
            &["list"],
            &["verify", "--all"],
            &["export", "NUMBER", "--reason", "x", "--to", "out/exported.pdf"],
            &["move", "--reason", "x"],
            &["reclaim", "--reason", "x"],
        ],
    ),
    ("audit", &[&[]]),
    ("doctor", &[&[]]),
];

#[test]
fn out_folder_is_all_that_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let outside = folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("database_url"), format!("postgres://u:p@127.0.0.1:{port}/d")).unwrap();
    std::fs::write(outside.join("broker_url"), format!("amqp://u:p@127.0.0.1:{port}")).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    let config = folder.path().join("hosho.toml");
    let place = outside.display();
    std::fs::write(
        &config,
        format!(
            r#"
            [broker]
            url_file = "{place}/broker_url"
            [database]
            url_file = "{place}/database_url"
            [documents]
            url = "s3://bucket/documents?endpoint=http://127.0.0.1:{port}"
            previous_url = "file:{place}/documents"
            access_key_id = "id"
            secret_access_key_file = "{place}/secret"
            [keys]
            file = "{place}/keys"
            create = true
            [mail]
            transport = "smtp"
            host = "127.0.0.1"
            port = {port}
            security = "none"
            folder = "{place}/mail"
            user = "u"
            password_file = "{place}/secret"
            [batch]
            report_folder = "{place}/reports"
            report_to = ["report@example.jp"]
            "#
        ),
    )
    .unwrap();
    // Without --out it does lead there.
    hosho(folder.path(), &config, &["migrate", "--check"]);
    assert!(was_reached(&listener));

    let names = || {
        let mut names: Vec<_> =
            std::fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let applications = example("applications.jsonl").display().to_string();
    let help =
        |arguments: &[&str]| String::from_utf8(hosho(folder.path(), &config, arguments).stdout).unwrap();
    let all = help(&["--help"]);
    let listed = all.split_once("Commands:\n").unwrap().1.lines().take_while(|line| !line.is_empty());
    let with_out = listed
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help" && help(&[name, "--help"]).contains("--out <FOLDER>"));
    let with_out: Vec<&str> = with_out.collect();
    assert_eq!(with_out.len(), COMMANDS.len(), "{with_out:?}");
    for (command, _) in COMMANDS {
        assert!(with_out.contains(command), "{command}");
    }
    let mut number = String::new();
    for (command, variants) in COMMANDS {
        for arguments in *variants {
            let arguments = arguments.iter().map(|argument| match *argument {
                "APPLICATIONS" => applications.as_str(),
                "NUMBER" => number.as_str(),
                other => other,
            });
            let arguments: Vec<&str> =
                [*command].into_iter().chain(arguments).chain(["--out", "out"]).collect();
            let output = hosho(folder.path(), &config, &arguments);
            let shown = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code().is_some_and(|code| code < 2), "{arguments:?}: {shown}");
            assert!(!was_reached(&listener), "{arguments:?}");
            assert_eq!(names(), before, "{arguments:?}");
        }
        if *command == "process" {
            let notices = std::fs::read_dir(folder.path().join("out/notices")).unwrap();
            let first = notices.map(|entry| entry.unwrap().path()).next().unwrap();
            number = first.file_stem().unwrap().to_str().unwrap().to_owned();
        }
    }
}

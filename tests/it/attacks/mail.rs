//! Replies of an attacker between the program and the mail server.

use std::{path::Path, process::Command, time::Duration};

use hosho::mail::{Mailer, Outcome, Security, SmtpSettings};

use crate::{
    harness::{
        process::{eventually, free_port, spawn},
        smtp::certificates,
        test_env::LIMIT,
    },
    mail::message,
};

/// The attacker appends replies to that of STARTTLS.
/// They must not count for the mail.
#[tokio::test]
async fn replies_before_the_handshake_accept_no_mail() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/attacks/injecting_server.py");
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script).arg(port.to_string());
    command.args(["server.pem", "server.key"].map(|name| certificates().path().join(name)));
    let server = spawn(command, &folder.path().join("log"));
    eventually("the server", LIMIT, || server.output().contains("ready").then_some(()));
    let settings = SmtpSettings {
        host: "localhost".to_owned(),
        port,
        security: Security::StartTls,
        ca_file: Some(certificates().path().join("ca.pem")),
        credentials: None,
        hello_name: Some("hosho.example.jp".to_owned()),
        sender: Some("hosho@example.jp".to_owned()),
        timeout: Duration::from_secs(5),
        reply_timeout: Duration::from_secs(5),
        pool_size: 1,
    };
    let sent = Mailer::smtp(settings).unwrap().send(&message("injected")).await;
    assert_eq!(sent.unwrap_err().outcome(), Outcome::Unavailable, "{}", server.output());
    assert!(!server.output().contains("MAIL FROM"), "{}", server.output());
}

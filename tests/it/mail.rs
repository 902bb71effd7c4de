//! Mail over SMTP: form, TLS, login, and the outcome of each failure.
//! Python's parser reads the form.

use std::error::Error as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use hosho::documents::templates::{TemplateContext as _, Templates};
use hosho::secret::Secret;
use hosho::{
    documents::issue_mail::MailContext,
    mail::{
        Attachment, Credentials, MailMessage, MailMessageError, Mailer, Outcome, Security, SendError, Sender,
        SmtpSettings, Step, file_name,
    },
};
use sha2::{Digest as _, Sha256};

use crate::harness::process::{eventually, free_port};
use crate::harness::smtp::{Mode, SmtpServer, ca_file, parse};

const LOGIN: (&str, &str) = ("hosho@example.jp", "a password: 秘密");

pub fn message(id: &str) -> MailMessage {
    let templates = Templates::load(None).unwrap();
    let (_, context) = MailContext::samples().swap_remove(1);
    MailMessage {
        message_id: format!("{id}@hosho.example.jp"),
        date: chrono::NaiveDate::from_ymd_opt(2026, 7, 1).unwrap().and_hms_opt(1, 2, 3).unwrap(),
        from: Sender {
            name: Some("東日本見本保証株式会社 見本支店".to_owned()),
            address: "hosho@example.jp".into(),
        },
        to: "taro.yamada@kensetsu.example.com".into(),
        subject: templates.render("mail/issued/subject", &context).unwrap(),
        text: templates.render("mail/issued/body.txt", &context).unwrap(),
        html: templates.render("mail/issued/body.html", &context).unwrap(),
        attachments: vec![Attachment {
            file_name: "認証キーのお知らせ_𠮷田_31075-00042M_とても長い名前のファイルです.pdf".to_owned(),
            media_type: "application/pdf".to_owned(),
            bytes: (0..=255).cycle().take(100_000).collect(),
        }],
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
    }
}

fn settings(server: &SmtpServer, security: Security) -> SmtpSettings {
    SmtpSettings {
        host: "localhost".to_owned(),
        port: server.port,
        security,
        ca_file: (security != Security::None).then(ca_file),
        credentials: None,
        hello_name: Some("hosho.example.jp".to_owned()),
        sender: Some("hosho@example.jp".to_owned()),
        timeout: Duration::from_secs(10),
        reply_timeout: Duration::from_secs(10),
        pool_size: 2,
    }
}

fn login(password: &str) -> Credentials {
    Credentials { username: LOGIN.0.to_owned(), password: Secret::new(password) }
}

/// An error with its sources, as in the log.
fn chain(error: &SendError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn assert_arrived_whole(path: &Path, sent: &MailMessage) {
    let mail = parse(path);
    assert_eq!(mail.defects, Vec::<String>::new());
    assert_eq!(mail.header("Subject"), sent.subject);
    assert_eq!(mail.header("From"), "東日本見本保証株式会社 見本支店 <hosho@example.jp>");
    assert_eq!(mail.header("To"), sent.to.expose());
    assert_eq!(mail.header("Message-ID"), format!("<{}>", sent.message_id));
    assert_eq!(mail.header("Date"), "Wed, 01 Jul 2026 01:02:03 +0000");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert_eq!(mail.header("Trace-Id"), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(
        mail.shape,
        ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/pdf"]
    );
    assert_eq!(mail.text.unwrap().replace("\r\n", "\n").trim_end(), sent.text.trim_end());
    assert_eq!(mail.html.unwrap().replace("\r\n", "\n").trim_end(), sent.html.trim_end());
    let [attachment] = &mail.attachments[..] else { panic!("{:?}", mail.attachments) };
    assert_eq!(
        (&attachment.name, &attachment.media_type),
        (&sent.attachments[0].file_name, &sent.attachments[0].media_type)
    );
    let sha256 = Sha256::digest(&sent.attachments[0].bytes);
    assert!((0..32).all(|at| attachment.sha256[2 * at..][..2] == format!("{:02x}", sha256[at])));
}

#[tokio::test]
async fn resends_the_same_bytes_as_the_first_mail() {
    let server = SmtpServer::start(Mode::Plain, None);
    let mailer = Mailer::smtp(settings(&server, Security::None)).unwrap();
    let sent = message("first");
    assert!(sent.subject.contains("電子保証（認証キー）発行完了のお知らせ") && sent.text.contains("𠮷髙組"));
    let reply = mailer.send(&sent).await.unwrap();
    assert_eq!((reply.code, reply.text.as_str()), (250, "OK queued as 1"));
    mailer.send(&sent).await.unwrap();

    let received = server.received();
    assert_eq!(received.len(), 2);
    assert_eq!(
        (received[0].from.as_str(), &received[0].to[..]),
        ("hosho@example.jp", &[sent.to.expose().to_owned()][..])
    );
    assert_arrived_whole(&received[0].file, &sent);
    assert_eq!(std::fs::read(&received[0].file).unwrap(), std::fs::read(&received[1].file).unwrap());

    // The folder contains the same bytes as the SMTP connection.
    let folder = tempfile::tempdir().unwrap();
    Mailer::folder(folder.path()).unwrap().send(&sent).await.unwrap();
    let file = std::fs::read(folder.path().join(file_name(&sent.message_id))).unwrap();
    assert_eq!(file.trim_ascii_end(), std::fs::read(&received[0].file).unwrap().trim_ascii_end());
    mailer.close().await;
}

#[tokio::test]
async fn writes_text_and_html_without_an_attachment() {
    let folder = tempfile::tempdir().unwrap();
    let mailer = Mailer::folder(folder.path()).unwrap();
    mailer.send(&MailMessage { attachments: Vec::new(), ..message("bare") }).await.unwrap();
    let mail = parse(&folder.path().join("bare@hosho.example.jp.eml"));
    assert_eq!(mail.shape, ["multipart/alternative", "text/plain", "text/html"]);
    assert_eq!(mail.attachments, []);
}

#[tokio::test]
async fn sends_with_tls_and_login_by_private_ca() {
    for (mode, security) in [(Mode::StartTls, Security::StartTls), (Mode::Tls, Security::Tls)] {
        let server = SmtpServer::start(mode, Some(LOGIN));
        let good = SmtpSettings { credentials: Some(login(LOGIN.1)), ..settings(&server, security) };
        let mailer = Mailer::smtp(good.clone()).unwrap();
        mailer.probe().await.unwrap();
        mailer.send(&message("over-tls")).await.unwrap();
        assert_arrived_whole(&server.received()[0].file, &message("over-tls"));

        let by_address = SmtpSettings { host: "127.0.0.1".to_owned(), ..good.clone() };
        Mailer::smtp(by_address).unwrap().probe().await.unwrap();

        for (bad, step) in [
            (SmtpSettings { credentials: Some(login("wrong password")), ..good.clone() }, Step::Login),
            (SmtpSettings { ca_file: None, ..good.clone() }, Step::Connect),
            (SmtpSettings { credentials: None, ..good.clone() }, Step::Sender),
        ] {
            let error = Mailer::smtp(bad).unwrap().send(&message("refused")).await.unwrap_err();
            assert_eq!(error.outcome(), Outcome::Unavailable, "{}", chain(&error));
            assert!(
                matches!(error, SendError::Unavailable { step: found, .. } if found == step),
                "{}",
                chain(&error)
            );
            let text = format!("{} {error:?}", chain(&error));
            assert!(!text.contains("password") && !text.contains("example.com"), "{text}");
        }
        assert_eq!(server.received().len(), 1);
    }
}

#[tokio::test]
async fn sends_nothing_in_the_clear_without_tls() {
    let server = SmtpServer::start(Mode::Plain, None);
    for security in [Security::StartTls, Security::Tls] {
        let impatient = SmtpSettings { timeout: Duration::from_secs(2), ..settings(&server, security) };
        let error = Mailer::smtp(impatient).unwrap().send(&message("clear")).await.unwrap_err();
        assert!(matches!(error, SendError::Unavailable { step: Step::Connect, .. }), "{}", chain(&error));
    }
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn returns_each_refusal_without_names() {
    let server = SmtpServer::start(Mode::Plain, None);
    let mailer = Mailer::smtp(settings(&server, Security::None)).unwrap();
    let unknown_user = "550 5.1.1 <taro.yamada@kensetsu.example.com> unknown: taro.yamada";
    for (key, answer, outcome, code) in [
        ("rcpt", unknown_user, Outcome::Permanent, 550),
        ("rcpt", "450 4.2.1 mailbox busy", Outcome::Transient, 450),
        ("rcpt", "421 4.3.2 going down", Outcome::Unavailable, 421),
        ("data", "554 5.7.1 not this", Outcome::Permanent, 554),
        ("data", "451 4.3.0 not now", Outcome::Transient, 451),
        ("data", "421 4.3.2 going down", Outcome::Unavailable, 421),
        ("data", "250 2.0.0 no content expected", Outcome::Unavailable, 250),
        ("dot", "550 5.7.1 looks like spam", Outcome::Permanent, 550),
        ("dot", "452 4.3.1 disk full", Outcome::Transient, 452),
        ("dot", "421 4.3.2 going down", Outcome::Unavailable, 421),
        ("mail", "553 5.7.1 hosho@example.jp may not send", Outcome::Unavailable, 553),
        ("mail", "451 4.7.1 slow down", Outcome::Unavailable, 451),
    ] {
        server.script(&[(key, answer)]);
        let error = mailer.send(&message("refused")).await.unwrap_err();
        assert_eq!(
            (error.outcome(), error.reply().map(|reply| reply.code)),
            (outcome, Some(code)),
            "{key} {answer}: {}",
            chain(&error)
        );
        let text = format!("{} {error:?}", chain(&error));
        assert!(!text.contains("taro") && !text.contains("kensetsu") && !text.contains("hosho@"), "{text}");
        // The next mail is sent.
        server.script(&[]);
        mailer.send(&message("next")).await.unwrap();
    }
    server.script(&[("greeting", "554 5.3.2 no service")]);
    let error =
        Mailer::smtp(settings(&server, Security::None)).unwrap().send(&message("refused")).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { step: Step::Connect, .. }), "{}", chain(&error));
    assert!(
        server.received().iter().all(|mail| mail.message_id.as_deref() == Some("<next@hosho.example.jp>"))
    );
}

#[tokio::test]
async fn returns_unknown_without_a_reply_after_the_content() {
    let server = SmtpServer::start(Mode::Plain, None);
    let impatient =
        SmtpSettings { reply_timeout: Duration::from_secs(1), ..settings(&server, Security::None) };
    let mailer = Mailer::smtp(impatient).unwrap();
    for (number, after_dot) in ["close", "hang", "close"].into_iter().enumerate() {
        // The first over a new connection, the others over one of the pool.
        server.script(&[("after_dot", after_dot)]);
        let error = mailer.send(&message(&format!("unknown-{number}"))).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "{after_dot}: {}", chain(&error));
        server.script(&[]);
        mailer.send(&message(&format!("next-{number}"))).await.unwrap();
    }
    let ids: Vec<_> =
        server.received().into_iter().map(|mail| (mail.message_id.unwrap(), mail.replied)).collect();
    let expected = (0..3).flat_map(|number| {
        [
            (format!("<unknown-{number}@hosho.example.jp>"), false),
            (format!("<next-{number}@hosho.example.jp>"), true),
        ]
    });
    assert_eq!(ids, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn returns_unavailable_for_a_break_within_the_content() {
    let server = SmtpServer::start(Mode::Plain, None);
    let mailer = Mailer::smtp(settings(&server, Security::None)).unwrap();
    server.script(&[("content", "reset")]);
    // Larger than the socket buffers, so that the client detects the break while it writes.
    let mut large = message("large");
    large.attachments[0].bytes = vec![7; 24 << 20];
    let error = mailer.send(&large).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { step: Step::Data, .. }), "{}", chain(&error));
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn replaces_a_closed_connection_of_the_pool() {
    let mut server = SmtpServer::start(Mode::Plain, None);
    let mailer = Mailer::smtp(settings(&server, Security::None)).unwrap();
    mailer.send(&message("before")).await.unwrap();
    // The server closes the pooled connection during the dialogue; the mail is sent over a new one.
    server.script(&[("rcpt", "421 4.4.2 idle for too long"), ("once", "yes")]);
    mailer.send(&message("after")).await.unwrap();
    let received = server.received();
    assert_eq!(received.len(), 2);
    assert!(received[0].time <= received[1].time);

    server.kill();
    let error = mailer.send(&message("refused")).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { step: Step::Connect, .. }), "{}", chain(&error));
    assert_eq!(mailer.probe().await.unwrap_err().outcome(), Outcome::Unavailable);
}

#[tokio::test]
async fn probe_fails_when_no_sender_is_accepted() {
    let server = SmtpServer::start(Mode::Plain, None);
    let mailer = Mailer::smtp(settings(&server, Security::None)).unwrap();
    for reply in ["452 4.3.1 insufficient system storage", "553 5.1.8 sender not allowed"] {
        server.script(&[("mail", reply)]);
        let error = mailer.probe().await.unwrap_err();
        assert!(matches!(error, SendError::Unavailable { step: Step::Sender, .. }), "{}", chain(&error));
    }
    server.script(&[]);
    mailer.probe().await.unwrap();
    // The connection can still be used.
    mailer.send(&message("after")).await.unwrap();
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn sends_many_mails_once_over_few_connections() {
    let server = SmtpServer::start(Mode::Plain, None);
    let mailer = Mailer::smtp(settings(&server, Security::None)).unwrap();
    let mails: Vec<_> = (0..40).map(|number| message(&format!("many-{number}"))).collect();
    let sent = futures_util::future::join_all(mails.iter().map(|mail| mailer.send(mail))).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    let mut ids: Vec<_> = server.received().into_iter().map(|mail| mail.message_id.unwrap()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 40);
}

#[tokio::test]
async fn returns_unavailable_without_a_greeting_in_time() {
    let port = free_port();
    // The kernel accepts connections; no greeting is sent.
    let silent = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let server = SmtpServer::start(Mode::Plain, None);
    let waiting =
        SmtpSettings { port, timeout: Duration::from_millis(300), ..settings(&server, Security::None) };
    let error = Mailer::smtp(waiting).unwrap().send(&message("no-greeting")).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { step: Step::Connect, .. }), "{}", chain(&error));
    drop(silent);
}

#[tokio::test]
async fn rejects_line_breaks_in_headers() {
    let server = SmtpServer::start(Mode::Plain, None);
    let mailer = Mailer::smtp(settings(&server, Security::None)).unwrap();
    let smuggler =
        MailMessage { subject: "工事\r\nBcc: victim@example.com".to_owned(), ..message("smuggler") };
    let error = mailer.send(&smuggler).await.unwrap_err();
    assert!(matches!(error, SendError::Unsendable(MailMessageError::ControlCharacter { field: "subject" })));
    assert_eq!(error.outcome(), Outcome::Permanent);
    // A dot alone on a line does not end the content, and markup stays text.
    let dots = MailMessage {
        text: "前\n.\nQUIT\n後\n".to_owned(),
        html: "<p>&lt;b&gt;</p>\n.\n".to_owned(),
        ..message("dots")
    };
    mailer.send(&dots).await.unwrap();
    assert_arrived_whole(&server.received()[0].file, &dots);
}

#[tokio::test]
async fn writes_one_private_file_per_mail() {
    let folder = tempfile::tempdir().unwrap();
    let mails = folder.path().join("out/mail");
    let mailer = Mailer::folder(&mails).unwrap();
    mailer.probe().await.unwrap();
    for _ in 0..2 {
        let reply = mailer.send(&message("one")).await.unwrap();
        assert_eq!((reply.code, reply.text.as_str()), (250, "one@hosho.example.jp.eml"));
    }
    let names: Vec<_> = std::fs::read_dir(&mails)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, ["one@hosho.example.jp.eml"]);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&mails), mode(&mails.join(&names[0]))), (0o700, 0o600));
    assert_arrived_whole(&mails.join(&names[0]), &message("one"));

    std::fs::remove_dir_all(&mails).unwrap();
    let error = mailer.send(&message("two")).await.unwrap_err();
    assert!(matches!(error, SendError::Folder { .. }) && error.outcome() == Outcome::Unavailable);
}

#[test]
fn renders_every_template_with_every_sample() {
    let templates = Templates::load(None).unwrap();
    for (sample, context) in MailContext::samples() {
        for name in MailContext::TEMPLATES {
            let rendered = templates.render(name, &context).unwrap();
            insta::assert_snapshot!(format!("{name}--{sample}").replace('/', "-"), rendered);
        }
    }
}

#[test]
fn stops_the_test_server_when_it_is_dropped() {
    let server = SmtpServer::start(Mode::Plain, None);
    let port = server.port;
    drop(server);
    eventually("the end of the mail server", Duration::from_secs(10), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_err().then_some(())
    });
}

//! Mail over real SMTP, read back by Python's mail parser: form, protection, and how each failure is told.

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

fn letter(id: &str) -> MailMessage {
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

/// The whole chain of an error, as it is logged.
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
async fn a_letter_arrives_whole_and_a_resend_is_the_same_bytes() {
    let server = SmtpServer::start(Mode::Plain, None);
    let mailer = Mailer::smtp(settings(&server, Security::None)).unwrap();
    let sent = letter("first");
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

    // What goes into a folder is what goes over the wire.
    let folder = tempfile::tempdir().unwrap();
    Mailer::folder(folder.path()).unwrap().send(&sent).await.unwrap();
    let file = std::fs::read(folder.path().join(file_name(&sent.message_id))).unwrap();
    assert_eq!(file.trim_ascii_end(), std::fs::read(&received[0].file).unwrap().trim_ascii_end());
    mailer.close().await;
}

#[tokio::test]
async fn a_letter_without_attachment_is_just_the_two_alternatives() {
    let folder = tempfile::tempdir().unwrap();
    let mailer = Mailer::folder(folder.path()).unwrap();
    mailer.send(&MailMessage { attachments: Vec::new(), ..letter("bare") }).await.unwrap();
    let mail = parse(&folder.path().join("bare@hosho.example.jp.eml"));
    assert_eq!(mail.shape, ["multipart/alternative", "text/plain", "text/html"]);
    assert_eq!(mail.attachments, []);
}

#[tokio::test]
async fn tls_and_login_work_with_a_private_ca() {
    for (mode, security) in [(Mode::StartTls, Security::StartTls), (Mode::Tls, Security::Tls)] {
        let server = SmtpServer::start(mode, Some(LOGIN));
        let good = SmtpSettings { credentials: Some(login(LOGIN.1)), ..settings(&server, security) };
        let mailer = Mailer::smtp(good.clone()).unwrap();
        mailer.probe().await.unwrap();
        mailer.send(&letter("over-tls")).await.unwrap();
        assert_arrived_whole(&server.received()[0].file, &letter("over-tls"));

        let by_address = SmtpSettings { host: "127.0.0.1".to_owned(), ..good.clone() };
        Mailer::smtp(by_address).unwrap().probe().await.unwrap();

        for (bad, step) in [
            (SmtpSettings { credentials: Some(login("wrong password")), ..good.clone() }, Step::Login),
            (SmtpSettings { ca_file: None, ..good.clone() }, Step::Connect),
            (SmtpSettings { credentials: None, ..good.clone() }, Step::Sender),
        ] {
            let error = Mailer::smtp(bad).unwrap().send(&letter("refused")).await.unwrap_err();
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
async fn nothing_is_said_in_the_clear_to_a_server_without_tls() {
    let server = SmtpServer::start(Mode::Plain, None);
    for security in [Security::StartTls, Security::Tls] {
        let impatient = SmtpSettings { timeout: Duration::from_secs(2), ..settings(&server, security) };
        let error = Mailer::smtp(impatient).unwrap().send(&letter("clear")).await.unwrap_err();
        assert!(matches!(error, SendError::Unavailable { step: Step::Connect, .. }), "{}", chain(&error));
    }
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn each_refusal_is_told_for_what_it_is_and_names_nobody() {
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
        ("data", "250 2.0.0 what content?", Outcome::Unavailable, 250),
        ("dot", "550 5.7.1 looks like spam", Outcome::Permanent, 550),
        ("dot", "452 4.3.1 disk full", Outcome::Transient, 452),
        ("dot", "421 4.3.2 going down", Outcome::Unavailable, 421),
        ("mail", "553 5.7.1 hosho@example.jp may not send", Outcome::Unavailable, 553),
        ("mail", "451 4.7.1 slow down", Outcome::Unavailable, 451),
    ] {
        server.script(&[(key, answer)]);
        let error = mailer.send(&letter("refused")).await.unwrap_err();
        assert_eq!(
            (error.outcome(), error.reply().map(|reply| reply.code)),
            (outcome, Some(code)),
            "{key} {answer}: {}",
            chain(&error)
        );
        let text = format!("{} {error:?}", chain(&error));
        assert!(!text.contains("taro") && !text.contains("kensetsu") && !text.contains("hosho@"), "{text}");
        // The neighbour is unharmed, on whatever connection is left.
        server.script(&[]);
        mailer.send(&letter("neighbour")).await.unwrap();
    }
    server.script(&[("greeting", "554 5.3.2 no service")]);
    let error =
        Mailer::smtp(settings(&server, Security::None)).unwrap().send(&letter("refused")).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { step: Step::Connect, .. }), "{}", chain(&error));
    assert!(
        server
            .received()
            .iter()
            .all(|mail| mail.message_id.as_deref() == Some("<neighbour@hosho.example.jp>"))
    );
}

#[tokio::test]
async fn silence_after_the_final_dot_is_unknown_and_nothing_is_sent_twice() {
    let server = SmtpServer::start(Mode::Plain, None);
    let impatient =
        SmtpSettings { reply_timeout: Duration::from_secs(1), ..settings(&server, Security::None) };
    let mailer = Mailer::smtp(impatient).unwrap();
    for (number, after_dot) in ["close", "hang", "close"].into_iter().enumerate() {
        // The first goes over a new connection, the others over one from the pool.
        server.script(&[("after_dot", after_dot)]);
        let error = mailer.send(&letter(&format!("unknown-{number}"))).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "{after_dot}: {}", chain(&error));
        server.script(&[]);
        mailer.send(&letter(&format!("next-{number}"))).await.unwrap();
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
async fn a_break_before_the_final_dot_is_not_sent() {
    let server = SmtpServer::start(Mode::Plain, None);
    let mailer = Mailer::smtp(settings(&server, Security::None)).unwrap();
    server.script(&[("content", "reset")]);
    // Larger than what the two sockets can hold, so that the break is noticed while the content is written.
    let mut large = letter("large");
    large.attachments[0].bytes = vec![7; 24 << 20];
    let error = mailer.send(&large).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { step: Step::Data, .. }), "{}", chain(&error));
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_connection_that_died_in_the_pool_is_replaced() {
    let mut server = SmtpServer::start(Mode::Plain, None);
    let mailer = Mailer::smtp(settings(&server, Security::None)).unwrap();
    mailer.send(&letter("before")).await.unwrap();
    // The server ends the pooled connection in the middle of the dialogue; only a new one gets the letter through.
    server.script(&[("rcpt", "421 4.4.2 idle for too long"), ("once", "yes")]);
    mailer.send(&letter("after")).await.unwrap();
    let received = server.received();
    assert_eq!(received.len(), 2);
    assert!(received[0].time <= received[1].time);

    server.kill();
    let error = mailer.send(&letter("nobody-there")).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { step: Step::Connect, .. }), "{}", chain(&error));
    assert_eq!(mailer.probe().await.unwrap_err().outcome(), Outcome::Unavailable);
}

#[tokio::test]
async fn a_server_that_greets_and_takes_no_mail_is_not_well() {
    let server = SmtpServer::start(Mode::Plain, None);
    let mailer = Mailer::smtp(settings(&server, Security::None)).unwrap();
    for reply in ["452 4.3.1 insufficient system storage", "553 5.1.8 sender not allowed"] {
        server.script(&[("mail", reply)]);
        let error = mailer.probe().await.unwrap_err();
        assert!(matches!(error, SendError::Unavailable { step: Step::Sender, .. }), "{}", chain(&error));
    }
    server.script(&[]);
    mailer.probe().await.unwrap();
    // The connection is as good as new.
    mailer.send(&letter("after")).await.unwrap();
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn many_letters_share_few_connections_and_all_arrive_once() {
    let server = SmtpServer::start(Mode::Plain, None);
    let mailer = Mailer::smtp(settings(&server, Security::None)).unwrap();
    let letters: Vec<_> = (0..40).map(|number| letter(&format!("many-{number}"))).collect();
    let sent = futures_util::future::join_all(letters.iter().map(|letter| mailer.send(letter))).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    let mut ids: Vec<_> = server.received().into_iter().map(|mail| mail.message_id.unwrap()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 40);
}

#[tokio::test]
async fn a_server_that_never_answers_is_unavailable_in_time() {
    let port = free_port();
    // Accepts connections (the kernel does) and never says a word.
    let silent = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let server = SmtpServer::start(Mode::Plain, None);
    let waiting =
        SmtpSettings { port, timeout: Duration::from_millis(300), ..settings(&server, Security::None) };
    let error = Mailer::smtp(waiting).unwrap().send(&letter("silence")).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { step: Step::Connect, .. }), "{}", chain(&error));
    drop(silent);
}

#[tokio::test]
async fn headers_cannot_be_smuggled_in() {
    let server = SmtpServer::start(Mode::Plain, None);
    let mailer = Mailer::smtp(settings(&server, Security::None)).unwrap();
    let smuggler =
        MailMessage { subject: "工事\r\nBcc: victim@example.com".to_owned(), ..letter("smuggler") };
    let error = mailer.send(&smuggler).await.unwrap_err();
    assert!(matches!(error, SendError::Unsendable(MailMessageError::ControlCharacter { field: "subject" })));
    assert_eq!(error.outcome(), Outcome::Permanent);
    // A dot alone on a line does not end the content, and markup stays text.
    let dots = MailMessage {
        text: "前\n.\nQUIT\n後\n".to_owned(),
        html: "<p>&lt;b&gt;</p>\n.\n".to_owned(),
        ..letter("dots")
    };
    mailer.send(&dots).await.unwrap();
    assert_arrived_whole(&server.received()[0].file, &dots);
}

#[tokio::test]
async fn the_folder_holds_one_private_file_per_letter() {
    let folder = tempfile::tempdir().unwrap();
    let mails = folder.path().join("out/mail");
    let mailer = Mailer::folder(&mails).unwrap();
    mailer.probe().await.unwrap();
    for _ in 0..2 {
        let reply = mailer.send(&letter("one")).await.unwrap();
        assert_eq!((reply.code, reply.text.as_str()), (250, "one@hosho.example.jp.eml"));
    }
    let names: Vec<_> = std::fs::read_dir(&mails)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, ["one@hosho.example.jp.eml"]);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&mails), mode(&mails.join(&names[0]))), (0o700, 0o600));
    assert_arrived_whole(&mails.join(&names[0]), &letter("one"));

    std::fs::remove_dir_all(&mails).unwrap();
    let error = mailer.send(&letter("two")).await.unwrap_err();
    assert!(matches!(error, SendError::Folder { .. }) && error.outcome() == Outcome::Unavailable);
}

#[test]
fn every_template_renders_every_sample() {
    let templates = Templates::load(None).unwrap();
    for (sample, context) in MailContext::samples() {
        for name in MailContext::TEMPLATES {
            let rendered = templates.render(name, &context).unwrap();
            insta::assert_snapshot!(format!("{name}--{sample}").replace('/', "-"), rendered);
        }
    }
}

#[test]
fn the_mail_server_of_the_tests_ends_with_its_owner() {
    let server = SmtpServer::start(Mode::Plain, None);
    let port = server.port;
    drop(server);
    eventually("the end of the mail server", Duration::from_secs(10), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_err().then_some(())
    });
}

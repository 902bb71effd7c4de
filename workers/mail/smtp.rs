//! SMTP command by command, and the pool of connections.
//!
//! lettre's connection has no read timeout: every step here has one. A flag distinguishes `Unknown` from
//! `Unavailable`: the iterator that feeds the content sets it at its end, because lettre writes the dot next.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials as Login, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Noop, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{self, response::Response};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::cleartext::Unbuffered;
use super::message::EncodedMail;
use super::{Cause, MailerError, Reply, SendError, Step};
use crate::redact::redact_addresses;
use crate::secret::{Secret, is_loopback};

/// Idle time after which we close a connection.
/// Servers commonly close after one to five minutes.
const IDLE: Duration = Duration::from_secs(30);

/// Time after its last mail in which a connection is used without a test.
/// A connection that broke meanwhile costs a second attempt, as one that breaks during a mail does.
const FRESH: Duration = Duration::from_secs(1);

/// Time limit for QUIT.
const FAREWELL: Duration = Duration::from_secs(1);

/// Content is written in pieces of this size, bytes.
const PIECE: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Not at all: for a relay on the same machine.
    None,
    /// STARTTLS, required before any other command (port 587).
    StartTls,
    /// TLS from the first byte (port 465).
    Tls,
}

/// Who we are to the mail server. Not `Debug`.
#[derive(Clone)]
pub struct Credentials {
    pub username: String,
    pub password: Secret,
}

/// Not `Debug`: it holds a password.
#[derive(Clone)]
pub struct SmtpSettings {
    /// Host name or address; with TLS the name its certificate must carry.
    pub host: String,
    pub port: u16,
    pub security: Security,
    /// PEM file of the certificate authorities to trust *instead of* the system's.
    pub ca_file: Option<PathBuf>,
    /// Login (PLAIN, else LOGIN).
    pub credentials: Option<Credentials>,
    /// Name given in EHLO; without one, this machine's.
    pub hello_name: Option<String>,
    /// Sender address of a probe.
    pub sender: Option<String>,
    /// Longest wait for the reply to each command.
    /// Also the longest wait for a connection with greeting, TLS and login together.
    pub timeout: Duration,
    /// Longest time for the content and the reply to its final dot.
    /// Too short makes mails `Unknown`; RFC 5321 (4.5.3.2.6) requires ten minutes.
    pub reply_timeout: Duration,
    /// Connections at the same time, at least one.
    pub pool_size: usize,
}

pub(super) struct Relay {
    settings: SmtpSettings,
    tls: Option<TlsParameters>,
    hello_name: ClientId,
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
    is_clean: bool,
}

struct Failure {
    error: SendError,
    /// The connection broke: another one may work.
    connection_lost: bool,
}

impl Relay {
    pub(super) fn new(settings: SmtpSettings) -> Result<Self, MailerError> {
        if settings.security == Security::None
            && settings.credentials.is_some()
            && !is_loopback(&settings.host)
        {
            return Err(MailerError::PasswordInClear { host: settings.host });
        }
        let tls = match settings.security {
            Security::None => None,
            Security::StartTls | Security::Tls => {
                Some(tls_parameters(&settings.host, settings.ca_file.as_deref())?)
            }
        };
        let hello_name = settings.hello_name.clone().map_or_else(ClientId::default, ClientId::Domain);
        let permits = Semaphore::new(settings.pool_size.clamp(1, Semaphore::MAX_PERMITS));
        Ok(Self { settings, tls, hello_name, permits, idle: Mutex::new(Vec::new()) })
    }

    pub(super) async fn send(&self, encoded: &EncodedMail) -> Result<Reply, SendError> {
        let _permit = self.permit().await?;
        if let Some(mut connection) = self.pooled().await {
            match self.deliver(&mut connection, encoded).await {
                Ok(reply) => {
                    self.keep(connection, true);
                    return Ok(reply);
                }
                Err(failure) if !failure.connection_lost => {
                    self.keep(connection, false);
                    return Err(failure.error);
                }
                Err(Failure { error: error @ SendError::Unknown { .. }, .. }) => return Err(error),
                // The connection broke in the pool, or the server ends it.
                Err(_) => {}
            }
        }
        let mut connection = self.connect().await?;
        match self.deliver(&mut connection, encoded).await {
            Ok(reply) => {
                self.keep(connection, true);
                Ok(reply)
            }
            Err(failure) => {
                if !failure.connection_lost {
                    self.keep(connection, false);
                }
                Err(failure.error)
            }
        }
    }

    pub(super) async fn probe(&self) -> Result<(), SendError> {
        let _permit = self.permit().await?;
        let mut connection = self.connect().await?;
        let result = match self.settings.sender.as_deref().and_then(|sender| sender.parse::<Address>().ok()) {
            // Many servers greet every client and still accept no mail: no space left, or our sender is not
            // allowed.
            Some(sender) => match self
                .command(Step::Sender, connection.command(Mail::new(Some(sender), Vec::new())), None)
                .await
            {
                Ok(_) => self.command(Step::Connect, connection.command(Rset), None).await,
                refused => refused,
            },
            None => self.command(Step::Connect, connection.command(Noop), None).await,
        };
        result.map_err(|failure| failure.error)?;
        self.keep(connection, false);
        Ok(())
    }

    pub(super) async fn close(&self) {
        let idle = std::mem::take(&mut *self.lock());
        for Idle { mut connection, .. } in idle {
            let _ = timeout(FAREWELL, connection.quit()).await;
        }
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>, SendError> {
        // The semaphore is never closed.
        self.permits
            .acquire()
            .await
            .map_err(|source| SendError::Unavailable { step: Step::Connect, source: source.into() })
    }

    /// A pooled connection that was used a moment ago, or that still answers.
    async fn pooled(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let Idle { mut connection, since, is_clean } = self.lock().pop()?;
            // An accepted mail ends its transaction (RFC 5321, 4.1.1.4): RSET would only test the connection.
            if is_clean && since.elapsed() < FRESH {
                return Some(connection);
            }
            if since.elapsed() < IDLE
                && matches!(timeout(self.settings.timeout, connection.command(Rset)).await, Ok(Ok(_)))
            {
                return Some(connection);
            }
        }
    }

    fn keep(&self, connection: AsyncSmtpConnection, is_clean: bool) {
        self.lock().push(Idle { connection, since: Instant::now(), is_clean });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Connects, starts TLS and logs in. A failure concerns the server, not one mail.
    async fn connect(&self) -> Result<AsyncSmtpConnection, SendError> {
        let settings = &self.settings;
        let wrapped = if settings.security == Security::Tls { self.tls.clone() } else { None };
        let is_encrypted = Arc::new(AtomicBool::new(settings.security == Security::None));
        let connecting = async {
            let address = (settings.host.as_str(), settings.port);
            let mut connection = match wrapped {
                Some(tls) => {
                    AsyncSmtpConnection::connect_tokio1(address, None, &self.hello_name, Some(tls), None)
                        .await
                }
                None => {
                    let stream = connect_tcp(address).await.map_err(|error| (Step::Connect, error.into()))?;
                    let is_encrypted = Arc::clone(&is_encrypted);
                    let stream = Box::new(Unbuffered { stream, is_encrypted });
                    AsyncSmtpConnection::connect_with_transport(stream, &self.hello_name).await
                }
            }
            .map_err(|error| (Step::Connect, cause(error, None)))?;
            if let (Security::StartTls, Some(tls)) = (settings.security, &self.tls) {
                connection
                    .starttls(tls.clone(), &self.hello_name)
                    .await
                    .map_err(|error| (Step::Connect, cause(error, None)))?;
            }
            is_encrypted.store(true, Ordering::Relaxed);
            if let Some(credentials) = &settings.credentials {
                let login =
                    Login::new(credentials.username.clone(), credentials.password.expose().to_owned());
                connection
                    .auth(&[Mechanism::Plain, Mechanism::Login], &login)
                    .await
                    .map_err(|error| (Step::Login, cause(error, None)))?;
            }
            Ok(connection)
        };
        match timeout(settings.timeout, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err((step, source))) => Err(SendError::Unavailable { step, source }),
            Err(elapsed) => Err(SendError::Unavailable { step: Step::Connect, source: elapsed.into() }),
        }
    }

    async fn deliver(
        &self,
        connection: &mut AsyncSmtpConnection,
        encoded: &EncodedMail,
    ) -> Result<Reply, Failure> {
        let to = Some(encoded);
        self.command(
            Step::Sender,
            connection.command(Mail::new(encoded.envelope.from().cloned(), Vec::new())),
            to,
        )
        .await?;
        for recipient in encoded.envelope.to() {
            self.command(Step::Recipient, connection.command(Rcpt::new(recipient.clone(), Vec::new())), to)
                .await?;
        }
        let ready = self.command(Step::Data, connection.command(Data), to).await?;
        if !ready.has_code(354) {
            // Such a server would read the content as commands.
            let source = Reply { code: ready.code().into(), text: "is no reply to DATA".to_owned() }.into();
            return Err(Failure {
                error: SendError::Unavailable { step: Step::Data, source },
                connection_lost: true,
            });
        }

        // lettre writes a line break before the dot; the message's own would leave an empty line behind it.
        let content = encoded.bytes.strip_suffix(b"\r\n").unwrap_or(&encoded.bytes);
        let dotted = AtomicBool::new(false);
        let mut pieces = content.chunks(PIECE);
        let feed = std::iter::from_fn(|| {
            let piece = pieces.next();
            if piece.is_none() {
                dotted.store(true, Ordering::SeqCst);
            }
            piece
        });
        let answer = timeout(self.settings.reply_timeout, connection.message_iter(feed)).await;
        let after_dot = dotted.load(Ordering::SeqCst);
        let step = if after_dot { Step::FinalDot } else { Step::Data };
        let broken = |source: Cause| Failure {
            error: if after_dot {
                SendError::Unknown { source }
            } else {
                SendError::Unavailable { step, source }
            },
            connection_lost: true,
        };
        match answer {
            Ok(Ok(response)) if (200..300).contains(&u16::from(response.code())) => {
                Ok(reply_of(&response, to))
            }
            Ok(Ok(_)) => Err(broken("the reply to the final dot is neither yes nor no".into())),
            Ok(Err(error)) => match refusal(&error, to) {
                Some(reply) => Err(refused(step, reply)),
                None => Err(broken(cause(error, to))),
            },
            Err(elapsed) => Err(broken(elapsed.into())),
        }
    }

    /// Waits for the reply to a command before the content.
    async fn command(
        &self,
        step: Step,
        command: impl Future<Output = Result<Response, smtp::Error>>,
        to: Option<&EncodedMail>,
    ) -> Result<Response, Failure> {
        let broken =
            |source| Failure { error: SendError::Unavailable { step, source }, connection_lost: true };
        match timeout(self.settings.timeout, command).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => match refusal(&error, to) {
                Some(reply) => Err(refused(step, reply)),
                None => Err(broken(cause(error, to))),
            },
            Err(elapsed) => Err(broken(elapsed.into())),
        }
    }
}

/// A connection with `TCP_NODELAY`.
/// lettre writes content and dot separately, and without it the dot would wait for the delayed
/// acknowledgement of the content, 40 ms. (A connection with TLS from the start is lettre's own.)
async fn connect_tcp(address: (&str, u16)) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The error of a 4xx or 5xx; see the table of the module.
fn refused(step: Step, reply: Reply) -> Failure {
    let code = reply.code;
    let error = match (code, step) {
        (421 | 454 | 530 | 534 | 535 | 538, _) | (_, Step::Connect | Step::Login | Step::Sender) => {
            SendError::Unavailable { step, source: reply.into() }
        }
        (500.., _) => SendError::Refused { step, source: reply },
        _ => SendError::Deferred { step, source: reply },
    };
    Failure { error, connection_lost: code == 421 }
}

fn refusal(error: &smtp::Error, to: Option<&EncodedMail>) -> Option<Reply> {
    let code = u16::from(error.status()?);
    let text = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    Some(Reply { code, text: presentable(&text, to) })
}

fn reply_of(response: &Response, to: Option<&EncodedMail>) -> Reply {
    let text = response.message().collect::<Vec<_>>().join(" ");
    Reply { code: response.code().into(), text: presentable(&text, to) }
}

/// An error that may be logged.
/// lettre quotes unreadable replies, which may have any content.
fn cause(error: smtp::Error, to: Option<&EncodedMail>) -> Cause {
    match refusal(&error, to) {
        Some(reply) => reply.into(),
        None if error.is_response() => "the connection ended or the reply is not SMTP".into(),
        None => error.into(),
    }
}

/// The server's text without addresses, on one line, at most 400 characters.
fn presentable(text: &str, to: Option<&EncodedMail>) -> String {
    let mut text = redact_addresses(text);
    for address in to.iter().flat_map(|encoded| encoded.envelope.to()) {
        // "user taro unknown", "kensetsu.example.com: no MX": a small firm's domain is its name.
        for part in [address.user(), address.domain()] {
            text = masked(&text, part);
        }
    }
    text.chars().take(400).collect()
}

/// Replaces every occurrence of a part, in any case.
/// A part of one or two characters stays, because it occurs in every text.
fn masked(text: &str, part: &str) -> String {
    let (lower, part) = (text.to_ascii_lowercase(), part.to_ascii_lowercase());
    if part.len() <= 2 {
        return text.to_owned();
    }
    let mut masked = String::with_capacity(text.len());
    let mut from = 0;
    for (at, _) in lower.match_indices(&part) {
        masked.push_str(&text[from..at]);
        masked.push_str("***");
        from = at + part.len();
    }
    masked.push_str(&text[from..]);
    masked
}

fn tls_parameters(host: &str, ca_file: Option<&Path>) -> Result<TlsParameters, MailerError> {
    let mut parameters = TlsParameters::builder(host.to_owned());
    if let Some(path) = ca_file {
        let pem =
            std::fs::read(path).map_err(|source| MailerError::ReadCa { path: path.to_owned(), source })?;
        let no_ca = || MailerError::NoCa { path: path.to_owned() };
        // lettre takes an empty file for an empty list of certificates.
        if !pem.windows(27).any(|window| window == b"-----BEGIN CERTIFICATE-----") {
            return Err(no_ca());
        }
        let certificate = Certificate::from_pem(&pem).map_err(|_| no_ca())?;
        parameters = parameters.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    parameters.build().map_err(|error| MailerError::Tls { host: host.to_owned(), source: error.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Mailer, Outcome};

    fn settings() -> SmtpSettings {
        SmtpSettings {
            host: "mail.example.jp".to_owned(),
            port: 25,
            security: Security::None,
            ca_file: None,
            credentials: None,
            hello_name: None,
            sender: None,
            timeout: Duration::from_secs(5),
            reply_timeout: Duration::from_secs(5),
            pool_size: 0,
        }
    }

    #[test]
    fn classifies_replies_by_code_and_step() {
        for (code, step, outcome, lost) in [
            (550, Step::Recipient, Outcome::Permanent, false),
            (554, Step::Data, Outcome::Permanent, false),
            (552, Step::FinalDot, Outcome::Permanent, false),
            (450, Step::Recipient, Outcome::Transient, false),
            (451, Step::FinalDot, Outcome::Transient, false),
            (421, Step::Recipient, Outcome::Unavailable, true),
            (421, Step::FinalDot, Outcome::Unavailable, true),
            (530, Step::Recipient, Outcome::Unavailable, false),
            (553, Step::Sender, Outcome::Unavailable, false),
            (452, Step::Sender, Outcome::Unavailable, false),
            (554, Step::Connect, Outcome::Unavailable, false),
            (535, Step::Login, Outcome::Unavailable, false),
        ] {
            let failure = refused(step, Reply { code, text: String::new() });
            assert_eq!((failure.error.outcome(), failure.connection_lost), (outcome, lost), "{code} {step}");
            assert_eq!(failure.error.reply().map(|reply| reply.code), Some(code));
        }
    }

    #[test]
    fn never_sends_a_password_in_clear() {
        let credentials = Some(Credentials { username: "hosho".to_owned(), password: Secret::new("secret") });
        let refused = Mailer::smtp(SmtpSettings { credentials: credentials.clone(), ..settings() }).err();
        assert!(matches!(refused, Some(MailerError::PasswordInClear { .. })));
        for host in ["localhost", "127.0.0.1", "::1"] {
            assert!(
                Mailer::smtp(SmtpSettings {
                    host: host.to_owned(),
                    credentials: credentials.clone(),
                    ..settings()
                })
                .is_ok()
            );
        }
        assert!(
            Mailer::smtp(SmtpSettings { security: Security::StartTls, credentials, ..settings() }).is_ok()
        );
    }

    #[test]
    fn rejects_a_ca_file_without_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let start = || {
            Mailer::smtp(SmtpSettings { security: Security::Tls, ca_file: Some(path.clone()), ..settings() })
                .err()
        };
        assert!(matches!(start(), Some(MailerError::ReadCa { .. })));
        for text in ["", "not a certificate", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&path, text).unwrap();
            assert!(start().is_some(), "{text}");
        }
    }
}

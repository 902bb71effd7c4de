//! Sends mails to a server or into a folder; an error says how far a mail came.
//! No other module names lettre.
//!
//! [`delivery`] keeps a ledger row per mail, for which one fact decides: *was the final dot written?* Before
//! it the mail was not sent and a retry is safe; after it, without a reply, the mail server may have accepted
//! the mail. Rejected: lettre's own transport. Its errors do not distinguish the two (a timeout is a
//! timeout), and its pool sends again on a connection error. So `smtp.rs` drives lettre's
//! `AsyncSmtpConnection` command by command:
//!
//! | event | [`SendError`] | for the stage |
//! |---|---|---|
//! | no connection, TLS, greeting, login; 421, 454, 530, 534, 535, 538 | `Unavailable` | wait and probe |
//! | our sender refused (any 4xx, 5xx to MAIL) | `Unavailable` | the same; an operator must act |
//! | 4xx to RCPT, DATA or the final dot | `Deferred` | try again later |
//! | 5xx to RCPT, DATA or the final dot | `Refused` | permanent |
//! | broke or timed out before the final dot | `Unavailable` | not sent |
//! | broke or timed out from the final dot on | `Unknown` | ledger state `unknown` |
//! | the mail itself is invalid (a line break in a header field) | `Unsendable` | permanent |
//!
//! A pooled connection that is broken, or that the server ends with 421, is replaced once before an error is
//! reported, as long as the final dot was not written.
//!
//! The same mail has the same bytes every time (`message.rs`): a mail sent again after `Unknown` has the same
//! Message-ID, and the `.eml` file of a mail is overwritten by the same content.
//!
//! Replies of servers quote addresses; these are redacted before a reply is logged or stored.

mod address;
mod cleartext;
pub mod delivery;
mod folder;
mod message;
mod smtp;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use address::{is_mail_address, normal_mail_address};
pub use folder::file_name;
pub use message::{Attachment, MailMessage, MailMessageError, Sender};
pub use smtp::{Credentials, Security, SmtpSettings};

/// The server's answer, without mail addresses.
/// At most 400 characters on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// SMTP reply code, such as 250.
    pub code: u16,
    pub text: String,
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

impl std::error::Error for Reply {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Connect,
    Login,
    /// MAIL: our own address.
    Sender,
    /// RCPT: the recipient's address.
    Recipient,
    Data,
    FinalDot,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Login => "logging in",
            Self::Sender => "naming the sender",
            Self::Recipient => "naming the recipient",
            Self::Data => "sending the content",
            Self::FinalDot => "after the final dot",
        })
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a mail was not sent. No variant holds a mail address.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Not sent: the mail itself is invalid. Permanent.
    #[error("the mail is invalid")]
    Unsendable(#[source] MailMessageError),
    /// Not sent: the server refused this mail permanently (5xx).
    #[error("the mail server refused the mail permanently, {step}")]
    Refused { step: Step, source: Reply },
    /// Not sent: the server deferred this mail (4xx).
    #[error("the mail server deferred the mail, {step}")]
    Deferred { step: Step, source: Reply },
    /// Not sent: the server cannot be used for any mail.
    #[error("the mail server cannot be used, {step}")]
    Unavailable {
        step: Step,
        /// Why: a [`Reply`], or the connection's error.
        source: Cause,
    },
    #[error("the mail folder {folder} cannot be used", folder = folder.display())]
    Folder { folder: PathBuf, source: std::io::Error },
    /// Perhaps sent: the connection broke or timed out after the final dot.
    #[error("the mail server may have accepted the mail: no reply, {}", Step::FinalDot)]
    Unknown { source: Cause },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Not sent, and never will be.
    Permanent,
    /// Not sent; a later attempt may succeed.
    Transient,
    /// Not sent; nothing can be sent now.
    Unavailable,
    Unknown,
}

impl SendError {
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Unsendable(_) | Self::Refused { .. } => Outcome::Permanent,
            Self::Deferred { .. } => Outcome::Transient,
            Self::Unavailable { .. } | Self::Folder { .. } => Outcome::Unavailable,
            Self::Unknown { .. } => Outcome::Unknown,
        }
    }

    /// Whether the server had the whole mail and the reply timed out.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Unknown { source } if source.is::<tokio::time::error::Elapsed>())
    }

    /// What the server said, where it said something.
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Refused { source, .. } | Self::Deferred { source, .. } => Some(source),
            Self::Unavailable { source, .. } => source.downcast_ref(),
            _ => None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum MailerError {
    #[error("cannot read the CA certificates {path}", path = path.display())]
    ReadCa { path: PathBuf, source: std::io::Error },
    #[error("{path} holds no CA certificate in PEM form", path = path.display())]
    NoCa { path: PathBuf },
    #[error("cannot set up TLS for the mail server {host}")]
    Tls { host: String, source: Cause },
    #[error("a password for {host} would travel in the clear; set security to starttls or tls")]
    PasswordInClear { host: String },
    #[error("cannot create the mail folder {folder}", folder = folder.display())]
    Folder { folder: PathBuf, source: std::io::Error },
}

/// Sends mails. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub struct Mailer(Way);

#[derive(Clone)]
enum Way {
    Smtp(Arc<smtp::Relay>),
    Folder(Arc<folder::Folder>),
}

impl Mailer {
    /// Sends through a mail server. Nothing is connected yet; see [`Mailer::probe`].
    pub fn smtp(settings: SmtpSettings) -> Result<Self, MailerError> {
        Ok(Self(Way::Smtp(Arc::new(smtp::Relay::new(settings)?))))
    }

    /// Writes each mail to the file [`file_name`] of `folder`.
    /// Creates a missing folder.
    pub fn folder(folder: impl Into<PathBuf>) -> Result<Self, MailerError> {
        Ok(Self(Way::Folder(Arc::new(folder::Folder::open(folder.into())?))))
    }

    /// Sends one mail and returns the server's reply to the final dot.
    /// For a folder the reply is 250 and the name of the file.
    pub async fn send(&self, mail: &MailMessage) -> Result<Reply, SendError> {
        let encoded = message::EncodedMail::encode(mail).map_err(SendError::Unsendable)?;
        match &self.0 {
            Way::Smtp(relay) => relay.send(&encoded).await,
            Way::Folder(folder) => folder.write(encoded).await,
        }
    }

    /// Whether sending is idempotent: in a folder the second file replaces the first.
    pub fn is_repeatable(&self) -> bool {
        matches!(self.0, Way::Folder(_))
    }

    /// Tests whether mails can be sent now.
    /// Connects, logs in, names our sender and resets; or writes to the folder.
    pub async fn probe(&self) -> Result<(), SendError> {
        match &self.0 {
            Way::Smtp(relay) => relay.probe().await,
            Way::Folder(folder) => folder.probe().await,
        }
    }

    /// Sends QUIT on all idle connections.
    pub async fn close(&self) {
        if let Way::Smtp(relay) = &self.0 {
            relay.close().await;
        }
    }
}

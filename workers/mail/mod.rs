//! Mail: a [`MailMessage`] goes to a mail server or into a folder, and the caller learns exactly how far it came. The only room
//! that names lettre.
//!
//! The dispatch stage keeps a ledger row per mail and must know one thing above all: *was the final dot written?* Before it
//! nothing was sent and trying again is safe; after it, without a reply, the mail may have been taken. lettre's own
//! transport was rejected for that reason: its errors do not tell the two apart (a timeout is a timeout), and its pool
//! sends again by itself on a connection error. So `smtp.rs` drives lettre's `AsyncSmtpConnection` command by command:
//!
//! | what happened | [`SendError`] | for the stage |
//! |---|---|---|
//! | no connection, TLS, greeting, login; 421, 454, 530, 534, 535, 538 anywhere | `Unavailable` | no attempt counted, wait and probe |
//! | our sender refused (any 4xx, 5xx to MAIL) | `Unavailable` | the same for every letter: a matter for the operator, not a dead letter each |
//! | 4xx to RCPT, DATA or the final dot | `Deferred` | try again later |
//! | 5xx to RCPT, DATA or the final dot | `Refused` | permanent |
//! | broke or timed out before the final dot | `Unavailable` | not sent |
//! | broke or timed out from the final dot on | `Unknown` | ledger state `unknown` |
//! | the letter itself is wrong (a line break in a header field) | `Unsendable` | permanent |
//!
//! A connection from the pool that turns out dead, or that the server ends with 421, is replaced by a new one once before
//! anything is reported, as long as the final dot was not written.
//!
//! The same letter is the same bytes every time (`letter.rs`): a mail that is sent again after `Unknown` can be recognised as the
//! same by its Message-ID, and the `.eml` file of a letter is overwritten by itself.
//!
//! Replies of servers quote addresses; they are scrubbed before anyone can log or store them.

mod address;
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

/// What a mail server answered, without mail addresses: at most 400 characters on one line.
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

/// Where in the dialogue with a mail server something happened.
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

/// How a letter failed to be sent. No variant holds a mail address.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Not sent: the letter itself is wrong. Permanent.
    #[error("the letter cannot be sent as it is")]
    Unsendable(#[source] MailMessageError),
    /// Not sent: the server refuses this letter for good (5xx).
    #[error("the mail server refused the letter for good, {step}")]
    Refused { step: Step, source: Reply },
    /// Not sent: the server refuses this letter for now (4xx).
    #[error("the mail server refused the letter for now, {step}")]
    Deferred { step: Step, source: Reply },
    /// Not sent: the server cannot be used, neither for this letter nor for others.
    #[error("the mail server cannot be used, {step}")]
    Unavailable {
        step: Step,
        /// Why: a [`Reply`], or the connection's error.
        source: Cause,
    },
    /// Not written: the folder cannot be used.
    #[error("the mail folder {folder} cannot be used", folder = folder.display())]
    Folder { folder: PathBuf, source: std::io::Error },
    /// Perhaps sent: the connection broke or timed out after the final dot.
    #[error("the mail server may have taken the letter: no reply, {}", Step::FinalDot)]
    Unknown { source: Cause },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Not sent, and never will be.
    Permanent,
    /// Not sent; this letter may go later.
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

    /// Whether the server had the whole letter and said nothing for as long as it may take.
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

/// Says why mail cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum MailerError {
    /// The file with the private CA cannot be read.
    #[error("cannot read the CA certificates {path}", path = path.display())]
    ReadCa { path: PathBuf, source: std::io::Error },
    /// The file with the private CA holds no certificate.
    #[error("{path} holds no CA certificate in PEM form", path = path.display())]
    NoCa { path: PathBuf },
    /// TLS cannot be set up for this host.
    #[error("cannot set up TLS for the mail server {host}")]
    Tls { host: String, source: Cause },
    /// A password would travel in the clear.
    #[error("a password for {host} would travel in the clear; set security to starttls or tls")]
    PasswordInClear { host: String },
    /// The folder cannot be created.
    #[error("cannot create the mail folder {folder}", folder = folder.display())]
    Folder { folder: PathBuf, source: std::io::Error },
}

/// Sends letters. Cheap to clone; clones share the connections.
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

    /// Writes each letter to a file of `folder`, named by [`file_name`]. The folder is made where it is missing.
    pub fn folder(folder: impl Into<PathBuf>) -> Result<Self, MailerError> {
        Ok(Self(Way::Folder(Arc::new(folder::Folder::open(folder.into())?))))
    }

    /// Sends one letter and returns the server's reply to the final dot (for a folder: 250 and the file's name).
    pub async fn send(&self, letter: &MailMessage) -> Result<Reply, SendError> {
        let parcel = message::Parcel::pack(letter).map_err(SendError::Unsendable)?;
        match &self.0 {
            Way::Smtp(relay) => relay.send(&parcel).await,
            Way::Folder(folder) => folder.write(parcel).await,
        }
    }

    /// Whether sending a letter twice is the same as sending it once: in a folder the second file replaces the first.
    pub fn is_repeatable(&self) -> bool {
        matches!(self.0, Way::Folder(_))
    }

    /// Finds out whether letters could be sent now: connects, logs in, names our sender and takes that back, or writes to the folder.
    pub async fn probe(&self) -> Result<(), SendError> {
        match &self.0 {
            Way::Smtp(relay) => relay.probe().await,
            Way::Folder(folder) => folder.probe().await,
        }
    }

    /// Takes leave of the mail server on all connections that are not in use.
    pub async fn close(&self) {
        if let Way::Smtp(relay) = &self.0 {
            relay.close().await;
        }
    }
}

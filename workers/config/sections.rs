//! The settings, section by section, as `config/default.toml` has them.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    schedule::Misfire,
    secret::{Secret, SecretUrl},
};

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }
    };
}

section! {
    /// Every setting. The meaning of each is told in `config/default.toml`.
    Config {
        /// The queue.
        broker: Broker,
        /// The tables.
        database: Database,
        /// The finished PDFs.
        documents: DocumentStore,
        /// The data keys.
        keys: Keys,
        /// The registry's page.
        registry: Registry,
        /// Mail.
        mail: Mail,
        /// Fonts.
        fonts: Fonts,
        /// Templates.
        templates: Folder,
        /// Obligees, branches and the surety.
        data: Folder,
        /// The workers.
        work: Work,
        /// What runs on a clock.
        schedule: Schedule,
        /// Runs of the nightly batch.
        batch: Batch,
        /// Logs.
        log: Log,
    }
}

section! {
    /// `[broker]`
    Broker {
        /// `memory:`, `amqp://…` or `amqps://…`.
        url: SecretUrl,
        /// File that holds the URL instead.
        url_file: Option<PathBuf>,
        /// PEM file of a private authority.
        ca_file: Option<PathBuf>,
        /// Put before every name.
        prefix: String,
        /// Seconds.
        confirm_timeout_seconds: u64,
    }
}

section! {
    /// `[database]`
    Database {
        /// `sqlite:…` or `postgres://…`.
        url: SecretUrl,
        /// File that holds the URL instead.
        url_file: Option<PathBuf>,
        /// Connections per process.
        connections: u32,
    }
}

section! {
    /// `[documents]`
    DocumentStore {
        /// `file:…`.
        url: String,
    }
}

section! {
    /// `[keys]`
    Keys {
        /// The keys themselves, from the environment.
        ring: Option<Secret>,
        /// The key file.
        file: PathBuf,
        /// Makes it when it is missing.
        create: bool,
    }
}

section! {
    /// `[registry]`
    Registry {
        /// The page where an obligee enters number and key.
        url: String,
    }
}

/// `mail.transport`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MailTransport {
    /// `.eml` files.
    Folder,
    /// A relay.
    Smtp,
}

/// `mail.security`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MailSecurity {
    /// In the clear.
    None,
    /// STARTTLS, demanded.
    Starttls,
    /// TLS from the first byte.
    Tls,
}

section! {
    /// `[mail]`
    Mail {
        /// Folder or SMTP.
        transport: MailTransport,
        /// Folder of the `.eml` files.
        folder: PathBuf,
        /// Display name of the sender.
        from_name: String,
        /// Address of the sender.
        from_address: String,
        /// Whether the notice is attached.
        attach_notice: bool,
        /// Host of the relay.
        host: String,
        /// Port of the relay.
        port: u16,
        /// TLS.
        security: MailSecurity,
        /// PEM file of a private authority.
        ca_file: Option<PathBuf>,
        /// User for AUTH.
        user: Option<String>,
        /// Password for AUTH.
        password: Option<Secret>,
        /// File that holds the password instead.
        password_file: Option<PathBuf>,
        /// Seconds for each step.
        timeout_seconds: u64,
        /// Seconds for the last reply.
        reply_timeout_seconds: u64,
        /// Connections at the same time.
        connections: usize,
    }
}

section! {
    /// `[fonts]`
    Fonts {
        /// Mincho faces in order of preference, files or names.
        #[serde(deserialize_with = "list")]
        mincho: Vec<String>,
        /// Gothic faces in order of preference, files or names.
        #[serde(deserialize_with = "list")]
        gothic: Vec<String>,
    }
}

section! {
    /// `[templates]` and `[data]`
    Folder {
        /// A folder instead of what is built in.
        folder: Option<PathBuf>,
    }
}

section! {
    /// `[work]`
    Work {
        /// Deliveries per batch at most.
        batch: u16,
        /// Consumers per stage and lane.
        concurrency: usize,
        /// Bytes.
        max_message_bytes: usize,
        /// The ladder, seconds.
        #[serde(deserialize_with = "list")]
        retry_seconds: Vec<u64>,
        /// Seconds.
        hold_seconds: u64,
        /// Seconds.
        mail_orphan_seconds: u64,
        /// Seconds.
        mail_resend_seconds: u64,
        /// Seconds.
        drain_seconds: u64,
    }
}

section! {
    /// `[schedule]`
    Schedule {
        /// Cron expression.
        resend: String,
        /// Cron expression.
        recover: String,
        /// Seconds.
        recover_after_seconds: u64,
        /// Name of the zone of `reissue`.
        zone: String,
        /// Cron expression.
        reissue: String,
        /// What becomes of nights that were missed.
        reissue_misfire: Misfire,
        /// Seconds.
        reissue_max_lateness_seconds: u64,
    }
}

section! {
    /// `[batch]`
    Batch {
        /// Guarantees a second.
        rate: u32,
        /// Guarantees.
        in_flight: u32,
        /// Seconds.
        lease_seconds: u64,
        /// Folder of reports.
        report_folder: Option<PathBuf>,
        /// Mail addresses.
        #[serde(deserialize_with = "list")]
        report_to: Vec<String>,
    }
}

pub use crate::telemetry::LogFormat;

section! {
    /// `[log]`
    Log {
        /// Text or JSON.
        format: LogFormat,
        /// A filter of `tracing`.
        level: String,
    }
}

/// A list, or text with commas as a variable gives it.
fn list<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display> + Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum ListOrText<T> {
        List(Vec<T>),
        Text(String),
    }
    match ListOrText::deserialize(deserializer)? {
        ListOrText::List(list) => Ok(list),
        ListOrText::Text(text) => {
            text.split(',').map(|item| item.trim().parse().map_err(serde::de::Error::custom)).collect()
        }
    }
}

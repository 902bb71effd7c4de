//! The settings, section by section, as `config/default.toml` has them.

use std::{path::PathBuf, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, IntoDeserializer as _, value::StringDeserializer},
};

pub use crate::telemetry::LogFormat;
use crate::{
    mail::Security,
    schedule::MissedRun,
    secret::{Secret, SecretUrl},
};

macro_rules! sections {
    ($($name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* })*) => {
        $(#[derive(Debug, Clone, Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$meta])* pub $field: $type,)*
        })*
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MailTransport {
    /// `.eml` files.
    Folder,
    Smtp,
}

sections! {
    Config {
        broker: Broker,
        database: Database,
        documents: Documents,
        keys: Keys,
        registry: Registry,
        mail: Mail,
        fonts: Fonts,
        templates: Folder,
        data: Folder,
        work: Work,
        schedule: Schedule,
        batch: Batch,
        log: Log,
    }
    Broker {
        /// `memory:`, `amqp://…` or `amqps://…`.
        url: SecretUrl,
        /// File that holds the URL instead.
        url_file: Option<PathBuf>,
        /// PEM file of a private authority.
        ca_file: Option<PathBuf>,
        /// Of every name.
        prefix: String,
        confirm_timeout_seconds: u64,
        /// Permits unencrypted connections to other hosts.
        allow_cleartext: bool,
    }
    Database {
        /// `sqlite:…` or `postgres://…`.
        url: SecretUrl,
        url_file: Option<PathBuf>,
        connections: u32,
        /// Permits unencrypted connections to other hosts.
        allow_cleartext: bool,
    }
    Documents {
        /// `file:…` or `s3:…`.
        url: String,
        /// The store before, until everything is moved.
        previous_url: Option<String>,
        access_key_id: Option<Secret>,
        secret_access_key: Option<Secret>,
        /// File that holds the secret access key instead.
        secret_access_key_file: Option<PathBuf>,
        /// Permits unencrypted connections to other hosts.
        allow_cleartext: bool,
    }
    Keys {
        /// The keys themselves, from the environment.
        ring: Option<Secret>,
        file: PathBuf,
        create: bool,
    }
    Registry {
        /// The page where an obligee enters number and key.
        url: String,
        /// Permits unencrypted connections to other hosts.
        allow_cleartext: bool,
    }
    Mail {
        #[serde(deserialize_with = "choice")]
        transport: MailTransport,
        folder: PathBuf,
        from_name: String,
        from_address: String,
        attach_notice: bool,
        host: String,
        port: u16,
        #[serde(deserialize_with = "choice")]
        security: Security,
        ca_file: Option<PathBuf>,
        user: Option<String>,
        password: Option<Secret>,
        password_file: Option<PathBuf>,
        /// Seconds for each step.
        timeout_seconds: u64,
        /// Seconds for the last reply.
        reply_timeout_seconds: u64,
        connections: usize,
        /// Permits unencrypted connections to other hosts.
        allow_cleartext: bool,
    }
    Fonts {
        /// Mincho faces in order of preference, files or names.
        #[serde(deserialize_with = "list")]
        mincho: Vec<String>,
        /// Gothic faces in order of preference, files or names.
        #[serde(deserialize_with = "list")]
        gothic: Vec<String>,
    }
    Folder {
        /// A folder instead of what is built in.
        folder: Option<PathBuf>,
    }
    Work {
        batch: u16,
        concurrency: usize,
        max_message_bytes: usize,
        #[serde(deserialize_with = "list")]
        retry_seconds: Vec<u64>,
        hold_seconds: u64,
        mail_orphan_seconds: u64,
        mail_resend_seconds: u64,
        drain_seconds: u64,
    }
    Schedule {
        resend: String,
        recover: String,
        reclaim: String,
        recover_after_seconds: u64,
        /// Of `reissue`.
        zone: String,
        reissue: String,
        #[serde(deserialize_with = "choice")]
        reissue_misfire: MissedRun,
        reissue_max_lateness_seconds: u64,
    }
    Batch {
        rate: u32,
        in_flight: u32,
        lease_seconds: u64,
        report_folder: Option<PathBuf>,
        #[serde(deserialize_with = "list")]
        report_to: Vec<String>,
    }
    Log {
        #[serde(deserialize_with = "choice")]
        format: LogFormat,
        level: String,
    }
}

/// One of the names of an enum; an error lists them.
fn choice<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    let names: StringDeserializer<serde::de::value::Error> = text.into_deserializer();
    T::deserialize(names).map_err(D::Error::custom)
}

/// A list, or text with commas as in a variable.
fn list<'de, D: Deserializer<'de>, T: FromStr>(deserializer: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Item {
        Number(u64),
        Text(String),
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum ListOrText {
        List(Vec<Item>),
        Text(String),
    }
    let items = match ListOrText::deserialize(deserializer) {
        Ok(ListOrText::List(items)) => items
            .into_iter()
            .map(|item| match item {
                Item::Number(number) => number.to_string(),
                Item::Text(text) => text,
            })
            .collect(),
        Ok(ListOrText::Text(text)) => text.split(',').map(|item| item.trim().to_owned()).collect(),
        Err(_) => Vec::from([String::new()]),
    };
    let parse = |item: String| {
        item.parse()
            .map_err(|_| D::Error::custom(format!("{item:?} is not allowed; use a list of whole numbers")))
    };
    items.into_iter().map(parse).collect()
}

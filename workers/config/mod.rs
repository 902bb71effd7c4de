//! Configuration, from four sources.
//!
//! `config/default.toml` (built in) < file < environment < command line.
//! A file with a secret has the rank of the setting that names it.
//! It is checked as a whole before anything is opened.
//!
//! The types mirror `config/default.toml`, which is the manual: a test fails when a key is missing there. An
//! unknown key is an error: a mistyped key would silently keep its default. Secrets have a type of their own
//! that prints as `***`.

mod problem;
mod sections;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use ::config::{Config as Layers, Environment, File, FileFormat};

pub use sections::*;

use crate::{
    broker::RetryDelay,
    mail::{Security, is_mail_address},
    schedule::CronSchedule,
    secret::{Secret, SecretUrl, is_loopback},
};

/// Two settings for one thing: that of the higher layer counts.
/// A file with a secret, or the key ring itself, comes second.
const ALTERNATIVES: [(&str, &str); 5] = [
    ("broker.url", "broker.url_file"),
    ("database.url", "database.url_file"),
    ("documents.secret_access_key", "documents.secret_access_key_file"),
    ("keys.file", "keys.ring"),
    ("mail.password", "mail.password_file"),
];

/// The manual, and the lowest layer.
pub const DEFAULT: &str = include_str!("../../config/default.toml");

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// Not TOML; the line counts from 1.
    #[error("{}:{line}: {problem}", path.display())]
    Syntax { path: PathBuf, line: usize, problem: String },
    /// An unknown key, a wrong type or a wrong value.
    #[error("configuration: {key}: {problem}")]
    Value {
        /// Such as `work.retry_seconds`.
        key: String,
        /// With the right values.
        problem: String,
    },
    /// Of a `*_file` key.
    #[error("configuration: {key}: cannot read {}", path.display())]
    SecretFile { key: &'static str, path: PathBuf, source: std::io::Error },
}

impl Config {
    /// Reads all layers.
    /// `file` is that of `--config`; `overrides` (key, value) are other command-line options.
    pub fn load(file: Option<&Path>, overrides: &[(&str, Option<String>)]) -> Result<Self, ConfigError> {
        Self::from_layers(file, environment(), overrides)
    }

    fn from_layers(
        file: Option<&Path>,
        environment: Environment,
        overrides: &[(&str, Option<String>)],
    ) -> Result<Self, ConfigError> {
        let failed = |error: ::config::ConfigError| problem::of(&error);
        let mut layers = vec![Layers::builder().add_source(File::from_str(DEFAULT, FileFormat::Toml))];
        if let Some(file) = file {
            layers.push(Layers::builder().add_source(File::from_str(&read(file)?, FileFormat::Toml)));
        }
        layers.push(Layers::builder().add_source(environment));
        let mut options = Layers::builder();
        for (key, value) in overrides {
            options = options.set_override(key, value.clone()).map_err(failed)?;
        }
        layers.push(options);
        let layers: Vec<Layers> =
            layers.into_iter().map(|layer| layer.build().map_err(failed)).collect::<Result<_, _>>()?;
        let mut merged = Layers::builder();
        for layer in &layers {
            merged = merged.add_source(layer.clone());
        }
        for (key, stronger) in ALTERNATIVES {
            let highest = |key| {
                layers
                    .iter()
                    .rposition(|layer| layer.get::<Option<String>>(key).is_ok_and(|set| set.is_some()))
            };
            if highest(key).is_some() && highest(key) == highest(stronger) {
                let problem = format!("is given together with {stronger}; keep one of them");
                return Err(ConfigError::Value { key: key.to_owned(), problem });
            }
            if highest(key) > highest(stronger) {
                merged = merged.set_override(stronger, None::<String>).map_err(failed)?;
            }
        }
        let mut config: Self = merged.build().map_err(failed)?.try_deserialize().map_err(failed)?;
        config.read_secret_files()?;
        config.validate()?;
        Ok(config)
    }

    pub fn retry_delays(&self) -> Vec<RetryDelay> {
        self.work.retry_seconds.iter().filter_map(|seconds| retry_delay(*seconds)).collect()
    }

    fn read_secret_files(&mut self) -> Result<(), ConfigError> {
        if let Some(text) = secret_file("broker.url_file", self.broker.url_file.as_deref())? {
            self.broker.url = SecretUrl::new(text);
        }
        if let Some(text) = secret_file("database.url_file", self.database.url_file.as_deref())? {
            self.database.url = SecretUrl::new(text);
        }
        let file = self.documents.secret_access_key_file.as_deref();
        if let Some(text) = secret_file("documents.secret_access_key_file", file)? {
            self.documents.secret_access_key = Some(Secret::new(text));
        }
        if let Some(text) = secret_file("mail.password_file", self.mail.password_file.as_deref())? {
            self.mail.password = Some(Secret::new(text));
        }
        Ok(())
    }

    /// Refuses unencrypted connections to other hosts without a permission.
    /// Passwords, keys and personal data would be readable on the way.
    fn require_encryption(&self) -> Result<(), ConfigError> {
        let Self { broker, database, documents, mail, registry, .. } = self;
        let endpoint =
            |url: &str| SecretUrl::new(SecretUrl::new(url).parameter("endpoint").unwrap_or_default());
        let is_web_in_clear = |url: &SecretUrl| url.expose().starts_with("http://") && !url.is_local();
        let database_encrypts = database
            .url
            .parameter("sslmode")
            .is_some_and(|mode| matches!(&*mode, "require" | "verify-ca" | "verify-full"));
        let stores = [Some(&documents.url), documents.previous_url.as_ref()];
        for (key, section, is_allowed, is_in_clear, encrypted) in [
            (
                "broker.url",
                "broker",
                broker.allow_cleartext,
                broker.url.expose().starts_with("amqp://") && !broker.url.is_local(),
                "amqps://",
            ),
            (
                "database.url",
                "database",
                database.allow_cleartext,
                !database.url.is_local() && !database_encrypts,
                "?sslmode=verify-full",
            ),
            (
                "documents.url",
                "documents",
                documents.allow_cleartext,
                stores.into_iter().flatten().any(|url| is_web_in_clear(&endpoint(url))),
                "endpoint=https://",
            ),
            (
                "mail.security",
                "mail",
                mail.allow_cleartext,
                mail.transport == MailTransport::Smtp
                    && mail.security == Security::None
                    && !is_loopback(&mail.host),
                "tls or starttls",
            ),
            (
                "registry.url",
                "registry",
                registry.allow_cleartext,
                is_web_in_clear(&SecretUrl::new(registry.url.as_str())),
                "https://",
            ),
        ] {
            if is_in_clear && !is_allowed {
                let problem = format!(
                    "another host would be reached without encryption; use {encrypted}, or set \
                     {section}.allow_cleartext = true"
                );
                return Err(ConfigError::Value { key: key.to_owned(), problem });
            }
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let require = |holds: bool, key: &str, problem: &str| {
            let wrong = || ConfigError::Value { key: key.to_owned(), problem: problem.to_owned() };
            if holds { Ok(()) } else { Err(wrong()) }
        };
        let Self { broker, work, database, documents, mail, schedule, batch, registry, .. } = self;
        for (key, url) in [("broker.url", &broker.url), ("database.url", &database.url)] {
            url.problem().map_or(Ok(()), |problem| require(false, key, problem))?;
        }
        require(work.batch > 0, "work.batch", "must be at least 1")?;
        require(work.concurrency > 0, "work.concurrency", "must be at least 1")?;
        require(
            (1..=900).contains(&work.hold_seconds),
            "work.hold_seconds",
            "must be from 1 to 900: RabbitMQ redelivers a batch that is held for half an hour",
        )?;
        require(database.connections > 0, "database.connections", "must be at least 1")?;
        require(mail.connections > 0, "mail.connections", "must be at least 1")?;
        for seconds in &work.retry_seconds {
            let problem = format!("{seconds} is not a retry delay; use 1 3 8 20 45 120 300 720 1800 or 3600");
            require(retry_delay(*seconds).is_some(), "work.retry_seconds", &problem)?;
        }
        for (key, expression, zone) in [
            ("schedule.zone", "0 0 0 * * *", schedule.zone.as_str()),
            ("schedule.reissue", &schedule.reissue, "UTC"),
            ("schedule.resend", &schedule.resend, "UTC"),
            ("schedule.recover", &schedule.recover, "UTC"),
            ("schedule.reclaim", &schedule.reclaim, "UTC"),
        ] {
            if let Err(problem) = CronSchedule::new(expression, zone) {
                require(false, key, &problem.to_string())?;
            }
        }
        self.require_encryption()?;
        let flows = batch.rate > 0 && batch.in_flight > 0;
        require(flows, "batch.rate", "batch.rate and batch.in_flight must be at least 1")?;
        require(batch.lease_seconds >= 5, "batch.lease_seconds", "must be at least 5")?;
        for (place, address) in (1..).zip(&batch.report_to) {
            let problem = format!("entry {place} is not a mail address");
            require(is_mail_address(address), "batch.report_to", &problem)?;
        }
        require(
            is_mail_address(&mail.from_address) && mail.from_address.is_ascii(),
            "mail.from_address",
            "must be a mail address in ASCII (an internationalised domain in its xn-- form)",
        )?;
        let longest = mail.reply_timeout_seconds.saturating_add(mail.timeout_seconds);
        require(
            mail.transport != MailTransport::Smtp || work.mail_orphan_seconds > longest,
            "work.mail_orphan_seconds",
            "must be more than mail.timeout_seconds and mail.reply_timeout_seconds together",
        )?;
        require(
            documents.access_key_id.is_some() == documents.secret_access_key.is_some(),
            "documents.access_key_id",
            "access_key_id and secret_access_key (or secret_access_key_file) belong together",
        )?;
        let is_pair = mail.user.is_some() == mail.password.is_some();
        require(is_pair, "mail.user", "user and password (or password_file) belong together")?;
        let is_web = url::Url::parse(&registry.url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        require(is_web, "registry.url", "must be an http:// or https:// URL")
    }
}

/// Only the type of a setting converts its text: a password `007` is not a number.
/// An empty variable is unset, as a process supervisor writes it.
fn environment() -> Environment {
    Environment::with_prefix("HOSHO").prefix_separator("__").separator("__").ignore_empty(true)
}

fn retry_delay(seconds: u64) -> Option<RetryDelay> {
    RetryDelay::ALL.into_iter().find(|retry| retry.delay() == Duration::from_secs(seconds))
}

/// A syntax error names its line only: the text around it may be a password.
fn read(file: &Path) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| ConfigError::File { path: file.to_owned(), source })?;
    match text.parse::<toml::Table>() {
        Ok(_) => Ok(text),
        Err(error) => {
            let line = error
                .span()
                .map_or(1, |span| text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1);
            Err(ConfigError::Syntax { path: file.to_owned(), line, problem: error.message().to_owned() })
        }
    }
}

fn secret_file(key: &'static str, path: Option<&Path>) -> Result<Option<String>, ConfigError> {
    let Some(path) = path else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::SecretFile {
        key,
        path: path.to_owned(),
        source,
    })?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosho.toml");
        std::fs::write(&path, file).unwrap();
        let variables: HashMap<_, _> =
            variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Config::from_layers(Some(&path), environment().source(Some(variables)), &[])
            .map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    }

    #[test]
    fn documents_every_setting_in_the_manual() {
        let config = load("", &[]).unwrap();
        assert_eq!(
            config.retry_delays(),
            [RetryDelay::S3, RetryDelay::S20, RetryDelay::M2, RetryDelay::M12, RetryDelay::M60]
        );
        let keys = serde_json::to_value(&config).unwrap();
        for (section, values) in keys.as_object().unwrap() {
            for key in values.as_object().unwrap().keys() {
                let is_documented = DEFAULT
                    .lines()
                    .any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = ")));
                assert!(is_documented, "config/default.toml lacks {section}.{key}");
            }
        }
    }

    #[test]
    fn prefers_environment_to_file_to_default() {
        let config =
            load("[mail]\nhost = \"file\"\nport = 26\n", &[("HOSHO__MAIL__HOST", "environment")]).unwrap();
        assert_eq!(
            (config.mail.host.as_str(), config.mail.port, config.mail.timeout_seconds),
            ("environment", 26, 20)
        );
    }

    #[test]
    fn secret_files_have_the_rank_of_their_setting() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "postgres://localhost/from-file").unwrap();
        let file = format!("[database]\nurl_file = \"{}\"\n", secret.display());
        let url = |file: &str, variables: &[(&str, &str)], option: Option<&str>| {
            let path = folder.path().join("hosho.toml");
            std::fs::write(&path, file).unwrap();
            let variables = variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            let environment = environment().source(Some(variables.collect()));
            let options: Vec<_> =
                option.map(|url| ("database.url", Some(url.to_owned()))).into_iter().collect();
            let loaded = Config::from_layers(Some(&path), environment, &options);
            loaded.map(|config| config.database.url.expose().to_owned()).map_err(|error| error.to_string())
        };
        assert_eq!(url(&file, &[], None).unwrap(), "postgres://localhost/from-file");
        let variable = [("HOSHO__DATABASE__URL", "sqlite:from-environment")];
        assert_eq!(url(&file, &variable, None).unwrap(), "sqlite:from-environment");
        assert_eq!(url(&file, &variable, Some("sqlite:option")).unwrap(), "sqlite:option");
        assert_eq!(url(&file, &[], Some("sqlite:option")).unwrap(), "sqlite:option");
        let secret = secret.display().to_string();
        let variable = [("HOSHO__DATABASE__URL_FILE", secret.as_str())];
        assert_eq!(
            url("[database]\nurl = \"sqlite:x\"\n", &variable, None).unwrap(),
            "postgres://localhost/from-file"
        );
        assert_eq!(url("", &variable, Some("sqlite:option")).unwrap(), "sqlite:option");
        let both = format!("{file}url = \"sqlite:x\"\n");
        assert_eq!(
            url(&both, &[], None).unwrap_err(),
            "configuration: database.url: is given together with database.url_file; keep one of them"
        );
        let ring = load("[keys]\nfile = \"x\"\n", &[("HOSHO__KEYS__RING", "k1 00")]).unwrap();
        assert!(ring.keys.ring.is_some());
    }

    #[test]
    fn other_hosts_are_reached_encrypted() {
        for (section, key, in_clear, encrypted) in [
            ("broker", "url", "amqp://u:p@rabbit.example.jp/v", "amqps://u:p@rabbit.example.jp/v"),
            (
                "database",
                "url",
                "postgres://u:p@db.example.jp/d",
                "postgres://u:p@db.example.jp/d?sslmode=require",
            ),
            (
                "database",
                "url",
                "postgres://u@db.example.jp/d?sslmode=prefer",
                "postgres://u@localhost,[::1]/d",
            ),
            (
                "database",
                "url",
                "postgres://u@127.0.0.1/d?host=db.example.jp",
                "postgres://u@/d?host=/run/postgresql",
            ),
            (
                "documents",
                "url",
                "s3://b/p?endpoint=http://s3.example.jp",
                "s3://b/p?endpoint=http://127.0.0.1:9000",
            ),
            ("registry", "url", "http://registry.example.jp/", "http://localhost:8080/"),
        ] {
            let file = |url: &str| format!("[{section}]\n{key} = \"{url}\"\n");
            let refused = load(&file(in_clear), &[]).unwrap_err();
            assert!(
                refused.starts_with(&format!("configuration: {section}.{key}: another host")),
                "{refused}"
            );
            load(&format!("{}allow_cleartext = true\n", file(in_clear)), &[]).unwrap();
            load(&file(encrypted), &[]).unwrap();
        }
        let mail = "[mail]\ntransport = \"smtp\"\nhost = \"smtp.example.jp\"\n";
        load(mail, &[]).unwrap();
        let refused = load(&format!("{mail}security = \"none\"\n"), &[]).unwrap_err();
        assert!(refused.contains("mail.security: another host"), "{refused}");
    }

    /// The end of a password may look like a host.
    #[test]
    fn quotes_nothing_of_a_wrong_url() {
        for (section, url, problem) in [
            ("database", "postgres://app:Kx9@secretTail@127.0.0.1:5432/d", "more than one @"),
            ("database", "postgres://app:Kx9@sec:retTail@127.0.0.1:5432/d", "more than one @"),
            ("database", "postgres://app:p@ss:w/o#r%d@127.0.0.1:5432/d", "without two hexadecimal digits"),
            ("database", "postgres://app:secretTail%zz@127.0.0.1/d", "without two hexadecimal digits"),
            ("database", "postgres://app:12/secretTail@127.0.0.1/d", "an @ after"),
            ("database", "postgres://app:secretTail/x#y@127.0.0.1/d", "an @ after"),
            ("database", "postgres://app:secret Tail@127.0.0.1/d", "white space"),
            ("database", "postgres://app:x@h:secretTail/d", "port"),
            ("broker", "amqp://app:Kx9@secretTail@127.0.0.1:5672/v", "more than one @"),
            ("broker", "amqp://app:secretTail?@127.0.0.1:5672/v", "an @ after"),
        ] {
            let refused = load(&format!("[{section}]\nurl = \"{url}\"\n"), &[]).unwrap_err();
            assert!(refused.starts_with(&format!("configuration: {section}.url: ")), "{refused}");
            assert!(
                refused.contains(problem) && !refused.contains("Tail") && !refused.contains("Kx9"),
                "{refused}"
            );
        }
        for url in [
            "postgres://app:p%40ss@h1:5432,h2:5433/d?target_session_attrs=read-write&sslmode=require",
            "postgresql:///d?host=/run/postgresql",
            "postgres://app@[::1]:5432/d",
        ] {
            load(&format!("[database]\nurl = \"{url}\"\n"), &[]).unwrap();
        }
    }

    #[test]
    fn converts_variables_by_the_type_of_the_setting() {
        let variables = [
            ("HOSHO__MAIL__USER", "1e3"),
            ("HOSHO__MAIL__PASSWORD", "007"),
            ("HOSHO__MAIL__PORT", "2525"),
            ("HOSHO__MAIL__ATTACH_NOTICE", "false"),
            ("HOSHO__WORK__RETRY_SECONDS", "1, 8"),
            ("HOSHO__FONTS__MINCHO", "/fonts/a.ttf,/fonts/b.ttf"),
            ("HOSHO__MAIL__HOST", ""),
        ];
        let config = load("", &variables).unwrap();
        assert_eq!(config.mail.user.as_deref(), Some("1e3"));
        assert_eq!(config.mail.password.unwrap().expose(), "007");
        assert_eq!(
            (config.mail.port, config.mail.attach_notice, config.mail.host.as_str()),
            (2525, false, "localhost")
        );
        assert_eq!(config.work.retry_seconds, [1, 8]);
        assert_eq!(config.fonts.mincho.len(), 2);
        assert!(load("", &[("HOSHO__WORK__RETRY_SECONDS", "1,x")]).is_err());
        assert!(load("", &[("HOSHO__MAIL__PORT", "smtp")]).unwrap_err().contains("port"));
    }

    #[test]
    fn rejects_unknown_keys() {
        let problem = load("[mail]\nhots = \"x\"\n", &[]).unwrap_err();
        assert!(problem.contains("mail.hots: unknown key; use one of transport, folder, "), "{problem}");
        assert!(load("", &[("HOSHO__MAIL__HOTS", "x")]).unwrap_err().contains("hots"));
    }

    #[test]
    fn names_the_key_of_an_invalid_value() {
        assert!(
            load("[work]\nretry_seconds = [4]\n", &[])
                .unwrap_err()
                .contains("work.retry_seconds: 4 is not a retry delay")
        );
        assert!(load("[work]\nhold_seconds = 1800\n", &[]).unwrap_err().contains("work.hold_seconds"));
        assert!(load("[schedule]\nresend = \"never\"\n", &[]).unwrap_err().contains("schedule.resend"));
        assert!(load("[mail]\nuser = \"u\"\n", &[]).unwrap_err().contains("mail.user"));
        assert!(load("[mail]\nfrom_address = \"unknown\"\n", &[]).unwrap_err().contains("mail.from_address"));
        let short = "[mail]\ntransport = \"smtp\"\n[work]\nmail_orphan_seconds = 320\n";
        assert!(load(short, &[]).unwrap_err().contains("work.mail_orphan_seconds"));
    }

    #[test]
    fn lists_the_allowed_values() {
        for (section, problem) in [
            (
                "[mail]\nsecurity = \"ssl\"",
                "mail.security: \"ssl\" is not allowed; use none, starttls or tls",
            ),
            (
                "[mail]\ntransport = \"pigeon\"",
                "mail.transport: \"pigeon\" is not allowed; use folder or smtp",
            ),
            (
                "mail = 1",
                "mail: it is a section: its settings are below [section], or in variables such as \
                 HOSHO__SECTION__SETTING",
            ),
            ("[log]\nformat = \"xml\"", "log.format: \"xml\" is not allowed; use text or json"),
            (
                "[schedule]\nreissue_misfire = \"x\"",
                "schedule.reissue_misfire: \"x\" is not allowed; use once, skip or all",
            ),
            ("[mail]\nport = \"smtp\"", "mail.port: \"smtp\" is not allowed; use a whole number"),
            ("[mail]\nport = 70000", "mail.port: 70000 is not allowed; use a whole number from 0 to 65535"),
            (
                "[mail]\nattach_notice = \"maybe\"",
                "mail.attach_notice: \"maybe\" is not allowed; use true or false",
            ),
            (
                "[mail]\ntimeout_seconds = \"1m\"",
                "mail.timeout_seconds: \"1m\" is not allowed; use a whole number of seconds",
            ),
            (
                "[work]\nretry_seconds = \"1,x\"",
                "work.retry_seconds: \"x\" is not allowed; use a list of whole numbers",
            ),
            (
                "[schedule]\nzone = \"JST\"",
                "schedule.zone: \"JST\" is not a time zone; use a name such as Asia/Tokyo",
            ),
            ("[registry]\nurl = \"x\"", "registry.url: must be an http:// or https:// URL"),
        ] {
            assert_eq!(load(section, &[]).unwrap_err(), format!("configuration: {problem}"));
        }
    }

    #[test]
    fn masks_secrets() {
        let config = load(
            "[database]\nurl = \"postgres://u:hunter2@h/d?sslmode=require&sslpassword=hunter2\"\n[mail]\nuser = \"u\"\npassword = \"hunter2\"\n[broker]\nurl = \"amqps://u:hunter2@h/v\"\n",
            &[],
        )
        .unwrap();
        let shown = format!("{config:?} {}", toml::to_string(&config).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("postgres://u:***@h/d"));
    }

    #[test]
    fn reports_syntax_errors_by_line_only() {
        let problem = load("[mail]\nuser = \"u\"\npassword = \"hunter2\n", &[]).unwrap_err();
        assert!(problem.contains("hosho.toml:3: ") && !problem.contains("hunter2"), "{problem}");
    }

    #[test]
    fn strips_the_line_end_of_secret_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "hunter2\n").unwrap();
        let config =
            load(&format!("[mail]\nuser = \"u\"\npassword_file = \"{}\"\n", path.display()), &[]).unwrap();
        assert_eq!(config.mail.password.unwrap().expose(), "hunter2");
    }
}

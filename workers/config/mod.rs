//! Configuration: `config/default.toml` (built in) < file < environment.
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
    mail::is_mail_address,
    schedule::CronSchedule,
    secret::{Secret, SecretUrl},
};

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
    pub fn load(file: Option<&Path>, overrides: &[(&str, String)]) -> Result<Self, ConfigError> {
        Self::from_layers(file, environment(), overrides)
    }

    fn from_layers(
        file: Option<&Path>,
        environment: Environment,
        overrides: &[(&str, String)],
    ) -> Result<Self, ConfigError> {
        let layers = |error: ::config::ConfigError| problem::of(&error);
        let mut builder = Layers::builder().add_source(File::from_str(DEFAULT, FileFormat::Toml));
        if let Some(file) = file {
            builder = builder.add_source(File::from_str(&read(file)?, FileFormat::Toml));
        }
        builder = builder.add_source(environment);
        for (key, value) in overrides {
            builder = builder.set_override(key, value.clone()).map_err(layers)?;
        }
        let mut config: Self = builder.build().map_err(layers)?.try_deserialize().map_err(layers)?;
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

    fn validate(&self) -> Result<(), ConfigError> {
        let require = |holds: bool, key: &str, problem: &str| {
            let wrong = || ConfigError::Value { key: key.to_owned(), problem: problem.to_owned() };
            if holds { Ok(()) } else { Err(wrong()) }
        };
        let Self { work, database, documents, mail, schedule, batch, registry, .. } = self;
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
            "[database]\nurl = \"postgres://u:hunter2@h/d?sslpassword=hunter2\"\n[mail]\nuser = \"u\"\npassword = \"hunter2\"\n[broker]\nurl = \"amqp://u:hunter2@h/v\"\n",
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

//! Configuration: `config/default.toml` (built in) < file < environment, checked as a whole before anything is opened.
//!
//! The types mirror `config/default.toml`, which is the manual: a test fails when a key is missing there. An unknown
//! key is an error, because a mistyped key that silently keeps its default is found at the worst of times.
//! Secrets have a type of their own that prints as `***`.

mod sections;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use ::config::{Config as Layers, Environment, File, FileFormat};

pub use sections::*;

use crate::{
    broker::RetryDelay,
    mail,
    schedule::{self, Cron, CronSchedule},
    secret::{Secret, SecretUrl},
};

/// The manual, and the lowest layer.
pub const DEFAULT: &str = include_str!("../../config/default.toml");

/// Says what is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A layer cannot be read, a key is unknown, or a value has the wrong type.
    #[error("configuration is not valid")]
    Layers {
        /// Which key of which layer, and why.
        source: ::config::ConfigError,
    },
    /// The configuration file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The configuration file is not TOML.
    #[error("{}:{line}: {problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// A value is well-formed and still wrong.
    #[error("configuration: {key}: {problem}")]
    Value {
        /// The key, such as `work.retry_seconds`.
        key: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A file named by a `*_file` key cannot be read.
    #[error("configuration: {key}: cannot read {}", path.display())]
    SecretFile {
        /// The key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Config {
    /// Reads all layers. `file` is that of `--config`; `overrides` (key, value) are those of other command-line options.
    pub fn load(file: Option<&Path>, overrides: &[(&str, String)]) -> Result<Self, ConfigError> {
        Self::from_layers(file, environment(), overrides)
    }

    fn from_layers(
        file: Option<&Path>,
        environment: Environment,
        overrides: &[(&str, String)],
    ) -> Result<Self, ConfigError> {
        let layers = |source| ConfigError::Layers { source };
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

    /// The retry ladder.
    pub fn rungs(&self) -> Vec<RetryDelay> {
        self.work.retry_seconds.iter().filter_map(|seconds| rung(*seconds)).collect()
    }

    fn read_secret_files(&mut self) -> Result<(), ConfigError> {
        if let Some(text) = secret_file("broker.url_file", self.broker.url_file.as_deref())? {
            self.broker.url = SecretUrl::new(text);
        }
        if let Some(text) = secret_file("database.url_file", self.database.url_file.as_deref())? {
            self.database.url = SecretUrl::new(text);
        }
        if let Some(text) = secret_file("mail.password_file", self.mail.password_file.as_deref())? {
            self.mail.password = Some(Secret::new(text));
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |key, problem: &str| Err(ConfigError::Value { key, problem: problem.to_owned() });
        if self.work.batch == 0 {
            return wrong("work.batch", "must be at least 1");
        }
        if self.work.concurrency == 0 {
            return wrong("work.concurrency", "must be at least 1");
        }
        if !(1..=900).contains(&self.work.hold_seconds) {
            return wrong(
                "work.hold_seconds",
                "must be from 1 to 900: RabbitMQ takes a batch away that is kept for half an hour",
            );
        }
        if self.database.connections == 0 {
            return wrong("database.connections", "must be at least 1");
        }
        if self.mail.connections == 0 {
            return wrong("mail.connections", "must be at least 1");
        }
        if let Some(seconds) = self.work.retry_seconds.iter().find(|seconds| rung(**seconds).is_none()) {
            return wrong(
                "work.retry_seconds",
                &format!("{seconds} is not a rung; use 1 3 8 20 45 120 300 720 1800 or 3600"),
            );
        }
        if let Err(problem) = CronSchedule::new(&self.schedule.reissue, "UTC") {
            return wrong("schedule.reissue", &problem.to_string());
        }
        if let Err(problem) = schedule::zone(&self.schedule.zone) {
            return wrong("schedule.zone", &problem.to_string());
        }
        if self.batch.rate == 0 || self.batch.in_flight == 0 {
            return wrong("batch.rate", "batch.rate and batch.in_flight must be at least 1");
        }
        if self.batch.lease_seconds < 5 {
            return wrong("batch.lease_seconds", "must be at least 5");
        }
        if let Some(place) = self.batch.report_to.iter().position(|address| !mail::is_mail_address(address)) {
            return wrong("batch.report_to", &format!("entry {} is not a mail address", place + 1));
        }
        for (key, expression) in
            [("schedule.resend", &self.schedule.resend), ("schedule.recover", &self.schedule.recover)]
        {
            if let Err(problem) = expression.parse::<Cron>() {
                return wrong(key, &problem);
            }
        }
        if !mail::is_mail_address(&self.mail.from_address) || !self.mail.from_address.is_ascii() {
            return wrong(
                "mail.from_address",
                "must be a mail address in ASCII (an internationalised domain in its xn-- form)",
            );
        }
        let longest = self.mail.reply_timeout_seconds.saturating_add(self.mail.timeout_seconds);
        if self.mail.transport == MailTransport::Smtp && self.work.mail_orphan_seconds <= longest {
            return wrong(
                "work.mail_orphan_seconds",
                "must be more than mail.timeout_seconds and mail.reply_timeout_seconds together",
            );
        }
        if self.mail.user.is_some() != self.mail.password.is_some() {
            return wrong("mail.user", "user and password (or password_file) belong together");
        }
        if !url::Url::parse(&self.registry.url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            return wrong("registry.url", "must be an http:// or https:// URL");
        }
        Ok(())
    }
}

/// Variables are text and stay text until a setting's type asks for something else: a password `007` is not a number.
/// An empty one is a value left out, as a process supervisor writes it.
fn environment() -> Environment {
    Environment::with_prefix("HOSHO").prefix_separator("__").separator("__").ignore_empty(true)
}

fn rung(seconds: u64) -> Option<RetryDelay> {
    RetryDelay::ALL.into_iter().find(|rung| rung.delay() == Duration::from_secs(seconds))
}

/// Reads a configuration file. A mistake in its syntax is told by its place: the text around it may be a password.
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
    fn the_manual_is_complete_and_valid() {
        let config = load("", &[]).unwrap();
        assert_eq!(
            config.rungs(),
            [RetryDelay::S3, RetryDelay::S20, RetryDelay::M2, RetryDelay::M12, RetryDelay::M60]
        );
        let keys = serde_json::to_value(&config).unwrap();
        for (section, values) in keys.as_object().unwrap() {
            for key in values.as_object().unwrap().keys() {
                let told = DEFAULT
                    .lines()
                    .any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = ")));
                assert!(told, "config/default.toml does not tell of {section}.{key}");
            }
        }
    }

    #[test]
    fn environment_wins_over_file_over_default() {
        let config =
            load("[mail]\nhost = \"file\"\nport = 26\n", &[("HOSHO__MAIL__HOST", "environment")]).unwrap();
        assert_eq!(
            (config.mail.host.as_str(), config.mail.port, config.mail.timeout_seconds),
            ("environment", 26, 20)
        );
    }

    #[test]
    fn a_variable_is_text_until_its_setting_says_otherwise() {
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
    fn an_unknown_key_refuses_to_start() {
        assert!(load("[mail]\nhots = \"x\"\n", &[]).unwrap_err().contains("hots"));
        assert!(load("", &[("HOSHO__MAIL__HOTS", "x")]).unwrap_err().contains("hots"));
    }

    #[test]
    fn a_wrong_value_names_its_key() {
        assert!(
            load("[work]\nretry_seconds = [4]\n", &[])
                .unwrap_err()
                .contains("work.retry_seconds: 4 is not a rung")
        );
        assert!(load("[work]\nhold_seconds = 1800\n", &[]).unwrap_err().contains("work.hold_seconds"));
        assert!(load("[schedule]\nresend = \"never\"\n", &[]).unwrap_err().contains("schedule.resend"));
        assert!(load("[mail]\nuser = \"u\"\n", &[]).unwrap_err().contains("mail.user"));
        assert!(load("[mail]\nfrom_address = \"nobody\"\n", &[]).unwrap_err().contains("mail.from_address"));
        let short = "[mail]\ntransport = \"smtp\"\n[work]\nmail_orphan_seconds = 320\n";
        assert!(load(short, &[]).unwrap_err().contains("work.mail_orphan_seconds"));
    }

    #[test]
    fn secrets_are_never_printed() {
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
    fn a_mistake_of_syntax_is_told_by_its_place_alone() {
        let problem = load("[mail]\nuser = \"u\"\npassword = \"hunter2\n", &[]).unwrap_err();
        assert!(problem.contains("hosho.toml:3: ") && !problem.contains("hunter2"), "{problem}");
    }

    #[test]
    fn a_secret_file_is_read_without_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "hunter2\n").unwrap();
        let config =
            load(&format!("[mail]\nuser = \"u\"\npassword_file = \"{}\"\n", path.display()), &[]).unwrap();
        assert_eq!(config.mail.password.unwrap().expose(), "hunter2");
    }
}

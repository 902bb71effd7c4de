//! What is on this host: data, fonts, templates, data keys, documents, mail.

use std::path::Path;

use super::Report;
use crate::{
    app,
    config::{Config, MailTransport},
    fault::chain,
    keys::KeyRing,
};

pub(super) async fn look(report: &mut Report, config: &Config) {
    match app::data(config) {
        Ok(data) => {
            report.ok("obligees, surety", format!("{} obligees, all valid", data.obligees.iter().count()))
        }
        Err(error) => report.failure(
            "obligees, surety",
            chain(&error),
            "correct the file named; `hosho obligees check`",
        ),
    }
    fonts(report, config);
    match app::proved_press(config) {
        Ok(_) => report.ok("templates", "every template is drawn with every sample"),
        Err(error) => report.failure("templates", chain(&error), "`hosho templates check` tells where"),
    }
    documents(report, config).await;
    mail(report, config).await;
}

/// Tells of the data keys, and whether those are there that `used` authentication keys are sealed with; `None` when the database
/// could not be asked.
pub(super) fn keys(report: &mut Report, config: &Config, used: Option<&[String]>) {
    let is_missing = config.keys.ring.is_none() && !config.keys.file.exists();
    let ring = match load_keys(config) {
        // Nothing was sealed yet: nothing is lost.
        Err(_) if is_missing && used.is_some_and(<[String]>::is_empty) => {
            let found =
                format!("no key yet: there is no {}, and nothing was sealed", config.keys.file.display());
            if config.keys.create {
                report.ok("data keys", format!("{found}; the first run makes it"));
            } else {
                report.warning(
                    "data keys",
                    found,
                    "make it once: start one worker with HOSHO__KEYS__CREATE=true, keep a copy elsewhere; the mint stage needs it",
                );
            }
            return;
        }
        Err(problem) => {
            report.failure(
                "data keys",
                problem,
                "put keys.file back: without it no stored authentication key can be opened",
            );
            return;
        }
        Ok(ring) => ring,
    };
    report.ok("data keys", format!("the active one is {}", ring.active_id()));
    let Some(used) = used else { return };
    let missing: Vec<&str> = used.iter().map(String::as_str).filter(|id| !ring.holds(id)).collect();
    if missing.is_empty() {
        report.ok("sealed keys", format!("every data key in use is there ({})", used.len()));
    } else {
        report.failure(
            "sealed keys",
            format!("sealed with data keys that are not there: {}", missing.join(" ")),
            "put their lines back into keys.file",
        );
    }
}

/// Reads the data keys, and makes none.
fn load_keys(config: &Config) -> Result<KeyRing, String> {
    let ring = match &config.keys.ring {
        Some(ring) => KeyRing::parse(ring.expose(), "keys.ring"),
        None => KeyRing::load(&config.keys.file),
    };
    ring.map_err(|error| chain(&error))
}

fn fonts(report: &mut Report, config: &Config) {
    // Letters of names that ordinary fonts lack.
    const RARE: &str = "髙﨑𠮷槗";
    match app::fonts(&config.fonts) {
        Ok(fonts) => {
            let missing = fonts.missing(RARE);
            if missing.is_empty() {
                report
                    .ok("fonts", format!("{} files, rare letters of names included", fonts.loaded().count()));
            } else {
                let missing: String = missing.into_iter().collect();
                report.warning(
                    "fonts",
                    format!("no glyph for {missing}"),
                    "install fonts-vlgothic or fonts-ipamj-mincho, or name it last in [fonts]: applications with such names are rejected",
                );
            }
        }
        Err(error) => report.failure(
            "fonts",
            chain(&error),
            "apt-get install fonts-ipaexfont fonts-vlgothic, or correct [fonts]",
        ),
    }
}

async fn documents(report: &mut Report, config: &Config) {
    let folder =
        config.documents.url.strip_prefix("file:").map(|path| path.strip_prefix("//").unwrap_or(path));
    if let Some(folder) = folder.filter(|folder| !Path::new(folder).is_dir()) {
        report.failure(
            "documents",
            format!("there is no folder {folder}"),
            "mount it or correct documents.url; the first worker makes a new one",
        );
        return;
    }
    let examined = match app::documents(config) {
        Ok(documents) => documents.probe_reading().await.map_err(|error| chain(&error)),
        Err(error) => Err(chain(&error)),
    };
    match examined {
        Ok(()) => report.ok("documents", format!("{} can be written and read back", config.documents.url)),
        Err(problem) => report.failure(
            "documents",
            problem,
            "look at the disk and the permissions of documents.url: the render stage waits until it can be written",
        ),
    }
}

async fn mail(report: &mut Report, config: &Config) {
    let what = match config.mail.transport {
        MailTransport::Folder => format!("the folder {} can be written", config.mail.folder.display()),
        MailTransport::Smtp => {
            let login = if config.mail.user.is_some() { ", login" } else { "" };
            format!("{}:{} answers: greeting{login}, NOOP", config.mail.host, config.mail.port)
        }
    };
    if config.mail.transport == MailTransport::Folder && !config.mail.folder.is_dir() {
        report.failure(
            "mail",
            format!("there is no folder {}", config.mail.folder.display()),
            "correct mail.folder; the first worker makes a new one",
        );
        return;
    }
    let probed = match app::mailer(&config.mail) {
        Ok(mailer) => {
            let probed = mailer.probe().await.map_err(|error| chain(&error));
            mailer.close().await;
            probed
        }
        Err(error) => Err(chain(&error)),
    };
    match probed {
        Ok(()) => report.ok("mail", what),
        Err(problem) => report.failure(
            "mail",
            problem,
            "look at the mail server and at [mail]: the dispatch stage waits until it answers",
        ),
    }
}

//! The mail server, or the folder of mails.

use super::Finding;
use crate::{
    app,
    config::{Config, MailTransport},
    fault::chain,
};

pub(super) async fn check(config: &Config) -> Finding {
    let ok = match config.mail.transport {
        MailTransport::Folder if !config.mail.folder.is_dir() => {
            return Finding::failure(
                "mail",
                format!("there is no folder {}", config.mail.folder.display()),
                "correct mail.folder; the first worker creates it",
            );
        }
        MailTransport::Folder => format!("the folder {} can be written", config.mail.folder.display()),
        MailTransport::Smtp => {
            let login = if config.mail.user.is_some() { ", login" } else { "" };
            format!("{}:{} answers: greeting{login}, NOOP", config.mail.host, config.mail.port)
        }
    };
    let probed = match app::mailer(&config.mail) {
        Ok(mailer) => {
            let probed = mailer.probe().await.map_err(|error| chain(&error));
            mailer.close().await;
            probed
        }
        Err(error) => Err(chain(&error)),
    };
    let hint = "check the mail server and [mail]: the dispatch stage waits until it answers";
    Finding::of("mail", probed.map(|()| ok), hint)
}

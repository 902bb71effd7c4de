//! `hosho mail unknown|list|resolve`

use std::{path::Path, process::ExitCode, sync::Arc};

use chrono::TimeDelta;
use clap::Subcommand;
use hosho_schema::models::mail::{Filter, State};

use super::{
    Error, print, print_json, printable,
    selection::{AuditArgs, Database, DatabaseArgs, PageArgs, short},
    text::{counted, table},
    time::{shown, stacked},
};
use crate::{
    broker::{Broker, Lane, Outgoing, Publisher},
    config::Config,
    operations::{
        Page, broker,
        mails::{self, Mail, Outcome, Resend, Resolution},
    },
    worker::Embedded,
};

/// The mail ledger: list mails, and settle those in doubt or rejected
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho mail unknown                 mails that were sent twice without a reply
  hosho mail list --state rejected
  hosho mail resolve 31075-00001M --outcome accepted \\
    --reason \"queue id 4F3A in the relay's log\"
  hosho mail resolve 31075-00002M --outcome resend \\
    --reason \"the relay's log has no trace of it\"")]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Mails that may have been sent, and are not re-sent automatically
    Unknown {
        /// Also those that are re-sent automatically
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        page: PageArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Mails by their state
    List {
        /// In this state; by default in every state
        #[arg(long, value_name = "STATE", value_parser = clap::builder::PossibleValuesParser::new(State::ALL.iter().map(|state| state.as_text())))]
        state: Vec<String>,
        #[command(flatten)]
        page: PageArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Settle a mail that is unknown or was rejected, or send it again
    Resolve(ResolveArgs),
}

#[derive(Debug, clap::Args)]
struct ResolveArgs {
    /// Beginning of its identifier or Message-ID, or the 保証契約番号
    #[arg(value_parser = key)]
    mail: String,
    /// accepted: the contractor has it; rejected: do not send it; resend: send it as if for the first time,
    /// under the same Message-ID
    #[arg(long, value_name = "OUTCOME", value_parser = ["accepted", "rejected", "resend"])]
    outcome: String,
    #[command(flatten)]
    audit: AuditArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Reads the name of a mail. An empty one, or a pattern, would mean any.
fn key(text: &str) -> Result<String, String> {
    let is_one = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'@'));
    if is_one {
        Ok(text.to_owned())
    } else {
        Err("give the beginning of its identifier or Message-ID, or a number such as 31075-00001M".to_owned())
    }
}

impl Args {
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Error> {
        self.database.overrides()
    }
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let database = DatabaseArgs::database(&config).await?;
    let db = database.db();
    match args.command {
        Sub::Unknown { all, page, json } => {
            let seconds = i64::try_from(config.work.mail_resend_seconds).unwrap_or(i64::from(u32::MAX));
            let unknown = mails::unknown(&db, all, TimeDelta::seconds(seconds), page.request()).await?;
            if json {
                print_json(&unknown)?;
            } else {
                print_list(&unknown.page, page, "Nothing to decide.");
                print_resend(&unknown.resend);
            }
        }
        Sub::List { state, page, json } => {
            let is_wanted = |one: &State| state.iter().any(|wanted| wanted == one.as_text());
            let states = State::ALL.iter().copied().filter(is_wanted).collect();
            let mails = mails::list(&db, Filter { states, given_up: false }, page.request()).await?;
            if json {
                print_json(&mails)?;
            } else {
                print_list(&mails, page, "No mails.");
            }
        }
        Sub::Resolve(resolve_args) => {
            resolve(resolve_args, args.database.out.as_deref(), &database, &config).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_list(mails: &Page<Mail>, page: PageArgs, none: &str) {
    if mails.total == 0 {
        print(none);
        return;
    }
    if !mails.items.is_empty() {
        let mut rows = table(["mail", "number", "state", "sent", "last sent", "Message-ID, reply"]);
        for mail in &mails.items {
            rows.add_row([
                short(&mail.id).to_owned(),
                mail.number.clone(),
                mail.state.to_owned(),
                mail.attempts.to_string(),
                stacked(mail.last_sent_at),
                format!("{}\n{}", mail.message_id, printable(mail.reply.as_deref().unwrap_or_default())),
            ]);
        }
        print(rows);
    }
    if let Some(position) = page.position(mails) {
        print(position);
    }
}

fn print_resend(resend: &Resend) {
    if let Some(first) = resend.first_due_at {
        let mails = counted(resend.count, "unknown mail");
        print(format!("{mails} re-sent automatically, the first after {}.", shown(first)));
    }
}

async fn resolve(
    args: ResolveArgs,
    out: Option<&Path>,
    database: &Database,
    config: &Config,
) -> Result<(), Error> {
    let operation = args.audit.operation(&database.clock, "mail.resolve")?;
    let outcome = match args.outcome.as_str() {
        "accepted" => Outcome::Accepted,
        "rejected" => Outcome::Rejected,
        _ => Outcome::Resend,
    };
    let db = database.db();
    let resolution = Resolution::of(&db, &args.mail, outcome).await?;
    // If the mail cannot be sent, the ledger must not say that it will be.
    if outcome == Outcome::Resend {
        broker::require(out, config)?;
    }
    if args.audit.dry_run {
        let planned = resolution.result(None);
        if args.json {
            print_json(&planned)?;
        } else {
            let (mail, before, after) = (&planned.mail, planned.before, planned.after);
            print(format!("mail {mail}: {before} → {after}. Nothing was changed."));
        }
        return Ok(());
    }
    let connection =
        if outcome == Outcome::Resend { Some(Connection::open(out, config).await?) } else { None };
    let resolved = resolution.apply(&db, operation).await;
    let sent = match (&resolved, connection) {
        (_, None) => Ok(()),
        (Ok(_), Some(connection)) => connection.send(resolution.request(), config).await,
        (Err(_), Some(connection)) => {
            connection.close().await;
            Ok(())
        }
    };
    let resolved = resolved?;
    sent?;
    if args.json {
        return print_json(&resolved);
    }
    print(format!(
        "mail {} about {}: {} → {}",
        resolved.mail, resolved.number, resolved.before, resolved.after
    ));
    if outcome == Outcome::Resend {
        print("It is queued; `hosho mail list` shows its state.");
    }
    Ok(())
}

/// The connection to the dispatch stage, opened before anything is changed.
enum Connection {
    /// The stage runs in this process, on the folder of `hosho process`.
    Here(Box<Embedded>),
    /// Workers consume from the broker.
    Workers(Arc<dyn Broker>, Box<dyn Publisher>),
}

impl Connection {
    async fn open(out: Option<&Path>, config: &Config) -> Result<Self, Error> {
        if let Some(out) = out {
            return Ok(Self::Here(Box::new(Embedded::open(out, config).await?)));
        }
        let broker = broker::shared(config)?.broker();
        match broker.publisher().await {
            Ok(publisher) => Ok(Self::Workers(broker, publisher)),
            Err(error) => {
                broker.close().await;
                Err(Error::unavailable(error)
                    .hint("nothing was changed: try again when the broker is available"))
            }
        }
    }

    async fn send(self, message: Outgoing, config: &Config) -> Result<(), Error> {
        let unsent = |error| {
            Error::unavailable(error)
                .hint("the mail is pending: run the same command again when the broker is available")
        };
        match self {
            Self::Here(mut embedded) => {
                embedded.start(config, &[Lane::Live]);
                Arc::clone(&embedded.broker)
                    .publisher()
                    .await
                    .map_err(unsent)?
                    .publish(vec![message])
                    .await
                    .map_err(unsent)?;
                embedded.until_idle().await;
                embedded.end().await;
                Ok(())
            }
            Self::Workers(broker, mut publisher) => {
                let sent = publisher.publish(vec![message]).await;
                broker.close().await;
                sent.map_err(unsent)
            }
        }
    }

    async fn close(self) {
        match self {
            Self::Here(embedded) => drop(embedded.end().await),
            Self::Workers(broker, _) => broker.close().await,
        }
    }
}

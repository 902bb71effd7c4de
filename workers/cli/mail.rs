//! `hosho mail unknown|list|resolve`

use std::{path::Path, process::ExitCode, sync::Arc};

use clap::Subcommand;
use hosho_schema::{
    messages::DispatchV1,
    models::mail::{self, Filter, Listed, State},
};
use serde::Serialize;

use super::{
    Error,
    moment::{shown, utc},
    print, print_json, printable,
    selection::{AuditArgs, Database, DatabaseArgs, Page, short},
    shared, table,
};
use crate::{
    broker::{Broker, Lane, Outgoing, Publisher},
    config::Config,
    dead_letters,
    pipeline::stage::Item,
    telemetry::Traceparent,
    worker::Embedded,
};

/// The ledger of mails: what is in doubt or was refused, and what is to become of it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho mail unknown                     mails that were sent twice without an answer: only you can tell
  hosho mail list --state rejected
  hosho mail resolve 31075-00001M --outcome accepted --reason \"queue id 4F3A in the relay's log\"
  hosho mail resolve 31075-00002M --outcome resend --reason \"the relay's log has no trace of it\"")]
pub(super) struct Args {
    #[command(flatten)]
    place: DatabaseArgs,
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Mails that may or may not have been sent, and that nobody will send again by themselves
    Unknown {
        /// Also those that the schedule will send once more
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        page: Page,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Mails by their state
    List {
        /// In this state; every state when left out
        #[arg(long, value_name = "STATE", value_parser = clap::builder::PossibleValuesParser::new(State::ALL.iter().map(|state| state.as_text())))]
        state: Vec<String>,
        #[command(flatten)]
        page: Page,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what became of a mail that is unknown or was rejected, or have it sent again
    Resolve(ResolveArgs),
}

#[derive(Debug, clap::Args)]
struct ResolveArgs {
    /// Beginning of its identifier or Message-ID, or the 保証契約番号
    #[arg(value_parser = key)]
    mail: String,
    /// accepted: the contractor has it; rejected: it is not to be sent; resend: send it as if for the first time, under the same
    /// Message-ID
    #[arg(long, value_name = "OUTCOME", value_parser = ["accepted", "rejected", "resend"])]
    outcome: String,
    #[command(flatten)]
    who: AuditArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Reads what names a mail; an empty one, or a pattern, would mean any.
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
        self.place.overrides()
    }
}

#[derive(Serialize)]
struct Shown {
    id: String,
    message_id: String,
    number: String,
    revision: i64,
    state: &'static str,
    attempts: i64,
    reply: Option<String>,
    created_at: String,
    last_sent_at: Option<String>,
    settled_at: Option<String>,
}

impl Shown {
    fn of(listed: &Listed) -> Self {
        let mail = &listed.mail;
        Self {
            id: mail.id.clone(),
            message_id: mail.message_id.clone(),
            number: listed.number.clone(),
            revision: listed.revision,
            state: mail.state.as_text(),
            attempts: mail.attempts,
            reply: mail.reply.clone(),
            created_at: utc(mail.created_at),
            last_sent_at: mail.claimed_at.map(utc),
            settled_at: mail.settled_at.map(utc),
        }
    }
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let database = DatabaseArgs::database(&config).await?;
    match args.command {
        Sub::Unknown { all, page, json } => {
            let filter = Filter { states: vec![State::Unknown], given_up: !all };
            list(&database, filter, page, json).await
        }
        Sub::List { state, page, json } => {
            let states = State::ALL
                .iter()
                .copied()
                .filter(|one| state.iter().any(|wanted| wanted == one.as_text()))
                .collect();
            list(&database, Filter { states, given_up: false }, page, json).await
        }
        Sub::Resolve(resolve_args) => {
            resolve(resolve_args, args.place.out.as_deref(), &database, &config).await
        }
    }
}

async fn list(database: &Database, filter: Filter, page: Page, json: bool) -> Result<ExitCode, Error> {
    let mut mails = database.ask(move |db| mail::list(db, &filter, page.probing(), page.offset())).await?;
    let more = page.trimmed(&mut mails);
    if json {
        print_json(&mails.iter().map(Shown::of).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    if mails.is_empty() {
        print("None.");
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(["mail", "number", "state", "sent", "last sent", "Message-ID", "reply"]);
    for listed in &mails {
        let mail = &listed.mail;
        rows.add_row([
            short(&mail.id).to_owned(),
            listed.number.clone(),
            mail.state.as_text().to_owned(),
            mail.attempts.to_string(),
            mail.claimed_at.map_or_else(|| "-".to_owned(), shown),
            mail.message_id.clone(),
            mail.reply.as_deref().map(printable).unwrap_or_default(),
        ]);
    }
    print(rows);
    if let Some(more) = more {
        print(more);
    }
    Ok(ExitCode::SUCCESS)
}

/// What was settled, or would be.
#[derive(Serialize)]
struct Resolved {
    mail: String,
    number: String,
    before: &'static str,
    after: &'static str,
    /// `null` when nothing was changed.
    operation: Option<String>,
}

async fn resolve(
    args: ResolveArgs,
    out: Option<&Path>,
    database: &Database,
    config: &Config,
) -> Result<ExitCode, Error> {
    let operation = args.who.operation(&database.clock, "mail.resolve")?;
    let key = args.mail.clone();
    let mut found = database.ask(move |db| mail::find(db, &key, 2)).await?;
    let listed = match (found.pop(), found.is_empty()) {
        (Some(listed), true) => listed,
        (None, _) => {
            return Err(Error::invalid(format!("there is no mail {:?}", args.mail))
                .hint("`hosho mail list` shows them"));
        }
        _ => {
            return Err(Error::invalid(format!(
                "{:?} means several mails: give the beginning of an identifier",
                args.mail
            )));
        }
    };
    let (before, to) = (
        listed.mail.state,
        match args.outcome.as_str() {
            "accepted" => State::Accepted,
            "rejected" => State::Rejected,
            _ => State::Pending,
        },
    );
    // A mail that is pending already may be waiting for nobody: asking again queues it again.
    let allowed = matches!(before, State::Unknown | State::Rejected | State::Pending)
        && (before != to || to == State::Pending);
    if !allowed {
        return Err(Error::conflict(anyhow::anyhow!(
            "the mail is {}: it cannot become {}",
            before.as_text(),
            args.outcome
        )));
    }
    // Nobody may find out that it cannot be sent after the ledger says that it is to be.
    if to == State::Pending {
        shared::require(out, config)?;
    }
    let mut told = Resolved {
        mail: listed.mail.id.clone(),
        number: listed.number.clone(),
        before: before.as_text(),
        after: to.as_text(),
        operation: None,
    };
    if args.who.dry_run {
        if args.json {
            print_json(&told)?;
        } else {
            print(format!("mail {}: {} → {}. Nothing was changed.", told.mail, told.before, told.after));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let way = if to == State::Pending { Some(Way::open(out, config).await?) } else { None };
    told.operation = Some(operation.id.clone());
    let id = listed.mail.id.clone();
    let done = database.ask(move |db| dead_letters::settle_mail(db, &operation, &id, before, to)).await;
    let sent = match (&done, way) {
        (_, None) => Ok(()),
        (Ok(true), Some(way)) => way.send(request(&listed), config).await,
        (_, Some(way)) => {
            way.close().await;
            Ok(())
        }
    };
    if !done? {
        return Err(Error::conflict(anyhow::anyhow!("the mail changed just now")).hint("look at it again"));
    }
    sent?;
    if args.json {
        print_json(&told)?;
    } else {
        print(format!("mail {} about {}: {} → {}", told.mail, told.number, told.before, told.after));
        if to == State::Pending {
            print("It is queued; `hosho mail list` tells how it went.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What asks the dispatch stage for a mail.
fn request(listed: &Listed) -> Outgoing {
    let trace = listed.traceparent.as_deref().and_then(Traceparent::parse);
    let item = Item {
        job: (),
        lane: Lane::Live,
        correlation_id: Some(listed.application_id.clone()),
        trace: trace.unwrap_or_else(|| Traceparent::derived(&listed.application_id)),
        failed_id: None,
        replayed: false,
    };
    item.successor(&DispatchV1 { guarantee: listed.guarantee_id.clone(), revision: listed.revision })
}

/// The way to the dispatch stage, opened before anything is changed.
enum Way {
    /// It works in this process, on the folder of `hosho process`.
    Here(Box<Embedded>),
    /// Workers take it from the broker.
    Workers(Arc<dyn Broker>, Box<dyn Publisher>),
}

impl Way {
    async fn open(out: Option<&Path>, config: &Config) -> Result<Self, Error> {
        if let Some(out) = out {
            return Ok(Self::Here(Box::new(Embedded::open(out, config).await?)));
        }
        let queue = shared::queue(config)?.broker();
        match queue.publisher().await {
            Ok(publisher) => Ok(Self::Workers(queue, publisher)),
            Err(error) => {
                queue.close().await;
                Err(Error::unavailable(error).hint("nothing was changed: try again once the broker is there"))
            }
        }
    }

    async fn send(self, message: Outgoing, config: &Config) -> Result<(), Error> {
        let unsent = |error| {
            Error::unavailable(error)
                .hint("the mail is pending: run the same command again once the broker is there")
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
            Self::Workers(queue, mut publisher) => {
                let sent = publisher.publish(vec![message]).await;
                queue.close().await;
                sent.map_err(unsent)
            }
        }
    }

    async fn close(self) {
        match self {
            Self::Here(embedded) => drop(embedded.end().await),
            Self::Workers(queue, _) => queue.close().await,
        }
    }
}

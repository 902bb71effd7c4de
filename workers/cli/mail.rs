//! `hosho mail unknown|list|resolve`

use std::{path::Path, process::ExitCode};

use chrono::TimeDelta;
use clap::Subcommand;
use hosho_schema::models::mail::{Filter, State};

use super::{
    Error, output, print, print_text, printable,
    selection::{AuditArgs, DatabaseArgs, PageArgs, name, open_database, print_page, short},
    text::{counted, labelled, shown},
};
use crate::{
    config::Config,
    db::Db,
    operations::mails::{self, Mail, Outcome, Resolution, Resolved, Unknown},
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
    pub(super) database: DatabaseArgs,
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
    /// accepted: the contractor has it; rejected: do not send it;
    /// resend: send it as if for the first time, under the same Message-ID
    #[arg(long, value_name = "OUTCOME", value_parser = ["accepted", "rejected", "resend"])]
    outcome: String,
    #[command(flatten)]
    audit: AuditArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

fn key(text: &str) -> Result<String, String> {
    let problem = "give the beginning of its identifier or Message-ID, or a number such as 31075-00001M";
    name(text, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'@'), problem)
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let db = open_database(&config).await?;
    match args.command {
        Sub::Unknown { all, page, json } => {
            let seconds = i64::try_from(config.work.mail_resend_seconds).unwrap_or(i64::from(u32::MAX));
            let unknown = mails::unknown(&db, all, TimeDelta::seconds(seconds), page.request()).await?;
            output(json, &unknown, |Unknown { page: mails, resend }| {
                print_page(mails, "Nothing to decide.", print_rows);
                if let Some(first) = resend.first_due_at {
                    let mails = counted(resend.count, "unknown mail");
                    print_text(format!("{mails} re-sent automatically, the first after {}.", shown(first)));
                }
            })
        }
        Sub::List { state, page, json } => {
            let is_wanted = |one: &State| state.iter().any(|wanted| wanted == one.as_text());
            let states = State::ALL.iter().copied().filter(is_wanted).collect();
            let mails = mails::list(&db, Filter { states, given_up: false }, page.request()).await?;
            output(json, &mails, |mails| print_page(mails, "No mails.", print_rows))
        }
        Sub::Resolve(resolved) => resolve(resolved, args.database.out.as_deref(), &db, &config).await,
    }
}

fn print_rows(mails: &[Mail]) {
    for (index, mail) in mails.iter().enumerate() {
        if index > 0 {
            print("");
        }
        let last = mail.last_sent_at.map(|at| format!(", last at {}", shown(at))).unwrap_or_default();
        let lines = [
            ("mail", Some(format!("{} about {}: {}", short(&mail.id), mail.number, mail.state))),
            ("sent", Some(counted(mail.attempts, "time") + &last)),
            ("Message-ID", Some(mail.message_id.clone())),
            ("reply", mail.reply.as_deref().map(printable)),
        ];
        print(labelled(lines.into_iter().filter_map(|(label, text)| Some((label, text?)))));
    }
}

async fn resolve(args: ResolveArgs, out: Option<&Path>, db: &Db, config: &Config) -> Result<ExitCode, Error> {
    let operation = args.audit.operation("mail.resolve")?;
    let outcome = match args.outcome.as_str() {
        "accepted" => Outcome::Accepted,
        "rejected" => Outcome::Rejected,
        _ => Outcome::Resend,
    };
    let resolution = Resolution::of(db, config, out, &args.mail, outcome).await?;
    if args.audit.dry_run {
        return output(args.json, &resolution.result(None), |Resolved { mail, before, after, .. }| {
            print_text(format!("mail {mail}: {before} → {after}. Nothing was changed."));
        });
    }
    let resolved = resolution.apply(db, config, out, operation).await?;
    output(args.json, &resolved, |Resolved { mail, number, before, after, .. }| {
        print_text(format!("mail {mail} about {number}: {before} → {after}"));
        if outcome == Outcome::Resend {
            print("It is queued; `hosho mail list` shows its state.");
        }
    })
}

//! The mail ledger: lists mails, and settles those that operators must decide.

use std::{path::Path, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use hosho_schema::{
    messages::DispatchV1,
    models::{
        audit,
        mail::{self, Filter, Listed, State},
    },
};
use serde::Serialize;

use super::{Cursor, Error, Page, PageRequest, broker, identifier};
use crate::{
    audit::Operation,
    broker::{Broker, Lane, Outgoing, Publisher},
    config::Config,
    db::Db,
    pipeline::stage::Item,
    telemetry::Traceparent,
    worker::Embedded,
};

/// A mail without its recipient and text.
#[derive(Debug, Clone, Serialize)]
pub struct Mail {
    pub id: String,
    pub message_id: String,
    pub number: String,
    pub revision: i64,
    pub state: &'static str,
    pub attempts: i64,
    pub reply: Option<String>,
    pub created_at: DateTime<Utc>,
    pub last_sent_at: Option<DateTime<Utc>>,
    pub settled_at: Option<DateTime<Utc>>,
}

impl From<Listed> for Mail {
    fn from(Listed { mail, number, revision, .. }: Listed) -> Self {
        Self {
            id: mail.id,
            message_id: mail.message_id,
            number,
            revision,
            state: mail.state.as_text(),
            attempts: mail.attempts,
            reply: mail.reply,
            created_at: mail.created_at.and_utc(),
            last_sent_at: mail.claimed_at.map(|at| at.and_utc()),
            settled_at: mail.settled_at.map(|at| at.and_utc()),
        }
    }
}

/// Reads a page of mails, the oldest first.
pub async fn list(db: &Db, filter: Filter, page: PageRequest) -> Result<Page<Mail>, Error> {
    db.call(move |db| {
        let mails = mail::list(db, &filter, page.rows(), page.place())?;
        let cursor = |Listed { mail, .. }: &Listed| Cursor::new(mail.created_at, &mail.id);
        Ok(Page::new(mails, mail::count(db, &filter)?, &page, cursor).map(Mail::from))
    })
    .await
}

/// Unknown mails, and those of them that are re-sent automatically.
#[derive(Debug, Serialize)]
pub struct Unknown {
    #[serde(flatten)]
    pub page: Page<Mail>,
    pub resend: Resend,
}

#[derive(Debug, Serialize)]
pub struct Resend {
    pub count: i64,
    /// The first of them is re-sent at the first run of `schedule.resend` after this.
    pub first_due_at: Option<DateTime<Utc>>,
}

/// Reads a page of unknown mails: those an operator must decide, or `all`.
pub async fn unknown(
    db: &Db,
    all: bool,
    resend_after: TimeDelta,
    page: PageRequest,
) -> Result<Unknown, Error> {
    let page = list(db, Filter { states: vec![State::Unknown], given_up: !all }, page).await?;
    let (count, since) = db.call(mail::awaiting_resend).await?;
    let first_due_at = since.and_then(|since| since.checked_add_signed(resend_after)).map(|at| at.and_utc());
    Ok(Unknown { page, resend: Resend { count, first_due_at } })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Accepted,
    Rejected,
    /// Send it as if for the first time, under the same Message-ID.
    Resend,
}

impl Outcome {
    pub const fn state(self) -> State {
        match self {
            Self::Accepted => State::Accepted,
            Self::Rejected => State::Rejected,
            Self::Resend => State::Pending,
        }
    }
}

/// A mail whose outcome may be settled; nothing is changed yet.
#[derive(Debug)]
pub struct Resolution {
    pub mail: Listed,
    pub outcome: Outcome,
}

#[derive(Debug, Serialize)]
pub struct Resolved {
    pub mail: String,
    pub number: String,
    pub before: &'static str,
    pub after: &'static str,
    /// `null` when nothing was changed.
    pub operation: Option<String>,
}

impl Resolution {
    /// Finds the mail that `key` names, and checks that its state allows the outcome.
    /// To re-send, a broker must be configured, unless this process does the work in `out`.
    pub async fn of(
        db: &Db,
        config: &Config,
        out: Option<&Path>,
        key: &str,
        outcome: Outcome,
    ) -> Result<Self, Error> {
        let named = key.to_owned();
        let found = db.call(move |db| mail::find(db, &named, 2)).await?;
        let several = "means several mails: give the beginning of an identifier";
        let mail = identifier::only(found, "mail", "hosho mail list", key, several)?;
        let before = mail.mail.state;
        if !is_allowed(before, outcome.state()) {
            return Err(not_allowed(before));
        }
        if outcome == Outcome::Resend {
            broker::require(out, config)?;
        }
        Ok(Self { mail, outcome })
    }

    /// How the mail is settled, by the operation or (without one) by a dry run.
    pub fn result(&self, operation: Option<&Operation>) -> Resolved {
        Resolved {
            mail: self.mail.mail.id.clone(),
            number: self.mail.number.clone(),
            before: self.mail.mail.state.as_text(),
            after: self.outcome.state().as_text(),
            operation: operation.map(|operation| operation.id.clone()),
        }
    }

    /// Changes the ledger and, to re-send, queues the mail for the dispatch stage.
    /// Workers send it, or this process on the folder `out`.
    pub async fn apply(
        &self,
        db: &Db,
        config: &Config,
        out: Option<&Path>,
        operation: Operation,
    ) -> Result<Resolved, Error> {
        if self.outcome != Outcome::Resend {
            return self.record(db, operation).await;
        }
        // Opened first: the ledger promises no mail that cannot be queued.
        let mut connection = Connection::open(out, config).await?;
        let resolved = match self.record(db, operation).await {
            Ok(resolved) => {
                let sent = connection.publisher.publish(vec![self.request()]).await;
                sent.map(|()| resolved).map_err(|error| {
                    Error::unavailable(error)
                        .hint("run the same command again when the broker is available: the mail is pending")
                })
            }
            Err(error) => Err(error),
        };
        connection.close(resolved.is_ok()).await;
        resolved
    }

    /// Changes the ledger, with its audit entry.
    async fn record(&self, db: &Db, operation: Operation) -> Result<Resolved, Error> {
        let resolved = self.result(Some(&operation));
        let (id, before, to) = (resolved.mail.clone(), self.mail.mail.state, self.outcome.state());
        let reply = format!("by an operator: {}", operation.reason);
        db.transaction(move |db| {
            if !mail::resolve(db, &id, before, to, &reply, operation.at)? {
                return Err(
                    Error::conflict("the mail changed just now").hint("run `hosho mail list` for its state")
                );
            }
            let text = |state: State| Some(state.as_text().to_owned());
            audit::write(db, &[operation.entry("mail", &id, text(before), text(to))])?;
            Ok(resolved)
        })
        .await
    }

    /// The message by which the dispatch stage sends the mail.
    fn request(&self) -> Outgoing {
        let mail = &self.mail;
        let trace = Traceparent::of(mail.traceparent.as_deref(), &mail.application_id);
        let item = Item::new((), Lane::Live, Some(mail.application_id.clone()), trace);
        item.successor(&DispatchV1 { guarantee: mail.guarantee_id.clone(), revision: mail.revision })
    }
}

/// The connection to the dispatch stage.
struct Connection {
    broker: Arc<dyn Broker>,
    publisher: Box<dyn Publisher>,
    /// The stages in this process, on a folder; otherwise workers consume.
    embedded: Option<Embedded>,
}

impl Connection {
    async fn open(out: Option<&Path>, config: &Config) -> Result<Self, Error> {
        let (broker, embedded) = match out {
            None => (broker::shared(config)?.broker(), None),
            Some(out) => {
                let mut embedded = Embedded::open(out, config).await?;
                embedded.start(config, &[Lane::Live]);
                (Arc::clone(&embedded.broker), Some(embedded))
            }
        };
        match broker.publisher().await {
            Ok(publisher) => Ok(Self { broker, publisher, embedded }),
            Err(error) => {
                broker.close().await;
                Err(Error::unavailable(error)
                    .hint("try again when the broker is available: nothing was changed"))
            }
        }
    }

    /// With `wait`, the stages in this process are idle first.
    async fn close(self, wait: bool) {
        match self.embedded {
            None => self.broker.close().await,
            Some(embedded) => {
                if wait {
                    embedded.until_idle().await;
                }
                embedded.end().await;
            }
        }
    }
}

/// A pending mail may have lost its message: `resend` queues it again.
fn is_allowed(before: State, to: State) -> bool {
    matches!(before, State::Unknown | State::Rejected | State::Pending)
        && (before != to || to == State::Pending)
}

/// The error where [`is_allowed`] is false.
fn not_allowed(before: State) -> Error {
    const UNDECIDED: &str = "only an unknown, rejected or pending mail can be resolved";
    let (why, hint) = match before {
        State::Accepted => (UNDECIDED, "no action is needed: the mail server has accepted it"),
        State::Sending => (UNDECIDED, "try again when `hosho mail list` shows another state"),
        State::Rejected | State::Unknown | State::Pending => {
            ("it has this outcome already", "give another --outcome")
        }
    };
    Error::conflict(format!("the mail is {}: {why}", before.as_text())).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_undecided_mails_are_resolved() {
        use State::{Accepted, Pending, Rejected, Sending, Unknown};
        for (before, to) in [(Unknown, Accepted), (Unknown, Pending), (Rejected, Pending), (Pending, Pending)]
        {
            assert!(is_allowed(before, to), "{before:?} {to:?}");
        }
        for (before, to) in [(Accepted, Pending), (Sending, Accepted), (Rejected, Rejected)] {
            assert!(!is_allowed(before, to), "{before:?} {to:?}");
            let error = not_allowed(before);
            assert!(error.message().contains(before.as_text()) && error.advice().is_some(), "{error}");
        }
        assert_eq!(
            not_allowed(Accepted).message(),
            "the mail is accepted: only an unknown, rejected or pending mail can be resolved"
        );
    }
}

//! The post room: mails with their ledger. Knows for each mail whether the mail server has it.
//!
//! Each mail has a ledger row with a fixed Message-ID, date and text:
//!
//! - it becomes `sending` by update-where, committed before the first byte, so two workers never send one mail at once;
//! - a failure before the final dot gives it back (`pending`): it was not sent;
//! - a failure after it makes it `unknown`; after a while it is sent once more under the same Message-ID, then it is an
//!   operator's;
//! - a row that is `sending` for too long belongs to a worker that died with the mail in flight: `unknown` as well.
//!   In a folder a mail is a file that a second writing replaces by itself, so there it is simply written again.
//!
//! Mails go out on several lanes at a time, and each lane claims the next mail in the same transaction that settles the one
//! before. So a worker that dies leaves at most one mail per lane in doubt. Claiming a whole batch at once was tried:
//! it left a hundred mails unknown that had never been sent.
//!
//! Each mail is begun by [`Leave`]: a stage that is paused is so after the mails in flight, not after the batch. And a mail server that
//! says nothing to a whole letter ends the round, because each further mail would be in doubt too.
//!
//! A mail server that refuses one letter in a way that sounds general (421 to one recipient) is probed: if it is well, the
//! letter waits and not the stage.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use chrono::TimeDelta;
use futures_util::future::join_all;
use hosho_schema::{
    db::{Connection, DbError, Pool},
    ids,
    messages::MailStateV1,
    models::mail::{self as ledger, Mail, NewMail, Outcome, Settlement, State},
};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::{
    clock::Clock,
    documents::Documents,
    mail::{self, Attachment, Letter, Mailer, SendError, Sender, Step},
    stage::{Fault, Leave, Reason, chain},
};

/// How mails are written and sent. Cheap to clone.
#[derive(Clone)]
pub struct Post {
    /// The way out.
    pub mailer: Mailer,
    /// The sender.
    pub from: Sender,
    /// Whether the notice is attached.
    pub attach_notice: bool,
    /// Age after which `sending` means that its worker died.
    pub orphan_after: TimeDelta,
    /// Age after which `unknown` is sent once more.
    pub resend_after: TimeDelta,
    /// Lanes: mails sent at the same time.
    pub connections: usize,
    /// The ledger.
    pub pool: Pool,
    /// Where the notices are.
    pub documents: Documents,
    /// The time.
    pub clock: Clock,
    /// Becomes true when the process is asked to stop: then no further mail is begun.
    pub stop: watch::Receiver<bool>,
}

/// A mail that is due, unless the ledger says otherwise.
#[derive(Clone)]
pub struct Due {
    /// What is written into the ledger; a row that is there already wins.
    pub mail: NewMail,
    /// Location of the notice.
    pub notice: Option<String>,
    /// 保証契約番号.
    pub number: String,
    /// Trace id of the application.
    pub trace_id: String,
    /// Whether an operator wants it tried again although it was refused for good.
    pub again: bool,
}

/// What became of a mail.
#[derive(Debug)]
pub struct Told {
    /// How it stands, or why it was not sent.
    pub verdict: Result<MailStateV1, Fault>,
    /// What could not be written into the ledger, because the database was away: [`write()`] it with the next rows.
    pub unwritten: Option<Entry>,
}

/// A line for the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The mail server has answered, or may have.
    Settle(Settlement),
    /// Surely not sent: the mail with this id is given back.
    Release(String),
}

/// Writes lines into the ledger.
pub fn write(db: &mut Connection, entries: &[Entry], at: chrono::NaiveDateTime) -> Result<(), DbError> {
    let mut settlements = Vec::new();
    let mut released = Vec::new();
    for entry in entries {
        match entry {
            Entry::Settle(settlement) => settlements.push(settlement.clone()),
            Entry::Release(id) => released.push(id.as_str()),
        }
    }
    ledger::settle(db, &settlements, at)?;
    ledger::release(db, &released)?;
    Ok(())
}

/// Mails claimed in one transaction where sending twice does no harm: then the commit is the only cost.
const REPEATABLE: usize = 64;

/// A mail after the attempt to claim it.
enum Claim {
    Ours(Box<Mail>),
    Stands(Result<MailStateV1, Fault>),
}

/// What became of a mail that was ours to send.
struct Sent {
    verdict: Result<MailStateV1, Fault>,
    entry: Entry,
    /// Why no other mail is to be begun.
    halt: Option<Fault>,
}

/// What the lanes share.
struct Round {
    waiting: Mutex<VecDeque<(usize, Due)>>,
    told: Mutex<Vec<Option<Told>>>,
    /// Why no lane begins another mail.
    halted: Mutex<Option<Fault>>,
}

impl Round {
    fn tell(&self, place: usize, verdict: Result<MailStateV1, Fault>, unwritten: Option<Entry>) {
        if let Some(told) = lock(&self.told).get_mut(place) {
            *told = Some(Told { verdict, unwritten });
        }
    }

    fn take(&self, count: usize) -> Vec<(usize, Due)> {
        if lock(&self.halted).is_some() {
            return Vec::new();
        }
        let mut waiting = lock(&self.waiting);
        let count = count.min(waiting.len());
        waiting.drain(..count).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Post {
    /// Sends what is due and may be sent, each begun by leave. One answer per mail, in order.
    pub async fn deliver(&self, due: Vec<Due>, leave: &Leave) -> Vec<Told> {
        let count = due.len();
        let round = Round {
            waiting: Mutex::new(due.into_iter().enumerate().collect()),
            told: Mutex::new((0..count).map(|_| None).collect()),
            halted: Mutex::new(None),
        };
        join_all((0..self.connections.min(count)).map(|_| self.lane(&round, leave))).await;
        let Round { told, halted, .. } = round;
        let halted = halted.into_inner().unwrap_or_else(PoisonError::into_inner);
        let stopping = || leave.ask().err().unwrap_or_else(|| Fault::new(Reason::Stopping, "the process was asked to stop"));
        let why = halted.unwrap_or_else(stopping);
        let told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
        told.into_iter().map(|told| told.unwrap_or_else(|| Told { verdict: Err(why.clone()), unwritten: None })).collect()
    }

    /// One lane: settle the mails before, claim the next, send them.
    async fn lane(&self, round: &Round, leave: &Leave) {
        let take = if self.mailer.is_repeatable() { REPEATABLE } else { 1 };
        let mut before: Vec<(usize, Result<MailStateV1, Fault>, Entry)> = Vec::new();
        loop {
            let next = if *self.stop.borrow() || leave.ask().is_err() { Vec::new() } else { round.take(take) };
            if next.is_empty() && before.is_empty() {
                return;
            }
            let entries = before.iter().map(|(_, _, entry)| entry.clone()).collect();
            let claimed = self.turn(entries, next.iter().map(|(_, due)| (due.mail.clone(), due.again)).collect()).await;
            let mut claims = match claimed {
                Ok(claims) => claims,
                Err(fault) => {
                    // What was sent is told with what is still to be written; nothing more is begun.
                    for (place, verdict, entry) in before {
                        round.tell(place, verdict, Some(entry));
                    }
                    for (place, _) in next {
                        round.tell(place, Err(fault.clone()), None);
                    }
                    lock(&round.halted).get_or_insert(fault);
                    return;
                }
            };
            for (place, verdict, _) in before.drain(..) {
                round.tell(place, verdict, None);
            }
            for (place, due) in next {
                match claims.remove(&ids::mail(&due.mail.certificate_id, &due.mail.recipient)) {
                    Some(Claim::Ours(mail)) => {
                        let Sent { verdict, entry, halt } = self.send(&mail, &due).await;
                        if let Some(fault) = halt {
                            lock(&round.halted).get_or_insert(fault);
                        }
                        before.push((place, verdict, entry));
                    }
                    Some(Claim::Stands(verdict)) => round.tell(place, verdict, None),
                    // The same mail twice in one batch: the other copy has it.
                    None => round.tell(place, Err(Fault::new(Reason::MailClaimed, "this worker is sending this mail already")), None),
                }
            }
        }
    }

    /// One transaction: lines into the ledger, new rows, claims.
    async fn turn(&self, entries: Vec<Entry>, due: Vec<(NewMail, bool)>) -> Result<HashMap<String, Claim>, Fault> {
        let (pool, now) = (self.pool.clone(), self.clock.now());
        let (orphan_before, unknown_before) = (now - self.orphan_after, now - self.resend_after);
        let repeatable = self.mailer.is_repeatable();
        let id = |mail: &NewMail| ids::mail(&mail.certificate_id, &mail.recipient);
        let again: Vec<String> = due.iter().filter(|(_, again)| *again).map(|(mail, _)| id(mail)).collect();
        let due: Vec<NewMail> = due.into_iter().map(|(mail, _)| mail).collect();
        let work = move || -> Result<HashMap<String, Claim>, Fault> {
            pool.get()?.transaction(|db| {
                write(db, &entries, now)?;
                if due.is_empty() {
                    return Ok(HashMap::new());
                }
                ledger::insert_new(db, &due)?;
                ledger::reopen(db, &again.iter().map(String::as_str).collect::<Vec<_>>())?;
                let certificates: Vec<&str> = due.iter().map(|mail| mail.certificate_id.as_str()).collect();
                let rows: HashMap<String, Mail> =
                    ledger::by_certificates(db, &certificates)?.into_iter().flatten().map(|mail| (mail.id.clone(), mail)).collect();
                let ids: Vec<String> = due.iter().map(id).collect();
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                let is_orphan =
                    |mail: &&Mail| mail.state == State::Sending && (repeatable || mail.claimed_at.is_some_and(|at| at < orphan_before));
                let orphans: Vec<&str> = ids.iter().filter_map(|id| rows.get(*id)).filter(is_orphan).map(|mail| mail.id.as_str()).collect();
                if repeatable {
                    ledger::release(db, &orphans)?;
                } else {
                    for mail in ledger::adopt_orphans(db, &orphans, now)? {
                        warn!(mail.id = mail.id, "A worker died while this mail was in flight; it is unknown whether it was sent");
                    }
                }
                let claimed = ledger::claim(db, &ids, now, unknown_before)?;
                let mut claims: HashMap<String, Claim> =
                    claimed.into_iter().map(|mail| (mail.id.clone(), Claim::Ours(Box::new(mail)))).collect();
                for mail in ids.iter().filter_map(|id| rows.get(*id)) {
                    if !claims.contains_key(&mail.id) {
                        claims.insert(mail.id.clone(), Claim::Stands(stands(mail, orphans.contains(&mail.id.as_str()))));
                    }
                }
                Ok(claims)
            })
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Fault::from_error(Reason::DatabaseUnavailable, &error)))
    }

    async fn send(&self, mail: &Mail, due: &Due) -> Sent {
        let not_sent = |fault: Fault| {
            let for_all = matches!(fault.reason, Reason::MailUnavailable | Reason::DocumentsUnavailable);
            Sent { halt: for_all.then(|| fault.clone()), verdict: Err(fault), entry: Entry::Release(mail.id.clone()) }
        };
        let settled = |verdict, outcome, reply| {
            let settlement = Settlement { id: mail.id.clone(), outcome, reply };
            Sent { verdict, entry: Entry::Settle(settlement), halt: None }
        };
        let letter = match self.letter(mail, due).await {
            Ok(letter) => letter,
            Err(fault) => return not_sent(fault),
        };
        let error = match self.mailer.send(&letter).await {
            Ok(reply) => {
                info!(
                    guarantee.number = due.number,
                    mail.message_id = mail.message_id,
                    mail.reply = %reply,
                    trace.id = due.trace_id,
                    "Mail accepted by the mail server"
                );
                return settled(Ok(MailStateV1::Accepted), Outcome::Accepted, Some(reply.to_string()));
            }
            Err(error) => error,
        };
        match (error.outcome(), &error) {
            (mail::Outcome::Unknown, _) => {
                warn!(
                    guarantee.number = due.number,
                    mail.message_id = mail.message_id,
                    error = chain(&error),
                    trace.id = due.trace_id,
                    "It is unknown whether the mail server took this mail"
                );
                // A server that is silent after one letter is so after the next, and each of them would be in doubt.
                let halt = error.is_silence().then(|| Fault::from_error(Reason::MailUnavailable, &error));
                Sent { halt, ..settled(Ok(MailStateV1::Unknown), Outcome::Unknown, None) }
            }
            // Ours to mend, not the recipient's: it can be sent once it is.
            (mail::Outcome::Permanent, SendError::Unsendable(_)) => not_sent(Fault::from_error(Reason::MailUnbuildable, &error)),
            (mail::Outcome::Permanent, _) => {
                let reply = error.reply().map(ToString::to_string);
                settled(Err(Fault::from_error(Reason::MailRefused, &error)), Outcome::Rejected, reply)
            }
            (mail::Outcome::Transient, _) => not_sent(Fault::from_error(Reason::MailDeferred, &error)),
            (mail::Outcome::Unavailable, SendError::Unavailable { step: Step::Recipient | Step::Data | Step::FinalDot, .. })
                if self.mailer.probe().await.is_ok() =>
            {
                not_sent(Fault::from_error(Reason::MailDeferred, &error))
            }
            (mail::Outcome::Unavailable, _) => not_sent(Fault::from_error(Reason::MailUnavailable, &error)),
        }
    }

    /// Reads a notice. One that cannot be read although the store is well is read once more before that counts: the store may
    /// have come back in between.
    async fn notice(&self, location: &str) -> Result<Vec<u8>, Fault> {
        let error = match self.documents.get(location).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => error,
        };
        let error = match error.is_unavailable() {
            false => error,
            true if self.documents.probe().await.is_err() => return Err(Fault::from_error(Reason::DocumentsUnavailable, &error)),
            true => match self.documents.get(location).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => error,
            },
        };
        Err(Fault::from_error(Reason::DocumentMissing, &error))
    }

    async fn letter(&self, mail: &Mail, due: &Due) -> Result<Letter, Fault> {
        let mut attachments = Vec::new();
        if let Some(location) = due.notice.as_deref().filter(|_| self.attach_notice) {
            let bytes = self.notice(location).await?;
            attachments.push(Attachment {
                file_name: format!("{}_notice.pdf", due.number),
                media_type: "application/pdf".to_owned(),
                bytes,
            });
        }
        Ok(Letter {
            message_id: mail.message_id.clone(),
            date: mail.date,
            from: self.from.clone(),
            to: mail.recipient.as_str().into(),
            subject: mail.subject.clone(),
            text: mail.text_body.clone(),
            html: mail.html_body.clone(),
            attachments,
            trace_id: Some(due.trace_id.clone()),
        })
    }
}

/// What the ledger says of a mail that could not be claimed.
fn stands(mail: &Mail, orphan: bool) -> Result<MailStateV1, Fault> {
    match mail.state {
        State::Accepted => Ok(MailStateV1::Accepted),
        State::Unknown => Ok(MailStateV1::Unknown),
        State::Sending if orphan => Ok(MailStateV1::Unknown),
        State::Rejected => Err(Fault::new(Reason::MailRefused, "the mail server refused this mail before")),
        State::Pending | State::Sending => Err(Fault::new(Reason::MailClaimed, "another worker is sending this mail")),
    }
}

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
//! it left a hundred mails unknown that had never been sent. Rows are made for the whole batch at once, and lanes that have a mail to
//! settle while the ledger is being written share the next transaction (`Desk`): a transaction for each mail took 3.5 ms of it. Mails of
//! the bulk lane have half of the connections, so that a live one finds a mail server at leisure.
//!
//! Each mail is begun by [`Permit`]: a stage that is paused is so after the mails in flight, not after the batch. And a mail server that
//! says nothing to a whole letter ends the round, because each further mail would be in doubt too.
//!
//! A mail server that refuses one letter in a way that sounds general (421 to one recipient) is probed: if it is well, the
//! letter waits and not the stage.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use chrono::TimeDelta;
use futures_util::future::join_all;
use hosho_schema::{
    db::{Connection, DbError, Pool},
    ids,
    messages::MailStateV1,
    models::mail::{self as ledger, Mail, NewMail, Outcome, Settlement, State},
};
use tokio::sync::{oneshot, watch};
use tracing::{Instrument, info, warn};

use crate::{
    broker::Lane,
    clock::Clock,
    documents::store::DocumentStore,
    fault::{Fault, Reason, chain},
    mail::{self, Attachment, MailMessage, Mailer, SendError, Sender, Step},
    pipeline::stage::Permit,
};

/// How mails are written and sent. Cheap to clone.
#[derive(Clone)]
pub struct MailDelivery {
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
    pub documents: DocumentStore,
    /// The time.
    pub clock: Clock,
    /// Becomes true when the process is asked to stop: then no further mail is begun.
    pub stop: watch::Receiver<bool>,
}

/// A mail that is due, unless the ledger says otherwise.
#[derive(Clone)]
pub struct OutgoingMail {
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
    /// Who is in a hurry.
    pub lane: Lane,
}

/// What became of a mail.
#[derive(Debug)]
pub struct DeliveryResult {
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

/// What became of a mail that was ours to send.
struct Sent {
    verdict: Result<MailStateV1, Fault>,
    entry: Entry,
    /// Why no other mail is to be begun.
    halt: Option<Fault>,
}

/// Where lanes hand in what is to be written: whoever comes while a transaction is under way is part of the next.
#[derive(Default)]
struct LedgerWriter {
    waiting: Mutex<Vec<Request>>,
    /// Whoever writes holds the connection, which stays with the desk for as long as it works.
    busy: tokio::sync::Mutex<Option<Connection>>,
}

/// Lines for the ledger, and the mails to claim with them.
struct Request {
    entries: Vec<Entry>,
    claims: Vec<String>,
    answer: oneshot::Sender<Result<Vec<Mail>, Fault>>,
}

/// What the lanes share.
struct DeliveryBatch {
    desk: LedgerWriter,
    /// The rows as they were before any lane began, by their ids.
    rows: HashMap<String, Mail>,
    /// Those of them whose worker had died.
    orphans: HashSet<String>,
    waiting: Mutex<VecDeque<(usize, OutgoingMail)>>,
    told: Mutex<Vec<Option<DeliveryResult>>>,
    /// Why no lane begins another mail.
    halted: Mutex<Option<Fault>>,
}

impl DeliveryBatch {
    fn tell(&self, place: usize, verdict: Result<MailStateV1, Fault>, unwritten: Option<Entry>) {
        if let Some(told) = lock(&self.told).get_mut(place) {
            *told = Some(DeliveryResult { verdict, unwritten });
        }
    }

    fn take(&self, count: usize) -> Vec<(usize, OutgoingMail)> {
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

impl MailDelivery {
    /// Sends what is due and may be sent, each begun by leave. One answer per mail, in order.
    pub async fn deliver(&self, due: Vec<OutgoingMail>, leave: &Permit) -> Vec<DeliveryResult> {
        let count = due.len();
        let all = |fault: Fault| {
            (0..count).map(|_| DeliveryResult { verdict: Err(fault.clone()), unwritten: None }).collect()
        };
        if let Err(fault) = self.may_begin(leave) {
            return all(fault);
        }
        let (rows, orphans) = match self.prepare(&due).await {
            Ok(prepared) => prepared,
            Err(fault) => return all(fault),
        };
        let connections = if due.iter().all(|due| due.lane == Lane::Bulk) {
            self.connections.div_ceil(2)
        } else {
            self.connections
        };
        let round = Arc::new(DeliveryBatch {
            desk: LedgerWriter::default(),
            rows,
            orphans,
            waiting: Mutex::new(due.into_iter().enumerate().collect()),
            told: Mutex::new((0..count).map(|_| None).collect()),
            halted: Mutex::new(None),
        });
        // Tasks of their own: putting a mail into words for the wire takes as long as its dialogue.
        let lanes = (0..connections.min(count)).map(|_| {
            let (post, round, leave) = (self.clone(), Arc::clone(&round), leave.clone());
            let span = tracing::Span::current();
            tokio::spawn(async move { post.lane(&round, &leave).await }.instrument(span))
        });
        for ended in join_all(lanes).await {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        let halted = lock(&round.halted).take();
        let stopping = || Fault::new(Reason::Stopping, "the process was asked to stop");
        let why = halted.or_else(|| self.may_begin(leave).err()).unwrap_or_else(stopping);
        let told = std::mem::take(&mut *lock(&round.told));
        told.into_iter()
            .map(|told| told.unwrap_or_else(|| DeliveryResult { verdict: Err(why.clone()), unwritten: None }))
            .collect()
    }

    /// One lane: settle the mails before, claim the next, send them.
    async fn lane(&self, round: &DeliveryBatch, leave: &Permit) {
        let take = if self.mailer.is_repeatable() { REPEATABLE } else { 1 };
        let mut before: Vec<(usize, Result<MailStateV1, Fault>, Entry)> = Vec::new();
        loop {
            let next = if self.may_begin(leave).is_err() { Vec::new() } else { round.take(take) };
            if next.is_empty() && before.is_empty() {
                return;
            }
            let entries = before.iter().map(|(_, _, entry)| entry.clone()).collect();
            let claimed =
                self.turn(&round.desk, entries, next.iter().map(|(_, due)| id(&due.mail)).collect()).await;
            let mut claimed: HashMap<String, Mail> = match claimed {
                Ok(claimed) => claimed.into_iter().map(|mail| (mail.id.clone(), mail)).collect(),
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
                let id = id(&due.mail);
                match (claimed.remove(&id), round.rows.get(&id)) {
                    (Some(mail), _) => {
                        let Sent { verdict, entry, halt } = self.send(&mail, &due).await;
                        if let Some(fault) = halt {
                            lock(&round.halted).get_or_insert(fault);
                        }
                        before.push((place, verdict, entry));
                    }
                    (None, Some(row)) => round.tell(place, stands(row, round.orphans.contains(&id)), None),
                    (None, None) => {
                        round.tell(place, Err(Fault::new(Reason::MailClaimed, "the mail has no row")), None)
                    }
                }
            }
        }
    }

    /// Whether a further mail may be begun.
    fn may_begin(&self, leave: &Permit) -> Result<(), Fault> {
        if *self.stop.borrow() {
            return Err(Fault::new(Reason::Stopping, "the process was asked to stop"));
        }
        leave.ask()
    }

    /// Makes rows for mails that have none, in one transaction, and reads how each stands. Those left behind by a worker that died are
    /// told apart.
    async fn prepare(&self, due: &[OutgoingMail]) -> Result<(HashMap<String, Mail>, HashSet<String>), Fault> {
        let (pool, now) = (self.pool.clone(), self.clock.now());
        let orphan_before = now - self.orphan_after;
        let repeatable = self.mailer.is_repeatable();
        let again: Vec<String> = due.iter().filter(|due| due.again).map(|due| id(&due.mail)).collect();
        let mails: Vec<NewMail> = due.iter().map(|due| due.mail.clone()).collect();
        let work = move || {
            pool.get()?.transaction(|db| {
                ledger::insert_new(db, &mails)?;
                ledger::reopen(db, &again.iter().map(String::as_str).collect::<Vec<_>>())?;
                let certificates: Vec<&str> = mails.iter().map(|mail| mail.certificate_id.as_str()).collect();
                let rows: HashMap<String, Mail> = ledger::by_certificates(db, &certificates)?
                    .into_iter()
                    .flatten()
                    .map(|mail| (mail.id.clone(), mail))
                    .collect();
                let is_orphan = |mail: &&Mail| {
                    mail.state == State::Sending
                        && (repeatable || mail.claimed_at.is_some_and(|at| at < orphan_before))
                };
                let wanted: HashSet<String> = mails.iter().map(id).collect();
                let found = rows.values().filter(|mail| wanted.contains(&mail.id)).filter(is_orphan);
                let orphans: HashSet<String> = found.map(|mail| mail.id.clone()).collect();
                let ids: Vec<&str> = orphans.iter().map(String::as_str).collect();
                if repeatable {
                    ledger::release(db, &ids)?;
                } else {
                    for mail in ledger::adopt_orphans(db, &ids, now)? {
                        warn!(
                            mail.id = mail.id,
                            "A worker died while this mail was in flight; it is unknown whether it was sent"
                        );
                    }
                }
                Ok::<_, Fault>((rows, orphans))
            })
        };
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| Err(Fault::from_error(Reason::DatabaseUnavailable, &error)))
    }

    /// Writes lines into the ledger and claims mails, in one transaction with what other lanes have handed in meanwhile. Returns those
    /// that are now the caller's to send.
    async fn turn(
        &self,
        desk: &LedgerWriter,
        entries: Vec<Entry>,
        claims: Vec<String>,
    ) -> Result<Vec<Mail>, Fault> {
        let (answer, mut told) = oneshot::channel();
        lock(&desk.waiting).push(Request { entries, claims, answer });
        let mut busy = desk.busy.lock().await;
        if let Ok(answer) = told.try_recv() {
            return answer;
        }
        let requests = std::mem::take(&mut *lock(&desk.waiting));
        let (pool, now) = (self.pool.clone(), self.clock.now());
        let unknown_before = now - self.resend_after;
        let entries: Vec<Entry> = requests.iter().flat_map(|request| request.entries.clone()).collect();
        let claims: Vec<String> = requests.iter().flat_map(|request| request.claims.clone()).collect();
        let kept = busy.take();
        let work = move || {
            let mut db = kept.map_or_else(|| pool.get(), Ok)?;
            let claimed = db.transaction(|db| {
                write(db, &entries, now)?;
                let claims: Vec<&str> = claims.iter().map(String::as_str).collect();
                Ok::<_, Fault>(ledger::claim(db, &claims, now, unknown_before)?)
            })?;
            Ok((claimed, db))
        };
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.unwrap_or_else(|error| Err(Fault::from_error(Reason::DatabaseUnavailable, &error)));
        let done = done.map(|(claimed, db)| {
            *busy = Some(db);
            claimed
        });
        let mut done = done.map(|claimed| {
            claimed.into_iter().map(|mail| (mail.id.clone(), mail)).collect::<HashMap<_, _>>()
        });
        for request in requests {
            let ours = match &mut done {
                Ok(claimed) => Ok(request.claims.iter().filter_map(|id| claimed.remove(id)).collect()),
                Err(fault) => Err(fault.clone()),
            };
            // Whoever asked waits for it, or is this very lane.
            let _ = request.answer.send(ours);
        }
        drop(busy);
        told.try_recv().unwrap_or_else(|_| Err(Fault::new(Reason::MailClaimed, "the ledger gave no answer")))
    }

    async fn send(&self, mail: &Mail, due: &OutgoingMail) -> Sent {
        let not_sent = |fault: Fault| {
            let for_all = matches!(fault.reason, Reason::MailUnavailable | Reason::DocumentsUnavailable);
            Sent {
                halt: for_all.then(|| fault.clone()),
                verdict: Err(fault),
                entry: Entry::Release(mail.id.clone()),
            }
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
            (mail::Outcome::Permanent, SendError::Unsendable(_)) => {
                not_sent(Fault::from_error(Reason::MailUnbuildable, &error))
            }
            (mail::Outcome::Permanent, _) => {
                let reply = error.reply().map(ToString::to_string);
                settled(Err(Fault::from_error(Reason::MailRefused, &error)), Outcome::Rejected, reply)
            }
            (mail::Outcome::Transient, _) => not_sent(Fault::from_error(Reason::MailDeferred, &error)),
            (
                mail::Outcome::Unavailable,
                SendError::Unavailable { step: Step::Recipient | Step::Data | Step::FinalDot, .. },
            ) if self.mailer.probe().await.is_ok() => {
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
            true if self.documents.probe().await.is_err() => {
                return Err(Fault::from_error(Reason::DocumentsUnavailable, &error));
            }
            true => match self.documents.get(location).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => error,
            },
        };
        Err(Fault::from_error(Reason::DocumentMissing, &error))
    }

    async fn letter(&self, mail: &Mail, due: &OutgoingMail) -> Result<MailMessage, Fault> {
        let mut attachments = Vec::new();
        if let Some(location) = due.notice.as_deref().filter(|_| self.attach_notice) {
            let bytes = self.notice(location).await?;
            attachments.push(Attachment {
                file_name: format!("{}_notice.pdf", due.number),
                media_type: "application/pdf".to_owned(),
                bytes,
            });
        }
        Ok(MailMessage {
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

/// The identifier of a mail.
fn id(mail: &NewMail) -> String {
    ids::mail(&mail.certificate_id, &mail.recipient)
}

/// What the ledger says of a mail that could not be claimed.
fn stands(mail: &Mail, orphan: bool) -> Result<MailStateV1, Fault> {
    match mail.state {
        State::Accepted => Ok(MailStateV1::Accepted),
        State::Unknown => Ok(MailStateV1::Unknown),
        State::Sending if orphan => Ok(MailStateV1::Unknown),
        State::Rejected => Err(Fault::new(Reason::MailRefused, "the mail server refused this mail before")),
        State::Pending | State::Sending => {
            let text = "a worker stopped while it was sending this mail, or is still sending it";
            Err(Fault::new(Reason::MailClaimed, text))
        }
    }
}

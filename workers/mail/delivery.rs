//! Sends mails; a ledger row for each records whether the mail server has it.
//!
//! Each row holds a fixed Message-ID, date and text:
//!
//! - it becomes `sending` by update-where, committed before the first byte, so two workers never send one
//!   mail at once;
//! - a failure before the final dot makes it `pending` again: it was not sent;
//! - a failure after it makes it `unknown`; later it is sent once more under the same Message-ID, then an
//!   operator handles it;
//! - a row that is `sending` for too long belongs to a worker that was killed with the mail in flight:
//!   `unknown` as well. In a folder a mail is a file that a second write replaces, so there it is written
//!   again.
//!
//! Several lanes send at the same time. Each claims its next mail in the transaction that settles the one
//! before, so a killed worker leaves at most one mail per lane in doubt. Rejected: claiming a whole batch at
//! once, which left a hundred mails unknown that had never been sent. Rows are inserted for the whole batch
//! at once, and lanes that settle a mail while the ledger is being written share the next transaction
//! (`LedgerWriter`): a transaction for each mail took 3.5 ms of it. Mails of the bulk lane use half of the
//! connections, so that a live one finds a free connection.
//!
//! Each mail is begun with a [`Permit`]: pausing a stage waits for the mails in flight, not for the batch. A
//! mail server that does not answer after a complete mail ends the batch, because each further mail would be
//! in doubt too.
//!
//! A mail server that refuses one mail in a way that sounds general (421 to one recipient) is probed: if the
//! probe succeeds, only that mail is retried later, and the stage continues.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use chrono::TimeDelta;
use futures_util::future::join_all;
use hosho_schema::{
    db::{Connection, DbError},
    messages::MailStateV1,
    models::{
        self,
        document::Document,
        mail::{Mail, Outcome, Settlement, State},
    },
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, warn};
use zeroize::Zeroizing;

use crate::{
    broker::Lane,
    clock::Clock,
    db::Db,
    documents::store::{Access, DocumentStore, StoreError},
    fault::{Fault, Reason, chain},
    mail::{self, Attachment, MailMessage, Mailer, SendError, Sender, Step},
    permit::Permit,
    text::local,
};

/// The mail server, the ledger and the settings of both. Cheap to clone.
#[derive(Clone)]
pub struct MailDelivery {
    pub mailer: Mailer,
    pub from: Sender,
    pub attach_notice: bool,
    /// Age after which a row `sending` belongs to a killed worker.
    pub orphan_after: TimeDelta,
    /// Age after which an `unknown` mail is sent once more.
    pub resend_after: TimeDelta,
    /// Mails sent at the same time.
    pub connections: usize,
    pub db: Db,
    pub documents: DocumentStore,
    pub clock: Clock,
    /// Once cancelled, no further mail is begun.
    pub stop: CancellationToken,
}

/// A mail that is due, unless its ledger row forbids it.
#[derive(Clone)]
pub struct OutgoingMail {
    /// For the ledger; an existing row wins.
    pub mail: Mail,
    pub notice: Option<Document>,
    pub number: String,
    pub trace_id: String,
    /// Whether a refused mail is sent again, because an operator replays it.
    pub again: bool,
    pub lane: Lane,
}

#[derive(Debug)]
pub struct DeliveryResult {
    /// The state of the mail, or why it was not sent.
    pub verdict: Result<MailStateV1, Fault>,
    /// The ledger entry that failed to commit: [`write()`] it with the next rows.
    pub unwritten: Option<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The mail server has answered, or may have taken the mail.
    Settle(Settlement),
    /// Certainly not sent: the mail with this id is `pending` again.
    Release(String),
}

pub fn write(db: &mut Connection, entries: &[Entry], at: chrono::NaiveDateTime) -> Result<(), DbError> {
    let mut settlements = Vec::new();
    let mut released = Vec::new();
    for entry in entries {
        match entry {
            Entry::Settle(settlement) => settlements.push(settlement.clone()),
            Entry::Release(id) => released.push(id.as_str()),
        }
    }
    models::mail::settle(db, &settlements, at)?;
    models::mail::release(db, &released)?;
    Ok(())
}

/// Mails claimed in one transaction if sending twice is harmless.
/// Then the commit is the only cost.
const REPEATABLE: usize = 64;

struct Sent {
    verdict: Result<MailStateV1, Fault>,
    entry: Entry,
    /// Why no further mail is begun.
    halt: Option<Fault>,
}

struct Unsettled {
    place: usize,
    verdict: Result<MailStateV1, Fault>,
    entry: Entry,
}

/// Collects ledger changes.
/// Requests that arrive during a transaction share the next one.
#[derive(Default)]
struct LedgerWriter {
    requests: Mutex<Vec<Request>>,
    /// Locked while writing. Keeps the connection from one transaction to the next.
    connection: tokio::sync::Mutex<Option<Connection>>,
}

struct Request {
    entries: Vec<Entry>,
    claims: Vec<String>,
    answer: oneshot::Sender<Result<Vec<Mail>, Fault>>,
}

/// The ledger rows of a batch before any mail is claimed.
struct Prepared {
    rows: HashMap<String, Mail>,
    /// Ids of rows whose worker was killed.
    orphans: HashSet<String>,
}

struct DeliveryBatch {
    ledger: LedgerWriter,
    prepared: Prepared,
    /// Each with its place in the batch.
    due: Mutex<VecDeque<(usize, OutgoingMail)>>,
    results: Mutex<Vec<Option<DeliveryResult>>>,
    /// Why no lane begins another mail.
    halted: Mutex<Option<Fault>>,
}

impl DeliveryBatch {
    fn set_result(&self, place: usize, verdict: Result<MailStateV1, Fault>, unwritten: Option<Entry>) {
        if let Some(result) = lock(&self.results).get_mut(place) {
            *result = Some(DeliveryResult { verdict, unwritten });
        }
    }

    fn take(&self, count: usize) -> Vec<(usize, OutgoingMail)> {
        if lock(&self.halted).is_some() {
            return Vec::new();
        }
        let mut due = lock(&self.due);
        let count = count.min(due.len());
        due.drain(..count).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MailDelivery {
    /// Sends the mails that are due, each with a permit. One result per mail, in order.
    pub async fn deliver(&self, due: Vec<OutgoingMail>, permit: &Permit) -> Vec<DeliveryResult> {
        let count = due.len();
        let failed = |fault: &Fault| DeliveryResult { verdict: Err(fault.clone()), unwritten: None };
        let prepared = match self.check(permit) {
            Ok(()) => self.prepare(&due).await,
            Err(fault) => Err(fault),
        };
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(fault) => return (0..count).map(|_| failed(&fault)).collect(),
        };
        let is_bulk = due.iter().all(|due| due.lane == Lane::Bulk);
        let connections = if is_bulk { self.connections.div_ceil(2) } else { self.connections };
        let due = due.into_iter().enumerate();
        let batch = Arc::new(DeliveryBatch {
            ledger: LedgerWriter::default(),
            prepared,
            due: Mutex::new(due.collect()),
            results: Mutex::new((0..count).map(|_| None).collect()),
            halted: Mutex::new(None),
        });
        // A task for each lane: encoding a mail takes as long as its dialogue.
        let lanes = (0..connections.min(count)).map(|_| {
            let (delivery, batch, permit) = (self.clone(), Arc::clone(&batch), permit.clone());
            let span = tracing::Span::current();
            tokio::spawn(async move { delivery.run_lane(&batch, &permit).await }.instrument(span))
        });
        for ended in join_all(lanes).await {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        let halted = lock(&batch.halted).take();
        let not_begun = halted.or_else(|| self.check(permit).err()).unwrap_or_else(stopping);
        let results = std::mem::take(&mut *lock(&batch.results));
        results.into_iter().map(|result| result.unwrap_or_else(|| failed(&not_begun))).collect()
    }

    /// Settles the mails before, claims the next and sends them, until none is due.
    async fn run_lane(&self, batch: &DeliveryBatch, permit: &Permit) {
        let take = if self.mailer.is_repeatable() { REPEATABLE } else { 1 };
        let mut unsettled: Vec<Unsettled> = Vec::new();
        loop {
            let next = if self.check(permit).is_err() { Vec::new() } else { batch.take(take) };
            if next.is_empty() && unsettled.is_empty() {
                return;
            }
            let entries = unsettled.iter().map(|sent| sent.entry.clone()).collect();
            let claims = next.iter().map(|(_, due)| due.mail.id.clone()).collect();
            let mut claimed: HashMap<String, Mail> =
                match self.settle_and_claim(&batch.ledger, entries, claims).await {
                    Ok(claimed) => claimed.into_iter().map(|mail| (mail.id.clone(), mail)).collect(),
                    Err(fault) => {
                        // The entries of sent mails are returned to the caller; nothing more is begun.
                        for Unsettled { place, verdict, entry } in unsettled {
                            batch.set_result(place, verdict, Some(entry));
                        }
                        for (place, _) in next {
                            batch.set_result(place, Err(fault.clone()), None);
                        }
                        lock(&batch.halted).get_or_insert(fault);
                        return;
                    }
                };
            for Unsettled { place, verdict, .. } in unsettled.drain(..) {
                batch.set_result(place, verdict, None);
            }
            for (place, due) in next {
                let id = due.mail.id.clone();
                let Prepared { rows, orphans } = &batch.prepared;
                match (claimed.remove(&id), rows.get(&id)) {
                    (Some(mail), _) => {
                        let Sent { verdict, entry, halt } = self.send(&mail, &due).await;
                        if let Some(fault) = halt {
                            lock(&batch.halted).get_or_insert(fault);
                        }
                        unsettled.push(Unsettled { place, verdict, entry });
                    }
                    (None, Some(row)) => {
                        let state = state_of(row, orphans.contains(&id), self.orphan_after);
                        batch.set_result(place, state, None);
                    }
                    (None, None) => {
                        let fault = Fault::new(Reason::MailClaimed, "the mail has no row");
                        batch.set_result(place, Err(fault), None);
                    }
                }
            }
        }
    }

    fn check(&self, permit: &Permit) -> Result<(), Fault> {
        if self.stop.is_cancelled() {
            return Err(stopping());
        }
        permit.check()
    }

    /// Inserts missing rows, reads all states, and settles rows of killed workers.
    /// Uses one transaction.
    async fn prepare(&self, due: &[OutgoingMail]) -> Result<Prepared, Fault> {
        let now = self.clock.now();
        let orphan_before = now - self.orphan_after;
        let repeatable = self.mailer.is_repeatable();
        let again: Vec<String> = due.iter().filter(|due| due.again).map(|due| due.mail.id.clone()).collect();
        let mails: Vec<Mail> = due.iter().map(|due| due.mail.clone()).collect();
        let work = move |db: &mut Connection| {
            models::mail::insert_new(db, &mails)?;
            models::mail::reopen(db, &again.iter().map(String::as_str).collect::<Vec<_>>())?;
            let certificates: Vec<&str> = mails.iter().map(|mail| mail.revision_id.as_str()).collect();
            let rows: HashMap<String, Mail> = models::mail::by_revisions(db, &certificates)?
                .into_iter()
                .flatten()
                .map(|mail| (mail.id.clone(), mail))
                .collect();
            let is_orphan = |mail: &&Mail| {
                mail.state == State::Sending
                    && (repeatable || mail.claimed_at.is_some_and(|at| at < orphan_before))
            };
            let wanted: HashSet<&str> = mails.iter().map(|mail| mail.id.as_str()).collect();
            let found = rows.values().filter(|mail| wanted.contains(mail.id.as_str())).filter(is_orphan);
            let orphans: HashSet<String> = found.map(|mail| mail.id.clone()).collect();
            let ids: Vec<&str> = orphans.iter().map(String::as_str).collect();
            if repeatable {
                models::mail::release(db, &ids)?;
            } else {
                for mail in models::mail::adopt_orphans(db, &ids, now)? {
                    warn!(mail.id = mail.id, "Worker killed with the mail in flight; delivery unknown");
                }
            }
            Ok(Prepared { rows, orphans })
        };
        self.db.transaction(work).await
    }

    /// Writes entries and claims mails; returns the mails that this lane may send.
    /// Requests of other lanes that arrived meanwhile share the transaction.
    async fn settle_and_claim(
        &self,
        ledger: &LedgerWriter,
        entries: Vec<Entry>,
        claims: Vec<String>,
    ) -> Result<Vec<Mail>, Fault> {
        let (sender, mut answer) = oneshot::channel();
        lock(&ledger.requests).push(Request { entries, claims, answer: sender });
        let mut connection = ledger.connection.lock().await;
        if let Ok(answer) = answer.try_recv() {
            return answer;
        }
        let requests = std::mem::take(&mut *lock(&ledger.requests));
        let (pool, now) = (self.db.pool().clone(), self.clock.now());
        let unknown_before = now - self.resend_after;
        let entries: Vec<Entry> = requests.iter().flat_map(|request| request.entries.clone()).collect();
        let claims: Vec<String> = requests.iter().flat_map(|request| request.claims.clone()).collect();
        let kept = connection.take();
        let work = move || {
            let mut db = kept.map_or_else(|| pool.get(), Ok)?;
            let claimed = db.transaction(|db| {
                write(db, &entries, now)?;
                let claims: Vec<&str> = claims.iter().map(String::as_str).collect();
                models::mail::claim(db, &claims, now, unknown_before)
            })?;
            Ok::<_, DbError>((claimed, db))
        };
        let done = tokio::task::spawn_blocking(work).await;
        let mut claimed = match done {
            Ok(Ok((claimed, db))) => {
                *connection = Some(db);
                Ok(claimed.into_iter().map(|mail| (mail.id.clone(), mail)).collect::<HashMap<_, _>>())
            }
            Ok(Err(error)) => Err(Fault::from(error)),
            Err(error) => Err(Fault::from_error(Reason::DatabaseUnavailable, &error)),
        };
        for request in requests {
            let of_lane = match &mut claimed {
                Ok(claimed) => Ok(request.claims.iter().filter_map(|id| claimed.remove(id)).collect()),
                Err(fault) => Err(fault.clone()),
            };
            // Each lane waits for its answer, this one included.
            let _ = request.answer.send(of_lane);
        }
        drop(connection);
        answer
            .try_recv()
            .unwrap_or_else(|_| Err(Fault::new(Reason::MailClaimed, "the ledger gave no answer")))
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
        let message = match self.message(mail, due).await {
            Ok(message) => message,
            Err(fault) => return not_sent(fault),
        };
        let error = match self.mailer.send(&message).await {
            Ok(reply) => {
                info!(
                    guarantee.number = due.number,
                    mail.message_id = mail.message_id,
                    mail.reply = %reply,
                    trace.id = due.trace_id,
                    "Mail accepted"
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
                    "Mail delivery unknown"
                );
                // A server that does not answer this mail would not answer the next, and each would be in
                // doubt.
                let halt = error.is_silence().then(|| Fault::from_error(Reason::MailUnavailable, &error));
                Sent { halt, ..settled(Ok(MailStateV1::Unknown), Outcome::Unknown, None) }
            }
            // Our fault, not the recipient's: it is sent once that is fixed.
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

    /// If reading fails but the store answers a probe, reads once more.
    /// The store may have recovered in between.
    async fn notice(&self, notice: &Document, mail: &Mail) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let missing = |error: StoreError| Fault::from_error(Reason::DocumentMissing, &error);
        let access = Access { reader: "dispatch", reason: &format!("attached to the mail {}", mail.id) };
        let error = match self.documents.read_notice(notice, access).await {
            Err(error) if error.is_unavailable() => error,
            read => return read.map_err(missing),
        };
        if self.documents.probe().await.is_err() {
            return Err(Fault::from_error(Reason::DocumentsUnavailable, &error));
        }
        self.documents.read_notice(notice, access).await.map_err(missing)
    }

    async fn message(&self, mail: &Mail, due: &OutgoingMail) -> Result<MailMessage, Fault> {
        let mut attachments = Vec::new();
        if let Some(notice) = due.notice.as_ref().filter(|_| self.attach_notice) {
            let bytes = self.notice(notice, mail).await?.to_vec();
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

fn stopping() -> Fault {
    Fault::new(Reason::Stopping, "the process was requested to stop")
}

/// The ledger state of a mail that could not be claimed.
fn state_of(mail: &Mail, orphan: bool, orphan_after: TimeDelta) -> Result<MailStateV1, Fault> {
    match mail.state {
        State::Accepted => Ok(MailStateV1::Accepted),
        State::Unknown => Ok(MailStateV1::Unknown),
        State::Sending if orphan => Ok(MailStateV1::Unknown),
        State::Rejected => Err(Fault::new(Reason::MailRefused, "the mail server refused this mail before")),
        State::Pending | State::Sending => {
            let text = mail.claimed_at.map_or_else(
                || "another worker has claimed this mail".to_owned(),
                |at| {
                    format!(
                        "a worker has been sending this mail since {} JST, or stopped; it can be replayed after {} JST",
                        local(at),
                        local(at + orphan_after)
                    )
                },
            );
            Err(Fault::new(Reason::MailClaimed, text))
        }
    }
}

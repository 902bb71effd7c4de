//! dispatch: mails a finished certificate, and publishes its result event.
//!
//! In: [`DispatchV1`]. Out: the event `guarantee.issued`, or `guarantee.changed` for a revision made by a
//! change. A mail goes out for an electronic certificate whose applicant wants one, unless a later revision
//! has replaced it.
//!
//! Idempotent, as far as SMTP allows: the [mail ledger](crate::mail::delivery) has one row per mail and
//! records whether the mail server has it. An `unknown` mail does not delay the guarantee: its event says so,
//! and the [schedule](crate::jobs) sends it once more. Neither does a refused one: the event says so, and the
//! refusal is a dead letter; a replay sends the mail again. An unavailable mail server costs no attempt: the
//! runner holds the batch and waits.

use std::{collections::HashMap, sync::Arc};

use hosho_schema::{
    db::Connection,
    ids,
    messages::{DispatchV1, GuaranteeChangedV1, GuaranteeIssuedV1, MailStateV1, MediumV1, StageMessage as _},
    models::{
        application::{self, Application},
        change::{self, Change},
        document::{self, Document},
        guarantee::Guarantee,
        mail::{self, Mail, State},
        revision::{self, Revision},
    },
    snapshots,
};

use crate::{
    app::App,
    clock::Clock,
    documents::{issue_mail::MailContext, templates::Templates},
    fault::{Fault, Reason, Result},
    mail::delivery::{self, DeliveryResult, MailDelivery, OutgoingMail},
    permit::Permit,
    pipeline::{
        decode::decode,
        stage::{Item, Stage, Verdict},
    },
    telemetry::Traceparent,
};

pub const NAME: &str = DispatchV1::STAGE;

pub struct Dispatch {
    clock: Clock,
    templates: Arc<Templates>,
    mail_delivery: MailDelivery,
}

pub struct Facts {
    application: Application,
    guarantee: Guarantee,
    revision: Revision,
    /// The change that made it; none for 新規.
    change: Option<Change>,
    /// Whether a later revision replaces or reverses it.
    replaced: bool,
    documents: Vec<Document>,
    mails: Vec<Mail>,
}

/// The event of a revision, with the mail state to be filled in.
enum Event {
    Issued(GuaranteeIssuedV1),
    Changed(GuaranteeChangedV1),
}

pub struct Outcome {
    event: Event,
    revision_id: String,
    mail: Mailing,
}

enum Mailing {
    NotWanted,
    /// In an earlier run.
    Accepted,
    Due(Box<OutgoingMail>),
    Delivered(DeliveryResult),
}

impl Dispatch {
    pub(super) fn new(app: &App) -> Self {
        Self {
            clock: app.clock.clone(),
            templates: Arc::clone(&app.templates),
            mail_delivery: app.mail_delivery.clone(),
        }
    }
}

impl Stage for Dispatch {
    const NAME: &'static str = NAME;
    type Job = DispatchV1;
    type Facts = Facts;
    type Outcome = Outcome;

    fn decode(&self, payload: &[u8]) -> Result<DispatchV1> {
        decode(payload)
    }

    fn load(&self, db: &mut Connection, items: &[&Item<DispatchV1>]) -> Result<Vec<Result<Facts, Fault>>> {
        let keys: Vec<(&str, i64)> =
            items.iter().map(|item| (item.job.guarantee.as_str(), item.job.revision)).collect();
        let found = revision::by_keys(db, &keys)?;
        let revisions = || found.iter().flatten();
        let ids: Vec<&str> = revisions().map(|(revision, _)| revision.id.as_str()).collect();
        let documents: HashMap<_, _> = ids.iter().zip(document::by_revisions(db, &ids)?).collect();
        let mails: HashMap<_, _> = ids.iter().zip(mail::by_revisions(db, &ids)?).collect();
        let of: Vec<&str> = revisions().map(|(_, guarantee)| guarantee.application_id.as_str()).collect();
        let applications: HashMap<String, Application> =
            application::by_ids(db, &of)?.into_iter().flatten().map(|row| (row.id.clone(), row)).collect();
        let by_change = revisions().filter(|(revision, _)| revision.change_id.is_some());
        let of: Vec<&str> = by_change.map(|(revision, _)| revision.guarantee_id.as_str()).collect();
        let targets = revision::targets(db, &of)?;
        let of: Vec<&str> = revisions().filter_map(|(revision, _)| revision.change_id.as_deref()).collect();
        let changes: HashMap<String, Change> =
            change::by_ids(db, &of)?.into_iter().flatten().map(|row| (row.id.clone(), row)).collect();
        let facts = |item: &Item<DispatchV1>, found: &Option<(Revision, Guarantee)>| {
            let (revision, guarantee) = found
                .clone()
                .ok_or_else(|| Fault::missing("certificate of guarantee", &item.job.guarantee))?;
            let application = applications
                .get(&guarantee.application_id)
                .cloned()
                .ok_or_else(|| Fault::missing("application", &guarantee.application_id))?;
            let change = revision
                .change_id
                .as_ref()
                .map(|id| changes.get(id).cloned().ok_or_else(|| Fault::missing("change", id)))
                .transpose()?;
            Ok(Facts {
                application,
                change,
                replaced: targets.contains(&(guarantee.id.clone(), revision.revision)),
                documents: documents.get(&revision.id.as_str()).cloned().unwrap_or_default(),
                mails: mails.get(&revision.id.as_str()).cloned().unwrap_or_default(),
                revision,
                guarantee,
            })
        };
        Ok(items.iter().zip(&found).map(|(item, found)| facts(item, found)).collect())
    }

    fn decide(&self, item: &Item<DispatchV1>, facts: Facts) -> Result<Outcome> {
        let revision_id = facts.revision.id.clone();
        let arrived_at = facts
            .revision
            .arrived_at
            .ok_or_else(|| Fault::missing("arrival of certificate", &revision_id))?
            .and_utc();
        let drawn = match facts.revision.kind {
            revision::Kind::New | revision::Kind::Amendment | revision::Kind::Correction => {
                Some(document::Kind::Certificate)
            }
            revision::Kind::Cancellation => Some(document::Kind::Cancellation),
            revision::Kind::Reversal => None,
        };
        let sha256 = |kind| -> Result<String> {
            let document = facts.documents.iter().find(|document| document.kind == kind);
            let document = document.ok_or_else(|| Fault::missing("document of certificate", &revision_id))?;
            Ok(document.sha256.clone())
        };
        let document_sha256 = drawn.map(sha256).transpose()?;
        // The trace of the application, also if recovery or a re-send published this message.
        let trace = facts.application.traceparent.as_deref().and_then(Traceparent::parse);
        let trace = trace.unwrap_or_else(|| item.trace.clone());
        let mail = self.mailing(&facts, trace.trace_id().to_owned(), item)?;
        let event = match facts.change {
            None => Event::Issued(GuaranteeIssuedV1 {
                source: facts.application.source,
                id: facts.application.upstream_id,
                line: facts.guarantee.line,
                product: facts.guarantee.product,
                medium: facts.guarantee.medium,
                number: facts.guarantee.number,
                revision: 0,
                arrived_at,
                certificate_sha256: document_sha256.unwrap_or_default(),
                mail: MailStateV1::NotWanted,
            }),
            Some(change) => {
                let Effect { revision, ended_on } = effect(&facts.revision)?;
                Event::Changed(GuaranteeChangedV1 {
                    source: change.source,
                    id: change.upstream_id,
                    kind: change.kind,
                    number: facts.guarantee.number,
                    version: change.version.unwrap_or_default(),
                    revision,
                    arrived_at,
                    document_sha256,
                    ended_on,
                    mail: MailStateV1::NotWanted,
                })
            }
        };
        Ok(Outcome { event, revision_id, mail })
    }

    async fn act(&self, mut outcomes: Vec<Outcome>, permit: &Permit) -> Vec<Result<Outcome>> {
        let due = outcomes.iter().enumerate().filter_map(|(place, outcome)| match &outcome.mail {
            Mailing::Due(mail) => Some((place, mail.as_ref().clone())),
            _ => None,
        });
        let (places, due): (Vec<usize>, Vec<OutgoingMail>) = due.unzip();
        for (place, result) in places.into_iter().zip(self.mail_delivery.deliver(due, permit).await) {
            outcomes[place].mail = Mailing::Delivered(result);
        }
        outcomes.into_iter().map(Ok).collect()
    }

    fn must_record(&self, outcome: &Outcome) -> bool {
        matches!(&outcome.mail, Mailing::Delivered(DeliveryResult { unwritten: Some(_), .. }))
    }

    fn record(&self, db: &mut Connection, items: &[(&Item<DispatchV1>, Outcome)]) -> Result<Vec<Verdict>> {
        let now = self.clock.now();
        let (mut entries, mut completed) = (Vec::new(), Vec::new());
        let mut verdicts = Vec::with_capacity(items.len());
        for (item, outcome) in items {
            let state = match &outcome.mail {
                Mailing::NotWanted => Ok(MailStateV1::NotWanted),
                Mailing::Accepted => Ok(MailStateV1::Accepted),
                Mailing::Due(_) => Err(Fault::new(Reason::MailClaimed, "the mail was not delivered")),
                Mailing::Delivered(result) => {
                    entries.extend(result.unwritten.clone());
                    result.verdict.clone()
                }
            };
            let mut complete = |mail: MailStateV1| {
                completed.push(outcome.revision_id.as_str());
                let key = format!("{}:{}:{mail:?}", item.job.guarantee, item.job.revision);
                vec![match &outcome.event {
                    Event::Issued(event) => item.event(&key, &GuaranteeIssuedV1 { mail, ..event.clone() }),
                    Event::Changed(event) => item.event(&key, &GuaranteeChangedV1 { mail, ..event.clone() }),
                }]
            };
            verdicts.push(match state {
                // The ledger holds it; the schedule sends it again.
                Ok(mail @ MailStateV1::Unknown) => {
                    let text = "the mail server may or may not have taken the mail";
                    Verdict::InDoubt { fault: Fault::new(Reason::MailUnknown, text), publish: complete(mail) }
                }
                Ok(mail) => Verdict::done(complete(mail)),
                // The guarantee is issued all the same; an operator handles the refusal.
                Err(fault) if fault.reason == Reason::MailRefused => {
                    Verdict::Failed { fault, publish: complete(MailStateV1::Refused) }
                }
                Err(fault) => fault.into(),
            });
        }
        delivery::write(db, &entries, now)?;
        revision::set_completed(db, &completed, now)?;
        Ok(verdicts)
    }
}

/// The effect of a revision made by a change.
struct Effect {
    revision: i64,
    /// 解約日 of a cancellation.
    ended_on: Option<String>,
}

fn effect(revision: &Revision) -> Result<Effect> {
    let read = |error| Fault::unreadable("certificate", &error);
    let (revision, ended_on) = match revision.kind {
        revision::Kind::New | revision::Kind::Amendment | revision::Kind::Correction => {
            (snapshots::read::<snapshots::Certificate>(&revision.content).map_err(read)?.revision, None)
        }
        revision::Kind::Reversal => {
            (snapshots::read::<snapshots::Reversal>(&revision.content).map_err(read)?.revision, None)
        }
        revision::Kind::Cancellation => {
            let content: snapshots::Cancellation = snapshots::read(&revision.content).map_err(read)?;
            (content.certificate.revision, Some(content.cancelled_on.to_string()))
        }
    };
    Ok(Effect { revision, ended_on })
}

impl Dispatch {
    /// The mail to send, if one is due. An existing row of the ledger wins over it.
    fn mailing<J>(&self, facts: &Facts, trace_id: String, item: &Item<J>) -> Result<Mailing> {
        let Facts { application, guarantee, revision, documents, mails, .. } = facts;
        if facts.replaced || !revision.kind.is_certificate() {
            return Ok(Mailing::NotWanted);
        }
        let snapshot = application
            .snapshot
            .as_deref()
            .ok_or_else(|| Fault::missing("accepted application", &application.id))?;
        let snapshot: snapshots::Application =
            snapshots::read(snapshot).map_err(|error| Fault::unreadable("application", &error))?;
        let wanted = snapshot.mail_address.filter(|_| guarantee.medium == MediumV1::Electronic);
        let Some(recipient) = wanted else { return Ok(Mailing::NotWanted) };
        if mails.iter().any(|mail| mail.recipient == recipient && mail.state == State::Accepted) {
            return Ok(Mailing::Accepted);
        }
        let issued: snapshots::Certificate =
            snapshots::read(&revision.content).map_err(|error| Fault::unreadable("certificate", &error))?;
        let values = MailContext::new(&issued, self.mail_delivery.attach_notice);
        let render = |name: &str| {
            self.templates
                .render(name, &values)
                .map_err(|error| Fault::from_error(Reason::MailUnbuildable, &error))
        };
        let domain = self.mail_delivery.from.address.expose().rsplit('@').next().unwrap_or_default();
        let id = ids::mail(&revision.id, &recipient);
        let mail = Mail {
            message_id: format!("{id}@{domain}"),
            id,
            revision_id: revision.id.clone(),
            recipient,
            date: revision.arrived_at.unwrap_or(revision.drawn_at),
            subject: render("mail/issued/subject")?.trim().to_owned(),
            text_body: render("mail/issued/body.txt")?,
            html_body: render("mail/issued/body.html")?,
            state: State::Pending,
            attempts: 0,
            reply: None,
            claimed_at: None,
            settled_at: None,
            created_at: self.clock.now(),
        };
        let notice = documents.iter().find(|document| document.kind == document::Kind::Notice);
        Ok(Mailing::Due(Box::new(OutgoingMail {
            mail,
            notice: notice.cloned(),
            number: guarantee.number.clone(),
            trace_id,
            again: item.replayed,
            lane: item.lane,
        })))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufStream},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::{
        broker::Lane,
        mail::{Mailer, Security, SmtpSettings},
        stages::harness::{Harness, event, example, paper},
    };

    #[tokio::test]
    async fn sends_one_mail_but_repeats_the_event() {
        let harness = Harness::new();
        let stage = Dispatch::new(&harness.app);
        let jobs = harness.up_to(NAME, &example()).await;
        let first = harness.run(&stage, &jobs).await;
        let issued: GuaranteeIssuedV1 = event(first[0].as_ref().unwrap());
        assert_eq!((issued.mail, issued.number.as_str()), (MailStateV1::Accepted, "31075-00001M"));
        let written = harness.files("mail");
        assert_eq!((written, harness.rows()["mail"]), (2, 2));
        assert_eq!(first, harness.run(&stage, &jobs).await);
        assert_eq!((harness.files("mail"), harness.rows()["mail"]), (2, 2));
    }

    #[tokio::test]
    async fn sends_one_mail_for_a_duplicate_message() {
        let harness = Harness::new();
        let job = harness.up_to(NAME, &example()).await.remove(0);
        let verdicts = harness.run(&Dispatch::new(&harness.app), &[job.clone(), job]).await;
        assert_eq!(verdicts.iter().filter(|verdict| verdict.is_ok()).count(), 1);
        assert_eq!(verdicts.into_iter().find_map(Result::err).unwrap().reason, Reason::MailClaimed);
        assert_eq!(harness.files("mail"), 1);
    }

    #[tokio::test]
    async fn sends_no_mail_for_paper() {
        let harness = Harness::new();
        let jobs = harness.up_to(NAME, &paper()).await;
        let issued: GuaranteeIssuedV1 =
            event(&harness.run_one(&Dispatch::new(&harness.app), &jobs[0]).await.unwrap());
        assert_eq!(issued.mail, MailStateV1::NotWanted);
        assert_eq!(harness.files("mail"), 0);
    }

    #[tokio::test]
    async fn unbuildable_mail_is_not_recorded_as_refused() {
        let mut harness = Harness::new();
        harness.app.mail_delivery.from.address = "surety".into();
        let jobs = harness.up_to(NAME, &example()).await;
        let fault = harness.run_one(&Dispatch::new(&harness.app), &jobs[0]).await.unwrap_err();
        assert_eq!(fault.reason, Reason::MailUnbuildable);
        // With a valid sender the same message succeeds.
        harness.app.mail_delivery.from.address = "hosho@example.jp".into();
        let issued: GuaranteeIssuedV1 =
            event(&harness.run_one(&Dispatch::new(&harness.app), &jobs[0]).await.unwrap());
        assert_eq!(issued.mail, MailStateV1::Accepted);
    }

    #[tokio::test]
    async fn sends_nothing_after_a_stop_request() {
        let harness = Harness::new();
        let jobs = harness.up_to(NAME, &example()).await;
        harness.app.mail_delivery.stop.cancel();
        let fault = harness.run_one(&Dispatch::new(&harness.app), &jobs[0]).await.unwrap_err();
        assert_eq!(fault.reason, Reason::Stopping);
        assert_eq!((harness.files("mail"), harness.rows().get("mail")), (0, None));
    }

    #[tokio::test]
    async fn sends_nothing_without_a_permit() {
        let mut harness = Harness::new();
        let jobs = harness.up_to(NAME, &example()).await;
        harness.permit = Permit::until(|| Some("the stage is paused"));
        let fault = harness.run_one(&Dispatch::new(&harness.app), &jobs[0]).await.unwrap_err();
        assert_eq!((fault.reason, fault.text.as_str()), (Reason::Stopping, "the stage is paused"));
        assert_eq!((harness.files("mail"), harness.rows().get("mail")), (0, None));
    }

    /// A mail server that reads every mail and never answers it.
    async fn silent_server() -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(silence(connection));
            }
        });
        port
    }

    async fn silence(connection: TcpStream) -> std::io::Result<()> {
        let mut connection = BufStream::new(connection);
        let (mut line, mut reply) = (String::new(), "220 here\r\n");
        loop {
            connection.write_all(reply.as_bytes()).await?;
            connection.flush().await?;
            if line.starts_with("DATA") {
                // Until the client times out.
                return tokio::io::copy(&mut connection, &mut tokio::io::sink()).await.map(drop);
            }
            line.clear();
            if connection.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            reply = if line.starts_with("DATA") { "354 continue\r\n" } else { "250 fine\r\n" };
        }
    }

    #[tokio::test]
    async fn sends_no_second_mail_to_a_silent_server() {
        sends_one_of_two_mails(Lane::Live, 1).await;
    }

    #[tokio::test]
    async fn bulk_mails_use_half_of_the_connections() {
        sends_one_of_two_mails(Lane::Bulk, 2).await;
    }

    /// Sends two mails over one connection to a server that answers neither.
    /// Only one goes out.
    async fn sends_one_of_two_mails(lane: Lane, connections: usize) {
        let mut harness = Harness::new();
        let jobs = harness.up_to(NAME, &example()).await;
        harness.lane = lane;
        harness.app.mail_delivery.connections = connections;
        harness.app.mail_delivery.mailer = Mailer::smtp(SmtpSettings {
            host: "127.0.0.1".to_owned(),
            port: silent_server().await,
            security: Security::None,
            ca_file: None,
            credentials: None,
            hello_name: None,
            sender: None,
            timeout: Duration::from_secs(10),
            reply_timeout: Duration::from_millis(200),
            pool_size: connections,
        })
        .unwrap();
        let verdicts = harness.run(&Dispatch::new(&harness.app), &jobs).await;
        let reasons = verdicts.into_iter().map(|verdict| verdict.unwrap_err().reason);
        assert_eq!(reasons.collect::<Vec<_>>(), [Reason::MailUnknown, Reason::MailUnavailable]);
        let filter = mail::Filter { states: vec![State::Pending], given_up: false };
        let waiting = mail::list(&mut harness.app.db.pool().get().unwrap(), &filter, 10, None).unwrap();
        assert_eq!(
            waiting.iter().map(|found| found.mail.attempts).collect::<Vec<_>>(),
            [0],
            "no other mail was begun"
        );
    }
}

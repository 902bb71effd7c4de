//! validate: decides an application, stores the decision and publishes it.
//!
//! In: `application.v1` from an upstream system. Out: for a valid one,
//! [`IssueV1`] per product line and the event `application.accepted`; for
//! one that breaks rules, the event `application.rejected` with every violation. A broken rule is an answer,
//! not a failure.
//!
//! Some rules compare applications for the same works (no product twice, an interim advance after its
//! advance). They are applied while the works are locked, in the transaction that stores the decision: of two
//! simultaneous applications only one can pass.
//!
//! Idempotent: `source` and `id` identify the application. The copy that is stored first decides; every copy
//! publishes the messages that follow from the stored row. The same `source` and `id` with other content gets
//! `application.id_reused` and changes no row.
//!
//! A payload that is JSON with a readable `source` and `id`, but otherwise misshapen, is answered too (code
//! `message.malformed`, with the JSON path): an answer helps the sender more than a dead letter helps an
//! operator. A less readable one is a dead letter, because no sender can be answered.

pub mod decide;

use std::sync::Arc;

use chrono::NaiveDateTime;
use hosho_schema::{
    db::Connection,
    ids,
    messages::{
        self, ApplicationAcceptedV1, ApplicationRejectedV1, ApplicationV1, CalculationV1, DecodeError,
        IssueV1, RejectedLineV1, ViolationV1,
    },
    models::application::{self, Application},
    snapshots,
};
use serde::Deserialize;
use tracing::{debug, info};

use crate::{
    app::App,
    broker::Outgoing,
    clock::Clock,
    domain::{
        application::{Judged, is_identifier},
        violation::Violation,
        wareki,
    },
    fault::{Fault, Reason, Result},
    pdf::Fonts,
    pipeline::{
        decode::{self, not_json, undecodable},
        stage::{Item, Stage, Verdict},
    },
    reference::ReferenceData,
};
use decide::{Candidate, UpstreamMessage};

pub const NAME: &str = "validate";

pub struct Validate {
    clock: Clock,
    data: Arc<ReferenceData>,
    fonts: Arc<Fonts>,
}

/// A payload that names its sender.
pub struct Received {
    message: UpstreamMessage,
    content: Result<Box<ApplicationV1>, Vec<Violation>>,
}

pub enum Facts {
    /// The application is stored; its first decision is valid.
    Known,
    New,
}

/// The decision on the application alone; none for a known one.
pub struct Outcome {
    candidate: Option<Candidate>,
}

#[derive(Deserialize)]
struct Identity {
    source: String,
    id: String,
}

impl Validate {
    pub(super) fn new(app: &App) -> Self {
        Self {
            clock: app.clock.clone(),
            data: Arc::clone(&app.data),
            fonts: Arc::clone(app.renderer.fonts()),
        }
    }

    fn judge(&self, received: &Received, now: NaiveDateTime) -> Judged {
        match &received.content {
            Ok(application) => {
                let received_on = wareki::in_tokyo(now).date_naive();
                decide::judge(application, &self.data, &self.fonts, received_on)
            }
            Err(errors) => Judged::unreadable(errors.clone()),
        }
    }
}

impl Stage for Validate {
    const NAME: &'static str = NAME;
    type Job = Received;
    type Facts = Facts;
    type Outcome = Outcome;

    fn decode(&self, payload: &[u8]) -> Result<Received> {
        receive(payload)
    }

    fn load(&self, db: &mut Connection, items: &[&Item<Received>]) -> Result<Vec<Result<Facts, Fault>>> {
        let ids: Vec<&str> = items.iter().map(|item| item.job.message.id.as_str()).collect();
        let rows = application::by_ids(db, &ids)?;
        Ok(rows.into_iter().map(|row| Ok(if row.is_some() { Facts::Known } else { Facts::New })).collect())
    }

    fn decide(&self, item: &Item<Received>, facts: Facts) -> Result<Outcome> {
        if let Facts::Known = facts {
            return Ok(Outcome { candidate: None });
        }
        let at = self.clock.now();
        let judged = self.judge(&item.job, at);
        let works = judged.works_key().map(|key| ids::works(&key));
        let (message, traceparent) = (item.job.message.clone(), item.trace.to_string());
        Ok(Outcome { candidate: Some(Candidate { message, traceparent, at, judged, works }) })
    }

    fn record(&self, db: &mut Connection, items: &[(&Item<Received>, Outcome)]) -> Result<Vec<Verdict>> {
        let candidates: Vec<&Candidate> =
            items.iter().filter_map(|(_, outcome)| outcome.candidate.as_ref()).collect();
        let fresh = decide::store(db, &candidates)?;
        let ids: Vec<&str> = items.iter().map(|(item, _)| item.job.message.id.as_str()).collect();
        let stored = application::by_ids(db, &ids)?;
        Ok(items
            .iter()
            .zip(stored)
            .map(|((item, _), row)| {
                row.ok_or_else(|| Fault::missing("application", &item.job.message.id))
                    .and_then(|row| answer(item, &row, fresh.contains(&row.id)))
                    .into()
            })
            .collect())
    }
}

/// The hash of an application's stored content.
/// `None` for a payload that cannot be answered.
pub fn content_sha256(payload: &[u8]) -> Option<String> {
    receive(payload).ok().map(|received| received.message.sha256)
}

fn receive(payload: &[u8]) -> Result<Received> {
    let (identity, content) = match messages::decode::<ApplicationV1>(payload) {
        Ok(application) => {
            let identity = Identity { source: application.source.clone(), id: application.id.clone() };
            if !(is_storable(&identity.source) && is_storable(&identity.id)) {
                return Err(Fault::new(
                    Reason::Undecodable,
                    "source or id is too long or contains NUL, so no answer could be stored under it",
                ));
            }
            (identity, Ok(Box::new(application)))
        }
        Err(error @ DecodeError::NotJson { .. }) => return Err(not_json(&error)),
        Err(error) => {
            // Reads to the end this time: a misshapen payload may also be truncated, and then it is no JSON.
            let identity: Identity = serde_json::from_slice(payload).map_err(|second| {
                if second.is_data() {
                    undecodable::<ApplicationV1>(payload, &error)
                } else {
                    not_json(&DecodeError::not_json(&second))
                }
            })?;
            if !(is_identifier(&identity.source) && is_identifier(&identity.id)) {
                return Err(undecodable::<ApplicationV1>(payload, &error));
            }
            (identity, Err(Violation::malformed::<ApplicationV1>(payload, &error)))
        }
    };
    let message = UpstreamMessage {
        id: ids::application(&identity.source, &identity.id),
        source: identity.source,
        upstream_id: identity.id,
        sha256: decode::content_sha256(payload, content.is_ok()),
    };
    Ok(Received { message, content })
}

/// Whether the database accepts a text as a key.
/// The rules refuse more, with an answer.
fn is_storable(key: &str) -> bool {
    key.len() <= 256 && !key.contains('\0')
}

/// The messages that follow from the stored row: the same for every copy.
/// The product lines of a rejection are read from the copy, which has the same content.
fn answer(item: &Item<Received>, row: &Application, fresh: bool) -> Result<Vec<Outgoing>> {
    let item = item.about(&row.id);
    if row.payload_sha256 != item.job.message.sha256 {
        info!(
            application.id = row.id,
            trace.id = item.trace.trace_id(),
            "Application refused; id used before with other content"
        );
        let violations = vec![ViolationV1::from(Violation::id_reused(&row.source, &row.upstream_id))];
        return Ok(vec![rejected(&item, row, violations, Vec::new(), &item.job.message.sha256)]);
    }
    let calculations: Vec<CalculationV1> =
        snapshots::read(&row.calculations).map_err(|error| Fault::unreadable("calculations", &error))?;
    if let Some(snapshot) = &row.snapshot {
        let application: snapshots::Application =
            snapshots::read(snapshot).map_err(|error| Fault::unreadable("application", &error))?;
        if fresh {
            info!(
                application.id = row.id,
                application.lines = row.lines,
                trace.id = item.trace.trace_id(),
                "Application accepted"
            );
        } else {
            debug!(
                application.id = row.id,
                trace.id = item.trace.trace_id(),
                "Application known; successors published again"
            );
        }
        return Ok(follow(&item, row, &application, calculations));
    }
    let violations: Vec<ViolationV1> = snapshots::read(row.violations.as_deref().unwrap_or("[]"))
        .map_err(|error| Fault::unreadable("violations", &error))?;
    if fresh {
        let codes: Vec<&str> = violations.iter().map(|violation| violation.code.as_str()).collect();
        info!(
            application.id = row.id,
            application.violations = codes.join(" "),
            trace.id = item.trace.trace_id(),
            "Application rejected"
        );
    }
    Ok(vec![rejected(&item, row, violations, calculations, "")])
}

fn follow(
    item: &Item<&Received>,
    row: &Application,
    application: &snapshots::Application,
    calculations: Vec<CalculationV1>,
) -> Vec<Outgoing> {
    let accepted = ApplicationAcceptedV1 {
        source: row.source.clone(),
        id: row.upstream_id.clone(),
        application: row.id.clone(),
        products: application.products.iter().map(|line| line.product).collect(),
        calculations,
    };
    let mut messages: Vec<Outgoing> =
        (0..row.lines).map(|line| item.successor(&IssueV1 { application: row.id.clone(), line })).collect();
    messages.push(item.event(&row.id, &accepted));
    messages
}

fn rejected(
    item: &Item<&Received>,
    row: &Application,
    violations: Vec<ViolationV1>,
    calculations: Vec<CalculationV1>,
    key: &str,
) -> Outgoing {
    let products = item.job.content.as_ref().map_or_else(
        |_| Vec::new(),
        |application| {
            application
                .products
                .iter()
                .map(|line| RejectedLineV1 { product: line.product, medium: line.medium })
                .collect()
        },
    );
    let event = ApplicationRejectedV1 {
        source: row.source.clone(),
        id: row.upstream_id.clone(),
        products,
        violations,
        calculations,
    };
    item.event(&format!("{}:{key}", row.id), &event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        broker::Destination,
        stages::harness::{Harness, event, example},
    };

    fn changed(change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
        let mut application: serde_json::Value = serde_json::from_slice(&example()).unwrap();
        change(&mut application);
        application.to_string().into_bytes()
    }

    #[tokio::test]
    async fn accepts_application_and_publishes_one_issue_per_line() {
        let harness = Harness::new();
        let messages = harness.run_one(&Validate::new(&harness.app), &example()).await.unwrap();
        let accepted: ApplicationAcceptedV1 = event(&messages);
        assert_eq!(accepted.products.len(), 2);
        let jobs = messages.iter().filter(|message| {
            message.destination
                == Destination::Stage(<IssueV1 as messages::StageMessage>::STAGE, crate::broker::Lane::Live)
        });
        assert_eq!(jobs.count(), 2);
        for message in &messages {
            assert_eq!(message.envelope.correlation_id.as_ref(), Some(&accepted.application));
            assert!(
                message.envelope.traceparent.as_ref().unwrap().contains("4bf92f3577b34da6a3ce929d0e0e4736")
            );
            let payload = String::from_utf8(message.envelope.payload.clone()).unwrap();
            assert!(!payload.contains('@') && !payload.contains("髙"), "{payload}");
        }
    }

    #[tokio::test]
    async fn second_run_publishes_the_same_messages() {
        let harness = Harness::new();
        let stage = Validate::new(&harness.app);
        let verdicts = harness.run(&stage, &[example(), example()]).await;
        let again = harness.run_one(&stage, &example()).await;
        assert_eq!(verdicts[0], verdicts[1]);
        assert_eq!(verdicts[0], again);
        assert_eq!(harness.rows().get("application"), Some(&1));
    }

    #[tokio::test]
    async fn rejecting_one_application_affects_no_other() {
        let harness = Harness::new();
        let broken = changed(|application| {
            application["id"] = "broken".into();
            application["obligee"] = "atlantis".into();
            application["works"]["contract_price"] = "-5".into();
        });
        let verdicts = harness.run(&Validate::new(&harness.app), &[broken, b"{".to_vec(), example()]).await;
        let rejected: ApplicationRejectedV1 = event(verdicts[0].as_ref().unwrap());
        let codes: Vec<&str> = rejected.violations.iter().map(|violation| violation.code.as_str()).collect();
        assert_eq!(codes, ["obligee.unknown", "amount.not_positive"]);
        assert_eq!(verdicts[1].as_ref().unwrap_err().reason, Reason::Undecodable);
        let _: ApplicationAcceptedV1 = event(verdicts[2].as_ref().unwrap());
    }

    #[tokio::test]
    async fn rejects_other_content_under_the_same_id() {
        let harness = Harness::new();
        let stage = Validate::new(&harness.app);
        harness.run_one(&stage, &example()).await.unwrap();
        let other = changed(|application| application["works"]["name"] = "別の工事".into());
        let messages = harness.run_one(&stage, &other).await.unwrap();
        let rejected: ApplicationRejectedV1 = event(&messages);
        assert_eq!((messages.len(), rejected.violations[0].code.as_str()), (1, "application.id_reused"));
        // Written differently, it is the same content.
        let pretty =
            serde_json::to_vec_pretty(&serde_json::from_slice::<serde_json::Value>(&example()).unwrap())
                .unwrap();
        let _: ApplicationAcceptedV1 = event(&harness.run_one(&stage, &pretty).await.unwrap());
    }

    #[tokio::test]
    async fn rejects_malformed_message_with_readable_source_and_id() {
        let harness = Harness::new();
        let stage = Validate::new(&harness.app);
        let misshapen = changed(|application| application["works"]["colour"] = "red".into());
        let rejected: ApplicationRejectedV1 = event(&harness.run_one(&stage, &misshapen).await.unwrap());
        assert_eq!(rejected.violations[0].code, "message.malformed");
        assert!(rejected.violations[0].path.starts_with("$.works"), "{rejected:?}");
        let unstorable = changed(|application| application["id"] = "a\0b".into());
        assert_eq!(harness.run_one(&stage, &unstorable).await.unwrap_err().reason, Reason::Undecodable);
        let fault = harness
            .run_one(&stage, br#"{"source": "a b", "id": "x", "taro@example.com": 1}"#)
            .await
            .unwrap_err();
        assert_eq!(fault.reason, Reason::Undecodable);
        assert!(!fault.text.contains("taro"), "{fault}");
    }
}

//! render: draws and stores the PDFs of a certificate, which then arrives.
//!
//! In: [`RenderV1`]. Out: [`DispatchV1`]. Electronic: certificate and
//! notice; paper: the certificate for printing; a cancellation has its notification, a reversal no document.
//! 電子保証発行日時 is set here, when the documents are stored, not when they were drawn.
//!
//! Idempotent: documents are drawn from the stored content, so a second run draws the same bytes, which have
//! the same name in the store; existing rows stay, and so does the arrival time.

use std::{collections::HashMap, sync::Arc};

use hosho_schema::{
    db::Connection,
    messages::{DispatchV1, GuaranteeRedrawnV1, RenderV1, StageMessage as _},
    models::{
        authentication_key,
        document::{self, Document, Kind},
        guarantee::Guarantee,
        revision::{self, Revision},
        run_item,
    },
    snapshots::{self, Certificate},
};
use tracing::info;
use zeroize::Zeroizing;

use crate::{
    app::App,
    clock::Clock,
    documents::{
        revision::RevisionRenderer,
        store::{DocumentStore, NewDocument, Stored},
    },
    fault::{Fault, Reason, Result},
    permit::Permit,
    pipeline::{
        decode::decode,
        stage::{Item, Stage, Verdict},
    },
};

pub const NAME: &str = RenderV1::STAGE;

pub struct Render {
    clock: Clock,
    renderer: RevisionRenderer,
    documents: DocumentStore,
}

pub struct Facts {
    revision: Revision,
    guarantee: Guarantee,
    sealed: Option<(String, Vec<u8>)>,
    /// Hash of the certificate that the same run has redrawn before.
    redrawn_before: Option<String>,
}

pub struct Outcome {
    revision_id: String,
    arrives: bool,
    drawn: Vec<NewDocument>,
    /// How many documents were drawn.
    documents: usize,
    stored: Vec<Stored>,
    redrawn: Option<GuaranteeRedrawnV1>,
}

impl Render {
    pub(super) fn new(app: &App) -> Self {
        Self { clock: app.clock.clone(), renderer: app.revision_renderer(), documents: app.documents.clone() }
    }

    /// Stores the documents of all outcomes together.
    async fn store(&self, outcomes: &mut [Outcome]) -> Result<()> {
        let drawn: Arc<[NewDocument]> =
            outcomes.iter_mut().flat_map(|outcome| std::mem::take(&mut outcome.drawn)).collect();
        let stored = match self.documents.put(Arc::clone(&drawn)).await {
            // The store may have recovered in between.
            Err(error)
                if error.is_unavailable() && !error.is_full() && self.documents.probe().await.is_ok() =>
            {
                self.documents.put(drawn).await
            }
            stored => stored,
        };
        match stored {
            Ok(stored) => {
                let mut stored = stored.into_iter();
                for outcome in outcomes {
                    outcome.stored = stored.by_ref().take(outcome.documents).collect();
                }
                Ok(())
            }
            Err(error) => {
                let reason = match error.is_unavailable() {
                    false => Reason::DocumentFailed,
                    true if !error.is_full() && self.documents.probe().await.is_ok() => {
                        Reason::DocumentUnwritable
                    }
                    true => Reason::DocumentsUnavailable,
                };
                Err(Fault::from_error(reason, &error))
            }
        }
    }
}

impl Stage for Render {
    const NAME: &'static str = NAME;
    // A certificate and its notice have 110 KB, and take four times as much while they are drawn.
    const CHUNK_SIZE: usize = 16;
    type Job = RenderV1;
    type Facts = Facts;
    type Outcome = Outcome;

    fn decode(&self, payload: &[u8]) -> Result<RenderV1> {
        decode(payload)
    }

    fn load(&self, db: &mut Connection, items: &[&Item<RenderV1>]) -> Result<Vec<Result<Facts, Fault>>> {
        let keys: Vec<(&str, i64)> =
            items.iter().map(|item| (item.job.guarantee.as_str(), item.job.revision)).collect();
        let certificates = revision::by_keys(db, &keys)?;
        let guarantees: Vec<&str> = items.iter().map(|item| item.job.guarantee.as_str()).collect();
        let keys = authentication_key::by_guarantees(db, &guarantees)?;
        let keys: HashMap<_, _> = guarantees.iter().zip(keys).collect();
        let before = redrawn_before(db, items, &certificates)?;
        Ok(items
            .iter()
            .zip(certificates)
            .map(|(item, found)| {
                let (revision, guarantee) =
                    found.ok_or_else(|| Fault::missing("certificate of guarantee", &item.job.guarantee))?;
                let run = item.job.run.clone();
                let redrawn_before = run.and_then(|run| before.get(&(revision.id.clone(), run)).cloned());
                let key = keys.get(&item.job.guarantee.as_str()).cloned().flatten();
                let sealed = key.map(|row| (row.data_key_id, row.sealed));
                Ok(Facts { revision, guarantee, sealed, redrawn_before })
            })
            .collect())
    }

    fn decide(&self, item: &Item<RenderV1>, facts: Facts) -> Result<Outcome> {
        let Facts { revision, guarantee, sealed, redrawn_before } = facts;
        let arrives = revision.arrived_at.is_none();
        let of_run = item.job.run.is_some();
        if of_run && arrives {
            return Err(Fault::missing("arrival of certificate", &revision.id));
        }
        let due = if of_run { redrawn_before.is_none() } else { arrives };
        let drawn = if due { self.renderer.documents(&revision, sealed.as_ref())? } else { Vec::new() };
        let document = |(kind, bytes)| NewDocument {
            number: guarantee.number.clone(),
            guarantee: revision.guarantee_id.clone(),
            revision: revision.revision,
            kind,
            run: item.job.run.clone(),
            identity: self.renderer.identity(),
            stored_at: None,
            bytes: Zeroizing::new(bytes),
        };
        let drawn: Vec<NewDocument> = drawn.into_iter().map(document).collect();
        let redrawn =
            of_run.then(|| event(&revision, guarantee, redrawn_before.unwrap_or_default())).transpose()?;
        Ok(Outcome {
            revision_id: revision.id,
            arrives,
            documents: drawn.len(),
            drawn,
            stored: Vec::new(),
            redrawn,
        })
    }

    async fn act(&self, mut outcomes: Vec<Outcome>, _: &Permit) -> Vec<Result<Outcome>> {
        match self.store(&mut outcomes).await {
            Ok(()) => outcomes.into_iter().map(Ok).collect(),
            Err(fault) => outcomes.iter().map(|_| Err(fault.clone())).collect(),
        }
    }

    fn record(&self, db: &mut Connection, items: &[(&Item<RenderV1>, Outcome)]) -> Result<Vec<Verdict>> {
        let now = self.clock.now();
        let rows: Vec<Document> = items
            .iter()
            .flat_map(|(item, outcome)| {
                let run = item.job.run.clone().unwrap_or_default();
                let row = move |stored: &Stored| {
                    stored.row(outcome.revision_id.clone(), self.renderer.identity(), run.clone())
                };
                outcome.stored.iter().map(row)
            })
            .collect();
        document::insert_new(db, &rows)?;
        let arrived: Vec<&str> = items
            .iter()
            .filter(|(_, outcome)| outcome.arrives)
            .map(|(_, outcome)| outcome.revision_id.as_str())
            .collect();
        revision::set_arrived(db, &arrived, now)?;
        let redrawn = items
            .iter()
            .filter_map(|(item, _)| Some((item.job.run.as_deref()?, item.job.guarantee.as_str())));
        run_item::redrawn(db, &redrawn.collect::<Vec<_>>(), now)?;
        Ok(items
            .iter()
            .map(|(item, outcome)| {
                if let Some(event) = &outcome.redrawn {
                    let mut event = event.clone();
                    if let Some(drawn) = outcome.stored.iter().find(|stored| stored.kind == Kind::Certificate)
                    {
                        event.certificate_sha256.clone_from(&drawn.sha256);
                    }
                    return Verdict::done(vec![item.event(&item.job.key(), &event)]);
                }
                if outcome.arrives {
                    info!(
                        guarantee.id = item.job.guarantee,
                        guarantee.revision = item.job.revision,
                        trace.id = item.trace.trace_id(),
                        "Certificate arrived in the registry"
                    );
                }
                Verdict::done(vec![item.successor(&DispatchV1 {
                    guarantee: item.job.guarantee.clone(),
                    revision: item.job.revision,
                })])
            })
            .collect())
    }
}

/// The hashes of certificates redrawn before, by revision and run of these items.
fn redrawn_before(
    db: &mut Connection,
    items: &[&Item<RenderV1>],
    certificates: &[Option<(Revision, Guarantee)>],
) -> Result<HashMap<(String, String), String>> {
    let of_runs = items.iter().zip(certificates).filter(|(item, _)| item.job.run.is_some());
    let ids: Vec<&str> =
        of_runs.filter_map(|(_, found)| found.as_ref()).map(|(revision, _)| revision.id.as_str()).collect();
    let documents = document::every(db, &ids)?;
    let certificates = documents.into_iter().flatten().filter(|document| document.kind == Kind::Certificate);
    Ok(certificates.map(|document| ((document.revision_id, document.run_id), document.sha256)).collect())
}

/// Its hash is that of an earlier attempt.
fn event(
    revision: &Revision,
    guarantee: Guarantee,
    certificate_sha256: String,
) -> Result<GuaranteeRedrawnV1> {
    let content: Certificate =
        snapshots::read(&revision.content).map_err(|error| Fault::unreadable("certificate", &error))?;
    Ok(GuaranteeRedrawnV1 { number: guarantee.number, revision: content.revision, certificate_sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::store::Access;
    use crate::stages::harness::{Harness, example, now, paper};

    #[tokio::test]
    async fn draws_documents_once_and_keeps_the_arrival() {
        let harness = Harness::new();
        let stage = Render::new(&harness.app);
        let jobs = harness.up_to(NAME, &example()).await;
        let first = harness.run(&stage, &jobs).await;
        let job: RenderV1 = hosho_schema::messages::decode(&jobs[0]).unwrap();
        let stored = || {
            let mut db = harness.app.db.pool().get().unwrap();
            let (certificate, _) =
                revision::by_keys(&mut db, &[(&job.guarantee, 0)]).unwrap().remove(0).unwrap();
            let documents = document::by_revisions(&mut db, &[&certificate.id]).unwrap().remove(0);
            (certificate.arrived_at, documents)
        };
        let before = stored();
        assert_eq!(before.0, Some(now()));
        assert_eq!(
            before.1.iter().map(|document| document.kind).collect::<Vec<_>>(),
            [Kind::Certificate, Kind::Notice]
        );
        for document in &before.1 {
            let bytes = harness
                .app
                .documents
                .read_notice(document, Access { reader: "test", reason: "test" })
                .await
                .unwrap();
            assert!(bytes.starts_with(b"%PDF-1.7"));
        }
        harness.app.clock.advance(chrono::TimeDelta::hours(1));
        assert_eq!(first, harness.run(&stage, &jobs).await);
        assert_eq!(before, stored());
    }

    #[tokio::test]
    async fn redrawing_returns_the_same_bytes() {
        let harness = Harness::new();
        let stage = Render::new(&harness.app);
        let jobs = harness.up_to(NAME, &example()).await;
        let trace = crate::telemetry::Traceparent::derived("x");
        let item = Item::new(stage.decode(&jobs[0]).unwrap(), crate::broker::Lane::Live, None, trace);
        let draw = || {
            let facts =
                stage.load(&mut harness.app.db.pool().get().unwrap(), &[&item]).unwrap().remove(0).unwrap();
            let drawn = stage.decide(&item, facts).unwrap().drawn;
            drawn.into_iter().map(|document| document.bytes).collect::<Vec<_>>()
        };
        let first = draw();
        harness.app.clock.advance(chrono::TimeDelta::days(400));
        assert!(first == draw(), "a document depends on when it is drawn");
    }

    #[tokio::test]
    async fn paper_has_no_notice() {
        let harness = Harness::new();
        let jobs = harness.up_to(NAME, &paper()).await;
        harness.run_one(&Render::new(&harness.app), &jobs[0]).await.unwrap();
        assert_eq!(harness.rows()["document"], 1);
    }

    #[tokio::test]
    async fn dead_letters_an_electronic_certificate_without_key() {
        let harness = Harness::new();
        // Skips the mint stage, whose payload has the same shape.
        let jobs = harness.up_to("mint", &example()).await;
        let fault = harness.run_one(&Render::new(&harness.app), &jobs[0]).await.unwrap_err();
        assert_eq!(fault.reason, Reason::ReferenceMissing);
        assert_eq!(harness.rows().get("document"), None);
    }
}

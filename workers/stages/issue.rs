//! issue: makes a guarantee, with its number, of an accepted product line.
//!
//! In: [`IssueV1`]. Out: [`MintV1`] for revision 0.
//!
//! Idempotent: (application, line) identifies the guarantee; a second run finds it and publishes the
//! successor again. Numbers have neither gaps nor duplicates: the counter of (branch, term) is locked first,
//! existing rows are read again under that lock, and the counter advances by exactly the missing ones
//! (`schema/models/guarantee.rs`).

use std::{borrow::Borrow, error::Error, num::ParseIntError, sync::Arc};

use chrono::NaiveDate;
use hosho_schema::{
    db::Connection,
    messages::{IssueV1, MintV1, StageMessage as _},
    models::{application, chain_head},
    queries::issue::{self, GuaranteeDraft},
    snapshots::{self, Application},
};
use tracing::info;

use crate::{
    app::App,
    clock::Clock,
    domain::{
        number::{self, GuaranteeNumber},
        wareki,
    },
    fault::{Fault, Reason, Result},
    keys::KeyRing,
    pipeline::{
        decode::decode,
        stage::{Item, Stage, Verdict},
    },
    reference::{ReferenceData, certificate},
};

pub const NAME: &str = IssueV1::STAGE;

pub struct Issue {
    clock: Clock,
    data: Arc<ReferenceData>,
    keys: Arc<KeyRing>,
}

/// A guarantee to issue, with all content of its certificate except the number.
pub struct Outcome {
    draft: GuaranteeDraft,
    application: Application,
    line: usize,
    /// 発行日 in Tokyo; decides the term of the number.
    issued_on: NaiveDate,
}

impl Borrow<GuaranteeDraft> for &Outcome {
    fn borrow(&self) -> &GuaranteeDraft {
        &self.draft
    }
}

impl Issue {
    pub(super) fn new(app: &App) -> Self {
        Self { clock: app.clock.clone(), data: Arc::clone(&app.data), keys: Arc::clone(&app.keys) }
    }
}

impl Stage for Issue {
    const NAME: &'static str = NAME;
    type Job = IssueV1;
    type Facts = Application;
    type Outcome = Outcome;

    fn decode(&self, payload: &[u8]) -> Result<IssueV1> {
        decode(payload)
    }

    fn load(&self, db: &mut Connection, items: &[&Item<IssueV1>]) -> Result<Vec<Result<Application, Fault>>> {
        let ids: Vec<&str> = items.iter().map(|item| item.job.application.as_str()).collect();
        let rows = application::by_ids(db, &ids)?;
        Ok(items
            .iter()
            .zip(rows)
            .map(|(item, row)| {
                let snapshot = row
                    .and_then(|row| row.snapshot)
                    .ok_or_else(|| Fault::missing("accepted application", &item.job.application))?;
                snapshots::read(&snapshot).map_err(|error| Fault::unreadable("application", &error))
            })
            .collect())
    }

    fn decide(&self, item: &Item<IssueV1>, application: Application) -> Result<Outcome> {
        // The application exists, so its name is one of ours.
        let no_line = || {
            Fault::missing(&format!("product line {} of application", item.job.line), &item.job.application)
        };
        let line = usize::try_from(item.job.line).map_err(|_| no_line())?;
        let product = application.products.get(line).ok_or_else(no_line)?;
        let issued_on = wareki::in_tokyo(self.clock.now()).date_naive();
        let draft = GuaranteeDraft {
            application_id: item.job.application.clone(),
            line: item.job.line,
            product: product.product,
            medium: product.medium,
            obligee: application.obligee.clone(),
            branch: application.branch.clone(),
            term: format!("{:03}", number::term_of(issued_on)),
        };
        Ok(Outcome { draft, application, line, issued_on })
    }

    fn record(&self, db: &mut Connection, items: &[(&Item<IssueV1>, Outcome)]) -> Result<Vec<Verdict>> {
        let now = self.clock.now();
        let outcomes: Vec<&Outcome> = items.iter().map(|(_, outcome)| outcome).collect();
        let issued = issue::issue(db, &outcomes, now, |outcome, sequence| self.content(outcome, sequence))?;
        let fresh = issued.iter().filter(|issued| issued.fresh);
        let heads: Vec<_> = fresh
            .map(|issued| self.keys.chain_head(&issued.guarantee.id, 1, &issued.revision.content_sha256))
            .collect();
        chain_head::write(db, &heads)?;
        Ok(items
            .iter()
            .zip(issued)
            .map(|((item, _), issued)| {
                if issued.fresh {
                    info!(
                        guarantee.number = issued.guarantee.number,
                        guarantee.id = issued.guarantee.id,
                        application.id = issued.guarantee.application_id,
                        trace.id = item.trace.trace_id(),
                        "Guarantee issued"
                    );
                }
                Verdict::done(vec![item.successor(&MintV1 {
                    guarantee: issued.guarantee.id,
                    revision: issued.revision.revision,
                })])
            })
            .collect())
    }
}

impl Issue {
    /// The number and the content of the first certificate.
    fn content(&self, outcome: &Outcome, sequence: i64) -> Result<(String, String)> {
        let Outcome { draft, application, line, issued_on } = outcome;
        let surety = self.data.sureties.on(*issued_on);
        let suffix = surety.map_err(|error| Fault::from_error(Reason::DataMissing, &error))?.number_suffix;
        let exhausted = |error: &dyn Error| Fault::from_error(Reason::NumberExhausted, error);
        let term = draft.term.parse().map_err(|error: ParseIntError| exhausted(&error))?;
        let number = GuaranteeNumber::build(&application.branch, term, sequence, suffix)
            .map_err(|error| exhausted(&error))?;
        let content = certificate::build(&self.data, application, *line, &number, 0, *issued_on)?;
        Ok((number.to_string(), snapshots::canonical(&content)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::harness::{Harness, example};

    #[tokio::test]
    async fn allocates_one_number_per_line() {
        let harness = Harness::new();
        let stage = Issue::new(&harness.app);
        let jobs = harness.up_to(NAME, &example()).await;
        let doubled: Vec<_> = jobs.iter().chain(&jobs).cloned().collect();
        let first = harness.run(&stage, &doubled).await;
        let again = harness.run(&stage, &jobs).await;
        assert_eq!(first[..2], first[2..]);
        assert_eq!(first[..2], again[..]);
        assert!(first.iter().all(Result::is_ok));
        let rows = harness.rows();
        assert_eq!((rows["guarantee"], rows["revision"]), (2, 2));
    }

    #[tokio::test]
    async fn certificate_is_a_full_snapshot() {
        let harness = Harness::new();
        let jobs = harness.up_to(NAME, &example()).await;
        harness.run(&Issue::new(&harness.app), &jobs).await;
        let mut db = harness.app.db.pool().get().unwrap();
        let found = hosho_schema::models::guarantee::by_number(&mut db, "31075-00001M")
            .unwrap()
            .expect("the first number of the term");
        let certificates = hosho_schema::models::revision::by_guarantees(&mut db, &[&found.id]).unwrap();
        let content: snapshots::Certificate = snapshots::read(&certificates[0][0].content).unwrap();
        assert_eq!(
            (content.number.as_str(), content.revision, content.issued_on.to_string().as_str()),
            ("31075-00001M", 0, "2026-12-01")
        );
        assert!(
            !content.obligee.title.is_empty()
                && !content.surety.president.is_empty()
                && !content.branch.telephone.is_empty()
        );
    }

    #[tokio::test]
    async fn missing_row_fails_only_its_item() {
        let harness = Harness::new();
        let good = harness.up_to(NAME, &example()).await.remove(0);
        let beyond =
            String::from_utf8(good.clone()).unwrap().replace("\"line\":0", "\"line\":9").into_bytes();
        let payloads = [br#"{"application":"nowhere","line":0}"#.to_vec(), beyond, good, b"[]".to_vec()];
        let verdicts = harness.run(&Issue::new(&harness.app), &payloads).await;
        let reasons: Vec<_> =
            verdicts.iter().map(|verdict| verdict.as_ref().err().map(|fault| fault.reason)).collect();
        assert_eq!(
            reasons,
            [Some(Reason::ReferenceMissing), Some(Reason::ReferenceMissing), None, Some(Reason::Undecodable)]
        );
    }
}

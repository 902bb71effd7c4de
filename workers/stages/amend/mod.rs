//! amend: decides a change of a guarantee, stores the decision and publishes it.
//!
//! In: `amendment.v1`, `correction.v1`, `amendment_reversal.v1` and `cancellation.v1` from an upstream
//! system, distinguished by their `kind`. Out: the event `change.accepted` or `change.rejected`; for an
//! urgent change also [`ReissueV1`], the others wait for the nightly run.
//! A broken rule is an answer, not a failure.
//!
//! Changes are judged while their guarantee and its works are locked ([`crate::stages::amend::decide`]).
//!
//! Idempotent: `source` and `id` identify the change. The copy that is stored first decides; every copy
//! publishes the messages that follow from the stored row. A misshapen payload with a readable sender is
//! answered, as in the [validate stage](super::validate).

pub mod decide;

use std::sync::Arc;

use hosho_schema::{
    db::Connection,
    ids,
    messages::{
        self, AmendmentReversalV1, AmendmentV1, CalculationV1, CancellationV1, ChangeAcceptedV1,
        ChangeKindV1, ChangeRejectedV1, CorrectionV1, DecodeError, Described, ForeseenV1, ReissueV1,
        ViolationV1,
    },
    models::change::{self, Change},
    snapshots,
};
use serde::Deserialize;
use serde_json::Value;
use tracing::info;

use crate::{
    app::App,
    broker::Outgoing,
    clock::Clock,
    domain::{
        application::{RuleContext, is_identifier},
        change_request::ChangeRequest,
        violation::Violation,
        wareki,
    },
    fault::{Fault, Reason, Result},
    pdf::Fonts,
    pipeline::{
        decode::{self, not_json},
        stage::{Item, Stage, Verdict},
    },
    reference::ReferenceData,
    stages::validate::decide::{UpstreamMessage, with_rules},
};
use decide::{Candidate, Case, Content, Known, Received};

pub const NAME: &str = "amend";

pub struct Amend {
    clock: Clock,
    data: Arc<ReferenceData>,
    fonts: Arc<Fonts>,
}

pub enum Facts {
    /// The change is stored; its first decision is valid.
    Decided,
    /// With its guarantee, if there is one that its sender may change.
    New(Option<Box<Known>>),
}

/// A change judged alone; none for a decided one.
pub struct Outcome {
    case: Option<Case>,
}

impl Amend {
    pub(super) fn new(app: &App) -> Self {
        Self {
            clock: app.clock.clone(),
            data: Arc::clone(&app.data),
            fonts: Arc::clone(app.renderer.fonts()),
        }
    }

    fn with_rules<T>(&self, work: impl FnOnce(&RuleContext<'_>) -> T) -> T {
        let received_on = wareki::in_tokyo(self.clock.now()).date_naive();
        with_rules(&self.data, &self.fonts, received_on, work)
    }

    fn candidate(&self, item: &Item<Received>) -> Candidate {
        Candidate { received: item.job.clone(), traceparent: item.trace.to_string(), at: self.clock.now() }
    }
}

impl Stage for Amend {
    const NAME: &'static str = NAME;
    type Job = Received;
    type Facts = Facts;
    type Outcome = Outcome;

    fn decode(&self, payload: &[u8]) -> Result<Received> {
        receive(payload)
    }

    fn load(&self, db: &mut Connection, items: &[&Item<Received>]) -> Result<Vec<Result<Facts, Fault>>> {
        let ids: Vec<&str> = items.iter().map(|item| item.job.message.id.as_str()).collect();
        let decided = change::by_ids(db, &ids)?;
        let candidates: Vec<Candidate> = items.iter().map(|item| self.candidate(item)).collect();
        let known = decide::known(db, &candidates.iter().collect::<Vec<_>>())?;
        Ok(decided
            .into_iter()
            .zip(known)
            .map(|(row, known)| match row {
                Some(_) => Ok(Facts::Decided),
                None => Ok(Facts::New(known?.map(Box::new))),
            })
            .collect())
    }

    fn decide(&self, item: &Item<Received>, facts: Facts) -> Result<Outcome> {
        let Facts::New(known) = facts else { return Ok(Outcome { case: None }) };
        let (candidate, known) = (self.candidate(item), known.map(|known| *known));
        let case = self.with_rules(|rules| decide::judge(candidate, known, &self.data, rules))?;
        Ok(Outcome { case: Some(case) })
    }

    fn record(&self, db: &mut Connection, items: &[(&Item<Received>, Outcome)]) -> Result<Vec<Verdict>> {
        let cases: Vec<&Case> = items.iter().filter_map(|(_, outcome)| outcome.case.as_ref()).collect();
        let (fresh, mut faults) = self.with_rules(|rules| decide::store(db, &cases, &self.data, rules))?;
        let ids: Vec<&str> = items.iter().map(|(item, _)| item.job.message.id.as_str()).collect();
        let stored = change::by_ids(db, &ids)?;
        Ok(items
            .iter()
            .zip(stored)
            .map(|((item, _), row)| match row {
                Some(row) => answer(item, &row, fresh.contains(&row.id)).into(),
                None => faults
                    .remove(&item.job.message.id)
                    .unwrap_or_else(|| Fault::missing("change", &item.job.message.id))
                    .into(),
            })
            .collect())
    }
}

/// The `kind` of a change that a payload gives, with its sender.
#[derive(Deserialize)]
struct Identity {
    kind: ChangeKindV1,
    source: String,
    id: String,
}

fn receive(payload: &[u8]) -> Result<Received> {
    let identity = identified(payload)?;
    let content = match identity.kind {
        ChangeKindV1::Amendment => read::<AmendmentV1>(payload, ChangeRequest::Amendment),
        ChangeKindV1::Correction => read::<CorrectionV1>(payload, ChangeRequest::Correction),
        ChangeKindV1::AmendmentReversal => {
            read::<AmendmentReversalV1>(payload, ChangeRequest::AmendmentReversal)
        }
        ChangeKindV1::Cancellation => read::<CancellationV1>(payload, ChangeRequest::Cancellation),
    }?;
    if !(is_identifier(&identity.source) && is_identifier(&identity.id)) {
        return Err(Fault::new(
            Reason::Undecodable,
            "source or id is no identifier, so no answer could be stored under it",
        ));
    }
    let message = UpstreamMessage {
        id: ids::change(&identity.source, &identity.id),
        source: identity.source,
        upstream_id: identity.id,
        sha256: decode::content_sha256(payload, content.is_ok()),
    };
    Ok(Received { message, kind: identity.kind, content })
}

fn identified(payload: &[u8]) -> Result<Identity> {
    serde_json::from_slice(payload).map_err(|error| {
        if error.is_data() { unidentified(payload) } else { not_json(&DecodeError::not_json(&error)) }
    })
}

/// The fault of JSON without kind, source and id of a change.
fn unidentified(payload: &[u8]) -> Fault {
    let value: Value = serde_json::from_slice(payload).unwrap_or_default();
    let is_text = |value: &Value| value.is_string();
    let is_kind = |value: &Value| ChangeKindV1::deserialize(value).is_ok();
    let (mut missing, mut misshapen) = (Vec::new(), Vec::new());
    for (field, is_valid) in
        [("kind", &is_kind as &dyn Fn(&Value) -> bool), ("source", &is_text), ("id", &is_text)]
    {
        match value.get(field) {
            None => missing.push(field.to_owned()),
            Some(value) if !is_valid(value) => misshapen.push(field.to_owned()),
            Some(_) => {}
        }
    }
    decode::unfit("a change", &missing, &misshapen, 0)
}

fn read<M: Described>(payload: &[u8], wire: fn(M) -> ChangeRequest) -> Result<Content> {
    match messages::decode::<M>(payload) {
        Ok(message) => Ok(Ok(Box::new(wire(message)))),
        Err(error @ DecodeError::NotJson { .. }) => Err(not_json(&error)),
        Err(error) => Ok(Err(Violation::malformed::<M>(payload, &error))),
    }
}

/// The hash of a change's stored content, and our identifier of the change.
/// `None` for a payload that cannot be answered.
pub fn identity(payload: &[u8]) -> Option<(String, String)> {
    receive(payload).ok().map(|received| (received.message.id, received.message.sha256))
}

/// The messages that follow from the stored row: the same for every copy.
fn answer(item: &Item<Received>, row: &Change, fresh: bool) -> Result<Vec<Outgoing>> {
    let item = item.about(&row.id);
    if row.payload_sha256 != item.job.message.sha256 {
        info!(
            change.id = row.id,
            trace.id = item.trace.trace_id(),
            "Change refused; id used before with other content"
        );
        let violations = vec![ViolationV1::from(Violation::change_id_reused(&row.source, &row.upstream_id))];
        return Ok(vec![
            item.event(&format!("{}:{}", row.id, item.job.message.sha256), &rejection(row, violations)?),
        ]);
    }
    if let (change::State::Rejected, Some(violations)) = (row.state, &row.violations) {
        let violations: Vec<ViolationV1> =
            snapshots::read(violations).map_err(|error| Fault::unreadable("violations", &error))?;
        if fresh {
            let codes: Vec<&str> = violations.iter().map(|violation| violation.code.as_str()).collect();
            info!(
                change.id = row.id,
                change.violations = codes.join(" "),
                trace.id = item.trace.trace_id(),
                "Change rejected"
            );
        }
        return Ok(vec![item.event(&format!("{}:", row.id), &rejection(row, violations)?)]);
    }
    if fresh {
        info!(
            change.id = row.id,
            change.kind = row.kind.as_text(),
            change.urgent = row.urgent,
            guarantee.id = row.guarantee_id,
            trace.id = item.trace.trace_id(),
            "Change accepted"
        );
    }
    let mut messages = vec![item.event(&row.id, &accepted(row)?)];
    if row.urgent {
        messages.push(item.successor_with_key(
            &row.id,
            &ReissueV1 { guarantee: row.guarantee_id.clone().unwrap_or_default(), run: None, redraw: false },
        ));
    }
    Ok(messages)
}

pub(super) fn accepted(row: &Change) -> Result<ChangeAcceptedV1> {
    let foreseen: ForeseenV1 = snapshots::read(row.foreseen.as_deref().unwrap_or_default())
        .map_err(|error| Fault::unreadable("change", &error))?;
    Ok(ChangeAcceptedV1 {
        source: row.source.clone(),
        id: row.upstream_id.clone(),
        change: row.id.clone(),
        kind: row.kind,
        guarantee: row.number.clone().unwrap_or_default(),
        version: row.version.unwrap_or_default(),
        urgent: row.urgent,
        foreseen,
        calculations: calculations(row)?,
    })
}

pub(super) fn rejection(row: &Change, violations: Vec<ViolationV1>) -> Result<ChangeRejectedV1> {
    Ok(ChangeRejectedV1 {
        source: row.source.clone(),
        id: row.upstream_id.clone(),
        kind: row.kind,
        guarantee: row.number.clone(),
        violations,
        calculations: calculations(row)?,
    })
}

fn calculations(row: &Change) -> Result<Vec<CalculationV1>> {
    snapshots::read(&row.calculations).map_err(|error| Fault::unreadable("calculations", &error))
}

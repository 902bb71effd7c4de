//! Sends mails once more that were left `unknown`: the mail server may or may not have taken them.
//!
//! They carry the same Message-ID, so that a mailbox that has the first copy can tell. After the second attempt they are
//! an operator's. What is queued here goes through the dispatch stage like everything else, whose ledger decides.

use hosho_schema::{messages::DispatchV1, models::mail};
use tracing::warn;

use crate::{
    app::App,
    broker::{Lane, Outgoing},
    fault::Fault,
    pipeline::stage::Item,
    telemetry::Traceparent,
};

/// Mails looked at in one turn.
const LIMIT: i64 = 1_000;

/// Dispatch messages for the mails whose waiting time is over.
pub fn due(services: &App) -> Result<Vec<Outgoing>, Fault> {
    let mut db = services.pool.get()?;
    let now = services.clock.now();
    // In flight for too long: its worker died, and nobody asked about it since.
    for mail in mail::mark_unknown(&mut db, now - services.mail_delivery.orphan_after, now)? {
        warn!(
            mail.id = mail.id,
            "A worker died while this mail was in flight; it is unknown whether it was sent"
        );
    }
    let unknown_before = now - services.mail_delivery.resend_after;
    let due = mail::resend_due(&mut db, unknown_before, LIMIT)?;
    Ok(due
        .into_iter()
        .map(|due| {
            let trace = due.traceparent.as_deref().and_then(Traceparent::parse);
            let item = Item {
                job: (),
                lane: Lane::Bulk,
                trace: trace.unwrap_or_else(|| Traceparent::derived(&due.application_id)),
                correlation_id: Some(due.application_id),
                failed_id: None,
                replayed: false,
            };
            item.successor(&DispatchV1 { guarantee: due.guarantee_id, revision: due.revision })
        })
        .collect())
}

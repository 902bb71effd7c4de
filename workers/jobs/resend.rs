//! Resends mails whose delivery is `unknown`: the server may have taken them.
//!
//! They carry the same Message-ID, so that a mailbox with the first copy can detect the second. After the
//! second attempt an operator handles them. The messages pass the dispatch stage like all others, and its
//! ledger decides.

use chrono::NaiveDateTime;
use hosho_schema::{
    db::Connection,
    messages::DispatchV1,
    models::mail::{self, ResendDue},
};
use tracing::warn;

use crate::{
    broker::{Lane, Outgoing},
    fault::Fault,
    mail::delivery::MailDelivery,
    pipeline::stage::Item,
    telemetry::Traceparent,
};

const LIMIT: i64 = 1_000;

/// Dispatch messages for the mails that are due again.
pub fn due(db: &mut Connection, now: NaiveDateTime, delivery: &MailDelivery) -> Result<Vec<Outgoing>, Fault> {
    // In flight for too long: its worker was killed, and no message has come for it since.
    for mail in mail::mark_unknown(db, now - delivery.orphan_after, now)? {
        warn!(mail.id = mail.id, "Worker killed with the mail in flight; delivery unknown");
    }
    let unknown_before = now - delivery.resend_after;
    let due = mail::resend_due(db, unknown_before, LIMIT)?;
    let message = |due: ResendDue| {
        let trace = Traceparent::of(due.traceparent.as_deref(), &due.application_id);
        Item::new((), Lane::Bulk, Some(due.application_id), trace)
            .successor(&DispatchV1 { guarantee: due.guarantee_id, revision: due.revision })
    };
    Ok(due.into_iter().map(message).collect())
}

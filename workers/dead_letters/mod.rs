//! Dead letters: recorded, grouped by cause, edited, discarded, replayed.
//!
//! - `ingest`: dead letters become rows of `failed_message`, because a queue cannot be searched.
//! - `fingerprint`: which of them failed for the same reason.
//! - `mask`: which values of a payload are shown.
//! - `advice`: what an operator does about each code.
//! - `edit`: changes of a payload.
//! - `operations`: changes by operators, each with its audit entry.
//!
//! Replays are in `jobs/replay`. Their messages keep their ids, so that stages find their own rows and do
//! nothing twice. No replay marks a message resolved: the stage does, in the transaction of the result. The
//! ingester records that it failed again.
//!
//! Rejected: replaying from `hosho.dead` with a shovel. It needs a plugin, keeps no record, and RabbitMQ
//! silently drops a message that is published again with its `x-death`.

mod advice;
mod edit;
mod fingerprint;
mod ingest;
mod mask;
mod operations;

pub use advice::{advice, codes};
pub use edit::{Change, EditError, Edits, assignment, diff, field_error_text};
pub use fingerprint::fingerprint;
pub use ingest::Ingester;
pub use mask::{masked, masked_headers, masked_path, masked_text, masked_word};
pub use operations::{
    LeftOut, LeftOutReason, Moved, OperationError, check_edit, discard, edit, editable, entries, left_out,
    note, planned, restore, reveal,
};

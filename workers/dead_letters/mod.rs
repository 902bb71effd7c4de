//! Dead letters: taken from the queues into a table, grouped by cause, looked into, mended, replayed.
//!
//! - `ingest`: letters become rows of `failed_message`, as a queue is a poor place to look things up in.
//! - `fingerprint`: which of them failed for the same reason.
//! - `mask`: what of a payload may be shown to whom.
//! - `advice`: what to do about each code.
//! - `edit`: how a payload is mended.
//! - `operation`: what operators change, with the audit of it.
//! - `replay`: working them off once more, a few first.
//!
//! What keeps a replay honest: its messages carry the id they had, so the stages find their own rows and do nothing twice; and no
//! replay ever *says* that a message went through. The stage that works it off does, in the transaction that holds the result
//! (`runner/batch.rs`), and the ingester says that it failed again.
//!
//! Rejected: replaying straight from `hosho.dead` with a shovel. It needs a plugin, looks at nothing, keeps no record, and RabbitMQ
//! drops a message silently that is published again with its `x-death`.

mod advice;
mod edit;
mod fingerprint;
mod ingest;
mod mask;
mod operations;

pub use advice::{advice, codes};
pub use edit::{Change, EditError, Edits, assignment, diff, misfit_text};
pub use fingerprint::fingerprint;
pub use ingest::Ingester;
pub use mask::{masked, masked_headers, masked_path, masked_text, masked_word};
pub use operations::{
    Left, LeftOut, Moved, OperationError, check_edit, discard, edit, editable, entries, left_out, note,
    planned, restore, reveal, set_stage, settle_mail, take_over,
};

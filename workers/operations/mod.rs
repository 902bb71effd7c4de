//! The application layer: queries and commands of the command line, later of pages.
//!
//! - Functions take values, never parsed arguments, and return types that serialise. Nothing prints here.
//! - Returned times are [`DateTime<Utc>`](chrono::DateTime): RFC 3339 with `Z` in JSON.
//! - A change and its audit entry are one transaction. [`Operation`](crate::audit::Operation) is the actor.
//! - Every function fails with the one [`Error`], whose kind is an exit code and an HTTP status.
//! - Lists that can be cut are [`Page`]s, with the total and a cursor for the next page.

pub mod applications;
pub mod audit;
pub mod broker;
pub mod check;
pub mod configuration;
pub mod database;
pub mod dead_letters;
pub mod doctor;
mod error;
pub mod guarantees;
pub mod identifier;
pub mod input;
pub mod intake;
pub mod mails;
pub mod migrations;
pub mod obligees;
mod page;
pub mod recover;
pub mod replays;
pub mod runs;
pub mod stages;
pub mod stored_documents;
pub mod templates;
pub mod time;
pub mod topology;
pub mod verify_chain;
pub mod verify_documents;

pub use crate::text::{counted, local, zoned};
use error::BROKER_DENIED;
pub use error::{Error, ErrorKind};
pub use page::{Cursor, Page, PageRequest};

/// Violations as stored; none if unreadable.
fn stored_violations(text: Option<&str>) -> Vec<hosho_schema::messages::ViolationV1> {
    text.and_then(|text| hosho_schema::snapshots::read(text).ok()).unwrap_or_default()
}

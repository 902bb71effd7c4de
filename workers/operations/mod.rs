//! The application layer: what the command line (and later the pages) decide, read or change.
//!
//! - Functions take values (never parsed arguments) and return types that serialise with serde. Nothing here
//!   prints.
//! - Times in what they return are [`chrono::DateTime<Utc>`](chrono::DateTime): RFC 3339 with `Z` in JSON.
//! - A change and its audit entry are one transaction; who acts, and why, is an
//!   [`Operation`](crate::audit::Operation).
//! - Every function fails with the one [`Error`], whose kind is an exit code and an HTTP status.
//! - Lists are [`Page`]s: they say how many rows there are in all, and where the next page begins.

pub mod audit;
pub mod broker;
pub mod dead_letters;
pub mod doctor;
mod error;
pub mod identifier;
pub mod mails;
mod page;
pub mod recover;
pub mod replays;
pub mod stages;
mod text;
pub mod time;

pub use error::{Error, ErrorKind};
pub use page::{Page, PageRequest};
pub use text::{counted, local};

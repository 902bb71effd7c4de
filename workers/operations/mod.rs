//! The application layer: what the command line (and later the pages) decide, read or change.
//!
//! - Functions take values (never parsed arguments) and return types that serialise with serde. Nothing here prints.
//! - Times in what they return are [`chrono::DateTime<Utc>`](chrono::DateTime): RFC 3339 with `Z` in JSON.
//! - A change and its audit entry are one transaction; who acts, and why, is an [`Operation`](crate::audit::Operation).
//! - Every function fails with the one [`Error`], whose kind is an exit code and an HTTP status.
//! - Lists are [`Page`]s: they say how many rows there are in all, and where the next page begins.

mod error;
mod page;

pub use error::{Error, ErrorKind};
pub use page::{Page, PageRequest};

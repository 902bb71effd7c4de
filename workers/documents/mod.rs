//! The documents of the business: what stands in them, and how it is written.
//!
//! Each kind of document has one context: plain texts, formatted here and nowhere else (和暦, 12,345,000円, 変更－n).
//! A template only arranges them. Contexts are built from the certificate's snapshot alone, so that a document drawn
//! years later says what it said on its first day.
//!
//! The authentication key is in the notice and in no other document, and there only as text: the QR code opens the
//! registry with the guarantee number and leaves the key to be typed.
//!
//! A seal is a picture by the name of its SHA-256, as the certificate's snapshot names it. One that is not at hand is an
//! error: a document without its seal would be another document.

pub mod cancellation;
pub mod catalog;
pub mod certificate;
pub mod check;
pub mod issue_mail;
pub mod notice;
#[cfg(test)]
mod pictures;
pub mod renderer;
pub mod revision;
pub mod samples;
pub mod store;
pub mod templates;
#[cfg(test)]
mod tests;

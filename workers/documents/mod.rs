//! Certificates, notices and cancellations, from the context to the stored PDF.
//!
//! Each kind of document has one context of plain texts, formatted here and nowhere else (和暦, 12,345,000円,
//! 変更－n). A template only arranges them. A context is built from the snapshot of the revision alone, so a
//! document rendered years later has the text of its first day.
//!
//! The authentication key is in the notice and in no other document, and there only as text: the QR code
//! opens the registry with the guarantee number, and a person types the key.
//!
//! The snapshot names the seal by the SHA-256 of its picture. A missing picture is an error: the document
//! would differ.

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

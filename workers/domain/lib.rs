//! Pure rules of the business: no I/O, no clock, no vendor.
//!
//! What the rules need from outside comes in as a value or a function ([`application::Facts`]): the registry of
//! obligees, the branches, today's date in Tokyo, what the fonts can print, what a mail address is. So every rule is a
//! table-driven test, and a batch can be judged on all cores at once.
//!
//! [`obligee`] and [`issuer`] hold the types and rules of the registries; reading their files is `hosho::obligees` and
//! `hosho::surety`, which alone know TOML and folders.

pub mod amendment;
pub mod application;
#[cfg(test)]
mod cases;
pub mod certificate;
pub mod changes;
pub mod engagement;
pub mod issuer;
pub mod limits;
pub mod money;
pub mod number;
pub mod obligee;
pub mod revisions;
pub mod subject;
pub mod text;
pub mod violation;
pub mod wareki;
pub mod wording;

//! The rules of electronic surety (電子保証): pure, without I/O, clock or vendor.
//!
//! Inputs from outside are values or functions of a [`RuleContext`](application::RuleContext): the registries
//! of obligees and branches, the date in Tokyo, the characters that the fonts can print, and the normal form
//! of a mail address. So every rule is covered by table-driven tests, and a batch can be judged on all cores.
//!
//! [`obligee`] and [`issuer`] contain the types and rules of the registries. `hosho::reference::obligees` and
//! `hosho::reference::surety` read their files.

pub mod amendment;
pub mod application;
pub mod bilingual;
#[cfg(test)]
mod cases;
pub mod certificate;
pub mod change_request;
pub mod commitment;
pub mod guarantee_history;
pub mod issuer;
pub mod labels;
pub mod limits;
pub mod mail_subject;
pub mod number;
pub mod obligee;
pub mod revisions;
pub mod text;
pub mod violation;
pub mod wareki;

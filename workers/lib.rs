//! hosho: the back end of Japanese electronic surety (電子保証) for public works.

pub mod broker;
pub mod clock;
pub mod documents;
pub mod domain;
mod entries;
pub mod hex;
pub mod keys;
pub mod mail;
pub mod obligees;
pub mod papers;
pub mod pdf;
pub mod personal;
pub mod secret;
pub mod surety;
pub mod templates;

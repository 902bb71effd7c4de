//! hosho: the back end of Japanese electronic surety (電子保証) for public works.

pub mod broker;
pub mod domain;
mod entries;
pub mod hex;
pub mod obligees;
pub mod papers;
pub mod pdf;
pub mod surety;
pub mod templates;

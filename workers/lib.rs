//! hosho: the back end of Japanese electronic surety (電子保証) for public works.

pub mod broker;
pub mod domain;
mod entries;
pub mod obligees;
pub mod surety;

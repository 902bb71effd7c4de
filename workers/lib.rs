//! hosho: the back end of Japanese electronic surety (電子保証) for public works.

pub mod assembly;
pub mod batches;
pub mod broker;
pub mod changes;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decisions;
pub mod documents;
pub mod domain;
pub mod drawing;
mod entries;
pub mod failures;
pub mod hex;
pub mod issuance;
pub mod keys;
pub mod mail;
pub mod obligees;
pub mod papers;
pub mod personal;
pub mod post;
pub mod proofs;
pub mod pulse;
pub mod runner;
pub mod secret;
pub mod stage;
pub mod stages;
pub mod surety;
pub mod telemetry;
pub mod templates;

pub use hosho_pdf as pdf;

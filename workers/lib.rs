//! hosho: the back end of Japanese electronic surety (電子保証) for public works.

pub mod app;
pub mod audit;
pub mod backoff;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod dead_letters;
pub mod documents;
pub mod fault;
pub mod jobs;
pub mod keys;
pub mod mail;
pub mod operations;
pub mod permit;
pub mod pipeline;
pub mod redact;
pub mod reference;
pub mod schedule;
pub mod secret;
pub mod stages;
pub mod telemetry;
pub mod text;
pub mod worker;

pub use hosho_domain as domain;
pub use hosho_pdf as pdf;

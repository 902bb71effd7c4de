//! The integration tests: one binary with private servers that end with it.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]
#![allow(unreachable_pub, reason = "nothing outside a test binary can reach anything")]

mod attacks;
mod broker;
mod crashes;
mod database;
mod documents;
mod embedded;
mod failures;
mod fuzz;
mod harness;
mod hostile;
mod mail;
mod pipeline;
mod rules;
mod schedules;

//! Data that outlives a process: queue contract, stored snapshots, tables.
//!
//! - [`messages`]: the messages of the queues. Upstream systems code against them, so they grow only by
//!   optional fields.
//! - [`snapshots`]: JSON that is written once and read years later.
//! - [`models`], [`queries`] and [`db`]: tables, queries and connections for PostgreSQL and SQLite. No other
//!   code names diesel.
//! - [`ids`]: primary keys, derived from business keys.
//! - [`money`]: whole yen and exact ratios.
//!
//! This crate does not depend on the workers.

pub mod db;
pub mod ids;
pub mod messages;
pub mod models;
pub mod money;
mod personal;
pub mod queries;
pub mod snapshots;

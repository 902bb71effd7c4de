//! Data that outlives a process: the queue contract, the snapshots kept in the database, and the tables.
//!
//! Three rooms:
//!
//! - [`messages`]: what travels through queues. Upstream systems code against it, so it grows only additively.
//! - [`snapshots`]: what is written once and read years later (the normalised application, the content of a certificate).
//! - [`models`] and [`db`]: tables, queries and connections for PostgreSQL and SQLite. The only code that names diesel.
//!   [`ids`] derives the primary keys.
//! - [`money`]: whole yen and exact ratios.
//!
//! Nothing here knows the workers: arrows point from `hosho` to `hosho-schema`, never back.

pub mod db;
pub mod ids;
pub mod messages;
pub mod models;
pub mod money;
mod personal;
pub mod queries;
pub mod snapshots;

//! The harness of the integration tests.

#![allow(dead_code, unused_imports, reason = "the tests use more of it")]

#[path = "../../tests/it/harness/dataset.rs"]
pub mod dataset;
#[path = "../../tests/it/harness/postgres.rs"]
pub mod postgres;
#[path = "../../tests/it/harness/process.rs"]
pub mod process;
#[path = "../../tests/it/harness/rabbit.rs"]
pub mod rabbit;
#[path = "../../tests/it/harness/upstream.rs"]
pub mod upstream;

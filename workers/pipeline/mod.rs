//! The contract of a stage, the runner and the heartbeat.
//! The runner has batches, retries and priorities.

mod batch;
mod consumer;
pub mod decode;
pub mod heartbeat;
pub mod priority;
mod retry;
pub mod runner;
pub mod stage;
#[cfg(test)]
mod tests;
mod throttle;

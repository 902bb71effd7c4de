//! The contract of a stage; the runner with its batches, retries and priorities; the heartbeat.

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

//! Private servers and child processes for tests.
//!
//! There is one server of a kind per test binary, started at first use on a free loopback port. Each test has
//! its own database or queue prefix. All processes started here are killed when the test process ends.

pub mod amqp;
pub mod contract;
pub mod dataset;
pub mod documents;
pub mod evidence;
pub mod postgres;
pub mod process;
pub mod rabbit;
pub mod redact;
pub mod s3;
pub mod secrets;
pub mod smtp;
pub mod test_env;
pub mod upstream;

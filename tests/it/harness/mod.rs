//! Private servers and child processes for tests.
//!
//! One server of a kind per test binary, started at first use on a free loopback port; tests are kept apart by a database
//! or a queue prefix of their own. Everything started here dies with the test process, however that ends.

pub mod amqp;
pub mod contract;
pub mod dataset;
pub mod evidence;
pub mod postgres;
pub mod process;
pub mod rabbit;
pub mod secrets;
pub mod smtp;
pub mod test_env;
pub mod upstream;

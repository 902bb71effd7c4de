//! The broker that workers share, for commands whose messages must reach them.

use std::path::Path;

use super::Error;
use crate::{
    app::{self, BrokerClient},
    config::Config,
    stages,
};

/// Why the broker inside one process is of no use to a command.
pub const IN_PROCESS: &str = "broker.url is memory: no worker would get the messages";

/// The client of the shared broker; rejects one inside this process.
pub fn shared(config: &Config) -> Result<BrokerClient, Error> {
    let client = app::broker_client(config, stages::NAMES)?;
    if client.in_process() {
        return Err(Error::invalid(IN_PROCESS)
            .hint("set HOSHO__BROKER__URL=amqp://…, or name the folder of `hosho process` with --out"));
    }
    Ok(client)
}

/// Requires a shared broker, unless this process does the work itself in `out`.
pub fn require(out: Option<&Path>, config: &Config) -> Result<(), Error> {
    if out.is_none() { shared(config).map(drop) } else { Ok(()) }
}

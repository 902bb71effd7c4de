//! The queue that workers share, for commands whose messages must get to them.

use super::Error;
use crate::{
    app::{self, BrokerClient},
    config::Config,
    stages,
};

/// Why a queue in this process is of no use to a command.
pub(super) const IN_PROCESS: &str = "broker.url is memory: no worker would get the messages";

/// The queue; one that only this process can use is refused, before anything is changed.
pub(super) fn queue(config: &Config) -> Result<BrokerClient, Error> {
    let queue = app::broker_client(config, stages::NAMES)?;
    if queue.in_process() {
        return Err(Error::invalid(IN_PROCESS)
            .hint("set HOSHO__BROKER__URL=amqp://…, or name the folder of `hosho process` with --out"));
    }
    Ok(queue)
}

/// Refuses a queue in this process, unless the messages are worked off here, in the folder `out`.
pub(super) fn require(out: Option<&std::path::Path>, config: &Config) -> Result<(), Error> {
    if out.is_none() { queue(config).map(drop) } else { Ok(()) }
}

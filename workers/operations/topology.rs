//! Checks or declares the exchanges and queues of RabbitMQ.

use super::{Error, ErrorKind};
use crate::{
    app::{self, BrokerClient},
    broker::{BrokerError, rabbit::topology::Report},
    config::Config,
    stages,
};

/// Changes nothing.
pub async fn check(config: &Config) -> Result<Report, Error> {
    let client = client(config)?;
    let result = client.check_topology().await;
    close(&client, result).await
}

/// Declares what is missing; never replaces a queue that differs.
pub async fn apply(config: &Config) -> Result<Report, Error> {
    let client = client(config)?;
    let result = client.apply_topology().await;
    close(&client, result).await
}

fn client(config: &Config) -> Result<BrokerClient, Error> {
    let client = app::broker_client(config, stages::NAMES)?;
    if client.in_process() {
        return Err(Error::invalid("broker.url is memory: it has no topology")
            .hint("set HOSHO__BROKER__URL=amqp://…"));
    }
    Ok(client)
}

async fn close(client: &BrokerClient, result: Result<Report, BrokerError>) -> Result<Report, Error> {
    client.broker().close().await;
    result.map_err(|error| match error {
        BrokerError::Topology(_) => Error::new(ErrorKind::Conflict, error).hint(
            "drain the queue, delete it, and run `hosho topology apply`: its settings cannot be changed",
        ),
        error => error.into(),
    })
}

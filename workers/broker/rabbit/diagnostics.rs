//! The broker's version, health and clock, for `hosho doctor`.
//!
//! Without plugins AMQP is the only interface. The greeting of the broker names product and version; lapin
//! does not expose it, so it is read on a connection of its own. The broker announces an alarm only to
//! publishers, so a message is published to a temporary queue; its way from there through a dead-letter
//! exchange returns the broker's clock, which no other answer has. Feature flags cannot be queried: that the
//! queues exist with their arguments proves the flags that are needed.

use std::time::Duration;

use chrono::NaiveDateTime;
use lapin::{
    BasicProperties, Channel, Confirmation,
    options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions},
    types::{AMQPValue, FieldTable, ShortString, parsing::parse_field_table},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout},
};

use super::{
    CONNECT_LIMIT, Rabbit,
    answers::{ANSWER_LIMIT, answer, short, silent, temporary_queue, unavailable},
    dial::dial,
    wire,
};
use crate::broker::BrokerError;

const DIAGNOSE: &str = "diagnose the broker";

const TAKE_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub struct Diagnostics {
    pub product: String,
    /// Such as `3.10.8`.
    pub version: String,
    /// Capabilities, such as `publisher_confirms`.
    pub capabilities: Vec<String>,
    /// Time until the confirm; `None` without one.
    pub confirmed_in: Option<Duration>,
    /// Publishing is blocked: an alarm of memory or disk.
    pub is_blocked: bool,
    /// Its clock (UTC, whole seconds).
    pub clock: Option<NaiveDateTime>,
}

pub async fn diagnose(rabbit: &Rabbit) -> Result<Diagnostics, BrokerError> {
    let properties = match timeout(CONNECT_LIMIT, greeting(rabbit)).await {
        Ok(Ok(properties)) => properties,
        Ok(Err(error)) => return Err(unavailable("read the greeting of the broker", error)),
        Err(_) => return Err(silent("read the greeting of the broker", CONNECT_LIMIT)),
    };
    let text = |name: &str| match properties.inner().get(name) {
        Some(AMQPValue::LongString(value)) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        _ => "unknown".to_owned(),
    };
    let capabilities = match properties.inner().get("capabilities") {
        Some(AMQPValue::FieldTable(table)) => {
            let is_on = |value: &AMQPValue| matches!(value, AMQPValue::Boolean(true));
            table.inner().iter().filter(|(_, value)| is_on(value)).map(|(name, _)| name.to_string()).collect()
        }
        _ => Vec::new(),
    };
    let mut found = Diagnostics {
        product: text("product"),
        version: text("version"),
        capabilities,
        confirmed_in: None,
        is_blocked: false,
        clock: None,
    };
    let channel = rabbit.channel(&rabbit.inner.publishing, DIAGNOSE).await?;
    let last = temporary_queue(&channel, DIAGNOSE, &[]).await?;
    let arguments = [
        ("x-message-ttl", AMQPValue::LongLongInt(0)),
        ("x-dead-letter-exchange", AMQPValue::LongString("".into())),
        ("x-dead-letter-routing-key", AMQPValue::LongString(last.as_str().into())),
    ];
    let first = temporary_queue(&channel, DIAGNOSE, &arguments).await?;
    answer(DIAGNOSE, channel.confirm_select(ConfirmSelectOptions::default())).await?;
    let began = Instant::now();
    let publishing = channel.basic_publish(
        short(""),
        first,
        BasicPublishOptions::default(),
        b"",
        BasicProperties::default(),
    );
    let confirmed = timeout(TAKE_LIMIT, async { publishing.await?.await }).await;
    found.confirmed_in = matches!(confirmed, Ok(Ok(Confirmation::Ack(_)))).then(|| began.elapsed());
    found.is_blocked =
        found.confirmed_in.is_none() && rabbit.connection(&rabbit.inner.publishing).await?.status().blocked();
    if found.confirmed_in.is_some() {
        found.clock = clock(&channel, last).await?;
    }
    let _ = timeout(ANSWER_LIMIT, channel.close(200, short("OK"))).await;
    Ok(found)
}

/// Reads Connection.Start, which the broker sends before the login.
async fn greeting(rabbit: &Rabbit) -> std::io::Result<FieldTable> {
    const FRAME_HEAD: usize = 7;
    const METHOD_HEAD: usize = 6;
    const LONGEST: u32 = 64 << 10;
    let malformed = || std::io::Error::new(std::io::ErrorKind::InvalidData, "this is no AMQP 0-9-1 server");
    let mut stream = dial(&rabbit.inner.uri, rabbit.inner.tls.as_ref()).await?;
    stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
    stream.flush().await?;
    let mut head = [0; FRAME_HEAD];
    stream.read_exact(&mut head).await?;
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
    // A method frame on channel 0.
    if head[..3] != [1, 0, 0] || size > LONGEST {
        return Err(malformed());
    }
    let mut body = vec![0; usize::try_from(size).unwrap_or_default()];
    stream.read_exact(&mut body).await?;
    // Class 10, method 10, version 0-9.
    if body.get(..METHOD_HEAD) != Some(&[0, 10, 0, 10, 0, 9]) {
        return Err(malformed());
    }
    let (_, properties) = parse_field_table(&body[METHOD_HEAD..]).map_err(|_| malformed())?;
    Ok(properties)
}

/// The moment at which the broker moved the message.
async fn clock(channel: &Channel, queue: ShortString) -> Result<Option<NaiveDateTime>, BrokerError> {
    let began = Instant::now();
    while began.elapsed() < TAKE_LIMIT {
        let getting = channel.basic_get(queue.clone(), BasicGetOptions { no_ack: true });
        if let Some(message) = answer(DIAGNOSE, getting).await? {
            let headers = message.delivery.properties.headers().clone().unwrap_or_default();
            return Ok(wire::death(&headers).and_then(|death| death.at));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(None)
}

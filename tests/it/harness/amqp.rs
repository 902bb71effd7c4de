//! A plain AMQP client that shares no code with the program.
//! It sends good and hostile messages, and listens.
//!
//! A [`Tap`] is an exclusive queue bound to the exchanges of an env. [`Tap::messages`] returns every message
//! that the broker routed before the call, so a test can assert that a message was *never* published.

use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    options::{
        BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicRejectOptions, ConfirmSelectOptions,
        QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
    },
    types::{AMQPValue, FieldTable},
};
use tokio::runtime::Runtime;

use super::{process::eventually, test_env::LIMIT};

/// A connection to the broker. Blocks; not for use within an async test.
pub struct Client {
    // Dropped in this order.
    channel: Channel,
    connection: Connection,
    runtime: Runtime,
}

impl Client {
    pub fn connect(url: &str) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (connection, channel) = runtime.block_on(async {
            let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
            let channel = connection.create_channel().await.unwrap();
            channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
            (connection, channel)
        });
        Self { channel, connection, runtime }
    }

    /// Panics unless the broker confirms the message and routes it to a queue.
    pub fn publish(&self, exchange: &str, key: &str, body: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let confirmation = self.runtime.block_on(async {
            let published =
                self.channel.basic_publish(exchange.into(), key.into(), options, body, properties).await;
            match published {
                Ok(confirm) => confirm.await,
                Err(error) => Err(error),
            }
        });
        let confirmation = confirmation.unwrap_or_else(|error| {
            panic!(
                "{exchange} {key}: {error} on {:?}\n{}",
                self.connection.status(),
                super::rabbit::shared().log()
            )
        });
        assert!(matches!(confirmation, Confirmation::Ack(None)), "{exchange} {key}: {confirmation:?}");
    }

    /// Returns the number of messages removed.
    pub fn purge(&self, queue: &str) -> u32 {
        self.runtime.block_on(self.channel.queue_purge(queue.into(), QueuePurgeOptions::default())).unwrap()
    }

    /// Rejects the next message of a queue, as a consumer of another program might.
    pub fn reject(&self, queue: &str) {
        self.runtime.block_on(async {
            let taken = self
                .channel
                .basic_get(queue.into(), BasicGetOptions::default())
                .await
                .unwrap()
                .expect("a message");
            taken.delivery.acker.reject(BasicRejectOptions { requeue: false }).await.unwrap();
        });
    }

    /// Returns the number of ready messages deleted with the queue.
    pub fn delete_queue(&self, queue: &str) -> u32 {
        self.runtime.block_on(self.channel.queue_delete(queue.into(), QueueDeleteOptions::default())).unwrap()
    }
}

pub fn properties(message_id: &str, headers: &[(&str, AMQPValue)]) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert((*name).into(), value.clone());
    }
    BasicProperties::default().with_message_id(message_id.into()).with_headers(table)
}

pub fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// A message that a [`Tap`] received.
#[derive(Debug, Clone)]
pub struct Message {
    /// Without the prefix of the env.
    pub exchange: String,
    pub routing_key: String,
    pub properties: BasicProperties,
    pub body: Vec<u8>,
}

impl Message {
    /// A header that is text or a whole number.
    pub fn header(&self, name: &str) -> Option<String> {
        match self.properties.headers().as_ref()?.inner().get(name)? {
            AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
            AMQPValue::LongLongInt(number) => Some(number.to_string()),
            _ => None,
        }
    }

    pub fn message_id(&self) -> &str {
        self.properties.message_id().as_ref().map_or("", |id| id.as_str())
    }

    pub fn correlation_id(&self) -> &str {
        self.properties.correlation_id().as_ref().map_or("", |id| id.as_str())
    }

    /// Panics if the body is not JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The stage, for a message of the work exchange.
    pub fn stage(&self) -> Option<&str> {
        (self.exchange == "work").then(|| self.routing_key.trim_end_matches(".bulk"))
    }

    /// Exchange, key, properties, headers and body as one text to search.
    pub fn all_text(&self) -> String {
        let mut text = format!("{} {} ", self.exchange, self.routing_key);
        let properties = &self.properties;
        for property in [
            properties.content_type(),
            properties.content_encoding(),
            properties.correlation_id(),
            properties.reply_to(),
            properties.expiration(),
            properties.message_id(),
            properties.kind(),
            properties.user_id(),
            properties.app_id(),
        ] {
            let _ = write!(text, "{} ", property.as_ref().map_or("", |value| value.as_str()));
        }
        for (name, value) in properties.headers().iter().flat_map(FieldTable::inner) {
            let _ = write!(text, "{name}=");
            match value {
                AMQPValue::LongString(value) => text.push_str(&String::from_utf8_lossy(value.as_bytes())),
                other => {
                    let _ = write!(text, "{other:?}");
                }
            }
            text.push(' ');
        }
        text + &String::from_utf8_lossy(&self.body)
    }
}

/// An exclusive queue bound to some exchanges of an env.
pub struct Tap {
    client: Client,
    queue: String,
    seen: Arc<Mutex<Vec<Message>>>,
    marks: AtomicUsize,
}

impl Tap {
    /// `bindings` are exchanges (without `prefix`) and routing keys.
    pub fn open(url: &str, prefix: &str, bindings: &[(&str, String)]) -> Self {
        let client = Client::connect(url);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (queue, mut consumer) = client.runtime.block_on(async {
            let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
            let queue = client.channel.queue_declare("".into(), own, FieldTable::default()).await.unwrap();
            let queue = queue.name().to_string();
            for (exchange, key) in bindings {
                let exchange = format!("{prefix}{exchange}");
                let (options, none) = (QueueBindOptions::default(), FieldTable::default());
                client
                    .channel
                    .queue_bind(
                        queue.as_str().into(),
                        exchange.as_str().into(),
                        key.as_str().into(),
                        options,
                        none,
                    )
                    .await
                    .unwrap();
            }
            let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
            let consumer = client
                .channel
                .basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default())
                .await
                .unwrap();
            (queue, consumer)
        });
        let (sink, prefix) = (Arc::clone(&seen), prefix.to_owned());
        client.runtime.spawn(async move {
            while let Some(Ok(delivery)) = consumer.next().await {
                let exchange = delivery.exchange.as_str();
                let message = Message {
                    exchange: exchange.strip_prefix(&prefix).unwrap_or(exchange).to_owned(),
                    routing_key: delivery.routing_key.as_str().to_owned(),
                    properties: delivery.properties,
                    body: delivery.data,
                };
                sink.lock().unwrap().push(message);
            }
        });
        Self { client, queue, seen, marks: AtomicUsize::new(0) }
    }

    /// Every message routed before this call, in order.
    pub fn messages(&self) -> Vec<Message> {
        // A mark published to the queue arrives after all messages in it.
        let mark = format!("mark-{}", self.marks.fetch_add(1, Ordering::Relaxed));
        self.client.publish("", &self.queue, b"", properties(&mark, &[]));
        let is_mark = |message: &Message| message.exchange.is_empty() && message.message_id() == mark;
        eventually("the mark of a tap", Duration::from_secs(30), || {
            self.seen.lock().unwrap().iter().any(is_mark).then_some(())
        });
        self.seen.lock().unwrap().iter().filter(|message| !message.exchange.is_empty()).cloned().collect()
    }

    pub fn events(&self, key: &str) -> Vec<Message> {
        self.messages()
            .into_iter()
            .filter(|message| message.exchange == "events" && message.routing_key == key)
            .collect()
    }

    /// Waits for at least `count` events with this routing key.
    pub fn until_events(&self, key: &str, count: usize) -> Vec<Message> {
        eventually(&format!("{count} events {key}"), LIMIT, || {
            Some(self.events(key)).filter(|events| events.len() >= count)
        })
    }

    pub fn dead(&self) -> Vec<Message> {
        self.messages().into_iter().filter(|message| message.exchange == "dead").collect()
    }

    /// Whether the stages after the first have published all they received.
    ///
    /// `taken_away` is the number of messages that the test removed.
    pub fn is_settled(&self, taken_away: usize) -> bool {
        let messages = self.messages();
        let count =
            |wanted: &dyn Fn(&Message) -> bool| messages.iter().filter(|message| wanted(message)).count();
        let into = |stage: &str| count(&|message| message.stage() == Some(stage));
        // A message in a wait queue is delivered again later.
        let failed = |stage: &str| {
            count(&|message| {
                (message.exchange == "dead" || message.exchange.starts_with("wait."))
                    && message.routing_key.trim_end_matches(".bulk") == stage
            })
        };
        let issued =
            count(&|message| message.exchange == "events" && message.routing_key == "guarantee.issued");
        let flow = [
            ("issue", into("mint")),
            ("mint", into("render")),
            ("render", into("dispatch")),
            ("dispatch", issued),
        ];
        let waiting = count(&|message| message.exchange.starts_with("wait."));
        let retried =
            count(&|message| message.stage().is_some() && message.header("hosho-attempt").is_some());
        waiting == retried
            && flow
                .into_iter()
                .map(|(stage, out)| into(stage).saturating_sub(out + failed(stage)))
                .sum::<usize>()
                <= taken_away
    }
}

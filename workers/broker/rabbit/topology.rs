//! Every exchange, queue and binding, declared, compared and tested as one list.
//!
//! All queues are quorum queues. Safety settings are queue arguments: a queue that exists with others is
//! refused (406) at start instead of losing messages later. Capacities (lengths, sizes) are the operator's,
//! by policies.
//!
//! Every move by the broker (delivery limit, waiting time) dead-letters *at least once*, which needs
//! `x-overflow=reject-publish`: the broker keeps the message until its next queue has it. The default, at
//! most once, may lose it when the broker is killed in between, and with it retries that were already
//! acknowledged.
//!
//! The delivery limit of 30 on stage queues is only a brake against crash loops: kills of workers and
//! restarts of the broker count for every prefetched message, not only for the poison message. Dead letters
//! and unrouted messages get a limit that is never reached: RabbitMQ 4 would otherwise apply 20 and drop
//! them.

use std::{fmt, time::Duration};

use lapin::{
    Channel, Connection, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use tokio::time::{sleep, timeout};

use super::{
    Rabbit,
    answers::{ANSWER_LIMIT, NOT_FOUND, answer, short, silent, topology_fault, unavailable},
};
use crate::broker::{
    BrokerError, Lane, RetryDelay, Source,
    names::{DELIVERY_LIMIT, Names, stage_key},
};

const NO_DELIVERY_LIMIT: i64 = 1_000_000_000;

/// Wait after the declaration of a new queue.
/// RabbitMQ 3.10 loses a quorum queue for good when it is killed within about a second of its first
/// declaration.
const SETTLING: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    Text(String),
    /// A number; times are in milliseconds.
    Number(i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declared {
    Exchange {
        name: String,
        /// `direct`, `fanout` or `topic`.
        kind: &'static str,
        /// The alternate exchange, for unroutable messages.
        alternate: Option<String>,
    },
    /// A queue; durable.
    Queue { name: String, arguments: Vec<(&'static str, Argument)> },
    Binding {
        queue: String,
        exchange: String,
        /// Routing key; empty for a fanout.
        key: String,
    },
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    pub present: usize,
    pub created: Vec<String>,
    pub missing: Vec<String>,
    /// The broker's text for each difference, from [`check`] only.
    /// It names the queue and the argument.
    pub different: Vec<String>,
    /// Seconds waited after creating a queue.
    pub waited_s: u64,
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.missing.is_empty() && self.different.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} present, {} created", self.present, self.created.len())?;
        if self.waited_s > 0 {
            write!(f, ", waited {} s for the new queues to settle", self.waited_s)?;
        }
        for name in &self.created {
            write!(f, "\n  created    {name}")?;
        }
        for name in &self.missing {
            write!(f, "\n  missing    {name}")?;
        }
        for text in &self.different {
            write!(f, "\n  different  {text}")?;
        }
        Ok(())
    }
}

/// Everything that must exist, in an order in which it can be declared.
pub fn expected(prefix: &str, stages: &[&'static str]) -> Vec<Declared> {
    let names = Names::new(prefix, stages);
    let text = |value: &str| Argument::Text(value.to_owned());
    let exchange = |name: &str, kind| Declared::Exchange { name: names.with(name), kind, alternate: None };
    let bound = |queue: &str, key: &str, exchange: &str| Declared::Binding {
        queue: queue.to_owned(),
        exchange: exchange.to_owned(),
        key: key.to_owned(),
    };
    let quorum = |name: String, more: Vec<(&'static str, Argument)>| {
        let mut arguments = vec![("x-queue-type", text("quorum")), ("x-overflow", text("reject-publish"))];
        arguments.extend(more);
        Declared::Queue { name, arguments }
    };
    let (work, dead, unrouted) = (names.with("work"), names.with("dead"), names.with("unrouted"));

    let mut all = vec![
        exchange("unrouted", "fanout"),
        exchange("dead", "fanout"),
        exchange("events", "topic"),
        Declared::Exchange { name: work.clone(), kind: "direct", alternate: Some(unrouted.clone()) },
    ];
    for end in [&unrouted, &dead] {
        all.push(quorum(end.clone(), vec![("x-delivery-limit", Argument::Number(NO_DELIVERY_LIMIT))]));
        all.push(bound(end, "", end));
    }
    for stage in stages {
        for lane in [Lane::Live, Lane::Bulk] {
            let queue = names.source(Source::Stage(stage, lane));
            // No dead-letter routing key: the dead letter keeps the name of its stage.
            let arguments = vec![
                ("x-delivery-limit", Argument::Number(i64::from(DELIVERY_LIMIT))),
                ("x-dead-letter-exchange", text(&dead)),
                ("x-dead-letter-strategy", text("at-least-once")),
            ];
            all.push(quorum(queue.clone(), arguments));
            all.push(bound(&queue, &stage_key(stage, lane), &work));
        }
    }
    for delay in RetryDelay::ALL {
        let name = names.wait(delay);
        let delay = i64::try_from(delay.delay().as_millis()).unwrap_or(i64::MAX);
        let arguments = vec![
            ("x-message-ttl", Argument::Number(delay)),
            ("x-dead-letter-exchange", text(&work)),
            ("x-dead-letter-strategy", text("at-least-once")),
        ];
        all.push(Declared::Exchange { name: name.clone(), kind: "fanout", alternate: None });
        all.push(quorum(name.clone(), arguments));
        all.push(bound(&name, "", &name));
    }
    all
}

/// Declares everything, and again after every reconnect from then on.
/// Safe to call at any time.
///
/// [`BrokerError::Topology`] when something exists with other settings; it names the queue and the argument.
pub async fn apply(rabbit: &Rabbit) -> Result<Report, BrokerError> {
    let inner = &rabbit.inner;
    let connection = rabbit.connection(&inner.consuming).await?;
    let report = declare(&connection, &inner.names).await?;
    inner.keeps_topology.store(true, std::sync::atomic::Ordering::Release);
    Ok(report)
}

/// Compares the broker with what is expected, creating nothing.
///
/// Bindings are not compared: AMQP cannot list them. [`apply`] restores them.
pub async fn check(rabbit: &Rabbit) -> Result<Report, BrokerError> {
    let inner = &rabbit.inner;
    let connection = rabbit.connection(&inner.consuming).await?;
    walk(&connection, &inner.names, false).await
}

/// Declares everything over a connection, and waits when a queue is new.
pub(super) async fn declare(connection: &Connection, names: &Names) -> Result<Report, BrokerError> {
    let mut report = walk(connection, names, true).await?;
    if !report.different.is_empty() {
        return Err(BrokerError::Topology(report.different.join("; ")));
    }
    if report.created.iter().any(|name| names.queues().contains(name)) {
        sleep(SETTLING).await;
        report.waited_s = SETTLING.as_secs();
    }
    Ok(report)
}

/// Declares everything passively, then actively what exists, to compare settings.
/// With `create`, also what is missing.
async fn walk(connection: &Connection, names: &Names, create: bool) -> Result<Report, BrokerError> {
    let mut report = Report::default();
    let mut channel = open(connection).await?;
    for thing in expected(&names.prefix, &names.stages) {
        let name = match &thing {
            Declared::Exchange { name, .. } => format!("exchange {name}"),
            Declared::Queue { name, .. } => name.clone(),
            Declared::Binding { .. } => {
                if create {
                    answer("bind a queue", put(&channel, &thing, false)).await?;
                }
                continue;
            }
        };
        let exists = declare_one(connection, &mut channel, &name, &thing, true).await?.is_none();
        if !exists && !create {
            report.missing.push(name);
            continue;
        }
        match declare_one(connection, &mut channel, &name, &thing, false).await? {
            Some(text) => report.different.push(text),
            None if exists => report.present += 1,
            None => report.created.push(name),
        }
    }
    // Not an error: the channel closes with its last handle anyway.
    let _ = timeout(ANSWER_LIMIT, channel.close(200, short("OK"))).await;
    Ok(report)
}

/// Declares one item, actively or passively.
/// Returns the text of the broker when the item is missing or different. Such an answer closes the channel,
/// so it is replaced.
async fn declare_one(
    connection: &Connection,
    channel: &mut Channel,
    name: &str,
    thing: &Declared,
    passive: bool,
) -> Result<Option<String>, BrokerError> {
    let operation = || format!("declare {name}");
    let Ok(answered) = timeout(ANSWER_LIMIT, put(channel, thing, passive)).await else {
        return Err(silent(operation(), ANSWER_LIMIT));
    };
    let Err(error) = answered else { return Ok(None) };
    match topology_fault(&error) {
        Some((code, text)) if passive == (code == NOT_FOUND) => {
            *channel = open(connection).await?;
            Ok(Some(text))
        }
        _ => Err(unavailable(operation(), error)),
    }
}

async fn open(connection: &Connection) -> Result<Channel, BrokerError> {
    answer("open a channel", connection.create_channel()).await
}

async fn put(channel: &Channel, thing: &Declared, passive: bool) -> Result<(), lapin::Error> {
    match thing {
        Declared::Exchange { name, kind, alternate } => {
            let kind = match *kind {
                "direct" => ExchangeKind::Direct,
                "topic" => ExchangeKind::Topic,
                _ => ExchangeKind::Fanout,
            };
            let mut arguments = FieldTable::default();
            if let Some(alternate) = alternate {
                arguments
                    .insert(short("alternate-exchange"), AMQPValue::LongString(alternate.as_str().into()));
            }
            let options = ExchangeDeclareOptions { passive, durable: true, ..Default::default() };
            channel.exchange_declare(short(name), kind, options, arguments).await
        }
        Declared::Queue { name, arguments } => {
            let mut table = FieldTable::default();
            for (key, value) in arguments {
                let value = match value {
                    Argument::Text(text) => AMQPValue::LongString(text.as_str().into()),
                    Argument::Number(number) => AMQPValue::LongLongInt(*number),
                };
                table.insert(short(key), value);
            }
            let options = QueueDeclareOptions { passive, durable: true, ..Default::default() };
            channel.queue_declare(short(name), options, table).await.map(|_| ())
        }
        Declared::Binding { queue, exchange, key } => {
            channel
                .queue_bind(
                    short(queue),
                    short(exchange),
                    short(key),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Destination;

    #[test]
    fn every_name_is_declared_and_bound() {
        let stages = ["validate", "issue"];
        let all = expected("t.", &stages);
        let names = Names::new("t.", &stages);
        let queues: Vec<_> = all
            .iter()
            .filter_map(
                |thing| {
                    if let Declared::Queue { name, .. } = thing { Some(name.clone()) } else { None }
                },
            )
            .collect();
        let mut wanted = names.queues();
        assert_eq!(wanted.len(), 2 * 2 + 10 + 2);
        wanted.sort();
        assert_eq!(wanted, {
            let mut q = queues.clone();
            q.sort();
            q
        });
        for queue in &queues {
            assert!(
                all.iter()
                    .any(|thing| matches!(thing, Declared::Binding { queue: bound, .. } if bound == queue)),
                "{queue} is not bound"
            );
        }
        let destinations = [
            (Destination::Stage("issue", Lane::Live), ("t.work", "issue")),
            (Destination::Stage("issue", Lane::Bulk), ("t.work", "issue.bulk")),
            (Destination::Wait("issue", Lane::Bulk, RetryDelay::M12), ("t.wait.12m", "issue.bulk")),
            (Destination::Dead("issue"), ("t.dead", "issue")),
            (Destination::Event("guarantee.issued"), ("t.events", "guarantee.issued")),
        ];
        for (destination, (exchange, key)) in destinations {
            assert_eq!(names.destination(&destination), (exchange.to_owned(), key.to_owned()));
            assert!(
                all.iter().any(|thing| matches!(thing, Declared::Exchange { name, .. } if name == exchange)),
                "{exchange}"
            );
        }
    }

    #[test]
    fn dead_lettering_is_at_least_once() {
        for thing in expected("t.", &["issue"]) {
            let Declared::Queue { name, arguments } = thing else { continue };
            let has = |key: &str, value: &str| {
                arguments.contains(&(
                    match key {
                        "x-overflow" => "x-overflow",
                        "x-queue-type" => "x-queue-type",
                        _ => "x-dead-letter-strategy",
                    },
                    Argument::Text(value.to_owned()),
                ))
            };
            assert!(has("x-queue-type", "quorum") && has("x-overflow", "reject-publish"), "{name}");
            let moves = arguments.iter().any(|(key, _)| *key == "x-dead-letter-exchange");
            assert_eq!(moves, has("x-dead-letter-strategy", "at-least-once"), "{name}");
        }
    }
}

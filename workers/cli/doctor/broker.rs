//! RabbitMQ: version, queues, alarms, consumers, clock.

use super::{Report, database::Told, skew};
use crate::{
    assembly::{self, Queue},
    broker::{
        Depth,
        rabbit::{Rabbit, examine::examine},
    },
    clock::Clock,
    config::Config,
    stage::chain,
    stages::NAMES,
};

/// Messages that wait for a stage before it is told, in each of its queues.
const DEEP: u64 = 10_000;

pub(super) async fn look(report: &mut Report, config: &Config, told: Option<&Told>) {
    let queue = match assembly::broker(config) {
        Ok(Queue::Rabbit(rabbit)) => rabbit,
        Ok(Queue::Memory(_)) => {
            report.ok("broker", "in process: nothing to look at between two runs");
            return;
        }
        Err(error) => {
            report.failure("broker", chain(&error), "correct broker.url");
            return;
        }
    };
    rabbit(report, &queue, config, told).await;
    crate::broker::Broker::close(&queue).await;
}

async fn rabbit(report: &mut Report, rabbit: &Rabbit, config: &Config, told: Option<&Told>) {
    let here = Clock::system().now();
    let found = match examine(rabbit).await {
        Ok(found) => found,
        Err(error) => {
            report.failure("broker", chain(&error), "bring it back, or correct broker.url: the workers connect again by themselves");
            return;
        }
    };
    let version: Vec<u32> = found.version.split('.').map_while(|part| part.parse().ok()).collect();
    let named = format!("{} {}", found.product, found.version);
    if version.as_slice() < [3, 10].as_slice() {
        report.failure("broker", named, "hosho needs RabbitMQ 3.10 or newer: older ones dead-letter at most once");
    } else {
        report.ok("broker", named);
    }
    let needed = ["publisher_confirms", "basic.nack", "consumer_cancel_notify", "connection.blocked"];
    let lacking: Vec<&str> = needed.into_iter().filter(|needed| !found.capabilities.iter().any(|name| name == needed)).collect();
    if lacking.is_empty() {
        report.ok("capabilities", needed.join(", "));
    } else {
        report.failure("capabilities", format!("it lacks {}", lacking.join(", ")), "this is no RabbitMQ of a version that hosho can use");
    }
    match found.confirmed_in {
        Some(time) => report.ok("alarms", format!("none: a message was confirmed within {} ms", time.as_millis())),
        None if found.is_blocked => report.failure(
            "alarms",
            "the broker takes no messages: it is short of memory or disk",
            "`rabbitmq-diagnostics alarms`; make room, then the workers go on by themselves",
        ),
        None => report.failure(
            "alarms",
            "a message was not confirmed in time",
            "`rabbitmq-diagnostics status`: is it overloaded, or a node down?",
        ),
    }
    if let Some(clock) = found.clock {
        skew(report, "broker clock", clock, here, 1);
    }
    topology(report, rabbit).await;
    match crate::broker::Broker::depths(rabbit).await {
        Ok(depths) => tell_depths(report, &depths, &config.broker.prefix, told.is_some()),
        Err(error) => report.failure("queues", chain(&error), "`hosho topology apply`"),
    }
}

async fn topology(report: &mut Report, rabbit: &Rabbit) {
    match crate::broker::rabbit::topology::check(rabbit).await {
        // Feature flags cannot be asked for over AMQP; queues with these arguments exist only where they are enabled.
        Ok(topology) if topology.is_good() => {
            report.ok("queues", format!("{} as expected, with the feature flags they need", topology.present));
        }
        Ok(topology) => {
            let mut found = topology.missing.iter().map(|name| format!("{name} is missing")).collect::<Vec<_>>();
            found.extend(topology.different);
            report.failure(
                "queues",
                found.join("; "),
                "`hosho topology apply` makes what is missing; what differs must be drained, deleted and made again",
            );
        }
        Err(error) => report.failure("queues", chain(&error), "may this user look at the queues?"),
    }
}

fn tell_depths(report: &mut Report, depths: &[Depth], prefix: &str, database_is_there: bool) {
    let of = |name: String| depths.iter().find(|depth| depth.queue == format!("{prefix}{name}"));
    let idle: Vec<&str> =
        NAMES.iter().copied().filter(|stage| of(format!("stage.{stage}")).is_some_and(|depth| depth.consumers == 0)).collect();
    if idle.is_empty() {
        let counts: Vec<String> =
            NAMES.iter().map(|stage| format!("{stage} {}", of(format!("stage.{stage}")).map_or(0, |depth| depth.consumers))).collect();
        report.ok("consumers", counts.join(", "));
    } else {
        report.warning(
            "consumers",
            format!("none for {}", idle.join(", ")),
            "start `hosho work`, or see with `hosho stages` whether it is paused",
        );
    }
    let waiting: u64 = depths.iter().map(|depth| depth.ready).sum();
    let deep: Vec<String> =
        depths.iter().filter(|depth| depth.ready > DEEP).map(|depth| format!("{} {}", depth.queue, depth.ready)).collect();
    if deep.is_empty() {
        report.ok("depth", format!("{waiting} messages wait in all queues"));
    } else {
        report.warning("depth", deep.join(", "), "more workers, or see with `hosho stages` what holds them up");
    }
    let letters: u64 = ["dead", "unrouted"].into_iter().filter_map(|name| of(name.to_owned())).map(|depth| depth.ready).sum();
    if letters > 0 && database_is_there {
        report.warning("dead letters", format!("{letters} are not taken in yet"), "a running worker takes them in: is there one?");
    }
}

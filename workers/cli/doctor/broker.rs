//! RabbitMQ: version, queues, alarms, consumers, clock.

use super::{super::wording::counted, Report, skew};
use crate::{
    app::{self, BrokerClient},
    broker::{
        Depth,
        rabbit::{Rabbit, examine::examine},
    },
    clock::Clock,
    config::Config,
    fault::chain,
    stages::NAMES,
};

/// Messages that wait for a stage before it is told, in each of its queues.
const DEEP: u64 = 10_000;

pub(super) async fn look(report: &mut Report, config: &Config, database_is_there: bool) {
    let queue = match app::broker_client(config, NAMES) {
        Ok(BrokerClient::Rabbit(rabbit)) => rabbit,
        Ok(BrokerClient::Memory(_)) => {
            report.ok("broker", "in process: nothing to look at between two runs");
            return;
        }
        Err(error) => {
            report.failure("broker", chain(&error), "correct broker.url");
            return;
        }
    };
    rabbit(report, &queue, config, database_is_there).await;
    crate::broker::Broker::close(&queue).await;
}

async fn rabbit(report: &mut Report, rabbit: &Rabbit, config: &Config, database_is_there: bool) {
    let here = Clock::system().now();
    let found = match examine(rabbit).await {
        Ok(found) => found,
        Err(error) => {
            let advice = if error.is_denied() {
                "grant the user of broker.url this permission on the virtual host, or correct broker.url"
            } else {
                "bring it back, or correct broker.url: the workers connect again by themselves"
            };
            report.failure("broker", chain(&error), advice);
            return;
        }
    };
    let version: Vec<u32> = found.version.split('.').map_while(|part| part.parse().ok()).collect();
    let named = format!("{} {}", found.product, found.version);
    if version.as_slice() < [3, 10].as_slice() {
        report.failure(
            "broker",
            named,
            "hosho needs RabbitMQ 3.10 or newer: older ones dead-letter at most once",
        );
    } else {
        report.ok("broker", named);
    }
    let needed = ["publisher_confirms", "basic.nack", "consumer_cancel_notify", "connection.blocked"];
    let lacking: Vec<&str> =
        needed.into_iter().filter(|needed| !found.capabilities.iter().any(|name| name == needed)).collect();
    if lacking.is_empty() {
        report.ok("capabilities", needed.join(", "));
    } else {
        report.failure(
            "capabilities",
            format!("it lacks {}", lacking.join(", ")),
            "this is no RabbitMQ of a version that hosho can use",
        );
    }
    match found.confirmed_in {
        Some(time) => {
            report.ok("alarms", format!("none: a message was confirmed within {} ms", time.as_millis()))
        }
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
        Ok(depths) => tell_depths(report, &depths, &config.broker.prefix, database_is_there),
        Err(error) => report.failure("queues", chain(&error), "`hosho topology apply`"),
    }
}

async fn topology(report: &mut Report, rabbit: &Rabbit) {
    match crate::broker::rabbit::topology::check(rabbit).await {
        // Feature flags cannot be asked for over AMQP; queues with these arguments exist only where they are enabled.
        Ok(topology) if topology.is_good() => {
            report.ok(
                "queues",
                format!(
                    "{} as expected; so the feature flags they need are enabled, which is inferred",
                    topology.present
                ),
            );
        }
        Ok(topology) => {
            let mut found =
                topology.missing.iter().map(|name| format!("{name} is missing")).collect::<Vec<_>>();
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
    let idle: Vec<&str> = NAMES
        .iter()
        .copied()
        .filter(|stage| of(format!("stage.{stage}")).is_some_and(|depth| depth.consumers == 0))
        .collect();
    if idle.is_empty() {
        let counts: Vec<String> = NAMES
            .iter()
            .map(|stage| {
                format!("{stage} {}", of(format!("stage.{stage}")).map_or(0, |depth| depth.consumers))
            })
            .collect();
        report.ok("consumers", counts.join(", "));
    } else {
        report.warning(
            "consumers",
            format!("none for {}", idle.join(", ")),
            "start `hosho work`, or see with `hosho stages` whether it is paused",
        );
    }
    let waiting: u64 = depths.iter().map(|depth| depth.ready).sum();
    let deep: Vec<String> = depths
        .iter()
        .filter(|depth| depth.ready > DEEP)
        .map(|depth| format!("{} {}", depth.queue, depth.ready))
        .collect();
    if deep.is_empty() {
        let wait = if waiting == 1 { "waits" } else { "wait" };
        report.ok("depth", format!("{} {wait} in all queues", counted(waiting, "message")));
    } else {
        report.warning(
            "depth",
            deep.join(", "),
            "more workers, or see with `hosho stages` what holds them up",
        );
    }
    let letters: u64 = ["dead", "unrouted"]
        .into_iter()
        .filter_map(|name| of(name.to_owned()))
        .map(|depth| depth.ready)
        .sum();
    if letters == 0 {
        report.ok("dead letters", "none waits to be taken in");
    } else if database_is_there {
        report.warning(
            "dead letters",
            format!("{letters} not taken in yet"),
            "a running worker takes them in: is there one?",
        );
    } else {
        report.warning(
            "dead letters",
            format!("{letters} not taken in yet"),
            "they wait for the database: bring it back",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    fn depths(ready: &[(&str, u64)], consumers: u64) -> Vec<Depth> {
        let stages =
            NAMES.iter().map(|stage| Depth { queue: format!("t.stage.{stage}"), ready: 0, consumers });
        let named = ready.iter().map(|(name, ready)| Depth {
            queue: format!("t.{name}"),
            ready: *ready,
            consumers: 0,
        });
        stages.chain(named).collect()
    }

    fn told(depths: &[Depth], database_is_there: bool) -> Report {
        let mut report = Report::silent();
        tell_depths(&mut report, depths, "t.", database_is_there);
        report
    }

    #[test]
    fn what_is_well_is_said_in_one_line_each() {
        let report = told(&depths(&[("dead", 0), ("unrouted", 0)], 2), true);
        for what in ["consumers", "depth", "dead letters"] {
            assert!(matches!(report.of(what)[..], [(Verdict::Ok, _)]), "{what}: {:?}", report.of(what));
        }
        assert!(report.of("consumers")[0].1.contains("mint 2"));
    }

    #[test]
    fn letters_deep_queues_and_stages_without_consumers_are_told() {
        let report = told(&depths(&[("dead", 2), ("unrouted", 1), ("stage.issue.bulk", DEEP + 1)], 0), true);
        assert_eq!(report.of("dead letters"), [(Verdict::Warning, "3 not taken in yet")]);
        assert_eq!(report.of("depth"), [(Verdict::Warning, "t.stage.issue.bulk 10001")]);
        assert!(
            matches!(report.of("consumers")[..], [(Verdict::Warning, text)] if text.contains("validate"))
        );
        assert_eq!(told(&depths(&[("dead", 1)], 1), false).of("dead letters").len(), 1);
    }
}
